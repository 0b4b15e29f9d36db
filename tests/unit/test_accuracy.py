"""Accuracy figures equal the paper's table where it is right, scikit-learn's, and a plain count."""

import csv
import math

import numpy as np
import pytest

from pti_plugin.core.assessment.accuracy import by_class, confusion, kappa, overall_accuracy, tier_accuracy
from pti_plugin.core.common import ranks
from support import ROOT

TABLES = ROOT.parent / "shared" / "spec" / "tables"
# The paper's Table 4: rows classified, columns reference, ranks 11 12 13 21 22 23 31 32 33 40.
TABLE_4 = np.array([
    [1232, 73, 5, 15, 2, 0, 1, 0, 0, 0],
    [57, 1683, 27, 4, 15, 0, 0, 2, 1, 0],
    [14, 24, 805, 1, 0, 7, 0, 0, 0, 0],
    [13, 2, 2, 691, 27, 9, 14, 12, 9, 0],
    [9, 1, 0, 23, 854, 7, 0, 23, 5, 0],
    [6, 1, 8, 17, 18, 795, 1, 8, 10, 0],
    [1, 1, 0, 14, 4, 1, 953, 56, 13, 8],
    [2, 4, 0, 15, 32, 4, 56, 1586, 101, 19],
    [0, 1, 0, 2, 12, 12, 12, 80, 1618, 20],
    [0, 0, 0, 0, 0, 0, 14, 25, 25, 1041]])
# Precision and recall in %, as Table 4 prints them; its 94.27 for the precision of rank 12 is a misprint of 94.07.
PRECISION = dict(zip(ranks.CODES, (92.77, 94.07, 94.59, 88.70, 92.62, 92.01, 90.68, 87.19, 92.09, 94.21)))
RECALL = dict(zip(ranks.CODES, (92.35, 94.02, 95.04, 88.36, 88.59, 95.21, 90.68, 88.50, 90.80, 95.68)))


def test_the_papers_table_4():
    assert TABLE_4.sum() == 12265 and np.trace(TABLE_4) == 11258
    assert round(100 * overall_accuracy(TABLE_4), 2) == 91.79
    rows = by_class(TABLE_4)
    assert {row["rank"]: round(100 * row["precision"], 2) for row in rows} == PRECISION
    assert {row["rank"]: round(100 * row["recall"], 2) for row in rows} == RECALL
    assert [row["classified"] for row in rows] == TABLE_4.sum(axis=1).tolist()
    assert [row["reference"] for row in rows] == TABLE_4.sum(axis=0).tolist()


def test_the_copy_of_table_4_is_the_one_of_the_method():
    if not TABLES.is_dir():
        pytest.skip("the tables of the method are not here (a folder shared/spec beside the repository)")
    with open(TABLES / "confusion_matrix.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert [int(code) for code in rows[0][1:]] == list(ranks.CODES)
    np.testing.assert_array_equal([[int(count) for count in row[1:]] for row in rows[1:]], TABLE_4)
    with open(TABLES / "confusion_matrix_expected.csv", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["rank"].isdigit():
                assert float(row["precision_percent_recomputed"]) == PRECISION[int(row["rank"])]
                assert float(row["recall_percent_recomputed"]) == RECALL[int(row["rank"])]


def random_pairs(seed, n=3000):
    rng = np.random.default_rng(seed)
    reference = rng.choice(ranks.CODES, n, p=rng.dirichlet(np.ones(10)))
    return np.where(rng.random(n) < 0.6, reference, rng.choice(ranks.CODES, n)), reference


@pytest.mark.parametrize("seed", range(5))
def test_matrix_and_figures_equal_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    classified, reference = random_pairs(seed)
    matrix = confusion(classified, reference)
    # scikit-learn's rows are the reference, ours are what was classified
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(reference, classified, labels=ranks.CODES).T)
    assert overall_accuracy(matrix) == pytest.approx(metrics.accuracy_score(reference, classified))
    assert kappa(matrix) == pytest.approx(metrics.cohen_kappa_score(reference, classified))
    scores = metrics.precision_recall_fscore_support(reference, classified, labels=ranks.CODES, zero_division=np.nan)
    found = by_class(matrix)
    for key, expected in zip(("precision", "recall", "f1", "reference"), scores):
        np.testing.assert_allclose([row[key] for row in found], expected)


def test_rows_are_what_was_classified():
    matrix = confusion(np.array([11, 11, 12]), np.array([12, 12, 12]))
    assert matrix[0, 1] == 2 and matrix[1, 1] == 1 and matrix.sum() == 3
    row = by_class(matrix)[1]
    assert (row["precision"], row["recall"]) == (1.0, pytest.approx(1 / 3))


def test_tier_accuracy_is_a_plain_count():
    classified, reference = random_pairs(9)
    same = [ranks.BY_CODE[a].tier == ranks.BY_CODE[b].tier for a, b in zip(classified, reference)]
    assert tier_accuracy(confusion(classified, reference)) == pytest.approx(np.mean(same))
    # a wrong tier is wrong although the number of positive trends is right
    assert tier_accuracy(confusion(np.array([13]), np.array([23]))) == 0


def test_what_is_not_defined_is_nan():
    empty = np.zeros((10, 10), dtype=int)
    assert math.isnan(overall_accuracy(empty)) and math.isnan(kappa(empty)) and math.isnan(tier_accuracy(empty))
    matrix = confusion(np.array([11, 11]), np.array([11, 12]))
    rows = {row["rank"]: row for row in by_class(matrix)}
    assert math.isnan(rows[12]["precision"]) and rows[12]["recall"] == 0 and rows[12]["f1"] == 0
    assert math.isnan(rows[40]["precision"]) and math.isnan(rows[40]["recall"]) and math.isnan(rows[40]["f1"])
    # every case in one class: agreement by chance is complete
    assert math.isnan(kappa(confusion(np.array([11, 11]), np.array([11, 11]))))
