"""Training: an ensemble of XGBoost classifiers on random 80/20 splits, and an accuracy one can believe.

Method, sections 5 and 8; the paper's section 2.2.4.
"""

from collections import namedtuple
from dataclasses import asdict, dataclass

import numpy as np

from ..assessment import accuracy_panel as panel
from ..assessment.accuracy import confusion
from ..assessment.area_estimation import estimate
from ..common import ranks
from ..common.packages import require
from ..common.profiles import DEFENSIBLE
from ..common.resources import plugin_version, resource
from ..ensembles.features import missing_limit
from .calibration import fit_temperature, tempered
from .class_weights import Prior
from .folds import FOLDS, block_folds, split, stratified_folds
from .learner import Learner
from .rank_factors import fit_factors
from .residual_range import correlation_range, correlogram, suggested_block_km
from .shap_table import mean_contributions, shap_rows

#: fold 0 to 4 of every sample (n,) in the random and in the spatial-block cross-validation, the block size in km and
#: the number of blocks
FoldScheme = namedtuple("FoldScheme", "random blocks block_km block_count")


@dataclass(frozen=True)
class Training:
    """What training gives.

    ``boosters``: UBJ bytes, ``codes``: their classes, ``metrics``: rows of the accuracy panel, ``shap``: rows of the
    SHAP table, ``matrix``: confusion of the out-of-bag votes, ``rounds``: kept in each run, ``gain``: mean share of
    the total gain by feature in %, ``folds``: FoldScheme, ``temperature``: of the probabilities (calibration.py),
    ``factors``: of the ranks (classes,) (rank_factors.py), all 1 where areas are not matched.
    """

    boosters: tuple
    codes: tuple
    metrics: list
    shap: list
    matrix: np.ndarray
    rounds: tuple
    gain: dict
    folds: FoldScheme
    temperature: float
    factors: np.ndarray


def train(samples, options, progress, profile=DEFENSIBLE, prior=None, left_out=()):
    """Train the ensemble on Samples and measure it. Returns a Training.

    ``prior``: Prior of the ranks, None for every point as one; accuracies count every point as one unless their line
    says by area, probabilities are calibrated for the population that the prior's weights stand for. ``left_out``:
    Features that a selection dropped, named in the SHAP table. Raises InputError for unusable samples or options,
    DependencyError without xgboost, Cancelled.
    """
    xgboost = require("xgboost", "training the model")
    samples.check()
    options.check()
    prior = prior or Prior()
    codes = np.unique(samples.y)
    labels = np.searchsorted(codes, samples.y)
    # before the long work, so that blocks that are too large are told at once
    blocks = block_folds(samples, options.block_km, options.seed) if options.block_km else None
    learner = Learner(xgboost, samples, labels, len(codes), options, prior.weights, profile.stratified_split)
    splits = [split(labels, options.test_share, (options.seed, run), profile.stratified_split)
              for run in range(options.runs)]
    runs = Runs(len(labels), len(codes))
    # runs and folds take as long as each other; the two cross-validations are ten fits
    share = 0.95 * options.runs / (options.runs + 2 * FOLDS)
    for (_, test), fit in zip(splits, learner.side_by_side([rows for rows, _ in splits], progress.part(0, share))):
        runs.add(fit, test)
    tested = runs.tested()
    areas = None if prior.areas is None else np.array([float(prior.areas.get(int(code), 0.0)) for code in codes])
    if prior.matched:
        runs.factors = fit_factors(runs.mean()[tested], labels[tested], areas)
    factors = runs.factors
    out_of_bag, probability = runs.vote()
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
    shares = runs.hold_out(labels)
    temperature, calibration = _calibrated(runs.mean()[tested], labels[tested], out_of_bag[tested],
                                           None if prior.weights is None else prior.weights[tested])
    metrics = [
        _line("out-of-bag vote", "Each point is classified by the runs that did not train on it. The headline: what "
              "the ensemble achieves on points like the samples.", right),
        *([] if areas is None else [_by_area(matrix, codes, areas)]),
        _line(f"spatial-block cross-validation ({block_km:g} km)", "Whole blocks are held out, so neighbours cannot "
              "help: what to expect away from the samples.",
              cross_validate(learner, labels, folds.blocks, progress.part(share, middle), factors)),
        _line("random 5-fold cross-validation", "Random folds among neighbouring points; too high where neighbours "
              "are alike.", cross_validate(learner, labels, folds.random, progress.part(middle, 0.95), factors)),
        panel.runs_row(shares),
        _line("in-sample vote (in-sample, not an accuracy)", "All runs vote on points most of them were trained on. "
              "Given only because the paper's 91.8 % can be read this way.", runs.in_sample() == labels),
        *panel.matrix_rows(matrix), *panel.spread_rows(shares),
        *panel.block_rows(block_km, block_count, suggested, reach, lags),
        *calibration,
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
                                                 map(float, share_of_gain))), folds, temperature, factors)


def _calibrated(probability, labels, voted, weights):
    """Return (temperature of the probabilities, rows of the calibration with and without it)."""
    temperature = fit_temperature(probability, labels, weights)
    rows, losses, right = [], [], voted == labels
    for section, at in ((panel.CALIBRATION, temperature), (panel.UNTEMPERED, 1.0)):
        given = tempered(probability, at)
        own = np.maximum(given[np.arange(len(labels)), labels], np.finfo(float).tiny)
        losses.append(-float(np.average(np.log(own), weights=weights)))
        rows += panel.calibration_rows(given[np.arange(len(voted)), voted], right, weights, section)
    return temperature, [panel.temperature_row(temperature, losses[1], losses[0], len(labels)), *rows]


def _by_area(matrix, codes, areas):
    """Return the row of the out-of-bag vote in which every rank counts as its area: a sample stratified by rank."""
    places = [ranks.ORDER[int(code)] for code in codes]
    matrix, there = matrix[np.ix_(places, places)], matrix.sum(axis=0)[places] > 0
    counts = matrix[None] * np.eye(len(places), dtype=np.int64)[:, None, :]
    overall = estimate(counts[there], areas[there], [f"rank {code}" for code in codes[there]]).overall
    low, high = (None, None) if overall.interval is None else (100 * bound for bound in overall.interval)
    return panel.row("accuracy", "out-of-bag vote, by area", 100 * overall.value, overall.n, low=low, high=high,
                     meaning="The same, each rank counting as the area that it has on the map: what to expect of the "
                     "map where samples are near.")


class Runs:
    """Collects the runs: their probabilities on held-out points, and their votes on all points.

    ``factors``: of the ranks, float64 (classes,), by which probabilities of held-out points are multiplied before a run
    votes. The in-sample vote is that of the plain probabilities.
    """

    def __init__(self, points, classes):
        self.boosters, self.rounds, self.factors = [], [], np.ones(classes)
        self.gain, self.total_gain = 0.0, 0.0
        self._points = points
        self._held_out = []
        self._votes = np.zeros((points, classes), dtype=np.int32)
        self._chances = np.zeros((points, classes))

    def add(self, fit, test):
        """Add the Fit of a run whose held-out rows are ``test``."""
        self._votes[np.arange(self._points), fit.probability.argmax(axis=1)] += 1
        self._chances += fit.probability
        self._held_out.append((test, fit.probability[test]))
        self.boosters.append(fit.raw)
        self.rounds.append(fit.rounds)
        self.gain, self.total_gain = self.gain + fit.gain, self.total_gain + fit.total_gain

    def tested(self):
        """Return which points were held out by at least one run, bool (n,)."""
        return self._times() > 0

    def mean(self):
        """Return the mean out-of-bag probabilities (n, classes); NaN where no run held a point out."""
        with np.errstate(invalid="ignore"):
            return self._totals() / self._times()[:, None]

    def vote(self):
        """Return (class place, mean probability of it) by the out-of-bag votes of every point (n,), NaN where none."""
        votes = np.zeros(self._votes.shape, dtype=np.int32)
        for rows, probability in self._held_out:
            votes[rows, (probability * self.factors).argmax(axis=1)] += 1
        place = ensemble_class(votes, self._totals() * self.factors)
        return place, self.mean()[np.arange(len(place)), place]

    def in_sample(self):
        """Return the class place that all runs vote for (n,), most of which trained on the point."""
        return ensemble_class(self._votes, self._chances)

    def hold_out(self, labels):
        """Return the accuracy of every run on its own held-out points (runs,)."""
        return [float(((probability * self.factors).argmax(axis=1) == labels[rows]).mean())
                for rows, probability in self._held_out]

    def chance_of(self, labels):
        """Return the mean out-of-bag probability of the classes ``labels`` (n,); NaN where no run held a point out."""
        return self.mean()[np.arange(len(labels)), labels]

    def _totals(self):
        """Return the sums of the out-of-bag probabilities (n, classes)."""
        total = np.zeros(self._chances.shape)
        for rows, probability in self._held_out:
            total[rows] += probability
        return total

    def _times(self):
        """Return how many runs held each point out (n,)."""
        times = np.zeros(self._points, dtype=np.int64)
        for rows, _ in self._held_out:
            times[rows] += 1
        return times


def ensemble_class(votes, chances):
    """Return the class with most votes, ties by the larger summed probability; arrays (..., classes)."""
    tied = votes == votes.max(axis=-1, keepdims=True)
    return np.where(tied, chances, -1.0).argmax(axis=-1)


def cross_validate(learner, labels, folds, progress, factors=1.0):
    """Return for every sample whether the model of the other folds classifies it rightly, bool (n,).

    ``factors``: of the ranks, as in Runs, or 1 for none.
    """
    numbers = np.unique(folds)
    right = np.zeros(len(labels), dtype=bool)
    for number, fit in zip(numbers, learner.side_by_side(
            [np.flatnonzero(folds != number) for number in numbers], progress)):
        held = folds == number
        right[held] = (fit.probability[held] * factors).argmax(axis=1) == labels[held]
    return right


def _line(line, meaning, right):
    return panel.share_row("accuracy", line, int(right.sum()), len(right), meaning)


def manifest(training, samples, options, profile, grid=None, prior=None, selection=None):
    """Return what the model file says about itself besides features, classes, boosters and samples.

    ``grid``: Grid that the samples were drawn on, or None; ``prior``: Prior of the ranks, or None; ``selection``:
    Selection that chose the features, or None.
    """
    xgboost = require("xgboost", "training the model")
    folds, prior = training.folds, prior or Prior()
    limit = missing_limit(options.max_missing, len(samples.features))
    # how many runs were trained at once does not change them, and must not change the file
    stated = {name: value for name, value in asdict(options).items() if name != "threads"}
    return {
        "plugin_version": plugin_version(), "profile": profile.name, "options": stated,
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
        "class_weights": prior.kind, "area_of_ranks": prior.areas and {
            str(code): float(prior.areas[code]) for code in training.codes if code in prior.areas},
        "rank_factors": {str(code): float(factor) for code, factor in zip(training.codes, training.factors)},
        "temperature": training.temperature, "rounds": list(training.rounds), "gain_share_percent": training.gain,
        "grid": grid and {"crs": grid.wkt, "transform": list(grid.transform), "width": grid.width,
                          "height": grid.height},
        "selection": selection and {"folds": selection.scheme, "rule": selection.rule, "rows": selection.rows(),
                                    "left_out": [name for name in selection.kept[-1] if name not in selection.names]},
        "metrics": training.metrics, "shap": training.shap,
        "labels": {str(rank.code): rank.label for rank in ranks.RANKS if rank.code in training.codes},
        "colours": {str(rank.code): rank.colour for rank in ranks.RANKS}, "nodata": ranks.NO_RANK,
        "nodata_rule": f"a cell that lacks more than {limit} predictors, or has a category not seen in training, is "
                       f"nodata",
        "max_missing": limit,
        "samples_lacking": {feature.name: int(np.isnan(samples.x[:, i]).sum())
                            for i, feature in enumerate(samples.features)},
        "categories": {feature.name: sorted(int(code) for code in np.unique(samples.x[:, i]) if code == code)
                       for i, feature in enumerate(samples.features) if feature.categorical},
        "sample_ranges": {feature.name: [float(np.nanmin(samples.x[:, i])), float(np.nanmax(samples.x[:, i]))]
                          for i, feature in enumerate(samples.features) if not feature.categorical}}
