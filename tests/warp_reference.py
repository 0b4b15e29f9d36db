"""Warping by a path that shares nothing with the plugin: pyproj, and polygons clipped one side after the other."""

import numpy as np

#: target cells clipped at once
AT_ONCE = 2000
#: positions are rounded to so much of a source cell, corners by at most half of it either way
ROUNDED = 2.0 ** -16
#: classes whose shares differ by less than this part of a cell are tied
TIED = 1 / 256


def carried(target_crs, source_crs, x, y):
    """Return x and y in the source's CRS, NaN where pyproj finds none."""
    from pyproj import Transformer

    x, y = Transformer.from_crs(target_crs, source_crs, always_xy=True).transform(x, y)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    lost = ~(np.isfinite(x) & np.isfinite(y))
    return np.where(lost, np.nan, x), np.where(lost, np.nan, y)


class Places:
    """Corners (cells, 4), going round, and centres (cells,) of target cells, in cells of the source.

    ``source``, ``target``: (CRS, transform, columns, rows), without rotation; ``rows``, ``columns``: of the cells.
    ``circle``: source columns round the Earth of a source in degrees, else 0. There corners lie within half a circle of
    the centre, and centres within half a circle of the source's middle.
    """

    def __init__(self, source, target, rows, columns):
        (crs, transform, width, height), (target_crs, target_transform, _, _) = source, target
        x0, dx, _, y0, _, dy = target_transform
        rows, columns = np.asarray(rows), np.asarray(columns)
        place_x = x0 + dx * (columns[:, None] + np.array([0, 1, 1, 0, 0.5]))
        place_y = y0 + dy * (rows[:, None] + np.array([0, 0, 1, 1, 0.5]))
        x, y = carried(target_crs, crs, place_x, place_y)
        x, y = (x - transform[0]) / transform[1], (y - transform[3]) / transform[5]
        from pyproj import CRS

        self.circle = 360 / abs(transform[1]) if CRS.from_user_input(crs).is_geographic else 0
        if self.circle:
            middle = width / 2
            x[:, 4] = middle + np.mod(x[:, 4] - middle + self.circle / 2, self.circle) - self.circle / 2
            x[:, :4] = x[:, 4:] + np.mod(x[:, :4] - x[:, 4:] + self.circle / 2, self.circle) - self.circle / 2
        self.x, self.y, self.centre_x, self.centre_y = x[:, :4], y[:, :4], x[:, 4], y[:, 4]
        self.width, self.height = width, height
        self._target, self._row, self._column = target_transform, rows, columns

    def outlines(self):
        """Return which cells have a clear outline, and which have none, so that their centre decides."""
        middle = np.hypot(self.centre_x - self.x.mean(axis=1), self.centre_y - self.y.mean(axis=1))
        size = np.maximum(np.ptp(self.x, axis=1), np.ptp(self.y, axis=1))
        lost = ~np.isfinite(self.x + self.y).all(axis=1)
        if not self.circle:
            with np.errstate(invalid="ignore"):
                return ~lost & (middle < 0.1 * size), lost | (middle > 0.3 * size)
        # a cell that holds or touches the pole goes all round, or has a corner on every meridian
        x0, dx, _, y0, _, dy = self._target
        near = [np.abs(place + 0.5 + first / step) <= 0.5 + 1e-9
                for place, first, step in ((self._column, x0, dx), (self._row, y0, dy))]
        return ~lost & ~(near[0] & near[1]), lost

    def wide(self):
        """Return about how long the outlines are."""
        return np.hypot(np.ptp(self.x, axis=1), np.ptp(self.y, axis=1))

    def turned(self):
        """Return the corners' x by whole circles turned to where they meet the source, one array a turn."""
        if not self.circle:
            return [self.x]
        return [self.x + turn * self.circle for turn in (-1, 0, 1)]


def clipped(x, y, limits):
    """Return x and y of polygons (number, corners) clipped to (left, right, top, bottom), a number each.

    Where a side crosses a limit a corner comes in, and what lies beyond is moved onto the limit, where it has no area.
    """
    for axis, sign, limit in ((0, 1, limits[0]), (0, -1, limits[1]), (1, 1, limits[2]), (1, -1, limits[3])):
        points = [x, y]
        beyond = sign * (points[axis] - limit[:, None])
        following = np.roll(beyond, -1, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(beyond * following < 0, beyond / (beyond - following), 0.0)
        between = [part + share * (np.roll(part, -1, axis=1) - part) for part in points]
        points = [np.stack([part, new], axis=-1).reshape(len(x), -1) for part, new in zip(points, between)]
        points[axis] = sign * np.maximum(sign * points[axis], sign * limit[:, None])
        x, y = points
    return x, y


def areas(x, y):
    """Return the areas of polygons, (number, corners)."""
    x, y = x - x[:, :1], y - y[:, :1]
    return np.abs((x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)) / 2


def shares(places):
    """Yield (cells, rows, columns, areas) of all source cells within outlines; several times for the same cell."""
    for x in places.turned():
        known = np.isfinite(x + places.y).all(axis=1)
        low_x, high_x, low_y, high_y = (function(part, axis=1) for part in (x, places.y)
                                        for function in (np.min, np.max))
        meets = known & (high_x > 0) & (low_x < places.width) & (high_y > 0) & (low_y < places.height)
        cells = np.flatnonzero(meets)
        for first in range(0, cells.size, AT_ONCE):
            here = cells[first:first + AT_ONCE]
            left, right = np.maximum(np.floor(low_x[here]), 0), np.minimum(np.ceil(high_x[here]), places.width)
            top, bottom = np.maximum(np.floor(low_y[here]), 0), np.minimum(np.ceil(high_y[here]), places.height)
            counts = ((right - left) * (bottom - top)).astype(int)
            number = np.repeat(np.arange(here.size), counts)
            place = np.arange(number.size) - np.repeat(np.cumsum(counts) - counts, counts)
            across = (right - left).astype(int)[number]
            row, column = top.astype(int)[number] + place // across, left.astype(int)[number] + place % across
            polygon = clipped(x[here][number] - column[:, None], places.y[here][number] - row[:, None],
                              [np.full(number.size, edge) for edge in (0.0, 1.0, 0.0, 1.0)])
            area = areas(*polygon)
            inside = area > 0
            yield here[number][inside], row[inside], column[inside], area[inside]


def shares_by_cell(places, values):
    """Return (cells, values, areas) of the source cells within outlines, nodata (NaN) too."""
    found = list(shares(places))
    if not found:
        return (np.zeros(0, int), np.zeros(0), np.zeros(0))
    cells, rows, columns, area = (np.concatenate(part) for part in zip(*found))
    return cells, values[rows, columns], area


def averages(places, values):
    """Return the mean of the source cells within each outline by area, NaN for none, and the area with data."""
    cells, found, area = shares_by_cell(places, values)
    known, number = ~np.isnan(found), len(places.x)
    weight = np.bincount(cells[known], weights=area[known], minlength=number)
    total = np.bincount(cells[known], weights=(area * found)[known], minlength=number)
    with np.errstate(invalid="ignore"):
        return total / weight, weight


def class_areas(places, values, classes):
    """Return the area of each class within each outline, (cells, classes)."""
    cells, found, area = shares_by_cell(places, values)
    return np.stack([np.bincount(cells[found == code], weights=area[found == code], minlength=len(places.x))
                     for code in classes], axis=1)


def at(places, values, rows, columns):
    """Return the source's values at whole rows and columns, NaN beyond it."""
    if places.circle:
        turned = np.mod(columns, round(places.circle))
        columns = np.where(turned < places.width, turned, columns)
    inside = (rows >= 0) & (rows < places.height) & (columns >= 0) & (columns < places.width)
    return np.where(inside, values[np.where(inside, rows, 0), np.where(inside, columns, 0)], np.nan)


def on_source(places):
    """Return which centres lie on the source."""
    x = np.mod(places.centre_x, places.circle) if places.circle else places.centre_x
    with np.errstate(invalid="ignore"):
        within = ((places.centre_x >= 0) & (places.centre_x <= places.width)) | ((x >= 0) & (x <= places.width))
        return within & (places.centre_y >= 0) & (places.centre_y <= places.height)


def nearest(places, values):
    """Return the source's value at each centre, NaN for none."""
    on = on_source(places)
    row, column = (np.where(on, np.floor(np.where(on, part, 0)), -9).astype(int)
                   for part in (places.centre_y, places.centre_x))
    return np.where(on, at(places, values, row, column), np.nan)


def bilinear(places, values):
    """Return what lies between the four source cells round each centre that have data, and their weight.

    NaN where the cell that holds the centre has none. The weight of all four is 1; the less those with data have, the
    more the place of the centre counts.
    """
    on = on_source(places)
    x, y = (np.where(on, part, 0.0) - 0.5 for part in (places.centre_x, places.centre_y))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    total, weight = np.zeros(x.shape), np.zeros(x.shape)
    for i in (0, 1):
        for j in (0, 1):
            found = at(places, values, row + i, column + j)
            share = np.abs(1 - i - (y - row)) * np.abs(1 - j - (x - column))
            total += np.where(np.isnan(found), 0, share * found)
            weight += np.where(np.isnan(found), 0, share)
    with np.errstate(invalid="ignore"):
        return np.where(on & ~np.isnan(nearest(places, values)), total / weight, np.nan), weight


def check(found, places, values, resampling):
    """Assert that cells (NaN = nodata) have what lies in the source, by near, mode, bilinear or average."""
    clear, torn = places.outlines()
    everywhere = np.ones(found.shape, dtype=bool)
    if resampling in ("near", "mode"):
        if resampling == "mode":
            _check_mode(found, places, values, clear)
        _same(found, nearest(places, values), 0, places, everywhere if resampling == "near" else torn)
        return
    if resampling == "average":
        _check_average(found, places, values, clear)
    expected, weight = bilinear(places, values)
    with np.errstate(divide="ignore"):
        _same(found, expected, 4 * ROUNDED * np.ptp(values[~np.isnan(values)]) / weight + 1e-9, places,
              everywhere if resampling == "bilinear" else torn)


def _check_average(found, places, values, clear):
    known = values[~np.isnan(values)]
    mean, weight = averages(places, values)
    assert np.isnan(found[clear & (weight == 0)]).all()
    given = found[~np.isnan(found)]
    assert (given >= known.min() - 1e-4).all() and (given <= known.max() + 1e-4).all()
    clear = np.flatnonzero(clear & (weight > 1e-3))
    assert not np.isnan(found[clear]).any()
    allowed = 8 * ROUNDED * np.ptp(known) * places.wide()[clear] / weight[clear] + 1e-6 * np.ptp(known)
    assert (np.abs(found[clear] - mean[clear]) <= allowed).all()


def _check_mode(found, places, values, clear):
    classes = np.unique(values[~np.isnan(values)])
    share = class_areas(places, values, classes)
    total = share.sum(axis=1)
    assert np.isnan(found[clear & (total == 0)]).all() and np.isin(found[~np.isnan(found)], classes).all()
    clear = np.flatnonzero(clear & (total > 1e-3))
    assert not np.isnan(found[clear]).any()
    taken = share[clear, np.searchsorted(classes, found[clear])]
    assert (taken >= share[clear].max(axis=1) - TIED - 8 * ROUNDED * places.wide()[clear]).all()


def _same(found, expected, tolerance, places, where):
    with np.errstate(invalid="ignore"):
        x, y = places.centre_x, places.centre_y
        # a centre on the line between two cells belongs to either; at halves other cells are interpolated between
        on_line = (np.abs(2 * x - np.rint(2 * x)) < 0.002) | (np.abs(2 * y - np.rint(2 * y)) < 0.002)
        different = ~((np.abs(found - expected) <= tolerance) | (np.isnan(found) & np.isnan(expected)))
    assert not (different & where & ~on_line).any()
