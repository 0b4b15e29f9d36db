"""How far the predicted map agrees with the conceptual index that it learned, wall to wall, in all and by latitude.

The index is known in every cell, so this is a census without intervals, weighted by area. Only cells away from the
training points count: near them the map repeats what it was told. Method, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..assessment.accuracy import kappa, overall_accuracy, tier_accuracy
from ..assessment.accuracy_panel import row
from ..common import ranks
from ..common.errors import InputError
from ..common.packages import require
from ..index.rank_comparison import PLACES
from ..rasters.blocks import Window
from ..rasters.geodesic import geocentric_km, longest_chord_km
from ..rasters.grid import AREA_UNITS_PER_KM2, Grid
from ..rasters.tally import Tally
from .coverage import ALL, BAND, band_name, bands_of

SECTION = "agreement by latitude"
#: what the lines of the section say of a band of latitude
SAME, NEAR, COMPARED = "agreement", "within one rank", "compared"
#: farthest that a training point may keep cells from counting, km
MOST_KM = 5000
_RANKS = len(ranks.CODES)
#: bands of latitude from pole to pole, numbered from the south
_BANDS = 180 // BAND


def check_buffer(buffer_km: float) -> None:
    """Raise InputError for a distance from the training points out of its range."""
    if not 0 <= buffer_km <= MOST_KM:
        raise InputError(f"BUFFER_KM is {buffer_km:g}; it must lie between 0 and {MOST_KM}.")


class TrainingPoints:
    """Tells which cells lie ``buffer_km`` or more from all training ``samples`` (structured array of a model)."""

    def __init__(self, samples: np.ndarray, buffer_km: float):
        spatial = require("scipy.spatial", "the agreement with the reference")
        self._tree = spatial.cKDTree(geocentric_km(samples["longitude"], samples["latitude"]))
        self._chord = float(longest_chord_km(buffer_km))

    def away(self, cells: np.ndarray, grid: Grid, window: Window) -> tuple:
        """Return (rows, columns, latitudes) of those of the bool array ``cells`` of a window that lie away from all."""
        rows, columns = np.nonzero(cells)
        longitude, latitude = grid.lonlat(columns + window.column + 0.5, rows + window.row + 0.5)
        # how far a cell without a place on the Earth is cannot be told
        known = np.isfinite(longitude) & np.isfinite(latitude)
        rows, columns, longitude, latitude = rows[known], columns[known], longitude[known], latitude[known]
        if len(rows):
            near = self._tree.query(geocentric_km(longitude, latitude), distance_upper_bound=self._chord)[0]
            far = near >= self._chord
            rows, columns, latitude = rows[far], columns[far], latitude[far]
        return rows, columns, latitude


def tally(index: np.ndarray, reference: np.ndarray, grid: Grid, window: Window, points: TrainingPoints) -> Tally:
    """Return the Tally of the cells of a block, away from ``points``, that have a rank in both, by band and ranks."""
    rows, columns, latitude = points.away((index != ranks.NO_RANK) & (reference != ranks.NO_RANK), grid, window)
    band = bands_of(latitude) // BAND + _BANDS // 2
    pairs = PLACES[index[rows, columns]].astype(np.int64) * _RANKS + PLACES[reference[rows, columns]]
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)[rows, columns]
    return Tally.of(band * _RANKS ** 2 + pairs, areas, _BANDS * _RANKS ** 2)


def matrices(found: Tally) -> dict:
    """Return {band by its southern edge, ALL first: (matrix of km², rows the map, columns the reference, cells)}."""
    bands = sorted({key // _RANKS ** 2 for key in found.cells})
    groups = {ALL: list(found.cells), **{(band - _BANDS // 2) * BAND: [
        key for key in found.cells if key // _RANKS ** 2 == band] for band in bands}}
    made = {}
    for band, keys in groups.items():
        units = np.zeros(_RANKS ** 2, dtype=object)
        for key in keys:
            units[key % _RANKS ** 2] += found.area[key]
        made[band] = ((units / AREA_UNITS_PER_KM2).astype(float).reshape(_RANKS, _RANKS),
                      sum(found.cells[key] for key in keys))
    return made


def near_share(matrix: np.ndarray) -> float:
    """Return the share of a matrix of ranks in which the two are at most one rank apart, NaN for an empty one."""
    places = np.arange(len(matrix))
    near = matrix[np.abs(places[:, None] - places) <= 1].sum()
    return float(near / matrix.sum()) if matrix.sum() else float("nan")


def panel_rows(found: Mapping, buffer_km: float) -> list:
    """Return rows of the accuracy panel of what ``matrices`` gives; InputError where no cell is far enough away."""
    matrix, cells = found[ALL]
    if not matrix.sum():
        raise InputError(f"No cell of the map with a rank in the reference lies {buffer_km:g} km or more from all "
                         f"training points. Lower BUFFER_KM, or leave REFERENCE out.")
    where = f"wall to wall, {buffer_km:g} km from the samples"
    return [
        row("accuracy", where, 100 * overall_accuracy(matrix), cells, meaning="Agreement of the map with the "
            "index it learned, on all cells away from the training points, weighted by area. All cells are counted, so "
            "there is no interval. It says how well the map stands for the index, not how right the index is."),
        row("agreement", f"tier accuracy ({where})", 100 * tier_accuracy(matrix), cells,
            meaning="Cold, cool, warm or isolated is the same, weighted by area."),
        row("agreement", f"kappa ({where})", kappa(matrix), cells, "",
            meaning="Agreement beyond chance, weighted by area.")]


def latitude_rows(found: Mapping, buffer_km: float) -> list:
    """Return rows of a metrics table of the agreement in all and by band of latitude, of what ``matrices`` gives."""
    where = (f"on all cells with a rank in both that lie {buffer_km:g} km or more from the training points, weighted "
             f"by area.")
    rows = []
    for band, (matrix, cells) in found.items():
        place = f"latitude {band if band == ALL else band_name(band)}"
        rows += [
            row(SECTION, f"{SAME}: {place}", 100 * overall_accuracy(matrix), cells,
                meaning=f"Map and index have the same rank, {where}"),
            row(SECTION, f"{NEAR}: {place}", 100 * near_share(matrix), cells,
                meaning=f"Map and index are at most one rank apart, {where}"),
            row(SECTION, f"{COMPARED}: {place}", float(matrix.sum()), cells, "km²",
                meaning="Area of these cells.")]
    return rows


def with_panel_rows(metrics: list, rows: list) -> list:
    """Return the metrics with the new rows before the in-sample vote, which stands last in the panel."""
    place = next((i for i, of_table in enumerate(metrics) if of_table["line"].startswith("in-sample")), len(metrics))
    return [*metrics[:place], *rows, *metrics[place:]]
