"""Tool: composite of a series."""

from qgis.core import QgsProcessingParameterBoolean

from ..core.series.composites import (
    GAPS,
    PARTIAL_YEARS,
    STATISTICS,
    TIES,
    CompositeOptions,
    composite_series,
)
from ..core.series.gap_filling import LONGEST_NIGHT, NIGHTS
from .base import PtiAlgorithm
from .groups import DATASET
from .product_input import add_product, add_units, table_input
from .series_input import add_nodata, add_place, add_series, reading_of, series_files, time_of

OUTPUTS = {"composite": "OUTPUT", "series": "OUTPUT_SERIES", "count": "OUTPUT_COUNT", "values": "OUTPUT_VALUES"}


class CompositeSeries(PtiAlgorithm):
    """Thin wrapper of core.series.composites.composite_series."""

    ID = "compositeseries"
    TITLE = "Composite of a series"
    GROUP = DATASET
    TAGS = ("composite", "mean", "peak ndvi", "snow year", "frozen days", "freeze/thaw", "majority", "gap filling")
    SHORT = "Makes one layer of a raster time series: means, annual maxima or sums, frozen days, class majority."
    HELP = ("mean: of all layers (land surface temperature, Permafrost_CCI).\n"
            "annual_maximum: the highest value of every year, then the mean of the years (peak NDVI).\n"
            "annual_positive_sum: the sum of a year's values above 0, then the mean.\n"
            "snow_year_mean: the mean of every year from July to June, then the mean.\n"
            "frozen_days: days a year with FROZEN_CODE in daily classes, then the mean.\n"
            "majority: the most frequent class.\n"
            "monthly_mean: the mean of every month of daily layers, in OUTPUT_SERIES a band a month, and the mean of "
            "these; cells that have less than MIN_SHARE of a month's days have none there.\n\n"
            "Layers that are missing or empty are filled with the mean of the same season in other years, and "
            "the log and the record list them; classes are never filled. A year of a cell counts only where it "
            "is complete enough for its statistic, and gaps inside it are filled (GAPS, NIGHT); the log gives "
            "the shares. OUTPUT_SERIES holds a band a year, ready for the trend tool. The layers stay on their "
            "own grid: make the composite first, then align it. Time stamps are read as in the trend tool; a "
            "mean of all layers needs none, the other statistics do. A series of any length is read a few "
            "layers at a time.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        add_series(self)
        self.add_integer("PERIOD", "Layers per year", "1 for annual series, 12 for monthly, 46 for 8-day composites, "
                         "365 for daily layers, each on its calendar day.", 1, 1)
        self.add_choice("STATISTIC", "Statistic", "What the composite is; the help of the tool describes each.",
                        STATISTICS)
        self.add_profile()
        add_product(self)
        add_units(self)
        add_nodata(self)
        add_place(self)
        self.add_raster("TARGET", "Region (like this layer)", "Only the cells of the layers' own grid that a "
                        "resampling to this layer needs are computed; they are not warped. Empty: all.", optional=True,
                        advanced=True)
        self.add(QgsProcessingParameterBoolean("FILL", "Fill missing layers", True),
                 "Layers that are missing or empty get, cell by cell, the mean of the same season in the ten nearest "
                 "years, or in FILL_YEARS. Only in years that have MIN_SHARE of their layers.")
        self.add_text("FILL_YEARS", "Years to fill from", "Instead of the ten nearest: 2002-2009, or 2001, 2003, or "
                      "all.", advanced=True)
        self.add(QgsProcessingParameterBoolean("SORT", "Sort layers by their time stamps", False),
                 "Put the layers in the order of their time stamps. Without it, layers out of order are an error.")
        self.add_text("START", "Time of the first layer", "For layers without time stamps: 1997, 2000-07 or "
                      "2000-07-01; the others follow one step apart, in the order given.")
        self.add_integer("SEASON_START", "First month of the year",
                         "Years are named after the calendar year they begin in; 0 takes 7 for snow_year_mean and 1 "
                         "for the others.", 0, 0, 12, advanced=True)
        self.add_number("MIN_SHARE", "Share of a year's layers that must be there",
                        "Years with less are not filled and are left out of annual statistics; the log names them. "
                        "With GAPS by_season the same holds for every cell and the seasons it has. For monthly_mean: "
                        "share of a month's days.",
                        0.75, 0.0, 1.0, advanced=True)
        self.add_choice_by_profile(
            "GAPS", "Gaps of a cell inside a year",
            "by_season (defensible): annual_maximum leaves out years that lack the seasons around the cell's usual "
            "peak; annual_positive_sum and snow_year_mean leave out years with less than MIN_SHARE of the cell's "
            "seasons and fill the others with the mean of the same season in the cell's other years; mean is that of "
            "the means of the seasons; frozen_days counts missing days by the share of frozen days of their month. "
            "as_they_are (as_published): the values that are there count as they come.", GAPS, advanced=True)
        self.add_choice_by_profile(
            "NIGHT", "Polar night",
            "For snow_year_mean. linear (defensible): a month without a value gets the value between the last month "
            "before and the first month after that have one, inside the same year, over at most "
            f"{LONGEST_NIGHT} months. none (as_published): it stays a gap.", NIGHTS, advanced=True)
        self.add_integer("FROZEN_CODE", "Code of frozen days", "Class that frozen_days counts; 0 is frozen in the "
                         "morning and in the evening.", 0, -32768, 65535, advanced=True)
        self.add_integer("MIN_DAYS", "Valid days a year needs", "For frozen_days, cell by cell: years with fewer valid "
                         "days are partial.", 350, 1, 365, advanced=True)
        self.add_choice("PARTIAL_YEARS", "Partial years",
                        "For frozen_days. dropped: left out of the mean. scaled: the frozen days of the valid days are "
                        "scaled up to the year where MIN_SHARE of its days are valid, month by month with GAPS "
                        "by_season.", PARTIAL_YEARS, advanced=True)
        self.add_choice("TIE", "Tie of classes", "For majority: among the most frequent classes the one seen last, or "
                        "the one with the lowest code.", TIES, advanced=True)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Composite", "Units of the layers; days for frozen_days; codes for majority.")
        self.add_raster_output("OUTPUT_SERIES", "Annual series", "One band a year, named after it, for the trend "
                               "tool; not for majority.", optional=True)
        self.add_raster_output("OUTPUT_COUNT", "Number of years used",
                               "Number of years in the mean, of months for monthly_mean; for mean and majority number "
                               "of layers.", optional=True)
        self.add_raster_output("OUTPUT_VALUES", "Number of layers used",
                               "Number of layers that have a value of the cell in the years of the mean, such as "
                               "months of snow years; values that were filled are not counted.", optional=True)

    def compute(self, parameters, context, progress):
        """Make the composite."""
        layers = series_files(self, parameters, context, progress)
        inputs = [("INPUT", path) for path in layers] + self.target_input(parameters, context)
        inputs += table_input(self, parameters, context)
        outputs = {name: self.output_path(parameters, name, context) for name in OUTPUTS.values()}
        profile = self.profile(parameters, context)
        options = CompositeOptions(
            statistic=STATISTICS[self.parameterAsEnum(parameters, "STATISTIC", context)],
            period=self.parameterAsInt(parameters, "PERIOD", context),
            season_start=self.parameterAsInt(parameters, "SEASON_START", context),
            **reading_of(self, parameters, context), **time_of(self, parameters, context),
            min_latitude=self.parameterAsDouble(parameters, "MIN_LATITUDE", context),
            fill=self.parameterAsBool(parameters, "FILL", context),
            fill_years=self.parameterAsString(parameters, "FILL_YEARS", context),
            min_share=self.parameterAsDouble(parameters, "MIN_SHARE", context),
            frozen_code=self.parameterAsInt(parameters, "FROZEN_CODE", context),
            min_days=self.parameterAsInt(parameters, "MIN_DAYS", context),
            partial=PARTIAL_YEARS[self.parameterAsEnum(parameters, "PARTIAL_YEARS", context)],
            gaps=self.choice_by_profile(parameters, "GAPS", context, GAPS, profile.gaps),
            night=self.choice_by_profile(parameters, "NIGHT", context, NIGHTS, profile.night),
            tie=TIES[self.parameterAsEnum(parameters, "TIE", context)],
            sort=self.parameterAsBool(parameters, "SORT", context),
            start=self.parameterAsString(parameters, "START", context).strip())
        with self.staging(inputs, outputs, progress) as staging:
            result = composite_series(layers, {key: outputs[name] for key, name in OUTPUTS.items()}, staging, progress,
                                      options, self.settings(parameters, context),
                                      self.target_grid(parameters, context))
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, results=result,
                               choices={"GAPS": options.gaps, "NIGHT": options.night,
                                        "SEASON_START": options.first_month})
