"""The land cover joins three products as the method's section 4 says, and its crosswalk is complete and checked."""

import csv
import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.resources import resource
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles import landcover
from pti_plugin.core.ensembles.landcover import (
    NODATA,
    PRODUCTS,
    SOURCES,
    TUNDRA_MASK,
    LandCoverOptions,
    ensemble_land_cover,
    join,
    land_cover_classes,
    majority,
    paper_percentages,
    read_crosswalk,
)
from pti_plugin.core.rasters.raster import CLASS, NO_CLASS, Series, SourceReader, read_info, source
from pti_plugin.core.rasters.time_axis import layer_stamps
from pti_plugin.core.series.composites import LOWEST, RECENT, TIES
from support import ROOT, Log, read_raster, write_raster

TABLES = ROOT.parent / "shared" / "spec" / "tables"
# the codes LandCover_CCI has, by its user guide; 203 to 205 do not exist
CCI_CODES = (0, 10, 11, 12, 20, 30, 40, 50, 60, 61, 62, 70, 71, 72, 80, 81, 82, 90, 100, 110, 120, 121, 122, 130, 140,
             150, 151, 152, 153, 160, 170, 180, 190, 200, 201, 202, 210, 220)
GLCC_CODES = (*range(1, 97), 99, 100)
#: raster value of every unit of the CAVM raster
CAVM_CODES = {"B1": 1, "B2a": 2, "B2b": 5, "B3": 3, "B4": 4, "G1": 21, "G2": 22, "G3": 23, "G4": 24, "P1": 31,
              "P2": 32, "S1": 33, "S2": 34, "W1": 41, "W2": 42, "W3": 43, "FW": 91, "SW": 92, "GL": 93, "NA": 99}
# method, section 4: inside the GLCC tundra mask
TUNDRA = {140: 202, 150: 204, 151: 204, 152: 204, 153: 204, 200: 201, 201: 201, 202: 201}


def cell(cci, glcc, cavm, crosswalk):
    """One cell by section 4 of the method; None is nodata. Returns (class, deciding source)."""
    if cavm is not None and crosswalk.codes["CAVM"][cavm]:
        return crosswalk.codes["CAVM"][cavm], 1
    if glcc in (9, 53, 63, 69) and cci in TUNDRA:
        return TUNDRA[cci], 2
    if cci is not None and crosswalk.codes["LandCover_CCI"][cci]:
        return crosswalk.codes["LandCover_CCI"][cci], 3
    if glcc is not None and crosswalk.codes["GLCC"][glcc]:
        return crosswalk.codes["GLCC"][glcc], 4
    return NODATA, 0


@pytest.mark.parametrize("profile", [DEFENSIBLE, AS_PUBLISHED], ids=lambda profile: profile.name)
def test_the_join_of_every_triple_of_codes(profile):
    crosswalk = read_crosswalk(profile=profile)
    triples = list(itertools.product((None, *CCI_CODES), (None, *GLCC_CODES), (None, *CAVM_CODES.values())))
    assert len(triples) == 39 * 99 * 21
    arrays = [np.array([NO_CLASS if code is None else code for code in column], dtype=np.int32)
              for column in zip(*triples)]
    cover, decided, unmapped = join(*arrays, crosswalk)
    expected = np.array([cell(*triple, crosswalk) for triple in triples])
    np.testing.assert_array_equal(cover, expected[:, 0])
    np.testing.assert_array_equal(decided, expected[:, 1])
    assert not unmapped
    assert set(decided) == {0, *SOURCES} and set(cover) == {0, *land_cover_classes()}


def test_the_join_without_cavm_or_glcc():
    crosswalk = read_crosswalk()
    cci = np.array([140, 0, 10, NO_CLASS], dtype=np.int32)
    assert [array.tolist() for array in join(cci, None, None, crosswalk)[:2]] == [[150, 0, 10, 0], [3, 0, 3, 0]]
    glcc = np.array([9, 14, 14, 53], dtype=np.int32)
    assert [array.tolist() for array in join(cci, glcc, None, crosswalk)[:2]] == [[202, 210, 10, 201], [2, 4, 3, 4]]


def test_the_tundra_codes_of_the_table_are_the_methods():
    assert read_crosswalk().tundra == TUNDRA
    assert TUNDRA_MASK == (9, 53, 63, 69)


def test_every_code_of_the_three_products_is_mapped():
    codes = read_crosswalk().codes
    assert tuple(codes) == PRODUCTS
    assert set(codes["LandCover_CCI"]) == set(CCI_CODES)
    assert set(codes["GLCC"]) == set(GLCC_CODES)
    assert set(codes["CAVM"]) == set(CAVM_CODES.values())


def test_code_202_is_the_only_difference_of_the_profiles():
    ours, published = (read_crosswalk(profile=profile) for profile in (DEFENSIBLE, AS_PUBLISHED))
    assert (ours.codes["LandCover_CCI"].pop(202), published.codes["LandCover_CCI"].pop(202)) == (200, 202)
    assert ours == published


def test_the_plugins_table_is_the_methods_table():
    if not TABLES.is_dir():
        pytest.skip("the tables of the method are not here (a folder shared/spec beside the repository)")
    with open(TABLES / "landcover_crosswalk.csv", encoding="utf-8", newline="") as stream:
        method = list(csv.DictReader(stream))
    with open(resource("tables", "landcover_crosswalk.csv"), encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    def row_by_row(table):
        return sorted((row["product"], row["code"], row["ensemble_code"]) for row in table)

    assert row_by_row(rows) == row_by_row(method)
    noted = {int(row["code"]): int(row["note"][:3]) for row in method if "inside the GLCC tundra mask" in row["note"]}
    assert len(noted) >= 5 and noted.items() <= read_crosswalk().tundra.items()
    for row in rows:
        expected = CAVM_CODES[row["code"]] if row["product"] == "CAVM" else int(row["code"])
        assert int(row["raster_value"]) == expected
    with open(TABLES / "landcover_classes.csv", encoding="utf-8", newline="") as stream:
        of_the_paper = {int(row["code"]): row for row in csv.DictReader(stream)}
    names = {code: row["name"] for code, row in of_the_paper.items()}
    assert {code: name for code, (name, _) in land_cover_classes().items()} == names
    assert paper_percentages() == {code: float(row["paper_percent_cover"]) for code, row in of_the_paper.items()}


def test_the_21_classes_have_colours_of_their_own():
    classes = land_cover_classes()
    assert len(classes) == 21 and len({colour for _, colour in classes.values()}) == 21


def lightness_and_hue(colour):
    """CIE L*a*b* of (r, g, b) from 0 to 255 in sRGB under D65."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in np.array(colour) / 255]
    x, y, z = (0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)
    x, y, z = (np.dot(row, linear) / white for row, white in ((x, 0.9505), (y, 1.0), (z, 1.089)))
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_of_classes_can_be_told_apart():
    places = {code: lightness_and_hue(colour) for code, (_, colour) in land_cover_classes().items()}
    nearest, *pair = min((float(np.linalg.norm(places[a] - places[b])), a, b)
                         for a, b in itertools.combinations(places, 2))
    # some 2.3 is the least difference that is seen side by side
    assert nearest > 15, pair


def majority_of_cell(values, tie=RECENT):
    """The most frequent class; among equals the one seen last, or the lowest code; None is nodata."""
    counts = Counter(value for value in values if value is not None)
    best = [value for value, count in counts.items() if count == max(counts.values())]
    if tie == LOWEST:
        return min(best, default=None)
    return max(best, key=lambda value: max(i for i, other in enumerate(values) if other == value)) if best else None


@pytest.mark.parametrize("cells_at_once", [7, 1 << 16])
@pytest.mark.parametrize("tie", TIES)
@pytest.mark.parametrize("years", [1, 2, 3, 4, 5])
def test_majority_of_years_in_every_combination(years, tie, cells_at_once, monkeypatch):
    monkeypatch.setattr(landcover, "MAJORITY_CELLS", cells_at_once)
    combinations = list(itertools.product((None, 10, 20, 30, 220), repeat=years))
    expected = [majority_of_cell(values, tie) for values in combinations]
    for dtype, nodata in (("int32", NO_CLASS), ("int32", 15), ("uint8", 0), ("uint8", 255)):
        stack = np.array([[nodata if value is None else value for value in values] for values in combinations],
                         dtype=dtype).T[:, None]
        found = majority(stack, nodata, tie)
        assert found.dtype == dtype
        assert found[0].tolist() == [nodata if value is None else value for value in expected]


def test_majority_where_few_cells_change_and_of_many_years():
    rng = np.random.default_rng(9)
    stack = np.repeat(rng.choice(np.array([0, 10, 20, 30], np.uint8), (1, 60, 70)), 24, axis=0)
    few = rng.random((60, 70)) < 0.1
    stack[:, few] = rng.choice(np.array([0, 10, 20, 30], np.uint8), (24, int(few.sum())))
    for tie in TIES:
        found = majority(stack, 0, tie)
        for place in np.ndindex(60, 70):
            values = [int(value) or None for value in stack[(slice(None), *place)]]
            assert found[place] == (majority_of_cell(values, tie) or 0)


@pytest.mark.parametrize("year", range(4))
def test_the_only_year_with_a_class_decides(year):
    stack = np.zeros((4, 10, 10), dtype=np.uint8)
    stack[year, 3, 4] = 10
    np.testing.assert_array_equal(majority(stack, 0), stack[year])


def write(folder, rows, header="product,raster_value,ensemble_code,tundra_code"):
    path = folder / "own.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_an_own_crosswalk_is_used_as_it_stands(tmp_path):
    path = write(tmp_path, ["GLCC,5,60,", "LandCover_CCI, 10 ,30,204", "CAVM,7,,"])
    for profile in (DEFENSIBLE, AS_PUBLISHED):
        crosswalk = read_crosswalk(path, profile)
        assert crosswalk.codes == {"LandCover_CCI": {10: 30}, "GLCC": {5: 60}, "CAVM": {7: NODATA}}
        assert crosswalk.tundra == {10: 204}
    path = write(tmp_path, ["\ufeffGLCC,5,60"[1:]], header="\ufeffproduct,raster_value,ensemble_code")
    assert read_crosswalk(path).codes["GLCC"] == {5: 60}


@pytest.mark.parametrize("rows, header, text", [
    (["GLCC,5,60,", "IGBP,5,60,"], None, r"own\.csv, line 3: the product 'IGBP' is not one of LandCover_CCI, GLCC"),
    (["GLCC,five,60,"], None, r"line 2: raster_value is 'five', not a whole number"),
    (["GLCC,5,60,", "", "GLCC,5,70,"], None, r"line 4: GLCC 5 stands in the table twice"),
    (["GLCC,5,61,"], None, r"line 2: ensemble_code is 61, which is none of the ensemble's classes"),
    (["GLCC,5,60,202"], None, r"line 2: only LandCover_CCI has a tundra_code"),
    (["LandCover_CCI,5,60,7"], None, r"line 2: tundra_code is 7, which is none"),
    (["GLCC"], None, r"line 2: raster_value is '', not a whole number"),
    (["GLCC,5,60,", "GLCC,5.0,60,"], None, r"line 3: raster_value is '5\.0', not a whole number"),
    (["GLCC,5,60,", "GLCC,6,70;,"], None, r"line 3: ensemble_code is '70;', not a whole number"),
    (["LandCover_CCI,140,150,x"], None, r"line 2: tundra_code is 'x', not a whole number"),
    (["GLCC,5,60,,bog, fen"], None, r"line 2 has 6 fields where the header has 4\. Put texts with commas in quotation"),
    (["GLCC,5,60,"], "product,raster_value,ensemble_code,ensemble_code", r"line 1: the column 'ensemble_code' stands"),
    ([], None, r"own\.csv has no row below its header"),
    ([",5,60,"], None, r"line 2: the product '' is not one of"),
    (["GLCC,5"], "product,raster_value", r"own\.csv lacks the column ensemble_code; it needs product"),
    (["GLCC,60"], "product,ensemble_code", r"own\.csv lacks the column raster_value; it needs product"),
    (["GLCC,5,60"], "product;raster_value;ensemble_code", r"own\.csv lacks the column product; it needs product"),
])
def test_errors_in_an_own_crosswalk_name_file_and_line(tmp_path, rows, header, text):
    path = write(tmp_path, rows, **({"header": header} if header else {}))
    with pytest.raises(InputError, match=text):
        read_crosswalk(path)


def test_a_crosswalk_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv cannot be read"):
        read_crosswalk(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes(b"product,raster_value\n\xe9,1\n")
    with pytest.raises(InputError, match=r"latin\.csv (cannot be read|is not a CSV table)"):
        read_crosswalk(tmp_path / "latin.csv")


# through files ---------------------------------------------------------------------------------------------------

def run(folder, cci, glcc=None, cavm=None, base=None, **options):
    outputs = {"cover": str(folder / "cover.tif"), "source": str(folder / "source.tif")}
    with Staging() as staging:
        where = {name: options.pop(name) for name in ("target", "settings") if name in options}
        result = ensemble_land_cover({"CCI": cci, "GLCC": glcc, "CAVM": cavm, "BASE": base}, outputs, staging,
                                     Progress(), LandCoverOptions(**options), **where)
        staging.commit()
    return result


@pytest.fixture
def products(tmp_path):
    """Three CCI years, GLCC and CAVM on one grid of 60 × 50 cells of 25 km."""
    rng = np.random.default_rng(6)
    cci = rng.choice([0, 10, 140, 150, 202, 210], (3, 50, 60))
    glcc = rng.choice([9, 53, 14, 100, 30], (50, 60))
    cavm = rng.choice([99, 127, 1, 91], (50, 60), p=[0.4, 0.4, 0.1, 0.1])
    # given out of order: the years in the names count
    paths = [write_raster(tmp_path / f"lc_{year}.tif", cci[i], dtype="uint8", nodata=0)
             for i, year in ((2, 2020), (0, 2018), (1, 2019))]
    return (paths, write_raster(tmp_path / "glcc.tif", glcc, dtype="uint8"),
            write_raster(tmp_path / "cavm.tif", cavm, dtype="uint8", nodata=127), cci, glcc, cavm)


def test_files_give_what_a_plain_calculation_gives(tmp_path, products):
    paths, glcc_path, cavm_path, cci, glcc, cavm = products
    result = run(tmp_path, paths, glcc_path, cavm_path)
    crosswalk = read_crosswalk()
    expected = np.zeros((2, 50, 60))
    for place in np.ndindex(50, 60):
        most = majority_of_cell([int(value) or None for value in cci[(slice(None), *place)]])
        expected[(slice(None), *place)] = cell(most, int(glcc[place]), None if cavm[place] == 127 else int(cavm[place]),
                                               crosswalk)
    cover = np.nan_to_num(read_raster(tmp_path / "cover.tif"))
    np.testing.assert_array_equal(cover, expected[0])
    np.testing.assert_array_equal(np.nan_to_num(read_raster(tmp_path / "source.tif")), expected[1])
    assert {row["code"]: row["cells"] for row in result["table"]} == {
        int(code): int(count) for code, count in zip(*np.unique(cover[cover > 0], return_counts=True))}
    assert {row["code"]: row["area_km2"] for row in result["table"]} == {
        row["code"]: 625.0 * row["cells"] for row in result["table"]}
    assert sum(row["share_percent"] for row in result["table"]) == pytest.approx(100, abs=0.01)
    assert result["source"] == {name: int((expected[1] == code).sum()) for code, (name, _) in SOURCES.items()}
    # GDAL keeps the names of the classes beside the file; the working raster of the majority is gone
    assert sorted(path.name for path in tmp_path.glob("cover*")) == ["cover.tif", "cover.tif.aux.xml"]


def test_shares_of_land_and_of_permafrost_land_are_without_water_and_ice(tmp_path):
    rng = np.random.default_rng(9)
    codes, degrees = rng.choice([0, 10, 70, 130, 210, 220], (40, 30)), (20.0, 1.0, 0.0, 80.0, 0.0, -0.5)
    base = rng.choice([0, 1, 255], codes.shape)
    path = write_raster(tmp_path / "lc_2018.tif", codes, dtype="uint8", nodata=0, crs="EPSG:4326", transform=degrees)
    base_path = write_raster(tmp_path / "base.tif", base, dtype="uint8", nodata=255, crs="EPSG:4326", transform=degrees)
    result = run(tmp_path, [path], base=base_path)
    pyproj = pytest.importorskip("pyproj")
    geod = pyproj.Geod(ellps="WGS84")
    edge = np.linspace(0, 1, 1001)
    row_area = [abs(geod.polygon_area_perimeter([*edge, *edge[::-1]], [north] * 1001 + [north - 0.5] * 1001)[0]) / 1e6
                for north in 80 - 0.5 * np.arange(40)]
    area = np.repeat(np.array(row_area)[:, None], 30, axis=1)
    paper = {row["code"]: row["paper_percent"] for row in result["table"]}
    assert paper == {10: 1.01, 70: 12.58, 130: 4.34, 210: 5.33, 220: 0.14}
    land = np.isin(codes, (10, 70, 130))
    for row in result["table"]:
        here = codes == row["code"]
        assert row["area_km2"] == pytest.approx(area[here].sum(), rel=1e-6)
        assert row["share_percent"] == pytest.approx(100 * area[here].sum() / area[codes > 0].sum(), abs=0.001)
        assert row["permafrost_km2"] == pytest.approx(area[here & (base == 1)].sum(), rel=1e-6)
        if row["code"] in (210, 220):
            assert [row[name] for name in ("land_percent", "permafrost_percent", "paper_land_percent")] == [None] * 3
            continue
        assert row["land_percent"] == pytest.approx(100 * area[here].sum() / area[land].sum(), abs=0.001)
        assert row["permafrost_percent"] == pytest.approx(
            100 * area[here & (base == 1)].sum() / area[land & (base == 1)].sum(), abs=0.001)
        assert row["paper_land_percent"] == pytest.approx(100 * paper[row["code"]] / (99.98 - 5.33 - 0.14), abs=0.001)
    assert "permafrost_km2" not in run(tmp_path, [path])["table"][0]
    for wrong, said in ((np.where(base == 1, 7, 0), "holds the value 7, but a base map"),
                        (np.zeros_like(base), "No cell with a land cover is permafrost")):
        wrong = write_raster(tmp_path / "wrong.tif", wrong, dtype="uint8", crs="EPSG:4326", transform=degrees)
        with pytest.raises(InputError, match=said):
            run(tmp_path, [path], base=wrong)


def test_one_year_needs_no_majority(tmp_path, products):
    paths, glcc_path, _, _, glcc, _ = products
    run(tmp_path, paths[:1], glcc_path)
    cci = products[3][2]
    crosswalk = read_crosswalk()
    expected = [cell(int(a) or None, int(b), None, crosswalk)[0] for a, b in zip(cci.ravel(), glcc.ravel())]
    np.testing.assert_array_equal(np.nan_to_num(read_raster(tmp_path / "cover.tif")).ravel(), expected)


def test_unmapped_codes_are_named_with_their_number_of_cells_and_leave_nothing(tmp_path):
    cci = np.array([[10, 33, 33], [33, 10, 203]])
    glcc = np.array([[30, 98, 30], [30, 30, 98]])
    paths = [write_raster(tmp_path / "lc_2018.tif", cci, dtype="uint8", nodata=0)]
    glcc_path = write_raster(tmp_path / "glcc.tif", glcc, dtype="uint8")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=(
            r"GLCC 98 \(2 cells\), LandCover_CCI 33 \(3 cells\), LandCover_CCI 203 \(1 cells\)\. Add them")):
        run(tmp_path, paths, glcc_path)
    assert sorted(tmp_path.iterdir()) == before


def test_maps_without_a_year_in_their_name_are_refused(tmp_path):
    paths = [write_raster(tmp_path / name, np.array([[10]]), dtype="uint8") for name in ("a.tif", "b_2019.tif")]
    with pytest.raises(InputError, match="must carry its own year in its file name.*a.tif"):
        run(tmp_path, paths)
    again = write_raster(tmp_path / "c_2019.tif", np.array([[10]]), dtype="uint8")
    with pytest.raises(InputError, match="must carry its own year"):
        run(tmp_path, [paths[1], again])
    run(tmp_path, paths[:1])


def test_empty_lists_empty_maps_and_other_grids_are_refused(tmp_path, products):
    paths, glcc_path, *_ = products
    with pytest.raises(InputError, match="At least one LandCover_CCI map"):
        run(tmp_path, [])
    empty = write_raster(tmp_path / "empty_2018.tif", np.zeros((50, 60)), dtype="uint8", nodata=0)
    with pytest.raises(InputError, match="land cover is empty"):
        run(tmp_path, [empty])
    other = write_raster(tmp_path / "other_2021.tif", np.ones((50, 61)), dtype="uint8")
    with pytest.raises(GridError, match=r"other_2021\.tif is not on the grid of lc_2018\.tif"):
        run(tmp_path, [*paths, other], glcc_path)
    assert not (tmp_path / "cover.tif").exists()


@pytest.mark.parametrize("profile, code", [(DEFENSIBLE, 200), (AS_PUBLISHED, 202)])
def test_the_profile_decides_on_code_202(tmp_path, profile, code):
    path = write_raster(tmp_path / "lc_2018.tif", np.array([[202]]), dtype="uint8")
    run(tmp_path, [path], profile=profile)
    assert read_raster(tmp_path / "cover.tif")[0, 0] == code


def test_layers_of_bytes_and_of_wider_numbers_give_the_same(tmp_path, products):
    paths, glcc_path, cavm_path, cci, *_ = products
    found = {}
    for tie in TIES:
        for dtype in ("uint8", "int16", "float32"):
            folder = tmp_path / f"{tie}_{dtype}"
            folder.mkdir()
            # nodata is 0 by its meaning, whether the file declares it or not
            same = [write_raster(folder / f"lc_{2018 + i}.tif", layer, dtype=dtype, nodata=None if i else 0)
                    for i, layer in enumerate(cci)]
            result = run(folder, same, glcc_path, cavm_path, tie=tie)
            found[tie, dtype] = read_raster(folder / "cover.tif"), result["table"]
        for dtype in ("int16", "float32"):
            np.testing.assert_array_equal(found[tie, dtype][0], found[tie, "uint8"][0])
    assert (np.nan_to_num(found[TIES[0], "uint8"][0]) != np.nan_to_num(found[TIES[1], "uint8"][0])).any()
    with pytest.raises(InputError, match="TIE is 'first'; it must be one of most_recent_year, lowest_code"):
        run(tmp_path, paths, tie="first")


def test_an_own_crosswalk_may_give_a_class_to_what_is_nodata_by_the_plugins_own(tmp_path):
    own = write(tmp_path, ["LandCover_CCI,0,210,", "LandCover_CCI,10,10,", "GLCC,100,200,", "GLCC,9,202,"])
    cci = [write_raster(tmp_path / f"lc_{year}.tif", np.array([codes]), dtype="uint8")
           for year, codes in ((2018, [0, 0, 10]), (2019, [0, 10, 10]), (2020, [0, 0, 0]))]
    run(tmp_path, cci, crosswalk=own)
    assert read_raster(tmp_path / "cover.tif").tolist() == [[210, 210, 10]]
    one = write_raster(tmp_path / "one_2018.tif", np.array([[255, 255, 10]]), dtype="uint8", nodata=255)
    glcc = write_raster(tmp_path / "glcc.tif", np.array([[100, 9, 9]]), dtype="uint8")
    run(tmp_path, [one], glcc, crosswalk=own)
    assert read_raster(tmp_path / "cover.tif").tolist() == [[200, 202, 10]]


@pytest.mark.parametrize("wanted, years, cover", [("2018-2019", [2018, 2019], 150),
                                                  ("2019-2019", [2019], 150), ("2017-2018", [2017, 2018], 210),
                                                  ("", [2017, 2018, 2019, 2020], 200)])
def test_the_years_asked_for_are_used_the_first_and_the_last_too(tmp_path, wanted, years, cover):
    paths = [write_raster(tmp_path / f"lc_{year}.tif", np.full((1, 2), code), dtype="uint8")
             for year, code in ((2020, 200), (2017, 10), (2019, 150), (2018, 210))]
    result = run(tmp_path, paths, years=wanted, tie=RECENT)
    assert result["years"] == years
    # a tie goes to the most recent year
    assert read_raster(tmp_path / "cover.tif").tolist() == [[cover, cover]]


def test_without_years_in_the_names_the_lowest_code_still_decides(tmp_path):
    paths = [write_raster(tmp_path / f"{name}.tif", np.array([codes]), dtype="uint8")
             for name, codes in (("b", [60, 70]), ("a", [10, 70]))]
    result = run(tmp_path, paths, tie=LOWEST)
    assert read_raster(tmp_path / "cover.tif").tolist() == [[10, 70]] and result["years"] == []
    with pytest.raises(InputError, match=r"YEARS can choose: b\.tif has none"):
        run(tmp_path, paths, tie=LOWEST, years="2018-2019")


@pytest.mark.parametrize("name, names, years", [
    ("lc-1992_2015-v2.tif", None, list(range(1992, 2016))), ("lc_1992-2015.tif", None, list(range(1992, 2016))),
    ("lc_1992-2014.tif", None, [None] * 24), ("lc_2015.tif", None, [None] * 24),
    ("lc_1901-1924.tif", [f"y{year}" for year in range(1992, 2016)], list(range(1992, 2016))),
])
def test_years_of_the_bands_of_one_file(tmp_path, name, names, years):
    info = read_info(write_raster(tmp_path / name, np.ones((24, 2, 2), np.uint8), descriptions=names))
    assert layer_stamps([info], 1, Log()) == years
    assert layer_stamps([info], 12, Log()) == [None] * 24


def test_a_series_of_codes_is_read_as_its_layers_are(tmp_path):
    layers = np.random.default_rng(3).integers(0, 9, (4, 30, 40))
    paths = [write_raster(tmp_path / f"{i}.tif", layer, dtype="uint8", nodata=nodata)
             for i, (layer, nodata) in enumerate(zip(layers, (None, 0, 8, 300)))]
    items = tuple(replace(source(path, CLASS), flags=flags) for path, flags in zip(paths, ((), (0.0, 5.0), (3.0,), ())))
    reader = SourceReader()
    # inside the raster, and over its edge
    for window in ((3, 20, 5, 30), (-2, 40, 30, 20)):
        found = reader.read_series(Series(items, codes=True), *window)
        assert found.dtype == np.uint8
        expected = np.array([reader.read(item, *window) for item in items])
        np.testing.assert_array_equal(found, np.where(expected == NO_CLASS, 0, expected))
    assert not (found[1] == 5).any() and (found[0] == 5).any()
