"""Raster sources: any band GDAL can read, delivered as plain arrays on one grid.

Here, and only here, cells are read: what they mean stands in their encoding (encoding.py) and in what a Source adds to
it, and both count in every form a reader delivers. Sources on another grid are warped. Numbers come out as float64 with
NaN for nodata; classes as int32 with ``NO_CLASS``.
"""

import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from osgeo import gdal, osr

from ..common.cancellation import check_stopped
from ..common.errors import GridError, InputError
from ..common.escapes import seen
from .containers import inner_paths
from .dimensions import through_virtual
from .encoding import EXACT_IN_FLOAT32, LARGEST, Encoding, driver_below, encodings_of, fits, mask_band_of
from .gdal_errors import call, open_raster
from .gdal_texts import items_of
from .grid import Grid, coordinate_transformation, spatial_reference, transform_points
from .placement import Footprint, turned_into
from .process_state import OpenFiles, bounded_cache
from .warping import Target

NUMBER, CLASS = "number", "class"
#: what a class array holds where there is no data; 0 stays a class
NO_CLASS = np.iinfo(np.int32).min

#: side of the tiles of the target grid that are warped as one; fixed, so that a cell never depends on the block
#: size: between which nodes a cell lies is that of its tile
WARP_TILE = 256
#: target grids of up to so many cells are warped without any error of position, since that takes no time
WARP_EXACT_CELLS = 1 << 20
#: largest error of position on larger ones, in cells of the source or of the target, whichever are smaller; where
#: numbers change by a tenth of a step, classes change altogether
WARP_ERROR = {NUMBER: 0.1, CLASS: 0.05}
#: share by which the cells of two grids may differ and still be of one size, so that rounding does not decide how they
#: are mixed
SAME_SIZE = 1e-3
#: fewest warped tiles a reader keeps, for windows smaller than a tile; a series keeps one a layer
WARP_TILES_KEPT = 64
#: datasets all readers together keep open, where the system lets them; a series of 8-day layers has 1,150
OPEN_DATASETS = 4096
#: open files that are left to QGIS and to the files behind datasets
FILES_OF_OTHERS = 512
#: stored values that files fill gaps with; where a file does not declare one, it must not be read as a value
USUAL_FILLS = frozenset((-9999.0, -99999.0, -999999.0, -999.0, 9999.0, 99999.0, 999999.0, -32768.0, -32767.0, 32767.0,
                         65535.0, -2147483648.0, 2147483647.0, 4294967295.0))
_USUAL_FILLS = np.array(sorted(USUAL_FILLS))
#: such a value stands apart from all others by more than a tenth of its own size and by more than this share of their
#: range: little where it alone has its sign, more where it may be a saturated or extreme value
FILL_APART, FILL_APART_SAME_SIGN = 0.1, 0.5
#: cells along a side of the pieces of a sample where decimated cells would be computed ones
SAMPLE_PIECE = 16
#: share of the plausible range by which rounding in a file may overstep it
ROUNDING = 1e-6


@dataclass(frozen=True)
class RasterInfo:
    """What is known of a raster before its cells are read (one entry a band in the tuples).

    ``dimensions``: the Dimensions along which the bands are laid out; ``files``: names of the files that the bands of a
    virtual raster come from, else empty.
    """

    path: str
    name: str
    grid: Grid
    encodings: tuple
    descriptions: tuple
    band_metadata: tuple
    driver: str
    block: tuple
    metadata: dict
    dimensions: tuple = ()
    files: tuple = ()

    @property
    def bands(self):
        """Number of layers."""
        return len(self.encodings)

    @property
    def dtypes(self):
        """GDAL's names of the stored types."""
        return tuple(encoding.dtype for encoding in self.encodings)

    @property
    def units(self):
        """Units as the bands state them, '' where they state none."""
        return tuple(encoding.unit for encoding in self.encodings)

    @property
    def scales(self):
        """(scale, offset) that turn stored values into values."""
        return tuple((encoding.scale, encoding.offset) for encoding in self.encodings)


@dataclass(frozen=True)
class Exclusion:
    """Cells that are left out wherever they are read: those where the class raster ``source`` has one of ``codes``.

    Where ``source`` itself is nodata, nothing is left out.
    """

    source: "Source"
    codes: tuple

    def holds(self, classes):
        """Return where ``classes``, int as ``source`` reads them, are left out."""
        return np.isin(classes, self.codes)


@dataclass(frozen=True)
class Source:
    """One band to read, and how. Picklable, so that a block can be read wherever it is computed.

    ``encoding``: what its stored values mean by themselves; ``scale`` and ``offset`` convert units after that;
    ``flags`` are stored codes that mean nodata; ``keep`` (low, high) are the values after conversion that count,
    anything else is nodata before any warping; ``absent`` is the value that the band's own nodata stands for (flags
    and what ``keep`` leaves out stay nodata), or None; ``valid`` (low, high) are the plausible ones, anything else is
    an error; ``target`` is set where the band must be warped, with ``resampling`` and ``position_error`` (the largest
    a position in the source may have, in its cells) chosen once for the whole raster; ``row`` and ``column`` are the
    corner of ``grid`` in the band, of which it may be a part. ``exclusion``: cells that are nodata whatever the band
    holds; its source reads on the same grid as the band (exclusion.py, on_grid).
    """

    path: str
    band: int
    kind: str
    grid: Grid
    encoding: Encoding
    scale: float = 1.0
    offset: float = 0.0
    flags: tuple = ()
    keep: tuple = ()
    absent: float = None
    valid: tuple = ()
    target: Grid = None
    resampling: str = ""
    position_error: float = 0.0
    block: tuple = (256, 256)
    driver: str = "GTiff"
    exclusion: "Exclusion | None" = None
    row: int = 0
    column: int = 0

    @property
    def name(self):
        """File name, with the band where it is not the first."""
        return display_name(self.path) + (f" (band {self.band})" if self.band > 1 else "")


@dataclass(frozen=True)
class Series:
    """Layers read as one array (layers, rows, columns), NaN = nodata.

    With ``single`` they come as float32 in stored units, their scale and offset left out, which costs no copy; only
    for bands that float32 holds exactly. With ``group`` the kernel is given a function ``read(first, last)`` instead
    of the array, and reads no more than so many layers at once: for series longer than memory. With ``codes`` they come
    as uint8 with 0 for nodata: for classes of Byte bands of which 0 is none.
    """

    items: tuple
    single: bool = False
    group: int = 0
    codes: bool = False


def exact_in_float32(info):
    """True where every value of all bands of a raster is exact in float32."""
    return set(info.dtypes) <= set(EXACT_IN_FLOAT32)


def display_name(path):
    """Return the short name of a raster path, a subdataset string or a virtual raster written out."""
    path = inner_paths(str(path))[0]
    if path.upper().startswith(("NETCDF:", "HDF4", "HDF5:")):
        _, *quoted = path.split('"')
        if len(quoted) == 2:
            return f"{os.path.basename(quoted[0])}:{quoted[1].rsplit(':', 1)[-1].lstrip('/')}"
        parts = path.split(":")
        return f"{os.path.basename(parts[-2])}:{parts[-1]}" if len(parts) > 2 else path
    return os.path.basename(path)


def read_info(path, wkt=""):
    """Return the RasterInfo of ``path``; ``wkt`` is the CRS to take where the file states none.

    Raises InputError where it cannot be opened and GridError where it has no CRS or no georeference.
    """
    dataset = open_raster(path)
    name = display_name(path)
    transform = dataset.GetGeoTransform(can_return_null=True)
    wkt = dataset.GetProjection() or _cf_geographic(items_of(dataset)) or wkt
    if not wkt:
        raise GridError(f"The raster {name} has no CRS. Assign the right one first, with the tool 'Assign projection'.")
    if transform is None or transform[1] * transform[5] - transform[2] * transform[4] == 0:
        raise GridError(f"The raster {name} has no georeference (no cell size or origin). Assign it first.")
    grid = Grid(wkt, tuple(transform), dataset.RasterXSize, dataset.RasterYSize)
    _refuse_impossible_place(grid, name)
    encodings = encodings_of(dataset, name)
    bands = [dataset.GetRasterBand(i + 1) for i in range(len(encodings))]
    metadata, band_metadata = items_of(dataset), tuple(map(items_of, bands))
    dimensions, files = through_virtual(dataset, metadata, band_metadata)
    return RasterInfo(
        path=str(path), name=name, grid=grid, encodings=encodings,
        descriptions=tuple(seen(band.GetDescription() or "") for band in bands),
        band_metadata=band_metadata, driver=driver_below(dataset), block=tuple(bands[0].GetBlockSize()),
        metadata=metadata, dimensions=dimensions, files=files)


def _refuse_impossible_place(grid, name):
    """Raise GridError for a grid that cannot lie where its CRS and georeference say."""
    columns, rows = np.meshgrid([0.5, grid.width - 0.5], [0.5, grid.height - 0.5])
    x, y = grid.xy(columns, rows)
    remedy = ("Its coordinates may be pixel numbers, of a raster that is located by RPCs or control points, or belong "
              "to another CRS. Georeference it first, or assign the right CRS.")
    degree = spatial_reference(grid.wkt).GetAngularUnits() * 180.0 / np.pi if grid.is_geographic else 0.0
    if grid.is_geographic:
        # centres: grids with one on the pole reach half a cell beyond it
        if np.abs(y).max() * degree > 90.0 + 1e-6:
            raise GridError(f"The raster {name} has latitudes from {y.min():.6g} to {y.max():.6g}, but there are none "
                            f"beyond 90 degrees. {remedy}")
        if x.min() * degree < -360.0 or x.max() * degree > 540.0:
            raise GridError(f"The raster {name} has longitudes from {x.min():.6g} to {x.max():.6g}, which are none. "
                            f"{remedy}")
    if grid.transform in _PIXEL_NUMBERS and not (grid.is_geographic and grid.width == 360):
        raise GridError(f"The raster {name} has pixel numbers for coordinates (origin 0, 0 and cells of 1 x 1). "
                        f"{remedy}")
    if not grid.is_geographic and max(grid.cell_size) < 6 and np.abs(x).max() <= 360 and np.abs(y).max() <= 90 \
            and max(np.ptp(x), np.ptp(y)) > 6 and not _begins_at_a_place(grid):
        raise GridError(f"The raster {name} lies between {x.min():.6g} and {x.max():.6g}, {y.min():.6g} and "
                        f"{y.max():.6g} in {grid.name}: that looks like degrees in a CRS of metres. Assign the right "
                        f"CRS, such as EPSG:4326.")


#: projections with a centre, and the parameter that holds its latitude
_CENTRED = {"azimuthal_equidistant": "latitude_of_center", "lambert_azimuthal_equal_area": "latitude_of_center",
            "orthographic": "latitude_of_origin", "oblique_stereographic": "latitude_of_origin",
            "stereographic": "latitude_of_origin", "transverse_mercator": "latitude_of_origin"}


def _begins_at_a_place(grid):
    """True for a CRS in kilometres, or one of a user's own round a place that is no pole: small numbers are right."""
    reference = spatial_reference(grid.wkt)
    if reference.GetLinearUnits() > 1.5:
        return True
    latitude = _CENTRED.get((reference.GetAttrValue("PROJECTION") or "").lower())
    return (latitude is not None and reference.GetAuthorityCode(None) is None
            and abs(reference.GetProjParm(latitude, 0.0)) not in (0.0, 90.0))


_PIXEL_NUMBERS = ((0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))


def _cf_geographic(metadata):
    """WKT of WGS 84 where a netCDF file's coordinates are longitudes and latitudes by the CF convention, else ''.

    Such files state no CRS because their units state it: degrees_east and degrees_north.
    """
    units = {value.lower() for key, value in metadata.items() if key.endswith("#units")}
    east = units & {"degrees_east", "degree_east", "degrees_e", "degree_e"}
    north = units & {"degrees_north", "degree_north", "degrees_n", "degree_n"}
    return osr.SRS_WKT_WGS84_LAT_LONG if east and north else ""


def source(path, kind=NUMBER, band=1, single_band=False, info=None):
    """Return the Source of one band of ``path``.

    Raises InputError where the band does not exist, or where ``single_band`` is asked and there are more.
    """
    info = info or read_info(path)
    if single_band and info.bands != 1:
        raise InputError(f"{info.name} has {info.bands} bands where a single layer is expected. "
                         f"Extract the band or average the series first.")
    if not 1 <= band <= info.bands:
        raise InputError(f"{info.name} has no band {band}; it has {info.bands}.")
    return Source(path=info.path, band=band, kind=kind, grid=info.grid, encoding=info.encodings[band - 1],
                  block=info.block, driver=info.driver)


def on_region(item, window):
    """Return ``item`` so that it reads only a window (row, rows, column, columns) of its own grid, which it keeps."""
    row, rows, column, columns = window
    x0, a, b, y0, d, e = item.grid.transform
    grid = Grid(item.grid.wkt, (x0 + a * column + b * row, a, b, y0 + d * column + e * row, d, e), columns, rows)
    if item.exclusion is not None:
        item = replace(item, exclusion=replace(item.exclusion, source=on_grid(item.exclusion.source, grid)))
    return replace(item, grid=grid, row=item.row + row, column=item.column + column)


def on_grid(item, grid):
    """Return ``item`` so that it reads on ``grid``: itself where the grids are the same, else warped on the fly.

    To larger cells classes by mode and numbers by average, else by nearest and bilinear, as warping.py says. Large
    grids are warped with positions that are right within WARP_ERROR. Raises GridError where the two do not overlap.
    """
    if item.exclusion is not None:
        item = replace(item, exclusion=replace(item.exclusion, source=on_grid(item.exclusion.source, grid)))
    if item.grid.same(grid):
        return replace(item, target=None, resampling="", position_error=0.0)
    footprint = Footprint(item.grid, grid)
    if not footprint.may_meet():
        raise GridError(f"{item.name} does not overlap the target grid ({grid.describe()}). Check the CRS and extent "
                        f"of both, or leave the layer out.")
    ratio = _cell_ratio(footprint)
    finer = ratio > 1.0 + SAME_SIZE
    if item.kind == CLASS:
        resampling = "mode" if finer else "near"
    else:
        resampling = "average" if finer else "bilinear"
    error = WARP_ERROR[item.kind] * min(ratio, 1.0) if grid.width * grid.height > WARP_EXACT_CELLS else 0.0
    return replace(item, target=grid, resampling=resampling, position_error=error)


def _cell_ratio(footprint):
    """Typical number of source cells along a target cell, from a lattice of points where the two overlap.

    The lattice lies on the target, or, where none of it falls on the source, on the source.
    """
    there = _cells_along(footprint, footprint.target, footprint.source)
    if there:
        return there
    back = _cells_along(Footprint(footprint.target, footprint.source), footprint.source, footprint.target)
    return 1.0 / back if back else 1.0


def _cells_along(footprint, here, there):
    """Typical number of cells of the grid ``there`` along a cell of ``here``, 0 where no point tells."""
    columns, rows = np.meshgrid(np.linspace(0.1, 0.9, 9) * here.width, np.linspace(0.1, 0.9, 9) * here.height)
    columns, rows = columns.ravel(), rows.ravel()
    place = np.array(footprint.positions(columns, rows))
    right = np.array(footprint.positions(columns + 1, rows))
    below = np.array(footprint.positions(columns, rows + 1))
    inside = (place[0] >= 0) & (place[0] <= there.width) & (place[1] >= 0) & (place[1] <= there.height)
    step = np.abs((right[0] - place[0]) * (below[1] - place[1]) - (right[1] - place[1]) * (below[0] - place[0]))
    step = step[inside & np.isfinite(step)]
    return float(np.sqrt(np.median(step))) if step.size else 0.0


#: readers that have datasets open
_holding, _holding_lock = weakref.WeakSet(), threading.Lock()


class SourceReader:
    """Reads windows of Sources, keeping their datasets open. One reader a thread: GDAL datasets are not shared."""

    def __init__(self, readers=1):
        self._datasets = OrderedDict()
        self._tiles = OrderedDict()
        self._footprints = {}
        self._samples = {}
        self._tiles_kept = WARP_TILES_KEPT
        files = OpenFiles(OPEN_DATASETS + FILES_OF_OTHERS)
        # half of the usual few hundred are left to others, of thousands as many as they may want
        number = files.number
        self._share = number - FILES_OF_OTHERS if number > 1024 else number // 2 if number > 128 else number // 8
        self._readers = readers
        # readers are not always closed
        self._give_back = weakref.finalize(self, files.close)

    def close(self):
        """Close every dataset."""
        self._give_back()
        self._datasets.clear()
        with _holding_lock:
            _holding.discard(self)
        self._tiles.clear()
        self._footprints.clear()
        self._samples.clear()

    def _dataset(self, path):
        dataset = self._datasets.pop(path, None)
        if dataset is None:
            with _holding_lock:
                _holding.add(self)
                # runs side by side share what may be open, and QGIS needs the rest
                most = max(1, self._share // max(self._readers, len(_holding)))
            while len(self._datasets) >= most:
                self._datasets.popitem(last=False)
            dataset = open_raster(path, with_crs=False)
        self._datasets[path] = dataset
        return dataset

    def read(self, item, row, rows, column, columns):
        """Return the window as a (rows, columns) array on ``item``'s own grid, or its target grid where set.

        Parts of the window outside the grid are nodata. Numbers: float64, NaN = nodata, converted and guarded.
        Classes: int32, NO_CLASS = nodata. Raises InputError for unreadable blocks and implausible values.
        """
        check_stopped()
        if item.exclusion is not None:
            values = self.read(replace(item, exclusion=None), row, rows, column, columns)
            values[self._left_out(item, row, rows, column, columns)] = NO_CLASS if item.kind == CLASS else np.nan
            return values
        if item.target is not None:
            return self._warped(item, row, rows, column, columns)
        values = self._own_grid(item, row, rows, column, columns)
        if item.kind == CLASS:
            classes = np.full(values.shape, NO_CLASS, dtype=np.int32)
            known = ~np.isnan(values)
            classes[known] = values[known].astype(np.int32)
            return classes
        return values

    def _left_out(self, item, row, rows, column, columns):
        """Return the cells of a window that the exclusion of a Source leaves out."""
        return item.exclusion.holds(self.read(item.exclusion.source, row, rows, column, columns))

    def read_series(self, series, row, rows, column, columns):
        """Return the window of all layers as (layers, rows, columns): float64, ``single`` or ``codes``.

        Bands of one file are read together, so that a file interleaved by pixel is decoded once.
        """
        items = series.items
        self._tiles_kept = max(self._tiles_kept, len(items))
        dtype = np.uint8 if series.codes else np.float32 if series.single else np.float64
        values = np.empty((len(items), rows, columns), dtype=dtype)
        grid = items[0].grid
        inside = 0 <= row and row + rows <= grid.height and 0 <= column and column + columns <= grid.width
        start = 0
        while start < len(items):
            check_stopped()
            stop = start + 1
            if _as_stored(series, items[start]) and inside:
                while stop < len(items) and items[stop].path == items[start].path:
                    stop += 1
                self._stored(items[start:stop], values[start:stop], row, column)
                self._leave_out(items[start:stop], values[start:stop], row, column)
            else:
                layer = self.read(items[start], row, rows, column, columns)
                values[start] = np.where(layer == NO_CLASS, 0, layer) if series.codes else layer
            start = stop
        return values

    def _stored(self, items, values, row, column):
        """Read bands of one file into ``values`` as they are stored: float32 with NaN, or uint8 with 0, for nodata."""
        dataset = self._dataset(items[0].path)
        window = (items[0].column + column, items[0].row + row, values.shape[2], values.shape[1])
        result, failure = call(dataset.ReadAsArray, *window, buf_obj=values, band_list=[item.band for item in items])
        if result is None or failure:
            raise _unreadable(items[0], row, column, failure)
        series_of_numbers = values.dtype != np.uint8
        for item, layer in zip(items, values):
            layer = item.encoding.resigned(layer)
            missing, unstated = _nodata_cells(item, layer, self._mask(item, (column, row, *window[2:])))
            np.copyto(layer, np.nan if series_of_numbers else 0, where=missing)
            if item.valid:
                _guard(item, in_units(item, np.array(_extremes(layer if series_of_numbers else layer[~missing]))))
            if _may_hold_fill(item):
                self._refuse_fill(item, layer, missing, [value for value in _extremes(layer) if value in USUAL_FILLS])
            if item.absent is not None:
                scale, offset = scaling(item)
                np.copyto(layer, (item.absent - offset) / scale, where=unstated, casting="unsafe")

    def _leave_out(self, items, values, row, column):
        """Make nodata of what the exclusions of ``items`` leave out of ``values`` as they are stored."""
        cells = {}
        for item, layer in zip(items, values):
            if item.exclusion is not None:
                if item.exclusion not in cells:
                    cells[item.exclusion] = self._left_out(item, row, layer.shape[0], column, layer.shape[1])
                layer[cells[item.exclusion]] = 0 if values.dtype == np.uint8 else np.nan

    def sample(self, item, size=512):
        """Return a decimated reading of the whole source on its own grid, float64 with NaN; every cell is one of it.

        It is of the nearest cells, or, where GDAL would take those from overviews, of small pieces all over the raster:
        cells of overviews may be averages, also of codes. An exclusion is not applied. Where the sample meets no data
        at all, the rows are read in full until some is found, so that an all-NaN sample means an empty raster.
        """
        height, width = item.grid.height, item.grid.width
        with bounded_cache():
            if (height > size or width > size) and self._decimates_by_computing(item):
                across = _pieces(width, size, item.block[0])
                values = np.block([[self._values(item, *rows, *columns) for columns in across]
                                   for rows in _pieces(height, size, item.block[1])])
            else:
                values = self._values(item, 0, height, 0, width, min(size, height), min(size, width))
            if np.isnan(values).all() and (height > size or width > size):
                step = max(1, min(height, (1 << 22) // width))
                for row in range(0, height, step):
                    part = self._values(item, row, min(step, height - row), 0, width)
                    if not np.isnan(part).all():
                        return part
        return values

    def _decimates_by_computing(self, item):
        """True where GDAL may take decimated cells from overviews, be they those of the files of a virtual raster."""
        dataset = self._dataset(item.path)
        return dataset.GetDriver().ShortName == "VRT" or dataset.GetRasterBand(item.band).GetOverviewCount() > 0

    def _refuse_fill(self, item, stored, missing, fills):
        """Raise InputError where a usual fill value that the file does not declare stands apart from all others.

        ``fills``: such values that are the lowest or the highest of the ``stored`` ones that are not ``missing``. The
        others are those of all of the file: a window may be a single cell.
        """
        for value in fills:
            known = stored[~missing]
            if _stands_apart(value, known) and _stands_apart(value, known, self._stored_sample(item)):
                raise _undeclared(item, value)

    def _stored_sample(self, item):
        """Return stored values of cells all over the raster, those without nodata, as one row."""
        if item not in self._samples:
            parts = []
            for rows in _pieces(item.grid.height, 256, item.block[1]):
                for columns in _pieces(item.grid.width, 256, item.block[0]):
                    stored = self._raw(item, *rows, *columns)
                    mask = self._mask(item, (columns[0], rows[0], columns[1], rows[1]))
                    missing, _ = _nodata_cells(item, stored, mask)
                    parts.append(stored[~missing])
            self._samples[item] = np.concatenate(parts)
        return self._samples[item]

    def _own_grid(self, item, row, rows, column, columns):
        grid = item.grid
        top, bottom = max(row, 0), min(row + rows, grid.height)
        left, right = max(column, 0), min(column + columns, grid.width)
        values = np.full((rows, columns), np.nan)
        if top < bottom and left < right:
            values[top - row:bottom - row, left - column:right - column] = self._values(
                item, top, bottom - top, left, right - left)
        return values

    def _raw(self, item, row, rows, column, columns, **size):
        """Read a window inside the grid as it is stored; ``size`` of the array as ReadAsArray takes it."""
        band = self._dataset(item.path).GetRasterBand(item.band)
        raw, failure = call(band.ReadAsArray, item.column + column, item.row + row, columns, rows, **size)
        if raw is None or failure:
            raise _unreadable(item, row, column, failure)
        return item.encoding.resigned(raw)

    def _mask(self, item, window, **size):
        """Read the mask or alpha of a band in a window (column, row, columns, rows), None where it has none."""
        if not item.encoding.masked:
            return None
        dataset, (column, row, *shape) = self._dataset(item.path), window
        mask, failure = call(mask_band_of(dataset, dataset.GetRasterBand(item.band)).ReadAsArray, item.column + column,
                             item.row + row, *shape, **size)
        if mask is None or failure:
            raise InputError(f"The mask of {item.name} cannot be read: {failure}.")
        return mask

    def _values(self, item, row, rows, column, columns, out_rows=None, out_columns=None):
        """Read a window inside the grid as float64 in the converted unit, NaN where anything says nodata."""
        size = {"buf_xsize": out_columns, "buf_ysize": out_rows} if out_rows else {}
        stored = self._raw(item, row, rows, column, columns, **size)
        mask = self._mask(item, (column, row, columns, rows), **size)
        values = in_units(item, stored)
        missing, unstated = _nodata_cells(item, stored, mask, values)
        values[missing] = np.nan
        if _may_hold_fill(item):
            in_file = dict(zip(in_units(item, _USUAL_FILLS).tolist(), _USUAL_FILLS.tolist()))
            found = [in_file[value] for value in _extremes(values) if value in in_file]
            self._refuse_fill(item, stored, missing, found)
        if item.absent is not None:
            values[unstated] = item.absent
        _guard(item, values)
        return values

    def _warped(self, item, row, rows, column, columns):
        values = _empty(item, rows, columns)
        grid = item.target
        top, bottom = max(row, 0), min(row + rows, grid.height)
        left, right = max(column, 0), min(column + columns, grid.width)
        for tile_row in range(top // WARP_TILE * WARP_TILE, bottom, WARP_TILE):
            for tile_column in range(left // WARP_TILE * WARP_TILE, right, WARP_TILE):
                tile = self._tile(item, tile_row, tile_column)
                first, last = max(top, tile_row), min(bottom, tile_row + tile.shape[0])
                start, stop = max(left, tile_column), min(right, tile_column + tile.shape[1])
                values[first - row:last - row, start - column:stop - column] = tile[
                    first - tile_row:last - tile_row, start - tile_column:stop - tile_column]
        return values

    def _tile(self, item, row, column):
        key = (item, row, column)
        tile = self._tiles.pop(key, None)
        if tile is None:
            check_stopped()
            tile = self._warped_tile(item, row, min(WARP_TILE, item.target.height - row),
                                     column, min(WARP_TILE, item.target.width - column))
            if len(self._tiles) >= self._tiles_kept:
                self._tiles.popitem(last=False)
        self._tiles[key] = tile
        return tile

    def _warped_tile(self, item, row, rows, column, columns):
        footprint = self._footprints.get((item.grid, item.target))
        if footprint is None:
            footprint = self._footprints[item.grid, item.target] = Footprint(item.grid, item.target)
        circle = footprint.circle if footprint.closed else 0
        window = Target(footprint, (row, rows, column, columns), partial(self._cells_to_warp, item, circle=circle))
        return window.warped(_empty(item, rows, columns), item.resampling, item.position_error)

    def _cells_to_warp(self, item, window, circle):
        """Return (cells, nodata in them, codes) of a window to be warped, or None where all of it is nodata.

        Numbers: NaN for nodata, codes None; single precision where that holds the file's values and positions are not
        exact either. Classes: places in ``codes``, int32 with NO_CLASS, as uint8 where there are few enough, else
        int32.
        """
        top, height, left, width = window
        parts, start = [], left
        while start < left + width:
            # beyond the last column of a closed circle the first ones go on
            first = start % circle if circle else start
            number = min(left + width - start, (circle or item.grid.width) - first)
            parts.append((top, height, first, number))
            start += number
        band = self._dataset(item.path).GetRasterBand(item.band)
        cells = self._bytes_to_warp(item, band, parts) if item.kind == CLASS else None
        if cells is not None:
            return cells if cells[0] is not None else None
        values = _side_by_side([self._values(item, *part) for part in parts])
        known = ~np.isnan(values)
        if not known.any():
            return None
        if item.kind == CLASS:
            return _places(values, known)
        single = item.position_error and item.encoding.dtype in EXACT_IN_FLOAT32
        return values.astype(np.float32) if single else values, np.nan, None

    def _bytes_to_warp(self, item, band, parts):
        """The same for classes stored as bytes where nothing but codes says nodata, as they are; None for others.

        The cells are None where all are nodata.
        """
        if (band.DataType != gdal.GDT_Byte or item.keep or item.valid or item.absent is not None
                or item.encoding.dtype != "Byte" or item.encoding.masked or item.encoding.valid):
            return None
        cells = _side_by_side([self._raw(item, *part) for part in parts])
        missing = [int(code) for code in (*item.flags, *item.encoding.fills) if fits(code, cells.dtype)]
        if not missing:
            missing = np.flatnonzero(np.bincount(cells.ravel(), minlength=256) == 0)[:1]
            if not missing.size:
                return None
        code = int(missing[0])
        if len(missing) > 1:
            table = np.arange(256, dtype=np.uint8)
            table[missing] = code
            cells = table[cells]
        codes = np.arange(256, dtype=np.int32)
        codes[code] = NO_CLASS
        return cells if cells.min() != code or cells.max() != code else None, code, codes


def _side_by_side(parts):
    return np.hstack(parts) if len(parts) > 1 else parts[0]


def _empty(item, rows, columns):
    """Return a window without data, as ``item`` reads on its target grid."""
    if item.kind == CLASS:
        return np.full((rows, columns), NO_CLASS, dtype=np.int32)
    return np.full((rows, columns), np.nan)


def _places(values, known):
    """Return (places, 0, codes) of class ``values``: each place is that of the value in ``codes``, 0 where unknown."""
    found = values[known]
    low, high = found.min(), found.max()
    if high - low < 1 << 16:
        present = np.zeros(int(high - low) + 1, dtype=bool)
        steps = (found - low).astype(np.intp)
        present[steps] = True
        codes, order = np.flatnonzero(present) + int(low), np.cumsum(present)[steps]
    else:
        codes, order = np.unique(found, return_inverse=True)
        order = order + 1
    places = np.zeros(values.shape, dtype=np.uint8 if len(codes) < 256 else np.int32)
    places[known] = order
    return places, 0, np.concatenate([[NO_CLASS], codes]).astype(np.int32)


def _unreadable(item, row, column, failure):
    return InputError(f"{item.name} cannot be read at row {row}, column {column}: {failure or 'the file is damaged'}. "
                      f"Get the file again or leave it out.")


def scaling(item):
    """Return (scale, offset) that turn stored values of a Source into the values it delivers; classes have none."""
    if item.kind == CLASS:
        return 1.0, 0.0
    encoding = item.encoding
    return encoding.scale * item.scale, encoding.offset * item.scale + item.offset


def in_units(item, stored):
    """Return ``stored`` values of a Source as new float64 values in the unit it delivers; nodata is not looked at."""
    values = stored.astype(np.float64)
    if item.kind == CLASS:
        return values
    encoding = item.encoding
    if not encoding.plain:
        values = values * encoding.scale + encoding.offset
    if item.scale != 1.0 or item.offset != 0.0:
        values = values * item.scale + item.offset
    return values


def _as_stored(series, item):
    """True where a layer of a Series is read straight into its array."""
    # GDAL would cut negative bytes off at 0
    return item.target is None and (series.single or series.codes and not item.encoding.reinterpreted)


def _nodata_cells(item, stored, mask, values=None):
    """Return (missing, unstated): where a Source has no value, and where its own nodata or mask alone says so.

    ``stored``: values with the right sign; ``mask``: 0 for nodata, or None; ``values``: the stored ones in units, where
    they are at hand. Raises InputError for values that are none of any quantity.
    """
    missing = item.encoding.missing(stored, mask)
    unstated = missing if item.absent is None else missing.copy()
    for flag in item.flags:
        here = stored == flag
        missing |= here
        if item.absent is not None:
            unstated &= ~here
    if item.kind == NUMBER and item.encoding.floating:
        with np.errstate(invalid="ignore"):
            beyond = np.abs(stored) > LARGEST
        beyond &= ~missing
        if beyond.any():
            finite = stored[beyond & np.isfinite(stored)]
            if finite.size and not item.keep:
                raise _undeclared(item, finite[0])
            missing |= beyond
    if item.keep:
        values = in_units(item, stored) if values is None else values
        with np.errstate(invalid="ignore"):
            missing |= (values < item.keep[0]) | (values > item.keep[1])
    return missing, unstated


def _pieces(length, wanted, block):
    """Return [(first, number)] of about ``wanted`` cells along a side: all of it, or pieces within blocks."""
    if wanted >= length:
        return [(0, length)]
    number = max(1, wanted // SAMPLE_PIECE)
    pieces = []
    for place in range(number):
        first = place * (length - SAMPLE_PIECE) // max(1, number - 1)
        if block > SAMPLE_PIECE:
            first -= max(0, first % block + SAMPLE_PIECE - block)
        pieces.append((first, SAMPLE_PIECE))
    return pieces


def _may_hold_fill(item):
    """True for numbers of which nothing says what counts."""
    return item.kind == NUMBER and not item.keep and not item.valid


def _extremes(values):
    """Lowest and highest of ``values`` in which NaN is nodata, NaN where there are none."""
    if not values.size:
        return np.nan, np.nan
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def _stands_apart(value, *parts):
    """True where ``value`` lies beyond all other numbers of ``parts``, and far from them."""
    others = [part[part != value] for part in parts]
    lows, highs = ([float(pick(part)) for part in others if part.size] for pick in (np.min, np.max))
    if not lows:
        return True
    low, high = min(lows), max(highs)
    gap = max(low - value, value - high)
    alone = low >= 0 > value or high <= 0 < value
    return gap > 0.1 * abs(value) and gap > (FILL_APART if alone else FILL_APART_SAME_SIGN) * (high - low)


def _undeclared(item, value):
    return InputError(f"{item.name} holds the stored value {value:.9g}, far away from its other values: it looks like "
                      f"a fill value that the file does not declare. Declare it (gdal_edit.py -a_nodata {value:.9g} "
                      f"and the file), or give it as FLAGS where the tool has that.")


def _guard(item, values):
    if item.kind == CLASS:
        with np.errstate(invalid="ignore"):
            wrong = (values != np.rint(values)) & ~np.isnan(values) | (np.abs(values) > np.iinfo(np.int32).max)
        if wrong.any():
            raise InputError(f"{item.name} holds the value {values[wrong][0]:.6g} where whole-numbered codes are "
                             f"expected. Check that it is the right layer.")
    if not item.valid:
        return
    low, high = item.valid
    margin = ROUNDING * (high - low)
    with np.errstate(invalid="ignore"):
        wrong = (values < low - margin) | (values > high + margin)
    if wrong.any():
        raise InputError(
            f"{item.name} holds the value {values[wrong][0]:.9g}, outside the plausible {low:g} to {high:g}. "
            f"Check its unit, its scale, its nodata value and its flag codes.")


def require_codes(values, allowed, name, expected):
    """Raise InputError where class ``values`` of the layer ``name`` are not among ``allowed`` or nodata."""
    known = values[values != NO_CLASS]
    wrong = ~np.isin(known, allowed)
    if wrong.any():
        raise InputError(f"{name} holds the value {known[wrong][0]}, but {expected} is expected.")


def cells_of(grid, wkt, x, y):
    """Return (rows, columns, whether they lie on the grid) of points in the CRS ``wkt``; −1 where they do not."""
    x, y = transform_points(coordinate_transformation(wkt, grid.wkt), x, y)
    columns, rows = grid.cells_at(turned_into(grid, x), y)
    with np.errstate(invalid="ignore"):
        inside = (columns >= 0) & (columns < grid.width) & (rows >= 0) & (rows < grid.height)
    rows, columns = (np.where(inside, np.floor(cells), -1).astype(np.int64) for cells in (rows, columns))
    return rows, columns, inside


def values_at(path, longitudes, latitudes, kind=CLASS, search=0):
    """Return (values, distances) of ``path`` at WGS 84 points.

    ``values``: float64, NaN where the point is off the raster or has no data; ``distances``: cells to the valid cell
    used (0 = the point's own cell, infinite = no data within reach, NaN = off the raster). With ``search`` > 0 the
    nearest valid cell within that many cells stands in, the first in row order among equals. ``path`` may be a Source
    in the unit wanted; its own kind counts then, and its cells are those of the grid it reads on.
    """
    item = path if isinstance(path, Source) else source(path, kind)
    reader = SourceReader()
    rows, columns, inside = cells_of(item.target or item.grid, _WGS84, longitudes, latitudes)
    values = np.full(len(longitudes), np.nan)
    distances = np.full(len(longitudes), np.nan)
    side = 2 * search + 1
    for i in np.flatnonzero(inside):
        window = reader.read(item, int(rows[i]) - search, side, int(columns[i]) - search, side).astype(float)
        if item.kind == CLASS:
            window[window == NO_CLASS] = np.nan
        offset = np.hypot(*np.mgrid[-search:search + 1, -search:search + 1])
        offset[np.isnan(window)] = np.inf
        nearest = np.unravel_index(np.argmin(offset), offset.shape)
        distances[i] = offset[nearest] if offset[nearest] <= search else np.inf
        if np.isfinite(distances[i]):
            values[i] = window[nearest]
    return values, distances


_WGS84 = osr.SRS_WKT_WGS84_LAT_LONG
