"""The area of applicability is that of Meyer & Pebesma (2021), worked out here by hand and by brute force."""

import numpy as np
import pytest

from pti_plugin.core.common.errors import Cancelled, InputError
from pti_plugin.core.ensembles.features import Feature
from pti_plugin.core.mapping.applicability import MEAN_OVER, applicability, upper_whisker
from support import Log

A, B, COVER = (Feature("a", "soil", False), Feature("b", "soil", False), Feature("land_cover", "biophysical", True))


def by_definition(train, weights, folds, new):
    """DI of ``new`` and threshold, pair by pair; ``train`` is numeric."""
    centre, spread = train.mean(axis=0), train.std(axis=0, ddof=1)
    scaled, other = ((part - centre) / spread * weights for part in (train, new))
    pairs = [[float(np.sqrt(((p - q) ** 2).sum())) for q in scaled] for p in scaled]
    means = [sum(row[:i] + row[i + 1:]) / (len(row) - 1) for i, row in enumerate(pairs)]
    mean = sum(means) / len(means)
    own = [min(d for j, d in enumerate(row) if folds[j] != folds[i]) / mean for i, row in enumerate(pairs)]
    di = [min(float(np.sqrt(((p - q) ** 2).sum())) for q in scaled) / mean for p in other]
    return np.array(di), np.array(own)


def test_a_line_of_four_points_worked_out_by_hand():
    # positions 0, 1, 2, 3: sd 1.2910; mean distances 2, 4/3, 4/3, 2, together 5/3; in units of the line
    # folds {0, 1} and {2, 3}: nearest of the other fold 2, 1, 1, 2 → DI 1.2, 0.6, 0.6, 1.2; all within the whiskers
    found = applicability(np.array([[0.0], [1], [2], [3]]), [A], [1.0], [0, 0, 1, 1], Log())
    assert found.mean_distance == pytest.approx(5 / 3 / np.std([0, 1, 2, 3], ddof=1))
    assert found.threshold == pytest.approx(1.2)
    np.testing.assert_allclose(found.dissimilarity(np.array([[0.0], [1.5], [5.0]])), [0, 0.3, 1.2])


def test_weights_and_folds_as_defined_pair_by_pair():
    rng = np.random.default_rng(1)
    train, new = rng.normal(size=(60, 2)) * [3, 0.1] + [10, 5], rng.normal(size=(25, 2)) * [4, 0.2] + [10, 5]
    weights, folds = np.array([2.0, 0.5]), rng.integers(0, 5, 60)
    di, own = by_definition(train, weights, folds, new)
    found = applicability(train, [A, B], weights, folds, Log())
    np.testing.assert_allclose(found.dissimilarity(new), di)
    hinges = np.median(np.sort(own)[:30]), np.median(np.sort(own)[30:])
    limit = hinges[1] + 1.5 * (hinges[1] - hinges[0])
    assert found.threshold == pytest.approx(max(value for value in own if value <= limit))


def test_a_category_is_a_dummy_variable_each_with_the_weight_of_its_predictor():
    x = np.array([[0.0, 10], [1, 10], [2, 20], [3, 20], [4, 30], [5, 30]])
    dummies = np.column_stack([x[:, 0], *((x[:, 1] == code).astype(float) for code in (10, 20, 30))])
    new = np.array([[0.5, 20], [4.0, 10]])
    new_dummies = np.column_stack([new[:, 0], *((new[:, 1] == code).astype(float) for code in (10, 20, 30))])
    folds = [0, 1, 0, 1, 0, 1]
    di, _ = by_definition(dummies, np.array([1.0, 3, 3, 3]), folds, new_dummies)
    np.testing.assert_allclose(applicability(x, [A, COVER], [1.0, 3.0], folds, Log()).dissimilarity(new), di)


def test_a_predictor_without_weight_or_without_spread_does_not_count():
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.normal(size=30), np.full(30, 7.0)])
    alone = applicability(x[:, :1], [A], [1.0], np.arange(30) % 5, Log())
    both = applicability(x, [A, B], [1.0, 1.0], np.arange(30) % 5, Log())
    assert both.threshold == alone.threshold
    new = rng.normal(size=(5, 2)) * 100
    unweighted = applicability(np.column_stack([x[:, 0], rng.normal(size=30)]), [A, B], [1.0, 0.0],
                               np.arange(30) % 5, Log())
    np.testing.assert_array_equal(unweighted.dissimilarity(new), alone.dissimilarity(new[:, :1]))


def test_a_cell_far_out_of_range_falls_outside_and_a_sample_inside():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2))
    found = applicability(x, [A, B], [1.0, 1.0], rng.integers(0, 5, 200), Log())
    assert (found.dissimilarity(x) == 0).all()
    assert (found.dissimilarity(np.array([[30.0, 0], [0, -30.0]])) > 3 * found.threshold).all()


def test_the_whisker_is_that_of_a_box_plot():
    # R: boxplot.stats(c(1:10, 50))$stats[5] is 10; of 1, 2, 3, 4 it is 4
    assert upper_whisker(np.array([*range(1, 11), 50.0])) == 10
    assert upper_whisker(np.array([4.0, 1, 3, 2])) == 4


def test_many_samples_take_the_mean_distance_from_some_of_them():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(MEAN_OVER + 500, 1))
    found = applicability(x, [A], [1.0], np.arange(len(x)) % 5, Log())
    # of two independent normal numbers 2/sqrt(pi) standard deviations
    assert found.mean_distance == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)


def test_samples_that_are_all_alike_are_refused_and_a_stop_stops():
    with pytest.raises(InputError, match="no predictor with a weight differs"):
        applicability(np.ones((5, 1)), [A], [1.0], [0, 1, 0, 1, 0], Log())
    log = Log()
    log.stop()
    with pytest.raises(Cancelled):
        applicability(np.arange(5.0)[:, None], [A], [1.0], [0, 1, 0, 1, 0], log)
