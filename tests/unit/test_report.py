"""The report: one sound, self-contained page on which every number is the one it was given."""

import base64
import os
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

pytest.importorskip("matplotlib")

from pti_plugin.core.common import profiles  # noqa: E402
from pti_plugin.core.common.errors import InputError, OutputError  # noqa: E402
from pti_plugin.core.common.ranks import BY_CODE, RANKS  # noqa: E402
from pti_plugin.core.mapping import area_comparison, coverage  # noqa: E402
from pti_plugin.core.reporting import report, report_model, report_stations, report_steps  # noqa: E402
from pti_plugin.core.reporting.figures import relative_luminance, shap_bars, text_colour_on  # noqa: E402
from pti_plugin.core.reporting.report import validation_report  # noqa: E402
from pti_plugin.core.reporting.report_page import MOST_INPUTS, RANK, YEAR, Column, Report, format_number  # noqa: E402
from pti_plugin.core.reporting.report_print import print_version  # noqa: E402
from support import assert_as_looked_at, page_text  # noqa: E402

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
        for module, names in ((report, ["area_bars"]), (report_stations, ["station_scatter"]), (report_model, [
                "accuracy_panel_plot", "calibration_plot", "confusion_matrix", "rfecv_curve", "shap_bars"])):
            for name in names:
                patch.setattr(module, name, once(getattr(module, name)))
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
    "choices": {"report_untestable_trend": True},
    "parameters": {"START_YEAR": 1997, "ALPHA": 0.05, "PP": ["/data/secret folder/pp.tif"]},
    "inputs": [{"role": "PP", "path": "C:\\Users\\someone\\pp.tif", "size_bytes": 1234567, "sha256": "ab" * 32}],
    "outputs": {"OUTPUT": "/some/folder/pti.tif"}, "versions": {"gdal": "3.6.2"}, "results": {"total": 1.5},
    "warnings": ["values were multiplied by 100"]}


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


def full_report(**changes):
    given = {"map_png": PNG, "area_rows": AREAS, "station_result": STATIONS, "metrics_rows": METRICS,
             "shap_rows": [{"name": "snow", "group": "hydrological", "shap": 0.1, "share": 25.0, "gain": 4.0},
                           {"name": "lst", "group": "thermal", "shap": 0.3, "share": 75.0, "gain": 9.0}],
             "confusion": (["11", "12"], [[3, 1], [0, 2]]), "steps": [RECORD], "warnings": ["look here"],
             "notes": ["SIMULATED sample data"], "sources": {"areas": "/some/folder/pti_area.csv"}}
    given.update(changes)
    return validation_report(**given)


def full_page(**changes):
    return full_report(**changes).to_html()


def test_the_page_is_sound_and_needs_nothing_from_outside():
    text = full_page()
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>") and page.all("html")[0]["lang"] == "en"
    assert not page.all("script") and not page.all("link") and "@import" not in text and "url(" not in text
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert all(image["alt"].strip() for image in page.all("img"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))


def test_the_contents_lead_to_every_section_once():
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
    report_steps.run_section(report, [{
        "tool": planted, "profile": planted, "parameters": {planted: planted}, "outputs": {planted: planted},
        "inputs": [{"role": planted, "path": planted}], "versions": {planted: planted}}], {"record": planted})
    report_steps.cite_section(report, [], [(planted, planted, planted)])
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
    report.table([Column("name", "Name"), Column("km2", "Area", "km²", 1), Column("year", "Year", kind=YEAR),
                  Column("rank", "Rank", kind=RANK)],
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


def test_every_area_stands_on_the_page_with_its_sum():
    rows = Page(full_page()).rows
    for area in AREAS:
        assert [str(area["rank"]), area["label"][3:], f"{area['share_percent']:.2f}", f"{area['area_km2']:,.0f}",
                f"{area['cells']:,}"] in rows
    assert len(re.findall('<tr class="total"><th[^>]*></th><td[^>]*>All ranks', full_page())) == 1
    assert ["", "All ranks", "100.00", f"{123456.7 * 55:,.0f}", "10,045"] in rows


def test_the_summary_says_the_tiers_and_leaves_the_in_sample_line_out():
    text = Page(full_page()).text
    summary = text[:text.index("Figure 1.")]
    assert "6.79 million km²" in summary and "10.9 % cold" in summary and "18.2 % isolated patches" in summary
    assert "Out-of-bag vote: 61.84 % (95 % interval 60.91 to 62.72 %)" in summary
    assert "Which of these to quote: for the map near the samples the out-of-bag vote" in summary
    assert "Profile: defensible." in summary
    assert "Agreement wall to wall: 63.40 %." in summary
    assert "91.79" not in summary and "SIMULATED sample data" in summary


def test_the_in_sample_line_is_set_back_in_the_accuracy_panel():
    text = full_page()
    muted = re.findall(r'<tr class="muted">(.*?)</tr>', text)
    assert len(muted) == 1 and "Vote on its own sample" in muted[0] and "91.79" in muted[0]


def test_the_elimination_of_predictors_stands_beside_the_paper():
    text = full_page(selection_rows=SELECTION, sources={"selection": "/some/folder/selection.csv"})
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
    alone = Page(full_page(selection_rows=SELECTION[:3])).text
    assert "diamond" not in alone and "The paper kept" not in alone


def test_calibration_stands_with_promise_result_and_number():
    page = Page(full_page(calibration_rows=CALIBRATION, sources={"metrics": "metrics.csv"}))
    assert (2, "How far to trust its probabilities") in page.headings
    assert ["probability 0.4 to 0.5", "45.5", "43.2", "41.90 to 44.60", "5,210"] in page.rows
    assert ["probability 0.9 to 1.0", "96.0", "88.8", "88.10 to 89.40", "9,001"] in page.rows


def test_calibration_stands_before_and_after_with_its_temperature(monkeypatch):
    drawn, plot = [], report_model.calibration_plot
    monkeypatch.setattr(report_model, "calibration_plot", lambda *given: drawn.append(given) or plot(*given))
    before = [{**row, "section": "calibration before", "value": row["value"] + 10} for row in CALIBRATION]
    after = [{**row, "section": "calibration"} for row in CALIBRATION]
    temperature = {"section": "temperature", "line": "temperature of the probabilities", "value": 0.745, "low": None,
                   "high": None, "n": 9, "expected": None, "meaning": "Made surer."}
    page = Page(full_page(calibration_rows=[temperature, *after, *before], sources={"metrics": "metrics.csv"}))
    assert "a temperature of 0.745. Made surer." in page.text
    assert ["probability 0.4 to 0.5", "45.5", "53.2", "5,210"] in page.rows
    assert ["probability 0.4 to 0.5", "45.5", "43.2", "41.90 to 44.60", "5,210"] in page.rows
    # both curves in one figure
    assert [[row["value"] for row in curve] for curve in drawn[0]] == [[43.21, 88.8], [53.21, 98.8]]


def test_each_table_given_adds_a_picture():
    page = Page(full_page())
    more = Page(full_page(selection_rows=SELECTION, calibration_rows=CALIBRATION))
    assert len(more.all("img")) == len(page.all("img")) + 2
    without = Page(full_page(metrics_rows=None))
    assert len(without.all("img")) == len(page.all("img")) - 1


def test_stations_are_listed_largest_miss_first_and_none_is_lost():
    page = Page(full_page())
    named = [row[0] for row in page.rows if row and row[0] in ("near", "far", "same", "short", "alone")]
    assert named == ["far", "near", "same", "short"]
    assert ["far", "21", "33", "5", "−1.83", "9,\u00a08", "A", "0.2"] in page.rows
    assert ["short", "temperature: 2 years", "12", "−1.83", "9,\u00a08", "A"] in page.rows
    assert "1 further site(s)" in page.text


def test_shares_and_correlations_of_the_stations_are_spelled_out():
    rows = Page(full_page()).rows
    assert ["Exact rank", "1 of 3 (33.3 %, 95 % interval 10.0 to 90.0 %)"] in rows
    assert ["Spearman's r", "−0.69 (n = 26, p = 9.6 × 10⁻⁵ by Student's t, 95 % interval −0.86 to −0.37)"] in rows


def test_predictors_are_listed_largest_first():
    rows = Page(full_page()).rows
    assert (rows.index(["land surface temperature", "thermal", "0.3000", "75.0", "9.0"])
            < rows.index(["snow cover", "hydrological", "0.1000", "25.0", "4.0"]))


def test_warnings_of_the_run_the_stations_and_the_caller_appear_once_each():
    text = full_page(steps=[RECORD, RECORD])
    for warning in ("look here", "Independence: not a validation", "values were multiplied by 100"):
        assert text.count(warning) == 1
    assert "values were multiplied by 100 (Step 1, 2)" in text


def test_a_record_shows_checksums_and_choices_but_no_folders():
    text = full_page()
    rows = Page(text).rows
    assert ["PP", "pp.tif", "1,234,567", "ab" * 32] in rows
    assert ["START_YEAR", "1997"] in rows and ["ALPHA", "0.05"] in rows
    assert ["1", "buildpti", "pti.tif", "–", "defensible", "2024"] in rows
    assert "Versions, over all steps: plugin 0.1.0, gdal 3.6.2." in text
    told, = (row for row in rows if row[0] == "report untestable trend")
    assert told[1:4] == ["yes", "no", "not stated"] and told[5] == "buildpti"
    assert "secret folder" not in text and "someone" not in text and "/some/folder" not in text
    assert "Source: " in Page(text).text and "pti_area.csv" in text


def test_a_folded_record_is_hidden_on_the_screen_only():
    text = full_page()
    assert '<details><summary>Step 1: buildpti, profile defensible</summary></details><div class="folded">' in text
    assert text.count("details:not([open])+.folded") == 1
    assert "@media screen{details:not([open])+.folded{display:none}}" in text


def test_what_was_not_given_is_said_in_a_sentence():
    page = Page(validation_report().to_html())
    for sentence in ("Neither areas, nor an accuracy", "No map was given", "No areas were given",
                     "No table of zones was given", "No trend was given", "No accuracy was given",
                     "No area of applicability was given",
                     "No agreement with the conceptual index by latitude or by zone was given",
                     "No calibration was given", "No feature elimination was given",
                     "No predictor importance was given", "No stations were given", "No comparison of profiles",
                     "The run gave no warnings", "no provenance record was given", "No provenance record was given",
                     "None of the inputs is named like a product"):
        assert sentence in page.text, sentence
    assert [title for _, title in page.headings] == [title for _, title in Page(full_page()).headings]


def test_stations_without_a_rank_to_compare_give_a_sentence_instead_of_a_plot():
    alone = SimpleNamespace(rows=[station_row("alone", None, 12, alt="")], summary={}, sentences=[], warnings=[])
    text = full_page(station_result=alone)
    assert "No station could be compared by rank" in text and "Map against stations" not in text


def test_the_same_input_gives_the_same_page():
    assert full_page() == full_page()


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        Report("Title").write(str(tmp_path / "nowhere" / "report.html"))
    target = tmp_path / "report.html"
    Report("Title").write(str(target))
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_citation_names_paper_data_version_products_and_stations():
    steps = [{"tool": "alignrasters", "plugin_version": "0.1.0", "parameters": {"PRODUCT": "nieer_pp"},
              "inputs": [{"role": "INPUT", "path": "/x/any_name.tif"}]},
             {"tool": "ensemblepermafrost", "plugin_version": "0.1.0", "inputs": [
                 {"role": "PP", "path": "/x/aligned.tif", "step": 1},
                 {"role": "PP", "path": "/x/UiO_PEX_PERPROB_5.0_20181128_2000_2016_NH.tif"},
                 {"role": "MAGT", "path": 'NETCDF:"/x/ESACCI-PERMAFROST-L4-GTD-AREA4_PP-2005-fv03.0.nc":T2m'}]}]
    page = Page(full_page(steps=steps, citations=[("/x/calm.tab", "Someone 2020, PANGAEA", "CC-BY")]))
    assert {"href": "https://doi.org/10.5281/zenodo.19148960"} in page.all("a")
    assert "version 0.1.0" in page.text
    assert ["NIEER permafrost probability", "I2", "any_name.tif"] in page.rows
    assert ["Obu permafrost probability", "I1", "UiO_PEX_PERPROB_5.0_20181128_2000_2016_NH.tif"] in page.rows
    assert ["Permafrost_CCI ground temperature at 2 m, version 3", "I3",
            "ESACCI-PERMAFROST-L4-GTD-AREA4_PP-2005-fv03.0.nc"] in page.rows
    assert "Stations of calm.tab: Someone 2020, PANGAEA Licence: CC-BY." in page.text
    assert not [row for row in page.rows if "aligned.tif" in row and len(row) == 3]


TREND = {"tool": "trendrasters", "parameters": {"ALPHA": 0.05, "PERIOD": 12, "METHOD": 4},
         "inputs": [{"role": "INPUT", "path": "/x/lst_2000.tif"}],
         "results": {"layers": 252, "first": "2000-01", "last": "2020-12", "method": "hamed_rao", "cells": {
             "up": 600, "down": 300, "none": 100, "few": 30, "variance": 10, "empty": 5000, "risky": 250}}}


def test_trends_are_shares_of_the_cells_tested_and_named_by_what_reads_them():
    stack = {"tool": "predictorstack", "inputs": [{"role": "LST_TREND", "path": "/x/slope.tif", "step": 2}]}
    rows = Page(full_page(steps=[RECORD, TREND, stack])).rows
    assert ["2", "trendrasters", "–", "3 as LST_TREND", "–", "–"] in rows
    assert ["2", "land surface temperature", "2000-01 to 2020-12", "252",
            "Seasonal Mann-Kendall, hamed rao (12 a year)", "0.050", "60.0", "30.0", "10.0", "1,000", "3.8",
            "25.0"] in rows
    index = {"tool": "buildpti", "inputs": [{"role": "ALT_TREND", "path": "/x/sign.tif", "step": 1}]}
    assert any(row[1:2] == ["active layer thickness (ALT)"] for row in Page(full_page(steps=[TREND, index])).rows)
    assert any(row[1:2] == ["lst_2000.tif"] for row in Page(full_page(steps=[TREND])).rows)


ZONES = [{"zone": "Whole map", "area_km2": 2000.4, "pp_area_km2": 1500.0, "cells": 3.0, "first_rank": 13.0,
          "first_percent": 51.26, "second_rank": None, "second_percent": None, "cold_percent": 90.0,
          "cool_percent": 4.0, "warm_percent": 3.0, "isolated_percent": 3.0, "area_13_km2": 1025.2,
          "mean_lst": 263.456},
         {"zone": 7.0, "area_km2": 1000.0, "pp_area_km2": 900.0, "cells": 2.0, "first_rank": 33.0,
          "first_percent": 33.3, "second_rank": 40.0, "second_percent": 20.0, "cold_percent": 10.0,
          "cool_percent": 10.0, "warm_percent": 60.0, "isolated_percent": 20.0, "area_13_km2": 0.0, "mean_lst": None}]


def test_zones_show_their_ranks_areas_and_means_and_leave_out_what_is_not_there():
    page = Page(full_page(zone_rows=ZONES, sources={"zones": "/x/zones.csv"}))
    assert ["Whole map", "2,000", "1,500", "3", "13", "51.3", "", "–", "90.0", "4.0", "3.0", "3.0"] in page.rows
    assert ["7", "1,000", "900", "2", "33", "33.3", "40", "20.0", "10.0", "10.0", "60.0", "20.0"] in page.rows
    # few zones stand side by side
    assert ["Rank", "Whole map (km²)", "7 (km²)"] in page.rows and ["13", "1,025", "0"] in page.rows
    assert ["Predictor", "Unit", "Whole map", "7"] in page.rows
    assert ["land surface temperature", "–", "263", "–"] in page.rows
    assert page.text.count("Source: zones.csv") == 3
    stack = {"tool": "predictorstack", "results": {"predictors": [{"role": "lst", "unit": "10^-3 cm3"}]}}
    many = Page(full_page(zone_rows=[*ZONES, *(dict(ZONES[1], zone=f"zone {n}") for n in range(5))], steps=[stack]))
    assert ["Zone", "13 (km²)"] in many.rows and ["zone 4", "0"] in many.rows
    assert ["Zone", "land surface temperature (10⁻³ cm³)"] in many.rows and ["Whole map", "263"] in many.rows
    # the table of zones says itself what its means are in; older ones do not
    own = {"tool": "summarizezones", "results": {"units": {"area_km2": "km²", "mean_lst": "degC"}}}
    for steps, unit in (([stack, own], "°C"), ([own, stack], "°C"), ([stack, {"tool": "summarizezones"}], "10⁻³ cm³")):
        assert ["land surface temperature", unit, "263", "–"] in Page(full_page(zone_rows=ZONES, steps=steps)).rows
    short = [{"zone": "a", "area_km2": 1.0, "first_rank": 11.0}]
    assert ["a", "1", "11"] in Page(full_page(zone_rows=short)).rows


def metric(section, line, value, n=None, meaning=""):
    return {"section": section, "line": line, "value": value, "n": n, "meaning": meaning}


def reach_rows():
    rows = [metric("area of applicability", "threshold of the dissimilarity index", 0.2712)]
    for place, inside, outside in (("all ranks", 3000.0, 1000.0), ("rank 11", 2400.0, 100.0),
                                   ("rank 40", 600.0, 900.0)):
        rows += [metric("area of applicability", f"inside: {place}", inside, inside / 10),
                 metric("area of applicability", f"outside: {place}", outside, outside / 10),
                 metric("area of applicability", f"share outside: {place}", 100 * outside / (inside + outside))]
    return rows


BLOCKS = {"line": "spatial-block cross-validation (500 km)", "value": 44.934, "low": 43.71, "high": 46.166, "n": 6000,
          "meaning": ""}
VOTE = {"line": "out-of-bag vote", "value": 69.871, "low": 68.7, "high": 71.0, "n": 6000, "meaning": ""}


def test_the_area_of_applicability_says_which_accuracy_holds_inside():
    page = Page(full_page(metrics_rows=[VOTE, BLOCKS], map_rows=reach_rows(), applicability_png=PNG,
                          sources={"applicability": "/x/aoa.tif", "metrics": "/x/metrics.csv"}))
    assert ("inside the area of applicability its accuracy holds (44.93 %, 95 % interval 43.71 to 46.17 %), and not "
            "the 69.87 % of the out-of-bag vote; outside it no accuracy is known." in page.text)
    assert "above a dissimilarity index of 0.271." in page.text
    table = [row for row in page.rows if row[0] in ("11", "40", "All ranks") and len(row) == 6]
    assert table == [["11", "4.00", "100", "10", "2,400", "240"], ["40", "60.00", "900", "90", "600", "60"],
                     ["All ranks", "25.00", "1,000", "100", "3,000", "300"]]
    assert "Source: aoa.tif" in page.text and page.text.count("The area of applicability of the predicted map") == 1
    # the numbers may be there without the map, and the map without the numbers
    assert "All ranks" in full_page(map_rows=reach_rows())
    alone = Page(full_page(metrics_rows=[VOTE], applicability_png=PNG))
    assert "the accuracy of that cross-validation holds, which was not given here; outside it no accuracy" in alone.text
    lines = [dict(BLOCKS, low=None, high=None)]
    assert "its accuracy holds (44.93 %); outside it" in Page(full_page(metrics_rows=lines, map_rows=reach_rows())).text


def test_agreement_stands_by_latitude_and_by_zone_with_its_range():
    rows = []
    for place, same, near, cells in (("all", 66.66, 80.0, 300), ("50 to 55° N", 54.321, 70.04, 100),
                                     ("70 to 75° N", 73.97, 91.0, 200)):
        rows += [metric("agreement by latitude", f"agreement: latitude {place}", same, cells, "Map and index, 25 km."),
                 metric("agreement by latitude", f"within one rank: latitude {place}", near, cells),
                 metric("agreement by latitude", f"compared: latitude {place}", 625.0 * cells, cells)]
    compared = [{"compared_cells": cells, "compared_km2": 625.0 * cells, "agreement_percent": same,
                 "within_one_percent": near} for cells, same, near in ((300.0, 66.66, 80.0), (250.0, 71.23, 85.0))]
    zones = [{**zone, **more} for zone, more in zip(ZONES, compared)]
    zones += [dict(zones[1], zone="tundra", agreement_percent=60.0),
              dict(zones[1], zone="off", compared_cells=0.0, agreement_percent=None, within_one_percent=None)]
    page = Page(full_page(map_rows=rows, zone_rows=zones))
    assert ["All latitudes", "300", "187,500", "66.7", "80.0"] in page.rows
    assert ["50 to 55° N", "100", "62,500", "54.3", "70.0"] in page.rows
    assert "By latitude the agreement runs from 54.3 % (50 to 55° N) to 74.0 % (70 to 75° N)." in page.text
    assert ["Whole map", "300", "187,500", "66.7", "80.0"] in page.rows
    assert not any(row[0] == "off" and len(row) == 5 for row in page.rows)
    assert "By zone the agreement runs from 60.0 % (tundra) to 71.2 % (7)." in page.text
    for parameters, told in (({"REFERENCE": "i.tif", "MODEL": "m", "BUFFER_KM": 40.0}, " that lie 40 km or more from"),
                             ({"REFERENCE": "i.tif", "MODEL": None}, ", near training points too")):
        steps = [{"tool": "summarizezones", "parameters": parameters}]
        assert f"on all cells with a rank in both{told}" in Page(full_page(zone_rows=zones, steps=steps)).text


def test_the_comparison_of_profiles_has_a_table_a_section():
    rows = [{"section": "summary", "item": "same rank", "from_rank": None, "to_rank": None, "cells": 9.0,
             "area_km2": 900.0, "share_percent": 90.0},
            {"section": "transition", "item": None, "from_rank": 11.0, "to_rank": 0.0, "cells": 1.0,
             "area_km2": 100.0, "share_percent": 10.0},
            {"section": "other", "item": "x", "from_rank": None, "to_rank": None, "cells": 2.0, "area_km2": 5.0,
             "share_percent": 1.0}]
    page = Page(full_page(comparison_rows=rows))
    assert ["Item", "Cells", "Area (km²)", "Share of the area (%)"] in page.rows
    assert ["same rank", "9", "900", "90.00"] in page.rows
    assert ["11", "no rank", "1", "100", "10.00"] in page.rows and ["x", "2", "5", "1.00"] in page.rows
    assert "Comparison of the profiles: from rank to rank" in page.text


def test_departures_are_told_with_their_steps_and_reasons():
    index = {"tool": "buildpti", "inputs": [{"role": "MAGT_TREND", "path": "x", "step": 1}],
             "choices": {"COLD": -4.0, "COOL": -1.5, "WARM": 3, "ISOLATED": 10, "EXCLUDE_CODES": "210, 220",
                         "report_untestable_trend": True}}
    page = Page(full_page(steps=[{**TREND, "choices": {"METHOD": "hirsch_slack"}}, index]))
    for departure in profiles.ALWAYS:
        assert list(departure) in page.rows
    assert ["COLD", "-4", "-3", "2.2.3", "Set by the user.", "buildpti", "2"] in page.rows
    told = [row for row in page.rows if row[0] == "report untestable trend"]
    assert told[0][1:4] == ["yes", "no", "not stated"] and told[0][4].startswith("A trend that too few years")
    assert ["hirsch_slack", "original"] in [row[1:3] for row in page.rows if row[0] == "METHOD"]
    assert not [row for row in page.rows if row[:1] == ["COOL"]]
    assert "the record of step 1 (trendrasters) does not hold ALPHA" in page.text
    assert "there is no record of samplepoints" in page.text
    assert "no choice that the paper states was made otherwise" not in page.text


def test_the_change_with_later_trends_is_told_in_a_line_and_a_table():
    def row(item, share):
        return {"section": "summary", "item": item, "from_rank": None, "to_rank": None, "cells": 100 * share,
                "area_km2": 1000 * share, "share_percent": share}

    rows = [row("ranked in either", 100.0), row("different rank", 17.5), row("higher in second map", 5.25),
            row("lower in second map", 12.25),
            {"section": "transition", "item": None, "from_rank": 11.0, "to_rank": 12.0, "cells": 5.0, "area_km2": 9.0,
             "share_percent": 1.0},
            {"section": "runs", "item": "trendrasters (MAGT_TREND): FIRST_YEAR", "first": 0.0, "second": 2003.0}]
    page = Page(full_page(start_rows=rows))
    assert "from 2003 on instead, 17.50 % of the ranked area (1,750 cells) has another rank" in page.text
    assert "5.25 % a higher one, 12.25 % a lower one" in page.text
    assert ["trendrasters (MAGT_TREND): FIRST_YEAR", "0", "2003"] in page.rows
    assert "trends from a later year" not in Page(full_page()).text


def test_the_gaps_between_the_lines_of_the_panel_are_explained_with_their_size():
    lines = [*METRICS, {"line": "spatial-block cross-validation (500 km)", "value": 44.93, "n": 5, "meaning": ""},
             {"line": "random 5-fold cross-validation", "value": 67.33, "n": 5, "meaning": ""}]
    text = Page(full_page(metrics_rows=lines)).text
    assert "Spatial-block cross-validation lies 22.40 points below the random one" in text
    assert "its own sample lies 29.95 points above the out-of-bag vote" in text
    assert "Spatial-block cross-validation lies" not in Page(full_page()).text


def test_inputs_say_which_step_made_them_and_long_series_are_cut():
    many = [{"role": "INPUT", "path": f"/x/day_{number:03}.tif", "size_bytes": 5} for number in range(MOST_INPUTS + 70)]
    step = {"tool": "compositeseries", "inputs": [{"role": "BASE", "path": "/x/base.tif", "step": 1}, *many],
            "parameters": {"INPUT": [entry["path"] for entry in many]}}
    page = Page(full_page(steps=[RECORD, step]))
    assert ["BASE", "base.tif", "1", "–", "–"] in page.rows
    assert "71 more stand in the record" in page.text and "day_050.tif" not in page.text
    assert f"day_{MOST_INPUTS - 1:03}.tif and 70 more" in page.text


def test_numbers_in_sentences_of_the_log_are_set_as_in_the_tables():
    page = Report("Title")
    page.paragraph("r = -0.83, 42% (p = 4.1e-07), 2000-2016, a-1.tif, https://x.org/-3 ends.")
    assert ("r = −0.83, 42\u00a0% (p = 4.1 × 10⁻⁷), 2000-2016, a-1.tif, https://x.org/-3 ends."
            in Page(page.to_html()).text)


def test_no_folder_of_this_machine_is_on_the_page():
    step = dict(RECORD, parameters={"A": "/home/me/a.tif", "B": 'NETCDF:"/home/me/b.nc":T2m', "C": ["D:\\me\\c.tif"]},
                outputs={"OUTPUT": "/home/me/d.tif"})
    text = full_page(steps=[step], sources={"map": "/home/me/map.tif", "record": "/home/me/x.provenance.json"})
    assert "/home" not in text and "\\me" not in text
    assert 'NETCDF:&quot;b.nc&quot;:T2m' in text and "c.tif" in text and "x.provenance.json" in text


def contrast(one, other):
    light, dark = sorted((relative_luminance(one), relative_luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_all_text_stands_out_from_its_ground_in_light_dark_and_print():
    style = re.search("<style>(.*?)</style>", Report("T").to_html(), re.S).group(1)
    schemes = [dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{3,6})\b", rules))
               for rules in re.findall(r":root\{(.*?)\}", style, re.S)]
    assert len(schemes) == 3
    for scheme in schemes:
        scheme = {name: value if len(value) == 7 else "#" + "".join(2 * digit for digit in value[1:])
                  for name, value in scheme.items()}
        for ink, ground in (("ink", "paper"), ("ink", "soft"), ("ink", "warn"), ("muted", "paper"), ("muted", "soft"),
                            ("link", "paper"), ("link", "soft"), ("link", "warn")):
            assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground, scheme)
    for rank in RANKS:
        assert contrast(rank.colour, text_colour_on(rank.colour)) >= 4.5, rank


def test_paper_holds_what_the_page_holds():
    page = full_report(zone_rows=ZONES, selection_rows=SELECTION, calibration_rows=CALIBRATION)
    markup, pictures = print_version(page)
    screen, paper = Page(page.to_html()), Page(markup)

    def told(reader):
        return [[re.sub(r"\s", "", cell) for cell in row] for row in reader.rows]

    boxed = [re.sub(r"\s", "", warning) for warning in ("look here", "values were multiplied by 100")]
    assert [row for row in told(paper) if not any(warning in "".join(row) for warning in boxed)] == told(screen)
    assert len(pictures) == len(screen.all("img")) == len(paper.all("img"))
    assert {image["src"] for image in paper.all("img")} == set(pictures)
    for title in [title for level, title in screen.headings if level == 2]:
        assert title in paper.text
    doubled, _ = print_version(page, 2.0)
    assert int(Page(doubled).all("img")[0]["width"]) == 2 * int(paper.all("img")[0]["width"])


def test_the_pages_read_as_they_were_looked_at():
    # values with more digits than any column shows
    def long(row):
        return {key: value + 0.123456 if isinstance(value, float) and value == value else value
                for key, value in row.items()}

    before = [{**row, "section": "calibration before", "value": row["value"] + 10} for row in CALIBRATION]
    temperature = {"section": "temperature", "line": "temperature of the probabilities", "value": 0.7451234,
                   "low": None, "high": None, "n": 9, "expected": None, "meaning": "Made surer."}
    compared = [{"compared_cells": 300.0, "compared_km2": 187500.0, "agreement_percent": 66.66789,
                 "within_one_percent": 80.12345}] * 2
    latitudes = [metric("agreement by latitude", f"{kind}: latitude {place}", value, cells, "Map and index, 25 km.")
                 for place, cells, same in (("all", 300, 66.66789), ("50 to 55° N", 100, 54.32109),
                                            ("70 to 75° N", 200, 73.97531))
                 for kind, value in (("agreement", same), ("within one rank", same + 9), ("compared", 625.0 * cells))]
    transition = {"section": "transition", "item": None, "from_rank": 11.0, "to_rank": 12.0, "cells": 1.0,
                  "area_km2": 100.4567, "share_percent": 10.04567}
    compares = [{"section": "summary", "item": item, "from_rank": None, "to_rank": None, "cells": 1234.0,
                 "area_km2": 98765.4321, "share_percent": share} for item, share in (
                     ("same rank", 90.01234), ("ranked in either", 100.0), ("different rank", 17.51234),
                     ("higher in second map", 5.25123), ("lower in second map", 12.26123))]
    runs = {"section": "runs", "item": "trendrasters (MAGT_TREND): FIRST_YEAR", "first": 0.0, "second": 2003.0}
    index = {"tool": "buildpti", "inputs": [{"role": "MAGT_TREND", "path": "x", "step": 2}],
             "choices": {"COLD": -4.0, "COOL": -1.5, "WARM": 3, "ISOLATED": 10, "EXCLUDE_CODES": "210, 220",
                         "report_untestable_trend": True}}
    stack = {"tool": "predictorstack", "inputs": [{"role": "LST_TREND", "path": "/x/slope.tif", "step": 2}],
             "results": {"predictors": [{"role": "lst", "unit": "K"}]}}
    lines = [*map(long, METRICS), long(BLOCKS), long(VOTE), {
        "line": "random 5-fold cross-validation", "value": 67.33333, "low": 66.0, "high": 69.0, "n": 5, "meaning": ""}]
    areas = [{**metric(area_comparison.SECTION, f"{kind} area of rank {rank}", value, 5), "unit": "km²"}
             for rank, values in ((11, (900123.4, 1000234.5, 950345.6)), (40, (0.0, 10.6, 5.5)))
             for kind, value in zip(("conceptual", "predicted", "adjusted"), values)]
    areas.append({**metric(area_comparison.SECTION, "net area that changes its rank", 12.34567, 5, "Of both."),
                  "unit": "%"})
    covered = [metric(coverage.SECTION, f"{kind}: rank {rank}, latitude {latitude}", value + shift, 12 + shift,
                      "steep" if kind == "not_predicted" else "")
               for shift, (rank, latitude) in enumerate((("all", "all"), (11, "all"), ("all", "70 to 75° N")))
               for kind, value in (("ranked", 1000.4), ("sampled", 10.6), ("predicted", 900.5), ("incomplete", 44.4),
                                   ("not_predicted", 99.9))]
    stations = SimpleNamespace(
        rows=[{**row, "map_magt": row["magt"] + miss, "magt_diff": miss} for row, miss in
              zip(STATIONS.rows, (0.25, -1.5, 0.125, 3.0, 0.0))],
        summary={**STATIONS.summary, "cold_below": -3.0, "cool_up_to": -1.5, "warm_up_to": 3.0,
                 "within": {**share(0, 1), "of": 0},
                 "magt": {"bias": -0.12345, "rmse": 1.23456, "mae": 0.98765, "r": 0.87654, "n": 5},
                 "kendall": {"r": 0.51234, "p": 0.0123456, "n": 26, "low": None, "high": None, "method": "Kendall"},
                 "tier_confusion": {"labels": ["cold", "cool"], "matrix": [[3, 1], [0, 12]]}},
        sentences=STATIONS.sentences, warnings=[], side_by_side=[
            {"map": name, "kind": "map", "with_rank": 26, "ranks_compared": 25, "exact_percent": 12.3456,
             "within_one_percent": 45.6789, "spearman": -0.694321, "tiers_compared": 24, "tier_percent": 65.4321,
             "magt_compared": 23, "magt_bias": -0.123456, "magt_rmse": 1.234567, "magt_mae": mae}
            for name, mae in (("a.tif", 0.987654), ("b.tif", None))])
    names = ("map", "areas", "zones", "stations", "metrics", "shap", "confusion", "selection", "comparison",
             "applicability", "record", "side_by_side")
    everything = full_report(
        area_rows=list(map(long, AREAS)), zone_rows=[{**long(zone), **more} for zone, more in zip(ZONES, compared)],
        metrics_rows=lines, map_rows=[*map(long, reach_rows()), *latitudes, *areas, *covered], applicability_png=PNG,
        station_result=stations,
        selection_rows=SELECTION, calibration_rows=[temperature, *CALIBRATION, *before],
        comparison_rows=[*compares, transition], start_rows=[*compares, transition, runs],
        steps=[RECORD, {**TREND, "choices": {"METHOD": "hirsch_slack"}}, index, stack],
        citations=[("calm.tab", "Someone 2020, PANGAEA", "CC-BY")],
        sources={name: f"/some/folder/{name}.csv" for name in names})
    pages = [everything, full_report(), validation_report(), full_report(
        station_result=None, metrics_rows=[dict(long(VOTE), low=None, high=None)], map_rows=reach_rows(),
        zone_rows=[ZONES[0], *(dict(ZONES[1], zone=f"zone {number}") for number in range(8))])]
    assert_as_looked_at("report_pages.txt", "\n".join(page_text(page.to_html()) for page in pages))
    assert_as_looked_at("report_print.txt", page_text(print_version(everything)[0]))
