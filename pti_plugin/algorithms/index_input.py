"""Parameters of the ensemble and of the index, for the tools of their own and for those that run both."""

from ..core.ensembles.permafrost import EnsembleOptions
from ..core.index.pti import PtiOptions
from .base import UNITS_HELP


def add_products(tool, optional=False):
    """Add the lists of products, PP and MAGT."""
    tool.add_rasters("PP", "Permafrost percent products (PP)",
                     "Two or more rasters of permafrost percent or probability, 0 to 100 %.", optional, minimum=2)
    tool.add_rasters("MAGT", "Ground temperature products (MAGT)",
                     "Two or more rasters of mean annual ground temperature in °C.", optional, minimum=2)


def add_ensemble_options(tool):
    """Add how products become an ensemble: UNITS, ABSENT, MIN_PRODUCTS, MIN_MAGT, MIN_LATITUDE."""
    tool.add_text("UNITS", "Units of the products (name=unit; …)", UNITS_HELP)
    tool.add_text("ABSENT", "PP products whose nodata means 'no permafrost'",
                  "File names or patterns, separated by semicolons (* for all). In these products a cell without "
                  "data counts as 0 % wherever another product has a value, as in Permafrost_CCI and the Obu map.")
    tool.add_integer("MIN_PRODUCTS", "PP products needed for permafrost",
                     "A cell is permafrost where at least so many products exceed 0 %.", 2, 1, advanced=True)
    tool.add_integer("MIN_MAGT", "MAGT products needed",
                     "A cell has a MAGT where at least so many products have one.", 2, 1, advanced=True)
    tool.add_number("MIN_LATITUDE", "Southern limit (degrees north)",
                    "Cells whose centre lies south of it are nodata; the paper maps the land north of 45. -90 for "
                    "no limit.", -90.0, -90.0, 90.0, advanced=True)


def ensemble_options(tool, parameters, context, **products):
    """Return the EnsembleOptions of a run; ``products``: what it says of products beside UNITS."""
    return EnsembleOptions(
        tool.parameterAsInt(parameters, "MIN_PRODUCTS", context),
        tool.parameterAsInt(parameters, "MIN_MAGT", context),
        tool.parameterAsDouble(parameters, "MIN_LATITUDE", context),
        **{"units": tool.parameterAsString(parameters, "UNITS", context), **products},
        absent=tool.parameterAsString(parameters, "ABSENT", context))


def add_trends(tool, optional=False):
    """Add the significant signs of the trends, MAGT_TREND and ALT_TREND."""
    tool.add_raster("MAGT_TREND", "MAGT trend (significant sign)",
                    "Significant-sign raster (-1, 0, 1) of the trend tool for MAGT.", optional)
    tool.add_raster("ALT_TREND", "ALT trend (significant sign)",
                    "Significant-sign raster (-1, 0, 1) of the trend tool for the active layer thickness.", optional)


def add_index_options(tool):
    """Add the thresholds and choices of the index: COLD, COOL, WARM, ISOLATED, UNTESTABLE, ISOLATED_MAGT."""
    tool.add_number("COLD", "Cold below (°C)", "Upper limit of cold permafrost, open.", -3.0, advanced=True)
    tool.add_number("COOL", "Cool up to (°C)", "Upper limit of cool permafrost, closed.", -1.5, advanced=True)
    tool.add_number("WARM", "Warm up to (°C)", "Warmer cells are no permafrost and excluded.", 3.0, advanced=True)
    tool.add_number("ISOLATED", "Isolated patches below (% PP)", "PP below it is rank 40.", 10.0, 0, 100,
                    advanced=True)
    tool.add_choice("UNTESTABLE", "A trend that could not be tested",
                    "Counts as no positive trend (with a reason code of its own), or leaves the cell unranked.",
                    ("counts as no positive trend", "leaves the cell without a rank"), advanced=True)
    tool.add_choice("ISOLATED_MAGT", "Rank 40 where MAGT is missing",
                    "Rank 40 rests on PP alone; choose nodata to ask for a MAGT as well.",
                    ("rank 40", "nodata"), advanced=True)


def index_options(tool, parameters, context, **others):
    """Return the PtiOptions of a run; ``others`` are further fields of it."""
    return PtiOptions(
        *(tool.parameterAsDouble(parameters, name, context) for name in ("COLD", "COOL", "WARM", "ISOLATED")),
        isolated_needs_magt=tool.parameterAsEnum(parameters, "ISOLATED_MAGT", context) == 1,
        untestable_is_nodata=tool.parameterAsEnum(parameters, "UNTESTABLE", context) == 1, **others)
