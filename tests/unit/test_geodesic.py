"""Distances agree with PROJ's geodesic."""

import numpy as np
import pytest

from pti_plugin.core.rasters.geodesic import distance_m

pyproj = pytest.importorskip("pyproj")
WGS84 = pyproj.Geod(ellps="WGS84")


def reference(latitude_1, longitude_1, latitude_2, longitude_2):
    return WGS84.inv(longitude_1, latitude_1, longitude_2, latitude_2)[2]


def test_random_pairs_equal_proj_to_a_millimetre():
    random = np.random.default_rng(11)
    latitudes = random.uniform(-89.9, 89.9, (2, 3000))
    longitudes = random.uniform(-180, 180, (2, 3000))
    expected = reference(latitudes[0], longitudes[0], latitudes[1], longitudes[1])
    # far from the antipodes, where the formula is exact
    near = expected < 19_000_000
    assert near.sum() > 2800
    found = distance_m(latitudes[0], longitudes[0], latitudes[1], longitudes[1])
    assert np.abs(found - expected)[near].max() < 1e-3


def test_short_distances_at_high_latitude_equal_proj():
    random = np.random.default_rng(12)
    latitude, longitude = random.uniform(45, 89, 2000), random.uniform(-180, 180, 2000)
    other = latitude + random.uniform(-0.1, 0.1, 2000), longitude + random.uniform(-0.1, 0.1, 2000)
    assert np.allclose(distance_m(latitude, longitude, *other), reference(latitude, longitude, *other),
                       rtol=1e-8, atol=1e-4)


@pytest.mark.parametrize("pair", [
    (70, 10, 70, 10), (0, 0, 0, 45), (90, 0, 60, 120), (90, 12, 90, -50), (68, 179.9, 68, -179.9),
    (68, 359.9, 68, 0.1), (65, 30, 65, 390.5),
])
def test_equator_pole_dateline_and_coincident_points(pair):
    assert distance_m(*pair) == pytest.approx(reference(*pair), abs=1e-3)


def test_nearly_antipodal_points_stay_within_the_stated_error():
    random = np.random.default_rng(13)
    latitude, longitude = random.uniform(-80, 80, 500), random.uniform(-180, 180, 500)
    other = -latitude + random.uniform(-0.3, 0.3, 500), longitude + 180 + random.uniform(-0.3, 0.3, 500)
    expected = reference(latitude, longitude, *other)
    assert np.abs(distance_m(latitude, longitude, *other) / expected - 1).max() < 2e-3


def test_a_matrix_of_distances_comes_by_broadcasting():
    latitudes = np.array([60.0, 65.0, 70.0])
    matrix = distance_m(latitudes[:, None], 10.0, latitudes[None, :2], 11.0)
    assert matrix.shape == (3, 2)
    assert matrix[2, 1] == pytest.approx(reference(70, 10, 65, 11))
