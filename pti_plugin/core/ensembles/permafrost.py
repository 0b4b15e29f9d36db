"""The ensemble of permafrost products: base map, permafrost percent, ground temperature, count and spread.

Method, section 2 (D2–D4) and section 9; the paper's section 2.2.2.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.grid import require_same
from ..rasters.product_sources import Reading, layer_in_role, refuse_wrong_names
from ..rasters.products import RECOGNISE
from ..rasters.raster import display_name, on_grid
from ..rasters.units import QUANTITIES, check_patterns, matching

#: nodata of the base map; 0 is land without permafrost
BASE_NODATA = 255
BASE_COLOURS = {0: ("No permafrost on the base map", (232, 230, 225)), 1: ("Permafrost", (118, 142, 178))}


@dataclass(frozen=True)
class EnsembleOptions:
    """``min_products``: products with PP > 0 that make permafrost; ``min_magt``: products a MAGT needs;
    ``min_latitude``: cells whose centre lies south of it are nodata.

    ``units`` and ``absent`` are the user's texts: name=unit pairs, and name patterns of the PP products whose nodata
    means "no permafrost" wherever another product has a value; ``product`` and ``products``: see Reading.
    """

    min_products: int = 2
    min_magt: int = 2
    min_latitude: float = -90.0
    units: str = ""
    absent: str = ""
    product: str = RECOGNISE
    products: str = ""


@dataclass(frozen=True)
class EnsembleKernel:
    """The arithmetic of one block; ``absent`` has one flag a PP product."""

    absent: tuple
    min_products: int
    min_magt: int
    min_latitude: float = -90.0

    def __call__(self, arrays, window, grid):
        """Return the five outputs of a block and its tallies."""
        percents, temperatures = products_of(arrays, window, grid, self.min_latitude)
        base, percent, pp_count, pp_spread = ensemble_percent(percents, self.absent, self.min_products)
        magt, magt_count, magt_spread = ensemble_temperature(temperatures, self.min_magt)
        counts = Counter(permafrost=int((base == 1).sum()), no_permafrost=int((base == 0).sum()),
                         magt=int((~np.isnan(magt)).sum()),
                         permafrost_without_magt=int(((base == 1) & np.isnan(magt)).sum()))
        area = Counter(permafrost=int(grid.cell_areas(window.row, window.rows, window.column, window.columns)[
            base == 1].sum()))
        return ({"base": base, "pp": percent, "magt": magt, "count": np.stack([pp_count, magt_count]),
                 "spread": np.stack([pp_spread, magt_spread])}, {"cells": counts, "area": area})


def products_of(arrays, window, grid, min_latitude):
    """Return the PP and the MAGT products of a block, each (products, rows, columns), NaN south of ``min_latitude``."""
    percents, temperatures = np.array(arrays["PP"]), np.array(arrays["MAGT"])
    outside = grid.south_of(min_latitude, window.row, window.rows, window.column, window.columns)
    percents[:, outside] = temperatures[:, outside] = np.nan
    return percents, temperatures


def ensemble_percent(percents, absent, min_products):
    """Combine PP products, shape (products, rows, columns) in % with NaN, into (base, PP, count, spread).

    A product flagged absent counts as 0 where any other product has a value. Base: 1 where at least ``min_products``
    are > 0, 0 where some product has a value, else BASE_NODATA. PP: median of the products on the base map. Count:
    products with a value, spread: largest minus smallest, both where any product has one.
    """
    percents = percents.copy()
    somewhere = ~np.isnan(percents).all(axis=0)
    for i, flagged in enumerate(absent):
        if flagged:
            percents[i][np.isnan(percents[i]) & somewhere] = 0.0
    base = np.where(somewhere, 0, BASE_NODATA).astype(np.uint8)
    base[(percents > 0).sum(axis=0) >= min_products] = 1
    median = _median(percents)
    median[base != 1] = np.nan
    return base, median, _count(percents), _spread(percents)


def ensemble_temperature(temperatures, min_magt):
    """Combine MAGT products, shape (products, rows, columns) in °C with NaN, into (MAGT, count, spread).

    MAGT is the median where at least ``min_magt`` products have a value, else NaN.
    """
    median = _median(temperatures)
    count = _count(temperatures)
    median[count < min_magt] = np.nan
    return median, count, _spread(temperatures)


def _median(stack):
    if len(stack) > 3:
        # numpy's warning of empty cells cannot be silenced here: its filters are not made for threads
        empty = np.isnan(stack).all(axis=0)
        return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, stack), axis=0))
    # up to three need no sorting; of one or two values the median is the middle of the extremes
    middle = (np.fmin.reduce(stack) + np.fmax.reduce(stack)) / 2
    if len(stack) == 3:
        complete = ~np.isnan(stack).any(axis=0)
        low, high = np.fmin(stack[0], stack[1]), np.fmax(stack[0], stack[1])
        middle[complete] = np.maximum(low, np.minimum(high, stack[2]))[complete]
    return middle


def _count(stack):
    return (~np.isnan(stack)).sum(axis=0).astype(np.uint8)


def _spread(stack):
    return np.fmax.reduce(stack) - np.fmin.reduce(stack)


@dataclass(frozen=True)
class Products:
    """The products of an ensemble, opened: ``sources`` {"PP", "MAGT": list of Sources on ``grid``} in the order of
    their names, and one flag a PP product, ``absent``, where its nodata means "no permafrost"."""

    grid: object
    sources: dict
    absent: tuple


def open_products(pp_paths, magt_paths, options, progress, target=None, others=()):
    """Return the Products of an ensemble, checked: number, units, patterns, grids.

    ``others``: RasterInfos that have to share the grid too where no ``target`` is given. Raises InputError, GridError,
    Cancelled.
    """
    for role, paths in (("PP", pp_paths), ("MAGT", magt_paths)):
        if len(paths) < 2:
            raise InputError(f"An ensemble needs at least 2 {role} products; {len(paths)} given. Add one under {role}.")
        if len(set(paths)) < len(paths):
            raise InputError(f"The same {role} product is given twice; every product may vote once.")
    if not 1 <= options.min_products <= len(pp_paths):
        raise InputError(f"MIN_PRODUCTS is {options.min_products}, but there are {len(pp_paths)} PP products.")
    if not 1 <= options.min_magt <= len(magt_paths):
        raise InputError(f"MIN_MAGT is {options.min_magt}, but there are {len(magt_paths)} MAGT products.")
    # the names that ABSENT speaks of are the user's, so those of the preset's own reading are not asked for
    reading = replace(Reading.of(options), absent="")
    refuse_wrong_names(reading, [*pp_paths, *magt_paths])
    absent = [(pattern.strip(), "absent") for pattern in options.absent.replace(",", ";").split(";") if pattern.strip()]
    check_patterns(absent, [display_name(path) for path in pp_paths], "ABSENT")
    opened = {}
    for role, paths in (("pp", pp_paths), ("magt", magt_paths)):
        layers = [layer_in_role(path, role, QUANTITIES[role], reading, progress) for path in paths]
        # by name, so that the order in which products are clicked cannot matter
        opened[role] = sorted(layers, key=lambda layer: (layer[0].name, layer[0].path))
    grid = target or common_grid([info for layers in opened.values() for info, *_ in layers] + list(others))
    sources = {role.upper(): [on_grid(item, grid) for _, item, _ in layers] for role, layers in opened.items()}
    flags = tuple(matching(absent, info.name) is not None for info, *_ in opened["pp"])
    for (info, item, _), flagged in zip(opened["pp"], flags):
        none = flagged or item.absent is not None
        progress.info(f"{info.name}: nodata means {'no permafrost' if none else 'no information'}.")
    return Products(grid, sources, flags)


def ensemble_permafrost(pp_paths, magt_paths, outputs, staging, progress, options=None, target=None, settings=None):
    """Make the ensemble from rasters and stage its outputs.

    ``pp_paths``, ``magt_paths``: at least 2 each. ``outputs``: {"base"|"pp"|"magt"|"count"|"spread": path or None}.
    ``target``: Grid, or None when all products share one. Returns {"cells": Counter, "area_km2": float}.
    Raises InputError (too few products, unit, all nodata), GridError, OutputError, Cancelled.
    """
    options = options or EnsembleOptions()
    products = open_products(pp_paths, magt_paths, options, progress, target)
    kernel = EnsembleKernel(products.absent, options.min_products, options.min_magt, options.min_latitude)
    specs = {
        "base": OutputSpec(outputs.get("base"), "uint8", BASE_NODATA, ("permafrost base map",), colours=BASE_COLOURS),
        "pp": OutputSpec(outputs.get("pp"), "float32", FLOAT_NODATA, ("permafrost percent",), ("%",)),
        "magt": OutputSpec(outputs.get("magt"), "float32", FLOAT_NODATA, ("MAGT",), ("degC",)),
        "count": OutputSpec(outputs.get("count"), "uint8", 255, ("PP products", "MAGT products")),
        "spread": OutputSpec(outputs.get("spread"), "float32", FLOAT_NODATA, ("PP range", "MAGT range"),
                             ("%", "degC")),
    }
    tallies = run_blocks(products.grid, products.sources, kernel, specs, staging, progress, settings,
                         extra_bytes=40 * (len(pp_paths) + len(magt_paths)))
    cells = tallies["cells"]
    if cells["permafrost"] == 0:
        raise InputError("No cell has permafrost in enough products. Check that the PP products overlap, that their "
                         "unit is %, and whether nodata means 'absent' (ABSENT).")
    if cells["permafrost_without_magt"]:
        progress.warn(f"{cells['permafrost_without_magt']} of {cells['permafrost']} permafrost cells have fewer than "
                      f"{options.min_magt} MAGT products and no MAGT.")
    return {"cells": dict(cells), "area_km2": tallies["area"]["permafrost"] / 1e10}


def common_grid(infos):
    """Return the grid that all rasters share; raises GridError with the remedy where they do not."""
    require_same((infos[0].name, infos[0].grid), [(info.name, info.grid) for info in infos[1:]],
                 "Give a target grid (TARGET) to have the layers warped on the fly, or align them first.")
    return infos[0].grid
