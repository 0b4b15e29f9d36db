"""Tool: driver maps."""

from ..core.common import ranks, tables
from ..core.mapping.drivers import COLUMNS, DriverOptions, driver_maps
from .base import PtiAlgorithm
from .groups import LEARNING

PREDICTED = "predicted"


class DriverMaps(PtiAlgorithm):
    """Thin wrapper of core.mapping.drivers.driver_maps."""

    ID = "drivermaps"
    TITLE = "Driver maps"
    GROUP = LEARNING
    TAGS = ("xgboost", "machine learning", "shap", "contributions", "drivers", "importance", "explain")
    SHORT = "Maps which predictors speak for the class of each cell, by true contributions (TreeSHAP)."
    HELP = ("Every cell is explained by itself: the contributions of its predictors to the margin of its class, mean "
            "over runs, add up with the bias to that margin. The first result is the predictor that contributes most, "
            "in either direction; the second the share of each group of predictors in the sum of the sizes of all "
            "contributions.\n\nThe class is the one that the whole ensemble votes for, before any majority filter. "
            "Contributions explain the model, not the ground: predictors that are alike share what either could "
            "explain.\n\nIt takes some 0.7 ms for a cell and 100 trees of its class, so the log says before it starts "
            "how long it will take and, beyond an hour, which STEP would keep it below. Memory grows with RUNS. "
            "Predictors are matched by band name as in the prediction tool; cells that lack more than MAX_MISSING "
            "predictors or have a category that the model never saw are nodata. What a missing predictor contributes "
            "is what the trees make of its being missing. Needs xgboost.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("STACK", "Predictor stack", "Multi-band raster whose band names are the predictors. A stack "
                        "in raw units is scaled by the model's ranges.")
        self.add_file("MODEL", "Model", "Model file of the training tool.", filters="PTI model (*.ptimodel)")
        self.add_raster("BASE", "Where to explain",
                        "Base map or PTI: explain only where it has a value other than 0.", optional=True)
        self.add_choice("CLASS_OF", "Class to explain",
                        "predicted: in each cell the class that the ensemble votes for. A rank: what speaks for or "
                        "against this rank, in all cells.", [PREDICTED, *map(str, ranks.CODES)], PREDICTED, static=True)
        self.add_integer("RUNS", "Runs to explain (0 = all)",
                         "How many runs of the ensemble are explained, spread evenly over all of them. The time grows "
                         "with their number.", 5, 0)
        self.add_integer("STEP", "Step (every nth cell)",
                         "Explain the cell in the middle of each block of so many rows and columns; the result has "
                         "the blocks as its cells. 1 explains every cell.", 1, 1)
        self.add_max_missing("as many as the model was trained with.")
        self.add_settings()
        self.add_raster_output("OUTPUT", "Top driver", "Code of the predictor with the largest contribution in either "
                               "direction, the same code for a role in every model; 0 where no predictor contributes, "
                               "255 nodata.")
        self.add_raster_output("OUTPUT_GROUPS", "Share of each group", "A band a group of predictors: its share of "
                               "the sum of the sizes of all contributions, %.")
        self.add_raster_output("OUTPUT_CONTRIBUTIONS", "Contributions", "A band a predictor with its contribution, "
                               "signed, in units of the margin, and a last band with the bias; the bands of a cell "
                               "add up to the mean margin of its class.", optional=True)
        self.add_file_output("OUTPUT_TABLE", "Drivers in numbers", "CSV: mean size of the contribution of each "
                             "predictor and group, weighted by true area, and the area where it leads.", "CSV (*.csv)",
                             optional=True)

    def compute(self, parameters, context, progress):
        """Make the maps."""
        stack, base = (self.raster_path(parameters, name, context) for name in ("STACK", "BASE"))
        model = self.parameterAsFile(parameters, "MODEL", context)
        inputs = [("STACK", stack), ("MODEL", model)] + ([("BASE", base)] if base else [])
        outputs = {name: self.output_path(parameters, name, context)
                   for name in ("OUTPUT", "OUTPUT_GROUPS", "OUTPUT_CONTRIBUTIONS")}
        outputs["OUTPUT_TABLE"] = self.file_output_path(parameters, "OUTPUT_TABLE", context)
        explained = self.parameterAsEnumString(parameters, "CLASS_OF", context)
        most = self.parameterAsInt(parameters, "MAX_MISSING", context)
        options = DriverOptions(self.parameterAsInt(parameters, "RUNS", context),
                                None if explained == PREDICTED else int(explained),
                                self.parameterAsInt(parameters, "STEP", context), None if most < 0 else most)
        with self.staging(inputs, outputs, progress) as staging:
            result = driver_maps(
                stack, model, {"drivers": outputs["OUTPUT"], "groups": outputs["OUTPUT_GROUPS"],
                               "contributions": outputs["OUTPUT_CONTRIBUTIONS"]}, staging, progress, base, options,
                self.settings(parameters, context))
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"], COLUMNS))
            for row in result["table"]:
                progress.info(f"{row['level']} {row['name']}: {row['share_percent']:.1f} % of the contributions, leads "
                              f"on {row['top_area_km2']:,.0f} km² ({row['top_area_percent']:.1f} %)")
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)
