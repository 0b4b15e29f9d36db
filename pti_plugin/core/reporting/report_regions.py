"""The sections of the report about where the map holds: area of applicability, agreement by latitude and by zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..mapping import applicability, map_agreement
from .report_model import interval_text
from .report_page import RANK, TEXT, Column, Report, is_missing, plain


def applicability_section(report: Report, rows: Iterable[Mapping], metrics_rows: Iterable[Mapping] | None,
                          map_png: bytes | None, sources: Mapping) -> None:
    """Add the area of applicability: which accuracy holds inside, its map, and what lies outside by rank.

    ``rows``: the section of the metrics table; ``metrics_rows``: the accuracy panel; ``map_png``: the map, or None.
    """
    report.section("Area of applicability")
    lines = _by_place(rows)
    if not lines and map_png is None:
        report.paragraph("No area of applicability was given, so where the map is unlike anything the model has seen "
                         "is not told.")
        return
    report.paragraph(_which_accuracy(metrics_rows or ()))
    threshold = lines.pop(applicability.THRESHOLD, None)
    if threshold:
        report.paragraph(f"A cell is outside where its predictors are more dissimilar from all training points than "
                         f"training points are across the blocks: above a dissimilarity index of "
                         f"{threshold['']['value']:.3g}.")
    if lines:
        _reach_table(report, lines, sources)
    if map_png is not None:
        report.figure(map_png, "The area of applicability of the predicted map.",
                      "Polar map of what lies inside and outside the area of applicability"
                      + ("; the areas are in the table before." if lines else "."), sources.get("applicability"))


def _reach_table(report, lines, sources):
    shown = []
    for place, found in lines.items():
        inside, outside, share = (found[name] for name in (applicability.INSIDE, applicability.OUTSIDE,
                                                           applicability.SHARE))
        shown.append({"rank": int(place.split()[-1]) if place != applicability.ALL_RANKS else "All ranks",
                      "inside": inside["value"], "inside_cells": inside["n"], "outside": outside["value"],
                      "outside_cells": outside["n"], "share": share["value"]})
    shown.append(shown.pop(0))
    report.table([Column("rank", "Rank", kind=RANK), Column("share", "Share outside", "%", 2),
                  Column("outside", "Outside", "km²", 0), Column("outside_cells", "Cells outside", "", 0),
                  Column("inside", "Inside", "km²", 0), Column("inside_cells", "Cells inside", "", 0)], shown,
                 "Area of applicability by rank of the predicted map", source=sources.get("metrics"),
                 note="Shares are of the area.", total=lambda row: row is shown[-1])


def _which_accuracy(panel):
    """Return the sentence that says which line of the accuracy panel holds inside, and that none is known outside."""
    blocks, vote = (next((row for row in panel if str(row["line"]).startswith(start)
                          and not is_missing(row.get("value"))), None)
                    for start in ("spatial-block cross-validation", "out-of-bag vote"))
    rule = "The limit comes from the folds of the spatial-block cross-validation, so inside the area of applicability "
    outside = "; outside it no accuracy is known."
    if blocks is None:
        return f"{rule}the accuracy of that cross-validation holds, which was not given here{outside}"
    interval = interval_text(blocks)
    figure = f"{blocks['value']:.2f} %" + (f", 95 % interval {interval} %" if interval else "")
    headline = f", and not the {vote['value']:.2f} % of the out-of-bag vote" if vote else ""
    return f"{rule}its accuracy holds ({figure}){headline}{outside}"


def regional_section(report: Report, rows: Iterable[Mapping], zone_rows: Iterable[Mapping] | None,
                     steps: Iterable[Mapping], sources: Mapping) -> None:
    """Add the agreement of the map with the index by band of latitude and by zone.

    ``rows``: the section of the metrics table; ``zone_rows``: the table of the zone tool; ``steps``: provenance
    records, of which that of the zone tool says what cells it compared.
    """
    report.section("Agreement with the conceptual index by latitude and by zone")
    bands = [{"what": place.split(" ", 1)[1].replace(map_agreement.ALL, "All latitudes"),
              "cells": found[map_agreement.COMPARED]["n"], "area": found[map_agreement.COMPARED]["value"],
              "same": found[map_agreement.SAME]["value"], "near": found[map_agreement.NEAR]["value"],
              "meaning": found[map_agreement.SAME]["meaning"]} for place, found in _by_place(rows).items()]
    zones = [{"what": row["zone"], "cells": row["compared_cells"], "area": row["compared_km2"],
              "same": row["agreement_percent"], "near": row["within_one_percent"]}
             for row in zone_rows or () if not is_missing(row.get("compared_cells")) and row["compared_cells"]]
    if not bands and not zones:
        report.paragraph("No agreement with the conceptual index by latitude or by zone was given.")
        return
    report.paragraph("One figure for the whole map hides where it is better and where it is worse. All cells are "
                     "counted, so there are no intervals; the figures say how well the map stands for the index, not "
                     "how right the index is.")
    for title, shown, given, note in (
            ("Latitude", bands, "metrics", bands[0]["meaning"] if bands else ""),
            ("Zone", zones, "zones", f"Map and index have the same rank, on all cells with a rank in both"
                                     f"{_distance(steps)}, weighted by area.")):
        if not shown:
            continue
        told = sorted(shown[1:], key=lambda row: row["same"])
        if len(told) > 1:
            report.paragraph(f"By {title.lower()} the agreement runs from {told[0]['same']:.1f} % "
                             f"({plain(told[0]['what'])}) to {told[-1]['same']:.1f} % ({plain(told[-1]['what'])}).")
        report.table([Column("what", title, kind=TEXT), Column("cells", "Cells", "", 0),
                      Column("area", "Area", "km²", 0), Column("same", "Same rank", "%", 1),
                      Column("near", "Within one rank", "%", 1)], shown,
                     f"Agreement with the conceptual index by {title.lower()}", source=sources.get(given), note=note,
                     total=lambda row, first=shown[0]: row is first)


def _distance(steps):
    """Return how far from training points the cells lie that the zone tool compared, '' where no record says it."""
    stated = next((step.get("parameters") or {} for step in steps if step.get("tool") == "summarizezones"), {})
    if is_missing(stated.get("REFERENCE")):
        return ""
    if is_missing(stated.get("MODEL")):
        return ", near training points too"
    return f" that lie {stated['BUFFER_KM']:g} km or more from the training points"


def _by_place(rows):
    """Return {place: {what: row}} of rows whose lines are "what: place", or "what" alone, which has the place ''."""
    found = {}
    for row in rows:
        what, _, place = str(row["line"]).partition(": ")
        found.setdefault(place or what, {})[what if place else ""] = row
    return found
