"""Pairs of a temperature site and a thaw-depth site: nearest one to one, within limits of distance and elevation.

Method, section 6: the paper pairs sites that are "geographically close" and does not say how; here the nearest come
first, each site is used once, and the order of the input plays no part. The paper counts "only stations with
records spanning at least three years": a site with fewer can give no rank, so it takes no partner from one that can.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..rasters.geodesic import distance_m
from .stations import site_key


@dataclass(frozen=True)
class Pair:
    """A temperature site and the thaw-depth site paired with it, either None where it stayed alone for ``reason``."""

    magt: object
    alt: object
    distance_km: float = None
    reason: str = ""

    @property
    def elevation_difference_m(self):
        """Elevation of the thaw-depth site less that of the temperature site (m), None where either is unknown."""
        if self.magt is None or self.alt is None:
            return None
        difference = float(_elevations([self.alt])[0] - _elevations([self.magt])[0])
        return None if math.isnan(difference) else difference


def station_key(station):
    """Return a key by which StationSeries sort the same however they come, those of one id too."""
    return (site_key(station.site), station.latitude, station.longitude, str(station.name),
            -1.0 if station.depth_m is None else station.depth_m, sorted(station.values.items()))


def pair_sites(magt, alt, max_distance_km, max_elevation_m=None, min_years=0):
    """Return the Pairs of two lists of StationSeries, nearest first come, each site used once.

    Sites with fewer than ``min_years`` values are paired after all others, among what is left.

    All distances up to ``max_distance_km`` are taken in rising order, ties by the ids, so that the order of the
    input does not matter. With ``max_elevation_m`` two sites whose elevations differ by more are no pair; where one
    has no elevation the limit does not apply. Sites left alone follow with the reason; the list is sorted by
    temperature site, then thaw-depth sites alone.
    """
    magt, alt = sorted(magt, key=station_key), sorted(alt, key=station_key)
    distances = _distances_km(magt, alt)
    climbs = _elevations(alt)[None, :] - _elevations(magt)[:, None]
    level = np.ones(distances.shape, dtype=bool)
    if max_elevation_m is not None:
        # a comparison with NaN is false, so an unknown elevation keeps the pair
        level = ~(np.abs(climbs) > max_elevation_m)
    near = np.argwhere((distances <= max_distance_km) & level)
    # both lists are sorted, so indexes order as ids do; micrometres are rounding
    short_magt, short_alt = ([len(station.values) < min_years for station in sites] for sites in (magt, alt))
    order = sorted((short_magt[i] or short_alt[j], round(float(distances[i, j]), 9), int(i), int(j)) for i, j in near)
    partner_of_magt, partner_of_alt = {}, {}
    for *_, i, j in order:
        if i not in partner_of_magt and j not in partner_of_alt:
            partner_of_magt[i], partner_of_alt[j] = j, i
    limits = max_distance_km, max_elevation_m
    pairs = []
    for i, station in enumerate(magt):
        if i in partner_of_magt:
            j = partner_of_magt[i]
            pairs.append(Pair(station, alt[j], float(distances[i, j])))
        else:
            pairs.append(Pair(station, None, None,
                              _alone(distances[i], climbs[i], level[i], alt, "thaw depth", limits, short_magt[i])))
    for j, station in enumerate(alt):
        if j not in partner_of_alt:
            pairs.append(Pair(None, station, None,
                              _alone(distances[:, j], -climbs[:, j], level[:, j], magt, "temperature", limits,
                                     short_alt[j])))
    return pairs


def _distances_km(magt, alt):
    def column(sites, name):
        return np.array([getattr(station, name) for station in sites], dtype=float)

    return distance_m(column(magt, "latitude")[:, None], column(magt, "longitude")[:, None],
                      column(alt, "latitude")[None, :], column(alt, "longitude")[None, :]) / 1000


def _elevations(sites):
    return np.array([math.nan if station.elevation_m is None else station.elevation_m for station in sites],
                    dtype=float)


def _alone(distances, climbs, level, others, kind, limits, short):
    """Return why a site has no partner.

    ``climbs``: elevation of the others less its own (m), NaN where unknown; ``short``: it has too few years.
    """
    max_distance_km, max_elevation_m = limits
    if not len(distances):
        return f"no {kind} sites given"
    within = distances <= max_distance_km
    if (within & level).any():
        return (f"the {kind} sites within {max_distance_km:g} km have nearer partners"
                + (", or partners with longer records" if short else ""))
    nearest = int(np.argmin(distances))
    if within.any():
        return (f"no {kind} site within {max_distance_km:g} km and {max_elevation_m:g} m of elevation; the nearest, "
                f"{others[nearest].site}, lies {abs(climbs[nearest]):.0f} m "
                f"{'higher' if climbs[nearest] > 0 else 'lower'}")
    return (f"no {kind} site within {max_distance_km:g} km; the nearest, {others[nearest].site}, is "
            f"{distances[nearest]:.1f} km away")
