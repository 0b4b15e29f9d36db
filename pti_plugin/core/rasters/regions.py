"""The part of a grid that a region needs, so that a global product is not computed whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..common.errors import GridError
from .grid import Grid
from .placement import Footprint
from .raster import Source, on_region

#: side of the parts in which a target is looked at
PART = 512
#: rows of a grid whose latitudes are looked at at once
ROWS_AT_ONCE = 256


def region_of(items: Sequence[Source], target: Grid | None = None, min_latitude: float = -90.0) -> list[Source]:
    """Return Sources of one grid that read only the part of it that a ``target`` or a southern limit needs.

    The cells stay those of the grid: the part is the smallest rectangle of them round the region, with what
    an interpolation to the target reaches beyond it. Raises GridError where the region has none of them.
    """
    if target is None and min_latitude <= -90.0:
        return list(items)
    window = window_round(items[0].grid, items[0].name, target, min_latitude)
    return [on_region(item, window) for item in items]


def window_round(grid: Grid, name: str, target: Grid | None, min_latitude: float) -> tuple:
    """Return (row, rows, column, columns) of the cells of ``grid`` that a region needs; raises GridError for none."""
    top, bottom, left, right = 0, grid.height, 0, grid.width
    if target is not None:
        windows = _windows(grid, target)
        if not windows:
            raise GridError(f"{name} does not overlap TARGET ({target.describe()}). Check the CRS and extent of both.")
        top, bottom = min(window[0] for window in windows), max(window[0] + window[1] for window in windows)
        left, right = min(window[2] for window in windows), max(window[2] + window[3] for window in windows)
        # a region across the seam of a grid round the Earth takes all its columns
        left, right = (0, grid.width) if right > grid.width else (left, right)
    if min_latitude > -90.0:
        north = [(row, columns) for start in range(top, bottom, ROWS_AT_ONCE)
                 for row, columns in _north(grid, min_latitude, start, min(ROWS_AT_ONCE, bottom - start), left,
                                            right - left)]
        if not north:
            raise GridError(f"{name} has no cell north of {min_latitude:g} degrees (MIN_LATITUDE).")
        top, bottom = north[0][0], north[-1][0] + 1
        left, right = min(columns[0] for _, columns in north), max(columns[1] for _, columns in north)
    return top, bottom - top, left, right - left


def _windows(grid, target):
    """Return the windows (top, height, left, width) of ``grid`` that parts of the target need."""
    footprint = Footprint(grid, target)
    return [window for row in range(0, target.height, PART) for column in range(0, target.width, PART)
            for window in [footprint.window(row, min(PART, target.height - row), column,
                                            min(PART, target.width - column))] if window]


def _north(grid, latitude, row, rows, column, columns):
    """Yield (row, (first column, last column + 1)) of the rows that reach north of a latitude."""
    inside = ~grid.south_of(latitude, row, rows, column, columns)
    for place in np.flatnonzero(inside.any(axis=1)):
        across = np.flatnonzero(inside[place])
        yield row + int(place), (column + int(across[0]), column + int(across[-1]) + 1)
