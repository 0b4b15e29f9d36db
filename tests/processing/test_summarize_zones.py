"""The zones tool as PyQGIS calls it: any polygon layer, its selection, its field; table, layer, style and record."""

import json
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common import ranks
from pti_plugin.core.common.record_file import record_path
from pti_plugin.core.common.tables import read_csv
from support import standing, write_raster

TRANSFORM = (-500000.0, 25000.0, 0.0, 500000.0, 0.0, -25000.0)
TUNDRA = "POLYGON((-500000 -500000, 0 -500000, 0 500000, -500000 500000, -500000 -500000))"
#: a bow tie, half of 250,000 km²
TAIGA = "POLYGON((0 -500000, 500000 0, 500000 -500000, 0 0, 0 -500000))"


@pytest.fixture(scope="module")
def run(provider):
    import processing

    return lambda parameters, **options: processing.run("pti:summarizezones", parameters, **options)


@pytest.fixture
def pti(tmp_path):
    codes = np.full((40, 40), 12)
    codes[:, 30:] = 33
    return write_raster(tmp_path / "pti.tif", codes, nodata=0, dtype="uint8", transform=TRANSFORM)


def zones(*features, crs="EPSG:6931"):
    """A layer in memory of (name, WKT or None) pairs."""
    from qgis.core import QgsFeature, QgsGeometry, QgsVectorLayer

    layer = QgsVectorLayer(f"MultiPolygon?crs={crs}&field=biome:string", "biomes", "memory")
    made = []
    for name, wkt in features:
        made.append(QgsFeature(layer.fields()))
        made[-1].setAttributes([name])
        if wkt:
            made[-1].setGeometry(QgsGeometry.fromWkt(wkt))
    layer.dataProvider().addFeatures(made)
    return layer


def test_a_layer_becomes_a_table_and_a_styled_layer_with_a_record(run, pti, tmp_path):
    from qgis.core import QgsRenderContext, QgsVectorLayer

    pp = write_raster(tmp_path / "pp.tif", np.full((40, 40), 80.0), transform=TRANSFORM)
    height = write_raster(tmp_path / "elevation.tif", np.full((40, 40), 250.0), transform=TRANSFORM)
    folder = tmp_path / "made"
    folder.mkdir()
    made = run({"PTI": pti, "ZONES": zones(("tundra", TUNDRA), ("taiga", TAIGA), (None, None)), "FIELD": "biome",
                "PP": pp, "PREDICTORS": [height], "OUTPUT": str(folder / "layer.gpkg"),
                "OUTPUT_TABLE": str(folder / "table.csv")})
    rows = {row["zone"]: row for row in read_csv(made["OUTPUT_TABLE"])}
    assert list(rows) == ["Whole map", "taiga", "tundra", "(no name)"]
    assert rows["tundra"]["first_rank"] == 12 and rows["tundra"]["first_percent"] == 100
    assert rows["taiga"]["first_rank"] == 33 and rows["taiga"]["polygon_km2"] == pytest.approx(125000, rel=1e-6)
    assert rows["tundra"]["pp_area_km2"] == 400000 and rows["Whole map"]["mean_elevation"] == 250

    record = json.loads(Path(record_path(made["OUTPUT_TABLE"])).read_text(encoding="utf-8"))
    assert {entry["role"] for entry in record["inputs"]} == {"PTI", "ZONES", "PP", "PREDICTORS"}
    assert record["parameters"]["FIELD"] == "biome" and record["results"]["zones"][0]["area_km2"] == 1e6
    assert any("broken geometry" in warning and "(id 2)" in warning for warning in record["warnings"])

    layer = QgsVectorLayer(made["OUTPUT"], "zones", "ogr")
    renderer = layer.renderer()
    assert renderer.type() == "categorizedSymbol"
    shown = {str(item.value()): item.label() for item in renderer.categories()}
    assert {str(rank.code): rank.label for rank in ranks.RANKS}.items() <= shown.items()
    context = QgsRenderContext()
    renderer.startRender(context, layer.fields())
    colours = {feature["zone"]: renderer.symbolForFeature(feature, context).color().name()
               for feature in layer.getFeatures()}
    renderer.stopRender(context)
    assert colours == {"tundra": ranks.BY_CODE[12].colour, "taiga": ranks.BY_CODE[33].colour}


def test_only_what_is_selected_counts_and_zones_may_be_left_out(run, pti, tmp_path):
    from qgis.core import QgsProcessingFeatureSourceDefinition, QgsProject

    layer = zones(("tundra", TUNDRA), ("taiga", TAIGA))
    QgsProject.instance().addMapLayer(layer)
    layer.selectByIds([1])
    made = run({"PTI": pti, "ZONES": QgsProcessingFeatureSourceDefinition(layer.id(), True), "FIELD": "biome",
                "OUTPUT_TABLE": str(tmp_path / "a.csv")})
    assert [row["zone"] for row in read_csv(made["OUTPUT_TABLE"])] == ["Whole map", "tundra"] and "OUTPUT" not in made
    QgsProject.instance().removeMapLayer(layer.id())
    made = run({"PTI": pti, "OUTPUT_TABLE": str(tmp_path / "b.csv")})
    assert [row["zone"] for row in read_csv(made["OUTPUT_TABLE"])] == ["Whole map"]


def test_wrong_input_is_refused_in_a_sentence_and_leaves_nothing(run, pti, tmp_path):
    from qgis.core import QgsProcessingException

    folder = tmp_path / "made"
    folder.mkdir()
    outputs = {"OUTPUT_TABLE": str(folder / "a.csv"), "OUTPUT": str(folder / "a.gpkg")}
    for parameters, said in (
            ({"ZONES": zones(("a", TUNDRA))}, "FIELD is empty. Choose the field with the names of the zones: biome"),
            ({"ZONES": zones(("a", TUNDRA)), "FIELD": "name"}, "FIELD is 'name'"),
            ({"ZONES": zones(("a", TUNDRA), crs=""), "FIELD": "biome"}, "biomes has no CRS"),
            ({"ZONES": str(tmp_path / "none.gpkg"), "FIELD": "biome"}, "ZONES")):
        with pytest.raises(QgsProcessingException, match=said):
            run({"PTI": pti, **parameters, **outputs})
    assert standing(folder) == {}


def test_the_agreement_of_the_whole_map_is_that_wall_to_wall_of_the_prediction(run, world, made, tmp_path):
    import processing

    index = made["index"]["OUTPUT"]
    model = made["train"]["OUTPUT_MODEL"]
    mapped = processing.run("pti:predictxgboost", {
        "STACK": world.stack, "MODEL": model, "REFERENCE": index, "BUFFER_KM": 40,
        "OUTPUT": str(tmp_path / "map.tif"), "OUTPUT_METRICS": str(tmp_path / "metrics.csv")})
    found = run({"PTI": mapped["OUTPUT"], "REFERENCE": index, "MODEL": model, "BUFFER_KM": 40,
                 "ZONES": zones(("all", "POLYGON((-9e6 -9e6, 9e6 -9e6, 9e6 9e6, -9e6 9e6, -9e6 -9e6))")),
                 "FIELD": "biome", "OUTPUT_TABLE": str(tmp_path / "zones.csv"), "OUTPUT": str(tmp_path / "zones.gpkg")})
    lines = {row["line"]: row for row in read_csv(mapped["OUTPUT_METRICS"])}
    agreed = lines["wall to wall, 40 km from the samples"]
    near = lines["within one rank: latitude all"]
    area = lines["compared: latitude all"]
    for row in read_csv(found["OUTPUT_TABLE"]):
        assert row["compared_cells"] == agreed["n"] and 0 < agreed["n"] < row["cells"]
        assert (row["compared_km2"], row["agreement_percent"], row["within_one_percent"]) == pytest.approx(
            (area["value"], agreed["value"], near["value"]), abs=1e-3)
    record = json.loads(Path(record_path(found["OUTPUT_TABLE"])).read_text(encoding="utf-8"))
    assert {entry["role"] for entry in record["inputs"]} == {"PTI", "REFERENCE", "MODEL", "ZONES"}
    everywhere = read_csv(run({"PTI": mapped["OUTPUT"], "REFERENCE": index,
                               "OUTPUT_TABLE": str(tmp_path / "everywhere.csv")})["OUTPUT_TABLE"])[0]
    assert everywhere["compared_cells"] > agreed["n"]
