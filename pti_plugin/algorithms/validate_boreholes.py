"""Tool: validate against boreholes and thaw-depth sites."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from qgis.core import QgsProcessingParameterVectorDestination

from ..core.assessment.accuracy_panel import CALIBRATION_SECTIONS, accuracy_rows, confusion_of
from ..core.common import tables
from ..core.common.errors import InputError
from ..core.common.provenance import collect_records, link_inputs
from ..core.common.record_file import record_path
from ..core.index.pti import map_areas
from ..core.insitu.map_thresholds import map_thresholds, parse_thresholds
from ..core.insitu.point_values import number_sources, point_values
from ..core.insitu.side_by_side import COLUMNS, PTI_MAP, of_products, of_ranks, sentences, side_by_side
from ..core.insitu.station_files import read_stations
from ..core.insitu.stations import ALT, DEEPEST, MAGT, ZERO_AMPLITUDE
from ..core.insitu.validation import FIELDS, ValidationOptions, validate, write_table
from ..core.rasters.exclusion import excluding, exclusion_on
from ..core.rasters.raster import CLASS, display_name, source
from ..core.rasters.vector import write_points
from ..core.reporting.figures import applicability_map, magt_scatter, pti_map, station_scatter
from ..core.reporting.report import validation_report
from ..core.reporting.report_tables import SHAPES, read_table
from . import compat
from .base import UNITS_HELP, PtiAlgorithm
from .exclusion_input import add_exclusion, exclusion_inputs, left_out_classes
from .groups import STATIONS
from .index_input import add_trends
from .report_pdf import write_pdf

#: the choices of DEPTH_RULE; the last takes the depth of DEPTH
DEPTH_RULES = ("depth of zero annual amplitude, else the deepest", "the deepest with enough years", "fixed, at DEPTH")

#: endings of station data; another file is given by its path
_STATION_FILES = "Station data (*.csv *.tab *.txt *.tsv *.dat *.xls *.xlsx *.ods);;All files (*)"

_TRENDS = ("MAGT_TREND", "ALT_TREND")


class ValidateBoreholes(PtiAlgorithm):
    """Thin wrapper of core.insitu.validation.validate and core.reporting.report.validation_report."""

    ID = "validateboreholes"
    TITLE = "Validate with boreholes"
    GROUP = STATIONS
    TAGS = ("validation", "borehole", "gtn-p", "calm", "spearman", "active layer", "report", "station")
    SHORT = "Compares a PTI map with ground temperature and thaw depth stations and writes the report."
    HELP = ("Temperature and thaw-depth sites are paired nearest one to one, ranked by the same table as the map and "
            "compared with it: exact and within-one matches with intervals, Spearman's r with p and interval, "
            "Kendall's tau, the tiers of map and stations in a table, and with MAGT the bias and the errors of the "
            "map's temperature. Every pair stands in the layer and the table, the largest misses first, with its "
            "distance, elevations, depth and years. Format, units and depths of the station tables are found out and "
            "said. Under the profile 'defensible' a series of fewer than five years is not testable, which is not the "
            "same as 'no trend'. A station has no permafrost percent of its own: without PP none can have rank 40.")
    ONE_SET = ("PTI", "BASE", "MAGT", "PP", "METRICS", "SHAP", "SELECTION", "ZONES", "COMPARISON", "EXCLUDE")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        self.add_raster("PTI", "PTI map", "Ranks 11 to 40, 0 nodata.")
        self.add_file("STATIONS_MAGT", "Ground temperature stations",
                      "As the networks publish them (GTN-P, PERMOS, NTGS, a PANGAEA .tab file), or a table with a row "
                      "a site and year (or a column a year): site, latitude, longitude, year, value, perhaps elevation "
                      "and depth. The path of a folder stands for all its files.", filters=_STATION_FILES)
        self.add_file("STATIONS_ALT", "Thaw depth stations", "The same for the active layer thickness; "
                      "CALM's summary table too.", optional=True, filters=_STATION_FILES)
        self.add_file("SITES", "Coordinates of the stations", "A table of site, latitude, longitude and perhaps "
                      "elevation, for station files that hold none.", optional=True, filters=_STATION_FILES)
        self.add_number("MAX_DISTANCE", "Largest distance of a pair (km)",
                        "A temperature and a thaw-depth site farther apart are not paired; sites with too few years "
                        "for a rank are paired last.", 5.0, 0.0)
        self.add_number("ELEVATION_LIMIT", "Largest difference in elevation of a pair (m, 0 = no limit)",
                        "Sites whose elevations differ by more are not paired; where one has no elevation the pair is "
                        "kept, and that is said.", 0.0, 0.0)
        self.add_choice("DEPTH_RULE", "Depth of the ground temperature",
                        "Which sensor stands for a site that has several. The depth of zero annual amplitude can be "
                        "told only from data within the year; annual tables take the deepest.", DEPTH_RULES)
        self.add_number("DEPTH", "Fixed depth (m)", "For the choice 'fixed': the sensor nearest to this depth, within "
                        "20 % of it; sites without one are left out and counted.", 10.0, 0.01)
        self.add_raster("MAGT", "Mean annual ground temperature of the map",
                        "°C, on any grid; compared with the temperature of the stations.", optional=True)
        self.add_raster("PP", "Permafrost percent of the map", "%, on any grid. Gives stations below the limit rank "
                        "40, by the map's own percent; without it no station can have rank 40.", optional=True)
        self.add_text("PRODUCTS", "Products trained on boreholes",
                      "Names of the products behind the map that were trained on boreholes, with semicolons between, "
                      "for example NIEER; each gets a note that stations are not independent of it.")
        self.add_profile()
        self.add_text("COLUMNS_MAGT", "Columns of the temperature table",
                      "Only where the headers do not tell, for example value=Temp; year=Year; unit=°F; "
                      "longitude_side=W; dates=day first. docs/stations.md lists the keys.",
                      advanced=True)
        self.add_text("COLUMNS_ALT", "Columns of the thaw depth table", "The same for the thaw depth table.",
                      advanced=True)
        self.add_integer("SEARCH", "Nearest valid cell within (cells)",
                         "Where a station lies on a cell without a rank, the nearest ranked cell within so many cells "
                         "stands in, and is marked. The same holds for MAGT and PP on their own grids.", 1, 0, 20,
                         advanced=True)
        self.add_number("ALPHA", "Level of significance", "Of the stations' trends, two-sided.", 0.05, 0.0001, 0.5,
                        advanced=True)
        self.add_text("THRESHOLDS", "Thresholds of the map",
                      "Cold below, cool up to, warm up to (°C) and isolated below (% PP), for example -3; -1.5; 3; 10. "
                      "Empty: as the records of the map state them, else those of the paper.", advanced=True)
        add_exclusion(self, "A station on a cell of the classes EXCLUDE_CODES is compared with the nearest other cell "
                            "within SEARCH, as where the map has no rank, and its note says so; areas and the map "
                            "figure leave these cells out.")
        self.add_text("UNITS", "Units of MAGT, PP and the products (name=unit; …)", UNITS_HELP, advanced=True)
        self.add_rasters("OTHER_MAPS", "Other PTI maps", "PTI maps, such as the conceptual index, to be set beside PTI "
                         "at the same stations.", optional=True)
        self.add_rasters("PRODUCTS_MAGT", "Ground temperature of single products", "°C or K, on any grid; each product "
                         "is set beside the map at the same stations. By the words in their names they go with the "
                         "layers of PRODUCTS_PP.", optional=True)
        self.add_rasters("PRODUCTS_PP", "Permafrost percent of single products", "% or fraction, on any grid. With it "
                         "each product has a tier at the stations, and with both trends a rank.", optional=True)
        add_trends(self, optional=True)
        self.add_raster("BASE", "Permafrost base map", "Drawn as land under the map of the report.", optional=True)
        self.add_file("METRICS", "Metrics of the model", "CSV of the training tool, or of the prediction tool with the "
                      "agreement wall to wall, for the accuracy panel.", optional=True, filters="CSV (*.csv)")
        self.add_file("SHAP", "SHAP of the model", "CSV of the training tool, for the importance of the predictors.",
                      optional=True, filters="CSV (*.csv)")
        self.add_file("SELECTION", "Feature elimination of the model", "CSV of the training tool, for the curve of "
                      "accuracy against the number of predictors.", optional=True, filters="CSV (*.csv)")
        self.add_file("ZONES", "Zones", "CSV of the zone tool, for areas and ranks by zone in the report.",
                      optional=True, filters="CSV (*.csv)")
        self.add_file("COMPARISON", "Comparison of profiles", "CSV of the comparison of the profiles, for the report.",
                      optional=True, filters="CSV (*.csv)")
        self.add_file("START_COMPARISON", "Comparison with trends from a later year", "CSV of the comparison of the "
                      "index with one whose trends begin later (compareprofiles with FIRST and SECOND), for the "
                      "report.", optional=True, filters="CSV (*.csv)")
        self.add_raster("APPLICABILITY", "Area of applicability", "Raster of the prediction tool, for its map in the "
                        "report; METRICS of the same run says which accuracy holds inside.", optional=True)
        self.add_text("NOTE", "Note on the map", "A line printed under the map and in the report.", advanced=True)
        self.add(QgsProcessingParameterVectorDestination("OUTPUT", "Stations compared",
                                                         compat.VECTOR_POINT), "Point layer, one a pair or lone site.")
        self.add_file_output("OUTPUT_TABLE", "Station table", "CSV with the same rows.", "CSV (*.csv)", optional=True)
        self.add_file_output("OUTPUT_SCATTER", "Scatter plot of ranks",
                             "PNG: rank on the map against rank of the station with the 1:1 line.", "PNG (*.png)",
                             optional=True)
        self.add_file_output("OUTPUT_SCATTER_MAGT", "Scatter plot of temperatures",
                             "PNG: ground temperature of the map against that of the station with the 1:1 line; needs "
                             "MAGT.", "PNG (*.png)", optional=True)
        self.add_file_output("OUTPUT_MAP", "Map figure", "PNG of the map in polar projection.", "PNG (*.png)",
                             optional=True)
        self.add_file_output("OUTPUT_SIDE_BY_SIDE", "Maps and products side by side", "CSV: a map or product a row, "
                             "with its agreement at the same stations; needs OTHER_MAPS or PRODUCTS_MAGT.",
                             "CSV (*.csv)", optional=True)
        self.add_file_output("OUTPUT_REPORT", "Report", "One offline HTML page: what was run, what came out and how "
                             "far to trust it; every table names the file its numbers are from.", "HTML (*.html)")
        self.add_file_output("OUTPUT_PDF", "Report as PDF", "The same report on A4 pages.", "PDF (*.pdf)",
                             optional=True)

    def compute(self, parameters, context, progress):
        """Validate the map and write the report."""
        pti, base, magt, pp, applicability = (self.raster_path(parameters, name, context)
                                              for name in ("PTI", "BASE", "MAGT", "PP", "APPLICABILITY"))
        files = {name: self.parameterAsFile(parameters, name, context) or None
                 for name in ("STATIONS_MAGT", "STATIONS_ALT", "SITES", *SHAPES)}
        inputs = [(role, path) for role, path in (("PTI", pti), ("BASE", base), ("MAGT", magt), ("PP", pp),
                                                  ("APPLICABILITY", applicability), *_single_files(files)) if path]
        left_out = left_out_classes(self, parameters, context)
        beside = {name: self.raster_paths(parameters, name, context) if parameters.get(name) else []
                  for name in ("OTHER_MAPS", "PRODUCTS_MAGT", "PRODUCTS_PP")}
        trends = [self.raster_path(parameters, name, context) for name in _TRENDS]
        inputs += [(name, path) for name, paths in beside.items() for path in paths]
        inputs += [(name, path) for name, path in zip(_TRENDS, trends) if path] + exclusion_inputs(left_out)
        outputs = {"OUTPUT": self.output_path(parameters, "OUTPUT", context)}
        outputs.update({name: self.file_output_path(parameters, name, context)
                        for name in ("OUTPUT_TABLE", "OUTPUT_SCATTER", "OUTPUT_SCATTER_MAGT", "OUTPUT_MAP",
                                     "OUTPUT_SIDE_BY_SIDE", "OUTPUT_REPORT", "OUTPUT_PDF")})
        _check_beside(beside, trends, outputs["OUTPUT_SIDE_BY_SIDE"])
        if outputs["OUTPUT_SCATTER_MAGT"] and not magt:
            raise InputError("OUTPUT_SCATTER_MAGT needs the ground temperature of the map; give MAGT, or leave the "
                             "plot out.")
        with self.staging(inputs, outputs, progress) as staging:
            profile = self.profile(parameters, context)
            note = self.parameterAsString(parameters, "NOTE", context)
            search = self.parameterAsInt(parameters, "SEARCH", context)
            options = self._options(parameters, context, pti, profile, left_out)
            options.check()
            ranked = excluding(source(pti, CLASS, single_band=True), left_out, progress.part(0, 0.04))
            numbers = number_sources(
                {**dict.fromkeys(beside["PRODUCTS_MAGT"], "magt"), **dict.fromkeys(beside["PRODUCTS_PP"], "pp"),
                 **{path: quantity for path, quantity in ((magt, "magt"), (pp, "pp")) if path}},
                self.parameterAsString(parameters, "UNITS", context), left_out, progress)
            depth_rule = (ZERO_AMPLITUDE, DEEPEST, self.parameterAsDouble(parameters, "DEPTH", context))[
                self.parameterAsEnum(parameters, "DEPTH_RULE", context)]
            learned = {name: read_table(name, files[name]) if files[name] else [] for name in SHAPES}
            series, citations = {}, []
            for quantity, name, share in ((MAGT, "STATIONS_MAGT", 0.04), (ALT, "STATIONS_ALT", 0.12)):
                series[quantity] = []
                if files[name]:
                    columns = self.parameterAsString(parameters, name.replace("STATIONS", "COLUMNS"), context)
                    series[quantity], read = read_stations(
                        files[name], quantity, columns or None, depth_rule if quantity == MAGT else DEEPEST,
                        files["SITES"], progress.part(share, share + 0.08))
                    if read.citation:
                        citations.append((files[name], read.citation, read.licence))
                    for sentence in read.sentences():
                        progress.info(sentence)
                    for warning in read.warnings:
                        progress.warn(warning)
            areas = map_areas(ranked, progress.part(0.2, 0.4))
            result = validate(series[MAGT], series[ALT], point_values(ranked, search, progress.check), options,
                              **{f"{name}_values": point_values(numbers[path], search, progress.check)
                                 for name, path in (("magt", magt), ("pp", pp)) if path})
            reading = _Reading(search, left_out, options.thresholds, progress)
            if beside["OTHER_MAPS"] or beside["PRODUCTS_MAGT"]:
                _set_beside(result, ranked, beside, trends, numbers, reading)
            for sentence in result.sentences:
                progress.info(sentence)
            for warning in result.warnings:
                progress.warn(warning)
            progress.set(0.5)
            limits = options.thresholds
            figure = pti_map(ranked, "Permafrost Thaw Index", "Northern high latitudes", base, _marks(result.rows),
                             note, limits=(limits.cold, limits.cool, limits.warm), isolated=limits.isolated)
            progress.check()
            reach = applicability_map(reading.classes(applicability), ranked, base) if applicability else None
            progress.check()
            progress.set(0.8)
            write_points(outputs["OUTPUT"], result.rows, FIELDS, "longitude", "latitude", "stations", staging)
            if outputs["OUTPUT_TABLE"]:
                write_table(outputs["OUTPUT_TABLE"], result.rows, staging)
            if outputs["OUTPUT_SCATTER"]:
                staging.write_bytes(outputs["OUTPUT_SCATTER"], station_scatter(
                    *([row[name] for row in result.rows if row["match"]] for name in ("site_rank", "map_rank")),
                    "Map against stations: ranks"))
            if outputs["OUTPUT_SCATTER_MAGT"]:
                staging.write_bytes(outputs["OUTPUT_SCATTER_MAGT"], magt_scatter(
                    *([row[name] for row in result.rows if row["magt_diff"] is not None]
                      for name in ("magt", "map_magt")),
                    "Map against stations: mean ground temperature", (limits.cold, limits.cool, limits.warm)))
            if outputs["OUTPUT_MAP"]:
                staging.write_bytes(outputs["OUTPUT_MAP"], figure)
            if outputs["OUTPUT_SIDE_BY_SIDE"]:
                staging.write_text(outputs["OUTPUT_SIDE_BY_SIDE"],
                                   tables.to_csv(result.side_by_side, [name for name, *_ in COLUMNS]))
            record = self.record(parameters, context, progress, inputs, outputs, profile,
                                 results={"summary": result.summary, "areas": areas,
                                          "side_by_side": result.side_by_side},
                                 choices={"station_min_years": profile.station_min_years,
                                          "report_untestable_trend": profile.report_untestable_trend})
            record["steps"] = collect_records([pti, *(files[name] for name in learned)])
            link_inputs(record, record["steps"])
            report = _report(learned, record, outputs, map_png=figure, area_rows=areas, station_result=result,
                             applicability_png=reach, warnings=progress.warnings, notes=[note] if note else [],
                             citations=citations)
            if outputs["OUTPUT_REPORT"]:
                report.write(outputs["OUTPUT_REPORT"], staging)
            if outputs["OUTPUT_PDF"] and not write_pdf(report, outputs["OUTPUT_PDF"], staging, progress):
                outputs["OUTPUT_PDF"] = None
            return self.finish(staging, parameters, context, progress, inputs, outputs, record=record)

    def _options(self, parameters, context, pti, profile, left_out):
        """Return the ValidationOptions of the parameters."""
        stated = self.parameterAsString(parameters, "THRESHOLDS", context).strip()
        thresholds, known_from = (parse_thresholds(stated), "as given") if stated else map_thresholds(pti)
        products = self.parameterAsString(parameters, "PRODUCTS", context).replace(",", ";").split(";")
        return ValidationOptions(
            self.parameterAsDouble(parameters, "MAX_DISTANCE", context),
            self.parameterAsDouble(parameters, "ALPHA", context), profile, thresholds,
            self.parameterAsDouble(parameters, "ELEVATION_LIMIT", context) or None, known_from,
            tuple(product.strip() for product in products if product.strip()), left_out.text if left_out else "")


def _single_files(files):
    """Yield (role, path) of {role: path or None}, a folder as the files in it, so that each has its checksum."""
    for role, path in files.items():
        if path and Path(path).is_dir():
            yield from ((role, str(file)) for file in sorted(Path(path).rglob("*")) if file.is_file())
        else:
            yield role, path


def _report(learned, record, outputs, **parts):
    """Return the Report of ``parts``, of the tables ``learned`` {parameter: rows} and of the run's ``record``."""
    metrics, stated = learned["METRICS"], record["parameters"]
    return validation_report(
        metrics_rows=accuracy_rows(metrics), confusion=confusion_of(metrics),
        calibration_rows=[row for row in metrics if row["section"] in CALIBRATION_SECTIONS], map_rows=metrics,
        selection_rows=learned["SELECTION"], zone_rows=learned["ZONES"], comparison_rows=learned["COMPARISON"],
        start_rows=learned["START_COMPARISON"],
        shap_rows=[{"name": row["name"], "group": row["group"], "shap": row["mean_abs_shap"],
                    "share": row["share_percent"], "gain": row["gain_share_percent"]}
                   for row in learned["SHAP"] if row["level"] == "feature"],
        steps=[*record["steps"], record],
        sources={"map": stated["PTI"], "applicability": stated["APPLICABILITY"],
                 "stations": outputs["OUTPUT_TABLE"] or outputs["OUTPUT"],
                 **dict.fromkeys(("areas", "record"), record_path(outputs["OUTPUT"])),
                 "side_by_side": outputs["OUTPUT_SIDE_BY_SIDE"] or record_path(outputs["OUTPUT"]),
                 **dict.fromkeys(("metrics", "confusion"), stated["METRICS"]),
                 **{name.lower(): stated[name] for name in ("SHAP", "SELECTION", "ZONES", "COMPARISON",
                                                             "START_COMPARISON")}}, **parts)


def _check_beside(beside, trends, wanted):
    """Raise InputError where what is to be set beside the map lacks a part."""
    if any(trends) and not all(trends):
        raise InputError(f"Of {' and '.join(_TRENDS)} only one is given. Give both, or none.")
    if beside["PRODUCTS_PP"] and not beside["PRODUCTS_MAGT"]:
        raise InputError("PRODUCTS_PP is given without PRODUCTS_MAGT. Give the ground temperature of the products too.")
    if any(trends) and not beside["PRODUCTS_PP"]:
        raise InputError(f"{' and '.join(_TRENDS)} rank the single products, which takes PRODUCTS_MAGT and "
                         f"PRODUCTS_PP. Give these, or leave the trends empty.")
    if wanted and not (beside["OTHER_MAPS"] or beside["PRODUCTS_MAGT"]):
        raise InputError("OUTPUT_SIDE_BY_SIDE needs other maps or products: give OTHER_MAPS or PRODUCTS_MAGT, or leave "
                         "it empty.")


@dataclass(frozen=True)
class _Reading:
    """How rasters are read beside the map."""

    search: int
    left_out: object
    thresholds: object
    progress: object

    def at(self, item, rows):
        """Return the values of a Source at the rows of the stations, NaN for none."""
        places = ([row[name] for row in rows] for name in ("longitude", "latitude"))
        return point_values(item, self.search, self.progress.check)(*map(np.array, places))[0]

    def classes(self, path):
        """Return the Source of a class raster that leaves out the same cells as the map."""
        item = source(path, CLASS, single_band=True)
        return replace(item, exclusion=exclusion_on(self.left_out, item.grid)) if self.left_out else item


def _set_beside(result, ranked, beside, trends, numbers, reading):
    """Set other maps and single products beside the map in the ValidationResult, and tell it."""
    others = [of_ranks(display_name(path), PTI_MAP, reading.at(reading.classes(path), result.rows))
              for path in beside["OTHER_MAPS"]]
    magt, pp = ({numbers[path].name: reading.at(numbers[path], result.rows) for path in beside[name]}
                for name in ("PRODUCTS_MAGT", "PRODUCTS_PP"))
    signs = [reading.at(reading.classes(path), result.rows) for path in trends] if all(trends) else None
    products, warnings = of_products(pp, magt, signs, reading.thresholds)
    for warning in warnings:
        reading.progress.warn(warning)
    result.side_by_side = side_by_side(result, ranked.name, others + products)
    for sentence in sentences(result.side_by_side):
        reading.progress.info(sentence)


def _marks(rows):
    """Return the stations to draw: place and rank (the map's tier decides nothing here)."""
    return [{"lon": row["longitude"], "lat": row["latitude"], "rank": row["site_rank"]} for row in rows
            if row["longitude"] is not None]
