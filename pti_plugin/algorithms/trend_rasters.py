"""Tool: trend rasters."""

from qgis.core import QgsProcessingParameterBoolean

from ..core.common.errors import InputError
from ..core.series.corrections import METHODS, ORIGINAL
from ..core.series.gap_filling import LONGEST_NIGHT, NIGHTS, NO_NIGHT
from ..core.series.trends import ALL_STEPS, COVERAGES, TrendOptions, trend_rasters
from .base import PtiAlgorithm
from .groups import TRENDS
from .product_input import add_product, add_units, table_input
from .series_input import add_nodata, add_place, add_series, reading_of, series_files, time_of

OUTPUTS = {"slope": "OUTPUT_SLOPE", "sign": "OUTPUT_SIGN", "p": "OUTPUT_P", "z": "OUTPUT_Z", "s": "OUTPUT_S",
           "tau": "OUTPUT_TAU", "count": "OUTPUT_COUNT", "seasons": "OUTPUT_SEASONS", "lag_1": "OUTPUT_LAG1",
           "slope_significant": "OUTPUT_SLOPE_SIGNIFICANT", "limits": "OUTPUT_LIMITS", "step": "OUTPUT_STEP"}


class TrendRasters(PtiAlgorithm):
    """Thin wrapper of core.series.trends.trend_rasters."""

    ID = "trendrasters"
    TITLE = "Mann-Kendall trend rasters"
    GROUP = TRENDS
    TAGS = ("trend", "mann-kendall", "sen slope", "theil-sen", "time series", "seasonal", "autocorrelation")
    SHORT = "Computes Mann-Kendall tests and Sen slopes of a raster time series, cell by cell."
    HELP = ("Annual series (PERIOD 1) use the original Mann-Kendall test, others the seasonal test of Hirsch (1982), "
            "in the profile defensible with the variance of Hirsch and Slack (1984), all with ties and gaps. The "
            "layers are single rasters, the bands of one file, the files of a folder, or "
            "a variable of a netCDF, HDF or GRIB file; their time is read from the time axis, whatever its calendar "
            "and units, from band metadata, band names or file names (2001, 2001-07, Jul 2001, 20010715, A2001195, "
            "winters such as 2000-2001), or counted from START. Layers without a time are an error. Every run "
            "recomputes 64 random cells with pymannkendall and fails if they differ. Serially correlated series give "
            "too many significant trends under the plain test: the log states the share of cells at risk, and the "
            "documentation (docs/trends.md) says which METHOD to choose. Trend first, warp afterwards: the result "
            "keeps the grid of the series unless TARGET is given.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        add_series(self)
        self.add_integer("PERIOD", "Layers per year", "1 for annual series, 12 for monthly, 46 for 8-day composites.",
                         1, 1)
        self.add_choice_by_profile(
            "METHOD", "Method",
            "original: plain (seasonal) Mann-Kendall, as the paper. pre_whitening, trend_free_pre_whitening, yue_wang, "
            "hamed_rao: corrections for serial correlation of annual series. hirsch_slack: seasonal test with the "
            "covariances of the seasons, which the profile defensible takes where PERIOD is above 1.", METHODS)
        self.add_number("ALPHA", "Significance level", "Two-sided; a trend is significant where p is below it.", 0.05,
                        0.0001, 0.5)
        self.add(QgsProcessingParameterBoolean("SORT", "Sort layers by their time stamps", False),
                 "Put the layers in the order of their time stamps. Without it, layers out of order are an error.")
        self.add_text("START", "Time of the first layer", "For layers without time stamps: 1997, 2000-07 or "
                      "2000-07-01; the others follow one step apart, in the order given.")
        self.add_profile()
        self.add_integer("FIRST_YEAR", "First year (0 = that of the series)", "Layers before it are left out, as with "
                         "2003 for Permafrost_CCI, whose forcing changes then.", 0, 0, advanced=True)
        self.add_integer("LAST_YEAR", "Last year (0 = that of the series)", "Layers after it are left out.", 0, 0,
                         advanced=True)
        add_product(self)
        add_units(self)
        add_nodata(self, advanced=True)
        add_place(self)
        self.add_integer("SEASON_START", "First month of the year", "7 for snow years from July to June.", 1, 1, 12,
                         advanced=True)
        self.add_number("MIN_SHARE", "Share of its years that a season needs",
                        "Judged cell by cell. A season with values in fewer of its years, such as a month of polar "
                        "night, is left out of the cell's test. Annual series have one season: cells with fewer values "
                        "are not tested and are nodata. At least 4 values are always needed.",
                        0.8, 0.0, 1.0, advanced=True)
        self.add_choice_by_profile(
            "COVERAGE", "Coverage of seasonal series",
            "by_season (defensible): each season needs MIN_SHARE of its years, and seasons with fewer are left out. "
            "all_steps (as_published): a cell needs MIN_SHARE of all time steps, else it is not tested; no season is "
            "left out.", COVERAGES, advanced=True)
        self.add_integer("MIN_SEASONS", "Seasons a test needs",
                         "For COVERAGE by_season: cells with fewer are not tested and are nodata. 0 takes a quarter of "
                         "PERIOD.", 0, 0, advanced=True)
        self.add(QgsProcessingParameterBoolean("FDR", "Control the false-discovery rate", False),
                 "Significance by Benjamini and Hochberg over all tested cells instead of cell by cell.",
                 advanced=True)
        self.add(QgsProcessingParameterBoolean("FILL", "Fill missing layers", False),
                 "Layers that are missing or empty get, cell by cell, the mean of the same season in the ten nearest "
                 "years; the record lists them.", advanced=True)
        self.add_choice("NIGHT", "Polar night",
                        "none: its months stay gaps, which the test allows. linear: the values of a cell between the "
                        f"last one before and the first one after, inside a year, over at most {LONGEST_NIGHT} months; "
                        "any other gap inside a year is filled too.", NIGHTS, default=NIGHTS.index(NO_NIGHT),
                        advanced=True)
        self.add_integer("STEP_YEAR", "First year after a suspected step",
                         "For OUTPUT_STEP, such as 2003 for Permafrost_CCI, whose forcing changes then; 0 for none.",
                         0, 0, advanced=True)
        self.add_target()
        self.add_settings()
        self.add_raster_output("OUTPUT_SLOPE", "Sen slope", "Units of the layers a year.")
        self.add_raster_output("OUTPUT_SIGN", "Significant sign (1 rise, -1 fall, 0 none)",
                               "1 significant increase, -1 significant decrease, 0 no significant trend; untestable "
                               "cells are nodata.")
        for name, title, text in (
                ("OUTPUT_P", "p value", "Two-sided p of the test."),
                ("OUTPUT_Z", "Z", "Standardised test statistic."),
                ("OUTPUT_S", "S", "Mann-Kendall score."),
                ("OUTPUT_TAU", "Kendall's tau", "S over the number of pairs."),
                ("OUTPUT_COUNT", "Valid values", "Number of layers with a value."),
                ("OUTPUT_SEASONS", "Seasons of the test", "Number of seasons that have MIN_SHARE of their years; 0 "
                 "where there is no test."),
                ("OUTPUT_LAG1", "Lag-1 autocorrelation", "Of the residuals after Sen trend and season means."),
                ("OUTPUT_SLOPE_SIGNIFICANT", "Sen slope where significant",
                 "0 where the trend is not significant, nodata where it is not testable."),
                ("OUTPUT_LIMITS", "Confidence limits of the slope", "Band 1 lower, band 2 upper, at 1 - ALPHA."),
                ("OUTPUT_STEP", "Step at a year", "Band 1 shift of the medians after STEP_YEAR with the trend taken "
                 "out, band 2 rank-sum Z.")):
            self.add_raster_output(name, title, text, optional=True)

    def compute(self, parameters, context, progress):
        """Run the trend."""
        layers = series_files(self, parameters, context, progress)
        inputs = [("INPUT", path) for path in layers] + self.target_input(parameters, context)
        inputs += table_input(self, parameters, context)
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        profile, period = self.profile(parameters, context), self.parameterAsInt(parameters, "PERIOD", context)
        options = TrendOptions(
            min_latitude=self.parameterAsDouble(parameters, "MIN_LATITUDE", context),
            period=period,
            season_start=self.parameterAsInt(parameters, "SEASON_START", context),
            method=self.choice_by_profile(parameters, "METHOD", context, METHODS,
                                          profile.seasonal_test if period > 1 else ORIGINAL),
            alpha=self.parameterAsDouble(parameters, "ALPHA", context),
            min_share=self.parameterAsDouble(parameters, "MIN_SHARE", context),
            coverage=self.choice_by_profile(parameters, "COVERAGE", context, COVERAGES, profile.coverage),
            first_year=self.parameterAsInt(parameters, "FIRST_YEAR", context),
            last_year=self.parameterAsInt(parameters, "LAST_YEAR", context),
            min_seasons=self.parameterAsInt(parameters, "MIN_SEASONS", context),
            night=NIGHTS[self.parameterAsEnum(parameters, "NIGHT", context)],
            fdr=self.parameterAsBool(parameters, "FDR", context),
            step_at=self.parameterAsInt(parameters, "STEP_YEAR", context),
            fill=self.parameterAsBool(parameters, "FILL", context),
            sort=self.parameterAsBool(parameters, "SORT", context),
            start=self.parameterAsString(parameters, "START", context).strip(),
            **reading_of(self, parameters, context), **time_of(self, parameters, context))
        if outputs["OUTPUT_STEP"] and not options.step_at:
            raise InputError("OUTPUT_STEP needs STEP_YEAR, the first year after the suspected step.")
        with self.staging(inputs, outputs, progress) as staging:
            result = trend_rasters(
                layers, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress, options,
                self.target_grid(parameters, context), self.settings(parameters, context))
            # with one season a year both ways of coverage are the same
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, results=result,
                               choices={"METHOD": options.method,
                                        "COVERAGE": options.coverage if options.by_season else ALL_STEPS})
