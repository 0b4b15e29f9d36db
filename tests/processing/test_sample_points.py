"""The tool that draws sample points, as PyQGIS calls it, and what the training tool finds in its layer."""

import csv
import json

import numpy as np
import pytest

from pti_plugin.core.samples.sample_file import read_sample_features
from support import standing, write_raster

TRANSFORM = (0.0, 5000.0, 0.0, -1_500_000.0, 0.0, -5000.0)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    cells = np.repeat([0, 11, 12, 33, 40], 24)[None].repeat(100, axis=0)
    rng = np.random.default_rng(1)
    layers = np.stack([rng.normal(size=cells.shape), rng.integers(1, 9, cells.shape) * 10]).astype(np.float32)
    pti = write_raster(folder / "pti.tif", cells, dtype="uint8", nodata=0, transform=TRANSFORM)
    stack = write_raster(folder / "stack.tif", layers, nodata=-9999, transform=TRANSFORM,
                         descriptions=("lst", "land_cover"))
    from osgeo import gdal
    dataset = gdal.Open(stack, gdal.GA_Update)
    dataset.GetRasterBand(1).SetMetadata({"PTI_MIN": "-12.5", "PTI_MAX": "7.25"})
    dataset = None
    return {"PTI": pti, "STACK": stack}, cells, layers


@pytest.fixture
def run(provider):
    import processing

    from pti_plugin.algorithms.sample_points import SamplePoints

    return lambda parameters: processing.run(SamplePoints(), parameters)


def test_points_table_and_record(run, maps, tmp_path):
    from qgis.core import QgsVectorLayer

    out = {"OUTPUT": str(tmp_path / "s.gpkg"), "OUTPUT_TABLE": str(tmp_path / "t.csv")}
    assert run({**maps[0], "PER_CLASS": 30, "SPACING": 20, "EDGE_BUFFER": 12, **out}) == out
    layer = QgsVectorLayer(out["OUTPUT"], "s", "ogr")
    assert layer.featureCount() == 120 and layer.crs().authid() == "EPSG:4326"
    for feature in layer.getFeatures():
        row, column = feature["row"], feature["column"]
        assert feature["pti"] == maps[1][row, column]
        assert [feature["lst"], feature["land_cover"]] == maps[2][:, row, column].tolist()
        point = feature.geometry().asPoint()
        assert (point.x(), point.y()) == (feature["longitude"], feature["latitude"])
    (lst, cover), areas = read_sample_features(out["OUTPUT"])
    assert (lst.name, lst.low, lst.high, cover.name, cover.categorical) == ("lst", -12.5, 7.25, "land_cover", True)
    with open(out["OUTPUT_TABLE"], encoding="utf-8") as stream:
        table = {row["rank"]: row for row in csv.DictReader(stream)}
    assert table["11"]["achieved"] == "30" and table["11"]["limited_by"] == "request met"
    assert float(table["11"]["nearest_km"]) >= 20 and table["13"]["limited_by"] == "too few cells"
    record = json.loads((tmp_path / "s.provenance.json").read_text(encoding="utf-8"))
    assert record["results"]["ranks"][0]["achieved"] == 30 and record["parameters"]["ACROSS"] is False
    assert any("Rank 13 has no cell" in text for text in record["warnings"])


def test_own_rules_across_ranks_and_another_format(run, maps, tmp_path):
    rules = tmp_path / "rules.csv"
    rules.write_text("rank,samples,spacing_km,edge_buffer_km\n11,2000,40,5\n12,20,40,5\n", encoding="utf-8")
    out = {"OUTPUT": str(tmp_path / "s.geojson"), "OUTPUT_TABLE": str(tmp_path / "t.csv")}
    run({**maps[0], "RULES": str(rules), "ACROSS": True, **out})
    assert read_sample_features(out["OUTPUT"])[0][0].high == 7.25
    with open(out["OUTPUT_TABLE"], encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rank"] for row in rows] == ["11", "12", "all"]
    assert rows[0]["limited_by"] == "spacing" and int(rows[0]["achieved"]) < int(rows[0]["packing_bound"]) < 2000
    assert float(rows[2]["nearest_km"]) >= 40


@pytest.mark.parametrize("change, text", [
    ({"STRICT": True}, "no more than"), ({"OUTPUT": "s.txt"}, "end the name in one of"),
    ({"RULES": "bad.csv"}, "line 2: samples is 'many'")])
def test_a_refused_run_leaves_nothing(run, maps, tmp_path, change, text):
    from qgis.core import QgsProcessingException

    (tmp_path / "bad.csv").write_text("rank,samples,spacing_km,edge_buffer_km\n11,many,1,1\n", encoding="utf-8")
    before = standing(tmp_path)
    change = {name: str(tmp_path / value) if isinstance(value, str) else value for name, value in change.items()}
    with pytest.raises(QgsProcessingException, match=text):
        run({**maps[0], "OUTPUT": str(tmp_path / "s.gpkg"), "OUTPUT_TABLE": str(tmp_path / "t.csv"), **change})
    assert standing(tmp_path) == before


def test_the_training_tool_takes_the_points(provider, run, maps, tmp_path):
    pytest.importorskip("xgboost")
    import processing

    points = str(tmp_path / "s.gpkg")
    run({**maps[0], "PER_CLASS": 30, "SPACING": 0, "EDGE_BUFFER": 0, "OUTPUT": points})
    made = processing.run("pti:trainxgboost", {
        "SAMPLES": points, "RUNS": 2, "ROUNDS": 3, "BLOCK_KM": 30, "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"),
        "OUTPUT_METRICS": str(tmp_path / "m.csv")})
    assert (tmp_path / "m.csv").stat().st_size > 0 and made["OUTPUT_MODEL"].endswith("m.ptimodel")
