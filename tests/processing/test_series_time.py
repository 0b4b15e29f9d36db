"""The three tools that take series, told by parameters what files and names leave open about time."""

import netCDF4
import numpy as np
import pytest

from pti_plugin.core.rasters.raster import read_info
from support import read_raster, write_raster

YEARS = range(2000, 2015)


@pytest.fixture(scope="module")
def soil(tmp_path_factory):
    """A netCDF file of 15 years at 3 depths, each of which rises by 0.1 a year."""
    path = tmp_path_factory.mktemp("soil") / "soil_4d.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, held, units in (("valid_time", [year * 10000 + 701 for year in YEARS], "day as %Y%m%d.%f"),
                                  ("depth", [0.1, 1.0, 2.0], "m"), ("lat", [70.0, 69.5, 69.0], "degrees_north"),
                                  ("lon", [100.0, 100.5], "degrees_east")):
            file.createDimension(name, len(held))
            file.createVariable(name, "f8", (name,))[:] = held
            file[name].units = units
        values = 0.1 * np.arange(15)[:, None] + np.array([0.0, 5.0, 3.0])
        file.createVariable("stl", "f4", ("valid_time", "depth", "lat", "lon"))[:] = values[..., None, None]
    return str(path)


@pytest.fixture
def refuse(run):
    """Runs a tool that must fail and returns its message."""
    from qgis.core import QgsProcessingException

    def refused(tool, parameters):
        with pytest.raises(QgsProcessingException) as caught:
            run(tool, parameters)
        return str(caught.value)

    return refused


def test_one_depth_is_selected_in_every_tool(run, refuse, soil, tmp_path):
    slope = {"FILE": soil, "OUTPUT_SLOPE": str(tmp_path / "slope.tif"), "OUTPUT_SIGN": str(tmp_path / "sign.tif")}
    mean = {"FILE": soil, "OUTPUT": str(tmp_path / "mean.tif")}
    target = write_raster(tmp_path / "target.tif", np.zeros((3, 2), "float32"), crs="EPSG:4326",
                          transform=(99.75, 0.5, 0.0, 70.25, 0.0, -0.5))
    aligned = {"FILE": soil, "PRODUCT": "none", "TARGET": target, "MIN_LATITUDE": -90,
               "OUTPUT": str(tmp_path / "aligned.tif")}
    for tool, parameters in (("trendrasters", slope), ("compositeseries", mean), ("alignrasters", aligned)):
        message = refuse(tool, parameters)
        for said in ("differ along 2 dimensions", "SELECT", "depth: 0.1, 1, 2 (m)", "valid_time: 2000-07-01"):
            assert said in message, tool
        run(tool, {**parameters, "SELECT": "depth=1"})
    np.testing.assert_allclose(read_raster(slope["OUTPUT_SLOPE"]), 0.1, rtol=1e-5)
    np.testing.assert_allclose(read_raster(mean["OUTPUT"]), 5.7, rtol=1e-6)
    assert read_info(aligned["OUTPUT"]).bands == 15
    assert read_raster(aligned["OUTPUT"], 15)[1, 1] == pytest.approx(6.4)
    # by BAND as before, but not by both
    assert "BAND and SELECT both choose" in refuse("alignrasters", {**aligned, "BAND": 2, "SELECT": "depth=1"})
    run("alignrasters", {**aligned, "BAND": 2})
    assert read_info(aligned["OUTPUT"]).bands == 1 and read_raster(aligned["OUTPUT"])[1, 1] == pytest.approx(5.0)


def test_the_form_of_dates_is_stated(run, refuse, tmp_path):
    folder = tmp_path / "lst"
    folder.mkdir()
    for year in range(2000, 2006):
        for month in range(1, 13):
            write_raster(folder / f"lst_01.{month:02d}.{year}.tif",
                         np.full((3, 4), 0.1 * (year - 2000 + (month - 1) / 12) + np.cos(month)), dtype="float32")
    parameters = {"FOLDER": str(folder), "PERIOD": 12, "SORT": True, "OUTPUT_SLOPE": str(tmp_path / "slope.tif"),
                  "OUTPUT_SIGN": str(tmp_path / "sign.tif")}
    assert "DATE_FORMAT, %d.%m.%Y or %m.%d.%Y" in refuse("trendrasters", parameters)
    run("trendrasters", {**parameters, "DATE_FORMAT": "%d.%m.%Y"})
    np.testing.assert_allclose(read_raster(parameters["OUTPUT_SLOPE"]), 0.1, rtol=1e-4)
