"""Area of applicability: how far a cell lies, in predictor space, from anything the model has seen.

Meyer & Pebesma (2021), as their package CAST computes it: predictors standardised by the training samples and weighted
by importance, the distance to the nearest sample over the mean distance among samples (dissimilarity index, DI), and
the upper whisker of the samples' own DI, across folds, as the threshold. Categories are dummy variables with the weight
of their predictor.
"""

from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError
from ..common.packages import require

#: samples up to which the mean distance is taken over all pairs; of more, this many are taken against all
MEAN_OVER = 10_000
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Encoding:
    """Turns predictors into coordinates: (column, category or None, centre, factor) of every dimension."""

    dimensions: tuple

    def coordinates(self, x):
        """Return float64 (n, dimensions) of predictors ``x`` (n, features) without missing values."""
        place = np.empty((len(x), len(self.dimensions)))
        for i, (column, category, centre, factor) in enumerate(self.dimensions):
            values = x[:, column] if category is None else x[:, column] == category
            place[:, i] = (values - centre) * factor
        return place


@dataclass(frozen=True)
class Applicability:
    """What decides about new cells: ``encoding``, k-d ``tree`` of the samples, their mean distance, the threshold."""

    encoding: Encoding
    tree: object
    mean_distance: float
    threshold: float

    def dissimilarity(self, x):
        """Return the dissimilarity index of predictors ``x`` (n, features), float64."""
        if not len(x):
            return np.empty(0)
        return self.tree.query(self.encoding.coordinates(x))[0] / self.mean_distance


def applicability(x, features, weights, folds, progress, seed=42):
    """Return the Applicability of a model trained on predictors ``x`` (n, features).

    ``features``: Features in the order of the columns; ``weights``: importance of each, ≥ 0; ``folds``: fold of every
    sample, neighbours in whose own fold do not count for the threshold. Raises InputError where there is nothing to
    tell samples apart, DependencyError without scipy, Cancelled.
    """
    spatial = require("scipy.spatial", "the area of applicability")
    encoding = _encoding(np.asarray(x, dtype=np.float64), features, weights)
    place = encoding.coordinates(np.asarray(x, dtype=np.float64))
    mean = _mean_distance(spatial, place, progress, seed)
    own = _nearest_in_other_folds(spatial, place, np.asarray(folds), progress) / mean
    return Applicability(encoding, spatial.cKDTree(place), mean, upper_whisker(own))


def _encoding(x, features, weights):
    dimensions = []
    for column, (feature, weight) in enumerate(zip(features, weights)):
        if weight <= 0:
            continue
        parts = [(None, x[:, column])] if not feature.categorical else \
            [(float(category), x[:, column] == category) for category in np.unique(x[:, column])]
        for category, values in parts:
            spread = float(np.std(values, ddof=1)) if len(x) > 1 else 0.0
            # what is the same in all samples has no scale to measure others by
            if spread > 0:
                dimensions.append((column, category, float(np.mean(values)), float(weight) / spread))
    if not dimensions:
        raise InputError("The area of applicability cannot be told: no predictor with a weight differs between the "
                         "training samples.")
    return Encoding(tuple(dimensions))


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


def _nearest_in_other_folds(spatial, place, folds, progress):
    """Distance of every sample to the nearest one of another fold, of any other sample where there is one fold."""
    nearest = np.empty(len(place))
    numbers = np.unique(folds)
    if len(numbers) == 1:
        return spatial.cKDTree(place).query(place, k=2)[0][:, 1]
    for number in numbers:
        progress.check()
        inside = folds == number
        nearest[inside] = spatial.cKDTree(place[~inside]).query(place[inside])[0]
    return nearest


def upper_whisker(values):
    """Return the largest value within 1.5 hinge spreads of the upper hinge (Tukey's box plot, hinges as medians)."""
    ordered = np.sort(values)
    half = (len(ordered) + 1) // 2
    low, high = np.median(ordered[:half]), np.median(ordered[len(ordered) - half:])
    return float(ordered[ordered <= high + 1.5 * (high - low)].max())
