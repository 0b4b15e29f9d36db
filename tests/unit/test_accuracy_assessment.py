"""A map against reference data: the golden matrix, either way round, and rasters and points against a plain count."""

import re

import numpy as np
import pytest

from pti_plugin.core.assessment.accuracy_assessment import (
    BY_CLASS,
    BY_STRATA,
    NOT_STATED,
    SIMPLE_RANDOM,
    SYSTEMATIC,
    Points,
    assess,
    compare_points,
    compare_rasters,
    compare_table,
    mapped_sizes,
    scaled,
    table_rows,
    with_sizes,
)
from pti_plugin.core.assessment.accuracy_panel import COLUMNS, accuracy_rows, confusion_of
from pti_plugin.core.assessment.confusion_table import read_classes, read_matrix, read_sizes
from pti_plugin.core.common import ranks, tables
from pti_plugin.core.common.errors import Cancelled, GridError, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.grid import coordinate_transformation, epsg_wkt, transform_points
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.reporting.accuracy_page import accuracy_page
from support import assert_as_looked_at, page_text, write_raster

# The paper's Table 4: rows classified, columns reference.
TABLE_4 = """classified,11,12,13,21,22,23,31,32,33,40
11,1232,73,5,15,2,0,1,0,0,0
12,57,1683,27,4,15,0,0,2,1,0
13,14,24,805,1,0,7,0,0,0,0
21,13,2,2,691,27,9,14,12,9,0
22,9,1,0,23,854,7,0,23,5,0
23,6,1,8,17,18,795,1,8,10,0
31,1,1,0,14,4,1,953,56,13,8
32,2,4,0,15,32,4,56,1586,101,19
33,0,1,0,2,12,12,12,80,1618,20
40,0,0,0,0,0,0,14,25,25,1041
"""
PRECISION = (92.77, 94.07, 94.59, 88.70, 92.62, 92.01, 90.68, 87.19, 92.09, 94.21)
RECALL = (92.35, 94.02, 95.04, 88.36, 88.59, 95.21, 90.68, 88.50, 90.80, 95.68)
OLOFSSON = """class,mapped_pixels,n_ref_loss,n_ref_forest_gain,n_ref_stable_non_forest,users,area_ha
loss,2000,66,1,5,0.9,18000
forest gain,1500,1,55,8,0.7,13000
stable non-forest,32000,1,2,153,0.9,280000
overall accuracy,,,,,0.95,
"""
SMALL = ((8, 2), (1, 9))


def saved(folder, text, name="matrix.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def values(found):
    return {row["line"]: row["value"] for row in table_rows(found)}


# ---- a matrix as a table --------------------------------------------------------------------------------------------

def test_the_papers_matrix_gives_the_recomputed_figures(tmp_path):
    found = assess(compare_table(read_matrix(saved(tmp_path, TABLE_4))))
    told = values(found)
    assert round(told["overall accuracy"], 2) == 91.79
    for code, precision, recall in zip(ranks.CODES, PRECISION, RECALL):
        assert round(told[f"precision of rank {code}"], 2) == precision
        assert round(told[f"recall of rank {code}"], 2) == recall
    assert not found.warnings
    assert "11,258 of 12,265 cases are right: overall accuracy 91.79 % (95 % interval 91.29 to 92.26 %)." in \
        found.sentences
    for row in table_rows(found):
        if row["section"] in ("accuracy", "agreement", "class"):
            assert row["n"] and row["low"] < row["value"] < row["high"], row


def turned(text):
    return "\n".join(",".join(cells) for cells in zip(*(line.split(",") for line in text.splitlines()))) + "\n"


@pytest.mark.parametrize("text", [
    TABLE_4,
    turned(TABLE_4).replace("classified", "reference"),
    turned(TABLE_4).replace("classified", "Ground truth"),
    TABLE_4.replace("classified,11", "rank,ref_11", 1).replace(",12,13,21,22,23,31,32,33,40\n11,", ",ref_12,ref_13,"
           "ref_21,ref_22,ref_23,ref_31,ref_32,ref_33,ref_40\n11,", 1),
    "\n".join(["rank," + ",".join(f"classified {code}" for code in ranks.CODES),
               *turned(TABLE_4).splitlines()[1:]]),
    "\n".join([",".join(["", *map(str, ranks.CODES)]),
               *(f"reference {line}" for line in turned(TABLE_4).splitlines()[1:])]),
    ",predicted" + 9 * "," + "\n" + turned(TABLE_4).replace("classified", ""),
    TABLE_4.replace(",", ";").replace("\n", "\r\n"),
    "\n".join(f"rank {line}" if line[0].isdigit() else line for line in TABLE_4.splitlines()),
    "\n".join([",".join(["", *(f"ground truth class {code}" for code in ranks.CODES)]), *TABLE_4.splitlines()[1:]]),
], ids=["as it is", "reference in the corner", "truth in the corner", "reference on the columns",
        "classified on the columns", "reference on the rows", "predicted above the columns", "semicolons",
        "rank 11 on the rows", "three words on the columns"])
def test_a_matrix_is_read_the_right_way_round_whatever_its_labels(tmp_path, text):
    table = read_matrix(saved(tmp_path, text))
    assert table.classes == ranks.CODES and not table.warnings
    np.testing.assert_array_equal(table.matrix, [[int(count) for count in line.split(",")[1:]]
                                                 for line in TABLE_4.splitlines()[1:]])


def test_a_turned_matrix_is_said_to_be(tmp_path):
    table = read_matrix(saved(tmp_path, "reference,1,2\n1,8,1\n2,2,9\n"))
    np.testing.assert_array_equal(table.matrix, SMALL)
    assert table.notes == ["The labels of matrix.csv say that its rows are the reference, so the matrix was turned: "
                           "rows are classified and columns reference in all results."]


@pytest.mark.parametrize("corner, said", [
    ("class", "do not say whether its rows are classified or reference; rows are taken as classified"),
    ("", "do not say whether"),
    ("classified/reference", "is read as rows classified, columns reference"),
])
def test_a_matrix_that_does_not_say_how_it_stands_is_read_with_a_warning(tmp_path, corner, said):
    table = read_matrix(saved(tmp_path, f"{corner},1,2\n1,8,2\n2,1,9\n"))
    np.testing.assert_array_equal(table.matrix, SMALL)
    assert len(table.warnings) == 1 and said in table.warnings[0]


@pytest.mark.parametrize("text, said", [
    ("reference,ref_1,ref_2\n1,8,2\n2,1,9\n", "contradict each other"),
    ("classified,1,2\n1,8,-2\n2,1,9\n", "line 2: the count in row '1', column '2' is -2; a count is 0 or more"),
    ("classified,1,2\n1,8,2.5\n2,1,9\n", "is 2.5, not a whole number"),
    ("classified,1,2\n1,8,nan\n2,1,9\n", "is nan"),
    ("classified,1,2\n1,8,inf\n2,1,9\n", "is inf"),
    ("classified,1,2\n1,8,\n2,1,9\n", "line 2: the count in row '1', column '2' is '', not a number"),
    ("classified,1,2\n1,8,two\n2,1,9\n", "is 'two', not a number"),
    ("classified,1,2\n1,8\n2,1,9\n", "line 2: 2 values for 3 columns"),
    ("classified,1,2\n1,8,2\n1,1,9\n", "more than one row for the class 1"),
    ("classified,1,1\n1,8,2\n2,1,9\n", "two columns '1'"),
    ("classified,1,01\n1,8,2\n2,1,9\n", "more than one column for the class 1"),
    ("classified,5,6\n1,8,2\n2,1,9\n", "no class in common"),
    ("classified,1,2\n1,0,0\n2,0,0\n", "all its counts are 0"),
    ("classified,1,2,total\n1,8,2,10\n2,1,9,11\n", "the total of row '2' is given as 11, but its counts add up to 10"),
    ("classified,1,2\n1,8,2\n2,1,9\ntotal,9,12\n", "the total of column '2' is given as 12, but its counts"),
    ("classified\n1\n2\n", "a single column"),
    ("classified,1,2\n", "needs a header and at least one line"),
    ("reference,mapped_pixels,1,2\n1,5,8,2\n2,5,1,9\n", "gives the mapped size of each row"),
    ("class,mapped_pixels,ref_1,ref_2\n1,-5,8,2\n2,5,1,9\n", "'mapped_pixels' of the class 1 is '-5'"),
])
def test_what_is_no_confusion_matrix_is_refused(tmp_path, text, said):
    with pytest.raises(InputError) as refused:
        read_matrix(saved(tmp_path, text))
    assert said in str(refused.value) and "matrix.csv" in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "matrix.csv").write_bytes(b"\xff\xfe\x00\x01")
    for name, said in (("matrix.csv", "not a CSV table in UTF-8"), ("none.csv", "cannot be read")):
        with pytest.raises(InputError, match=said):
            read_matrix(str(tmp_path / name))


def test_only_the_first_words_of_a_label_say_the_side(tmp_path):
    # "count" and "map" further on belong to the names
    table = read_matrix(saved(tmp_path, "predicted,true dry count,ground truth ice on map\n"
                                        "dry count,8,2\nice on map,1,9\n"))
    assert table.classes == ("dry count", "ice on map")
    np.testing.assert_array_equal(table.matrix, [[8, 2], [1, 9]])


def test_a_class_on_one_side_only_is_zeros_on_the_other_and_said(tmp_path):
    table = read_matrix(saved(tmp_path, "classified,1,2,3\n1,8,2,0\n2,1,9,4\n"))
    np.testing.assert_array_equal(table.matrix, [[8, 2, 0], [1, 9, 4], [0, 0, 0]])
    assert table.warnings == ["matrix.csv has a column but no row for the class 3; it is taken as never occurring as "
                              "classified (zeros)."]
    reversed_table = read_matrix(saved(tmp_path, "reference,1,2,3\n1,8,2,0\n2,1,9,4\n"))
    assert "never occurring as reference" in reversed_table.warnings[0]


def test_totals_and_results_that_others_add_are_no_classes(tmp_path):
    table = read_matrix(saved(tmp_path, "classified,1,2,Total,User's accuracy\n1,8,2,10,0.8\n2,1,9,10,0.9\n"
                                        "Total,9,11,20,\nproducer's accuracy,0.89,0.82,,\n"))
    np.testing.assert_array_equal(table.matrix, SMALL)
    assert table.notes == ["Passed over in matrix.csv: User's accuracy, the line 'producer's accuracy'."]


def test_mapped_pixels_beside_the_counts_are_the_sizes(tmp_path):
    table = read_matrix(saved(tmp_path, OLOFSSON))
    assert table.classes == ("loss", "forest gain", "stable non-forest")
    np.testing.assert_array_equal(table.matrix, [[66, 1, 5], [1, 55, 8], [1, 2, 153]])
    assert table.sizes == {"loss": 2000, "forest gain": 1500, "stable non-forest": 32000} and table.unit == "pixels"
    assert read_sizes(saved(tmp_path, OLOFSSON)) == (table.sizes, "pixels")


def test_classes_are_matched_by_code_or_name_and_unknown_ones_refused(tmp_path):
    names = read_classes(saved(tmp_path, "code,name\n3,Wet tundra\n1,bog\n", "classes.csv"))
    assert names == {3: "Wet tundra", 1: "bog"}
    table = read_matrix(saved(tmp_path, "classified,wet_tundra,Bog\nWet tundra,8,2\n1,1,9\n"), names)
    assert table.classes == (1, 3)
    np.testing.assert_array_equal(table.matrix, [[9, 1], [2, 8]])
    with pytest.raises(InputError, match="holds the class 4, which CLASSES does not list"):
        read_matrix(saved(tmp_path, "classified,1,4\n1,8,2\n4,1,9\n"), names)


@pytest.mark.parametrize("text, expected", [
    ("rank,label,cells,area_km2\n11,cold,5,12.5\n12,,6,13\n", ({11: 12.5, 12: 13.0}, "km²")),
    ("class;pixels\n1;5\ntotal;5\n", ({1: 5.0}, "pixels")),
    ("stratum,area (ha)\nnorth,7\n", ({"north": 7.0}, "ha")),
    # lines without a size or a name, and totals, are no classes; of several sizes, that of the area counts
    ("class,count,area_km2\nice,,7\nbog,5,\n,4,8\nsum,5,15\nlake,0,0\n", ({"ice": 7.0, "lake": 0.0}, "km²")),
])
def test_areas_are_read_with_their_unit(tmp_path, text, expected):
    assert read_sizes(saved(tmp_path, text)) == expected


@pytest.mark.parametrize("text, said", [
    ("class,width\n1,5\n", "has no column of areas"), ("class,area\n1,5\n1,6\n", "class 1 has a second line"),
    ("class,area\n1,5\n2,6,7\n", "line 3: 3 values for 2 columns"),
    ("class,area\n1,5\n2\n", "line 3: 1 values for 2 columns"),
    ("class,area\n1,much\n", "is 'much', not a number"), ("class,area\n1,\n", "no line with an area")])
def test_what_are_no_areas_is_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read_sizes(saved(tmp_path, text))


# ---- designs --------------------------------------------------------------------------------------------------------

def test_a_design_turns_counts_into_estimates_for_the_whole_map(tmp_path):
    comparison = compare_table(read_matrix(saved(tmp_path, OLOFSSON)))
    plain, by_class = assess(comparison), assess(comparison, BY_CLASS)
    assert plain.estimates is None and "no DESIGN" in plain.warnings[0]
    shares = {"loss": 66 / 72, "forest gain": 55 / 64, "stable non-forest": 153 / 156}
    whole = sum(comparison.mapped.values())
    expected = sum(comparison.mapped[name] / whole * share for name, share in shares.items())
    assert values(by_class)["overall accuracy (area-weighted)"] == pytest.approx(100 * expected)
    assert values(by_class)["overall accuracy (sample counts)"] == pytest.approx(100 * 274 / 292)
    # samples drawn without strata are weighted afterwards, with the same result
    for design in (SIMPLE_RANDOM, SYSTEMATIC):
        assert assess(comparison, design).estimates.overall == by_class.estimates.overall
    in_hectares = assess(scaled(comparison, 0.09, "ha"), BY_CLASS)
    assert in_hectares.estimates.overall.error == pytest.approx(by_class.estimates.overall.error)
    assert in_hectares.estimates.area[0].error == pytest.approx(0.09 * by_class.estimates.area[0].error)
    assert {row["unit"] for row in table_rows(in_hectares) if row["section"] == "area"} == {"ha"}


def test_without_areas_a_sample_stays_counts_or_is_refused(tmp_path):
    comparison = compare_table(read_matrix(saved(tmp_path, TABLE_4)))
    assert assess(comparison, SIMPLE_RANDOM).estimates is None
    with pytest.raises(InputError, match="the mapped area of the classes is not known"):
        assess(comparison, BY_CLASS)
    with pytest.raises(InputError, match="the strata of the samples are not known"):
        assess(comparison, BY_STRATA)
    sizes = dict.fromkeys(ranks.CODES, 1.0)
    assert assess(with_sizes(comparison, sizes, "km²"), BY_CLASS).estimates
    with pytest.raises(InputError, match="The area of the class 40 is not given"):
        assess(with_sizes(comparison, {code: 1.0 for code in ranks.CODES[:-1]}, "km²"), BY_CLASS)
    with pytest.raises(InputError, match="lists the class 50, which the reference data do not have"):
        assess(with_sizes(comparison, {**sizes, 50: 1.0}, "km²"), BY_CLASS)


def test_strata_with_too_few_samples_are_told_or_refused(tmp_path):
    comparison = compare_table(read_matrix(saved(tmp_path, "classified,1,2,3\n1,8,2,0\n2,1,9,4\n3,0,0,1\n")))
    comparison = with_sizes(comparison, {1: 5.0, 2: 4.0, 3: 1.0}, "km²")
    found = assess(comparison, BY_CLASS)
    assert found.estimates.overall.interval is None
    assert "A single sample lies in class 3: its variance cannot be computed" in found.warnings[0]
    unweighted = assess(comparison, SIMPLE_RANDOM)
    assert unweighted.estimates.overall.value == pytest.approx(18 / 25)
    assert "Fewer than two samples lie in class 3" in unweighted.warnings[0]


# ---- rasters --------------------------------------------------------------------------------------------------------

DEGREES = (20.0, 0.5, 0.0, 80.0, 0.0, -0.5)


def pair_of_rasters(folder, nodata=255, seed=1):
    """Return (paths, arrays) of a map and a reference of classes 0, 1, 2, with gaps of their own."""
    rng = np.random.default_rng(seed)
    true = rng.choice(3, (40, 70), p=(0.5, 0.3, 0.2))
    mapped = np.where(rng.random(true.shape) < 0.8, true, rng.choice(3, true.shape))
    mapped[:3], true[:, :4] = 255, 255
    paths = [write_raster(folder / name, array.astype("uint8"), nodata=nodata, crs="EPSG:4326", transform=DEGREES)
             for name, array in (("map.tif", mapped), ("reference.tif", true))]
    return paths, (mapped, true)


def test_two_rasters_are_counted_cell_by_cell_and_area_by_area(tmp_path):
    (one, other), (mapped, true) = pair_of_rasters(tmp_path)
    found = compare_rasters(one, other, Progress())
    areas = read_info(one).grid.cell_areas(0, 40, 0, 70) / 1e10
    assert found.classes == (0, 1, 2)
    for i in range(3):
        for j in range(3):
            here = (mapped == i) & (true == j)
            assert found.matrix[i, j] == here.sum()
            assert found.areas[i, j] == pytest.approx(areas[here].sum(), rel=1e-12)
    assert dict((why, count) for _, count, why in found.left_out) == {
        "nodata in both": 12, "nodata in the classified map only": 3 * 66, "nodata in the reference only": 37 * 4}
    told = values(assess(found))
    both = (mapped < 255) & (true < 255)
    right = both & (mapped == true)
    assert told["overall accuracy (cells)"] == pytest.approx(100 * right.sum() / both.sum())
    assert told["overall accuracy (area-weighted)"] == pytest.approx(100 * areas[right].sum() / areas[both].sum())
    recalled = areas[right & (true == 2)].sum() / areas[both & (true == 2)].sum()
    assert told["recall of class 2 (area-weighted)"] == pytest.approx(100 * recalled)
    assert told["reference area of class 2"] == pytest.approx(areas[both & (true == 2)].sum())
    assert mapped_sizes(one, Progress())[1] == pytest.approx(areas[mapped == 1].sum())


def test_a_comparison_wall_to_wall_has_no_intervals_and_says_so(tmp_path):
    (one, other), _ = pair_of_rasters(tmp_path)
    found = assess(compare_rasters(one, other, Progress()))
    assert {(row["low"], row["high"]) for row in table_rows(found)} == {(None, None)}
    assert any("no sampling intervals" in sentence for sentence in found.sentences)
    pytest.importorskip("matplotlib")
    page = accuracy_page(found, [("Classified map", "map.tif"), ("Reference", "reference.tif")]).to_html()
    assert "map.tif against reference.tif" in page and "none: everything was compared" in page
    assert "95 % interval" not in page and "Area of each class by the map and by the reference" in page


def test_a_reference_raster_that_is_a_sample_has_intervals(tmp_path):
    (one, other), (mapped, true) = pair_of_rasters(tmp_path)
    comparison = compare_rasters(one, other, Progress(), wall_to_wall=False)
    found = assess(comparison, SIMPLE_RANDOM)
    areas = read_info(one).grid.cell_areas(0, 40, 0, 70) / 1e10
    # the sample speaks for the whole map, also where there is no reference
    assert found.estimates.total == pytest.approx(areas[mapped < 255].sum())
    assert found.estimates.overall.interval is not None


def test_a_class_that_the_sample_missed_is_part_of_the_map_all_the_same(tmp_path):
    array = np.full((40, 70), 1, dtype="uint8")
    array[:, 35:] = 2
    true = np.where(np.arange(70) < 30, array, 255)
    paths = [write_raster(tmp_path / f"{name}.tif", values.astype("uint8"), nodata=255)
             for name, values in (("map", array), ("sample", true))]
    comparison = compare_rasters(*paths, Progress(), wall_to_wall=False)
    assert comparison.classes == (1, 2)
    with pytest.raises(InputError, match=r"No reference sample lies in class 2 \(50 % of the whole\)"):
        assess(comparison, BY_CLASS)
    with pytest.raises(InputError, match=r"map.tif holds the unknown class 2 \(1400 cells\)"):
        compare_rasters(*paths, Progress(), {1: "one"}, wall_to_wall=False)


@pytest.mark.parametrize("settings", [Settings(threads=1, block_size=7), Settings(threads=3, block_size=32)])
def test_the_counts_do_not_depend_on_the_blocks(tmp_path, settings):
    (one, other), _ = pair_of_rasters(tmp_path)
    plain, blocked = (compare_rasters(one, other, Progress(), settings=given) for given in (None, settings))
    np.testing.assert_array_equal(plain.counts, blocked.counts)
    np.testing.assert_array_equal(plain.areas, blocked.areas)


def test_0_is_a_class_unless_the_raster_declares_it_nodata(tmp_path):
    array = np.array([[0, 11, 12], [0, 11, 11]], dtype="uint8")
    other = np.array([[11, 11, 12], [0, 11, 12]], dtype="uint8")
    for nodata, classes, cells in ((None, (0, 11, 12), 6), (0, (11, 12), 4)):
        paths = [write_raster(tmp_path / name, values, nodata=nodata) for name, values in (("a.tif", array),
                                                                                          ("b.tif", other))]
        found = compare_rasters(*paths, Progress())
        assert (found.classes, found.matrix.sum()) == (classes, cells)
    only = write_raster(tmp_path / "c.tif", np.where(other == 0, 12, other).astype("uint8"))
    found = compare_rasters(write_raster(tmp_path / "a.tif", array), only, Progress())
    assert found.warnings == ("Class 0 of a.tif (2 cells) does not occur in the reference where both have data. If 0 "
                              "means no data there, declare it as the raster's nodata value.",)


def test_rasters_on_two_grids_are_refused_with_both_named(tmp_path):
    one = write_raster(tmp_path / "map.tif", np.ones((4, 5), dtype="uint8"))
    other = write_raster(tmp_path / "reference.tif", np.ones((4, 6), dtype="uint8"))
    with pytest.raises(GridError, match=r"reference.tif is not on the grid of map.tif: it has 6 x 4 cells, not 5 x 4"):
        compare_rasters(one, other, Progress())


def test_what_cannot_be_compared_is_refused(tmp_path):
    ones = write_raster(tmp_path / "ones.tif", np.ones((20, 20), dtype="uint8"))
    empty = write_raster(tmp_path / "empty.tif", np.zeros((20, 20), dtype="uint8"), nodata=0)
    numbers = write_raster(tmp_path / "numbers.tif", np.arange(400).reshape(20, 20).astype("int32"))
    for reference, said in ((empty, "No cell has a class both in ones.tif and in empty.tif"),
                            (numbers, "more than 256 different values"), ):
        with pytest.raises(InputError, match=said):
            compare_rasters(ones, reference, Progress())
    with pytest.raises(InputError, match=r"ones.tif holds the unknown class 1 \(400 cells\); the classes are 2"):
        compare_rasters(ones, ones, Progress(), {2: "two"})


def test_a_stopped_comparison_stops(tmp_path):
    (one, other), _ = pair_of_rasters(tmp_path)
    progress = Progress()
    progress.stop()
    with pytest.raises(Cancelled):
        compare_rasters(one, other, progress)


# ---- points ---------------------------------------------------------------------------------------------------------

def points_at(cells, classes, strata=None, crs=4326):
    """Return Points in the middle of (row, column) cells of the rasters above."""
    rows, columns = np.array(cells, dtype=float).T
    x, y = DEGREES[0] + 0.5 * (columns + 0.5), DEGREES[3] - 0.5 * (rows + 0.5)
    if crs != 4326:
        x, y = transform_points(coordinate_transformation(epsg_wkt(4326), epsg_wkt(crs)), x, y)
    return Points(x, y, epsg_wkt(crs), classes, list(range(1, len(classes) + 1)), strata)


@pytest.mark.parametrize("crs", [4326, 6931])
def test_points_in_any_crs_are_compared_with_the_cell_they_lie_in(tmp_path, crs):
    (one, _), (mapped, _) = pair_of_rasters(tmp_path)
    rng = np.random.default_rng(5)
    cells = [(row, column) for row, column in zip(rng.integers(3, 40, 200), rng.integers(0, 70, 200))]
    true = [int(code) for code in rng.choice(3, 200)]
    found = compare_points(one, points_at(cells, true, crs=crs), Progress())
    expected = np.zeros((3, 3), dtype=int)
    for (row, column), code in zip(cells, true):
        expected[mapped[row, column], code] += 1
    np.testing.assert_array_equal(found.matrix, expected)
    assert found.mapped == mapped_sizes(one, Progress())
    again = len(cells) - len(set(cells))
    assert again and "share their cell with another" in found.warnings[0]


def test_points_far_apart_are_read_tile_by_tile(tmp_path, monkeypatch):
    # many more tiles down than across
    monkeypatch.setattr("pti_plugin.core.assessment.accuracy_assessment.TILE", 2)
    mapped = np.random.default_rng(3).choice([0, 1, 2], (40, 3))
    one = write_raster(tmp_path / "narrow.tif", mapped.astype("uint8"), nodata=255, crs="EPSG:4326", transform=DEGREES)
    cells = [(row, column) for row in range(40) for column in range(3)]
    found = compare_points(one, points_at(cells, [1] * len(cells)), Progress())
    np.testing.assert_array_equal(found.matrix[:, 1], np.bincount(mapped.ravel()))


def test_points_that_cannot_be_compared_are_listed_with_the_reason(tmp_path):
    (one, _), _ = pair_of_rasters(tmp_path)
    points = points_at([(10, 10), (1, 5), (10, 90), (12, 12), (10, 10)], [0, 1, 1, None, 2])
    found = compare_points(one, points, Progress())
    assert [(what.split(" at ")[0], why) for what, _, why in found.left_out] == [
        ("point 2", "on nodata of the classified map"), ("point 3", "off the map"),
        ("point 4", "without a reference class")]
    assert found.matrix.sum() == 2
    assert found.warnings == ("2 of the 2 points share their cell with another (1 cells). Each is counted; if they "
                              "were drawn as one sample of cells, keep one a cell.",)
    assert "Not compared: 3 points (1 on nodata of the classified map, 1 off the map, 1 without a reference class)." \
        in assess(found).sentences
    page = accuracy_page(assess(found), [], "table.csv").to_html()
    table = page[page.index("What could not be compared, and why"):]
    for what, number, why in found.left_out:
        cells = (rf"\s*<t[hd][^>]*>{re.escape(str(text))}</t[hd]>" for text in (what, number, why))
        assert re.search("".join(("<tr[^>]*>", *cells)), table), what
    with pytest.raises(InputError, match="None of the 1 reference points can be compared with map.tif: 1 off the map"):
        compare_points(one, points_at([(10, 90)], [1]), Progress())


def test_longitudes_of_a_point_are_turned_to_those_of_the_map(tmp_path):
    array = np.array([[1, 2, 1, 2]], dtype="uint8")
    one = write_raster(tmp_path / "map.tif", array, crs="EPSG:4326", transform=(0.0, 90.0, 0.0, 80.0, 0.0, -10.0))
    points = Points(np.array([-45.0, 45.0]), np.array([75.0, 75.0]), epsg_wkt(4326), [2, 1], [1, 2])
    np.testing.assert_array_equal(compare_points(one, points, Progress()).matrix, [[1, 0], [0, 1]])


def test_unknown_classes_of_points_are_refused_with_their_count(tmp_path):
    (one, _), _ = pair_of_rasters(tmp_path)
    points = points_at([(10, 10), (11, 11), (12, 12)], [0, 7, 7])
    with pytest.raises(InputError, match=r"The reference points hold the unknown class 7 \(2 points\); the classes are "
                                         "0, 1, 2"):
        compare_points(one, points, Progress())
    names = {0: "bog", 1: "fen", 2: "wet heath", 7: "scrub"}
    found = compare_points(one, points, Progress(), names)
    assert found.classes == (0, 1, 2, 7) and found.matrix[:, 3].sum() == 2
    by_name = compare_points(one, points_at([(10, 10), (11, 11)], ["Bog", "scrub "]), Progress(), names)
    assert by_name.matrix[:, 0].sum() == by_name.matrix[:, 3].sum() == 1


def test_a_rank_that_the_map_lacks_is_no_unknown_class(tmp_path):
    one = write_raster(tmp_path / "map.tif", np.full((40, 70), 11, dtype="uint8"), crs="EPSG:4326", transform=DEGREES)
    found = compare_points(one, points_at([(10, 10), (11, 11)], [11, 33]), Progress())
    assert found.classes == (11, 33)
    with pytest.raises(InputError, match="unknown class 34"):
        compare_points(one, points_at([(10, 10), (11, 11)], [11, 34]), Progress())


def test_strata_of_a_raster_are_those_of_a_field_with_their_areas(tmp_path):
    (one, _), (mapped, true) = pair_of_rasters(tmp_path)
    zones = np.where(np.arange(70) < 30, 1, 2)[None].repeat(40, axis=0)
    strata = write_raster(tmp_path / "strata.tif", zones.astype("uint8"), nodata=0, crs="EPSG:4326", transform=DEGREES)
    rng = np.random.default_rng(3)
    cells = list(zip(rng.integers(3, 40, 150), rng.integers(4, 70, 150)))
    classes = [int(true[cell]) for cell in cells]
    areas = read_info(one).grid.cell_areas(0, 40, 0, 70) / 1e10
    sizes = {f"zone {zone}": areas[(zones == zone) & (mapped < 255)].sum() for zone in (1, 2)}
    by_raster = assess(compare_points(one, points_at(cells, classes), Progress(), strata=strata), BY_STRATA)
    named = points_at(cells, classes, [f"zone {zones[cell]}" for cell in cells])
    by_field = assess(with_sizes(compare_points(one, named, Progress()), sizes, "km²", of_strata=True), BY_STRATA)
    for name in ("overall", "kappa"):
        one_way, other_way = getattr(by_raster.estimates, name), getattr(by_field.estimates, name)
        assert (one_way.value, one_way.error) == (pytest.approx(other_way.value), pytest.approx(other_way.error))
    right = [np.mean([mapped[cell] == true[cell] for cell in cells if zones[cell] == zone]) for zone in (1, 2)]
    assert by_raster.estimates.overall.value == pytest.approx(np.average(right, weights=list(sizes.values())))
    with pytest.raises(InputError, match="The area of the stratum zone 2 is not given"):
        assess(with_sizes(compare_points(one, named, Progress()), {"zone 1": 5.0}, "km²", True), BY_STRATA)
    with pytest.raises(InputError, match="No reference sample lies in stratum zone 3"):
        assess(with_sizes(compare_points(one, named, Progress()), {**sizes, "zone 3": 5.0}, "km²", True), BY_STRATA)


# ---- what comes out -------------------------------------------------------------------------------------------------

def test_the_main_report_reads_the_table(tmp_path):
    comparison = compare_table(read_matrix(saved(tmp_path, TABLE_4)))
    path = saved(tmp_path, tables.to_csv(table_rows(assess(comparison)), COLUMNS), "table.csv")
    metrics = tables.read_csv(path)
    assert [row["line"] for row in accuracy_rows(metrics)] == ["overall accuracy", "tier accuracy"]
    labels, matrix = confusion_of(metrics)
    assert tuple(labels) == ranks.CODES
    np.testing.assert_array_equal(matrix, comparison.matrix)
    # classes that are no ranks are no matrix of that report
    other = assess(compare_table(read_matrix(saved(tmp_path, OLOFSSON))), BY_CLASS)
    metrics = tables.read_csv(saved(tmp_path, tables.to_csv(table_rows(other), COLUMNS), "table.csv"))
    assert confusion_of(metrics) is None
    assert accuracy_rows(metrics)[0]["line"] == "overall accuracy (area-weighted)"


@pytest.mark.parametrize("design", [NOT_STATED, BY_CLASS])
def test_the_page_tells_the_numbers_of_the_table(tmp_path, design):
    pytest.importorskip("matplotlib")
    found = assess(compare_table(read_matrix(saved(tmp_path, OLOFSSON))), design)
    page = accuracy_page(found, [("Confusion matrix", "matrix.csv")], "table.csv").to_html()
    assert found.sentences[0] in page.replace("&#x27;", "'")
    shown = {row["line"]: row for row in table_rows(found)}
    row = shown["precision of loss" + (" (area-weighted)" if design == BY_CLASS else "")]
    assert f"{row['value']:.2f}" in page and f"{row['low']:.2f} to {row['high']:.2f}" in page
    assert ("Estimated" in page) == (design == BY_CLASS)
    assert "1 loss; 2 forest gain; 3 stable non-forest" in page
    for name, of_class in zip(found.labels, found.estimates.area if design == BY_CLASS else ()):
        share = 100 * of_class.value / found.estimates.total
        line = re.search(rf"<tr[^>]*><t[dh][^>]*>{name}</t[dh]>(?:(?!</tr>).)*{share:.2f}", page, re.DOTALL)
        assert line, f"no line of areas for {name} with {share:.2f} %"
    assert "nan" not in page


def test_what_is_not_defined_is_left_empty(tmp_path):
    found = assess(compare_table(read_matrix(saved(tmp_path, "classified,1,2\n1,8,0\n2,0,0\n"))))
    told = {row["line"]: row for row in table_rows(found)}
    assert "precision of class 2" not in told and np.isnan(told["kappa"]["value"])
    assert "kappa,,,,8" in tables.to_csv(table_rows(found), COLUMNS)
    assert ">nan<" not in accuracy_page(found, [], "table.csv").to_html()
    weighted = assess(with_sizes(found.comparison, {1: 5.0, 2: 0.0}, "km²"), BY_CLASS)
    assert "precision of class 2 (area-weighted)" not in {row["line"] for row in table_rows(weighted)}


def test_each_accuracy_says_what_it_is_a_share_of(tmp_path):
    def meaning(found, mark):
        return next(row["meaning"] for row in table_rows(found) if row["line"] == f"overall accuracy{mark}")

    comparison = compare_table(read_matrix(saved(tmp_path, OLOFSSON)))
    assert meaning(assess(comparison), "").startswith("Of all cases compared")
    assert meaning(assess(comparison, BY_CLASS), " (sample counts)").startswith("Counts of the sample as it was drawn")
    (one, other), _ = pair_of_rasters(tmp_path)
    census = assess(compare_rasters(one, other, Progress()))
    assert meaning(census, " (cells)") == "Share of the cells, each counting the same."


def test_mapped_areas_outside_the_interval_are_named_and_those_inside_not(tmp_path):
    # per cent of error of each class are its own, so that one class is mapped too large and one too small
    text = "classified,1,2,3\n1,90,10,0\n2,0,100,0\n3,0,0,100\n"
    comparison = with_sizes(compare_table(read_matrix(saved(tmp_path, text))), {1: 50.0, 2: 20.0, 3: 30.0}, "km²")
    found = assess(comparison, BY_CLASS)
    outside = [code for code, area in zip((1, 2, 3), found.estimates.area)
               if area.interval and not area.interval[0] <= comparison.mapped[code] <= area.interval[1]]
    assert outside == [1, 2]
    said = next(sentence for sentence in found.sentences if "lies outside" in sentence)
    assert said.endswith(f"for {found.labels[0]}, {found.labels[1]}.")
    even = with_sizes(compare_table(read_matrix(saved(tmp_path, "classified,1,2\n1,90,10\n2,10,90\n"))),
                      {1: 50.0, 2: 50.0}, "km²")
    assert not any("lies outside" in sentence for sentence in assess(even, BY_CLASS).sentences)


def test_the_pages_read_as_they_were_looked_at(tmp_path):
    pytest.importorskip("matplotlib")
    table = compare_table(read_matrix(saved(tmp_path, OLOFSSON)))
    text = "classified,1,2,3\n1,90,10,0\n2,0,100,0\n3,0,0,100\n"
    sized = with_sizes(compare_table(read_matrix(saved(tmp_path, text))), {1: 50.1, 2: 20.25, 3: 30.125}, "km²")
    (one, other), _ = pair_of_rasters(tmp_path)
    points = compare_points(one, points_at([(10, 10), (1, 5), (10, 90), (12, 12), (10, 10)], [0, 1, 1, None, 2]),
                            Progress())
    found = [assess(table), assess(table, BY_CLASS), assess(sized, BY_CLASS), assess(points),
             assess(compare_rasters(one, other, Progress()))]
    pages = [page_text(accuracy_page(each, [("Confusion matrix", "matrix.csv")], "table.csv").to_html())
             for each in found]
    rows = [tables.to_csv(table_rows(each), COLUMNS) for each in found]
    assert_as_looked_at("accuracy_pages.txt", "\n".join(pages).replace(str(tmp_path), ""))
    assert_as_looked_at("accuracy_tables.txt", "\n".join(rows).replace(str(tmp_path), ""))
