"""What the models look at: mean |SHAP| on held-out points by predictor, group and class, with gain beside it.

SHAP values are XGBoost's own exact TreeSHAP contributions (Lundberg et al. 2020), in units of the class margin.
"""

import numpy as np

from .learner import in_order, kinds

COLUMNS = ("level", "name", "group", "class", "mean_abs_shap", "share_percent", "gain_share_percent",
           "mean_gain_share_percent", "points", "runs", "source")
FEATURE, GROUP, FEATURE_OF_CLASS, GROUP_OF_CLASS, LEFT_OUT = (
    "feature", "group", "feature_of_class", "group_of_class", "left_out")
ALL, OURS = "all", "this run"
#: points at once: some tenths of a second, after which the cancel button is looked at
_POINTS_AT_ONCE = 16


def mean_contributions(xgboost, samples, raws, tests, points, seed, workers, progress):
    """Return (mean |SHAP| float64 (classes, features), number of points) over runs.

    ``raws``: boosters as UBJ bytes, ``tests``: their held-out rows, of which ``points`` in all are taken at random.
    The bias is left out. Raises Cancelled.
    """
    named, done = kinds(samples.features), [0] * len(raws)
    chosen = [np.sort(np.random.default_rng((seed, 1_000_037, run)).permutation(test)[:max(1, points // len(raws))])
              for run, test in enumerate(tests)]

    def job(run):
        def contributions(stop):
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(raws[run]))
            rows, sums = chosen[run], 0.0
            for first in range(0, len(rows), _POINTS_AT_ONCE):
                if stop():
                    return None
                part = rows[first:first + _POINTS_AT_ONCE]
                matrix = xgboost.DMatrix(samples.x[part], enable_categorical=True, nthread=1, **named)
                # (points, classes, features and bias)
                values = np.abs(booster.predict(matrix, pred_contribs=True).astype(float))[:, :, :-1]
                sums = sums + values.sum(axis=0)
                done[run] += len(part)
            return sums

        return contributions

    count = sum(map(len, chosen))
    sums = sum(in_order([job(run) for run in range(len(raws))], workers, progress, lambda: sum(done) / count))
    return sums / count, count


def shap_rows(features, codes, means, points, runs, total_gain, mean_gain, left_out=()):
    """Return the table: features, groups, both by class, then the features of ``left_out`` that selection dropped.

    ``means``: mean |SHAP| (classes, features); ``total_gain``, ``mean_gain``: (features,), means over all runs.
    Shares are in % of the sum over features, by class of that class.
    """
    gains = [_shares(total_gain), _shares(mean_gain)]
    rows = _level(features, ALL, FEATURE, GROUP, means.mean(axis=0), gains)
    for code, of_class in zip(codes, means):
        rows += _level(features, int(code), FEATURE_OF_CLASS, GROUP_OF_CLASS, of_class, None)
    rows += [{"level": LEFT_OUT, "name": feature.name, "group": feature.group, "class": ALL} for feature in left_out]
    return [{**dict.fromkeys(COLUMNS), **row, "points": points, "runs": runs, "source": OURS} for row in rows]


def _shares(values):
    return 100 * values / values.sum() if values.sum() else np.zeros(len(values))


def _level(features, code, level, group_level, means, gains):
    """Return the rows of features, largest first, and of their groups, for one class or all."""
    shares = _shares(means)
    rows = [{"level": level, "name": feature.name, "group": feature.group, "class": code,
             "mean_abs_shap": float(means[i]), "share_percent": float(shares[i]),
             **({} if gains is None else {"gain_share_percent": float(gains[0][i]),
                                          "mean_gain_share_percent": float(gains[1][i])})}
            for i, feature in enumerate(features)]
    rows.sort(key=lambda row: (-row["mean_abs_shap"], row["name"]))
    groups = []
    for group in sorted({row["group"] for row in rows}):
        of_group = [row for row in rows if row["group"] == group]
        groups.append({"level": group_level, "name": group, "group": group, "class": code,
                       **{key: sum(row[key] for row in of_group) for key in rows[0]
                          if key not in ("level", "name", "group", "class")}})
    return rows + sorted(groups, key=lambda row: (-row["mean_abs_shap"], row["name"]))
