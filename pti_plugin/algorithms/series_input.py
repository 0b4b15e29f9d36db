"""The ways a tool takes a raster series: layers, a folder, or a variable of a file."""

from qgis.core import QgsProcessingParameterCrs, QgsProcessingParameterFile

from ..core.errors import InputError
from ..core.time_axis import files_in, variable_of
from . import compat


def add_series(tool):
    """Add the parameters INPUT, FOLDER, PATTERN, FILE, VARIABLE and CRS to ``tool``."""
    tool.add_rasters("INPUT", "Layers of the series",
                     "Single-band rasters, or one multi-band raster. Leave empty to use FOLDER or FILE.",
                     optional=True)
    tool.add(QgsProcessingParameterFile("FOLDER", "Folder of layers", compat.FOLDER, optional=True),
             "Instead of INPUT: a folder with one raster a time step.")
    tool.add_text("PATTERN", "File names in the folder", "Which files of FOLDER to take; * and ? may be used.", "*.tif")
    tool.add_file("FILE", "netCDF or HDF file", "Instead of INPUT: a file whose variable is the series.",
                  optional=True, filters="netCDF, HDF (*.nc *.nc4 *.hdf *.h5 *.he5);;All files (*)")
    tool.add_text("VARIABLE", "Variable of the file", "Name of the variable in FILE, or in every file of FOLDER; only "
                  "needed where they have several.")
    tool.add(QgsProcessingParameterCrs("CRS", "CRS of files that state none", optional=True),
             "netCDF files often state no CRS; for longitudes and latitudes choose EPSG:4326.", advanced=True)


def series_paths(tool, parameters, context):
    """Return the rasters of the series from whichever of INPUT, FOLDER and FILE is given; raises InputError."""
    folder = tool.parameterAsString(parameters, "FOLDER", context)
    file = tool.parameterAsString(parameters, "FILE", context)
    variable = tool.parameterAsString(parameters, "VARIABLE", context).strip()
    given = [name for name, value in (("INPUT", parameters.get("INPUT")), ("FOLDER", folder), ("FILE", file)) if value]
    if len(given) != 1:
        raise InputError("Give the series by exactly one of INPUT (layers), FOLDER and FILE; "
                         f"{' and '.join(given) if given else 'none'} given.")
    if folder:
        files = files_in(folder, tool.parameterAsString(parameters, "PATTERN", context))
        return [variable_of(path, variable) for path in files] if variable else files
    if file:
        return [variable_of(file, variable)]
    return tool.raster_paths(parameters, "INPUT", context)
