"""Tool: predict the PTI map."""

from qgis.core import QgsProcessingParameterBoolean

from ..core import tables
from ..core.prediction import predict
from .base import PtiAlgorithm
from .groups import LEARNING


class PredictXgboost(PtiAlgorithm):
    """Thin wrapper of core.prediction.predict."""

    ID = "predictxgboost"
    TITLE = "Predict PTI with XGBoost"
    GROUP = LEARNING
    TAGS = ("xgboost", "machine learning", "prediction", "map", "agreement", "entropy")
    SHORT = "Predicts the PTI map from a predictor stack with a trained ensemble."
    HELP = ("Every run votes; the class with most votes is the map, ties go to the larger mean probability. A 3 x 3 "
            "majority filter follows (ties keep the centre). Predictors are matched by band name; a missing or "
            "differently scaled one is refused by name. Cells with a missing predictor or with a category that the "
            "model never saw are nodata. Needs xgboost.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("STACK", "Predictor stack", "Multi-band raster whose band names are the predictors.")
        self.add_file("MODEL", "Model", "Model file of the training tool.", filters="PTI model (*.ptimodel)")
        self.add_raster("BASE", "Where to predict",
                        "Base map or conceptual PTI: predict only where it has a value other than 0. The conceptual "
                        "PTI leaves out what is too warm to be permafrost, as the paper does.", optional=True)
        self.add(QgsProcessingParameterBoolean("SMOOTH", "3 x 3 majority filter", True),
                 "Smooth the predicted classes; nodata neither votes nor changes.")
        self.add_settings()
        self.add_raster_output("OUTPUT", "Predicted PTI", "Ranks 11 to 40, 0 nodata.")
        self.add_raster_output("OUTPUT_AGREEMENT", "Agreement of the runs", "Share of runs that vote for the class, %.",
                               optional=True)
        self.add_raster_output("OUTPUT_ENTROPY", "Entropy", "Entropy of the mean class probabilities, 0 to 1.",
                               optional=True)
        self.add_file_output("OUTPUT_TABLE", "Area by rank", "CSV: cells, true area and share by rank.", "CSV (*.csv)",
                             optional=True)

    def compute(self, parameters, context, progress):
        """Predict the map."""
        stack, base = (self.raster_path(parameters, name, context) for name in ("STACK", "BASE"))
        model = self.parameterAsFile(parameters, "MODEL", context)
        inputs = [("STACK", stack), ("MODEL", model)] + ([("BASE", base)] if base else [])
        outputs = {name: self.output_path(parameters, name, context)
                   for name in ("OUTPUT", "OUTPUT_AGREEMENT", "OUTPUT_ENTROPY")}
        outputs["OUTPUT_TABLE"] = self.file_output_path(parameters, "OUTPUT_TABLE", context)
        with self.staging(inputs) as staging:
            result = predict(
                stack, model, {"pti": outputs["OUTPUT"], "agreement": outputs["OUTPUT_AGREEMENT"],
                               "entropy": outputs["OUTPUT_ENTROPY"]}, staging, progress, base,
                self.parameterAsBool(parameters, "SMOOTH", context), self.settings(parameters, context))
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"]))
            for row in result["table"]:
                progress.info(f"{row['label']}: {row['area_km2']:,.0f} km² ({row['share_percent']:.2f} %)")
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)
