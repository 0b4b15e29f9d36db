"""What is read back from files is of its shape or refused in a sentence, and no text of it is ever an order."""

import csv
import html
import io
import json
import math
import os
import re

import numpy as np
import pytest
from osgeo import gdal, osr
from received import PLANTED, TABLES, a_record, beside, report_of, written

from pti_plugin.core.common import escapes, schema
from pti_plugin.core.common.errors import InputError, PtiError
from pti_plugin.core.common.provenance import collect_records, to_json
from pti_plugin.core.common.schema import check, listed, named, number, optional, plain, record, text
from pti_plugin.core.common.styles import palette_qml
from pti_plugin.core.common.tables import read_csv, to_csv
from pti_plugin.core.insitu.map_thresholds import map_thresholds
from pti_plugin.core.insitu.station_files import read_stations
from pti_plugin.core.learning.class_weights import areas_of_table
from pti_plugin.core.mapping.drivers import legend
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.reporting import figures
from pti_plugin.core.reporting.report_print import print_version
from pti_plugin.core.reporting.report_steps import mean_units
from pti_plugin.core.reporting.report_tables import SHAPES, read_table
from pti_plugin.core.samples.sample_file import read_sample_features

# ---- shapes ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("rule", "good", "bad"), [
    (number(), [0, -1.5, 10**30], [None, True, "1", math.nan, math.inf, [1]]),
    (number(0, 5, whole=True), [0, 5, 3.0], [-1, 6, 2.5, 10**400]),
    (text(3), ["", "abc", "äöü"], ["abcd", 5, None, "a\0", "\ud800", "\x1b[1"]),
    (text(among=("a", "b")), ["a"], ["c"]), (text(pattern="[a-f]+"), ["abc"], ["abx", ""]),
    (text(empty=False), ["a"], [""]), (optional(number()), [None, 1], ["x"]), (schema.flag, [True, False], [0, None]),
    (schema.one_of(number(), text()), [1, "a"], [None, []]),
    (listed(number(), 1, 2), [[1], (1, 2)], [[], [1, 2, 3], "ab", {"a": 1}, ["x"]]),
    (record({"a": number()}, {"b": text()}, number()), [{"a": 1}, {"a": 1, "b": "x", "c": 2}],
     [{}, {"a": "x"}, {"a": 1, "b": 1}, {"a": 1, "c": "x"}, []]),
    (named(text(2), number(), 2), [{}, {"a": 1}], [{"abc": 1}, {"a": "x"}, {"a": 1, "b": 1, "c": 1}, 5]),
    (plain(2), [1, "x", None, [1, {"a": 2}]], [[[[1]]], math.nan, object(), {"a\0": 1}])])
def test_a_value_keeps_its_rule_or_is_told(rule, good, bad):
    for value in good:
        assert check(value, rule, "The file x") is value
    for value in bad:
        with pytest.raises(InputError, match="^The file x: .*[.]$") as told:
            check(value, rule, "The file x")
        assert "\0" not in str(told.value) and "\x1b" not in str(told.value)
        str(told.value).encode("utf-8")


def test_a_message_names_the_place():
    rule = record({"features": listed(record({"name": text(5)}))})
    with pytest.raises(InputError, match=r"features\[1\]\.name is '7', not a text"):
        check({"features": [{"name": "a"}, {"name": 7}]}, rule, "m")


@pytest.mark.parametrize("given", ["{", "[" * 100_000, '{"a": 1, "a": 2}', "1" * 10_000, ""])
def test_text_that_is_no_json_is_refused(given):
    with pytest.raises(InputError, match="no JSON text"):
        schema.from_json(given, "m")


# ---- tables ---------------------------------------------------------------------------------------------------------

def test_tables_come_back_as_they_were_written(tmp_path):
    learned = {name: read_table(name, written(tmp_path / name, rows)) for name, rows in TABLES.items()}
    for name, rows in TABLES.items():
        for row, found in zip(rows, learned[name]):
            assert {key: found[key] for key in row} == row
    assert "61.50" in report_of(learned).to_html()


@pytest.fixture
def no_figures(monkeypatch):
    """Figures are drawn in tests of their own."""
    for figure in ("accuracy_panel_plot", "area_estimates_plot", "calibration_plot", "confusion_matrix", "rfecv_curve",
                   "shap_bars"):
        monkeypatch.setattr(f"pti_plugin.core.reporting.report_model.{figure}",
                            lambda *_: b"\x89PNG" + bytes(12) + b"\0\0\0\x01" * 2)


def odd_cell(rng):
    return ["", "nan", "inf", "-inf", "1e999", "1_0", "x", "-1", "99", "1e300", "0", "2", "None", "accuracy",
            "confusion", "coverage", "calibration", "temperature", "feature", "true", "a\0b", "\ud7ff",
            "é" * 30_000, "11", "100.5", "classified x, reference 11",
            "predicted: rank all, latitude all", *PLANTED][rng.integers(0, 46) % 46]


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_refused_in_a_sentence_or_shown(tmp_path, no_figures, name):
    """Cells exchanged, rows and columns dropped or doubled."""
    lines = list(csv.reader(io.StringIO(to_csv(TABLES[name], list(dict.fromkeys(
        key for row in TABLES[name] for key in row))))))
    shown = 0
    for seed in range(120):
        rng = np.random.default_rng((9, seed))
        table = [list(line) for line in lines]
        for _ in range(rng.integers(1, 4)):
            row = rng.integers(0, len(table))
            kind = rng.integers(0, 8)
            if kind < 5 and table[row]:
                table[row][rng.integers(0, len(table[row]))] = odd_cell(rng)
            elif kind == 5:
                table[row] = table[row][:-1]
            elif kind == 6:
                table[row] = table[row] + [odd_cell(rng)]
            else:
                table.insert(row, list(table[row]))
        stream = io.StringIO()
        csv.writer(stream).writerows(table)
        path = tmp_path / "t.csv"
        path.write_bytes(stream.getvalue().encode("utf-8", "surrogatepass"))
        try:
            page = report_of({name: read_table(name, str(path))})
            page.to_html()
            print_version(page)
            shown += 1
        except PtiError as error:
            assert "t.csv" in str(error) and str(error).endswith(".")
    assert shown


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"\xff\xfe", b"section,line\n\0", b"a,a\n1,2\n", b"\n\n",
                                     b'section,line,value\n"open', b"section,line,value\naccuracy,x,y\n",
                                     b"section,line,value\naccuracy,x,101\n", b"section,line,value,extra\na,b,1,2,3\n"])
def test_a_file_that_is_no_table_of_metrics_is_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match="t.csv"):
        read_table("METRICS", str(tmp_path / "t.csv"))


def test_a_table_may_not_be_endless(tmp_path, monkeypatch):
    monkeypatch.setattr("pti_plugin.core.common.tables.MOST_ROWS", 10)
    (tmp_path / "t.csv").write_text("rank,area_km2\n" + "11,1\n" * 11, encoding="utf-8")
    with pytest.raises(InputError, match="no table of this plugin has more than 10 rows"):
        areas_of_table(tmp_path / "t.csv")
    monkeypatch.setattr("pti_plugin.core.common.tables.MOST_BYTES", 10)
    with pytest.raises(InputError, match="no table of this plugin has more than 10:?"):
        areas_of_table(tmp_path / "t.csv")


def test_features_of_the_report_are_few_enough_to_draw(tmp_path):
    rows = [{**TABLES["SHAP"][0], "name": f"p{i}"} for i in range(501)]
    with pytest.raises(InputError, match="501 predictors"):
        read_table("SHAP", written(tmp_path / "t.csv", rows))


@pytest.mark.parametrize("change", [
    {"features": [{"name": "a", "group": "g", "categorical": 1, "low": None, "high": None}]},
    {"features": [{"name": "a\0", "group": "g", "categorical": False, "low": None, "high": None}]},
    {"features": [{"name": "a", "group": "g", "categorical": False, "low": "x", "high": None}]},
    {"features": [{"name": "a", "group": "g", "categorical": False, "low": None, "high": None}] * 2},
    {"features": {}}, {"version": "1"}, {"version": None}, {"area_km2": {"7": 1}}, {"area_km2": {"11": -1}},
    {"area_km2": 5}])
def test_what_came_with_a_sample_is_of_its_shape(tmp_path, change):
    good = {"version": 1, "features": [{"name": "a", "group": "g", "categorical": False, "low": 0.0, "high": 1.0}],
            "area_km2": {"11": 5.0}}
    (tmp_path / "s.geojson.features.json").write_text(json.dumps(good), encoding="utf-8")
    assert read_sample_features(tmp_path / "s.geojson")[1] == {11: 5.0}
    (tmp_path / "s.geojson.features.json").write_text(json.dumps({**good, **change}), encoding="utf-8")
    with pytest.raises(InputError, match="damaged|have version"):
        read_sample_features(tmp_path / "s.geojson")


@pytest.mark.parametrize("given", ["[" * 100_000, "1" * 6000, "\ud800", "NaN"])
def test_a_statement_that_is_no_json_is_refused(tmp_path, given):
    (tmp_path / "s.geojson.features.json").write_bytes(given.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="damaged|cannot be read"):
        read_sample_features(tmp_path / "s.geojson")


# ---- records --------------------------------------------------------------------------------------------------------

def test_a_record_is_found_and_its_numbers_that_are_none_do_not_matter(tmp_path):
    assert len(collect_records([beside(tmp_path, a_record(results={"share": math.nan}))])) == 1


@pytest.mark.parametrize("content", [
    b"", b"\xff\xfe", b"[1]", b"null", b"[" * 100_000, b'"x"', json.dumps({"tool": "x"}).encode(),
    *(json.dumps(a_record(**change)).encode() for change in (
        {"tool": 5}, {"tool": ["x"]}, {"outputs": []}, {"outputs": {"OUTPUT": 7}}, {"outputs": {"OUTPUT": "map.tif\0"}},
        {"inputs": "x"}, {"inputs": [1]}, {"inputs": [{"path": "a\0b"}]}, {"inputs": [{"path": 5}]},
        {"inputs": [{"path": "a", "size_bytes": "many"}]}, {"inputs": [{"path": "a", "sha256": "x"}]},
        {"parameters": []}, {"parameters": {"PRODUCT": []}}, {"warnings": [5]}, {"warnings": "x"}, {"versions": 1},
        {"results": "x"}, {"departures_from_the_paper": {"a": 1}}, {"profile": {}}, {"plugin_version": [1]},
        {"tool": "trendrasters", "results": {"cells": {"up": "x"}}}, {"tool": "trendrasters", "results": {"method": 1}},
        {"tool": "trendrasters", "parameters": {"PERIOD": "x"}},
        {"tool": "predictorstack", "results": {"predictors": 5}},
        {"tool": "predictorstack", "results": {"predictors": [1]}},
        {"tool": "summarizezones", "results": {"units": ["x"]}}, {"results": {"a": "\ud800"}}))], ids=str)
def test_a_damaged_record_is_none(tmp_path, content):
    assert collect_records([beside(tmp_path, content)]) == []


def test_changed_records_never_break_the_report(tmp_path):
    """Values anywhere in records of the tools that the report tells of."""
    bases = [a_record(), a_record(tool="trendrasters", parameters={"PERIOD": 12, "ALPHA": 0.05}, results={
        "cells": {"up": 5, "down": 1, "none": 3, "few": 1, "risky": 1}, "method": "original", "first": 1990,
        "last": 2000, "layers": 5}),
        a_record(tool="predictorstack", results={"predictors": [{"role": "lst", "unit": "K"}]}),
        a_record(tool="summarizezones", results={"units": {"mean_lst": "K"}}), a_record(departures_from_the_paper={
            "smoothing": {"used": True, "as_published": False}})]
    odd = (None, True, -1, 1e308, "x", "", [], {}, [1], {"a": 1}, "[% 1 %]", 10**20, [None], {"a": {"b": []}})
    told = 0
    for seed in range(300):
        rng = np.random.default_rng((31, seed))
        content = json.loads(json.dumps(bases[seed % len(bases)]))
        parent = content
        while True:
            keys = list(parent) if isinstance(parent, dict) else range(len(parent))
            key = keys[rng.integers(0, len(keys))]
            if not isinstance(parent[key], (dict, list)) or not parent[key] or rng.random() < 0.4:
                break
            parent = parent[key]
        parent[key] = odd[rng.integers(0, len(odd))]
        path = beside(tmp_path, content)
        steps = collect_records([path])
        page = report_of({}, steps=steps)
        page.to_html()
        print_version(page)
        map_thresholds(path)
        told += bool(steps)
    assert told > 50


def test_a_unit_that_a_record_leaves_open_is_none(tmp_path):
    path = beside(tmp_path, a_record(tool="summarizezones", results={"units": {"mean_lst": None, "mean_snow": "%"}}))
    assert mean_units(collect_records([path])) == {"lst": "", "snow": "%"}


@pytest.mark.parametrize("last", ["runs,,,,,", "runs,trendrasters: FIRST_YEAR,,,,2003"])
def test_a_comparison_may_tell_little_of_the_runs(tmp_path, last):
    (tmp_path / "t.csv").write_text(
        "section,item,cells,area_km2,share_percent,first\n" + "".join(
            f"summary,{item},3,2.5,50,\n" for item in ("different rank", "higher in second map",
                                                       "lower in second map")) + last + "\n", encoding="utf-8")
    page = report_of({"START_COMPARISON": read_table("START_COMPARISON", str(tmp_path / "t.csv"))})
    assert "of other years" in page.to_html() and print_version(page)


def test_thresholds_that_no_index_has_are_not_taken(tmp_path):
    path = beside(tmp_path, a_record(parameters={"COLD": 5.0, "COOL": -1.5, "WARM": 3.0, "ISOLATED": 10.0}))
    assert map_thresholds(path)[1].startswith("as in the paper")


def test_a_name_that_is_no_text_is_written_and_read_back(tmp_path):
    given = a_record(outputs={"OUTPUT": "map.tif", "OTHER": os.fsdecode(b"\xff.tif")})
    found = collect_records([beside(tmp_path, to_json(given, tmp_path).encode("utf-8"))])
    assert found[0]["outputs"] == given["outputs"]


# ---- layers ---------------------------------------------------------------------------------------------------------

def small_raster(path, **items):
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 4, 4, 1)
    dataset.SetGeoTransform((500_000, 100, 0, 7_000_000, 0, -100))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32633)
    dataset.SetProjection(reference.ExportToWkt())
    dataset.GetRasterBand(1).WriteArray(np.ones((4, 4)))
    dataset.GetRasterBand(1).SetMetadata(items)
    return str(path)


def test_a_crs_that_is_no_text_is_refused(tmp_path):
    small_raster(tmp_path / "a.tif")
    gdal.Translate(str(tmp_path / "a.vrt"), str(tmp_path / "a.tif"), format="VRT")
    content = (tmp_path / "a.vrt").read_bytes()
    assert b"zone 33N" in content
    (tmp_path / "a.vrt").write_bytes(content.replace(b"zone 33N", b"zone \xff\xfe\xc3("))
    with pytest.raises(InputError, match=r"The CRS of the raster .*a\.vrt holds bytes that are no text"):
        read_info(str(tmp_path / "a.vrt"))


def test_the_legend_of_drivers_is_what_this_plugin_writes_or_nothing(tmp_path):
    path = small_raster(tmp_path / "d.tif", PTI_CLASS_3="#aabbcc thermal: x", PTI_CLASS_x="#aabbcc y",
                        PTI_CLASS_4="red thermal", PTI_CLASS_5="#aabbcc", PTI_CLASS_6="#zzzzzz y", PTI_CLASS_99999="")
    assert legend(path) == {3: ("thermal: x", "#aabbcc")}


# ---- text is text ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("planted", [*PLANTED, "'=1", "''=1", "'", "plain", "-", "=", "-1.5e3", "+2", "\u22121",
                                     "\uff1d1"])
def test_a_cell_is_shown_and_comes_back(tmp_path, planted):
    content = to_csv([{"name": planted, planted: -1.5, "count": -3}])
    (tmp_path / "t.csv").write_text(content, encoding="utf-8", newline="")
    header, row = csv.reader(io.StringIO(content))
    for cell in (header[1], row[0]):
        assert not re.match(r"[=+\-@\t\r\n\uff1d]", cell) or re.fullmatch(r"[+-]?\d+(\.\d+)?(e\d+)?", cell)
    # numbers stay numbers
    assert row[1:] == ["-1.5", "-3"]
    found, = read_csv(tmp_path / "t.csv")
    assert found[planted] == -1.5
    assert found["name"] == (float(planted) if re.fullmatch(r"[-+]\d.*\d|[-+]\d", row[0]) else planted)


def test_nothing_planted_is_an_order_on_the_page(tmp_path, no_figures):
    """Every text of every table and of the record, in the page and in its form for paper."""
    for planted in PLANTED:
        learned = {}
        for name, rows in TABLES.items():
            words = SHAPES[name].words - {"section", "level"} - ({"line"} if name == "METRICS" else set())
            changed = [{key: planted if key in words and value else value for key, value in row.items()}
                       for row in rows]
            if name == "METRICS":
                changed[0]["line"] = planted
            if name == "COMPARISON":
                changed = [{**row, "section": planted} for row in changed]
            if name == "START_COMPARISON":
                changed[:3] = rows[:3]
            if name == "SELECTION":
                changed = [{**row, "source": "this run"} for row in changed]
            learned[name] = read_table(name, written(tmp_path / name, changed))
        step = a_record(tool=planted.strip(), plugin_version=planted.strip(), profile=planted.strip(),
                        warnings=[planted], parameters={planted: planted}, versions={planted: planted}, inputs=[
                            {"role": planted, "path": planted, "sha256": "0" * 64}], outputs={planted: planted})
        page = report_of(learned, steps=[step], title=planted, subtitle=planted, notes=[planted],
                         warnings=[planted], citations=[(planted, planted, planted)],
                         sources=dict.fromkeys(("metrics", "shap", "record", "zones"), planted))
        for markup in (page.to_html(), print_version(page)[0]):
            assert "<script" not in markup and "onerror=y>" not in html.unescape(re.sub("<[^>]*>", "", markup)) or (
                "<img src=x" not in markup)
            assert not re.search(r"<img (?!src=\"(data:|figure))", markup)
            if "<" in planted:
                assert html.escape(planted) in markup or html.escape(planted, quote=False) in markup


def test_figures_show_dollars_and_backslashes():
    """Each function with texts in each of its places; mathematics that is none would be an error."""
    planted = [*PLANTED, "a\nb", "\ud800", "a\0b"]
    count = len(planted)
    for each in (*PLANTED[:8], *planted[-2:]):
        figures.station_scatter([11], [11], each)
    assert figures.shap_bars(planted, planted, [2.0] * count, [1.0] * count)[:4] == b"\x89PNG"
    figures.confusion_matrix(np.eye(count), planted)
    figures.accuracy_panel_plot([{"line": each, "value": 5.0, "low": None, "high": None, "n": 1} for each in planted])
    figures.area_bars([{"rank": 11, "label": each, "area_km2": 5.0, "share_percent": 4.0} for each in planted])
    figures.area_estimates_plot([{"label": each, "mapped": 1.0, "area": 1.0, "low": None, "high": None}
                                 for each in planted], PLANTED[4])
    figures.magt_scatter([-1.0], [-1.5], PLANTED[6])


def test_a_dollar_is_drawn_as_a_dollar():
    """Two of them are set as mathematics unless they are escaped: x between them would be in italics."""
    matplotlib = pytest.importorskip("matplotlib")
    assert matplotlib.cbook.is_math_text("$x$") and not matplotlib.cbook.is_math_text(escapes.for_figure("$x$"))
    for planted in PLANTED:
        assert escapes.for_figure(planted).replace(r"\$", "$") == planted


def test_a_message_shows_nothing_that_a_screen_acts_on(tmp_path):
    """Names of columns, values and files, in whatever error."""
    path = tmp_path / os.fsdecode(b"st\x1b[2J\xff.csv")
    path.write_text("\x1b]0;x,latitude,longitude,year,alt_cm\nA,70,20,2001,50\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"st\ufffd\[2J\ufffd\.csv has no column .* columns are \ufffd]0;x") as told:
        read_stations(path, "alt")
    assert str(told.value).encode("utf-8")
    assert str(PtiError("a\0b\x7f\x9b\ud800\tc\rd\n")) == "a\ufffdb\ufffd\ufffd\ufffd\tc\ufffdd\n"


def test_styles_hold_names_as_text():
    from xml.etree import ElementTree

    for planted in (*PLANTED, "a\0b\x1b"):
        root = ElementTree.fromstring(palette_qml({1: (planted, (1, 2, 3))}).split("\n", 1)[1])
        label = next(root.iter("paletteEntry")).get("label")
        assert label == escapes.seen(planted).replace("\t", label[0] if planted[0] == "\t" else "\t")
