"""Reads a report and compares every number of its tables with the files they name."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

from pti_plugin.core.common import profiles
from pti_plugin.core.common.ranks import CODES, TIERS
from pti_plugin.core.reporting.report_model import predictor_title
from pti_plugin.core.reporting.report_stations import SUMMARY_NAMES
from support import ROOT, record_in

with open(ROOT / "resources" / "tables" / "paper_choices.csv", encoding="utf-8", newline="") as stream:
    PAPER_CHOICES = list(csv.DictReader(stream))


class Page(HTMLParser):
    """Reads the figures of a page: dicts of caption, source, head and rows (cells as text); table: has numbers."""

    def __init__(self, text):
        super().__init__()
        self.figures, self._open, self._in_head, self._into = [], None, False, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "figure":
            self._open = {"caption": "", "source": "", "head": [], "rows": [],
                          "table": dict(attributes)["class"] == "numbers"}
            self.figures.append(self._open)
        elif tag == "thead":
            self._in_head = True
        elif tag == "tr":
            self._open["head" if self._in_head else "rows"].append([])
        elif tag in ("td", "th"):
            self._into = "cell"
            self._row.append("")
        elif tag in ("figcaption", "p") and self._open:
            self._into = {"figcaption": "caption", "p": "source"}[tag]
            # notes stand before the source
            self._open[self._into] = ""

    @property
    def _row(self):
        return self._open["head" if self._in_head else "rows"][-1]

    def handle_endtag(self, tag):
        if tag == "figure":
            self._open = None
        elif tag == "thead":
            self._in_head = False
        if tag in ("figcaption", "td", "th", "p"):
            self._into = None

    def handle_data(self, data):
        if self._into == "cell":
            self._row[-1] += data
        elif self._into:
            self._open[self._into] += data


SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def numbers_of(text):
    """Return [(value, what half of its last digit is worth)] of a text."""
    found = []
    for whole, decimals, power in re.findall(r"([−+-]?\d[\d,]*)(\.\d+)?(?: × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", text):
        scale = 10.0 ** int(power.translate(SUPERSCRIPT)) if power else 1.0
        value = float((whole + decimals).replace(",", "").replace("−", "-"))
        found.append((value * scale, 0.5000001 * scale * 10.0 ** -max(len(decimals) - 1, 0)))
    return found


def same(shown, expected):
    """Whether a cell shows what is expected: text as it is, numbers rounded to the digits shown, nothing as a dash."""
    if expected is None or expected == "":
        return shown in ("–", "")
    if isinstance(expected, str):
        return shown == expected
    expected = expected if isinstance(expected, list) else [expected]
    found = numbers_of(shown)
    return len(found) == len(expected) and all(abs(value - float(wanted)) <= half
                                               for (value, half), wanted in zip(found, expected))


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def of(*names):
    """Return the function of a row of a CSV that gives its numbers, or None where they are empty."""
    return lambda row: [float(row[name]) for name in names] if all(row[name] for name in names) else None


def text_of(name):
    return lambda row: row[name]


def check(table, rows, columns, key):
    """Compare a table with ``rows`` of its file: {title: function of a row}; ``key``: the title that finds the row."""
    titles = [re.sub(r" \(.*", "", title) for title in table["head"][0]]
    assert set(titles) <= set(columns), set(titles) - set(columns)
    assert table["rows"]
    for shown in table["rows"]:
        cell = dict(zip(titles, shown))
        found = [row for row in rows if same(cell[key], columns[key](row))]
        assert found, (table["caption"], cell)
        wrong = [{title: (text, columns[title](row)) for title, text in cell.items()
                  if not same(text, columns[title](row))} for row in found]
        assert {} in wrong, (table["caption"], cell, wrong)


def base(path):
    return re.split(r"[\\/]", str(path))[-1]


class Checks:
    """Compares each table, by its caption, with the file it names."""

    def __init__(self, files, record):
        self.files, self.record = files, record
        self.steps = [*record["steps"], record]

    def __call__(self, table):
        caption = re.sub(r"^Table \d+\. ", "", table["caption"])
        found = [method for pattern, method in self.KNOWN if re.match(pattern, caption)]
        assert len(found) == 1, f"no file is known for the table '{caption}'"
        found[0](self, table)

    def rows(self, table):
        """Return the rows of the CSV that the table names."""
        return rows_of(self.files[table["source"].removeprefix("Source: ")])

    def from_record(self, table):
        assert table["source"] == "Source: stations.provenance.json"
        return self.record["results"]

    def areas(self, table):
        areas = self.from_record(table)["areas"]
        total = {name: sum(row[name] for row in areas) for name in ("share_percent", "area_km2", "cells")}
        check(table, [*areas, {**total, "rank": None, "label": "   All ranks"}], {
            "Rank": lambda row: row["rank"], "Meaning": lambda row: row["label"][3:],
            "Share": lambda row: row["share_percent"], "Area": lambda row: row["area_km2"],
            "Cells": lambda row: row["cells"]}, "Meaning")

    def zones(self, table):
        tiers = {tier.capitalize(): of(f"{tier}_percent") for tier in TIERS}
        check(table, self.rows(table), {
            "Zone": text_of("zone"), "Area": of("area_km2"), "PP-weighted area": of("pp_area_km2"),
            "Cells": of("cells"), "First rank": of("first_rank"), "Share of first": of("first_percent"),
            "Second rank": of("second_rank"), "Polygon area": of("polygon_km2"),
            "Share of second": of("second_percent"), **tiers}, "Zone")

    def zone_areas(self, table):
        self.by_zone(table, "Rank", {str(code): f"area_{code}_km2" for code in CODES})

    def zone_means(self, table):
        means = [name for name in self.rows(table)[0] if name.startswith("mean_")]
        self.by_zone(table, "Predictor", {predictor_title(name[len("mean_"):]): name for name in means})

    def by_zone(self, table, title, columns):
        """Check a table of ``columns`` {title: column of the file}: a row a zone, or a column a zone where few."""
        zones = self.rows(table)
        if table["head"][0][0] == "Zone":
            check(table, zones, {"Zone": text_of("zone"), **{name: of(column) for name, column in columns.items()}},
                  "Zone")
            return
        turned = [{"what": name, **{row["zone"]: row[column] for row in zones}} for name, column in columns.items()]
        units = {row[0]: row[1] for row in table["rows"]}
        check(table, turned, {title: text_of("what"), "Unit": lambda row: units[row["what"]],
                              **{row["zone"]: of(row["zone"]) for row in zones}}, title)

    def trends(self, table):
        assert table["source"] == "Source: stations.provenance.json"
        trends = [(number, step) for number, step in enumerate(self.steps, 1) if step["tool"] == "trendrasters"]
        assert len(table["rows"]) == len(trends) == 2

        def share(*names):
            return lambda row: 100 * sum(row["cells"][name] for name in names) / row["tested"]

        rows = [{"number": number, **step["results"], "alpha": step["parameters"]["ALPHA"], "cells": cells,
                 "tested": cells["up"] + cells["down"] + cells["none"]}
                for number, step in trends for cells in [step["results"]["cells"]]]
        for row, what in zip(rows, self.trend_names(trends)):
            row["what"] = what
        check(table, rows, {
            "Step": lambda row: row["number"], "Trend of": lambda row: row["what"], "Test": lambda row: "Mann-Kendall",
            "From, to": lambda row: [row["first"], row["last"]], "Layers": lambda row: row["layers"],
            "α": lambda row: row["alpha"], "Rise": share("up"), "Fall": share("down"), "No trend": share("none"),
            "Tested": lambda row: row["tested"], "At risk": share("risky"), "Not testable": lambda row: 100 * (
                row["cells"]["few"] + row["cells"]["variance"]) / (
                    row["tested"] + row["cells"]["few"] + row["cells"]["variance"])}, "Step")

    def trend_names(self, trends):
        roles = {"MAGT_TREND": "mean annual ground temperature (MAGT)", "ALT_TREND": "active layer thickness (ALT)"}
        fed = {base(entry["path"]): entry["role"] for step in self.steps for entry in step["inputs"]}
        return [next(roles[fed[base(path)]] for path in step["outputs"].values() if fed.get(base(path)) in roles)
                for _, step in trends]

    def accuracy(self, table):
        check(table, [row for row in self.rows(table) if row["section"] in ("accuracy", "agreement")], {
            "Measure": text_of("line"), "Value": of("value"), "95 % interval": of("low", "high"), "n": of("n"),
            "What it says": text_of("meaning")}, "Measure")

    def confusion(self, table):
        counts = {row["line"]: int(float(row["value"])) for row in self.rows(table) if row["section"] == "confusion"}
        codes = table["head"][0][1:]
        shown = {f"classified {line[0]}, reference {code}": int(cell.replace(",", ""))
                 for line in table["rows"] for code, cell in zip(codes, line[1:])}
        assert {place: count for place, count in shown.items() if count} == counts and len(shown) == len(CODES) ** 2

    def calibration(self, table):
        section = "calibration before" if "before" in table["caption"] else "calibration"
        check(table, [row for row in self.rows(table) if row["section"] == section], {
            "Bin": text_of("line"), "Promised": of("expected"), "Right": of("value"),
            "95 % interval": of("low", "high"), "n": of("n")}, "Bin")

    def reach(self, table):
        lines = {place: found for place, found in self.by_place(table, "area of applicability").items() if place}
        rows = [{"rank": "All ranks" if place == "all ranks" else int(place.split()[-1]), **found}
                for place, found in lines.items()]
        assert len(table["rows"]) == len(rows)
        check(table, rows, {
            "Rank": lambda row: row["rank"], "Share outside": lambda row: float(row["share outside"]["value"]),
            "Outside": lambda row: float(row["outside"]["value"]), "Inside": lambda row: float(row["inside"]["value"]),
            "Cells outside": lambda row: float(row["outside"]["n"]),
            "Cells inside": lambda row: float(row["inside"]["n"])}, "Rank")

    def regions(self, table):
        title = table["head"][0][0]
        if title == "Latitude":
            rows = [{"what": "All latitudes" if place == "latitude all" else place.removeprefix("latitude "),
                     "cells": found["compared"]["n"], "area": found["compared"]["value"],
                     "same": found["agreement"]["value"], "near": found["within one rank"]["value"]}
                    for place, found in self.by_place(table, "agreement by latitude").items()]
        else:
            rows = [{"what": row["zone"], "cells": row["compared_cells"], "area": row["compared_km2"],
                     "same": row["agreement_percent"], "near": row["within_one_percent"]}
                    for row in self.rows(table) if row["compared_cells"] != "0"]
        assert len(table["rows"]) == len(rows)
        check(table, rows, {title: text_of("what"), "Cells": of("cells"), "Area": of("area"), "Same rank": of("same"),
                            "Within one rank": of("near")}, title)

    def by_place(self, table, section):
        """Return {place: {what: row}} of the lines "what: place" of a section; a line without a place has ''."""
        found = {}
        for row in self.rows(table):
            if row["section"] == section:
                what, _, place = row["line"].partition(": ")
                found.setdefault(place, {})[what] = row
        return found

    def compared_areas(self, table):
        value = {row["line"]: float(row["value"]) for row in self.rows(table) if row["section"] == "area by rank"}
        rows = [{"rank": code, "conceptual": value[f"conceptual area of rank {code}"],
                 "predicted": value[f"predicted area of rank {code}"],
                 "adjusted": value[f"adjusted area of rank {code}"]} for code in CODES]
        assert len(table["rows"]) == len(CODES)
        # two columns have the title, one in km² and one in %
        kinds = [title.split(" (")[0] for title in table["head"][0]]
        table = {**table, "head": [[f"{title} {i}" if title == "Difference" else title
                                    for i, title in enumerate(kinds)]]}
        check(table, rows, {
            "Rank": lambda row: row["rank"], "Conceptual": lambda row: row["conceptual"],
            "Predicted": lambda row: row["predicted"], "Corrected": lambda row: row["adjusted"],
            "Difference 3": lambda row: row["predicted"] - row["conceptual"],
            "Difference 4": lambda row: 100 * (row["predicted"] / row["conceptual"] - 1)
            if row["conceptual"] else None}, "Rank")

    def coverage(self, table):
        lines = {}
        for row in self.rows(table):
            if row["section"] == "coverage":
                kind, place = row["line"].split(": ")
                lines.setdefault(place, {})[kind] = row
        by = "rank {}, latitude all" if "by rank" in table["caption"] else "rank all, latitude {}"
        first = table["head"][0][0]
        rows = [{"what": shown[0], **lines[by.format(shown[0])]} for shown in table["rows"]]
        check(table, rows, {
            first: text_of("what"), "Training points": lambda row: float(row["sampled"]["n"]),
            **{title: lambda row, kind=kind: float(row[kind]["value"]) for title, kind in (
                ("Ranked", "ranked"), ("Sampled", "sampled"), ("Predicted", "predicted"),
                ("of it with a missing predictor", "incomplete"), ("Not predicted", "not_predicted"))},
            "Why not": lambda row: row["not_predicted"]["meaning"]}, first)

    def selection(self, table):
        check(table, self.rows(table), {
            "Predictors": of("features"), "Accuracy": of("mean_accuracy"), "Standard deviation": of("sd_accuracy"),
            "Dropped next": text_of("dropped_next"),
            "Note": lambda row: "the paper" if row["source"] == "paper" else "chosen" if row["chosen"] == "1" else ""},
            "Predictors")

    def importance(self, table):
        check(table, [row for row in self.rows(table) if row["level"] == "feature"], {
            "Predictor": lambda row: predictor_title(row["name"]), "Group": text_of("group"),
            "Mean |SHAP|": of("mean_abs_shap"), "Share of it": of("share_percent"), "Gain": of("gain_share_percent")},
            "Predictor")

    def summary(self, table):
        figures, titles = self.from_record(table)["summary"], {title: name for name, title in SUMMARY_NAMES.items()}
        for title, shown in table["rows"]:
            value = figures[titles[title]]
            if isinstance(value, dict) and "share" in value:
                value = [value["count"], value["of"], *([100 * value["share"], 95, 100 * value["low"],
                                                         100 * value["high"]] if value["of"] else [])]
            elif isinstance(value, dict) and "bias" in value:
                value = [value[name] for name in ("bias", "rmse", "mae", "r") if value[name] is not None] + [value["n"]]
            elif isinstance(value, dict):
                value = [value["r"], value["n"], value["p"], *([95, value["low"], value["high"]]
                                                               if value["low"] is not None else [])]
            assert same(shown, value), (title, shown, value)
        missing = {name for name, value in figures.items() if value not in (None, "")} - {
            titles[title] for title, _ in table["rows"]}
        assert missing <= {"tier_confusion"}

    def tiers(self, table):
        tiers = self.from_record(table)["summary"]["tier_confusion"]
        assert table["rows"] == [[label, *map(str, row)] for label, row in zip(tiers["labels"], tiers["matrix"])]

    def stations(self, table):
        check(table, self.rows(table), {
            "Station": lambda row: row["name_magt"] or row["site_magt"], "Station rank": of("site_rank"),
            "Map rank": of("map_rank"), "Difference": of("rank_diff"), "MAGT": of("magt"),
            "MAGT of the map": of("map_magt"), "Years": of("magt_n", "alt_n"), "Distance": of("pair_km"),
            "Thaw-depth site": lambda row: row["name_alt"] or row["site_alt"], "Note": text_of("note")}, "Station")

    def comparison(self, table):
        def rank(name):
            return lambda row: "no rank" if row[name] == "0" else of(name)(row)

        check(table, self.rows(table), {
            "Item": text_of("item"), "From rank": rank("from_rank"), "To rank": rank("to_rank"), "Cells": of("cells"),
            "Area": of("area_km2"), "Share of the area": of("share_percent"),
            "Share of the cells": of("cells_percent"), "First map": text_of("first"),
            "Second map": text_of("second")}, "Cells" if "Cells" in table["head"][0] else "Item")

    def departures(self, table):
        paper = {(row["tool"], row["choice"]): row for row in reversed(PAPER_CHOICES)}
        reasons = {(row["tool"], row["choice"]): row["reason"] for row in PAPER_CHOICES if row["reason"]}
        for shown, used, published, section, reason, tools, steps in table["rows"]:
            choice = next(name for _, name in paper if shown == (name if name.isupper() else name.replace("_", " ")))
            numbers = [int(number) for number in steps.split(", ")]
            assert list(dict.fromkeys(self.steps[number - 1]["tool"] for number in numbers)) == tools.split(", ")
            for number in numbers:
                step = self.steps[number - 1]
                tool, value = step["tool"], step["choices"][choice]
                assert used == (("no", "yes")[value] if isinstance(value, bool) else
                                f"{value:g}" if isinstance(value, float) else str(value) or "none given")
            lines = {(row["paper"] or "none given", row["section"]) for row in PAPER_CHOICES
                     if (row["tool"], row["choice"]) == (tool, choice)}
            assert (published, section) in lines
            # the reason is that of the profile's own value
            own = used in {row["defensible"] for row in PAPER_CHOICES if (row["tool"], row["choice"]) == (tool, choice)}
            assert reason == (reasons[tool, choice] if own else "Set by the user.")

    def always(self, table):
        assert table["rows"] == [list(departure) for departure in profiles.ALWAYS]

    def all_steps(self, table):
        def readers(row):
            return "; ".join(f"{number} as {', '.join(roles)}" for number, step in enumerate(self.steps, 1)
                             for roles in [list(dict.fromkeys(entry["role"] for entry in step["inputs"]
                                                              if entry.get("step") == row["number"]))] if roles)

        check(table, [{**step, "number": number} for number, step in enumerate(self.steps, 1)], {
            "Step": lambda row: row["number"], "Tool": lambda row: row["tool"], "Profile": lambda row: row["profile"],
            "Made": lambda row: ", ".join(map(base, row["outputs"].values())), "Seed": lambda row: row["seed"],
            "Read by": readers}, "Step")
        assert len(table["rows"]) == len(self.steps)

    def step_of(self, table):
        assert table["source"] == "Source: stations.provenance.json"
        number, tool = re.search(r"step (\d+), (\w+)", table["caption"]).groups()
        assert self.steps[int(number) - 1]["tool"] == tool
        return self.steps[int(number) - 1]

    def parameters(self, table):
        stated = self.step_of(table)["parameters"]
        assert [name for name, _ in table["rows"]] == [name for name, value in stated.items()
                                                       if value not in (None, "", [])]
        for name, shown in table["rows"]:
            value = stated[name]
            if isinstance(value, list):
                value = ", ".join(map(base, value))
            elif isinstance(value, bool):
                value = "yes" if value else "no"
            elif isinstance(value, str):
                value = base(value)
            assert same(shown, value), (name, shown, value)

    def inputs(self, table):
        check(table, self.step_of(table)["inputs"], {
            "Role": lambda row: row["role"], "File": lambda row: base(row["path"]),
            "Size": lambda row: row["size_bytes"], "SHA-256": lambda row: row["sha256"],
            "From step": lambda row: row.get("step")}, "File")

    KNOWN = [("Area and share", areas), ("Zones: area", zones), ("Area of each rank by zone", zone_areas),
             ("Means of the predictors by zone", zone_means), ("Trends behind", trends), ("Accuracy panel", accuracy),
             ("Area of applicability by", reach), ("Agreement with the conceptual", regions),
             ("Area by rank of", compared_areas), ("Coverage by", coverage), ("Confusion matrix", confusion),
             ("Calibration", calibration), ("Elimination", selection),
             ("Importance", importance), ("Summary of the comparison", summary), ("Tiers", tiers),
             ("Stations compared", stations), ("Pairs that could not", stations),
             ("Comparison of the profiles|Stability of the ranks|Trends from a later", comparison),
             ("Choices that depart", departures), ("Departures of every", always),
             ("Steps of the run", all_steps), ("Parameters of step", parameters), ("Inputs of step", inputs)]


def check_report(path, stations_record):
    """Check every table of the report at ``path``; return (its figures, the kinds of table it has).

    ``stations_record``: the record of the run that wrote it.
    """
    record = record_in(stations_record)
    files = {base(made): made for step in [*record["steps"], record] for made in step["outputs"].values()}
    files.update({base(entry["path"]): entry["path"] for entry in record["inputs"]})
    checks = Checks(files, record)
    figures = Page(Path(path).read_text(encoding="utf-8")).figures
    tables = [figure for figure in figures if figure["table"]]
    for table in tables:
        checks(table)
    assert all(figure["source"] for figure in figures if not figure["table"])
    return figures, {method.__name__ for table in tables for pattern, method in Checks.KNOWN
                     if re.match(rf"Table \d+\. {pattern}", table["caption"])}
