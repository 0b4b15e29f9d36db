"""Tool: train the XGBoost ensemble."""

import math

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsProcessingParameterFeatureSource,
    QgsProviderRegistry,
    QgsWkbTypes,
)

from ..core import tables, training
from ..core.errors import InputError
from ..core.features import PREDICTORS, Feature, read_stack
from ..core.model_file import write_model
from ..core.packages import require
from ..core.sampling import Samples, draw_samples
from . import compat
from .base import PtiAlgorithm
from .groups import LEARNING

CLASS_FIELD = "pti"


class TrainXgboost(PtiAlgorithm):
    """Thin wrapper of core.training.train."""

    ID = "trainxgboost"
    TITLE = "Train XGBoost ensemble"
    GROUP = LEARNING
    TAGS = ("xgboost", "machine learning", "training", "shap", "accuracy", "out-of-bag", "cross-validation")
    SHORT = "Trains an ensemble of XGBoost classifiers and measures an accuracy one can believe."
    HELP = ("Samples come from a point layer (class field 'pti', predictors by field name) or are drawn from a PTI "
            "raster and a predictor stack. Each run trains on a random 80 %. The metrics put the out-of-bag vote, "
            "spatial-block and random cross-validation, the single-run hold-out and the in-sample vote side by side "
            "and say what each means. The model file is a zip of JSON and XGBoost's own format; reading it "
            "runs no code. Needs xgboost.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add(QgsProcessingParameterFeatureSource("SAMPLES", "Sample points", [compat.VECTOR_POINT], optional=True),
                 "Points with the class in the field 'pti' and one field a predictor. Leave empty to draw samples from "
                 "PTI and STACK.")
        self.add_raster("PTI", "PTI raster", "Ranks to learn, on the grid of the stack.", optional=True)
        self.add_raster("STACK", "Predictor stack", "Multi-band raster whose band names are the predictors.",
                        optional=True)
        self.add_integer("RUNS", "Runs", "Number of models in the ensemble.", 100, 1, 1000)
        self.add_integer("SEED", "Seed", "Same seed and input give the same model.", 42, 0)
        self.add_integer("PER_CLASS", "Samples a rank", "At most so many points a rank are drawn from the rasters.",
                         4000, 10)
        self.add_number("SPACING", "Spacing of the samples (km)",
                        "Least ground distance between two samples of a rank; 0 for none.", 0.0, 0.0)
        self.add_profile()
        self.add_integer("ROUNDS", "Boosting rounds", "Trees a class and run.", 300, 1, advanced=True)
        self.add_integer("MAX_DEPTH", "Depth of the trees", "Largest depth of a tree.", 6, 1, 16, advanced=True)
        self.add_number("LEARNING_RATE", "Learning rate", "Shrinkage of each tree (eta).", 0.1, 0.001, 1.0,
                        advanced=True)
        self.add_number("MIN_CHILD_WEIGHT", "Least child weight", "XGBoost's min_child_weight.", 1.0, 0.0,
                        advanced=True)
        self.add_number("SUBSAMPLE", "Share of rows a tree", "XGBoost's subsample.", 1.0, 0.1, 1.0, advanced=True)
        self.add_number("COLSAMPLE", "Share of predictors a tree", "XGBoost's colsample_bytree.", 1.0, 0.1, 1.0,
                        advanced=True)
        self.add_number("LAMBDA", "L2 regularisation", "XGBoost's lambda.", 1.0, 0.0, advanced=True)
        self.add_number("TEST_SHARE", "Share held out", "Share of the samples each run does not train on.", 0.2, 0.05,
                        0.5, advanced=True)
        self.add_number("BLOCK_KM", "Block size of the spatial cross-validation (km)",
                        "Whole blocks of this side are held out together.", 500.0, 1.0, advanced=True)
        self.add_integer("THREADS", "Threads (0 = all cores)", "Runs trained at once. The model does not depend on it.",
                         0, 0, advanced=True)
        self.add_file_output("OUTPUT_MODEL", "Model", "The model file.", "PTI model (*.ptimodel)")
        self.add_file_output("OUTPUT_METRICS", "Metrics", "CSV: accuracy panel, by class, confusion matrix.",
                             "CSV (*.csv)")
        self.add_file_output("OUTPUT_SHAP", "SHAP", "CSV: mean |SHAP| and gain by predictor and group.", "CSV (*.csv)",
                             optional=True)

    def compute(self, parameters, context, progress):
        """Train the ensemble."""
        # before samples are drawn, which takes long
        require("xgboost", "training the model")
        layer = self.parameterAsSource(parameters, "SAMPLES", context)
        pti, stack = (self.raster_path(parameters, name, context) for name in ("PTI", "STACK"))
        seed = self.parameterAsInt(parameters, "SEED", context)
        if layer is not None and (pti or stack):
            raise InputError("Give either SAMPLES or PTI and STACK, not both.")
        if layer is None and not (pti and stack):
            raise InputError("Nothing to learn from: give SAMPLES (a point layer), or PTI and STACK (rasters).")
        if layer is not None:
            samples = _samples_of(layer, context, progress)
            points = self.parameterAsVectorLayer(parameters, "SAMPLES", context)
            path = _file_of(points) if points else None
            inputs = [("SAMPLES", path or layer.sourceName())]
            if not path:
                progress.warn("The sample points are not in a file. Save them to one to be able to repeat this run.")
        else:
            samples = draw_samples(
                pti, read_stack(stack), self.parameterAsInt(parameters, "PER_CLASS", context),
                self.parameterAsDouble(parameters, "SPACING", context), seed, progress.part(0, 0.1))
            inputs = [("PTI", pti), ("STACK", stack)]
        progress.info(f"{len(samples.y)} samples, {len(samples.features)} predictors.")
        options = training.TrainingOptions(
            runs=self.parameterAsInt(parameters, "RUNS", context), seed=seed,
            rounds=self.parameterAsInt(parameters, "ROUNDS", context),
            max_depth=self.parameterAsInt(parameters, "MAX_DEPTH", context),
            threads=self.parameterAsInt(parameters, "THREADS", context),
            **{field: self.parameterAsDouble(parameters, name, context) for field, name in (
                ("learning_rate", "LEARNING_RATE"), ("min_child_weight", "MIN_CHILD_WEIGHT"),
                ("subsample", "SUBSAMPLE"), ("colsample", "COLSAMPLE"), ("reg_lambda", "LAMBDA"),
                ("test_share", "TEST_SHARE"), ("block_km", "BLOCK_KM"))})
        profile = self.profile(parameters, context)
        outputs = {name: self.file_output_path(parameters, name, context)
                   for name in ("OUTPUT_MODEL", "OUTPUT_METRICS", "OUTPUT_SHAP")}
        with self.staging(inputs) as staging:
            staging.reserve(*outputs.values())
            result = training.train(samples, options, progress.part(0.1, 1), profile)
            with staging.writing(outputs["OUTPUT_MODEL"]) as partial:
                write_model(partial, samples.features, result.codes, result.boosters,
                            training.manifest(result, samples, options, profile))
            if outputs["OUTPUT_METRICS"]:
                staging.write_text(outputs["OUTPUT_METRICS"], tables.to_csv(result.metrics))
            if outputs["OUTPUT_SHAP"]:
                staging.write_text(outputs["OUTPUT_SHAP"], tables.to_csv(result.shap))
            panel = training.accuracy_rows(result.metrics)
            for row in panel:
                progress.info(f"{row['line']}: {row['value']:.1f} % (n = {row['n']})")
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, seed,
                               {"accuracy": panel, "samples": len(samples.y), "samples_sha256": samples.checksum()})


def _file_of(layer):
    """Return the file of a vector layer, or None where it comes from no file."""
    return QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source()).get("path")


def _samples_of(layer, context, progress):
    """Return the Samples of a point layer, one a feature; raises InputError naming missing fields."""
    if QgsWkbTypes.geometryType(layer.wkbType()) != compat.POINT:
        raise InputError("SAMPLES is not a point layer. Give points with the class and the predictors as fields.")
    names = [field.name() for field in layer.fields()]
    if CLASS_FIELD not in names:
        raise InputError(f"The sample points have no field '{CLASS_FIELD}' with the PTI rank. They have "
                         f"{', '.join(names)}.")
    features = tuple(Feature(name, PREDICTORS[name].group, PREDICTORS[name].categorical)
                     for name in PREDICTORS if name in names)
    if not features:
        raise InputError(f"The sample points have none of the predictors {', '.join(PREDICTORS)}.")
    if not layer.sourceCrs().isValid():
        raise InputError("The sample points have no CRS. Assign one first.")
    change = QgsCoordinateTransform(layer.sourceCrs(), QgsCoordinateReferenceSystem("EPSG:4326"),
                                    context.transformContext())
    x, y, places, left_out = [], [], [], 0
    for feature in layer.getFeatures():
        progress.check()
        values = [feature[predictor.name] for predictor in features]
        place = _place(feature.geometry(), change)
        if place is None or not all(map(_is_number, (*values, feature[CLASS_FIELD]))):
            left_out += 1
            continue
        x.append(values)
        y.append(int(feature[CLASS_FIELD]))
        places.append(place)
    if not y:
        raise InputError("No sample point has a geometry, a rank and all predictors.")
    if left_out:
        progress.warn(f"{left_out} of {left_out + len(y)} sample points lack a place, a rank or a predictor and were "
                      f"left out.")
    places = np.array(places)
    return Samples(np.array(x, dtype=np.float32), np.array(y), places[:, 0], places[:, 1], features)


def _is_number(value):
    # an empty attribute comes as a QVariant
    return isinstance(value, (int, float)) and math.isfinite(value)


def _place(geometry, change):
    """Return (longitude, latitude) of a geometry of one point, or None where it has none or several."""
    if geometry.isEmpty():
        return None
    points = geometry.asMultiPoint() if geometry.isMultipart() else [geometry.asPoint()]
    if len(points) != 1:
        return None
    try:
        place = change.transform(points[0])
    except QgsCsException:
        return None
    return place.x(), place.y()
