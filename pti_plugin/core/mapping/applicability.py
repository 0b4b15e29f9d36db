"""Area of applicability: how far a cell lies, in predictor space, from anything the model has seen.

Meyer & Pebesma (2021), as their package CAST computes it: predictors standardised by the training samples and weighted
by importance, the distance to the nearest sample over the mean distance among samples (dissimilarity index, DI), and
the upper whisker of the samples' own DI, across folds, as the threshold. Categories are dummy variables with the weight
of their predictor.

A missing predictor has no place. The distance from a cell that lacks some is taken over the predictors it has, to the
samples that have all of these, and grows by the root of the share of the variance that they hold of all (partial
distance: Dixon 1979, IEEE Transactions on Systems, Man, and Cybernetics 9, 617-621): what is missing is taken to differ
as much as what is known. A cell of which no predictor with a weight is known is infinitely far.
"""

import threading
from dataclasses import dataclass

import numpy as np

from ..assessment.accuracy_panel import row
from ..common import ranks
from ..common.cancellation import check_stopped
from ..common.errors import InputError
from ..common.packages import require
from ..rasters.grid import AREA_UNITS_PER_KM2
from ..rasters.tally import Tally

#: codes of the raster of the area of applicability, what they say and their colours
APPLICABILITY = {0: ("outside the area of applicability", "#d95f02"), 1: ("inside", "#b7e2d8")}
#: section of the metrics table, what its lines tell of, and all ranks together
SECTION = "area of applicability"
INSIDE, OUTSIDE, SHARE, THRESHOLD = "inside", "outside", "share outside", "threshold of the dissimilarity index"
ALL_RANKS = "all ranks"
#: samples up to which the mean distance is taken over all pairs; of more, this many are taken against all
MEAN_OVER = 10_000
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Encoding:
    """Turns predictors into coordinates: (column, category or None, centre, factor) of every dimension; ``variances``
    of the dimensions among the samples (dimensions,)."""

    dimensions: tuple
    variances: np.ndarray

    def coordinates(self, x):
        """Return float64 (n, dimensions) of predictors ``x`` (n, features), NaN where they are missing."""
        place = np.empty((len(x), len(self.dimensions)))
        for i, (column, category, centre, factor) in enumerate(self.dimensions):
            values = x[:, column]
            if category is not None:
                values = np.where(np.isnan(values), np.nan, values == category)
            place[:, i] = (values - centre) * factor
        return place


class Neighbours:
    """Finds the nearest of ``place`` (n, dimensions), NaN = missing, in partial distance. Safe for several threads."""

    def __init__(self, spatial, place, variances):
        self._spatial, self._place, self._variances = spatial, place, variances
        self._known = ~np.isnan(place)
        self._trees, self._lock = {}, threading.Lock()

    def nearest(self, place, number=1):
        """Return the distance from each of ``place`` to its nearest, or ``number``-th nearest; infinite without one."""
        known, distance = ~np.isnan(place), np.full(len(place), np.inf)
        complete = known.all(axis=1)
        self._fill(distance, place, np.flatnonzero(complete), np.ones(place.shape[1], dtype=bool), number)
        rest = np.flatnonzero(~complete)
        if len(rest):
            patterns, which = np.unique(known[rest], axis=0, return_inverse=True)
            for i, pattern in enumerate(patterns):
                self._fill(distance, place, rest[np.ravel(which) == i], pattern, number)
        return distance

    def _fill(self, distance, place, rows, pattern, number):
        if not len(rows) or not pattern.any():
            return
        tree = self._tree(pattern)
        if tree is not None:
            share = self._variances[pattern].sum() / self._variances.sum()
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                check_stopped()
                some = rows[start:start + _ROWS_AT_ONCE]
                found = tree.query(place[np.ix_(some, pattern)], k=[number])[0][:, 0]
                distance[some] = found if pattern.all() else found / np.sqrt(share)

    def _tree(self, pattern):
        """Return the k-d tree over the known dimensions of those that have them all, None where there are none."""
        key = pattern.tobytes()
        with self._lock:
            if key not in self._trees:
                usable = self._known[:, pattern].all(axis=1)
                self._trees[key] = self._spatial.cKDTree(self._place[np.ix_(usable, pattern)]) if usable.any() else None
            return self._trees[key]


@dataclass(frozen=True)
class Applicability:
    """What decides about new cells: ``encoding``, Neighbours among the samples, their mean distance, the threshold."""

    encoding: Encoding
    neighbours: Neighbours
    mean_distance: float
    threshold: float

    def dissimilarity(self, x):
        """Return the dissimilarity index of predictors ``x`` (n, features), float64, infinite without any known."""
        if not len(x):
            return np.empty(0)
        return self.neighbours.nearest(self.encoding.coordinates(x)) / self.mean_distance


def applicability(x, features, weights, folds, progress, seed=42):
    """Return the Applicability of a model trained on predictors ``x`` (n, features).

    ``features``: Features in the order of the columns; ``weights``: importance of each, ≥ 0; ``folds``: fold of every
    sample, neighbours in whose own fold do not count for the threshold. Raises InputError where there is nothing to
    tell samples apart, or no two samples have all predictors, DependencyError without scipy, Cancelled.
    """
    spatial = require("scipy.spatial", "the area of applicability")
    encoding = _encoding(np.asarray(x, dtype=np.float64), features, weights)
    place = encoding.coordinates(np.asarray(x, dtype=np.float64))
    complete = place[~np.isnan(place).any(axis=1)]
    if len(complete) < 2:
        raise InputError("The area of applicability cannot be told: fewer than two training samples have all "
                         "predictors.")
    mean = _mean_distance(spatial, complete, progress, seed)
    own = _nearest_in_other_folds(spatial, place, encoding.variances, np.asarray(folds), progress) / mean
    return Applicability(encoding, Neighbours(spatial, place, encoding.variances), mean,
                         upper_whisker(own[np.isfinite(own)]))


def _encoding(x, features, weights):
    dimensions = []
    for column, (feature, weight) in enumerate(zip(features, weights)):
        if weight <= 0:
            continue
        known = x[~np.isnan(x[:, column]), column]
        parts = [(None, known)] if not feature.categorical else \
            [(float(category), known == category) for category in np.unique(known)]
        for category, values in parts:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            # what is the same in all samples has no scale to measure others by
            if spread > 0:
                dimensions.append((column, category, float(np.mean(values)), float(weight) / spread))
    if not dimensions:
        raise InputError("The area of applicability cannot be told: no predictor with a weight differs between the "
                         "training samples.")
    # standardised, a dimension has the variance of its weight
    variances = np.array([weights[column] ** 2 for column, *_ in dimensions], dtype=np.float64)
    return Encoding(tuple(dimensions), variances)


def _mean_distance(spatial, place, progress, seed):
    """Mean over the samples of the mean distance to all other samples."""
    rows = np.arange(len(place))
    if len(place) > MEAN_OVER:
        rows = np.sort(np.random.default_rng(seed).permutation(len(place))[:MEAN_OVER])
    total = 0.0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        progress.check()
        total += float(spatial.distance.cdist(place[rows[start:start + _ROWS_AT_ONCE]], place).sum())
    mean = total / len(rows) / max(len(place) - 1, 1)
    if mean <= 0:
        raise InputError("The area of applicability cannot be told: all training samples are alike.")
    return mean


def _nearest_in_other_folds(spatial, place, variances, folds, progress):
    """Distance of every sample to the nearest one of another fold, of any other sample where there is one fold."""
    nearest = np.empty(len(place))
    numbers = np.unique(folds)
    if len(numbers) == 1:
        return Neighbours(spatial, place, variances).nearest(place, 2)
    for number in numbers:
        progress.check()
        inside = folds == number
        nearest[inside] = Neighbours(spatial, place[~inside], variances).nearest(place[inside])
    return nearest


def upper_whisker(values):
    """Return the largest value within 1.5 hinge spreads of the upper hinge (Tukey's box plot, hinges as medians)."""
    ordered = np.sort(values)
    half = (len(ordered) + 1) // 2
    low, high = np.median(ordered[:half]), np.median(ordered[len(ordered) - half:])
    return float(ordered[ordered <= high + 1.5 * (high - low)].max())


def areas_inside(index, inside, grid, window):
    """Return the Tally of the ranked cells of a block by 2 · rank + 1 inside the area of applicability, + 0 outside.

    ``index``: ranks (rows, columns), 0 for none; ``inside``: bool (rows, columns).
    """
    ranked = index != ranks.NO_RANK
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)[ranked]
    return Tally.of(index[ranked].astype(np.int64) * 2 + inside[ranked], areas, 512)


def area_rows(tally, threshold):
    """Return (rows of a metrics table by rank of what ``areas_inside`` gives, number of cells outside)."""
    rows = [row(SECTION, THRESHOLD, threshold, None, "", meaning="Cells more dissimilar than this are outside: the "
                "upper whisker of the training points' own index across the folds of the spatial-block "
                "cross-validation (Meyer and Pebesma 2021).")]
    groups = {ALL_RANKS: ranks.CODES, **{f"rank {code}": (code,) for code in ranks.CODES}}
    for name, codes in groups.items():
        (cells_in, area_in), (cells_out, area_out) = (tally.sum(2 * code + side for code in codes) for side in (1, 0))
        if not cells_in + cells_out:
            continue
        rows += [
            row(SECTION, f"{INSIDE}: {name}", area_in / AREA_UNITS_PER_KM2, cells_in, "km²",
                meaning="Of the predicted map; here the accuracy of the spatial-block cross-validation holds."),
            row(SECTION, f"{OUTSIDE}: {name}", area_out / AREA_UNITS_PER_KM2, cells_out, "km²",
                meaning="Of the predicted map; here no accuracy is known."),
            row(SECTION, f"{SHARE}: {name}", 100 * area_out / (area_in + area_out), cells_in + cells_out,
                meaning="Share of the area; n cells in all.")]
    return rows, tally.sum(2 * code for code in ranks.CODES)[0]
