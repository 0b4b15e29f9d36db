"""The ways a tool takes a raster series: layers, a folder, or a variable of a file."""

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingParameterCrs,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
)

from ..core.common.errors import InputError
from ..core.rasters.folders import unpacked
from ..core.rasters.products import read_products
from ..core.rasters.units import parse_flags, parse_range
from . import compat
from .product_input import products_of


def add_series(tool, title="Layers of the series", crs_title="CRS of files that state none",
               crs_help="netCDF files often state no CRS; for longitudes and latitudes choose EPSG:4326."):
    """Add the parameters INPUT, FOLDER, PATTERN, FILE, VARIABLE, SELECT, DATE_FORMAT and CRS to ``tool``."""
    tool.add_rasters("INPUT", title, "Single-band rasters, or one multi-band raster. Leave empty to use FOLDER or "
                     "FILE.", optional=True)
    tool.add(QgsProcessingParameterFile("FOLDER", "Folder of layers", compat.FOLDER, optional=True),
             "Instead of INPUT: a folder with one raster, or the tiles of one, a time step. Folders and archives below "
             "it count too.")
    tool.add_text("PATTERN", "File names in the folder", "Which files of FOLDER to take; * and ? may be used, "
                  "semicolons stand between several, and 2005/* is held against the place below FOLDER.", "*.tif")
    tool.add_file("FILE", "netCDF, HDF or GRIB file", "Instead of INPUT: a file whose variable is the series.",
                  optional=True,
                  filters="netCDF, HDF, GRIB (*.nc *.nc4 *.hdf *.h5 *.he5 *.grib *.grib2 *.grb *.grb2);;All files (*)")
    tool.add_text("VARIABLE", "Variable of the file", "Name of the variable in FILE, or in every file of FOLDER; only "
                  "needed where they have several and the product does not tell.")
    tool.add_text("SELECT", "Choice along other dimensions", "For files whose bands differ along more than the time, "
                  "such as depth or member: dimension=value pairs, such as depth=1; member=3. The error that asks for "
                  "it lists the choices.")
    tool.add_text("DATE_FORMAT", "Form of the dates in names", "Only where the names of files or bands can be read in "
                  "several ways, such as 01.02.2000: %d.%m.%Y. Codes: %Y year, %y its last two digits, %m month, %d "
                  "day, %j day of the year, %b English name of the month, * any text; all else as it stands.",
                  advanced=True)
    tool.add(QgsProcessingParameterCrs("CRS", crs_title, optional=True), crs_help, advanced=True)


def add_nodata(tool, advanced=False):
    """Add the parameters VALID and FLAGS, which say what else is nodata."""
    tool.add_text("VALID", "Valid range", "Lowest and highest value, such as 0..100, in units after the file's own "
                  "scale and offset; anything else is nodata. The presets of products know theirs, which this "
                  "replaces.", advanced=advanced)
    tool.add_text("FLAGS", "Flag codes", "Codes that mean nodata, as they are stored, with commas between: "
                  "211, 250, 255. The presets of products know theirs, which these replace.", advanced=advanced)


def time_of(tool, parameters, context):
    """Return {"select", "date_format"} as the options of the core take them."""
    return {name.lower(): tool.parameterAsString(parameters, name, context).strip()
            for name in ("SELECT", "DATE_FORMAT")}


def nodata_of(tool, parameters, context):
    """Return {"valid", "flags"} as the options of the core take them; raises InputError."""
    return {"valid": parse_range(tool.parameterAsString(parameters, "VALID", context)),
            "flags": parse_flags(tool.parameterAsString(parameters, "FLAGS", context))}


def series_files(tool, parameters, context, progress):
    """Return the rasters of whichever of INPUT, FOLDER and FILE is given, those of archives too; raises InputError."""
    folder = tool.parameterAsString(parameters, "FOLDER", context)
    file = tool.parameterAsString(parameters, "FILE", context)
    given = [name for name, value in (("INPUT", parameters.get("INPUT")), ("FOLDER", folder), ("FILE", file)) if value]
    if len(given) != 1:
        raise InputError("Give the layers by exactly one of INPUT (layers), FOLDER and FILE; "
                         f"{' and '.join(given) if given else 'none'} given.")
    if folder:
        own = tool.parameterAsString(parameters, "PRODUCTS", context) if tool.parameterDefinition("PRODUCTS") else ""
        return tool.folder_files(folder, tool.parameterAsString(parameters, "PATTERN", context), progress,
                                 read_products(own or None))
    return unpacked(file) if file else tool.raster_paths(parameters, "INPUT", context)


def reading_of(tool, parameters, context):
    """Return what a series tool says of its files beside their places, as the options of the core take it."""
    # layers of QGIS are of one variable each
    variable = "" if parameters.get("INPUT") else tool.parameterAsString(parameters, "VARIABLE", context).strip()
    return {**products_of(tool, parameters, context), **nodata_of(tool, parameters, context), "variable": variable,
            "wkt": wkt_of(tool, parameters, "CRS", context), "extent": extent_of(tool, parameters, "EXTENT", context)}


def add_place(tool):
    """Add EXTENT, for files without a georeference, and MIN_LATITUDE, the southern limit of what is computed."""
    tool.add(QgsProcessingParameterExtent("EXTENT", "Extent instead of the file's", optional=True),
             "xmin,xmax,ymin,ymax of the file's outer edges in its own CRS, for files without a georeference.",
             advanced=True)
    tool.add_number("MIN_LATITUDE", "Southern limit (degrees north)", "Only what lies north of it is computed: of a "
                    "global grid, the rest is neither read nor written. -90 for no limit.", -90.0, -90.0, 90.0,
                    advanced=True)


def extent_of(tool, parameters, name, context, crs=None):
    """Return (west, east, south, north) of an extent, in ``crs`` where it says its own, or () where it is empty."""
    if not parameters.get(name):
        return ()
    place = tool.parameterAsExtent(parameters, name, context, crs or QgsCoordinateReferenceSystem())
    if place.isEmpty():
        raise InputError(f"{name} is '{parameters[name]}'; write four numbers, xmin,xmax,ymin,ymax, each first one "
                         f"the smaller.")
    return place.xMinimum(), place.xMaximum(), place.yMinimum(), place.yMaximum()


def wkt_of(tool, parameters, name, context):
    """Return the WKT of a CRS parameter, or ''."""
    crs = tool.parameterAsCrs(parameters, name, context)
    return crs.toWkt() if crs.isValid() else ""
