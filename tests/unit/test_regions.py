"""Only the part of a grid that a region needs is read, with the same values as before."""

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import GridError
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.raster import NUMBER, Series, SourceReader, on_grid, source
from pti_plugin.core.rasters.regions import region_of, window_round
from support import write_raster

GLOBAL = Grid(epsg_wkt(4326), (-180, 0.5, 0, 90, 0, -0.5), 720, 360)
POLAR = Grid(epsg_wkt(6931), (-5e6, 25000, 0, 5e6, 0, -25000), 400, 400)


def grid(epsg, west, north, cell, columns, rows):
    return Grid(epsg_wkt(epsg), (west, cell, 0, north, 0, -cell), columns, rows)


def test_a_southern_limit_of_degrees_takes_the_rows_north_of_it():
    assert window_round(GLOBAL, "x", None, 45.0) == (0, 90, 0, 720)
    assert window_round(GLOBAL, "x", None, 44.7) == (0, 91, 0, 720)
    flipped = Grid(epsg_wkt(4326), (-180, 0.5, 0, -90, 0, 0.5), 720, 360)
    assert window_round(flipped, "x", None, 45.0) == (270, 90, 0, 720)
    with pytest.raises(GridError, match="x has no cell north of 89.9 degrees"):
        window_round(GLOBAL, "x", None, 89.9)


@pytest.mark.parametrize("latitude", [30.0, 60.0, 85.0])
def test_a_southern_limit_of_a_polar_grid_is_the_box_round_all_cells_north_of_it(latitude):
    row, rows, column, columns = window_round(POLAR, "x", None, latitude)
    north = p.cells(POLAR.transform, 400, 400, "EPSG:6931").latitude >= latitude
    across, down = np.flatnonzero(north.any(axis=0)), np.flatnonzero(north.any(axis=1))
    assert (row, row + rows) == (down[0], down[-1] + 1) and (column, column + columns) == (across[0], across[-1] + 1)


@pytest.mark.parametrize("target", [
    grid(4326, 10.0, 70.0, 0.1, 100, 80), grid(32633, 4e5, 7.5e6, 1000, 300, 200), grid(3413, -3e5, -1e6, 5000, 90, 70),
    POLAR, grid(4326, 175.0, 70.0, 0.1, 100, 80), grid(3338, -2e6, 2.3e6, 5000, 900, 500)])
def test_warped_from_the_region_alone_a_target_is_the_same(tmp_path, target):
    where = p.cells(GLOBAL.transform, 720, 360, "EPSG:4326")
    path = write_raster(tmp_path / "x.tif", p.field(where.longitude, where.latitude, 0, 100), dtype="float32",
                        crs="EPSG:4326", transform=GLOBAL.transform)
    item, = region_of([source(path)], target)
    assert item.grid.width * item.grid.height < 0.6 * 720 * 360
    reader = SourceReader()
    whole = reader.read(on_grid(source(path), target), 0, target.height, 0, target.width)
    part = reader.read(on_grid(item, target), 0, target.height, 0, target.width)
    np.testing.assert_array_equal(np.isnan(part), np.isnan(whole))
    np.testing.assert_allclose(part, whole, atol=1e-4)


def test_a_region_reads_its_own_cells_in_every_form(tmp_path):
    values = np.arange(2 * 30 * 40, dtype="int16").reshape(2, 30, 40)
    values[:, 12, 15] = -1
    path = write_raster(tmp_path / "x.tif", values, nodata=-1, scale=0.5, offset=1.0)
    items = [source(path, NUMBER, band) for band in (1, 2)]
    cut = region_of(items, grid(6931, 100_000, -150_000, 25000, 10, 8))
    top, left = cut[0].row, cut[0].column
    expected = values.astype(float)[:, top:top + cut[0].grid.height, left:left + cut[0].grid.width]
    expected[expected == -1] = np.nan
    reader = SourceReader()
    shape = cut[0].grid.height, cut[0].grid.width
    assert 3 <= top <= 10 and 1 <= left <= 8 and 8 <= shape[0] <= 22 and 10 <= shape[1] <= 24
    for band in (0, 1):
        np.testing.assert_array_equal(reader.read(cut[band], 0, shape[0], 0, shape[1]), expected[band] * 0.5 + 1)
        np.testing.assert_array_equal(reader.sample(cut[band]), expected[band] * 0.5 + 1)
    stored = reader.read_series(Series(tuple(cut), True), 1, 4, 2, 5)
    np.testing.assert_array_equal(stored, expected[:, 1:5, 2:7].astype("float32"))
    again, = region_of(cut[:1], grid(6931, 150_000, -200_000, 25000, 2, 2))
    row, column = again.row - top, again.column - left
    np.testing.assert_array_equal(reader.read(again, 0, 2, 0, 2),
                                  expected[0, row:row + 2, column:column + 2] * 0.5 + 1)
    assert region_of(items) == items


def test_masks_are_read_in_the_region_too(tmp_path):
    from osgeo import gdal

    path = write_raster(tmp_path / "x.tif", np.ones((30, 40), "uint8"))
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
    mask = np.full((30, 40), 255, "uint8")
    mask[20, 30] = 0
    dataset.GetRasterBand(1).GetMaskBand().WriteArray(mask)
    dataset = None
    item, = region_of([source(path)], grid(6931, 600_000, -350_000, 25000, 6, 6))
    values = SourceReader().read(item, 0, item.grid.height, 0, item.grid.width)
    assert np.argwhere(np.isnan(values)).tolist() == [[20 - item.row, 30 - item.column]]


def test_a_region_elsewhere_is_refused(tmp_path):
    path = write_raster(tmp_path / "x.tif", np.ones((3, 4), "uint8"))
    with pytest.raises(GridError, match=r"x\.tif does not overlap TARGET"):
        region_of([source(path)], grid(4326, 10.0, 40.0, 0.1, 10, 10))


def test_what_absence_stands_for_is_read_as_stored_too(tmp_path):
    from dataclasses import replace

    values = np.array([[[10, -1, 7]], [[20, 30, -1]]], dtype="int16")
    path = write_raster(tmp_path / "x.tif", values, nodata=-1, scale=0.5, offset=1.0)
    items = [replace(source(path, NUMBER, band), absent=0.0, flags=(7,), scale=2.0) for band in (1, 2)]
    reader = SourceReader()
    stored = reader.read_series(Series(tuple(items), True), 0, 1, 0, 3)
    units = np.stack([reader.read(item, 0, 1, 0, 3) for item in items])
    np.testing.assert_allclose((stored * 0.5 + 1.0) * 2.0, units)
    np.testing.assert_array_equal(units, [[[12, 0, np.nan]], [[22, 32, 0]]])
