"""Slope in true metres from an elevation model on any grid: degrees, polar projections, equal-area ones.

Method, section 2 (D18). Differences between cells are Horn's (Proceedings of the IEEE 69, 1981); what a step of one
cell means on the ground is the metric tensor of the grid on the ellipsoid WGS 84, at height 0: with J the derivative
of the geocentric position by column and row, and G = JᵀJ, the squared gradient of z is ∇zᵀ G⁻¹ ∇z. Neither the pole
of a projection nor the seam of the longitudes is a special place in geocentric coordinates.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.geodesic import FLATTENING, SEMI_MAJOR_M, geocentric_km
from ..rasters.grid import spatial_reference
from ..rasters.product_sources import Reading, layer_in_role
from ..rasters.products import RECOGNISE
from ..rasters.raster import on_grid, source
from ..rasters.units import Quantity

DEGREES, PERCENT = UNITS = ("degrees", "percent")
_UNIT_NAMES = {DEGREES: "degree", PERCENT: "%"}
#: plausible land and sea floor, m
ELEVATION_LIMITS = (-12000.0, 9000.0)

#: most ground between two nodes at which the metric of a projection is computed; between them it is interpolated.
#: The error of that goes with the square of it over the radius of the Earth, (32 / 6371)² / 8 = 3e-6
LATTICE_M = 32_000.0
#: most cells between two nodes
LATTICE_CELLS = 64
#: G is singular where the shorter side of a cell is less than this share of the longer one: at the pole of a grid of
#: longitudes
_SINGULAR = 1e-6

_E2 = FLATTENING * (2 - FLATTENING)


@dataclass(frozen=True)
class SlopeOptions:
    """``unit`` of UNITS; ``min_elevation``: lowest elevation in m that is land, by default without a limit.

    ``product``, ``products`` and ``units`` of the elevation: see Reading.
    """

    unit: str = DEGREES
    min_elevation: float = ELEVATION_LIMITS[0]
    product: str = RECOGNISE
    products: str = ""
    units: str = ""

    @property
    def limited(self):
        """True where ``min_elevation`` leaves anything out."""
        return self.min_elevation > ELEVATION_LIMITS[0]

    def check(self):
        """Raise InputError for values out of their range."""
        if self.unit not in UNITS:
            raise InputError(f"UNIT is '{self.unit}'; it must be one of {', '.join(UNITS)}.")
        if not ELEVATION_LIMITS[0] <= self.min_elevation <= ELEVATION_LIMITS[1]:
            raise InputError(f"MIN_ELEVATION is {self.min_elevation:g}; it must lie between {ELEVATION_LIMITS[0]:g} "
                             f"and {ELEVATION_LIMITS[1]:g} m.")


@dataclass(frozen=True)
class ElevationKernel:
    """Hands the elevation through, so that it is warped once and not again at every edge of a block."""

    def __call__(self, arrays, window, grid):
        """Return the elevation of a block."""
        return {"elevation": arrays["ELEVATION"].astype(np.float32)}, {}


@dataclass(frozen=True)
class SlopeKernel:
    """The arithmetic of one block, read with an overlap of one cell."""

    unit: str

    def __call__(self, arrays, window, grid):
        """Return the slope of a block and how many of its cells have one."""
        # single precision, as a working file holds it, so that the way a cell came here cannot be seen
        elevation = arrays["ELEVATION"].astype(np.float32).astype(np.float64)
        across, down, whole = horn_differences(elevation)
        known = ~np.isnan(across) & ~np.isnan(down)
        slope = steepness(across, down, metric(grid, window, known))
        slope = 100.0 * slope if self.unit == PERCENT else np.degrees(np.arctan(slope))
        there, made = ~np.isnan(elevation[1:-1, 1:-1]), ~np.isnan(slope)
        tally = Counter(elevation=int(there.sum()), slope=int(made.sum()), partial=int((made & ~whole).sum()),
                        lost=int((there & ~made).sum()))
        return {"slope": slope}, {"cells": tally}


def horn_differences(elevation):
    """Return (across, down, whole) of the inner cells of ``elevation`` (rows + 2, columns + 2), NaN = nodata.

    ``across`` and ``down``: change of elevation by one column and by one row, each the mean of the differences in
    the three rows (columns) with weights 1, 2, 1. A difference is central where both neighbours are there, one-sided
    where one of them is, and left out where neither is; NaN where none is left, or the cell itself has no elevation.
    On a plane all of them are the same. ``whole``: True where nothing was missing.
    """
    across = _weighted([_difference(elevation[i:i + elevation.shape[0] - 2, :-2],
                                    elevation[i:i + elevation.shape[0] - 2, 1:-1],
                                    elevation[i:i + elevation.shape[0] - 2, 2:]) for i in range(3)])
    down = _weighted([_difference(elevation[:-2, i:i + elevation.shape[1] - 2],
                                  elevation[1:-1, i:i + elevation.shape[1] - 2],
                                  elevation[2:, i:i + elevation.shape[1] - 2]) for i in range(3)])
    known = ~np.isnan(elevation)
    across[~known[1:-1, 1:-1]] = down[~known[1:-1, 1:-1]] = np.nan
    sides = known[:, :-2] & known[:, 1:-1] & known[:, 2:]
    return across, down, sides[:-2] & sides[1:-1] & sides[2:]


def _difference(before, middle, after):
    change = (after - before) / 2
    missing = np.isnan(change)
    if missing.any():
        change[missing] = (after - middle)[missing]
        missing = np.isnan(change)
        change[missing] = (middle - before)[missing]
    return change


def _weighted(differences):
    total, weights = np.zeros(differences[0].shape), np.zeros(differences[0].shape)
    for weight, change in zip((1.0, 2.0, 1.0), differences):
        known = ~np.isnan(change)
        total += np.where(known, weight * change, 0.0)
        weights += weight * known
    with np.errstate(invalid="ignore"):
        return total / np.where(weights, weights, np.nan)


def steepness(across, down, tensor):
    """Return the gradient in m per m from differences by column and row and the metric (cc, cr, rr) of the grid."""
    cc, cr, rr = tensor
    determinant = cc * rr - cr * cr
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = determinant > (_SINGULAR * np.maximum(cc, rr)) ** 2
        squared = (rr * across * across - 2 * cr * across * down + cc * down * down) / determinant
        return np.where(usable, np.sqrt(np.maximum(squared, 0.0)), np.nan)


def metric(grid, window, needed=None):
    """Return the metric tensor (cc, cr, rr) in m² per cell² at the centres of a window's cells.

    The arrays broadcast to (rows, columns). On a geographic grid it is exact; on a projection it is computed at the
    nodes of a lattice with fixed places and interpolated between them. Cells with a node off the projection are
    computed one by one where ``needed`` (bool, rows x columns) is True, and NaN elsewhere.
    """
    if grid.is_geographic:
        return _geographic_metric(grid, window)
    spacing = lattice_spacing(grid)
    column, left, right = _nodes(window.column, window.columns, spacing)
    row, above, below = _nodes(window.row, window.rows, spacing)
    columns, rows = np.meshgrid(column, row)
    tensor = [_between(values, left, right, above, below)
              for values in _metric_at(grid, columns, rows, max(spacing / 2, 0.5))]
    missing = np.isnan(tensor[0]) if needed is None else np.isnan(tensor[0]) & needed
    if missing.any():
        rows, columns = np.nonzero(missing)
        exact = _metric_at(grid, window.column + columns + 0.5, window.row + rows + 0.5, 0.5)
        for values, found in zip(tensor, exact):
            values[missing] = found
    return tensor


def lattice_spacing(grid):
    """Return the number of cells between two nodes of the lattice on a projected grid."""
    cell = max(grid.cell_size) * spatial_reference(grid.wkt).GetLinearUnits()
    return int(min(max(LATTICE_M // cell, 1), LATTICE_CELLS))


def _nodes(first, count, spacing):
    """Return the centres of the nodes that enclose some columns or rows, and each one's (node before, share after)."""
    index = np.arange(first, first + count)
    start, stop = first // spacing, (first + count - 1) // spacing + 1
    centres = 0.5 + spacing * np.arange(start, stop + 1, dtype=float)
    return centres, index // spacing - start, index % spacing / spacing


def _between(values, left, right, above, below):
    """Interpolate bilinearly: ``left`` and ``above`` are nodes, ``right`` and ``below`` the shares of the next."""
    rows = values[above] + (values[above + 1] - values[above]) * below[:, None]
    return rows[:, left] + (rows[:, left + 1] - rows[:, left]) * right[None, :]


def _metric_at(grid, columns, rows, reach):
    """Metric tensor at positions in cells, by central differences over ``reach`` cells on each side."""
    by_column = _derivative(_geocentric(grid, columns - reach, rows), _geocentric(grid, columns + reach, rows), reach)
    by_row = _derivative(_geocentric(grid, columns, rows - reach), _geocentric(grid, columns, rows + reach), reach)
    return _product(by_column, by_column), _product(by_column, by_row), _product(by_row, by_row)


def _derivative(before, after, reach):
    return [(b - a) / (2 * reach) for a, b in zip(before, after)]


def _product(first, second):
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _geocentric(grid, columns, rows):
    """Geocentric coordinates (x, y, z) in m of positions in cells, on the ellipsoid."""
    return tuple(np.moveaxis(1000 * geocentric_km(*grid.lonlat(columns, rows)), -1, 0))


def _geographic_metric(grid, window):
    """Metric tensor where coordinates are angles: the radii of curvature of the ellipsoid."""
    columns = window.column + 0.5 + np.arange(window.columns if grid.transform[4] else 1)
    rows = window.row + 0.5 + np.arange(window.rows)
    radians = spatial_reference(grid.wkt).GetAngularUnits()
    latitude = grid.xy(columns[None, :], rows[:, None])[1] * radians
    root = np.sqrt(1 - _E2 * np.sin(latitude) ** 2)
    # metres on the ground by one unit of longitude and of latitude
    east = SEMI_MAJOR_M / root * np.cos(latitude) * radians
    north = SEMI_MAJOR_M * (1 - _E2) / root ** 3 * radians
    _, a, b, _, d, e = grid.transform
    return ((east * a) ** 2 + (north * d) ** 2, east ** 2 * a * b + north ** 2 * d * e,
            (east * b) ** 2 + (north * e) ** 2)


def slope(path, outputs, staging, progress, options=None, target=None, settings=None):
    """Make the slope of an elevation model and stage it.

    ``path``: one band of elevation, in m unless it declares feet or another length; ``outputs``: {"slope",
    "elevation": path or None}, elevation in m on the grid of the slope; ``target``: Grid that the elevation is brought
    to before its slope is taken, or None. Returns {"cells": {"elevation", "slope", "partial", "lost"}}, numbers of
    cells with an elevation, with a slope, with one from fewer neighbours, and without one for lack of neighbours.
    Raises InputError (unit, elevation off −12,000 to 9,000 m, empty), GridError, OutputError, Cancelled.
    """
    options = options or SlopeOptions()
    options.check()
    elevation = Quantity("elevation", "m", *ELEVATION_LIMITS, {})
    info, item, _ = layer_in_role(path, "elevation", elevation, Reading.of(options), progress)
    if options.limited:
        item = replace(item, keep=(options.min_elevation, np.inf))
    grid = target or info.grid
    item = on_grid(item, grid)
    if item.resampling == "bilinear":
        progress.warn(f"The target grid is finer than {info.name}; the slope is that of a surface interpolated between "
                      f"its cells.")
    tags = {"PTI_MIN_ELEVATION": f"{options.min_elevation:g}"} if options.limited else {}
    step, working = progress, None
    if item.target or outputs.get("elevation"):
        working = outputs.get("elevation") or outputs["slope"] + ".elevation.tif"
        spec = {"elevation": OutputSpec(working, "float32", FLOAT_NODATA, ("elevation",), ("m",), metadata=tags)}
        run_blocks(grid, {"ELEVATION": item}, ElevationKernel(), spec, staging, progress.part(0, 0.6), settings,
                   extra_bytes=8)
        item, step = source(staging.partial(working)), progress.part(0.6, 1)
    spec = {"slope": OutputSpec(outputs["slope"], "float32", FLOAT_NODATA, ("slope",), (_UNIT_NAMES[options.unit],),
                                metadata=tags)}
    cells = run_blocks(grid, {"ELEVATION": item}, SlopeKernel(options.unit), spec, staging, step, settings, overlap=1,
                       extra_bytes=220)["cells"]
    if working and not outputs.get("elevation"):
        staging.drop(working)
    _tell(cells, info, options, progress)
    return {"cells": {name: cells[name] for name in ("elevation", "slope", "partial", "lost")}}


def _tell(cells, info, options, progress):
    if not cells["elevation"]:
        above = f" at or above MIN_ELEVATION, {options.min_elevation:g} m" if options.limited else ""
        raise InputError(f"{info.name} has no elevation{above} on the grid of the result. Check its nodata value"
                         f"{' and MIN_ELEVATION' if above else ''}.")
    if not cells["slope"]:
        raise InputError(f"No cell of {info.name} has neighbours to take a slope from; a slope needs at least 2 rows "
                         f"and 2 columns of elevation.")
    progress.info(f"{cells['slope']} cells have a slope, {cells['partial']} of them at the edge of the elevation, from "
                  f"the neighbours that are there.")
    if cells["lost"]:
        progress.warn(f"{cells['lost']} of {cells['elevation']} cells with an elevation have no neighbour in a "
                      f"direction, or lie on the pole of a grid of longitudes, and have no slope.")
