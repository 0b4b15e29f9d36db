"""Where the cells of one grid lie on another.

Positions are in cells: (0, 0) is the outer corner of a grid's first cell. A node is a position that was carried from
the target's CRS to the source's and rounded to NODE of a cell, so that the last digits of a projection do not matter.
Between nodes positions are interpolated; what is added and halved there is exact in float64, so a cell's position
depends on its tile alone, and is the same in every engine and on every platform.
"""

from collections import OrderedDict

import numpy as np

from .grid import coordinate_transformation, spatial_reference, transform_points
from .resampling_numpy import four_corners

#: share of a cell to which positions are rounded, a power of two
NODE = 2.0 ** -16
#: cells between nodes at first; halved until what lies between is right within the error asked for
COARSEST = 32
#: cells of the source by which a window reaches beyond what was found to be needed: the widest kernel's reach
MARGIN = 4
#: points a side at which a grid as a whole is carried to another
LATTICE = 33
#: places on the target of a tile's cells that are kept, for the layers of a series
KEPT = 4
#: a position that lies further from the middle of opposite corners than so much of their distance: the source's
#: projection is torn open between them
TORN = 0.25


def turned_into(grid, x):
    """Return longitudes turned by whole circles into the grid's own range; other coordinates as they are."""
    return _turned(grid, _turn(grid), x)


def _turned(grid, turn, x):
    if not turn:
        return x
    west = min(grid.transform[0], grid.transform[0] + grid.transform[1] * grid.width)
    return west + np.mod(x - west, turn)


def _turn(grid):
    """The whole circle in the angular unit of a geographic grid, 0 for others."""
    return 2 * np.pi / spatial_reference(grid.wkt).GetAngularUnits() if grid.is_geographic else 0.0


class Smooth:
    """Where the cells of a window of the target lie on the source, between nodes ``step`` cells apart.

    ``nodes``: (2, …), x and y; ``shape``: rows and columns of the window.
    """

    smooth = True

    def __init__(self, nodes, step, shape):
        self._nodes, self._step, self.shape = nodes, step, shape

    def centres(self):
        """Return x and y of the cells' centres, (rows, columns)."""
        return [_between(part, self._step, *self.shape, 0.5) for part in self._nodes]

    def corners(self):
        """Return x and y of the corners that neighbours share, (rows + 1, columns + 1)."""
        rows, columns = self.shape
        return [_between(part, self._step, rows + 1, columns + 1, 0.0) for part in self._nodes]

    def outlines(self):
        """Return x and y of the cells' outlines, (cells, 4), and the numbers of each cell's first one and one more."""
        rows, columns = self.shape
        return (*map(four_corners, self.corners()), np.arange(rows * columns + 1))


class Exact:
    """The same where every position is a node, NaN for no place.

    The outlines are NaN for a cell that an interruption tears apart or that has a corner without a place. A cell that
    touches a pole has several, side by side. On a source in degrees they may lie whole circles away.
    """

    smooth = False

    def __init__(self, centres, outlines):
        self._centres, self._outlines = centres, outlines

    def centres(self):
        """Return x and y of the cells' centres, (rows, columns)."""
        return self._centres

    def outlines(self):
        """Return x and y of the cells' outlines, (number, 4), and the numbers of each cell's first one and one more."""
        return self._outlines


class Footprint:
    """Carries positions of one target grid to one source grid. One a thread: it keeps a GDAL transformation.

    ``circle``: columns round the Earth of a source in degrees, 0 for others; ``closed``: whether it has all of them.
    """

    def __init__(self, source, target):
        self.source, self.target = source, target
        self._turn = _turn(source)
        self.circle, self.closed = _circle_columns(source, self._turn)
        self._change = coordinate_transformation(target.wkt, source.wkt)
        self._poles = self._pole_rows() if self.circle else ()
        self._kept, self._back = OrderedDict(), None

    def _pole_rows(self):
        quarter = self._turn / 4
        return tuple(float(_rounded(self.source.cells_at(self.source.transform[0], latitude)[1]))
                     for latitude in (quarter, -quarter))

    def positions(self, columns, rows):
        """Return (columns, rows) of the source at positions of the target, NaN where there is no answer.

        On a source in degrees they lie within half a circle of its middle.
        """
        x, y = transform_points(self._change, *self.target.xy(columns, rows))
        x, y = self.source.cells_at(_turned(self.source, self._turn, x), y)
        if self.circle:
            first = (self.source.width - self.circle) / 2 if not self.closed else 0.0
            x = first + np.mod(x - first, self.circle)
        return x, y

    def may_meet(self):
        """False where the two grids certainly have no place in common."""
        columns, rows, _ = self._carried_back()
        if ((columns >= 0) & (columns <= self.target.width) & (rows >= 0) & (rows <= self.target.height)).any():
            return True
        return self._near(*self.positions(*_lattice(self.target)))

    def window(self, row, rows, column, columns):
        """Return (top, height, left, width) of source cells among which lie all that a window of the target needs.

        None where it certainly needs none. On a closed circle it may reach beyond the last column.
        """
        x, y = self._nodes(row, rows, column, columns, max(1, min(COARSEST, rows // 12, columns // 12)))
        known = np.isfinite(x) & np.isfinite(y)
        if known.all() and not self._near(x, y) or not (known.any() or self._reached(row, rows, column, columns)):
            return None
        width, height = self.source.width, self.source.height
        if not known.all():
            return 0, height, 0, width
        if self.circle:
            x = self._gathered(x)
        step_x, step_y = _largest_step(x), _largest_step(y)
        top, bottom = y.min() - step_y - MARGIN, y.max() + step_y + MARGIN
        left, right = int(np.floor(x.min() - step_x - MARGIN)), int(np.ceil(x.max() + step_x + MARGIN))
        if self.circle and step_x > self.circle / 8:
            # round a pole, or near it; no node need lie on it
            pole = min(self._poles, key=lambda place: abs(place - y.mean()))
            top, bottom, left, right = min(top, pole), max(bottom, pole), 0, width
        elif self.circle and right - left >= width:
            left, right = 0, width
        elif self.closed:
            left, right = left % self.circle, left % self.circle + right - left
        elif self.circle:
            turns = [turn for turn in (-self.circle, 0, self.circle) if right + turn > 0 and left + turn < width]
            left, right = (max(0, left + turns[0]), min(width, right + turns[0])) if len(turns) == 1 else (0, width)
        else:
            left, right = max(left, 0), min(right, width)
        top, bottom = max(int(np.floor(top)), 0), min(int(np.ceil(bottom)), height)
        return (top, bottom - top, left, right - left) if left < right and top < bottom else None

    def _carried_back(self):
        """Columns and rows of the target at a lattice of the source, and how far neighbours lie at most; flat."""
        if self._back is None:
            change = coordinate_transformation(self.source.wkt, self.target.wkt)
            x, y = self.target.cells_at(*transform_points(change, *self.source.xy(*_lattice(self.source))))
            reach = np.zeros(x.shape)
            for axis in (0, 1):
                step = np.hypot(np.diff(x, axis=axis), np.diff(y, axis=axis))
                for part in (np.s_[:-1], np.s_[1:]):
                    ends = reach[part] if axis == 0 else reach[:, part]
                    np.fmax(ends, step, out=ends)
            self._back = tuple(np.ravel(part) for part in (x, y, reach))
        return self._back

    def _near(self, x, y):
        """False where a source cell certainly lies nowhere among positions of a lattice."""
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return False
        if self.circle:
            x = self._gathered(x)
        step_x, step_y = _largest_step(x) + 1, _largest_step(y) + 1
        if np.nanmax(y) + step_y < 0 or np.nanmin(y) - step_y > self.source.height:
            return False
        low, high = np.nanmin(x) - step_x, np.nanmax(x) + step_x
        if self.circle and step_x > self.circle / 8:
            return True
        turns = (-self.circle, 0, self.circle) if self.circle else (0,)
        return any(high + turn >= 0 and low + turn <= self.source.width for turn in turns)

    def _gathered(self, x):
        """Columns turned by whole circles to where they lie next to each other."""
        middle = x[x.shape[0] // 2, x.shape[1] // 2]
        if not np.isfinite(middle):
            middle = x[np.isfinite(x)][0]
        return self._beside(x, middle)

    def _beside(self, x, middle):
        return middle + np.mod(x - middle + self.circle / 2, self.circle) - self.circle / 2

    def placement(self, row, rows, column, columns, error):
        """Return where a window of the target lies, Smooth or Exact, or None where it certainly lies off the source.

        ``error``: the largest error of a position between nodes, in cells of the source; 0 for a node a position.
        """
        key = (row, rows, column, columns, error)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._placement(*key)
        if len(self._kept) >= KEPT:
            self._kept.popitem(last=False)
        self._kept[key] = found
        return found

    def _placement(self, row, rows, column, columns, error):
        nodes = self._nodes(row, rows, column, columns, COARSEST)
        known = np.isfinite(nodes).all(axis=0)
        if known.all() and not self._near(*nodes):
            return None
        if not known.any() and not self._reached(row, rows, column, columns):
            return None
        smooth = self._smooth(nodes, row, rows, column, columns, error) if error and known.all() else None
        return smooth or self._exact(row, rows, column, columns)

    def _reached(self, row, rows, column, columns):
        x, y, reach = self._carried_back()
        reach = reach + COARSEST
        return bool(((x > column - reach) & (x < column + columns + reach)
                     & (y > row - reach) & (y < row + rows + reach)).any())

    def _nodes(self, row, rows, column, columns, step):
        """Return the nodes every ``step`` cells of a window, (2, …), up to and beyond its last corner."""
        place = np.meshgrid(column + step * np.arange(-(-columns // step) + 1.0),
                            row + step * np.arange(-(-rows // step) + 1.0))
        x, y = map(_rounded, self.positions(*place))
        return np.stack([self._gathered(x) if self.circle and np.isfinite(x).any() else x, y])

    def _smooth(self, nodes, row, rows, column, columns, error):
        """Return the place between nodes that are near enough, None where none are."""
        step = COARSEST
        while step > 1:
            step //= 2
            finer = self._nodes(row, rows, column, columns, step)
            if not np.isfinite(finer).all():
                return None
            down, across = finer.shape[1:]
            between = np.stack([_between(part, 2, down, across, 0.0) for part in nodes])
            if self.circle:
                finer[0] = self._beside(finer[0], between[0])
            if np.abs(finer - between).max() <= error:
                return Smooth(finer, step, (rows, columns))
            nodes = finer
        return None

    def _exact(self, row, rows, column, columns):
        """Return the place of which every corner and centre is a node."""
        corners = [_rounded(part) for part in self.positions(*np.meshgrid(
            np.arange(column, column + columns + 1.0), np.arange(row, row + rows + 1.0)))]
        centres = [_rounded(part) for part in self.positions(*np.meshgrid(
            np.arange(column, column + columns) + 0.5, np.arange(row, row + rows) + 0.5))]
        x, y = (four_corners(part) for part in corners)
        centre_x, centre_y = (part.reshape(-1, 1) for part in centres)
        if self.circle:
            x = self._beside(x, np.where(np.isfinite(centre_x), centre_x, x[:, :1]))
        else:
            x[_torn(x, y, centre_x, centre_y)] = np.nan
        lost = ~np.isfinite(x + y).all(axis=1)
        x[lost] = y[lost] = np.nan
        starts = np.arange(len(x) + 1)
        return Exact(centres, self._with_poles(x, y, centre_y[:, 0]) if self.circle else (x, y, starts))

    def _with_poles(self, x, y, centre_y):
        """Return (x, y, starts) of outlines in columns of longitude, some of which hold or touch a pole.

        Those reach to the pole's row of the source, between the meridians of their corners.
        """
        half = self.circle / 2
        steps = np.diff(x, axis=1, append=x[:, :1])
        pole = np.where(np.abs(centre_y - self._poles[0]) <= np.abs(centre_y - self._poles[1]), *self._poles)
        with np.errstate(invalid="ignore"):
            at_pole = np.abs(y - pole[:, None]) <= NODE
            round_pole = ~at_pole.any(axis=1) & (
                np.abs((np.mod(steps + half, self.circle) - half).sum(axis=1)) > half)
            # a target in degrees may have a pole as a side: its corners' longitudes are what they say
            beside = (at_pole.sum(axis=1) == 1) | (np.abs(steps) >= half - NODE).any(axis=1) & ~at_pole.any(axis=1)
        chains = {}
        for cell in np.flatnonzero(round_pole | beside):
            corners = [corner for corner, there in zip(zip(x[cell], y[cell]), at_pole[cell]) if not there]
            chains[cell] = self._round_pole(corners) if round_pole[cell] else sorted(corners)
        counts = np.ones(len(x), dtype=np.int64)
        counts[list(chains)] = [len(chain) - 1 for chain in chains.values()]
        starts = np.concatenate([[0], np.cumsum(counts)])
        x, y = (np.repeat(part, counts, axis=0) for part in (x, y))
        for cell, chain in chains.items():
            for i, ((x0, y0), (x1, y1)) in enumerate(zip(chain, chain[1:]), starts[cell]):
                x[i], y[i] = (x0, x1, x1, x0), (y0, y1, pole[cell], pole[cell])
        return x, y, starts

    def _round_pole(self, corners):
        """Return the corners of a cell that holds a pole, once round the circle from where the source has its seam."""
        first = 0.0 if self.closed else float(_rounded((self.source.width - self.circle) / 2))
        corners = sorted((first + np.mod(x - first, self.circle), y) for x, y in corners)
        (x0, y0), (x1, y1) = corners[-1], corners[0]
        x0 -= self.circle
        y = float(_rounded(y0 + (y1 - y0) * (first - x0) / (x1 - x0))) if x1 > x0 else y0
        return [(first, y), *corners, (first + self.circle, y)]


def _circle_columns(grid, turn):
    """Return the whole number of columns round the Earth of a grid in degrees, and whether it has all of them.

    It may have more columns than that, the first ones a second time. 0 for other grids.
    """
    if not turn or grid.transform[2] or grid.transform[4]:
        return 0, False
    columns = turn / abs(grid.transform[1])
    closed = grid.width > columns - 0.5
    return (min(round(columns), grid.width) if closed else max(round(columns), grid.width + 1)), closed


def _rounded(positions):
    return np.rint(np.asarray(positions) / NODE) * NODE


def _lattice(grid):
    return np.meshgrid(np.linspace(0, grid.width, LATTICE), np.linspace(0, grid.height, LATTICE))


def _between(nodes, step, rows, columns, first):
    """Return (rows, columns) positions between nodes ``step`` apart, at ``first`` (< 1) and every one after it."""
    share = (first + np.arange(step)) / step
    for number in (rows, columns):
        # along the first axis, then the other
        before, rise = nodes[:-1, None], np.diff(nodes, axis=0)[:, None]
        between = (before + rise * share[:, None]).reshape(-1, nodes.shape[1])
        nodes = (np.concatenate([between, nodes[-1:]]) if number > len(between) else between[:number]).T
    return np.ascontiguousarray(nodes)


def _torn(x, y, centre_x, centre_y):
    """Return which polygons an interruption of a projection holds apart: their centre is not in the middle."""
    across = np.hypot(x[:, 2:] - x[:, :2], y[:, 2:] - y[:, :2])
    beside = np.hypot((x[:, 2:] + x[:, :2]) / 2 - centre_x, (y[:, 2:] + y[:, :2]) / 2 - centre_y)
    with np.errstate(invalid="ignore"):
        return beside.max(axis=1) > TORN * across.max(axis=1)


def _largest_step(values):
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    steps = np.concatenate([step[np.isfinite(step)].ravel() for step in steps])
    return float(steps.max()) if steps.size else 0.0
