"""Real files of five CRSs against paths that know nothing of the plugin: gdalwarp with every option stated, bilinear
interpolation written out in NumPy, and pyproj with clipped polygons."""

import os

import numpy as np
import pytest
from warp_reference import Places, check

from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.align import AlignOptions, align, polar_grid
from pti_plugin.core.rasters.grid import epsg_wkt
from pti_plugin.core.rasters.products import NONE
from pti_plugin.core.rasters.raster import CLASS, read_info
from support import Log, read_raster

pytest.importorskip("netCDF4")
CELL = 50_000.0
TARGET = polar_grid(cell=CELL)
IPA_CRS = "+proj=laea +lat_0=90 +lon_0=0 +R=6371228 +units=m +no_defs"
#: by which two ways of adding up the same cells may differ, as a share of the range
SHARE = 1e-5


@pytest.fixture(scope="module")
def where():
    """Longitudes and latitudes of the centres of TARGET's cells."""
    return TARGET.lonlat(*np.meshgrid(np.arange(TARGET.width) + 0.5, np.arange(TARGET.height) + 0.5))


def run(path, folder, target=TARGET, **options):
    """Align a file; return (array of the first band, result, log)."""
    output, log = str(folder / "out.tif"), Log()
    with Staging([path]) as staging:
        result = align([str(path)], output, staging, log, AlignOptions(**options), target)
        staging.commit()
    return read_raster(output), result, log


def warped(path, folder, how, target=TARGET, **options):
    """Return what gdalwarp makes of a file, NaN where it is nodata; scale and offset are not applied."""
    from osgeo import gdal

    (left, size, _, top, _, _), output = target.transform, str(folder / "reference.tif")
    more = {"dstNodata": -99999, "outputType": gdal.GDT_Float64, "errorThreshold": 0, "multithread": False, **options}
    done = gdal.Warp(output, str(path), format="GTiff", dstSRS=target.wkt, resampleAlg=how, xRes=size, yRes=size,
                     outputBounds=(left, top - size * target.height, left + size * target.width, top), **more)
    assert done is not None
    done = None
    return read_raster(output)


def same(found, expected, tolerance, strays=0):
    """Assert that two arrays have values at the same cells, but for ``strays``, and the values within a tolerance."""
    assert np.count_nonzero(np.isnan(found) != np.isnan(expected)) <= strays
    both = ~np.isnan(found) & ~np.isnan(expected)
    assert both.sum() > 1000
    assert np.abs(found - expected)[both].max() <= tolerance, np.abs(found - expected)[both].max()


def clipped(found, path, values, how, target=TARGET, far=None, crs=None):
    """Assert that cells of a result, those in ``far`` alone where given, are what polygons clipped from ``values``, the
    source's with NaN for nodata, make of them."""
    grid = read_info(str(path)).grid
    rows, columns = np.nonzero(np.ones((target.height, target.width), bool) if far is None else far)
    some = np.random.default_rng(1).choice(rows.size, 2000, replace=False)
    rows, columns = rows[some], columns[some]
    assert np.isfinite(found[rows, columns]).sum() > 300
    check(found[rows, columns], Places((crs or grid.wkt, grid.transform, grid.width, grid.height),
                                       (target.wkt, target.transform, target.width, target.height), rows, columns),
          values, how)


def bilinear(values, north, west, step, where):
    """Interpolate (rows, columns) of nodes ``step`` degrees apart that go round the earth at longitudes and latitudes.

    ``north``, ``west``: the first node.
    """
    longitude, latitude = where
    column, row = np.mod((longitude - west) / step, values.shape[1]), (north - latitude) / step
    left, top = np.floor(column).astype(int), np.clip(np.floor(row).astype(int), 0, values.shape[0] - 2)
    across, down = column - left, row - top
    left, right = left % values.shape[1], (left + 1) % values.shape[1]
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[top + 1, left] * (1 - across) + values[top + 1, right] * across
    return np.where(row > values.shape[0] - 1, np.nan, upper * (1 - down) + lower * down)


def seam(where, west, width):
    """Return the cells within ``width`` degrees of a meridian, up to 0.3° from the pole."""
    longitude, latitude = where
    return (np.abs(np.mod(longitude - west + 180, 360) - 180) < width) & (latitude < 89.7)


@pytest.mark.parametrize("name, product, target", [
    ("cci_v3_pfr_median_ps71_13.9km.tif", "cci_pfr_v3", TARGET),
    ("cci_v3_alt_median1997-2019_ps71_13.9km.tif", "cci_alt_v3", TARGET),
    ("cci_v3_alt_median1997-2019_ps71_13.9km.tif", "cci_alt_v3",
     polar_grid(cell=5000.0, extent=(-1_200_000, -200_000, -2_300_000, -1_300_000)))])
def test_polar_stereographic_numbers_are_those_of_another_path(shared_data, tmp_path, name, product, target):
    path = shared_data / "permafrost_maps" / name
    found, result, _ = run(path, tmp_path, target, product=product, absent="nodata")
    how = "average" if target is TARGET else "bilinear"
    assert result["resampling"] == how and result["unit"] == ("%" if "pfr" in name else "m")
    clipped(found, path, read_raster(path), how, target)
    if how == "bilinear":
        same(found, warped(path, tmp_path, how, target, srcNodata="nan"), SHARE * (100 if "pfr" in name else 8), 3)


def test_no_permafrost_becomes_0_before_the_average(shared_data, tmp_path):
    path = shared_data / "permafrost_maps" / "cci_v3_pfr_median_ps71_13.9km.tif"
    found, _, _ = run(path, tmp_path, product="cci_pfr_v3")
    clipped(found, path, np.nan_to_num(read_raster(path)), "average")
    assert (found == 0).sum() > 1000


def test_the_ipa_map_and_its_raw_bytes_give_the_same_classes(shared_data, tmp_path):
    folder = shared_data / "permafrost_maps"
    raw, result, log = run(folder / "nhipa.byte", tmp_path)
    assert result["product"] == "ipa"
    assert any("states no CRS; that of the product is used" in line for line in log.lines)
    made, result, _ = run(folder / "ipa_nhipa_laea_12.5km.tif", tmp_path)
    assert result["product"] == "ipa" and result["resampling"] == "mode"
    np.testing.assert_array_equal(raw, made)
    assert set(np.unique(raw[~np.isnan(raw)])) <= set(range(1, 26))
    values = read_raster(folder / "ipa_nhipa_laea_12.5km.tif")
    clipped(raw, folder / "ipa_nhipa_laea_12.5km.tif", values, "mode", crs=IPA_CRS)
    # on a sphere another ellipsoid would put places 20 km elsewhere
    with pytest.raises(AssertionError):
        clipped(raw, folder / "ipa_nhipa_laea_12.5km.tif", values, "mode", crs="EPSG:6931")


def test_nearest_of_the_ipa_map_is_that_of_gdalwarp(shared_data, tmp_path):
    path, target = shared_data / "permafrost_maps" / "nhipa.byte", polar_grid(cell=10_000.0)
    found, result, _ = run(path, tmp_path, target)
    assert result["resampling"] == "near"
    expected = warped(path, tmp_path, "near", target, srcSRS=IPA_CRS, srcNodata=0)
    # a place on the line between two cells belongs to either
    assert np.mean((found != expected) & ~(np.isnan(found) & np.isnan(expected))) < 1e-4


@pytest.mark.parametrize("month", [1, 7])
def test_era5_round_the_seam_and_the_pole(shared_data, tmp_path, where, month):
    from netCDF4 import Dataset

    path = shared_data / "temperature" / "era5_t2m_tp_monthly_clim_2000-2025_0.25deg_45N.nc"
    with Dataset(path) as file:
        values, latitude, longitude = (np.asarray(file[name][:], float) for name in ("t2m", "latitude", "longitude"))
    assert (latitude[0], longitude[0], values.shape) == (90, 0, (12, 181, 1440))
    expected = bilinear(values[month - 1], 90.0, 0.0, 0.25, where)
    found, result, _ = run(path, tmp_path, variable="t2m", product=NONE, band=month, resampling="bilinear")
    assert result["unit"] == "degC" and result["resampling"] == "bilinear"
    inside = where[1] > 45.3
    assert not np.isnan(found[inside]).any()
    assert np.abs(found - expected)[inside].max() < 0.02
    # on both sides of the first and the last column, and in the cells round the pole
    assert seam(where, 0.0, 0.25)[inside].sum() > 20 and (where[1] > 89.5).sum() == 4


def test_the_wrong_unit_of_era5_is_said_and_not_believed(shared_data, tmp_path, where):
    """As the file was published: °C under an attribute that says K."""
    import shutil

    from netCDF4 import Dataset

    path = shared_data / "temperature" / "era5_t2m_tp_monthly_clim_2000-2025_0.25deg_45N.nc"
    right, _, _ = run(path, tmp_path, variable="t2m", product="obu_magt", band=1)
    copy = tmp_path / "copy.nc"
    shutil.copyfile(path, copy)
    os.chmod(copy, 0o644)
    with Dataset(copy, "a") as file:
        file["t2m"].units = "K"
    found, result, log = run(copy, tmp_path, variable="t2m", product="obu_magt", band=1)
    np.testing.assert_array_equal(found, right)
    assert result["unit"] == "degC" and result["low"] < -30
    assert any("copy.nc:t2m declares its unit as 'K', but its values run from" in warning and "read as degC" in warning
               for warning in log.warnings), log.warnings


def test_ncep_from_0_to_360_degrees(shared_data, tmp_path, where):
    from netCDF4 import Dataset

    path = shared_data / "temperature" / "ncep_r1_t2m_monthly_1948-2013_2.5deg_45N_rank20.nc"
    with Dataset(path) as file:
        values, latitude, longitude = (np.asarray(file[name][:], float) for name in ("t2m", "lat", "lon"))
    values = values if latitude[0] > latitude[-1] else values[:, ::-1]
    assert (latitude.max(), longitude[0], values.shape) == (90, 0, (783, 20, 144))
    expected = bilinear(values[100], 90.0, 0.0, 2.5, where)
    found, result, _ = run(path, tmp_path, product=NONE, band=101, wkt=epsg_wkt(4326))
    assert result["resampling"] == "bilinear" and result["unit"] == "degC"
    inside = where[1] > 45.0
    assert not np.isnan(found[inside]).any()
    assert np.abs(found - expected)[inside].max() < 0.02
    # a seam anywhere would be a step: both sides of the meridian of Greenwich and of the date line
    for west in (0.0, 180.0):
        assert np.abs(found - expected)[seam(where, west, 2.5) & inside].max() < 0.02
    assert np.abs(found - expected)[where[1] > 87.5].max() < 0.02


def test_all_months_of_ncep_are_dated(shared_data, tmp_path):
    path = shared_data / "temperature" / "ncep_r1_t2m_monthly_1948-2013_2.5deg_45N_rank20.nc"
    _, result, _ = run(path, tmp_path, polar_grid(cell=800_000.0), product=NONE, period=12, years="1990-1991",
                       wkt=epsg_wkt(4326))
    assert result["layers"] == [f"{year}-{month:02d}" for year in (1990, 1991) for month in range(1, 13)]


def test_modis_ndvi_takes_its_scale_from_the_file(shared_data, tmp_path, where):
    path = shared_data / "ndvi" / "modis_NDVI_maximum_0.05deg_45N.tif"
    assert read_info(str(path)).scales == ((0.0001, 0.0),)
    # of a preset that has the same scale for files that state none: it must not come twice
    found, result, _ = run(path, tmp_path, product="glass_ndvi")
    assert result["resampling"] == "average"
    clipped(found, path, read_raster(path) * 1e-4, "average", far=where[1] < 89)
    assert np.nanmax(found) <= 1.0


def test_land_cover_by_mode_counts_the_cells_within(shared_data, tmp_path, where):
    path = shared_data / "landcover" / "mcd12c1_2019_igbp_0.05deg_45N.tif"
    found, result, _ = run(path, tmp_path, kind=CLASS, product=NONE)
    assert result["resampling"] == "mode"
    clipped(found, path, read_raster(path), "mode", far=where[1] < 89)
    # at the seam, by a count of all 0.05° cells whose middle lies in the cell
    values = read_raster(path)
    rows, columns = np.mgrid[0:values.shape[0], 0:values.shape[1]]
    near = (np.abs(np.abs(columns * 0.05 - 179.975) - 180) < 3) & (rows < 890)
    x, y = _polar(columns[near] * 0.05 - 179.975, 89.975 - rows[near] * 0.05)
    column, row = np.floor(np.array(TARGET.cells_at(x, y))).astype(int)
    counts = np.zeros((TARGET.height, TARGET.width, 18))
    on = (column >= 0) & (column < TARGET.width) & (row >= 0) & (row < TARGET.height)
    np.add.at(counts, (row[on], column[on], np.nan_to_num(values[near], nan=17).astype(int)[on]), 1)
    clear = np.sort(counts[..., :17], axis=-1)
    clear = (clear[..., -1] > 2 * clear[..., -2] + 10) & seam(where, 180.0, 1.0) & (where[1] < 80)
    assert clear.sum() > 30
    np.testing.assert_array_equal(found[clear], counts[..., :17].argmax(axis=-1)[clear])


def _polar(longitude, latitude):
    """Return x and y of EPSG:6931, by the formulas of the polar azimuthal equal-area projection (Snyder 1987)."""
    axis, e2 = 6378137.0, 0.00669437999014
    e, sine = np.sqrt(e2), np.sin(np.radians(latitude))

    def zone(sine):
        return (1 - e2) * (sine / (1 - e2 * sine ** 2) + np.arctanh(e * sine) / e)

    radius = axis * np.sqrt(np.maximum(zone(1.0) - zone(sine), 0.0))
    return radius * np.sin(np.radians(longitude)), -radius * np.cos(np.radians(longitude))
