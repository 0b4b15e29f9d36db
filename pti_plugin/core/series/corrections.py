"""What departs from plain Mann-Kendall: serial correlation, correlated seasons, confidence limits, steps.

Corrections of one season follow pymannkendall: gaps are closed up before the autocorrelation is taken, the slope
is that of the series with its gaps. Where pymannkendall goes on with a negative variance or divides by zero, the test
is NaN here. References: Yue & Wang 2002 (pre-whitening, trend-free pre-whitening), Yue & Wang 2004, Hamed & Rao 1998,
Hirsch & Slack 1984, Gilbert 1987; method, sections 8 and 9.
"""

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from ..common.cancellation import check_stopped
from ..common.errors import InputError
from ..common.packages import require
from .mann_kendall import Trend, mann_kendall, significance

ORIGINAL, PREWHITENED, TREND_FREE, YUE_WANG, HAMED_RAO, HIRSCH_SLACK = (
    "original", "pre_whitening", "trend_free_pre_whitening", "yue_wang", "hamed_rao", "hirsch_slack")
#: every method, the default first; those for one season, and the one for several
METHODS = (ORIGINAL, PREWHITENED, TREND_FREE, YUE_WANG, HAMED_RAO, HIRSCH_SLACK)
ONE_SEASON = (PREWHITENED, TREND_FREE, YUE_WANG, HAMED_RAO)
#: share of the range of a series within which values without their trend are alike; slopes are exact to it
ROUNDING = 1e-6
#: memory for what the series handled at once need
_AT_ONCE = 1 << 26


def _parts(number, bytes_each):
    """Yield the places (arrays) of ``number`` series, as many at once as memory allows; raises Cancelled.

    A single one comes twice: NumPy adds up a lone column in another order, and results must not depend on the parts.
    """
    size = max(2, _AT_ONCE // max(bytes_each, 1))
    for start in range(0, number, size):
        check_stopped()
        yield _two_at_least(np.arange(start, min(start + size, number)))


def _two_at_least(places):
    return np.repeat(places, 2) if len(places) == 1 else places


def check_method(method, period):
    """Raise InputError where ``method`` does not exist or does not fit the number of seasons."""
    if method not in METHODS:
        raise InputError(f"There is no method '{method}'; choose one of {', '.join(METHODS)}.")
    if method in ONE_SEASON and period > 1:
        raise InputError(f"The method {method} is for annual series (PERIOD 1); for {period} seasons choose original "
                         f"or hirsch_slack.")
    if method == HIRSCH_SLACK and period == 1:
        raise InputError("The method hirsch_slack corrects for correlated seasons; it needs PERIOD above 1.")


def trend_test(values, period=1, method=ORIGINAL, with_slope=True, alpha=0.05, engine=None):
    """Return the Trend of every column of ``values`` (steps, series) by ``method``.

    S, variance, Z and p are those of the method; the slope is always the Sen slope of the series as it is. ``alpha``
    is used by Hamed & Rao to choose significant lags.
    """
    check_method(method, period)
    if method == ORIGINAL:
        return mann_kendall(values, period, with_slope, engine)
    number = values.shape[1]
    result = Trend(*(np.full(number, np.nan) for _ in range(5)), np.zeros(number, dtype=np.int32), np.zeros(number))
    for part in _parts(number, 64 * len(values)):
        # corrections use the slope itself, so it must be exact
        series = np.asarray(values[:, part], dtype=np.float64)
        plain = mann_kendall(series, period, True, engine)
        corrected = (_correlated_seasons(series, plain, period) if method == HIRSCH_SLACK
                     else _corrected(series, plain, method, alpha, engine))
        for name in ("slope", "s", "variance", "z", "p", "count", "pairs"):
            getattr(result, name)[part] = getattr(corrected, name)
    return result


def _correlated_seasons(values, plain, period):
    """Hirsch & Slack's test as pymannkendall has it: no continuity correction."""
    variance = covariance_variance(values, period)
    z, p = np.full(plain.s.shape, np.nan), np.full(plain.s.shape, np.nan)
    zero = (plain.s == 0) & (plain.pairs > 0)
    z[zero], p[zero] = 0.0, 1.0
    tested = (plain.s != 0) & (variance > 1e-9)
    z[tested] = plain.s[tested] / np.sqrt(variance[tested])
    p[tested] = _two_sided(z[tested])
    return replace(plain, variance=variance, z=z, p=p)


def _corrected(values, plain, method, alpha, engine):
    s, variance = np.full(plain.s.shape, np.nan), np.full(plain.s.shape, np.nan)
    for count in np.unique(plain.count):
        columns = _two_at_least(np.flatnonzero(plain.count == count))
        if count < 4:
            continue
        closed = _closed_up(values[:, columns], int(count))
        corrected = _CORRECTIONS[method](closed, plain.slope[columns], plain.s[columns], plain.variance[columns], alpha,
                                         engine)
        s[columns], variance[columns] = corrected
    z, p = np.full(s.shape, np.nan), np.full(s.shape, np.nan)
    known = ~np.isnan(s)
    z[known], p[known] = significance(s[known], variance[known], engine)
    return replace(plain, s=s, variance=variance, z=z, p=p)


def _two_sided(z):
    # the plain test's p of a score without continuity correction: S - sign(S) is undone
    return significance(z + np.sign(z), np.ones(z.shape))[1]


def _closed_up(values, count):
    """Return the valid values of columns that all have ``count`` of them, shape (count, series), in order."""
    valid = ~np.isnan(values)
    return values.T[valid.T].reshape(values.shape[1], count).T


def _autocorrelation(series, lags):
    """Autocorrelation at lags 1 … ``lags`` of columns, shape (lags, series); NaN for constant columns.

    Column by column with the reference's own arithmetic: pre-whitened ties hang on the last digit of the coefficient.
    """
    n = len(series)
    result = np.empty((lags, series.shape[1]))
    for i, column in enumerate(np.ascontiguousarray(series.T)):
        if i % 1024 == 0:
            check_stopped()
        deviation = column - column.mean()
        covariance = (np.correlate(deviation, deviation, "full") / n)[n - 1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            result[:, i] = covariance[1:lags + 1] / covariance[0]
    return result


def _detrended(series, slope):
    return series - np.arange(1, len(series) + 1)[:, None] * slope


def _prewhitened(series, slope, s, variance, alpha, engine):
    lag_1 = np.nan_to_num(_autocorrelation(series, 1)[0])
    trend = mann_kendall(series[1:] - series[:-1] * lag_1, 1, False, engine)
    return trend.s, trend.variance


def _trend_free(series, slope, s, variance, alpha, engine):
    flat = _detrended(series, slope)
    lag_1 = np.nan_to_num(_autocorrelation(flat, 1)[0])
    white = flat[1:] - flat[:-1] * lag_1
    trend = mann_kendall(white + np.arange(1, len(white) + 1)[:, None] * slope, 1, False, engine)
    return trend.s, trend.variance


def _yue_wang(series, slope, s, variance, alpha, engine):
    n = len(series)
    correlation = _autocorrelation(_detrended(series, slope), n - 1)
    weights = 1 - np.arange(1, n) / n
    return s, variance * (1 + 2 * (weights[:, None] * correlation).sum(axis=0))


def _hamed_rao(series, slope, s, variance, alpha, engine):
    n = len(series)
    ranks = require("scipy.stats", "the method of Hamed and Rao").rankdata(_detrended(series, slope), axis=0)
    correlation = np.nan_to_num(_autocorrelation(ranks, n - 1))
    bound = _normal_quantile(1 - alpha / 2) / np.sqrt(n)
    correlation[np.abs(correlation) <= bound] = 0.0
    lag = np.arange(1, n)
    weights = (n - lag) * (n - lag - 1) * (n - lag - 2)
    return s, variance * (1 + 2 / (n * (n - 1) * (n - 2)) * (weights[:, None] * correlation).sum(axis=0))


_CORRECTIONS = {PREWHITENED: _prewhitened, TREND_FREE: _trend_free, YUE_WANG: _yue_wang, HAMED_RAO: _hamed_rao}


def _normal_quantile(probability):
    return NormalDist().inv_cdf(probability)


def covariance_variance(values, period):
    """Variance of the seasonal S with the covariances of the seasons (Hirsch & Slack 1984), shape (series,).

    Missing values take the middle rank of their season. With K of season pairs written as products of signs, the sum
    over all pairs of seasons is the square of a sum over seasons, so no pair of seasons is visited.
    """
    steps, number = values.shape
    years = -(-steps // period)
    series = np.full((years * period, number), np.nan)
    series[:steps] = values
    series = series.reshape(years, period, number)
    valid = ~np.isnan(series)
    count = valid.sum(axis=0)
    ranks = np.zeros(series.shape)
    squares = np.zeros(number)
    for i in range(years):
        for j in range(i + 1, years):
            with np.errstate(invalid="ignore"):
                sign = (series[j] > series[i]).astype(np.int8) - (series[j] < series[i]).astype(np.int8)
            squares += sign.sum(axis=0, dtype=np.float64) ** 2
            ranks[j] += sign
            ranks[i] -= sign
    ranks = np.where(valid, (count + 1 + ranks) / 2, (count + 1) / 2)
    middle = (count + 1).sum(axis=0).astype(np.float64)
    return (squares + 4 * (ranks.sum(axis=1) ** 2).sum(axis=0) - years * middle**2) / 3


def least_p(years, period, method):
    """Return a p that no series of so many whole years falls below by ORIGINAL or HIRSCH_SLACK.

    Of the plain test it is that of a series that rises all the time in all seasons. Hirsch and Slack's variance is a
    third of the squares of d, the sums over the seasons of the signs of each pair of years, and of those of its sums by
    year; S is the sum of d, so Z² has a largest value whatever d is.
    """
    if method == ORIGINAL:
        rising = np.repeat(np.arange(years, dtype=np.float64), period)[:, None]
        return float(mann_kendall(rising, period, False).p[0])
    first, second = np.triu_indices(years, 1)
    by_year = (np.arange(years)[:, None] == second).astype(float) - (np.arange(years)[:, None] == first)
    pairs = np.ones(len(first))
    most = pairs @ np.linalg.solve((np.eye(len(first)) + by_year.T @ by_year) / 3, pairs)
    return float(2 * NormalDist().cdf(-np.sqrt(most)))


def slope_limits(values, variance, period=1, alpha=0.05):
    """Confidence limits of the Sen slope (Gilbert 1987), two arrays (series,), by the ranks scipy's theilslopes uses.

    ``variance`` is that of S. NaN where the rank falls outside the slopes.
    """
    steps, number = values.shape
    rows = sum(steps - gap * period for gap in range(1, (steps - 1) // period + 1))
    low, high = np.full(number, np.nan), np.full(number, np.nan)
    for part in _parts(number, 16 * rows):
        low[part], high[part] = _limits(np.asarray(values[:, part], dtype=np.float64), variance[part], period, alpha)
    return low, high


def _limits(values, variance, period, alpha):
    steps, number = values.shape
    slopes = [(values[gap * period:] - values[:-gap * period]) / gap for gap in range(1, (steps - 1) // period + 1)]
    slopes = np.sort(np.concatenate(slopes), axis=0)
    pairs = (~np.isnan(slopes)).sum(axis=0)
    half = _normal_quantile(1 - alpha / 2) * np.sqrt(np.maximum(variance, 0))
    upper = np.minimum(np.round((pairs + half) / 2), pairs - 1).astype(int)
    lower = np.maximum(np.round((pairs - half) / 2) - 1, 0).astype(int)
    column = np.arange(number)
    safe = pairs > 0
    low, high = np.full(number, np.nan), np.full(number, np.nan)
    low[safe], high[safe] = slopes[lower[safe], column[safe]], slopes[upper[safe], column[safe]]
    return low, high


def step_change(values, slope, first_after, period=1):
    """Shift at a given step: (difference of medians after minus before, rank-sum Z), both (series,).

    The Sen trend is taken out first. ``first_after`` is the first step after the change, such as the first of 2003,
    when Permafrost_CCI changes its forcing. NaN with fewer than 3 values on a side. Values that differ by less than
    ROUNDING of the range of their series are ties: those that give the Sen slope are alike once it is taken out, and
    which of them is larger would hang on the last digit.
    """
    shift, z = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    for part in _parts(values.shape[1], 64 * len(values)):
        shift[part], z[part] = _step(np.asarray(values[:, part], dtype=np.float64), slope[part], first_after, period)
    return shift, z


def _step(values, slope, first_after, period):
    rest = values - (np.arange(len(values)) / period)[:, None] * slope
    before, after = rest[:first_after], rest[first_after:]
    n, m = (~np.isnan(before)).sum(axis=0), (~np.isnan(after)).sum(axis=0)
    tie = ROUNDING * (np.fmax.reduce(values) - np.fmin.reduce(values))
    score = np.zeros(values.shape[1])
    with np.errstate(invalid="ignore"):
        for row in after:
            apart = row - before
            score += (apart > tie).sum(axis=0) - (apart < -tie).astype(int).sum(axis=0)
    usable = (n >= 3) & (m >= 3)
    shift, z = np.full(n.shape, np.nan), np.full(n.shape, np.nan)
    some = np.flatnonzero(usable)
    if some.size:
        shift[some] = np.nanmedian(after[:, some], axis=0) - np.nanmedian(before[:, some], axis=0)
        z[some] = score[some] / np.sqrt(n[some] * m[some] * (n[some] + m[some] + 1) / 3.0)
    return shift, z
