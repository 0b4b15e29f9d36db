"""The fast predictor gives XGBoost's own margins, classes and votes, to the last bit, or says why it cannot.

PTI_TEST_ROWS sets the number of rows each random model is tried on (3,000; the long form is 100000).
"""

import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pti_plugin.core.common.errors import Cancelled, InputError
from pti_plugin.core.learning import ubjson
from pti_plugin.core.mapping import tree_ensemble
from pti_plugin.core.mapping.tree_ensemble import XGBoostVotes, read_ensemble, voting

xgboost = pytest.importorskip("xgboost")
pytest.importorskip("numba")

ROWS = int(os.environ.get("PTI_TEST_ROWS", "3000"))
MODELS = 56
OBJECTIVES = ("multi:softprob", "multi:softmax", "multi:softprob", "binary:logistic", "multi:softprob",
              "reg:squarederror", "multi:softprob")
METHODS = ("shared cuts", "hist", "exact", "approx")


def draw(rng, rows, sizes, gaps):
    """Rows of predictors, every other one rounded so that it meets thresholds; ``sizes``: categories, 0 = a number."""
    x = rng.normal(size=(rows, len(sizes))).astype(np.float32)
    x[:, ::2] = np.round(x[:, ::2], 1)
    for feature, size in enumerate(sizes):
        if size:
            x[:, feature] = rng.integers(0, size, rows)
    x[rng.random(x.shape) < gaps] = np.nan
    return x


def types_of(sizes):
    return ["c" if size else "q" for size in sizes]


def loaded(raw):
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})
    return booster


def theirs(booster, x, **options):
    margin = booster.inplace_predict(x, predict_type="margin", missing=np.nan, **options)
    return margin.reshape(len(x), -1)


def random_model(seed):
    """Return (booster, sizes, share of gaps, rng) of a model whose every setting is drawn, depth 1 to 8 and more."""
    rng = np.random.default_rng((5, seed))
    method = METHODS[seed % 4]
    sizes = np.zeros(rng.integers(2, 13), dtype=int)
    if method != "exact":
        sizes[:rng.integers(0, 3)] = rng.integers(2, 41, 1)
    rng.shuffle(sizes)
    gaps = rng.choice([0, 0.02, 0.3])
    x = draw(rng, int(rng.integers(200, 700)), sizes, gaps)
    score = np.nan_to_num(x) @ rng.normal(size=len(sizes)) + rng.normal(size=len(x)) + 3 * np.nan_to_num(x[:, 0] ** 2)
    objective, classes = OBJECTIVES[seed % 7], 2 + seed % 9
    target = score if objective.startswith("reg") else np.digitize(
        score, np.quantile(score, np.linspace(0, 1, (classes if objective.startswith("multi") else 2) + 1)[1:-1]))
    parameters = {
        "objective": objective, "nthread": 1, "seed": seed, "verbosity": 0, "max_depth": 1 + seed % 8,
        "eta": float(rng.uniform(0.05, 1)), "min_child_weight": float(rng.choice([0, 1, 5])),
        "gamma": float(rng.choice([0, 0, 0.5])), "subsample": float(rng.uniform(0.5, 1)),
        "colsample_bytree": float(rng.uniform(0.4, 1)), "num_parallel_tree": int(rng.choice([1, 1, 3])),
        "max_cat_to_onehot": int(rng.choice([1, 4, 100])),
        "tree_method": "hist" if method == "shared cuts" else method}
    if objective.startswith("multi"):
        parameters["num_class"] = classes
    if rng.random() < 0.5:
        parameters["base_score"] = float(rng.uniform(0.1, 0.9))
    if method != "exact" and rng.random() < 0.3:
        parameters.update(grow_policy="lossguide", max_leaves=int(rng.integers(8, 60)), max_depth=0)
    matrix = xgboost.QuantileDMatrix if method == "shared cuts" else xgboost.DMatrix
    data = matrix(x, label=target, feature_types=types_of(sizes), enable_categorical=True, nthread=1)
    return xgboost.train(parameters, data, int(rng.integers(1, 9))), sizes, gaps, rng


@pytest.mark.parametrize("seed", range(MODELS))
def test_margins_and_classes_of_a_random_model_are_xgboosts(seed):
    booster, sizes, gaps, rng = random_model(seed)
    ensemble, reason = read_ensemble([booster.save_raw("ubj")])
    assert ensemble, reason
    x = draw(rng, ROWS, sizes, gaps)
    ours, expected = ensemble.margins(x)[0], theirs(booster, x)
    np.testing.assert_array_equal(ours.view(np.uint32), expected.view(np.uint32))
    matrix = xgboost.DMatrix(x, feature_types=types_of(sizes), enable_categorical=True, nthread=1)
    np.testing.assert_array_equal(ours, booster.predict(matrix, output_margin=True).reshape(ours.shape))
    assert len(np.unique(ours)) > 1
    if OBJECTIVES[seed % 7] == "multi:softprob":
        np.testing.assert_array_equal(ensemble.votes(x)[0].argmax(axis=1), booster.predict(matrix).argmax(axis=1))


def test_the_random_models_are_of_every_kind():
    deep = categorical = missing = 0
    for seed in range(0, MODELS, 3):
        booster, sizes, gaps, _ = random_model(seed)
        group, = read_ensemble([booster.save_raw("ubj")])[0]._groups
        deep += (group.boosters[0].deep >= 0).any()
        categorical += len(group.categories) > 0
        missing += gaps > 0
    assert min(deep, categorical, missing) >= 3


@pytest.mark.parametrize("seed", [0, 8, 17, 25, 31, 39])
def test_thresholds_infinities_zeros_gaps_and_strange_categories_go_where_xgboost_sends_them(seed):
    booster, sizes, _, rng = random_model(seed)
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    strange = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38], dtype=np.float32)
    codes = np.array([-1, -0.5, -0.0, 0.9, 2.7, 31, 32, 39.99, 40, 63, 64, 65, 1e6, 16777215, 16777216, 2147483648,
                      1e30], dtype=np.float32)
    x = np.empty((20_000, len(sizes)), dtype=np.float32)
    for feature, size in enumerate(sizes):
        own = np.array([value for tree in trees for value, split, child, categorical in zip(
            tree["split_conditions"], tree["split_indices"], tree["left_children"], tree["split_type"])
            if split == feature and child >= 0 and not categorical], dtype=np.float32)
        candidates = np.concatenate([codes, np.arange(45), strange] if size else
                                    [own, np.nextafter(own, np.float32(np.inf)), np.nextafter(own, np.float32(-np.inf)),
                                     strange])
        x[:, feature] = rng.choice(candidates.astype(np.float32), len(x))
    ensemble, reason = read_ensemble([booster.save_raw("ubj")])
    assert ensemble, reason
    np.testing.assert_array_equal(ensemble.margins(x)[0].view(np.uint32), theirs(booster, x).view(np.uint32))


@pytest.fixture(scope="module")
def runs():
    """Seven boosters as the plugin trains them, on cut points they share, one feature being categorical."""
    rng = np.random.default_rng(7)
    sizes = [17, 0, 0, 0, 0]
    x = draw(rng, 900, sizes, 0.01)
    y = np.digitize(np.nan_to_num(x[:, 1]) + np.nan_to_num(x[:, 0]) % 3 + rng.normal(size=900), [0, 0.7, 1.5, 2.2])
    options = {"feature_types": types_of(sizes), "enable_categorical": True, "nthread": 1}
    cuts = xgboost.QuantileDMatrix(x, label=y, **options)
    raws = []
    for seed in range(7):
        rows = np.sort(rng.permutation(900)[:720])
        data = xgboost.QuantileDMatrix(x[rows], label=y[rows], ref=cuts, **options)
        booster = xgboost.train({"objective": "multi:softprob", "num_class": 5, "max_depth": 6, "seed": seed,
                                 "tree_method": "hist", "max_cat_to_onehot": 1, "nthread": 1}, data, 6)
        raws.append(bytes(booster.save_raw("ubj")))
    return raws, draw(rng, 5000, sizes, 0.01)


@pytest.mark.parametrize("conditions", [tree_ensemble.CONDITIONS, 600, 1])
def test_boosters_are_the_same_together_in_groups_and_alone(runs, monkeypatch, conditions):
    raws, x = runs
    monkeypatch.setattr(tree_ensemble, "CONDITIONS", conditions)
    ensemble, _ = read_ensemble(raws)
    assert len(ensemble._groups) == {tree_ensemble.CONDITIONS: 1, 1: 7}.get(conditions) or 1 < len(ensemble._groups) < 7
    expected = np.stack([theirs(loaded(raw), x) for raw in raws])
    np.testing.assert_array_equal(ensemble.margins(x), expected)
    np.testing.assert_array_equal(ensemble.margins(x, 2, 6), expected[2:6])
    assert (len(ensemble), ensemble.features, ensemble.classes) == (7, 5, 5)


@pytest.mark.parametrize("gaps", [False, True])
def test_votes_and_chances_are_those_of_xgboosts_own_predictions(runs, gaps):
    raws, x = runs
    x = x if gaps else np.nan_to_num(x)
    votes, chances = read_ensemble(raws)[0].votes(x)
    expected, expected_chances = XGBoostVotes([loaded(raw) for raw in raws]).votes(x)
    np.testing.assert_array_equal(votes, expected)
    np.testing.assert_allclose(chances, expected_chances, rtol=0, atol=1e-6)
    assert votes.dtype == expected.dtype and (votes.sum(axis=1) == 7).all() and (votes.max(axis=1) < 7).any()


@pytest.mark.parametrize("rows", [0, 1, 255, 2047, 2048, 2049, 4097])
def test_any_number_of_rows_is_predicted(runs, rows):
    raws, x = runs
    ensemble, _ = read_ensemble(raws[:2])
    whole = ensemble.margins(x)
    np.testing.assert_array_equal(ensemble.margins(x[:rows]), whole[:, :rows])
    # a row's neighbours do not matter, nor does its order in memory
    np.testing.assert_array_equal(ensemble.margins(np.asfortranarray(x[::-1][:rows])), whole[:, ::-1][:, :rows])
    assert ensemble.votes(x[:rows])[0].sum() == 2 * rows


def test_threads_share_an_ensemble(runs):
    raws, x = runs
    ensemble, _ = read_ensemble(raws)
    whole = ensemble.margins(x)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            first, second = pool.map(ensemble.margins, (x[:2500], x[2500:]))
            np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


def test_near_ties_fall_to_the_class_that_xgboost_votes_for():
    """Margins that differ by less than the probabilities' rounding are a tie, and the first class wins."""
    rng = np.random.default_rng(11)
    margin = rng.normal(0, 0.02, (4096, 4)).astype(np.float32)
    margin[:, 3] = margin.max(axis=1) + rng.integers(0, 12, 4096).astype(np.float32) * np.float32(2.0**-29)
    data = xgboost.DMatrix(np.zeros((8, 1)), label=np.arange(8) % 4)
    empty = xgboost.train({"objective": "multi:softprob", "num_class": 4, "base_score": 0.0}, data, 0)
    probability = empty.inplace_predict(np.zeros((4096, 1), dtype=np.float32), base_margin=margin)
    assert (probability.argmax(axis=1) != margin.argmax(axis=1)).sum() > 100
    votes, chances = np.zeros((4096, 4), dtype=np.uint16), np.zeros((4096, 4))
    kernel, factors = tree_ensemble._compiled(), np.ones(4, dtype=np.float32)
    for start in range(0, 4096, kernel.CELLS):
        kernel.add_votes(np.ascontiguousarray(margin[start:start + kernel.CELLS].T), factors, start, votes, chances)
    np.testing.assert_array_equal(votes.argmax(axis=1), probability.argmax(axis=1))
    np.testing.assert_allclose(chances, probability, rtol=0, atol=1e-7)


def small(rounds=3, **parameters):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = np.digitize(x[:, 0] + x[:, 1], [-0.5, 0.5])
    parameters = {"objective": "multi:softprob", "num_class": 3, "nthread": 1, "verbosity": 0, **parameters}
    return xgboost.train(parameters, xgboost.DMatrix(x, label=y, nthread=1), rounds), x


@pytest.mark.parametrize(("parameters", "words"), [
    ({"booster": "dart", "rate_drop": 0.5}, "dart"), ({"booster": "gblinear"}, "gblinear"),
    ({"multi_strategy": "multi_output_tree", "tree_method": "hist"}, "")])
def test_a_booster_of_another_kind_is_left_to_xgboost(parameters, words):
    booster, x = small(**parameters)
    ensemble, reason = read_ensemble([booster.save_raw("ubj")])
    assert ensemble is None and reason and words in reason

    class Model:
        boosters = (bytes(booster.save_raw("ubj")),)
        factors = np.float32(1)

        def load_boosters(self):
            return [booster]

    voter, said = voting(Model())
    assert said == reason
    if words == "gblinear":
        return
    np.testing.assert_array_equal(voter.votes(x)[1], booster.inplace_predict(x).astype(float))


def test_without_numba_xgboost_votes(runs, monkeypatch):
    monkeypatch.setattr(tree_ensemble, "_compiled", lambda: None)
    ensemble, reason = read_ensemble(runs[0])
    assert ensemble is None and "numba" in reason


def test_an_xgboost_that_adds_up_otherwise_is_noticed(monkeypatch):
    raw = small()[0].save_raw("ubj")
    assert read_ensemble([raw])[0]
    base = tree_ensemble._base_margin
    monkeypatch.setattr(tree_ensemble, "_base_margin",
                        lambda *arguments: np.nextafter(base(*arguments), np.float32(1), dtype=np.float32))
    ensemble, reason = read_ensemble([raw])
    assert ensemble is None and "other margins" in reason


def test_boosters_that_do_not_belong_together_are_left_to_xgboost():
    four = small()[0]
    rng = np.random.default_rng(4)
    five = xgboost.train({"objective": "multi:softprob", "num_class": 3},
                         xgboost.DMatrix(rng.normal(size=(60, 5)), label=np.arange(60) % 3), 2)
    ensemble, reason = read_ensemble([four.save_raw("ubj"), five.save_raw("ubj")])
    assert ensemble is None and "booster 1 has 5 features" in reason
    assert read_ensemble([]) == (None, "there is no booster")


def test_rounds_after_the_best_one_count_only_if_asked():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    y = np.where(rng.random(400) < 0.4, rng.integers(0, 3, 400), np.digitize(x[:, 0], [-0.4, 0.4]))
    train, test = (xgboost.DMatrix(x[rows], label=y[rows]) for rows in (slice(200), slice(200, None)))
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "eta": 0.8, "num_parallel_tree": 2,
                             "subsample": 0.7}, train, 60, evals=[(test, "test")], early_stopping_rounds=4,
                            verbose_eval=False)
    best = booster.best_iteration + 1
    assert best < booster.num_boosted_rounds()
    raw = booster.save_raw("ubj")
    np.testing.assert_array_equal(read_ensemble([raw])[0].margins(x)[0], theirs(booster, x))
    np.testing.assert_array_equal(read_ensemble([raw], to_best_iteration=True)[0].margins(x)[0],
                                  theirs(booster, x, iteration_range=(0, best)))


@pytest.mark.parametrize("spoil", [
    lambda tree: tree["left_children"].__setitem__(2, 0), lambda tree: tree["right_children"].__setitem__(0, 10_000),
    lambda tree: tree["split_indices"].__setitem__(0, 99), lambda tree: tree["split_conditions"].__setitem__(0, np.nan),
    lambda tree: tree["split_type"].__setitem__(0, 1), lambda tree: tree.pop("default_left")])
def test_a_damaged_tree_is_refused_and_xgboost_never_sees_it(monkeypatch, spoil):
    raw = small(max_depth=3)[0].save_raw("ubj")
    read = ubjson.loads

    def damaged(text):
        model = read(text)
        tree = model["learner"]["gradient_booster"]["model"]["trees"][1]
        for name, value in tree.items():
            if isinstance(value, np.ndarray):
                tree[name] = value.copy()
        spoil(tree)
        return model

    monkeypatch.setattr(ubjson, "loads", damaged)
    monkeypatch.setattr(xgboost.Booster, "load_model", lambda *_: pytest.fail("XGBoost got a damaged booster"))
    with pytest.raises(InputError, match="a booster is damaged"):
        read_ensemble([raw])


def test_wrong_features_and_single_outputs_are_refused(runs):
    raws, x = runs
    with pytest.raises(InputError, match="5 features"):
        read_ensemble(raws[:1])[0].margins(x[:, :4])
    booster, x = small(objective="reg:squarederror", num_class=None)
    with pytest.raises(InputError, match="single output"):
        read_ensemble([booster.save_raw("ubj")])[0].votes(x)


def test_it_can_be_cancelled_while_it_reads_and_between_blocks(runs):
    raws, x = runs
    asked = []

    def check():
        asked.append(1)
        if len(asked) > limit:
            raise Cancelled()

    ensemble, _ = read_ensemble(raws)
    for limit, call in ((3, lambda: read_ensemble(raws, check=check)), (9, lambda: ensemble.votes(x, check)),
                        (9, lambda: ensemble.margins(x, check=check))):
        asked.clear()
        with pytest.raises(Cancelled):
            call()
        assert len(asked) == limit + 1


def test_ubjson_reads_what_json_says():
    booster = random_model(16)[0]
    ours, expected = ubjson.loads(booster.save_raw("ubj")), json.loads(booster.save_raw("json"))

    def same(a, b):
        if isinstance(b, dict):
            return a.keys() == b.keys() and all(same(a[key], b[key]) for key in b)
        if isinstance(b, list):
            return len(a) == len(b) and all(same(one, other) for one, other in zip(a, b))
        return np.float32(a) == np.float32(b) or a != a and b != b if isinstance(b, float) else a == b

    assert same(ours, expected)
    values = (b"[U\xffi\xffI\xff\xfel" + struct.pack(">i", -70_000) + b"D" + struct.pack(">d", 0.1)
              + b"TFZSU\x02hi[#i\x01T]")
    assert ubjson.loads(values) == [255, -1, -2, -70_000, 0.1, True, False, None, "hi", [True]]


@pytest.mark.parametrize("text", [b"", b"{", b"{i\x01a", b"[$d#i\x05\x00", b"?", b"[$", b"SL" + b"\x7f" * 8, b"Si\xff",
                                  b"[" * 100_000, b"Si\x01\xff", b"[#L" + b"\x7f" * 8])
def test_what_is_not_ubjson_is_refused(text):
    with pytest.raises(InputError, match="UBJSON"):
        ubjson.loads(text)
