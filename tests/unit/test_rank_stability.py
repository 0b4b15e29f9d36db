"""Both profiles and every left-out product give what the ensemble and the index tool give, and what a plain count says.

The plain count below is written from the method, cell by cell, and shares nothing with the code under test.
"""

import math
import statistics

import numpy as np
import pytest

from pti_plugin.core.common.errors import Cancelled, GridError, InputError
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.common.tables import to_csv
from pti_plugin.core.ensembles.permafrost import EnsembleOptions, ensemble_permafrost
from pti_plugin.core.index.profile_comparison import StabilityOptions, compare_profiles
from pti_plugin.core.index.pti import PtiOptions, build_pti
from pti_plugin.core.index.rank_comparison import COLUMNS
from pti_plugin.core.index.rank_stability import ANY, GAINED, STABILITY, STABILITY_NODATA, check_left, find_products
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from support import Log, read_raster, standing, write_raster

NAMES = ("cci", "nieer", "obu")
ROWS, COLUMNS_OF = 20, 26
#: EPSG:6931 cells of 25 km
KM2 = 625.0


def write_world(folder, seed=8):
    """Three products with gaps of their own, trends with gaps, many values at the thresholds; paths and arrays."""
    rng = np.random.default_rng(seed)
    shape = (ROWS, COLUMNS_OF)
    percent = rng.choice([0.0, 5.0, 15.0, 60.0, 80.0, 99.0], (3, *shape))
    # near a threshold the second product differs from the first by less than single precision holds
    magt = rng.choice([-6.0, -3.0, -2.0, -1.5, 0.0, 3.0], shape) + rng.choice([0.0, 1e-9, -1e-9, 0.4, -2.0],
                                                                                 (3, *shape))
    percent[rng.random(percent.shape) < 0.15] = np.nan
    magt[rng.random(magt.shape) < 0.15] = np.nan
    percent[:, :2] = magt[:, :2] = np.nan
    # at least one cell that each product alone makes permafrost, and one that needs all to be none
    percent[:, 5, 5], percent[:, 5, 6] = (60, 60, 0), (0, 0, 60)
    magt[:, 5, 5:7] = -6.0
    signs = rng.choice([-1, 0, 1, 1, -32768], (2, *shape)).astype("int16")
    paths = {"PP": [write_raster(folder / f"{name}_pp.tif", layer, nodata=-9999)
                    for name, layer in zip(NAMES, percent)],
             "MAGT": [write_raster(folder / f"{name}_magt.tif", layer, nodata=-9999)
                      for name, layer in zip(NAMES, magt)],
             "MAGT_TREND": write_raster(folder / "magt_sign.tif", signs[0], nodata=-32768),
             "ALT_TREND": write_raster(folder / "alt_sign.tif", signs[1], nodata=-32768)}
    return paths, percent, magt, signs


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("products"))


def compare(paths, folder, log=None, ensemble=None, stability=None, **options):
    names = {name: str(folder / f"{name}.tif") for name in ("difference", "stability", "as_published", "defensible")}
    with Staging() as staging:
        result = compare_profiles(paths, names, staging, log or Log(), ensemble, options.pop("index", None), stability,
                                  **options)
        staging.commit()
    return result["table"]


def by_the_tools(paths, folder, profile, ensemble=None, index=None, target=None):
    """Run the ensemble and the index one after the other; return the path of the index."""
    layers = {name: str(folder / f"tool_{name}.tif") for name in ("base", "pp", "magt")}
    with Staging() as staging:
        ensemble_permafrost(paths["PP"], paths["MAGT"], layers, staging, Log(), ensemble, target)
        staging.commit()
    made = str(folder / f"tool_{profile.name}.tif")
    inputs = {"MAGT": layers["magt"], "PP": layers["pp"], "BASE": layers["base"],
              **{role: paths[role] for role in ("MAGT_TREND", "ALT_TREND")}}
    with Staging() as staging:
        build_pti(inputs, {"pti": made}, staging, Log(), PtiOptions(profile=profile, **(index or {})), target)
        staging.commit()
    return made


def without(paths, name):
    """The same inputs without the layers of a product."""
    return {**paths, **{role: [path for path in paths[role] if f"/{name}_" not in path] for role in ("PP", "MAGT")}}


def row_of(rows, section, item):
    found, = (row for row in rows if (row["section"], row["item"]) == (section, item))
    return found


#: cells twice as wide, off those of the products
COARSE = Grid(epsg_wkt(6931), (-90000.0, 50000.0, 0.0, 80000.0, 0.0, -50000.0), 10, 7)
CHOICES = [({}, {}, None), ({}, {}, COARSE),
           ({"absent": "*", "min_magt": 1, "min_latitude": 88.0}, {"cold": -4.0, "isolated": 20.0}, None),
           ({"min_products": 1}, {"untestable_is_nodata": True, "isolated_needs_magt": True}, None)]


@pytest.mark.parametrize("ensemble, index, target", CHOICES)
def test_both_maps_are_byte_for_byte_those_of_the_tools(products, tmp_path, ensemble, index, target):
    paths = products[0]
    compare(paths, tmp_path, ensemble=EnsembleOptions(**ensemble), index=PtiOptions(**index), target=target)
    for profile in (AS_PUBLISHED, DEFENSIBLE):
        made = by_the_tools(paths, tmp_path, profile, EnsembleOptions(**ensemble), index, target)
        with open(made, "rb") as stream:
            assert stream.read() == (tmp_path / f"{profile.name}.tif").read_bytes()


def test_the_layers_between_are_rounded_as_their_files_are(products):
    """The world has cells whose MAGT is in another tier before it is rounded to single precision."""
    magt = np.sort(products[2], axis=0)[1][~np.isnan(products[2]).any(axis=0)]
    assert ((magt < -3.0) & (magt.astype("float32") >= -3.0)).any()


# where both of two products must have PP > 0, a product whose nodata means absent cannot matter; where one must, it can
@pytest.mark.parametrize("absent, least", [("", 2), ("obu_pp.tif", 1)])
def test_each_left_out_product_gives_what_the_tools_give_from_the_other_two(products, tmp_path, absent, least):
    paths = products[0]
    rows = compare(paths, tmp_path, ensemble=EnsembleOptions(absent=absent), stability=StabilityOptions("", least))
    full = np.nan_to_num(read_raster(tmp_path / "defensible.tif")).astype(int)
    flips, gains = np.zeros(full.shape, int), np.zeros(full.shape, bool)
    kinds = {kind: np.zeros(full.shape, bool) for kind in ("changed", "lost", "gained")}
    ranked = (full > 0).sum()
    for name in NAMES:
        options = EnsembleOptions(least, absent="" if absent.startswith(name) else absent)
        made = by_the_tools(without(paths, name), tmp_path, DEFENSIBLE, options)
        left = np.nan_to_num(read_raster(made)).astype(int)
        found = {"changed": (full > 0) & (left > 0) & (full != left), "lost": (full > 0) & (left == 0),
                 "gained": (full == 0) & (left > 0)}
        flipped = found["changed"] | found["lost"]
        flips += flipped
        gains |= found["gained"]
        for kind, cells in found.items():
            kinds[kind] |= cells
            row = row_of(rows, f"leave_one_out_{kind}", name)
            assert row["cells"] == cells.sum() and row["area_km2"] == KM2 * cells.sum()
        row = row_of(rows, "leave_one_out", name)
        assert row["cells"] == flipped.sum() > 0
        assert row["share_percent"] == row["cells_percent"] == pytest.approx(100 * flipped.sum() / ranked, abs=1e-4)
    for kind, cells in kinds.items():
        assert cells.any() or kind == "gained"
        assert row_of(rows, f"leave_one_out_{kind}", ANY)["cells"] == cells.sum()
    assert row_of(rows, "leave_one_out", ANY)["cells"] == (flips > 0).sum()
    expected = np.where(full > 0, flips, np.where(gains, GAINED, STABILITY_NODATA))
    stability = np.where(np.isnan(read_raster(tmp_path / "stability.tif")), STABILITY_NODATA,
                         read_raster(tmp_path / "stability.tif"))
    np.testing.assert_array_equal(stability, expected)
    assert {0, 1, 2, 3} <= set(expected.ravel().tolist())
    for code, (label, _) in STABILITY.items():
        assert row_of(rows, "stability", label)["cells"] == (expected == code).sum()


def rank_of_cell(percents, temperatures, signs, min_products):
    """One cell by sections 2, 3 and 9 of the method; lists without the missing values. 0 is no rank."""
    if sum(value > 0 for value in percents) < min_products:
        return 0
    magt = float(np.float32(statistics.median(temperatures))) if len(temperatures) >= 2 else None
    if magt is not None and magt > 3:
        return 0
    if float(np.float32(statistics.median(percents))) < 10:
        return 40
    if magt is None:
        return 0
    tier = 1 if magt < -3 else 2 if magt <= -1.5 else 3
    return 10 * tier + 1 + list(signs).count(1)


@pytest.mark.parametrize("least, gains", [(0, False), (1, True)])
def test_a_plain_count_cell_by_cell_says_the_same(products, tmp_path, least, gains):
    paths, percent, magt, signs = products
    compare(paths, tmp_path, stability=StabilityOptions(min_products=least))
    stability = read_raster(tmp_path / "stability.tif")
    seen = set()
    for row in range(ROWS):
        for column in range(COLUMNS_OF):
            def rank(places, least, row=row, column=column):
                pp, temperatures = ([float(values[i, row, column]) for i in places
                                     if not math.isnan(values[i, row, column])] for values in (percent, magt))
                return rank_of_cell(pp, temperatures, signs[:, row, column], least)

            full = rank((0, 1, 2), 2)
            others = [rank(places, least or 2) for places in ((1, 2), (0, 2), (0, 1))]
            if full:
                expected = sum(other != full for other in others)
            else:
                expected = GAINED if any(others) else math.nan
            seen.add(expected)
            assert stability[row, column] == expected or math.isnan(stability[row, column]) and math.isnan(expected)
    # with two of two needed nothing can gain permafrost, but MAGT above 3 °C may fall below it
    assert GAINED in seen
    rows_with = np.argwhere(stability == GAINED).tolist()
    assert ([5, 6] in rows_with) is gains


def test_a_planted_cell_flips_without_the_one_product_it_hangs_on(tmp_path):
    shape = (3, 4)
    layers = {}
    for name, temperature in zip(NAMES, (-3.2, -3.1, -3.3)):
        magt = np.full(shape, temperature)
        magt[1, 2] = {"cci": -6.0, "nieer": -1.0, "obu": -3.05}[name]
        layers[name] = (write_raster(tmp_path / f"{name}_pp.tif", np.full(shape, 80.0)),
                        write_raster(tmp_path / f"{name}_magt.tif", magt))
    sign = write_raster(tmp_path / "sign.tif", np.zeros(shape, "int16"))
    rows = compare({"PP": [layers[name][0] for name in NAMES], "MAGT": [layers[name][1] for name in NAMES],
                    "MAGT_TREND": sign, "ALT_TREND": sign}, tmp_path)
    # without CCI the mean of -1 and -3.05 is cool; with either other one it stays below -3
    assert {name: row_of(rows, "leave_one_out", name)["cells"] for name in NAMES} == {"cci": 1, "nieer": 0, "obu": 0}
    assert np.argwhere(read_raster(tmp_path / "stability.tif") != 0).tolist() == [[1, 2]]


def test_profiles_agree_in_rank_and_differ_in_what_they_say_of_untestable_trends(products, tmp_path):
    paths, _, _, signs = products
    rows = compare(paths, tmp_path)
    full = np.nan_to_num(read_raster(tmp_path / "defensible.tif"))
    tiered = (full > 0) & (full < 40)
    missing = (signs == -32768)
    expected = {"20 to 21": missing[0] & ~missing[1], "20 to 22": ~missing[0] & missing[1], "20 to 23": missing.all(0)}
    told = {row["item"].split(":")[0]: row["cells"] for row in rows if row["section"] == "reason"}
    assert told == {key: int((cells & tiered).sum()) for key, cells in expected.items()}
    assert row_of(rows, "summary", "different rank")["cells"] == 0
    assert row_of(rows, "summary", "same rank")["cells"] == (full > 0).sum()


def test_neither_blocks_nor_the_order_of_the_products_change_a_byte(products, tmp_path):
    paths = products[0]
    results = set()
    for settings, order in ((Settings(), 1), (Settings(block_size=7, threads=2), 1), (Settings(block_size=16), -1)):
        table = to_csv(compare({**paths, "PP": paths["PP"][::order]}, tmp_path, settings=settings), COLUMNS)
        results.add((table, *(path.read_bytes() for path in sorted(tmp_path.glob("*.tif")))))
    assert len(results) == 1


def test_a_cancelled_run_leaves_nothing(products, tmp_path):
    class StopsHalfway(Log):
        def set(self, fraction):
            if fraction > 0.5:
                self.stop()

    with pytest.raises(Cancelled):
        compare(products[0], tmp_path, StopsHalfway(), settings=Settings(block_size=8))
    assert standing(tmp_path) == {}


def test_two_products_are_compared_but_none_is_left_out(products, tmp_path):
    paths = without(products[0], "obu")
    with pytest.raises(InputError, match="takes 3 of each kind; there are 2 PP and 2 MAGT products"):
        compare(paths, tmp_path)
    assert standing(tmp_path) == {}
    log = Log()
    with Staging() as staging:
        rows = compare_profiles(paths, {}, staging, log)["table"]
    assert {row["section"] for row in rows} == {"summary", "transition", "reason"}
    assert any("none is left out" in line for line in log.lines)


def test_the_log_says_what_was_left_out_and_what_flipped(products, tmp_path):
    log = Log()
    rows = compare(products[0], tmp_path, log)
    assert "Product obu: obu_pp.tif and obu_magt.tif." in log.lines
    assert "Where one product is left out, 2 of the others with PP > 0 make permafrost." in log.lines
    share = row_of(rows, "leave_one_out", "obu")["cells_percent"]
    assert any(line.startswith(f"Without obu {share:.2f} % of the ranked cells flip") for line in log.lines)


@pytest.mark.parametrize("pp, magt, text, expected", [
    (["UiO_PEX_PERPROB_5.0_2000_2016_NH.tif", "nieer_prob.tif", "CCI-PFR-mean.tif"],
     ["Cci_gtd2m.tif", "UiO_PEX_MAGTM_5.0_2000_2016_NH.tif", "MAGT_nieer.tif"], "",
     {"uio": ((0,), (1,)), "nieer": ((1,), (2,)), "cci": ((2,), (0,))}),
    (["a_1.tif", "a_2.tif", "x.tif"], ["b_1.tif", "b_2.tif"], "?_1.tif=first; ?_2*=second; x*=third",
     {"first": ((0,), (0,)), "second": ((1,), (1,)), "third": ((2,), ())}),
    (["a.tif", "b.tif", "c.tif"], ["d.tif", "e.tif", "f.tif"], "a*=A; b*=A; c*=B; *=C; c*=B; a*=A; b*=A",
     {"A": ((0, 1), ()), "B": ((2,), ()), "C": ((), (0, 1, 2))}),
])
def test_layers_find_their_product(pp, magt, text, expected):
    found = find_products(pp, magt, text)
    assert {product.name: (product.pp, product.magt) for product in found} == expected
    assert [product.name for product in found] == sorted(expected)


@pytest.mark.parametrize("pp, magt, text, said", [
    (["pp_a.tif", "pp_b.tif"], ["magt_a.tif", "magt_c.tif"], "", r"do not tell which MAGT layer .* as pp_b\.tif"),
    (["a_b.tif", "c.tif"], ["x_a.tif", "y_b.tif"], "", r"do not tell which MAGT layer .* as a_b\.tif"),
    (["a.tif", "b.tif"], ["a_m.tif", "b_m.tif", "z.tif"], "", r"z\.tif: no PP layer is of the same product.*\*pex\*"),
    (["a.tif", "b.tif"], ["a_m.tif", "b_m.tif"], "a*=A", r"b\.tif belongs to none of the PRODUCTS"),
    (["a.tif", "b.tif"], ["a_m.tif", "b_m.tif"], "*=A; q*=B", r"'q\*' in PRODUCTS matches none of the inputs"),
    (["a.tif", "b.tif"], ["a_m.tif", "b_m.tif"], "*", "not of the form name=value"),
])
def test_layers_without_a_clear_product_are_refused(pp, magt, text, said):
    with pytest.raises(InputError, match=said):
        find_products(pp, magt, text)


@pytest.mark.parametrize("least, magt, said", [
    (3, 2, "Without a 2 PP products are left, fewer than the 3 needed. Lower MIN_PRODUCTS, or set MIN_PRODUCTS_LEFT"),
    (2, 3, "Without a 2 MAGT products are left, fewer than the 3 needed. Lower MIN_MAGT")])
def test_too_few_products_left_are_refused(least, magt, said):
    names = ["a.tif", "b.tif", "c.tif"]
    with pytest.raises(InputError, match=said):
        check_left(find_products(names, names), 3, 3, least, magt)


def test_a_product_with_all_layers_but_one_cannot_be_left_out():
    names = ["a.tif", "b.tif", "c.tif"]
    with pytest.raises(InputError, match="Without A 1 PP product is left, and an ensemble needs 2"):
        check_left(find_products(names, names, "*=A; c*=B"), 3, 3, 1, 1)


def test_wrong_trends_and_grids_are_refused(products, tmp_path):
    paths = products[0]
    slope = write_raster(tmp_path / "slope.tif", np.full((ROWS, COLUMNS_OF), 2, "int16"))
    with pytest.raises(InputError, match=r"slope\.tif holds the value 2.*significant-sign raster"):
        compare({**paths, "ALT_TREND": slope}, tmp_path)
    small = write_raster(tmp_path / "small.tif", np.zeros((ROWS, 3), "int16"))
    with pytest.raises(GridError, match=r"small\.tif is not on the grid"):
        compare({**paths, "ALT_TREND": small}, tmp_path)
    years = [write_raster(tmp_path / f"{role}.tif", np.zeros((ROWS, COLUMNS_OF), "int16"), metadata={
        "PTI_FIRST_YEAR": first, "PTI_LAST_YEAR": 2021, "PTI_LAYERS": 2022 - first})
        for role, first in (("magt", 1997), ("alt", 2003))]
    with pytest.raises(InputError, match=r"different years.*1997–2021 \(25 layers\).*2003–2021"):
        compare({**paths, "MAGT_TREND": years[0], "ALT_TREND": years[1]}, tmp_path)
    with pytest.raises(InputError, match="name of a row of the table"):
        compare(paths, tmp_path, stability=StabilityOptions(f"cci*={ANY}; obu*=Obu; nieer*=NIEER"))
    assert sorted(standing(tmp_path)) == ["alt.tif", "magt.tif", "slope.tif", "small.tif"]


@pytest.mark.parametrize("profile", (AS_PUBLISHED, DEFENSIBLE), ids=lambda profile: profile.name)
def test_water_and_glaciers_are_left_out_of_every_map(products, tmp_path, profile):
    paths, percent, magt, signs = products
    cover = np.random.default_rng(3).choice([0, 130, 210, 220], (ROWS, COLUMNS_OF))
    out = np.isin(cover, (210, 220))
    exclude = write_raster(tmp_path / "cover.tif", cover, nodata=0, dtype="uint8")
    index = {"left_out": LeftOutClasses(exclude)}
    log = Log()
    rows = compare(paths, tmp_path, log, index=PtiOptions(**index))
    ranked = read_raster(tmp_path / f"{profile.name}.tif")
    np.testing.assert_array_equal(ranked, read_raster(by_the_tools(paths, tmp_path, profile, index=index)))
    whole = read_raster(by_the_tools(paths, tmp_path, profile))
    np.testing.assert_array_equal(ranked, np.where(out, np.nan, whole))
    assert (out & ~np.isnan(whole)).sum() > 50
    assert np.isnan(read_raster(tmp_path / "stability.tif")[out]).all()
    assert row_of(rows, "summary", "ranked in either")["cells"] == int((~np.isnan(ranked)).sum())
    base = read_raster(tmp_path / "tool_base.tif") == 1
    assert any(f"{(out & base).sum()} of {base.sum()} cells of the base map" in line for line in log.lines)
