"""The ensemble is repeatable, and its accuracy panel tells what it says it tells."""

import dataclasses

import numpy as np
import pytest

from pti_plugin.core import ranks, tables
from pti_plugin.core.accuracy import confusion, kappa, tier_accuracy
from pti_plugin.core.errors import Cancelled, InputError
from pti_plugin.core.features import Feature
from pti_plugin.core.grid import coordinate_transformation, epsg_wkt
from pti_plugin.core.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.progress import Progress
from pti_plugin.core.sampling import Samples
from pti_plugin.core.small_sample import wilson
from pti_plugin.core.training import (
    TrainingOptions,
    _block_folds,
    accuracy_rows,
    confusion_of,
    ensemble_class,
    split,
    train,
)

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


def predicted(training, x):
    """Probabilities (runs, points, classes) of the boosters by XGBoost itself."""
    result = []
    for raw in training.boosters:
        booster = xgboost.Booster()
        booster.load_model(bytearray(raw))
        matrix = xgboost.DMatrix(x, feature_names=[feature.name for feature in FEATURES],
                                 feature_types=["c" if feature.categorical else "q" for feature in FEATURES],
                                 enable_categorical=True)
        result.append(booster.predict(matrix))
    return np.array(result)


def test_the_same_seed_gives_the_same_bytes_with_one_thread_and_two(learnable, trained):
    for threads in (1, 2):
        again = train(learnable, dataclasses.replace(FAST, threads=threads), Progress())
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
        (np.mean(single), min(single), max(single)))


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
    folds = _block_folds(learnable, FAST)
    change = coordinate_transformation(epsg_wkt(4326), epsg_wkt(6931))
    places = np.array(change.TransformPoints(np.column_stack([learnable.longitude, learnable.latitude])))
    blocks = {}
    for fold, place in zip(folds, places):
        blocks.setdefault((place[0] // 400_000, place[1] // 400_000), set()).add(fold)
    assert len(blocks) > 100 and all(len(found) == 1 for found in blocks.values())
    sizes = np.bincount(folds, minlength=5)
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 2
    other = _block_folds(learnable, dataclasses.replace(FAST, seed=43))
    assert (other != folds).any()


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
