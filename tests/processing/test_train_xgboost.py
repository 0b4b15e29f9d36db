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


def test_ranks_count_as_their_areas_by_default_and_equally_as_published(train, tmp_path):
    found = {}
    for name, given in (("defensible", {}), ("as_published", {"PROFILE": 1}), ("area", {"CLASS_WEIGHTS": "area"})):
        found[name] = manifest_of(train(OUTPUT_MODEL=str(tmp_path / f"{name}.ptimodel"), **given)["OUTPUT_MODEL"])
    assert {name: manifest["class_weights"] for name, manifest in found.items()} == {
        "defensible": "area_matched", "as_published": "none", "area": "area"}
    assert {name: manifest["max_missing"] for name, manifest in found.items()} == {
        "defensible": 2, "as_published": 0, "area": 2}
    assert set(found["area"]["rank_factors"].values()) == set(found["as_published"]["rank_factors"].values()) == {1.0}
    assert set(found["defensible"]["rank_factors"].values()) != {1.0}
    assert all(manifest["temperature"] > 0 for manifest in found.values())


def test_points_carry_areas_and_gaps_into_the_training(provider, tmp_path):
    import numpy as np
    import processing

    from pti_plugin.algorithms.sample_points import SamplePoints
    from support import write_raster

    rng = np.random.default_rng(2)
    transform = (0.0, 5000.0, 0.0, -1_500_000.0, 0.0, -5000.0)
    cells = np.repeat([11, 12, 40], [10, 20, 60])[None].repeat(60, axis=0)
    layers = np.stack([rng.normal(cells, 3), rng.integers(1, 9, cells.shape) * 10, rng.normal(size=cells.shape),
                       rng.normal(size=cells.shape)]).astype(np.float32)
    for layer in layers:
        layer[rng.random(cells.shape) < 0.2] = -9999
    pti = write_raster(tmp_path / "pti.tif", cells, dtype="uint8", nodata=0, transform=transform)
    stack = write_raster(tmp_path / "stack.tif", layers, nodata=-9999, transform=transform,
                         descriptions=("lst", "land_cover", "snow", "soc"))
    for ending in ("gpkg", "geojson"):
        points = str(tmp_path / f"s.{ending}")
        processing.run(SamplePoints(), {"PTI": pti, "STACK": stack, "PER_CLASS": 60, "SPACING": 0, "EDGE_BUFFER": 0,
                                        "OUTPUT": points, "OUTPUT_TABLE": str(tmp_path / "t.csv")})
        total = rows_of(tmp_path / "t.csv")[-1]
        assert int(total["cells_complete"]) < int(total["cells_usable"]) < int(total["cells_inside"])
        assert "lst " in total["lacking"] and "land_cover " in total["lacking"]
        made = processing.run("pti:trainxgboost", {
            **QUICK, "SAMPLES": points, "BLOCK_KM": 30, "OUTPUT_MODEL": str(tmp_path / f"{ending}.ptimodel"),
            "OUTPUT_METRICS": str(tmp_path / f"{ending}.csv")})
        manifest = manifest_of(made["OUTPUT_MODEL"])
        assert manifest["class_weights"] == "area_matched" and manifest["samples"] == 180
        areas = manifest["area_of_ranks"]
        assert areas["40"] / areas["11"] == pytest.approx(6, rel=0.05)
        assert min(manifest["samples_lacking"].values()) > 10
        assert all(code == code for code in manifest["categories"]["land_cover"])
        # the fewer gaps are taken, the fewer of the points are
        few = processing.run("pti:trainxgboost", {
            **QUICK, "SAMPLES": points, "BLOCK_KM": 30, "MAX_MISSING": 0,
            "OUTPUT_MODEL": str(tmp_path / f"{ending}0.ptimodel"), "OUTPUT_METRICS": str(tmp_path / f"{ending}0.csv")})
        kept = manifest_of(few["OUTPUT_MODEL"])
        assert kept["samples"] < 120 and set(kept["samples_lacking"].values()) == {0} and kept["max_missing"] == 0
        record = json.loads((tmp_path / f"{ending}0.provenance.json").read_text(encoding="utf-8"))
        assert any(f"{180 - kept['samples']} of 180 sample points lack a predictor" in text
                   for text in record["warnings"])


def test_the_map_tells_areas_coverage_and_gaps(train, made, world, tmp_path):
    import processing
    from qgis.core import QgsProcessingException

    model = train()["OUTPUT_MODEL"]
    given = {"STACK": world.stack, "MODEL": model, "REFERENCE": made["index"]["OUTPUT"], "BUFFER_KM": 0}
    out = {"OUTPUT": "map.tif", "OUTPUT_MISSING": "missing.tif", "OUTPUT_TABLE": "area.csv",
           "OUTPUT_COVERAGE": "coverage.csv", "OUTPUT_METRICS": "mapped.csv"}
    out = {name: str(tmp_path / file) for name, file in out.items()}
    assert processing.run("pti:predictxgboost", {**given, **out}) == out
    style = (tmp_path / "missing.qml").read_text(encoding="utf-8")
    assert "no predictor is missing" in style
    whole, *lines = rows_of(out["OUTPUT_COVERAGE"])
    assert (whole["rank"], whole["latitude"]) == ("all", "all")
    assert int(whole["ranked_cells"]) == int(whole["predicted_cells"]) + int(whole["not_predicted_cells"])
    assert sum(int(line["ranked_cells"]) for line in lines if line["latitude"] == "all") == int(whole["ranked_cells"])
    areas = rows_of(out["OUTPUT_TABLE"])
    assert sum(float(row["adjusted_km2"]) for row in areas) == pytest.approx(
        sum(float(row["area_km2"]) for row in areas))
    record = json.loads((tmp_path / "map.provenance.json").read_text(encoding="utf-8"))
    assert record["results"]["coverage"][0]["ranked_cells"] == int(whole["ranked_cells"])
    with pytest.raises(QgsProcessingException, match="OUTPUT_COVERAGE needs the ranks"):
        processing.run("pti:predictxgboost", {"STACK": world.stack, "MODEL": model, **out})
