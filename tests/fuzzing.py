"""Uses received files of every kind as the tools do: a program that tests send files to, one a line (user_process.py).

    fuzzing.py FOLDER      a scratch folder; what is used is {"kind": …, "path": …} and more by kind
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import small_world
from faults import load_qgis
from received import report_of
from user_process import answer

FOLDER = Path(sys.argv[1]) if __name__ == "__main__" else None
#: tool → the parameter that takes the received raster, and how many of its like beside it
RASTER_TOOLS = {"alignrasters": "INPUT", "trendrasters": "INPUT", "compositeseries": "INPUT", "slope": "INPUT",
                "depthmean": "INPUT", "ensemblepermafrost": "PP", "ensemblelandcover": "CCI", "buildpti": "MAGT",
                "predictorstack": "LST", "samplepoints": "STACK", "compareprofiles": "FIRST",
                "assessaccuracy": "CLASSIFIED", "summarizezones": "PTI"}
#: what draws the figures of the report
FIGURES = ("accuracy_panel_plot", "area_estimates_plot", "calibration_plot", "confusion_matrix", "rfecv_curve",
           "shap_bars")


# ---- how each kind is used ------------------------------------------------------------------------------------------

def use_raster(path):
    """Read all of a raster by the reader of all tools, as numbers and as classes, in its own grid and in another."""
    from pti_plugin.core.rasters.raster import CLASS, NUMBER, SourceReader, on_grid, read_info, source

    info = read_info(path)
    reader = SourceReader()
    refused = None
    try:
        for kind in (NUMBER, CLASS):
            for band in range(1, min(info.bands, 3) + 1):
                try:
                    item = source(path, kind, band=band, info=info)
                    reader.read(item, 0, min(info.grid.height, 64), 0, min(info.grid.width, 64))
                    reader.sample(item, 8)
                    reader.read(on_grid(item, read_info(world().pp[0]).grid), 0, 24, 0, 36)
                except Exception as error:
                    # a raster that is no classes may be numbers
                    refused = refused or _refusal(error)
    finally:
        reader.close()
    if refused:
        raise refused


def use_tool(path, tool, beside):
    """Run a tool with a received raster in one parameter, ``beside``: with a good one too."""
    given = dict(calls()[tool])
    name = RASTER_TOOLS[tool]
    several = isinstance(given.get(name), list)
    given[name] = [path, *(given[name][1:] if beside else [])] if several else path
    if tool == "compareprofiles":
        given = {"FIRST": path, "SECOND": path}
    if tool == "depthmean":
        given["LAYERS"] = "; ".join(f"{os.path.basename(file)}={i}-{i + 1}" for i, file in enumerate(given[name]))
    run(tool, given)


def use_layout(texts, page):
    """Lay out a page with received texts, and read its template again; no text of it may be an expression."""
    from xml.etree import ElementTree

    from qgis.core import QgsLayoutItemLabel, QgsPrintLayout, QgsProject, QgsReadWriteContext
    from qgis.PyQt.QtXml import QDomDocument

    from pti_plugin.algorithms.map_layout import PAGES, MapTexts, View, map_layout, template_text
    from pti_plugin.core.rasters.grid import epsg_wkt
    from pti_plugin.core.reporting.polar_map import polar_frame, rank_source

    frame = polar_frame(rank_source(index()), epsg_wkt(6931))
    project = QgsProject()
    layout, _ = map_layout(project, View(frame, frame.bounds, True), MapTexts(texts[0], texts[1], tuple(texts[2:])),
                           list(PAGES)[page % len(PAGES)])
    text = template_text(layout)
    ElementTree.fromstring(text.split("\n", 1)[1] if text.startswith("<!DOCTYPE") else text)
    document, again = QDomDocument(), QgsPrintLayout(project)
    assert document.setContent(text)[0], "the template is no XML that QGIS reads"
    again.loadFromTemplate(document, QgsReadWriteContext())
    for item in again.items():
        if isinstance(item, QgsLayoutItemLabel):
            assert "SECRET-OF-THE-USER" not in item.currentText(), item.text()


def use_model3(path):
    """Load a model of the modeler as the bundled one is loaded, and ask it what QGIS asks."""
    from pti_plugin.bundled_model import BundledModel

    model = BundledModel()
    if not model.fromFile(path):
        return
    model.explain()
    model.validate()
    str((model.displayName(), model.groupId(), model.tags(), model.helpUrl(), model.flags()))
    for definition in model.parameterDefinitions():
        str((definition.name(), definition.description(), definition.help(), definition.defaultValue()))
    model.shortHelpString()
    model.canExecute()


def use_record(path):
    """Read the record beside a map, and what is told of it."""
    from pti_plugin.core.common.one_set import refuse_mixed
    from pti_plugin.core.common.progress import Progress
    from pti_plugin.core.common.provenance import SUFFIX, collect_records
    from pti_plugin.core.insitu.map_thresholds import map_thresholds

    beside = path[:-len(SUFFIX)] + ".tif"
    Path(beside).write_bytes(b"x")
    page(steps=collect_records([beside]))
    map_thresholds(beside)
    refuse_mixed([("PTI", beside), ("BASE", beside)], Progress())


def use_report(path, name, figures):
    """Read a table of another tool, and show it in the report, with its figures or without."""
    from pti_plugin.core.reporting.report_tables import read_table

    page({name: read_table(name, path)}, figures)


def page(tables=None, figures=False, **more):
    """Make the report and its form for paper."""
    from pti_plugin.core.reporting import report_model
    from pti_plugin.core.reporting.report_print import print_version

    quick = dict.fromkeys(FIGURES, lambda *_: b"\x89PNG" + bytes(12) + b"\0\0\0\x01" * 2)
    with nullcontext() if figures else patch.multiple(report_model, **quick):
        made = report_of(tables or {}, **more)
        made.to_html()
        print_version(made)


def _tables():
    from pti_plugin.core.assessment.confusion_table import read_classes, read_matrix, read_sizes
    from pti_plugin.core.ensembles.landcover import read_crosswalk
    from pti_plugin.core.insitu.station_files import read_stations
    from pti_plugin.core.insitu.station_places import read_places
    from pti_plugin.core.learning.class_weights import areas_of_table
    from pti_plugin.core.learning.predictor_stack import ranges_for
    from pti_plugin.core.rasters.products import read_products
    from pti_plugin.core.samples.sample_file import read_sample_features
    from pti_plugin.core.samples.sampling_rules import read_rules

    return {"magt": functools.partial(read_stations, quantity="magt"),
            "alt": functools.partial(read_stations, quantity="alt"), "sites": read_places, "crosswalk": read_crosswalk,
            "areas": areas_of_table, "products": read_products, "ranges": lambda path: ranges_for([], path),
            "matrix": read_matrix, "sizes": read_sizes, "classes": read_classes, "rules": read_rules,
            "features": lambda path: read_sample_features(path[:-len(".features.json")])}


# ---- the process ----------------------------------------------------------------------------------------------------

@functools.lru_cache(None)
def world():
    """The small world."""
    folder = FOLDER / "world"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return small_world.build(folder)


@functools.lru_cache(None)
def index():
    """A map of ranks on the grid of the small world."""
    ranks = np.repeat([11, 13, 22, 40], small_world.COLUMNS // 4)[None].repeat(small_world.ROWS, axis=0)
    return small_world.write_raster(world().folder / "index.tif", ranks, nodata=0, dtype="uint8",
                                    transform=small_world.TRANSFORM)


@functools.lru_cache(None)
def qgis():
    """QGIS with the tools."""
    return load_qgis(FOLDER / "profile")


@functools.lru_cache(None)
def calls():
    """Return {tool: inputs} of the tools that take a raster, with flat maps in the place of the chain's."""
    flat = {name: small_world.write_raster(world().folder / f"flat_{name}.tif", np.full((24, 36), value), nodata=-9999,
                                           dtype="float32", transform=small_world.TRANSFORM)
            for name, value in (("PP", 60.0), ("MAGT", -2.0), ("SIGN", 1), ("BASE", 1))}
    made = {"ensemble": {"OUTPUT_BASE": flat["BASE"], "OUTPUT_PP": flat["PP"], "OUTPUT_MAGT": flat["MAGT"]},
            "index": {"OUTPUT": index()}, "magt_trend": {"OUTPUT_SIGN": flat["SIGN"]},
            "alt_trend": {"OUTPUT_SIGN": flat["SIGN"]},
            "train": {"OUTPUT_MODEL": "", "OUTPUT_METRICS": "", "OUTPUT_SHAP": ""}}
    found = small_world.calls(world(), made)
    return {tool: found[tool] for tool in RASTER_TOOLS}


def run(tool, given):
    """Run a tool; nothing may be left where it is refused."""
    import processing
    from qgis.core import QgsProcessingException

    from pti_plugin.algorithms.base import PtiAlgorithm

    out = FOLDER / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    outputs = {item.name(): path for item, path in
               ((item, small_world.destinations([item], out).get(item.name())) for item in qgis().definitions[tool])
               if path and not item.flags() & item.FlagOptional}
    inner, unexpected = PtiAlgorithm.processAlgorithm, []

    def told(self, *arguments):
        # QGIS shows only the text of an error
        try:
            return inner(self, *arguments)
        except QgsProcessingException:
            raise
        except Exception:
            unexpected.append(traceback.format_exc())
            raise

    with patch.object(PtiAlgorithm, "processAlgorithm", told):
        try:
            processing.run(f"pti:{tool}", {**given, **outputs})
        except QgsProcessingException as error:
            if unexpected:
                raise RuntimeError(unexpected[0]) from error
            if list(out.iterdir()):
                raise RuntimeError(f"left {list(out.iterdir())} after: {error}") from error
            raise Refused(str(error)) from error


class Refused(Exception):
    """A tool refused its input in a sentence."""


def _refusal(error):
    """Return the error where it is one that is raised on purpose; raises it where not."""
    from pti_plugin.core.common.errors import PtiError

    if not isinstance(error, (PtiError, Refused)):
        raise error
    return error


def use(given):
    """Use what was received; return "used" or the sentence that refuses it."""
    given = dict(given)
    kind = given.pop("kind")
    try:
        if kind == "table":
            _tables()[given["table"]](given["path"])
        else:
            {"raster": use_raster, "tool": use_tool, "layout": use_layout, "model3": use_model3, "record": use_record,
             "report": use_report}[kind](**given)
    except Exception as error:
        told = str(_refusal(error))
        told.encode("utf-8")
        if not told.rstrip().endswith((".", "not found", ")")):
            raise RuntimeError(f"no sentence: {told}") from error
        return f"refused: {told}"
    return "used"


if __name__ == "__main__":
    # would be told by an expression that is evaluated
    os.environ["USER_SECRET"] = "SECRET-OF-THE-USER"
    FOLDER.mkdir(parents=True, exist_ok=True)
    qgis()
    answer(use)
