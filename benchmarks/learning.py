"""Recursive feature elimination with cross-validation against scikit-learn's RFECV with the same XGBoost classifier.

Both get the same samples, folds, hyperparameters and number of threads, and must give the same curve and choice; that
is checked before the times are believed. scikit-learn can use two threads in two ways, in XGBoost or for the folds;
both are measured, at full size only the first. Wall time, one run each: the work is long and its parts repeat
themselves.
"""

import sys
import time
from pathlib import Path

import numpy as np
from measure import Row
from sklearn.feature_selection import RFECV
from xgboost import XGBClassifier

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.ensembles.features import PREDICTORS
from pti_plugin.core.learning import feature_selection
from pti_plugin.core.learning.folds import FOLDS, stratified_folds
from pti_plugin.core.learning.learner import TrainingOptions

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from learning_data import COVER, planted  # noqa: E402

THREADS = 2
#: samples, rounds, predictors; the paper's number of samples takes some minutes a run and is for --full only
QUICK, MIDDLE, FULL = (300, 2, 5), (4_000, 20, 16), (61_325, 100, 16)
#: predictors of the quick form
FIRST = ("lst", "snow", "land_cover", "slope", "soc")


class TypedClassifier(XGBClassifier):
    """XGBClassifier that knows land cover by its codes, because RFECV hands it columns without their names."""

    def fit(self, x, y, **more):
        """Fit with the type of each column found from its values."""
        self.set_params(feature_types=["c" if np.isin(column, COVER).all() else "q" for column in x.T])
        return super().fit(x, y, **more)


def theirs(samples, labels, folds, options, inside):
    """Run RFECV with the threads ``inside`` XGBoost, or for the folds; return (curve of the folds, support)."""
    estimator = TypedClassifier(
        n_estimators=options.rounds, max_depth=options.max_depth, learning_rate=options.learning_rate,
        min_child_weight=options.min_child_weight, gamma=options.gamma, subsample=options.subsample,
        colsample_bytree=options.colsample, reg_lambda=options.reg_lambda, reg_alpha=options.reg_alpha,
        max_bin=options.max_bin, max_cat_to_onehot=options.max_cat_to_onehot,
        max_cat_threshold=options.max_cat_threshold, random_state=options.seed, tree_method="hist",
        importance_type="gain", enable_categorical=True, n_jobs=THREADS if inside else 1)
    splits = [(np.flatnonzero(folds != number), np.flatnonzero(folds == number)) for number in range(FOLDS)]
    search = RFECV(estimator, step=1, cv=splits, scoring="accuracy", n_jobs=1 if inside else THREADS)
    search.fit(samples.x, labels)
    return np.array([search.cv_results_[f"split{number}_test_score"] for number in range(FOLDS)]), search.support_


def rows(quick=False, full=False):
    """Return the Rows of the table."""
    cases = [QUICK] if quick else [MIDDLE, FULL] if full else [MIDDLE]
    table = []
    for n, rounds, predictors in cases:
        samples = planted(n, 1, features=FIRST if predictors == len(FIRST) else tuple(PREDICTORS))
        labels = np.searchsorted(np.unique(samples.y), samples.y)
        folds = stratified_folds(labels, 1)
        options = TrainingOptions(rounds=rounds, learning_rate=0.3, threads=THREADS)
        start = time.perf_counter()
        ours = feature_selection.select(samples, folds, options, Progress())
        seconds = time.perf_counter() - start
        ways = ((True, "in XGBoost"), (False, "for the folds"))
        for inside, where in ways[:1] if n == FULL[0] else ways:
            start = time.perf_counter()
            curve, support = theirs(samples, labels, folds, options, inside)
            taken = time.perf_counter() - start
            names = tuple(feature.name for feature, kept in zip(samples.features, support) if kept)
            if not np.array_equal(curve, ours.accuracy) or names != ours.names:
                raise ValueError(f"RFECV gives another curve or choice: {names} and {ours.names}")
            table.append(Row(f"feature elimination, {n:,} × {len(samples.features)}, {rounds} rounds",
                             f"scikit-learn RFECV, {THREADS} threads {where}", seconds, taken, "s wall time",
                             0 if quick else 0.9, at_most=True))
    return table
