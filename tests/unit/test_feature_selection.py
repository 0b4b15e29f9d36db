"""Feature elimination selects what scikit-learn's RFECV selects, keeps what matters and drops noise."""

import dataclasses

import numpy as np
import pytest

from learning_data import COVER, planted
from pti_plugin.core.common import tables
from pti_plugin.core.common.errors import Cancelled, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.learning import feature_selection
from pti_plugin.core.learning.feature_selection import BEST, BLOCKS, FEWEST, choose, least_important, restricted, select
from pti_plugin.core.learning.folds import FOLDS, block_folds, stratified_folds
from pti_plugin.core.learning.learner import TrainingOptions
from support import ROOT

xgboost = pytest.importorskip("xgboost")

ROLES = ("soc", "lst", "slope", "land_cover", "snow")
FAST = TrainingOptions(rounds=5, max_depth=4, learning_rate=0.5, threads=2)


@pytest.fixture(scope="module")
def samples():
    """400 samples of four ranks made of lst, snow and land cover; 10 % of the labels exchanged."""
    return planted(400, 0, 0.1, 4, ROLES)


@pytest.fixture(scope="module")
def labels(samples):
    return np.searchsorted(np.unique(samples.y), samples.y)


@pytest.fixture(scope="module")
def selection(samples, labels):
    return select(samples, stratified_folds(labels, 1), FAST, Progress())


def rfecv(samples, labels, folds, options):
    """scikit-learn's RFECV with XGBClassifier; returns (accuracies by fold, number of features, names)."""
    sklearn = pytest.importorskip("sklearn.feature_selection")

    class Typed(xgboost.XGBClassifier):
        def fit(self, x, y, **more):
            # RFECV hands over columns without names; land cover is known by its codes
            self.set_params(feature_types=["c" if np.isin(column, COVER).all() else "q" for column in x.T])
            return super().fit(x, y, **more)

    estimator = Typed(n_estimators=options.rounds, tree_method="hist", importance_type="gain", n_jobs=1,
                      enable_categorical=True, random_state=options.seed, max_depth=options.max_depth,
                      learning_rate=options.learning_rate, subsample=options.subsample, gamma=options.gamma,
                      reg_alpha=options.reg_alpha, reg_lambda=options.reg_lambda, max_bin=options.max_bin,
                      max_cat_to_onehot=options.max_cat_to_onehot, max_cat_threshold=options.max_cat_threshold)
    splits = [(np.flatnonzero(folds != number), np.flatnonzero(folds == number)) for number in range(FOLDS)]
    search = sklearn.RFECV(estimator, step=1, cv=splits, scoring="accuracy").fit(samples.x, labels)
    curve = np.array([search.cv_results_[f"split{number}_test_score"] for number in range(FOLDS)])
    return curve, search.n_features_, tuple(np.array(ROLES)[search.support_])


@pytest.mark.parametrize("scheme, change", [
    ("stratified", {}), ("blocks", {"subsample": 0.7, "gamma": 0.1, "reg_alpha": 0.2, "max_bin": 32, "seed": 9}),
    ("stratified", {"max_cat_to_onehot": 100, "max_depth": 2})])
def test_curve_and_choice_are_those_of_scikit_learn(samples, labels, scheme, change):
    options = dataclasses.replace(FAST, **change)
    folds = stratified_folds(labels, 5) if scheme == "stratified" else block_folds(samples, 600, 5)[0]
    curve, count, names = rfecv(samples, labels, folds, options)
    ours = select(samples, folds, options, Progress())
    np.testing.assert_array_equal(ours.accuracy, curve)
    assert (ours.chosen, ours.names) == (count, names)


def test_what_matters_is_kept_and_noise_is_dropped(selection):
    assert selection.names == ("lst", "land_cover", "snow")
    mean = selection.accuracy.mean(axis=0)
    # what is lost with the third is seen at once, and noise does not help
    assert mean[2] > mean[1] + 0.2 and mean[2] >= mean[4]


def test_the_same_for_any_number_of_threads(samples, labels, selection):
    again = select(samples, stratified_folds(labels, 1), dataclasses.replace(FAST, threads=1), Progress())
    assert again.rows() == selection.rows()


def test_weights_change_what_is_learned(samples, labels, selection):
    weights = np.where(labels == 0, 8.0, 0.5).astype(np.float32)
    weighted = select(samples, stratified_folds(labels, 1), FAST, Progress(), weights=weights)
    assert not np.array_equal(weighted.accuracy, selection.accuracy)


def test_the_table_tells_the_curve_and_every_step(selection, tmp_path):
    path = tmp_path / "selection.csv"
    paper = feature_selection.paper_rows(ROOT / "resources" / "tables" / "paper_results.csv")
    path.write_text(tables.to_csv(selection.rows() + paper, feature_selection.COLUMNS), encoding="utf-8")
    *rows, of_paper = tables.read_csv(path)
    assert [row["features"] for row in rows] == [5, 4, 3, 2, 1]
    # three are chosen; what would have been dropped next is told, and nothing below
    for row, following in zip(rows[:3], rows[1:]):
        assert set(row["kept"].split()) - {row["dropped_next"]} == set(following["kept"].split())
        assert len(row["kept"].split()) == row["features"]
    assert [(row["kept"] is None, row["dropped_next"] is None) for row in rows[3:]] == [(False, True), (True, True)]
    scores = [[row[f"fold_{number}"] for number in range(1, 6)] for row in rows]
    assert [row["mean_accuracy"] for row in rows] == pytest.approx(np.mean(scores, axis=1))
    assert [row["sd_accuracy"] for row in rows] == pytest.approx(np.std(scores, axis=1, ddof=1))
    assert [row["features"] for row in rows if row["chosen"]] == [3]
    assert {row["source"] for row in rows} == {"this run"}
    assert (of_paper["source"], of_paper["features"], of_paper["mean_accuracy"]) == ("paper", 12, 57)
    assert len(of_paper["kept"].split()) == 12 and "slope" not in of_paper["kept"]


def test_the_rules_of_the_choice():
    accuracy = np.array([[0.50, 0.60, 0.62, 0.61], [0.52, 0.66, 0.64, 0.64]])
    # the mean is best at 2 and 3 features; the fewer win
    assert choose(accuracy, BEST) == 2
    accuracy = np.array([[0.50, 0.58, 0.60, 0.59], [0.52, 0.63, 0.64, 0.66], [0.51, 0.60, 0.62, 0.61]])
    # at the best mean, with 3 features or 4, the standard error is 0.02 / √3 = 0.0115; 2 features lack 0.0167
    assert (choose(accuracy, BEST), choose(accuracy, FEWEST)) == (3, 3)
    accuracy[:, 1] += 0.006
    assert (choose(accuracy, BEST), choose(accuracy, FEWEST)) == (3, 2)


def test_the_least_gain_is_dropped_and_the_first_among_equals():
    assert least_important(np.array([3.0, 1.0, 2.0])) == 1
    assert least_important(np.array([3.0, 0.0, 0.0])) == 1
    assert least_important(np.zeros(4)) == 0


def test_samples_keep_only_the_columns_that_were_chosen(samples):
    few = restricted(samples, ("land_cover", "soc"))
    assert [feature.name for feature in few.features] == ["soc", "land_cover"]
    np.testing.assert_array_equal(few.x, samples.x[:, [0, 3]])
    assert few.y is samples.y


def test_of_two_features_one_can_be_eliminated(samples, labels):
    found = select(restricted(samples, ("lst", "snow")), stratified_folds(labels, 1), FAST, Progress(), BLOCKS)
    assert 1 <= found.chosen <= 2


def test_progress_rises_from_0_to_1(samples, labels):
    told = []

    class Kept(Progress):
        def set(self, fraction):
            told.append(fraction)

    select(restricted(samples, ("lst", "snow", "soc")), stratified_folds(labels, 1), FAST, Kept(), BLOCKS)
    assert told == sorted(told) and 0 <= told[0] and told[-1] == 1 and len(set(told)) > 1


def test_one_feature_is_refused(samples, labels):
    with pytest.raises(InputError, match="nothing can be eliminated"):
        select(restricted(samples, ("lst",)), stratified_folds(labels, 1), FAST, Progress(), BLOCKS)


def test_it_stops_between_rounds(samples, labels):
    class Stopping(Progress):
        rounds = 0

        def cancelled(self):
            self.rounds += 1
            return self.rounds > 50

    progress = Stopping()
    with pytest.raises(Cancelled):
        select(samples, stratified_folds(labels, 1), dataclasses.replace(FAST, rounds=10_000), progress)
    # at most a few more looks than the one that stopped it: one a thread and job
    assert progress.rounds < 80
