"""Recursive feature elimination with cross-validation: which predictors are worth having.

The estimator is fitted on all predictors, the one with the least gain is dropped, and so on down to one, in every
fold and on all samples; the folds give the accuracy of each number of predictors, the samples their names. The result
is that of scikit-learn's RFECV (Guyon et al. 2002) with an XGBClassifier, importance by gain, one feature a step; the
folds run side by side here, one thread a fit. Method, section 5.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..common.packages import require
from ..common.tables import read_csv
from ..ensembles.features import PREDICTORS
from .folds import FOLDS
from .learner import importance, in_order, kinds, predicted_in_chunks

NONE, RFECV = SELECTIONS = ("none", "rfecv")
STRATIFIED, BLOCKS = FOLD_SCHEMES = ("stratified", "spatial_blocks")
BEST, FEWEST = RULES = ("best_mean", "fewest_within_one_se")
COLUMNS = ("features", "mean_accuracy", "sd_accuracy", *(f"fold_{number}" for number in range(1, FOLDS + 1)), "kept",
           "dropped_next", "chosen", "folds", "rule", "source")
OURS, PAPER = "this run", "paper"


@dataclass(frozen=True)
class Selection:
    """The curve and the choice: ``accuracy`` (folds, features), of 1, 2 … all features, 0 to 1; ``kept``: names for
    each of these numbers, in the order of the samples' features, None where the elimination on all samples did not
    need to go, below ``chosen`` − 1; ``chosen``: how many are kept."""

    accuracy: np.ndarray
    kept: tuple
    chosen: int
    scheme: str
    rule: str

    @property
    def names(self):
        """The names of the features that are kept."""
        return self.kept[self.chosen - 1]

    def rows(self):
        """Return the table of the curve, a dict of COLUMNS for each number of features, all of them first.

        Names stand down to one below the choice: what was dropped, and what would have been next.
        """
        mean, sd = self.accuracy.mean(axis=0), self.accuracy.std(axis=0, ddof=1)
        rows = []
        for count in range(len(self.kept), 0, -1):
            kept, following = self.kept[count - 1], self.kept[count - 2] if count > 1 else None
            dropped = set(kept) - set(following) if following else ()
            rows.append({"features": count, "mean_accuracy": 100 * float(mean[count - 1]),
                         "sd_accuracy": 100 * float(sd[count - 1]),
                         **{f"fold_{fold + 1}": 100 * float(value)
                            for fold, value in enumerate(self.accuracy[:, count - 1])},
                         "kept": " ".join(kept or ()), "dropped_next": " ".join(sorted(dropped)),
                         "chosen": int(count == self.chosen), "folds": self.scheme, "rule": self.rule,
                         "source": OURS})
        return rows


def select(samples, folds, options, progress, scheme=STRATIFIED, rule=BEST, weights=None):
    """Eliminate features of ``samples`` one by one. Returns a Selection.

    ``folds``: fold 0 to 4 of every sample (n,); ``options``: TrainingOptions, whose early stopping is not used here;
    ``weights``: of the samples in training (n,), or None. ``rule``: BEST takes the number of features with the best
    mean accuracy, the fewest among equals; FEWEST the fewest whose mean is within one standard error of it.
    Raises InputError for fewer than two features, DependencyError without xgboost, Cancelled.
    """
    xgboost = require("xgboost", "selecting features")
    if len(samples.features) < 2:
        raise InputError("There is only one predictor; nothing can be eliminated. Choose no feature selection.")
    options.check()
    codes, labels = np.unique(samples.y, return_inverse=True)
    labels = np.ravel(labels)
    chain = _Chain(xgboost, samples, labels, len(codes), options, weights)
    everything = np.arange(len(labels))
    sets = [(np.flatnonzero(folds != number), np.flatnonzero(folds == number)) for number in range(FOLDS)]
    done, needed = [0] * (FOLDS + 1), [1]

    def job(i, rows, test, least):
        def count():
            done[i] += 1

        return lambda stop: chain.run(rows, test, least, stop, count)

    # all samples come last: once the folds have decided, there is no need to go below the choice
    jobs = [job(i, *rows, lambda: 1) for i, rows in enumerate(sets)]
    jobs.append(job(FOLDS, everything, None, lambda: needed[0]))
    total = len(jobs) * len(samples.features) * options.rounds
    results = in_order(jobs, options.workers(), progress, lambda: sum(done) / total)
    accuracy = np.array([scores for _, scores in (next(results) for _ in sets)])[:, ::-1]
    needed[0] = chosen = choose(accuracy, rule)
    steps, _ = next(results)
    results.close()
    progress.set(1)
    names = [feature.name for feature in samples.features]
    kept = [None] * len(names)
    for places in steps:
        # how far it went when the folds were done depends on the threads; what is kept of it does not
        if places and len(places) >= chosen - 1:
            kept[len(places) - 1] = tuple(names[i] for i in places)
    return Selection(accuracy, tuple(kept), chosen, scheme, rule)


def choose(accuracy, rule):
    """Return how many features are kept, from their accuracy (folds, features) for 1, 2 … features."""
    # a sum as scikit-learn takes it, so that equals are the same here and there; the first is the fewest
    best = int(accuracy.sum(axis=0).argmax())
    if rule == BEST:
        return best + 1
    mean, error = accuracy.mean(axis=0), accuracy[:, best].std(ddof=1) / len(accuracy) ** 0.5
    return int(np.flatnonzero(mean >= mean[best] - error)[0]) + 1


def restricted(samples, names):
    """Return the Samples with only the features of ``names``, in their order among the samples' features."""
    places = [i for i, feature in enumerate(samples.features) if feature.name in names]
    return replace(samples, x=np.ascontiguousarray(samples.x[:, places]),
                   features=tuple(samples.features[i] for i in places))


def paper_rows(path):
    """Return the paper's number of features and peak accuracy as a row of the table, from the table of its results."""
    values = {row["quantity"]: row["value"] for row in read_csv(path)}
    dropped = str(values["rfecv_dropped"]).split()
    return [{"features": int(values["rfecv_features"]), "mean_accuracy": values["rfecv_accuracy"], "chosen": 1,
             "kept": " ".join(name for name in PREDICTORS if name not in dropped), "folds": STRATIFIED, "rule": BEST,
             "source": PAPER}]


class _Chain:
    """The elimination on one set of rows, from all features down to one."""

    def __init__(self, xgboost, samples, labels, classes, options, weights):
        self._xgboost, self._samples, self._labels, self._weights = xgboost, samples, labels, weights
        self._options = options
        self._parameters = {**options.parameters(classes), "seed": options.seed, "nthread": 1, "verbosity": 0}

    def run(self, rows, test, least, stop, count):
        """Return (features left at each step, accuracy on ``test`` at each step), or None where ``stop()`` says so.

        No model of fewer than ``least()`` features is fitted, which may be raised meanwhile.
        """
        left = list(range(len(self._samples.features)))
        steps, scores = [tuple(left)], []
        while len(left) >= least():
            booster = self._fit(rows, left, lambda: stop() or len(left) < least(), count)
            if booster is None:
                if stop():
                    return None
                break
            if test is not None:
                right = 0
                for chunk in predicted_in_chunks(booster, self._samples.x[:, left], test, stop):
                    if chunk is None:
                        return None
                    right += int((chunk[1].argmax(axis=1) == self._labels[chunk[0]]).sum())
                scores.append(right / len(test))
            left.pop(least_important(importance(booster, self._named(left), "gain")))
            steps.append(tuple(left))
        return steps, scores

    def _named(self, left):
        return kinds([self._samples.features[i] for i in left])

    def _fit(self, rows, left, stop, count):
        matrix = self._xgboost.QuantileDMatrix(
            self._samples.x[np.ix_(rows, left)], label=self._labels[rows], enable_categorical=True, nthread=1,
            weight=None if self._weights is None else self._weights[rows], max_bin=self._options.max_bin,
            **self._named(left))
        booster = self._xgboost.Booster(self._parameters, [matrix])
        for number in range(self._options.rounds):
            if stop():
                return None
            booster.update(matrix, number)
            count()
        return booster


def least_important(gain):
    """Return the place of the least gain, the first among equals, as scikit-learn finds it: it ranks the squares of
    the shares in single precision."""
    share = gain.astype(np.float32)
    total = share.sum()
    share = share / total if total else share
    return int(np.argsort(share ** 2, kind="stable")[0])
