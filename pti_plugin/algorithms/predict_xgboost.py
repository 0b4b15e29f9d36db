"""Tool: predict the PTI map."""

from qgis.core import QgsProcessingParameterBoolean

from ..core.common import tables
from ..core.common.errors import InputError
from ..core.mapping.coverage import COLUMNS
from ..core.mapping.map_agreement import MOST_KM
from ..core.mapping.prediction import PredictionOptions, predict
from .base import PtiAlgorithm
from .exclusion_input import add_exclusion, exclusion_inputs, left_out_classes
from .groups import LEARNING

RASTERS = {"pti": "OUTPUT", "agreement": "OUTPUT_AGREEMENT", "entropy": "OUTPUT_ENTROPY", "margin": "OUTPUT_MARGIN",
           "probabilities": "OUTPUT_PROBABILITIES", "outside": "OUTPUT_OUTSIDE",
           "dissimilarity": "OUTPUT_DISSIMILARITY", "applicability": "OUTPUT_APPLICABILITY",
           "missing": "OUTPUT_MISSING"}
TABLES = ("OUTPUT_METRICS", "OUTPUT_TABLE", "OUTPUT_COVERAGE")


class PredictXgboost(PtiAlgorithm):
    """Thin wrapper of core.mapping.prediction.predict."""

    ID = "predictxgboost"
    TITLE = "Predict PTI with XGBoost"
    GROUP = LEARNING
    TAGS = ("xgboost", "machine learning", "prediction", "map", "agreement", "entropy")
    SHORT = "Predicts the PTI map from a predictor stack with a trained ensemble."
    HELP = ("Every run votes; the class with most votes is the map, ties go to the larger mean probability. A 3 x 3 "
            "majority filter follows (ties keep the centre). Predictors are matched by band name; a missing, unknown "
            "or differently scaled one is refused by name, and a stack in raw units is scaled by the model's ranges. "
            "Cells that lack more predictors than MAX_MISSING, or have a category that the model never saw, are "
            "nodata; other cells with gaps go at every split the way that XGBoost learned for missing values. "
            "With REFERENCE, the conceptual PTI, the agreement of the map with the index it learned is measured wall "
            "to wall, away from the training points, in all and by band of latitude, and joins the accuracy panel; the "
            "areas of both stand side by side, with the areas of the map corrected by the index, and a table of "
            "coverage says of all ranked cells which are sampled, predicted, and if not, why not. The area of "
            "applicability is that of Meyer and Pebesma (2021), with the folds of the spatial-block cross-validation: "
            "inside it the accuracy of that line of the panel holds, outside none is known; the metrics say how much "
            "of each rank lies outside. The distance of a cell that lacks predictors is taken over those it has and "
            "grows by the share of the variance that they hold. Needs xgboost; with numba it is about 20 times "
            "faster, with the same result.")
    ONE_SET = ("STACK", "MODEL", "BASE", "REFERENCE", "EXCLUDE")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("STACK", "Predictor stack", "Multi-band raster whose band names are the predictors.")
        self.add_file("MODEL", "Model", "Model file of the training tool.", filters="PTI model (*.ptimodel)")
        self.add_raster("BASE", "Where to predict",
                        "Base map or conceptual PTI: predict only where it has a value other than 0. The conceptual "
                        "PTI leaves out what is too warm to be permafrost, as the paper does.", optional=True)
        add_exclusion(self, "Cells of the classes EXCLUDE_CODES are not predicted, nor compared with REFERENCE.")
        self.add(QgsProcessingParameterBoolean("SMOOTH", "3 x 3 majority filter", True),
                 "Smooth the predicted classes; nodata neither votes nor changes.")
        self.add_raster("REFERENCE", "Conceptual PTI to compare with", "The index that the model learned; its "
                        "agreement with the map is measured on all cells away from the training points.",
                        optional=True)
        self.add_number("BUFFER_KM", "Distance from the training points (km)",
                        "Cells nearer to a training point do not count for the agreement with REFERENCE.", 25.0, 0.0,
                        MOST_KM, advanced=True)
        self.add_max_missing("as many as the model was trained with.")
        self.add_settings()
        self.add_raster_output("OUTPUT", "Predicted PTI", "Ranks 11 to 40, 0 nodata.")
        self.add_raster_output("OUTPUT_AGREEMENT", "Agreement of the runs", "Share of runs that vote for the class, %.",
                               optional=True)
        self.add_raster_output("OUTPUT_ENTROPY", "Entropy", "Entropy of the calibrated class probabilities, 0 to "
                               "1.",
                               optional=True)
        self.add_raster_output("OUTPUT_MARGIN", "Margin", "Votes for the class minus votes for the second, %.",
                               optional=True)
        self.add_raster_output("OUTPUT_PROBABILITIES", "Class probabilities", "Mean of the runs, calibrated "
                               "with the model's temperature, one band a class.", optional=True)
        self.add_raster_output("OUTPUT_OUTSIDE", "Predictors outside the samples", "Number of predictors that lie "
                               "outside the range of the training samples.", optional=True)
        self.add_raster_output("OUTPUT_DISSIMILARITY", "Dissimilarity index", "Distance in predictor space to the "
                               "nearest training sample, over the mean distance among them.", optional=True)
        self.add_raster_output("OUTPUT_APPLICABILITY", "Area of applicability", "1 inside, 0 outside: more dissimilar "
                               "than the samples are across the folds of the cross-validation.", optional=True)
        self.add_raster_output("OUTPUT_MISSING", "Missing predictors", "Whole numbers whose bits say which predictors "
                               "a cell lacks, the first predictor in the lowest bit; their names are in the band's "
                               "items PTI_BIT_0, PTI_BIT_1 and so on. -1 is nodata: outside BASE, or without any "
                               "predictor where BASE is not given.", optional=True)
        self.add_file_output("OUTPUT_METRICS", "Metrics", "CSV: the model's accuracy panel; with REFERENCE also what "
                             "was found wall to wall, by band of latitude, areas by rank and coverage; with "
                             "OUTPUT_APPLICABILITY how much of each rank lies outside the area of applicability.",
                             "CSV (*.csv)", optional=True)
        self.add_file_output("OUTPUT_TABLE", "Area by rank", "CSV: cells, true area and share by rank; with REFERENCE "
                             "also the conceptual and the predicted area on the same cells, their difference, and the "
                             "area of the map corrected by the index.", "CSV (*.csv)", optional=True)
        self.add_file_output("OUTPUT_COVERAGE", "Coverage", "CSV, needs REFERENCE: ranked, sampled, predicted and not "
                             "predicted cells and km² by rank and by band of latitude, with the predictors lacking.",
                             "CSV (*.csv)", optional=True)

    def one_set(self, inputs):
        """Without a map to compare with, a model may be applied to whatever stack."""
        return super().one_set(inputs) if "REFERENCE" in dict(inputs) else []

    def compute(self, parameters, context, progress):
        """Predict the map."""
        stack, base, reference = (self.raster_path(parameters, name, context)
                                  for name in ("STACK", "BASE", "REFERENCE"))
        model = self.parameterAsFile(parameters, "MODEL", context)
        inputs = [("STACK", stack), ("MODEL", model)]
        left_out = left_out_classes(self, parameters, context)
        inputs += [(name, path) for name, path in (("BASE", base), ("REFERENCE", reference)) if path]
        inputs += exclusion_inputs(left_out)
        outputs = {name: self.output_path(parameters, name, context) for name in RASTERS.values()}
        outputs.update({name: self.file_output_path(parameters, name, context)
                        for name in TABLES})
        if outputs["OUTPUT_COVERAGE"] and not reference:
            raise InputError("OUTPUT_COVERAGE needs the ranks of the conceptual index. Give REFERENCE, or leave it "
                             "out.")
        most = self.parameterAsInt(parameters, "MAX_MISSING", context)
        options = PredictionOptions(self.parameterAsBool(parameters, "SMOOTH", context),
                                    self.parameterAsDouble(parameters, "BUFFER_KM", context),
                                    None if most < 0 else most, left_out)
        with self.staging(inputs, outputs, progress) as staging:
            result = predict(stack, model, {key: outputs[name] for key, name in RASTERS.items()}, staging, progress,
                             base, reference, options, self.settings(parameters, context))
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"]))
            if outputs["OUTPUT_METRICS"]:
                staging.write_text(outputs["OUTPUT_METRICS"], tables.to_csv(result["metrics"]))
            if outputs["OUTPUT_COVERAGE"]:
                staging.write_text(outputs["OUTPUT_COVERAGE"], tables.to_csv(result["coverage"], COLUMNS))
            for row in result["table"]:
                progress.info(f"{row['label']}: {row['area_km2']:,.0f} km² ({row['share_percent']:.2f} %)")
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result,
                               choices={"MAX_MISSING": result["max_missing"]})
