"""The two named profiles: the paper's own choices, and the defensible ones that are the default.

A profile is nothing but values; tools ask it, and records name it. What the paper states of every step, and why the
defensible profile does otherwise, stands in resources/tables/paper_choices.csv (core/common/departures.py).
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

from .errors import InputError

#: what a parameter that follows the profile has as its value
BY_PROFILE = "by_profile"


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
    #: test of series of several layers a year: a method of core/series/corrections.py; annual ones have the original
    seasonal_test: str
    #: how it is judged whether a cell of a seasonal series has enough values: a way of core/series/trends.py
    coverage: str
    #: what becomes of gaps of a cell inside a year of a composite: a way of core/series/composites.py
    gaps: str
    #: what becomes of the polar night of a snow year: a way of core/series/gap_filling.py
    night: str


AS_PUBLISHED = Profile("as_published", report_untestable_trend=False, stratified_split=False,
                       station_min_years=3, cci_202_is_tundra=True, max_missing=0, class_weights="none",
                       seasonal_test="original", coverage="all_steps", gaps="as_they_are", night="none")
DEFENSIBLE = Profile("defensible", report_untestable_trend=True, stratified_split=True,
                     station_min_years=5, cci_202_is_tundra=False, max_missing=4, class_weights="area_matched",
                     seasonal_test="hirsch_slack", coverage="by_season", gaps="by_season", night="linear")

#: the default first, in the order of the tools' choice lists
PROFILES = (DEFENSIBLE, AS_PUBLISHED)


def profile(name):
    """Return the profile called ``name``; raises InputError listing those that exist."""
    for candidate in PROFILES:
        if candidate.name == name:
            return candidate
    raise InputError(f"There is no profile '{name}'; choose one of {', '.join(p.name for p in PROFILES)}.")


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
    Departure("Years that a missing month is filled from", "the ten nearest", "a 10-year average, January of LST from "
              "2002 to 2009",
              "2002 to 2009 are eight years, not ten. The ten nearest years that have the month serve every series."),
    Departure("Agreement with stations", "with its 95 % interval", "r = 0.69, no interval",
              "With 26 stations r = 0.69 has the interval 0.37 to 0.86."),
    Departure("Codes of the land cover crosswalk", "each once, every code covered", "Table 2 as printed",
              "GLCC 14 and 37 stand in two rows of Table 2, CCI 203 to 205 do not exist, and 81, 82, 151 and 170 are "
              "missing. The crosswalk notes each."),
)
