"""Every tool that reads a map of ranks takes EXCLUDE and EXCLUDE_CODES, leaves the cells out and records it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from support import read_raster, write_raster

TRANSFORM = (500000.0, 25000.0, 0.0, -500000.0, 0.0, -25000.0)
TOOLS = ("buildpti", "samplepoints", "trainxgboost", "predictxgboost", "summarizezones", "compareprofiles",
         "validateboreholes", "assessaccuracy")
QUICK = {"RUNS": 2, "ROUNDS": 3, "PER_CLASS": 30, "BLOCK_KM": 150, "SEED": 7}


@pytest.fixture(scope="module")
def cover(tmp_path_factory):
    """(path, where it is 210 or 220) of a land cover on the grid of the small world."""
    codes = np.random.default_rng(1).choice([0, 130, 201, 210, 220], (24, 36), p=[0.1, 0.4, 0.3, 0.1, 0.1])
    path = write_raster(tmp_path_factory.mktemp("cover") / "cover.tif", codes, nodata=0, dtype="uint8",
                        transform=TRANSFORM)
    return path, np.isin(codes, (210, 220))


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def record_beside(path):
    return json.loads(Path(path).with_suffix(".provenance.json").read_text(encoding="utf-8"))


def test_every_tool_has_the_same_pair_of_parameters(provider):
    having = {tool.name() for tool in provider.algorithms() if tool.parameterDefinition("EXCLUDE")}
    assert having == set(TOOLS)
    for name in TOOLS:
        tool = provider.algorithm(name)
        assert tool.parameterDefinition("EXCLUDE").type() == "raster"
        assert tool.parameterDefinition("EXCLUDE_CODES").defaultValue() == "210, 220"


def index_inputs(made):
    ensemble = made["ensemble"]
    return {"MAGT": ensemble["OUTPUT_MAGT"], "PP": ensemble["OUTPUT_PP"], "BASE": ensemble["OUTPUT_BASE"],
            "MAGT_TREND": made["magt_trend"]["OUTPUT_SIGN"], "ALT_TREND": made["alt_trend"]["OUTPUT_SIGN"]}


def test_index_and_what_is_learned_from_it(run, world, made, cover, tmp_path):
    path, out = cover
    whole = read_raster(made["index"]["OUTPUT"])
    index = run("buildpti", {**index_inputs(made), "EXCLUDE": path, "OUTPUT": str(tmp_path / "pti.tif"),
                             "OUTPUT_REASON": str(tmp_path / "reason.tif")})
    np.testing.assert_array_equal(read_raster(index["OUTPUT"]), np.where(out, np.nan, whole))
    base = read_raster(made["ensemble"]["OUTPUT_BASE"]) == 1
    assert ((read_raster(index["OUTPUT_REASON"]) == 6) == (out & base)).all()
    record = record_beside(index["OUTPUT"])
    assert {entry["role"] for entry in record["inputs"]} >= {"EXCLUDE"}
    assert record["results"]["left_out"]["cells"] == (out & base).sum()

    # the tools that learn give with EXCLUDE what they give with an index that lacks the cells
    drawn = {}
    for key, pti, more in (("own", index["OUTPUT"], {}), ("left out", made["index"]["OUTPUT"], {"EXCLUDE": path})):
        folder = tmp_path / key.replace(" ", "_")
        folder.mkdir()
        points = run("samplepoints", {"PTI": pti, "STACK": world.stack, "PER_CLASS": 20, "SPACING": 0, "EDGE_BUFFER": 0,
                                      **more, "OUTPUT": str(folder / "samples.gpkg")})
        model = run("trainxgboost", {"PTI": pti, "STACK": world.stack, **QUICK, **more,
                                     "OUTPUT_MODEL": str(folder / "m.ptimodel"),
                                     "OUTPUT_METRICS": str(folder / "metrics.csv")})
        predicted = run("predictxgboost", {"STACK": world.stack, "MODEL": model["OUTPUT_MODEL"], "BASE": pti,
                                           "REFERENCE": pti, "BUFFER_KM": 0, **more,
                                           "OUTPUT": str(folder / "map.tif"), "OUTPUT_TABLE": str(folder / "map.csv")})
        drawn[key] = (record_beside(points["OUTPUT"])["results"]["samples_sha256"],
                      record_beside(model["OUTPUT_MODEL"])["results"]["samples_sha256"],
                      read_raster(predicted["OUTPUT"]).tobytes(), rows_of(predicted["OUTPUT_TABLE"]))
        assert np.isnan(read_raster(predicted["OUTPUT"])[out]).all()
    assert drawn["own"] == drawn["left out"]


def test_training_refuses_what_points_cannot_tell(run, world, made, cover, tmp_path):
    from qgis.core import QgsProcessingException

    points = run("samplepoints", {"PTI": made["index"]["OUTPUT"], "STACK": world.stack, "PER_CLASS": 20, "SPACING": 0,
                                  "EDGE_BUFFER": 0, "OUTPUT": str(tmp_path / "samples.gpkg")})
    with pytest.raises(QgsProcessingException, match="drawn already"):
        run("trainxgboost", {"SAMPLES": points["OUTPUT"], "EXCLUDE": cover[0], **QUICK,
                             "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"),
                             "OUTPUT_METRICS": str(tmp_path / "metrics.csv")})


def test_zones_and_comparison(run, world, made, cover, tmp_path):
    path, out = cover
    whole = read_raster(made["index"]["OUTPUT"])
    kept = ~np.isnan(whole) & ~out
    zones = run("summarizezones", {"PTI": made["index"]["OUTPUT"], "EXCLUDE": path,
                                   "OUTPUT_TABLE": str(tmp_path / "zones.csv")})
    assert int(rows_of(zones["OUTPUT_TABLE"])[0]["cells"]) == kept.sum() < (~np.isnan(whole)).sum()
    for name, parameters in (("products", {"PP": world.pp, "MAGT": world.magt,
                                           "MAGT_TREND": made["magt_trend"]["OUTPUT_SIGN"],
                                           "ALT_TREND": made["alt_trend"]["OUTPUT_SIGN"]}),
                             ("maps", {"FIRST": made["index"]["OUTPUT"], "SECOND": made["index"]["OUTPUT"]})):
        table = run("compareprofiles", {**parameters, "EXCLUDE": path, "OUTPUT": str(tmp_path / f"{name}.tif"),
                                        "OUTPUT_TABLE": str(tmp_path / f"{name}.csv")})["OUTPUT_TABLE"]
        row = next(row for row in rows_of(table) if row["item"] == "ranked in either")
        assert int(row["cells"]) == kept.sum(), name
