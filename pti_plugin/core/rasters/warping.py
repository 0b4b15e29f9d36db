"""Bringing cells of one grid to another: which source cells a window of the target needs, and GDAL's warper on them.

Positions are in cells: (0, 0) is the outer corner of a grid's first cell. A window is (top, height, left, width); that
of a source which goes round the Earth may reach beyond its last column, where it goes on with the first.
"""

from functools import partial

import numpy as np
from osgeo import gdal

from ..common.errors import InputError
from .gdal_errors import call
from .grid import (
    composed,
    coordinate_transformation,
    geographic_wkt,
    on_kept_thread,
    spatial_reference,
    transform_points,
)

#: points a side at which a window is carried into the source's CRS to find the cells it needs
LATTICE = 13
#: the warper's own memory limit, MB: so far above what one window needs that it never splits it
MEMORY_MB = 1024
#: a step between neighbours of the lattice is looked at as a jump from so many usual ones on
JUMP = 10
#: times such a step is halved; a jump stays as it is, a steep place levels out
HALVINGS = 16
#: what stands in for the footprint of a cell that an interruption of the source's projection cuts in two
AT_CENTRE = {"average": "bilinear", "mode": "near"}

_TYPES = {"uint8": gdal.GDT_Byte, "float32": gdal.GDT_Float32, "float64": gdal.GDT_Float64}


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


def _circle_columns(grid, turn):
    """Number of columns round the Earth of a geographic grid that goes all the way round, else 0.

    It may have more columns than that, the first ones a second time.
    """
    if not turn or grid.transform[2] or grid.transform[4]:
        return 0
    columns = turn / abs(grid.transform[1])
    closes = grid.width > columns - 0.5 and abs(columns - round(columns)) < 0.5
    return min(round(columns), grid.width) if closes else 0


class Footprint:
    """Carries positions of one target grid to one source grid. One a thread: it keeps a GDAL transformation."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self._turn = _turn(source)
        #: columns round the Earth, 0 where the source does not close the circle
        self.circle = _circle_columns(source, self._turn)
        self._change = coordinate_transformation(target.wkt, source.wkt)
        self._composed = composed(source.wkt, target.wkt)
        self._references = {grid: spatial_reference(grid.wkt) for grid in (source, target)}
        self._poles = list(self._pole_cells()) if self._turn else []

    def _pole_cells(self):
        """Yield (latitude, column, row) of the poles that have a place on the target grid's plane."""
        change = coordinate_transformation(geographic_wkt(self.target.wkt), self.target.wkt)
        for latitude in (90.0, -90.0):
            point, _ = call(change.TransformPoint, 0.0, latitude)
            if point is not None and np.isfinite(point[:2]).all():
                yield (latitude, *map(float, self.target.cells_at(point[0], point[1])))

    def positions(self, columns, rows):
        """Return (columns, rows) of the source at positions of the target, NaN where there is no answer."""
        x, y = transform_points(self._change, *self.target.xy(columns, rows))
        return self.source.cells_at(_turned(self.source, self._turn, x), y)

    def windows(self, row, rows, column, columns):
        """Return (windows, limits, smooth): the source cells that a window of the target needs.

        ``limits``: None, or, where an interruption of the source's projection runs through the window, the source
        columns that part its sides, rising, as far as they can be parted. ``windows``: one more than limits; None
        where the two do not meet. ``smooth``: False where positions cannot be interpolated: with a pole, a seam, an
        interruption or places without an image in the window.
        """
        lattice = np.meshgrid(np.linspace(column, column + columns, LATTICE), np.linspace(row, row + rows, LATTICE))
        x, y = self.positions(*lattice)
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return [None], None, False
        if self.circle:
            x = self._gathered(x)
        limits = None if self._turn else self._limits(lattice, x, y)
        side, windows = np.searchsorted(limits or (), x), []
        for part in range(len(limits or ()) + 1):
            here = known & (side == part)
            windows.append(self._window(np.where(here, x, np.nan), np.where(here, y, np.nan), row, rows, column,
                                        columns, limits is not None) if here.any() else None)
        whole = self._turn and windows[0] is not None and windows[0][3] >= (self.circle or self.source.width)
        return windows, limits, bool(limits is None and known.all() and not whole)

    def _gathered(self, x):
        """Columns of a closed circle turned by whole circles to where they lie next to each other."""
        middle = x[LATTICE // 2, LATTICE // 2]
        if not np.isfinite(middle):
            middle = x[np.isfinite(x)][0]
        return middle + np.mod(x - middle + self.circle / 2, self.circle) - self.circle / 2

    def _window(self, x, y, row, rows, column, columns, torn):
        width, height = self.circle or self.source.width, self.source.height
        step_x, step_y = _largest_step(x), _largest_step(y)
        # between its neighbours a turning point lies no further out than half a step; the cells along a tear may have
        # no more than one neighbour on their side of it
        share = 2.0 if torn else 0.5
        margin_x, margin_y = 4 + share * step_x, 4 + share * step_y
        left, right = np.nanmin(x) - margin_x, np.nanmax(x) + margin_x
        top, bottom = np.nanmin(y) - margin_y, np.nanmax(y) + margin_y
        whole = self._turn and step_x > width / 3
        for latitude, pole_column, pole_row in self._poles:
            if (column - 1 <= pole_column <= column + columns + 1) and (row - 1 <= pole_row <= row + rows + 1):
                whole = True
                edge = float(self.source.cells_at(self.source.transform[0], latitude)[1])
                top, bottom = min(top, edge), max(bottom, edge)
        top, bottom = max(int(np.floor(top)), 0), min(int(np.ceil(bottom)), height)
        left, right = int(np.floor(left)), int(np.ceil(right))
        if whole or self.circle and right - left >= width:
            left, right = 0, width
        elif self.circle:
            left, right = left % width, left % width + right - left
        else:
            left, right = max(left, 0), min(right, width)
        return (top, bottom - top, left, right - left) if left < right and top < bottom else None

    def _limits(self, lattice, x, y):
        """Source columns in the gaps that interruptions tear between neighbours of the lattice; None for no tear."""
        pairs = [[], []]
        for axis in (0, 1):
            before, after = ([slice(None)] * 2 for _ in range(2))
            before[axis], after[axis] = slice(None, -1), slice(1, None)
            for end, part in zip(pairs, (before, after)):
                end.append(np.array([values[tuple(part)].ravel() for values in (*lattice, x, y)]))
        first, second = (np.concatenate(end, axis=1) for end in pairs)
        step = np.hypot(*(second - first)[2:])
        usual = np.nanmedian(step)
        steep = np.flatnonzero(step > JUMP * usual)
        if not steep.size:
            return None
        a, b, opened = first[:, steep], second[:, steep], np.abs(second - first)[2, steep]
        for _ in range(HALVINGS):
            place = (a[:2] + b[:2]) / 2
            middle = np.array([*place, *self.positions(*place)])
            nearer = np.hypot(*(middle - a)[2:]) > np.hypot(*(b - middle)[2:])
            a, b = np.where(nearer, a, middle), np.where(nearer, middle, b)
        torn = np.abs(b - a)[2] > opened / 2
        if not torn.any():
            return None
        whole = np.delete(np.abs(second - first)[2], steep[torn])
        sorted_x = np.sort(x[np.isfinite(x)])
        gaps = np.diff(sorted_x)
        wide = gaps > max(2 * np.nanmax(whole), opened[torn].min() / 2)
        return tuple((sorted_x[:-1] + gaps / 2)[wide])

    def sides(self, limits, row, rows, column, columns):
        """Return (part, cut) for a window of the target through which interruptions run.

        ``part``: the number of the limits below the centre of each cell; ``cut``: cells whose opposite corners an
        interruption holds apart in the source, so that their centre lies far from the middle between them.
        """
        corners = np.array(self.positions(*np.meshgrid(np.arange(column, column + columns + 1),
                                                       np.arange(row, row + rows + 1))))
        centres = np.array(self.positions(*np.meshgrid(np.arange(column, column + columns) + 0.5,
                                                       np.arange(row, row + rows) + 0.5)))
        across = np.hypot(*(corners[:, 1:, 1:] - corners[:, :-1, :-1]))
        beside = np.hypot(*(centres - (corners[:, 1:, 1:] + corners[:, :-1, :-1]) / 2))
        return np.searchsorted(limits, centres[0]), (across > np.nanmedian(across)) & (beside > across / 4)

    def warp(self, values, nodata, top, left, place, resampling, error, name):
        """Return source cells brought to a window of the target, in the type of ``values``.

        ``values``: (rows, columns) uint8, float32 or float64 whose first cell is the source's (top, left), ``nodata``
        in them and in the result; ``place``: row, rows, column, columns of the target; ``error``: the largest error of
        position, source cells, 0 for none. Raises InputError naming ``name``.
        """
        row, rows, column, columns = place
        moved = self._dataset(self.source, values.dtype.name, *values.shape, top, left, nodata)
        moved.GetRasterBand(1).WriteArray(values)
        result = self._dataset(self.target, values.dtype.name, rows, columns, row, column, nodata)
        # where the warper finds that the two do not meet it leaves the result as it was given
        result.GetRasterBand(1).Fill(nodata)
        # the warper is given all of the source: by itself it would find the cells it needs from too few points; and it
        # is kept from dividing the window, since it would read all of the source again for every part
        options = ["SAMPLE_GRID=YES", f"SOURCE_EXTRA={max(values.shape)}", "SRC_FILL_RATIO_HEURISTICS=NO",
                   "INIT_DEST=NO_DATA"]
        if resampling == "bilinear":
            # between the four neighbours: left alone, the warper widens its kernel by the shape of the window
            options += ["XSCALE=1", "YSCALE=1"]
        # the warper tries places beyond the pole, or the edge of a projection, and does without them
        work = partial(call, gdal.Warp, result, moved, resampleAlg=resampling, errorThreshold=error, srcNodata=nodata,
                       dstNodata=nodata, multithread=False, warpOptions=options, warpMemoryLimit=MEMORY_MB,
                       harmless="Invalid latitude")
        done, failure = on_kept_thread(work) if self._composed else work()
        if failure or done == 0:
            raise InputError(f"{name} cannot be brought to the target grid: {failure}.")
        return result.GetRasterBand(1).ReadAsArray()

    def _dataset(self, grid, dtype, rows, columns, row, column, nodata):
        dataset = gdal.GetDriverByName("MEM").Create("", columns, rows, 1, _TYPES[dtype])
        x, y = grid.xy(column, row)
        _, a, b, _, d, e = grid.transform
        dataset.SetGeoTransform((float(x), a, b, float(y), d, e))
        dataset.SetSpatialRef(self._references[grid])
        dataset.GetRasterBand(1).SetNoDataValue(nodata)
        return dataset


def _largest_step(values):
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    steps = np.concatenate([step[np.isfinite(step)].ravel() for step in steps])
    return float(steps.max()) if steps.size else 0.0
