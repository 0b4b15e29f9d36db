"""Tool: validate against boreholes and thaw-depth sites."""

import numpy as np
from qgis.core import QgsProcessingParameterVectorDestination

from ..core import tables
from ..core.accuracy_panel import accuracy_rows, confusion_of
from ..core.figures import pti_map
from ..core.provenance import read_record
from ..core.pti import map_areas
from ..core.raster import values_at
from ..core.report import validation_report
from ..core.stations import read_series
from ..core.validation import FIELDS, NEAREST, NO_DATA, OFF_MAP, ValidationOptions, validate, write_table
from ..core.vector import write_points
from . import compat
from .base import PtiAlgorithm
from .groups import STATIONS


class ValidateBoreholes(PtiAlgorithm):
    """Thin wrapper of core.validation.validate and core.report.validation_report."""

    ID = "validateboreholes"
    TITLE = "Validate with boreholes"
    GROUP = STATIONS
    TAGS = ("validation", "borehole", "gtn-p", "calm", "spearman", "active layer", "report", "station")
    SHORT = "Compares a PTI map with ground temperature and thaw depth stations and writes the report."
    HELP = ("Temperature and thaw-depth sites are paired nearest one to one, ranked by the same table as the map and "
            "compared with it: exact and within-one matches with intervals, Spearman's r with p and interval, and "
            "every pair in a table. Delimiter, decimal mark and units of the station tables are found out and said. "
            "Under the profile 'defensible' a series of fewer than five years is not testable, which is not the same "
            "as 'no trend'.")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("PTI", "PTI map", "Ranks 11 to 40, 0 nodata.")
        self.add_file("STATIONS_MAGT", "Ground temperature stations",
                      "Delimited text, a row a site and year (or a column a year): site, latitude, longitude, year, "
                      "value, perhaps depth.", filters="Tables (*.csv *.tab *.txt)")
        self.add_file("STATIONS_ALT", "Thaw depth stations", "The same for the active layer thickness, cm or m.",
                      optional=True, filters="Tables (*.csv *.tab *.txt)")
        self.add_number("MAX_DISTANCE", "Largest distance of a pair (km)",
                        "A temperature and a thaw-depth site farther apart are not paired.", 5.0, 0.0)
        self.add_profile()
        self.add_text("COLUMNS_MAGT", "Columns of the temperature table",
                      "Only where the headers do not tell, for example value=Temp; year=Year; depth=Depth.",
                      advanced=True)
        self.add_text("COLUMNS_ALT", "Columns of the thaw depth table", "The same for the thaw depth table.",
                      advanced=True)
        self.add_integer("SEARCH", "Nearest valid cell within (cells)",
                         "Where a station lies on a cell without a rank, the nearest ranked cell within so many cells "
                         "stands in, and is marked.", 1, 0, 20, advanced=True)
        self.add_raster("BASE", "Permafrost base map", "Drawn as land under the map of the report.", optional=True)
        self.add_file("METRICS", "Metrics of the model", "CSV of the training tool, or of the prediction tool with the "
                      "agreement wall to wall, for the accuracy panel.", optional=True, filters="CSV (*.csv)")
        self.add_file("SHAP", "SHAP of the model", "CSV of the training tool, for the importance of the predictors.",
                      optional=True, filters="CSV (*.csv)")
        self.add_file("SELECTION", "Feature elimination of the model", "CSV of the training tool, for the curve of "
                      "accuracy against the number of predictors.", optional=True, filters="CSV (*.csv)")
        self.add_text("NOTE", "Note on the map", "A line printed under the map and in the report.", advanced=True)
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Stations compared",
                                                         compat.VECTOR_POINT), "Point layer, one a pair or lone site.")
        self.add_file_output("OUTPUT_TABLE", "Station table", "CSV with the same rows.", "CSV (*.csv)", optional=True)
        self.add_file_output("OUTPUT_MAP", "Map figure", "PNG of the map in polar projection.", "PNG (*.png)",
                             optional=True)
        self.add_file_output("OUTPUT_REPORT", "Report", "One offline HTML page.", "HTML (*.html)")

    def compute(self, parameters, context, progress):
        """Validate the map and write the report."""
        pti, base = (self.raster_path(parameters, name, context) for name in ("PTI", "BASE"))
        files = {name: self.parameterAsFile(parameters, name, context) or None
                 for name in ("STATIONS_MAGT", "STATIONS_ALT", "METRICS", "SHAP", "SELECTION")}
        inputs = [(role, path) for role, path in (("PTI", pti), ("BASE", base), *files.items()) if path]
        outputs = {"OUTPUT": self.output_path(parameters, "OUTPUT", context)}
        outputs.update({name: self.file_output_path(parameters, name, context)
                        for name in ("OUTPUT_TABLE", "OUTPUT_MAP", "OUTPUT_REPORT")})
        profile = self.profile(parameters, context)
        note = self.parameterAsString(parameters, "NOTE", context)
        search = self.parameterAsInt(parameters, "SEARCH", context)
        series = {}
        for quantity, name in (("magt", "STATIONS_MAGT"), ("alt", "STATIONS_ALT")):
            series[quantity] = []
            if files[name]:
                columns = self.parameterAsString(parameters, name.replace("STATIONS", "COLUMNS"), context)
                series[quantity], read = read_series(files[name], quantity, columns or None)
                for sentence in read.sentences():
                    progress.info(sentence)
                for warning in read.warnings:
                    progress.warn(warning)
        areas = map_areas(pti, progress.part(0, 0.3))

        def map_values(longitudes, latitudes):
            ranks, distances = values_at(pti, longitudes, latitudes, search=search)
            reasons = np.where(np.isnan(distances), OFF_MAP, np.where(np.isinf(distances), NO_DATA, "")).astype(object)
            for i in np.flatnonzero((distances > 0) & np.isfinite(distances)):
                reasons[i] = f"{NEAREST} {distances[i]:.1f} cells away"
            return ranks, reasons

        result = validate(series["magt"], series["alt"], map_values,
                          ValidationOptions(self.parameterAsDouble(parameters, "MAX_DISTANCE", context),
                                            profile=profile))
        for sentence in result.sentences:
            progress.info(sentence)
        for warning in result.warnings:
            progress.warn(warning)
        progress.set(0.5)
        metrics, shap, selection = (tables.read_csv(files[name]) if files[name] else []
                                    for name in ("METRICS", "SHAP", "SELECTION"))
        with self.staging(inputs) as staging:
            figure = pti_map(pti, "Permafrost Thaw Index", "Northern high latitudes", base, _marks(result.rows), note)
            progress.check()
            progress.set(0.8)
            write_points(outputs["OUTPUT"], result.rows, FIELDS, "longitude", "latitude", "stations", staging)
            if outputs["OUTPUT_TABLE"]:
                write_table(outputs["OUTPUT_TABLE"], result.rows, staging)
            if outputs["OUTPUT_MAP"]:
                staging.write_bytes(outputs["OUTPUT_MAP"], figure)
            if outputs["OUTPUT_REPORT"]:
                validation_report(
                    outputs["OUTPUT_REPORT"], map_png=figure, area_rows=areas, station_result=result,
                    metrics_rows=accuracy_rows(metrics), confusion=confusion_of(metrics),
                    calibration_rows=[row for row in metrics if row["section"] == "calibration"],
                    selection_rows=selection,
                    shap_rows=[{"name": row["name"], "group": row["group"], "shap": row["mean_abs_shap"],
                                "gain": row["gain_share_percent"]} for row in shap if row["level"] == "feature"],
                    records=[record for record in map(read_record, (pti, files["METRICS"])) if record],
                    warnings=progress.warnings, notes=[note] if note else [],
                    sources={"map": pti, "areas": pti, "stations": outputs["OUTPUT_TABLE"] or outputs["OUTPUT"],
                             "metrics": files["METRICS"], "confusion": files["METRICS"], "shap": files["SHAP"],
                             "selection": files["SELECTION"]},
                    staging=staging)
            return self.finish(staging, parameters, context, progress, inputs, outputs, profile,
                               results={"summary": result.summary, "areas": areas})


def _marks(rows):
    """Return the stations to draw: place and rank (the map's tier decides nothing here)."""
    return [{"lon": row["longitude"], "lat": row["latitude"], "rank": row["site_rank"]} for row in rows
            if row["longitude"] is not None]
