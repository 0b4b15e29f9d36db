"""The accuracy tool as PyQGIS and the command line call it: matrix, rasters, points, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common import tables
from pti_plugin.core.rasters.vector import write_points
from support import write_raster

MATRIX = "classified,bog,fen\nbog,40,5\nfen,2,60\n"
DEGREES = (20.0, 0.5, 0.0, 80.0, 0.0, -0.5)


@pytest.fixture
def assess(provider, tmp_path):
    """Run the tool; returns ({line: row} of the table, results)."""
    import processing

    def run(**parameters):
        given = {"OUTPUT_TABLE": str(tmp_path / "table.csv"), **parameters}
        results = processing.run("pti:assessaccuracy", given)
        return {row["line"]: row for row in tables.read_csv(results["OUTPUT_TABLE"])}, results

    return run


@pytest.fixture
def refused(assess, tmp_path):
    """Return the message of a run that must fail and leave nothing."""
    from qgis.core import QgsProcessingException

    def run(**parameters):
        before = files()
        with pytest.raises(QgsProcessingException) as error:
            assess(**parameters)
        assert files() == before
        return str(error.value)

    def files():
        # QGIS writes statistics beside rasters whenever it likes
        return sorted(path for path in tmp_path.iterdir() if not path.name.endswith(".aux.xml"))

    return run


def matrix_file(folder, text=MATRIX):
    path = folder / "matrix.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def scene(tmp_path):
    """Paths of a map, a reference raster, points of it and strata."""
    rng = np.random.default_rng(2)
    true = rng.choice(3, (20, 30), p=(0.5, 0.3, 0.2))
    mapped = np.where(rng.random(true.shape) < 0.8, true, rng.choice(3, true.shape))
    mapped[0] = 255
    zones = np.where(np.arange(30) < 12, 1, 2)[None].repeat(20, axis=0)
    paths = {name: write_raster(tmp_path / f"{name}.tif", array.astype("uint8"), nodata=255, crs="EPSG:4326",
                                transform=DEGREES)
             for name, array in (("map", mapped), ("reference", true), ("strata", zones))}
    rows = [{"x": DEGREES[0] + 0.5 * (column + 0.5), "y": DEGREES[3] - 0.5 * (row + 0.5),
             "true": int(true[row, column]), "name": ("bog", "fen", "heath")[true[row, column]],
             "zone": f"zone {zones[row, column]}"}
            for row, column in zip(rng.integers(0, 20, 120), rng.integers(0, 30, 120))]
    paths["points"] = str(tmp_path / "points.gpkg")
    write_points(paths["points"], rows, [("true", int, "", ""), ("name", str, "", ""), ("zone", str, "", "")], "x", "y",
                 "points")
    paths["classes"] = str(tmp_path / "classes.csv")
    Path(paths["classes"]).write_text("code,name\n0,bog\n1,fen\n2,heath\n", encoding="utf-8")
    return paths


def test_a_matrix_alone_gives_table_report_and_record(assess, tmp_path):
    rows, results = assess(MATRIX=matrix_file(tmp_path), OUTPUT_REPORT=str(tmp_path / "report.html"))
    assert rows["overall accuracy"]["value"] == pytest.approx(100 * 100 / 107)
    assert rows["recall of bog"]["n"] == 42 and rows["precision of bog"]["n"] == 45
    assert rows["classified bog, reference fen"]["value"] == 5
    page = Path(results["OUTPUT_REPORT"]).read_text(encoding="utf-8")
    assert "100 of 107 cases are right" in page
    record = json.loads((tmp_path / "table.provenance.json").read_text(encoding="utf-8"))
    assert record["tool"] == "assessaccuracy" and record["parameters"]["DESIGN"] == "not stated"
    assert [entry["role"] for entry in record["inputs"]] == ["MATRIX"]


def test_the_same_input_gives_the_same_bytes(assess, tmp_path, scene):
    made = []
    for _ in range(2):
        _, results = assess(CLASSIFIED=scene["map"], REFERENCE=scene["reference"],
                            OUTPUT_REPORT=str(tmp_path / "report.html"))
        made.append([Path(results[name]).read_bytes() for name in ("OUTPUT_TABLE", "OUTPUT_REPORT")])
    assert made[0] == made[1]


def test_areas_of_a_design_are_weighed_and_scaled(assess, tmp_path):
    areas = tmp_path / "areas.csv"
    areas.write_text("class,mapped_pixels\nbog,3000\nfen,1000\n", encoding="utf-8")
    rows, _ = assess(MATRIX=matrix_file(tmp_path), DESIGN="stratified by map class", AREAS=str(areas), CELL_AREA=0.09,
                     AREA_UNIT="ha")
    assert rows["overall accuracy (area-weighted)"]["value"] == pytest.approx(100 * (0.75 * 40 / 45 + 0.25 * 60 / 62))
    assert rows["mapped area of bog"]["value"] == pytest.approx(270) and rows["mapped area of bog"]["unit"] == "ha"
    assert rows["estimated area of bog"]["value"] == pytest.approx(270 * 40 / 45 + 90 * 2 / 62)


def test_rasters_points_and_their_strata(assess, scene):
    from qgis.core import QgsVectorLayer

    wall_to_wall, _ = assess(CLASSIFIED=scene["map"], REFERENCE=scene["reference"])
    assert wall_to_wall["overall accuracy (area-weighted)"]["low"] is None
    given = {"CLASSIFIED": scene["map"], "REFERENCE_POINTS": scene["points"], "FIELD": "true"}
    by_code, _ = assess(**given)
    by_name, _ = assess(**{**given, "FIELD": "name"}, CLASSES=scene["classes"])
    assert by_code["overall accuracy"]["value"] == by_name["overall accuracy"]["value"]
    assert "precision of class 0 (bog)" in by_name and "precision of class 0" in by_code
    layer = QgsVectorLayer(scene["points"], "points")
    assert assess(**{**given, "REFERENCE_POINTS": layer})[0] == by_code
    by_strata, _ = assess(**given, DESIGN="stratified by other strata", STRATA=scene["strata"])
    row = by_strata["overall accuracy (area-weighted)"]
    assert row["low"] < row["value"] < row["high"]
    by_class, _ = assess(**given, DESIGN="stratified by map class")
    assert by_class["estimated area of class 0"]["unit"] == "km²"
    assert "Off the map." not in {row["meaning"] for row in by_class.values()}
    assert {row["meaning"] for row in by_class.values() if row["section"] == "left out"} == {
        "On nodata of the classified map."}


def test_inputs_that_make_no_comparison_are_refused(refused, scene, tmp_path):
    points = {"CLASSIFIED": scene["map"], "REFERENCE_POINTS": scene["points"]}
    matrix = matrix_file(tmp_path)
    for parameters, said in (
            ({}, "Nothing to compare: give CLASSIFIED with REFERENCE"),
            ({"CLASSIFIED": scene["map"]}, "Nothing to compare"),
            ({"REFERENCE": scene["reference"]}, "CLASSIFIED is empty"),
            ({"MATRIX": matrix, "REFERENCE": scene["reference"]}, "Give one of REFERENCE, MATRIX"),
            (points, "FIELD is empty. Say which field of points holds the true class: fid, true, name, zone"),
            ({**points, "FIELD": "class"}, "has no field 'class'"),
            ({**points, "FIELD": "name"}, "unknown class bog"),
            ({**points, "REFERENCE_POINTS": str(tmp_path / "none.gpkg"), "FIELD": "true"}, "none.gpkg"),
            ({**points, "FIELD": "true", "STRATA": scene["strata"]}, "STRATA is given, but DESIGN is 'not stated'"),
            ({**points, "FIELD": "true", "STRATA_FIELD": "zone", "DESIGN": "stratified by other strata"},
             "The area of the stratum zone 1, zone 2 is not given"),
            ({"MATRIX": matrix, "STRATA": scene["strata"], "DESIGN": "stratified by other strata"},
             "STRATA cannot be used with MATRIX"),
            ({"MATRIX": matrix, "AREAS": matrix}, "AREAS is given, but DESIGN is 'not stated'"),
            ({"MATRIX": matrix, "DESIGN": "stratified"}, "DESIGN is 'stratified'; it must be one of not stated,"),
            ({**points, "FIELD": "true", "CELL_AREA": 0.09}, "CELL_AREA and AREA_UNIT are for areas given"),
            ({"MATRIX": matrix, "OUTPUT_TABLE": matrix}, "is an input of this run")):
        assert said in refused(**parameters), parameters


def test_cells_left_out_are_not_compared_and_have_no_area(assess, refused, scene, tmp_path):
    from osgeo import gdal

    mapped, true = (gdal.Open(scene[name]).ReadAsArray() for name in ("map", "reference"))
    cover = np.random.default_rng(5).choice([130, 210, 220], mapped.shape)
    exclude = write_raster(tmp_path / "cover.tif", cover, dtype="uint8", crs="EPSG:4326", transform=DEGREES)
    kept = (cover == 130) & (mapped != 255)
    rows, _ = assess(CLASSIFIED=scene["map"], REFERENCE=scene["reference"], EXCLUDE=exclude)
    overall = next(row for line, row in rows.items() if line.startswith("overall accuracy (cells"))
    assert overall["n"] == kept.sum() > 100
    assert overall["value"] == pytest.approx(100 * (mapped == true)[kept].mean())
    left = next(row for row in rows.values() if row["section"] == "left out")
    assert left["value"] == (~kept).sum() and "or a class left out" in left["meaning"]
    area = sum(row["value"] for line, row in rows.items() if line.startswith("mapped area of"))
    pyproj = pytest.importorskip("pyproj")
    geod, edge = pyproj.Geod(ellps="WGS84"), np.linspace(0, 0.5, 501)
    by_row = [abs(geod.polygon_area_perimeter([*edge, *edge[::-1]], [north] * 501 + [north - 0.5] * 501)[0]) / 1e6
              for north in 80 - 0.5 * np.arange(20)]
    assert area == pytest.approx((kept.sum(axis=1) * np.array(by_row)).sum(), rel=1e-6)
    points, _ = assess(CLASSIFIED=scene["map"], REFERENCE_POINTS=scene["points"], FIELD="true", EXCLUDE=exclude)
    listed = [row for row in points.values() if row["section"] == "left out"]
    assert listed and all("or a class left out" in row["meaning"] for row in listed)
    assert "which is empty" in refused(MATRIX=matrix_file(tmp_path), EXCLUDE=exclude)
