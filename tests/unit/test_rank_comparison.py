"""The comparison of two PTI maps equals a count cell by cell, with true ground areas, whatever the blocks."""

import itertools
import math

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import Cancelled, GridError, InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.common.tables import to_csv
from pti_plugin.core.index.rank_comparison import (
    COLUMNS,
    DIFFERENCE_NODATA,
    DIFFERENCES,
    ONLY_FIRST,
    ONLY_SECOND,
    Tally,
    compare_maps,
    comparison_sentence,
    rank_difference,
    share_of,
)
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from support import Log, read_raster, standing, write_raster

#: Table 3 in the order of the paper, from cold and stable to isolated
ORDER = (11, 12, 13, 21, 22, 23, 31, 32, 33, 40)
TIER = {11: 1, 12: 1, 13: 1, 21: 2, 22: 2, 23: 2, 31: 3, 32: 3, 33: 3, 40: 4}
#: 40 km cells of the polar stereographic grid, from 60° N to the pole: their ground area varies by a tenth
POLAR = (-3000000.0, 40000.0, 0.0, 900000.0, 0.0, -40000.0)


def compare(folder, first, second, log=None, **options):
    with Staging() as staging:
        result = compare_maps([str(first), str(second)], {"difference": str(folder / "difference.tif")}, staging,
                              log or Log(), **options)
        staging.commit()
    return result["table"]


def maps(folder, rows=30, columns=40, crs="EPSG:3995", transform=POLAR):
    """Two maps at random that agree in half of the cells, 0 in a sixth of each; their paths and arrays."""
    rng = np.random.default_rng(3)
    first = rng.choice([0, 0, *ORDER], (rows, columns)).astype("uint8")
    second = np.where(rng.random(first.shape) < 0.5, first, rng.choice([0, 0, *ORDER], first.shape)).astype("uint8")
    paths = [write_raster(folder / f"{name}.tif", values, nodata=0, crs=crs, transform=transform)
             for name, values in (("a", first), ("b", second))]
    return paths, first, second


def test_every_pair_of_ranks_has_its_difference_and_every_difference_a_class():
    codes = (0, *ORDER)
    pairs = np.array(list(itertools.product(codes, codes)), dtype=np.uint8)
    found = rank_difference(pairs[:, :1], pairs[:, 1:]).ravel().tolist()
    for (one, two), got in zip(pairs.tolist(), found):
        if one and two:
            assert got == ORDER.index(two) - ORDER.index(one)
        else:
            assert got == (ONLY_FIRST if one else ONLY_SECOND if two else DIFFERENCE_NODATA)
    assert set(found) - {DIFFERENCE_NODATA} == set(DIFFERENCES)
    assert len({colour for _, colour in DIFFERENCES.values()}) == len(DIFFERENCES)


def test_areas_are_added_up_exactly_beyond_double_precision():
    areas = np.array([2**53 + 1, 2**53 + 3, 5, 2**60 + 7], dtype=np.int64)
    tally = Tally.of(np.array([1, 1, 2, 1]), areas, 4)
    assert tally.cells == {1: 3, 2: 1}
    assert tally.area == {1: sum(areas[[0, 1, 3]].tolist()), 2: 5}


def test_the_table_is_the_count_cell_by_cell(tmp_path):
    paths, first, second = maps(tmp_path)
    log = Log()
    rows = compare(tmp_path, *paths, log)
    areas = Grid(epsg_wkt(3995), POLAR, 40, 30).cell_areas(0, 30, 0, 40)
    assert areas.max() > 1.05 * areas.min()
    cells, area = {}, {}
    for one, two, size in zip(first.ravel().tolist(), second.ravel().tolist(), areas.ravel().tolist()):
        cells[one, two] = cells.get((one, two), 0) + 1
        area[one, two] = area.get((one, two), 0) + size
    pairs = [pair for pair in cells if pair != (0, 0)]
    transitions = {(row["from_rank"], row["to_rank"]): row for row in rows if row["section"] == "transition"}
    assert set(transitions) == set(pairs)
    assert list(transitions) == sorted(transitions)
    whole = sum(area[pair] for pair in pairs)
    for pair, row in transitions.items():
        assert row["cells"] == cells[pair]
        assert row["area_km2"] == pytest.approx(area[pair] / 1e10, abs=1e-3)
        assert row["share_percent"] == pytest.approx(100 * area[pair] / whole, abs=1e-4)

    def places(pair):
        return ORDER.index(pair[1]) - ORDER.index(pair[0])

    both = [pair for pair in pairs if pair[0] and pair[1]]
    expected = {
        "ranked in either": pairs, "ranked in both": both,
        "same rank": [pair for pair in both if pair[0] == pair[1]],
        "different rank": [pair for pair in both if pair[0] != pair[1]],
        "within one rank": [pair for pair in both if -1 <= places(pair) <= 1],
        "same tier": [pair for pair in both if TIER[pair[0]] == TIER[pair[1]]],
        "different tier": [pair for pair in both if TIER[pair[0]] != TIER[pair[1]]],
        "higher in second map": [pair for pair in both if places(pair) > 0],
        "lower in second map": [pair for pair in both if places(pair) < 0],
        "only in first map": [pair for pair in pairs if pair[1] == 0],
        "only in second map": [pair for pair in pairs if pair[0] == 0]}
    summary = {row["item"]: row for row in rows if row["section"] == "summary"}
    assert list(summary) == list(expected)
    for item, members in expected.items():
        assert members
        assert summary[item]["cells"] == sum(cells[pair] for pair in members)
        assert summary[item]["area_km2"] == pytest.approx(sum(area[pair] for pair in members) / 1e10, abs=1e-3)
        assert summary[item]["cells_percent"] == pytest.approx(
            100 * summary[item]["cells"] / sum(cells[pair] for pair in pairs), abs=1e-4)
    assert tuple(rows[0]) == COLUMNS[:-2] and COLUMNS[-2:] == ("first", "second")
    assert log.lines[0] == comparison_sentence(rows, ("first map", "second map"))
    assert f"{share_of(rows, 'same rank'):.2f} % of the ranked area has the same rank" in log.lines[0]


def test_one_planted_flip_is_the_only_difference(tmp_path):
    paths, first, _ = maps(tmp_path)
    assert first[7, 11] not in (0, 40)
    second = first.copy()
    second[7, 11] = 40
    write_raster(paths[1], second, nodata=0, crs="EPSG:3995", transform=POLAR)
    rows = compare(tmp_path, *paths)
    moved = [row for row in rows if row["section"] == "transition" and row["from_rank"] != row["to_rank"]]
    assert [(row["from_rank"], row["to_rank"], row["cells"]) for row in moved] == [(int(first[7, 11]), 40, 1)]
    difference = read_raster(tmp_path / "difference.tif")
    assert np.argwhere(np.nan_to_num(difference) != 0).tolist() == [[7, 11]]
    np.testing.assert_array_equal(np.isnan(difference), first == 0)


def test_nodata_of_every_kind_is_no_rank_and_nothing_else_is(tmp_path):
    first = write_raster(tmp_path / "a.tif", np.array([[0, 11, 99, math.nan, 12]], dtype="float32"), nodata=99)
    second = write_raster(tmp_path / "b.tif", np.array([[11, 11, 11, 255, 255]], dtype="int16"), nodata=255)
    compare(tmp_path, first, second)
    written = gdal.Open(str(tmp_path / "difference.tif"))
    band = written.GetRasterBand(1)
    assert band.GetNoDataValue() == DIFFERENCE_NODATA and gdal.GetDataTypeName(band.DataType) == "Int16"
    assert band.ReadAsArray().tolist() == [[ONLY_SECOND, 0, ONLY_SECOND, DIFFERENCE_NODATA, ONLY_FIRST]]
    assert band.GetDescription() == "second map - first map, in places of the ranks"


def test_blocks_do_not_change_a_byte(tmp_path):
    paths, _, _ = maps(tmp_path)
    results = set()
    for settings in (Settings(), Settings(block_size=7, threads=2), Settings(block_size=16, threads=1)):
        table = to_csv(compare(tmp_path, *paths, settings=settings), COLUMNS)
        results.add((table, (tmp_path / "difference.tif").read_bytes()))
    assert len(results) == 1


def test_maps_on_two_grids_are_refused_and_compared_on_a_target(tmp_path):
    first = write_raster(tmp_path / "a.tif", np.full((4, 4), 11, "uint8"), nodata=0)
    second = write_raster(tmp_path / "b.tif", np.full((5, 4), 12, "uint8"), nodata=0)
    with pytest.raises(GridError, match=r"b\.tif is not on the grid of a\.tif: it has 4 x 5 cells"):
        compare(tmp_path, first, second)
    transform = (-100000.0, 50000.0, 0.0, 100000.0, 0.0, -50000.0)
    rows = compare(tmp_path, first, second, target=Grid(epsg_wkt(6931), transform, 2, 2))
    assert [(row["from_rank"], row["to_rank"], row["cells"], row["area_km2"]) for row in rows[-1:]] == [
        (11, 12, 4, 10000.0)]


@pytest.mark.parametrize("values, text", [
    ([[11, 14]], r"b\.tif holds the value 14, but a PTI map \(ranks 11 to 40\) is expected"),
    ([[11.5, 12]], r"b\.tif holds the value 11\.5 where whole-numbered codes"),
    ([[-9999, -9999]], r"b\.tif has no data at all")])
def test_what_is_no_index_is_refused_and_leaves_nothing(tmp_path, values, text):
    first = write_raster(tmp_path / "a.tif", np.array([[11, 12]], "uint8"), nodata=0)
    second = write_raster(tmp_path / "b.tif", np.array(values, "float32"), nodata=-9999)
    before = standing(tmp_path)
    with pytest.raises(InputError, match=text):
        compare(tmp_path, first, second)
    assert standing(tmp_path) == before


def test_maps_without_any_rank_are_refused(tmp_path):
    paths = [write_raster(tmp_path / f"{name}.tif", np.zeros((2, 2), "uint8")) for name in "ab"]
    with pytest.raises(InputError, match="Neither first map nor second map has a rank in any cell"):
        compare(tmp_path, *paths)
    assert not (tmp_path / "difference.tif").exists()


def test_a_cancelled_comparison_leaves_nothing(tmp_path):
    paths, _, _ = maps(tmp_path)
    before = standing(tmp_path)

    class StopsHalfway(Log):
        def set(self, fraction):
            if fraction > 0.5:
                self.stop()

    with pytest.raises(Cancelled):
        compare(tmp_path, *paths, StopsHalfway(), settings=Settings(block_size=8))
    assert standing(tmp_path) == before


def test_the_log_says_that_maps_agree(tmp_path):
    (first, _), _, _ = maps(tmp_path)
    log = Log()
    rows = compare(tmp_path, first, first, log)
    cells = share_of(rows, "same rank", column="cells")
    assert log.lines[0] == f"first map and second map give the same rank in all {cells:,} ranked cells."
    assert len(log.lines) == 2 and log.lines[1].endswith("so what the two runs have otherwise is not known.")


def test_water_and_glaciers_are_left_out_of_both_maps(tmp_path):
    paths, first, second = maps(tmp_path)
    cover = np.random.default_rng(6).choice([130, 210, 220], first.shape)
    exclude = write_raster(tmp_path / "cover.tif", cover, dtype="uint8", crs="EPSG:3995", transform=POLAR)
    rows = compare(tmp_path, *paths, left_out=LeftOutClasses(exclude, (220,)))
    kept = cover != 220
    assert share_of(rows, "ranked in either", column="cells") == int((((first > 0) | (second > 0)) & kept).sum())
    assert share_of(rows, "same rank", column="cells") == int(((first == second) & (first > 0) & kept).sum())
    assert share_of(rows, "only in first map", column="cells") == int(((first > 0) & (second == 0) & kept).sum())
    found = read_raster(tmp_path / "difference.tif")
    assert np.isnan(found[~kept]).all() and not np.isnan(found[kept & (first > 0)]).any()
