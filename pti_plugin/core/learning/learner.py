"""Single XGBoost classifiers: their hyperparameters, and many fits side by side, each on one thread.

One thread a fit keeps a model the same bytes whatever the number of threads, and several fits fill the processor
better than one fit on all of it. Method, section 5.
"""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

import numpy as np
from osgeo import gdal

from ..common.errors import InputError
from .folds import split

#: rows predicted between two looks at the cancel button
ROWS_AT_ONCE = 4096
#: how XGBoost is told about the options: field of TrainingOptions → its own name
_NAMES = {"max_depth": "max_depth", "learning_rate": "eta", "min_child_weight": "min_child_weight", "gamma": "gamma",
          "max_delta_step": "max_delta_step", "subsample": "subsample", "colsample": "colsample_bytree",
          "colsample_level": "colsample_bylevel", "colsample_node": "colsample_bynode", "reg_lambda": "lambda",
          "reg_alpha": "alpha", "max_bin": "max_bin", "max_cat_to_onehot": "max_cat_to_onehot",
          "max_cat_threshold": "max_cat_threshold"}


@dataclass(frozen=True)
class TrainingOptions:
    """Hyperparameters of the ensemble, and how it is measured.

    ``early_stopping``: rounds without gain after which a fit ends, 0 for never; the gain is looked for on
    ``early_share`` of its own training rows, which it then does not learn from. ``block_km``: side of the blocks of
    the spatial cross-validation, 0 for the size that the residuals suggest. ``shap_points``: held-out points whose
    contributions are taken, over ``shap_runs`` runs. ``max_missing``: most predictors that a sample, and later a cell
    of the map, may lack, never more than half of them.
    """

    runs: int = 100
    seed: int = 42
    rounds: int = 300
    max_depth: int = 6
    learning_rate: float = 0.1
    min_child_weight: float = 1.0
    gamma: float = 0.0
    max_delta_step: float = 0.0
    subsample: float = 1.0
    colsample: float = 1.0
    colsample_level: float = 1.0
    colsample_node: float = 1.0
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    max_bin: int = 256
    max_cat_to_onehot: int = 1
    max_cat_threshold: int = 64
    early_stopping: int = 0
    early_share: float = 0.1
    test_share: float = 0.2
    block_km: float = 500.0
    shap_points: int = 500
    shap_runs: int = 5
    max_missing: int = 0
    threads: int = 0

    def check(self):
        """Raise InputError for values XGBoost cannot use."""
        if self.runs < 1 or self.rounds < 1 or self.max_depth < 1:
            raise InputError("RUNS, ROUNDS and MAX_DEPTH must be at least 1.")
        for name, value in (("TEST_SHARE", self.test_share), ("EARLY_SHARE", self.early_share)):
            if not 0.05 <= value <= 0.5:
                raise InputError(f"{name} is {value:g}; it must lie in 0.05 to 0.5.")
        if not 2 <= self.max_bin <= 256:
            raise InputError(f"MAX_BIN is {self.max_bin}; it must lie in 2 to 256.")

    def parameters(self, classes):
        """Return what XGBoost is given, but for the seed and the number of threads."""
        return {"objective": "multi:softprob", "num_class": classes, "tree_method": "hist",
                **{theirs: getattr(self, ours) for ours, theirs in _NAMES.items()}}

    def workers(self):
        """Return how many fits run side by side."""
        return self.threads or gdal.GetNumCPUs()


@dataclass(frozen=True)
class Fit:
    """A fitted classifier: UBJ bytes, probabilities of all samples float32 (n, classes), and importances by feature.

    ``gain``: mean gain of the splits of a feature, ``total_gain``: their sum; both float64 (features,), 0 where it is
    not used. ``rounds``: rounds kept.
    """

    raw: bytes
    probability: np.ndarray
    gain: np.ndarray
    total_gain: np.ndarray
    rounds: int


class Learner:
    """Fits classifiers on rows of the samples; all of them share the bins of the whole sample.

    ``labels``: class places (n,); ``weights``: of the samples (n,), or None; ``stratified``: whether the rows that
    early stopping watches keep the class shares.
    """

    def __init__(self, xgboost, samples, labels, classes, options, weights=None, stratified=True):
        self._xgboost, self._labels, self._classes = xgboost, labels, classes
        self._options, self._weights, self._stratified = options, weights, stratified
        self._x = samples.x
        self._kinds = kinds(samples.features)
        # shared cut points: every model then has at most max_bin thresholds a feature, as fast prediction needs
        self._bins = self._matrix(np.arange(len(labels)), None, weighted=False)

    def _matrix(self, rows, reference, weighted=True):
        weights = self._weights[rows] if weighted and self._weights is not None else None
        return self._xgboost.QuantileDMatrix(
            self._x[rows], label=self._labels[rows], weight=weights, enable_categorical=True, ref=reference, nthread=1,
            max_bin=self._options.max_bin, **self._kinds)

    def _fit(self, rows, seed, stop, done):
        options = self._options
        watched = None
        if options.early_stopping:
            kept, aside = split(self._labels[rows], options.early_share, (seed, 1_000_039), self._stratified)
            rows, watched = rows[kept], self._matrix(rows[aside], self._bins)
        matrix = self._matrix(rows, self._bins)
        booster = self._xgboost.Booster({**options.parameters(self._classes), "seed": seed, "nthread": 1,
                                         "verbosity": 0}, [matrix] if watched is None else [matrix, watched])
        best, rounds = np.inf, 0
        for number in range(options.rounds):
            if stop():
                return None
            booster.update(matrix, number)
            done(1)
            if watched is not None:
                loss = float(booster.eval(watched, "watched", number).rsplit(":", 1)[1])
                if loss < best:
                    best, rounds = loss, number + 1
                elif number + 1 - rounds >= options.early_stopping:
                    done(options.rounds - number - 1)
                    break
        probability = np.empty((len(self._labels), self._classes), dtype=np.float32)
        others = np.ones(len(self._labels), dtype=bool)
        if watched is None:
            rounds = options.rounds
            # the probabilities of its own rows are kept up while training
            probability[rows] = booster.predict(matrix)
            others[rows] = False
        else:
            booster = booster[:rounds]
        others = np.flatnonzero(others)
        for chunk in predicted_in_chunks(booster, self._x, others, stop):
            if chunk is None:
                return None
            probability[chunk[0]] = chunk[1]
        return Fit(bytes(booster.save_raw("ubj")), probability, importance(booster, self._kinds, "gain"),
                   importance(booster, self._kinds, "total_gain"), rounds)

    def side_by_side(self, row_sets, progress):
        """Yield the Fit of every set of training rows, in order; raises Cancelled."""
        done = [0] * len(row_sets)

        def job(i, rows):
            def count(rounds):
                done[i] += rounds

            return lambda stop: self._fit(rows, self._options.seed + i, stop, count)

        total = len(row_sets) * self._options.rounds
        yield from in_order([job(i, rows) for i, rows in enumerate(row_sets)], self._options.workers(), progress,
                            lambda: sum(done) / total)


def in_order(jobs, workers, progress, share_done):
    """Yield what ``jobs`` give, in their order, ``workers`` of them at a time.

    A job is called with a function that says whether to stop, and returns None once it does. ``share_done()``: share
    of the work done, 0 to 1. Raises Cancelled within a tenth of a second of a job's next look.
    """
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(job, progress.cancelled) for job in jobs]
        try:
            for i, future in enumerate(futures):
                while True:
                    progress.check()
                    try:
                        result = future.result(timeout=0.1)
                        break
                    except FutureTimeout:
                        progress.set(share_done())
                        if future.done():
                            result = future.result()
                            break
                progress.check()
                progress.set(share_done())
                yield result
                futures[i] = None
        finally:
            for future in futures:
                if future is not None:
                    future.cancel()


def kinds(features):
    """Return {feature_names, feature_types} as XGBoost's matrices take them."""
    return {"feature_names": booster_names([feature.name for feature in features]),
            "feature_types": ["c" if feature.categorical else "q" for feature in features]}


def booster_names(names):
    """Return the names by which the boosters know predictors: their own, with %5B, %5D and %3C for [, ] and <.

    XGBoost refuses names with these letters. Each has one name, whatever the others are, and none that another bears.
    """
    refused = {"%": "%25", "[": "%5B", "]": "%5D", "<": "%3C"}
    plain = {name for name in names if not set(name) & set("[]<")}
    found = []
    for name in names:
        if name not in plain:
            name = "".join(refused.get(letter, letter) for letter in name)
            while name in plain:
                name += "%"
        found.append(name)
    return found


def predicted_in_chunks(booster, x, rows, stop):
    """Yield (rows, probabilities) of part after part of ``rows`` of ``x``; None where ``stop()`` says so."""
    for first in range(0, len(rows), ROWS_AT_ONCE):
        if stop():
            yield None
            return
        part = rows[first:first + ROWS_AT_ONCE]
        yield part, booster.inplace_predict(x[part])


def importance(booster, named, kind):
    """Return the importance of each feature of ``named`` (see kinds), float64 (features,), 0 for one not used."""
    found = booster.get_score(importance_type=kind)
    return np.array([found.get(name, 0.0) for name in named["feature_names"]])
