"""Training: an ensemble of XGBoost classifiers on random 80/20 splits, and an accuracy one can believe.

Each run is trained on one thread and the runs side by side, so a model is the same bytes whatever the number of
threads. Method, sections 5 and 8; the paper's section 2.2.4.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import asdict, dataclass

import numpy as np
from osgeo import gdal

from . import ranks
from .accuracy import by_class, confusion, kappa, tier_accuracy
from .errors import InputError
from .grid import coordinate_transformation, epsg_wkt
from .packages import require
from .profiles import DEFENSIBLE
from .resources import plugin_version
from .small_sample import wilson

#: held-out points whose contributions are summed up in the SHAP table, over all runs that take part
SHAP_POINTS = 500
SHAP_RUNS = 5
FOLDS = 5


@dataclass(frozen=True)
class TrainingOptions:
    """Hyperparameters of the ensemble; ``block_km`` is the side of the blocks of the spatial cross-validation."""

    runs: int = 100
    seed: int = 42
    rounds: int = 300
    max_depth: int = 6
    learning_rate: float = 0.1
    min_child_weight: float = 1.0
    subsample: float = 1.0
    colsample: float = 1.0
    reg_lambda: float = 1.0
    test_share: float = 0.2
    block_km: float = 500.0
    threads: int = 0

    def check(self):
        """Raise InputError for values XGBoost cannot use."""
        if self.runs < 1 or self.rounds < 1 or self.max_depth < 1:
            raise InputError("RUNS, ROUNDS and MAX_DEPTH must be at least 1.")
        if not 0.05 <= self.test_share <= 0.5:
            raise InputError(f"TEST_SHARE is {self.test_share:g}; it must lie in 0.05 to 0.5.")


@dataclass(frozen=True)
class Training:
    """What training gives: boosters as UBJ bytes, class codes, ``metrics`` rows, ``shap`` rows, OOB ``matrix``."""

    boosters: tuple
    codes: tuple
    metrics: list
    shap: list
    matrix: np.ndarray


def train(samples, options, progress, profile=DEFENSIBLE):
    """Train the ensemble on Samples and measure it. Returns a Training.

    Raises InputError for unusable samples or options, DependencyError without xgboost, Cancelled.
    """
    xgboost = require("xgboost", "training the model")
    samples.check()
    options.check()
    codes = np.unique(samples.y)
    labels = np.searchsorted(codes, samples.y)
    learner = _Learner(xgboost, samples, labels, len(codes), options)
    splits = [split(labels, options.test_share, (options.seed, run), profile.stratified_split)
              for run in range(options.runs)]
    boosters, held_out = [], []
    votes = np.zeros((2, len(labels), len(codes)), dtype=np.int32)
    chances = np.zeros((2, len(labels), len(codes)))
    for run, (raw, probability) in enumerate(
            learner.side_by_side([train_rows for train_rows, _ in splits], progress.part(0, 0.8))):
        test = splits[run][1]
        voted = probability.argmax(axis=1)
        for part, rows in ((0, test), (1, np.arange(len(labels)))):
            votes[part, rows, voted[rows]] += 1
            chances[part, rows] += probability[rows]
        held_out.append(float((voted[test] == labels[test]).mean()))
        boosters.append(raw)
    tested = votes[0].sum(axis=1) > 0
    out_of_bag = ensemble_class(votes[0], chances[0])[tested]
    matrix = confusion(codes[out_of_bag], samples.y[tested], ranks.CODES)
    panel = [
        _line("out-of-bag vote", "Each point is classified by the runs that did not train on it. The headline: what "
              "the ensemble achieves on points like the samples.", out_of_bag == labels[tested]),
        _line(f"spatial-block cross-validation ({options.block_km:g} km)", "Whole blocks are held out, so neighbours "
              "cannot help: what to expect away from the samples.",
              _cross_validate(learner, labels, _block_folds(samples, options), progress.part(0.8, 0.87))),
        _line("random 5-fold cross-validation", "Random folds among neighbouring points; too high where neighbours "
              "are alike.",
              _cross_validate(learner, labels, _random_folds(labels, options.seed), progress.part(0.87, 0.94))),
        {"section": "accuracy", "line": "single-run hold-out, mean", "value": 100 * float(np.mean(held_out)),
         "low": 100 * float(np.min(held_out)), "high": 100 * float(np.max(held_out)), "n": options.runs, "unit": "%",
         "meaning": "Each run on its own held-out points; low and high are the extremes of the runs."},
        _line("in-sample vote (in-sample, not an accuracy)", "All runs vote on points most of them were trained on. "
              "Given only because the paper's 91.8 % can be read this way.",
              ensemble_class(votes[1], chances[1]) == labels),
    ]
    others = [("accuracy", "tier accuracy (out-of-bag)", 100 * tier_accuracy(matrix), "%",
               "Cold, cool, warm or isolated is right."),
              ("agreement", "kappa (out-of-bag)", kappa(matrix), "", "Agreement beyond chance, at most 1.")]
    panel += [{"section": section, "line": line, "value": value, "low": None, "high": None, "n": int(tested.sum()),
               "unit": unit, "meaning": meaning} for section, line, value, unit, meaning in others]
    shap = _shap_table(xgboost, samples, boosters, [test for _, test in splits], options, progress.part(0.94, 1))
    return Training(tuple(boosters), tuple(int(code) for code in codes), panel + _class_rows(matrix), shap, matrix)


def ensemble_class(votes, chances):
    """Return the class with most votes, ties by the larger summed probability; arrays (..., classes)."""
    tied = votes == votes.max(axis=-1, keepdims=True)
    return np.where(tied, chances, -1.0).argmax(axis=-1)


def split(labels, test_share, seed, stratified):
    """Return (training rows, test rows), each sorted, of one random split."""
    rng = np.random.default_rng(seed)
    if not stratified:
        order = rng.permutation(len(labels))
        cut = round(len(labels) * test_share)
        return np.sort(order[cut:]), np.sort(order[:cut])
    test = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test.append(rows[:max(1, round(len(rows) * test_share))])
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test), test


class _Learner:
    """Trains on rows of the samples; all runs share the bins of the whole sample."""

    def __init__(self, xgboost, samples, labels, classes, options):
        self._xgboost, self._labels, self._options, self._classes = xgboost, labels, options, classes
        self._x = samples.x
        self._types = ["c" if feature.categorical else "q" for feature in samples.features]
        self._names = [feature.name for feature in samples.features]
        self._bins = self._matrix(np.arange(len(labels)), None)
        self._all = xgboost.DMatrix(self._x, feature_names=self._names, feature_types=self._types,
                                    enable_categorical=True, nthread=1)

    def _matrix(self, rows, reference):
        return self._xgboost.QuantileDMatrix(
            self._x[rows], label=self._labels[rows], feature_names=self._names, feature_types=self._types,
            enable_categorical=True, ref=reference, nthread=1)

    def _fit(self, rows, seed, stop):
        options = self._options
        parameters = {"objective": "multi:softprob", "num_class": self._classes, "tree_method": "hist", "nthread": 1,
                      "max_depth": options.max_depth, "eta": options.learning_rate,
                      "min_child_weight": options.min_child_weight, "subsample": options.subsample,
                      "colsample_bytree": options.colsample, "lambda": options.reg_lambda,
                      "max_cat_to_onehot": 1, "seed": seed, "verbosity": 0}
        matrix = self._matrix(rows, self._bins)
        booster = self._xgboost.train(parameters, matrix, 0)
        for round_number in range(options.rounds):
            if stop():
                return None
            booster.update(matrix, round_number)
        return bytes(booster.save_raw("ubj")), booster.predict(self._all)

    def side_by_side(self, row_sets, progress):
        """Yield (UBJ bytes, probabilities of all samples) for every set of training rows, in order."""
        workers = self._options.threads or gdal.GetNumCPUs()
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(self._fit, rows, self._options.seed + i, progress.cancelled)
                       for i, rows in enumerate(row_sets)]
            try:
                for i, future in enumerate(futures):
                    while True:
                        progress.check()
                        try:
                            result = future.result(timeout=0.1)
                            break
                        except FutureTimeout:
                            if future.done():
                                result = future.result()
                                break
                    progress.check()
                    progress.set((i + 1) / len(futures))
                    yield result
                    futures[i] = None
            finally:
                for future in futures:
                    if future is not None:
                        future.cancel()


def _cross_validate(learner, labels, folds, progress):
    """Return for every sample whether the model of the other folds classifies it rightly."""
    numbers = np.unique(folds)
    right = np.zeros(len(labels), dtype=bool)
    for number, (_, probability) in zip(numbers, learner.side_by_side(
            [np.flatnonzero(folds != number) for number in numbers], progress)):
        held = folds == number
        right[held] = probability[held].argmax(axis=1) == labels[held]
    return right


def _random_folds(labels, seed):
    rng = np.random.default_rng((seed, 1_000_003))
    folds = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def _block_folds(samples, options):
    """Put samples into blocks of ``block_km`` on an equal-area grid and deal the blocks to the folds at random."""
    change = coordinate_transformation(epsg_wkt(4326), epsg_wkt(6931))
    points = np.array(change.TransformPoints(np.column_stack([samples.longitude, samples.latitude])))[:, :2]
    blocks = np.floor(points / (options.block_km * 1000)).astype(int)
    _, block = np.unique(blocks, axis=0, return_inverse=True)
    block = np.ravel(block)
    rng = np.random.default_rng((options.seed, 1_000_033))
    sizes = np.bincount(block)
    if len(sizes) < FOLDS:
        raise InputError(f"The samples fall into {len(sizes)} blocks of {options.block_km:g} km; at least {FOLDS} are "
                         f"needed. Lower BLOCK_KM.")
    # the largest blocks first, each to the emptiest fold, in random order among equals
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, filled = np.empty(len(sizes), dtype=int), np.zeros(FOLDS, dtype=int)
    for number in order:
        fold_of[number] = int(filled.argmin())
        filled[fold_of[number]] += sizes[number]
    return fold_of[block]


def _line(line, meaning, right):
    low, high = wilson(int(right.sum()), len(right))
    return {"section": "accuracy", "line": line, "value": 100 * float(right.mean()), "low": 100 * low,
            "high": 100 * high, "n": len(right), "unit": "%", "meaning": meaning}


def _class_rows(matrix):
    rows = []
    for row in by_class(matrix):
        for name, denominator in (("precision", "classified"), ("recall", "reference"), ("f1", "reference")):
            if row["classified"] + row["reference"]:
                rows.append({"section": "class", "line": f"{name} of rank {row['rank']} (out-of-bag)",
                             "value": 100 * row[name], "low": None, "high": None, "n": row[denominator], "unit": "%",
                             "meaning": ""})
    for i, classified in enumerate(ranks.CODES):
        for j, reference in enumerate(ranks.CODES):
            if matrix[i, j]:
                rows.append({"section": "confusion", "line": f"classified {classified}, reference {reference}",
                             "value": int(matrix[i, j]), "low": None, "high": None, "n": int(matrix.sum()),
                             "unit": "points", "meaning": "out-of-bag; rows classified, columns reference"})
    return rows


def _shap_table(xgboost, samples, boosters, tests, options, progress):
    """Return rows level, name, group, mean_abs_shap, share_percent, gain_share_percent: features, then groups."""
    names = [feature.name for feature in samples.features]
    types = ["c" if feature.categorical else "q" for feature in samples.features]
    runs = min(SHAP_RUNS, len(boosters))
    sums, count, gains = np.zeros(len(names)), 0, np.zeros(len(names))
    for run in range(runs):
        progress.check()
        rng = np.random.default_rng((options.seed, 1_000_037, run))
        rows = np.sort(rng.permutation(tests[run])[:max(1, SHAP_POINTS // runs)])
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(boosters[run]))
        matrix = xgboost.DMatrix(samples.x[rows], feature_names=names, feature_types=types, enable_categorical=True)
        contributions = np.abs(booster.predict(matrix, pred_contribs=True))[..., :-1]
        sums += contributions.reshape(len(rows), -1, len(names)).mean(axis=1).sum(axis=0)
        count += len(rows)
        gain = booster.get_score(importance_type="total_gain")
        gains += [gain.get(name, 0.0) for name in names]
        progress.set((run + 1) / runs)
    means = sums / count
    table = [{"level": "feature", "name": feature.name, "group": feature.group, "mean_abs_shap": float(means[i]),
              "share_percent": float(100 * means[i] / means.sum()) if means.sum() else 0.0,
              "gain_share_percent": float(100 * gains[i] / gains.sum()) if gains.sum() else 0.0}
             for i, feature in enumerate(samples.features)]
    table.sort(key=lambda row: (-row["mean_abs_shap"], row["name"]))
    groups = []
    for group in sorted({row["group"] for row in table}):
        of_group = [row for row in table if row["group"] == group]
        groups.append({"level": "group", "name": group, "group": group,
                       **{key: sum(row[key] for row in of_group)
                          for key in ("mean_abs_shap", "share_percent", "gain_share_percent")}})
    groups.sort(key=lambda row: (-row["mean_abs_shap"], row["name"]))
    return table + groups


def accuracy_rows(metrics):
    """Return the rows of the accuracy panel of a metrics table."""
    return [row for row in metrics if row["section"] == "accuracy"]


def confusion_of(metrics):
    """Return (labels, matrix) of the confusion matrix in a metrics table, or None where it holds none."""
    matrix = np.zeros((len(ranks.CODES), len(ranks.CODES)), dtype=np.int64)
    for row in metrics:
        if row["section"] == "confusion":
            classified, reference = (int(word) for word in re.findall(r"\d+", row["line"]))
            matrix[ranks.ORDER[classified], ranks.ORDER[reference]] = int(row["value"])
    return (list(ranks.CODES), matrix) if matrix.any() else None


def manifest(training, samples, options, profile):
    """Return what the model file says about itself besides features, classes and boosters."""
    xgboost = require("xgboost", "training the model")
    return {"plugin_version": plugin_version(), "profile": profile.name, "options": asdict(options),
            "samples": len(samples.y), "metrics": training.metrics, "shap": training.shap,
            "versions": {"xgboost": xgboost.__version__, "numpy": np.__version__},
            "colours": {str(rank.code): rank.colour for rank in ranks.RANKS},
            "nodata_rule": "a cell with any predictor missing, or a category not seen in training, is nodata",
            "categories": {feature.name: sorted(int(code) for code in np.unique(samples.x[:, i]))
                           for i, feature in enumerate(samples.features) if feature.categorical}}
