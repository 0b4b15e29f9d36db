"""The two named profiles: the paper's own choices, and the defensible ones that are the default.

A profile is nothing but values; tools ask it, records name it and list where it differs from the paper.
"""

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


AS_PUBLISHED = Profile("as_published", report_untestable_trend=False, stratified_split=False,
                       station_min_years=3, cci_202_is_tundra=True)
DEFENSIBLE = Profile("defensible", report_untestable_trend=True, stratified_split=True,
                     station_min_years=5, cci_202_is_tundra=False)

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
