"""Files as data centres publish them: a variable of netCDF or HDF, a CRS or extent put right.

What comes out are texts that GDAL opens like a path: a subdataset, or a virtual raster written out.
"""

import math
import os
import re
from fnmatch import fnmatch
from html import unescape

from osgeo import gdal

from ..common.errors import InputError
from .encoding import drop_changed_nodata
from .gdal_errors import call, open_raster
from .gdal_texts import subdatasets_of, virtual_text
from .grid import spatial_reference

#: how a virtual raster that is written out begins; GDAL opens the text itself
VIRTUAL = "<VRTDataset"
_INNER = re.compile(r"<Source(?:Filename|Dataset)\b[^>]*>([^<]+)</Source")
_BOUNDS = re.compile(r"(?:^|_)(?:bnds?|bounds)$", re.IGNORECASE)
_SIZES = re.compile(r"^\[(?P<sizes>[\dx]+)\]\s*(?P<title>.*?)\s*\([^()]*\)$")


def exists(path):
    """True where ``path`` is a file, on the disc or in an archive as GDAL names it."""
    path = str(path)
    return os.path.isfile(path) or path.startswith("/vsi") and call(gdal.VSIStatL, path)[0] is not None


def file_of(path):
    """Return the file inside a subdataset string, or the path itself."""
    path = inner_paths(str(path))[0]
    if exists(path):
        return path
    return next((part for part in (*path.split('"'), *path.split(":")) if part and exists(part)), path)


def variable_named(path):
    """Return the name of the variable that a subdataset string stands for, or '' for any other path."""
    path, file = str(path), file_of(path)
    if file == path:
        return ""
    names = {place: name for name, place in reversed(variables(file).items())}
    return names.get(path) or path.rsplit(":", 1)[-1].lstrip("/")


def variables(path):
    """Return {name: subdataset} of a netCDF or HDF file, in its order; empty for any other raster.

    A variable inside a group is known by its short name too, unless two share it.
    """
    return variables_in(opened_container(path))


def variables_in(dataset):
    """Return what ``variables`` does, of an open data set."""
    found, short = {}, {}
    for place, text in subdatasets_of(dataset):
        name = place.replace('"', "").rsplit(":", 1)[-1]
        described = _SIZES.match(text)
        if name.isdigit() and described:
            # HDF4 numbers its data sets; the name stands in the description
            name = described["title"]
        found[name.lstrip("/")] = place
        short.setdefault(name.rsplit("/", 1)[-1], []).append(place)
    found.update({name: places[0] for name, places in short.items() if len(places) == 1 and name not in found})
    return found


def only_variable(path):
    """Return the name of the variable of a netCDF or HDF5 file that GDAL opens as a raster at once, or ''."""
    dataset = opened_container(path)
    band = dataset.GetRasterBand(1) if dataset.RasterCount else None
    place = dataset.GetDescription()
    within = place.rsplit(":", 1)[-1].lstrip("/") if place.startswith("HDF5:") else ""
    return (band.GetMetadataItem("NETCDF_VARNAME") if band else None) or within


def variable_of(path, variable="", patterns=(), names=None):
    """Return what GDAL opens for one variable of a netCDF or HDF file, or ``path`` where it holds a single one.

    Without ``variable``, the one whose name matches one of ``patterns`` is taken, the first pattern first. ``names``
    are its variables where they are known already. Raises InputError listing the variables where the one asked for
    does not exist or several could be meant.
    """
    names = variables(path) if names is None else names
    if not names:
        own = only_variable(path) if variable else ""
        if own == variable:
            return path
        raise InputError(f"{path} has no variable '{variable}'. " + (
            f"Its only one is {own}." if own else "It holds layers without names; leave VARIABLE empty."))
    if variable in names:
        return names[variable]
    if not variable:
        for pattern in patterns:
            places = {place for name, place in names.items() if fnmatch(name.lower(), pattern.lower())}
            if len(places) == 1:
                return places.pop()
        # the limits of cells and of time steps stand beside nearly every variable of climate files
        measured = {place for name, place in names.items() if not _BOUNDS.search(name)} or set(names.values())
        if len(measured) == 1:
            return measured.pop()
    problem = f"has no variable '{variable}'" if variable else "holds several variables where one is asked for"
    raise InputError(f"{path} {problem}. Set VARIABLE to one of: {', '.join(sorted(names))}.")


def opened_container(path):
    """Return the GDAL data set of a raster or of a container of several, which has no band; raises InputError."""
    try:
        return open_raster(path)
    except InputError as error:
        if "holds no raster band" not in str(error):
            raise
        return call(gdal.OpenEx, str(path), gdal.OF_RASTER)[0]


def parse_extent(text):
    """Return (west, east, south, north) of a text as QGIS writes extents, ``xmin,xmax,ymin,ymax``, or () if empty.

    What follows the numbers (the CRS in square brackets) is left out. Raises InputError.
    """
    text = text.split("[")[0].strip()
    if not text:
        return ()
    try:
        west, east, south, north = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"The extent is '{text}'; write four numbers, xmin,xmax,ymin,ymax.") from None
    if not all(map(math.isfinite, (west, east, south, north))) or west >= east or south >= north:
        raise InputError(f"The extent is '{text}'; xmin must be less than xmax, and ymin less than ymax.")
    return west, east, south, north


def georeferenced(path, wkt="", extent=()):
    """Return ``path`` with another CRS and extent (west, east, south, north) than the file states, as GDAL opens it.

    Nothing is written; ``path`` comes back as it is where neither is given. Raises InputError.
    """
    if not wkt and not extent:
        return path
    dataset = open_raster(os.path.abspath(path) if os.path.exists(str(path)) else path)
    options = {"format": "VRT"}
    if wkt:
        # without axis order given, the text of a geographic CRS would turn x and y
        options["outputSRS"] = spatial_reference(wkt).ExportToWkt()
    if extent:
        west, east, south, north = extent
        options["outputBounds"] = (west, north, east, south)
    virtual, failure = call(gdal.Translate, "", dataset, **options)
    if virtual is not None:
        drop_changed_nodata(dataset, virtual)
    text = virtual_text(virtual) if virtual is not None else ""
    if failure or not text.startswith(VIRTUAL):
        raise InputError(f"{path} cannot be given another CRS or extent: {failure or 'GDAL made no virtual raster'}.")
    return text


def inner_paths(text):
    """Return the rasters that the text of a virtual raster stands for, in order; of any other path just that path."""
    if not text.startswith(VIRTUAL):
        return [text]
    return [path for inner in _INNER.findall(text) for path in inner_paths(unescape(inner))] or [text]
