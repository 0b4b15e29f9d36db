"""The page of an accuracy assessment: what was compared, how right the map is, class by class, and the areas.

Its numbers are those of the table that core/assessment/accuracy_assessment.py makes of the same Assessment.
"""

import math

from ..assessment.accuracy_assessment import of_ranks, table_rows
from .figures import area_estimates_plot, confusion_matrix
from .report_page import NUMBER, Column, Report, format_number

#: points that are listed on the page; the table lists all
LISTED = 40
#: inputs that are named below the title
_COMPARED = ("Classified map", "Reference", "Confusion matrix")
#: longest class label and longest count that fit a cell of the figure
_LABEL_LETTERS, _MOST_COUNT = 6, 99_999


def accuracy_page(found, compared, table=None):
    """Return the Report of an Assessment; ``compared``: [(what, text)] of the inputs, ``table``: file of the rows."""
    rows = table_rows(found)
    page = Report("Accuracy assessment", " against ".join(text for what, text in compared if what in _COMPARED))
    page.section("Summary")
    for sentence in found.sentences:
        page.paragraph(sentence)
    design = "none: everything was compared" if found.census else found.design
    page.key_values([*compared, ("Design of the sample", design),
                     (f"{found.comparison.units.capitalize()} compared", f"{int(found.comparison.matrix.sum()):,}"),
                     ("Classes", len(found.comparison.classes))], "What was compared", source=table)
    if found.warnings:
        page.section("Warnings")
        page.warnings(found.warnings)
    _measures(page, found, rows, table)
    _classes(page, found, rows, table)
    _matrix(page, found, table)
    _areas(page, found, rows, table)
    _left_out(page, found, table)
    _method(page, found)
    return page


def _measures(page, found, rows, table):
    page.section("Accuracy of the map")
    page.table([Column("line", "Measure"), Column("value", "Value", "", kind=NUMBER),
                *([] if found.census else [Column("interval", "95 % interval", "", kind=NUMBER)]),
                Column("n", "n", "", 0), Column("meaning", "What it says")],
               [dict(row, value=_written(row["value"], row["unit"]), interval=_interval(row, row["unit"]))
                for row in rows if row["section"] in ("accuracy", "agreement")], "Measures of the whole map",
               source=table)


def _classes(page, found, rows, table):
    page.section("Class by class")
    weighted = found.estimates is not None
    mark = " (area-weighted)" if weighted else ""
    by_line = {row["line"]: row for row in rows if row["section"] == "class"}
    shown = []
    for label in found.labels:
        entry = {"class": label}
        for measure in ("precision", "recall", "f1"):
            row = by_line.get(f"{measure} of {label}{mark}", {})
            entry[measure] = row.get("value")
            entry[f"{measure}_interval"] = _interval(row, "%")
            entry[f"{measure}_n"] = row.get("n")
        shown.append(entry)
    columns = [Column("class", "Class")]
    for measure, title in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")):
        columns.append(Column(measure, title, "%", 2, NUMBER))
        if not found.census:
            columns.append(Column(f"{measure}_interval", "95 % interval", "%", kind=NUMBER))
            if measure != "f1":
                columns.append(Column(f"{measure}_n", "n", "", 0, NUMBER))
    page.table(columns, shown, f"Precision, recall and F1 by class{mark}", source=table,
               note="Precision is the user's accuracy: of what is classified so, how much is. Recall is the "
                    "producer's accuracy: of what is so, how much is classified so."
                    + (" The same from the plain counts is in the table." if weighted else ""))


def _matrix(page, found, table):
    page.section("Confusion matrix")
    labels = [str(code) for code in found.comparison.classes]
    key = ""
    if max(map(len, labels)) > _LABEL_LETTERS:
        labels = [str(number) for number in range(1, len(labels) + 1)]
        key = f" Classes: {'; '.join(f'{number} {name}' for number, name in zip(labels, found.labels))}."
    elif not of_ranks(found.comparison.classes) and found.names:
        key = f" Classes: {'; '.join(f'{code} {found.names.get(code, code)}' for code in found.comparison.classes)}."
    matrix, what = found.comparison.matrix, f"Numbers: {found.comparison.units}."
    if found.census or matrix.max() > _MOST_COUNT:
        shares = found.estimates.shares if found.census else matrix / matrix.sum()
        matrix, what = 100 * shares, f"Numbers: % of the {'area' if found.census else 'cases'} compared."
    page.figure(confusion_matrix(matrix, labels),
                f"Confusion matrix: rows are what the map says, columns what the reference says. {what}{key}",
                "Confusion matrix with a number in each cell; the counts are in the file named below.", table)


def _areas(page, found, rows, table):
    by_line = {row["line"]: row for row in rows if row["section"] == "area"}
    if not by_line:
        return
    page.section("Areas")
    told = "reference" if found.census else "estimated"
    unit = found.comparison.size_unit or "units"
    shown, drawn, total = [], [], found.estimates.total
    for label in found.labels:
        mapped, row = by_line.get(f"mapped area of {label}", {}), by_line[f"{told} area of {label}"]
        drawn.append({"label": label, "mapped": mapped.get("value"), "area": row["value"], "low": row["low"],
                      "high": row["high"]})
        shown.append({"class": label, "mapped": _area(mapped.get("value")), "area": _area(row["value"]),
                      "interval": "" if row["low"] is None else f"{_area(row['low'])} to {_area(row['high'])}",
                      "share": 100 * row["value"] / total})
    columns = [Column("class", "Class"), Column("mapped", "Mapped", unit, kind=NUMBER),
               Column("area", told.capitalize(), unit, kind=NUMBER)]
    if not found.census:
        columns.append(Column("interval", "95 % interval", unit, kind=NUMBER))
    page.table([*columns, Column("share", "Share of the whole", "%", 2)], shown,
               "Area of each class by the map and by the reference" if found.census else
               "Area of each class by the map, and as the sample corrects it", source=table,
               note="The difference between the two columns is the map's bias." if found.census else
                    "A map counts its errors into its areas; the estimated area is what the reference says of the "
                    "whole map. Where the mapped area lies outside the interval, the map is biased.")
    page.figure(area_estimates_plot(drawn, unit),
                "Area of each class: bars are what the map says, dots what the reference says"
                + ("." if found.census else " of the whole map, with 95 % intervals."),
                "Bars of mapped area with dots of the area by the reference; the numbers are in the table before.",
                table)


def _left_out(page, found, table):
    left_out = found.comparison.left_out
    if not left_out:
        return
    page.section("Not compared")
    page.table([Column("what", "What"), Column("number", "Number", "", 0), Column("why", "Why")],
               [dict(zip(("what", "number", "why"), item)) for item in left_out[:LISTED]],
               "What could not be compared, and why", source=table,
               note=f"{len(left_out) - LISTED} more are in the table." if len(left_out) > LISTED else None)


def _method(page, found):
    page.section("How it was computed")
    if found.census:
        page.paragraph("Shares by area use the true ground area of every cell, never counts of cells alone.")
        return
    page.paragraph("Intervals of plain counts are Wilson's, that of kappa is by its large-sample variance (Fleiss, "
                   "Cohen and Everitt 1969).")
    if found.estimates is not None:
        page.paragraph("Area-weighted figures are stratified estimates with 1.96 standard errors to either side; the "
                       "samples are taken as drawn evenly over the area of each stratum. "
                       "Olofsson, P. et al.: Good practices for estimating area and assessing accuracy of land "
                       "change, Remote Sensing of Environment 148, 42–57, 2014, https://doi.org/10.1016/j.rse.2014.02."
                       "015; where strata are not the map classes, Stehman, S. V.: Estimating area and map accuracy "
                       "for stratified random sampling when the strata are different from the map classes, "
                       "International Journal of Remote Sensing 35, 4923–4939, 2014, "
                       "https://doi.org/10.1080/01431161.2014.930207")


def _written(value, unit):
    if not math.isfinite(value):
        return ""
    return f"{value:.2f} %" if unit == "%" else f"{value:.3f}".replace("-", "\u2212")


def _interval(row, unit):
    if row.get("low") is None or row.get("high") is None:
        return ""
    places = 2 if unit == "%" else 3
    return f"{row['low']:.{places}f} to {row['high']:.{places}f}".replace("-", "\u2212")


def _area(value):
    return "" if value is None else format_number(float(value), 0 if value >= 1000 else None)
