"""The predicted map: votes of all runs in every cell, agreement and entropy, and the 3 × 3 majority filter.

Method, sections 5 and 9; the paper's section 2.2.4.
"""

import threading
from collections import Counter
from dataclasses import dataclass

import numpy as np

from . import ranks
from .blocks import FLOAT_NODATA, OutputSpec, run_blocks
from .errors import InputError
from .features import read_stack
from .model_file import read_model
from .pti import area_table
from .raster import CLASS, NO_CLASS, source
from .training import ensemble_class

_lock = threading.Lock()
_loaded = {}


def _boosters(path):
    """Return (model, boosters) of a model file, loaded once a process and shared by its threads."""
    with _lock:
        if path not in _loaded:
            _loaded.clear()
            model = read_model(path)
            _loaded[path] = model, model.load_boosters()
        return _loaded[path]


@dataclass(frozen=True)
class PredictionKernel:
    """The work of one block; it gets one cell more on every side for the filter."""

    model_path: str
    smooth: bool

    def __call__(self, arrays, window, grid):
        """Return class, agreement and entropy of a block and the tallies by rank."""
        model, boosters = _boosters(self.model_path)
        shape = (window.rows + 2, window.columns + 2)
        x, valid, unseen = _predictors(arrays, model)
        codes = np.array(model.codes)
        votes = np.zeros((x.shape[0], len(codes)), dtype=np.int32)
        chances = np.zeros((x.shape[0], len(codes)))
        if x.shape[0]:
            for booster in boosters:
                probability = booster.inplace_predict(x, missing=np.nan)
                votes[np.arange(len(x)), probability.argmax(axis=1)] += 1
                chances += probability
        place = np.full(shape, -1, dtype=np.int16)
        place[valid] = ensemble_class(votes, chances) if x.shape[0] else 0
        final = majority_filter(place, len(codes)) if self.smooth else place
        inner = (slice(1, -1), slice(1, -1))
        order = np.full(shape, -1)
        order[valid] = np.arange(len(x))
        row, known, final = order[inner], place[inner] >= 0, final[inner]
        row = row[known]
        index = np.zeros(known.shape, dtype=np.uint8)
        index[known] = codes[final[known]]
        agreement, entropy = np.full(known.shape, np.nan), np.full(known.shape, np.nan)
        agreement[known] = 100.0 * votes[row, final[known]] / len(boosters)
        share = chances[row] / len(boosters)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(share > 0, share * np.log(share), 0.0)
        entropy[known] = -terms.sum(axis=1) / np.log(max(len(codes), 2))
        return ({"pti": index, "agreement": agreement, "entropy": np.clip(entropy, 0, 1)},
                _tally(index, grid, window, changed=int((final != place[inner])[known].sum()),
                       unseen=int(unseen[inner].sum())))


def _predictors(arrays, model):
    """Return (float32 (cells, features), valid mask, mask of cells with a category unseen in training)."""
    layers = arrays["STACK"]
    valid = np.ones(layers[0].shape, dtype=bool)
    unseen = np.zeros(layers[0].shape, dtype=bool)
    for feature, layer in zip(model.features, layers):
        if feature.categorical:
            valid &= layer != NO_CLASS
            unseen |= (layer != NO_CLASS) & ~np.isin(layer, model.manifest["categories"][feature.name])
        else:
            valid &= ~np.isnan(layer)
    if "MASK" in arrays:
        inside = (arrays["MASK"] != NO_CLASS) & (arrays["MASK"] != 0)
        valid &= inside
    unseen &= valid
    valid &= ~unseen
    return np.stack([layer[valid] for layer in layers], axis=1).astype(np.float32), valid, unseen


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
    cells, area = Counter(), Counter()
    for code in np.unique(index[index != ranks.NO_RANK]):
        cells[int(code)], area[int(code)] = int((index == code).sum()), int(areas[index == code].sum())
    return {"cells": cells, "area": area, "counts": Counter(counts)}


def predict(stack_path, model_path, outputs, staging, progress, mask_path=None, smooth=True, settings=None):
    """Predict the PTI map and stage it.

    ``outputs``: {"pti"|"agreement"|"entropy": path or None}; ``mask_path``: a raster such as the base map or the
    conceptual PTI, a value other than 0 where to predict. Returns {"table": area by rank, "changed_percent": share
    changed by the filter, "unseen": cells with unseen categories}.
    Raises InputError (model, missing or differently scaled predictors), GridError, OutputError, Cancelled.
    """
    stack = read_stack(stack_path)
    with _lock:
        _loaded.pop(model_path, None)
    model, _ = _boosters(model_path)
    sources = {"STACK": stack.select(model.features)}
    if mask_path:
        mask = source(mask_path, CLASS, single_band=True)
        differences = stack.grid.differences(mask.grid)
        if differences:
            raise InputError(f"The mask {mask.name} is not on the grid of {stack.name}: {'; '.join(differences)}.")
        sources["MASK"] = mask
    extra = [feature.name for feature in stack.features if feature.name not in {f.name for f in model.features}]
    if extra:
        progress.info(f"The model does not use {', '.join(extra)}.")
    specs = {
        "pti": OutputSpec(outputs.get("pti"), "uint8", ranks.NO_RANK, ("predicted Permafrost Thaw Index",),
                          colours=ranks.colour_table()),
        "agreement": OutputSpec(outputs.get("agreement"), "float32", FLOAT_NODATA, ("runs that agree",), ("%",)),
        "entropy": OutputSpec(outputs.get("entropy"), "float32", FLOAT_NODATA, ("entropy of the classes",)),
    }
    kernel = PredictionKernel(model_path, smooth)
    tallies = run_blocks(stack.grid, sources, kernel, specs, staging, progress, settings, overlap=1,
                         extra_bytes=40 * len(model.features) + 16 * len(model.codes))
    with _lock:
        _loaded.pop(model_path, None)
    total = sum(tallies["cells"].values())
    if not total:
        raise InputError("No cell could be predicted: no cell has all predictors. Check the stack and the mask.")
    counts = tallies["counts"]
    if counts["unseen"]:
        progress.warn(f"{counts['unseen']} cells have a category that the model never saw; they are nodata.")
    changed = 100 * counts["changed"] / total
    if smooth:
        progress.info(f"The 3 x 3 majority filter changed {changed:.2f} % of {total} cells.")
    return {"table": area_table(tallies["cells"], tallies["area"]), "changed_percent": round(changed, 3),
            "unseen": counts["unseen"]}
