"""The training tool: feature selection, weights, early stopping, and sample points that say what they carry."""

import csv
import json
import zipfile

import pytest


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def manifest_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


QUICK = {"RUNS": 2, "ROUNDS": 3, "PER_CLASS": 30, "BLOCK_KM": 150, "SEED": 7, "SHAP_POINTS": 10}


@pytest.fixture
def train(world, made, provider, tmp_path):
    """The tool as a function of its parameters, on the rasters of the small world."""
    import processing

    def run(**parameters):
        outputs = {"OUTPUT_MODEL": "m.ptimodel", "OUTPUT_METRICS": "m.csv", "OUTPUT_SHAP": "s.csv"}
        given = {"PTI": made["index"]["OUTPUT"], "STACK": world.stack, **QUICK,
                 **{name: str(tmp_path / file) for name, file in outputs.items()}, **parameters}
        return processing.run("pti:trainxgboost", {name: value for name, value in given.items() if value is not None})

    return run


def failure(train, **parameters):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException) as caught:
        train(**parameters)
    return str(caught.value)


def test_selection_decides_what_the_model_the_table_and_the_shap_values_know(train, tmp_path):
    selected = str(tmp_path / "selection.csv")
    made = train(SELECT="rfecv", SELECT_FOLDS="spatial_blocks", SELECT_RULE="fewest_within_one_se",
                 OUTPUT_SELECTION=selected)
    *ours, paper = rows_of(selected)
    chosen = next(row for row in ours if row["chosen"] == "1")
    manifest = manifest_of(made["OUTPUT_MODEL"])
    assert [feature["name"] for feature in manifest["features"]] == chosen["kept"].split()
    assert manifest["selection"]["folds"] == "spatial_blocks" == chosen["folds"]
    assert manifest["selection"]["rule"] == "fewest_within_one_se" == chosen["rule"]
    assert paper["source"] == "paper" and paper["features"] == "12"
    shap = rows_of(made["OUTPUT_SHAP"])
    assert {row["name"] for row in shap if row["level"] == "feature"} == set(chosen["kept"].split())
    dropped = set(ours[0]["kept"].split()) - set(chosen["kept"].split())
    assert dropped and {row["name"] for row in shap if row["level"] == "left_out"} == dropped
    record = json.loads((tmp_path / "m.provenance.json").read_text(encoding="utf-8"))
    assert record["parameters"]["SELECT"] == "rfecv"
    assert record["results"]["predictors"] == chosen["kept"].split()


def test_the_model_can_be_predicted_with_after_a_selection(train, world, tmp_path):
    import processing

    made = train(SELECT="rfecv", SELECT_RULE="fewest_within_one_se")
    out = str(tmp_path / "map.tif")
    assert processing.run("pti:predictxgboost", {"STACK": world.stack, "MODEL": made["OUTPUT_MODEL"],
                                                 "OUTPUT": out})["OUTPUT"] == out


def test_area_weights_come_from_the_raster_or_from_its_table_alike(train, made, tmp_path):
    found = []
    for number, more in enumerate(({}, {"WEIGHTS": made["index"]["OUTPUT_TABLE"]}, {"CLASS_WEIGHTS": "none"},
                                   {"CLASS_WEIGHTS": "balanced"})):
        path = str(tmp_path / f"{number}.ptimodel")
        manifest = manifest_of(train(**{"CLASS_WEIGHTS": "area", "OUTPUT_MODEL": path, **more})["OUTPUT_MODEL"])
        assert manifest["class_weights"] == more.get("CLASS_WEIGHTS", "area")
        found.append([booster["sha256"] for booster in manifest["boosters"]])
    # the table is rounded to square metres, which single precision hardly sees
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_hyperparameters_are_written_out_and_the_grid_with_them(train, world):
    manifest = manifest_of(train(GAMMA=0.5, ALPHA=0.25, MAX_BIN=64, EARLY_STOPPING=2, EARLY_SHARE=0.3)["OUTPUT_MODEL"])
    assert manifest["parameters"]["gamma"] == 0.5 and manifest["parameters"]["alpha"] == 0.25
    assert manifest["parameters"]["max_bin"] == 64
    assert (manifest["options"]["early_stopping"], manifest["options"]["early_share"]) == (2, 0.3)
    assert all(1 <= rounds <= 3 for rounds in manifest["rounds"])
    from pti_plugin.core.rasters.raster import read_info

    assert manifest["grid"]["transform"] == list(read_info(world.stack).grid.transform)
    assert {"lst", "land_cover"} <= {feature["name"] for feature in manifest["features"]}


@pytest.mark.parametrize("given, said", [
    ({"OUTPUT_SELECTION": "{out}/x.csv"}, "SELECT is none"),
    ({"SELECT": "rfecv", "SELECT_FOLDS": "spatial_blocks", "BLOCK_KM": 0}, "BLOCK_KM is 0"),
    ({"BLOCK_KM": 9000}, "at least 5 are needed"),
    ({"CLASS_WEIGHTS": "area", "WEIGHTS": "{out}/none.csv"}, "none.csv cannot be read"),
])
def test_what_cannot_be_done_is_refused_before_the_long_work(train, tmp_path, given, said):
    given = {name: value.format(out=tmp_path) if isinstance(value, str) else value for name, value in given.items()}
    assert said in failure(train, **given)
    assert not list(tmp_path.iterdir())


def test_sample_points_carry_ranges_kinds_and_own_predictors_into_the_model(provider, tmp_path):
    import processing
    from qgis.core import QgsFeature, QgsGeometry, QgsPointXY, QgsVectorLayer

    layer = QgsVectorLayer("Point?crs=EPSG:4326&field=pti:integer&field=lst:double&field=own_layer:integer", "p",
                           "memory")
    for i in range(60):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(6.0 * i, 60 + i % 7)))
        feature.setAttributes([11 if i % 2 else 40, float(i % 2 * 50 + i % 9), i % 4])
        layer.dataProvider().addFeature(feature)
    path = tmp_path / "points.geojson"
    processing.run("native:savefeatures", {"INPUT": layer, "OUTPUT": str(path)})
    features = [{"name": "own_layer", "group": "other", "categorical": True, "low": None, "high": None},
                {"name": "lst", "group": "thermal", "categorical": False, "low": -20.5, "high": 31.0},
                {"name": "gone", "group": "soil", "categorical": False, "low": 0.0, "high": 1.0}]
    (tmp_path / "points.geojson.features.json").write_text(json.dumps({"version": 1, "features": features}))
    made = processing.run("pti:trainxgboost", {
        **QUICK, "SAMPLES": str(path), "BLOCK_KM": 500, "CLASS_WEIGHTS": "none",
        "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"), "OUTPUT_METRICS": str(tmp_path / "m.csv")})
    found = manifest_of(made["OUTPUT_MODEL"])
    assert [{key: feature[key] for key in features[0]} for feature in found["features"]] == features[:2]
    assert found["grid"] is None and found["categories"] == {"own_layer": [0, 1, 2, 3]}
    record = json.loads((tmp_path / "m.provenance.json").read_text(encoding="utf-8"))
    assert [warning for warning in record["warnings"] if "were drawn with gone" in warning]


def test_points_alone_have_no_area(provider, world, made, tmp_path):
    import processing
    from qgis.core import QgsProcessingException, QgsVectorLayer

    path = tmp_path / "points.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [i, 70]},
         "properties": {"pti": 11 if i % 2 else 40, "lst": 1.0 * i}} for i in range(20)]}), encoding="utf-8")
    assert QgsVectorLayer(str(path)).featureCount() == 20
    with pytest.raises(QgsProcessingException, match="Give WEIGHTS, a table of the area"):
        processing.run("pti:trainxgboost", {
            **QUICK, "SAMPLES": str(path), "CLASS_WEIGHTS": "area", "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"),
            "OUTPUT_METRICS": str(tmp_path / "m.csv")})
