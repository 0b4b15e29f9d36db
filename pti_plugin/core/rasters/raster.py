"""Raster sources: any band GDAL can read, delivered as plain arrays on one grid.

Here, and only here, scale and offset, nodata, masks, flag codes, NaN and units are dealt with, and sources on another
grid are warped. Numbers come out as float64 with NaN for nodata; classes as int32 with ``NO_CLASS``.
"""

import os
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from osgeo import gdal, osr

from ..common.errors import GridError, InputError
from .containers import inner_paths
from .gdal_errors import call, open_raster
from .grid import Grid, coordinate_transformation
from .placement import Footprint, turned_into
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
#: GDAL's own block cache while rasters are read, bytes; its default is a share of the machine's memory
GDAL_CACHE_BYTES = 192 << 20
#: files of a virtual raster that are looked at to learn their format
VIRTUAL_FILES = 64
#: share of the plausible range by which rounding in a file may overstep it
ROUNDING = 1e-6


@contextmanager
def bounded_cache():
    """Context in which GDAL's block cache holds GDAL_CACHE_BYTES."""
    usual = gdal.GetCacheMax()
    gdal.SetCacheMax(GDAL_CACHE_BYTES)
    try:
        yield
    finally:
        gdal.SetCacheMax(usual)


@dataclass(frozen=True)
class RasterInfo:
    """What is known of a raster before its cells are read (one entry a band in the tuples)."""

    path: str
    name: str
    grid: Grid
    bands: int
    dtypes: tuple
    units: tuple
    descriptions: tuple
    band_metadata: tuple
    scales: tuple
    driver: str
    block: tuple
    metadata: dict


@dataclass(frozen=True)
class Source:
    """One band to read, and how. Picklable, so that a block can be read wherever it is computed.

    ``scale`` and ``offset`` convert units after the band's own scale and offset; ``flags`` are raw codes that mean
    nodata; ``keep`` (low, high) are the values after conversion that count, anything else is nodata before any
    warping; ``absent`` is the value that the band's own nodata stands for (flags and what ``keep`` leaves out stay
    nodata), or None; ``valid`` (low, high) are the plausible ones, anything else is an error; ``target`` is set where
    the band must be warped, with ``resampling`` and ``position_error`` (the largest a position in the source may have,
    in its cells) chosen once for the whole raster.
    """

    path: str
    band: int
    kind: str
    grid: Grid
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


#: types whose every value is exact in float32
EXACT_IN_FLOAT32 = ("Byte", "Int8", "Int16", "UInt16", "Float32")


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
    wkt = dataset.GetProjection() or _cf_geographic(dataset.GetMetadata() or {}) or wkt
    if not wkt:
        raise GridError(f"The raster {name} has no CRS. Assign the right one first, with the tool 'Assign projection'.")
    if transform is None or transform[1] * transform[5] - transform[2] * transform[4] == 0:
        raise GridError(f"The raster {name} has no georeference (no cell size or origin). Assign it first.")
    grid = Grid(wkt, tuple(transform), dataset.RasterXSize, dataset.RasterYSize)
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    if len(bands) > 1 and bands[-1].GetColorInterpretation() == gdal.GCI_AlphaBand:
        # it is the mask of the others and no layer of its own
        bands.pop()
    return RasterInfo(
        path=str(path), name=name, grid=grid, bands=len(bands),
        dtypes=tuple(gdal.GetDataTypeName(band.DataType) for band in bands),
        units=tuple(band.GetUnitType() or band.GetMetadataItem("units") or "" for band in bands),
        descriptions=tuple(band.GetDescription() or "" for band in bands),
        band_metadata=tuple(band.GetMetadata() or {} for band in bands),
        scales=tuple((band.GetScale() if band.GetScale() is not None else 1.0, band.GetOffset() or 0.0)
                     for band in bands),
        driver=_driver_below(dataset),
        block=tuple(bands[0].GetBlockSize()), metadata=dataset.GetMetadata() or {})


def _driver_below(dataset):
    """Name of the driver that reads the cells: of the files inside a virtual raster where they are all of one kind."""
    name = dataset.GetDriver().ShortName
    if name != "VRT":
        return name
    inner = set()
    for path in sorted(set(inner_paths((dataset.GetMetadata("xml:VRT") or [""])[0])))[:VIRTUAL_FILES]:
        driver, _ = call(gdal.IdentifyDriver, path)
        inner.add(driver.ShortName if driver is not None else name)
    return inner.pop() if len(inner) == 1 else name


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
    return Source(path=info.path, band=band, kind=kind, grid=info.grid, block=info.block,
                  driver=info.driver)


def on_grid(item, grid):
    """Return ``item`` so that it reads on ``grid``: itself where the grids are the same, else warped on the fly.

    To larger cells classes by mode and numbers by average, else by nearest and bilinear, as warping.py says. Large
    grids are warped with positions that are right within WARP_ERROR. Raises GridError where the two do not overlap.
    """
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


class SourceReader:
    """Reads windows of Sources, keeping their datasets open. One reader a thread: GDAL datasets are not shared."""

    def __init__(self, readers=1):
        self._datasets = OrderedDict()
        self._tiles = OrderedDict()
        self._footprints = {}
        self._tiles_kept = WARP_TILES_KEPT
        self._most_open = _descriptors() // readers

    def close(self):
        """Close every dataset."""
        self._datasets.clear()
        self._tiles.clear()
        self._footprints.clear()

    def _dataset(self, path):
        dataset = self._datasets.pop(path, None)
        if dataset is None:
            if len(self._datasets) >= self._most_open:
                self._datasets.popitem(last=False)
            dataset = open_raster(path)
        self._datasets[path] = dataset
        return dataset

    def read(self, item, row, rows, column, columns):
        """Return the window as a (rows, columns) array on ``item``'s own grid, or its target grid where set.

        Parts of the window outside the grid are nodata. Numbers: float64, NaN = nodata, converted and guarded.
        Classes: int32, NO_CLASS = nodata. Raises InputError for unreadable blocks and implausible values.
        """
        if item.target is not None:
            return self._warped(item, row, rows, column, columns)
        values = self._own_grid(item, row, rows, column, columns)
        if item.kind == CLASS:
            classes = np.full(values.shape, NO_CLASS, dtype=np.int32)
            known = ~np.isnan(values)
            classes[known] = values[known].astype(np.int32)
            return classes
        return values

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
            stop = start + 1
            if (series.single or series.codes) and inside and items[start].target is None:
                while stop < len(items) and items[stop].path == items[start].path:
                    stop += 1
                self._stored(items[start:stop], values[start:stop], row, column)
            else:
                layer = self.read(items[start], row, rows, column, columns)
                values[start] = np.where(layer == NO_CLASS, 0, layer) if series.codes else layer
            start = stop
        return values

    def _stored(self, items, values, row, column):
        """Read bands of one file into ``values`` as they are stored: float32 with NaN, or uint8 with 0, for nodata."""
        dataset = self._dataset(items[0].path)
        result, failure = call(dataset.ReadAsArray, column, row, values.shape[2], values.shape[1], buf_obj=values,
                               band_list=[item.band for item in items])
        if result is None or failure:
            raise InputError(f"{items[0].name} cannot be read at row {row}, column {column}: "
                             f"{failure or 'the file is damaged'}. Get the file again or leave it out.")
        empty, stored = (0, np.uint8) if values.dtype == np.uint8 else (np.nan, np.float32)
        for item, layer in zip(items, values):
            band = dataset.GetRasterBand(item.band)
            nodata = band.GetNoDataValue()
            for code in (*(() if nodata is None or np.isnan(nodata) else (nodata,)), *item.flags):
                if code != empty and _fits(code, layer.dtype):
                    layer[layer == stored(code)] = empty
            if item.keep:
                in_units = layer.astype(np.float64) * (band.GetScale() or 1.0) + (band.GetOffset() or 0.0)
                with np.errstate(invalid="ignore"):
                    layer[(in_units < item.keep[0]) | (in_units > item.keep[1])] = empty
            if band.DataType == gdal.GDT_Float32:
                layer[np.isinf(layer)] = np.nan
            if band.GetMaskFlags() & (gdal.GMF_PER_DATASET | gdal.GMF_ALPHA):
                mask, failure = call(band.GetMaskBand().ReadAsArray, column, row, values.shape[2], values.shape[1])
                if mask is None or failure:
                    raise InputError(f"The mask of {item.name} cannot be read: {failure}.")
                layer[mask == 0] = empty

    def sample(self, item, size=512):
        """Return a decimated (nearest) reading of the whole source on its own grid, float64 with NaN.

        Where that meets no data at all, the rows are read in full until some is found, so that an all-NaN sample
        means an empty raster.
        """
        height, width = item.grid.height, item.grid.width
        with bounded_cache():
            values = self._values(item, 0, height, 0, width, min(size, height), min(size, width))
            if np.isnan(values).all() and (height > size or width > size):
                step = max(1, min(height, (1 << 22) // width))
                for row in range(0, height, step):
                    part = self._values(item, row, min(step, height - row), 0, width)
                    if not np.isnan(part).all():
                        return part
        return values

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
        raw, failure = call(band.ReadAsArray, column, row, columns, rows, **size)
        if raw is None or failure:
            raise InputError(f"{item.name} cannot be read at row {row}, column {column}: "
                             f"{failure or 'the file is damaged'}. Get the file again or leave it out.")
        if np.iscomplexobj(raw):
            raise InputError(f"{item.name} holds complex numbers; PTI reads real ones.")
        return raw

    def _values(self, item, row, rows, column, columns, out_rows=None, out_columns=None):
        """Read a window inside the grid as float64 in the converted unit, NaN where anything says nodata."""
        band = self._dataset(item.path).GetRasterBand(item.band)
        size = {"buf_xsize": out_columns, "buf_ysize": out_rows} if out_rows else {}
        raw = self._raw(item, row, rows, column, columns, **size)
        values = raw.astype(np.float64)
        whole = raw.dtype.kind != "f"
        missing = np.zeros(raw.shape, dtype=bool) if whole else np.isnan(raw)
        nodata = band.GetNoDataValue()
        if nodata is not None and not np.isnan(nodata):
            missing |= raw == raw.dtype.type(nodata) if _fits(nodata, raw.dtype) else values == nodata
        mask_band = _mask_band(self._dataset(item.path), band)
        if mask_band is not None:
            mask, failure = call(mask_band.ReadAsArray, column, row, columns, rows, **size)
            if mask is None or failure:
                raise InputError(f"The mask of {item.name} cannot be read: {failure}.")
            missing |= mask == 0
        unstated = missing.copy() if item.absent is not None else None
        for flag in item.flags:
            missing |= values == flag
            if unstated is not None:
                unstated &= values != flag
        if item.kind == NUMBER:
            own_scale, own_offset = band.GetScale(), band.GetOffset()
            if own_scale not in (None, 1.0) or own_offset not in (None, 0.0):
                values = values * (1.0 if own_scale is None else own_scale) + (own_offset or 0.0)
            if item.scale != 1.0 or item.offset != 0.0:
                values = values * item.scale + item.offset
            if not whole:
                missing |= ~np.isfinite(values)
        if item.keep:
            with np.errstate(invalid="ignore"):
                missing |= (values < item.keep[0]) | (values > item.keep[1])
        values[missing] = np.nan
        if unstated is not None:
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
        single = item.position_error and gdal.GetDataTypeName(band.DataType) in EXACT_IN_FLOAT32
        return values.astype(np.float32) if single else values, np.nan, None

    def _bytes_to_warp(self, item, band, parts):
        """The same for classes stored as bytes where nothing but codes says nodata, as they are; None for others.

        The cells are None where all are nodata.
        """
        if (band.DataType != gdal.GDT_Byte or item.keep or item.valid or item.absent is not None
                or band.GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") == "SIGNEDBYTE"
                or _mask_band(self._dataset(item.path), band) is not None):
            return None
        cells = _side_by_side([self._raw(item, *part) for part in parts])
        nodata = band.GetNoDataValue()
        missing = [int(code) for code in (*item.flags, *(() if nodata is None else (nodata,)))
                   if _fits(code, cells.dtype)]
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


def _descriptors():
    """Number of datasets that may be open at once; asks the system for more than its usual 1,024 where it can."""
    try:
        import resource
    except ImportError:
        return 400
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_DATASETS + 512 if hard == resource.RLIM_INFINITY else min(OPEN_DATASETS + 512, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            wanted = soft
    return max(64, min(OPEN_DATASETS, wanted - 512 if wanted > 1024 else wanted // 2))


def _mask_band(dataset, band):
    """Return the band whose zeros mask ``band``: a mask of the data set or an alpha band of any type; else None."""
    if band.GetMaskFlags() & (gdal.GMF_PER_DATASET | gdal.GMF_ALPHA):
        return band.GetMaskBand()
    last = dataset.GetRasterBand(dataset.RasterCount)
    # GDAL itself makes masks only of alpha bands of unsigned integers
    return last if dataset.RasterCount > 1 and last.GetColorInterpretation() == gdal.GCI_AlphaBand else None


def _fits(nodata, dtype):
    """True where ``nodata`` survives a round trip through ``dtype``, so raw values can be compared exactly."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return float(nodata).is_integer() and limits.min <= nodata <= limits.max
    # a float32 band may declare its nodata rounded in decimal
    return True


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


def values_at(path, longitudes, latitudes, kind=CLASS, search=0):
    """Return (values, distances) of ``path`` at WGS 84 points.

    ``values``: float64, NaN where the point is off the raster or has no data; ``distances``: cells to the valid cell
    used (0 = the point's own cell, infinite = no data within reach, NaN = off the raster). With ``search`` > 0 the
    nearest valid cell within that many cells stands in, the first in row order among equals. ``path`` may be a Source
    in the unit wanted; its own kind counts then.
    """
    item = path if isinstance(path, Source) else source(path, kind)
    reader = SourceReader()
    change = coordinate_transformation(_WGS84, item.grid.wkt)
    values = np.full(len(longitudes), np.nan)
    distances = np.full(len(longitudes), np.nan)
    for i, (longitude, latitude) in enumerate(zip(longitudes, latitudes)):
        point, _ = call(change.TransformPoint, float(longitude), float(latitude))
        if point is None or not np.isfinite(point[:2]).all():
            continue
        column, row = (int(np.floor(cell)) for cell in item.grid.cells_at(turned_into(item.grid, point[0]), point[1]))
        if not (0 <= column < item.grid.width and 0 <= row < item.grid.height):
            continue
        side = 2 * search + 1
        window = reader.read(item, row - search, side, column - search, side).astype(float)
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
