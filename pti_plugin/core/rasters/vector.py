"""Writes point and polygon layers that QGIS opens, in one file format by the ending of the name."""

import math
import os
from dataclasses import dataclass

from osgeo import ogr

from ..common.errors import OutputError
from ..common.staging import Staging
from .gdal_errors import GdalErrors, call, output_error
from .grid import epsg_wkt, spatial_reference
from .process_state import gdal_options

_TYPES = {str: ogr.OFTString, int: ogr.OFTInteger, float: ogr.OFTReal}
#: ending → (OGR driver, layer creation options)
_DRIVERS = {
    ".gpkg": ("GPKG", []),
    ".geojson": ("GeoJSON", []),
    ".json": ("GeoJSON", []),
    # without its spatial index the format keeps the order of the rows
    ".fgb": ("FlatGeobuf", ["SPATIAL_INDEX=NO"]),
    ".shp": ("ESRI Shapefile", ["ENCODING=UTF-8"]),
}
_SHAPEFILE_NAME, _SHAPEFILE_TEXT = 10, 254
#: the time stamp GeoPackage must hold; fixed, so that the same input gives the same bytes
_DATE_OPTION, _DATE = "OGR_CURRENT_DATE", "2000-01-01T00:00:00.000Z"


def write_points(path, rows, fields, x, y, layer_name, staging=None, metadata=None):
    """Write ``rows`` (dicts) as a point layer in EPSG:4326, in their order.

    ``fields`` is a list of (name, type str, int or float, unit, description); ``x`` and ``y`` are the keys of
    longitude and latitude in degrees. None and NaN become NULL; a row without coordinates gets no geometry. With a
    ``staging`` the file appears when that is committed, else at once. ``metadata``: items of the layer, which only a
    GeoPackage keeps. Raises OutputError for an unknown ending or where the file cannot be written.
    """
    content = _Content(rows, fields, [_point(row.get(x), row.get(y)) for row in rows], ogr.wkbPoint, epsg_wkt(4326),
                       layer_name, metadata or {})
    _write_layer(path, content, staging)


def write_polygons(path, rows, fields, polygons, wkt, layer_name, staging=None, metadata=None):
    """Write ``rows`` as a layer of multipolygons; ``polygons``: one ogr.Geometry a row, or None, in the CRS ``wkt``.

    The rest is as in write_points.
    """
    shapes = [None if polygon is None else ogr.ForceToMultiPolygon(polygon.Clone()) for polygon in polygons]
    _write_layer(path, _Content(rows, fields, shapes, ogr.wkbMultiPolygon, wkt, layer_name, metadata or {}), staging)


@dataclass(frozen=True)
class _Content:
    """What goes into a layer; ``shapes``: one ogr.Geometry a row, or None."""

    rows: list
    fields: list
    shapes: list
    kind: int
    wkt: str
    name: str
    metadata: dict


def _point(x, y):
    if _is_null(x) or _is_null(y):
        return None
    point = ogr.Geometry(ogr.wkbPoint)
    point.SetPoint_2D(0, float(x), float(y))
    return point


def _write_layer(path, content, staging):
    path = os.path.abspath(str(path))
    driver = check_vector_file(path, [field[0] for field in content.fields])
    if staging is None:
        with Staging() as own:
            _write_staged(driver, path, content, own)
            own.commit()
    else:
        _write_staged(driver, path, content, staging)


def _write_staged(driver, path, content, staging):
    """Write the layer in a folder of its own, since drivers name further files, and stage every file of it."""
    written = os.path.join(staging.scratch(path), os.path.basename(path))
    failure = _write(driver, written, content, _DRIVERS[os.path.splitext(path)[1].lower()][1])
    if failure is not None:
        raise output_error(path, failure)
    folder, target = os.path.dirname(written), os.path.dirname(path)
    for name in sorted(os.listdir(folder)):
        with staging.writing(os.path.join(target, name)) as partial:
            os.replace(os.path.join(folder, name), partial)


def check_vector_file(path, names):
    """Return the OGR driver of a layer with fields of these names.

    Raises OutputError where no such layer can be written as ``path``.
    """
    ending = os.path.splitext(str(path))[1].lower()
    driver = call(ogr.GetDriverByName, _DRIVERS[ending][0])[0] if ending in _DRIVERS else None
    if driver is None:
        raise OutputError(f"A vector layer cannot be written as {path}; end the name in one of "
                          f"{', '.join(_DRIVERS)}.")
    long_names = [name for name in names if len(name) > _SHAPEFILE_NAME]
    if ending == ".shp" and long_names:
        raise OutputError(f"A shapefile cannot hold the field '{long_names[0]}' (names of at most {_SHAPEFILE_NAME} "
                          f"letters); end the name of {path} in .gpkg.")
    return driver


def _write(driver, path, content, options):
    """Write the layer; return None, or GDAL's words for what went wrong."""
    with gdal_options(**{_DATE_OPTION: _DATE}):
        with GdalErrors() as errors:
            try:
                _fill(driver, path, content, options)
            except RuntimeError as error:
                return errors.first or str(error)
        # a full disk may show only when the file is closed, so the file is read again
        return errors.first or _reread(path, len(content.rows))


def _fill(driver, path, content, options):
    """Create and fill the layer; errors go to the listener, or come as RuntimeError where exceptions are on."""
    dataset = driver.CreateDataSource(path)
    if dataset is None:
        raise RuntimeError("the file cannot be created")
    layer = dataset.CreateLayer(content.name, spatial_reference(content.wkt), content.kind, options)
    if layer is None:
        raise RuntimeError("the layer cannot be created")
    for item, text in content.metadata.items():
        layer.SetMetadataItem(item, text)
    shapefile = path.lower().endswith(".shp")
    for field_name, kind, _unit, _description in content.fields:
        definition = ogr.FieldDefn(field_name, _TYPES[kind])
        if shapefile and kind is str:
            definition.SetWidth(_SHAPEFILE_TEXT)
        layer.CreateField(definition)
    layer.StartTransaction()
    for row, shape in zip(content.rows, content.shapes):
        feature = ogr.Feature(layer.GetLayerDefn())
        for index, (field_name, kind, _unit, _description) in enumerate(content.fields):
            value = row.get(field_name)
            if _is_null(value):
                feature.SetFieldNull(index)
            else:
                feature.SetField(index, _shortened(value) if shapefile and kind is str else kind(value))
        if shape is not None:
            feature.SetGeometry(shape)
        layer.CreateFeature(feature)
    layer.CommitTransaction()
    # closing writes the rest; the layer must go before its data source
    layer = None
    dataset = None


def _reread(path, expected):
    """Return None where every one of ``expected`` features can be read from ``path``, else what is wrong."""
    # reading each, since a FlatGeobuf cut short still counts them all in its header
    count, failure = call(_count, path)
    if failure or count != expected:
        return failure or f"only {count or 0} of {expected} features could be written"
    return None


def _count(path):
    source = ogr.Open(path)
    return 0 if source is None else sum(1 for _feature in source.GetLayer(0))


def _is_null(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shortened(text):
    """Return the text cut to what a shapefile's field holds, in whole letters."""
    return str(text).encode("utf-8")[:_SHAPEFILE_TEXT].decode("utf-8", "ignore")
