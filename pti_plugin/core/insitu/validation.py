"""Compares the PTI map with field stations: station ranks, agreement of ranks, tiers and temperatures.

Method, section 6. Mean temperature and the two trends of a pair of sites rank it by Table 3; the rank is compared
with the map's at the temperature site. This module reads no raster: the caller gives functions that answer for them.
"""

import csv
import io
import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..assessment.accuracy import confusion
from ..assessment.small_sample import kendall, mann_kendall_exact, smallest_p, spearman, wilson
from ..common.errors import InputError
from ..common.escapes import for_cell
from ..common.profiles import DEFENSIBLE
from ..common.ranks import BY_CODE, NO_RANK, ORDER, TIERS
from ..common.staging import Staging
from ..index.pti import REASONS, PtiOptions, rank_cells
from ..rasters.raster import NO_CLASS
from .pairing import pair_sites, station_key

#: what ``map_values`` says of a point whose value it has from a neighbour begins so
NEAREST = "nearest valid cell"
OFF_MAP, NO_DATA = "off the map", "no data here"
#: what it says of a point whose own cell is water, glacier ice or another class that is left out
LEFT_OUT = "a class left out"
EXACT, ONE_OFF, FURTHER = "exact", "one off", "further"
#: what a point says that lies off the map, and would have a rank there with its coordinates exchanged
SWAPPED = "latitude and longitude look swapped: exchanged they fall on a rank of the map"
#: degrees within which two sites of one kind count as the same place (about 10 m)
_SAME_PLACE_DEGREES = 4
#: whether a station can have rank 40
RANK_40_BY_MAP, RANK_40_IMPOSSIBLE = "by the map's permafrost percent", "impossible without a permafrost percent"
#: boreholes that products are known to have been trained on
_BOREHOLES = {"NIEER": "1,002 boreholes"}

#: columns of the point layer and the table: name, type, unit, description; names fit a shapefile
FIELDS = [
    ("site_magt", str, "", "Id of the ground temperature site"),
    ("name_magt", str, "", "Name of the ground temperature site"),
    ("site_alt", str, "", "Id of the thaw depth site paired with it"),
    ("name_alt", str, "", "Name of the thaw depth site"),
    ("latitude", float, "degree", "Latitude of the temperature site (of the thaw depth site where there is none)"),
    ("longitude", float, "degree", "Longitude of the same"),
    ("elev_m", float, "m", "Elevation of the temperature site (of the thaw depth site where there is none)"),
    ("pair_km", float, "km", "Geodesic distance between the two sites"),
    ("pair_elev", float, "m", "Elevation of the thaw depth site less that of the temperature site"),
    ("depth_m", float, "m", "Depth of the temperature sensor"),
    ("magt_n", int, "years", "Years with a ground temperature"),
    ("magt_from", int, "year", "First of them"),
    ("magt_to", int, "year", "Last of them"),
    ("alt_n", int, "years", "Years with a thaw depth"),
    ("alt_from", int, "year", "First of them"),
    ("alt_to", int, "year", "Last of them"),
    ("magt", float, "degC", "Mean ground temperature of all its years"),
    ("magt_slope", float, "degC/a", "Sen slope of ground temperature"),
    ("magt_p", float, "", "Two-sided exact Mann-Kendall p of ground temperature"),
    ("magt_trend", int, "", "Trend of ground temperature: 1, 0, -1; empty = not testable"),
    ("alt", float, "m", "Mean thaw depth of all its years"),
    ("alt_slope", float, "m/a", "Sen slope of thaw depth"),
    ("alt_p", float, "", "Two-sided exact Mann-Kendall p of thaw depth"),
    ("alt_trend", int, "", "Trend of thaw depth: 1, 0, -1; empty = not testable"),
    ("site_rank", int, "", "PTI rank of the station by Table 3"),
    ("site_tier", str, "", "Tier of the station by its mean ground temperature"),
    ("map_rank", int, "", "PTI rank of the map at the station"),
    ("map_tier", str, "", "Tier of the map at the station"),
    ("rank_diff", int, "", "Map less station, in places of the order of ranks"),
    ("match", str, "", "exact, one off, further; empty = not compared"),
    ("map_magt", float, "degC", "Mean ground temperature of the map at the station"),
    ("magt_diff", float, "degC", "Mean ground temperature, map less station"),
    ("map_pp", float, "%", "Permafrost percent of the map at the station"),
    ("note", str, "", "Why something is missing, and what to know of the row"),
]


@dataclass(frozen=True)
class StationTrend:
    """Trend of a site's annual values; ``sign`` is 1, 0, −1 or None where it is not testable, ``note`` says why."""

    n: int
    first: int
    last: int
    slope: float
    p: float
    sign: int
    note: str


@dataclass(frozen=True)
class StationRank:
    """``rank`` is None where Table 3 gives none; ``tier`` is '' only above the upper limit of MAGT."""

    rank: int
    tier: str
    reason: str


@dataclass(frozen=True)
class ValidationOptions:
    """Choices of the comparison.

    ``thresholds`` are those the map was made with, and ``thresholds_from`` says whence they are known. ``trained``
    names the products behind the map that were trained on boreholes. ``left_out`` says in words which classes of the
    map's cells are left out, '' for none.
    """

    max_distance_km: float = 5.0
    alpha: float = 0.05
    profile: object = DEFENSIBLE
    thresholds: PtiOptions = PtiOptions()
    max_elevation_m: float = None
    thresholds_from: str = "as in the paper"
    trained: tuple = ()
    left_out: str = ""

    def check(self):
        """Raise InputError where a choice is out of its range."""
        if not 0 <= self.max_distance_km < math.inf:
            raise InputError(f"The largest distance of a pair is {self.max_distance_km:g} km; give 0 or more.")
        if self.max_elevation_m is not None and not 0 <= self.max_elevation_m < math.inf:
            raise InputError(f"The largest difference in elevation of a pair is {self.max_elevation_m:g} m; give 0 or "
                             f"more, or none.")
        self.thresholds.check()
        if not 0 < self.alpha < 1:
            raise InputError(f"The level of significance is {self.alpha:g}; it must lie between 0 and 1.")


@dataclass
class ValidationResult:
    """What was found.

    ``rows``: dicts by FIELDS, the largest misses first, then pairs not compared, then sites alone. ``summary``:
    figures; "cold_below", "cool_up_to", "warm_up_to" (°C) and "isolated_below" (% PP) are the thresholds, "exact",
    "within_one" and "tier" shares with Wilson's interval, "spearman" and "kendall" correlations, "magt_agreement"
    {n, bias, rmse, mae, r} in °C, map less station, or None, and "tier_confusion" {labels, matrix} with a row a tier
    of the map and a column a tier of the stations. ``sentences``, ``warnings``: for the log and the report.
    ``side_by_side``: rows of the table of side_by_side.py, where other maps were given.
    """

    rows: list
    summary: dict
    sentences: list
    warnings: list
    side_by_side: list = field(default_factory=list)


def station_trend(values, profile=DEFENSIBLE, alpha=0.05):
    """Return the StationTrend of annual ``values`` {year: value} by the exact two-sided Mann-Kendall test.

    Below the profile's fewest years the trend is not testable. Where the profile reports untestable trends (the
    defensible one) neither is a series too short to reach ``alpha`` at all; where it does not, such a series is
    tested, can only come out as "none", and the note says so.
    """
    years = sorted(values)
    n = len(years)
    result = mann_kendall_exact([values[year] for year in years], years)
    reachable = smallest_p(n)
    sign, note = None, ""
    if n < profile.station_min_years:
        note = f"{n} year(s), fewer than {profile.station_min_years}"
    elif reachable >= alpha and profile.report_untestable_trend:
        note = f"{n} years cannot give a p below {reachable:.3f}"
    else:
        sign = int(np.sign(result.s)) if result.p < alpha else 0
        if reachable >= alpha:
            note = f"{n} years can never give a trend, their smallest p is {reachable:.3f}"
    return StationTrend(n, years[0] if n else None, years[-1] if n else None, result.slope,
                        result.p if n > 1 else math.nan, sign, note)


def station_rank(mean_magt, magt_trend, alt_trend, pp=None, thresholds=None, profile=DEFENSIBLE):
    """Return the StationRank of one station by Table 3, with the very arithmetic of the map.

    ``mean_magt`` is in °C, the trends are 1, 0, −1 or None (not testable), ``pp`` is in % or None: a station has no
    permafrost percent of its own, so rank 40 is impossible without it. An untestable trend counts as "none" where
    the profile does not report it (as published); else there is no rank, and only the tier.
    """
    options = replace(thresholds or PtiOptions(), profile=profile,
                      untestable_is_nodata=profile.report_untestable_trend)
    percent = 100.0 if pp is None else float(pp)
    rank, reason = _rank(mean_magt, magt_trend, alt_trend, percent, options)
    without_trends, _ = _rank(mean_magt, 0, 0, percent, options)
    tier = BY_CODE[without_trends].tier if without_trends else ""
    if rank:
        return StationRank(rank, tier, "")
    return StationRank(None, tier, REASONS[reason][0])


def _rank(magt, magt_trend, alt_trend, percent, options):
    signs = [np.array([NO_CLASS if sign is None else sign]) for sign in (magt_trend, alt_trend)]
    rank, reason = rank_cells(np.array([float(magt)]), *signs, np.array([percent]), np.array([1]), options)
    return int(rank[0]), int(reason[0])


def validate(stations_magt, stations_alt, map_values, options=None, magt_values=None, pp_values=None):
    """Return the ValidationResult of two lists of StationSeries against the map.

    ``map_values(longitudes, latitudes)`` returns for arrays of degrees the map's ranks (float, NaN = none) and
    the reasons ('', OFF_MAP, NO_DATA, or a text beginning with NEAREST for a value from a neighbouring cell).
    ``magt_values`` and ``pp_values``, where given, answer likewise for the map's mean ground temperature (°C) and
    permafrost percent (%). A station has no percent of its own: with ``pp_values`` the map's gives it rank 40, else
    none has it. A map rank of 40 stands next to 33 in the order of ranks. Raises InputError where there is no
    temperature site, a site has no usable coordinates, all of a kind look swapped, or the map holds a value that is
    no rank.
    """
    options = options or ValidationOptions()
    options.check()
    if not stations_magt:
        raise InputError("There is no ground temperature site to compare the map with.")
    for stations, kind in ((stations_magt, "temperature"), (stations_alt, "thaw depth")):
        _check_places(stations, kind)
    pairs = pair_sites(stations_magt, stations_alt, options.max_distance_km, options.max_elevation_m,
                       options.profile.station_min_years)
    places = [pair.magt or pair.alt for pair in pairs]
    longitudes, latitudes = (np.array([getattr(place, name) for place in places], dtype=float)
                             for name in ("longitude", "latitude"))
    found, reasons = map_values(longitudes, latitudes)
    reasons = _with_swapped(pairs, found, [str(reason) for reason in reasons], map_values, longitudes, latitudes)
    magt, percent = (values(longitudes, latitudes) if values else None for values in (magt_values, pp_values))
    rows = [_row(pair, _map_rank(found[i]), reasons[i], options, _sample(magt, i), _sample(percent, i))
            for i, pair in enumerate(pairs)]
    order = sorted(range(len(rows)), key=lambda i: _residual_order(rows[i]))
    rows, reasons = [rows[i] for i in order], [reasons[i] for i in order]
    summary = _summary(rows, reasons, options, pp_values is not None)
    same_place = {kind: _same_place(stations) for kind, stations in (("temperature", stations_magt),
                                                                     ("thaw-depth", stations_alt))}
    summary["same_place"] = sum(len(sites) for groups in same_place.values() for sites in groups)
    warnings = _warnings(rows, summary, options, same_place)
    if magt_values is not None and summary["magt_agreement"] is None:
        warnings.append("The MAGT of the map has no value at any temperature site, so the two could not be compared.")
    return ValidationResult(rows, summary, _sentences(summary, options), warnings)


def _check_places(stations, kind):
    """Raise InputError for sites without coordinates, or with such as no place on Earth has."""
    lost = sorted((station for station in stations
                   if station.latitude is None or station.longitude is None
                   or not (abs(station.latitude) <= 90 and abs(station.longitude) <= 360)), key=lambda s: s.site)
    if lost:
        raise InputError(f"{len(lost)} {kind} site(s) have no coordinates, or such as lie beyond 90 of latitude or 360 "
                         f"of longitude: {_some(station.site for station in lost)}. Add them to the table, or give a "
                         f"table of sites that holds them.")


def _with_swapped(pairs, found, reasons, map_values, longitudes, latitudes):
    """Return ``reasons`` with SWAPPED where a point off the map would have a rank with its coordinates exchanged.

    Raises InputError where all temperature sites, or all thaw-depth sites, lie off the map and most look swapped.
    """
    reasons = list(reasons)
    off = [i for i, reason in enumerate(reasons) if reason == OFF_MAP and math.isnan(found[i])
           and abs(longitudes[i]) <= 90]
    if not off:
        return reasons
    exchanged, _ = map_values(latitudes[off], longitudes[off])
    swapped = {i for i, value in zip(off, exchanged) if not math.isnan(value) and value != NO_RANK}
    for kind in ("magt", "alt"):
        own = [i for i, pair in enumerate(pairs) if getattr(pair, kind) is not None]
        caught = [i for i in own if i in swapped]
        if len(caught) > len(own) / 2 and all(reasons[i] == OFF_MAP for i in own):
            title = {"magt": "temperature", "alt": "thaw-depth"}[kind]
            raise InputError(f"All {len(own)} {title} sites lie off the map, and {len(caught)} of them "
                             f"({_some(getattr(pairs[i], kind).site for i in caught)}) would lie on it with latitude "
                             f"and longitude exchanged. Exchange the two columns of their table, or name them in its "
                             f"column list.")
    for i in swapped:
        reasons[i] = f"{OFF_MAP}; {SWAPPED}"
    return reasons


def _same_place(stations):
    """Return the groups of ids, sorted, of sites of one kind that stand at the same place or share an id."""
    by_place, by_id = {}, {}
    for station in sorted(stations, key=station_key):
        place = round(station.latitude, _SAME_PLACE_DEGREES), round(station.longitude, _SAME_PLACE_DEGREES)
        by_place.setdefault(place, []).append(station.site)
        by_id.setdefault(station.site, []).append(station.site)
    groups = [sites for sites in (*by_place.values(), *by_id.values()) if len(sites) > 1]
    return [sites for i, sites in enumerate(groups) if sites not in groups[:i]]


def _some(names):
    names = list(names)
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _sample(sampled, i):
    """Return (value or None, reason) of point ``i`` of what a function of points answered, None where there is none."""
    if sampled is None:
        return None
    values, reasons = sampled
    return _known(float(values[i])), str(reasons[i])


def _residual_order(row):
    """Return the key that puts the largest misses first, then pairs not compared, then sites alone."""
    alone = 1 if row["site_magt"] and row["site_alt"] else 2 if row["site_magt"] else 3
    return (0 if row["match"] else alone, -abs(row["rank_diff"] or 0), -abs(row["magt_diff"] or 0.0))


def _map_rank(value):
    if math.isnan(value) or value == NO_RANK:
        return None
    if value not in BY_CODE:
        raise InputError(f"The PTI map holds the value {value:g}, which is no PTI rank "
                         f"({', '.join(map(str, BY_CODE))}); give the map that the PTI tools write.")
    return int(value)


def _row(pair, map_rank, reason, options, magt=None, percent=None):
    """Return the row of a pair; ``magt`` and ``percent`` are (value or None, reason) of the map, or None."""
    row = dict.fromkeys(name for name, *_ in FIELDS)
    place = pair.magt or pair.alt
    notes = [pair.reason]
    row.update(latitude=place.latitude, longitude=place.longitude, pair_km=pair.distance_km,
               elev_m=_known(place.elevation_m), pair_elev=pair.elevation_difference_m,
               map_rank=map_rank, map_tier=BY_CODE[map_rank].tier if map_rank else "",
               site_magt="", name_magt="", site_alt="", name_alt="", site_tier="", match="")
    trends = {}
    for quantity, station, title in (("magt", pair.magt, "temperature"), ("alt", pair.alt, "thaw depth")):
        if station is None:
            continue
        trend = trends[quantity] = station_trend(station.values, options.profile, options.alpha)
        row.update({f"site_{quantity}": station.site, f"name_{quantity}": station.name or "",
                    quantity: math.fsum(station.values.values()) / len(station.values),
                    f"{quantity}_n": trend.n, f"{quantity}_from": trend.first, f"{quantity}_to": trend.last,
                    f"{quantity}_slope": _known(trend.slope), f"{quantity}_p": _known(trend.p),
                    f"{quantity}_trend": trend.sign})
        notes.append(f"{title}: {trend.note}" if trend.note else "")
    if map_rank is None:
        notes.append(reason or NO_DATA)
    elif reason:
        notes.append(f"map value from the {reason}")
    if options.max_elevation_m is not None and pair.distance_km is not None and row["pair_elev"] is None:
        notes.append(f"paired without an elevation, so the limit of {options.max_elevation_m:g} m was not applied")
    if pair.magt is not None:
        row["depth_m"] = _known(pair.magt.depth_m)
        notes += _compare_with_maps(row, magt, percent)
        # a missing partner leaves the thaw-depth trend unknown, which no profile takes for "none"
        ranked = station_rank(row["magt"], trends["magt"].sign, trends["alt"].sign if pair.alt else None,
                              pp=row["map_pp"], thresholds=options.thresholds, profile=options.profile)
        row["site_tier"] = ranked.tier
        # without a partner the note says so already; only a mean too warm for any tier is news
        if ranked.reason and (pair.alt is not None or not ranked.tier):
            notes.append("station " + ranked.reason[0].lower() + ranked.reason[1:])
        if pair.alt is not None and _counted(trends, options):
            row["site_rank"] = ranked.rank
    if row["site_rank"] and map_rank:
        row["rank_diff"] = ORDER[map_rank] - ORDER[row["site_rank"]]
        row["match"] = (EXACT, ONE_OFF)[abs(row["rank_diff"])] if abs(row["rank_diff"]) < 2 else FURTHER
    row["note"] = "; ".join(note for note in notes if note)
    return row


def _compare_with_maps(row, magt, percent):
    """Enter the map's temperature and permafrost percent into ``row``; return what its note should say of them."""
    notes = []
    for name, title, sampled in (("map_magt", "MAGT", magt), ("map_pp", "PP", percent)):
        if sampled is None:
            continue
        row[name], reason = sampled
        if row[name] is None:
            notes.append(f"{title} raster: {reason or NO_DATA}")
        elif reason:
            notes.append(f"{title} from the {reason}")
    if row["map_magt"] is not None:
        row["magt_diff"] = row["map_magt"] - row["magt"]
    return notes


def _counted(trends, options):
    """Return True where both series have the fewest years a station needs to take part at all."""
    return all(trend.n >= options.profile.station_min_years for trend in trends.values())


def _share(k, n):
    low, high = map(_known, wilson(k, n))
    return {"count": k, "of": n, "share": k / n if n else None, "low": low, "high": high}


def _correlation(result):
    return {name: _known(value) for name, value in result._asdict().items()}


def _known(value):
    """Return ``value``, or None for NaN: rows and summary go into records that know no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _magt_agreement(rows):
    """Return {n, bias, rmse, mae, r} of the map's mean ground temperature, map less station (°C), r Pearson's.

    None where no station has a temperature of the map; r is None below three stations or where one side is constant.
    """
    compared = [row for row in rows if row["magt_diff"] is not None]
    n = len(compared)
    if not n:
        return None
    # summed exactly, so that the order of the stations does not show in the last digit
    misses = [row["magt_diff"] for row in compared]
    return {"n": n, "bias": math.fsum(misses) / n, "rmse": math.sqrt(math.fsum(miss * miss for miss in misses) / n),
            "mae": math.fsum(map(abs, misses)) / n,
            "r": _pearson(*([row[name] for row in compared] for name in ("magt", "map_magt"))) if n > 2 else None}


def _pearson(x, y):
    x, y = ([value - math.fsum(values) / len(values) for value in values] for values in (x, y))
    spread = math.fsum(a * a for a in x) * math.fsum(b * b for b in y)
    return math.fsum(a * b for a, b in zip(x, y)) / math.sqrt(spread) if spread else None


def _tier_confusion(tiers):
    """Return {labels, matrix}: counts of sites with a row a tier of the map and a column a tier of the station."""
    places = [[TIERS.index(row[name]) for row in tiers] for name in ("map_tier", "site_tier")]
    matrix = confusion(*map(np.array, places), codes=range(len(TIERS))) if tiers else np.zeros((len(TIERS),) * 2, int)
    return {"labels": list(TIERS), "matrix": matrix.tolist()}


def _summary(rows, reasons, options, with_percent):
    sites = [row for row in rows if row["site_magt"]]
    unmapped = [reason for row, reason in zip(rows, reasons) if row["site_magt"] and not row["map_rank"]]
    off_map = sum(1 for reason in unmapped if reason.startswith(OFF_MAP))
    paired = [row for row in sites if row["site_alt"]]
    compared = [row for row in paired if row["match"]]
    tiers = [row for row in sites if row["site_tier"] and row["map_tier"]]
    station = [ORDER[row["site_rank"]] for row in compared]
    mapped = [ORDER[row["map_rank"]] for row in compared]
    n = len(compared)
    summary = {
        "profile": options.profile.name,
        "max_distance_km": options.max_distance_km,
        "max_elevation_m": options.max_elevation_m,
        "alpha": options.alpha,
        "cold_below": options.thresholds.cold,
        "cool_up_to": options.thresholds.cool,
        "warm_up_to": options.thresholds.warm,
        "isolated_below": options.thresholds.isolated,
        "rank_40": RANK_40_BY_MAP if with_percent else RANK_40_IMPOSSIBLE,
        "trained_on_boreholes": ", ".join(options.trained),
        "magt_sites": len(sites),
        "alt_sites": sum(1 for row in rows if row["site_alt"]),
        "paired": len(paired),
        "without_elevation": sum(1 for row in paired if row["pair_elev"] is None),
        "off_map": off_map,
        "swapped": sum(1 for reason in reasons if SWAPPED in reason),
        "no_data": len(unmapped) - off_map,
        "left_out": sum(1 for row, reason in zip(rows, reasons) if row["site_magt"] and LEFT_OUT in reason)
        if options.left_out else None,
        "from_neighbour": sum(1 for row, reason in zip(rows, reasons)
                              if row["site_magt"] and row["map_rank"] and reason.startswith(NEAREST)),
        "too_warm": sum(1 for row in sites if not row["site_tier"]),
        "not_testable": sum(1 for row in paired if row["site_tier"] and not row["site_rank"]),
        "compared": n,
        "exact": _share(sum(row["match"] == EXACT for row in compared), n),
        "within_one": _share(sum(row["match"] in (EXACT, ONE_OFF) for row in compared), n),
        "tier": _share(sum(row["site_tier"] == row["map_tier"] for row in tiers), len(tiers)),
        "map_isolated": sum(1 for row in tiers if row["map_tier"] == "isolated"),
        "map_isolated_compared": sum(1 for row in compared if row["map_tier"] == "isolated"),
        "station_isolated": sum(1 for row in tiers if row["site_tier"] == "isolated"),
        "tier_confusion": _tier_confusion(tiers),
        "magt_agreement": _magt_agreement(rows),
        "spearman": None,
        "kendall": None,
        "correlation_note": "",
    }
    if n < 4:
        summary["correlation_note"] = (f"Spearman's r is not given: it needs at least 4 stations compared by rank, "
                                       f"and there {'is' if n == 1 else 'are'} {n}.")
        return summary
    correlation = spearman(station, mapped)
    if math.isnan(correlation.r):
        constant = "stations" if len(set(station)) == 1 else "map cells"
        summary["correlation_note"] = f"Spearman's r is not given: all {n} {constant} have the same rank."
        return summary
    summary["spearman"] = _correlation(correlation)
    summary["kendall"] = _correlation(kendall(station, mapped))
    return summary


def _sentences(summary, options):
    def told(share, what):
        if not share["of"]:
            return f"{what}: none could be compared."
        return (f"{what}: {share['count']} of {share['of']} ({100 * share['share']:.0f} %, 95 % "
                f"interval {100 * share['low']:.0f} to {100 * share['high']:.0f} %).")

    sentences = [
        f"{summary['magt_sites']} temperature and {summary['alt_sites']} thaw-depth sites; {summary['paired']} pairs "
        f"within {_reach(options)}.",
        f"Stations are ranked with the thresholds {options.thresholds.cold:g}, {options.thresholds.cool:g} and "
        f"{options.thresholds.warm:g} °C of MAGT, {options.thresholds_from}. Rank 40 is {summary['rank_40']}"
        + (f" below {options.thresholds.isolated:g} %." if summary["rank_40"] == RANK_40_BY_MAP else "."),
        f"Of the temperature sites {summary['off_map']} lie off the map, {summary['no_data']} where it has no rank, "
        f"{summary['too_warm']} have a mean above {options.thresholds.warm:g} °C; of the pairs "
        f"{summary['not_testable']} have too few years to be ranked and are compared by tier only.",
        told(summary["exact"], "Exact rank"),
        told(summary["within_one"], "Within one rank"),
        told(summary["tier"], "Same tier (cold, cool, warm, isolated)"),
    ]
    agreement = summary["magt_agreement"]
    if agreement:
        sentences.append(f"MAGT of the map at {agreement['n']} temperature sites: bias {agreement['bias']:+.2f} °C "
                         f"(map less station), RMSE {agreement['rmse']:.2f} °C, MAE {agreement['mae']:.2f} °C"
                         + ("." if agreement["r"] is None else f", Pearson's r = {agreement['r']:.2f}."))
    if summary["left_out"]:
        sentences.append(f"{summary['left_out']} temperature site(s) lie on a cell that is left out "
                         f"({options.left_out}); they are compared with the nearest valid cell where one is near, and "
                         f"their notes say so.")
    if summary["from_neighbour"]:
        sentences.append(f"{summary['from_neighbour']} site(s) took the map's rank from the nearest valid cell.")
    correlation = summary["spearman"]
    if correlation:
        interval = "" if correlation["low"] is None else (
            f", 95 % interval {correlation['low']:.2f} to {correlation['high']:.2f}")
        sentences.append(f"Spearman's r = {correlation['r']:.2f} (n = {correlation['n']}, p = {correlation['p']:.2g} "
                         f"by {'all permutations' if correlation['method'] == 'exact' else correlation['method']}"
                         f"{interval}); Kendall's tau = {summary['kendall']['r']:.2f} "
                         f"(p = {summary['kendall']['p']:.2g}).")
    else:
        sentences.append(summary["correlation_note"])
    return sentences


def _reach(options):
    """Return the limits of a pair in words."""
    return f"{options.max_distance_km:g} km" + ("" if options.max_elevation_m is None else
                                                f" and {options.max_elevation_m:g} m of elevation")


def _warnings(rows, summary, options, same_place):
    warnings = ["Independence: a MAGT product trained on boreholes (NIEER on 1,002 of them) has seen stations like "
                "these, so its agreement with them is not a validation."]
    for product in options.trained:
        boreholes = _BOREHOLES.get(product.upper(), "boreholes")
        warnings.append(f"Independence: {product} was trained on {boreholes}. What the map has from it, the ground "
                        f"temperature and its tiers above all, is not independent of temperature sites; thaw depths "
                        f"are, unless it was trained on them too.")
    if summary["swapped"]:
        names = (row["site_magt"] or row["site_alt"] for row in rows if SWAPPED in row["note"])
        warnings.append(f"{summary['swapped']} site(s) lie off the map but would have a rank with latitude and "
                        f"longitude exchanged: {_some(names)}. Check their coordinates.")
    for kind, groups in same_place.items():
        if groups:
            told = "; ".join(" and ".join(sites) for sites in groups[:5]) + (" …" if len(groups) > 5 else "")
            warnings.append(f"{kind.capitalize()} sites share a place or an id in {len(groups)} case(s): {told}. Each "
                            f"counts as a site of its own; where they are the same record, remove one.")
    if options.max_elevation_m is not None and summary["without_elevation"]:
        warnings.append(f"{summary['without_elevation']} pair(s) were kept although a site has no elevation, so that "
                        f"the limit of {options.max_elevation_m:g} m could not be applied to them.")
    if summary["station_isolated"]:
        warnings.append(f"{summary['station_isolated']} temperature site(s) compared with the map are isolated patches "
                        f"by the map's own permafrost percent; where the map has rank 40 there too, that is no "
                        f"independent agreement.")
    if summary["map_isolated"] and summary["rank_40"] == RANK_40_IMPOSSIBLE:
        warnings.append(f"At {summary['map_isolated']} site(s) the map has rank 40. Without a permafrost percent of "
                        f"its own a station cannot have rank 40, so these count as disagreement of tier"
                        + (f", and {summary['map_isolated_compared']} of them are among the ranks compared."
                           if summary["map_isolated_compared"] else "."))
    if not options.profile.report_untestable_trend:
        hopeless = sum(1 for row in rows if row["site_rank"]
                       and any(smallest_p(row[f"{quantity}_n"]) >= options.alpha for quantity in ("magt", "alt")))
        if hopeless:
            warnings.append(f"{hopeless} ranked station(s) have a series so short that it can never show a trend at "
                            f"α = {options.alpha:g}; profile {options.profile.name} counts it as no trend.")
    if not summary["alt_sites"]:
        warnings.append("No thaw-depth sites were given, so no rank could be compared; read the tier agreement.")
    elif not summary["paired"]:
        warnings.append(f"No temperature site has a thaw-depth site within {_reach(options)}, so no rank could be "
                        f"compared; raise the distance, or read the tier agreement.")
    elif not summary["compared"]:
        warnings.append("No pair could be compared by rank; the notes of the table say why for each.")
    return warnings


def write_table(path, rows, staging=None):
    """Write ``rows`` by FIELDS as CSV (UTF-8, comma, decimal point); raises OutputError.

    With a ``staging`` the file appears when that is committed, else at once.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, *_ in FIELDS])
    for row in rows:
        writer.writerow([_cell(row[name]) for name, *_ in FIELDS])
    if staging is not None:
        staging.write_text(path, text.getvalue())
        return
    with Staging() as own:
        own.write_text(path, text.getvalue())
        own.commit()


def _cell(value):
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else for_cell(str(value))
