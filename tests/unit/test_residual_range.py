"""The correlogram is a plain mean over pairs, finds a planted range, and finds none in noise."""

import numpy as np
import pytest
from pyproj import Transformer

from pti_plugin.core.learning import residual_range
from pti_plugin.core.learning.residual_range import Lag, correlation_range, correlogram, suggested_block_km
from pti_plugin.core.rasters.geodesic import distance_m


def places(n, seed, half_km=2000.0):
    """(x, y in km from the pole, longitude, latitude) of random points on an equal-area grid."""
    x, y = np.random.default_rng(seed).uniform(-half_km, half_km, (2, n))
    longitude, latitude = Transformer.from_crs(6931, 4326, always_xy=True).transform(1000 * x, 1000 * y)
    return x, y, longitude, latitude


def haversine_km(latitude_1, longitude_1, latitude_2, longitude_2):
    north, east, north_2, east_2 = np.radians([latitude_1, longitude_1, latitude_2, longitude_2])
    square = np.sin((north_2 - north) / 2) ** 2 + np.cos(north) * np.cos(north_2) * np.sin((east_2 - east) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(square))


def test_classes_of_distance_hold_the_mean_product_of_their_pairs():
    _, _, longitude, latitude = places(150, 1)
    residuals = np.random.default_rng(2).gamma(2, size=150)
    lags = correlogram(residuals, longitude, latitude, 0)
    first, second = np.triu_indices(150, 1)
    apart = haversine_km(latitude[first], longitude[first], latitude[second], longitude[second])
    # a sphere will do for classes of distance
    ellipsoid = distance_m(latitude[first], longitude[first], latitude[second], longitude[second]) / 1000
    np.testing.assert_allclose(apart, ellipsoid, rtol=0.006)
    z = (residuals - residuals.mean()) / residuals.std()
    assert len(lags) > 5 and lags[-1].high > 1500
    for lag in lags:
        here = (apart >= lag.low) & (apart < lag.high)
        assert lag.pairs == here.sum() >= 100
        assert lag.distance == pytest.approx(apart[here].mean())
        assert lag.correlation == pytest.approx((z[first] * z[second])[here].mean())
        assert lag.error == pytest.approx(lag.pairs ** -0.5)


@pytest.mark.parametrize("planted_km", [300.0, 900.0])
def test_a_planted_range_is_found(planted_km):
    rng = np.random.default_rng(int(planted_km))
    x, y, longitude, latitude = places(600, 3)
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    # an exponential field, half of whose variance is noise
    field = np.linalg.cholesky(np.exp(-3 * apart / planted_km) + 1e-9 * np.eye(600)) @ rng.standard_normal((600, 7))
    found = [correlation_range(correlogram(values + rng.standard_normal(600), longitude, latitude, 0))
             for values in field.T]
    # one field of finite extent says little, so the middle of seven
    assert 0.6 * planted_km < np.median(found) < 1.6 * planted_km


def test_noise_has_no_range():
    _, _, longitude, latitude = places(300, 5)
    found = [correlation_range(correlogram(np.random.default_rng(seed).random(300), longitude, latitude, 0))
             for seed in range(20)]
    # the best of 200 ranges is tested, so chance finds one more often than in 2.5 %
    assert sum(value > 0 for value in found) <= 4


def test_many_points_are_thinned_at_random_but_repeatably(monkeypatch):
    _, _, longitude, latitude = places(900, 6)
    residuals = np.random.default_rng(7).random(900)
    monkeypatch.setattr(residual_range, "POINTS", 300)
    first, again, other = (correlogram(residuals, longitude, latitude, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert sum(lag.pairs for lag in first) <= 300 * 299 / 2


def test_residuals_without_spread_or_points_have_no_correlogram():
    assert correlogram(np.ones(50), *places(50, 1)[2:], 0) == []
    assert correlogram(np.ones(1), np.zeros(1), np.zeros(1), 0) == []
    assert correlation_range([]) == correlation_range([Lag(0, 1, 0.5, 0.9, 0.01, 10_000)]) == 0


def test_the_suggestion_is_rounded_up_to_two_digits():
    assert [suggested_block_km(value) for value in (0.0, 7.01, 341.0, 350.0, 1234.0)] == pytest.approx(
        [0, 7.1, 350, 350, 1300])
