"""Tiles of one time are one layer: every stored value in its place, all that is said of them kept, gaps nodata."""

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.containers import georeferenced, inner_paths
from pti_plugin.core.rasters.raster import NUMBER, SourceReader, read_info, source
from pti_plugin.core.rasters.tiles import has_tiles, mosaicked
from support import Log, write_raster

CELL = 25000.0


def tile(folder, column, row, values, name=None, **more):
    """Write a tile of 4 x 3 cells, ``column`` and ``row`` of them from the corner, and return its RasterInfo."""
    transform = (-1e6 + 4 * CELL * column, CELL, 0.0, 1e6 - 3 * CELL * row, 0.0, -CELL)
    return read_info(write_raster(folder / (name or f"x.A2001001.h{column:02d}v{row:02d}.tif"), values,
                                  transform=transform, **more))


def block(seed, dtype="int16"):
    return np.random.default_rng(seed).integers(0, 200, (3, 4)).astype(dtype)


def read(path, band=1):
    info, reader = read_info(path), SourceReader()
    return reader.read(source(path, NUMBER, band=band, info=info), 0, info.grid.height, 0, info.grid.width)


@pytest.mark.parametrize("dtype, nodata", [("uint8", 255), ("uint8", None), ("int16", -1), ("uint16", None),
                                           ("float32", -9.0), ("float32", None), ("float64", None), ("int32", None)])
def test_gdalwarp_agrees_whatever_the_type_and_nodata(dtype, nodata, tmp_path):
    from osgeo import gdal

    infos = [tile(tmp_path, column, row, block(10 * column + row, dtype), nodata=nodata, scale=0.5, offset=3.0)
             for column, row in ((2, 1), (0, 0), (1, 2))]
    (path, stamp), = mosaicked(infos, [7, 7, 7], Log())
    found = read_info(path)
    assert stamp == 7 and (found.grid.width, found.grid.height) == (12, 9)
    assert found.grid.transform == (-1e6, CELL, 0, 1e6, 0, -CELL) and found.scales == ((0.5, 3.0),)
    merged = gdal.Warp("", [info.path for info in infos], format="MEM", outputType=gdal.GDT_Float64,
                       srcNodata="none" if nodata is None else nodata, dstNodata=-12345)
    expected = merged.ReadAsArray()
    expected[expected == -12345] = np.nan
    np.testing.assert_array_equal(read(path), expected * 0.5 + 3.0)
    assert np.isnan(read(path)).sum() >= 12 * 6


def test_all_that_is_said_of_bands_is_kept(tmp_path):
    from osgeo import gdal

    values = np.stack([block(1), block(2)])
    infos = [tile(tmp_path, column, 0, values + column, nodata=-1, unit="K", descriptions=["day", "night"],
                  metadata={"long_name": "a <b> & c"}) for column in (0, 1)]
    dataset = gdal.Open(infos[0].path, gdal.GA_Update)
    dataset.GetRasterBand(2).SetMetadata({"TIME": "2001-01-01"})
    dataset = None
    infos[0] = read_info(infos[0].path)
    (path, _), = mosaicked(infos, [0, 0], Log())
    found = read_info(path)
    assert found.bands == 2 and found.units == ("K", "K") and found.descriptions == ("day", "night")
    assert found.band_metadata[1]["TIME"] == "2001-01-01" and found.metadata["long_name"] == "a <b> & c"
    assert found.dtypes == ("Int16", "Int16") and inner_paths(path)[0] == infos[0].path
    np.testing.assert_array_equal(read(path, 2), np.hstack([values[1], values[1] + 1]))


def test_colours_and_names_of_classes_are_kept(tmp_path):
    from osgeo import gdal

    paths = [tile(tmp_path, column, 0, block(column, "uint8"), nodata=255).path for column in (0, 1)]
    for path in paths:
        dataset = gdal.Open(path, gdal.GA_Update)
        table = gdal.ColorTable()
        table.SetColorEntry(3, (1, 2, 3, 255))
        dataset.GetRasterBand(1).SetColorTable(table)
        dataset.GetRasterBand(1).SetCategoryNames(["none", "forest"])
        dataset = None
    (path, _), = mosaicked([read_info(path) for path in paths], [0, 0], Log())
    dataset = gdal.Open(path)
    band = dataset.GetRasterBand(1)
    assert band.GetColorTable().GetColorEntry(3) == (1, 2, 3, 255) and band.GetCategoryNames() == ["none", "forest"]


def test_all_times_share_one_grid_and_missing_tiles_are_said(tmp_path):
    infos, stamps = [], []
    for day, places in ((1, ((0, 0), (1, 0))), (2, ((1, 0),)), (3, ((0, 0), (1, 0)))):
        for column, row in places:
            infos.append(tile(tmp_path, column, row, block(column + day), nodata=-1,
                              name=f"x.A200100{day}.h{column:02d}v{row:02d}.tif"))
            stamps.append(day)
    log = Log()
    found = mosaicked(infos, stamps, log, lambda stamp: f"day {stamp}")
    assert [stamp for _, stamp in found] == [1, 2, 3]
    grids = [read_info(path).grid for path, _ in found]
    assert all(grid.same(grids[0]) for grid in grids) and grids[0].width == 8
    assert np.isnan(read(found[1][0])[:, :4]).all() and (read(found[1][0])[:, 4:] == block(3)).all()
    assert log.warnings == ["Tiles are missing at 1 of 3 times, and nodata there: day 2: h00v00."]
    assert "5 tiles are put together to 3 layers of 2 tiles." in log.lines


def test_lst_tiles_as_published(tmp_path):
    pytest.importorskip("pyhdf")
    tiles = [(20, 1), (20, 2), (21, 2)]
    infos = [read_info(p.glass_lst_tile(tmp_path, 2001, 1, tile=place)) for place in tiles]
    (path, _), = mosaicked(infos, [0, 0, 0], Log())
    info = read_info(path)
    assert info.driver.startswith("HDF4") and info.units == ("K",) and info.scales == ((0.01, 0.0),)
    assert (info.grid.width, info.grid.height) == (120, 120)
    values = read(path)
    where = p.cells(info.grid.transform, 120, 120, p.MODIS_CRS)
    true = p.field(where.longitude, where.latitude, 230.0, 300.0)
    known = ~np.isnan(values)
    assert np.isnan(values[:60, 60:]).all() and known.sum() > 2000
    np.testing.assert_allclose(values[known], true[known], atol=0.00501)
    single = np.isnan(read(infos[0].path))
    np.testing.assert_array_equal(~known[:60, :60], single)


def test_tiles_with_a_crs_put_right_fit_too(tmp_path):
    infos = [tile(tmp_path, column, 0, block(column), nodata=-1) for column in (0, 1)]
    moved = [read_info(georeferenced(info.path, p._wkt("EPSG:3413"))) for info in infos]
    (path, _), = mosaicked(moved, [0, 0], Log())
    assert read_info(path).grid.name == "EPSG:3413" and inner_paths(path) == [info.path for info in infos]
    np.testing.assert_array_equal(read(path), np.hstack([block(0), block(1)]))


@pytest.mark.parametrize("change, said", [
    ({"dtype": "int32"}, "data type: Int32 and Int16"), ({"nodata": -9}, "nodata value: -9 and -1"),
    ({"scale": 0.1}, "scale or offset"), ({"unit": "K"}, "unit"), ({"crs": "EPSG:3413"}, "different CRSs")])
def test_tiles_that_differ_are_refused(tmp_path, change, said):
    infos = [tile(tmp_path, 0, 0, block(0), nodata=-1), tile(tmp_path, 1, 0, block(1), **{"nodata": -1, **change})]
    with pytest.raises(InputError, match=rf"x\.A2001001\.h01v00\.tif and x\.A2001001\.h00v00\.tif .*{said}"):
        mosaicked(infos, [0, 0], Log())


@pytest.mark.parametrize("x, width, said", [(0.0, CELL, "are the same tile at the same time, 0"),
                                            (2 * CELL, CELL, "carry the same time and overlap"),
                                            (4.4 * CELL, CELL, "their cells do not fit together"),
                                            (4 * CELL, CELL / 2, "their cells do not fit together")])
def test_tiles_that_do_not_lie_beside_each_other_are_refused(tmp_path, x, width, said):
    infos = [tile(tmp_path, 0, 0, block(0)), read_info(write_raster(
        tmp_path / "other.tif", block(1), transform=(-1e6 + x, width, 0, 1e6, 0, -width)))]
    with pytest.raises(InputError, match=said):
        mosaicked(infos, [0, 0], Log())


def test_where_stamps_repeat_there_are_tiles():
    assert has_tiles([1, 2, 2]) and not has_tiles([1, 2, None, None]) and not has_tiles([])
