"""The exact small-sample statistics agree with brute force, with published figures and with scipy."""

import itertools
import math

import numpy as np
import pytest

from pti_plugin.core.assessment import small_sample
from pti_plugin.core.assessment.small_sample import (
    bonett_wright,
    correlation_p,
    kendall,
    mann_kendall_exact,
    smallest_p,
    spearman,
    wilson,
)

stats = pytest.importorskip("scipy.stats")


def s_of(values):
    return sum(np.sign(b - a) for a, b in itertools.combinations(values, 2))


def brute_force_p(values):
    """Share of all arrangements whose |S| is at least that of the series."""
    observed = abs(s_of(values))
    arrangements = list(itertools.permutations(values))
    return sum(abs(s_of(arrangement)) >= observed for arrangement in arrangements) / len(arrangements)


@pytest.mark.parametrize("n, expected", [(3, 0.333), (4, 0.083), (5, 0.017)])
def test_a_monotone_series_of_3_4_5_years_reaches_only_the_smallest_p(n, expected):
    assert round(mann_kendall_exact(range(n)).p, 3) == expected
    assert round(mann_kendall_exact(range(n, 0, -1)).p, 3) == expected
    assert smallest_p(n) == pytest.approx(mann_kendall_exact(range(n)).p, rel=1e-15)


def test_series_of_none_one_and_two_values_prove_nothing():
    assert [mann_kendall_exact(range(n)).p for n in range(3)] == [1, 1, 1]
    assert [smallest_p(n) for n in range(3)] == [1, 1, 1]
    assert math.isnan(mann_kendall_exact([4.0]).slope)


def test_p_equals_counting_every_arrangement_with_and_without_ties():
    random = np.random.default_rng(1)
    for _ in range(40):
        values = random.integers(0, random.integers(2, 9), random.integers(3, 7))
        result = mann_kendall_exact(values)
        assert result.s == s_of(values)
        assert result.p == pytest.approx(brute_force_p(values), rel=1e-12)


def test_p_without_ties_equals_scipy_exact():
    random = np.random.default_rng(2)
    for n in (3, 8, 15, 25, 40, 60):
        for _ in range(10):
            values = random.normal(size=n) + 0.05 * np.arange(n)
            expected = stats.kendalltau(np.arange(n), values, method="exact").pvalue
            assert mann_kendall_exact(values).p == pytest.approx(expected, rel=1e-9)


def test_p_of_long_tied_series_meets_the_normal_approximation_of_pymannkendall():
    reference = pytest.importorskip("pymannkendall")
    random = np.random.default_rng(3)
    for n, tolerance in ((60, 0.01), (150, 1e-9)):
        values = random.integers(0, 12, n) + 0.02 * np.arange(n).round()
        expected = reference.original_test(values)
        found = mann_kendall_exact(values)
        assert (found.s, found.slope) == (expected.s, pytest.approx(expected.slope))
        assert found.p == pytest.approx(expected.p, abs=tolerance)


def test_constant_series_has_no_trend():
    assert mann_kendall_exact([7.0] * 6)[:3] == (0, 1.0, 0.0)


def test_the_sen_slope_is_per_year_where_years_are_missing():
    years = [2007, 2008, 2011, 2015]
    result = mann_kendall_exact([0.1 * year for year in years], years)
    assert result.slope == pytest.approx(0.1)
    # the order of the values is that of the years, however they come
    assert mann_kendall_exact([3.0, 1.0, 2.0], [2012, 2010, 2011]).s == 3


def test_values_that_are_not_finite_are_left_out():
    assert mann_kendall_exact([1, np.nan, 2, 3]) == mann_kendall_exact([1, 2, 3], [0, 2, 3])


def test_the_papers_correlation_has_the_published_p_and_interval():
    assert correlation_p(0.69, 26) == pytest.approx(9.6e-5, abs=0.05e-5)
    low, high = bonett_wright(0.69, 26)
    assert (round(low, 2), round(high, 2)) == (0.37, 0.86)


def test_spearman_equals_scipy_with_ties():
    random = np.random.default_rng(4)
    for n in (10, 11, 26, 80, 400):
        for levels in (4, 10, 1000):
            x = random.integers(0, levels, n)
            y = x + random.integers(0, levels, n)
            expected = stats.spearmanr(x, y)
            found = spearman(x, y)
            assert found.r == pytest.approx(expected.correlation, rel=1e-12)
            assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
            assert found.n == n and found.low < found.r < found.high


def test_spearman_of_few_pairs_counts_every_permutation():
    random = np.random.default_rng(5)
    compared = 0
    for n in (3, 4, 5, 6, 7) * 3:
        x, y = random.integers(0, 5, n), random.integers(0, 5, n)
        if len(set(x)) == 1 or len(set(y)) == 1:
            continue
        ranks_x, ranks_y = stats.rankdata(x), stats.rankdata(y)
        r = np.corrcoef(ranks_x, ranks_y)[0, 1]
        every = [abs(np.corrcoef(ranks_x, arrangement)[0, 1]) for arrangement in set(itertools.permutations(ranks_y))]
        found = spearman(x, y)
        # each distinct arrangement of tied ranks stands for equally many permutations
        assert found.p == pytest.approx(np.mean(np.array(every) >= abs(r) - 1e-9), rel=1e-12)
        assert (found.r, found.method, found.n) == (pytest.approx(stats.spearmanr(x, y).correlation), "exact", n)
        compared += 1
    assert compared > 10


def test_nine_pairs_in_perfect_order_have_p_two_in_nine_factorial():
    result = spearman(range(9), range(9))
    assert (result.r, result.p) == (1.0, pytest.approx(2 / math.factorial(9)))
    assert math.isnan(result.low) and math.isnan(result.high)


def test_a_constant_variable_has_no_correlation():
    for function in (spearman, kendall):
        result = function([1, 1, 1, 1], [1, 2, 3, 4])
        assert math.isnan(result.r) and math.isnan(result.p)


def test_fewer_than_four_pairs_have_no_interval():
    assert math.isnan(spearman([1, 2, 3], [1, 3, 2]).low)


def test_kendall_equals_scipy():
    random = np.random.default_rng(6)
    for n in (5, 12, 30):
        x, y = random.normal(size=n), random.normal(size=n)
        expected = stats.kendalltau(x, y, method="exact")
        assert kendall(x, y)[:2] == (pytest.approx(expected.correlation), pytest.approx(expected.pvalue, rel=1e-9))
    for n in (12, 40):
        x, y = random.integers(0, 6, n), random.integers(0, 6, n)
        expected = stats.kendalltau(x, y, method="asymptotic")
        assert kendall(x, y)[:2] == (pytest.approx(expected.correlation), pytest.approx(expected.pvalue, rel=1e-9))


def test_kendall_of_few_tied_pairs_counts_every_permutation():
    x, y = [1, 1, 2, 3, 3, 4], [2, 1, 2, 4, 3, 4]
    pairs = list(itertools.combinations(range(6), 2))
    every = [abs(sum(np.sign(x[j] - x[i]) * np.sign(order[j] - order[i]) for i, j in pairs))
             for order in itertools.permutations(y)]
    observed = abs(sum(np.sign(x[j] - x[i]) * np.sign(y[j] - y[i]) for i, j in pairs))
    assert kendall(x, y).p == pytest.approx(np.mean(np.array(every) >= observed))


def test_wilson_intervals_are_scipys():
    for k, n in ((0, 5), (5, 5), (9, 26), (16, 26), (1, 3)):
        expected = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
        assert wilson(k, n) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
    assert all(math.isnan(bound) for bound in wilson(0, 0))
    assert wilson(0, 5)[0] == 0 and wilson(5, 5)[1] == 1


def test_the_incomplete_beta_keeps_its_digits_in_the_far_tail():
    for r, n in ((0.999, 60), (0.95, 200), (0.01, 11), (0.3, 12)):
        expected = 2 * stats.t.sf(r * math.sqrt((n - 2) / (1 - r * r)), n - 2)
        assert correlation_p(r, n) == pytest.approx(expected, rel=1e-8)
    assert small_sample.correlation_p(1.0, 12) == 0
