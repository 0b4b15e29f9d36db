"""The two named profiles: the paper's own choices, and the defensible ones that are the default.

A profile is nothing but values; tools ask it, records name it and list where it differs from the paper.
"""

from collections import namedtuple
from dataclasses import asdict, dataclass, fields

from .errors import InputError


@dataclass(frozen=True)
class Profile:
    """Choices that the paper leaves open or makes in a way worth departing from (method, sections 8 and 9)."""

    name: str
    #: a trend that could not be tested carries its own reason code instead of passing for "no trend"
    report_untestable_trend: bool
    #: 80/20 splits keep the class shares
    stratified_split: bool
    #: fewest years for a station's trend to be tested; below it is "not testable"
    station_min_years: int
    #: land cover code 202 of LandCover_CCI (unconsolidated bare) read as herbaceous tundra, as Table 2 prints it
    cci_202_is_tundra: bool
    #: most predictors that a training point or a cell of the map may lack
    max_missing: int
    #: how ranks count in training wherever their areas are known: a kind of core/learning/class_weights.py
    class_weights: str


AS_PUBLISHED = Profile("as_published", report_untestable_trend=False, stratified_split=False,
                       station_min_years=3, cci_202_is_tundra=True, max_missing=0, class_weights="none")
DEFENSIBLE = Profile("defensible", report_untestable_trend=True, stratified_split=True,
                     station_min_years=5, cci_202_is_tundra=False, max_missing=4, class_weights="area_matched")

#: the default first, in the order of the tools' choice lists
PROFILES = (DEFENSIBLE, AS_PUBLISHED)


def profile(name):
    """Return the profile called ``name``; raises InputError listing those that exist."""
    for candidate in PROFILES:
        if candidate.name == name:
            return candidate
    raise InputError(f"There is no profile '{name}'; choose one of {', '.join(p.name for p in PROFILES)}.")


def deviations(used):
    """Return {choice: {"used": …, "as_published": …}} for every choice in which ``used`` departs from the paper."""
    published = asdict(AS_PUBLISHED)
    return {field.name: {"used": getattr(used, field.name), "as_published": published[field.name]}
            for field in fields(used)
            if field.name != "name" and getattr(used, field.name) != published[field.name]}


#: why the defensible profile departs from the paper: {field of Profile: sentences}; method, sections 8 and 9
REASONS = {
    "report_untestable_trend":
        "A trend that too few years leave untestable is not the same as no trend. Counted as none, it lowers the rank "
        "without saying so; with a code of its own it can be seen.",
    "stratified_split":
        "The paper's validation parts differ in size from class to class (1,334 points of rank 11, 1,274 of another), "
        "so its 80/20 splits are not stratified. Keeping the class shares tests every class in every run.",
    "station_min_years":
        "An exact two-sided Mann-Kendall test of 3, 4 or 5 values reaches p = 0.333, 0.083 or 0.017 at best. With "
        "fewer than 5 years no station can ever show a trend, so it is not testable.",
    "cci_202_is_tundra":
        "Code 202 of LandCover_CCI is unconsolidated bare areas by its legend; the paper's Table 2 reads it as "
        "herbaceous tundra.",
    "max_missing":
        "A gap in one predictor, as that of the snow trend in the polar night, would take whole regions off the map. "
        "XGBoost learns at every split which way a missing value goes, so a cell that lacks a few is classified by "
        "the others, and a raster says which it lacks. Four of sixteen is one source with all its layers.",
    "class_weights":
        "A sample with as many points of every rank teaches that all ranks are equally large, and the map then gives "
        "too much area to the small ones. Each point counts for the area of its rank divided by its number of points, "
        "and one factor a rank, found on the out-of-bag votes, keeps ranks that are easily told apart from growing.",
}

Departure = namedtuple("Departure", "choice used as_published reason")
Departure.__doc__ = """What is done otherwise than in the paper, whatever the profile: four texts."""

#: method, section 8
ALWAYS = (
    Departure("Areas", "of every cell on the ellipsoid", "not said how",
              "Cells of 1 km in polar stereographic projection (EPSG:3995) overstate the area by 30 % at 45° N, 14 % "
              "at 55° N and 4 % at 65° N, so they cannot be counted."),
    Departure("Name of the vote on the points that trained the models", "in-sample, never an accuracy",
              "overall accuracy, 91.79 %",
              "Each point trained about 80 of the 100 models. In a simulation of the paper's 61,325 points the vote "
              "on its own sample reached 79 to 96 %, the out-of-bag vote 61 to 63 %; neighbours in both parts of a "
              "random split can raise a figure as much."),
    Departure("Precision of rank 12 in the paper's Table 4", "94.07 %", "94.27 %",
              "Its own confusion matrix gives 94.07; the other 19 precisions and recalls and the overall accuracy "
              "recompute as printed."),
    Departure("Number of sample points", "what the spacing allows, reported with its bound", "61,325",
              "Points 25 km apart and 10 km inside their class cannot be so many on 18.69 million km²: random "
              "placement stops near 20,800. No rule is relaxed without saying so."),
    Departure("Agreement with stations", "with its 95 % interval", "r = 0.69, no interval",
              "With 26 stations r = 0.69 has the interval 0.37 to 0.86."),
    Departure("Codes of the land cover crosswalk", "each once, every code covered", "Table 2 as printed",
              "GLCC 14 and 37 stand in two rows of Table 2, CCI 203 to 205 do not exist, and 81, 82, 151 and 170 are "
              "missing. The crosswalk notes each."),
)

#: parameters that the paper states a value of: {tool: {parameter: value}}
PAPER_PARAMETERS = {
    "ensemblepermafrost": {"MIN_PRODUCTS": 2},
    "trendrasters": {"METHOD": 0, "ALPHA": 0.05, "FDR": False},
    "buildpti": {"COLD": -3.0, "COOL": -1.5, "WARM": 3.0, "ISOLATED": 10.0},
    "trainxgboost": {"RUNS": 100, "TEST_SHARE": 0.2},
    "predictxgboost": {"SMOOTH": True},
}
