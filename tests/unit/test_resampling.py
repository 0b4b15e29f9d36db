"""How source cells are mixed: the compiled and the plain loops give the same to the bit, shares are areas, ties are
broken as stated."""

import dataclasses

import numpy as np
import pytest
from warp_reference import areas, clipped

from pti_plugin.core.rasters import resampling_numpy as plain
from pti_plugin.core.rasters import warping
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.placement import Footprint
from pti_plugin.core.rasters.raster import CLASS, NO_CLASS, NUMBER, SourceReader, on_grid, read_info, source
from support import write_raster

ROWS, COLUMNS, NUMBER_OF_CELLS = 20, 30, 500


def compiled():
    pytest.importorskip("numba")
    from pti_plugin.core.rasters import resampling_numba

    return resampling_numba


def outlines(rng, size, several=False, turned=False):
    """Return positions of random quadrilaterals and centres in and round a window, rounded as positions are."""
    x, y = rng.uniform(-3, COLUMNS + 3, NUMBER_OF_CELLS), rng.uniform(-3, ROWS + 3, NUMBER_OF_CELLS)
    angle = rng.uniform(0, 7, NUMBER_OF_CELLS)[:, None] + np.arange(4) * np.pi / 2
    long = size * rng.uniform(0.5, 1.5, angle.shape)
    corners = [x[:, None] + long * np.cos(angle), y[:, None] + long * np.sin(angle)]
    corners, x, y = ([np.rint(part * 65536) / 65536 for part in corners], *(np.rint(part * 65536) / 65536
                                                                              for part in (x, y)))
    if turned:
        corners = [part[:, ::-1].copy() for part in corners]
    starts = np.arange(NUMBER_OF_CELLS + 1)
    if several:
        starts = np.concatenate([[0], np.sort(rng.choice(starts[1:-1], 200, replace=False)), [NUMBER_OF_CELLS]])
    return (*corners, starts, x[:starts.size - 1], y[:starts.size - 1])


@pytest.mark.parametrize("circle", [0, COLUMNS, 2 * COLUMNS])
@pytest.mark.parametrize("size", [0.01, 0.4, 1.5, 6.0])
@pytest.mark.parametrize("several", [False, True])
def test_both_engines_give_the_same_to_the_bit(circle, size, several):
    fast, rng = compiled(), np.random.default_rng(int(10 * size) + circle)
    positions = outlines(rng, size, several, turned=size > 1)
    frame = (3, 5, circle)
    for dtype in ("float32", "float64"):
        values = rng.normal(size=(ROWS, COLUMNS)).astype(dtype)
        values[rng.random(values.shape) < 0.3] = np.nan
        for how in ("average", "min", "max", "med"):
            np.testing.assert_array_equal(fast.polygons(values, np.nan, 0, positions, frame, how),
                                          plain.polygons(values, np.nan, 0, positions, frame, how))
        for how in ("near", "bilinear", "cubic"):
            np.testing.assert_array_equal(fast.centres(values, np.nan, 0, positions[3:], frame, how),
                                          plain.centres(values, np.nan, 0, positions[3:], frame, how))
    for codes, dtype in ((3, "uint8"), (200, "int32")):
        values = np.repeat(rng.integers(0, codes, (ROWS, COLUMNS // 5)), 5, axis=1).astype(dtype)
        for nodata in (0, codes - 1):
            np.testing.assert_array_equal(fast.polygons(values, nodata, codes, positions, frame, "mode"),
                                          plain.polygons(values, nodata, codes, positions, frame, "mode"))
        np.testing.assert_array_equal(fast.centres(values, 0, codes, positions[3:], frame, "near"),
                                      plain.centres(values, 0, codes, positions[3:], frame, "near"))


def test_both_engines_give_the_same_for_shared_corners():
    fast, rng = compiled(), np.random.default_rng(2)
    down, across = np.mgrid[0:40, 0:50] * 1.0
    x, y = 0.8 * across + 0.3 * down - 6, 0.7 * down - 0.2 * across + 4
    corners = tuple(np.rint(part * 65536) / 65536 for part in (x, y))
    values = rng.normal(size=(ROWS, COLUMNS)).astype("float32")
    values[:8] = np.nan
    for how in ("average", "min", "max", "med"):
        found = fast.corners(values, np.nan, 0, corners, (0, 0, 0), how)
        np.testing.assert_array_equal(found, plain.corners(values, np.nan, 0, corners, (0, 0, 0), how))
        assert 100 < np.isfinite(found).sum() < found.size
    values = np.repeat(rng.integers(0, 4, (ROWS, COLUMNS // 6)), 6, axis=1).astype("uint8")
    np.testing.assert_array_equal(fast.corners(values, 0, 4, corners, (0, 0, 0), "mode"),
                                  plain.corners(values, 0, 4, corners, (0, 0, 0), "mode"))


@pytest.mark.parametrize("size", [0.05, 1.0, 6.0])
def test_shares_are_the_areas_of_clipped_polygons(size):
    x, y, *_ = outlines(np.random.default_rng(8), size)
    box = plain._boxes(x, y, (ROWS, COLUMNS), 0)
    polygon, row, column, share = plain._shares(x, y, box[:4], (ROWS, COLUMNS), 0)
    there = clipped(x[polygon] - column[:, None], y[polygon] - row[:, None],
                    [np.full(polygon.size, edge) for edge in (0.0, 1.0, 0.0, 1.0)])
    np.testing.assert_allclose(share / plain.UNIT, areas(*there), rtol=0, atol=1.0 / plain.UNIT)
    whole = clipped(x, y, [np.full(len(x), edge) for edge in (0.0, COLUMNS, 0.0, ROWS)])
    np.testing.assert_allclose(np.bincount(polygon, share / plain.UNIT, len(x)), areas(*whole), rtol=0, atol=2e-5)


def on_coarse(folder, values, factor, kind=CLASS, shift=(0, 0), nodata=255):
    """Read a raster on a grid of ``factor`` times larger cells in the same CRS, moved by so many cells of its own."""
    path = write_raster(folder / "x.tif", np.asarray(values), nodata=nodata, dtype="uint8")
    grid = read_info(path).grid
    x0, a, _, y0, _, e = grid.transform
    rows, columns = np.shape(values)
    coarse = Grid(grid.wkt, (x0 + shift[0] * a, a * factor, 0.0, y0 + shift[1] * e, 0.0, e * factor),
                  int(columns // factor), int(rows // factor))
    item = on_grid(source(path, kind), coarse)
    return item, SourceReader().read(item, 0, coarse.height, 0, coarse.width)


def test_ties_go_to_the_class_at_the_centre_and_else_to_the_lowest_code(tmp_path):
    # the centre of two by two cells lies on their common corner and belongs to the lower right one
    values = np.array([[7, 3, 7, 7, 9, 9, 255, 5], [3, 7, 3, 3, 2, 9, 6, 255]])
    item, found = on_coarse(tmp_path, values, 2)
    assert item.resampling == "mode"
    np.testing.assert_array_equal(found, [[7, 3, 9, 5]])
    # centre without data: the lowest of those tied
    _, found = on_coarse(tmp_path, [[6, 8, 2], [5, 255, 4], [9, 3, 7]], 3)
    assert found == 2
    # three cells of 8 against three of 4, one of them at the centre
    _, found = on_coarse(tmp_path, [[8, 8, 8], [4, 4, 1], [2, 4, 3]], 3)
    assert found == 4


def test_shares_that_differ_by_a_hair_are_tied(tmp_path):
    # without data at the centre the lowest of those tied
    values = np.array([[5, 255, 3], [5, 255, 3], [5, 255, 3]])
    for shift, expected in ((0.0, 3), (0.0005, 3), (-0.0005, 3), (-0.02, 5), (0.02, 3)):
        _, found = on_coarse(tmp_path, values, 2.9, shift=(0.05 + shift, 0.05))
        assert found == expected, shift


def test_cells_without_data_do_not_vote(tmp_path):
    _, found = on_coarse(tmp_path, [[255, 255, 255], [255, 255, 255], [255, 0, 255]], 3)
    assert found == 0
    _, found = on_coarse(tmp_path, np.full((3, 3), 255), 3)
    assert found == NO_CLASS


def test_a_gap_stays_a_gap_where_numbers_are_interpolated(tmp_path):
    values = np.full((6, 6), 10)
    values[2, 3] = 255
    item, found = on_coarse(tmp_path, values, 0.5, NUMBER)
    assert item.resampling == "bilinear"
    gap = np.zeros((12, 12), dtype=bool)
    gap[4:6, 6:8] = True
    np.testing.assert_array_equal(np.isnan(found), gap)
    assert (found[~gap] == 10).all()


def test_mean_extremes_and_median_are_by_area(tmp_path):
    values = np.array([[1, 2, 3], [4, 50, 6], [7, 8, 9]])
    path = write_raster(tmp_path / "x.tif", values, dtype="uint8")
    grid = read_info(path).grid
    x0, a, _, y0, _, e = grid.transform
    one = Grid(grid.wkt, (x0 + 0.5 * a, 2 * a, 0.0, y0 + 0.5 * e, 0.0, 2 * e), 1, 1)
    weights = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    item = on_grid(source(path), one)
    for how, expected in (("average", (weights * values).sum() / 4), ("min", 1), ("max", 50), ("med", 6.5)):
        changed = dataclasses.replace(item, resampling=how)
        assert SourceReader().read(changed, 0, 1, 0, 1) == pytest.approx(expected, abs=1e-12), how


def test_cells_that_hold_the_pole_take_all_longitudes(tmp_path):
    values = np.repeat(np.arange(4, dtype="uint8")[:, None], 36, axis=1) * 10
    path = write_raster(tmp_path / "x.tif", values, crs="EPSG:4326", transform=(-180, 10, 0, 90, 0, -1), dtype="uint8")
    for size, half in ((3, 1.5), (4, 2.0)):
        grid = Grid(epsg_wkt(6931), (-half * 2e5, 2e5, 0.0, half * 2e5, 0.0, -2e5), size, size)
        found = SourceReader().read(on_grid(source(path), grid), 0, size, 0, size)
        middle = found[1:-1, 1:-1]
        assert np.isfinite(found).all() and np.ptp(middle) < 0.01
        # with the pole in its middle a cell reaches to 0.9 to 1.3 degrees from it, with it at a corner to 2.5
        assert (0 <= middle).all() and (middle < (4 if size == 3 else 10)).all()
        np.testing.assert_allclose(found, found.T, atol=0.01)


def test_the_plain_loops_are_used_without_numba(tmp_path, monkeypatch):
    monkeypatch.setattr(warping, "engine", lambda: plain)
    assert on_coarse(tmp_path, [[8, 8, 8], [4, 4, 1], [2, 4, 3]], 3)[1] == 4


def test_positions_between_nodes_are_right_within_the_error_and_nowhere_lost():
    source_grid = Grid(epsg_wkt(4326), (-180.0, 1 / 120, 0.0, 90.0, 0.0, -1 / 120), 43200, 5400)
    target = Grid(epsg_wkt(6931), (-4.9e6, 1000.0, 0.0, 4.9e6, 0.0, -1000.0), 9800, 9800)
    footprint = Footprint(source_grid, target)
    kinds = set()
    assert footprint.placement(0, 256, 0, 256, 0.05) is None
    for row, column in ((2304, 2560), (4608, 4608), (4864, 4864), (4864, 1024), (9000, 4864), (4352, 4864)):
        found = footprint.placement(row, 256, column, 256, 0.05)
        kinds.add(found.smooth)
        x, y = footprint.positions(*np.meshgrid(column + np.arange(256) + 0.5, row + np.arange(256) + 0.5))
        centre_x, centre_y = found.centres()
        assert np.abs(centre_y - y).max() < 0.05
        assert np.abs(np.mod(centre_x - x + 21600, 43200) - 21600).max() < 0.05
    assert kinds == {True, False}


def test_a_crs_of_a_deprecated_code_is_that_crs(tmp_path):
    wkt = ('PROJCS["NSIDC EASE-Grid North",GEOGCS["Unspecified datum based upon the International 1924 Authalic '
           'Sphere",DATUM["Not_specified_based_on_International_1924_Authalic_Sphere",SPHEROID["International 1924 '
           'Authalic Sphere",6371228,0,AUTHORITY["EPSG","7057"]],AUTHORITY["EPSG","6053"]],PRIMEM["Greenwich",0],UNIT'
           '["degree",0.0174532925199433],AUTHORITY["EPSG","4053"]],PROJECTION["Lambert_Azimuthal_Equal_Area"],'
           'PARAMETER["latitude_of_center",90],PARAMETER["longitude_of_center",0],PARAMETER["false_easting",0],'
           'PARAMETER["false_northing",0],UNIT["metre",1],AUTHORITY["EPSG","3408"]]')
    path = write_raster(tmp_path / "x.tif", np.ones((2, 2)), crs=wkt)
    grid = read_info(path).grid
    # the radius of a parallel on a sphere, and not on WGS 84
    longitude, latitude = grid.lonlat(*grid.cells_at(0.0, -2 * 6371228 * np.sin(np.radians(14))))
    assert (float(longitude), float(latitude)) == pytest.approx((0, 62), abs=1e-9)
    assert Grid(epsg_wkt(3408), grid.transform, 2, 2).same(grid)
