"""Mann-Kendall tests and Sen slopes of many series at once, in two engines with the same results.

The compiled engine (trend_numba) is used where numba is installed, plain NumPy elsewhere. The statistics are those of
pymannkendall: gaps drop out of S and var(S) and are respected by the slope, ties reduce var(S), Z has a continuity
correction. References: Mann 1945, Kendall 1975, Sen 1968, Hirsch et al. 1982, Hirsch & Slack 1984, Hamed & Rao 1998,
Yue & Wang 2002 and 2004; method, sections 2 and 8.

Where pymannkendall divides by zero or returns NaN from a negative variance, p and Z here are NaN: not testable. Its p
is 2 (1 − Φ); here it is erfc(|Z| / √2), the same number without cancellation in the far tail.
"""

import importlib
import math
from dataclasses import dataclass

import numpy as np

from ..common.cancellation import check_stopped

#: series handled at once by the NumPy engine: their pairwise slopes stay near the processor
_SLOPES_AT_ONCE = 1 << 18
#: slopes that the compiled engine computes before it asks whether to stop
_SLOPES_IN_A_PART = 1 << 24
#: slopes of a series that bracket its median in the NumPy engine
_SAMPLE = 1024

NUMBA, NUMPY = "numba", "numpy"


@dataclass
class Trend:
    """Results for n series, each an array (n,).

    ``slope`` a year (a step where the period is 1), ``s``, ``variance`` of S, ``z``, ``p``, ``count`` of valid values,
    ``pairs`` of valid values within seasons.
    """

    slope: np.ndarray
    s: np.ndarray
    variance: np.ndarray
    z: np.ndarray
    p: np.ndarray
    count: np.ndarray
    pairs: np.ndarray

    @property
    def tau(self):
        """Kendall's tau: S over the number of pairs, NaN where there is none."""
        return np.divide(self.s, self.pairs, out=np.full(self.s.shape, np.nan), where=self.pairs > 0)


def engines():
    """Return the names of the engines that can be used here, the preferred one first."""
    return (NUMBA, NUMPY) if _compiled() is not None else (NUMPY,)


def _compiled():
    try:
        return importlib.import_module(".trend_numba", __package__)
    except ImportError:
        return None


def mann_kendall(values, period=1, with_slope=True, engine=None):
    """Test every column of ``values``, shape (steps, series), NaN = gap, for a monotonic trend.

    ``values`` are float32 or float64 (others are converted to float64); float32 gives slopes to 1e-6. ``period`` is the
    number of seasons a year, the first step being season 0; 1 gives the original test. Series with fewer than 2
    values have NaN p and slope; a constant series has Z 0, p 1, slope 0. Returns a Trend.
    """
    values = np.ascontiguousarray(values, dtype=None if values.dtype in (np.float32, np.float64) else np.float64)
    number = values.shape[1]
    s, variance, pairs, slope = (np.zeros(number) for _ in range(4))
    count = np.zeros(number, dtype=np.int32)
    engine = engine or engines()[0]
    if engine == NUMBA:
        _with_numba(values, period, with_slope, s, variance, count, pairs, slope)
    else:
        _with_numpy(values, period, with_slope, s, variance, count, pairs, slope)
    if not with_slope:
        slope[:] = np.nan
    z, p = significance(s, variance, engine)
    p[pairs == 0] = np.nan
    return Trend(slope, s, variance, z, p, count, pairs)


def significance(s, variance, engine=None):
    """Return (Z, p) of scores and their variances.

    Z 0 and p 1 where S is 0; NaN where S is not 0 but its variance is not positive, as corrections can make it.
    """
    z, p = np.zeros(s.shape), np.ones(s.shape)
    if (engine or engines()[0]) == NUMBA:
        _compiled().significance(s, variance, z, p)
        return z, p
    z[s != 0] = p[s != 0] = np.nan
    tested = (s != 0) & (variance > 0)
    z[tested] = (s[tested] - np.sign(s[tested])) / np.sqrt(variance[tested])
    p[tested] = [math.erfc(abs(value) * 0.7071067811865476) for value in z[tested]]
    return z, p


def _with_numba(values, period, with_slope, s, variance, count, pairs, slope):
    steps = values.shape[0]
    years = -(-steps // period)
    rows = sum(steps - gap * period for gap in range(1, years))
    integers = np.int32 if values.dtype == np.float32 else np.int64
    keys, one = np.empty(max(rows, 1), dtype=integers), np.empty(1, dtype=integers)
    # a run can be stopped between the parts; each is whole tiles of the kernel
    number, part = values.shape[1], max(1024, _SLOPES_IN_A_PART // max(rows, 1) // 1024 * 1024)
    for first in range(0, number, part):
        check_stopped()
        _compiled().trend(values, first, min(first + part, number), keys, one, one.view(values.dtype), period,
                          with_slope, s, variance, count, pairs, slope)


def _with_numpy(values, period, with_slope, s, variance, count, pairs, slope):
    steps, number = values.shape
    years = -(-steps // period)
    rows = max(1, sum(steps - gap * period for gap in range(1, years)))
    chunk = max(16, _SLOPES_AT_ONCE // rows)
    for start in range(0, number, chunk):
        check_stopped()
        part = slice(start, min(start + chunk, number))
        series = np.full((part.stop - start, years * period), np.nan, dtype=values.dtype)
        series[:, :steps] = values[:, part].T
        series = series.reshape(len(series), years, period)
        _chunk(series, with_slope, *(array[part] for array in (s, variance, count, pairs, slope)))


def _chunk(series, with_slope, s, variance, count, pairs, slope):
    """Statistics of series of shape (series, years, seasons)."""
    number, years, period = series.shape
    valid = (~np.isnan(series)).sum(axis=1).astype(np.float64)
    count[:] = valid.sum(axis=1)
    pairs[:] = (valid * (valid - 1) / 2).sum(axis=1)
    flat = series.reshape(number, -1)
    slopes = np.empty((number, (years - 1) * flat.shape[1] // 2), dtype=series.dtype)
    gaps, start = [], 0
    for gap in range(1, years):
        gaps.append(slice(start, start + (years - gap) * period))
        start = gaps[-1].stop
        np.subtract(flat[:, gap * period:], flat[:, :-gap * period], out=slopes[:, gaps[-1]])
    # the sum of bytes over rows is quicker than counting truth values
    more = np.add.reduce((slopes > 0).view(np.int8), axis=1, dtype=np.int32)
    less = np.add.reduce((slopes < 0).view(np.int8), axis=1, dtype=np.int32)
    ties, triples = pairs - more - less, np.zeros(number)
    tied = np.flatnonzero(ties)
    if tied.size:
        zero = (slopes if tied.size == number else slopes[tied]) == 0
        equal = np.zeros((tied.size, flat.shape[1]), dtype=np.int32)
        for part in gaps:
            equal[:, :part.stop - part.start] += zero[:, part]
        triples[tied] = (equal * (equal - 1) // 2).sum(axis=1)
    base = (valid * (valid - 1) * (2 * valid + 5)).sum(axis=1)
    s[:] = more - less
    variance[:] = (base - 12 * triples - 18 * ties) / 18
    if with_slope:
        for gap, part in enumerate(gaps, start=1):
            if slopes.dtype == np.float64:
                # divided, so that slopes are the reference's to the last digit
                slopes[:, part] /= gap
            else:
                slopes[:, part] *= np.float32(1.0 / gap)
        slope[:] = _medians(slopes, pairs.astype(np.int64))


def _medians(slopes, number):
    """Median of each row of ``slopes``, of which ``number`` are not NaN; NaN sorts last.

    Of long rows, a sample brackets the median and only what lies inside is ordered.
    """
    rows, total = slopes.shape
    if total < 8 * _SAMPLE:
        return _ordered_medians(slopes, number)
    result = np.full(rows, np.nan)
    sample = np.sort(slopes[:, ::total // _SAMPLE], axis=1)
    known = (~np.isnan(sample)).sum(axis=1)
    # three standard deviations of a sample's rank
    margin = (1.5 * np.sqrt(known)).astype(np.int64) + 1
    row = np.arange(rows)
    lowest = sample[row, np.maximum(known // 2 - margin, 0)]
    highest = sample[row, np.minimum(known // 2 + margin, np.maximum(known - 1, 0))]
    under = slopes < lowest[:, None]
    inside = (slopes <= highest[:, None]) ^ under
    below = np.add.reduce(under.view(np.int8), axis=1, dtype=np.int32)
    low, high = (number - 1) // 2 - below, number // 2 - below
    missed = []
    for i in range(rows):
        part = slopes[i][inside[i]]
        if low[i] < 0 or high[i] >= part.size:
            missed.append(i)
            continue
        part.sort()
        result[i] = 0.5 * (np.float64(part[low[i]]) + part[high[i]])
    if missed:
        result[missed] = _ordered_medians(slopes[missed], number[missed])
    return result


def _ordered_medians(slopes, number):
    result = np.full(len(slopes), np.nan)
    if slopes.dtype == np.float32:
        # NumPy sorts single precision with vector code, so this is quicker than a partition
        some = np.flatnonzero(number)
        n = number[some]
        slopes = np.sort(slopes, axis=1)
        result[some] = 0.5 * (slopes[some, (n - 1) // 2].astype(np.float64) + slopes[some, n // 2])
        return result
    order = np.argsort(number, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        n = int(number[rows[0]])
        if n == 0:
            continue
        low, high = (n - 1) // 2, n // 2
        part = slopes if len(rows) == len(slopes) else slopes[rows]
        part = np.partition(part, (low, high) if low != high else low, axis=1)
        result[rows] = 0.5 * (part[:, low] + part[:, high])
    return result


def lag_1(values, slope, period=1, engine=None):
    """Lag-1 autocorrelation of every column of ``values`` (steps, series) after its Sen trend and season means.

    Neighbouring steps of which one is a gap do not take part; NaN with fewer than 3 such pairs or no variation.
    """
    if (engine or engines()[0]) == NUMBA:
        result = np.empty(values.shape[1])
        _compiled().lag_1(values, np.asarray(slope, dtype=np.float64), period, result)
        return result
    values = np.asarray(values, dtype=np.float64)
    steps = len(values)
    rest = values - (np.arange(steps) / period)[:, None] * slope
    for season in range(min(period, steps)):
        part = rest[season::period]
        known = ~np.isnan(part)
        number = known.sum(axis=0)
        part -= np.where(number > 0, np.where(known, part, 0).sum(axis=0) / np.maximum(number, 1), 0)
    known = ~np.isnan(rest)
    rest = np.where(known, rest, 0)
    both = (known[1:] & known[:-1]).sum(axis=0)
    total = (rest * rest).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    product = (rest[1:] * rest[:-1]).sum(axis=0) / np.maximum(both, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((both >= 3) & (total > 1e-300), product / total, np.nan)
