"""Excerpts of real rasters, which every clone has: the values in them, and warped by an independent path."""

import numpy as np
import pytest
from osgeo import gdal
from warp_reference import Places, check

from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.topography import SlopeOptions, slope
from pti_plugin.core.rasters.align import AlignOptions, align
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.products import NONE
from pti_plugin.core.rasters.raster import CLASS, NUMBER, SourceReader, read_info, source
from support import ROOT, Log, read_raster

REAL = ROOT / "tests" / "data" / "real"
ELEVATION, COVER, NDVI = (str(REAL / f"{name}_excerpt.tif") for name in (
    "etopo5_alaska", "mcd12c1_alaska", "modis_ndvi_maximum_alaska"))
#: northern Alaska
TARGET = Grid(epsg_wkt(6931), (-1_700_000.0, 20_000.0, 0.0, 2_500_000.0, 0.0, -20_000.0), 40, 48)


def as_stored(path):
    """Return (stored numbers, scale) by GDAL alone."""
    dataset = gdal.Open(path)
    band = dataset.GetRasterBand(1)
    assert (band.ReadAsArray() != band.GetNoDataValue()).all()
    return band.ReadAsArray(), band.GetScale() or 1.0


@pytest.mark.parametrize(("path", "kind", "low", "high"), [
    (ELEVATION, NUMBER, -3198, 4267), (COVER, CLASS, 0, 16), (NDVI, NUMBER, -0.1838, 0.9688)])
def test_every_cell_is_read_as_the_file_means_it(path, kind, low, high):
    stored, scale = as_stored(path)
    item = source(path, kind)
    values = SourceReader().read(item, 0, item.grid.height, 0, item.grid.width)
    np.testing.assert_allclose(values, stored * scale, rtol=1e-12)
    assert (values.min(), values.max()) == pytest.approx((low, high))


@pytest.mark.parametrize(("path", "options", "how"), [
    (ELEVATION, {}, "average"), (COVER, {"kind": CLASS}, "mode"), (NDVI, {}, "average"),
    (NDVI, {"product": "glass_ndvi"}, "average"), (ELEVATION, {"resampling": "bilinear"}, "bilinear"),
    (COVER, {"kind": CLASS, "resampling": "near"}, "near")])
def test_on_another_grid_they_are_what_clipped_polygons_make_of_them(tmp_path, path, options, how):
    with Staging([path]) as staging:
        result = align([path], str(tmp_path / "out.tif"), staging, Log(), AlignOptions(**{"product": NONE, **options}),
                       TARGET)
        staging.commit()
    assert result["resampling"] == how
    found, grid = read_raster(tmp_path / "out.tif"), read_info(path).grid
    stored, scale = as_stored(path)
    rows, columns = np.nonzero(np.ones(found.shape, bool))
    assert np.isfinite(found).sum() > 600
    check(found[rows, columns], Places((grid.wkt, grid.transform, grid.width, grid.height),
                                       (TARGET.wkt, TARGET.transform, TARGET.width, TARGET.height), rows, columns),
          stored * scale, how)


def test_the_sea_floor_of_a_model_of_heights_is_left_out(tmp_path):
    with Staging([ELEVATION]) as staging:
        slope(ELEVATION, {"slope": str(tmp_path / "slope.tif"), "elevation": str(tmp_path / "elevation.tif")}, staging,
              Log(), SlopeOptions(min_elevation=0.0))
        staging.commit()
    stored, _ = as_stored(ELEVATION)
    elevation = read_raster(tmp_path / "elevation.tif")
    np.testing.assert_array_equal(np.isnan(elevation), stored < 0)
    np.testing.assert_array_equal(elevation[stored >= 0], stored[stored >= 0])
