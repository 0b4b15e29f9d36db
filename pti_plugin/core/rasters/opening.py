"""Opening a file of a product: its variable, and the CRS and extent it should have.

What a preset says of a file's place is held against the file: against the number of its cells, and against the
latitudes and longitudes in it where it has them. Method, section 1.
"""

import os

import numpy as np
from osgeo import osr

from ..common.errors import InputError
from .containers import exists, file_of, georeferenced, opened_container, variable_of, variables, variables_in
from .encoding import encodings_of
from .gdal_errors import call, codes_as_stated, open_raster
from .grid import Grid, coordinate_transformation, spatial_reference
from .raster import NUMBER, Source, SourceReader, read_info

#: places along rows and columns where latitudes and longitudes are looked at
PLACES = (0.02, 0.5, 0.98)
#: by how much of a cell a latitude or longitude may lie off: half of it between its corner and its centre, and rounding
MOST_OFF = 0.6


def opened(path, product=None, progress=None, variable="", wkt="", extent=()):
    """Return the RasterInfo of a file with the CRS and extent it should have.

    ``wkt`` and ``extent`` (west, east, south, north) go before those of ``product``, whose CRS counts where the file
    states none or the product's files are known to state a wrong one, and whose extent counts where the file has none.
    ``progress`` None keeps it silent. Raises InputError, also where the preset's extent is not that of the file, and
    GridError.
    """
    inner, names = path, {}
    dataset = opened_container(path)
    if exists(path):
        names = variables_in(dataset)
        inner = variable_of(path, variable, product.variables if product else (), names)
    if not (wkt or extent or product and (product.crs or product.extent)):
        # nothing to hold against what the file states
        return read_info(inner)
    if inner != path:
        dataset = open_raster(inner)
    stated, located = dataset.GetProjection(), dataset.GetGeoTransform(can_return_null=True) is not None
    size = dataset.RasterXSize, dataset.RasterYSize
    del dataset
    name = os.path.basename(file_of(path))
    if progress and wkt and stated and not _same(stated, wkt):
        progress.warn(f"{name} states another CRS than CRS; CRS is used.")
    given = extent
    if product:
        preset = _wkt(product.crs) if product.crs else ""
        if not wkt and preset and (not stated or product.crs_wrong and _of_one_kind(stated, preset)):
            wkt = preset
            if progress and not _same(stated, preset):
                progress.info(f"{name} states {'another' if stated else 'no'} CRS; that of the product is used, "
                              f"{product.crs}.")
        if not extent and product.extent and not located:
            extent = product.extent
    if extent and not located:
        told = _check_coordinates(path, names, size, wkt or stated, extent)
        if not given and not told:
            _check_shape(name, size, product, progress)
    if wkt and stated and _same(stated, wkt):
        wkt = ""
    return read_info(georeferenced(inner, wkt, extent))


def _check_shape(name, size, product, progress):
    """Raise InputError where a file has not the cells of the product, whose extent it would be given.

    A file with a whole number of times fewer cells both ways is a coarser copy of the same extent.
    """
    if not product.shape or size == product.shape:
        return
    times = product.shape[0] / size[0]
    if times == int(times) and times == product.shape[1] / size[1]:
        if progress:
            progress.warn(f"{name} has {size[0]} x {size[1]} cells, {product.title} has {product.shape[0]} x "
                          f"{product.shape[1]}: it is taken for a coarser copy of the same extent.")
        return
    siblings = f" {product.siblings[0].upper()}{product.siblings[1:]}." if product.siblings else ""
    raise InputError(f"{name} has {size[0]} x {size[1]} cells and no georeference, but {product.title} has "
                     f"{product.shape[0]} x {product.shape[1]} cells of {product.cell:g}: it is another product or a "
                     f"part of this one, and where it lies is not known.{siblings} Set EXTENT and CRS, or give the "
                     f"right file.")


def _check_coordinates(path, names, size, wkt, extent):
    """Return whether a file has latitudes and longitudes of its cells; raise InputError where they contradict
    ``extent``."""
    arrays = _coordinates(path, names, size) if wkt else None
    if arrays is None:
        return False
    latitude, longitude, columns, rows = arrays
    with np.errstate(invalid="ignore"):
        known = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 360)
    if known.sum() < 3:
        return False
    west, east, south, north = extent
    change = coordinate_transformation(osr.SRS_WKT_WGS84_LAT_LONG, wkt)
    worst = 0.0
    for y, x, column, row in zip(latitude[known], longitude[known], columns[known], rows[known]):
        point, _ = call(change.TransformPoint, float((x + 180) % 360 - 180), float(y))
        if point is None or not np.isfinite(point[:2]).all():
            continue
        across = abs((point[0] - west) / (east - west) * size[0] - (column + 0.5))
        # the date line is both edges
        across = min(across, abs(across - size[0])) if spatial_reference(wkt).IsGeographic() else across
        worst = max(worst, across, abs((north - point[1]) / (north - south) * size[1] - (row + 0.5)))
    if worst > MOST_OFF:
        raise InputError(f"{os.path.basename(file_of(path))}: the latitudes and longitudes in the file lie up to "
                         f"{worst:.3g} cells away from where the extent {', '.join(f'{edge:g}' for edge in extent)} "
                         f"puts its cells. It is another product or on another grid. Set EXTENT and CRS to those of "
                         f"the file, or give the right one.")
    return True


def _coordinates(path, names, size):
    """Return (latitudes, longitudes, columns, rows) of some cells from two variables of the size of the data, or
    None."""
    if not names and exists(file_of(path)):
        names = variables(file_of(path))
    found = {}
    for kind in ("lat", "lon"):
        for name, place in names.items():
            if kind in name.rsplit("/", 1)[-1].lower():
                dataset = open_raster(place)
                if (dataset.RasterXSize, dataset.RasterYSize) == size and dataset.RasterCount == 1:
                    # where its cells lie is what is asked, so any place will do
                    grid = Grid(osr.SRS_WKT_WGS84_LAT_LONG, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), *size)
                    found.setdefault(kind, Source(place, 1, NUMBER, grid, encodings_of(dataset, name)[0],
                                                   keep=(-360.0, 360.0)))
    if len(found) < 2:
        return None
    columns, rows = (np.array([min(int(place * cells), cells - 1) for place in PLACES]) for cells in size)
    columns, rows = (array.ravel() for array in np.meshgrid(columns, rows))
    reader = SourceReader()
    values = [np.array([reader.read(item, int(row), 1, int(column), 1)[0, 0] for column, row in zip(columns, rows)])
              for item in (found["lat"], found["lon"])]
    reader.close()
    return (*values, columns, rows)


def _wkt(text):
    reference = osr.SpatialReference()
    with codes_as_stated():
        failure = call(reference.SetFromUserInput, text) != (0, "")
    if failure:
        raise InputError(f"'{text}' is no CRS. Write an EPSG code or a PROJ text in the table of products.")
    return reference.ExportToWkt()


def _same(stated, wkt):
    return bool(stated) and bool(spatial_reference(stated).IsSame(spatial_reference(wkt)))


def _of_one_kind(stated, wkt):
    # coordinates in metres are not put right by stating degrees: then the file has been projected since
    return spatial_reference(stated).IsGeographic() == spatial_reference(wkt).IsGeographic()
