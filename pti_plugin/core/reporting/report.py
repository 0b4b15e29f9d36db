"""The report of a run: what was run, what came out and how far to trust it, section by section.

A section whose input was not given says so in a sentence. core/reporting/report_page.py builds the page.
"""

import math

from ..common.ranks import BY_CODE, NO_RANK, RANKS, TIERS
from ..index.rank_comparison import share_of
from ..mapping import applicability, area_comparison, coverage, map_agreement
from .figures import area_bars, is_in_sample
from .report_model import (
    accuracy_section,
    area_comparison_section,
    calibration_section,
    coverage_section,
    importance_section,
    interval_text,
    predictor_title,
    selection_section,
)
from .report_page import RANK, TEXT, Column, Report, is_missing, plain
from .report_regions import applicability_section, regional_section
from .report_stations import station_section
from .report_steps import cite_section, departure_section, mean_units, run_section, trend_section


def validation_report(*, map_png=None, area_rows=None, zone_rows=None, station_result=None, metrics_rows=None,
                      shap_rows=None, confusion=None, calibration_rows=None, selection_rows=None,
                      comparison_rows=None, start_rows=None, map_rows=(), applicability_png=None, steps=(), warnings=(),
                      notes=(), citations=(), title="Permafrost Thaw Index", subtitle="Validation report",
                      sources=None):
    """Return the Report of a run of the chain; a part whose input is None says in a sentence that it was not given.

    ``area_rows``: mappings rank, label, cells, area_km2, share_percent. ``zone_rows``: rows of the table of the zone
    tool. ``station_result``: a ValidationResult of core/insitu/validation.py. ``metrics_rows``: mappings line, value,
    low, high, n, meaning (value, low, high in %). ``map_rows``: rows of a metrics table, of which those about the
    predicted map are shown (core/mapping/applicability.py, map_agreement.py, area_comparison.py, coverage.py).
    ``applicability_png``: the map of the area of applicability. ``shap_rows``: mappings name, group, shap, share and
    gain (in %). ``confusion``: (labels, matrix), rows classified. ``calibration_rows``:
    mappings section, line, value, low, high, n, expected (value, low, high, expected in %), with those before the
    calibration and its temperature. ``selection_rows``: mappings features, mean_accuracy, sd_accuracy (in %),
    dropped_next, chosen, source, those of the paper marked "paper" there. ``comparison_rows``: rows of the table of the
    profile comparison; ``start_rows``: of that with the index of trends from a later year. ``steps``: provenance
    records, upstream first, the run itself last (collect_records). ``citations``: (file,
    how to cite it, licence). ``sources``: {map, areas, zones, stations, metrics, shap, confusion, selection,
    comparison, applicability, record: file} named beside the numbers.
    """
    sources = {key: value for key, value in (sources or {}).items() if value}
    steps = list(steps)
    report = Report(title, subtitle)
    report.section("Summary")
    for sentence in _summary(area_rows, station_result, metrics_rows, steps):
        report.paragraph(sentence)
    for note in notes:
        report.paragraph(note)
    _map_section(report, map_png, sources)
    _area_section(report, area_rows, sources)
    _zone_section(report, zone_rows, mean_units(steps), sources)
    trend_section(report, steps, sources)
    accuracy_section(report, metrics_rows, confusion, sources)
    of_map = {part.SECTION: [row for row in map_rows if row["section"] == part.SECTION]
              for part in (applicability, map_agreement, area_comparison, coverage)}
    applicability_section(report, of_map[applicability.SECTION], metrics_rows, applicability_png, sources)
    regional_section(report, of_map[map_agreement.SECTION], zone_rows, steps, sources)
    area_comparison_section(report, of_map[area_comparison.SECTION], sources)
    coverage_section(report, of_map[coverage.SECTION], sources)
    calibration_section(report, calibration_rows, sources)
    selection_section(report, selection_rows, sources)
    importance_section(report, shap_rows, sources)
    station_section(report, station_result, sources)
    _start_section(report, start_rows, sources)
    _comparison_section(report, comparison_rows, sources)
    report.section("Warnings")
    report.warnings(_all_warnings([*warnings, *getattr(station_result, "warnings", ())], steps))
    departure_section(report, steps)
    cite_section(report, steps, citations)
    run_section(report, steps, sources)
    return report


_QUOTE = ("Which of these to quote: for the map near the samples the out-of-bag vote, by area where that is given; "
          "for places away from them the spatial-block cross-validation; each with its interval. The wall-to-wall "
          "lines are agreement with the conceptual index, not with the ground.")


def _summary(area_rows, station_result, metrics_rows, steps):
    """Return the sentences a reader should not miss, each made of the numbers shown further down."""
    sentences = []
    if area_rows:
        total = math.fsum(float(row["area_km2"]) for row in area_rows)
        shares = {tier: math.fsum(float(row["share_percent"]) for row in area_rows
                                  if BY_CODE[int(row["rank"])].tier == tier) for tier in TIERS}
        sentences.append(f"The map covers {total / 1e6:,.2f} million km² of permafrost: {shares['cold']:.1f} % cold, "
                         f"{shares['cool']:.1f} % cool, {shares['warm']:.1f} % warm and {shares['isolated']:.1f} % "
                         f"isolated patches.")
    profiles = sorted({str(step["profile"]) for step in steps if step.get("profile")})
    if profiles:
        sentences.append(f"Profile: {', '.join(profiles)}. Every choice that is not the paper's stands under "
                         f"'Departures from the paper'.")
    accuracies = len(sentences)
    for row in metrics_rows or ():
        if not is_in_sample(row) and row.get("value") is not None:
            interval = interval_text(row)
            line = str(row["line"])
            sentences.append(f"{line[:1].upper()}{line[1:]}: {row['value']:.2f} %"
                             f"{interval and f' (95 % interval {interval} %)'}.")
    if len(sentences) > accuracies + 1:
        sentences.append(_QUOTE)
    if station_result is not None:
        sentences += list(dict.fromkeys([*station_result.sentences[:1], *station_result.sentences[-1:]]))
    return sentences or ["Neither areas, nor an accuracy, nor stations were given for this page."]


def _all_warnings(own, steps):
    """Return the warnings of this run, then those of the steps behind it with their numbers, each once."""
    behind = {}
    for number, step in enumerate(steps, 1):
        for message in step.get("warnings") or ():
            behind.setdefault(message, []).append(number)
    return [*own, *(f"{message} (Step {', '.join(map(str, numbers))})" for message, numbers in behind.items()
                    if message not in own)]


def _map_section(report, map_png, sources):
    report.section("Map")
    if map_png is None:
        report.paragraph("No map was given.")
        return
    report.figure(map_png, "The Permafrost Thaw Index: tiers of mean annual ground temperature (blue cold, green cool, "
                           "yellow to red warm), darker with each positive trend.",
                  "Polar map of the Permafrost Thaw Index ranks with a two-tier legend; the areas are in the table "
                  "that follows.", sources.get("map"))


def _area_section(report, area_rows, sources):
    report.section("Area by rank")
    if not area_rows:
        report.paragraph("No areas were given.")
        return
    rows = [dict(row) for row in area_rows]
    total = {"rank": None, "label": "All ranks", "cells": sum(int(row["cells"]) for row in rows),
             "area_km2": math.fsum(float(row["area_km2"]) for row in rows),
             "share_percent": math.fsum(float(row["share_percent"]) for row in rows)}
    report.table([Column("rank", "Rank", kind=RANK), Column("label", "Meaning"),
                  Column("share_percent", "Share", "%", 2), Column("area_km2", "Area", "km²", 0),
                  Column("cells", "Cells", "", 0)],
                 [dict(row, label=_without_code(row)) for row in rows] + [total], "Area and share of each rank",
                 note="Areas are true areas on the ellipsoid, never counts of cells.", source=sources.get("areas"),
                 total=lambda row: row["rank"] is None)
    report.figure(area_bars(rows), "Area of each rank; the share of all ranks stands at the bar.",
                  "Bars of the area by rank; the numbers are in the table before.", sources.get("areas"))


def _without_code(row):
    code = str(row["rank"])
    label = str(row["label"])
    return label[len(code):].strip() if label.startswith(code) else label


_ZONE_COLUMNS = [
    Column("zone", "Zone", kind=TEXT), Column("area_km2", "Area", "km²", 0),
    Column("pp_area_km2", "PP-weighted area", "km²", 0), Column("cells", "Cells", "", 0),
    Column("first_rank", "First rank", kind=RANK), Column("first_percent", "Share of first", "%", 1),
    Column("second_rank", "Second rank", kind=RANK), Column("second_percent", "Share of second", "%", 1),
    *(Column(f"{tier}_percent", tier.capitalize(), "%", 1) for tier in TIERS),
    Column("polygon_km2", "Polygon area", "km²", 0)]
#: prefix of the columns with means of predictors
_MEAN = "mean_"
#: up to so many zones stand side by side, so that ranks and predictors go down the page
_FEW_ZONES = 5
#: columns of one table with means by many zones
_MOST_MEANS = 7


def _zone_section(report, zone_rows, units, sources):
    """Add areas and top ranks by zone, areas of all ranks by zone, and means of predictors, where they are there."""
    report.section("Zones")
    if not zone_rows:
        report.paragraph("No table of zones was given.")
        return
    source = sources.get("zones")
    # the first row is the whole map
    shown = zone_rows[:1] + [row for row in zone_rows[1:] if row["cells"]]
    if len(shown) < len(zone_rows):
        report.paragraph(f"{len(zone_rows) - len(shown)} of {len(zone_rows) - 1} zones hold no ranked cell; only the "
                         f"file lists them.")
    zone_rows = shown
    columns = _ZONE_COLUMNS[:1] + _known(_ZONE_COLUMNS[1:], zone_rows)
    report.table(columns, zone_rows, "Zones: area, the ranks with most of it, and tiers", source=source,
                 note="Shares are of the zone's ranked area. PP-weighted: every cell counts with its permafrost "
                      "percent.", total=lambda row: row is zone_rows[0])
    areas = _known([Column(f"area_{rank.code}_km2", str(rank.code), "km²", 0) for rank in RANKS], zone_rows)
    means = _known([Column(name, predictor_title(name[len(_MEAN):]), units.get(name[len(_MEAN):], ""))
                    for name in zone_rows[0] if name.startswith(_MEAN)], zone_rows)
    note = "Weighted by area, in the units that the layers had before they were scaled."
    if len(zone_rows) <= _FEW_ZONES:
        zones = [str(plain(row["zone"])) for row in zone_rows]
        if areas:
            report.table([Column("what", "Rank", kind=RANK), *(Column(zone, zone, "km²", 0) for zone in zones)],
                         [{"what": int(column.title), **_of_zones(zones, zone_rows, column.key)} for column in areas],
                         "Area of each rank by zone", source=source)
        if means:
            report.table([Column("what", "Predictor"), Column("unit", "Unit", kind=TEXT),
                          *(Column(zone, zone) for zone in zones)],
                         [{"what": column.title, "unit": column.unit, **_of_zones(zones, zone_rows, column.key)}
                          for column in means], "Means of the predictors by zone", source=source, note=note)
        return
    for caption, columns, below in (("Area of each rank by zone", areas, None),
                                    ("Means of the predictors by zone", means, note)):
        most = _MOST_MEANS if below else len(RANKS)
        for first in range(0, len(columns), most):
            report.table(_ZONE_COLUMNS[:1] + columns[first:first + most], zone_rows, caption, source=source, note=below,
                         total=lambda row: row is zone_rows[0])


def _known(columns, rows):
    """Return those of the columns that any row fills."""
    return [column for column in columns if any(not is_missing(row.get(column.key)) for row in rows)]


def _of_zones(zones, zone_rows, key):
    return {zone: row[key] for zone, row in zip(zones, zone_rows)}


#: section of a comparison → title of its table
_COMPARISON_TITLES = {"summary": "{what}: summary",
                      "transition": "{what}: from rank to rank",
                      "reason": "{what}: reasons of the rank that differ",
                      "runs": "{what}: what the two runs have otherwise",
                      "leave_one_out": "Stability of the ranks: another rank or none without a product",
                      "leave_one_out_changed": "Stability of the ranks: another rank without a product",
                      "leave_one_out_lost": "Stability of the ranks: no rank without a product",
                      "leave_one_out_gained": "Stability of the ranks: a rank only without a product",
                      "stability": "Stability of the ranks: what becomes of the cells"}
_COMPARISON_COLUMNS = [Column("item", "Item", kind=TEXT), Column("from_rank", "From rank", kind=RANK),
                       Column("to_rank", "To rank", kind=RANK), Column("cells", "Cells", "", 0),
                       Column("area_km2", "Area", "km²", 0), Column("share_percent", "Share of the area", "%", 2),
                       Column("cells_percent", "Share of the cells", "%", 2),
                       Column("first", "First map", kind=TEXT), Column("second", "Second map", kind=TEXT)]


def _start_section(report, rows, sources):
    """Add how the index changes with trends from a later year, from the table of the comparison of both maps."""
    if not rows:
        return
    report.section("The index with trends from a later year")
    year = next((row["second"] for row in rows if row["section"] == "runs"
                 and str(row["item"]).endswith("FIRST_YEAR")), None)
    what = f"from {year:g} on" if isinstance(year, float) else "of other years"
    cells, share = (share_of(rows, "different rank", column=column) for column in ("cells", "share_percent"))
    report.paragraph(f"The index rests on the trends of the full series. With the trends {what} instead, "
                     f"{share:.2f} % of the ranked area ({cells:,.0f} cells) has another rank: "
                     f"{share_of(rows, 'higher in second map'):.2f} % a higher one, "
                     f"{share_of(rows, 'lower in second map'):.2f} % a lower one. The product that the trends are "
                     f"taken from may change its input data in between, as Permafrost_CCI does in 2003; where the rank "
                     f"depends on that, it should be quoted with care. The layer of the difference shows where. In "
                     f"the tables the first map has the trends of the full series, the second those {what}.")
    _comparison_tables(report, [row for row in rows if row["section"] != "transition"], "Trends from a later year",
                       sources.get("start_comparison"))


def _comparison_section(report, comparison_rows, sources):
    """Add the comparison of two profiles, a table a section of its table."""
    report.section("Comparison of profiles")
    if not comparison_rows:
        report.paragraph("No comparison of profiles was given.")
        return
    _comparison_tables(report, comparison_rows, "Comparison of the profiles", sources.get("comparison"))


def _comparison_tables(report, comparison_rows, what, source):
    for name in dict.fromkeys(str(row["section"]) for row in comparison_rows):
        rows = [{key: "no rank" if key in ("from_rank", "to_rank") and value == NO_RANK else value
                 for key, value in row.items()} for row in comparison_rows if str(row["section"]) == name]
        report.table(_known(_COMPARISON_COLUMNS, rows), rows,
                     _COMPARISON_TITLES.get(name, "{what}: {name}").format(what=what, name=name), source=source)
