"""Cells of classes that are left out read as nodata in every form, whatever the grid of the class raster."""

import dataclasses
import threading

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.rasters.blocks import OutputSpec, Settings, plan_windows, run_blocks
from pti_plugin.core.rasters.exclusion import LeftOutClasses, excluding, exclusion_on, parse_codes
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.raster import (
    CLASS,
    NO_CLASS,
    NUMBER,
    Exclusion,
    Series,
    SourceReader,
    on_grid,
    source,
    values_at,
)
from support import TRANSFORM, Log, write_raster

pyproj = pytest.importorskip("pyproj")

POLAR = epsg_wkt(6931)


def whole(item):
    grid = item.target or item.grid
    return SourceReader().read(item, 0, grid.height, 0, grid.width)


def nearest_classes(classes, transform, crs, rows, columns):
    """The class of the raster that holds the centre of each cell of the small polar grid, by pyproj; 0 off it."""
    x = TRANSFORM[0] + TRANSFORM[1] * (np.arange(columns) + 0.5)
    y = TRANSFORM[3] + TRANSFORM[5] * (np.arange(rows) + 0.5)
    east, north = pyproj.Transformer.from_crs("EPSG:6931", crs, always_xy=True).transform(*np.meshgrid(x, y))
    column = np.floor((east - transform[0]) / transform[1]).astype(int)
    row = np.floor((north - transform[3]) / transform[5]).astype(int)
    inside = (column >= 0) & (column < classes.shape[1]) & (row >= 0) & (row < classes.shape[0])
    found = np.zeros((rows, columns), dtype=int)
    found[inside] = classes[row[inside], column[inside]]
    return found


# ---- what is left out ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("seed", range(8))
def test_class_rasters_of_any_kind_on_the_same_grid(tmp_path, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(5, 40, 2)
    codes = tuple(sorted(rng.choice(250, rng.integers(1, 5), replace=False).tolist()))
    nodata = rng.choice([None, 255, 251])
    dtype = rng.choice(["uint8", "int16", "float32", "int32"])
    classes = rng.choice([*codes, 250, 3 if 3 not in codes else 250, 251, 255], (rows, columns))
    cover = write_raster(tmp_path / "cover.tif", classes, nodata=nodata, dtype=dtype)
    index = rng.choice([0, 11, 23, 40], (rows, columns))
    values = rng.normal(0, 5, (rows, columns)).astype("float32")
    values[rng.random((rows, columns)) < 0.2] = np.nan
    out = np.isin(classes, codes)
    left_out = LeftOutClasses(cover, codes)
    item = excluding(source(write_raster(tmp_path / "pti.tif", index, nodata=0, dtype="uint8"), CLASS), left_out,
                     Progress())
    np.testing.assert_array_equal(whole(item), np.where(out | (index == 0), NO_CLASS, index))
    number = source(write_raster(tmp_path / "x.tif", values, nodata=-9999, scale=0.5, offset=2), NUMBER)
    number = dataclasses.replace(number, exclusion=exclusion_on(left_out, number.grid))
    np.testing.assert_array_equal(whole(number), np.where(out, np.nan, values.astype(float) * 0.5 + 2))
    place = (0, rows, 0, columns)
    # series as they are stored: bytes with 0, single precision with NaN and without scale
    np.testing.assert_array_equal(SourceReader().read_series(Series((item,), codes=True), *place)[0],
                                  np.where(out, 0, index))
    plain = dataclasses.replace(number, exclusion=None)
    np.testing.assert_array_equal(
        SourceReader().read_series(Series((plain, number, plain), single=True), *place),
        np.stack([values, np.where(out, np.nan, values), values]))
    beyond = SourceReader().read(item, -2, rows + 4, -3, columns + 6)
    np.testing.assert_array_equal(beyond[2:-2, 3:-3], whole(item))
    assert (beyond[:2] == NO_CLASS).all() and (beyond[:, -3:] == NO_CLASS).all()


@pytest.mark.parametrize("crs, transform, shape", [
    ("EPSG:4326", (-180.0, 30.0, 0.0, 90.0, 0.0, -0.75), (14, 12)),
    ("EPSG:3413", (-400000.0, 61000.0, 0.0, 420000.0, 0.0, -59000.0), (14, 13)),
    ("EPSG:6931", (-310000.0, 70000.0, 0.0, 305000.0, 0.0, -80000.0), (8, 9)),
    # over a part of the map only
    ("EPSG:6931", (20000.0, 90000.0, 0.0, 60000.0, 0.0, -90000.0), (4, 4)),
])
@pytest.mark.parametrize("seed", (0, 1))
def test_class_rasters_of_another_grid_are_warped_to_the_map(tmp_path, crs, transform, shape, seed):
    rng = np.random.default_rng(seed)
    classes = rng.choice([0, 10, 130, 210, 220], shape)
    cover = write_raster(tmp_path / "cover.tif", classes, nodata=0, dtype="uint8", crs=crs, transform=transform)
    rows, columns = 17, 13
    index = rng.choice([11, 21, 33], (rows, columns))
    item = excluding(source(write_raster(tmp_path / "pti.tif", index, nodata=0, dtype="uint8"), CLASS),
                     LeftOutClasses(cover), Progress())
    out = np.isin(nearest_classes(classes, transform, crs, rows, columns), (210, 220))
    assert out.any() and not out.all()
    np.testing.assert_array_equal(whole(item), np.where(out, NO_CLASS, index))


def test_finer_class_rasters_are_brought_over_by_their_most_frequent_class(tmp_path):
    rng = np.random.default_rng(4)
    fine = rng.choice([0, 130, 210, 220], (36, 36), p=[0.05, 0.35, 0.45, 0.15])
    cover = write_raster(tmp_path / "cover.tif", fine, nodata=0, dtype="uint8",
                         transform=(TRANSFORM[0], 8333.0 + 1 / 3, 0.0, TRANSFORM[3], 0.0, -8333.0 - 1 / 3))
    blocks = fine.reshape(12, 3, 12, 3).swapaxes(1, 2).reshape(12, 12, 9)
    votes = np.stack([(blocks == code).sum(axis=-1) for code in (130, 210, 220)])
    order = np.sort(votes, axis=0)
    clear = order[-1] > order[-2]
    out = np.isin(np.array([130, 210, 220])[votes.argmax(axis=0)], (210, 220))
    item = excluding(source(write_raster(tmp_path / "pti.tif", np.full((12, 12), 22), dtype="uint8"), CLASS),
                     LeftOutClasses(cover), Progress())
    assert clear.sum() > 80
    np.testing.assert_array_equal(whole(item)[clear] == NO_CLASS, out[clear])


def test_the_class_raster_follows_its_map_onto_another_grid(tmp_path):
    classes = np.array([[210, 130], [220, 0]])
    cover = write_raster(tmp_path / "cover.tif", classes, nodata=0, dtype="uint8")
    item = excluding(source(write_raster(tmp_path / "pti.tif", np.full((2, 2), 22), dtype="uint8"), CLASS),
                     LeftOutClasses(cover), Progress())
    finer = Grid(POLAR, (TRANSFORM[0], 12500.0, 0.0, TRANSFORM[3], 0.0, -12500.0), 4, 4)
    moved = on_grid(item, finer)
    expected = np.kron([[NO_CLASS, 22], [NO_CLASS, 22]], np.ones((2, 2), dtype=int))
    np.testing.assert_array_equal(whole(moved), expected)
    np.testing.assert_array_equal(whole(on_grid(moved, item.grid)), [[NO_CLASS, 22], [NO_CLASS, 22]])


def test_points_find_the_nearest_cell_that_is_not_left_out(tmp_path):
    classes = np.array([[210, 210, 130], [210, 220, 130], [130, 130, 130]])
    cover = write_raster(tmp_path / "cover.tif", classes, nodata=0, dtype="uint8")
    index = np.array([[11, 12, 13], [21, 22, 23], [31, 32, 33]])
    item = excluding(source(write_raster(tmp_path / "pti.tif", index, dtype="uint8"), CLASS), LeftOutClasses(cover),
                     Progress())
    to_degrees = pyproj.Transformer.from_crs("EPSG:6931", "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(TRANSFORM[0] + 25000 * np.array([0.5, 1.5, 2.5]),
                                               TRANSFORM[3] - 25000 * np.array([0.5, 1.5, 0.5]))
    values, distances = values_at(item, longitude, latitude, search=1)
    np.testing.assert_array_equal(values, [np.nan, 23, 13])
    np.testing.assert_array_equal(distances, [np.inf, 1, 0])


def test_blocks_and_threads_do_not_matter(tmp_path):
    rng = np.random.default_rng(7)
    classes = rng.choice([0, 130, 210, 220], (300, 280))
    cover = write_raster(tmp_path / "cover.tif", classes, nodata=0, dtype="uint8",
                         transform=(TRANSFORM[0], 31000.0, 0.0, TRANSFORM[3], 0.0, -23000.0))
    pti = write_raster(tmp_path / "pti.tif", rng.choice([11, 40], (320, 330)), dtype="uint8")
    found = set()
    for settings in (Settings(1, 16), Settings(2, 0), Settings(2, 100)):
        item = excluding(source(pti, CLASS), LeftOutClasses(cover), Progress(), settings)
        layers = []

        def kernel(arrays, window, grid, layers=layers):
            layers.append((window.row, window.column, arrays["PTI"]))
            return {}, {}

        run_blocks(item.grid, {"PTI": item}, kernel, {"none": OutputSpec("", "uint8", 0)}, None, Progress(), settings)
        array = np.zeros((320, 330), dtype=np.int32)
        for row, column, part in layers:
            array[row:row + part.shape[0], column:column + part.shape[1]] = part
        found.add(array.tobytes())
        assert len(plan_windows(item.grid, [item], settings, 16)) == len(layers)
    assert len(found) == 1


# ---- what is said and refused ----------------------------------------------------------------------------------------

def test_what_is_left_out_is_counted_with_its_ground_area(tmp_path):
    classes = np.array([[210, 220, 0, 130], [130, 0, 210, 130]])
    index = np.array([[11, 0, 11, 11], [12, 12, 40, 40]])
    degrees = {"crs": "EPSG:4326", "transform": (10.0, 2.0, 0.0, 72.0, 0.0, -1.0)}
    cover = write_raster(tmp_path / "cover.tif", classes, nodata=0, dtype="uint8", **degrees)
    pti = write_raster(tmp_path / "pti.tif", index, nodata=0, dtype="uint8", **degrees)
    progress = Log()
    excluding(source(pti, CLASS), LeftOutClasses(cover), progress)
    geod = pyproj.Geod(ellps="WGS84")
    # edges of cells follow the parallels
    area = sum(abs(geod.polygon_area_perimeter([*np.linspace(0, 2, 2001), *np.linspace(2, 0, 2001)],
                                               [north] * 2001 + [north - 1] * 2001)[0]) for north in (72, 71)) / 1e6
    assert f"Left out by cover.tif (classes 210, 220): 2 of 7 cells of pti.tif, {area:,.0f} km²" in progress.lines[0]
    assert progress.lines[1] == ("cover.tif has no class in 2 of 7 cells of pti.tif (28.6 %); nothing is left out "
                                 "there.")
    assert not progress.warnings


def test_zero_is_counted_where_it_is_a_class(tmp_path):
    cover = write_raster(tmp_path / "cover.tif", np.full((2, 2), 210), dtype="uint8")
    classified = write_raster(tmp_path / "map.tif", np.array([[0, 0], [0, 5]]), dtype="uint8")
    for zero, cells in ((False, 1), (True, 4)):
        progress = Log()
        excluding(source(classified, CLASS), LeftOutClasses(cover), progress, zero=zero)
        assert f"{cells} of {cells} cells of map.tif" in progress.lines[0]


def test_codes_that_do_not_occur_are_said(tmp_path):
    cover = write_raster(tmp_path / "cover.tif", np.array([[21, 22], [13, 255]]), nodata=255, dtype="uint8")
    pti = write_raster(tmp_path / "pti.tif", np.full((2, 2), 11), dtype="uint8")
    progress = Log()
    item = excluding(source(pti, CLASS), LeftOutClasses(cover), progress)
    assert (whole(item) == 11).all()
    assert "None of the 4 cells of pti.tif has a class 210, 220 in cover.tif" in progress.warnings[0]


def test_maps_that_lack_the_cells_already_are_no_reason_to_warn(tmp_path):
    cover = write_raster(tmp_path / "cover.tif", np.array([[210, 130], [220, 0]]), nodata=0, dtype="uint8")
    pti = write_raster(tmp_path / "pti.tif", np.array([[0, 11], [0, 11]]), nodata=0, dtype="uint8")
    log = Log()
    item = excluding(source(pti, CLASS), LeftOutClasses(cover), log)
    assert whole(item).tolist() == [[NO_CLASS, 11], [NO_CLASS, 11]] and not log.warnings
    assert log.lines == [
        "cover.tif: none of the 2 cells of pti.tif has a class left out (210, 220); 2 other cells have.",
        "cover.tif has no class in 1 of 2 cells of pti.tif (50 %); nothing is left out there."]


def test_nodata_value_among_the_codes_is_refused(tmp_path):
    cover = write_raster(tmp_path / "cover.tif", np.array([[210, 130]]), nodata=210, dtype="uint8")
    pti = source(write_raster(tmp_path / "pti.tif", np.full((1, 2), 11), dtype="uint8"), CLASS)
    with pytest.raises(InputError, match="declares 210 as its nodata value.*-unsetnodata"):
        excluding(pti, LeftOutClasses(cover), Progress())
    assert (whole(excluding(pti, LeftOutClasses(cover, (130,)), Progress())) == [[11, NO_CLASS]]).all()


def test_rasters_that_say_nothing_are_refused(tmp_path):
    pti = source(write_raster(tmp_path / "pti.tif", np.full((2, 2), 11), dtype="uint8"), CLASS)
    cases = {
        "two bands": (write_raster(tmp_path / "a.tif", np.full((2, 2, 2), 210), dtype="uint8"), "2 bands"),
        "fractions": (write_raster(tmp_path / "b.tif", np.full((2, 2), 210.4), dtype="float32"), "whole-numbered"),
        "empty": (write_raster(tmp_path / "c.tif", np.zeros((2, 2)), nodata=0, dtype="uint8"), "no data at all"),
    }
    for path, text in cases.values():
        with pytest.raises(InputError, match=text):
            excluding(pti, LeftOutClasses(path), Progress())
    away = write_raster(tmp_path / "d.tif", np.full((2, 2), 210), dtype="uint8",
                        transform=(5e6, 25000, 0, 5e6, 0, -25000))
    with pytest.raises(GridError, match="does not overlap"):
        excluding(pti, LeftOutClasses(away), Progress())


@pytest.mark.parametrize("text, codes", [
    ("210, 220", (210, 220)), ("220;210", (210, 220)), (" 210 210 ", (210,)), ("-1,0", (-1, 0)), ("+5", (5,))])
def test_codes_are_read(text, codes):
    assert parse_codes(text, "EXCLUDE_CODES") == codes


@pytest.mark.parametrize("text", ["", " , ", "210.5", "water", "210-220", "1e3", "12345678901"])
def test_codes_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="EXCLUDE_CODES is '.*whole numbers"):
        parse_codes(text, "EXCLUDE_CODES")


def test_class_rasters_of_one_threaded_formats_are_read_on_one_thread(tmp_path):
    """A netCDF class raster beside GeoTIFFs: its library is not made for threads."""
    cover = write_raster(tmp_path / "cover.tif", np.array([[210, 130], [130, 220]]), nodata=0, dtype="uint8",
                         crs="EPSG:4326", transform=(10, 1, 0, 72, 0, -1))
    netcdf = str(tmp_path / "cover.nc")
    gdal.Translate(netcdf, cover, format="netCDF")
    pti = write_raster(tmp_path / "pti.tif", np.full((2, 2), 11), dtype="uint8", crs="EPSG:4326",
                       transform=(10, 1, 0, 72, 0, -1))
    item, threads = excluding(source(pti, CLASS), LeftOutClasses(netcdf), Progress()), set()
    assert isinstance(item.exclusion, Exclusion) and item.exclusion.source.driver == "netCDF"

    def kernel(arrays, window, grid):
        threads.add(threading.current_thread())
        assert (arrays["PTI"] == [[NO_CLASS, 11], [11, NO_CLASS]]).all()
        return {}, {}

    run_blocks(item.grid, {"PTI": item}, kernel, {}, None, Progress(), Settings(2))
    assert threads == {threading.main_thread()}
