"""Compares the PTI map with field stations: pairing, station ranks, agreement.

Method, section 6. A temperature site and a thaw-depth site close to each other make a pair; mean temperature and
the two trends rank it by Table 3; the rank is compared with the map's at the temperature site. This module reads no
raster: the caller gives a function that answers for the map.
"""

import csv
import io
import math
from dataclasses import dataclass, replace

import numpy as np

from .errors import InputError
from .geodesic import distance_m
from .profiles import DEFENSIBLE
from .pti import REASONS, PtiOptions, rank_cells
from .ranks import BY_CODE, NO_RANK, ORDER
from .raster import NO_CLASS
from .small_sample import kendall, mann_kendall_exact, smallest_p, spearman, wilson
from .staging import Staging
from .stations import site_key

#: what ``map_values`` says of a point whose value it has from a neighbour begins so
NEAREST = "nearest valid cell"
OFF_MAP, NO_DATA = "off the map", "no data here"
EXACT, ONE_OFF, FURTHER = "exact", "one off", "further"

#: columns of the point layer and the table: name, type, unit, description; names fit a shapefile
FIELDS = [
    ("site_magt", str, "", "Id of the ground temperature site"),
    ("name_magt", str, "", "Name of the ground temperature site"),
    ("site_alt", str, "", "Id of the thaw depth site paired with it"),
    ("name_alt", str, "", "Name of the thaw depth site"),
    ("latitude", float, "degree", "Latitude of the temperature site (of the thaw depth site where there is none)"),
    ("longitude", float, "degree", "Longitude of the same"),
    ("pair_km", float, "km", "Geodesic distance between the two sites"),
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
    ("note", str, "", "Why something is missing, and what to know of the row"),
]


@dataclass(frozen=True)
class Pair:
    """A temperature site and the thaw-depth site paired with it, either None where it stayed alone for ``reason``."""

    magt: object
    alt: object
    distance_km: float = None
    reason: str = ""


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
    """Choices of the comparison; ``thresholds`` are those the map was made with."""

    max_distance_km: float = 5.0
    alpha: float = 0.05
    profile: object = DEFENSIBLE
    thresholds: PtiOptions = PtiOptions()

    def check(self):
        """Raise InputError where a choice is out of its range."""
        if not 0 <= self.max_distance_km < math.inf:
            raise InputError(f"The largest distance of a pair is {self.max_distance_km:g} km; give 0 or more.")
        if not 0 < self.alpha < 1:
            raise InputError(f"The level of significance is {self.alpha:g}; it must lie between 0 and 1.")


@dataclass
class ValidationResult:
    """``rows``: dicts by FIELDS; ``summary``: figures; ``sentences``, ``warnings``: for the log and the report."""

    rows: list
    summary: dict
    sentences: list
    warnings: list


def pair_sites(magt, alt, max_distance_km):
    """Return the Pairs of two lists of StationSeries, nearest first come, each site used once.

    All distances up to ``max_distance_km`` are taken in rising order, ties by the ids, so that the order of the
    input does not matter. Sites left alone follow with the reason; the list is sorted by temperature site, then
    thaw-depth sites alone.
    """
    magt, alt = (sorted(sites, key=lambda station: site_key(station.site)) for sites in (magt, alt))
    distances = _distances_km(magt, alt)
    near = np.argwhere(distances <= max_distance_km)
    # both lists are sorted, so indexes order as ids do; micrometres are rounding
    order = sorted((round(float(distances[i, j]), 9), int(i), int(j)) for i, j in near)
    partner_of_magt, partner_of_alt = {}, {}
    for _, i, j in order:
        if i not in partner_of_magt and j not in partner_of_alt:
            partner_of_magt[i], partner_of_alt[j] = j, i
    pairs = []
    for i, station in enumerate(magt):
        if i in partner_of_magt:
            j = partner_of_magt[i]
            pairs.append(Pair(station, alt[j], float(distances[i, j])))
        else:
            pairs.append(Pair(station, None, None, _alone(distances[i], alt, "thaw depth", max_distance_km)))
    for j, station in enumerate(alt):
        if j not in partner_of_alt:
            pairs.append(Pair(None, station, None,
                              _alone(distances[:, j], magt, "temperature", max_distance_km)))
    return pairs


def _distances_km(magt, alt):
    def column(sites, name):
        return np.array([getattr(station, name) for station in sites], dtype=float)

    return distance_m(column(magt, "latitude")[:, None], column(magt, "longitude")[:, None],
                      column(alt, "latitude")[None, :], column(alt, "longitude")[None, :]) / 1000


def _alone(distances, others, kind, max_distance_km):
    if not len(distances):
        return f"no {kind} sites given"
    nearest = int(np.argmin(distances))
    if distances[nearest] <= max_distance_km:
        return f"the {kind} sites within {max_distance_km:g} km have nearer partners"
    return (f"no {kind} site within {max_distance_km:g} km; the nearest, {others[nearest].site}, is "
            f"{distances[nearest]:.1f} km away")


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


def validate(stations_magt, stations_alt, map_values, options=None):
    """Return the ValidationResult of two lists of StationSeries against the map.

    ``map_values(longitudes, latitudes)`` returns for arrays of degrees the map's ranks (float, NaN = none) and
    the reasons ('', OFF_MAP, NO_DATA, or a text beginning with NEAREST for a value from a neighbouring cell).
    A map rank of 40 stands next to 33 in the order of ranks, and agrees with no station's tier.
    Raises InputError where there is no temperature site, or the map holds a value that is no rank.
    """
    options = options or ValidationOptions()
    options.check()
    if not stations_magt:
        raise InputError("There is no ground temperature site to compare the map with.")
    pairs = pair_sites(stations_magt, stations_alt, options.max_distance_km)
    places = [pair.magt or pair.alt for pair in pairs]
    found, reasons = map_values(np.array([place.longitude for place in places]),
                                np.array([place.latitude for place in places]))
    rows = [_row(pair, _map_rank(value), str(reason), options)
            for pair, value, reason in zip(pairs, found, reasons)]
    summary = _summary(rows, [str(reason) for reason in reasons], options)
    return ValidationResult(rows, summary, _sentences(summary, options), _warnings(rows, summary, options))


def _map_rank(value):
    if math.isnan(value) or value == NO_RANK:
        return None
    if value not in BY_CODE:
        raise InputError(f"The PTI map holds the value {value:g}, which is no PTI rank "
                         f"({', '.join(map(str, BY_CODE))}); give the map that the PTI tools write.")
    return int(value)


def _row(pair, map_rank, reason, options):
    row = dict.fromkeys(name for name, *_ in FIELDS)
    place = pair.magt or pair.alt
    notes = [pair.reason]
    row.update(latitude=place.latitude, longitude=place.longitude, pair_km=pair.distance_km,
               map_rank=map_rank, map_tier=BY_CODE[map_rank].tier if map_rank else "",
               site_magt="", name_magt="", site_alt="", name_alt="", site_tier="", match="")
    trends = {}
    for quantity, station, title in (("magt", pair.magt, "temperature"), ("alt", pair.alt, "thaw depth")):
        if station is None:
            continue
        trend = trends[quantity] = station_trend(station.values, options.profile, options.alpha)
        row.update({f"site_{quantity}": station.site, f"name_{quantity}": station.name,
                    quantity: float(np.mean(list(station.values.values()))),
                    f"{quantity}_n": trend.n, f"{quantity}_from": trend.first, f"{quantity}_to": trend.last,
                    f"{quantity}_slope": _known(trend.slope), f"{quantity}_p": _known(trend.p),
                    f"{quantity}_trend": trend.sign})
        notes.append(f"{title}: {trend.note}" if trend.note else "")
    if map_rank is None:
        notes.append(reason or NO_DATA)
    elif reason:
        notes.append(f"map value from the {reason}")
    if pair.magt is not None:
        row["depth_m"] = pair.magt.depth_m
        # a missing partner leaves the thaw-depth trend unknown, which no profile takes for "none"
        ranked = station_rank(row["magt"], trends["magt"].sign, trends["alt"].sign if pair.alt else None,
                              thresholds=options.thresholds, profile=options.profile)
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


def _summary(rows, reasons, options):
    sites = [row for row in rows if row["site_magt"]]
    unmapped = [reason for row, reason in zip(rows, reasons) if row["site_magt"] and not row["map_rank"]]
    paired = [row for row in sites if row["site_alt"]]
    compared = [row for row in paired if row["match"]]
    tiers = [row for row in sites if row["site_tier"] and row["map_tier"]]
    station = [ORDER[row["site_rank"]] for row in compared]
    mapped = [ORDER[row["map_rank"]] for row in compared]
    n = len(compared)
    summary = {
        "profile": options.profile.name,
        "max_distance_km": options.max_distance_km,
        "alpha": options.alpha,
        "magt_sites": len(sites),
        "alt_sites": sum(1 for row in rows if row["site_alt"]),
        "paired": len(paired),
        "off_map": unmapped.count(OFF_MAP),
        "no_data": len(unmapped) - unmapped.count(OFF_MAP),
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
        return (f"{what}: {share['count']} of {share['of']} ({share['share']:.0%}, 95 % interval "
                f"{share['low']:.0%} to {share['high']:.0%}).")

    sentences = [
        f"{summary['magt_sites']} temperature and {summary['alt_sites']} thaw-depth sites; {summary['paired']} pairs "
        f"within {options.max_distance_km:g} km.",
        f"Of the temperature sites {summary['off_map']} lie off the map, {summary['no_data']} where it has no rank, "
        f"{summary['too_warm']} have a mean above {options.thresholds.warm:g} °C; of the pairs "
        f"{summary['not_testable']} have too few years to be ranked and are compared by tier only.",
        told(summary["exact"], "Exact rank"),
        told(summary["within_one"], "Within one rank"),
        told(summary["tier"], "Same tier (cold, cool, warm)"),
    ]
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


def _warnings(rows, summary, options):
    warnings = ["Independence: a MAGT product trained on boreholes (NIEER on 1,002 of them) has seen stations like "
                "these, so its agreement with them is not a validation."]
    if summary["map_isolated"]:
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
    if not summary["paired"]:
        warnings.append(f"No temperature site has a thaw-depth site within {options.max_distance_km:g} km, so no "
                        f"rank could be compared; raise the distance, or read the tier agreement.")
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
    return f"{value:.9g}" if isinstance(value, float) else str(value)
