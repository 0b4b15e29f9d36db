"""Driver maps: which predictors speak for the class of a cell, by true contributions of every single cell.

Contributions are XGBoost's own exact TreeSHAP values (Lundberg et al. 2020), in units of the class margin, mean over
runs: with the bias they add up to the mean margin of the class. Method, section 5.
"""

import math
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from operator import mul

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..common.packages import require
from ..ensembles.features import GROUP_COLOURS, GROUPS, PREDICTORS, read_stack
from ..learning.learner import kinds
from ..learning.model_file import read_model
from ..learning.training import ensemble_class
from ..rasters.blocks import FLOAT_NODATA, SINGLE_THREADED, InlineExecutor, OutputSpec, Settings, Window, run_blocks
from ..rasters.grid import AREA_UNITS_PER_KM2, Grid
from ..rasters.raster import SourceReader, read_info
from .class_boosters import class_boosters
from .predictors import Look, predictors_of, wanted_cells
from .tree_ensemble import voting

#: outputs, each a raster
OUTPUTS = ("drivers", "groups", "contributions")
BIAS = "bias"
#: codes of the map of top drivers: the roles of PREDICTORS from 1 on in their order, then a model's own predictors
NONE, CODE_NODATA = 0, 255
NONE_LABEL, NONE_COLOUR = "none: no predictor contributes", "#f2f2f2"
#: band items of that map with colour and label of a code, since a GeoTIFF has no place for names of classes
CLASS_TAG = "PTI_CLASS_"
COLUMNS = ("level", "name", "group", "code", "mean_abs_contribution", "share_percent", "top_cells", "top_area_km2",
           "top_area_percent", "cells", "area_km2")

#: side of a block: seconds of work, so that the progress bar moves
_BLOCK = 32
#: rows and columns of the look at the stack that says how long the run will take
_SURVEY = (48, 256)
#: cells that the time is measured on, at most, and for about how long
_MEASURED_CELLS, _MEASURED_SECONDS = 64, 0.5
#: seconds of one call of XGBoost, after which the cancel button is looked at, and cells where that is not known
_CALL_SECONDS, _CALL_CELLS = 0.2, 8
#: contributions are added up as whole numbers of this many a unit, so that the order of blocks cannot matter
_FIXED = 10**8
#: Contributions of class boosters may differ so much from those of the whole; they are the same in the versions known
_TOLERANCE = 1e-5
_HOUR = 3600


@dataclass(frozen=True)
class DriverOptions:
    """``runs``: how many runs are explained, spread evenly over all of them, 0 for all; ``rank``: explain the margin of
    this PTI rank, None for the class that the whole ensemble votes for in each cell; ``step``: explain the cell in the
    middle of each block of so many rows and columns; ``max_missing``: most predictors that a cell may lack, None for
    what the model states. What a missing predictor contributes is what the trees make of its being missing."""

    runs: int = 5
    rank: int = None
    step: int = 1
    max_missing: int = None

    def check(self):
        """Raise InputError for values out of their range."""
        if self.runs < 0:
            raise InputError(f"RUNS is {self.runs}; give 0 for all runs or how many to explain.")
        if self.step < 1:
            raise InputError(f"STEP is {self.step}; it must be at least 1.")

    def chosen(self, runs):
        """Return the places of the runs to explain among ``runs``."""
        count = min(self.runs, runs) or runs
        return [i * runs // count for i in range(count)]


def driver_codes(features):
    """Return {code: (Feature, colour)} of a model's features, the same for a role whatever the model.

    Raises InputError for more own predictors than there are codes.
    """
    roles = list(PREDICTORS)
    own = [feature.name for feature in features if feature.name not in PREDICTORS]
    names = roles + own
    if len(names) >= CODE_NODATA:
        raise InputError(f"The model has {len(own)} predictors of its own; a map of top drivers has codes for "
                         f"{CODE_NODATA - 1 - len(roles)}.")
    found = {}
    for feature in features:
        if feature.name in PREDICTORS:
            among = [role for role in roles if PREDICTORS[role].group == PREDICTORS[feature.name].group]
            tint = _between(-0.4, 0.4, among.index(feature.name), len(among))
        else:
            among = [other.name for other in features if other.name in own and other.group == feature.group]
            tint = _between(0.55, 0.8, among.index(feature.name), len(among))
        found[names.index(feature.name) + 1] = (feature, _tinted(GROUP_COLOURS.get(feature.group, "#b5bcc2"), tint))
    return dict(sorted(found.items()))


def _between(low, high, place, count):
    return low + (high - low) * (place + 0.5) / count


def _tinted(colour, tint):
    """Return a '#rrggbb' colour mixed with black (``tint`` −1 to 0) or with white (0 to 1)."""
    target = 255 if tint > 0 else 0
    return "#" + "".join(f"{round(part + abs(tint) * (target - part)):02x}" for part in ranks.hex_to_rgb(colour))


def groups_of(features):
    """Return the groups of the method and any other group of ``features``, in the order of the bands."""
    return (*GROUPS, *sorted({feature.group for feature in features} - set(GROUPS)))


class Explainer:
    """Explains cells with the boosters of ``model``, a Model that holds only the runs chosen.

    Safe for use by several threads. Raises Cancelled through ``check``, DependencyError without xgboost.
    """

    def __init__(self, model, check):
        self._xgboost = require("xgboost", "explaining cells")
        self._model, self._named, self._check = model, kinds(model.features), check
        self._runs, self._by_class = [], False
        self.cells_at_once = _CALL_CELLS

    def load(self, trial):
        """Load the runs, taken apart by class where that gives the same contributions for the cells ``trial``.

        ``trial``: float32 (cells, features). Returns the reason why they stay whole, or "". Raises InputError for a
        booster that was trained on other features than the model names.
        """
        reason = ""
        try:
            if not len(trial):
                raise InputError("no cell was found to compare them on")
            for raw in self._model.boosters:
                self._check()
                self._runs.append(self._taken_apart(raw))
                if len(self._runs) == 1 and not self._same(trial):
                    raise InputError(f"xgboost {self._xgboost.__version__} gives other contributions for a class alone")
        except InputError as error:
            reason = str(error)
            self._runs = self._model.load_boosters()
        self._by_class = not reason
        return reason

    def _taken_apart(self, raw):
        boosters = list(class_boosters(self._xgboost, raw, self._check))
        if any(booster.feature_names != self._named["feature_names"] for booster in boosters):
            raise InputError("a booster was trained on other features than the model names")
        return boosters

    def _same(self, trial):
        matrix = self._matrix(trial)
        whole, = replace(self._model, boosters=self._model.boosters[:1]).load_boosters()
        alone = np.stack([booster.predict(matrix, pred_contribs=True) for booster in self._runs[0]], axis=1)
        return np.allclose(alone, whole.predict(matrix, pred_contribs=True), rtol=0, atol=_TOLERANCE)

    def _matrix(self, x):
        return self._xgboost.DMatrix(x, enable_categorical=True, nthread=1, **self._named)

    def contributions(self, x, place):
        """Return contributions and, last, bias: mean over runs, float64 (cells, features + 1).

        ``x``: float32 (cells, features); ``place``: class place to explain of every cell (cells,).
        """
        found = np.zeros((len(x), x.shape[1] + 1))
        for label in np.unique(place):
            rows = np.flatnonzero(place == label)
            for first in range(0, len(rows), self.cells_at_once):
                part = rows[first:first + self.cells_at_once]
                matrix = self._matrix(x[part])
                for run in self._runs:
                    self._check()
                    booster = run[label] if self._by_class else run
                    values = booster.predict(matrix, pred_contribs=True)
                    found[part] += values if self._by_class else values[:, label]
        return found / len(self._runs)

    def measure(self, x, place):
        """Return the seconds a cell takes, and choose from it how many go into one call of XGBoost."""
        seconds = self._timed(x[:1], place[:1])
        few = np.unique(np.linspace(0, len(x) - 1, int(np.clip(_MEASURED_SECONDS / seconds, 1, len(x)))).astype(int))
        seconds = self._timed(x[few], place[few]) / len(few)
        self.cells_at_once = int(np.clip(_CALL_SECONDS * len(self._runs) / seconds, 1, 512))
        return seconds

    def _timed(self, x, place):
        start = time.perf_counter()
        self.contributions(x, place)
        return max(time.perf_counter() - start, 1e-9)


class _Cells:
    """Reads the predictors of every ``step``-th cell of a stack, each the middle cell of its block.

    ``items``: Sources of the features of the model, ``mask``: Source or None; ``look``: Look at the cells. Keeps
    a reader for every thread.
    """

    def __init__(self, grid, items, mask, look, step, readers):
        self._items, self._mask = items, mask
        self._look, self._readers = look, readers
        self._local = threading.local()
        self.fine, self.step = grid, step
        x, a, b, y, d, e = grid.transform
        self.grid = grid if step == 1 else Grid(
            grid.wkt, (x, a * step, b * step, y, d * step, e * step), -(-grid.width // step), -(-grid.height // step))

    def read(self, window, check):
        """Return the Predictors of a window of ``grid``."""
        inside = (np.ones((window.rows, window.columns), dtype=bool) if self._mask is None
                  else wanted_cells(self._layer(self._mask, window, check)))
        return predictors_of((self._layer(item, window, check) for item in self._items), inside, self._look)

    def _layer(self, item, window, check):
        check()
        reader = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = SourceReader(self._readers)
        step = self.step
        if step == 1:
            return reader.read(item, window.row, window.rows, window.column, window.columns)
        rows, columns = (np.minimum(np.arange(start, start + count) * step + step // 2, size - 1) for start, count, size
                         in ((window.row, window.rows, self.fine.height),
                             (window.column, window.columns, self.fine.width)))
        first, width = int(columns[0]), int(columns[-1] - columns[0] + 1)
        lines = []
        for row in rows.tolist():
            check()
            lines.append(reader.read(item, row, 1, first, width)[0, columns - first])
        return np.stack(lines)

    def areas(self, window):
        """Return the true areas of the blocks as far as they lie in the stack (rows, columns), integer area units."""
        areas = self.grid.cell_areas(window.row, window.rows, window.column, window.columns)
        if self.step == 1:
            return areas
        rows, columns = (np.clip(size - np.arange(start, start + count) * self.step, 0, self.step) / self.step
                         for start, count, size in ((window.row, window.rows, self.fine.height),
                                                    (window.column, window.columns, self.fine.width)))
        return np.rint(areas * np.outer(rows, columns)).astype(np.int64)


class _Kernel:
    """The work of one block of explained cells; it reads them itself, because they lie apart on a finer grid.

    ``cells``: _Cells, ``explain``: function of (cells, features) that gives contributions and bias, ``codes``: of the
    features (features,), ``members``: for every group which features are in it.
    """

    def __init__(self, cells, explain, codes, members, check):
        self._cells, self._explain, self._check = cells, explain, check
        self._codes, self._members = codes, members

    def __call__(self, arrays, window, grid):
        """Return the outputs of a block and its tallies."""
        x, valid, unseen, _ = self._cells.read(window, self._check)
        found = self._explain(x) if len(x) else np.zeros((0, len(self._codes) + 1))
        size = np.abs(found[:, :-1])
        total = size.sum(axis=1)
        top = np.where(total > 0, self._codes[size.argmax(axis=1)], NONE) if len(x) else np.zeros(0, dtype=int)
        of_group = np.stack([size[:, members].sum(axis=1) for members in self._members])
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = 100.0 * of_group / total
        drivers = np.full(valid.shape, CODE_NODATA, dtype=np.uint8)
        drivers[valid] = top
        outputs = {"drivers": drivers, "groups": _spread(shares, valid), "contributions": _spread(found.T, valid)}
        areas = self._cells.areas(window)[valid].tolist()
        return outputs, _tallies(size, top, np.where(total > 0, of_group.argmax(axis=0), -1), areas, unseen)


def _spread(values, valid):
    """Return (bands, cells) as (bands, rows, columns), NaN where not ``valid``."""
    layers = np.full((len(values), *valid.shape), np.nan)
    layers[:, valid] = values
    return layers


def _tallies(size, top, top_group, areas, unseen):
    """Return the Counters of a block: whole numbers, so that their sum is the same in any order."""
    fixed = np.rint(size * _FIXED).astype(np.int64)
    tallies = {"sums": Counter({i: sum(map(mul, fixed[:, i].tolist(), areas)) for i in range(size.shape[1])}),
               "counts": Counter(cells=len(areas), area=sum(areas), unseen=int(unseen.sum())),
               "cells": Counter(), "area": Counter()}
    for level, places in (("predictor", top.tolist()), ("group", top_group.tolist())):
        for place, area in zip(places, areas):
            tallies["cells"][level, place] += 1
            tallies["area"][level, place] += area
    return tallies


def driver_maps(stack_path, model_path, outputs, staging, progress, mask_path=None, options=None, settings=None):
    """Make the driver maps and stage them.

    ``outputs``: {name of OUTPUTS: path or None}; ``mask_path``: a raster such as the base map, a value other than 0
    where to explain. Rasters: ``drivers`` uint8, the code of the predictor with the largest |contribution|, nodata 255;
    ``groups`` float32, a band a group, its share of the sum of |contributions| in %; ``contributions`` float32, a
    signed band a feature and the bias, in units of the margin. With a step they have the grid of the blocks.
    Returns {"table": rows of COLUMNS, means weighted by true area, "cells", "unseen", "runs": places explained}.
    Raises InputError, GridError, OutputError, DependencyError, Cancelled.
    """
    options, settings = options or DriverOptions(), settings or Settings()
    options.check()
    stack, model = read_stack(stack_path), read_model(model_path)
    if options.rank is not None and options.rank not in model.codes:
        raise InputError(f"The model does not know rank {options.rank}; it was trained on "
                         f"{', '.join(map(str, model.codes))}.")
    stack.refuse_unknown(model.offered)
    items, ranges = stack.select(model.features)
    if any(ranges):
        progress.info(f"{stack.name} is in raw units; the model's ranges are applied.")
    mask = stack.beside(mask_path, "BASE") if mask_path else None
    codes = driver_codes(model.features)
    runs = options.chosen(len(model.boosters))
    look = Look.of(model, ranges, options.max_missing)
    explainer = Explainer(replace(model, boosters=tuple(model.boosters[i] for i in runs)), progress.check)
    classes = _classes(model, options.rank, progress)

    def cells(step):
        return _Cells(stack.grid, items, mask, look, step, settings.workers)

    own = cells(options.step)
    _announce(own, cells, explainer, classes, (len(runs), len(model.boosters)), settings.workers, progress)
    groups = groups_of(model.features)
    names = [feature.name for feature in model.features]
    code_of = {feature.name: code for code, (feature, _) in codes.items()}
    kernel = _Kernel(own, lambda x: explainer.contributions(x, classes(x)), np.array([code_of[name] for name in names]),
                     [np.array([feature.group == group for feature in model.features]) for group in groups],
                     progress.check)
    single = any(item.driver in SINGLE_THREADED for item in (*items, *([mask] if mask else [])))
    tallies = run_blocks(own.grid, {}, kernel, _specs(outputs, model, codes, groups, options, len(runs)), staging,
                         progress, replace(settings, block_size=settings.block_size or _BLOCK),
                         executor=InlineExecutor() if single else None)
    counts = tallies["counts"]
    if not counts["cells"]:
        raise InputError("No cell could be explained: no cell has enough predictors. Check the stack and the mask.")
    if counts["unseen"]:
        progress.warn(f"{counts['unseen']} cells have a category that the model never saw; they are nodata.")
    return {"table": _table(model.features, code_of, groups, tallies), "cells": counts["cells"],
            "unseen": counts["unseen"], "runs": runs}


def _classes(model, rank, progress):
    """Return the function that gives the class places to explain of cells (cells, features)."""
    if rank is not None:
        return lambda x: np.full(len(x), model.codes.index(rank))
    voter, reason = voting(model, progress.check)
    if reason:
        progress.info(f"XGBoost itself votes, which is slower: {reason}")

    def voted(x):
        votes, chances = voter.votes(x, progress.check)
        return ensemble_class(votes.astype(np.int32), chances)

    return voted


def _announce(own, cells, explainer, classes, runs, workers, progress):
    """Load the runs and say how long the run will take, from a look at the stack and a few cells explained."""
    apart = max(-(-own.grid.height // _SURVEY[0]), -(-own.grid.width // _SURVEY[1]), 1)
    look = cells(own.step * apart)
    x, valid, *_ = look.read(_whole(look.grid), progress.check)
    # cells from everywhere, since a class may take longer than another
    trial = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), _MEASURED_CELLS)).astype(int))] if len(x) else x
    reason = explainer.load(trial[:4])
    if reason:
        progress.info(f"All classes are explained at once, which is slower: {reason}")
    if not len(x):
        return
    count = round(valid.mean() * own.grid.width * own.grid.height)
    seconds = explainer.measure(trial, classes(trial)) * count / workers
    text = (f"{'' if apart == 1 else 'About '}{count:,} cells are explained with {runs[0]} of {runs[1]} runs: "
            f"{_duration(seconds)} on {workers} {'thread' if workers == 1 else 'threads'}.")
    if seconds > _HOUR:
        text += f" STEP {math.ceil(own.step * math.sqrt(seconds / _HOUR))} would take less than an hour."
    progress.info(text)


def _whole(grid):
    return Window(0, grid.height, 0, grid.width)


def _duration(seconds):
    if seconds < 90:
        return f"about {max(1, math.ceil(seconds)):,} seconds"
    if seconds < 1.5 * _HOUR:
        return f"about {math.ceil(seconds / 60):,} minutes"
    if seconds < 48 * _HOUR:
        return f"about {seconds / _HOUR:.1f} hours"
    return f"about {seconds / _HOUR / 24:,.0f} days"


def _specs(outputs, model, codes, groups, options, runs):
    """Return the OutputSpecs of all outputs."""
    tags = {"PTI_EXPLAINED": "class the ensemble votes for" if options.rank is None else f"rank {options.rank}",
            "PTI_RUNS": f"{runs} of {len(model.boosters)}", "PTI_STEP": options.step}
    classes = class_labels(codes)
    colours = {code: (label, ranks.hex_to_rgb(colour)) for code, (label, colour) in classes.items()}
    named = {f"{CLASS_TAG}{code}": f"{colour} {label}" for code, (label, colour) in classes.items()}
    names = tuple(feature.name for feature in model.features)
    return {"drivers": OutputSpec(outputs.get("drivers"), "uint8", CODE_NODATA, ("top driver",), colours=colours,
                                  metadata=tags, band_metadata=(named,)),
            "groups": OutputSpec(outputs.get("groups"), "float32", FLOAT_NODATA, groups, ("%",) * len(groups),
                                 metadata=tags),
            "contributions": OutputSpec(outputs.get("contributions"), "float32", FLOAT_NODATA, (*names, BIAS),
                                        metadata=tags)}


def class_labels(codes):
    """Return {code: (label, '#rrggbb')} of a map of top drivers with these ``codes`` of ``driver_codes``."""
    return {NONE: (NONE_LABEL, NONE_COLOUR), **{code: (_label(feature), colour)
                                                for code, (feature, colour) in codes.items()}}


def legend(path):
    """Return {code: (label, '#rrggbb')} of a map of top drivers; empty for a raster that is none."""
    found = {}
    for key, value in read_info(path).band_metadata[0].items():
        code = re.fullmatch(rf"{CLASS_TAG}(\d{{1,3}})", key)
        stated = re.fullmatch(r"(#[0-9a-f]{6}) (.{1,500})", value)
        if code and stated:
            found[int(code.group(1))] = stated.group(2), stated.group(1)
    return dict(sorted(found.items()))


def _label(feature):
    known = PREDICTORS.get(feature.name)
    return f"{feature.group}: {known.title if known else feature.name}"


def _table(features, code_of, groups, tallies):
    """Return the rows of the table, predictors then groups, largest first."""
    counts, area = tallies["counts"], tallies["counts"]["area"]
    means = [tallies["sums"][i] / (area * _FIXED) if area else 0.0 for i in range(len(features))]
    whole = math.fsum(means)

    def row(level, name, group, code, mean, key):
        here = tallies["area"][level, key]
        return dict(zip(COLUMNS, (
            level, name, group, code, mean, 100 * mean / whole if whole else 0.0, tallies["cells"][level, key],
            round(here / AREA_UNITS_PER_KM2, 3), 100 * here / area if area else 0.0, counts["cells"],
            round(area / AREA_UNITS_PER_KM2, 3))))

    predictors = [row("predictor", feature.name, feature.group, code_of[feature.name], mean, code_of[feature.name])
                  for feature, mean in zip(features, means)]
    of_groups = [row("group", group, group, None, math.fsum(mean for feature, mean in zip(features, means)
                                                            if feature.group == group), band)
                 for band, group in enumerate(groups)]
    return [one for rows in (predictors, of_groups)
            for one in sorted(rows, key=lambda one: (-one["mean_abs_contribution"], one["name"]))]
