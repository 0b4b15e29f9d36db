"""The loops of warping in plain NumPy, for where numba is missing; resampling_numba has the same ones, compiled.

``values``: a window of the source, (rows, columns): places in a list of so many ``codes``, one of them ``nodata``; or,
with 0 codes, numbers with NaN. ``frame``: the window's top and left on the source, and columns round the Earth, 0 where
the source does not go round it. Positions are in cells of the source. Results: the type of ``values`` for classes, else
float64.

The share of a source cell is the area of a polygon within it, in whole UNITs. Row by row of the source each side of the
polygon is cut to the row; the area to its right and to the left of a column is added where the side goes down and taken
off where it goes up. All sums go on in the order of the sides and the cells, so that both modules give the same to the
bit.
"""

import numpy as np

#: shares are counted in so many parts of a source cell
UNIT = 1 << 24
#: classes whose shares differ by less than this part of a cell have equal shares
TIE = 256
#: a centre that lies no more than this before the next source cell belongs to it: positions are rounded
CENTRE = 2.0 ** -14
#: pairs of a target and a source cell worked on at once
_PAIRS = 1 << 17


def centres(values, nodata, codes, positions, frame, how):
    """Return what is mixed round each of ``positions`` = (x, y), flat arrays, by near, bilinear or cubic."""
    x, y = positions[0] - frame[1], positions[1] - frame[0]
    if how == "near":
        return _near(values, nodata if codes else np.nan, x, y, frame[2])
    result = _bilinear(values, x, y, frame[2])
    if how == "cubic":
        cubic = _cubic(values, x, y, frame[2])
        result = np.where(np.isnan(cubic), result, cubic)
    return np.where(np.isnan(_near(values, np.nan, x, y, frame[2])), np.nan, result)


def polygons(values, nodata, codes, positions, frame, how):
    """Return what lies within the outlines of cells.

    ``positions``: x and y of quadrilaterals, (number, 4); the first quadrilateral of each cell, and one more: a cell
    has all up to the next cell's, side by side; x and y of centres.
    """
    outline_x, outline_y, starts, centre_x, centre_y = positions
    outline_x, outline_y = outline_x - frame[1], outline_y - frame[0]
    missing = nodata if codes else np.nan
    result = _near(values, missing, centre_x - frame[1], centre_y - frame[0], frame[2])
    known = values != missing if codes else ~np.isnan(values)
    box = _boxes(outline_x, outline_y, values.shape, frame[2])
    cell = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    done = _alike(values, box) if codes else _unknown(known, box)
    done &= np.diff(starts)[cell] == 1
    result[cell[done]] = values[box[0][done], box[2][done]] if codes else np.nan
    for part in _portions(np.flatnonzero(~done), cell, box):
        shares = _shares(outline_x[part], outline_y[part], [limit[part] for limit in box], values.shape, frame[2])
        # by cell, counted anew
        here = np.unique(cell[part])
        shares = np.searchsorted(here, cell[part])[shares[0]], *shares[1:]
        covered = np.bincount(shares[0], minlength=here.size) > 0
        found = _most(values, known, shares, codes, result[here], missing) if codes else _numbers(
            values, known, shares, here.size, how)
        result[here[covered]] = found[covered]
    return result


def corners(values, nodata, codes, positions, frame, how):
    """The same for cells that share their corners: ``positions`` are x and y, (rows + 1, columns + 1).

    The corners lie between nodes, so that the centre of a cell is in their middle, exactly.
    """
    x, y = map(four_corners, positions)
    starts, middles = np.arange(len(x) + 1), (part.sum(axis=1) * 0.25 for part in (x, y))
    result = polygons(values, nodata, codes, (x, y, starts, *middles), frame, how)
    return result.reshape(positions[0].shape[0] - 1, -1)


def four_corners(lattice):
    """Return corners of cells, (rows + 1, columns + 1), as (rows × columns, 4), going round each cell."""
    return np.stack([lattice[:-1, :-1], lattice[:-1, 1:], lattice[1:, 1:], lattice[1:, :-1]], axis=-1).reshape(-1, 4)


# round a centre -------------------------------------------------------------------------------------------------------

def _cells(values, missing, row, column, circle):
    """Return the values at rows and columns of the window, ``missing`` beyond it."""
    column = column % circle if circle else column
    inside = (row >= 0) & (row < values.shape[0]) & (column >= 0) & (column < values.shape[1])
    return np.where(inside, values[np.where(inside, row, 0), np.where(inside, column, 0)], missing)


def _near(values, missing, x, y, circle):
    known = np.isfinite(x + y)
    row, column = (np.floor(np.where(known, part, -9.0) + CENTRE).astype(np.int64) for part in (y, x))
    row[~known] = -9
    found = _cells(values, missing, row, column, circle)
    return found.astype(values.dtype if values.dtype.kind != "f" else np.float64)


def _bilinear(values, x, y, circle):
    column, row = np.floor(x - 0.5), np.floor(y - 0.5)
    across, down = x - 0.5 - column, y - 0.5 - row
    column, row = column.astype(np.int64), row.astype(np.int64)
    total, weight = np.zeros(x.shape), np.zeros(x.shape)
    for i in (0, 1):
        for j in (0, 1):
            found = _cells(values, np.nan, row + i, column + j, circle).astype(np.float64)
            share = (down if i else 1 - down) * (across if j else 1 - across)
            known = ~np.isnan(found)
            total += np.where(known, share * np.where(known, found, 0.0), 0.0)
            weight += np.where(known, share, 0.0)
    return np.divide(total, weight, out=np.full(x.shape, np.nan), where=weight > 0)


def _cubic(values, x, y, circle):
    """Return NaN where one of the sixteen cells has no data."""
    column, row = np.floor(x - 0.5), np.floor(y - 0.5)
    across, down = _keys(x - 0.5 - column), _keys(y - 0.5 - row)
    column, row = column.astype(np.int64), row.astype(np.int64)
    total = np.zeros(x.shape)
    for i in range(4):
        line = np.zeros(x.shape)
        for j in range(4):
            line += across[j] * _cells(values, np.nan, row + i - 1, column + j - 1, circle).astype(np.float64)
        total += down[i] * line
    return total


def _keys(place):
    """Return the weights of four neighbours, of which the second lies ``place`` before."""
    return (((2.0 - place) * place - 1.0) * place * 0.5, ((3.0 * place - 5.0) * place * place + 2.0) * 0.5,
            ((4.0 - 3.0 * place) * place + 1.0) * place * 0.5, (place - 1.0) * place * place * 0.5)


# within an outline ----------------------------------------------------------------------------------------------------

def _boxes(x, y, shape, circle):
    """Return first and last + 1 row and column of each polygon, within the window, and which lie in it as they are.

    Of a source that goes round the Earth the columns are as they are; they stand for those whole circles away too.
    """
    top, bottom = np.floor(y.min(axis=1)).astype(np.int64), np.ceil(y.max(axis=1)).astype(np.int64)
    left, right = np.floor(x.min(axis=1)).astype(np.int64), np.ceil(x.max(axis=1)).astype(np.int64)
    inside = (top >= 0) & (bottom <= shape[0]) & (left >= 0) & (right <= shape[1]) & (top < bottom) & (left < right)
    if not circle:
        left, right = np.maximum(left, 0), np.minimum(right, shape[1])
    return np.maximum(top, 0), np.minimum(bottom, shape[0]), left, right, inside


def _sums(cells):
    """Return how many of ``cells`` are true before each row and column."""
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(cells, axis=0, dtype=np.int64), axis=1, out=sums[1:, 1:])
    return sums


def _count(sums, top, bottom, left, right):
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _alike(values, box):
    """Return which boxes lie in the window with all their cells alike."""
    top, bottom, left, right, inside = box
    across, down = np.zeros(values.shape, dtype=bool), np.zeros(values.shape, dtype=bool)
    across[:, 1:] = values[:, 1:] != values[:, :-1]
    down[1:] = values[1:] != values[:-1]
    limits = [limit[inside] for limit in box[:4]]
    changes = _count(_sums(across), limits[0], limits[1], limits[2] + 1, limits[3]) + _count(
        _sums(down), limits[0] + 1, limits[1], limits[2], limits[3])
    alike = np.zeros(top.shape, dtype=bool)
    alike[np.flatnonzero(inside)[changes == 0]] = True
    return alike


def _unknown(known, box):
    """Return which boxes lie in the window without any cell that is known."""
    inside = box[4]
    none = np.zeros(inside.shape, dtype=bool)
    none[np.flatnonzero(inside)[_count(_sums(known), *(limit[inside] for limit in box[:4])) == 0]] = True
    return none


def _portions(chosen, cell, box):
    """Yield parts of the quadrilaterals ``chosen`` of whole cells, with about _PAIRS source cells in their boxes."""
    top, bottom, left, right = (limit[chosen] for limit in box[:4])
    pairs = np.cumsum(np.maximum(bottom - top, 0) * np.maximum(right - left, 0))
    first = 0
    while first < chosen.size:
        last = int(np.searchsorted(pairs, (pairs[first - 1] if first else 0) + _PAIRS, side="right"))
        last = int(np.searchsorted(cell[chosen], cell[chosen[max(last, first + 1) - 1]], side="right"))
        yield chosen[first:last]
        first = last


def _spread(counts):
    """Return for things that come so many times each: the number of the thing, and which time it is."""
    thing = np.repeat(np.arange(counts.size), counts)
    return thing, np.arange(thing.size) - np.repeat(np.cumsum(counts) - counts, counts)


def _shares(x, y, box, shape, circle):
    """Return (polygon, row, column, share) of all source cells that polygons cover, polygon by polygon."""
    top, bottom, left, right = box[:4]
    polygon, row = _spread(np.maximum(bottom - top, 0))
    row += top[polygon]
    area, sides = np.zeros(len(x)), []
    for i, j in ((1, 2), (2, 3)):
        area += (x[:, i] - x[:, 0]) * (y[:, j] - y[:, 0]) - (x[:, j] - x[:, 0]) * (y[:, i] - y[:, 0])
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 0)):
        sides.append(_cut((x[:, i], y[:, i], x[:, j], y[:, j]), polygon, row))
    widths = np.maximum(right - left, 0)[polygon]
    # one column more than cells: the area before each
    line, column = _spread(widths + 1)
    column += left[polygon][line]
    before = np.zeros(line.size)
    for height, low, high, half in sides:
        beyond = column - high[line]
        within = np.minimum(np.maximum(column - low[line], 0.0), (high - low)[line])
        before += height[line] * (within * within * half[line] + np.maximum(beyond, 0.0))
    sign = np.where(area < 0, 1.0, -1.0)[polygon]
    ends = np.cumsum(widths + 1) - 1
    line, column = np.delete(line, ends), np.delete(column, ends)
    share = np.floor(np.delete(np.diff(before, append=0.0), ends) * sign[line] * UNIT + 0.5).astype(np.int64)
    if circle:
        column = column % circle
    chosen = np.flatnonzero((share > 0) & (column < shape[1]))
    line = line[chosen]
    return polygon[line], row[line], column[chosen], share[chosen]


def _cut(side, polygon, row):
    """Return of a side (x and y of both ends, a polygon each) within rows: by how much it goes down, the columns
    between which it does, and half of 1 / their distance."""
    x0, y0, x1, y1 = side
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(y1 != y0, (x1 - x0) / (y1 - y0), 0.0)[polygon]
    x0, y0, x1, y1 = x0[polygon], y0[polygon] - row, x1[polygon], y1[polygon] - row
    start, stop = np.minimum(np.maximum(y0, 0.0), 1.0), np.minimum(np.maximum(y1, 0.0), 1.0)
    first, last = x0 + (start - y0) * slope, x0 + (stop - y0) * slope
    low = np.maximum(np.minimum(first, last), np.minimum(x0, x1))
    high = np.minimum(np.maximum(first, last), np.maximum(x0, x1))
    with np.errstate(divide="ignore"):
        return stop - start, low, high, np.where(high > low, 0.5 / (high - low), 0.0)


def _most(values, known, shares, codes, at_centre, missing):
    """Return the class with the largest share of each polygon, ``missing`` where none is known."""
    polygon, row, column, share = shares
    number = at_centre.size
    total = np.zeros(number, dtype=np.int64)
    np.add.at(total, polygon, share)
    on = known[row, column]
    key = polygon[on] * codes + values[row[on], column[on]]
    order = np.argsort(key, kind="stable")
    key, first = np.unique(key[order], return_index=True)
    sums = np.add.reduceat(share[on][order], first) if first.size else np.zeros(0, dtype=np.int64)
    polygon, code = key // codes, key % codes
    best = np.zeros(number, dtype=np.int64)
    np.maximum.at(best, polygon, sums)
    tied = sums > (best - np.maximum(np.minimum(total, UNIT) // TIE, 1))[polygon]
    polygon, code = polygon[tied], code[tied]
    result = np.full(number, missing, dtype=values.dtype)
    # codes rise, so that the lowest is written last
    result[polygon[::-1]] = code[::-1]
    central = polygon[code == at_centre[polygon]]
    result[central] = at_centre[central]
    return result


def _numbers(values, known, shares, number, how):
    """Return the mean, lowest, highest or median value of each polygon, NaN where none is known."""
    polygon, row, column, share = shares
    on = known[row, column]
    polygon, share = polygon[on], share[on]
    found = values[row[on], column[on]].astype(np.float64)
    result = np.full(number, np.nan)
    if how == "average":
        total = np.bincount(polygon, weights=share, minlength=number)
        with np.errstate(invalid="ignore"):
            return np.bincount(polygon, weights=share * found, minlength=number) / total
    if how in ("min", "max"):
        (np.fmin if how == "min" else np.fmax).at(result, polygon, found)
        return result
    order = np.lexsort((found, polygon))
    polygon, found, share = polygon[order], found[order], share[order]
    first = np.flatnonzero(np.diff(polygon, prepend=-1))
    counts = np.diff(first, append=polygon.size)
    below = np.cumsum(share)
    before = np.repeat(below[first] - share[first], counts)
    twice, total = 2 * (below - before), np.repeat(np.add.reduceat(share, first), counts) if first.size else below
    for place, of in enumerate((twice >= total, twice > total)):
        chosen = np.flatnonzero(of)
        chosen = chosen[np.diff(polygon[chosen], prepend=-1) != 0]
        middle = found[chosen]
        result[polygon[chosen]] = middle if not place else (result[polygon[chosen]] + middle) / 2
    return result
