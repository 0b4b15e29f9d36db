"""Every line of the panel has its number of cases and an interval that covers what it should."""

import numpy as np
import pytest

from pti_plugin.core.assessment import accuracy_panel as panel
from pti_plugin.core.assessment.accuracy import f1_interval, kappa, kappa_interval, tier_accuracy
from pti_plugin.core.assessment.small_sample import wilson
from pti_plugin.core.common import tables
from pti_plugin.core.learning.residual_range import Lag
from support import ROOT

CODES = (11, 12, 33)
MATRIX = np.array([[50, 7, 3], [10, 60, 5], [2, 8, 55]])


def test_kappas_interval_is_the_delta_method_over_the_cells_of_the_matrix():
    total, shares = MATRIX.sum(), (MATRIX / MATRIX.sum()).ravel()
    step = 1e-6
    slope = np.array([(kappa((shares + step * one).reshape(3, 3) * 1e9) - kappa((shares - step * one).reshape(3, 3)
                                                                                * 1e9)) / (2 * step)
                      for one in np.eye(9)])
    covariance = (np.diag(shares) - np.outer(shares, shares)) / total
    half = 1.959964 * np.sqrt(slope @ covariance @ slope)
    assert kappa_interval(MATRIX) == pytest.approx((kappa(MATRIX) - half, kappa(MATRIX) + half), abs=1e-5)
    assert np.isnan(kappa_interval(np.diag([5, 0, 0]))).all()


def test_f1s_interval_covers_the_true_f1_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        hit, over, under, _ = rng.multinomial(200, (0.2, 0.08, 0.05, 0.67))
        low, high = f1_interval(hit, hit + over, hit + under)
        covered += low <= 2 * 0.2 / (2 * 0.2 + 0.08 + 0.05) <= high
    # 95 % but for chance: four standard errors are 2 %
    assert 0.93 < covered / 2000 < 0.97


@pytest.mark.parametrize("hit, over, under", [(40, 16, 10), (1, 0, 3), (300, 2, 1)])
def test_f1s_interval_ends_where_its_share_is_just_not_refused(hit, over, under):
    # the shares j whose score statistic is the limit: (hit / n - j)² = z² j (1 - j) / n; F1 is 2j / (1 + j)
    n, z2 = hit + over + under, 1.959963984540054 ** 2
    shares = np.sort(np.roots([1 + z2 / n, -(2 * hit / n + z2 / n), (hit / n) ** 2]))
    assert f1_interval(hit, hit + over, hit + under) == pytest.approx(tuple(2 * shares / (1 + shares)), rel=1e-6)


def test_figures_by_class_carry_their_counts_and_intervals():
    rows = {row["line"]: row for row in panel.matrix_rows(MATRIX, CODES)}
    row = rows["precision of rank 12 (out-of-bag)"]
    assert (row["value"], row["n"]) == (pytest.approx(80), 75)
    assert (row["low"], row["high"]) == pytest.approx([100 * bound for bound in wilson(60, 75)])
    row = rows["recall of rank 33 (out-of-bag)"]
    assert (row["value"], row["n"]) == (pytest.approx(100 * 55 / 63), 63)
    row = rows["f1 of rank 11 (out-of-bag)"]
    assert (row["value"], row["n"]) == (pytest.approx(100 * 100 / 122), 72)
    assert row["low"] < row["value"] < row["high"]
    row = rows["tier accuracy (out-of-bag)"]
    assert (row["value"], row["n"]) == (pytest.approx(100 * tier_accuracy(MATRIX, CODES)), 200)
    assert row["low"] < row["value"] < row["high"]
    row = rows["classified 11, reference 33"]
    assert (row["value"], row["unit"]) == (3, "points") and "rows classified, columns reference" in row["meaning"]
    assert rows["kappa (out-of-bag)"]["low"] < kappa(MATRIX) < rows["kappa (out-of-bag)"]["high"]


def test_an_absent_class_has_no_figures():
    rows = panel.matrix_rows(np.array([[5, 1], [0, 0]]), (11, 12))
    lines = {row["line"] for row in rows}
    assert "precision of rank 12 (out-of-bag)" not in lines and "recall of rank 12 (out-of-bag)" in lines


def test_calibration_puts_promised_beside_found():
    rng = np.random.default_rng(2)
    probability = rng.uniform(0.2, 1, 20_000)
    honest = panel.calibration_rows(probability, rng.random(20_000) < probability)
    assert [row["line"] for row in honest] == [f"probability 0.{i} to 0.{i + 1}" for i in range(2, 9)] + [
        "probability 0.9 to 1.0"]
    assert sum(row["n"] for row in honest) == 20_000
    for row in honest:
        # four standard errors at 2,500 points a bin
        assert row["value"] == pytest.approx(row["expected"], abs=4)
        assert row["low"] < row["value"] < row["high"]
    boastful = panel.calibration_rows(np.array([1.0, 0.95, 0.951]), np.array([True, False, False]))
    assert [(row["n"], row["value"], row["expected"]) for row in boastful] == [
        (3, pytest.approx(100 / 3), pytest.approx(96.7))]


def test_block_rows_give_both_sizes_and_say_how():
    lags = [Lag(0, 90, 60, 0.3, 0.05, 400), Lag(90, 200, 150, 0.1, 0.02, 2500)]
    used, suggested, *classes = panel.block_rows(500.0, 33, 140.0, 137.2, lags)
    assert (used["value"], used["n"], suggested["value"], suggested["n"]) == (500, 33, 140, 2900)
    assert "up to 137 km" in suggested["meaning"] and "out-of-bag residuals" in suggested["meaning"]
    assert [(row["line"], row["low"], row["value"], row["high"]) for row in classes] == [
        ("0 to 90 km", pytest.approx(0.202), 0.3, pytest.approx(0.398)),
        ("90 to 200 km", pytest.approx(0.0608), 0.1, pytest.approx(0.1392))]
    assert "no correlation" in panel.block_rows(500.0, 33, 0.0, 0.0, lags)[1]["meaning"]


def test_the_papers_figures_stand_beside_and_never_among_the_panel(tmp_path):
    rows = panel.paper_rows(ROOT / "resources" / "tables" / "paper_results.csv")
    assert {row["source"] for row in rows} == {"paper"} and panel.accuracy_rows(rows) == []
    values = {row["line"].partition(" (")[0]: row["value"] for row in rows}
    assert values["overall accuracy of the ensemble"] == 91.79
    assert values["stratified 5-fold cross-validation, peak"] == 57
    path = tmp_path / "m.csv"
    path.write_text(tables.to_csv([panel.share_row("accuracy", "x", 1, 2), *rows]), encoding="utf-8")
    assert tuple(tables.read_csv(path)[-1]) == panel.COLUMNS


def test_one_run_has_no_spread():
    rows = panel.spread_rows([0.5])
    assert [row["value"] for row in rows] == [None, None]
