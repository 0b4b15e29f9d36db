"""Zones from a polygon layer: features of one name put together, broken geometry mended, nothing lost in silence."""

import math
from dataclasses import dataclass

import numpy as np
from osgeo import ogr

from ..common.errors import InputError
from ..rasters.gdal_errors import call
from ..rasters.grid import spatial_reference
from .polygon_area import polygon_area_km2
from .polygon_cells import runs_between
from .polygon_rings import Carrier, clipped, edges_of, is_geographic, lonlat_box, polygons_in, rings_of

#: zone of the features whose name is empty
NO_NAME = "(no name)"
#: largest distance of carried edges from their true course, in cells of the map
TOLERANCE_CELLS = 0.01
#: coordinates beyond these are no degrees
_LARGEST_LATITUDE, _LARGEST_LONGITUDE = 90.0 + 1e-6, 540.0
#: states of the geometry of a feature
_SOUND, _OVERLAPPING, _MENDED = "sound", "overlapping parts", "mended"
#: step by which arcs become straight pieces; area is right to 1 in 10^5
_ARC_DEGREES = 0.5
_NAMED = 8


@dataclass(frozen=True)
class ZoneLayer:
    """A polygon layer: its ``name``, CRS as WKT, and ``features``, a list of (id, name of the zone, WKB or None)."""

    name: str
    wkt: str
    features: list


@dataclass(frozen=True)
class Zone:
    """One zone: its name, its polygons (ogr, in the CRS of the layer) and their geodesic area, NaN where unknown."""

    name: str
    polygons: tuple
    area_km2: float

    def outline(self):
        """Return all polygons as one ogr multipolygon."""
        return _together(self.polygons)


def zone_text(value):
    """Return the name of a zone as text, '' where there is none; whole numbers have no decimals."""
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def name_order(name):
    """Return the sort key of a zone: numbers by their value, then texts, and what has no name last."""
    try:
        return (0, float(name), "")
    except ValueError:
        return (2 if name == NO_NAME else 1, 0.0, name)


def read_zones(layer, progress):
    """Return the Zones of a ZoneLayer in the order of their names, features of one name as one zone.

    Features without a name make the zone NO_NAME, broken geometry is mended, features without a geometry count for
    nothing; each is said with the ids of the features. Raises InputError for a layer without CRS, features or
    polygons, and for geometry that cannot be mended or understood.
    """
    if not layer.wkt:
        raise InputError(f"The zone layer {layer.name} has no CRS. Assign the right one first, with the tool 'Assign "
                         f"projection'.")
    if not layer.features:
        raise InputError(f"The zone layer {layer.name} has no features. Give one with polygons, or leave it out.")
    degrees, parts, told = is_geographic(layer.wkt), {}, {"unnamed": [], "empty": [], "mended": []}
    for place, (fid, value, wkb) in enumerate(layer.features):
        progress.check()
        name = zone_text(value)
        if not name:
            told["unnamed"].append(fid)
        polygons, state = _polygons(layer.name, fid, wkb, degrees)
        parts.setdefault(name or NO_NAME, []).append((polygons, state))
        if not polygons:
            told["empty"].append(fid)
        elif state == _MENDED:
            told["mended"].append(fid)
        progress.set(0.5 * (place + 1) / len(layer.features))
    _tell(layer.name, told, progress)
    if not any(polygons for found in parts.values() for polygons, _ in found):
        raise InputError(f"The zone layer {layer.name} holds no polygon with an area. Check that it is the right one.")
    zones = []
    for name in sorted(parts, key=name_order):
        progress.check()
        polygons = _joined(layer.name, name, parts[name])
        try:
            area = polygon_area_km2(polygons, layer.wkt)
        except InputError as error:
            progress.warn(f"The area of the polygons of zone {name} is not known: {error}.")
            area = math.nan
        zones.append(Zone(name, tuple(polygons), area))
        progress.set(0.5 + 0.5 * len(zones) / len(parts))
    return zones


class ZoneCells:
    """Finds the cells of a map, on ``grid``, whose centres lie in a zone of the layer with the CRS ``wkt``."""

    def __init__(self, wkt, grid):
        self._grid = grid
        self._box = lonlat_box(grid)
        self._from_degrees, self._to_degrees = is_geographic(wkt), grid.is_geographic
        self._carrier = Carrier(wkt, grid.wkt, self._tolerance())

    def _tolerance(self):
        # of a degree of latitude; along parallels a degree is shorter, and so an error in it smaller
        metres = 111_000.0 if self._to_degrees else spatial_reference(self._grid.wkt).GetLinearUnits()
        return TOLERANCE_CELLS * min(self._grid.cell_size) * metres

    def runs(self, zone):
        """Return the Runs of a Zone; raises InputError where its edges cannot be carried to the map's CRS."""
        try:
            starts, ends = self._edges(zone.polygons)
        except InputError as error:
            raise InputError(f"Zone {zone.name} cannot be brought to the CRS of the map, {self._grid.name}: {error}. "
                             f"Reproject the zone layer to EPSG:4326 or to the CRS of the map, or cut it to the map's "
                             f"extent.") from error
        starts, ends = (np.column_stack(self._grid.cells_at(*side.T)) for side in (starts, ends))
        return runs_between(starts, ends, self._grid.width, self._grid.height)

    def _edges(self, polygons):
        if not self._from_degrees and self._to_degrees:
            rings = [ring for polygon in polygons for ring in rings_of(polygon)]
            return edges_of(self._whole_circles([self._carrier.ring(ring) for ring in rings]))
        if self._from_degrees:
            rings = [ring for polygon in polygons for ring in clipped(polygon, *self._box)]
        else:
            rings = [ring for polygon in polygons for ring in rings_of(polygon)]
        return self._carrier.edges(*edges_of(rings))[:2] if rings else (np.empty((0, 2)),) * 2

    def _whole_circles(self, rings):
        """Return rings of longitudes that run on wherever whole circles bring them over the map."""
        west, east = self._box[:2]
        turned = []
        for ring in rings:
            first = int(np.ceil((west - ring[:, 0].max()) / 360.0))
            last = int(np.floor((east - ring[:, 0].min()) / 360.0))
            turned += [ring + [360.0 * turn, 0.0] for turn in range(first, last + 1)]
        return turned or [np.zeros((2, 2))]


def listed(items):
    """Return up to eight items as text, and how many more there are."""
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(map(str, items[:_NAMED])) + more


def _tell(layer, told, progress):
    if told["unnamed"]:
        progress.warn(f"{layer} has features without a zone name (id {listed(told['unnamed'])}); they are the zone "
                      f"{NO_NAME}.")
    if told["empty"]:
        progress.warn(f"{layer} has features without a polygon that has an area (id {listed(told['empty'])}); they "
                      f"count for nothing.")
    if told["mended"]:
        progress.warn(f"{layer} has features with broken geometry, such as edges that cross (id "
                      f"{listed(told['mended'])}); it was mended. Look at these if their areas matter.")


def _polygons(layer, fid, wkb, degrees):
    """Return (valid polygons of a feature, state: _SOUND, _OVERLAPPING or _MENDED)."""
    if not wkb:
        return [], _SOUND
    geometry, failure = call(ogr.CreateGeometryFromWkb, bytes(wkb))
    if geometry is None:
        raise InputError(f"The geometry of feature {fid} of {layer} cannot be read: {failure or 'it is damaged'}. "
                         f"Mend or remove the feature.")
    geometry = geometry.GetLinearGeometry(_ARC_DEGREES)
    geometry.FlattenTo2D()
    polygons = polygons_in(geometry)
    for polygon in polygons:
        _check_coordinates(layer, fid, polygon, degrees)
    state = _SOUND
    if not call(geometry.IsValid)[0]:
        # part by part: overlapping parts count once, while mending them together would cut out what they share
        broken = [not call(polygon.IsValid)[0] for polygon in polygons]
        polygons = [part for polygon, bad in zip(polygons, broken) for part in
                    (_mended(layer, fid, polygon) if bad else [polygon])]
        state = _MENDED if any(broken) else _OVERLAPPING
    return [polygon for polygon in polygons if polygon.GetArea() > 0], state


def _mended(layer, fid, polygon):
    made, failure = call(polygon.MakeValid)
    if made is None:
        raise InputError(f"The geometry of feature {fid} of {layer} is broken and cannot be mended: "
                         f"{failure or 'no reason given'}. Draw it anew or remove the feature.")
    return polygons_in(made)


def _check_coordinates(layer, fid, polygon, degrees):
    for ring in rings_of(polygon):
        if not np.isfinite(ring).all():
            raise InputError(f"Feature {fid} of {layer} has coordinates that are no numbers. Mend or remove it.")
        if not degrees:
            continue
        if np.abs(ring[:, 1]).max() > _LARGEST_LATITUDE or np.abs(ring[:, 0]).max() > _LARGEST_LONGITUDE:
            x, y = ring[np.argmax(np.abs(ring).max(axis=1))]
            raise InputError(f"Feature {fid} of {layer} has the coordinates {x:.10g}, {y:.10g}, which are no degrees, "
                             f"but the CRS of the layer says so. Set the right CRS of the layer.")
        steps = np.abs(np.diff(ring[:, 0]))
        wide = (steps > 180.0 + 1e-6) & (np.abs(steps - 360.0) > 1e-6)
        if wide.any():
            raise InputError(
                f"Feature {fid} of {layer} has an edge from longitude {ring[:-1][wide][0, 0]:.10g} to "
                f"{ring[1:][wide][0, 0]:.10g}: whether it runs across ±180° or the long way round cannot be told. "
                f"Divide the polygon at ±180°, let its longitudes run on beyond 180, or put in "
                f"nodes along the edge.")


def _together(polygons):
    many = ogr.Geometry(ogr.wkbMultiPolygon)
    for polygon in polygons:
        many.AddGeometry(polygon)
    return many


def _joined(layer, name, found):
    """Return the polygons of a zone, [(polygons, state)] a feature, joined into ones that do not overlap."""
    polygons = [polygon for several, _ in found for polygon in several]
    if len(polygons) < 2 or len(found) == 1 and found[0][1] == _SOUND:
        return polygons
    joined, failure = call(_together(polygons).UnionCascaded)
    if joined is None:
        raise InputError(f"The polygons of zone {name} of {layer} cannot be joined: {failure or 'no reason given'}. "
                         f"Dissolve them by name first, with the tool 'Dissolve'.")
    return polygons_in(joined)
