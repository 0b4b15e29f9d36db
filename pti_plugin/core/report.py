"""One offline HTML page that tells what was run, what came out and how far to trust it.

The page holds its figures and styles itself, needs no network and no script, reads on a telephone and in print, and
names beside every table and figure the file its numbers come from.
"""

import base64
import html
import math
import numbers
import os
import re
import struct
from collections import namedtuple

from .accuracy_panel import PAPER
from .errors import InputError
from .figures import (
    accuracy_panel_plot,
    area_bars,
    calibration_plot,
    confusion_matrix,
    is_in_sample,
    rfecv_curve,
    shap_bars,
    station_scatter,
    text_colour_on,
)
from .ranks import BY_CODE, TIERS
from .staging import Staging

#: how a column is written
NUMBER, TEXT, RANK, YEAR = "number", "text", "rank", "year"
MISSING = "\u2013"

Column = namedtuple("Column", "key title unit decimals kind", defaults=("", None, None))
Column.__doc__ = """A column: key in the rows, title, unit, decimals (None: by size), kind (None: by its values)."""

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f262c;--muted:#5b6670;--line:#d5dbe0;--soft:#f3f6f8;
--link:#0b5394;--warn:#fff4dc;--warn-edge:#c77700}
@media (prefers-color-scheme:dark){:root{--paper:#14191d;--ink:#e4e9ed;--muted:#9fabb5;--line:#36414a;--soft:#1c2329;
--link:#8bbcf0;--warn:#33290f;--warn-edge:#e0a030}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",
Arial,"DejaVu Sans",sans-serif}
.page{max-width:58rem;margin:0 auto;padding:1.5rem 1.1rem 4rem;overflow-wrap:break-word}
h1{font-size:1.9rem;line-height:1.2;margin:.5rem 0 .3rem}
h2{font-size:1.35rem;line-height:1.25;margin:2.8rem 0 .8rem;padding-top:.8rem;border-top:1px solid var(--line)}
p{margin:.7rem 0;max-width:44rem}
a{color:var(--link)}
.subtitle{color:var(--muted);font-size:1.05rem;margin-top:0}
nav{margin:1.4rem 0;padding:.8rem 1.1rem;background:var(--soft);border-radius:.5rem}
nav ol{margin:.3rem 0;padding-left:1.3rem;columns:17rem;column-gap:2rem}
nav li{padding:.12rem 0}
figure{margin:1.4rem 0}
figcaption{color:var(--muted);font-size:.92rem;line-height:1.45;max-width:46rem}
figcaption b{color:var(--ink)}
.picture .card{background:#fff;border:1px solid var(--line);border-radius:.5rem;padding:.5rem;text-align:center}
.picture img{display:block;max-width:min(100%,42rem);height:auto;margin:0 auto}
.picture.tall img{max-width:100%}
.picture figcaption{margin-top:.5rem}
.numbers figcaption{margin-bottom:.45rem}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%;font-size:.92rem;line-height:1.4}
th,td{padding:.4rem .65rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody tr:last-child th,tbody tr:last-child td{border-bottom:0}
thead th{background:var(--soft);vertical-align:bottom;font-weight:600}
tbody th{font-weight:400}
.mid,.long{overflow-wrap:anywhere}
.mid{min-width:9rem}
.long{min-width:15rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.unit{display:block;color:var(--muted);font-weight:400;white-space:nowrap}
.total th,.total td{font-weight:600;border-top:2px solid var(--line)}
.muted th,.muted td{color:var(--muted);font-style:italic;background:var(--soft)}
.swatch{display:inline-block;min-width:2.3em;padding:0 .35em;margin-right:.15em;border:1px solid #0006;
border-radius:.25em;text-align:center;font-weight:600;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.code{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.85em;word-break:break-all}
.scroll .code{display:inline-block;min-width:11rem}
.note{color:var(--muted);font-size:.88rem;margin:.4rem 0 0}
.warnings{margin:1rem 0;padding:.7rem 1.1rem;background:var(--warn);border-left:.3rem solid var(--warn-edge);
border-radius:.3rem}
.warnings ul{margin:.2rem 0;padding-left:1.2rem}
details{margin:1.2rem 0 0}
summary{cursor:pointer;font-weight:600;padding:.5rem .8rem;background:var(--soft);border-radius:.4rem}
.folded{padding:.1rem 0 0 .8rem;border-left:.2rem solid var(--line)}
@media screen{details:not([open])+.folded{display:none}}
@media (max-width:32rem){.page{padding:1rem .8rem 3rem}h1{font-size:1.5rem}h2{font-size:1.2rem}
th,td{padding:.35rem .5rem}.picture .card{padding:.15rem}}
@page{size:A4;margin:16mm 14mm}
@media print{:root{--paper:#fff;--ink:#000;--muted:#444;--line:#bbb;--soft:#f2f2f2;--link:#000;--warn:#fff;
--warn-edge:#888}
body{font-size:10pt}.page{max-width:none;padding:0}nav ol{columns:2}
h2{break-after:avoid}tr,.picture,.warnings,li{break-inside:avoid}thead{display:table-header-group}
.numbers figcaption{break-after:avoid}.picture img{max-height:95mm;width:auto}
.picture.tall img{max-height:205mm}.mid,.long{min-width:0}
.scroll{overflow:visible;border:0}table{font-size:8.5pt}th,td{padding:2pt 4pt}.scroll .code{min-width:0}
details{break-after:avoid}summary{list-style:none;padding:0;background:none}}
"""


class Report:
    """A page built from top to bottom: call the parts in reading order, then ``write`` it. All text is escaped."""

    def __init__(self, title, subtitle=""):
        self._title, self._subtitle = str(title), str(subtitle)
        self._parts, self._contents = [], []
        self._tables = self._figures = 0

    def section(self, title, anchor=None):
        """Begin a section and list it in the table of contents; ``anchor`` is made of the title where not given."""
        stem = re.sub(r"[^a-z0-9]+", "-", (anchor or title).lower()).strip("-") or "section"
        taken = {name for name, _ in self._contents}
        name = next(name for name in [stem] + [f"{stem}-{n}" for n in range(2, len(taken) + 3)] if name not in taken)
        self._contents.append((name, str(title)))
        self._parts.append(f'<h2 id="{name}">{_text(title)}</h2>')

    def paragraph(self, text):
        """Add a paragraph; web addresses in it become links."""
        self._parts.append(f"<p>{_linked(text)}</p>")

    def table(self, columns, rows, caption, note=None, source=None, muted=None, total=None):
        """Add a table with a numbered caption.

        ``columns``: Columns or plain titles; ``rows``: mappings by column key, or sequences in column order;
        ``source``: the file the numbers come from; ``muted`` and ``total``: functions of a row that say whether it
        is set back, or is a sum. Numbers stand to the right with thousands separated, missing values as a dash.
        """
        columns = [column if isinstance(column, Column) else Column(column, column) for column in columns]
        rows = list(rows)
        cells = [[row.get(column.key) for column in columns] if hasattr(row, "get") else list(row) for row in rows]
        short = next((row for row in cells if len(row) != len(columns)), None)
        if short is not None:
            raise InputError(f"A row of the table '{caption}' has {len(short)} values for {len(columns)} columns.")
        kinds = [column.kind or _kind([row[i] for row in cells]) for i, column in enumerate(columns)]
        head = "".join(_head_cell(column, kind) for column, kind in zip(columns, kinds))
        body = []
        for row, values in zip(rows, cells):
            marks = [name for name, test in (("muted", muted), ("total", total)) if test is not None and test(row)]
            mark = f' class="{" ".join(marks)}"' if marks else ""
            body.append(f"<tr{mark}>" + "".join(
                _cell(value, column, kind, first=place == 0)
                for place, (value, column, kind) in enumerate(zip(values, columns, kinds))) + "</tr>")
        self._parts.append(self._boxed(f"<thead><tr>{head}</tr></thead>", "".join(body), caption,
                                       _note(note) + _source(source)))

    def _boxed(self, head, body, caption, below):
        """Return a numbered table that scrolls inside its own box where the page is narrower."""
        self._tables += 1
        return (f'<figure class="numbers"><figcaption><b>Table {self._tables}.</b> {_text(caption)}</figcaption>'
                f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}"><table>{head}'
                f"<tbody>{body}</tbody></table></div>{below}</figure>")

    def figure(self, png_bytes, caption, alt, source=None):
        """Add a picture with a numbered caption; ``alt`` says in words what it shows."""
        self._figures += 1
        picture = base64.b64encode(png_bytes).decode("ascii")
        width, height = struct.unpack(">II", png_bytes[16:24])
        self._parts.append(
            f'<figure class="picture{" tall" if height > 1.2 * width else ""}"><div class="card">'
            f'<img src="data:image/png;base64,{picture}" width="{width}" height="{height}" '
            f'alt="{_text(alt)}"></div><figcaption><b>Figure {self._figures}.</b> {_text(caption)}</figcaption>'
            f"{_source(source)}</figure>")

    def warnings(self, messages):
        """Add warnings as a marked list; says so where there are none."""
        messages = list(dict.fromkeys(str(message) for message in messages))
        if not messages:
            self.paragraph("The run gave no warnings.")
            return
        items = "".join(f"<li>{_linked(message)}</li>" for message in messages)
        self._parts.append(f'<div class="warnings" role="note"><ul>{items}</ul></div>')

    def key_values(self, pairs, caption, source=None):
        """Add a table of two columns, name and value."""
        body = "".join(f'<tr><th scope="row" class="mid">{_text(name)}</th><td>{_linked(_plain(value))}</td></tr>'
                       for name, value in pairs)
        self._parts.append(self._boxed("", body, caption, _source(source)))

    def record(self, provenance, source=None):
        """Add a provenance record (see core/provenance.py), folded on the screen and open in print."""
        tool = provenance.get("tool", "run")
        version = provenance.get("plugin_version")
        summary = f"{tool}, profile {provenance['profile']}" if provenance.get("profile") else f"{tool}"
        self._parts.append(f'<details><summary>{_text(summary)}</summary></details><div class="folded">')
        pairs = [("Tool", tool), ("Plugin", " ".join(filter(None, (provenance.get("plugin"), version)))),
                 ("Profile", provenance.get("profile")), ("Finished", provenance.get("finished")),
                 ("Seed", provenance.get("seed"))]
        pairs += [(f"Version of {name}", value) for name, value in (provenance.get("versions") or {}).items()]
        self.key_values([(name, value) for name, value in pairs if value not in (None, "")],
                        f"What was run: {tool}", source=source)
        if provenance.get("parameters"):
            self.key_values(provenance["parameters"].items(), f"Parameters of {tool}")
        if provenance.get("inputs"):
            self.table([Column("role", "Role"), Column("file", "File"), Column("size_bytes", "Size", "bytes", 0),
                        Column("sha256", "SHA-256")],
                       [dict(entry, file=_file_name(entry.get("path", ""))) for entry in provenance["inputs"]],
                       f"Inputs of {tool}", note="Full paths are in the record's own file.")
        if provenance.get("results"):
            self.key_values(_flat(provenance["results"]), f"Results kept in the record of {tool}")
        self._parts.append("</div>")

    def how_to_cite(self, version=None, products=()):
        """Add the section on what to cite: the paper, its data, this plugin, and each input product used."""
        self.section("How to cite")
        self.paragraph("The method: Guo, D., Wang, C. and Zang, S.: An Ensemble Dataset of Permafrost Thaw Conditions "
                       "for Northern High Latitudes Using Open Satellite Data, 2026. Its published data: "
                       "https://doi.org/10.5281/zenodo.19148960")
        named = f"Permafrost Thaw Index (PTI), QGIS plugin{f', version {version}' if version else ''}"
        self.paragraph(f"The software: {named}. Say which profile was used and how it departs from the paper.")
        self.paragraph("The products: this map is made of other people's data, each with its own licence and "
                       "citation. Cite every product listed under 'What was run'"
                       + (f": {'; '.join(map(str, products))}." if products else "."))

    def to_html(self):
        """Return the whole page as text."""
        contents = "".join(f'<li><a href="#{name}">{_text(title)}</a></li>' for name, title in self._contents)
        navigation = f'<nav aria-label="Contents"><b>Contents</b><ol>{contents}</ol></nav>' if contents else ""
        subtitle = f'<p class="subtitle">{_text(self._subtitle)}</p>' if self._subtitle else ""
        body = "\n".join(self._parts)
        return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
                "style-src 'unsafe-inline'\">"
                f"<title>{_text(self._title)}</title><style>{_STYLE}</style></head>\n"
                f'<body><main class="page"><h1>{_text(self._title)}</h1>{subtitle}\n{navigation}\n{body}\n'
                "</main></body></html>\n")

    def write(self, path, staging=None):
        """Write the page, all or nothing, with the other outputs of ``staging`` where given; raises OutputError."""
        if staging is not None:
            staging.write_text(path, self.to_html())
            return
        with Staging() as own:
            own.write_text(path, self.to_html())
            own.commit()


def validation_report(path, *, map_png=None, area_rows=None, station_result=None, metrics_rows=None, shap_rows=None,
                      confusion=None, calibration_rows=None, selection_rows=None, records=(), warnings=(), notes=(),
                      title="Permafrost Thaw Index", subtitle="Validation report", sources=None, products=(),
                      staging=None):
    """Write the report of a run of the chain; a part whose input is None says in a sentence that it was not given.

    ``area_rows``: mappings rank, label, cells, area_km2, share_percent. ``station_result``: a
    ValidationResult of core/validation.py. ``metrics_rows``: mappings line, value, low, high, n,
    meaning (value, low, high in %). ``shap_rows``: mappings name, group, shap, gain. ``confusion``: (labels,
    matrix), rows classified. ``calibration_rows``: mappings line, value, low, high, n, expected (value, low, high,
    expected in %). ``selection_rows``: mappings features, mean_accuracy, sd_accuracy (in %), dropped_next, chosen,
    source, those of the paper marked "paper" there. ``records``: provenance records. ``sources``: {map, areas,
    stations, metrics, shap, confusion, selection: file name} named beside the numbers. Raises OutputError where the
    page cannot be written.
    """
    sources = {key: _file_name(value) for key, value in (sources or {}).items() if value}
    records = list(records)
    report = Report(title, subtitle)
    report.section("Summary")
    for sentence in _summary(area_rows, station_result, metrics_rows):
        report.paragraph(sentence)
    for note in notes:
        report.paragraph(note)
    _map_section(report, map_png, sources)
    _area_section(report, area_rows, sources)
    _accuracy_section(report, metrics_rows, confusion, sources)
    _calibration_section(report, calibration_rows, sources)
    _selection_section(report, selection_rows, sources)
    _importance_section(report, shap_rows, sources)
    _station_section(report, station_result, sources)
    report.section("Warnings")
    report.warnings([*warnings, *getattr(station_result, "warnings", ()),
                     *(message for record in records for message in record.get("warnings") or ())])
    _departure_section(report, records)
    report.section("What was run")
    if not records:
        report.paragraph("No provenance record was given, so this page cannot say which inputs and parameters stand "
                         "behind it.")
    for record in records:
        report.record(record)
    report.how_to_cite(next((record["plugin_version"] for record in records if record.get("plugin_version")), None),
                       products)
    report.write(path, staging)


# ---- the sections of the validation report --------------------------------------------------------------------------

def _summary(area_rows, station_result, metrics_rows):
    """Return the sentences a reader should not miss, each made of the numbers shown further down."""
    sentences = []
    if area_rows:
        total = math.fsum(float(row["area_km2"]) for row in area_rows)
        shares = {tier: math.fsum(float(row["share_percent"]) for row in area_rows
                                  if BY_CODE[int(row["rank"])].tier == tier) for tier in TIERS}
        sentences.append(f"The map covers {total / 1e6:,.2f} million km² of permafrost: {shares['cold']:.1f} % cold, "
                         f"{shares['cool']:.1f} % cool, {shares['warm']:.1f} % warm and {shares['isolated']:.1f} % "
                         f"isolated patches.")
    for row in metrics_rows or ():
        if not is_in_sample(row) and row.get("value") is not None:
            interval = _interval(row)
            sentences.append(f"{row['line']}: {row['value']:.2f} %{interval and f' (95 % interval {interval} %)'}.")
    if station_result is not None:
        sentences += list(dict.fromkeys([*station_result.sentences[:1], *station_result.sentences[-1:]]))
    return sentences or ["Neither areas, nor an accuracy, nor stations were given for this page."]


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


def _accuracy_section(report, metrics_rows, confusion, sources):
    report.section("Accuracy of the learned map")
    if not metrics_rows and confusion is None:
        report.paragraph("No accuracy was given: either no model was trained, or its metrics were not passed on.")
        return
    if metrics_rows:
        report.paragraph("Each line answers another question; none alone is the accuracy of the map. A model that is "
                         "asked about the points it was trained on looks better than it is, and so does one that is "
                         "tested on close neighbours of them.")
        report.table([Column("line", "Measure"), Column("value", "Value", "%", 2),
                      Column("interval", "95 % interval", "%", kind=NUMBER), Column("n", "n", "", 0),
                      Column("meaning", "What it says")],
                     [dict(row, interval=_interval(row)) for row in metrics_rows], "Accuracy panel",
                     source=sources.get("metrics"), muted=is_in_sample,
                     note="Lines in italics on grey are in-sample: shown for comparison, not an accuracy.")
        drawn = [row for row in metrics_rows if not _is_missing(row.get("value"))]
        if drawn:
            report.figure(accuracy_panel_plot(drawn),
                          "The lines of the panel side by side; hollow and grey: in-sample, not an accuracy.",
                          "Dots with intervals for every line of the panel; the numbers are in the table before.",
                          sources.get("metrics"))
    if confusion is not None:
        labels, matrix = confusion
        report.figure(confusion_matrix(matrix, labels),
                      "Confusion matrix: rows are what the map says, columns what the reference says.",
                      "Confusion matrix with its counts; the numbers are in the file named below.",
                      sources.get("confusion"))


def _calibration_section(report, calibration_rows, sources):
    if not calibration_rows:
        return
    report.section("How far to trust its probabilities")
    report.paragraph("Points are gathered by how probable the ensemble holds the class it votes for, asking only runs "
                     "that did not train on them. A probability can be believed where as many of its points are right "
                     "as it promises.")
    report.table([Column("line", "Bin"), Column("expected", "Promised", "%", 1), Column("value", "Right", "%", 1),
                  Column("interval", "95 % interval", "%", kind=NUMBER), Column("n", "n", "", 0)],
                 [dict(row, interval=_interval(row)) for row in calibration_rows], "Calibration",
                 source=sources.get("metrics"))
    report.figure(calibration_plot(calibration_rows),
                  "Share of points that are right against the mean probability of the class voted for, with 95 % "
                  "intervals; the bars below count the points.",
                  "Dots along a diagonal, with bars of the numbers of points below; the numbers are in the table "
                  "before.", sources.get("metrics"))


def _selection_section(report, selection_rows, sources):
    if not selection_rows:
        return
    report.section("How many predictors are worth having")
    ours = [row for row in selection_rows if row.get("source") != PAPER]
    paper = next((row for row in selection_rows if row.get("source") == PAPER), None)
    chosen = next(row for row in ours if row["chosen"])
    sentence = (f"Recursive feature elimination keeps {chosen['features']:g} predictors, with a cross-validated "
                f"accuracy of {chosen['mean_accuracy']:.2f} %.")
    if paper is not None:
        sentence += f" The paper kept {paper['features']:g}, with {paper['mean_accuracy']:g} %."
    report.paragraph(sentence + " The accuracy that chose the predictors is no test of the model: the accuracy panel "
                                "is.")
    report.table([Column("features", "Predictors", "", 0), Column("mean_accuracy", "Accuracy", "%", 2),
                  Column("sd_accuracy", "Standard deviation", "points", 2), Column("dropped_next", "Dropped next"),
                  Column("mark", "Note", "", None, TEXT)],
                 [dict(row, mark=_selection_mark(row)) for row in selection_rows], "Elimination of the predictors",
                 source=sources.get("selection"), muted=lambda row: row.get("source") == PAPER,
                 total=lambda row: row.get("source") != PAPER and row["chosen"],
                 note="The standard deviation is that among the folds, in percentage points.")
    report.figure(rfecv_curve(ours, paper),
                  "Cross-validated accuracy against the number of predictors left; ring: chosen"
                  + ("." if paper is None else ", diamond: the paper."),
                  "Curve of accuracy by number of predictors; the numbers are in the table before.",
                  sources.get("selection"))


def _selection_mark(row):
    return "the paper" if row.get("source") == PAPER else "chosen" if row["chosen"] else ""


def _importance_section(report, shap_rows, sources):
    report.section("What the model looks at")
    if not shap_rows:
        report.paragraph("No predictor importance was given.")
        return
    rows = sorted(shap_rows, key=lambda row: -row["shap"])
    gains = [row.get("gain") for row in rows]
    gains = None if any(gain is None for gain in gains) else gains
    columns = [Column("name", "Predictor"), Column("group", "Group"), Column("shap", "Mean |SHAP|", "", 4)]
    report.table(columns + ([] if gains is None else [Column("gain", "Gain", "", 4)]), rows,
                 "Importance of the predictors, largest first", source=sources.get("shap"),
                 note="Several products that the index is made of were themselves derived from predictors in this "
                      "list (Permafrost_CCI from MODIS land surface temperature and LandCover_CCI); their importance "
                      "is partly built in.")
    report.figure(shap_bars([row["name"] for row in rows], [row["group"] for row in rows],
                            [row["shap"] for row in rows], gains),
                  "Importance of the predictors, coloured by group.",
                  "Bars of predictor importance; the numbers are in the table before.", sources.get("shap"))


def _station_section(report, result, sources):
    report.section("Stations")
    if result is None:
        report.paragraph("No stations were given, so the map was not compared with measurements on the ground.")
        return
    for sentence in result.sentences:
        report.paragraph(sentence)
    source = sources.get("stations")
    if result.summary:
        report.key_values([(_SUMMARY_NAMES.get(name, name.replace("_", " ")), _summary_text(value))
                           for name, value in result.summary.items() if value not in (None, "")],
                          "Summary of the comparison", source=source)
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
        noted = any(row["note"] for row in compared)
        report.table([column for column in _STATION_COLUMNS if noted or column.key != "note"],
                     [_station_row(row) for row in compared],
                     "Stations compared, largest misses first", source=source,
                     note="Difference: map less station, in places of the order of ranks; above 0 the map says more "
                          "vulnerable.")
    others = [row for row in result.rows if row["site_magt"] and row["site_alt"]
              and not (row["site_rank"] and row["map_rank"])]
    if others:
        report.table(_UNRANKED_COLUMNS, [_station_row(row) for row in others],
                     "Pairs that could not be compared by rank, and why", source=source)
    alone = len(result.rows) - len(compared) - len(others)
    if alone:
        report.paragraph(f"{alone} further site(s) found no partner for a rank; the file lists each with the reason.")


_STATION_COLUMNS = [
    Column("station", "Station"), Column("site_rank", "Station rank", kind=RANK),
    Column("map_rank", "Map rank", kind=RANK), Column("rank_diff", "Difference", "ranks", 0),
    Column("magt", "MAGT", "°C", 2), Column("years", "Years", "MAGT, ALT", kind=NUMBER),
    Column("partner", "Thaw-depth site"), Column("pair_km", "Distance", "km", 1), Column("note", "Note")]
#: pairs without a rank of their own show neither it nor a difference
_UNRANKED_COLUMNS = [column for key in ("station", "note", "map_rank", "magt", "years", "partner")
                     for column in _STATION_COLUMNS if column.key == key]

_SUMMARY_NAMES = {
    "profile": "Profile", "max_distance_km": "Largest distance of a pair (km)", "alpha": "Level of significance",
    "magt_sites": "Temperature sites", "alt_sites": "Thaw-depth sites", "paired": "Pairs", "off_map": "Off the map",
    "no_data": "On a cell without a rank", "from_neighbour": "Map rank from a neighbouring cell",
    "too_warm": "Above the MAGT limit", "not_testable": "Pairs with a trend that is not testable",
    "compared": "Compared by rank", "exact": "Exact rank", "within_one": "Within one rank", "tier": "Same tier",
    "map_isolated": "Map has rank 40", "map_isolated_compared": "Of these compared by rank",
    "spearman": "Spearman's r", "kendall": "Kendall's tau", "correlation_note": "Correlation"}


def _station_row(row):
    names = {kind: row[f"name_{kind}"] or row[f"site_{kind}"] for kind in ("magt", "alt")}
    return dict(row, station=names["magt"], partner=names["alt"], years=f"{row['magt_n']},\u00a0{row['alt_n']}")


def _summary_text(value):
    """Return a figure of the station summary as text: a share with its interval, a correlation with its p."""
    if not isinstance(value, dict):
        return value
    if "share" in value:
        if not value["of"]:
            return "none to compare"
        return (f"{value['count']} of {value['of']} ({value['share']:.1%}, 95 % interval {value['low']:.1%} to "
                f"{value['high']:.1%})")
    interval = ("" if _is_missing(value.get("low"))
                else f", 95 % interval {value['low']:.2f} to {value['high']:.2f}".replace("-", "\u2212"))
    return (f"{value['r']:.2f}".replace("-", "\u2212")
            + f" (n = {value['n']}, p = {format_number(value['p'])} by {value['method']}{interval})")


def _departure_section(report, records):
    report.section("Departures from the paper")
    tools = {}
    for record in records:
        for choice, how in (record.get("departures_from_the_paper") or {}).items():
            row = (choice.replace("_", " "), _plain(how.get("used")), _plain(how.get("as_published")))
            tools.setdefault(row, []).append(str(record.get("tool", "")))
    if tools:
        report.table(["Choice", "Here", "In the paper", "Tools"],
                     [(*row, ", ".join(dict.fromkeys(names))) for row, names in tools.items()],
                     "Choices in which this run departs from the paper")
    elif records:
        report.paragraph("The records list no departure from the paper's choices.")
    else:
        report.paragraph("Not known: no provenance record was given.")


def _interval(row):
    if _is_missing(row.get("low")) or _is_missing(row.get("high")):
        return ""
    return f"{row['low']:.2f} to {row['high']:.2f}"


def _without_code(row):
    code = str(row["rank"])
    label = str(row["label"])
    return label[len(code):].strip() if label.startswith(code) else label


# ---- text and numbers -----------------------------------------------------------------------------------------------

def _text(value):
    return html.escape(str(value), quote=True)


def _linked(value):
    return re.sub(r"https?://[^\s<>&]*[^\s<>&.,;:)]", lambda found: f'<a href="{found.group()}">{found.group()}</a>',
                  _text(value))


def _note(note):
    return f'<p class="note">{_linked(note)}</p>' if note else ""


def _source(source):
    return f'<p class="note">Source: <span class="code">{_text(source)}</span></p>' if source else ""


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_missing(value):
    return value is None or value == "" or (_is_number(value) and not math.isfinite(value))


def _kind(values):
    present = [value for value in values if not _is_missing(value)]
    return NUMBER if present and all(_is_number(value) for value in present) else TEXT


def format_number(value, decimals=None):
    """Return a number as text: thousands separated; without ``decimals``, about three significant digits."""
    if decimals is None:
        if isinstance(value, numbers.Integral):
            decimals = 0
        elif value != 0 and abs(value) < 1e-3:
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "\u2212")
        else:
            size = 0 if value == 0 else math.floor(math.log10(abs(value)))
            decimals = min(max(2 - size, 0), 4)
    return f"{value:,.{decimals}f}".replace("-", "\u2212")


_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def _plain(value):
    """Return any recorded value as text a reader understands."""
    if _is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        # a parameter may be a year or a seed, where thousands separators would mislead
        return str(int(value))
    if _is_number(value):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) or MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(inner) for inner in value) or MISSING
    return _file_name(value) if os.path.isabs(str(value)) else str(value)


def _flat(mapping):
    """Return (name, value) pairs with underscores in names read as spaces."""
    return [(str(name).replace("_", " "), value) for name, value in mapping.items()]


def _file_name(path):
    """Return the last part of a path; the page goes to others, and folders of this machine are no concern of theirs."""
    return re.split(r"[\\/]", str(path))[-1]


def _head_cell(column, kind):
    side = ' class="n"' if kind in (NUMBER, YEAR) else ""
    unit = f' <span class="unit">({_text(column.unit)})</span>' if column.unit else ""
    return f'<th scope="col"{side}>{_text(column.title)}{unit}</th>'


def _cell(value, column, kind, first):
    tag, scope = ("th", ' scope="row"') if first else ("td", "")
    side = f' class="{_width(value) if kind in (TEXT, RANK) else "n"}"'.replace(' class=""', "")
    if _is_missing(value):
        content = "" if kind == RANK else MISSING
    elif kind == RANK:
        content = swatch(value)
    elif kind == YEAR:
        content = str(int(value))
    elif kind == NUMBER and _is_number(value):
        content = _text(format_number(value, column.decimals))
    elif re.fullmatch(r"[0-9a-f]{40,}", str(value)):
        content = f'<span class="code">{value}</span>'
    else:
        content = _linked(_plain(value))
    return f"<{tag}{scope}{side}>{content}</{tag}>"


def _width(value):
    """Return the class that keeps longer text from being squeezed into a tower on a telephone."""
    length = 0 if value is None else len(str(value))
    return "long" if length > 40 else "mid" if length > 14 else ""


def swatch(code):
    """Return the HTML of a rank code on its own colour; other values as plain text."""
    rank = BY_CODE.get(code)
    if rank is None:
        return _text(code)
    return (f'<span class="swatch" style="background:{rank.colour};color:{text_colour_on(rank.colour)}" '
            f'title="{_text(rank.label)}">{code}</span>')
