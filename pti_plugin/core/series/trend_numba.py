"""Compiled kernel of the trend engine: Mann-Kendall score, variance and Sen slope of many cells.

Imported lazily, because it imports numba.

One cell after the other, turned so that its series is contiguous: for a gap of so many years all seasons are one
difference of shifted series, which becomes vector code. The median of the pairwise slopes is exact. Slopes are kept as
integer keys in the order of the numbers: integers are counted and minimised in vector code, floating point minima are
not. Counters are cut back to 32 bits at every step for the same reason.
"""

import math

import numpy as np

from ..common.compiled import compiled

#: cells turned at once
_LANES = 64
#: counting passes between two attempts to finish
_PASSES = 6


@compiled
def _count(keys, rows, pivot):
    """Return how many of the first ``rows`` keys are <= ``pivot``."""
    count = np.int32(0)
    for i in range(rows):
        count = np.int32(count + np.int32(keys[i] <= pivot))
    return count


@compiled
def _next_above(keys, rows, low, largest):
    """Return the smallest of the first ``rows`` keys that is > ``low``, or ``largest``."""
    above = largest
    for i in range(rows):
        key = keys[i] if keys[i] > low else largest
        above = key if key < above else above
    return above


@compiled
def _largest(keys, rows, infinite, smallest):
    """Return the largest of the first ``rows`` keys that is < ``infinite``."""
    best = smallest
    for i in range(rows):
        key = keys[i] if keys[i] < infinite else smallest
        best = key if key > best else best
    return best


@compiled
def _median(keys, one_key, one_slope, rows, number, negative, positive):
    """Return the median slope of the ``number`` finite ones among ``rows`` keys.

    ``negative`` and ``positive`` of them have that sign. ``one_key`` and ``one_slope`` share one number's memory and
    translate between keys and slopes.
    """
    kind, signed = one_slope.dtype.type, one_key.dtype.type
    middle = (number - 1) // 2
    second = number // 2
    if negative <= middle and second < number - positive:
        return 0.0
    mask = signed(np.iinfo(keys.dtype).max)
    one_slope[0] = kind(np.inf)
    infinite = one_key[0]
    # key of zero is 0: the signs of the series bracket the median at once
    if middle < negative:
        low_key, below = _next_above(keys, rows, signed(-mask), mask), 0
        high_key, upto = signed(0), number - positive
        low_key = signed(low_key - 1)
    else:
        low_key, below = signed(0), number - positive
        high_key, upto = _largest(keys, rows, infinite, signed(-mask)), number
        if below > middle:
            low_key, below = signed(-1), negative
    while True:
        for step in range(_PASSES):
            if upto - below <= 3 or below == middle:
                break
            one_key[0] = low_key ^ mask if low_key < 0 else low_key
            low = np.float64(one_slope[0])
            one_key[0] = high_key ^ mask if high_key < 0 else high_key
            high = np.float64(one_slope[0])
            share = (middle + 0.5 - below) / (upto - below) if step % 3 < 2 else 0.5
            one_slope[0] = kind(low + (high - low) * share)
            pivot = one_key[0]
            if pivot < 0:
                pivot = signed(pivot ^ mask)
            if pivot <= low_key or pivot >= high_key:
                pivot = signed(low_key + (high_key - low_key) // 2)
                if pivot <= low_key:
                    break
            count = _count(keys, rows, pivot)
            if count <= middle:
                low_key, below = pivot, count
            else:
                high_key, upto = pivot, count
        first = _next_above(keys, rows, low_key, mask)
        count = _count(keys, rows, first)
        if count > middle:
            break
        low_key, below = first, count
    one_key[0] = first ^ mask if first < 0 else first
    median = np.float64(one_slope[0])
    if count > second:
        return median
    following = _next_above(keys, rows, first, mask)
    one_key[0] = following ^ mask if following < 0 else following
    return 0.5 * (median + np.float64(one_slope[0]))


@compiled
def _annual_scores(values, start, score, ties, triples):
    """Fill S and the tie sums of ``_LANES`` cells from ``start`` of a series with one season, cells as lanes."""
    steps, cells = values.shape
    used = min(_LANES, cells - start)
    tile = np.empty((steps, _LANES), values.dtype)
    equal = np.empty(_LANES, np.int32)
    for step in range(steps):
        for lane in range(used):
            tile[step, lane] = values[step, start + lane]
        for lane in range(used, _LANES):
            tile[step, lane] = values.dtype.type(np.nan)
    for lane in range(_LANES):
        score[lane] = ties[lane] = triples[lane] = 0
    for i in range(steps):
        for lane in range(_LANES):
            equal[lane] = 0
        for j in range(i + 1, steps):
            for lane in range(_LANES):
                a, b = tile[i, lane], tile[j, lane]
                score[lane] += np.int32(b > a) - np.int32(b < a)
                equal[lane] += np.int32(b == a)
        for lane in range(_LANES):
            ties[lane] += equal[lane]
            triples[lane] += equal[lane] * (equal[lane] - 1) // 2


@compiled
def trend(values, first, last, keys, one_key, one_slope, period, with_slope, s, variance, count, pairs, slope):
    """Fill the statistics of the columns ``first`` to ``last`` (excluded) of ``values``, shape (steps, cells).

    ``values``: float32 or float64, NaN = gap, the first step season 0 of ``period``; ``first``: a multiple of
    ``_LANES``. ``keys``: work space, signed integers as wide as the values, one for every pair of a cell; ``one_key``
    and ``one_slope``: one number seen as key and as value. ``s``, ``variance``, ``pairs`` (valid pairs within seasons)
    and ``slope`` (per year) are float64 (cells,), ``count`` int32.
    """
    steps = values.shape[0]
    kind, signed = values.dtype.type, keys.dtype.type
    mask = signed(np.iinfo(keys.dtype).max)
    years = (steps + period - 1) // period
    tile = np.empty((_LANES, steps), values.dtype)
    slopes = keys.view(values.dtype)
    equal, number = np.empty(steps, np.int32), np.empty(period, np.int32)
    scores, ties_of, triples_of = np.empty(_LANES, np.int32), np.empty(_LANES, np.int32), np.empty(_LANES, np.int32)
    for start in range(first, last, _LANES):
        used = min(_LANES, last - start)
        for step in range(steps):
            for lane in range(used):
                tile[lane, step] = values[step, start + lane]
        if period == 1:
            # the differences of one season are too short for vector code along the series
            _annual_scores(values, start, scores, ties_of, triples_of)
        for lane in range(used):
            series = tile[lane]
            for step in range(steps):
                equal[step] = 0
            more, less = np.int32(0), np.int32(0)
            row = 0
            for gap in range(1, years):
                shift = gap * period
                share = kind(1.0 / gap)
                later = series[shift:]
                length = later.size
                if with_slope:
                    out = slopes[row:row + length]
                    for i in range(length):
                        difference = later[i] - series[i]
                        # double precision is divided, so that slopes are the reference's to the last digit
                        difference = difference / kind(gap) if values.itemsize == 8 else difference * share
                        # a sum with zero makes -0 into 0, whose key is 0
                        out[i] = difference + kind(0.0) if difference == difference else kind(np.inf)
                    row += length
                if period > 1:
                    for i in range(length):
                        a, b = series[i], later[i]
                        more = np.int32(more + np.int32(b > a))
                        less = np.int32(less + np.int32(b < a))
                        equal[i] += np.int32(b == a)
            ties, triples = 0, 0
            if period == 1:
                ties, triples = np.int64(ties_of[lane]), np.int64(triples_of[lane])
            else:
                for step in range(steps):
                    ties += equal[step]
                    triples += equal[step] * (equal[step] - 1) // 2
            for season in range(period):
                number[season] = 0
            for year in range(0, steps, period):
                for season in range(min(period, steps - year)):
                    number[season] += np.int32(series[year + season] == series[year + season])
            base, n_all, n_pairs = 0.0, 0, 0
            for season in range(period):
                n = np.float64(number[season])
                base += n * (n - 1.0) * (2.0 * n + 5.0)
                n_all += number[season]
                n_pairs += number[season] * (number[season] - 1) // 2
            cell = start + lane
            if period == 1:
                more = np.int32((n_pairs - ties + scores[lane]) // 2)
                less = np.int32(more - scores[lane])
            s[cell] = more - less
            variance[cell] = (base - 12.0 * triples - 18.0 * ties) / 18.0
            count[cell] = n_all
            pairs[cell] = n_pairs
            if with_slope:
                if n_pairs == 0:
                    slope[cell] = np.nan
                    continue
                for i in range(row):
                    key = keys[i]
                    keys[i] = key ^ mask if key < 0 else key
                slope[cell] = _median(keys, one_key, one_slope, row, n_pairs, np.int64(less), np.int64(more))


@compiled
def significance(s, variance, z, p):
    """Fill Z with continuity correction and the two-sided p = erfc(|Z| / sqrt 2).

    Z 0 and p 1 where S is 0; NaN where S is not 0 and its variance is not positive.
    """
    for cell in range(s.size):
        score = s[cell]
        if score == 0.0:
            z[cell], p[cell] = 0.0, 1.0
        elif not variance[cell] > 0.0:
            z[cell] = p[cell] = np.nan
        else:
            z[cell] = (score - 1.0 if score > 0 else score + 1.0) / math.sqrt(variance[cell])
            p[cell] = math.erfc(abs(z[cell]) * 0.7071067811865476)


@compiled
def lag_1(values, slope, period, result):
    """Fill the lag-1 autocorrelation of every column of ``values`` after its Sen trend and season means.

    Cells are lanes, so that all sums are vector code.
    """
    steps, cells = values.shape
    rest = np.empty((steps, _LANES), np.float64)
    mean, number = np.empty((period, _LANES), np.float64), np.empty((period, _LANES), np.float64)
    total, known = np.empty(_LANES, np.float64), np.empty(_LANES, np.float64)
    product, both = np.empty(_LANES, np.float64), np.empty(_LANES, np.float64)
    for start in range(0, cells, _LANES):
        used = min(_LANES, cells - start)
        mean[:] = 0.0
        number[:] = 0.0
        total[:] = 0.0
        known[:] = 0.0
        product[:] = 0.0
        both[:] = 0.0
        for step in range(steps):
            season, years = step % period, step / period
            for lane in range(used):
                value = values[step, start + lane] - years * slope[start + lane]
                rest[step, lane] = value
                mean[season, lane] += value if value == value else 0.0
                number[season, lane] += 1.0 if value == value else 0.0
        for season in range(period):
            for lane in range(used):
                mean[season, lane] = mean[season, lane] / number[season, lane] if number[season, lane] > 0.0 else 0.0
        for step in range(steps):
            season = step % period
            for lane in range(used):
                value = rest[step, lane] - mean[season, lane]
                rest[step, lane] = value
                total[lane] += value * value if value == value else 0.0
                known[lane] += 1.0 if value == value else 0.0
        for step in range(1, steps):
            for lane in range(used):
                value = rest[step, lane] * rest[step - 1, lane]
                product[lane] += value if value == value else 0.0
                both[lane] += 1.0 if value == value else 0.0
        for lane in range(used):
            if both[lane] >= 3.0 and total[lane] / known[lane] > 1e-300:
                result[start + lane] = product[lane] / both[lane] / (total[lane] / known[lane])
            else:
                result[start + lane] = np.nan
