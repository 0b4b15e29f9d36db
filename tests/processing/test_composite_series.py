"""The tools that make the data set's layers, as PyQGIS calls them: composites of series, means over depth."""

import json

import numpy as np
import pytest

from pti_plugin.core.series.composites import STATISTICS
from support import read_raster, record_in, standing, write_raster

MONTHS = [f"{year}-{month:02d}" for year in range(2000, 2006) for month in range(1, 13)][1:]


@pytest.fixture(scope="module")
def monthly(tmp_path_factory):
    """A folder with one raster a month, 2000-02 to 2005-12, and the same as a cube of whole years."""
    folder = tmp_path_factory.mktemp("monthly")
    cube = np.random.default_rng(4).integers(-100, 100, (len(MONTHS), 5, 6)).astype(float)
    for stamp, layer in zip(MONTHS, cube):
        write_raster(folder / f"ndvi_{stamp}.tif", layer, dtype="int16", scale=0.01)
    january = cube[[MONTHS.index(f"{year}-01") for year in range(2001, 2006)]].mean(axis=0)
    return folder, np.concatenate([january[None], cube]).reshape(6, 12, 5, 6) * 0.01


def test_a_folder_becomes_a_composite_and_a_series_for_the_trend_tool(run, monthly, tmp_path):
    import processing

    folder, cube = monthly
    out = {name: str(tmp_path / f"{name}.tif") for name in ("OUTPUT", "OUTPUT_SERIES", "OUTPUT_COUNT")}
    made = run("compositeseries", {"FOLDER": str(folder), "PERIOD": 12,
                                   "STATISTIC": STATISTICS.index("annual_maximum"), **out})
    assert made == out
    np.testing.assert_allclose(read_raster(out["OUTPUT"]), cube.max(axis=1).mean(axis=0), rtol=1e-6)
    assert (read_raster(out["OUTPUT_COUNT"]) == 6).all()
    record = json.loads((tmp_path / "OUTPUT.provenance.json").read_text(encoding="utf-8"))
    assert record["results"]["filled"] == ["2000-01"] and record["results"]["years"] == list(range(2000, 2006))
    assert any("2000-01" in warning for warning in record["warnings"])
    assert record["parameters"]["FILL"] is True and record["parameters"]["PERIOD"] == 12
    trend = processing.run("pti:trendrasters", {"INPUT": [out["OUTPUT_SERIES"]],
                                                "OUTPUT_SLOPE": str(tmp_path / "slope.tif"),
                                                "OUTPUT_SIGN": str(tmp_path / "sign.tif")})
    series = cube.max(axis=1)
    pairs = [(series[j] - series[i]) / (j - i) for i in range(6) for j in range(i + 1, 6)]
    np.testing.assert_allclose(read_raster(trend["OUTPUT_SLOPE"]), np.median(pairs, axis=0), rtol=1e-4, atol=1e-6)


def test_optional_outputs_are_not_made_unless_asked_for(run, monthly, tmp_path):
    made = run("compositeseries", {"FOLDER": str(monthly[0]), "PERIOD": 12, "OUTPUT": str(tmp_path / "mean.tif")})
    assert list(made) == ["OUTPUT"]
    assert sorted(standing(tmp_path)) == ["mean.provenance.json", "mean.tif"]


def test_a_variable_of_a_netcdf_file_is_taken(run, tmp_path):
    from osgeo import gdal

    stamps = [f"{i:02d}" for i in range(1, 13)]
    cube = np.arange(12.0)[:, None, None] + np.zeros((12, 3, 4))
    plain = write_raster(tmp_path / "plain.tif", cube, dtype="float32", descriptions=stamps)
    gdal.Translate(str(tmp_path / "lst.nc"), plain, format="netCDF")
    made = run("compositeseries", {"FILE": str(tmp_path / "lst.nc"), "VARIABLE": "Band4",
                                   "OUTPUT": str(tmp_path / "out.tif")})
    assert (read_raster(made["OUTPUT"]) == 3).all()


def test_a_variable_is_taken_from_every_file_of_a_folder(run, tmp_path):
    from osgeo import gdal
    from qgis.core import QgsProcessingException

    for year in (2001, 2002):
        cube = np.full((2, 3, 4), year) + np.array([0, 10])[:, None, None]
        plain = write_raster(tmp_path / "plain.tif", cube, dtype="float32")
        gdal.Translate(str(tmp_path / f"snow_{year}.nc"), plain, format="netCDF")
    parameters = {"FOLDER": str(tmp_path), "PATTERN": "*.nc", "OUTPUT": str(tmp_path / "out.tif")}
    made = run("compositeseries", {**parameters, "VARIABLE": "Band2"})
    assert (read_raster(made["OUTPUT"]) == 2011.5).all()
    with pytest.raises(QgsProcessingException, match="no variable 'Snow'.*Band1, Band2"):
        run("compositeseries", {**parameters, "VARIABLE": "Snow"})


def test_depths_become_a_mean_with_a_record(run, tmp_path):
    layers = [write_raster(tmp_path / f"soc_{top}-{bottom}cm_mean.tif", np.full((3, 4), value), dtype="int16",
                           unit="dg/kg")
              for top, bottom, value in ((0, 5, 100), (5, 15, 50), (15, 30, 20))]
    made = run("depthmean", {"INPUT": layers, "OUTPUT": str(tmp_path / "soc.tif"),
                             "OUTPUT_THICKNESS": str(tmp_path / "cm.tif")})
    np.testing.assert_allclose(read_raster(made["OUTPUT"]), (500 + 500 + 300) / 30 / 10, rtol=1e-6)
    assert (read_raster(made["OUTPUT_THICKNESS"]) == 30).all()
    record = record_in(tmp_path / "soc.provenance.json")
    assert [row["weight_cm"] for row in record["results"]["layers"]] == [5, 10, 15]
    assert record["parameters"]["INPUT"] == layers


@pytest.mark.parametrize(("name", "parameters", "message"), [
    ("compositeseries", {}, "exactly one of INPUT"),
    ("compositeseries", {"FOLDER": "monthly", "STATISTIC": 1}, "PERIOD is 1.*several layers a year"),
    ("compositeseries", {"FOLDER": "monthly", "PERIOD": 1}, "same time stamp, 2000"),
    ("compositeseries", {"FOLDER": "monthly", "PERIOD": 12, "VALID": "0-100"}, "VALID is '0-100'"),
    ("compositeseries", {"FOLDER": "monthly", "PERIOD": 12, "FLAGS": "a"}, "FLAGS is 'a'"),
    ("compositeseries", {"FOLDER": "monthly", "PERIOD": 12, "STATISTIC": 5}, "declares a scale"),
    ("compositeseries", {"FOLDER": "monthly", "PATTERN": "*.hdf"}, "No file in .* matches"),
    ("compositeseries", {"FOLDER": "monthly", "PERIOD": 12, "VALID": "90..99"}, "No cell|empty"),
    ("depthmean", {}, "INPUT"),
])
def test_bad_input_is_refused_in_plain_words(run, monthly, tmp_path, name, parameters, message):
    from qgis.core import QgsProcessingException

    if "FOLDER" in parameters:
        parameters = {**parameters, "FOLDER": str(monthly[0])}
    with pytest.raises(QgsProcessingException, match=message):
        run(name, {**parameters, "OUTPUT": str(tmp_path / "out.tif")})
    assert standing(tmp_path) == {}


def test_every_parameter_is_explained(provider):
    for name in ("compositeseries", "depthmean"):
        algorithm = provider.algorithm(name)
        for definition in algorithm.parameterDefinitions():
            assert definition.help().endswith(".") and definition.description(), definition.name()
        assert algorithm.groupId() == "dataset"


def test_the_log_begins_with_the_tool_and_its_lasting_outputs(provider, monthly, tmp_path):
    import processing
    from qgis.core import QgsProcessingFeedback

    for output, line in ((str(tmp_path / "lst_mean.tif"), "Composite of a series (pti:compositeseries): lst_mean.tif"),
                         ("TEMPORARY_OUTPUT", "Composite of a series (pti:compositeseries)")):
        feedback = QgsProcessingFeedback()
        processing.run("pti:compositeseries", {"FOLDER": str(monthly[0]), "PERIOD": 12, "OUTPUT": output},
                       feedback=feedback)
        assert line in feedback.textLog().splitlines()
