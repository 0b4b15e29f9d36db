"""The ensemble is repeatable, and its accuracy panel tells what it says it tells."""

import dataclasses
import json
import time

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from learning_data import autocorrelated, planted
from pti_plugin.core.assessment.accuracy import confusion, kappa, tier_accuracy
from pti_plugin.core.assessment.accuracy_panel import accuracy_rows, confusion_of
from pti_plugin.core.assessment.small_sample import wilson
from pti_plugin.core.common import ranks, tables
from pti_plugin.core.common.errors import Cancelled, InputError
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.ensembles.features import Feature
from pti_plugin.core.learning.class_weights import Prior, prior_of
from pti_plugin.core.learning.feature_selection import Selection
from pti_plugin.core.learning.folds import block_folds, split
from pti_plugin.core.learning.learner import Learner, TrainingOptions, in_order
from pti_plugin.core.learning.training import ensemble_class, manifest, train
from pti_plugin.core.rasters.grid import Grid, coordinate_transformation, epsg_wkt
from pti_plugin.core.samples.sampling import Samples

xgboost = pytest.importorskip("xgboost")

FEATURES = (Feature("lst", "thermal", False), Feature("slope", "topography", False),
            Feature("land_cover", "biophysical", True), Feature("soc", "soil", False))
CODES = (11, 13, 22, 31, 40)
FAST = TrainingOptions(runs=4, rounds=10, max_depth=3, block_km=400)
LINES = {"oob": "out-of-bag vote", "block": "spatial-block cross-validation", "random": "random 5-fold",
         "single": "single-run hold-out", "in": "in-sample vote"}


def samples_of(labels, x, x_km=None, y_km=None):
    """Samples with ``labels`` and predictors ``x``, at places given in km from the pole, or at random."""
    rng = np.random.default_rng(12)
    n = len(labels)
    x_km = rng.uniform(-2500, 2500, n) if x_km is None else x_km
    y_km = rng.uniform(-2500, 2500, n) if y_km is None else y_km
    change = coordinate_transformation(epsg_wkt(6931), epsg_wkt(4326))
    places = np.array(change.TransformPoints(1000 * np.column_stack([x_km, y_km])))
    return Samples(x.astype(np.float32), np.array(labels), places[:, 0], places[:, 1], FEATURES)


@pytest.fixture(scope="module")
def learnable():
    """300 samples whose class follows lst and land cover but for 20 %; slope and soc are noise."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.uniform(0, 100, 300), rng.uniform(0, 100, 300), rng.choice([30, 130, 201], 300),
                         rng.uniform(0, 100, 300)])
    place = np.clip((x[:, 0] // 25).astype(int) + (x[:, 2] == 201), 0, 4)
    place = np.where(rng.random(300) < 0.2, rng.integers(0, 5, 300), place)
    return samples_of(np.array(CODES)[place], x)


@pytest.fixture(scope="module")
def trained(learnable):
    return train(learnable, FAST, Progress())


def panel(training):
    rows = accuracy_rows(training.metrics)
    return {key: next(row for row in rows if row["line"].startswith(text)) for key, text in LINES.items()}


def predicted(training, x, names=tuple(feature.name for feature in FEATURES)):
    """Probabilities (runs, points, classes) of the boosters by XGBoost itself."""
    result = []
    for raw in training.boosters:
        booster = xgboost.Booster()
        booster.load_model(bytearray(raw))
        matrix = xgboost.DMatrix(x, feature_names=list(names), enable_categorical=True,
                                 feature_types=["c" if name == "land_cover" else "q" for name in names])
        result.append(booster.predict(matrix))
    return np.array(result)


def test_the_same_seed_gives_the_same_bytes_with_one_thread_and_two(learnable, trained):
    for threads in (1, 2):
        options = dataclasses.replace(FAST, threads=threads)
        again = train(learnable, options, Progress())
        assert json.dumps(manifest(again, learnable, options, DEFENSIBLE)) == \
            json.dumps(manifest(trained, learnable, FAST, DEFENSIBLE))
        assert again.boosters == trained.boosters
        assert (again.metrics, again.shap, again.codes) == (trained.metrics, trained.shap, trained.codes)
    assert len(set(trained.boosters)) == 4


def test_another_seed_gives_another_ensemble(learnable, trained):
    other = train(learnable, dataclasses.replace(FAST, seed=43), Progress())
    assert not set(other.boosters) & set(trained.boosters)


@pytest.mark.parametrize("profile", [DEFENSIBLE, AS_PUBLISHED], ids=lambda profile: profile.name)
def test_out_of_bag_votes_come_only_from_runs_that_did_not_train_on_the_point(learnable, profile):
    training = train(learnable, FAST, Progress(), profile)
    assert training.codes == CODES
    labels = np.searchsorted(CODES, learnable.y)
    chances = predicted(training, learnable.x)
    votes, everyone = {}, {}
    for run in range(FAST.runs):
        _, test = split(labels, FAST.test_share, (FAST.seed, run), profile.stratified_split)
        for point in range(len(labels)):
            for of, member in ((votes, point in set(test)), (everyone, True)):
                if member:
                    of.setdefault(point, []).append(chances[run, point])

    def voted(of):
        result = {}
        for point, runs in of.items():
            counts = np.bincount([run.argmax() for run in runs], minlength=5)
            total = np.sum(np.array(runs, dtype=float), axis=0)
            result[point] = max(range(5), key=lambda label: (counts[label], total[label]))
        return result

    found = panel(training)
    out_of_bag = voted(votes)
    assert 0.3 * 300 < len(out_of_bag) < 300
    right = [out_of_bag[point] == labels[point] for point in out_of_bag]
    assert found["oob"]["value"] == pytest.approx(100 * np.mean(right)) and found["oob"]["n"] == len(right)
    assert (found["oob"]["low"], found["oob"]["high"]) == pytest.approx(
        tuple(100 * bound for bound in wilson(sum(right), len(right))))
    expected = confusion(np.array(CODES)[[out_of_bag[point] for point in sorted(out_of_bag)]],
                         learnable.y[sorted(out_of_bag)])
    np.testing.assert_array_equal(training.matrix, expected)
    everywhere = voted(everyone)
    assert found["in"]["value"] == pytest.approx(100 * np.mean([everywhere[i] == labels[i] for i in range(300)]))
    single = [100 * np.mean(chances[run].argmax(axis=1)[test] == labels[test]) for run in range(FAST.runs)
              for test in [split(labels, FAST.test_share, (FAST.seed, run), profile.stratified_split)[1]]]
    assert (found["single"]["value"], found["single"]["low"], found["single"]["high"]) == pytest.approx(
        (np.mean(single), *np.quantile(single, (0.025, 0.975))))
    spread = {row["line"].split(", ")[1]: row["value"] for row in training.metrics if row["section"] == "spread"}
    assert spread == pytest.approx({"standard deviation": np.std(single, ddof=1),
                                    "coefficient of variation": 100 * np.std(single, ddof=1) / np.mean(single)})


def test_on_planted_noise_the_in_sample_vote_is_far_above_out_of_bag():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 100, (400, 4))
    x[:, 2] = rng.choice([30, 130, 201], 400)
    training = train(samples_of(rng.permutation(np.repeat(CODES, 80)), x),
                     dataclasses.replace(FAST, runs=10, max_depth=8, rounds=12, learning_rate=0.5), Progress())
    found = panel(training)
    # five equally frequent classes that nothing predicts: one in five is luck
    assert 12 < found["oob"]["value"] < 28
    assert 12 < found["random"]["value"] < 28
    assert found["in"]["value"] > found["oob"]["value"] + 50
    assert "not an accuracy" in found["in"]["line"]
    assert abs(next(row for row in training.metrics if row["line"].startswith("kappa"))["value"]) < 0.1


def test_block_cross_validation_is_below_random_on_random_patches():
    rng = np.random.default_rng(7)
    x_km, y_km = rng.uniform(-2400, 2400, (2, 900))
    patches = rng.choice(CODES, (16, 16))
    labels = patches[((x_km + 2400) // 300).astype(int), ((y_km + 2400) // 300).astype(int)]
    # predictors that know the place, as maps of climate do
    x = np.column_stack([x_km, y_km, np.full(900, 30), rng.uniform(0, 1, 900)])
    found = panel(train(samples_of(labels, x, x_km, y_km),
                        dataclasses.replace(FAST, runs=2, rounds=15, max_depth=6, learning_rate=0.4, block_km=600),
                        Progress()))
    assert found["random"]["value"] > 50
    assert found["block"]["value"] < 35
    assert "(600 km)" in found["block"]["line"]


def test_blocks_are_whole_and_dealt_evenly_to_five_folds(learnable):
    folds, count = block_folds(learnable, 400, 42)
    change = coordinate_transformation(epsg_wkt(4326), epsg_wkt(6931))
    places = np.array(change.TransformPoints(np.column_stack([learnable.longitude, learnable.latitude])))
    blocks = {}
    for fold, place in zip(folds, places):
        blocks.setdefault((place[0] // 400_000, place[1] // 400_000), set()).add(fold)
    assert len(blocks) == count > 100 and all(len(found) == 1 for found in blocks.values())
    sizes = np.bincount(folds, minlength=5)
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 2
    assert (block_folds(learnable, 400, 43)[0] != folds).any()


def test_a_run_is_what_xgboost_trains_on_its_rows_with_a_seed_of_its_own(learnable):
    options = dataclasses.replace(FAST, runs=2, subsample=0.6, colsample=0.7, reg_lambda=2.0, min_child_weight=3.0)
    training = train(learnable, options, Progress())
    labels = np.searchsorted(CODES, learnable.y)

    def matrix(rows, reference=None):
        return xgboost.QuantileDMatrix(learnable.x[rows], label=labels[rows], ref=reference, enable_categorical=True,
                                       feature_names=[feature.name for feature in FEATURES],
                                       feature_types=["q", "q", "c", "q"])

    for run in range(2):
        rows, _ = split(labels, 0.2, (42, run), True)
        booster = xgboost.train(
            {"objective": "multi:softprob", "num_class": 5, "tree_method": "hist", "max_depth": 3, "eta": 0.1,
             "min_child_weight": 3.0, "subsample": 0.6, "colsample_bytree": 0.7, "lambda": 2.0,
             "max_cat_to_onehot": 1, "seed": 42 + run, "nthread": 1},
            matrix(rows, matrix(np.arange(len(labels)))), 10)
        expected = booster.predict(xgboost.DMatrix(learnable.x, feature_names=booster.feature_names,
                                                   feature_types=booster.feature_types, enable_categorical=True))
        np.testing.assert_allclose(predicted(training, learnable.x)[run], expected, rtol=1e-6)


def test_the_headline_is_the_out_of_bag_vote_and_the_in_sample_vote_comes_last_of_the_five(trained):
    lines = [row["line"] for row in accuracy_rows(trained.metrics)]
    assert lines[0] == "out-of-bag vote" and lines[4].startswith("in-sample vote")
    assert all(row["meaning"] for row in accuracy_rows(trained.metrics))


def test_class_figures_and_the_matrix_survive_the_table(trained, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(tables.to_csv(trained.metrics), encoding="utf-8")
    codes, matrix = confusion_of(tables.read_csv(path))
    assert codes == list(ranks.CODES)
    np.testing.assert_array_equal(matrix, trained.matrix)
    values = {row["line"]: row for row in trained.metrics}
    assert values["tier accuracy (out-of-bag)"]["value"] == pytest.approx(100 * tier_accuracy(matrix))
    assert values["kappa (out-of-bag)"]["value"] == pytest.approx(kappa(matrix))
    row = values["precision of rank 22 (out-of-bag)"]
    place = ranks.ORDER[22]
    assert row["value"] == pytest.approx(100 * matrix[place, place] / matrix[place].sum())
    assert row["n"] == matrix[place].sum()
    assert values["recall of rank 22 (out-of-bag)"]["n"] == matrix[:, place].sum()
    assert confusion_of([]) is None


def test_what_decides_comes_first_in_the_shap_table(learnable, trained):
    features = [row for row in trained.shap if row["level"] == "feature"]
    assert [row["name"] for row in features[:2]] == ["lst", "land_cover"]
    for key in ("share_percent", "gain_share_percent"):
        assert sum(row[key] for row in features) == pytest.approx(100)
    groups = {row["name"]: row for row in trained.shap if row["level"] == "group"}
    assert {row["group"]: row["mean_abs_shap"] for row in features} == {
        name: row["mean_abs_shap"] for name, row in groups.items()}


def test_shap_values_are_those_of_xgboost_on_held_out_points(learnable):
    training = train(learnable, dataclasses.replace(FAST, runs=1), Progress())
    labels = np.searchsorted(CODES, learnable.y)
    _, test = split(labels, FAST.test_share, (FAST.seed, 0), True)
    booster = xgboost.Booster()
    booster.load_model(bytearray(training.boosters[0]))
    names = [feature.name for feature in FEATURES]
    matrix = xgboost.DMatrix(learnable.x[test], feature_names=names, feature_types=["q", "q", "c", "q"],
                             enable_categorical=True)
    # (points, classes, features and bias)
    expected = np.abs(booster.predict(matrix, pred_contribs=True))[:, :, :-1].mean(axis=(0, 1))
    found = {row["name"]: row["mean_abs_shap"] for row in training.shap if row["level"] == "feature"}
    assert [found[name] for name in names] == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_splits_part_all_points_in_the_share_asked_for(stratified, share):
    labels = np.repeat([0, 1, 2], [100, 37, 5])
    shares = []
    for run in range(30):
        training, test = split(labels, share, (1, run), stratified)
        assert sorted([*training, *test]) == list(range(142))
        assert len(set(training) & set(test)) == 0
        shares.append(np.bincount(labels[test], minlength=3))
    if stratified:
        assert (np.array(shares) == [round(100 * share), round(37 * share), max(1, round(5 * share))]).all()
    else:
        assert set(np.sum(shares, axis=1)) == {round(142 * share)}
        # by chance the classes differ from split to split
        assert len(np.unique(np.array(shares)[:, 1])) > 3
    assert len({tuple(split(labels, share, (1, run), stratified)[1]) for run in range(30)}) == 30


def test_ties_of_votes_go_to_the_larger_summed_probability():
    votes = np.array([[2, 2, 1], [3, 1, 1], [1, 1, 1], [2, 2, 0]])
    chances = np.array([[1.9, 2.1, 9.0], [1, 9, 9], [0.3, 0.3, 0.4], [1.0, 1.0, 0]])
    assert ensemble_class(votes, chances).tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize("change, text", [
    ({"runs": 0}, "at least 1"), ({"rounds": 0}, "at least 1"), ({"max_depth": 0}, "at least 1"),
    ({"max_bin": 1}, r"MAX_BIN is 1; it must lie in 2 to 256"), ({"max_bin": 257}, "MAX_BIN is 257; it must lie"),
    ({"test_share": 0.01}, r"TEST_SHARE is 0\.01; it must lie in 0\.05 to 0\.5"),
    ({"block_km": 9000}, "fall into .* blocks of 9000 km; at least 5 are needed. Lower BLOCK_KM")])
def test_options_that_cannot_be_used_are_refused(learnable, change, text):
    with pytest.raises(InputError, match=text):
        train(learnable, dataclasses.replace(FAST, **change), Progress())


def test_training_stops_when_cancelled(learnable):
    class Stopping(Progress):
        def set(self, fraction):
            self.stop()

    with pytest.raises(Cancelled):
        train(learnable, dataclasses.replace(FAST, runs=200, rounds=200), Stopping())


PLANTED = ("lst", "land_cover", "snow", "soc")


@pytest.mark.parametrize("seed", [1, 3])
def test_on_planted_noise_out_of_bag_and_hold_out_tell_the_accuracy_on_new_points(seed):
    options = TrainingOptions(runs=40, rounds=4, learning_rate=0.5, block_km=800, shap_points=20, shap_runs=1)
    training = train(planted(1000, seed, 0.3, 4, PLANTED), options, Progress())
    fresh = planted(4000, seed + 100, 0.3, 4, PLANTED)
    chances = predicted(training, fresh.x, PLANTED)
    labels = np.searchsorted(training.codes, fresh.y)
    votes = np.stack([(chances.argmax(axis=2) == label).sum(axis=0) for label in range(4)], axis=1)
    accuracy = 100 * np.mean(ensemble_class(votes, chances.sum(axis=0)) == labels)
    found = panel(training)
    # nobody can be right in more than 70 %; the intervals are Wilson's for 1000 points and the runs' middle 95 %
    assert 60 < accuracy < 72
    assert found["oob"]["low"] < accuracy < found["oob"]["high"]
    single = 100 * np.mean(chances.argmax(axis=2) == labels)
    assert found["single"]["low"] < single < found["single"]["high"]
    assert found["single"]["value"] == pytest.approx(single, abs=3)
    assert found["in"]["value"] > accuracy + 10
    assert "in-sample, not an accuracy" in found["in"]["line"]


@pytest.mark.parametrize("seed", [1, 2])
def test_among_autocorrelated_neighbours_random_folds_are_inflated_and_blocks_are_not(seed):
    # predictors know nothing of the four ranks, so one in four is luck
    options = TrainingOptions(runs=2, rounds=10, max_depth=5, learning_rate=0.5, block_km=1000, shap_points=20,
                              shap_runs=1)
    training = train(autocorrelated(600, seed, classes=4), options, Progress())
    found = panel(training)
    assert found["random"]["low"] > 50 and found["oob"]["low"] > 45
    assert found["block"]["value"] < 32 and "(1000 km)" in found["block"]["line"]
    blocks = {row["line"]: row for row in training.metrics if row["section"] == "blocks"}
    assert blocks["block size used"]["value"] == 1000 and blocks["block size used"]["n"] < 40
    assert 50 < blocks["block size suggested"]["value"] < 1500
    assert [row for row in training.metrics if row["section"] == "correlogram"]


def test_without_a_size_the_blocks_have_the_suggested_one():
    samples = autocorrelated(600, 1, classes=4)
    options = TrainingOptions(runs=2, rounds=6, max_depth=5, learning_rate=0.5, block_km=0, shap_points=4, shap_runs=1)
    training = train(samples, options, Progress())
    blocks = {row["line"]: row["value"] for row in training.metrics if row["section"] == "blocks"}
    assert blocks["block size used"] == blocks["block size suggested"] > 50
    np.testing.assert_array_equal(training.folds.blocks, block_folds(samples, blocks["block size used"], 42)[0])


def test_early_stopping_ends_where_xgboost_ends_and_never_looks_at_held_out_points(learnable):
    options = dataclasses.replace(FAST, runs=2, rounds=60, learning_rate=0.6, early_stopping=4, early_share=0.2)
    training = train(learnable, options, Progress())
    labels = np.searchsorted(CODES, learnable.y)
    for run in range(2):
        rows, test = split(labels, 0.2, (42, run), True)
        kept, aside = split(labels[rows], 0.2, (42 + run, 1_000_039), True)

        def matrix(rows, reference=None):
            return xgboost.QuantileDMatrix(learnable.x[rows], label=labels[rows], ref=reference,
                                           enable_categorical=True, feature_names=["lst", "slope", "land_cover", "soc"],
                                           feature_types=["q", "q", "c", "q"])

        bins = matrix(np.arange(300))
        watched = xgboost.DMatrix(learnable.x[rows[aside]], label=labels[rows[aside]], enable_categorical=True,
                                  feature_names=bins.feature_names, feature_types=bins.feature_types)
        learned = matrix(rows[kept], bins)
        booster = xgboost.train(
            {"objective": "multi:softprob", "num_class": 5, "tree_method": "hist", "max_depth": 3, "eta": 0.6,
             "max_cat_to_onehot": 1, "seed": 42 + run, "nthread": 1}, learned, 60,
            evals=[(watched, "watched")], early_stopping_rounds=4, verbose_eval=False)
        assert training.rounds[run] == booster.best_iteration + 1 < 50
        assert not set(rows[aside]) & set(test) and not set(rows[kept]) & set(rows[aside])
    found = xgboost.Booster()
    found.load_model(bytearray(training.boosters[1]))
    assert found.num_boosted_rounds() == training.rounds[1]
    np.testing.assert_allclose(found.inplace_predict(learnable.x),
                               booster.inplace_predict(learnable.x, iteration_range=(0, training.rounds[1])), rtol=1e-6)


def test_weights_move_the_vote_towards_what_weighs_more(learnable):
    weights = np.where(learnable.y == 40, 20.0, 0.2).astype(np.float32)
    plain, weighted = (train(learnable, dataclasses.replace(FAST, runs=2), Progress(), prior=Prior("area", given))
                       for given in (None, weights))
    place = ranks.ORDER[40]
    assert weighted.matrix[place].sum() > 1.5 * plain.matrix[place].sum()
    # bins are shared and not weighted: weights of one are no weights
    same = train(learnable, dataclasses.replace(FAST, runs=2), Progress(),
                 prior=Prior("none", np.ones(300, np.float32)))
    assert same.metrics == plain.metrics


def test_every_hyperparameter_reaches_xgboost():
    # six classes of land cover decide, so that it matters how they are split
    samples = planted(300, 6, 0.1, 5, PLANTED)
    plain_options = dataclasses.replace(FAST, runs=1, rounds=5, shap_points=1)
    labels = np.searchsorted(np.unique(samples.y), samples.y)

    def fitted(options):
        learner = Learner(xgboost, samples, labels, 5, options)
        return next(learner.side_by_side([np.arange(300)], Progress())).raw

    plain = fitted(plain_options)
    changes = {"gamma": 5.0, "reg_alpha": 3.0, "reg_lambda": 9.0, "max_delta_step": 0.1, "max_bin": 8,
               "colsample": 0.5, "colsample_level": 0.5, "colsample_node": 0.5, "subsample": 0.5,
               "min_child_weight": 9.0, "max_depth": 2, "learning_rate": 0.2, "max_cat_to_onehot": 300,
               "max_cat_threshold": 1, "rounds": 9}
    for name, value in changes.items():
        options = dataclasses.replace(plain_options, **{name: value})
        assert value in {**options.parameters(5), "rounds": options.rounds}.values()
        assert fitted(options) != plain, name


def test_shap_by_class_averages_to_shap_and_shares_sum_up(trained):
    overall = {row["name"]: row["mean_abs_shap"] for row in trained.shap if row["level"] == "feature"}
    for name, value in overall.items():
        of_classes = [row["mean_abs_shap"] for row in trained.shap
                      if row["level"] == "feature_of_class" and row["name"] == name]
        assert len(of_classes) == 5 and np.mean(of_classes) == pytest.approx(value)
    for code in CODES:
        for level in ("feature_of_class", "group_of_class"):
            rows = [row for row in trained.shap if row["level"] == level and row["class"] == code]
            assert sum(row["share_percent"] for row in rows) == pytest.approx(100)
    assert {(row["runs"], row["points"]) for row in trained.shap} == {(4, 4 * 61)}


def test_gain_stands_beside_shap_as_total_and_as_mean_of_all_runs(trained):
    scores = []
    for raw in trained.boosters:
        booster = xgboost.Booster()
        booster.load_model(bytearray(raw))
        scores.append([booster.get_score(importance_type=kind) for kind in ("total_gain", "gain")])
    rows = {row["name"]: row for row in trained.shap if row["level"] == "feature"}
    for place, column in enumerate(("gain_share_percent", "mean_gain_share_percent")):
        sums = {name: sum(of_run[place].get(name, 0) for of_run in scores) for name in rows}
        assert {name: row[column] for name, row in rows.items()} == pytest.approx(
            {name: 100 * value / sum(sums.values()) for name, value in sums.items()})


def test_features_that_a_selection_dropped_are_named(learnable):
    dropped = Feature("peat", "soil", False)
    training = train(learnable, dataclasses.replace(FAST, runs=1), Progress(), left_out=[dropped])
    rows = [row for row in training.shap if row["level"] == "left_out"]
    assert [(row["name"], row["mean_abs_shap"]) for row in rows] == [("peat", None)]


def test_cancelling_is_noticed_between_rounds():
    samples = planted(3000, 1)

    class Stopping(Progress):
        def __init__(self):
            super().__init__()
            self.after = None

        def cancelled(self):
            self.after = self.after or time.monotonic()
            return time.monotonic() > self.after + 0.3

    progress = Stopping()
    with pytest.raises(Cancelled):
        train(samples, TrainingOptions(runs=50, rounds=1000), progress)
    # a second on a quiet machine, more where others work on it
    assert time.monotonic() - progress.after < 4


class Watching(Progress):
    def __init__(self):
        super().__init__()
        self.seen = []

    def set(self, fraction):
        self.seen.append(fraction)


def test_progress_never_goes_back_and_ends_at_the_end(learnable):
    progress = Watching()
    train(learnable, dataclasses.replace(FAST, runs=1), progress)
    assert progress.seen == sorted(progress.seen) and progress.seen[-1] == pytest.approx(1)


def test_progress_moves_while_a_job_is_at_work():
    progress, done = Watching(), [0.0]

    def job(stop):
        for share in (0.25, 0.5, 0.75):
            done[0] = share
            limit = time.monotonic() + 20
            while share not in progress.seen and time.monotonic() < limit:
                time.sleep(0.01)
        return "result"

    assert list(in_order([job], 1, progress, lambda: done[0])) == ["result"]
    assert {0.25, 0.5, 0.75} <= set(progress.seen)


def test_the_manifest_says_how_the_model_was_made(learnable, trained):
    grid = Grid(epsg_wkt(6931), (0.0, 1000.0, 0.0, 0.0, 0.0, -1000.0), 7, 5)
    selection = Selection(np.full((5, 2), 0.5), (("lst",), ("lst", "peat")), 1, "stratified", "best_mean")
    text = json.dumps(manifest(trained, learnable, FAST, DEFENSIBLE, grid, Prior("balanced"), selection))
    found = json.loads(text)
    assert found["parameters"]["max_depth"] == 3 and found["parameters"]["num_class"] == 5
    assert found["samples_sha256"] == learnable.checksum() and found["samples"] == 300
    assert sum(found["samples_by_rank"].values()) == 300
    assert found["grid"]["crs"] == grid.wkt and found["grid"]["width"] == 7
    assert found["selection"]["left_out"] == ["peat"] and len(found["selection"]["rows"]) == 2
    assert found["fold_scheme"]["block_km"] == 400 and "4 random splits, 20 %" in found["fold_scheme"]["runs"]
    assert found["categories"] == {"land_cover": [30, 130, 201]}
    low, high = found["sample_ranges"]["lst"]
    assert (low, high) == (learnable.x[:, 0].min(), learnable.x[:, 0].max())
    assert sum(found["gain_share_percent"].values()) == pytest.approx(100)
    assert found["rounds"] == [10] * 4 and found["class_weights"] == "balanced"
    assert set(found["labels"]) == {str(code) for code in CODES} and found["nodata"] == 0


def unequal(n, seed, sizes=(0.8, 0.13, 0.07)):
    """Return (x, class places) of ``n`` places of a map whose ranks differ in size and overlap in the predictors."""
    rng = np.random.default_rng(seed)
    place = rng.choice(3, n, p=sizes)
    x = np.column_stack([rng.normal(place * 18 + 30, 14), rng.uniform(0, 100, n), rng.choice([30, 130], n),
                         rng.normal(place * 6, 14)])
    return x, place


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_areas_follow_the_map_and_not_the_sampling(seed):
    x, place = unequal(30_000, seed)
    rows = np.concatenate([np.flatnonzero(place == code)[:400] for code in range(3)])
    codes = np.array(CODES[:3])
    samples = samples_of(codes[place[rows]], x[rows])
    areas = {int(code): float((place == k).sum()) for k, code in enumerate(codes)}
    rest = np.delete(np.arange(30_000), rows)
    options = TrainingOptions(runs=6, rounds=15, max_depth=3, block_km=800, shap_points=6, shap_runs=1)

    def net(kind):
        training = train(samples, options, Progress(), prior=prior_of(samples.y, kind, areas))
        chances = predicted(training, x[rest].astype(np.float32))
        votes = np.stack([((chances * training.factors).argmax(axis=2) == k).sum(axis=0) for k in range(3)], axis=1)
        mapped = np.bincount(ensemble_class(votes, chances.sum(axis=0)), minlength=3)
        gap = mapped - np.bincount(place[rest], minlength=3)
        return 50 * np.abs(gap).sum() / len(rest)

    assert net("none") > 10 and net("area_matched") < 3 < net("area")


@pytest.fixture(scope="module")
def by_area(learnable):
    """A training by area with its prior, and the out-of-bag probabilities and weights worked out here."""
    areas = dict(zip(CODES, (9.0, 1.0, 4.0, 2.0, 6.0)))
    training = train(learnable, FAST, Progress(), prior=prior_of(learnable.y, "area_matched", areas))
    labels = np.searchsorted(CODES, learnable.y)
    total, times, votes = np.zeros((300, 5)), np.zeros(300), np.zeros((300, 5))
    for run, chance in enumerate(predicted(training, learnable.x).astype(float)):
        _, test = split(labels, FAST.test_share, (FAST.seed, run), True)
        total[test] += chance[test]
        times[test] += 1
        votes[test, (chance[test] * training.factors).argmax(axis=1)] += 1
    there = times > 0
    weight = np.array(list(areas.values()))[labels] / np.bincount(labels)[labels]
    return training, areas, labels[there], (total[there] / times[there][:, None]), votes[there], weight[there]


def test_the_vote_by_area_is_the_mean_of_the_recalls_weighted_with_area(by_area):
    training, areas, labels, mean, votes, _ = by_area
    voted = ensemble_class(votes, mean * training.factors)
    row = next(row for row in training.metrics if row["line"] == "out-of-bag vote, by area")
    size = np.array(list(areas.values())) / sum(areas.values())
    recall = np.array([(voted[labels == k] == k).mean() for k in range(5)])
    error = np.sqrt(sum(size[k] ** 2 * recall[k] * (1 - recall[k]) / ((labels == k).sum() - 1) for k in range(5)))
    assert row["value"] == pytest.approx(100 * size @ recall) and row["n"] == len(labels)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(196 * error)
    plain = next(row for row in training.metrics if row["line"] == "out-of-bag vote")
    assert plain["value"] == pytest.approx(100 * (voted == labels).mean())


def test_probabilities_are_calibrated_on_the_out_of_bag_votes_of_the_population(by_area):
    training, _, labels, mean, votes, weight = by_area
    logs = np.log(mean)

    def loss(temperature):
        return -np.average(log_softmax(logs / temperature, axis=1)[np.arange(len(labels)), labels], weights=weight)

    assert training.temperature == pytest.approx(
        minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}).x, rel=2e-3)
    assert training.temperature != 1
    sections = {name: [row for row in training.metrics if row["section"] == name]
                for name in ("calibration", "calibration before", "temperature")}
    assert sections["temperature"][0]["value"] == training.temperature
    voted = ensemble_class(votes, mean * training.factors)
    powers = mean ** (1 / training.temperature)
    for name, given in (("calibration before", mean), ("calibration", powers / powers.sum(axis=1, keepdims=True))):
        promised = given[np.arange(len(voted)), voted]
        assert sum(row["n"] for row in sections[name]) == len(labels)
        for row in sections[name]:
            here = np.floor(promised * 10) == float(row["line"].split()[1]) * 10
            assert row["expected"] == pytest.approx(100 * np.average(promised[here], weights=weight[here]), rel=1e-4)
            assert row["value"] == pytest.approx(100 * np.average((voted == labels)[here], weights=weight[here]),
                                                 rel=1e-4, abs=1e-9)


def test_without_areas_nothing_is_matched(trained):
    assert (trained.factors == 1).all()
    assert not [row for row in trained.metrics if row["line"].endswith("by area")]
