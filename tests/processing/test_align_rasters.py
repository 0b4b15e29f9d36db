"""The tool that brings products to the target grid, as PyQGIS calls it."""


import numpy as np
import pytest

import products as p
from pti_plugin.core.rasters.raster import read_info
from support import read_raster, record_in, refusal, standing, write_raster

pytest.importorskip("netCDF4")
pytest.importorskip("pyhdf")

#: a coarse target, so that a run takes a moment
COARSE = {"CELL_SIZE": 200_000, "TARGET_EXTENT": "-4800000,4800000,-4800000,4800000 [EPSG:6931]",
          "TARGET_CRS": "EPSG:6931"}


@pytest.fixture(scope="module")
def run(provider):
    import processing

    return lambda parameters: processing.run("pti:alignrasters", parameters)


def failure(run, parameters):
    from qgis.core import QgsProcessingException

    with pytest.raises(QgsProcessingException) as caught:
        run(parameters)
    return str(caught.value)


def test_a_variable_of_a_file_with_its_record(run, tmp_path):
    path, output = p.cci_permafrost_v3(tmp_path, "GTD"), tmp_path / "magt.tif"
    made = run({"FILE": path, "VARIABLE": "T10m", **COARSE, "OUTPUT": str(output)})
    assert made == {"OUTPUT": str(output)}
    info = read_info(str(output))
    assert (info.grid.name, info.grid.cell_size, info.grid.width) == ("EPSG:6931", (200_000, 200_000), 48)
    assert info.units == ("degC",) and info.descriptions == ("2005",)
    found = read_raster(output)
    assert -12 < np.nanmin(found) and np.nanmax(found) < 7
    # the default limit is 45° N
    latitude = info.grid.lonlat(*np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5))[1]
    assert np.isnan(found[latitude < 45]).all() and not np.isnan(found[20:28, 20:28]).all()
    record = record_in(tmp_path / "magt.provenance.json")
    assert record["parameters"]["VARIABLE"] == "T10m" and record["parameters"]["PRODUCT"] == "recognise"
    assert record["parameters"]["FILE"] == path and record["parameters"]["MIN_LATITUDE"] == 45
    assert record["results"]["product"] == "cci_gtd_v3" and record["results"]["resampling"] == "average"
    assert record["results"]["layers"] == ["2005"] and record["results"]["unit"] == "degC"


def test_a_folder_of_months_in_order_like_a_layer(run, tmp_path):
    folder = tmp_path / "months"
    folder.mkdir()
    for month in (2, 1, 3):
        p.mod10cm(folder, 2001, month, p.ranging(10.0 * month, 10.0 * month + 5))
    p.mod10cm(folder, 2002, 1)
    like = write_raster(tmp_path / "like.tif", np.ones((9, 11)), crs="EPSG:3995",
                        transform=(-1e6, 200_000.0, 0.0, 1.2e6, 0.0, -200_000.0))
    run({"FOLDER": str(folder), "PATTERN": "MOD10CM.A2001*.hdf", "TARGET": like, "OUTPUT": str(tmp_path / "snow.tif")})
    info = read_info(str(tmp_path / "snow.tif"))
    assert info.grid.same(read_info(like).grid) and info.descriptions == ("2001-01", "2001-02", "2001-03")
    for band in (1, 2, 3):
        assert 10 * band - 0.5 <= np.nanmean(read_raster(tmp_path / "snow.tif", band)) <= 10 * band + 5.5
    said = failure(run, {"FOLDER": str(folder), "PATTERN": "*.hdf", "YEARS": "2001-2003", "TARGET": like,
                         "OUTPUT": str(tmp_path / "more.tif")})
    assert "There is no layer for 2003 of YEARS 2001-2003" in said and not (tmp_path / "more.tif").exists()
    said = failure(run, {"FOLDER": str(folder), "PATTERN": "*.nc", "OUTPUT": str(tmp_path / "more.tif")})
    assert "matches *.nc" in said


def test_classes_with_a_recode_of_ones_own(run, tmp_path):
    path = p.peatland_map(tmp_path)
    run({"INPUT": [path], **COARSE, "RECODE": "1=3; 2=2; other=1", "MIN_LATITUDE": -90,
         "OUTPUT": str(tmp_path / "peat.tif")})
    assert set(np.unique(read_raster(tmp_path / "peat.tif"))) == {1, 2, 3}
    assert read_info(str(tmp_path / "peat.tif")).metadata["PTI_PRODUCT"] == "gpm2"


def test_a_file_without_georeference_is_given_one(run, tmp_path):
    values = np.arange(24, dtype="float32").reshape(4, 6)
    path = write_raster(tmp_path / "bare.tif", values, crs=None, transform=None)
    place = {"CRS": "EPSG:6931", "EXTENT": "-600000,600000,-400000,400000"}
    run({"FILE": path, **place, "CELL_SIZE": 200_000, "TARGET_EXTENT": "-600000,600000,-400000,400000",
         "OUTPUT": str(tmp_path / "out.tif")})
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), values)


def test_a_preset_of_ones_own(run, tmp_path):
    path = write_raster(tmp_path / "thaw_2001.tif", np.arange(24, dtype="int16").reshape(4, 6))
    table = tmp_path / "own.csv"
    table.write_text("product,kind,files,unit,low,high,scale\nthaw,number,thaw_*.tif,m,0,5,0.01\n", encoding="utf-8")
    run({"INPUT": [path], "PRODUCTS": str(table), "TARGET": path, "OUTPUT": str(tmp_path / "out.tif")})
    np.testing.assert_allclose(read_raster(tmp_path / "out.tif"), np.arange(24).reshape(4, 6) / 100, atol=1e-6)
    table.write_text("product,kind,files,low\nthaw,number,thaw_*.tif,none\n", encoding="utf-8")
    assert "own.csv, line 2: low is 'none'" in failure(run, {
        "INPUT": [path], "PRODUCTS": str(table), "TARGET": path, "OUTPUT": str(tmp_path / "again.tif")})


@pytest.mark.parametrize("wrong, said", [
    ({"PRODUCT": "obu"}, "PRODUCT is 'obu'; it must be one of recognise, none"),
    ({"PRODUCT": "cavm"}, "is named like Elevation of WorldClim"),
    ({"RESAMPLING": "sinc"}, "RESAMPLING is 'sinc'; it must be one of auto, near"),
    ({"TARGET_CRS": "EPSG:3995", "TARGET_EXTENT": ""}, "needs CELL_SIZE and TARGET_EXTENT"),
    ({"VALID": "9..1"}, "VALID is '9..1'"), ({"BAND": 2}, "BAND is 2"), ({"YEARS": "all"}, "YEARS is 'all'"),
    ({"UNITS": "*=miles"}, "UNITS says 'miles'"), ({"FOLDER": "/"}, "exactly one of INPUT (layers), FOLDER and FILE")])
def test_a_wrong_word_gives_a_sentence_and_no_file(run, tmp_path, wrong, said):
    path, out = p.worldclim_elevation(tmp_path), tmp_path / "out"
    out.mkdir()
    message = failure(run, {"FILE": path, **COARSE, **wrong, "OUTPUT": str(out / "out.tif")})
    assert said in message and message.rstrip().endswith("."), message
    assert standing(out) == {}


def test_on_the_command_line(qgis_process, tmp_path):
    path, output = p.cci_permafrost_v4(tmp_path), tmp_path / "pp.tif"
    wanted = {"FILE": path, **COARSE, "OUTPUT": output}
    finished = qgis_process.run("alignrasters", wanted)
    assert finished.code == 0, finished
    assert "preset cci_pfr" in finished.stdout and read_info(str(output)).units == ("%",)
    refusal(qgis_process.run("alignrasters", {**wanted, "VARIABLE": "PP", "OUTPUT": tmp_path / "other.tif"}),
            "has no variable 'PP'. Set VARIABLE to one of: PFR, PFR_uncertainty.")
    assert not (tmp_path / "other.tif").exists()
