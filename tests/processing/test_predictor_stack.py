"""Slope and predictor stack as PyQGIS calls them, down to a model that is trained on the stack."""

import csv

import numpy as np
import pytest

from pti_plugin.core.ensembles.features import PREDICTORS, read_stack
from pti_plugin.core.ensembles.topography import UNITS
from pti_plugin.core.learning.predictor_stack import SCALINGS
from support import read_raster, record_in, standing, write_raster


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """Elevation, soil carbon and land cover on one polar grid, the base map and a raster of one's own."""
    folder = tmp_path_factory.mktemp("layers")
    rng = np.random.default_rng(6)
    elevation = np.add.outer(2000.0 * np.arange(12), 1000.0 * np.arange(14)) / 10
    soil = rng.integers(0, 500, (12, 14)).astype(float)
    soil[0, 0] = np.nan
    return {
        "ELEVATION": write_raster(folder / "dem.tif", elevation.astype("float32"), nodata=-9999, unit="m"),
        "SOC": write_raster(folder / "soc.tif", soil, nodata=-1, dtype="int16", unit="dg/kg"),
        "LAND_COVER": write_raster(folder / "cover.tif", rng.choice([70, 202], (12, 14)), nodata=0, dtype="uint8"),
        "BASE": write_raster(folder / "base.tif", np.where(np.arange(14) < 10, 1, 0) * np.ones((12, 1)), nodata=255,
                             dtype="uint8"),
        "OWN": [write_raster(folder / "wet.tif", rng.random((12, 14)), nodata=-9999, dtype="float32")],
    }


def test_slope_and_stack_follow_one_another(run, layers, tmp_path):
    slope = run("slope", {"INPUT": layers["ELEVATION"], "UNIT": UNITS.index("percent"),
                          "OUTPUT": str(tmp_path / "slope.tif"), "OUTPUT_ELEVATION": str(tmp_path / "elevation.tif")})
    percent = read_raster(slope["OUTPUT"])
    # cells of 25 km on an equal-area grid near the pole
    np.testing.assert_allclose(percent, 100 * np.hypot(200, 100) / 25000, rtol=2e-3)
    made = run("predictorstack", {**layers, "SLOPE": slope["OUTPUT"], "OWN_ROLES": "wet.tif=wetness",
                                  "OWN_GROUPS": "wetness=hydrological", "OUTPUT": str(tmp_path / "stack.tif"),
                                  "OUTPUT_RANGES": str(tmp_path / "ranges.csv")})
    stack = read_stack(made["OUTPUT"])
    assert [feature.name for feature in stack.features] == ["land_cover", "soc", "elevation", "slope", "wetness"]
    assert [feature.categorical for feature in stack.features] == [True, False, False, False, False]
    # dg/kg in the file
    raw, inside = read_raster(layers["SOC"]) / 10, read_raster(layers["BASE"]) == 1
    low, high = np.nanmin(raw[inside]), np.nanmax(raw[inside])
    np.testing.assert_allclose(read_raster(made["OUTPUT"], 2), np.clip((raw - low) / (high - low) * 100, 0, 100),
                               rtol=1e-6, atol=1e-6)
    with open(made["OUTPUT_RANGES"], encoding="utf-8", newline="") as stream:
        rows = {row["role"]: row for row in csv.DictReader(stream)}
    assert (float(rows["soc"]["low"]), float(rows["soc"]["high"])) == pytest.approx((low, high), rel=1e-6)
    record = record_in(tmp_path / "stack.provenance.json")
    assert record["parameters"]["SOC"] == layers["SOC"] and record["parameters"]["OWN"] == layers["OWN"]
    # a predictor of one's own does not stand for one of the paper's sixteen
    known = len(record["results"]["predictors"]) - 1
    assert record["choices"]["predictors"] == f"{known} and 1 of one's own" and record["choices"]["RANGES"] == ""
    assert any("soc 1 (" in warning for warning in record["warnings"])
    assert {row["role"] for row in record["results"]["predictors"]} == set(rows)
    second = run("predictorstack", {"SOC": layers["SOC"], "RANGES": made["OUTPUT_RANGES"],
                                    "OUTPUT": str(tmp_path / "second.tif")})
    np.testing.assert_array_equal(read_raster(second["OUTPUT"]), read_raster(made["OUTPUT"], 2))
    assert "OUTPUT_RANGES" not in second


def test_slopes_that_are_not_significant_are_told(run, layers, tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(0, 0.1, (9, 12, 14)) + 0.1 * np.arange(9)[:, None, None] * (np.arange(14) < 7)
    series = write_raster(tmp_path / "series.tif", values, dtype="float32", unit="degC",
                          descriptions=[str(year) for year in range(2001, 2010)])
    trend = run("trendrasters", {"INPUT": [series], **{name: str(tmp_path / f"{name}.tif") for name in (
        "OUTPUT_SIGN", "OUTPUT_SLOPE", "OUTPUT_SLOPE_SIGNIFICANT")}})
    plain = write_raster(tmp_path / "plain.tif", rng.normal(0, 0.1, (12, 14)), dtype="float32", unit="degC/year")
    for given, taken in ((trend["OUTPUT_SLOPE_SIGNIFICANT"], "where significant"), (plain, "lst_trend not known"),
                         (trend["OUTPUT_SLOPE"], "lst_trend everywhere")):
        run("predictorstack", {"LST_TREND": given, "SOC": layers["SOC"], "OUTPUT": str(tmp_path / "stack.tif")})
        record = record_in(tmp_path / "stack.provenance.json")
        assert record["choices"]["slopes"] == taken
        assert any("significant or not" in warning for warning in record["warnings"]) == (given ==
                                                                                           trend["OUTPUT_SLOPE"])
        assert ("slopes" in record["departures_from_the_paper"]) == (taken != "where significant")


def test_elevation_is_brought_to_the_target_before_its_slope(run, layers, tmp_path):
    coarse = write_raster(tmp_path / "coarse.tif", np.zeros((6, 7), dtype="uint8"),
                          transform=(-100000.0, 50000.0, 0.0, 100000.0, 0.0, -50000.0))
    made = run("slope", {"INPUT": layers["ELEVATION"], "TARGET": coarse, "MIN_ELEVATION": 0,
                         "OUTPUT": str(tmp_path / "slope.tif")})
    assert read_raster(made["OUTPUT"]).shape == (6, 7)
    np.testing.assert_allclose(read_raster(made["OUTPUT"]), np.degrees(np.arctan(np.hypot(200, 100) / 25000)),
                               rtol=3e-3)
    assert not [name for name in standing(tmp_path) if "elevation" in name or "partial" in name]


def test_a_model_maps_a_second_stack_scaled_by_its_ranges(run, world, made, tmp_path):
    import processing

    given = {"ELEVATION": world.magt[0], "SNOW": world.pp[0], "LAND_COVER": world.cci[0]}
    ensemble = made["ensemble"]
    first = run("predictorstack", {**given, "BASE": ensemble["OUTPUT_BASE"], "OUTPUT": str(tmp_path / "stack.tif")})
    model = processing.run("pti:trainxgboost", {"PTI": made["index"]["OUTPUT"], "STACK": first["OUTPUT"], "RUNS": 2,
                                                "ROUNDS": 3, "PER_CLASS": 30, "BLOCK_KM": 150, "SEED": 7,
                                                "OUTPUT_MODEL": str(tmp_path / "m.ptimodel"),
                                                "OUTPUT_METRICS": str(tmp_path / "metrics.csv")})
    second = run("predictorstack", {**given, "ELEVATION": world.magt[1], "RANGES": model["OUTPUT_MODEL"],
                                    "OUTPUT": str(tmp_path / "second.tif")})
    result = processing.run("pti:predictxgboost", {"STACK": second["OUTPUT"], "MODEL": model["OUTPUT_MODEL"],
                                                   "OUTPUT": str(tmp_path / "pti.tif")})
    assert np.isfinite(read_raster(result["OUTPUT"])).any()


@pytest.mark.parametrize(("name", "parameters", "message"), [
    ("predictorstack", {}, "No predictor is given"),
    ("predictorstack", {"SOC": "ELEVATION", "LST": "ELEVATION"}, "dem.tif is given twice, as lst and as soc"),
    ("predictorstack", {"OWN": "OWN"}, "wet.tif is given under OWN without a role"),
    ("predictorstack", {"SOC": "SOC", "SCALING": SCALINGS.index("raw"), "RANGES": "x.csv"}, "SCALING is raw"),
    ("predictorstack", {"SOC": "missing.tif"}, "missing.tif does not exist"),
    ("slope", {}, "INPUT"),
    ("slope", {"INPUT": "ELEVATION", "MIN_ELEVATION": 5000}, "no elevation at or above MIN_ELEVATION, 5000 m"),
])
def test_bad_input_is_refused_in_plain_words(run, layers, tmp_path, name, parameters, message):
    from qgis.core import QgsProcessingException

    parameters = {key: layers.get(value, value) if isinstance(value, str) else value
                  for key, value in parameters.items()}
    with pytest.raises(QgsProcessingException, match=message):
        run(name, {**parameters, "OUTPUT": str(tmp_path / "out.tif")})
    assert standing(tmp_path) == {}


def test_every_role_is_a_parameter_and_every_parameter_explained(provider):
    for name in ("predictorstack", "slope"):
        algorithm = provider.algorithm(name)
        for definition in algorithm.parameterDefinitions():
            assert definition.help().endswith(".") and definition.description(), definition.name()
        assert algorithm.groupId() == "dataset"
    stack = provider.algorithm("predictorstack")
    for role in PREDICTORS:
        definition = stack.parameterDefinition(role.upper())
        assert definition.type() == "raster" and definition.flags() & definition.FlagOptional
