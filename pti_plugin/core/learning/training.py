"""Training: an ensemble of XGBoost classifiers on random 80/20 splits, and an accuracy one can believe.

Method, sections 5 and 8; the paper's section 2.2.4.
"""

from collections import namedtuple
from dataclasses import asdict, dataclass

import numpy as np

from ..assessment import accuracy_panel as panel
from ..assessment.accuracy import confusion
from ..common import ranks
from ..common.packages import require
from ..common.profiles import DEFENSIBLE
from ..common.resources import plugin_version, resource
from .class_weights import NONE
from .folds import FOLDS, block_folds, split, stratified_folds
from .learner import Learner
from .residual_range import correlation_range, correlogram, suggested_block_km
from .shap_table import mean_contributions, shap_rows

NODATA_RULE = "a cell with any predictor missing, or a category not seen in training, is nodata"

#: fold 0 to 4 of every sample (n,) in the random and in the spatial-block cross-validation, the block size in km and
#: the number of blocks
FoldScheme = namedtuple("FoldScheme", "random blocks block_km block_count")


@dataclass(frozen=True)
class Training:
    """What training gives.

    ``boosters``: UBJ bytes, ``codes``: their classes, ``metrics``: rows of the accuracy panel, ``shap``: rows of the
    SHAP table, ``matrix``: confusion of the out-of-bag votes, ``rounds``: kept in each run, ``gain``: mean share of
    the total gain by feature in %, ``folds``: FoldScheme.
    """

    boosters: tuple
    codes: tuple
    metrics: list
    shap: list
    matrix: np.ndarray
    rounds: tuple
    gain: dict
    folds: FoldScheme


def train(samples, options, progress, profile=DEFENSIBLE, weights=None, left_out=()):
    """Train the ensemble on Samples and measure it. Returns a Training.

    ``weights``: of the samples in training (n,), or None; accuracies count every point as one. ``left_out``: Features
    that a selection dropped, named in the SHAP table. Raises InputError for unusable samples or options,
    DependencyError without xgboost, Cancelled.
    """
    xgboost = require("xgboost", "training the model")
    samples.check()
    options.check()
    codes = np.unique(samples.y)
    labels = np.searchsorted(codes, samples.y)
    # before the long work, so that blocks that are too large are told at once
    blocks = block_folds(samples, options.block_km, options.seed) if options.block_km else None
    learner = Learner(xgboost, samples, labels, len(codes), options, weights, profile.stratified_split)
    splits = [split(labels, options.test_share, (options.seed, run), profile.stratified_split)
              for run in range(options.runs)]
    runs = Runs(len(labels), len(codes))
    # runs and folds take as long as each other; the two cross-validations are ten fits
    share = 0.95 * options.runs / (options.runs + 2 * FOLDS)
    for (_, test), fit in zip(splits, learner.side_by_side([rows for rows, _ in splits], progress.part(0, share))):
        runs.add(fit, test, labels)
    tested = runs.tested()
    out_of_bag, probability = runs.vote(held_out=True)
    right = out_of_bag[tested] == labels[tested]
    lags = correlogram(1 - runs.chance_of(labels)[tested], samples.longitude[tested], samples.latitude[tested],
                       options.seed)
    reach = correlation_range(lags)
    suggested = suggested_block_km(reach)
    block_km = options.block_km or suggested or 1.0
    blocks, block_count = blocks or block_folds(samples, block_km, options.seed)
    folds = FoldScheme(stratified_folds(labels, options.seed), blocks, block_km, block_count)
    middle = (share + 0.95) / 2
    matrix = confusion(codes[out_of_bag[tested]], samples.y[tested], ranks.CODES)
    voted, _ = runs.vote(held_out=False)
    metrics = [
        _line("out-of-bag vote", "Each point is classified by the runs that did not train on it. The headline: what "
              "the ensemble achieves on points like the samples.", right),
        _line(f"spatial-block cross-validation ({block_km:g} km)", "Whole blocks are held out, so neighbours cannot "
              "help: what to expect away from the samples.",
              cross_validate(learner, labels, folds.blocks, progress.part(share, middle))),
        _line("random 5-fold cross-validation", "Random folds among neighbouring points; too high where neighbours "
              "are alike.", cross_validate(learner, labels, folds.random, progress.part(middle, 0.95))),
        panel.runs_row(runs.held_out),
        _line("in-sample vote (in-sample, not an accuracy)", "All runs vote on points most of them were trained on. "
              "Given only because the paper's 91.8 % can be read this way.", voted == labels),
        *panel.matrix_rows(matrix), *panel.spread_rows(runs.held_out),
        *panel.block_rows(block_km, block_count, suggested, reach, lags),
        *panel.calibration_rows(probability[tested], right),
        *panel.paper_rows(resource("tables", "paper_results.csv")),
    ]
    explained = min(options.shap_runs, options.runs)
    means, points = mean_contributions(xgboost, samples, runs.boosters[:explained],
                                       [test for _, test in splits[:explained]], options.shap_points, options.seed,
                                       options.workers(), progress.part(0.95, 1))
    shap = shap_rows(samples.features, codes, means, points, explained, runs.total_gain, runs.gain, left_out)
    share_of_gain = 100 * runs.total_gain / max(runs.total_gain.sum(), np.finfo(float).tiny)
    return Training(tuple(runs.boosters), tuple(int(code) for code in codes), metrics, shap, matrix,
                    tuple(runs.rounds), dict(zip((feature.name for feature in samples.features),
                                                 map(float, share_of_gain))), folds)


class Runs:
    """Collects the runs: their votes and probabilities on held-out points and on all points."""

    def __init__(self, points, classes):
        self.boosters, self.rounds, self.held_out = [], [], []
        self.gain, self.total_gain = 0.0, 0.0
        self._votes = np.zeros((2, points, classes), dtype=np.int32)
        self._chances = np.zeros((2, points, classes))

    def add(self, fit, test, labels):
        """Add the Fit of a run whose held-out rows are ``test``."""
        voted = fit.probability.argmax(axis=1)
        for part, rows in ((0, test), (1, np.arange(len(labels)))):
            self._votes[part, rows, voted[rows]] += 1
            self._chances[part, rows] += fit.probability[rows]
        self.held_out.append(float((voted[test] == labels[test]).mean()))
        self.boosters.append(fit.raw)
        self.rounds.append(fit.rounds)
        self.gain, self.total_gain = self.gain + fit.gain, self.total_gain + fit.total_gain

    def tested(self):
        """Return which points were held out by at least one run, bool (n,)."""
        return self._votes[0].any(axis=1)

    def vote(self, held_out):
        """Return (class place, mean probability of it) of every point (n,); NaN where no run held it out."""
        part = 0 if held_out else 1
        place = ensemble_class(self._votes[part], self._chances[part])
        return place, self._mean(part)[np.arange(len(place)), place]

    def chance_of(self, labels):
        """Return the mean out-of-bag probability of the classes ``labels`` (n,); NaN where no run held a point out."""
        return self._mean(0)[np.arange(len(labels)), labels]

    def _mean(self, part):
        with np.errstate(invalid="ignore"):
            return self._chances[part] / self._votes[part].sum(axis=1)[:, None]


def ensemble_class(votes, chances):
    """Return the class with most votes, ties by the larger summed probability; arrays (..., classes)."""
    tied = votes == votes.max(axis=-1, keepdims=True)
    return np.where(tied, chances, -1.0).argmax(axis=-1)


def cross_validate(learner, labels, folds, progress):
    """Return for every sample whether the model of the other folds classifies it rightly, bool (n,)."""
    numbers = np.unique(folds)
    right = np.zeros(len(labels), dtype=bool)
    for number, fit in zip(numbers, learner.side_by_side(
            [np.flatnonzero(folds != number) for number in numbers], progress)):
        held = folds == number
        right[held] = fit.probability[held].argmax(axis=1) == labels[held]
    return right


def _line(line, meaning, right):
    return panel.share_row("accuracy", line, int(right.sum()), len(right), meaning)


def manifest(training, samples, options, profile, grid=None, weighting=NONE, selection=None):
    """Return what the model file says about itself besides features, classes, boosters and samples.

    ``grid``: Grid that the samples were drawn on, or None; ``weighting``: kind of class weights; ``selection``:
    Selection that chose the features, or None.
    """
    xgboost = require("xgboost", "training the model")
    folds = training.folds
    return {
        "plugin_version": plugin_version(), "profile": profile.name, "options": asdict(options),
        "parameters": options.parameters(len(training.codes)), "seed": options.seed,
        "versions": {"xgboost": xgboost.__version__, "numpy": np.__version__},
        "samples": len(samples.y), "samples_sha256": samples.checksum(),
        "samples_by_rank": {str(code): int((samples.y == code).sum()) for code in training.codes},
        "fold_scheme": {
            "runs": f"{options.runs} random splits, {100 * options.test_share:g} % held out, "
                    f"{'stratified by rank' if profile.stratified_split else 'not stratified'}",
            "random": f"{FOLDS} folds at random, stratified by rank",
            "blocks": f"{FOLDS} folds of whole blocks of {folds.block_km:g} km (EPSG:6931)",
            "block_km": folds.block_km, "block_count": folds.block_count},
        "class_weights": weighting, "rounds": list(training.rounds), "gain_share_percent": training.gain,
        "grid": grid and {"crs": grid.wkt, "transform": list(grid.transform), "width": grid.width,
                          "height": grid.height},
        "selection": selection and {"folds": selection.scheme, "rule": selection.rule, "rows": selection.rows(),
                                    "left_out": [name for name in selection.kept[-1] if name not in selection.names]},
        "metrics": training.metrics, "shap": training.shap,
        "labels": {str(rank.code): rank.label for rank in ranks.RANKS if rank.code in training.codes},
        "colours": {str(rank.code): rank.colour for rank in ranks.RANKS}, "nodata": ranks.NO_RANK,
        "nodata_rule": NODATA_RULE,
        "categories": {feature.name: sorted(int(code) for code in np.unique(samples.x[:, i]))
                       for i, feature in enumerate(samples.features) if feature.categorical},
        "sample_ranges": {feature.name: [float(samples.x[:, i].min()), float(samples.x[:, i].max())]
                          for i, feature in enumerate(samples.features) if not feature.categorical}}
