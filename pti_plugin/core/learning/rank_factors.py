"""Rank factors: what the probability of each rank is multiplied with before a run votes, so that areas come out right.

A vote gives a cell whole to its most probable rank. Ranks that are easily told apart then get more area than their
probabilities add up to, and ranks that are hard to tell get less, however right the probabilities are. One factor a
rank, found on the out-of-bag probabilities, balances what a rank wins and loses, so that the area classified as each
rank is the area the rank has. Every point counts for the area of its rank divided by the number of its points.
"""

import numpy as np

#: A point is shared among its ranks by this power of their probabilities: near to giving it whole to the first, but
#: without depending on the few points whose first two ranks are all but equal.
SHARPNESS = 4.0
#: factors stay within 1 / LIMIT and LIMIT
LIMIT = 10.0
_STEPS, _CLOSE_ENOUGH, _DECIMALS = 2000, 1e-7, 4


def fit_factors(probability, labels, areas):
    """Return the rank factors float64 (classes,), their mean logarithm weighted by area 0, to four decimals.

    ``probability``: out-of-bag probabilities (n, classes), ``labels``: true class places (n,), ``areas``: of the
    classes (classes,) in any unit. They minimise the convex sum over points of
    weight · log Σ (factor · probability)^SHARPNESS / SHARPNESS less Σ area · log factor, whose slope is the difference
    between classified and true areas. Classes without any point keep a factor of 1.
    """
    counts = np.bincount(labels, minlength=len(areas))
    there = counts > 0
    target = np.where(there, areas, 0.0) / np.sum(np.where(there, areas, 0.0))
    weights = (target / np.maximum(counts, 1))[labels]
    logs = np.log(np.maximum(np.asarray(probability, dtype=np.float64), np.finfo(np.float64).tiny))
    logs, goal = logs[:, there], target[there]
    found, most = np.zeros(len(goal)), np.log(LIMIT)
    for _ in range(_STEPS):
        terms = SHARPNESS * (logs + found)
        terms = np.exp(terms - terms.max(axis=1, keepdims=True))
        shares = (weights[:, None] * (terms / terms.sum(axis=1, keepdims=True))).sum(axis=0)
        gap = np.log(goal / np.maximum(shares, np.finfo(np.float64).tiny))
        if np.abs(gap).max() < _CLOSE_ENOUGH:
            break
        found = found + gap / SHARPNESS
        found = np.clip(found - (goal * found).sum(), -most, most)
    factors = np.ones(len(areas))
    factors[there] = np.exp(found - (goal * found).sum())
    return np.round(factors, _DECIMALS)
