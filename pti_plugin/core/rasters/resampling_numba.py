"""Compiled loops of warping; what each does, and the meaning of the arrays, is told in resampling_numpy.

Imported lazily, because it imports numba.
"""

import numpy as np

from ..common.compiled import compiled
from .resampling_numpy import CENTRE, TIE, UNIT

#: where a side lies that does not cross a row: it adds nothing to any area
_NOWHERE = 1e9
_AVERAGE, _LOWEST, _HIGHEST, _MEDIAN = range(4)
_HOW = {"average": _AVERAGE, "min": _LOWEST, "max": _HIGHEST, "med": _MEDIAN}


def centres(values, nodata, codes, positions, frame, how):
    """Return what is mixed round each of ``positions`` = (x, y), flat arrays, by near, bilinear or cubic."""
    x, y = positions
    if how == "near":
        missing = values.dtype.type(nodata) if codes else np.nan
        result = np.empty(x.shape, dtype=values.dtype if codes else np.float64)
        _near_all(values, missing, x, y, frame, result)
        return result
    result = np.empty(x.shape)
    _between_all(values, x, y, frame, how == "cubic", result)
    return result


def polygons(values, nodata, codes, positions, frame, how):
    """Return what lies within the outlines of cells; ``positions`` as resampling_numpy has them."""
    shape = positions[3].shape
    if codes:
        result = np.empty(shape, dtype=values.dtype)
        _polygon_modes(values, values.dtype.type(nodata), np.zeros(codes, dtype=np.int64), positions, frame, result)
        return result
    result = np.empty(shape)
    _polygon_numbers(values, _HOW[how], positions, frame, result)
    return result


def corners(values, nodata, codes, positions, frame, how):
    """The same for cells that share their corners: ``positions`` are x and y, (rows + 1, columns + 1)."""
    shape = positions[0].shape[0] - 1, positions[0].shape[1] - 1
    if codes:
        result = np.empty(shape, dtype=values.dtype)
        _corner_modes(values, values.dtype.type(nodata), np.zeros(codes, dtype=np.int64), positions, frame, result)
        return result
    result = np.empty(shape)
    _corner_numbers(values, _HOW[how], positions, frame, result)
    return result


# round a centre -------------------------------------------------------------------------------------------------------

@compiled
def _near(values, missing, x, y, circle):
    if not (np.isfinite(x) and np.isfinite(y)):
        return missing
    row, column = int(np.floor(y + CENTRE)), int(np.floor(x + CENTRE))
    if circle:
        column %= circle
    if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
        return values[row, column]
    return missing


@compiled
def _near_all(values, missing, x, y, frame, result):
    for i in range(x.size):
        result[i] = _near(values, missing, x[i] - frame[1], y[i] - frame[0], frame[2])


@compiled
def _at(values, row, column, circle):
    if circle:
        column %= circle
    if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
        return np.float64(values[row, column])
    return np.nan


@compiled
def _keys(place, weights):
    weights[0] = ((2.0 - place) * place - 1.0) * place * 0.5
    weights[1] = ((3.0 * place - 5.0) * place * place + 2.0) * 0.5
    weights[2] = ((4.0 - 3.0 * place) * place + 1.0) * place * 0.5
    weights[3] = (place - 1.0) * place * place * 0.5


@compiled
def _between_all(values, x, y, frame, cubic, result):
    across_weights, down_weights = np.empty(4), np.empty(4)
    top, left, circle = frame
    for k in range(x.size):
        place_x, place_y = x[k] - left - 0.5, y[k] - top - 0.5
        first_column, first_row = np.floor(place_x), np.floor(place_y)
        across, down = place_x - first_column, place_y - first_row
        column, row = int(first_column), int(first_row)
        if cubic:
            _keys(across, across_weights)
            _keys(down, down_weights)
            total = 0.0
            for i in range(4):
                line = 0.0
                for j in range(4):
                    line += across_weights[j] * _at(values, row + i - 1, column + j - 1, circle)
                total += down_weights[i] * line
            if not np.isnan(total):
                result[k] = total
                continue
        if 0 <= row < values.shape[0] - 1 and 0 <= column < values.shape[1] - 1:
            # far from the edges, where all four are known
            total = (1 - down) * (1 - across) * np.float64(values[row, column])
            total += (1 - down) * across * np.float64(values[row, column + 1])
            total += down * (1 - across) * np.float64(values[row + 1, column])
            total += down * across * np.float64(values[row + 1, column + 1])
            if not np.isnan(total):
                result[k] = total
                continue
        total, weight = 0.0, 0.0
        if np.isnan(_at(values, int(np.floor(y[k] - top + CENTRE)), int(np.floor(x[k] - left + CENTRE)), circle)):
            result[k] = np.nan
            continue
        for i in range(2):
            for j in range(2):
                value = _at(values, row + i, column + j, circle)
                if not np.isnan(value):
                    share = (down if i else 1 - down) * (across if j else 1 - across)
                    total += share * value
                    weight += share
        result[k] = total / weight if weight > 0 else np.nan


# within an outline ----------------------------------------------------------------------------------------------------

@compiled
def _box(x, y):
    """Return first and last + 1 row and column of a quadrilateral."""
    return (int(np.floor(min(min(y[0], y[1]), min(y[2], y[3])))), int(np.ceil(max(max(y[0], y[1]), max(y[2], y[3])))),
            int(np.floor(min(min(x[0], x[1]), min(x[2], x[3])))), int(np.ceil(max(max(x[0], x[1]), max(x[2], x[3])))))


@compiled
def _inside(box, shape):
    return box[0] >= 0 and box[1] <= shape[0] and box[2] >= 0 and box[3] <= shape[1] and (
        box[0] < box[1] and box[2] < box[3])


@compiled
def _cut_to(box, shape, circle):
    if circle:
        return max(box[0], 0), min(box[1], shape[0]), box[2], box[3]
    return max(box[0], 0), min(box[1], shape[0]), max(box[2], 0), min(box[3], shape[1])


@compiled
def _direction(x, y):
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    area += (x[2] - x[0]) * (y[3] - y[0]) - (x[3] - x[0]) * (y[2] - y[0])
    return 1.0 if area < 0 else -1.0


@compiled
def _slope(x0, y0, x1, y1):
    return (x1 - x0) / (y1 - y0) if y1 != y0 else 0.0


@compiled
def _cut(x0, x1, y0, start, stop, slope):
    """Return height, low, high and half of 1 / width of a side within a row, from ``start`` to ``stop``."""
    if start == stop:
        return 0.0, _NOWHERE, -_NOWHERE, 0.0
    first, last = x0 + (start - y0) * slope, x0 + (stop - y0) * slope
    low, high = max(min(first, last), min(x0, x1)), min(max(first, last), max(x0, x1))
    return stop - start, low, high, 0.5 / (high - low) if high > low else 0.0


@compiled
def _part(side, column):
    within = min(max(column - side[1], 0.0), side[2] - side[1])
    return side[0] * (within * within * side[3] + max(column - side[2], 0.0))


@compiled
def _before(a, b, c, d, column):
    """Return the area between the sides of a row to the left of a column."""
    return ((_part(a, column) + _part(b, column)) + _part(c, column)) + _part(d, column)


@compiled
def _row(x, y, slopes, row, box):
    """Return the four sides within a row, the first and last + 1 column that they enclose, and the area before."""
    y0, y1, y2, y3 = y[0] - row, y[1] - row, y[2] - row, y[3] - row
    s0, s1, s2, s3 = (min(max(y0, 0.0), 1.0), min(max(y1, 0.0), 1.0), min(max(y2, 0.0), 1.0), min(max(y3, 0.0), 1.0))
    a = _cut(x[0], x[1], y0, s0, s1, slopes[0])
    b = _cut(x[1], x[2], y1, s1, s2, slopes[1])
    c = _cut(x[2], x[3], y2, s2, s3, slopes[2])
    d = _cut(x[3], x[0], y3, s3, s0, slopes[3])
    low, high = min(min(a[1], b[1]), min(c[1], d[1])), max(max(a[2], b[2]), max(c[2], d[2]))
    if low > high:
        return a, b, c, d, box[2], box[2], 0.0
    first = int(np.floor(low))
    if first >= box[2]:
        return a, b, c, d, first, min(int(np.ceil(high)), box[3]), 0.0
    return a, b, c, d, box[2], min(int(np.ceil(high)), box[3]), _before(a, b, c, d, box[2])


@compiled
def _slopes(x, y):
    return (_slope(x[0], y[0], x[1], y[1]), _slope(x[1], y[1], x[2], y[2]), _slope(x[2], y[2], x[3], y[3]),
            _slope(x[3], y[3], x[0], y[0]))


@compiled
def _whole(area):
    return int(np.floor(area * UNIT + 0.5))


@compiled
def _alike(values, box):
    first = values[box[0], box[2]]
    for row in range(box[0], box[1]):
        for column in range(box[2], box[3]):
            if values[row, column] != first:
                return False
    return True


@compiled
def _unknown(values, box):
    for row in range(box[0], box[1]):
        for column in range(box[2], box[3]):
            if not np.isnan(values[row, column]):
                return False
    return True


@compiled
def _count(values, missing, counts, x, y, box, circle):
    """Add the shares of a quadrilateral to those of the classes, ``counts``; return their sum."""
    direction, slopes, total = _direction(x, y), _slopes(x, y), 0
    for row in range(box[0], box[1]):
        a, b, c, d, first, last, before = _row(x, y, slopes, row, box)
        for column in range(first, last):
            area, before = before, _before(a, b, c, d, column + 1)
            place = column % circle if circle else column
            if place >= values.shape[1]:
                continue
            share = _whole((before - area) * direction)
            if share > 0:
                total += share
                value = values[row, place]
                if value != missing:
                    counts[value] += share
    return total


@compiled
def _largest(values, counts, box, circle):
    largest = 0
    for row in range(box[0], box[1]):
        for column in range(box[2], box[3]):
            place = column % circle if circle else column
            if place < values.shape[1]:
                largest = max(largest, counts[values[row, place]])
    return largest


@compiled
def _choose(values, counts, box, circle, least, at_centre, result, found):
    """Return the class at the centre or the lowest of those counted more than ``least``, and set counts to 0."""
    for row in range(box[0], box[1]):
        for column in range(box[2], box[3]):
            place = column % circle if circle else column
            if place >= values.shape[1]:
                continue
            value = values[row, place]
            if counts[value] > least and not (found and result == at_centre) and (
                    not found or value == at_centre or value < result):
                result, found = value, True
            counts[value] = 0
    return result, found


@compiled
def _least(total, largest):
    """Return the share up to which a class has less than the largest."""
    return largest - max(min(total, UNIT) // TIE, 1)


@compiled
def _mode(values, missing, counts, x, y, centre_x, centre_y, circle):
    """Return the class with the largest share; ``counts`` is 0 for every class, before and after."""
    box = _box(x, y)
    if _inside(box, values.shape) and _alike(values, box):
        return values[box[0], box[2]]
    box = _cut_to(box, values.shape, circle)
    at_centre = _near(values, missing, centre_x, centre_y, circle)
    total = _count(values, missing, counts, x, y, box, circle)
    if total == 0:
        return at_centre
    largest = _largest(values, counts, box, circle)
    return _choose(values, counts, box, circle, max(_least(total, largest), 0), at_centre, missing, False)[0]


@compiled
def _add(values, how, x, y, box, circle, state, found, parts):
    """Take in the numbers within a quadrilateral. ``state``: sum of values or extreme, shares known, all, values."""
    direction, slopes = _direction(x, y), _slopes(x, y)
    total, known, covered, number = state
    for row in range(box[0], box[1]):
        a, b, c, d, first, last, before = _row(x, y, slopes, row, box)
        for column in range(first, last):
            area, before = before, _before(a, b, c, d, column + 1)
            place = column % circle if circle else column
            if place >= values.shape[1]:
                continue
            share = _whole((before - area) * direction)
            if share <= 0:
                continue
            covered += share
            value = np.float64(values[row, place])
            if np.isnan(value):
                continue
            if how == _AVERAGE:
                total += share * value
            elif how == _MEDIAN:
                found[number], parts[number] = value, share
            elif number == 0 or (value < total if how == _LOWEST else value > total):
                total = value
            known += share
            number += 1
    return total, known, covered, number


@compiled
def _result(how, state, found, parts, at_centre):
    total, known, covered, number = state
    if covered == 0:
        return at_centre
    if number == 0:
        return np.nan
    if how == _AVERAGE:
        return total / known
    return _median(found[:number], parts[:number], known) if how == _MEDIAN else total


@compiled
def _median(found, parts, known):
    below, low = 0, np.nan
    for place in np.argsort(found):
        below += parts[place]
        if np.isnan(low) and 2 * below >= known:
            low = found[place]
        if 2 * below > known:
            return (low + found[place]) / 2
    return low


@compiled
def _room(how, box):
    return max(box[1] - box[0], 0) * max(box[3] - box[2], 0) if how == _MEDIAN else 0


@compiled
def _middle(corners):
    return (corners[0] + corners[1] + corners[2] + corners[3]) * 0.25


@compiled
def _corner_modes(values, missing, counts, positions, frame, result):
    lattice_x, lattice_y = positions
    top, left, circle = frame
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            x, y = _four(lattice_x, row, column, left), _four(lattice_y, row, column, top)
            result[row, column] = _mode(values, missing, counts, x, y, _middle(x), _middle(y), circle)


@compiled
def _corner_numbers(values, how, positions, frame, result):
    lattice_x, lattice_y = positions
    top, left, circle = frame
    found, parts = np.empty(0), np.empty(0, dtype=np.int64)
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            x, y = _four(lattice_x, row, column, left), _four(lattice_y, row, column, top)
            box = _box(x, y)
            if _inside(box, values.shape) and _unknown(values, box):
                result[row, column] = np.nan
                continue
            box = _cut_to(box, values.shape, circle)
            if _room(how, box) > found.size:
                found, parts = np.empty(_room(how, box)), np.empty(_room(how, box), dtype=np.int64)
            state = _add(values, how, x, y, box, circle, (0.0, 0, 0, 0), found, parts)
            at_centre = np.nan
            if state[2] == 0:
                at_centre = np.float64(_near(values, np.nan, _middle(x), _middle(y), circle))
            result[row, column] = _result(how, state, found, parts, at_centre)


@compiled
def _four(lattice, row, column, first):
    return (lattice[row, column] - first, lattice[row, column + 1] - first, lattice[row + 1, column + 1] - first,
            lattice[row + 1, column] - first)


@compiled
def _outline(outlines, number, first):
    return (outlines[number, 0] - first, outlines[number, 1] - first, outlines[number, 2] - first,
            outlines[number, 3] - first)


@compiled
def _polygon_modes(values, missing, counts, positions, frame, result):
    outline_x, outline_y, starts, centre_x, centre_y = positions
    top, left, circle = frame
    for k in range(result.size):
        place_x, place_y = centre_x[k] - left, centre_y[k] - top
        if starts[k + 1] - starts[k] == 1:
            x, y = _outline(outline_x, starts[k], left), _outline(outline_y, starts[k], top)
            result[k] = _mode(values, missing, counts, x, y, place_x, place_y, circle)
            continue
        at_centre, total, largest = _near(values, missing, place_x, place_y, circle), 0, 0
        for i in range(starts[k], starts[k + 1]):
            x, y = _outline(outline_x, i, left), _outline(outline_y, i, top)
            total += _count(values, missing, counts, x, y, _cut_to(_box(x, y), values.shape, circle), circle)
        for i in range(starts[k], starts[k + 1]):
            x, y = _outline(outline_x, i, left), _outline(outline_y, i, top)
            largest = max(largest, _largest(values, counts, _cut_to(_box(x, y), values.shape, circle), circle))
        chosen, found = missing, False
        for i in range(starts[k], starts[k + 1]):
            x, y = _outline(outline_x, i, left), _outline(outline_y, i, top)
            chosen, found = _choose(values, counts, _cut_to(_box(x, y), values.shape, circle), circle,
                                    max(_least(total, largest), 0), at_centre, chosen, found)
        result[k] = at_centre if total == 0 else chosen


@compiled
def _polygon_numbers(values, how, positions, frame, result):
    outline_x, outline_y, starts, centre_x, centre_y = positions
    top, left, circle = frame
    found, parts = np.empty(0), np.empty(0, dtype=np.int64)
    for k in range(result.size):
        room = 0
        for i in range(starts[k], starts[k + 1]):
            box = _box(_outline(outline_x, i, left), _outline(outline_y, i, top))
            room += _room(how, _cut_to(box, values.shape, circle))
        if room > found.size:
            found, parts = np.empty(room), np.empty(room, dtype=np.int64)
        state = (0.0, 0, 0, 0)
        for i in range(starts[k], starts[k + 1]):
            x, y = _outline(outline_x, i, left), _outline(outline_y, i, top)
            box = _cut_to(_box(x, y), values.shape, circle)
            state = _add(values, how, x, y, box, circle, state, found, parts)
        at_centre = np.float64(_near(values, np.nan, centre_x[k] - left, centre_y[k] - top, circle))
        result[k] = _result(how, state, found, parts, at_centre)
