"""Builds the bundled model, resources/models/full_chain.model3, from the tools as they are.

Run it with the oldest QGIS supported (3.22) after changing a tool's parameters: models saved by newer versions name
their outputs in a way the old one does not know. QT_HASH_SEED keeps the file's order, so that a difference shows what
changed. Usage: QT_HASH_SEED=0 QT_QPA_PLATFORM=offscreen PYTHONPATH=. python scripts/build_model.py
"""

import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QPointF, QSizeF

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pti_plugin.algorithms.exclusion_input import DEFAULT_CODES  # noqa: E402
from pti_plugin.core.ensembles.features import PREDICTORS  # noqa: E402

TARGET = ROOT / "resources" / "models" / "full_chain.model3"

#: Permafrost_CCI is forced by ERA5 before it and by MODIS from it on
LATER_YEAR = 2003

HELP = ("Runs the whole method: ensemble of permafrost products, trends, thaw index, land cover, the sixteen "
        "predictors from the products as they are published, XGBoost ensemble, predicted map and validation. Every "
        "layer may be on its own grid; the result takes the grid of TARGET. Series may be many layers or one file of "
        "many bands; they are put in the order of their time stamps.")


def rasters(name, title, optional=False):
    """Return a multiple raster parameter."""
    return QgsProcessingParameterMultipleLayers(name, title, QgsProcessing.TypeRaster, optional=optional)


def number(name, title, default, low):
    """Return a whole-number parameter."""
    return QgsProcessingParameterNumber(name, title, QgsProcessingParameterNumber.Integer, default, minValue=low)


def decimal(name, title, default, low):
    """Return a decimal-number parameter."""
    return QgsProcessingParameterNumber(name, title, QgsProcessingParameterNumber.Double, default, minValue=low)


PARAMETERS = [
    rasters("PP", "Permafrost percent products (PP)"),
    rasters("MAGT", "Ground temperature products (MAGT)"),
    QgsProcessingParameterString("UNITS", "Units of the products (name=unit; …)", "", optional=True),
    QgsProcessingParameterString("ABSENT", "PP products whose nodata means 'no permafrost'", "", optional=True),
    rasters("MAGT_SERIES", "Annual MAGT layers"),
    rasters("ALT_SERIES", "Annual active layer thickness layers"),
    rasters("CCI", "LandCover_CCI, one raster a year"),
    QgsProcessingParameterRasterLayer("GLCC", "GLCC Global Ecosystems"),
    QgsProcessingParameterRasterLayer("CAVM", "CAVM raster"),
    rasters("LST_SERIES", "Land surface temperature, monthly layers"),
    rasters("SNOW_SERIES", "Snow cover, monthly layers (%)"),
    rasters("NDVI_SERIES", "NDVI, 8-day layers"),
    QgsProcessingParameterFile("FREEZE_THAW", "Folder of daily freeze/thaw files",
                               QgsProcessingParameterFile.Folder),
    QgsProcessingParameterString("FREEZE_THAW_FILES", "Names of the freeze/thaw files", "*.tif"),
    rasters("SOC", "Soil organic carbon, depth layers"),
    rasters("COARSE_FRAGMENTS", "Coarse fragments, depth layers"),
    rasters("BULK_DENSITY", "Bulk density, depth layers"),
    rasters("WATER_CONTENT", "Water content at 33 kPa, depth layers"),
    QgsProcessingParameterRasterLayer("PEAT", "Global Peatland Map 2.0"),
    QgsProcessingParameterRasterLayer("ELEVATION", "Elevation (m)"),
    QgsProcessingParameterFile("STATIONS_MAGT", "Ground temperature stations"),
    QgsProcessingParameterFile("STATIONS_ALT", "Thaw depth stations"),
    QgsProcessingParameterFeatureSource("ZONES", "Zones for areas and means",
                                        [QgsProcessing.TypeVectorPolygon], optional=True),
    QgsProcessingParameterString("ZONE_FIELD", "Field with the names of the zones", "", optional=True),
    QgsProcessingParameterRasterLayer("TARGET", "Target grid (like this layer)"),
    QgsProcessingParameterString("EXCLUDE_CODES", "Classes left out", DEFAULT_CODES, optional=True),
    QgsProcessingParameterEnum("PROFILE", "Profile", ["defensible", "as_published"], defaultValue=0),
    number("RUNS", "Runs of the ensemble", 100, 1),
    number("ROUNDS", "Boosting rounds", 300, 1),
    number("PER_CLASS", "Samples per rank (-1 = by the paper's Table 3)", -1, -1),
    decimal("SPACING", "Spacing of the samples (km, -1 = by the paper's Table 3)", -1, -1),
    decimal("EDGE_BUFFER", "Edge buffer of the samples (km, -1 = by the paper's Table 3)", -1, -1),
    number("SELECT_ROUNDS", "Rounds of the feature selection (0 = as many as the models)", 0, 0),
    number("START_YEAR", "Later first year of the trends", LATER_YEAR, 0),
    number("SEED", "Seed", 42, 0),
    QgsProcessingParameterString("NOTE", "Note on the map", "", optional=True),
]

#: what a series may be given as
SERIES = "One raster a {step}, or one raster with a band a {step}, with times in metadata, band names or file names."
#: the depths of the paper, which SoilGrids names its files after
DEPTHS = "One raster a depth (0-5, 5-15, 15-30, 30-60 and 60-100 cm), named as by SoilGrids: {name}_0-5cm_mean.tif."

#: help of the parameters for which that of the tool they feed speaks of other ways to give the layers
INPUT_HELP = {
    "MAGT_SERIES": "Mean annual ground temperature of Permafrost_CCI, 1997 to 2021, °C or K; only the sign of the "
                   "trend enters the index. " + SERIES.format(step="year"),
    "ALT_SERIES": "Active layer thickness of Permafrost_CCI, 1997 to 2021, m or cm; only the sign of the trend enters "
                  "the index. " + SERIES.format(step="year"),
    "CCI": "Codes of LandCover_CCI, 2018 to 2022: annual maps with the year in the file name, or one raster with a "
           "band a year. One map is enough; of several the most frequent code counts.",
    "TARGET": "A raster whose CRS, extent and cell size the results take. Layers on other grids are warped on the fly: "
              "classes by mode or nearest, numbers by average or bilinear.",
    "LST_SERIES": "GLASS land surface temperature, 2000 to 2020, K or °C, fill values declared as nodata. Gives its "
                  "mean and its significant trend. Missing months are filled from the same month of other years. "
                  + SERIES.format(step="month"),
    "SNOW_SERIES": "MOD10CM snow cover, July 2000 to June 2025, 0 to 100 %; values above are flags and become nodata. "
                   "Gives the mean of the snow years and the significant trend. Missing months are filled from the "
                   "same month of other years. " + SERIES.format(step="month"),
    "NDVI_SERIES": "GLASS NDVI, 2000 to 2024, 46 composites a year, fill values declared as nodata. Gives the mean of "
                   "the annual maxima, the mean of the annual sums above 0, and the significant trend. Missing "
                   "composites are filled from the same days of other years. " + SERIES.format(step="composite"),
    "FREEZE_THAW": "PER-FT, 2002 to 2021: a folder with one raster a day, or netCDF files of many days. 0 is frozen in "
                   "the morning and in the evening, 1 thawed, 2 and 3 frozen in one of them; codes above are masks and "
                   "become nodata. Gives the frozen days a year, without years of fewer than 350 valid days.",
    "FREEZE_THAW_FILES": "Which files of the folder to take; * and ? may be used, as in *_CO_FT_*.tif.",
    "SOC": "Soil organic carbon (SoilGrids: dg/kg). Gives the mean over depth. " + DEPTHS.format(name="soc"),
    "COARSE_FRAGMENTS": "Volume of coarse fragments (SoilGrids: cm3/dm3). Gives the mean over depth. "
                        + DEPTHS.format(name="cfvo"),
    "BULK_DENSITY": "Bulk density of the fine earth (SoilGrids: cg/cm3). Gives the mean over depth. "
                    + DEPTHS.format(name="bdod"),
    "WATER_CONTENT": "Volumetric water content at 33 kPa (SoilGrids: 10^-3 cm3/cm3). Gives the mean over depth. "
                     + DEPTHS.format(name="wv0033"),
    "PEAT": "Codes of the Global Peatland Map: 1 peat dominated, 2 peat in soil mosaic. They become 100 and 50; cells "
            "without peat or without data become 0.",
    "ELEVATION": "WorldClim, SRTM or another elevation model in metres, one band on any grid, the sea as nodata. It is "
                 "averaged to the target grid, and the slope is taken from there.",
    "ZONES": "Polygons such as ecoregions, in any CRS; the report then has areas, ranks and means of the predictors of "
             "each, beside those of the whole map.",
    "EXCLUDE_CODES": "Codes of the ensemble land cover with commas between. Their cells have no rank, are not learned "
                     "from, and are in no map, area or mean; 210 and 220 are water and glacier ice. -1 leaves out "
                     "nothing.",
    "START_YEAR": "Beside the index of the full series stands one with trends from this year on, and a layer and a "
                  "section of the report say what changes. Permafrost_CCI changes its forcing in 2003.",
    "PER_CLASS": "How many points are drawn of every rank. -1: as many as the paper's Table 3 asks for, 4,087 to "
                 "9,094, where there is ground for them.",
    "STATIONS_ALT": "Delimited text, a row a site and year (or a column a year): site, latitude, longitude, year, "
                    "thaw depth in cm or m.",
}

ADVANCED = ("EXCLUDE_CODES", "ROUNDS", "PER_CLASS", "SPACING", "EDGE_BUFFER", "SELECT_ROUNDS", "START_YEAR", "SEED",
            "NOTE")

#: titles of outputs that two steps would give alike; the others keep the title of their tool
OUTPUT_TITLES = {
    "magt_trend:SIGN": "Significant sign of MAGT", "magt_trend:SLOPE": "Sen slope of MAGT",
    "alt_trend:SIGN": "Significant sign of ALT", "alt_trend:SLOPE": "Sen slope of ALT",
    "index:PTI": "Conceptual PTI", "index:TABLE": "Area by rank of the conceptual PTI",
    "predict:TABLE": "Area by rank of the predicted PTI",
    "train:METRICS": "Metrics of the model", "predict:METRICS": "Metrics with the agreement wall to wall",
    "zones:TABLE": "Areas by zone", "train:SELECTION": "Feature elimination",
    "later:CHANGE": "Change of the rank with trends from a later year",
    "later:TABLE": "Table of the change with trends from a later year",
    "samples:TABLE": "Samples asked for and drawn",
}

#: child id → (tool, {parameter: model parameter, or (child, output)}, {model output: tool output}, place)
CHILDREN = {
    "ensemble": ("pti:ensemblepermafrost",
                 {"PP": "PP", "MAGT": "MAGT", "UNITS": "UNITS", "ABSENT": "ABSENT", "TARGET": "TARGET"},
                 {"BASE": "OUTPUT_BASE", "PP": "OUTPUT_PP", "MAGT": "OUTPUT_MAGT", "COUNT": "OUTPUT_COUNT",
                  "SPREAD": "OUTPUT_SPREAD"}, (0, 6)),
    "magt_trend": ("pti:trendrasters", {"INPUT": "MAGT_SERIES", "PROFILE": "PROFILE"},
                   {"SIGN": "OUTPUT_SIGN", "SLOPE": "OUTPUT_SLOPE"}, (1, 6)),
    "alt_trend": ("pti:trendrasters", {"INPUT": "ALT_SERIES", "PROFILE": "PROFILE"},
                  {"SIGN": "OUTPUT_SIGN", "SLOPE": "OUTPUT_SLOPE"}, (2, 6)),
    "later_magt_trend": ("pti:trendrasters", {"INPUT": "MAGT_SERIES", "PROFILE": "PROFILE"}, {}, (12, 6)),
    "later_alt_trend": ("pti:trendrasters", {"INPUT": "ALT_SERIES", "PROFILE": "PROFILE"}, {}, (13, 6)),
    "landcover": ("pti:ensemblelandcover",
                  {"CCI": "CCI", "GLCC": "GLCC", "CAVM": "CAVM", "BASE": ("ensemble", "OUTPUT_BASE"),
                   "TARGET": "TARGET", "PROFILE": "PROFILE"},
                  {"COVER": "OUTPUT", "TABLE": "OUTPUT_TABLE"}, (3, 8)),
    "lst": ("pti:compositeseries", {"INPUT": "LST_SERIES", "PROFILE": "PROFILE"}, {}, (5, 3)),
    "lst_trend": ("pti:trendrasters", {"INPUT": "LST_SERIES", "PROFILE": "PROFILE"}, {}, (6, 3)),
    "snow": ("pti:compositeseries", {"INPUT": "SNOW_SERIES", "PROFILE": "PROFILE"}, {}, (7, 3)),
    "snow_trend": ("pti:trendrasters", {"INPUT": "SNOW_SERIES", "PROFILE": "PROFILE"}, {}, (8, 3)),
    "peak_ndvi": ("pti:compositeseries", {"INPUT": "NDVI_SERIES", "PROFILE": "PROFILE"}, {}, (9, 3)),
    "sum_ndvi": ("pti:compositeseries", {"INPUT": "NDVI_SERIES", "PROFILE": "PROFILE"}, {}, (10, 3)),
    "ndvi_trend": ("pti:trendrasters", {"INPUT": "NDVI_SERIES", "PROFILE": "PROFILE"}, {}, (11, 3)),
    "frozen_days": ("pti:compositeseries", {"FOLDER": "FREEZE_THAW", "PATTERN": "FREEZE_THAW_FILES",
                                              "PROFILE": "PROFILE"}, {}, (4.5, 8)),
    "soc": ("pti:depthmean", {"INPUT": "SOC"}, {}, (5.5, 8)),
    "coarse_fragments": ("pti:depthmean", {"INPUT": "COARSE_FRAGMENTS"}, {}, (6.5, 8)),
    "bulk_density": ("pti:depthmean", {"INPUT": "BULK_DENSITY"}, {}, (7.5, 8)),
    "water_content": ("pti:depthmean", {"INPUT": "WATER_CONTENT"}, {}, (8.5, 8)),
    "peat": ("pti:alignrasters", {"INPUT": "PEAT", "TARGET": "TARGET"}, {}, (9.5, 8)),
    "relief": ("pti:slope", {"INPUT": "ELEVATION", "TARGET": "TARGET"}, {}, (10.5, 8)),
    "stack": ("pti:predictorstack",
              {"LST": ("lst", "OUTPUT"), "LST_TREND": ("lst_trend", "OUTPUT_SLOPE_SIGNIFICANT"),
               "FROZEN_DAYS": ("frozen_days", "OUTPUT"), "LAND_COVER": ("landcover", "OUTPUT"),
               "PEAK_NDVI": ("peak_ndvi", "OUTPUT"), "SUM_NDVI": ("sum_ndvi", "OUTPUT"),
               "NDVI_TREND": ("ndvi_trend", "OUTPUT_SLOPE_SIGNIFICANT"), "SNOW": ("snow", "OUTPUT"),
               "SNOW_TREND": ("snow_trend", "OUTPUT_SLOPE_SIGNIFICANT"), "SOC": ("soc", "OUTPUT"),
               "COARSE_FRAGMENTS": ("coarse_fragments", "OUTPUT"), "BULK_DENSITY": ("bulk_density", "OUTPUT"),
               "WATER_CONTENT": ("water_content", "OUTPUT"), "PEAT": ("peat", "OUTPUT"),
               "ELEVATION": ("relief", "OUTPUT_ELEVATION"), "SLOPE": ("relief", "OUTPUT"),
               "BASE": ("ensemble", "OUTPUT_BASE"), "TARGET": "TARGET"},
              {"STACK": "OUTPUT", "RANGES": "OUTPUT_RANGES"}, (7, 11)),
    "index": ("pti:buildpti",
              {"MAGT": ("ensemble", "OUTPUT_MAGT"), "PP": ("ensemble", "OUTPUT_PP"),
               "BASE": ("ensemble", "OUTPUT_BASE"), "MAGT_TREND": ("magt_trend", "OUTPUT_SIGN"),
               "ALT_TREND": ("alt_trend", "OUTPUT_SIGN"), "EXCLUDE": ("landcover", "OUTPUT"),
               "EXCLUDE_CODES": "EXCLUDE_CODES", "TARGET": "TARGET", "PROFILE": "PROFILE"},
              {"PTI": "OUTPUT", "REASON": "OUTPUT_REASON", "TABLE": "OUTPUT_TABLE"}, (2, 11)),
    "later_index": ("pti:buildpti",
                    {"MAGT": ("ensemble", "OUTPUT_MAGT"), "PP": ("ensemble", "OUTPUT_PP"),
                     "BASE": ("ensemble", "OUTPUT_BASE"), "MAGT_TREND": ("later_magt_trend", "OUTPUT_SIGN"),
                     "ALT_TREND": ("later_alt_trend", "OUTPUT_SIGN"), "EXCLUDE": ("landcover", "OUTPUT"),
                     "EXCLUDE_CODES": "EXCLUDE_CODES", "TARGET": "TARGET", "PROFILE": "PROFILE"}, {}, (12.5, 11)),
    "later": ("pti:compareprofiles",
              {"FIRST": ("index", "OUTPUT"), "SECOND": ("later_index", "OUTPUT")},
              {"CHANGE": "OUTPUT", "TABLE": "OUTPUT_TABLE"}, (12.5, 15)),
    "compare": ("pti:compareprofiles",
                {"PP": "PP", "MAGT": "MAGT", "UNITS": "UNITS", "ABSENT": "ABSENT", "TARGET": "TARGET",
                 "MAGT_TREND": ("magt_trend", "OUTPUT_SIGN"), "ALT_TREND": ("alt_trend", "OUTPUT_SIGN"),
                 "EXCLUDE": ("landcover", "OUTPUT"), "EXCLUDE_CODES": "EXCLUDE_CODES"},
                {"TABLE": "OUTPUT_TABLE", "STABILITY": "OUTPUT_STABILITY"}, (0, 13)),
    "samples": ("pti:samplepoints",
                {"PTI": ("index", "OUTPUT"), "STACK": ("stack", "OUTPUT"), "PER_CLASS": "PER_CLASS",
                 "SPACING": "SPACING", "EDGE_BUFFER": "EDGE_BUFFER", "SEED": "SEED", "PROFILE": "PROFILE"},
                {"POINTS": "OUTPUT", "TABLE": "OUTPUT_TABLE"}, (4.5, 15)),
    "train": ("pti:trainxgboost",
              {"SAMPLES": ("samples", "OUTPUT"), "RUNS": "RUNS", "ROUNDS": "ROUNDS", "SELECT_ROUNDS": "SELECT_ROUNDS",
               "SEED": "SEED", "PROFILE": "PROFILE"},
              {"MODEL": "OUTPUT_MODEL", "METRICS": "OUTPUT_METRICS", "SHAP": "OUTPUT_SHAP",
               "SELECTION": "OUTPUT_SELECTION"}, (4.5, 19)),
    "predict": ("pti:predictxgboost",
                {"STACK": ("stack", "OUTPUT"), "MODEL": ("train", "OUTPUT_MODEL"), "BASE": ("index", "OUTPUT"),
                 "REFERENCE": ("index", "OUTPUT")},
                {"PTI": "OUTPUT", "AGREEMENT": "OUTPUT_AGREEMENT", "ENTROPY": "OUTPUT_ENTROPY",
                 "APPLICABILITY": "OUTPUT_APPLICABILITY", "METRICS": "OUTPUT_METRICS",
                 "TABLE": "OUTPUT_TABLE"}, (4.5, 23)),
    "zones": ("pti:summarizezones",
              {"PTI": ("predict", "OUTPUT"), "PP": ("ensemble", "OUTPUT_PP"), "PREDICTORS": ("stack", "OUTPUT"),
               "ZONES": "ZONES", "FIELD": "ZONE_FIELD", "REFERENCE": ("index", "OUTPUT"),
               "MODEL": ("train", "OUTPUT_MODEL")}, {"TABLE": "OUTPUT_TABLE"}, (8, 26)),
    "validate": ("pti:validateboreholes",
                 {"PTI": ("predict", "OUTPUT"), "BASE": ("ensemble", "OUTPUT_BASE"),
                  "MAGT": ("ensemble", "OUTPUT_MAGT"), "PP": ("ensemble", "OUTPUT_PP"),
                  "ZONES": ("zones", "OUTPUT_TABLE"), "COMPARISON": ("compare", "OUTPUT_TABLE"),
                  "START_COMPARISON": ("later", "OUTPUT_TABLE"), "SELECTION": ("train", "OUTPUT_SELECTION"),
                  "STATIONS_MAGT": "STATIONS_MAGT", "STATIONS_ALT": "STATIONS_ALT", "PROFILE": "PROFILE",
                  "OTHER_MAPS": ("index", "OUTPUT"), "PRODUCTS_MAGT": "MAGT", "PRODUCTS_PP": "PP", "UNITS": "UNITS",
                  "MAGT_TREND": ("magt_trend", "OUTPUT_SIGN"), "ALT_TREND": ("alt_trend", "OUTPUT_SIGN"),
                  "EXCLUDE": ("landcover", "OUTPUT"), "EXCLUDE_CODES": "EXCLUDE_CODES",
                  "METRICS": ("predict", "OUTPUT_METRICS"), "APPLICABILITY": ("predict", "OUTPUT_APPLICABILITY"),
                  "SHAP": ("train", "OUTPUT_SHAP"), "NOTE": "NOTE"},
                 {"STATIONS": "OUTPUT", "TABLE": "OUTPUT_TABLE", "SIDE_BY_SIDE": "OUTPUT_SIDE_BY_SIDE",
                  "MAP": "OUTPUT_MAP", "REPORT": "OUTPUT_REPORT", "PDF": "OUTPUT_PDF"},
                 (4.5, 29)),
}


#: place of a model parameter on the canvas, above or beside the first step it feeds
PLACES = {
    "PP": (0, 1), "MAGT": (0, 2), "UNITS": (0, 3), "ABSENT": (0, 4), "MAGT_SERIES": (1, 4), "ALT_SERIES": (2, 4),
    "CCI": (3, 2), "GLCC": (3, 3), "CAVM": (3, 4), "TARGET": (1.5, 0), "PROFILE": (2.5, 0), "EXCLUDE_CODES": (3.5, 0),
    "LST_SERIES": (5.5, 1), "SNOW_SERIES": (7.5, 1), "NDVI_SERIES": (10, 1),
    "FREEZE_THAW": (4.5, 5), "FREEZE_THAW_FILES": (4.5, 6), "SOC": (5.5, 6), "COARSE_FRAGMENTS": (6.5, 6),
    "BULK_DENSITY": (7.5, 6), "WATER_CONTENT": (8.5, 6), "PEAT": (9.5, 6), "ELEVATION": (10.5, 6),
    "PER_CLASS": (2.4, 14), "SPACING": (3.4, 14), "EDGE_BUFFER": (2.4, 15), "SEED": (3.4, 15),
    "RUNS": (2.4, 18), "ROUNDS": (3.4, 18), "SELECT_ROUNDS": (2.4, 19), "START_YEAR": (12.5, 4),
    "STATIONS_MAGT": (2.4, 26), "STATIONS_ALT": (2.4, 27), "NOTE": (3.4, 27), "ZONES": (8, 24),
    "ZONE_FIELD": (9.2, 24),
}
#: canvas units of a column and a row, and size of a box that shows three lines of text
PITCH, BOX = (250, 68), QSizeF(210, 56)
#: steps whose outputs stand below them, where no other step follows; the others have them to their right
OUTPUTS_BELOW = ("ensemble", "magt_trend", "alt_trend", "landcover")


def put(component, column, row):
    """Give a box of the model its place and size."""
    component.setPosition(QPointF(160 + PITCH[0] * column, 40 + PITCH[1] * row))
    component.setSize(BOX)


def help_of(parameter):
    """Return the help of a model parameter: its own, or that of the first tool parameter it feeds."""
    if parameter in INPUT_HELP:
        return INPUT_HELP[parameter]
    for tool, sources, _, _ in CHILDREN.values():
        for name, origin in sources.items():
            if origin == parameter:
                return QgsApplication.processingRegistry().algorithmById(tool).parameterDefinition(name).help()
    raise SystemExit(f"{parameter} feeds no tool")


#: child id → {parameter: value} where the chain departs from a tool's default
CONSTANTS = {
    "ensemble": {"MIN_LATITUDE": 45.0}, "compare": {"MIN_LATITUDE": 45.0},
    "magt_trend": {"SORT": True}, "alt_trend": {"SORT": True},
    "later_magt_trend": {"SORT": True}, "later_alt_trend": {"SORT": True}, "train": {"SELECT": "rfecv"},
    "lst": {"STATISTIC": 0, "PERIOD": 12, "SORT": True},
    "lst_trend": {"PERIOD": 12, "SORT": True},
    # whatever a snow product stores above 100 % is a flag
    "snow": {"STATISTIC": 3, "PERIOD": 12, "VALID": "0..100", "SORT": True},
    "snow_trend": {"PERIOD": 12, "VALID": "0..100", "SORT": True},
    "peak_ndvi": {"STATISTIC": 1, "PERIOD": 46, "SORT": True},
    "sum_ndvi": {"STATISTIC": 2, "PERIOD": 46, "SORT": True},
    "ndvi_trend": {"PERIOD": 46, "SORT": True},
    "frozen_days": {"STATISTIC": 4, "PERIOD": 365, "VALID": "0..3", "SORT": True},
    "peat": {"PRODUCT": "gpm2"},
}
#: child id → {parameter: expression of the model's parameters}
EXPRESSIONS = {
    # the paper's trends are those of the filled series
    **{name: {"FILL": "@PROFILE = 1"} for name in ("lst_trend", "snow_trend")},
    # without a value from the caller QGIS hands on the default of the tool instead of that of the model
    **{name: {"FIRST_YEAR": f"coalesce(@START_YEAR, {LATER_YEAR})"}
       for name in ("later_magt_trend", "later_alt_trend")},
}


def described(name, title):
    """Return the title of a step, with what it is for where several steps run the same tool."""
    tool = CHILDREN[name][0]
    if sum(other == tool for other, _, _, _ in CHILDREN.values()) == 1:
        return title
    if name.startswith("later"):
        return f"{title}, trends from a later year: {name.split('_')[1].upper()}" if name.endswith("_trend") else \
            f"{title}: trends from a later year"
    what = PREDICTORS[name].title if name in PREDICTORS else name[:-len("_trend")].upper()
    return f"{title}: {what}"


def build():
    """Return the model."""
    model = QgsProcessingModelAlgorithm("fullchain", "6 Models", "models")
    model.setHelpContent({"ALG_DESC": HELP, "SHORT_DESCRIPTION": "Runs the whole method from products to report.",
                          **{parameter.name(): help_of(parameter.name()) for parameter in PARAMETERS}})
    for parameter in PARAMETERS:
        if parameter.name() in ADVANCED:
            parameter.setFlags(parameter.flags() | parameter.FlagAdvanced)
        component = QgsProcessingModelParameter(parameter.name())
        put(component, *PLACES[parameter.name()])
        model.addModelParameter(parameter, component)
    for name, (tool, sources, outputs, (column, row)) in CHILDREN.items():
        child = QgsProcessingModelChildAlgorithm(tool)
        child.setChildId(name)
        child.setDescription(described(name, child.algorithm().displayName()))
        put(child, column, row)
        for parameter, origin in sources.items():
            source = QgsProcessingModelChildParameterSource
            child.addParameterSources(parameter, [source.fromModelParameter(origin) if isinstance(origin, str)
                                                  else source.fromChildOutput(*origin)])
        expressions = EXPRESSIONS.get(name, {})
        for parameter, expression in expressions.items():
            child.addParameterSources(parameter, [
                QgsProcessingModelChildParameterSource.fromExpression(expression)])
        constants = CONSTANTS.get(name, {})
        for definition in child.algorithm().parameterDefinitions():
            # a child takes none of its tool's defaults by itself
            value = constants.get(definition.name(), definition.defaultValue())
            given = definition.name() in sources or definition.name() in expressions
            if not given and value not in (None, "") and not definition.isDestination():
                child.addParameterSources(definition.name(), [
                    QgsProcessingModelChildParameterSource.fromStaticValue(value)])
        made = {}
        for i, (title, output) in enumerate(outputs.items()):
            shown = child.algorithm().parameterDefinition(output).description()
            result = QgsProcessingModelOutput(title, OUTPUT_TITLES.get(f"{name}:{title}", shown))
            result.setChildId(name)
            result.setChildOutputName(output)
            put(result, *((column + 0.08, row + 1.2 + 0.9 * i) if name in OUTPUTS_BELOW else
                          (column + 1.1, row + 0.9 * i)))
            made[title] = result
        child.setModelOutputs(made)
        model.addChildAlgorithm(child)
    model.setParameterOrder([parameter.name() for parameter in PARAMETERS])
    return model


def main():
    """Build, check and save the model."""
    application = QgsApplication([], False)
    application.initQgis()
    from pti_plugin.provider import PtiProvider
    provider = PtiProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    model = build()
    ok, problems = model.validate()
    if not ok:
        raise SystemExit("\n".join(problems))
    TARGET.parent.mkdir(exist_ok=True)
    if not model.toFile(str(TARGET)):
        raise SystemExit(f"{TARGET} cannot be written")


if __name__ == "__main__":
    main()
