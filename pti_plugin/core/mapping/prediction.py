"""The predicted map: votes of all runs in every cell, what they agree on, and the 3 × 3 majority filter.

Method, sections 5, 8 and 9; the paper's section 2.2.4. Beside the map: how sure the ensemble is, whether a cell is like
anything it was trained on (applicability.py), and how far the map agrees with the index it learned, wall to wall.
"""

import threading
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common import ranks
from ..common.cancellation import check_stopped
from ..common.errors import InputError
from ..ensembles.features import read_stack
from ..index.pti import area_table, ranked_cells
from ..learning.calibration import tempered
from ..learning.model_file import read_model
from ..learning.training import ensemble_class
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.exclusion import LeftOutClasses, count_left_out, exclusion_on, tell
from ..rasters.raster import Exclusion, read_info
from ..rasters.tally import Tally
from . import area_comparison, coverage, map_agreement
from .applicability import APPLICABILITY, applicability, area_rows, areas_inside
from .predictors import Look, predictors_of, wanted_cells
from .tree_ensemble import voting

#: outputs, each a raster
OUTPUTS = ("pti", "agreement", "margin", "entropy", "probabilities", "outside", "dissimilarity", "applicability",
           "missing")
COUNT_NODATA = 255
#: bits of the raster of missing predictors, and items of its metadata with their names
MOST_BITS, BITS_NODATA, BIT_TAG = 31, -1, "PTI_BIT_"

_lock = threading.Lock()
_loaded = {}


@dataclass(frozen=True)
class PredictionOptions:
    """``smooth``: 3 × 3 majority filter; ``buffer_km``: cells nearer to a training point than this do not count for the
    agreement with the reference; ``max_missing``: most predictors that a cell may lack, None for what the model
    states; ``left_out``: LeftOutClasses where nothing is predicted or compared, or None."""

    smooth: bool = True
    buffer_km: float = 25.0
    max_missing: int = None
    left_out: LeftOutClasses = None

    def check(self):
        """Raise InputError for values out of their range."""
        map_agreement.check_buffer(self.buffer_km)


class _Loaded:
    """What all blocks of a run share: the model, what votes, and what the outputs asked for need."""

    def __init__(self, path, progress, wanted, buffer_km=None):
        self.model = read_model(path)
        self.voter, self.reason = voting(self.model, progress.check)
        if "outside" in wanted:
            x = self.model.training_samples()["x"]
            self.low, self.high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        if wanted & {"dissimilarity", "applicability"}:
            samples = self.model.training_samples()
            self.applicability = applicability(samples["x"], self.model.features, self.model.gains,
                                               samples["block_fold"], progress)
        if buffer_km is not None:
            self.points = map_agreement.TrainingPoints(self.model.training_samples(), buffer_km)


@dataclass(frozen=True)
class PredictionKernel:
    """The work of one block; it gets one cell more on every side for the filter.

    ``key`` finds what was loaded for the run; ``look``: Look at the cells; ``reference``: name of the reference;
    ``exclusion``: where nothing is predicted, or None.
    """

    key: str
    smooth: bool
    wanted: frozenset
    look: Look
    reference: str = ""
    exclusion: Exclusion = None

    def __call__(self, arrays, window, grid):
        """Return the outputs of a block and its tallies."""
        loaded = _loaded[self.key]
        model, codes = loaded.model, np.array(loaded.model.codes)
        shape = (window.rows + 2, window.columns + 2)
        inside = wanted_cells(arrays["MASK"]) if "MASK" in arrays else np.ones(shape, dtype=bool)
        inner = (slice(1, -1), slice(1, -1))
        if self.exclusion:
            left_out = count_left_out(arrays["EXCLUDE"][inner], self.exclusion, inside[inner], window, grid)
            inside &= ~self.exclusion.holds(arrays["EXCLUDE"])
        x, valid, unseen, absent = predictors_of(arrays["STACK"], inside, self.look)
        votes, chances = loaded.voter.votes(x, check_stopped) if len(x) else (
            np.zeros((0, len(codes)), np.uint16), np.zeros((0, len(codes))))
        place = np.full(shape, -1, dtype=np.int16)
        place[valid] = ensemble_class(votes.astype(np.int32), chances * model.factors) if len(x) else 0
        final = majority_filter(place, len(codes)) if self.smooth else place
        order = np.full(shape, -1)
        order[valid] = np.arange(len(x))
        row, known, final = order[inner], place[inner] >= 0, final[inner]
        row = row[known]
        index = np.zeros(known.shape, dtype=np.uint8)
        index[known] = codes[final[known]]
        outputs = {"pti": index, **self._beside(loaded, x[row], votes[row], chances[row] / len(model.boosters),
                                                final[known], known)}
        tallies = _tally(index, grid, window, changed=int((final != place[inner])[known].sum()),
                         unseen=int(unseen[inner].sum()), incomplete=int((valid & absent.any(axis=0))[inner].sum()))
        tallies["lacking"] = Counter({i: int((valid & layer)[inner].sum()) for i, layer in enumerate(absent)})
        if self.exclusion:
            tallies["left_out"] = left_out
        if "missing" in self.wanted:
            shown = inside if "MASK" in arrays else inside & ~absent.all(axis=0)
            outputs["missing"] = _bits(absent, shown)[inner]
        if "applicability" in outputs:
            tallies["applicability"] = areas_inside(index, outputs["applicability"] == 1, grid, window)
        if "REFERENCE" in arrays:
            codes = arrays["REFERENCE"][inner]
            reference = np.where(ranked_cells(codes, self.reference), codes, ranks.NO_RANK)
            state = coverage.states(shape, inside, valid, unseen)[inner]
            tallies["covered_cells"], tallies["covered_area"] = coverage.tally(
                state, absent[:, 1:-1, 1:-1], reference, grid, window)
            tallies["agreement"] = map_agreement.tally(index, reference, grid, window, loaded.points)
            tallies["pairs"] = _pairs(index, reference, grid, window)
        return outputs, tallies

    def _beside(self, loaded, x, votes, share, final, known):
        """Return the other outputs asked for, {name: array of the block}."""
        found = {}

        def add(name, values):
            layer = np.full(known.shape, np.nan)
            layer[known] = values
            found[name] = layer

        runs = len(loaded.model.boosters)
        if self.wanted & {"entropy", "probabilities"}:
            share = tempered(share, loaded.model.temperature)
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
            add("dissimilarity", np.where(np.isfinite(index), index, np.nan))
            found["applicability"] = np.full(known.shape, COUNT_NODATA, dtype=np.uint8)
            found["applicability"][known] = index <= loaded.applicability.threshold
        return found


def _bits(absent, shown):
    """Return int32 flags of the missing predictors, the first in the lowest bit, BITS_NODATA where not ``shown``."""
    flags = np.zeros(shown.shape, dtype=np.int32)
    for i, layer in enumerate(absent):
        flags |= layer.astype(np.int32) << i
    return np.where(shown, flags, BITS_NODATA).astype(np.int32)


def bit_names(path):
    """Return the names of the predictors by the bits of a raster of missing predictors; empty for another raster."""
    items = read_info(path).band_metadata[0]
    return [items[f"{BIT_TAG}{i}"] for i in range(MOST_BITS) if f"{BIT_TAG}{i}" in items]


def _pairs(index, reference, grid, window):
    """Return a Counter of areas by 256 · classified + reference rank of the cells that have both."""
    both = (index != ranks.NO_RANK) & (reference != ranks.NO_RANK)
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)[both]
    return Tally.of(index[both].astype(np.int64) << 8 | reference[both], areas, 1 << 16).area


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
    wall. A stack in raw units is scaled by the model's ranges. Returns {"table": area by rank, with a reference also
    the columns of area_comparison.py, "metrics": the model's with what was found wall to wall, "coverage": rows of
    coverage.py with a reference, "changed_percent", "unseen", "incomplete", …}.
    Raises InputError (model; missing, unknown or differently scaled predictors; a reference that holds no ranks),
    GridError, OutputError, Cancelled.
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
    if outputs.get("missing") and len(model.features) > MOST_BITS:
        raise InputError(f"OUTPUT_MISSING holds a bit a predictor, {MOST_BITS} at most, but the model has "
                         f"{len(model.features)}. Leave it out.")
    look = Look.of(model, ranges, options.max_missing, bool(reference_path or outputs.get("missing")))
    sources = {"STACK": items}
    for role, path in (("MASK", mask_path), ("REFERENCE", reference_path)):
        if path:
            sources[role] = stack.beside(path, role)
    exclusion = exclusion_on(options.left_out, stack.grid) if options.left_out else None
    if exclusion:
        sources["EXCLUDE"] = exclusion.source
        if reference_path:
            sources["REFERENCE"] = replace(sources["REFERENCE"], exclusion=exclusion)
    with _lock:
        _loaded[key] = loaded
    try:
        kernel = PredictionKernel(key, options.smooth, wanted, look,
                                  sources["REFERENCE"].name if reference_path else "", exclusion)
        tallies = run_blocks(stack.grid, sources, kernel, _specs(outputs, model), staging, progress, settings,
                             overlap=1, extra_bytes=60 * len(model.features) + 32 * len(model.codes))
    finally:
        with _lock:
            del _loaded[key]
    total = sum(tallies["cells"].values())
    if not total:
        raise InputError("No cell could be predicted: no cell has enough predictors. Check the stack, the mask and "
                         "what is left out.")
    counts = tallies["counts"]
    if exclusion:
        tell(tallies["left_out"], exclusion, f"cells of {sources['MASK'].name if mask_path else stack.name}", progress)
    if counts["unseen"]:
        progress.warn(f"{counts['unseen']} cells have a category that the model never saw; they are nodata.")
    if options.smooth:
        progress.info(f"The 3 x 3 majority filter changed {100 * counts['changed'] / total:.2f} % of {total} cells.")
    _tell_missing(counts, tallies["lacking"], total, look, model, progress)
    result = {"table": area_table(tallies["cells"], tallies["area"]), "unseen": counts["unseen"],
              "incomplete": counts["incomplete"], "max_missing": look.limit,
              "changed_percent": round(100 * counts["changed"] / total, 3),
              "metrics": model.manifest.get("metrics", [])}
    if "applicability" in wanted:
        threshold = loaded.applicability.threshold
        rows, outside = area_rows(tallies["applicability"], threshold)
        result["outside_percent"] = round(100 * outside / total, 3)
        result["applicability_threshold"] = threshold
        result["metrics"] = [*result["metrics"], *rows]
        progress.info(f"{result['outside_percent']} % of the cells lie outside the area of applicability (threshold of "
                      f"the dissimilarity index {threshold:.3g}). Inside it the accuracy of the spatial-block "
                      f"cross-validation holds; outside none is known.")
    if reference_path:
        found = map_agreement.matrices(tallies["agreement"])
        rows = map_agreement.panel_rows(found, options.buffer_km)
        result["wall_to_wall"] = rows
        result["metrics"] = [*map_agreement.with_panel_rows(result["metrics"], rows),
                             *map_agreement.latitude_rows(found, options.buffer_km)]
        progress.info(f"{rows[0]['line']}: {rows[0]['value']:.1f} % (n = {rows[0]['n']} cells)")
        _add_comparison(result, tallies, model, stack.grid, progress)
    return result


def _tell_missing(counts, lacking, total, look, model, progress):
    """Say how many cells were predicted with gaps, and warn of gaps that training never met."""
    if not counts["incomplete"]:
        return
    names = [feature.name for feature in look.features]
    listed = ", ".join(f"{names[i]} {count}" for i, count in sorted(lacking.items()) if count)
    progress.info(f"{counts['incomplete']} of {total} cells lack a predictor, {look.limit} at most, and are predicted "
                  f"by the others (cells without each: {listed}).")
    met = model.manifest.get("samples_lacking", {})
    never = [names[i] for i, count in sorted(lacking.items()) if count and not met.get(names[i])]
    if never:
        progress.warn(f"No training sample lacked {', '.join(never)}, so the model learned nothing of cells that do; "
                      f"there XGBoost takes a way of its own choosing. Draw the samples with MAX_MISSING, or lower it "
                      f"here.")


def _add_comparison(result, tallies, model, grid, progress):
    """Add areas beside those of the reference, and the coverage of its ranks, to the result of ``predict``."""
    compared, shares = area_comparison.compare(tallies["pairs"], tallies["area"])
    for line in result["table"]:
        line.update(compared[line["rank"]])
    cells = sum(count for key, count in tallies["covered_cells"].items() if key.state <= coverage.INCOMPLETE)
    progress.info(area_comparison.sentence(compared, shares))
    result["areas_compared"] = shares
    result["coverage"] = coverage.table(tallies["covered_cells"], tallies["covered_area"],
                                        coverage.sampled(model.training_samples(), grid),
                                        [feature.name for feature in model.features])
    text, lost = coverage.sentence(result["coverage"])
    (progress.warn if lost else progress.info)(text)
    result["metrics"] = [*result["metrics"], *area_comparison.metric_rows(compared, shares, cells),
                         *coverage.metric_rows(result["coverage"])]


def _specs(outputs, model):
    """Return the OutputSpecs of all outputs."""
    def number(name, title, unit=""):
        return OutputSpec(outputs.get(name), "float32", FLOAT_NODATA, (title,), (unit,))

    tags = {"PTI_TEMPERATURE": model.temperature}
    return {
        "pti": OutputSpec(outputs.get("pti"), "uint8", ranks.NO_RANK, ("predicted Permafrost Thaw Index",),
                          colours=ranks.colour_table()),
        "agreement": number("agreement", "runs that agree", "%"),
        "margin": number("margin", "votes of the first over the second class", "%"),
        "entropy": number("entropy", "entropy of the classes"),
        "probabilities": OutputSpec(outputs.get("probabilities"), "float32", FLOAT_NODATA,
                                    tuple(f"probability of {code}" for code in model.codes), metadata=tags),
        "outside": OutputSpec(outputs.get("outside"), "uint8", COUNT_NODATA, ("predictors outside the samples",)),
        "dissimilarity": number("dissimilarity", "dissimilarity index"),
        "missing": OutputSpec(outputs.get("missing"), "int32", BITS_NODATA, ("missing predictors",), band_metadata=(
            {f"{BIT_TAG}{i}": feature.name for i, feature in enumerate(model.features)},)),
        "applicability": OutputSpec(outputs.get("applicability"), "uint8", COUNT_NODATA, ("area of applicability",),
                                    colours={code: (name, ranks.hex_to_rgb(colour))
                                             for code, (name, colour) in APPLICABILITY.items()}),
    }
