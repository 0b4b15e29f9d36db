"""Cells inside the edge of their class: every one measured by brute force, in true ground distance."""

import itertools

import numpy as np
import pytest

from pti_plugin.core.common.errors import Cancelled
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.geodesic import geocentric_km
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.samples import edge_buffer, sampling_numpy
from pti_plugin.core.samples.edge_buffer import Ground, inside_edges

pyproj = pytest.importorskip("pyproj")
#: rows and columns that brute force looks round a cell; more than any buffer here takes
REACH = (16, 28)
GEOD = pyproj.Geod(ellps="WGS84")


def grid_at(epsg, latitude, longitude, cell, height, width):
    """A grid whose middle lies at a place."""
    change = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    x, y = change.transform(longitude, latitude)
    return Grid(epsg_wkt(epsg), (x - cell * width / 2, cell, 0.0, y + cell * height / 2, 0.0, -cell), width, height)


def patches(height, width, seed=1, classes=4, speckle=0.0005):
    """Classes 0 to ``classes`` - 1 in patches of some 40 cells, with single cells of others in them."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width]
    field = sum(np.sin(down * a + across * b + c) for a, b, c in rng.uniform(-0.05, 0.05, (4, 3)) * (1, 1, 99))
    cells = np.digitize(field, np.quantile(field, np.arange(1, classes) / classes)).astype(np.uint8)
    single = rng.random(cells.shape) < speckle
    cells[single] = rng.integers(0, classes, single.sum())
    return cells


def inside(cells, grid, buffers, progress=None, settings=None):
    ground = Ground(grid)
    used = ground.counts(cells, progress or Progress()).any(axis=1)
    return inside_edges(cells, ground, used, buffers, progress or Progress(), settings)


def brute_force(cells, grid, buffers, circle=False):
    """(cells inside, smallest difference of any distance from the buffer, km): all neighbours of every cell measured.

    Chords are turned into distances on the mean sphere, right to a millimetre at these lengths.
    """
    height, width = cells.shape
    result, closest = np.zeros_like(cells), np.inf
    padded = np.pad(cells, ((REACH[0],) * 2, (0, 0)))
    padded = np.pad(padded, ((0, 0), (REACH[1],) * 2), mode="wrap" if circle else "constant")
    columns, rows = np.meshgrid(np.arange(-REACH[1], width + REACH[1]) + 0.5,
                                np.arange(-REACH[0], height + REACH[0]) + 0.5)
    place = geocentric_km(*grid.lonlat(columns, rows))
    own = (slice(REACH[0], REACH[0] + height), slice(REACH[1], REACH[1] + width))
    least = np.full(cells.shape, np.inf)
    for down, across in itertools.product(range(-REACH[0], REACH[0] + 1), range(-REACH[1], REACH[1] + 1)):
        window = tuple(slice(part.start + step, part.stop + step) for part, step in zip(own, (down, across)))
        other = padded[window] != cells
        chord = np.sqrt(((place[window][other] - place[own][other]) ** 2).sum(-1))
        least[other] = np.minimum(2 * 6371 * np.arcsin(chord / 2 / 6371), least[other])
    for code, buffer in buffers.items():
        mine = cells == code
        result[mine & (least >= buffer)] = code
        closest = min(closest, np.abs(least[mine] - buffer).min() if mine.any() else np.inf)
    return result, closest


GRIDS = [("EPSG 6931, pole", 6931, 89.0, 30.0, 1000.0), ("EPSG 6931, 45° N", 6931, 45.0, 100.0, 1000.0),
         ("EPSG 6931, 60° N", 6931, 60.0, -120.0, 1000.0), ("EPSG 3995, 45° N", 3995, 45.0, 10.0, 1000.0),
         ("EPSG 3995, 80° N", 3995, 80.0, 170.0, 1000.0), ("EPSG 3413, 60° N", 3413, 60.0, -45.0, 1300.0),
         ("UTM 8, 64° N", 32608, 64.0, -140.0, 700.0)]


@pytest.mark.parametrize("epsg, latitude, longitude, cell", [item[1:] for item in GRIDS], ids=[g[0] for g in GRIDS])
def test_every_cell_of_a_projected_grid_is_judged_by_its_true_distance(epsg, latitude, longitude, cell, monkeypatch):
    grid = grid_at(epsg, latitude, longitude, cell, 80, 90)
    cells, buffers = patches(80, 90), {1: 10.0, 2: 4.3, 3: 0.0}
    expected, closest = brute_force(cells, grid, buffers)
    assert 0 < (expected > 0).sum() < (cells > 0).sum() and closest > 1e-7
    found, torn = inside(cells, grid, buffers)
    np.testing.assert_array_equal(found, expected)
    assert torn == 0
    monkeypatch.setattr(edge_buffer, "kernels", lambda: sampling_numpy)
    np.testing.assert_array_equal(inside(cells, grid, buffers)[0], expected)


# 64 cells are looked at together: a single one may be left at the end of a row
@pytest.mark.parametrize("top, width", [(45.5, 120), (60.5, 129), (80.5, 65)])
def test_every_cell_of_a_grid_in_degrees_is_judged_by_its_true_distance(top, width, monkeypatch):
    grid = Grid(epsg_wkt(4326), (20.0, 0.02, 0.0, top, 0.0, -0.01), width, 90)
    cells, buffers = patches(90, width, seed=2), {1: 10.0, 2: 4.3, 3: 0.0}
    expected, _ = brute_force(cells, grid, buffers)
    np.testing.assert_array_equal(inside(cells, grid, buffers)[0], expected)
    monkeypatch.setattr(edge_buffer, "kernels", lambda: sampling_numpy)
    np.testing.assert_array_equal(inside(cells, grid, buffers)[0], expected)


def test_a_grid_round_the_earth_has_no_edge_at_its_seam():
    grid = Grid(epsg_wkt(4326), (-180.0, 0.5, 0.0, 75.0, 0.0, -0.5), 720, 40)
    cells = np.ones((40, 720), dtype=np.uint8)
    cells[20, 3] = 2
    buffers = {1: 200.0, 2: 200.0}
    expected, _ = brute_force(cells, grid, buffers, circle=True)
    np.testing.assert_array_equal(inside(cells, grid, buffers)[0], expected)
    assert expected[20, -5] == 0 and expected[12, 0] == 1
    # half of it has edges on both sides
    half = Grid(grid.wkt, grid.transform, 360, 40)
    assert (inside(cells[:, :360].copy(), half, buffers)[0][:, 0] == 0).all()


@pytest.mark.parametrize("north", [True, False])
def test_the_border_of_a_grid_in_degrees_that_ends_at_a_pole_lies_at_the_pole(north):
    # centres 27.9, 83.8 and 139.6 km from the pole
    transform = (-180.0, 30.0, 0.0, 90.0, 0.0, -0.5) if north else (-180.0, 30.0, 0.0, -80.0, 0.0, -0.5)
    grid = Grid(epsg_wkt(4326), transform, 12, 20)
    for buffer, rows in ((25.0, 0), (30.0, 1), (80.0, 1), (90.0, 2), (135.0, 2)):
        found = inside(np.ones((20, 12), dtype=np.uint8), grid, {1: buffer})[0]
        # on the other side, the row beyond the grid is the border: as many rows are lost as lie within the buffer
        lost = int(np.ceil(buffer / 55.85)) - 1
        expected = np.repeat((np.arange(20) >= rows) & (np.arange(20) < 20 - lost), 12).reshape(20, 12)
        np.testing.assert_array_equal(found == 1, expected if north else expected[::-1], err_msg=str(buffer))


def test_the_variation_round_tiles_that_mirror_each_other_is_the_same():
    # round the pole, the ground differs most towards the corner of a tile that is furthest from it: all four in turn
    grid = grid_at(6931, 90.0, 0.0, 25000.0, 160, 160)
    ground = Ground(grid)
    variation = ground._variation(np.arange(ground.tiles), 300.0).reshape(ground.tiles_down, ground.tile[2])
    assert ground.tiles_down > 4 and np.ptp(variation) > 0.01
    for mirrored in (variation[::-1], variation[:, ::-1], variation.T):
        np.testing.assert_allclose(mirrored, variation, rtol=1e-6)


@pytest.mark.parametrize("latitude", [45.0, 60.0, 80.0])
def test_the_limit_is_the_geodesic_of_pyproj(latitude):
    # a lone cell of another class: the nearest cells kept and the furthest left out lie on both sides of the buffer
    for grid in (grid_at(6931, latitude, 77.0, 500.0, 121, 121), grid_at(3995, latitude, 77.0, 500.0, 121, 121)):
        cells = np.ones((121, 121), dtype=np.uint8)
        cells[60, 60] = 2
        found = inside(cells, grid, {1: 12.0})[0]
        rows, columns = np.mgrid[30:91, 30:91]
        longitude, latitudes = grid.lonlat(columns + 0.5, rows + 0.5)
        middle = grid.lonlat(60.5, 60.5)
        distance = GEOD.inv(longitude.ravel(), latitudes.ravel(), np.full(longitude.size, middle[0]),
                            np.full(longitude.size, middle[1]))[2].reshape(longitude.shape)
        here = found[30:91, 30:91] == 1
        np.testing.assert_array_equal(here, (distance >= 12_000))


def test_nodata_other_classes_and_the_border_of_the_raster_are_edges():
    grid = grid_at(6931, 75.0, 90.0, 1000.0, 60, 60)
    cells = np.ones((60, 60), dtype=np.uint8)
    cells[30, 30] = 0
    found = inside(cells, grid, {1: 5.5})[0]
    assert not found[:5].any() and not found[:, -5:].any() and not found[28:33, 28:33].any()
    assert found[7, 7] == 1 and found[30, 38] == 1


def test_the_result_does_not_depend_on_threads_or_strips(monkeypatch):
    grid, cells = grid_at(6931, 70.0, 20.0, 1000.0, 700, 90), patches(700, 90, seed=5)
    buffers = {1: 10.0, 2: 10.0, 3: 5.0}
    whole = inside(cells, grid, buffers, settings=Settings(threads=1))[0]
    for threads, strip in ((2, 256), (3, 128), (1, 1024)):
        monkeypatch.setattr(edge_buffer, "STRIP", strip)
        np.testing.assert_array_equal(inside(cells, grid, buffers, settings=Settings(threads=threads))[0], whole)


def test_buffers_wider_than_a_byte_or_many_words_of_cells(monkeypatch):
    # 150 cells to either side; what is beyond the raster and one lone cell are the edges
    grid = grid_at(6931, 75.0, 90.0, 60.0, 340, 461)
    cells = np.ones((340, 461), dtype=np.uint8)
    cells[170, 300] = 2
    ground = Ground(grid)
    intervals = ground.intervals([9.0], np.ones(ground.tiles, dtype=bool))
    assert 2 * intervals.side > 255
    found = inside(cells, grid, {1: 9.0})[0]
    rows, columns = np.nonzero(np.pad(cells, 1) != 1)
    edges = geocentric_km(*grid.lonlat(columns - 0.5, rows - 0.5))
    rows, columns = (part.ravel() for part in np.mgrid[140:200:3, 100:400:5])
    places = geocentric_km(*grid.lonlat(columns + 0.5, rows + 0.5))
    least = np.array([((edges - place) ** 2).sum(axis=1).min() for place in places])
    expected = 2 * 6371 * np.arcsin(np.sqrt(least) / 2 / 6371) >= 9
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found[rows, columns] == 1, expected)
    monkeypatch.setattr(edge_buffer, "kernels", lambda: sampling_numpy)
    np.testing.assert_array_equal(inside(cells, grid, {1: 9.0})[0], found)


@pytest.mark.parametrize("transform, buffer, apart", [
    ((1e5, 500.0, 1400.0, -1.2e6, 0.0, -300.0), 0.55, True),
    ((1e5, 900.0, 300.0, -1.2e6, 500.0, -800.0), 6.0, False)])
def test_every_cell_of_a_slanted_grid_is_judged_by_its_true_distance(transform, buffer, apart, monkeypatch):
    grid, cells = Grid(epsg_wkt(6931), transform, 80, 70), patches(70, 80, seed=3)
    ground = Ground(grid)
    intervals = ground.intervals([buffer], np.ones(ground.tiles, dtype=bool))
    low, high = intervals.outer_low[0, 0], intervals.outer_high[0, 0]
    used = np.flatnonzero(low <= high)
    # those of neighbouring rows may lie apart, or have an empty one between
    linked = np.maximum(low[used[1:]], low[used[:-1]]) <= np.minimum(high[used[1:]], high[used[:-1]])
    assert apart == (not linked.all() or (np.diff(used) > 1).any())
    buffers = {1: buffer, 2: buffer / 2, 3: 0.0}
    expected, _ = brute_force(cells, grid, buffers)
    assert 0 < (expected == 1).sum() < (cells == 1).sum()
    np.testing.assert_array_equal(inside(cells, grid, buffers)[0], expected)
    monkeypatch.setattr(edge_buffer, "kernels", lambda: sampling_numpy)
    np.testing.assert_array_equal(inside(cells, grid, buffers)[0], expected)


@pytest.mark.parametrize("low, high", [
    # an empty one between two, of which neighbours overlap; all filled, one of which lies apart; neither
    ([-1, 0, -2, -1, -1], [1, -1, 2, 1, 1]), ([-1, 5, -2, -1, -1], [1, 7, 2, 1, 1]),
    ([0, -1, -2, -1, 0], [-1, 1, 2, 1, -1])])
@pytest.mark.parametrize("wider", [True, False])
def test_either_fault_of_the_intervals_is_mended_and_sound_ones_stay(low, high, wider):
    low, high = np.array([[low]]), np.array([[high]])
    sound = low[0, 0, 0] > high[0, 0, 0]
    new_low, new_high = edge_buffer._linked(low, high, wider)
    used = np.flatnonzero(new_low[0, 0] <= new_high[0, 0])
    np.testing.assert_array_equal(np.diff(used), 1)
    assert len(used) == (3 if sound or not wider else 5)
    for one, other in zip(used[:-1], used[1:]):
        assert max(new_low[0, 0, [one, other]]) <= min(new_high[0, 0, [one, other]])
    if sound:
        np.testing.assert_array_equal((new_low, new_high), (low, high))


@pytest.mark.parametrize("wider", [True, False])
def test_intervals_of_neighbouring_rows_are_linked(wider):
    # an empty one between two, one that lies apart, and an end that is empty
    low = np.array([[[0, -9, 0, -2, 3, 8, 0]]])
    high = np.array([[[-1, -8, -1, 2, 6, 9, -1]]])
    before = (low.copy(), high.copy())
    new_low, new_high = edge_buffer._linked(low, high, wider)
    np.testing.assert_array_equal((low, high), before)
    used = np.flatnonzero(new_low[0, 0] <= new_high[0, 0])
    assert used.tolist() == ([1, 2, 3, 4, 5] if wider else [3])
    for one, other in zip(used[:-1], used[1:]):
        assert max(new_low[0, 0, [one, other]]) <= min(new_high[0, 0, [one, other]])
    for place in used:
        if low[0, 0, place] <= high[0, 0, place]:
            wide, narrow = ((new_low, new_high), (low, high)) if wider else ((low, high), (new_low, new_high))
            assert wide[0][0, 0, place] <= narrow[0][0, 0, place] and wide[1][0, 0, place] >= narrow[1][0, 0, place]


@pytest.mark.parametrize("wider", [True, False])
def test_intervals_that_lie_apart_are_linked_where_none_is_empty(wider):
    # on both sides of the middle one, and no empty one to tell that something is amiss
    low, high = np.array([[[5, -1, -4]]]), np.array([[[6, 1, -3]]])
    new_low, new_high = edge_buffer._linked(low, high, wider)
    if wider:
        assert new_low.ravel().tolist() == [1, -1, -4] and new_high.ravel().tolist() == [6, 1, -1]
    else:
        assert (new_low > new_high)[0, 0].tolist() == [True, False, True]


def test_cells_where_the_projection_is_torn_are_left_out_and_counted():
    # the pole of a plate carrée in metres: a row of cells is one place
    grid = Grid(epsg_wkt(4087), (-2_000_000.0, 10_000.0, 0.0, 10_018_754.0, 0.0, -10_000.0), 40, 40)
    cells = np.ones((40, 40), dtype=np.uint8)
    found, torn = inside(cells, grid, {1: 15.0})
    assert torn > 0 and not found[:8].any()


@pytest.mark.parametrize("tile", [(8, 8, 26), (64, 64, 4), (1, 203, 1), (300, 203, 1)])
def test_cells_are_counted_tile_by_tile(tile):
    cells = patches(130, 203, seed=8)
    cells[20:70, 50:150] = 3
    rows, columns = np.indices(cells.shape)
    place = (rows + 256) // tile[0] * tile[2] + columns // tile[1]
    expected = np.zeros((place.max() + 1, 256), dtype=np.int32)
    np.add.at(expected, (place[cells > 0], cells[cells > 0]), 1)
    for loops in (edge_buffer.kernels(), sampling_numpy):
        counts = np.zeros_like(expected)
        loops.tile_counts(cells, 256, tile, counts)
        np.testing.assert_array_equal(counts, expected)


def test_areas_of_tiles_are_those_of_the_cells():
    degrees = Grid(epsg_wkt(4326), (20, 0.01, 0, 70, 0, -0.01), 50, 60)
    for grid in (grid_at(3995, 50.0, 30.0, 1000.0, 130, 140), degrees):
        ground, cells = Ground(grid), np.ones((grid.height, grid.width), dtype=np.uint8)
        area = float(ground.areas @ ground.counts(cells, Progress())[:, 1])
        assert area == pytest.approx(grid.cell_areas(0, grid.height, 0, grid.width).sum() / 1e10, rel=1e-5)


def test_it_stops_when_asked():
    grid, progress = grid_at(6931, 70.0, 20.0, 1000.0, 600, 90), Progress()
    ground, cells = Ground(grid), patches(600, 90)
    used = ground.counts(cells, progress).any(axis=1)
    progress.stop()
    with pytest.raises(Cancelled):
        inside_edges(cells, ground, used, {1: 10.0}, progress)
