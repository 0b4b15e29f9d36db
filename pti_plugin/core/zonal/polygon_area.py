"""Area of polygons on the WGS84 ellipsoid, by Green's theorem along their edges.

The area between the equator and a latitude has a closed form on the ellipsoid, so the integral runs over longitude
alone; it is taken edge by edge with Gauss-Legendre nodes and is right to some 1e-10 of the area for edges that are
straight in degrees. Edges of projected layers are followed to within ``polygon_rings.TOLERANCE_M``.
"""

import math

import numpy as np

from ..rasters.geodesic import FLATTENING, SEMI_MAJOR_M
from ..rasters.grid import area_to_latitude, epsg_wkt
from .polygon_rings import Carrier, pieces, rings_of

#: longest rise of latitude over which the nodes are taken, degrees
_RISE = 2.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


def polygon_area_km2(polygons, wkt):
    """Return the area in km² of a list of ogr polygons with coordinates in the CRS ``wkt``, holes left out.

    Edges are straight in that CRS. Raises InputError where they cannot be carried to longitudes and latitudes.
    """
    carrier = Carrier(wkt, epsg_wkt(4326))
    areas = []
    for polygon in polygons:
        outer, *holes = [abs(_enclosed_m2(carrier.ring(ring))) for ring in rings_of(polygon)]
        areas += [outer, *(-hole for hole in holes)]
    return math.fsum(areas) / 1e6


def _enclosed_m2(ring):
    """Return the signed area within a closed ring of longitudes and latitudes in degrees."""
    starts, ends = ring[:-1], ring[1:]
    counts = np.ceil(np.abs(ends[:, 1] - starts[:, 1]) / _RISE).astype(np.int64).clip(1)
    starts, ends = np.radians(pieces(starts, ends, counts))
    middle, half = (starts + ends)[:, 1:] / 2, (ends - starts)[:, 1:] / 2
    latitudes = np.clip(middle + half * _NODES, -math.pi / 2, math.pi / 2)
    beneath = (area_to_latitude(latitudes, SEMI_MAJOR_M, FLATTENING) * _WEIGHTS).sum(axis=1) / 2
    return -math.fsum(beneath * (ends - starts)[:, 0])
