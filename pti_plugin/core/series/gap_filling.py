"""Filling gaps of a series: whole layers by the same season in other years, polar night by its neighbours in time.

Method, section 9: a layer gets, cell by cell, the mean of the ten nearest years that have a value; a night the values
between the last one before and the first one after it.
"""

import numpy as np

#: years whose mean stands in for a missing layer
FILL_YEARS = 10
LINEAR, NO_NIGHT = NIGHTS = ("linear", "none")
#: months of the longest polar night that is filled
LONGEST_NIGHT = 6


def nearest_first(step, steps):
    """Return ``steps`` of the same season in the order they are asked: the nearest first, of two the earlier."""
    return sorted(steps, key=lambda other: (abs(other - step), other))


def mean_of_first(layers, shape, most=FILL_YEARS):
    """Return the mean of the first ``most`` valid values of every cell, float64, NaN where there is none.

    ``layers``: iterable of arrays of ``shape``; it is not followed further than the cells need.
    """
    total, number = np.zeros(shape), np.zeros(shape, dtype=np.int16)
    for layer in layers:
        take = ~np.isnan(layer) & (number < most)
        total[take] += layer[take]
        number[take] += 1
        if (number >= most).all():
            break
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def fill_steps(series, steps, period):
    """Fill whole ``steps`` of ``series`` (steps, cells) in place; steps that are filled give nothing to others."""
    gaps = set(steps)
    for step in steps:
        donors = nearest_first(step, (other for other in range(step % period, len(series), period)
                                      if other not in gaps))
        series[step] = mean_of_first((series[other] for other in donors), series.shape[1])


def longest_night(steps):
    """Return LONGEST_NIGHT in steps of a series with so many ``steps`` a year."""
    return max(1, round(LONGEST_NIGHT * steps / 12))


def fill_nights(year, there, most):
    """Fill gaps of one ``year`` (steps, cells) in place, linear in time between the values before and after.

    Both must lie in the year, with at most ``most`` steps between them. Steps that are not ``there`` (booleans, one a
    step: layers that do not exist) are left as they are. Returns how many values of every cell were filled, int64.
    """
    known = ~np.isnan(year)
    columns = np.flatnonzero(~known[there].all(axis=0) & known.any(axis=0))
    filled = np.zeros(year.shape[1], dtype=np.int64)
    if not columns.size:
        return filled
    part, known = year[:, columns], known[:, columns]
    step = np.arange(len(year))[:, None]
    before = np.maximum.accumulate(np.where(known, step, -1), axis=0)
    after = np.minimum.accumulate(np.where(known, step, len(year))[::-1], axis=0)[::-1]
    gap = ~known & there[:, None] & (before >= 0) & (after < len(year)) & (after - before <= most + 1)
    row, column = np.nonzero(gap)
    first, last = before[row, column], after[row, column]
    low, high = part[first, column].astype(np.float64), part[last, column].astype(np.float64)
    year[row, columns[column]] = low + (high - low) * ((row - first) / (last - first))
    filled[columns] = gap.sum(axis=0)
    return filled
