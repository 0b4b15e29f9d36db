"""QGIS's own knowledge of coordinate systems, which it may have lost.

QGIS remembers a coordinate system that it failed to look up as an invalid one, and passes coordinates on unchanged from
then on: degrees become metres, and stations are drawn at the pole. A look-up fails where no more files can be opened,
as it needs PROJ's database.
"""

from __future__ import annotations

from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsCoordinateTransformContext

#: of points, and of maps by default
_NEEDED = ("EPSG:4326", "EPSG:6931")


def restore_crs_lookup() -> bool:
    """Make QGIS look the coordinate systems up anew where it holds those it needs for invalid.

    Where it does not, they are kept from now on, so that a later lack of files does no harm. Returns whether it knows
    them.
    """
    if not _known():
        QgsCoordinateReferenceSystem.invalidateCache()
        QgsCoordinateTransform.invalidateCache()
    return _known()


def _known() -> bool:
    systems = [QgsCoordinateReferenceSystem(name) for name in _NEEDED]
    return all(system.isValid() for system in systems) and QgsCoordinateTransform(
        *systems, QgsCoordinateTransformContext()).isValid()
