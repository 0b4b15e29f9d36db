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
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QPointF

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pti_plugin.core.features import PREDICTORS  # noqa: E402

TARGET = ROOT / "resources" / "models" / "full_chain.model3"

HELP = ("Runs the whole method: ensemble of permafrost products, trends, thaw index, land cover, the sixteen predictors "
        "from the products as they are published, XGBoost ensemble, predicted map and validation. Every layer may be "
        "on its own grid; the result takes the grid of TARGET. Series may be many layers or one file of many bands; "
        "they are put in the order of their time stamps.")


def rasters(name, title, optional=False):
    """Return a multiple raster parameter."""
    return QgsProcessingParameterMultipleLayers(name, title, QgsProcessing.TypeRaster, optional=optional)


def number(name, title, default, low):
    """Return a whole-number parameter."""
    return QgsProcessingParameterNumber(name, title, QgsProcessingParameterNumber.Integer, default, minValue=low)


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
    QgsProcessingParameterRasterLayer("TARGET", "Target grid (like this layer)"),
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
    QgsProcessingParameterRasterLayer("PEAT", "Global Peatland Map"),
    QgsProcessingParameterRasterLayer("ELEVATION", "Elevation"),
    QgsProcessingParameterFile("STATIONS_MAGT", "Ground temperature stations"),
    QgsProcessingParameterFile("STATIONS_ALT", "Thaw depth stations"),
    QgsProcessingParameterEnum("PROFILE", "Profile", ["defensible", "as_published"], defaultValue=0),
    number("RUNS", "Runs of the ensemble", 100, 1),
    number("ROUNDS", "Boosting rounds", 300, 1),
    number("PER_CLASS", "Samples a rank", 4000, 10),
    number("SEED", "Seed", 42, 0),
    QgsProcessingParameterString("NOTE", "Note on the map", "", optional=True),
]

ADVANCED = ("ROUNDS", "PER_CLASS", "SEED", "NOTE")

#: titles of outputs that two steps would give alike; the others keep the title of their tool
OUTPUT_TITLES = {
    "magt_trend:SIGN": "Significant sign of MAGT", "magt_trend:SLOPE": "Sen slope of MAGT",
    "alt_trend:SIGN": "Significant sign of ALT", "alt_trend:SLOPE": "Sen slope of ALT",
    "index:PTI": "Conceptual PTI", "index:TABLE": "Area by rank of the conceptual PTI",
    "predict:TABLE": "Area by rank of the predicted PTI",
}

#: child id → (tool, {parameter: model parameter, or (child, output)}, {model output: tool output}, place)
CHILDREN = {
    "ensemble": ("pti:ensemblepermafrost",
                 {"PP": "PP", "MAGT": "MAGT", "UNITS": "UNITS", "ABSENT": "ABSENT", "TARGET": "TARGET"},
                 {"BASE": "OUTPUT_BASE", "PP": "OUTPUT_PP", "MAGT": "OUTPUT_MAGT", "COUNT": "OUTPUT_COUNT",
                  "SPREAD": "OUTPUT_SPREAD"}, (0, 0)),
    "magt_trend": ("pti:trendrasters", {"INPUT": "MAGT_SERIES"},
                   {"SIGN": "OUTPUT_SIGN", "SLOPE": "OUTPUT_SLOPE"}, (1, 0)),
    "alt_trend": ("pti:trendrasters", {"INPUT": "ALT_SERIES"},
                  {"SIGN": "OUTPUT_SIGN", "SLOPE": "OUTPUT_SLOPE"}, (2, 0)),
    "landcover": ("pti:ensemblelandcover",
                  {"CCI": "CCI", "GLCC": "GLCC", "CAVM": "CAVM", "TARGET": "TARGET", "PROFILE": "PROFILE"},
                  {"COVER": "OUTPUT"}, (3, 0)),
    "lst": ("pti:compositeseries", {"INPUT": "LST_SERIES"}, {}, (4, 0)),
    "lst_trend": ("pti:trendrasters", {"INPUT": "LST_SERIES"}, {}, (5, 0)),
    "snow": ("pti:compositeseries", {"INPUT": "SNOW_SERIES"}, {}, (6, 0)),
    "snow_trend": ("pti:trendrasters", {"INPUT": "SNOW_SERIES"}, {}, (7, 0)),
    "peak_ndvi": ("pti:compositeseries", {"INPUT": "NDVI_SERIES"}, {}, (4, 1)),
    "sum_ndvi": ("pti:compositeseries", {"INPUT": "NDVI_SERIES"}, {}, (5, 1)),
    "ndvi_trend": ("pti:trendrasters", {"INPUT": "NDVI_SERIES"}, {}, (6, 1)),
    "frozen_days": ("pti:compositeseries", {"FOLDER": "FREEZE_THAW", "PATTERN": "FREEZE_THAW_FILES"}, {}, (7, 1)),
    "soc": ("pti:depthmean", {"INPUT": "SOC"}, {}, (4, 2)),
    "coarse_fragments": ("pti:depthmean", {"INPUT": "COARSE_FRAGMENTS"}, {}, (5, 2)),
    "bulk_density": ("pti:depthmean", {"INPUT": "BULK_DENSITY"}, {}, (6, 2)),
    "water_content": ("pti:depthmean", {"INPUT": "WATER_CONTENT"}, {}, (7, 2)),
    "peat": ("pti:alignrasters", {"INPUT": "PEAT", "TARGET": "TARGET"}, {}, (4, 3)),
    "relief": ("pti:slope", {"INPUT": "ELEVATION", "TARGET": "TARGET"}, {}, (5, 3)),
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
              {"STACK": "OUTPUT", "RANGES": "OUTPUT_RANGES"}, (4, 4)),
    "index": ("pti:buildpti",
              {"MAGT": ("ensemble", "OUTPUT_MAGT"), "PP": ("ensemble", "OUTPUT_PP"),
               "BASE": ("ensemble", "OUTPUT_BASE"), "MAGT_TREND": ("magt_trend", "OUTPUT_SIGN"),
               "ALT_TREND": ("alt_trend", "OUTPUT_SIGN"), "TARGET": "TARGET", "PROFILE": "PROFILE"},
              {"PTI": "OUTPUT", "REASON": "OUTPUT_REASON", "TABLE": "OUTPUT_TABLE"}, (1, 1)),
    "train": ("pti:trainxgboost",
              {"PTI": ("index", "OUTPUT"), "STACK": ("stack", "OUTPUT"), "RUNS": "RUNS", "ROUNDS": "ROUNDS",
               "PER_CLASS": "PER_CLASS", "SEED": "SEED", "PROFILE": "PROFILE"},
              {"MODEL": "OUTPUT_MODEL", "METRICS": "OUTPUT_METRICS", "SHAP": "OUTPUT_SHAP"}, (1, 2)),
    "predict": ("pti:predictxgboost",
                {"STACK": ("stack", "OUTPUT"), "MODEL": ("train", "OUTPUT_MODEL"), "BASE": ("index", "OUTPUT")},
                {"PTI": "OUTPUT", "AGREEMENT": "OUTPUT_AGREEMENT", "ENTROPY": "OUTPUT_ENTROPY",
                 "TABLE": "OUTPUT_TABLE"}, (1, 3)),
    "validate": ("pti:validateboreholes",
                 {"PTI": ("predict", "OUTPUT"), "BASE": ("ensemble", "OUTPUT_BASE"),
                  "STATIONS_MAGT": "STATIONS_MAGT", "STATIONS_ALT": "STATIONS_ALT", "PROFILE": "PROFILE",
                  "METRICS": ("train", "OUTPUT_METRICS"), "SHAP": ("train", "OUTPUT_SHAP"), "NOTE": "NOTE"},
                 {"STATIONS": "OUTPUT", "TABLE": "OUTPUT_TABLE", "MAP": "OUTPUT_MAP", "REPORT": "OUTPUT_REPORT"},
                 (1, 4)),
}


def help_of(parameter):
    """Return the help of the first tool parameter that a model parameter feeds."""
    for tool, sources, _, _ in CHILDREN.values():
        for name, origin in sources.items():
            if origin == parameter:
                return QgsApplication.processingRegistry().algorithmById(tool).parameterDefinition(name).help()
    raise SystemExit(f"{parameter} feeds no tool")


#: child id → {parameter: value} where the chain departs from a tool's default
CONSTANTS = {
    "ensemble": {"MIN_LATITUDE": 45.0},
    "magt_trend": {"SORT": True}, "alt_trend": {"SORT": True},
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


def described(name, title):
    """Return the title of a step, with what it is for where several steps run the same tool."""
    tool = CHILDREN[name][0]
    if sum(other == tool for other, _, _, _ in CHILDREN.values()) == 1:
        return title
    what = PREDICTORS[name].title if name in PREDICTORS else name[:-len("_trend")].upper()
    return f"{title}: {what}"


def build():
    """Return the model."""
    model = QgsProcessingModelAlgorithm("fullchain", "6 Models", "models")
    model.setHelpContent({"ALG_DESC": HELP, "SHORT_DESCRIPTION": "Runs the whole method from products to report.",
                          **{parameter.name(): help_of(parameter.name()) for parameter in PARAMETERS}})
    for i, parameter in enumerate(PARAMETERS):
        if parameter.name() in ADVANCED:
            parameter.setFlags(parameter.flags() | parameter.FlagAdvanced)
        component = QgsProcessingModelParameter(parameter.name())
        component.setPosition(QPointF(120 + 230 * (i % 5), 60 + 70 * (i // 5)))
        model.addModelParameter(parameter, component)
    for name, (tool, sources, outputs, (column, row)) in CHILDREN.items():
        child = QgsProcessingModelChildAlgorithm(tool)
        child.setChildId(name)
        child.setDescription(described(name, child.algorithm().displayName()))
        child.setPosition(QPointF(160 + 300 * column, 420 + 150 * row))
        for parameter, origin in sources.items():
            source = QgsProcessingModelChildParameterSource
            child.addParameterSources(parameter, [source.fromModelParameter(origin) if isinstance(origin, str)
                                                  else source.fromChildOutput(*origin)])
        constants = CONSTANTS.get(name, {})
        for definition in child.algorithm().parameterDefinitions():
            # a child takes none of its tool's defaults by itself
            value = constants.get(definition.name(), definition.defaultValue())
            if definition.name() not in sources and value not in (None, "") and not definition.isDestination():
                child.addParameterSources(definition.name(), [
                    QgsProcessingModelChildParameterSource.fromStaticValue(value)])
        made = {}
        for i, (title, output) in enumerate(outputs.items()):
            shown = child.algorithm().parameterDefinition(output).description()
            result = QgsProcessingModelOutput(title, OUTPUT_TITLES.get(f"{name}:{title}", shown))
            result.setChildId(name)
            result.setChildOutputName(output)
            result.setPosition(QPointF(300 + 300 * column, 400 + 150 * row + 35 * i))
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
