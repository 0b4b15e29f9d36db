"""Alignment: a product as its data centre publishes it, brought to the target grid in the unit of the method.

Method, sections 1 and 9 (target grid, resampling, units). What is odd about a product stands in its preset
(products.py); CRS, extent, unit, flags and the meaning of nodata can all be stated instead.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import GridError, InputError
from .blocks import FLOAT_NODATA, OutputSpec, run_blocks
from .dimensions import parse_select, selected_bands
from .gdal_errors import open_raster
from .grid import Grid, epsg_wkt, require_same, spatial_reference
from .product_sources import Reading, open_files, other_codes, sources_of
from .products import AUTO, OTHER, RECOGNISE, RESAMPLINGS, parse_recode
from .raster import CLASS, NO_CLASS, NUMBER, on_grid
from .recognition import PRODUCT_TAG
from .series_sources import joined
from .time_axis import AxisOptions, Layer, dated, parse_years, require_years, series, stamp_text, steps_a_year
from .units import refuse_unit_change, sample_mean

#: the default target: equal-area, 1 km cells, and all of the Earth north of this latitude
DEFAULT_EPSG, DEFAULT_CELL, DEFAULT_LATITUDE = 6931, 1000.0, 45.0
#: half the side of the square round the pole that holds the default latitude, whole kilometres
DEFAULT_HALF = 4_890_000.0
#: layers brought over at once; more are done in turn, so that memory does not depend on their number
LAYERS_AT_ONCE = 8
#: nodata of classes: a byte where the product has no such code, else the least of 16 or 32 bit
BYTE_NODATA, SHORT_NODATA = 255, -32768


@dataclass(frozen=True)
class AlignOptions:
    """What a file does not say by itself.

    ``product``: name of a preset, RECOGNISE or NONE; ``products``: table of the user's own presets; ``variable``: of
    netCDF and HDF files; ``wkt``, ``extent``: instead of the file's CRS and extent; ``kind``: NUMBER, CLASS or AUTO;
    ``units``: name=unit pairs; ``valid`` (low, high): other values are nodata; ``flags``: stored codes that are nodata;
    ``absent``: what nodata stands for, as text, ``nodata`` for nothing, '' as the preset says; ``recode``: pairs of
    codes; ``resampling`` of RESAMPLINGS; ``period``: layers a year, 0 as the preset says; ``years``: first-last, all of
    which must be there; ``min_latitude``: cells south of it become nodata; ``band``: the only band wanted, 0 for all;
    ``select``: dimension=value pairs for files whose bands differ along several; ``date_format``: how dates stand in
    names.
    """

    product: str = RECOGNISE
    products: str = ""
    variable: str = ""
    wkt: str = ""
    extent: tuple = ()
    kind: str = AUTO
    units: str = ""
    valid: tuple = ()
    flags: tuple = ()
    absent: str = ""
    recode: str = ""
    resampling: str = AUTO
    period: int = 0
    years: str = ""
    min_latitude: float = -90.0
    band: int = 0
    select: str = ""
    date_format: str = ""

    def check(self):
        """Raise InputError for values out of their range."""
        for name, value, choices in (("RESAMPLING", self.resampling, RESAMPLINGS),
                                     ("KIND", self.kind, (AUTO, NUMBER, CLASS))):
            if value not in choices:
                raise InputError(f"{name} is '{value}'; it must be one of {', '.join(choices)}.")
        if self.absent not in ("", "nodata"):
            try:
                float(self.absent)
            except ValueError:
                raise InputError(f"ABSENT is '{self.absent}'; write the value that nodata stands for, such as 0, or "
                                 f"nodata.") from None
        parse_years(self.years)


def polar_grid(wkt="", cell=0.0, extent=()):
    """Return a target Grid from a CRS, a cell size and an extent (west, east, south, north), each with its default.

    By itself: EPSG:6931, 1 km, all of the Earth north of 45°. Raises GridError where another CRS lacks the others.
    """
    default = not wkt or spatial_reference(wkt).IsSame(spatial_reference(epsg_wkt(DEFAULT_EPSG)))
    wkt = wkt or epsg_wkt(DEFAULT_EPSG)
    if not extent and default:
        extent = (-DEFAULT_HALF, DEFAULT_HALF, -DEFAULT_HALF, DEFAULT_HALF)
    cell = cell or (DEFAULT_CELL if default else 0.0)
    if not extent or cell <= 0:
        raise GridError("A target CRS of your own needs CELL_SIZE and TARGET_EXTENT too, or give TARGET, a layer that "
                        "has the grid.")
    west, east, south, north = extent
    # whole cells from the upper left corner; the last ones may reach over the edge
    width, height = (max(1, int(np.ceil((high - low) / cell - 1e-6))) for low, high in ((west, east), (south, north)))
    return Grid(wkt, (west, cell, 0.0, north, 0.0, -cell), width, height)


@dataclass(frozen=True)
class AlignKernel:
    """Takes layers that are on the target grid already, the first one in ``place``: southern limit, recode, tallies.

    ``codes``: all that a class product has, () where they are not known.
    """

    kind: str
    nodata: float
    min_latitude: float
    recode: tuple
    codes: tuple = ()
    place: int = 0

    def __call__(self, arrays, window, grid):
        """Return the layers of a block as one array, and its tallies."""
        layers = np.stack(arrays["INPUT"])
        south = grid.south_of(self.min_latitude, window.row, window.rows, window.column, window.columns)
        layers[:, south] = NO_CLASS if self.kind == CLASS else np.nan
        missing = layers == NO_CLASS if self.kind == CLASS else np.isnan(layers)
        unmapped = Counter()
        unknown = Counter((self.place + i, code) for i, layer in enumerate(layers if self.codes else ())
                          for code in _others(layer[~missing[i]], self.codes))
        if self.recode:
            layers = recoded(layers, self.recode, unmapped)
        tally = Counter(valid=int((~missing).sum()), cells=layers.size, anywhere=int((~missing).any(axis=0).sum()))
        limits = _Limits(layers[~missing])
        levels = {self.place + i: sample_mean(layer) for i, layer in enumerate(layers)} if self.kind == NUMBER else {}
        known = {place: level for place, level in levels.items() if np.isfinite(level)}
        if self.kind == CLASS:
            layers = np.where(missing, int(self.nodata), layers)
        return {"aligned": layers}, {"cells": tally, "unmapped": unmapped, "unknown": unknown, "limits": limits,
                                     "levels": Counter(known), "level_blocks": Counter(known.keys())}


class _Limits:
    """Smallest and largest value of the blocks together."""

    def __init__(self, values):
        self.low, self.high = (float(values.min()), float(values.max())) if values.size else (np.inf, -np.inf)

    def update(self, other):
        """Take in those of another block."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


def _others(codes, known):
    """Return those of ``codes``, a vector of int, that are not among the ``known`` ones, once each."""
    known = np.array(known, dtype=np.int64)
    first, span = known.min(), known.max() - known.min() + 1
    if span > 1 << 16:
        return np.unique(codes[~np.isin(codes, known)]).tolist()
    # by a table, several times as fast as a search
    table = np.zeros(span + 1, dtype=bool)
    table[known - first] = True
    place = codes - first
    place[(place < 0) | (place > span)] = span
    return np.unique(codes[~table[place]]).tolist()


def recoded(codes, pairs, unmapped):
    """Return int ``codes`` (NO_CLASS = nodata) with each code of ``pairs`` turned into its value.

    Codes that are not named take the value of OTHER; without it they are counted in ``unmapped`` and become nodata.
    """
    table = dict(pairs)
    result = np.full(codes.shape, NO_CLASS, dtype=np.int32)
    for code, count in zip(*np.unique(codes[codes != NO_CLASS], return_counts=True)):
        value = table.get(int(code), table.get(OTHER))
        if value is None:
            unmapped[int(code)] += int(count)
        else:
            result[codes == code] = value
    return result


def align(files, output, staging, progress, options=None, target=None, settings=None):
    """Bring ``files`` to the ``target`` Grid (the default polar one where None) and stage them as one GeoTIFF.

    ``files``: rasters of one grid, a time step each, or one with several bands; netCDF and HDF files by variable. The
    result has a band a layer in order of time. Numbers: float32 in the product's unit; classes: codes. Returns
    {"product", "unit", "layers", "resampling", "cells", "low", "high", …}. Raises InputError, GridError, OutputError,
    Cancelled.
    """
    options = options or AlignOptions()
    options.check()
    if not files:
        raise InputError("No file is given.")
    target = target or polar_grid()
    reading = Reading.of(options)
    opened = open_files(files, reading, progress)
    product = opened.product
    opened = joined(opened, AxisOptions(_steps(product, options), date_format=options.date_format), progress)
    infos = opened.infos
    require_same((infos[0].name, infos[0].grid), [(info.name, info.grid) for info in infos[1:]],
                 "Layers of one run must share a grid; align them in runs of their own.")
    kind = options.kind if options.kind != AUTO else product.kind if product else _kind_of(infos)
    layers = _layers(infos, product, options, progress)
    by_path = opened.by_path
    items = sources_of([(by_path[layer.path], layer.band) for layer in layers], kind, opened, reading, progress)
    items = [_resampled(item, target, product, options) for item in items]
    resampling = items[0].resampling or "none"
    progress.info(f"{items[0].name}: {items[0].grid.describe()}, to {target.describe()}; resampling: {resampling}.")
    recode = parse_recode(options.recode) or (product.recode if product and kind == CLASS else ())
    spec = _spec(output, layers, by_path, kind, product, recode, options)
    staging.check_space(output, target.width * target.height * len(layers) * np.dtype(spec.dtype).itemsize)
    kernel = AlignKernel(kind, spec.nodata, options.min_latitude, recode,
                         product.codes if product and kind == product.kind == CLASS else ())
    cells, unmapped, limits, means = Counter(), Counter(), _Limits(np.empty(0)), [np.nan] * len(items)
    for start in range(0, len(items), LAYERS_AT_ONCE):
        stop = min(start + LAYERS_AT_ONCE, len(items))
        tallies = run_blocks(target, {"INPUT": items[start:stop]}, replace(kernel, place=start),
                             {"aligned": replace(spec, part=(start, stop))}, staging,
                             progress.part(start / len(items), stop / len(items)), settings,
                             extra_bytes=24 * (stop - start))
        cells.update(tallies["cells"])
        unmapped.update(tallies["unmapped"])
        limits.update(tallies["limits"])
        if tallies["unknown"]:
            first = min(place for place, _ in tallies["unknown"])
            raise other_codes(items[first].name, sorted(code for place, code in tallies["unknown"] if place == first),
                              product)
        for place, blocks in tallies["level_blocks"].items():
            means[place] = tallies["levels"][place] / blocks
        refuse_unit_change(means, [layer.label for layer in layers], infos[0].units[0])
    unit = spec.units[0] if spec.units else ""
    if unmapped:
        listed = ", ".join(f"{code} ({count} cells)" for code, count in sorted(unmapped.items()))
        raise InputError(f"RECODE does not name these codes of {items[0].name}: {listed}. Add them, or other=value.")
    if not cells["valid"]:
        raise InputError(f"No cell of the target grid gets a value from {items[0].name}. Check its CRS and extent, the "
                         f"nodata values, FLAGS, VALID and the southern limit.")
    progress.info(f"{100 * cells['valid'] / cells['cells']:.1f} % of the target's cells have a value, from "
                  f"{limits.low:.6g} to {limits.high:.6g} {unit}".rstrip() + ".")
    return {"product": product.name if product else None, "kind": kind, "unit": unit,
            "layers": list(spec.bands), "resampling": resampling, "cells": dict(cells), "low": limits.low,
            "high": limits.high, "target": target.describe()}


def _kind_of(infos):
    """Classes where the first band has a colour table or category names, else numbers."""
    dataset = open_raster(infos[0].path)
    band = dataset.GetRasterBand(1)
    return CLASS if band.GetColorTable() is not None or band.GetCategoryNames() else NUMBER


def _layers(infos, product, options, progress):
    """Return the Layers wanted, in order of time where it is known how many there are a year, else as given."""
    if options.band and options.select.strip():
        raise InputError("BAND and SELECT both choose among the bands; give one of them.")
    chosen = parse_select(options.select)
    layers = [Layer(info.path, band, info.name if info.bands == 1 else f"{info.name} band {band}", None)
              for info in infos for band in (range(1, info.bands + 1) if options.band else selected_bands(
                  info.name, info.dimensions, info.bands, chosen))]
    period = _steps(product, options)
    if period and not options.band:
        axis = AxisOptions(period, True, "", options.date_format, options.select, True)
        layers = series([info.path for info in infos], axis, progress, infos=infos)
    if options.band:
        short = next((info for info in infos if options.band > info.bands), None)
        if short:
            raise InputError(f"BAND is {options.band}, but {short.name} has {short.bands}.")
        layers = [layer for layer in layers if layer.band == options.band]
    if parse_years(options.years):
        if not period or not dated(layers):
            raise InputError("YEARS needs several layers with time stamps, and PERIOD, the number of layers a year.")
        first, last = require_years(options.years, {layer.index // period for layer in layers}, "layer")
        layers = [layer for layer in layers if first <= layer.index // period <= last]
    return layers


def _steps(product, options):
    """Return the steps a year of the time axis, 0 where they are not known."""
    return steps_a_year(options.period or (product.period if product else 0))


def _resampled(item, target, product, options):
    item = on_grid(item, target)
    if item.target is None:
        return item
    down = item.resampling in ("mode", "average")
    chosen = options.resampling
    if chosen == AUTO and product:
        chosen = product.down if down else product.up
    if item.kind == CLASS and chosen not in (AUTO, "near", "mode"):
        raise InputError(f"RESAMPLING is {chosen}, but {item.name} holds classes: they have no {chosen}. Choose near "
                         f"or mode.")
    return item if chosen == AUTO else replace(item, resampling=chosen)


def _spec(output, layers, by_path, kind, product, recode, options):
    """Return the OutputSpec of all layers."""
    period = _steps(product, options)
    infos = [by_path[layer.path] for layer in layers]
    if period and dated(layers):
        names = tuple(stamp_text(layer.index, period) for layer in layers)
        tags = tuple({"TIME": name} for name in names)
    else:
        names = tuple(info.descriptions[layer.band - 1] or layer.label for info, layer in zip(infos, layers))
        tags = ()
    unit = product.quantity.unit if product else infos[0].units[layers[0].band - 1]
    metadata = {PRODUCT_TAG: product.name} if product else {}
    if kind == NUMBER:
        return OutputSpec(output, "float32", FLOAT_NODATA, names, (unit,) * len(layers), metadata=metadata,
                          band_metadata=tags)
    dtypes = {dtype for info in infos for dtype in info.dtypes}
    codes = [value for _, value in recode] or ([product.quantity.low, product.quantity.high] if product else [])
    if codes and 0 <= min(codes) and max(codes) < BYTE_NODATA:
        form = "uint8", BYTE_NODATA
    elif codes and abs(max(codes, key=abs)) < -SHORT_NODATA or not codes and dtypes <= {"Byte", "Int8", "Int16"}:
        form = "int16", SHORT_NODATA
    else:
        form = "int32", NO_CLASS
    return OutputSpec(output, *form, names, (), metadata=metadata, band_metadata=tags)
