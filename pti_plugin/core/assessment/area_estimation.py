"""Accuracy and area estimated from a probability sample of reference data, with standard errors.

Every estimate is the mean of a value that a sampled unit has by its classified and its reference class, taken stratum
by stratum and weighted with the strata's sizes, or a ratio of two such means. With the map classes as strata these are
the estimators of Olofsson et al. (2014, Remote Sensing of Environment 148, 42–57, equations 1 to 11), with other
strata those of Stehman (2014, International Journal of Remote Sensing 35, 4923–4939), with a single stratum those of
a simple random sample. Variances of ratios are those of their linearised values, as in both papers. The finite
population correction is left out: a map has far more cells than a sample, and without it intervals are never too
narrow.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError

#: half the width of a 95 % interval in standard errors, as both papers round it
Z_95 = 1.96


@dataclass(frozen=True)
class Estimate:
    """A ``value`` with its standard ``error`` (NaN where it cannot be computed) from ``n`` sampled units.

    ``least`` and ``most`` are the bounds of what there can be: 0 and 1 for shares, the whole size for areas.
    """

    value: float
    error: float
    n: int
    least: float = 0.0
    most: float = 1.0

    @property
    def half_width(self):
        """Half the width of the 95 % interval."""
        return Z_95 * self.error

    @property
    def interval(self):
        """The 95 % interval (low, high) within what is possible; None where the sample shows no spread."""
        if not math.isfinite(self.error) or self.error <= 0:
            return None
        return max(self.value - self.half_width, self.least), min(self.value + self.half_width, self.most)


@dataclass(frozen=True)
class Estimates:
    """What a sample says of the map: shares of the size of the whole population, and areas in the unit of the sizes.

    ``users``, ``producers``, ``f1`` and ``area`` hold an Estimate a class; ``shares`` (classes, classes) is the
    estimated confusion matrix as shares of the whole, rows classified. ``single`` are the places of the strata with
    one sampled unit, whose variance cannot be computed.
    """

    overall: Estimate
    kappa: Estimate
    users: tuple
    producers: tuple
    f1: tuple
    area: tuple
    shares: np.ndarray
    total: float
    single: tuple


class StratifiedSample:
    """Units drawn at random within strata, counted by classified and reference class.

    ``counts``: (strata, classes, classes), rows classified; ``sizes``: (strata,) area or number of units of each
    stratum, in any unit; ``by_class``: the strata are the classified classes in the same order. ``shares`` (classes,
    classes) is the confusion matrix they estimate, as shares of the whole.
    """

    def __init__(self, counts, sizes, by_class=False):
        counts = np.asarray(counts, dtype=float)
        self.n = counts.sum(axis=(1, 2))
        self.total = float(np.sum(sizes))
        self._weights = np.asarray(sizes, dtype=float) / self.total
        self._by_class = by_class
        #: most cells of the strata's matrices are empty; these are the others: stratum, cell, units
        self._stratum, self._cell = np.nonzero(counts.reshape(len(counts), -1))
        self._units = counts.reshape(len(counts), -1)[self._stratum, self._cell]
        size = counts.shape[1]
        weighted = self._units * self._weights[self._stratum] / self.n[self._stratum]
        self.shares = np.bincount(self._cell, weighted, size * size).reshape(size, size)

    def mean(self, values):
        """Return the stratified mean of ``values`` (classes, classes), what a unit counts for by its two classes."""
        return float((self.shares * values).sum())

    def error(self, values):
        """Return the standard error of that mean; NaN where a stratum that matters has a single unit."""
        possible = values if self._by_class else values.reshape(1, -1)
        matters = (self._weights > 0) & (possible.min(axis=1) < possible.max(axis=1))
        if (self.n[matters] < 2).any():
            return math.nan
        of_units, drawn = values.ravel()[self._cell], np.where(self.n > 0, self.n, 1)
        centre = np.bincount(self._stratum, self._units * of_units, len(self.n)) / drawn
        squares = np.bincount(self._stratum, self._units * (of_units - centre[self._stratum]) ** 2, len(self.n))
        spread = squares[matters] / (self.n[matters] - 1) / self.n[matters]
        return math.sqrt((self._weights[matters] ** 2 * spread).sum())

    def ratio(self, part, whole, n):
        """Return the Estimate of the ratio of the means of two arrays of values, NaN where the second is 0."""
        below = self.mean(whole)
        if not below > 0:
            return Estimate(math.nan, math.nan, int(n))
        value = self.mean(part) / below
        return Estimate(value, self.error(part - value * whole) / below, int(n))


def estimate(counts, sizes, names, by_class=False):
    """Return the Estimates of a stratified sample; see StratifiedSample. ``names``: of the strata, for errors.

    Raises InputError where a stratum of some size has no sampled unit, or one without size has some.
    """
    counts, sizes = np.asarray(counts, dtype=float), np.asarray(sizes, dtype=float)
    _check(counts.sum(axis=(1, 2)), sizes, names)
    sample = StratifiedSample(counts, sizes, by_class)
    matrix = counts.sum(axis=0)
    classes = matrix.shape[0]
    right = np.eye(classes)
    rows, columns = matrix.sum(axis=1), matrix.sum(axis=0)
    users, producers, f1, area = [], [], [], []
    for k in range(classes):
        hit, classified, reference = (np.zeros((classes, classes)) for _ in range(3))
        hit[k, k] = classified[k] = reference[:, k] = 1.0
        users.append(sample.ratio(hit, classified, rows[k]))
        producers.append(sample.ratio(hit, reference, columns[k]))
        f1.append(sample.ratio(2 * hit, classified + reference, rows[k] + columns[k] - matrix[k, k]))
        area.append(Estimate(sample.total * sample.mean(reference), sample.total * sample.error(reference),
                             int(matrix.sum()), most=sample.total))
    return Estimates(
        overall=Estimate(sample.mean(right), sample.error(right), int(matrix.sum())),
        kappa=_kappa(sample, int(matrix.sum())), users=tuple(users), producers=tuple(producers),
        f1=tuple(f1), area=tuple(area), shares=sample.shares, total=sample.total,
        single=tuple(int(i) for i in np.flatnonzero((counts.sum(axis=(1, 2)) == 1) & (sizes > 0))))


def _check(n, sizes, names):
    total = sizes.sum()
    if not total > 0 or not np.isfinite(sizes).all() or (sizes < 0).any():
        raise InputError(f"The sizes of the strata are {', '.join(f'{size:g}' for size in sizes)}; they must be "
                         f"numbers of at least 0 with a sum above 0.")
    empty = [f"{name} ({100 * size / total:.3g} % of the whole)" for name, count, size in zip(names, n, sizes)
             if size and not count]
    if empty:
        raise InputError(f"No reference sample lies in {_listed(empty)}, so nothing is known of that part of the map "
                         f"and no variance can be computed. Add samples there (two at least), or merge it with "
                         f"another class or stratum.")
    absent = [f"{name} ({count:.0f})" for name, count, size in zip(names, n, sizes) if count and not size]
    if absent:
        raise InputError(f"There are samples in {_listed(absent)}, which by the areas given takes no room at all. "
                         f"Check the areas.")


def _listed(items):
    shown = ", ".join(items[:10])
    return shown + (f" and {len(items) - 10} more" if len(items) > 10 else "")


def _kappa(sample, n):
    """Return Cohen's kappa of the estimated matrix; its error is that of the values it changes by for each unit."""
    shares = sample.shares
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    agreed, chance = float(np.trace(shares)), float((rows * columns).sum())
    if not chance < 1 - 1e-12:
        return Estimate(math.nan, math.nan, n, least=-1.0)
    # by how much the agreement by chance grows with a unit classified i whose reference is j
    growth = columns[:, None] + rows[None, :]
    change = (np.eye(len(rows)) * (1 - chance) - (1 - agreed) * growth) / (1 - chance) ** 2
    return Estimate((agreed - chance) / (1 - chance), sample.error(change), n, least=-1.0)
