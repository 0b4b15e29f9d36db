"""Area-weighted accuracy equals the worked examples of the two papers, a brute-force count, and the truth 95 times in
100."""

import csv
import math

import numpy as np
import pytest

from pti_plugin.core.assessment.accuracy import kappa_interval
from pti_plugin.core.assessment.area_estimation import Z_95, estimate
from pti_plugin.core.common.errors import InputError
from support import ROOT

TABLES = ROOT.parent / "shared" / "spec" / "tables"
# Olofsson et al. (2014), section 5: deforestation, forest gain, stable forest, stable non-forest
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = (200000, 150000, 3200000, 6450000)
USERS = ((0.88, 0.074), (0.7333, 0.1008), (0.9273, 0.0397), (0.9631, 0.0205))
PRODUCERS = ((0.7487, 0.2133), (0.8472, 0.2544), (0.9345, 0.0343), (0.9616, 0.0184))
AREAS = ((235086, 68418, 21158, 6158), (129846, 41731, 11686, 3756), (3175221, 172332, 285770, 15510),
         (6459846, 180907, 581386, 16282))
# Stehman (2014), table 2: ten units in each of four strata, with map and reference class
STRATA, MAPPED = "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10, "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"
TRUE = "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"
STRATUM_SIZES = (40000, 30000, 20000, 10000)


def by_class(matrix):
    """Return a matrix as counts by stratum, the strata being its rows."""
    return np.eye(len(matrix), dtype=int)[:, :, None] * matrix[None]


def stehman():
    counts = np.zeros((4, 4, 4))
    for place in zip(*(["ABCD".index(letter) for letter in letters] for letters in (STRATA, MAPPED, TRUE))):
        counts[place] += 1
    return counts


def test_the_worked_example_of_olofsson_2014_to_the_digits_printed():
    found = estimate(by_class(OLOFSSON), PIXELS, "abcd", by_class=True)
    assert (round(found.overall.value, 4), round(found.overall.half_width, 4)) == (0.9465, 0.0185)
    assert [(round(item.value, 4), round(item.half_width, 4)) for item in found.users] == list(USERS)
    assert [(round(item.value, 4), round(item.half_width, 4)) for item in found.producers] == list(PRODUCERS)
    assert [(round(item.value), round(item.half_width), round(0.09 * item.value), round(0.09 * item.half_width))
            for item in found.area] == list(AREAS)
    assert [item.n for item in found.users] == OLOFSSON.sum(axis=1).tolist()
    assert [item.n for item in found.producers] == OLOFSSON.sum(axis=0).tolist()


def test_the_copy_of_the_example_is_the_one_of_the_method():
    if not TABLES.is_dir():
        pytest.skip("the tables of the method are not here (a folder shared/spec beside the repository)")
    with open(TABLES / "olofsson_2014.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, counts, size, users, producers, areas in zip(rows, OLOFSSON, PIXELS, USERS, PRODUCERS, AREAS):
        assert [int(value) for key, value in row.items() if key.startswith("n_ref")] == counts.tolist()
        assert int(row["mapped_pixels"]) == size
        assert (float(row["users"]), float(row["users_ci95"])) == users
        assert (float(row["producers"]), float(row["producers_ci95"])) == producers
        assert tuple(int(row[key]) for key in ("area_pixels", "area_ci95_pixels", "area_ha", "area_ci95_ha")) == areas


def test_the_worked_example_of_stehman_2014():
    found = estimate(stehman(), STRATUM_SIZES, STRATA[::10])
    assert (round(found.overall.value, 3), round(found.overall.error, 3)) == (0.63, 0.085)
    total = sum(STRATUM_SIZES)
    assert [round(item.value / total, 3) for item in found.area] == [0.35, 0.34, 0.2, 0.11]
    assert (round(found.area[0].error / total, 3), round(found.area[2].error / total, 3)) == (0.082, 0.064)
    assert round(found.shares[1, 2], 3) == 0.08
    # values and standard errors that other implementations of the paper print
    np.testing.assert_allclose([item.value for item in found.users], [0.7419355, 0.5744681, 0.5, 0.7], atol=5e-8)
    np.testing.assert_allclose([item.error for item in found.users], [0.1645627, 0.1248023, 0.2151657, 0.1527525],
                               atol=5e-8)
    np.testing.assert_allclose([item.value for item in found.producers], [0.6571429, 0.7941176, 0.3, 0.6363636],
                               atol=5e-8)
    np.testing.assert_allclose([item.error for item in found.producers], [0.1477318, 0.1165671, 0.1504438, 0.1623242],
                               atol=5e-8)


def brute_ratio(units, sizes, part, whole):
    """Ratio of stratified means and its error from lists of units, by the textbook's sums (Cochran 1977, 6.49)."""
    y_bar = x_bar = 0.0
    for size, members in zip(sizes, units):
        y_bar += size / sum(sizes) * np.mean([part(*unit) for unit in members])
        x_bar += size / sum(sizes) * np.mean([whole(*unit) for unit in members])
    ratio, variance = y_bar / x_bar, 0.0
    for size, members in zip(sizes, units):
        y, x = np.array([part(*unit) for unit in members]), np.array([whole(*unit) for unit in members])
        s2 = np.var(y, ddof=1) + ratio ** 2 * np.var(x, ddof=1) - 2 * ratio * np.cov(y, x, ddof=1)[0, 1]
        variance += (size / sum(sizes)) ** 2 * s2 / len(members)
    return ratio, math.sqrt(variance) / x_bar


@pytest.mark.parametrize("seed", range(3))
def test_estimates_equal_a_count_over_single_units(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(50, 900, 3)
    units = [[tuple(int(code) for code in rng.choice(4, 2, p=(0.4, 0.3, 0.2, 0.1))) for _ in range(40 + 10 * h)]
             for h in range(3)]
    counts = np.zeros((3, 4, 4))
    for h, members in enumerate(units):
        for mapped, true in members:
            counts[h, mapped, true] += 1
    found = estimate(counts, sizes, "abc")
    checks = [(found.overall, lambda m, r: m == r, lambda m, r: 1)]
    for k in range(4):
        checks += [(found.users[k], lambda m, r, k=k: m == k == r, lambda m, r, k=k: m == k),
                   (found.producers[k], lambda m, r, k=k: m == k == r, lambda m, r, k=k: r == k),
                   (found.f1[k], lambda m, r, k=k: 2 * (m == k == r), lambda m, r, k=k: (m == k) + (r == k))]
    for item, part, whole in checks:
        value, error = brute_ratio(units, sizes, lambda m, r, part=part: float(part(m, r)),
                                   lambda m, r, whole=whole: float(whole(m, r)))
        assert (item.value, item.error) == (pytest.approx(value), pytest.approx(error))
    assert sum(item.value for item in found.area) == pytest.approx(sizes.sum())
    assert found.shares.sum() == pytest.approx(1)


def test_map_classes_as_strata_are_a_case_of_any_strata():
    one, other = (estimate(by_class(OLOFSSON), PIXELS, "abcd", by_class=flag) for flag in (True, False))
    for name in ("users", "producers", "f1", "area"):
        np.testing.assert_allclose([(item.value, item.error) for item in getattr(one, name)],
                                   [(item.value, item.error) for item in getattr(other, name)])


def test_one_stratum_is_a_simple_random_sample():
    matrix = np.array([[50, 7, 3], [4, 60, 6], [2, 9, 40]])
    found, n = estimate(matrix[None], [12.5], ["all"]), matrix.sum()
    share = np.trace(matrix) / n
    assert found.overall.value == pytest.approx(share)
    assert found.overall.error == pytest.approx(math.sqrt(share * (1 - share) / (n - 1)))
    low, high = kappa_interval(matrix)
    assert found.kappa.value == pytest.approx((low + high) / 2)
    assert found.kappa.error * math.sqrt((n - 1) / n) == pytest.approx((high - low) / 2 / 1.959964)


def test_intervals_hold_the_truth_95_times_in_100():
    rng = np.random.default_rng(11)
    # a planted population: shares of map and reference class within each of three strata
    strata = np.array([rng.dirichlet(np.where(np.eye(3).ravel(), 9, 1)).reshape(3, 3) for _ in range(3)])
    sizes, n, draws = np.array([5.0, 2.0, 1.0]), (600, 400, 400), 400
    truth = estimate(strata * 1e9, sizes, "abc")

    def items(found):
        return [found.overall, found.kappa, *found.users, *found.producers, *found.f1, *found.area]

    inside = np.zeros(len(items(truth)))
    for _ in range(draws):
        sample = [rng.multinomial(size, shares.ravel()).reshape(3, 3) for size, shares in zip(n, strata)]
        inside += [abs(item.value - true.value) <= item.half_width
                   for item, true in zip(items(estimate(sample, sizes, "abc")), items(truth))]
    # three standard errors of a share of 0.95 in 400 draws
    np.testing.assert_allclose(inside / draws, 0.95, atol=0.033)
    assert (inside / draws).mean() == pytest.approx(0.95, abs=0.015)


def test_a_stratum_without_samples_is_refused_and_named():
    matrix = OLOFSSON.copy()
    matrix[1] = 0
    with pytest.raises(InputError, match=r"No reference sample lies in gain \(1.5 % of the whole\)"):
        estimate(by_class(matrix), PIXELS, ["loss", "gain", "forest", "other"], by_class=True)


def test_a_stratum_with_one_sample_has_no_variance_where_it_matters():
    matrix = OLOFSSON.copy()
    matrix[1] = (0, 1, 0, 0)
    found = estimate(by_class(matrix), PIXELS, "abcd", by_class=True)
    assert found.single == (1,)
    assert found.overall.interval is None and math.isnan(found.overall.error)
    assert math.isnan(found.users[1].error)
    # the user's accuracy of another class has nothing to do with it
    assert found.users[0].half_width == pytest.approx(Z_95 * math.sqrt(0.88 * 0.12 / 74))


def test_a_class_that_is_nowhere_on_the_map_weighs_nothing():
    with_it = np.zeros((5, 5), dtype=int)
    with_it[:4, :4] = OLOFSSON
    found = estimate(by_class(with_it), (*PIXELS, 0), "abcde", by_class=True)
    without = estimate(by_class(OLOFSSON), PIXELS, "abcd", by_class=True)
    assert (found.overall.value, found.overall.error) == (pytest.approx(without.overall.value),
                                                          pytest.approx(without.overall.error))
    assert math.isnan(found.users[4].value) and found.area[4].value == 0
    with_it[4, 0] = 3
    with pytest.raises(InputError, match=r"samples in e \(3\), which by the areas given takes no room"):
        estimate(by_class(with_it), (*PIXELS, 0), "abcde", by_class=True)


@pytest.mark.parametrize("sizes", [(1, 2, 3, -1), (0, 0, 0, 0), (1, 2, 3, math.nan)])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(InputError, match="The sizes of the strata are"):
        estimate(by_class(OLOFSSON), sizes, "abcd", by_class=True)


def test_a_sample_without_spread_gives_no_interval():
    found = estimate(by_class(np.diag([10, 20])), (1, 3), "ab", by_class=True)
    assert found.overall.value == 1 and found.overall.interval is None and found.users[0].interval is None


def test_intervals_stay_within_what_is_possible():
    found = estimate(by_class(np.array([[39, 1], [1, 1]])), (10, 10), "ab", by_class=True)
    assert found.users[1].interval[0] == 0 and found.users[0].interval[1] == 1
    assert 0 <= found.area[1].interval[0] and found.area[1].interval[1] <= 20
