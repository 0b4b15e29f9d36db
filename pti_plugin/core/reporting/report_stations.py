"""The section of the report about stations: how well the map agrees with measurements in the ground."""

from .figures import magt_scatter, station_scatter
from .report_model import SHARED_INPUTS
from .report_page import NUMBER, RANK, TEXT, Column, format_number, is_missing

_STATION_COLUMNS = [
    Column("station", "Station"), Column("site_rank", "Station rank", kind=RANK),
    Column("map_rank", "Map rank", kind=RANK), Column("rank_diff", "Difference", "ranks", 0),
    Column("magt", "MAGT", "°C", 2), Column("map_magt", "MAGT of the map", "°C", 2),
    Column("years", "Years", "MAGT, ALT", kind=NUMBER), Column("partner", "Thaw-depth site"),
    Column("pair_km", "Distance", "km", 1), Column("note", "Note")]
#: pairs without a rank of their own show neither it nor a difference
_UNRANKED_COLUMNS = [column for key in ("station", "note", "map_rank", "magt", "years", "partner")
                     for column in _STATION_COLUMNS if column.key == key]
#: columns left out where no row fills them
_WHERE_KNOWN = ("note", "map_magt")

#: figure of the summary → what the page calls it
SUMMARY_NAMES = {
    "profile": "Profile", "max_distance_km": "Largest distance of a pair (km)",
    "max_elevation_m": "Largest difference in elevation of a pair (m)", "alpha": "Level of significance",
    "cold_below": "Cold below (°C)", "cool_up_to": "Cool up to (°C)", "warm_up_to": "Warm up to (°C)",
    "isolated_below": "Isolated below (% PP)",
    "rank_40": "Rank 40 of a station", "trained_on_boreholes": "Products trained on boreholes",
    "magt_sites": "Temperature sites", "alt_sites": "Thaw-depth sites", "paired": "Pairs",
    "without_elevation": "Pairs without elevations", "off_map": "Off the map",
    "swapped": "Latitude and longitude look swapped", "no_data": "On a cell without a rank",
    "left_out": "On a cell of a class left out",
    "from_neighbour": "Map rank from a neighbouring cell", "too_warm": "Above the MAGT limit",
    "not_testable": "Pairs with a trend that is not testable", "compared": "Compared by rank", "exact": "Exact rank",
    "within_one": "Within one rank", "tier": "Same tier", "map_isolated": "Map has rank 40",
    "map_isolated_compared": "Of these compared by rank", "station_isolated": "Stations of rank 40",
    "same_place": "Sites that share a place", "magt_agreement": "MAGT, map less station",
    "spearman": "Spearman's r", "kendall": "Kendall's tau", "correlation_note": "Correlation"}
#: shown as a table of its own
_TIERS = "tier_confusion"


def station_section(report, result, sources):
    """Add the comparison with stations: summary, tiers, scatter plot, misses, and what could not be compared."""
    report.section("Stations")
    if result is None:
        report.paragraph("No stations were given, so the map was not compared with measurements on the ground.")
        return
    for sentence in result.sentences:
        report.paragraph(sentence)
    report.paragraph(SHARED_INPUTS)
    if result.summary:
        report.key_values([(SUMMARY_NAMES.get(name, name.replace("_", " ")), _summary_text(value))
                           for name, value in result.summary.items() if not is_missing(value) and name != _TIERS],
                          "Summary of the comparison", source=sources.get("record"))
    _tier_table(report, result.summary.get(_TIERS), sources.get("record"))
    source = sources.get("stations")
    compared = [row for row in result.rows if row["site_rank"] and row["map_rank"]]
    if not compared:
        report.paragraph("No station could be compared by rank, so there is no scatter plot and no list of misses.")
    else:
        report.figure(station_scatter([row["site_rank"] for row in compared], [row["map_rank"] for row in compared],
                                      "Map against stations"),
                      "Rank on the map against rank measured at the station. Dots in one square lie side by side and "
                      "are counted; the grey band is within one rank.",
                      "Scatter plot of map rank against station rank; every station is in the table that follows.",
                      source)
        compared.sort(key=lambda row: (-abs(row["rank_diff"]), str(row["site_magt"])))
        report.table(_filled(_STATION_COLUMNS, compared), [_station_row(row) for row in compared],
                     "Stations compared, largest misses first", source=source,
                     note="Difference: map less station, counted in ranks (11, 12, 13, 21, … 40); above 0 "
                          "the map says more vulnerable.")
    _magt_figure(report, result, source)
    _side_by_side(report, getattr(result, "side_by_side", ()), sources.get("side_by_side"))
    others = [row for row in result.rows if row["site_magt"] and row["site_alt"]
              and not (row["site_rank"] and row["map_rank"])]
    if others:
        report.table(_UNRANKED_COLUMNS, [_station_row(row) for row in others],
                     "Pairs that could not be compared by rank, and why", source=source)
    alone = len(result.rows) - len(compared) - len(others)
    if alone:
        report.paragraph(f"{alone} further site(s) found no partner for a rank; the file lists each with the reason.")


def _magt_figure(report, result, source):
    rows = [row for row in result.rows if row.get("magt_diff") is not None]
    if rows:
        limits = tuple(result.summary[name] for name in ("cold_below", "cool_up_to", "warm_up_to"))
        report.figure(magt_scatter([row["magt"] for row in rows], [row["map_magt"] for row in rows],
                                   "Map against stations: mean ground temperature", limits),
                      "Mean ground temperature of the map against that of the stations, in the colour of the station's "
                      "tier; thin lines are the limits of the tiers, the dashed line is 1:1.",
                      "Scatter plot of the map's ground temperature against the stations'; the file lists each.",
                      source)


_SIDE_BY_SIDE = [
    Column("map", "Map or product"), Column("kind", "Kind"), Column("with_rank", "With a rank", "stations", 0),
    Column("ranks_compared", "Ranks compared", "stations", 0), Column("exact_percent", "Exact rank", "%", 1),
    Column("within_one_percent", "Within one", "%", 1), Column("spearman", "Spearman's r", "", 2),
    Column("tiers_compared", "Tiers compared", "sites", 0), Column("tier_percent", "Same tier", "%", 1),
    Column("magt_compared", "MAGT compared", "sites", 0), Column("magt_bias", "Bias", "°C", 2),
    Column("magt_rmse", "RMSE", "°C", 2), Column("magt_mae", "Mean absolute error", "°C", 2)]


def _side_by_side(report, rows, source):
    """Add the table of maps and single products at the same stations, where other maps were given."""
    if not rows:
        return
    columns = [column for column in _SIDE_BY_SIDE if any(not is_missing(row.get(column.key)) for row in rows)]
    report.table(columns, rows, "Maps and single products side by side, at the same stations", source=source,
                 note="Shares and errors are of the stations at which all that are compared have a value. A single "
                      "product is ranked by its own temperature and percent with the same trends. Bias: map less "
                      "station.")


def _tier_table(report, confusion, source):
    if not confusion:
        return
    labels = [str(label) for label in confusion["labels"]]
    report.table([Column("map", "Tier of the map", kind=TEXT), *(Column(label, label, "", 0) for label in labels)],
                 [{"map": label, **dict(zip(labels, row))} for label, row in zip(labels, confusion["matrix"])],
                 "Tiers (stations): a row a tier of the map, a column a tier of the stations", source=source)


def _filled(columns, rows):
    return [column for column in columns
            if column.key not in _WHERE_KNOWN or any(not is_missing(row.get(column.key)) for row in rows)]


def _station_row(row):
    names = {kind: row[f"name_{kind}"] or row[f"site_{kind}"] for kind in ("magt", "alt")}
    return dict(row, station=names["magt"], partner=names["alt"], years=f"{row['magt_n']},\u00a0{row['alt_n']}")


def _summary_text(value):
    """Return a figure of the summary as text: a share or r with its interval, a correlation with its p, a bias."""
    if not isinstance(value, dict):
        return value
    if "share" in value:
        if not value["of"]:
            return "none to compare"
        share, low, high = (f"{100 * value[key]:.1f}" for key in ("share", "low", "high"))
        return f"{value['count']} of {value['of']} ({share} %, 95 % interval {low} to {high} %)"
    if "bias" in value:
        parts = [f"bias {value['bias']:+.2f} °C"]
        parts += [f"{title} {value[key]:.2f}{unit}" for key, title, unit in
                  (("rmse", "RMSE", " °C"), ("mae", "mean absolute error", " °C"), ("r", "r =", ""))
                  if not is_missing(value.get(key))]
        return (", ".join(parts) + f" (n = {value['n']})").replace("-", "\u2212")
    if "r" not in value:
        return value
    interval = "" if is_missing(value.get("low")) else f", 95 % interval {value['low']:.2f} to {value['high']:.2f}"
    return (f"{value['r']:.2f} (n = {value['n']}, p = {format_number(value['p'])} by ".replace("-", "\u2212")
            + f"{value['method']}" + f"{interval})".replace("-", "\u2212"))
