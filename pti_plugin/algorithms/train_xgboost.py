"""Tool: train the XGBoost ensemble."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProviderRegistry,
    QgsWkbTypes,
)

from ..core.assessment.accuracy_panel import accuracy_rows
from ..core.common import tables
from ..core.common.errors import InputError
from ..core.common.packages import require
from ..core.common.resources import resource
from ..core.ensembles.features import PREDICTORS, Feature, missing_limit, read_stack
from ..core.learning import class_weights, feature_selection, training
from ..core.learning.folds import block_folds, stratified_folds
from ..core.learning.learner import TrainingOptions
from ..core.learning.model_file import pack_samples, write_model
from ..core.samples.sample_file import CLASS_FIELD, predictor_fields, read_sample_features
from ..core.samples.sampling import SampleOptions, Samples, draw_samples
from . import compat
from .base import PtiAlgorithm
from .collections_input import crs_of, is_collection, points_in
from .exclusion_input import add_exclusion, exclusion_inputs, left_out_classes
from .groups import LEARNING

#: parameter of the tool → field of TrainingOptions
WHOLE_NUMBERS = {"RUNS": "runs", "SEED": "seed", "ROUNDS": "rounds", "MAX_DEPTH": "max_depth", "MAX_BIN": "max_bin",
                 "MAX_CAT_TO_ONEHOT": "max_cat_to_onehot", "MAX_CAT_THRESHOLD": "max_cat_threshold",
                 "EARLY_STOPPING": "early_stopping", "SHAP_POINTS": "shap_points", "SHAP_RUNS": "shap_runs",
                 "MAX_MISSING": "max_missing", "THREADS": "threads"}
NUMBERS = {"LEARNING_RATE": "learning_rate", "MIN_CHILD_WEIGHT": "min_child_weight", "GAMMA": "gamma",
           "MAX_DELTA_STEP": "max_delta_step", "SUBSAMPLE": "subsample", "COLSAMPLE": "colsample",
           "COLSAMPLE_LEVEL": "colsample_level", "COLSAMPLE_NODE": "colsample_node", "LAMBDA": "reg_lambda",
           "ALPHA": "reg_alpha", "EARLY_SHARE": "early_share", "TEST_SHARE": "test_share", "BLOCK_KM": "block_km"}
#: where the points come from, in the record
GIVEN, DRAWN = "given points", "drawn in training"
OUTPUTS = ("OUTPUT_MODEL", "OUTPUT_METRICS", "OUTPUT_SHAP", "OUTPUT_SELECTION")


class TrainXgboost(PtiAlgorithm):
    """Thin wrapper of core.learning.training.train."""

    ID = "trainxgboost"
    TITLE = "Train XGBoost ensemble"
    GROUP = LEARNING
    TAGS = ("xgboost", "machine learning", "training", "shap", "accuracy", "out-of-bag", "cross-validation")
    SHORT = "Trains an ensemble of XGBoost classifiers and measures an accuracy one can believe."
    HELP = ("Samples come from a point layer (class field 'pti', predictors by field name) or are drawn from a PTI "
            "raster and a predictor stack. Each run trains on a random 80 %. The metrics put the out-of-bag vote, "
            "spatial-block and random cross-validation, the single-run hold-out and the in-sample vote side by side "
            "and say what each means. Ranks count as the area they have wherever it is known, else a map has too much "
            "of the ranks that were sampled more densely. The probabilities are calibrated on the out-of-bag votes by "
            "one temperature, which changes no class. Points and cells that lack a few predictors are learned from, "
            "as XGBoost does with missing values. SELECT chooses predictors first, by recursive elimination; the "
            "models then know only those. The model file is a zip of JSON, XGBoost's own format and the samples; "
            "reading it runs no code. Its checksums find accidents and stop nobody who means harm; a model from "
            "elsewhere is checked before it is used. Needs xgboost.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add(QgsProcessingParameterFeatureSource("SAMPLES", "Sample points", [compat.VECTOR_POINT], optional=True),
                 "Points with the class in the field 'pti' and one field a predictor, named as its role. Names that a "
                 "shapefile cut to ten letters are matched and said. Leave empty to draw samples from PTI and STACK.")
        self.add_raster("PTI", "PTI raster", "Ranks to learn, on the grid of the stack.", optional=True)
        self.add_raster("STACK", "Predictor stack", "Multi-band raster whose band names are the predictors.",
                        optional=True)
        add_exclusion(self, "Cells of PTI that have one of the classes EXCLUDE_CODES are not learned from and count in "
                            "no area.", advanced=True)
        self.add_integer("RUNS", "Runs", "Number of models in the ensemble.", 100, 1, 1000)
        self.add_integer("SEED", "Seed", "Same seed and input give the same model.", 42, 0)
        self.add_integer("PER_CLASS", "Samples per rank", "At most so many points a rank are drawn from the rasters.",
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
        self.add_number("BLOCK_KM", "Block size of the spatial cross-validation (km, 0 = suggested)",
                        "Whole blocks of this side are held out together. 0 takes the size that the correlation of the "
                        "residuals suggests; the metrics give that size in any case.", 500.0, 0.0, advanced=True)
        self.add_integer("THREADS", "Threads (0 = all cores)", "Runs trained at once. The model does not depend on it.",
                         0, 0, advanced=True)
        self._add_selection()
        self._add_weights()
        self.add_max_missing("4 in the profile defensible, 0 in as_published. The model keeps the number for the map.")
        self._add_more_hyperparameters()
        self.add_file_output("OUTPUT_MODEL", "Model", "The model file.", "PTI model (*.ptimodel)")
        self.add_file_output("OUTPUT_METRICS", "Metrics", "CSV: accuracy panel, by class, confusion matrix, "
                             "calibration, correlogram of the residuals.", "CSV (*.csv)")
        self.add_file_output("OUTPUT_SHAP", "SHAP", "CSV: mean |SHAP| and gain by predictor, group and class.",
                             "CSV (*.csv)", optional=True)
        self.add_file_output("OUTPUT_SELECTION", "Feature selection", "CSV: accuracy by number of predictors, with "
                             "SELECT.", "CSV (*.csv)", optional=True)

    def _add_selection(self):
        self.add_choice("SELECT", "Feature selection", "none: all predictors are used. rfecv: the least important "
                        "predictor by gain is dropped again and again, and cross-validation says how many are worth "
                        "having; takes as long as about a hundred runs.", feature_selection.SELECTIONS,
                        feature_selection.NONE, advanced=True, static=True)
        self.add_choice("SELECT_FOLDS", "Folds of the feature selection", "stratified: random folds with the class "
                        "shares kept, as in the paper. spatial_blocks: whole blocks of BLOCK_KM, so that predictors "
                        "that only know the place are not rewarded.", feature_selection.FOLD_SCHEMES,
                        feature_selection.STRATIFIED, advanced=True, static=True)
        self.add_choice("SELECT_RULE", "Rule of the feature selection", "best_mean: the number of predictors with the "
                        "best mean accuracy. fewest_within_one_se: the fewest whose mean is within one standard error "
                        "of the best.", feature_selection.RULES, feature_selection.BEST, advanced=True, static=True)

        self.add_integer("SELECT_ROUNDS", "Rounds of the feature selection (0 = ROUNDS)", "Trees per class and fit of "
                         "the elimination. Fewer make it faster; the models themselves have ROUNDS.", 0, 0,
                         advanced=True)

    def _add_weights(self):
        self.add_choice("CLASS_WEIGHTS", "Weights of the ranks", "auto: area_matched in the profile defensible, where "
                        "the areas are known; none in as_published. none: every point counts as one, so with equal "
                        "numbers a rank all ranks are taken to be equally large, and small ones come out too large on "
                        "the map. balanced: every rank counts the same, whatever its number of points. area: every "
                        "rank counts as the area it has in WEIGHTS, with the sample points or in the PTI raster. "
                        "area_matched: the same, and each run's probabilities are multiplied with one factor a rank "
                        "before it votes, found on the out-of-bag votes so that the area classified as each rank is "
                        "the area of the rank. Accuracies count points as they are unless they say by area.",
                        class_weights.CLASS_WEIGHTS, class_weights.AUTO, advanced=True, static=True)
        self.add(QgsProcessingParameterFile("WEIGHTS", "Area of the ranks", compat.FILE, optional=True),
                 "CSV with the columns rank and area_km2 (or weight), for weights by area; the area table of Build PTI "
                 "will do. Empty: the areas that came with SAMPLES, or those of the PTI raster.", advanced=True)

    def _add_more_hyperparameters(self):
        self.add_number("GAMMA", "Least gain of a split", "XGBoost's gamma (min_split_loss).", 0.0, 0.0, advanced=True)
        self.add_number("ALPHA", "L1 regularisation", "XGBoost's alpha.", 0.0, 0.0, advanced=True)
        self.add_number("MAX_DELTA_STEP", "Largest step of a leaf (0 = no limit)", "XGBoost's max_delta_step.", 0.0,
                        0.0, advanced=True)
        self.add_number("COLSAMPLE_LEVEL", "Share of predictors a level", "XGBoost's colsample_bylevel.", 1.0, 0.1, 1.0,
                        advanced=True)
        self.add_number("COLSAMPLE_NODE", "Share of predictors a split", "XGBoost's colsample_bynode.", 1.0, 0.1, 1.0,
                        advanced=True)
        self.add_integer("MAX_BIN", "Bins a predictor", "XGBoost's max_bin.", 256, 2, 256, advanced=True)
        self.add_integer("MAX_CAT_TO_ONEHOT", "Categories split one by one below this number",
                         "XGBoost's max_cat_to_onehot. 1 splits land cover by sets of classes; a number above its "
                         "highest code, such as 1000, takes its classes one by one (one-hot).", 1, 1, 1000,
                         advanced=True)
        self.add_integer("MAX_CAT_THRESHOLD", "Most categories in a split", "XGBoost's max_cat_threshold.", 64, 1, 1000,
                         advanced=True)
        self.add_integer("EARLY_STOPPING", "Early stopping (rounds without gain, 0 = off)",
                         "A run ends after so many rounds in which the loss on EARLY_SHARE of its own training points, "
                         "set aside, did not fall, and keeps the best ones. The held-out points are never looked at. "
                         "Feature selection does not use it.", 0, 0, advanced=True)
        self.add_number("EARLY_SHARE", "Share set aside for early stopping", "Of each run's own training points.", 0.1,
                        0.05, 0.5, advanced=True)
        self.add_integer("SHAP_POINTS", "Points for SHAP", "Held-out points whose contributions are taken, over all "
                         "runs that take part.", 500, 1, advanced=True)
        self.add_integer("SHAP_RUNS", "Runs for SHAP (0 = all)", "How many runs take part.", 0, 0, 1000, advanced=True)

    def compute(self, parameters, context, progress):
        """Train the ensemble."""
        # before samples are drawn, which takes long
        require("xgboost", "training the model")
        options = TrainingOptions(
            **{field: self.parameterAsInt(parameters, name, context) for name, field in WHOLE_NUMBERS.items()},
            **{field: self.parameterAsDouble(parameters, name, context) for name, field in NUMBERS.items()})
        profile = self.profile(parameters, context)
        options = replace(options, shap_runs=min(options.shap_runs or options.runs, options.runs),
                          max_missing=profile.max_missing if options.max_missing < 0 else options.max_missing)
        table = self.parameterAsFile(parameters, "WEIGHTS", context)
        left_out = left_out_classes(self, parameters, context)
        samples, grid, inputs = self._samples(parameters, context, progress, options, left_out)
        if table:
            inputs.append(("WEIGHTS", table))
        progress.info(f"{len(samples.y)} samples, {len(samples.features)} predictors.")
        samples.check()
        prior = class_weights.prior_of(
            samples.y, self.parameterAsEnumString(parameters, "CLASS_WEIGHTS", context),
            _areas(table, dict(inputs).get("PTI"), left_out, samples.areas, progress.part(0.1, 0.1)), profile, progress)
        outputs = {name: self.file_output_path(parameters, name, context) for name in OUTPUTS}
        selecting = self.parameterAsEnumString(parameters, "SELECT", context) == feature_selection.RFECV
        if outputs["OUTPUT_SELECTION"] and not selecting:
            raise InputError("OUTPUT_SELECTION is asked for, but SELECT is none. Set SELECT to rfecv, or leave the "
                             "output out.")
        with self.staging(inputs, outputs, progress) as staging:
            chosen, selection, begin = samples, None, 0.1
            if selecting:
                selection = self._select(parameters, context, progress.part(0.1, 0.5), samples, options,
                                         prior.weights)
                chosen, begin = feature_selection.restricted(samples, selection.names), 0.5
            left_out = [feature for feature in samples.features if feature not in chosen.features]
            result = training.train(chosen, options, progress.part(begin, 1), profile, prior, left_out)
            with staging.writing(outputs["OUTPUT_MODEL"]) as partial:
                write_model(partial, chosen.features, result.codes, result.boosters,
                            training.manifest(result, chosen, options, profile, grid, prior, selection),
                            pack_samples(chosen, result.folds))
            for name, rows in (("OUTPUT_METRICS", result.metrics), ("OUTPUT_SHAP", result.shap)):
                if outputs[name]:
                    staging.write_text(outputs[name], tables.to_csv(rows))
            if outputs["OUTPUT_SELECTION"]:
                rows = selection.rows() + feature_selection.paper_rows(resource("tables", "paper_results.csv"))
                staging.write_text(outputs["OUTPUT_SELECTION"], tables.to_csv(rows, feature_selection.COLUMNS))
            panel = accuracy_rows(result.metrics)
            for row in panel:
                progress.info(f"{row['line']}: {row['value']:.1f} % (n = {row['n']})")
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile, options.seed,
                               {"accuracy": panel, "samples": len(samples.y), "samples_sha256": samples.checksum(),
                                "predictors": [feature.name for feature in chosen.features],
                                "class_weights": prior.kind, "temperature": result.temperature,
                                "samples_with_gaps": int(np.isnan(chosen.x).any(axis=1).sum())},
                               choices={"samples": DRAWN if grid else GIVEN,
                                        **({} if grid else dict.fromkeys(("PER_CLASS", "SPACING"))),
                                        "CLASS_WEIGHTS": prior.kind, "MAX_MISSING": options.max_missing,
                                        "stratified_split": profile.stratified_split,
                                        "SHAP_RUNS": options.shap_runs})

    def _samples(self, parameters, context, progress, options, left_out):
        """Return (Samples, the Grid they were drawn on or None, inputs as a list of (role, path))."""
        layer = self.parameterAsSource(parameters, "SAMPLES", context)
        pti, stack = (self.raster_path(parameters, name, context) for name in ("PTI", "STACK"))
        if layer is not None and (pti or stack):
            raise InputError("Give either SAMPLES or PTI and STACK, not both.")
        if layer is None and not (pti and stack):
            raise InputError("Nothing to learn from: give SAMPLES (a point layer), or PTI and STACK (rasters).")
        if layer is not None and left_out:
            raise InputError("EXCLUDE leaves out cells of PTI, but the points of SAMPLES are drawn already. Draw them "
                             "with EXCLUDE, and leave it empty here.")
        if layer is None:
            read = read_stack(stack)
            samples = draw_samples(
                pti, read, self.parameterAsInt(parameters, "PER_CLASS", context),
                self.parameterAsDouble(parameters, "SPACING", context), options.seed, progress.part(0, 0.1),
                SampleOptions(max_missing=options.max_missing, left_out=left_out))
            return samples, read.grid, [("PTI", pti), ("STACK", stack), *exclusion_inputs(left_out)]
        points = self.parameterAsVectorLayer(parameters, "SAMPLES", context)
        parts = _parts_of(points) if points else {}
        path = parts.get("path")
        if not path:
            progress.warn("The sample points are not in a file. Save them to one to be able to repeat this run.")
        features, areas = read_sample_features(path, parts.get("layerName")) if path else (None, None)
        crs = crs_of(layer, points)
        samples = replace(_samples_of(layer, crs, features, context, progress, options.max_missing), areas=areas)
        return samples, None, [("SAMPLES", path or layer.sourceName())]

    def _select(self, parameters, context, progress, samples, options, weights):
        """Return the Selection of features, and tell it."""
        scheme = self.parameterAsEnumString(parameters, "SELECT_FOLDS", context)
        if scheme == feature_selection.BLOCKS:
            if not options.block_km:
                raise InputError("SELECT_FOLDS is spatial_blocks, but BLOCK_KM is 0: the size that the residuals "
                                 "suggest is known only after training. Give BLOCK_KM a size.")
            folds, _ = block_folds(samples, options.block_km, options.seed)
        else:
            folds = stratified_folds(np.searchsorted(np.unique(samples.y), samples.y), options.seed)
        rounds = self.parameterAsInt(parameters, "SELECT_ROUNDS", context) or options.rounds
        selection = feature_selection.select(
            samples, folds, replace(options, rounds=rounds), progress, scheme,
            self.parameterAsEnumString(parameters, "SELECT_RULE", context),
            weights)
        best = selection.accuracy.mean(axis=0)[selection.chosen - 1]
        progress.info(f"{selection.chosen} of {len(samples.features)} predictors are kept "
                      f"({100 * best:.1f} % in the folds): {', '.join(selection.names)}.")
        return selection


def _areas(table, pti, left_out, of_samples, progress):
    """Return {rank: area} of the table, else of the PTI raster, else what came with the samples; None without any."""
    if table:
        return class_weights.areas_of_table(table)
    return class_weights.areas_of_raster(pti, progress, left_out) if pti else of_samples


def _parts_of(layer):
    """Return the parts of a vector layer's source, with ``path`` where it comes from a file."""
    return QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())


def _samples_of(layer, crs, features, context, progress, max_missing):
    """Return the Samples of a point layer with this CRS, one a feature; raises InputError naming missing fields.

    ``features``: Features that the layer says it carries, or None to take the paper's roles by field name. An empty
    field is a missing predictor; points that lack more than ``max_missing`` are left out.
    """
    if is_collection(layer):
        progress.info("SAMPLES is a layer of geometry collections; the points in them are read.")
    elif QgsWkbTypes.geometryType(layer.wkbType()) != compat.POINT:
        raise InputError(f"SAMPLES is not a point layer, but one of {QgsWkbTypes.displayString(layer.wkbType())}. Give "
                         f"points with the class and the predictors as fields.")
    names = [field.name() for field in layer.fields()]
    if CLASS_FIELD not in names:
        raise InputError(f"The sample points have no field '{CLASS_FIELD}' with the PTI rank. They have "
                         f"{', '.join(names)}.")
    found = predictor_fields(list(PREDICTORS) if features is None else [feature.name for feature in features], names)
    numeric = {field.name() for field in layer.fields() if field.isNumeric()}
    texts = [field for field in found.fields.values() if field not in numeric]
    if texts:
        raise InputError(f"The field '{texts[0]}' of the sample points is a predictor, but does not hold numbers. "
                         f"Convert it to a number, or remove it.")
    if features is None:
        features = tuple(Feature(name, PREDICTORS[name].group, PREDICTORS[name].categorical)
                         for name in PREDICTORS if name in found.fields)
    else:
        gone = [feature.name for feature in features if feature.name not in found.fields]
        features = tuple(feature for feature in features if feature.name in found.fields)
        if gone:
            progress.warn(f"The sample points were drawn with {', '.join(gone)}, but have no such field any more; "
                          f"the model is trained without.")
    if found.renamed:
        progress.warn("Fields taken by the start of their names, or in another case: "
                      + ", ".join(f"{field} as {name}" for field, name in found.renamed) + ".")
    ignored = [field for field in found.ignored if field in numeric]
    if ignored:
        progress.warn(f"Fields of the sample points that are no known predictor and are not used: "
                      f"{', '.join(ignored)}. To use one, give it the name of its predictor: "
                      f"{', '.join(PREDICTORS)}.")
    if not features:
        raise InputError(f"The sample points have none of the predictors {', '.join(PREDICTORS)}.")
    if not crs.isValid():
        raise InputError("The sample points have no CRS. Assign one first.")
    change = QgsCoordinateTransform(crs, QgsCoordinateReferenceSystem("EPSG:4326"),
                                    context.transformContext())
    x, y, places = [], [], []
    nowhere, lacking, limit = 0, Counter(), missing_limit(max_missing, len(features))
    for feature in layer.getFeatures():
        progress.check()
        values = [feature[found.fields[predictor.name]] for predictor in features]
        values = [value if _is_number(value) else math.nan for value in values]
        place = _place(feature.geometry(), change)
        missing = [predictor.name for predictor, value in zip(features, values) if math.isnan(value)]
        if place is None or not _is_number(feature[CLASS_FIELD]):
            nowhere += 1
            continue
        if len(missing) > limit:
            lacking.update(missing)
            lacking[None] += 1
            continue
        x.append(values)
        y.append(int(feature[CLASS_FIELD]))
        places.append(place)
    if not y:
        raise InputError("No sample point has a geometry, a rank and enough predictors.")
    left_out, total = lacking.pop(None, 0), len(y) + nowhere
    if nowhere:
        progress.warn(f"{nowhere} of {total + left_out} sample points lack a place or a rank and were left out.")
    if left_out:
        listed = ", ".join(f"{name} {count}" for name, count in lacking.most_common())
        progress.warn(f"{left_out} of {total + left_out} sample points lack "
                      f"{f'more than {limit} predictors' if limit else 'a predictor'} and were left out (points "
                      f"without each: {listed}).")
    places = np.array(places)
    return Samples(np.array(x, dtype=np.float32), np.array(y), places[:, 0], places[:, 1], features)


def _is_number(value):
    # an empty attribute comes as a QVariant
    return isinstance(value, (int, float)) and math.isfinite(value)


def _place(geometry, change):
    """Return (longitude, latitude) of a geometry of one point, or None where it has none or several."""
    points = points_in(geometry)
    if len(points) != 1:
        return None
    try:
        place = change.transform(points[0])
    except QgsCsException:
        return None
    return place.x(), place.y()
