"""The fast predictor against XGBoost's fastest own way, Booster.inplace_predict, one thread each."""

import numpy as np
import xgboost
from measure import REPEATS, Row, side_by_side

from pti_plugin.core.mapping.tree_ensemble import read_ensemble

CLASSES, FEATURES, RUNS = 10, 14, 2
UNIT = "µs a cell and model"


def ensemble_of(rounds, categorical):
    """Return (boosters as UBJ bytes, x) of RUNS trainings on shared cut points; x (12,000 cells, FEATURES)."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(12_000, FEATURES)).astype(np.float32)
    if categorical:
        x[:, 0] = rng.integers(0, 17, len(x))
        x[rng.random(x.shape) < 0.02] = np.nan
    score = np.nan_to_num(x) @ rng.normal(size=(FEATURES, CLASSES)) + rng.normal(0, 1.5, (len(x), CLASSES))
    score += 2 * np.sin(3 * np.nan_to_num(x[:, 1:2] * x[:, 2:3]))
    label = score.argmax(axis=1)
    options = {"feature_types": ["c" if categorical else "q", *["q"] * (FEATURES - 1)], "enable_categorical": True,
               "nthread": 1}
    cuts = xgboost.QuantileDMatrix(x, label=label, **options)
    raws = []
    for run in range(RUNS):
        rows = rng.permutation(len(x))[:len(x) * 4 // 5]
        data = xgboost.QuantileDMatrix(x[rows], label=label[rows], ref=cuts, **options)
        parameters = {"objective": "multi:softprob", "num_class": CLASSES, "tree_method": "hist", "max_depth": 6,
                      "eta": 0.1, "subsample": 0.8, "colsample_bytree": 0.8, "max_cat_to_onehot": 1, "seed": run,
                      "nthread": 1}
        raws.append(bytes(xgboost.train(parameters, data, rounds).save_raw("ubj")))
    return raws, x


def rows(quick):
    """Margins and votes of RUNS boosters, with numbers only and with categories and missing values."""
    rounds, cells, repeats = (5, 2_048, 1) if quick else (300, 8_192, REPEATS)
    found = []
    for kind, categorical in (("numbers", False), ("a categorical feature and 2 % missing", True)):
        raws, x = ensemble_of(rounds, categorical)
        x, part = x[:cells], np.ascontiguousarray(x[:cells // 4])
        ensemble, reason = read_ensemble(raws)
        work = f"{CLASSES * rounds:,} trees of depth 6, {FEATURES} features, {kind}"
        if ensemble is None:
            found.append(Row(work, "Booster.inplace_predict", note=reason))
            continue
        boosters = [_loaded(raw) for raw in raws]
        expected = np.stack([booster.inplace_predict(part, missing=np.nan, predict_type="margin")
                             for booster in boosters])
        if not np.array_equal(ensemble.margins(part), expected):
            raise RuntimeError("The margins are not XGBoost's.")
        for name, ours in (("margins", ensemble.margins), ("votes and probabilities", ensemble.votes)):
            mine, reference = side_by_side(lambda ours=ours, x=x: ours(x), lambda b=boosters, x=part: _predict(b, x),
                                           repeats)
            found.append(Row(f"{work}: {name}", "Booster.inplace_predict", 1e6 * mine / len(x) / RUNS,
                             1e6 * reference / len(part) / RUNS, UNIT, reach=12))
    mine, reference = side_by_side(lambda: read_ensemble(raws), lambda: [_loaded(raw) for raw in raws], repeats)
    found.append(Row(f"reading {CLASSES * rounds:,} trees", "Booster.load_model", 1e3 * mine / RUNS,
                     1e3 * reference / RUNS, "ms a model", at_most=True))
    return found


def _loaded(raw):
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})
    return booster


def _predict(boosters, x):
    for booster in boosters:
        booster.inplace_predict(x, missing=np.nan)
