"""Distances on the WGS84 ellipsoid, by Vincenty's inverse formula (Survey Review 23, 1975).

A sphere is wrong by up to 0.5 % in the high latitudes; this is right to a millimetre and needs no package.
"""

import numpy as np

SEMI_MAJOR_M = 6378137.0
FLATTENING = 1 / 298.257223563
_SEMI_MINOR_M = SEMI_MAJOR_M * (1 - FLATTENING)
_MEAN_RADIUS_M = (2 * SEMI_MAJOR_M + _SEMI_MINOR_M) / 3
_TOLERANCE = 1e-12
_ITERATIONS = 200


def distance_m(latitude_1, longitude_1, latitude_2, longitude_2):
    """Return the geodesic distance in metres between points given in degrees; arguments broadcast as arrays.

    Nearly antipodal points, for which the formula does not converge, get the great-circle distance on the mean
    sphere, right to 0.2 %.
    """
    phi_1, lambda_1, phi_2, lambda_2 = np.broadcast_arrays(
        *(np.radians(np.asarray(angle, dtype=float)) for angle in (latitude_1, longitude_1, latitude_2, longitude_2)))
    # the difference is folded into ±180°, so that the dateline is no obstacle
    difference = np.mod(lambda_2 - lambda_1 + np.pi, 2 * np.pi) - np.pi
    reduced_1, reduced_2 = (np.arctan((1 - FLATTENING) * np.tan(phi)) for phi in (phi_1, phi_2))
    sin_1, cos_1, sin_2, cos_2 = np.sin(reduced_1), np.cos(reduced_1), np.sin(reduced_2), np.cos(reduced_2)

    longitude = difference.copy()
    converged = np.zeros(difference.shape, dtype=bool)
    for _ in range(_ITERATIONS):
        sin_sigma = np.hypot(cos_2 * np.sin(longitude), cos_1 * sin_2 - sin_1 * cos_2 * np.cos(longitude))
        cos_sigma = sin_1 * sin_2 + cos_1 * cos_2 * np.cos(longitude)
        sigma = np.arctan2(sin_sigma, cos_sigma)
        sin_alpha = cos_1 * cos_2 * np.sin(longitude) / np.where(sin_sigma == 0, 1, sin_sigma)
        cos2_alpha = 1 - sin_alpha ** 2
        # along the equator cos²α is 0, and so is every term this factor enters
        cos_2m = np.where(cos2_alpha > 1e-15, cos_sigma - 2 * sin_1 * sin_2 / np.where(cos2_alpha > 1e-15,
                                                                                       cos2_alpha, 1), 0)
        c = FLATTENING / 16 * cos2_alpha * (4 + FLATTENING * (4 - 3 * cos2_alpha))
        step = (1 - c) * FLATTENING * sin_alpha * (
            sigma + c * sin_sigma * (cos_2m + c * cos_sigma * (2 * cos_2m ** 2 - 1)))
        converged = np.abs(difference + step - longitude) < _TOLERANCE
        longitude = difference + step
        if converged.all():
            break

    u2 = cos2_alpha * (SEMI_MAJOR_M ** 2 - _SEMI_MINOR_M ** 2) / _SEMI_MINOR_M ** 2
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    correction = b * sin_sigma * (cos_2m + b / 4 * (
        cos_sigma * (2 * cos_2m ** 2 - 1)
        - b / 6 * cos_2m * (4 * sin_sigma ** 2 - 3) * (4 * cos_2m ** 2 - 3)))
    distance = _SEMI_MINOR_M * a * (sigma - correction)
    # past half the globe the iteration may settle on a point behind the pole: |λ| > 180° betrays it
    return np.where(converged & (np.abs(longitude) <= np.pi), distance,
                    _great_circle_m(phi_1, phi_2, difference))


def geocentric_km(longitude, latitude):
    """Return places given in degrees, on the WGS 84 ellipsoid, as geocentric coordinates in km, (…, 3)."""
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    e2 = FLATTENING * (2 - FLATTENING)
    normal = SEMI_MAJOR_M / 1000 / np.sqrt(1 - e2 * np.sin(latitude) ** 2)
    across = normal * np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), (1 - e2) * normal * np.sin(latitude)], -1)


def longest_chord_km(distance_km):
    """Return the length of the longest chord, in km, of any geodesic as long as ``distance_km``.

    Places whose chord is at least as long are at least ``distance_km`` apart on the ground, wherever they are. Places
    further apart than that by one part in 10^7 at 50 km (10^5 at 500 km) have such a chord.
    """
    largest = SEMI_MAJOR_M / 1000 / (1 - FLATTENING)
    return 2 * largest * np.sin(np.minimum(np.asarray(distance_km, dtype=float) / largest, np.pi) / 2)


def _great_circle_m(phi_1, phi_2, difference):
    half = (np.sin((phi_2 - phi_1) / 2) ** 2
            + np.cos(phi_1) * np.cos(phi_2) * np.sin(difference / 2) ** 2)
    return 2 * _MEAN_RADIUS_M * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
