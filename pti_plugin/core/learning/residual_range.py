"""How far apart points must lie before their errors have nothing to do with each other: the correlogram of residuals.

Method, section 8: blocks of a spatial cross-validation should be no smaller than that distance.
"""

from collections import namedtuple

import numpy as np

#: at most so many points are paired, all with all
POINTS = 4000
CLASSES = 16
#: fewest pairs of a class that is looked at
LEAST_PAIRS = 100
_ROWS_AT_ONCE = 256
_MEAN_RADIUS_KM = 6371.0088

#: one class of distance: bounds in km, mean distance, correlation, its standard error without any, number of pairs
Lag = namedtuple("Lag", "low high distance correlation error pairs")


def correlogram(residuals, longitude, latitude, seed):
    """Return the Lags of ``residuals`` (n,) at WGS 84 places, from the nearest to half the extent of the points.

    The correlation of a class is the mean product of the standardised residuals of its pairs; without any
    correlation its standard error is 1 / sqrt(pairs). Of more than POINTS points a random choice is paired.
    """
    residuals = np.asarray(residuals, dtype=float)
    chosen = np.sort(np.random.default_rng((seed, 1_000_081)).permutation(len(residuals))[:POINTS])
    places = _on_the_unit_sphere(np.asarray(longitude)[chosen], np.asarray(latitude)[chosen])
    z = residuals[chosen] - residuals[chosen].mean()
    if len(z) < 2 or not z.any():
        return []
    z /= z.std()
    extent = float(_apart_km(places.min(axis=0), places.max(axis=0)))
    # classes grow with distance, by the root of two, from half the extent down
    edges = np.concatenate([[0.0], extent / 2 * 2.0 ** (0.5 * np.arange(1 - CLASSES, 1))])
    counts, products, distances = np.zeros((3, CLASSES + 1))
    for top in range(0, len(z), _ROWS_AT_ONCE):
        part = slice(top, top + _ROWS_AT_ONCE)
        apart = _apart_km(places[part, None, :], places[None, :, :])
        # each pair once
        once = np.arange(len(z))[None, :] > np.arange(len(z))[part, None]
        lag = np.searchsorted(edges, apart[once], side="right") - 1
        for sums, values in ((counts, None), (products, (z[part, None] * z[None, :])[once]), (distances, apart[once])):
            sums += np.bincount(lag, values, CLASSES + 1)[:CLASSES + 1]
    return [Lag(edges[i], edges[i + 1], distances[i] / counts[i], products[i] / counts[i], counts[i] ** -0.5,
                int(counts[i])) for i in range(CLASSES) if counts[i] >= LEAST_PAIRS]


def _on_the_unit_sphere(longitude, latitude):
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], -1)


def _apart_km(first, second):
    """Return great-circle distances: a sphere is within 0.5 % of the ellipsoid, enough for classes of distance."""
    half_chord = np.sqrt(((first - second) ** 2).sum(axis=-1)) / 2
    return 2 * _MEAN_RADIUS_KM * np.arcsin(np.minimum(half_chord, 1.0))


def correlation_range(lags):
    """Return the distance in km at which 95 % of the residuals' correlation is gone, 0 where there is none.

    An exponential model a · exp(−3 d / range) is fitted to the Lags by least squares weighted with the pairs' own
    errors, for the ranges of a fine geometric series between the first and the last Lag; there is none where ``a``
    is below two standard errors.
    """
    if len(lags) < 2:
        return 0.0
    distance, correlation, weight = (np.array(values) for values in (
        [lag.distance for lag in lags], [lag.correlation for lag in lags], [float(lag.pairs) for lag in lags]))
    ranges = np.geomspace(distance[0], distance[-1], 200)
    shape = np.exp(-3 * distance[None, :] / ranges[:, None])
    power = (weight * shape ** 2).sum(axis=1)
    height = (weight * shape * correlation).sum(axis=1) / power
    misfit = (weight * (correlation - height[:, None] * shape) ** 2).sum(axis=1)
    best = int(misfit.argmin())
    return float(ranges[best]) if height[best] * power[best] ** 0.5 > 2 else 0.0


def suggested_block_km(range_km):
    """Return the side of a block for a correlation range: the range, rounded up to two digits."""
    if range_km <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(range_km)) - 1)
    return float(np.ceil(range_km / step) * step)
