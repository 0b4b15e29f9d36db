"""The rings of polygons as arrays, carried from one CRS to another so that straight edges keep their true course.

An edge is straight in the CRS of its layer, as QGIS draws it. Where that is bent elsewhere, nodes are put in until the
straight pieces are as close to it as asked. Longitudes of carried rings run on across ±180°; a ring round a pole is
closed along that pole.
"""

import numpy as np
from osgeo import ogr

from ..common.errors import InputError
from ..rasters.gdal_errors import call
from ..rasters.grid import coordinate_transformation, epsg_wkt, geographic_wkt, spatial_reference, transform_points

#: longest piece of an edge before it is looked at for its bend: degrees, metres
_LONGEST_DEGREES, _LONGEST_M = 0.5, 25_000.0
#: most pieces a piece is divided into
_MOST_PIECES = 1000
#: largest distance of carried rings from their true course, m
TOLERANCE_M = 0.1
_METRES_A_DEGREE = 111_320.0
#: a carried piece longer than this has come apart at the edge of a projection, m
_TORN_M = 5e6
#: two places 0.02° apart that a projection holds further apart than this lie on either side of its edge, m
_TEAR_M = 1e5


def polygons_in(geometry):
    """Return the ogr polygons in a geometry of any kind, one after the other; lines and points are left out."""
    kind = ogr.GT_Flatten(geometry.GetGeometryType())
    if kind == ogr.wkbPolygon:
        return [] if geometry.IsEmpty() else [geometry.Clone()]
    if kind in (ogr.wkbMultiPolygon, ogr.wkbGeometryCollection):
        return [polygon for i in range(geometry.GetGeometryCount()) for polygon in
                polygons_in(geometry.GetGeometryRef(i))]
    return []


def rings_of(polygon):
    """Return the rings of an ogr polygon as closed (points, 2) arrays, the outer one first."""
    return [np.array(polygon.GetGeometryRef(i).GetPoints(), dtype=float)[:, :2]
            for i in range(polygon.GetGeometryCount())]


def edges_of(rings):
    """Return (starts, ends), each (edges, 2), of closed rings, every edge from its smaller point to its larger.

    Neighbours that share an edge so get the very same numbers for it.
    """
    starts = np.concatenate([ring[:-1] for ring in rings])
    ends = np.concatenate([ring[1:] for ring in rings])
    turn = (starts[:, 0] > ends[:, 0]) | (starts[:, 0] == ends[:, 0]) & (starts[:, 1] > ends[:, 1])
    return np.where(turn[:, None], ends, starts), np.where(turn[:, None], starts, ends)


def pieces(starts, ends, counts):
    """Return (starts, ends) of edges divided into ``counts`` equal pieces each, in their order."""
    edge = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(edge.size) - np.repeat(np.cumsum(counts) - counts, counts)
    step, counts = step[:, None], counts[edge][:, None]
    span = (ends - starts)[edge]
    # the last piece ends where the edge does, not a rounding off
    return (starts[edge] + span * (step / counts),
            np.where(step + 1 == counts, ends[edge], starts[edge] + span * ((step + 1) / counts)))


class Carrier:
    """Carries edges from the CRS ``source`` to ``target`` (WKT), as closely as ``tolerance`` in metres."""

    def __init__(self, source, target, tolerance=TOLERANCE_M):
        self._same = bool(spatial_reference(source).IsSame(spatial_reference(target)))
        self._change = None if self._same else coordinate_transformation(source, target)
        reference = spatial_reference(source)
        self._from_degrees, self._to_degrees = is_geographic(source), is_geographic(target)
        self._longest = _LONGEST_DEGREES if self._from_degrees else _LONGEST_M / reference.GetLinearUnits()
        self._unit = 1.0 if self._to_degrees else spatial_reference(target).GetLinearUnits()
        self._tolerance = tolerance

    def points(self, points):
        """Return (points, 2) carried; longitudes stay within half a circle of where they were, if they were any.

        Raises InputError for places that the target has no image of.
        """
        if self._same:
            return points
        moved = np.column_stack(transform_points(self._change, points[:, 0], points[:, 1]))
        if not np.isfinite(moved).all():
            x, y = points[~np.isfinite(moved).all(axis=1)][0]
            raise InputError(f"the place x {x:.10g}, y {y:.10g} has no image in the other CRS")
        if self._from_degrees and self._to_degrees:
            moved[:, 0] += 360.0 * np.rint((points[:, 0] - moved[:, 0]) / 360.0)
        return moved

    def edges(self, starts, ends):
        """Return (starts, ends, edge) of the carried pieces of edges: ``edge`` is the place of each in the input."""
        edge = np.arange(len(starts))
        if self._same or self._from_degrees and self._to_degrees:
            # straight in degrees is straight in other degrees, but for a difference of the datums
            return self.points(starts), self.points(ends), edge
        counts = np.ceil(np.abs(ends - starts).max(axis=1) / self._longest).astype(np.int64).clip(1)
        starts, ends = pieces(starts, ends, counts)
        edge = np.repeat(edge, counts)
        bend = self._bend(self.points(starts), self.points((starts + ends) / 2), self.points(ends))
        counts = np.ceil(np.sqrt(bend / self._tolerance)).clip(1, _MOST_PIECES).astype(np.int64)
        starts, ends = pieces(starts, ends, counts)
        starts, ends, edge = self.points(starts), self.points(ends), np.repeat(edge, counts)
        if not self._to_degrees and len(starts) and np.abs(ends - starts).max() * self._unit > _TORN_M:
            raise InputError("it crosses the edge of the other CRS, where that tears apart what lies together")
        return starts, ends, edge

    def _bend(self, start, middle, end):
        """Return how far the middle of each carried piece lies from the straight line, m."""
        if not self._to_degrees:
            return np.hypot(*(middle - (start + end) / 2).T) * self._unit
        first, second = _shortest(middle[:, 0] - start[:, 0]), _shortest(end[:, 0] - middle[:, 0])
        across = (first - second) / 2 * np.cos(np.radians(middle[:, 1]))
        return np.hypot(across, middle[:, 1] - (start[:, 1] + end[:, 1]) / 2) * _METRES_A_DEGREE

    def ring(self, ring):
        """Return a closed ring carried to a geographic CRS, as a closed ring of longitudes that run on.

        A ring that winds round a pole is closed along the pole it holds.
        """
        starts, ends, _ = self.edges(ring[:-1], ring[1:])
        points = np.concatenate([starts, ends[-1:]])
        if self._from_degrees:
            return points
        # the longitude of a node on the pole is no matter: edges along the pole enclose nothing, and a wrong turn there
        # is made good when the ring is closed
        turns = _shortest(np.diff(points[:, 0]))
        points[1:, 0] = points[0, 0] + np.cumsum(turns)
        winding = round((points[-1, 0] - points[0, 0]) / 360.0)
        if not winding:
            points[-1] = points[0]
            return points
        pole = 90.0 if winding * signed_area(ring) > 0 else -90.0
        return np.concatenate([points, [[points[-1, 0], pole], [points[0, 0], pole], points[0]]])


def is_geographic(wkt):
    """True where the coordinates of a CRS are degrees."""
    return bool(spatial_reference(wkt).IsGeographic())


def signed_area(ring):
    """Return the planar area of a closed ring, positive where it runs counter-clockwise."""
    x, y = (ring - ring[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def lonlat_box(grid):
    """Return (west, east, south, north) in degrees of the grid's own datum, round all its cells with some to spare.

    East is up to 360° from west, and may lie beyond 180°.
    """
    columns, rows = np.meshgrid(np.linspace(0, grid.width, 65), np.linspace(0, grid.height, 65))
    x, y = grid.xy(columns, rows)
    change = coordinate_transformation(grid.wkt, geographic_wkt(grid.wkt))
    longitude, latitude = transform_points(change, x, y)
    known = np.isfinite(longitude) & np.isfinite(latitude)
    centre = longitude[32, 32] if known[32, 32] else 0.0
    spare = max(_widest(latitude), 0.1)
    south, north = max(np.nanmin(latitude) - spare, -90.0), min(np.nanmax(latitude) + spare, 90.0)
    poles = [latitude for latitude in (-90.0, 90.0) if _holds(grid, latitude)]
    east_of_centre = np.where(known, _shortest(longitude - centre), 0.0)
    widest = _widest(east_of_centre)
    middle = _torn_meridian(grid, float(np.clip((south + north) / 2, -80.0, 80.0)))
    if middle is not None:
        centre += 360.0 * round((middle - centre) / 360.0)
    west, east = (centre - 180.0, centre + 180.0) if middle is None else (middle - 180.0, middle + 180.0)
    if poles or not known.all() or widest > 60.0 or abs(south) == 90.0 or north == 90.0:
        return west, east, min([south, *poles]), max([north, *poles])
    spare = max(widest, 0.1)
    return (max(centre + east_of_centre.min() - spare, west), min(centre + east_of_centre.max() + spare, east), south,
            north)


def clipped(polygon, west, east, south, north):
    """Return the rings of an ogr polygon in degrees that lie in a box, wherever it is in whole circles."""
    rings = []
    left, right, bottom, top = polygon.GetEnvelope()
    first, last = int(np.ceil((left - east) / 360.0)), int(np.floor((right - west) / 360.0))
    for turn in range(first, last + 1):
        shift = 360.0 * turn
        if top < south or bottom > north:
            continue
        if left >= west + shift and right <= east + shift and bottom >= south and top <= north:
            inside = [polygon]
        else:
            cut, failure = call(polygon.Intersection, box(west + shift, east + shift, south, north))
            if cut is None:
                raise InputError(f"it cannot be cut to the extent of the map ({failure or 'no reason given'})")
            inside = polygons_in(cut)
        rings += [ring - [shift, 0.0] for part in inside for ring in rings_of(part)]
    return rings


def box(west, east, south, north):
    """Return a rectangle as an ogr polygon."""
    ring = ogr.Geometry(ogr.wkbLinearRing)
    for x, y in ((west, south), (east, south), (east, north), (west, north), (west, south)):
        ring.AddPoint_2D(x, y)
    polygon = ogr.Geometry(ogr.wkbPolygon)
    polygon.AddGeometry(ring)
    return polygon


def _holds(grid, latitude):
    """True where a pole lies on the grid, or within a cell of it."""
    x, y = transform_points(coordinate_transformation(epsg_wkt(4326), grid.wkt), [0.0], [latitude])
    column, row = (float(place[0]) for place in grid.cells_at(x, y))
    return -1 <= column <= grid.width + 1 and -1 <= row <= grid.height + 1


def _torn_meridian(grid, latitude):
    """Return the central meridian of a projection that is torn apart opposite to it; None for any other CRS."""
    reference = spatial_reference(grid.wkt)
    if reference.IsGeographic():
        return None
    middle = reference.GetProjParm("central_meridian", reference.GetProjParm("longitude_of_center", 0.0))
    x, y = transform_points(coordinate_transformation(geographic_wkt(grid.wkt), grid.wkt),
                            np.array([middle + 179.99, middle - 179.99]), np.array([latitude, latitude]))
    return middle if np.hypot(x[0] - x[1], y[0] - y[1]) * reference.GetLinearUnits() > _TEAR_M else None


def _widest(values):
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    return max((float(np.nanmax(step)) for step in steps if np.isfinite(step).any()), default=0.0)


def _shortest(degrees):
    return np.mod(degrees + 180.0, 360.0) - 180.0
