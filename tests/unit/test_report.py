"""The report: one sound, self-contained page on which every number is the one it was given."""

import base64
import os
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

pytest.importorskip("matplotlib")

from pti_plugin.core import report as pages  # noqa: E402
from pti_plugin.core.errors import InputError, OutputError  # noqa: E402
from pti_plugin.core.figures import shap_bars  # noqa: E402
from pti_plugin.core.ranks import BY_CODE, RANKS  # noqa: E402
from pti_plugin.core.report import Column, Report, format_number, validation_report  # noqa: E402

VOID = {"meta", "img", "br", "link"}


@pytest.fixture(autouse=True, scope="module")
def figures_drawn_once():
    """Keep what is drawn: most pages here show the same figures."""
    kept = {}

    def once(draw):
        def drawn(*given):
            key = draw.__name__, repr(given)
            if key not in kept:
                kept[key] = draw(*given)
            return kept[key]

        return drawn

    with pytest.MonkeyPatch.context() as patch:
        for name in ("accuracy_panel_plot", "area_bars", "calibration_plot", "confusion_matrix", "rfecv_curve",
                     "shap_bars", "station_scatter"):
            patch.setattr(pages, name, once(getattr(pages, name)))
        yield


class Page(HTMLParser):
    """Reads a page strictly: unbalanced tags fail."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.text, self.headings = [], [], [], "", []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings[-1] = (self.headings[-1][0], data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


PNG = shap_bars(["LST"], ["thermal"], [1.0])
AREAS = [{"rank": rank.code, "label": rank.label, "cells": 1000 + place, "area_km2": 123456.7 * (place + 1),
          "share_percent": 100 * (place + 1) / 55} for place, rank in enumerate(RANKS)]
METRICS = [
    {"line": "Out-of-bag vote", "value": 61.84, "low": 60.91, "high": 62.72, "n": 12265, "meaning": "held out"},
    {"line": "Agreement wall to wall", "value": 63.4, "low": None, "high": None, "n": 18690000, "meaning": "all cells"},
    {"line": "Vote on its own sample", "value": 91.79, "low": 91.3, "high": 92.3, "n": 12265,
     "meaning": "in-sample, not an accuracy"}]
SELECTION = [
    {"features": 3.0, "mean_accuracy": 56.912, "sd_accuracy": 0.41, "dropped_next": "slope", "chosen": 0.0,
     "source": "this run"},
    {"features": 2.0, "mean_accuracy": 57.25, "sd_accuracy": 0.32, "dropped_next": "peat", "chosen": 1.0,
     "source": "this run"},
    {"features": 1.0, "mean_accuracy": 41.5, "sd_accuracy": 0.5, "dropped_next": None, "chosen": 0.0,
     "source": "this run"},
    {"features": 12.0, "mean_accuracy": 57.0, "sd_accuracy": None, "dropped_next": None, "chosen": 1.0,
     "source": "paper"}]
CALIBRATION = [
    {"line": "probability 0.4 to 0.5", "value": 43.21, "low": 41.9, "high": 44.6, "n": 5210, "expected": 45.53},
    {"line": "probability 0.9 to 1.0", "value": 88.8, "low": 88.1, "high": 89.4, "n": 9001, "expected": 96.04}]
RECORD = {
    "tool": "buildpti", "plugin": "Permafrost Thaw Index (PTI)", "plugin_version": "0.1.0",
    "finished": "2026-01-02T03:04:05+00:00", "profile": "defensible", "seed": 2024,
    "departures_from_the_paper": {"station_min_years": {"used": 5, "as_published": 3}},
    "parameters": {"START_YEAR": 1997, "ALPHA": 0.05, "PP": ["/data/secret folder/pp.tif"]},
    "inputs": [{"role": "PP", "path": "C:\\Users\\someone\\pp.tif", "size_bytes": 1234567, "sha256": "ab" * 32}],
    "versions": {"gdal": "3.6.2"}, "results": {"total": 1.5}, "warnings": ["values were multiplied by 100"]}


def station_row(site, site_rank, map_rank, alt="A", note=""):
    order = [rank.code for rank in RANKS]
    compared = site_rank and map_rank
    return {"site_magt": site, "name_magt": "", "site_alt": alt, "name_alt": "", "site_rank": site_rank,
            "map_rank": map_rank, "magt": -1.83, "magt_n": 9, "alt_n": 8, "pair_km": 0.25, "note": note,
            "rank_diff": order.index(map_rank) - order.index(site_rank) if compared else None}


def share(count, of):
    return {"count": count, "of": of, "share": count / of, "low": 0.1, "high": 0.9}


STATIONS = SimpleNamespace(
    rows=[station_row("near", 11, 12), station_row("far", 21, 33), station_row("same", 32, 32),
          station_row("short", None, 12, note="temperature: 2 years"), station_row("alone", None, 12, alt="")],
    summary={"paired": 4, "compared": 3, "exact": share(1, 3), "correlation_note": "",
             "spearman": {"r": -0.694, "p": 9.6e-5, "n": 26, "low": -0.863, "high": -0.372, "method": "Student's t"}},
    sentences=["4 pairs within 5 km.", "Spearman's r = -0.69."], warnings=["Independence: not a validation"])


def full_page(tmp_path, **changes):
    path = tmp_path / "report.html"
    given = {"map_png": PNG, "area_rows": AREAS, "station_result": STATIONS, "metrics_rows": METRICS,
             "shap_rows": [{"name": "snow", "group": "hydrological", "shap": 0.1, "gain": 4.0},
                           {"name": "LST", "group": "thermal", "shap": 0.3, "gain": 9.0}],
             "confusion": (["11", "12"], [[3, 1], [0, 2]]), "records": [RECORD], "warnings": ["look here"],
             "notes": ["SIMULATED sample data"], "sources": {"areas": "/some/folder/pti_area.csv"}}
    given.update(changes)
    validation_report(str(path), **given)
    return path.read_text(encoding="utf-8")


def test_the_page_is_sound_and_needs_nothing_from_outside(tmp_path):
    text = full_page(tmp_path)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and page.all("html")[0]["lang"] == "en"
    assert not page.all("script") and not page.all("link") and "@import" not in text and "url(" not in text
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert all(image["alt"].strip() for image in page.all("img"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))


def test_the_contents_lead_to_every_section_once(tmp_path):
    report = Report("Title")
    for title in ("Areas", "Areas", "Äreas & more", "…"):
        report.section(title)
    page = Page(report.to_html())
    targets = [link["href"][1:] for link in page.all("a")]
    assert targets == [heading["id"] for heading in page.all("h2")] and len(set(targets)) == 4


def test_text_from_files_is_escaped_everywhere():
    planted = '<script>alert("1")</script>&\''
    report = Report(planted, planted)
    report.section(planted)
    report.paragraph(planted)
    report.table([planted, Column("k", planted, planted)], [(planted, planted)], planted, planted, planted)
    report.figure(PNG, planted, planted, planted)
    report.warnings([planted])
    report.key_values([(planted, planted)], planted, planted)
    report.record({"tool": planted, "profile": planted, "parameters": {planted: planted},
                   "inputs": [{"role": planted, "path": planted}], "results": {planted: {planted: planted}}})
    report.how_to_cite(planted, [planted])
    page = Page(report.to_html())
    assert not page.all("script")
    assert page.text.count(planted) >= 15
    assert page.all("img")[0]["alt"] == planted
    assert page.all("div")[0]["aria-label"] == planted


def test_a_figure_is_embedded_unchanged_with_its_size():
    report = Report("Title")
    report.figure(PNG, "A caption", "In words")
    image = Page(report.to_html()).all("img")[0]
    assert base64.b64decode(image["src"].split(",")[1]) == PNG
    assert (image["alt"], image["width"]) == ("In words", "1500")


@pytest.mark.parametrize("value, decimals, text", [
    (1234567, None, "1,234,567"), (18690000.4, 0, "18,690,000"), (-1.834, 2, "−1.83"), (0.0, None, "0.00"),
    (9.6e-5, None, "9.6 × 10⁻⁵"), (0.322, None, "0.322"), (5.25, None, "5.25"), (52.51, None, "52.5"),
    (-2.5e-7, None, "−2.5 × 10⁻⁷")])
def test_numbers_are_written_as_readers_expect(value, decimals, text):
    assert format_number(value, decimals) == text


def test_a_table_aligns_numbers_dashes_the_missing_and_names_its_file():
    report = Report("Title")
    report.table([Column("name", "Name"), Column("km2", "Area", "km²", 1), Column("year", "Year", kind=pages.YEAR),
                  Column("rank", "Rank", kind=pages.RANK)],
                 [{"name": "a", "km2": 1234.56, "year": 2012, "rank": 33},
                  {"name": "b", "km2": float("nan"), "year": None, "rank": None}],
                 "Caption", source="areas.csv", muted=lambda row: row["name"] == "b")
    text = report.to_html()
    page = Page(text)
    assert page.rows == [["Name", "Area (km²)", "Year", "Rank"], ["a", "1,234.6", "2012", "33"], ["b", "–", "–", ""]]
    assert [attributes.get("class") for attributes in page.all("td")] == ["n", "n", None, "n", "n", None]
    assert [attributes.get("class") for attributes in page.all("tr")] == [None, None, "muted"]
    assert "Table 1. Caption" in page.text and "Source: areas.csv" in page.text
    assert f"background:{BY_CODE[33].colour}" in text


def test_a_row_with_a_value_too_few_is_refused():
    with pytest.raises(InputError, match="'Caption' has 1 values for 2 columns"):
        Report("Title").table(["a", "b"], [(1,)], "Caption")


def test_every_area_stands_on_the_page_with_its_sum(tmp_path):
    rows = Page(full_page(tmp_path)).rows
    for area in AREAS:
        assert [str(area["rank"]), area["label"][3:], f"{area['share_percent']:.2f}", f"{area['area_km2']:,.0f}",
                f"{area['cells']:,}"] in rows
    assert len(re.findall('<tr class="total"><th[^>]*></th><td[^>]*>All ranks', full_page(tmp_path))) == 1
    assert ["", "All ranks", "100.00", f"{123456.7 * 55:,.0f}", "10,045"] in rows


def test_the_summary_says_the_tiers_and_leaves_the_in_sample_line_out(tmp_path):
    text = Page(full_page(tmp_path)).text
    summary = text[:text.index("Figure 1.")]
    assert "6.79 million km²" in summary and "10.9 % cold" in summary and "18.2 % isolated patches" in summary
    assert "Out-of-bag vote: 61.84 % (95 % interval 60.91 to 62.72 %)" in summary
    assert "Agreement wall to wall: 63.40 %." in summary
    assert "91.79" not in summary and "SIMULATED sample data" in summary


def test_the_in_sample_line_is_set_back_in_the_accuracy_panel(tmp_path):
    text = full_page(tmp_path)
    muted = re.findall(r'<tr class="muted">(.*?)</tr>', text)
    assert len(muted) == 1 and "Vote on its own sample" in muted[0] and "91.79" in muted[0]


def test_the_elimination_of_predictors_stands_beside_the_paper(tmp_path):
    text = full_page(tmp_path, selection_rows=SELECTION, sources={"selection": "/some/folder/selection.csv"})
    page = Page(text)
    assert (2, "How many predictors are worth having") in page.headings
    assert ("keeps 2 predictors, with a cross-validated accuracy of 57.25 %. The paper kept 12, with 57 %."
            in page.text)
    assert ["3", "56.91", "0.41", "slope", ""] in page.rows or ["3", "56.91", "0.41", "slope", "–"] in page.rows
    assert ["2", "57.25", "0.32", "peat", "chosen"] in page.rows
    assert ["12", "57.00", "–", "–", "the paper"] in page.rows
    assert len(re.findall('<tr class="total"><th[^>]*>2</th>', text)) == 1
    assert len(re.findall('<tr class="muted"><th[^>]*>12</th>', text)) == 1
    assert "diamond: the paper" in page.text and page.text.count("selection.csv") == 2
    alone = Page(full_page(tmp_path, selection_rows=SELECTION[:3])).text
    assert "diamond" not in alone and "The paper kept" not in alone


def test_calibration_stands_with_promise_result_and_number(tmp_path):
    page = Page(full_page(tmp_path, calibration_rows=CALIBRATION, sources={"metrics": "metrics.csv"}))
    assert (2, "How far to trust its probabilities") in page.headings
    assert ["probability 0.4 to 0.5", "45.5", "43.2", "41.90 to 44.60", "5,210"] in page.rows
    assert ["probability 0.9 to 1.0", "96.0", "88.8", "88.10 to 89.40", "9,001"] in page.rows


def test_sections_that_were_not_asked_for_are_left_out_and_each_given_one_adds_a_picture(tmp_path):
    page = Page(full_page(tmp_path))
    assert not [title for _, title in page.headings if "probabilities" in title or "worth having" in title]
    more = Page(full_page(tmp_path, selection_rows=SELECTION, calibration_rows=CALIBRATION))
    assert len(more.all("img")) == len(page.all("img")) + 2
    without = Page(full_page(tmp_path, metrics_rows=None))
    assert len(without.all("img")) == len(page.all("img")) - 1


def test_stations_are_listed_largest_miss_first_and_none_is_lost(tmp_path):
    page = Page(full_page(tmp_path))
    named = [row[0] for row in page.rows if row and row[0] in ("near", "far", "same", "short", "alone")]
    assert named == ["far", "near", "same", "short"]
    assert ["far", "21", "33", "5", "−1.83", "9,\u00a08", "A", "0.2"] in page.rows
    assert ["short", "temperature: 2 years", "12", "−1.83", "9,\u00a08", "A"] in page.rows
    assert "1 further site(s)" in page.text


def test_shares_and_correlations_of_the_stations_are_spelled_out(tmp_path):
    rows = Page(full_page(tmp_path)).rows
    assert ["Exact rank", "1 of 3 (33.3%, 95 % interval 10.0% to 90.0%)"] in rows
    assert ["Spearman's r", "−0.69 (n = 26, p = 9.6 × 10⁻⁵ by Student's t, 95 % interval −0.86 to −0.37)"] in rows


def test_predictors_are_listed_largest_first(tmp_path):
    rows = Page(full_page(tmp_path)).rows
    assert rows.index(["LST", "thermal", "0.3000", "9.0000"]) < rows.index(["snow", "hydrological", "0.1000", "4.0000"])


def test_warnings_of_the_run_the_stations_and_the_caller_appear_once_each(tmp_path):
    text = full_page(tmp_path, records=[RECORD, RECORD])
    for warning in ("look here", "Independence: not a validation", "values were multiplied by 100"):
        assert text.count(warning) == 1


def test_a_record_shows_checksums_and_choices_but_no_folders(tmp_path):
    text = full_page(tmp_path)
    rows = Page(text).rows
    assert ["PP", "pp.tif", "1,234,567", "ab" * 32] in rows
    assert ["START_YEAR", "1997"] in rows and ["Seed", "2024"] in rows and ["ALPHA", "0.05"] in rows
    assert ["station min years", "5", "3", "buildpti"] in rows
    assert "secret folder" not in text and "someone" not in text and "/some/folder" not in text
    assert "Source: " in Page(text).text and "pti_area.csv" in text


def test_a_folded_record_is_hidden_on_the_screen_only(tmp_path):
    text = full_page(tmp_path)
    assert '<details><summary>buildpti, profile defensible</summary></details><div class="folded">' in text
    assert text.count("details:not([open])+.folded") == 1
    assert "@media screen{details:not([open])+.folded{display:none}}" in text


def test_what_was_not_given_is_said_in_a_sentence(tmp_path):
    path = tmp_path / "empty.html"
    validation_report(str(path))
    text = Page(path.read_text(encoding="utf-8")).text
    for sentence in ("Neither areas, nor an accuracy", "No map was given", "No areas were given",
                     "No accuracy was given", "No predictor importance was given", "No stations were given",
                     "The run gave no warnings", "No provenance record was given"):
        assert sentence in text


def test_stations_without_a_rank_to_compare_give_a_sentence_instead_of_a_plot(tmp_path):
    alone = SimpleNamespace(rows=[station_row("alone", None, 12, alt="")], summary={}, sentences=[], warnings=[])
    text = full_page(tmp_path, station_result=alone)
    assert "No station could be compared by rank" in text and "Map against stations" not in text


def test_the_same_input_gives_the_same_page(tmp_path):
    assert full_page(tmp_path) == full_page(tmp_path)


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        Report("Title").write(str(tmp_path / "nowhere" / "report.html"))
    target = tmp_path / "report.html"
    Report("Title").write(str(target))
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_citation_names_paper_data_and_version(tmp_path):
    page = Page(full_page(tmp_path, products=["Obu 2018"]))
    assert {"href": "https://doi.org/10.5281/zenodo.19148960"} in page.all("a")
    assert "version 0.1.0" in page.text and "Obu 2018" in page.text
