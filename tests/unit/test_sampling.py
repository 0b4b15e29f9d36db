"""Samples are random but repeatable, as far apart as asked, and complete."""

import itertools

import numpy as np
import pyproj
import pytest
from osgeo import ogr

from pti_plugin.core.common import ranks
from pti_plugin.core.common.errors import Cancelled, InputError, OutputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import Feature, read_stack
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.cell_keys import cell_keys
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from pti_plugin.core.rasters.geodesic import distance_m, geocentric_km, longest_chord_km
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.samples import edge_buffer, sampling, sampling_numpy
from pti_plugin.core.samples.sample_file import check_samples_file, read_sample_features, write_samples
from pti_plugin.core.samples.sampling import SampleOptions, Samples, draw_samples, nearest_km, sample_points
from pti_plugin.core.samples.sampling_rules import Rule, override, packing_bound, random_estimate, read_rules
from support import Log, write_raster

TRANSFORM = (-1500000.0, 12500.0, 0.0, 1250000.0, 0.0, -12500.0)
ROWS, COLUMNS = 190, 230
BANDS = ("lst", "land_cover", "slope")


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """A PTI map of patches and a stack whose bands hold the cell's number, so that a sample tells its cell."""
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(2)
    patches = rng.choice([0, *ranks.CODES[:-1]], (ROWS // 10, COLUMNS // 10))
    index = np.kron(patches, np.ones((10, 10), dtype=int))
    # few cells of rank 40
    index.ravel()[rng.choice(index.size, 30, replace=False)] = 40
    cell = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(float)
    layers = np.stack([cell // COLUMNS, np.where(rng.random(index.shape) < 0.5, 30, 200), cell % COLUMNS])
    for i, share in enumerate((0.1, 0.05, 0.1)):
        layers[i][rng.random(index.shape) < share] = -1
    pti = write_raster(folder / "pti.tif", index, dtype="uint8", nodata=0, transform=TRANSFORM)
    stack = write_raster(folder / "stack.tif", layers, dtype="float32", nodata=-1, transform=TRANSFORM,
                         descriptions=list(BANDS))
    return pti, stack, index, (layers >= 0).all(axis=0)


def draw(maps, per_class=50, spacing=0.0, seed=1, log=None):
    return draw_samples(maps[0], read_stack(maps[1]), per_class, spacing, seed, log or Log())


def cells_of(samples):
    """(rows, columns) of the samples, by what the stack's bands hold."""
    return samples.x[:, 0].astype(int), samples.x[:, 2].astype(int)


def test_a_sample_carries_the_rank_the_place_and_the_predictors_of_its_cell(maps):
    samples = draw(maps)
    row, column = cells_of(samples)
    np.testing.assert_array_equal(samples.y, maps[2][row, column])
    longitude, latitude = read_stack(maps[1]).grid.lonlat(column + 0.5, row + 0.5)
    np.testing.assert_allclose([samples.longitude, samples.latitude], [longitude, latitude])
    assert samples.x.dtype == np.float32 and set(samples.x[:, 1]) == {30, 200}
    assert [feature.name for feature in samples.features] == list(BANDS)


@pytest.mark.parametrize("spacing", [0.0, 60.0])
def test_a_cell_that_lacks_a_predictor_is_never_drawn(maps, spacing):
    samples = draw(maps, 10 ** 6 if not spacing else 500, spacing)
    assert maps[3][cells_of(samples)].all()
    if not spacing:
        # and every other ranked cell is
        assert len(samples.y) == ((maps[2] > 0) & maps[3]).sum()


def test_as_many_a_rank_as_asked_and_no_cell_twice(maps):
    log = Log()
    samples = draw(maps, 50, log=log)
    available = {code: int(((maps[2] == code) & maps[3]).sum()) for code in ranks.CODES}
    assert available[40] < 50
    assert dict(zip(*(array.tolist() for array in np.unique(samples.y, return_counts=True)))) == {
        code: min(50, count) for code, count in available.items()}
    assert len(set(zip(*cells_of(samples)))) == len(samples.y)
    assert log.lines[:-1] == [f"Rank 40: {available[40]} samples, 50 asked for (too few cells)."]
    assert log.lines[-1].startswith(f"{(maps[2] > 0).sum() - sum(available.values())} cells lack a predictor")


@pytest.mark.parametrize("spacing", [26.0, 60.0, 300.0])
def test_no_two_samples_of_a_rank_are_closer_than_the_spacing(maps, spacing):
    samples = draw(maps, 400, spacing)
    nearest = []
    for code in ranks.CODES:
        here = samples.y == code
        distances = distance_m(samples.latitude[here][:, None], samples.longitude[here][:, None],
                               samples.latitude[here], samples.longitude[here])
        np.fill_diagonal(distances, np.inf)
        nearest.append(distances.min() if here.sum() > 1 else np.inf)
    assert min(nearest) >= spacing * 1000
    # the rule is used to its limit: some pair is little further apart
    assert min(nearest) < spacing * 1000 + 15_000


def test_a_cell_is_left_out_only_because_a_drawn_one_is_too_near(maps):
    samples = draw(maps, 10 ** 5, 80.0)
    stack = read_stack(maps[1])
    row, column = np.nonzero((maps[2] == 21) & maps[3])
    longitude, latitude = stack.grid.lonlat(column + 0.5, row + 0.5)
    here = samples.y == 21
    distances = distance_m(latitude[:, None], longitude[:, None], samples.latitude[here], samples.longitude[here])
    assert distances.min(axis=1).max() < 80_001


def test_the_spacing_holds_where_the_ellipsoid_is_most_curved(tmp_path):
    # along a meridian at 45° N a sphere of the Earth's mean radius takes ten cells for 0.06 % more than they are, so
    # by the sphere ten cells would do here where eleven are needed
    cells = np.full((400, 1), 11)
    cells[::50] = 12
    transform = (10.0, 0.001, 0.0, 45.4, 0.0, -0.002)
    pti = write_raster(tmp_path / "p.tif", cells, dtype="uint8", crs="EPSG:4326", transform=transform)
    stack = write_raster(tmp_path / "s.tif", np.ones((1, 400, 1)), dtype="float32", crs="EPSG:4326",
                         transform=transform, descriptions=["slope"])
    spacing = 1.0003 * float(distance_m(45.0, 10.0, 45.02, 10.0)) / 1000
    closest = []
    for seed in range(10):
        samples = draw_samples(pti, read_stack(stack), 1000, spacing, seed, Log())
        latitudes = np.sort(samples.latitude[samples.y == 11])
        closest.append(distance_m(latitudes[1:], 10.0, latitudes[:-1], 10.0).min())
    assert 1000 * spacing <= min(closest) < 1100 * spacing


def test_the_same_seed_gives_the_same_samples_and_another_seed_others(maps):
    for spacing in (0.0, 60.0):
        first, again, other = (draw(maps, 60, spacing, seed) for seed in (3, 3, 4))
        for name in ("x", "y", "longitude", "latitude"):
            assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
        assert set(zip(*cells_of(first))) != set(zip(*cells_of(other)))


@pytest.mark.parametrize("spacing", [0.0, 60.0])
def test_samples_do_not_depend_on_blocks_threads_rounds_or_compiled_code(maps, monkeypatch, spacing):
    rules = [Rule(code, 60, spacing, 13.0) for code in ranks.CODES]

    def points(**settings):
        samples, table = sample_points(maps[0], read_stack(maps[1]), rules, Log(), SampleOptions(seed=1),
                                       Settings(**settings))
        return samples.x.tobytes(), samples.y.tobytes(), table

    whole = points(threads=1)
    for settings in ({"threads": 3}, {"block_size": 7, "threads": 2}, {"block_size": 64}):
        assert points(**settings) == whole
    monkeypatch.setattr(sampling, "_FEWEST", 40)
    monkeypatch.setattr(sampling, "_CANDIDATES", 1)
    assert points() == whole
    monkeypatch.setattr(sampling, "_KEPT_BYTES", 0)
    assert points() == whole
    for module in (sampling, edge_buffer):
        monkeypatch.setattr(module, "kernels", lambda: sampling_numpy)
    assert points() == whole


def test_keys_belong_to_cells_and_spread_evenly():
    rows, columns = np.mgrid[0:300, 0:400]
    keys = cell_keys(rows, columns, 5)
    assert keys.dtype == np.uint64 and len(np.unique(keys)) == keys.size
    np.testing.assert_array_equal(cell_keys(rows[100:150, 30:60], columns[100:150, 30:60], 5), keys[100:150, 30:60])
    assert not np.array_equal(cell_keys(rows, columns, 6), keys)
    # sixteen bins of 7,500 expected each: 5 standard deviations
    counts = np.bincount((keys >> np.uint64(60)).astype(int).ravel(), minlength=16)
    assert np.abs(counts - 7500).max() < 5 * np.sqrt(7500)
    # neighbours are unrelated
    half = (keys >> np.uint64(63)).astype(int)
    for near in (half[1:] == half[:-1], half[:, 1:] == half[:, :-1]):
        assert abs(near.mean() - 0.5) < 0.01
    # the splitmix64 finaliser, written out for one cell
    mask = (1 << 64) - 1
    key = ((7 << 32) + 11 + 5 * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & mask
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & mask
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & mask
    assert int(keys[7, 11]) == key ^ (key >> 31)


def test_a_map_on_another_grid_is_refused(maps, tmp_path):
    pti = write_raster(tmp_path / "other.tif", np.full((ROWS, COLUMNS + 1), 11), dtype="uint8", transform=TRANSFORM)
    with pytest.raises(InputError, match=r"other\.tif is not on the grid of the predictor stack stack\.tif: it has"):
        draw_samples(pti, read_stack(maps[1]), 5, 0, 1, Log())


def test_a_rank_without_cells_is_warned_of_and_no_rank_is_an_error(maps, tmp_path):
    pti = write_raster(tmp_path / "one.tif", np.full((ROWS, COLUMNS), 33), dtype="uint8", transform=TRANSFORM)
    log = Log()
    assert set(draw_samples(pti, read_stack(maps[1]), 5, 0, 1, log).y) == {33}
    assert len(log.warnings) == 9 and "Rank 11 has no cell with enough predictors" in log.warnings[0]
    pti = write_raster(tmp_path / "none.tif", np.zeros((ROWS, COLUMNS)), dtype="uint8", transform=TRANSFORM)
    with pytest.raises(InputError, match=r"none\.tif has no ranked cell"):
        draw_samples(pti, read_stack(maps[1]), 5, 0, 1, log)


@pytest.mark.parametrize("labels, text", [
    ([11] * 5 + [14] * 5, "the class 14, which is no PTI rank"), ([11] * 9, "fewer than two PTI ranks"),
    ([11] * 9 + [12] * 4 + [13] * 2, r"fewer than 5 samples: 12 \(4\), 13 \(2\)")])
def test_samples_that_cannot_train_are_refused(labels, text):
    n = len(labels)
    samples = Samples(np.zeros((n, 1), np.float32), np.array(labels), np.zeros(n), np.zeros(n), ())
    with pytest.raises(InputError, match=text):
        samples.check()


@pytest.mark.parametrize("loops", [sampling_numpy, edge_buffer.kernels()])
def test_points_on_both_sides_of_the_seam_and_round_the_pole_are_neighbours(loops):
    longitude = np.array([179.99, -179.99, 0.0, 90.0, -90.0])
    latitude = np.array([70.0, 70.0, 89.99, 89.99, 89.99])
    places, chord = geocentric_km(longitude, latitude), np.full(256, longest_chord_km(25.0))

    def kept(points):
        codes = np.full(len(points), 11)
        return np.flatnonzero(loops.thin(places[points], codes, chord, np.full(256, 10), False, 0)).tolist()

    assert kept([0, 1, 2, 3, 4]) == [0, 2]
    for i, j in itertools.combinations(range(5), 2):
        near = distance_m(latitude[i], longitude[i], latitude[j], longitude[j]) < 25_000
        assert len(kept([i, j])) == (1 if near else 2)


@pytest.mark.parametrize("grid", [
    Grid(epsg_wkt(6931), (1e5, 3000.0, 0.0, -1.2e6, 0.0, -3000.0), 203, 140),
    Grid(epsg_wkt(6931), (1e5, 500.0, 0.0, -1.2e6, 0.0, -500.0), 203, 140),
    Grid(epsg_wkt(4326), (20.0, 0.02, 0.0, 70.0, 0.0, -0.01), 203, 140)], ids=["small tiles", "large tiles", "degrees"])
def test_compiled_and_plain_loops_give_the_same(grid):
    pytest.importorskip("numba")
    rng = np.random.default_rng(5)
    cells = np.kron(rng.choice([0, 0, 11, 12, 40], (20, 7)), np.ones((7, 29), dtype=int)).astype(np.uint8)
    single = rng.random(cells.shape) < 0.02
    cells[single] = rng.choice([0, 11, 40], single.sum())
    compiled, plain = edge_buffer.kernels(), sampling_numpy
    assert compiled is not plain
    limit = np.full(256, 1 << 62, dtype=np.uint64)
    limit[40] = 1 << 60
    for name, arguments in (("runs", ()), ("smallest_keys", (256, np.uint64(77), limit))):
        one, other = (getattr(loops, name)(cells, *arguments) for loops in (compiled, plain))
        assert len(one[0]) > 100
        for array, same in zip(one, other):
            np.testing.assert_array_equal(array, same)
            assert array.dtype == same.dtype
    table = np.zeros(256, dtype=np.uint8)
    table[[11, 40]] = 21, 40
    parts = cells.copy(), cells.copy()
    for loops, part in zip((compiled, plain), parts):
        loops.recode(part[3:99], table)
    np.testing.assert_array_equal(*parts)
    assert set(np.unique(parts[0][3:99])) == {0, 21, 40} and (parts[0][:3] == cells[:3]).all()
    ground = edge_buffer.Ground(grid)
    kind, distances = edge_buffer.kinds_of({11: 7.0, 12: 12.0, 40: 7.0})
    tables = ground.intervals(distances, np.ones(ground.tiles, dtype=bool))
    counts = []
    for loops in (compiled, plain):
        counts.append(np.zeros((ground.tiles, 256), dtype=np.int32))
        loops.rim_counts(-tables.reach, 140 + tables.reach, *plain.runs(cells), ground.tile, ground.tiles_down, 203,
                         kind, tables.outer_low, tables.outer_high, tables.side, counts[-1])
    np.testing.assert_array_equal(*counts)
    assert counts[0][:, 11].sum() > (cells == 11).sum() and not counts[0][:, 0].any()


# rules, bounds, both ways of spacing ------------------------------------------------------------------------------

SIDE = 2000


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A map of 2,000 x 2,000 cells of 1 km round 70° N in patches, rank 40 among them, and a stack of one band."""
    folder = tmp_path_factory.mktemp("wide")
    down, across = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / 90
    field = np.sin(down + np.sin(across / 2)) + np.sin(across * 0.8 + down / 3)
    cells = np.digitize(field, [-1.2, -0.5, 0.2, 0.9, 1.6])
    cells = np.array([0, 11, 12, 33, 40, 0], dtype=np.uint8)[cells]
    transform = (-1_000_000.0, 1000.0, 0.0, -1_200_000.0, 0.0, -1000.0)
    pti = write_raster(folder / "pti.tif", cells, nodata=0, transform=transform, options=["TILED=YES"])
    layer = np.arange(SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE) % 65_521
    layer[:, 900:1000] = -1
    stack = write_raster(folder / "stack.tif", layer, nodata=-1, transform=transform, descriptions=["elevation"],
                         options=["TILED=YES"])
    return pti, stack, cells


RULES = [Rule(11, 300, 40.0, 10.0), Rule(12, 5000, 25.0, 10.0), Rule(33, 50, 60.0, 0.0), Rule(40, 400, 15.0, 5.0)]


@pytest.mark.parametrize("across", [False, True])
def test_every_distance_by_brute_force_on_a_wide_raster(wide, across):
    stack = read_stack(wide[1])
    samples, table = sample_points(wide[0], stack, RULES, Log(), SampleOptions(seed=3, across=across))
    assert (samples.y == wide[2][samples.rows, samples.columns]).all()
    assert not ((samples.rows >= 900) & (samples.rows < 1000)).any()
    distance = distance_m(samples.latitude[:, None], samples.longitude[:, None], samples.latitude, samples.longitude)
    np.fill_diagonal(distance, np.inf)
    spacing = {rule.rank: 1000 * rule.spacing_km for rule in RULES}
    own = np.array([spacing[code] for code in samples.y])
    same = samples.y[:, None] == samples.y
    least = np.where(same | across, np.maximum(own[:, None], own), 0)
    assert (distance >= least).all()
    # pyproj agrees on the closest ones
    i, j = np.unravel_index(np.argsort(distance / np.maximum(least, 1), axis=None)[:50], distance.shape)
    geodesic = pyproj.Geod(ellps="WGS84").inv(samples.longitude[i], samples.latitude[i], samples.longitude[j],
                                              samples.latitude[j])[2]
    assert (geodesic >= least[i, j]).all()
    for row in table[:-1]:
        here = samples.y == row["rank"]
        nearest = np.where(same & here[:, None], distance, np.inf)[here].min(axis=1) / 1000
        assert row["achieved"] == here.sum()
        assert row["nearest_km"] == pytest.approx(nearest.min()) and row["median_nearest_km"] == pytest.approx(
            np.median(nearest))
        assert row["achieved"] <= row["packing_bound"]
    assert table[-1]["nearest_km"] == pytest.approx(distance.min() / 1000)
    if across:
        # the closest of different ranks keep apart as well, by the larger spacing
        assert distance.min() >= 15_000
    # nothing more fits: every cell that may be drawn is near a point, or its rank has all it asked for
    rule = RULES[1]
    ground = edge_buffer.Ground(stack.grid)
    used = ground.counts(wide[2], Log()).any(axis=1)
    inner = edge_buffer.inside_edges(wide[2], ground, used, {rule.rank: rule.edge_buffer_km}, Log())[0] == rule.rank
    inner[900:1000] = False
    rows, columns = (part[::7] for part in np.nonzero(inner))
    longitude, latitude = stack.grid.lonlat(columns + 0.5, rows + 0.5)
    if not across:
        here = samples.y == rule.rank
        near = np.array([distance_m(a, b, samples.latitude[here], samples.longitude[here]).min()
                         for a, b in zip(latitude[::40], longitude[::40])])
        assert near.max() < 25_001


def test_the_points_lie_inside_the_edge_by_brute_force(wide):
    samples, _ = sample_points(wide[0], read_stack(wide[1]), RULES, Log())
    grid = read_stack(wide[1]).grid
    steps = np.arange(-14, 15)
    down, across = (part.ravel() for part in np.meshgrid(steps, steps))
    for rule in RULES:
        here = samples.y == rule.rank
        rows, columns = samples.rows[here][:, None] + down, samples.columns[here][:, None] + across
        beyond = (rows < 0) | (rows >= SIDE) | (columns < 0) | (columns >= SIDE)
        other = beyond | (wide[2][np.clip(rows, 0, SIDE - 1), np.clip(columns, 0, SIDE - 1)] != rule.rank)
        point, neighbour = np.nonzero(other)
        longitude, latitude = grid.lonlat(columns[point, neighbour] + 0.5, rows[point, neighbour] + 0.5)
        distance = distance_m(samples.latitude[here][point], samples.longitude[here][point], latitude, longitude)
        assert len(point) and distance.min() >= 1000 * rule.edge_buffer_km


def test_a_planted_breach_would_be_seen(wide, monkeypatch):
    # were every point kept, the brute force above would see pairs too near
    monkeypatch.setattr(sampling, "longest_chord_km", lambda distance: 0.0)
    _, table = sample_points(wide[0], read_stack(wide[1]), RULES[:1], Log())
    assert table[0]["nearest_km"] < 40


def test_what_limits_every_rank_is_told(tmp_path):
    cells = np.zeros((120, 120), dtype=np.uint8)
    cells[2:42, 2:42], cells[2:42, 50:90], cells[50:90, 2:42], cells[50:90, 50:90], cells[100:103, 5:8] = (
        11, 12, 13, 21, 22)
    layer = np.ones((1, 120, 120))
    layer[0, 50:89, 2:42] = -1
    transform = (0.0, 1000.0, 0.0, -2_000_000.0, 0.0, -1000.0)
    pti = write_raster(tmp_path / "p.tif", cells, nodata=0, transform=transform)
    stack = write_raster(tmp_path / "s.tif", layer, dtype="float32", nodata=-1, transform=transform,
                         descriptions=["soc"])
    rules = [Rule(11, 5, 1.5, 1.5), Rule(12, 200, 10.0, 1.5), Rule(13, 100, 0.0, 0.0), Rule(21, 900, 0.0, 9.5),
             Rule(22, 10, 0.0, 0.0), Rule(23, 3, 0.0, 0.0)]
    log = Log()
    _, table = sample_points(pti, read_stack(stack), rules, log)
    assert {row["rank"]: row["limited_by"] for row in table[:-1]} == {
        11: "request met", 12: "spacing", 13: "missing predictors", 21: "edge buffer", 22: "too few cells",
        23: "too few cells"}
    assert [row["achieved"] for row in table] == [5, table[1]["achieved"], 40, 22 * 22, 9, 0, table[-1]["achieved"]]
    warned = " ".join(log.warnings)
    assert "Rank 12: 200 points at least 10 km apart are asked for, but the 1,444 km²" in warned
    assert "no rule is relaxed" in warned and "Rank 23 has no cell" in warned
    with pytest.raises(InputError, match="Rank 12: 200 points at least 10 km apart .* Ask for fewer points"):
        sample_points(pti, read_stack(stack), rules, Log(), SampleOptions(strict=True))


def test_the_bounds_are_those_of_the_method():
    assert packing_bound(18.69e6, 20) == 53_953 or packing_bound(18.69e6, 20) == 53_954
    assert packing_bound(18.69e6, 25) == pytest.approx(34_530, abs=1)
    assert random_estimate(18.69e6, 25) == pytest.approx(20_800, rel=0.005)


def test_the_papers_own_request_is_reported_infeasible(tmp_path):
    # 18.69 million km² in ten wide stretches of 5 km cells, as large as the paper's ranks are on average
    side, height = 1000, 18_690_000 // 25 // 1000
    cells = np.repeat(np.array(ranks.CODES, dtype=np.uint8), side // 10)[None].repeat(height, axis=0)
    transform = (-2_500_000.0, 5000.0, 0.0, 2_000_000.0, 0.0, -5000.0)
    pti = write_raster(tmp_path / "p.tif", cells, nodata=0, transform=transform)
    stack = write_raster(tmp_path / "s.tif", np.ones((1, height, side), np.float32), transform=transform,
                         descriptions=["soc"])
    # all of the ground together, 25 km between any two points
    same = [Rule(code, 6133, 25.0, 0.0) for code in ranks.CODES]
    _, table = sample_points(pti, read_stack(stack), same, Log(), SampleOptions(across=True))
    assert table[-1]["packing_bound"] == pytest.approx(34_530, rel=0.02)
    assert table[-1]["random_estimate"] == pytest.approx(20_827, rel=0.02)
    assert table[-1]["achieved"] == pytest.approx(20_827, rel=0.05)
    rules = read_rules()
    assert sum(rule.samples for rule in rules) == 61_325
    with pytest.raises(InputError, match=r"All ranks together: of the 61,325 points asked for no more than"):
        sample_points(pti, read_stack(stack), rules, Log(), SampleOptions(strict=True, across=True))
    log = Log()
    _, table = sample_points(pti, read_stack(stack), rules, log)
    assert table[-1]["packing_bound"] == pytest.approx(9 * 3500 + 5296, rel=0.02)
    by_rank = {row["rank"]: row for row in table}
    assert table[-1]["area_km2"] == pytest.approx(18.69e6, rel=1e-3)
    # each of the first nine ranks asks for more than its tenth of the ground holds
    for code in ranks.CODES[:9]:
        row = by_rank[code]
        assert 3000 < row["packing_bound"] < 4200 and row["achieved"] <= row["packing_bound"] < row["asked"]
        assert row["limited_by"] == "spacing" and row["nearest_km"] >= 25
        # random placement ends near its share of the densest packing
        assert row["achieved"] == pytest.approx(row["random_estimate"], rel=0.12)
        assert any(text.startswith(f"Rank {code}: {row['asked']:,} points at least 25 km apart") and
                   f"no more than {row['packing_bound']:,}" in text for text in log.warnings)
    assert by_rank[40]["limited_by"] == "request met" and table[-1]["achieved"] < 61_325


def test_no_placement_beats_the_bound(tmp_path):
    # lone cells, strips and blocks, where the ground inside the edge alone would hold far fewer than there are
    rng = np.random.default_rng(6)
    cells = np.where(rng.random((150, 150)) < 0.004, 11, 12).astype(np.uint8)
    cells[70:72, 5:140] = 11
    transform = (0.0, 1000.0, 0.0, -2_000_000.0, 0.0, -1000.0)
    pti = write_raster(tmp_path / "p.tif", cells, transform=transform)
    stack = write_raster(tmp_path / "s.tif", np.ones((1, 150, 150), np.float32), transform=transform,
                         descriptions=["soc"])
    for spacing in (3.0, 12.0, 40.0):
        _, table = sample_points(pti, read_stack(stack), [Rule(11, 9999, spacing, 0.0)], Log())
        assert 0 < table[0]["achieved"] <= table[0]["packing_bound"]
        naive = table[0]["area_inside_km2"] / (0.866 * spacing ** 2)
        assert spacing < 10 or table[0]["achieved"] > naive


@pytest.mark.parametrize("lines, text", [
    (["11,5,25,10", "12,x,25,10"], r"line 3: samples is 'x', not a number"),
    (["11,5.5,25,10"], r"line 2: samples is 5.5, not a whole number"),
    (["14,5,25,10"], r"line 2: rank is 14, which is no PTI rank"),
    (["11,-5,25,10"], r"line 2: samples is -5; it must be 0 or more"),
    (["11,5,-1,10"], r"line 2: spacing_km is -1; it must lie between"),
    (["11,5,25,nan"], r"line 2: edge_buffer_km is nan; it must lie between"),
    (["11,5,25"], r"line 2: edge_buffer_km is '', not a number"),
    (["11,5,25,10", "", "11,5,25,10"], r"line 4: rank 11 has a second line"),
    ([], "has no line below its header")])
def test_rules_that_are_wrong_are_refused_with_their_line(tmp_path, lines, text):
    path = tmp_path / "rules.csv"
    path.write_text("\n".join(["rank,samples,spacing_km,edge_buffer_km", *lines, ""]), encoding="utf-8")
    with pytest.raises(InputError, match=text):
        read_rules(path)


def test_rules_of_an_own_table_and_overrides(tmp_path):
    path = tmp_path / "rules.csv"
    path.write_text("note,rank,samples,spacing_km,edge_buffer_km\na,40,7,1.5,0\nb,11,9,2,3\n", encoding="utf-8")
    assert read_rules(path) == (Rule(11, 9, 2.0, 3.0), Rule(40, 7, 1.5, 0.0))
    assert override(read_rules(path), samples=4, edge_buffer_km=0)[0] == Rule(11, 4, 2.0, 0)
    path.write_text("rank,samples\n11,9\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the column spacing_km"):
        read_rules(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_rules(tmp_path / "none.csv")


def test_nearest_neighbours_by_brute_force():
    rng = np.random.default_rng(3)
    for number in (2, 3, 40, 900):
        longitude, latitude = rng.uniform(-180, 180, number), rng.uniform(50, 90, number)
        longitude[:number // 3] = 20 + rng.normal(0, 0.01, number // 3)
        distance = distance_m(latitude[:, None], longitude[:, None], latitude, longitude)
        np.fill_diagonal(distance, np.inf)
        np.testing.assert_allclose(nearest_km(longitude, latitude, Log()), distance.min(axis=1) / 1000, rtol=1e-6)
    assert len(nearest_km(longitude[:1], latitude[:1], Log())) == 0


# the file ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("ending", ["gpkg", "geojson", "fgb", "shp"])
def test_the_predictors_come_back_from_the_file(tmp_path, ending):
    features = (Feature("lst", "thermal", False, -12.3456789012345, 1 / 3), Feature("own", "other", True))
    samples = Samples(np.array([[0.1, 3], [2e-7, 4]], np.float32), np.array([11, 40]), np.array([10.0, -20.5]),
                      np.array([60.0, 71.25]), features, np.array([4, 5]), np.array([6, 7]))
    paths = [tmp_path / name / f"s.{ending}" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        with Staging() as staging:
            write_samples(str(path), samples, staging)
            staging.commit()
        assert read_sample_features(path) == (features, None)
        assert read_sample_features(path, "samples" if ending == "gpkg" else None) == (features, None)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    layer = ogr.Open(str(paths[0]))
    rows = [feature.items() for feature in layer.GetLayer(0)]
    assert [(row["pti"], row["row"], row["column"], row["own"]) for row in rows] == [(11, 4, 6, 3), (40, 5, 7, 4)]
    if ending != "shp":
        assert [np.float32(row["lst"]) for row in rows] == samples.x[:, 0].tolist()
        assert [row["longitude"] for row in rows] == [10.0, -20.5]


def test_a_damaged_or_foreign_statement_of_predictors(tmp_path):
    path = tmp_path / "s.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    assert read_sample_features(path) == (None, None)
    beside = tmp_path / "s.geojson.features.json"
    for text, message in (("{", "damaged"), ('{"version": 2, "features": []}', "version 2"), ("[]", "damaged"),
                          ('{"version": 1, "features": []}', "damaged"),
                          ('{"version": 1, "features": [{"name": "a"}]}', "damaged")):
        beside.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_sample_features(path)
    with pytest.raises(InputError, match="a band 'row'"):
        check_samples_file("x.gpkg", [Feature("row", "other", False)])
    with pytest.raises(OutputError, match="coarse_fragments"):
        check_samples_file("x.shp", [Feature("coarse_fragments", "soil", False)])


def test_drawing_stops_when_asked(wide):
    log = Log()
    log.set = lambda fraction: log.stop() if fraction > 0.61 else None
    with pytest.raises(Cancelled):
        sample_points(wide[0], read_stack(wide[1]), RULES, log)


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("edge_km, spacing", [(0.0, 0.0), (30.0, 40.0)])
def test_water_and_glaciers_are_not_drawn_and_are_an_edge(maps, tmp_path, dtype, edge_km, spacing):
    blocks = np.random.default_rng(5).choice([0, 130, 210, 220], (ROWS // 5, COLUMNS // 5), p=[0.2, 0.5, 0.2, 0.1])
    cover = np.kron(blocks, np.ones((5, 5), dtype=int))
    out = np.isin(cover, (210, 220))
    exclude = write_raster(tmp_path / "cover.tif", cover, nodata=0, dtype="uint8", transform=TRANSFORM)
    pti, kept = (write_raster(tmp_path / f"{name}.tif", index, nodata=0, dtype=dtype, transform=TRANSFORM)
                 for name, index in (("pti", maps[2]), ("kept", np.where(out, 0, maps[2]))))
    stack, rules = read_stack(maps[1]), [Rule(code, 40, spacing, edge_km) for code in ranks.CODES]
    log = Log()
    samples, table = sample_points(pti, stack, rules, log, SampleOptions(seed=3, left_out=LeftOutClasses(exclude)))
    expected, other = sample_points(kept, stack, rules, Log(), SampleOptions(seed=3))
    assert samples.checksum() == expected.checksum() and table == other
    assert len(samples.y) > 100 and not out[cells_of(samples)].any()
    without, _ = sample_points(pti, stack, rules, Log(), SampleOptions(seed=3))
    assert out[cells_of(without)].any()
    ranked = maps[2] > 0
    assert any(f"{(out & ranked).sum():,} of {ranked.sum():,} cells of pti.tif" in line for line in log.lines)


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_classes_of_a_wide_type_come_as_they_are_and_gaps_as_gaps(maps, tmp_path, dtype):
    """A stack that is not exact in single precision as a whole: its classes must be, or are refused."""
    cover = np.where(np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 7 == 0, -1, 16777215)
    cell = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    layers = np.stack([cell // COLUMNS, cover, cell % COLUMNS])
    stack = write_raster(tmp_path / "stack.tif", layers, dtype=dtype, nodata=-1, transform=TRANSFORM,
                         descriptions=list(BANDS))
    samples = draw_samples(maps[0], read_stack(stack), 50, 0, 1, Log(), SampleOptions(max_missing=1))
    rows, columns = cells_of(samples)
    expected = np.where(cover == -1, np.nan, cover)[rows, columns]
    assert np.isnan(expected).any() and (expected == 16777215).any()
    np.testing.assert_array_equal(samples.x[:, 1], expected)
    layers[1] = np.where(cover == -1, -1, 16777217)
    stack = write_raster(tmp_path / "wide.tif", layers, dtype=dtype, nodata=-1, transform=TRANSFORM,
                         descriptions=list(BANDS))
    with pytest.raises(InputError, match=r"wide\.tif.* holds class codes above 16777216"):
        draw_samples(maps[0], read_stack(stack), 50, 0, 1, Log())
