"""What a raster says at stations: the value of their cell or of the nearest valid one, and why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..common.progress import Progress
from ..rasters.exclusion import LeftOutClasses, exclusion_on
from ..rasters.product_sources import Reading, layer_in_role, refuse_wrong_names
from ..rasters.raster import Source, values_at
from ..rasters.units import QUANTITIES
from .validation import LEFT_OUT, NEAREST, NO_DATA, OFF_MAP


def point_values(item: Source, search: int, check: Callable) -> Callable:
    """Return the function of (longitudes, latitudes) in degrees by which ``validate`` asks for the values of ``item``.

    It returns (values, reasons), a value as float, NaN for none. Where a cell has none, the nearest one that has within
    ``search`` cells stands in; so it does for cells that the exclusion of ``item`` leaves out, whose reason says so.
    ``check`` is called before each reading and may raise.
    """
    def values(longitudes, latitudes):
        check()
        found, distances = values_at(item, longitudes, latitudes, search=search)
        reasons = np.where(np.isnan(distances), OFF_MAP, np.where(np.isinf(distances), NO_DATA, "")).astype(object)
        for i in np.flatnonzero((distances > 0) & np.isfinite(distances)):
            reasons[i] = f"{NEAREST} {distances[i]:.1f} cells away"
        for i, code in _left_out(item, longitudes, latitudes):
            if not np.isnan(distances[i]):
                said = f"its own has {LEFT_OUT} ({code})"
                reasons[i] = f"{reasons[i]}, {said}" if np.isfinite(distances[i]) else said
        return found, reasons

    return values


def number_sources(paths: dict, units: str, left_out: LeftOutClasses | None, progress: Progress) -> dict:
    """Return {path: Source in its own unit} of rasters {path: quantity of QUANTITIES}; ``units``: text as in UNITS.

    All leave out the cells of ``left_out``, so that rank, temperature and percent are of the same land. Raises
    InputError for units that contradict the values, and patterns that match none of the rasters.
    """
    reading, sources = Reading(units=units), {}
    refuse_wrong_names(reading, list(paths))
    for path, quantity in paths.items():
        _, item, _ = layer_in_role(path, quantity, QUANTITIES[quantity], reading, progress)
        sources[path] = replace(item, exclusion=exclusion_on(left_out, item.grid)) if left_out else item
    return sources


def _left_out(item, longitudes, latitudes):
    """Return [(place, class)] of the points whose own cell is left out."""
    if item.exclusion is None:
        return []
    # it reads on the grid of the map, so that the class is that of the station's cell
    classes, _ = values_at(item.exclusion.source, longitudes, latitudes)
    return [(i, int(classes[i])) for i in np.flatnonzero(item.exclusion.holds(classes))]
