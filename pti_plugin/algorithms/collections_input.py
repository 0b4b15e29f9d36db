"""Vector layers whose features are geometry collections, which QGIS holds for layers without a place.

What such a feature holds is read: its polygons as a zone, its point as a sample.
"""

from qgis.core import QgsWkbTypes

from . import compat


def is_collection(source):
    """Say whether a feature source is declared as one of geometry collections."""
    return QgsWkbTypes.flatType(source.wkbType()) == compat.GEOMETRY_COLLECTION


def crs_of(source, layer):
    """Return the CRS of a feature source; that of a layer of collections is known to its provider alone.

    ``layer``: the QgsVectorLayer behind the source, or None.
    """
    crs = source.sourceCrs()
    if not crs.isValid() and layer is not None and is_collection(source):
        return layer.dataProvider().crs()
    return crs


def points_in(geometry):
    """Return the points (QgsPointXY) in a geometry of any kind; those of lines and polygons do not count."""
    if geometry.isNull() or geometry.isEmpty():
        return []
    if QgsWkbTypes.flatType(geometry.wkbType()) == compat.GEOMETRY_COLLECTION:
        return [point for part in geometry.asGeometryCollection() for point in points_in(part)]
    if geometry.type() != compat.POINT:
        return []
    return geometry.asMultiPoint() if geometry.isMultipart() else [geometry.asPoint()]
