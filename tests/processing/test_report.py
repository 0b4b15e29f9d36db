"""The report of a run: every number of every table stands in the file its table names; the same on paper."""

import json
import re
from pathlib import Path

import pytest
from report_numbers import Checks, Page, check_report

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.ranks import CODES, TIERS
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.common.tables import read_csv, to_csv
from pti_plugin.core.reporting.report_page import Column, Report

ZONES = [{"zone": zone, "area_km2": 1234567.891 / n, "pp_area_km2": 1000000.5 / n, "cells": 2000 // n,
          "first_rank": 33, "first_percent": 45.678 / n, "second_rank": (11, None)[n - 1],
          "second_percent": (20.02, None)[n - 1], **{f"{tier}_percent": 25.04 + n for tier in TIERS},
          **{f"area_{code}_km2": 1000.6 * code / n for code in CODES}, "polygon_km2": (None, 800000.25)[n - 1],
          "mean_lst": 263.4567 / n, "compared_cells": 1500 // n, "compared_km2": 937500.4 / n,
          "agreement_percent": 66.654 / n, "within_one_percent": 81.23 / n}
         for n, zone in enumerate(("Whole map", "Northeast Siberian taiga"), 1)]
COMPARISON = [
    {"section": "summary", "item": "same rank", "from_rank": None, "to_rank": None, "cells": 700, "area_km2": 437500.6,
     "share_percent": 81.0249},
    {"section": "transition", "item": None, "from_rank": 11, "to_rank": 0, "cells": 164, "area_km2": 102500.4,
     "share_percent": 18.98},
    {"section": "leave_one_out", "item": "NIEER", "from_rank": None, "to_rank": None, "cells": 12, "area_km2": 7500.5,
     "share_percent": 1.3894, "cells_percent": 1.3888}]
SELECTION = [
    {"features": 4, "mean_accuracy": 55.5556, "sd_accuracy": 2.3456, "dropped_next": "soc", "chosen": 1,
     "source": "run"},
    {"features": 3, "mean_accuracy": 51.1151, "sd_accuracy": 2.2222, "dropped_next": None, "chosen": 0,
     "source": "run"},
    {"features": 12, "mean_accuracy": 57, "sd_accuracy": None, "dropped_next": None, "chosen": 1, "source": "paper"}]


@pytest.fixture(scope="module")
def finished(world, made, provider):
    """The outputs of the validation of the small world's index with all that a report can be given."""
    import processing

    folder = world.folder / "report"
    folder.mkdir()
    for name, rows in (("zones", ZONES), ("comparison", COMPARISON), ("selection", SELECTION)):
        (folder / f"{name}.csv").write_text(to_csv(rows, list(rows[-1])), encoding="utf-8")
    mapped = processing.run("pti:predictxgboost", {
        "STACK": world.stack, "MODEL": made["train"]["OUTPUT_MODEL"], "REFERENCE": made["index"]["OUTPUT"],
        "BUFFER_KM": 0, "OUTPUT": str(folder / "map.tif"), "OUTPUT_METRICS": str(folder / "mapped.csv"),
        "OUTPUT_APPLICABILITY": str(folder / "applicability.tif")})
    return processing.run("pti:validateboreholes", {
        "PTI": made["index"]["OUTPUT"], "STATIONS_MAGT": world.stations_magt, "STATIONS_ALT": world.stations_alt,
        "BASE": made["ensemble"]["OUTPUT_BASE"], "MAGT": made["ensemble"]["OUTPUT_MAGT"],
        "METRICS": mapped["OUTPUT_METRICS"], "APPLICABILITY": mapped["OUTPUT_APPLICABILITY"],
        "SHAP": made["train"]["OUTPUT_SHAP"],
        **{name.upper(): str(folder / f"{name}.csv") for name in ("zones", "comparison", "selection")},
        "OUTPUT": str(folder / "stations.gpkg"), "OUTPUT_TABLE": str(folder / "stations.csv"),
        "OUTPUT_REPORT": str(folder / "report.html"), "OUTPUT_PDF": str(folder / "report.pdf")})


def test_every_number_of_every_table_is_that_of_the_file_it_names(finished):
    folder = Path(finished["OUTPUT_REPORT"]).parent
    _, kinds = check_report(finished["OUTPUT_REPORT"], folder / "stations.provenance.json")
    # the small run changes none of the paper's parameters but the number of runs
    assert kinds == {method.__name__ for _, method in Checks.KNOWN}


def test_a_changed_number_or_an_unknown_table_is_found(finished):
    folder = Path(finished["OUTPUT_REPORT"]).parent
    record = json.loads((folder / "stations.provenance.json").read_text(encoding="utf-8"))
    checks = Checks({"zones.csv": folder / "zones.csv"}, record)
    text = (folder / "report.html").read_text(encoding="utf-8")
    for planted in (text.replace("1,234,568", "1,234,569"), text.replace("Zones: area", "A table: area")):
        assert planted != text
        with pytest.raises(AssertionError):
            checks(next(table for table in Page(planted).figures if ": area" in table["caption"]))


def test_the_steps_behind_the_map_are_all_there(finished):
    folder = Path(finished["OUTPUT_REPORT"]).parent
    record = json.loads((folder / "stations.provenance.json").read_text(encoding="utf-8"))
    tools = [step["tool"] for step in record["steps"]]
    assert sorted(tools) == ["buildpti", "ensemblepermafrost", "predictxgboost", "trainxgboost", "trendrasters",
                             "trendrasters"]
    assert {entry["role"] for entry in record["inputs"] if entry.get("step")} == {"PTI", "BASE", "MAGT", "METRICS",
                                                                                  "APPLICABILITY", "SHAP"}


def test_the_accuracy_inside_the_area_of_applicability_is_that_of_the_blocks_in_the_metrics(finished):
    folder = Path(finished["OUTPUT_REPORT"]).parent
    rows = read_csv(folder / "mapped.csv")
    blocks = next(row for row in rows if str(row["line"]).startswith("spatial-block"))
    vote = next(row for row in rows if row["line"] == "out-of-bag vote")
    text = (folder / "report.html").read_text(encoding="utf-8")
    interval = f"{blocks['low']:.2f} to {blocks['high']:.2f}"
    assert (f"its accuracy holds ({blocks['value']:.2f} %, 95 % interval {interval} %), and not "
            f"the {vote['value']:.2f} % of the out-of-bag vote; outside it no accuracy is known." in text)
    figure = next(figure for figure in Page(text).figures if "The area of applicability" in figure["caption"])
    assert figure["source"] == "Source: applicability.tif" and not figure["table"]


def test_the_report_on_paper_has_pages_and_no_time(finished):
    data = Path(finished["OUTPUT_PDF"]).read_bytes()
    assert data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", data)) > 8
    assert b"/CreationDate" not in data


def small_report():
    report = Report("A title")
    report.section("A section")
    report.table([Column("a", "A"), Column("b", "B", "km", 1)], [{"a": "x", "b": number} for number in range(90)], "C")
    report.section("At the end of a page")
    report.table(["a"], [["y"]], "D")
    return report


def test_the_same_report_on_paper_has_the_same_bytes(qgis_app, tmp_path):
    from pti_plugin.algorithms.report_pdf import write_pdf

    for name in ("one", "two"):
        with Staging() as staging:
            assert write_pdf(small_report(), str(tmp_path / f"{name}.pdf"), staging, Progress())
            staging.commit()
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()


def test_times_and_random_ids_are_blanked_at_the_same_length(qgis_app):
    from pti_plugin.algorithms.report_pdf import without_times

    def made(stamp, identity):
        return (b"1 0 obj << /Title (x)\n/CreationDate (D:" + stamp + b")\n/ModDate (D:" + stamp + b")\n>> trailer "
                b"/ID [ <" + identity + b"> <" + identity + b"> ] xmp:CreateDate=\"" + stamp
                + b"\" xmpMM:DocumentID=\"uuid:" + identity + b"\"")

    one, two = made(b"20260101000000Z", b"ab" * 16), made(b"20271231235959Z", b"0f" * 16)
    assert without_times(one) == without_times(two) and len(without_times(one)) == len(one)
    assert b"2026" not in without_times(one) and b"/Title (x)" in without_times(one)


def test_where_there_are_no_fonts_the_log_says_so_and_nothing_is_left(qgis_app, tmp_path, monkeypatch):
    from pti_plugin.algorithms import report_pdf

    monkeypatch.setattr(report_pdf.compat, "font_families", lambda database: [])
    progress = Progress()
    with Staging() as staging:
        assert not report_pdf.write_pdf(small_report(), str(tmp_path / "a.pdf"), staging, progress)
        staging.commit()
    assert list(tmp_path.iterdir()) == [] and "there are no fonts here" in progress.warnings[0]


@pytest.mark.parametrize("name", ["METRICS", "SHAP", "SELECTION", "ZONES", "COMPARISON"])
def test_a_table_of_another_kind_is_refused(run, world, made, tmp_path, name):
    from qgis.core import QgsProcessingException

    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(QgsProcessingException, match="other.csv has no column"):
        run("validateboreholes", {"PTI": made["index"]["OUTPUT"], "STATIONS_MAGT": world.stations_magt,
                                  name: str(tmp_path / "other.csv"), "OUTPUT": str(tmp_path / "s.gpkg"),
                                  "OUTPUT_REPORT": str(tmp_path / "r.html")})
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]
