"""Tool: assess accuracy."""

import os

import numpy as np
from qgis.core import QgsProcessingParameterFeatureSource, QgsProcessingParameterField

from ..core.assessment import accuracy_assessment as assessment
from ..core.assessment.accuracy_panel import COLUMNS
from ..core.assessment.confusion_table import class_code, read_classes, read_matrix, read_sizes
from ..core.common import tables
from ..core.common.errors import InputError
from ..core.rasters.exclusion import excluding
from ..core.rasters.raster import CLASS, display_name, source
from ..core.reporting.accuracy_page import accuracy_page
from . import compat
from .base import PtiAlgorithm
from .collections_input import crs_of, is_collection, points_in
from .exclusion_input import add_exclusion, exclusion_inputs, left_out_classes
from .groups import STATIONS

#: points left out that are named in the log; the table names all
_TOLD = 10


class AssessAccuracy(PtiAlgorithm):
    """Thin wrapper of core.assessment.accuracy_assessment and core.reporting.accuracy_page."""

    ID = "assessaccuracy"
    TITLE = "Assess accuracy"
    GROUP = STATIONS
    TAGS = ("accuracy", "confusion matrix", "error matrix", "validation", "user's accuracy", "producer's accuracy",
            "precision", "recall", "f1", "kappa", "area estimation", "olofsson", "stehman", "classification")
    SHORT = "Compares a classified map with reference data: confusion matrix, accuracy and areas, with intervals."
    HELP = ("Give CLASSIFIED with REFERENCE (a raster) or REFERENCE_POINTS, or a confusion matrix that was already "
            "counted. Rows of the matrix are classified, columns reference; a matrix whose labels say otherwise is "
            "turned. Two rasters without a DESIGN are compared wall to wall, which is no sample and has no sampling "
            "intervals. Where the design of the sample is stated and the mapped areas are known, accuracy is weighted "
            "by area and the areas of the classes are estimated with 95 % intervals (Olofsson et al. 2014; Stehman "
            "2014 where the strata are not the map classes). Cells that are nodata on either side are counted but not "
            "compared; 0 is a class unless the raster declares it nodata.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("CLASSIFIED", "Classified map", "Raster of classes, for example a PTI map. Not needed where "
                        "MATRIX is given; with it, the mapped areas are taken from here.", optional=True)
        self.add_raster("REFERENCE", "Reference raster", "Raster of the true classes on the same grid. Nodata where "
                        "nothing is known.", optional=True)
        self.add(QgsProcessingParameterFeatureSource("REFERENCE_POINTS", "Reference points", [compat.VECTOR_POINT],
                                                     optional=True),
                 "Points with the true class, in any CRS; each is compared with the cell it lies in.")
        self.add(QgsProcessingParameterField("FIELD", "Field of the true class", "", "REFERENCE_POINTS",
                                             optional=True),
                 "Field of REFERENCE_POINTS with the code of the class, or its name where CLASSES gives names.")
        self.add_file("MATRIX", "Confusion matrix", "CSV with the class of each row in the first column and a column "
                      "a class. 'classified' or 'reference' in the first cell says what the rows are. A column "
                      "mapped_pixels or mapped_area may hold the mapped size of each class.", optional=True,
                      filters="CSV (*.csv)")
        self.add_choice("DESIGN", "Design of the sample", "How the reference samples were drawn. Area-weighted "
                        "accuracy and areas are estimated only where it is stated.", assessment.DESIGNS,
                        assessment.NOT_STATED, static=True)
        self.add_raster("STRATA", "Strata", "Raster of the strata of the sample where they are not the map classes, on "
                        "the grid of CLASSIFIED.", optional=True)
        self.add(QgsProcessingParameterField("STRATA_FIELD", "Field of the stratum", "", "REFERENCE_POINTS",
                                             optional=True),
                 "Field of REFERENCE_POINTS with the stratum, in place of STRATA; AREAS then gives the areas of the "
                 "strata.")
        self.add_file("AREAS", "Areas of the mapped classes or strata", "CSV with the class (or stratum) and its area "
                      "or number of pixels, in a column area, area_km2, area_ha, mapped_pixels or cells. In place of "
                      "what CLASSIFIED and STRATA hold.", optional=True, filters="CSV (*.csv)")
        add_exclusion(self, "Cells of CLASSIFIED that have one of the classes EXCLUDE_CODES there are not compared and "
                            "count in no area.", advanced=True)
        self.add_file("CLASSES", "Class names", "CSV with the columns code and name. Classes that it does not list are "
                      "an error.", optional=True, filters="CSV (*.csv)")
        self.add_number("CELL_AREA", "Area of one unit of the areas given", "Factor for the numbers in AREAS or in the "
                        "matrix, for example 0.09 for hectares where they are pixels of 30 m.", 1.0, 0.0,
                        advanced=True)
        self.add_text("AREA_UNIT", "Unit of the areas", "Unit of the areas after that, for example ha. Empty: as the "
                      "name of the column says.", advanced=True)
        self.add_settings()
        self.add_file_output("OUTPUT_TABLE", "Accuracy table", "CSV: a figure a row with value, interval, n and what "
                             "it means; the confusion matrix; the areas; what was not compared. The validation tool "
                             "takes it as METRICS.", "CSV (*.csv)")
        self.add_file_output("OUTPUT_REPORT", "Report", "One offline HTML page.", "HTML (*.html)", optional=True)

    def compute(self, parameters, context, progress):
        """Compare and write."""
        rasters = {name: self.raster_path(parameters, name, context) for name in ("CLASSIFIED", "REFERENCE", "STRATA")}
        files = {name: self.parameterAsFile(parameters, name, context) or None
                 for name in ("MATRIX", "AREAS", "CLASSES")}
        layer, points_path = self._layer(parameters, context)
        design = self.parameterAsEnumString(parameters, "DESIGN", context)
        strata_field = self.parameterAsString(parameters, "STRATA_FIELD", context)
        _check_inputs(rasters, files, layer, design, strata_field)
        left_out = left_out_classes(self, parameters, context)
        if left_out and not rasters["CLASSIFIED"]:
            raise InputError("EXCLUDE leaves out cells of CLASSIFIED, which is empty. Give it, or leave EXCLUDE empty.")
        inputs = [(role, path) for role, path in (*rasters.items(), ("REFERENCE_POINTS", points_path), *files.items())
                  if path] + exclusion_inputs(left_out)
        outputs = {name: self.file_output_path(parameters, name, context)
                   for name in ("OUTPUT_TABLE", "OUTPUT_REPORT")}
        names = read_classes(files["CLASSES"]) if files["CLASSES"] else None
        settings = self.settings(parameters, context)
        with self.staging(inputs, outputs, progress) as staging:
            classified = rasters["CLASSIFIED"] and excluding(source(rasters["CLASSIFIED"], CLASS, single_band=True),
                                                             left_out, progress.part(0, 0.2), settings, zero=True)
            rest = progress.part(0.2 if left_out else 0, 1)
            if files["MATRIX"]:
                comparison = assessment.compare_table(read_matrix(files["MATRIX"], names))
                if classified:
                    comparison = assessment.with_sizes(comparison, assessment.mapped_sizes(
                        classified, rest, settings), "km²")
            elif rasters["REFERENCE"]:
                comparison = assessment.compare_rasters(
                    classified, rasters["REFERENCE"], rest, names, rasters["STRATA"],
                    design == assessment.NOT_STATED, settings)
            else:
                points = self._points(parameters, context, progress, layer, strata_field)
                comparison = assessment.compare_points(classified, points, rest, names, rasters["STRATA"],
                                                       settings)
            comparison = self._with_areas(parameters, context, comparison, files["AREAS"], design, names)
            found = assessment.assess(comparison, design, names)
            _tell(found, progress)
            rows = assessment.table_rows(found)
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(rows, COLUMNS))
            if outputs["OUTPUT_REPORT"]:
                compared = [(title, display_name(path)) for title, path in (
                    ("Classified map", rasters["CLASSIFIED"]), ("Reference", rasters["REFERENCE"]),
                    ("Confusion matrix", files["MATRIX"]), ("Strata", rasters["STRATA"]), ("Areas", files["AREAS"]))
                    if path]
                if layer is not None:
                    compared.insert(1, ("Reference", f"{layer.sourceName()} (points)"))
                page = accuracy_page(found, compared, display_name(outputs["OUTPUT_TABLE"])
                                     if outputs["OUTPUT_TABLE"] else None)
                page.write(outputs["OUTPUT_REPORT"], staging)
            return self.finish(staging, parameters, context, progress, inputs, outputs,
                               results={row["line"]: row["value"] for row in rows if row["section"] == "accuracy"})

    def _layer(self, parameters, context):
        """Return (feature source or None, its file or None) of the reference points; raises InputError."""
        given = parameters.get("REFERENCE_POINTS")
        layer = self.parameterAsSource(parameters, "REFERENCE_POINTS", context)
        if layer is None and given not in (None, ""):
            raise InputError(f"REFERENCE_POINTS: {given} cannot be read as a point layer. Check the path.")
        whole = self.parameterAsVectorLayer(parameters, "REFERENCE_POINTS", context) if layer is not None else None
        path = whole.source().split("|")[0] if whole is not None else ""
        return layer, path if os.path.isfile(path) else None

    def _points(self, parameters, context, progress, layer, strata_field):
        """Return the reference Points of the layer; raises InputError."""
        field = self.parameterAsString(parameters, "FIELD", context)
        for name, given in (("FIELD", field), ("STRATA_FIELD", strata_field)):
            if given and layer.fields().indexOf(given) < 0:
                raise InputError(f"{name}: {layer.sourceName()} has no field '{given}'. Its fields are "
                                 f"{', '.join(layer.fields().names())}.")
        if not field:
            raise InputError(f"FIELD is empty. Say which field of {layer.sourceName()} holds the true class: "
                             f"{', '.join(layer.fields().names())}.")
        whole = self.parameterAsVectorLayer(parameters, "REFERENCE_POINTS", context)
        crs = crs_of(layer, whole)
        if is_collection(layer):
            progress.info("REFERENCE_POINTS is a layer of geometry collections; the points in them are read.")
        if not crs.isValid():
            raise InputError(f"The points {layer.sourceName()} have no CRS. Assign the right one first, with the tool "
                             f"'Assign projection'.")
        ids, places, classes, strata = [], [], [], []
        for feature in layer.getFeatures():
            progress.check()
            points = points_in(feature.geometry())
            # a feature without one place stays in the list and is told as off the map
            places.append((points[0].x(), points[0].y()) if len(points) == 1 else (np.nan, np.nan))
            ids.append(feature.id())
            classes.append(_class_of(feature[field]))
            strata.append(_class_of(feature[strata_field]) if strata_field else None)
        if not ids:
            raise InputError(f"{layer.sourceName()} holds no points.")
        x, y = np.array(places, dtype=float).T
        return assessment.Points(x, y, crs.toWkt(), classes, ids, strata if strata_field else None)

    def _with_areas(self, parameters, context, comparison, areas, design, names):
        """Return the Comparison with the sizes of AREAS, in the unit asked for."""
        of_strata = design == assessment.BY_STRATA
        if areas:
            sizes, unit = read_sizes(areas, None if of_strata else names)
            comparison = assessment.with_sizes(comparison, sizes, unit, of_strata)
        factor = self.parameterAsDouble(parameters, "CELL_AREA", context)
        unit = self.parameterAsString(parameters, "AREA_UNIT", context)
        if factor == 1.0 and not unit:
            return comparison
        if not factor > 0:
            raise InputError("CELL_AREA is 0; it is the area of one unit of the areas given, for example 0.09.")
        if comparison.units != "cases" and not areas:
            raise InputError("CELL_AREA and AREA_UNIT are for areas given in AREAS or in MATRIX; those of the rasters "
                             "are measured in km². Leave them empty.")
        return assessment.scaled(comparison, factor, unit or (comparison.size_unit if factor == 1.0 else ""))


def _check_inputs(rasters, files, layer, design, strata_field):
    """Raise InputError where the inputs given do not make one comparison."""
    given = [name for name, value in (("REFERENCE", rasters["REFERENCE"]), ("REFERENCE_POINTS", layer),
                                      ("MATRIX", files["MATRIX"])) if value is not None]
    if not given:
        raise InputError("Nothing to compare: give CLASSIFIED with REFERENCE (a raster) or REFERENCE_POINTS, or a "
                         "confusion matrix in MATRIX.")
    if len(given) > 1:
        raise InputError(f"Give one of {', '.join(given)}, not {len(given)}: each is a comparison of its own.")
    if given != ["MATRIX"] and not rasters["CLASSIFIED"]:
        raise InputError(f"CLASSIFIED is empty. Give the map that {given[0]} is to be compared with.")
    strata = [name for name, value in (("STRATA", rasters["STRATA"]), ("STRATA_FIELD", strata_field)) if value]
    if strata and design != assessment.BY_STRATA:
        raise InputError(f"{' and '.join(strata)} is given, but DESIGN is '{design}'. Set DESIGN to "
                         f"'{assessment.BY_STRATA}', or leave it empty.")
    if len(strata) > 1:
        raise InputError("Give STRATA or STRATA_FIELD, not both.")
    if strata and given == ["MATRIX"] or strata == ["STRATA_FIELD"] and layer is None:
        raise InputError(f"{strata[0]} cannot be used with {given[0]}. Strata other than the map classes need points, "
                         f"or a reference raster with a raster of strata.")
    if files["AREAS"] and design == assessment.NOT_STATED:
        raise InputError(f"AREAS is given, but DESIGN is '{design}'. State how the samples were drawn, or leave AREAS "
                         f"empty.")


def _class_of(value):
    """Return a field's value as a class: a whole number, a text, or None for NULL."""
    if value is None or getattr(value, "isNull", lambda: False)() or str(value).strip() == "":
        return None
    return class_code(value)


def _tell(found, progress):
    """Write the result to the log."""
    for sentence in found.sentences:
        progress.info(sentence)
    for warning in found.warnings:
        progress.warn(warning)
    points = [item for item in found.comparison.left_out if item[0].startswith("point")]
    for what, _, why in points[:_TOLD]:
        progress.info(f"Not compared: {what}: {why}.")
    if len(points) > _TOLD:
        progress.info(f"{len(points) - _TOLD} more points were not compared; the table lists them.")
