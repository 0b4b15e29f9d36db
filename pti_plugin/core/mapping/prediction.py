"""The predicted map: votes of all runs in every cell, what they agree on, and the 3 × 3 majority filter.

Method, sections 5, 8 and 9; the paper's section 2.2.4. Beside the map: how sure the ensemble is, whether a cell is like
anything it was trained on (applicability.py), and how far the map agrees with the index it learned, wall to wall.
"""

import threading
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..assessment.accuracy import kappa, overall_accuracy, tier_accuracy
from ..assessment.accuracy_panel import row
from ..common import ranks
from ..common.errors import InputError
from ..common.packages import require
from ..ensembles.features import read_stack
from ..index.pti import area_table
from ..learning.model_file import read_model
from ..learning.predictor_stack import scaled
from ..learning.training import ensemble_class
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.geodesic import geocentric_km, longest_chord_km
from ..rasters.grid import AREA_UNITS_PER_KM2
from ..rasters.raster import NO_CLASS
from ..rasters.tally import Tally
from .applicability import applicability
from .tree_ensemble import voting

#: outputs, each a raster
OUTPUTS = ("pti", "agreement", "margin", "entropy", "probabilities", "outside", "dissimilarity", "applicability")
#: colours of the area of applicability
APPLICABILITY = {0: ("outside the area of applicability", "#d95f02"), 1: ("inside", "#b7e2d8")}
COUNT_NODATA = 255

_lock = threading.Lock()
_loaded = {}


@dataclass(frozen=True)
class PredictionOptions:
    """``smooth``: 3 × 3 majority filter; ``buffer_km``: cells nearer to a training point than this do not count for the
    agreement with the reference."""

    smooth: bool = True
    buffer_km: float = 25.0

    def check(self):
        """Raise InputError for values out of their range."""
        if not 0 <= self.buffer_km <= 5000:
            raise InputError(f"BUFFER_KM is {self.buffer_km:g}; it must lie between 0 and 5000.")


class _Loaded:
    """What all blocks of a run share: the model, what votes, and what the outputs asked for need."""

    def __init__(self, path, progress, wanted, buffer_km=None):
        self.model = read_model(path)
        self.voter, self.reason = voting(self.model, progress.check)
        if "outside" in wanted:
            x = self.model.training_samples()["x"]
            self.low, self.high = x.min(axis=0), x.max(axis=0)
        if wanted & {"dissimilarity", "applicability"}:
            samples = self.model.training_samples()
            gains = self.model.manifest["gain_share_percent"]
            self.applicability = applicability(
                samples["x"], self.model.features, [gains[feature.name] for feature in self.model.features],
                samples["block_fold"], progress)
        if buffer_km is not None:
            samples = self.model.training_samples()
            spatial = require("scipy.spatial", "the agreement with the reference")
            self.near = spatial.cKDTree(geocentric_km(samples["longitude"], samples["latitude"]))
            self.chord = float(longest_chord_km(buffer_km))


@dataclass(frozen=True)
class PredictionKernel:
    """The work of one block; it gets one cell more on every side for the filter.

    ``key`` finds what was loaded for the run; ``ranges``: (low, high) of the predictors that the stack holds unscaled,
    None for the others.
    """

    key: str
    smooth: bool
    wanted: frozenset
    ranges: tuple

    def __call__(self, arrays, window, grid):
        """Return the outputs of a block and its tallies."""
        loaded = _loaded[self.key]
        model, codes = loaded.model, np.array(loaded.model.codes)
        shape = (window.rows + 2, window.columns + 2)
        inside = wanted_cells(arrays["MASK"]) if "MASK" in arrays else np.ones(shape, dtype=bool)
        x, valid, unseen = predictors_of(arrays["STACK"], inside, model, self.ranges)
        votes, chances = loaded.voter.votes(x) if len(x) else (np.zeros((0, len(codes)), np.uint16),
                                                               np.zeros((0, len(codes))))
        place = np.full(shape, -1, dtype=np.int16)
        place[valid] = ensemble_class(votes.astype(np.int32), chances) if len(x) else 0
        final = majority_filter(place, len(codes)) if self.smooth else place
        inner = (slice(1, -1), slice(1, -1))
        order = np.full(shape, -1)
        order[valid] = np.arange(len(x))
        row, known, final = order[inner], place[inner] >= 0, final[inner]
        row = row[known]
        index = np.zeros(known.shape, dtype=np.uint8)
        index[known] = codes[final[known]]
        outputs = {"pti": index, **self._beside(loaded, x[row], votes[row], chances[row] / len(model.boosters),
                                                final[known], known)}
        tallies = _tally(index, grid, window, changed=int((final != place[inner])[known].sum()),
                         unseen=int(unseen[inner].sum()))
        if "applicability" in outputs:
            tallies["counts"]["outside"] = int((outputs["applicability"] == 0).sum())
        if "REFERENCE" in arrays:
            tallies["agreement"] = _against(loaded, index, arrays["REFERENCE"][inner], grid, window)
        return outputs, tallies

    def _beside(self, loaded, x, votes, share, final, known):
        """Return the other outputs asked for, {name: array of the block}."""
        found = {}

        def add(name, values):
            layer = np.full(known.shape, np.nan)
            layer[known] = values
            found[name] = layer

        runs = len(loaded.model.boosters)
        if "agreement" in self.wanted:
            add("agreement", 100.0 * votes[np.arange(len(final)), final] / runs)
        if "margin" in self.wanted:
            most = np.sort(votes.astype(np.int32), axis=1)
            add("margin", 100.0 * (most[:, -1] - most[:, -2]) / runs)
        if "entropy" in self.wanted:
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = np.where(share > 0, share * np.log(share), 0.0)
            add("entropy", np.clip(-terms.sum(axis=1) / np.log(max(share.shape[1], 2)), 0, 1))
        if "probabilities" in self.wanted:
            layers = np.full((share.shape[1], *known.shape), np.nan)
            layers[:, known] = share.T
            found["probabilities"] = layers
        if "outside" in self.wanted:
            numbers = np.array([not feature.categorical for feature in loaded.model.features])
            beyond = ((x < loaded.low) | (x > loaded.high))[:, numbers].sum(axis=1)
            found["outside"] = np.full(known.shape, COUNT_NODATA, dtype=np.uint8)
            found["outside"][known] = beyond
        if self.wanted & {"dissimilarity", "applicability"}:
            index = loaded.applicability.dissimilarity(x)
            add("dissimilarity", index)
            found["applicability"] = np.full(known.shape, COUNT_NODATA, dtype=np.uint8)
            found["applicability"][known] = index <= loaded.applicability.threshold
        return found


def predictors_of(layers, inside, model, ranges):
    """Return (float32 (cells, features), mask of the cells that have all, mask of those with an unseen category).

    ``layers``: arrays of the model's features, or an iterable that reads them one by one: the others are not asked for
    once no cell is left. ``inside``: mask of the cells to look at; ``ranges``: see ``Stack.select``.
    """
    valid, unseen, read = inside.copy(), np.zeros(inside.shape, dtype=bool), []
    layers = iter(layers)
    for feature, limits in zip(model.features, ranges):
        # most blocks of a large map are sea
        if not valid.any():
            return np.zeros((0, len(model.features)), dtype=np.float32), valid, valid.copy()
        layer = next(layers)
        if feature.categorical:
            valid &= layer != NO_CLASS
            unseen |= (layer != NO_CLASS) & ~np.isin(layer, model.manifest["categories"][feature.name])
        else:
            valid &= ~np.isnan(layer)
            layer = scaled(layer.astype(np.float32), *limits)[0] if limits else layer
        read.append(layer)
    unseen &= valid
    valid &= ~unseen
    return np.stack([layer[valid] for layer in read], axis=1).astype(np.float32), valid, unseen


def wanted_cells(mask):
    """Return the cells of a mask layer, int with NO_CLASS, where something is to be done: neither nodata nor 0."""
    return (mask != NO_CLASS) & (mask != 0)


def _against(loaded, index, reference, grid, window):
    """Return a Counter of areas (integer area units) by (classified, reference), and of cells in ("cells",)."""
    both = (index != ranks.NO_RANK) & (reference != NO_CLASS) & (reference != ranks.NO_RANK)
    found = Counter()
    rows, columns = np.nonzero(both)
    if not len(rows):
        return found
    longitude, latitude = grid.lonlat(columns + window.column + 0.5, rows + window.row + 0.5)
    far = loaded.near.query(geocentric_km(longitude, latitude), distance_upper_bound=loaded.chord)[0] >= loaded.chord
    rows, columns = rows[far], columns[far]
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)[rows, columns]
    pairs = np.stack([index[rows, columns], reference[rows, columns]]).astype(int)
    for pair in np.unique(pairs, axis=1).T:
        here = (pairs == pair[:, None]).all(axis=0)
        found[int(pair[0]), int(pair[1])] += int(areas[here].sum())
    found["cells"] += len(rows)
    found["near"] += int((~far).sum())
    return found


def majority_filter(place, classes):
    """Return the 3 × 3 majority of class places (int, −1 = nodata, which neither votes nor changes).

    A tie for the most votes keeps the centre. The outermost rows and columns are computed without what lies beyond.
    """
    rows, columns = place.shape
    padded = np.pad(place, 1, constant_values=-1)
    most, winner, tied = np.zeros(place.shape, np.int8), place.copy(), np.zeros(place.shape, bool)
    for label in range(classes):
        here = padded == label
        votes = np.zeros(place.shape, dtype=np.int8)
        for i in range(3):
            for j in range(3):
                votes += here[i:i + rows, j:j + columns]
        more = votes > most
        tied = np.where(more, False, tied | ((votes == most) & (votes > 0)))
        winner = np.where(more, label, winner)
        most = np.maximum(most, votes)
    return np.where((place < 0) | tied, place, winner)


def _tally(index, grid, window, **counts):
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
    ranked = index != ranks.NO_RANK
    tally = Tally.of(index[ranked], areas[ranked], 256)
    return {"cells": tally.cells, "area": tally.area, "counts": Counter(counts)}


def predict(stack_path, model_path, outputs, staging, progress, mask_path=None, reference_path=None, options=None,
            settings=None):
    """Predict the PTI map and stage it.

    ``outputs``: {name of OUTPUTS: path or None}; ``mask_path``: a raster such as the base map or the conceptual PTI, a
    value other than 0 where to predict; ``reference_path``: the conceptual PTI that the map is compared with wall to
    wall. A stack in raw units is scaled by the model's ranges. Returns {"table": area by rank, "metrics": the model's
    with the line wall to wall, "changed_percent", "unseen", …}.
    Raises InputError (model; missing, unknown or differently scaled predictors), GridError, OutputError, Cancelled.
    """
    options = options or PredictionOptions()
    options.check()
    stack = read_stack(stack_path)
    wanted = frozenset(name for name in OUTPUTS if outputs.get(name))
    key = f"{threading.get_ident()} {model_path}"
    loaded = _Loaded(model_path, progress, wanted, options.buffer_km if reference_path else None)
    model = loaded.model
    if loaded.reason:
        progress.info(f"XGBoost itself predicts, which is slower: {loaded.reason}")
    stack.refuse_unknown(model.offered)
    items, ranges = stack.select(model.features)
    if any(ranges):
        progress.info(f"{stack.name} is in raw units; the model's ranges are applied.")
    sources = {"STACK": items}
    for role, path in (("MASK", mask_path), ("REFERENCE", reference_path)):
        if path:
            sources[role] = stack.beside(path, role)
    with _lock:
        _loaded[key] = loaded
    try:
        tallies = run_blocks(stack.grid, sources, PredictionKernel(key, options.smooth, wanted, ranges),
                             _specs(outputs, model), staging, progress, settings, overlap=1,
                             extra_bytes=60 * len(model.features) + 32 * len(model.codes))
    finally:
        with _lock:
            del _loaded[key]
    total = sum(tallies["cells"].values())
    if not total:
        raise InputError("No cell could be predicted: no cell has all predictors. Check the stack and the mask.")
    counts = tallies["counts"]
    if counts["unseen"]:
        progress.warn(f"{counts['unseen']} cells have a category that the model never saw; they are nodata.")
    if options.smooth:
        progress.info(f"The 3 x 3 majority filter changed {100 * counts['changed'] / total:.2f} % of {total} cells.")
    result = {"table": area_table(tallies["cells"], tallies["area"]), "unseen": counts["unseen"],
              "changed_percent": round(100 * counts["changed"] / total, 3),
              "metrics": model.manifest.get("metrics", [])}
    if "applicability" in wanted:
        result["outside_percent"] = round(100 * counts["outside"] / total, 3)
        result["applicability_threshold"] = loaded.applicability.threshold
        progress.info(f"{result['outside_percent']} % of the cells lie outside the area of applicability (threshold of "
                      f"the dissimilarity index {loaded.applicability.threshold:.3g}).")
    if reference_path:
        rows = wall_to_wall(tallies.get("agreement", Counter()), options.buffer_km)
        result["wall_to_wall"] = rows
        result["metrics"] = _with_wall_to_wall(result["metrics"], rows)
        progress.info(f"{rows[0]['line']}: {rows[0]['value']:.1f} % (n = {rows[0]['n']} cells)")
    return result


def _specs(outputs, model):
    """Return the OutputSpecs of all outputs."""
    def number(name, title, unit=""):
        return OutputSpec(outputs.get(name), "float32", FLOAT_NODATA, (title,), (unit,))

    return {
        "pti": OutputSpec(outputs.get("pti"), "uint8", ranks.NO_RANK, ("predicted Permafrost Thaw Index",),
                          colours=ranks.colour_table()),
        "agreement": number("agreement", "runs that agree", "%"),
        "margin": number("margin", "votes of the first over the second class", "%"),
        "entropy": number("entropy", "entropy of the classes"),
        "probabilities": OutputSpec(outputs.get("probabilities"), "float32", FLOAT_NODATA,
                                    tuple(f"probability of {code}" for code in model.codes)),
        "outside": OutputSpec(outputs.get("outside"), "uint8", COUNT_NODATA, ("predictors outside the samples",)),
        "dissimilarity": number("dissimilarity", "dissimilarity index"),
        "applicability": OutputSpec(outputs.get("applicability"), "uint8", COUNT_NODATA, ("area of applicability",),
                                    colours={code: (name, ranks.hex_to_rgb(colour))
                                             for code, (name, colour) in APPLICABILITY.items()}),
    }


def wall_to_wall(areas, buffer_km):
    """Return metric rows of the agreement with the reference, weighted by area.

    ``areas``: Counter of areas by (classified, reference), with the number of cells in "cells". It is a census of all
    cells and not a sample, so it has no interval. Raises InputError where no cell is far enough from the samples.
    """
    matrix = np.zeros((len(ranks.CODES), len(ranks.CODES)))
    for pair, area in areas.items():
        if isinstance(pair, tuple):
            matrix[ranks.ORDER[pair[0]], ranks.ORDER[pair[1]]] = area / AREA_UNITS_PER_KM2
    if not matrix.sum():
        raise InputError(f"No cell of the map with a rank in the reference lies {buffer_km:g} km or more from all "
                         f"training points. Lower BUFFER_KM, or leave REFERENCE out.")
    where = f"wall to wall, {buffer_km:g} km from the samples"
    return [
        row("accuracy", where, 100 * overall_accuracy(matrix), areas["cells"], meaning="Agreement of the map with the "
            "index it learned, on all cells away from the training points, weighted by area. All cells are counted, so "
            "there is no interval. It says how well the map stands for the index, not how right the index is."),
        row("agreement", f"tier accuracy ({where})", 100 * tier_accuracy(matrix), areas["cells"],
            meaning="Cold, cool, warm or isolated is the same, weighted by area."),
        row("agreement", f"kappa ({where})", kappa(matrix), areas["cells"], "",
            meaning="Agreement beyond chance, weighted by area.")]


def _with_wall_to_wall(metrics, rows):
    """Return the metrics with the new rows before the in-sample vote, which stands last in the panel."""
    place = next((i for i, row in enumerate(metrics) if row["line"].startswith("in-sample")), len(metrics))
    return [*metrics[:place], *rows, *metrics[place:]]
