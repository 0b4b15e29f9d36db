"""Folders as delivered: one command each gives what numpy makes of the values that were written.

PTI_FOLDERS=full (make folders) writes the real number of files; otherwise a tenth of the long ones.
"""

import os
import time
from datetime import date

import delivered as d
import numpy as np
import pytest

import products as p
from support import read_raster, write_raster

pytest.importorskip("netCDF4")
pytest.importorskip("h5py")
pytest.importorskip("pyhdf")

#: every value counts as it comes, so that a line of numpy says what must come out
PLAIN = {"GAPS": 1, "NIGHT": 1}
SHARE = 1.0 if os.environ.get("PTI_FOLDERS") == "full" else 0.1


@pytest.fixture
def run(provider, tmp_path, capsys):
    """Run a tool on a folder and return {output: array of its bands}; says how long it took."""
    import processing

    def call(tool, name, files, **parameters):
        outputs = {key: str(tmp_path / f"{key.lower()}.tif") for key, value in parameters.items() if value is ...}
        begun = time.process_time()
        processing.run(f"pti:{tool}", {**parameters, **outputs})
        with capsys.disabled():
            print(f"\n  {name}: {files:,} files, {tool} {time.process_time() - begun:.1f} s of CPU", end="")
        return {key: bands(path) for key, path in outputs.items()}

    return call


def bands(path):
    from osgeo import gdal

    dataset = gdal.Open(path)
    return np.stack([read_raster(path, number + 1) for number in range(dataset.RasterCount)])


def nanmean(values, axis=0):
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=axis) / np.where(known.any(axis=axis), known.sum(axis=axis), np.nan)


def test_snow(run, tmp_path):
    made = d.snow(tmp_path / "snow", SHARE)
    found = run("compositeseries", "MOD10CM", made.files, FOLDER=str(tmp_path / "snow"), PATTERN="*.hdf", PERIOD=12,
                STATISTIC=3, **PLAIN, OUTPUT=..., OUTPUT_COUNT=...)
    years = []
    for year in range(2001, made.times[-1][0]):
        months = [made.times.index(time) for time in [(year, month) for month in range(7, 13)]
                  + [(year + 1, month) for month in range(1, 7)] if time in made.times]
        if len(months) == 12:
            years.append(nanmean(made.values[months]))
    np.testing.assert_allclose(found["OUTPUT"][0], nanmean(np.array(years)), rtol=1e-5)
    assert found["OUTPUT_COUNT"].max() == len(years) >= 2


def test_permafrost(run, tmp_path):
    made = d.permafrost(tmp_path / "cci")
    found = run("compositeseries", "Permafrost_CCI v5", made.files, FOLDER=str(tmp_path / "cci"), PATTERN="*.nc",
                OUTPUT=...)
    np.testing.assert_allclose(found["OUTPUT"][0], made.values.mean(axis=0), rtol=1e-6)
    found = run("trendrasters", "Permafrost_CCI v5", made.files, FOLDER=str(tmp_path / "cci"), PATTERN="*.nc",
                OUTPUT_SLOPE=..., OUTPUT_SIGN=...)
    years = np.arange(25)
    pairs = [(i, j) for i in range(25) for j in range(i + 1, 25)]
    slopes = np.median([(made.values[j] - made.values[i]) / (years[j] - years[i]) for i, j in pairs], axis=0)
    np.testing.assert_allclose(found["OUTPUT_SLOPE"][0], slopes, atol=1e-5)


@pytest.mark.parametrize("ending", ["tif", "h5"])
def test_freeze_thaw(run, tmp_path, ending):
    made = d.freeze_thaw(tmp_path / "ft", ending, SHARE)
    found = run("compositeseries", f"PER-FT .{ending}", made.files, FOLDER=str(tmp_path / "ft"),
                PATTERN=f"*_CO_FT_*.{ending}", PERIOD=365, STATISTIC=4, MIN_DAYS=340, **PLAIN, OUTPUT=...,
                OUTPUT_SERIES=...)
    years = [day.year for day in made.times]
    whole = [year for year in sorted(set(years)) if years.count(year) >= 365]
    annual = []
    for year in whole:
        days = made.values[np.array(years) == year]
        annual.append(np.where((~np.isnan(days)).sum(axis=0) >= 340, (days == 0).sum(axis=0), np.nan))
    assert len(whole) >= 2
    np.testing.assert_array_equal(found["OUTPUT_SERIES"][:len(whole)], annual)
    if len(found["OUTPUT_SERIES"]) == len(whole):
        np.testing.assert_allclose(found["OUTPUT"][0], nanmean(np.array(annual)), rtol=1e-6)


def test_greenness(run, tmp_path):
    made = d.greenness(tmp_path / "ndvi", SHARE)
    found = run("compositeseries", "GLASS NDVI", made.files, FOLDER=str(tmp_path / "ndvi"), PATTERN="GLASS13B01*.hdf",
                PERIOD=46, STATISTIC=1, **PLAIN, OUTPUT=...)
    years = np.array([year for year, _ in made.times])
    with np.errstate(all="ignore"):
        peaks = [np.nanmax(made.values[years == year], axis=0) for year in sorted(set(years))
                 if (years == year).sum() == 46]
    np.testing.assert_allclose(found["OUTPUT"][0], np.mean(peaks, axis=0), rtol=1e-5)
    north = run("compositeseries", "GLASS NDVI north of 45", made.files, FOLDER=str(tmp_path / "ndvi"),
                PATTERN="GLASS13B01*.hdf", PERIOD=46, STATISTIC=1, MIN_LATITUDE=45, **PLAIN, OUTPUT=...)
    np.testing.assert_array_equal(north["OUTPUT"], found["OUTPUT"][:, :3])


def test_surface_temperature(run, tmp_path):
    made = d.surface_temperature(tmp_path / "lst", SHARE)
    found = run("compositeseries", "GLASS LST tiles", made.files, FOLDER=str(tmp_path / "lst"), PATTERN="*.hdf",
                PERIOD=365, STATISTIC=6, OUTPUT=..., OUTPUT_SERIES=...)
    months = np.array([day.month for day in made.times])
    expected = []
    for month, length in enumerate(d.month_lengths(2001), start=1):
        days = made.values[months == month]
        if len(days) >= 0.75 * length:
            enough = (~np.isnan(days)).sum(axis=0) >= 0.75 * length
            expected.append(np.where(enough, nanmean(days), np.nan))
    assert len(expected) == (12 if SHARE == 1 else 2)
    np.testing.assert_allclose(found["OUTPUT_SERIES"], expected, atol=1e-4)
    np.testing.assert_allclose(found["OUTPUT"][0], nanmean(np.array(expected)), atol=1e-4)
    assert np.isnan(found["OUTPUT"][0][:d.TILE_CELLS, d.TILE_CELLS:]).all()


@pytest.mark.parametrize("ending", ["tif", "vrt"])
def test_soil(run, tmp_path, ending):
    folder = tmp_path / "soil"
    folder.mkdir()
    values = d.soil(folder, ending)
    for name, layers in values.items():
        found = run("depthmean", f"SoilGrids {name} .{ending}", 5, OUTPUT=..., INPUT=[
            str(folder / f"{name}_{top}-{bottom}cm_mean.{ending}") for top, bottom in d.DEPTHS])
        mean = np.tensordot([5, 10, 15, 30, 40], layers, 1) / 100
        np.testing.assert_allclose(found["OUTPUT"][0], mean, rtol=1e-5)


def test_zips(run, tmp_path):
    target = str(tmp_path / "grid.tif")
    write_raster(target, np.zeros((24, 24), "uint8"), crs=p.EASE2_NORTH, transform=(-3e6, 2.5e5, 0, 3e6, 0, -2.5e5))
    plain = p.obu(tmp_path)
    packed = d.zipped(tmp_path / "zips" / "UiO_PEX_PERPROB_5.0_20181128_2000_2016_NH.zip",
                      (f"a/{os.path.basename(plain)}", plain))
    peat = p.peatland_map(tmp_path)
    inner = d.zipped(tmp_path / "GLOpeat_GPA22WGS_2cl_1x1km.zip", ("peatGPA22WGS_2cl.tif", peat))
    nested = d.zipped(tmp_path / "peat" / "GPM2022_GMC.zip", ("GLOpeat_GPA22WGS_2cl_1x1km.zip", inner))
    for name, file, archive in (("Obu", plain, packed), ("peat", peat, nested)):
        expected = run("alignrasters", name, 1, INPUT=[file], TARGET=target, OUTPUT=...)["OUTPUT"]
        for given in ({"FILE": archive}, {"FOLDER": os.path.dirname(archive)}, {"INPUT": [archive]}):
            found = run("alignrasters", f"{name} zipped", 1, TARGET=target, OUTPUT=..., **given)["OUTPUT"]
            np.testing.assert_array_equal(found, expected)
    months = []
    for month in range(1, 13):
        stored = np.full((6, 8), 60, "uint8")
        stored[month % 6, month % 8] = 250
        day = date(2001, month, 1).timetuple().tm_yday
        path = write_raster(tmp_path / f"MOD10CM.A2001{day:03d}.061.tif", stored, crs="EPSG:4326",
                            transform=(-180, 45, 0, 90, 0, -30))
        months.append((os.path.basename(path), path))
    d.zipped(tmp_path / "snow" / "order_1234.zip", *months)
    found = run("compositeseries", "MOD10CM zipped", 12, FOLDER=str(tmp_path / "snow"), PERIOD=12, OUTPUT=...)
    np.testing.assert_array_equal(found["OUTPUT"][0], 60)
