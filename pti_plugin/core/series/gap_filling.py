"""Filling whole layers that a series lacks: the mean of the same season in other years.

Method, section 9: the ten nearest years that have a value, cell by cell.
"""

import numpy as np

#: years whose mean stands in for a missing layer
FILL_YEARS = 10


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
