"""Exact statistics for the few years and few stations that field records have.

At n = 5 the normal approximations are off by a factor of two, so the null distributions are counted: of
Mann-Kendall's S by recurrence (Kendall 1975; with ties as the inversions of a multiset), of rank correlations by
all permutations below ten pairs. Only the standard library and numpy are used.
"""

import math
from collections import Counter, namedtuple
from functools import lru_cache
from statistics import NormalDist

import numpy as np

#: longest series for which the distribution of S is counted; above it the normal approximation is right to 1e-4
EXACT_LIMIT = 100
#: fewest pairs for which a rank correlation is tested by a formula; below it every permutation is counted
PERMUTATION_LIMIT = 10

#: s: Mann-Kendall's S; p: two-sided; slope: Sen's, per unit of ``times``; n: finite values; method: how p was found
MannKendall = namedtuple("MannKendall", "s p slope n method")
#: r: the coefficient; p: two-sided; n: pairs; low, high: 95 % interval, NaN where it is not defined; method: of p
Correlation = namedtuple("Correlation", "r p n low high method")


def mann_kendall_exact(values, times=None):
    """Return the MannKendall of ``values`` (n,) at ``times`` (n,), by default 0, 1, 2 …

    Values that are not finite are left out. Series of up to EXACT_LIMIT values get the exact p, with ties too; longer
    ones the normal approximation with tie-corrected variance and continuity correction. Fewer than two values give
    p 1 and slope NaN.
    """
    values = np.asarray(values, dtype=float)
    times = np.arange(len(values), dtype=float) if times is None else np.asarray(times, dtype=float)
    finite = np.isfinite(values)
    order = np.argsort(times[finite], kind="stable")
    values, times = values[finite][order], times[finite][order]
    n = len(values)
    first, second = np.triu_indices(n, 1)
    s = int(np.sign(values[second] - values[first]).sum())
    slope = float(np.median((values[second] - values[first]) / (times[second] - times[first]))) if n > 1 else math.nan
    ties = _tie_sizes(values)
    if n <= EXACT_LIMIT:
        return MannKendall(s, _s_tail(n, ties, s), slope, n, "exact")
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    z = (abs(s) - 1) / math.sqrt(variance) if s and variance else 0.0
    return MannKendall(s, math.erfc(z / math.sqrt(2)), slope, n, "normal approximation")


def smallest_p(n):
    """Return the smallest two-sided p that a Mann-Kendall test on ``n`` values can reach: 2 / n!."""
    return min(1.0, 2 / math.factorial(n))


def spearman(x, y):
    """Return the Spearman Correlation of ``x`` and ``y`` (n,), ties by average ranks.

    p is by Student's t with n − 2 degrees of freedom, below PERMUTATION_LIMIT pairs by all permutations. The 95 %
    interval is that of Bonett & Wright (2000): Fisher's z with standard error sqrt((1 + r²/2) / (n − 3)); it needs
    n ≥ 4 and |r| < 1. A constant x or y gives r and p NaN.
    """
    ranks_x, ranks_y = _double_ranks(x), _double_ranks(y)
    n = len(ranks_x)
    covariance = int(n * (ranks_x * ranks_y).sum() - ranks_x.sum() * ranks_y.sum())
    spread = math.prod(int(n * (ranks ** 2).sum() - ranks.sum() ** 2) for ranks in (ranks_x, ranks_y))
    if not spread:
        return Correlation(math.nan, math.nan, n, math.nan, math.nan, "not defined")
    perfect = covariance ** 2 == spread
    r = math.copysign(1.0, covariance) if perfect else covariance / math.sqrt(spread)
    if n < PERMUTATION_LIMIT:
        p, method = _permutation_p(ranks_x, ranks_y), "exact"
    else:
        p, method = (0.0 if perfect else correlation_p(r, n)), "Student's t"
    low, high = bonett_wright(r, n)
    return Correlation(r, p, n, low, high, method)


def correlation_p(r, n):
    """Return the two-sided p of a correlation ``r`` of ``n`` pairs by Student's t with n − 2 degrees of freedom."""
    if abs(r) >= 1:
        return 0.0
    # t² = r²(n−2)/(1−r²), so that df / (df + t²) is 1 − r²
    return _regularised_beta((n - 2) / 2, 0.5, 1 - r * r)


def bonett_wright(r, n, confidence=0.95):
    """Return the (low, high) interval of a Spearman ``r`` of ``n`` pairs; NaN where n < 4 or |r| = 1."""
    if n < 4 or not abs(r) < 1:
        return math.nan, math.nan
    half = _normal_quantile(confidence) * math.sqrt((1 + r * r / 2) / (n - 3))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def kendall(x, y):
    """Return Kendall's tau-b of ``x`` and ``y`` (n,) as a Correlation (no interval).

    p is exact without ties up to EXACT_LIMIT pairs, and with ties below PERMUTATION_LIMIT; else by the normal
    approximation with tie-corrected variance. A constant x or y gives NaN.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x)
    first, second = np.triu_indices(n, 1)
    signs_x, signs_y = np.sign(x[second] - x[first]), np.sign(y[second] - y[first])
    s = int((signs_x * signs_y).sum())
    untied = int(np.abs(signs_x).sum()) * int(np.abs(signs_y).sum())
    if not untied:
        return Correlation(math.nan, math.nan, n, math.nan, math.nan, "not defined")
    tau = max(-1.0, min(1.0, s / math.sqrt(untied)))
    ties_x, ties_y = _tie_sizes(x), _tie_sizes(y)
    # with ties in one ranking only, S has the same distribution as Mann-Kendall's
    if n <= EXACT_LIMIT and (max(ties_x) == 1 or max(ties_y) == 1):
        return Correlation(tau, _s_tail(n, ties_y if max(ties_x) == 1 else ties_x, s), n, math.nan, math.nan, "exact")
    if n < PERMUTATION_LIMIT:
        permutations = _permutations(n)
        statistic = np.zeros(len(permutations), dtype=int)
        for i, j, sign in zip(first, second, signs_x.astype(int)):
            statistic += sign * np.sign(y[permutations[:, j]] - y[permutations[:, i]]).astype(int)
        return Correlation(tau, float(np.mean(np.abs(statistic) >= abs(s))), n, math.nan, math.nan, "exact")
    z = abs(s) / math.sqrt(_kendall_variance(n, ties_x, ties_y))
    return Correlation(tau, math.erfc(z / math.sqrt(2)), n, math.nan, math.nan, "normal approximation")


def wilson(k, n, confidence=0.95):
    """Return Wilson's (low, high) interval of a share of ``k`` in ``n``; NaN where n is 0."""
    if not n:
        return math.nan, math.nan
    z = _normal_quantile(confidence)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    # at k = 0 and k = n the bound is 0 and 1 exactly; rounding must not say otherwise
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def _normal_quantile(confidence):
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _tie_sizes(values):
    """Return the sizes of the groups of equal values as a sorted tuple, 1 for a value of its own."""
    return tuple(sorted(Counter(np.asarray(values).tolist()).values()))


def _s_tail(n, ties, s):
    """Return the exact probability that |S| is at least |s|, ``ties`` being the sizes of the tied groups."""
    counts = _inversion_counts(n, ties)
    # S = untied pairs − 2 × inversions, symmetric about 0
    inversions = (len(counts) - 1 - abs(s)) // 2
    return min(1.0, 2 * sum(counts[:inversions + 1]) / sum(counts)) if s else 1.0


@lru_cache(maxsize=512)
def _inversion_counts(n, ties):
    """Return, for 0, 1, 2 … inversions, how many arrangements of the multiset have that many.

    The generating function is [n]! / Π [t]! with [k] = 1 + q + … + q^(k−1) (MacMahon 1916), in whole numbers.
    """
    counts = [1]
    for k in range(2, n + 1):
        extended, window = [], 0
        for i in range(len(counts) + k - 1):
            window += counts[i] if i < len(counts) else 0
            window -= counts[i - k] if i >= k else 0
            extended.append(window)
        counts = extended
    for t in ties:
        for k in range(2, t + 1):
            quotient = []
            for i in range(len(counts) - k + 1):
                previous = counts[i - 1] if i else 0
                quotient.append(counts[i] - previous + (quotient[i - k] if i >= k else 0))
            counts = quotient
    return tuple(counts)


def _kendall_variance(n, ties_x, ties_y):
    """Return the variance of S with ties in both rankings (Kendall 1970, eq. 4.4)."""
    def total(ties, term):
        return sum(term(t) for t in ties)

    def pairs(t):
        return t * (t - 1)

    def triples(t):
        return t * (t - 1) * (t - 2)

    def weighted(t):
        return t * (t - 1) * (2 * t + 5)

    return ((weighted(n) - total(ties_x, weighted) - total(ties_y, weighted)) / 18
            + total(ties_x, triples) * total(ties_y, triples) / (9 * triples(n))
            + total(ties_x, pairs) * total(ties_y, pairs) / (2 * pairs(n)))


def _double_ranks(values):
    """Return twice the average ranks (n,), which are whole numbers."""
    _, inverse, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (2 * last - counts + 1)[inverse].astype(np.int64)


def _permutation_p(ranks_x, ranks_y):
    """Return the share of all permutations whose product of ranks lies at least as far from its mean."""
    n = len(ranks_x)
    permutations = _permutations(n)
    products = np.zeros(len(permutations), dtype=np.int64)
    for place, rank in enumerate(ranks_x):
        products += rank * ranks_y[permutations[:, place]]
    mean = ranks_x.sum() * ranks_y.sum()
    observed = abs(n * (ranks_x * ranks_y).sum() - mean)
    return float(np.mean(np.abs(n * products - mean) >= observed))


@lru_cache(maxsize=1)
def _permutations(n):
    """Return all permutations of 0 … n−1 as an array (n!, n)."""
    rows = np.zeros((1, 0), dtype=np.int8)
    for k in range(n):
        rows = np.concatenate([np.insert(rows, place, k, axis=1) for place in range(k + 1)])
    return rows


def _regularised_beta(a, b, x):
    """Return the regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _regularised_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
                     + a * math.log(x) + b * math.log1p(-x)) / a
    # modified Lentz evaluation; no denominator comes near 0 in this half of the domain
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 500):
        for numerator in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                          -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / (1 + numerator * d)
            c = 1 + numerator / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction
