"""Tool: trend rasters."""

from qgis.core import QgsProcessingParameterBoolean

from ..core.trends import trend_rasters
from .base import PtiAlgorithm
from .groups import TRENDS

OUTPUTS = {"slope": "OUTPUT_SLOPE", "p": "OUTPUT_P", "z": "OUTPUT_Z", "s": "OUTPUT_S", "sign": "OUTPUT_SIGN",
           "count": "OUTPUT_COUNT"}


class TrendRasters(PtiAlgorithm):
    """Thin wrapper of core.trends.trend_rasters."""

    ID = "trendrasters"
    TITLE = "Mann-Kendall trend rasters"
    GROUP = TRENDS
    TAGS = ("trend", "mann-kendall", "sen slope", "theil-sen", "time series", "seasonal")
    SHORT = "Computes Mann-Kendall tests and Sen slopes of a raster time series, cell by cell."
    HELP = ("Annual series (PERIOD 1) use the original Mann-Kendall test, others the seasonal test of Hirsch (1982), "
            "both with ties and gaps, as pymannkendall computes them. The layers are single rasters or the bands of "
            "one file; years are read from band names, metadata or file names. Trend first, warp afterwards: the sign "
            "raster keeps the grid of the series unless TARGET is given.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_rasters("INPUT", "Layers of the series", "Single-band rasters, or one multi-band raster.")
        self.add_integer("PERIOD", "Layers a year", "1 for annual series, 12 for monthly, 46 for 8-day composites.",
                         1, 1)
        self.add_number("ALPHA", "Significance level", "Two-sided; a trend is significant where p is below it.", 0.05,
                        0.0001, 0.5)
        self.add(QgsProcessingParameterBoolean("SORT", "Sort layers by their time stamps", False),
                 "Put the layers in the order of the years in their names. Without it, layers out of order are an "
                 "error.")
        self.add_number("MIN_SHARE", "Share of the time steps a cell needs",
                        "Cells with fewer values are not tested and are nodata; at least 4 values are always needed.",
                        0.8, 0.0, 1.0, advanced=True)
        self.add_target()
        self.add_settings()
        self.add_raster_output("OUTPUT_SLOPE", "Sen slope", "Units of the layers a year.")
        self.add_raster_output("OUTPUT_SIGN", "Significant sign",
                               "1 significant increase, -1 significant decrease, 0 no significant trend; untestable "
                               "cells are nodata.")
        self.add_raster_output("OUTPUT_P", "p value", "Two-sided p of the test.", optional=True)
        self.add_raster_output("OUTPUT_Z", "Z", "Standardised test statistic.", optional=True)
        self.add_raster_output("OUTPUT_S", "S", "Mann-Kendall score.", optional=True)
        self.add_raster_output("OUTPUT_COUNT", "Valid values", "Number of layers with a value.", optional=True)

    def run(self, parameters, context, progress):
        """Run the trend."""
        layers = self.raster_paths(parameters, "INPUT", context)
        inputs = [("INPUT", path) for path in layers]
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        with self.staging(inputs) as staging:
            result = trend_rasters(
                layers, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress,
                self.parameterAsInt(parameters, "PERIOD", context),
                self.parameterAsDouble(parameters, "ALPHA", context),
                self.parameterAsDouble(parameters, "MIN_SHARE", context),
                self.parameterAsBool(parameters, "SORT", context), self.target_grid(parameters, context),
                self.settings(parameters, context))
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)
