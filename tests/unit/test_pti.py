"""Every combination of the index's inputs gets the rank and reason of Table 3, and areas are true ground areas."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common import ranks
from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.index.pti import REASONS, PtiOptions, build_pti, map_areas, rank_cells, tier_shares
from pti_plugin.core.rasters.exclusion import LeftOutClasses
from pti_plugin.core.rasters.raster import NO_CLASS
from support import Log, read_raster, write_raster

pyproj = pytest.importorskip("pyproj")

NOTHING = None


def beside(value, towards):
    """The next number of single precision, in which rasters of the ensemble are stored."""
    return float(np.nextafter(np.float32(value), np.float32(towards)))


#: 0.001 apart, one float apart, and exactly at each threshold; far values; none
MAGT = [NOTHING, -40.0, 0.0, 12.0] + [
    value for limit in (-3.0, -1.5, 3.0)
    for value in (limit - 0.001, beside(limit, -math.inf), limit, beside(limit, math.inf), limit + 0.001)]
SIGNS = (1, 0, -1, NOTHING)
PERCENT = (0.0, 9.999, beside(10.0, 0.0), 10.0, 50.0, NOTHING)
BASE = (0, 1, NOTHING)
COMBINATIONS = list(itertools.product(MAGT, SIGNS, SIGNS, PERCENT, BASE))
CHOICES = [PtiOptions(profile=profile, untestable_is_nodata=untestable, isolated_needs_magt=needs)
           for profile in (DEFENSIBLE, AS_PUBLISHED) for untestable in (False, True) for needs in (False, True)]
ROLES = ("MAGT", "MAGT_TREND", "ALT_TREND", "PP", "BASE")
# Table 3: rows by temperature, columns by the number of positive trends
TABLE_3 = {"cold": (11, 12, 13), "cool": (21, 22, 23), "warm": (31, 32, 33)}


def by_the_book(magt, magt_trend, alt_trend, percent, base, options):
    """One cell by sections 3 and 9 of the method; None is nodata. Returns (rank, reason)."""
    if base is None:
        return 0, 0
    if base == 0:
        return 0, 1
    if magt is not None and magt > 3:
        return 0, 2
    if percent is None:
        return 0, 3
    if percent < 10 and magt is not None:
        return 40, 10
    if percent < 10 and not options.isolated_needs_magt:
        return 40, 11
    if magt is None:
        return 0, 4
    untestable = (magt_trend is None) + 2 * (alt_trend is None)
    if untestable and options.untestable_is_nodata:
        return 0, 5
    tier = "cold" if magt < -3 else "cool" if magt <= -1.5 else "warm"
    rank = TABLE_3[tier][[magt_trend, alt_trend].count(1)]
    return rank, 20 + (untestable if options.profile is DEFENSIBLE else 0)


def describe(options):
    return f"{options.profile.name}-{options.untestable_is_nodata}-{options.isolated_needs_magt}"


@pytest.fixture(scope="module")
def all_combinations(tmp_path_factory):
    """One raster a role; their cells run through every combination, nodata stored in a different way in each."""
    folder = tmp_path_factory.mktemp("combinations")
    side = math.ceil(math.sqrt(len(COMBINATIONS)))
    cells = COMBINATIONS + [(None,) * 5] * (side * side - len(COMBINATIONS))
    nodata = {"MAGT": -32768.0, "MAGT_TREND": 127, "ALT_TREND": -128, "PP": float("nan"), "BASE": 255}
    dtype = {"MAGT": "float64", "MAGT_TREND": "int16", "ALT_TREND": "float32", "PP": "float64", "BASE": "uint8"}
    paths = {}
    for i, role in enumerate(ROLES):
        values = np.array([nodata[role] if cell[i] is None else cell[i] for cell in cells]).reshape(side, side)
        paths[role] = write_raster(folder / f"{role}.tif", values, nodata=nodata[role], dtype=dtype[role],
                                   transform=(-900000, 25000, 0, 900000, 0, -25000))
    return paths, side


def test_every_combination_is_there():
    assert len(COMBINATIONS) == 19 * 4 * 4 * 6 * 3
    expected = {by_the_book(*cell, CHOICES[0]) for cell in COMBINATIONS}
    assert {rank for rank, _ in expected} == {0, *ranks.CODES}
    assert {reason for _, reason in expected} | {5, 6} == {0, *REASONS}


@pytest.mark.parametrize("options", CHOICES, ids=describe)
def test_truth_table_of_arrays(options):
    magt, magt_trend, alt_trend, percent, base = (list(column) for column in zip(*COMBINATIONS))
    numbers = [np.array([np.nan if value is None else value for value in column]) for column in (magt, percent)]
    codes = [np.array([NO_CLASS if value is None else value for value in column], dtype=np.int32)
             for column in (magt_trend, alt_trend, base)]
    index, reason = rank_cells(numbers[0], codes[0], codes[1], numbers[1], codes[2], options)
    wrong = [(cell, (int(got), int(why)), by_the_book(*cell, options))
             for cell, got, why in zip(COMBINATIONS, index, reason) if (got, why) != by_the_book(*cell, options)]
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("options", CHOICES, ids=describe)
def test_truth_table_through_files(all_combinations, tmp_path, options):
    paths, side = all_combinations
    outputs = {"pti": str(tmp_path / "pti.tif"), "reason": str(tmp_path / "reason.tif")}
    with Staging() as staging:
        result = build_pti(paths, outputs, staging, Progress(), options)
        staging.commit()
    expected = np.zeros((side * side, 2), dtype=int)
    expected[:len(COMBINATIONS)] = [by_the_book(*cell, options) for cell in COMBINATIONS]
    for column, name in enumerate(("pti", "reason")):
        values = np.nan_to_num(read_raster(outputs[name]))
        np.testing.assert_array_equal(values.ravel(), expected[:, column])
    counted = {row["rank"]: row["cells"] for row in result["table"]}
    assert counted == {code: int((expected[:, 0] == code).sum()) for code in ranks.CODES}
    # EPSG:6931 is equal-area: 625 km² a cell
    assert {row["rank"]: row["area_km2"] for row in result["table"]} == {
        code: 625.0 * count for code, count in counted.items()}
    assert result["reasons"] == {REASONS[code][0]: int((expected[:, 1] == code).sum())
                                 for code in sorted(REASONS) if (expected[:, 1] == code).any()}
    weighted = {code: sum(6.25 * cell[3] for cell, (rank, _) in zip(COMBINATIONS, expected) if rank == code)
                for code in ranks.CODES}
    assert {row["rank"]: row["pp_weighted_km2"] for row in result["table"]} == pytest.approx(weighted, abs=0.01)
    assert gdal.Open(outputs["pti"]).GetMetadataItem("PTI_PROFILE") == options.profile.name


def left_out_by_the_book(cell, cover, options):
    """The same cell on the land cover ``cover``: water and glacier ice have no rank, and say so on the base map."""
    return (0, 6) if cover in (210, 220) and cell[4] == 1 else by_the_book(*cell, options)


@pytest.mark.parametrize("options", CHOICES, ids=describe)
def test_truth_table_with_water_and_glaciers(all_combinations, tmp_path, options):
    paths, side = all_combinations
    cells = COMBINATIONS + [(None,) * 5] * (side * side - len(COMBINATIONS))
    rng = np.random.default_rng(13)
    cover = rng.choice([0, 10, 130, 209, 210, 211, 220, 221], side * side)
    exclude = write_raster(tmp_path / "cover.tif", cover.reshape(side, side), nodata=0, dtype="uint8",
                           transform=(-900000, 25000, 0, 900000, 0, -25000))
    outputs = {"pti": str(tmp_path / "pti.tif"), "reason": str(tmp_path / "reason.tif")}
    progress = Log()
    with Staging() as staging:
        result = build_pti(paths, outputs, staging, progress, replace(options, left_out=LeftOutClasses(exclude)))
        staging.commit()
    expected = np.array([left_out_by_the_book(cell, code, options) for cell, code in zip(cells, cover)])
    for column, name in enumerate(("pti", "reason")):
        np.testing.assert_array_equal(np.nan_to_num(read_raster(outputs[name])).ravel(), expected[:, column])
    assert {row["rank"]: row["cells"] for row in result["table"]} == {
        code: int((expected[:, 0] == code).sum()) for code in ranks.CODES}
    water = int((expected[:, 1] == 6).sum())
    unknown = sum(code == 0 and cell[4] == 1 for cell, code in zip(cells, cover))
    assert water > 300 and unknown > 100
    assert result["left_out"] == {"cells": water, "area_km2": 625.0 * water, "unknown_cells": unknown}
    base = sum(cell[4] == 1 for cell in cells)
    assert any(f"{water:,} of {base:,} cells of the base map, {625 * water:,} km²" in line for line in progress.lines)
    assert any(f"no class in {unknown:,} of {base:,}" in line for line in progress.lines)


def test_every_cell_of_a_class_left_out_is_an_error(tmp_path):
    values = {"MAGT": -5.0, "MAGT_TREND": 0, "ALT_TREND": 0, "PP": 80.0, "BASE": 1}
    paths = {role: write_raster(tmp_path / f"{role}.tif", np.full((4, 4), value)) for role, value in values.items()}
    exclude = write_raster(tmp_path / "cover.tif", np.full((4, 4), 210), nodata=0, dtype="uint8")
    with Staging() as staging, pytest.raises(InputError, match="outside the classes left out"):
        build_pti(paths, {"pti": str(tmp_path / "pti.tif")}, staging, Progress(),
                  PtiOptions(left_out=LeftOutClasses(exclude)))


def test_own_thresholds_move_the_tiers():
    options = PtiOptions(cold=-5, cool=-2, warm=1, isolated=20)
    magt = np.array([-5.1, -5.0, -2.0, -1.9, 1.0, 1.1, -3.0])
    percent = np.array([50.0, 50, 50, 50, 50, 50, 19.9])
    zero, one = np.zeros(7, dtype=np.int32), np.ones(7, dtype=np.int32)
    index, _ = rank_cells(magt, one, zero, percent, one, options)
    assert index.tolist() == [12, 22, 22, 32, 32, 0, 40]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_at_own_thresholds_are_in_the_tier_that_is_closed_there(dtype):
    """Hundredths are no binary numbers: stored in single precision they lie above or below the limit as it is given."""
    for limit in (np.arange(-290, 0) / 100).tolist():
        options = PtiOptions(cold=-3, cool=limit, warm=-limit, isolated=-10 * limit)
        # files of single precision are read as doubles
        magt = np.array([limit, -limit, limit + 0.01, -limit + 0.01]).astype(dtype).astype(np.float64)
        percent = np.full(4, -10 * limit).astype(dtype).astype(np.float64)
        zero, one = np.zeros(4, dtype=np.int32), np.ones(4, dtype=np.int32)
        assert rank_cells(magt, zero, zero, percent, one, options)[0].tolist() == [21, 31, 31, 0], limit


@pytest.mark.parametrize(("scale", "offset", "unit"), [(0.01, 0, "K"), (0.01, 150, "K"), (0.01, 0, "degC"),
                                                       (0.001, 0, "degC"), (0.1, 0, "degC")])
def test_temperatures_as_products_store_them_are_in_the_tier_that_is_closed_there(tmp_path, scale, offset, unit):
    zero = 273.15 if unit == "K" else 0.0
    limits = np.array([round((limit + zero - offset) / scale) for limit in (-3, -1.5, 3)])
    stored = (limits[:, None] + [-1, 0, 1]).reshape(1, 9)
    values = {"MAGT_TREND": 0, "ALT_TREND": 0, "PP": 80.0, "BASE": 1}
    paths = {role: write_raster(tmp_path / f"{role}.tif", np.full((1, 9), value)) for role, value in values.items()}
    paths["MAGT"] = write_raster(tmp_path / "MAGT.tif", stored, dtype="int16", nodata=-32768, scale=scale,
                                 offset=offset, unit=unit)
    with Staging() as staging:
        build_pti(paths, {"pti": str(tmp_path / "pti.tif")}, staging, Progress(), PtiOptions())
        staging.commit()
    assert np.nan_to_num(read_raster(tmp_path / "pti.tif")).tolist() == [[11, 21, 21, 21, 21, 31, 31, 31, 0]]


@pytest.mark.parametrize("options, text", [
    (PtiOptions(cold=-1.5, cool=-1.5), "must rise"), (PtiOptions(warm=-2), "must rise"),
    (PtiOptions(isolated=101), "0 to 100"),
])
def test_thresholds_out_of_order_are_refused(options, text):
    with pytest.raises(InputError, match=text):
        options.check()


def geodesic_cell_areas(crs, transform, rows, columns):
    """Areas in km² of the cells as geodesic polygons whose edges are straight in the CRS, by PROJ."""
    geod = pyproj.Geod(ellps="WGS84")
    change = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    steps = np.linspace(0, 1, 16)[:-1]
    edge_columns = np.concatenate([steps, np.ones(15), 1 - steps, np.zeros(15)])
    edge_rows = np.concatenate([np.zeros(15), steps, np.ones(15), 1 - steps])
    areas = np.empty((rows, columns))
    for row, column in itertools.product(range(rows), range(columns)):
        x = transform[0] + transform[1] * (column + edge_columns)
        y = transform[3] + transform[5] * (row + edge_rows)
        areas[row, column] = abs(geod.polygon_area_perimeter(*change.transform(x, y))[0]) / 1e6
    return areas


PLACES = [(6931, (-2000000, 60000, 0, 1900000, 0, -60000)), (3995, (-2000000, 60000, 0, 1900000, 0, -60000)),
          (3995, (3000000, 25000, 0, -3000000, 0, -25000)), (4326, (60, 0.5, 0, 82, 0, -0.5))]


@pytest.mark.parametrize("epsg, transform", PLACES)
def test_areas_by_rank_are_the_geodesic_ones(tmp_path, epsg, transform):
    rng = np.random.default_rng(5)
    rows, columns = 18, 22
    magt = rng.uniform(-8, 4, (rows, columns))
    layers = {"MAGT": magt, "MAGT_TREND": rng.integers(-1, 2, magt.shape), "ALT_TREND": rng.integers(-1, 2, magt.shape),
              "PP": rng.uniform(0, 100, magt.shape), "BASE": (rng.random(magt.shape) < 0.8).astype("uint8")}
    paths = {role: write_raster(tmp_path / f"{role}.tif", values, crs=f"EPSG:{epsg}", transform=transform)
             for role, values in layers.items()}
    outputs = {"pti": str(tmp_path / "pti.tif"), "reason": None}
    with Staging() as staging:
        result = build_pti(paths, outputs, staging, Progress())
        staging.commit()
    areas = geodesic_cell_areas(epsg, transform, rows, columns)
    index = np.nan_to_num(read_raster(outputs["pti"]))
    expected = {code: areas[index == code].sum() for code in ranks.CODES}
    assert min(expected.values()) > 0
    assert {row["rank"]: row["area_km2"] for row in result["table"]} == pytest.approx(expected, rel=2e-5)
    total = sum(expected.values())
    assert result["area_km2"] == pytest.approx(total, rel=2e-5)
    assert {row["rank"]: row["share_percent"] for row in result["table"]} == pytest.approx(
        {code: 100 * area / total for code, area in expected.items()}, abs=2e-3)
    weighted = {code: (areas * layers["PP"] / 100)[index == code].sum() for code in ranks.CODES}
    assert {row["rank"]: row["pp_weighted_km2"] for row in result["table"]} == pytest.approx(weighted, rel=2e-5)
    # the same map, measured again from its file
    again = {row["rank"]: row["area_km2"] for row in map_areas(outputs["pti"], Progress())}
    assert again == {row["rank"]: row["area_km2"] for row in result["table"]}
    shares = tier_shares(result["table"])
    assert sum(shares.values()) == pytest.approx(100, abs=0.05)
    assert shares["cold"] == pytest.approx(100 * sum(expected[code] for code in (11, 12, 13)) / total, abs=0.02)


def small(folder, **changes):
    """Five agreeing layers of 3 × 3 cells; ``changes`` replaces arrays by role."""
    layers = {"MAGT": np.full((3, 3), -4.0), "MAGT_TREND": np.ones((3, 3)), "ALT_TREND": np.zeros((3, 3)),
              "PP": np.full((3, 3), 60.0), "BASE": np.ones((3, 3)), **changes}
    return {role: write_raster(folder / f"{role}.tif", values, dtype="float32", nodata=-9999)
            for role, values in layers.items()}


def build(paths, folder, **options):
    with Staging() as staging:
        result = build_pti(paths, {"pti": str(folder / "out.tif")}, staging, Progress(), PtiOptions(**options))
        staging.commit()
    return result


def test_a_slope_given_for_a_sign_raster_is_refused(tmp_path):
    slope = np.full((3, 3), 0.03)
    with pytest.raises(InputError, match=r"MAGT_TREND\.tif holds the value 0\.03.*whole-numbered"):
        build(small(tmp_path, MAGT_TREND=slope), tmp_path)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("role, value, text", [
    ("ALT_TREND", 2, r"ALT_TREND\.tif holds the value 2.*significant-sign raster"),
    ("BASE", 7, r"BASE\.tif holds the value 7.*base map"),
    ("MAGT", 270, r"MAGT\.tif runs from 270 to 270: that looks like K"),
    ("PP", 0.4, r"PP\.tif runs from 0\.4 to 0\.4: that looks like fraction"),
    ("MAGT", -9999, r"MAGT\.tif has no data at all"),
    ("BASE", -9999, r"BASE\.tif has no data at all"),
    ("BASE", 0, "No cell received a rank"),
])
def test_layers_that_cannot_be_right_are_refused(tmp_path, role, value, text):
    with pytest.raises(InputError, match=text):
        build(small(tmp_path, **{role: np.full((3, 3), value)}), tmp_path)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("role", ["MAGT", "PP", "MAGT_TREND", "ALT_TREND", "BASE"])
def test_a_layer_of_two_bands_is_refused(tmp_path, role):
    paths = small(tmp_path)
    paths[role] = write_raster(tmp_path / "two.tif", np.ones((2, 3, 3)), dtype="float32", nodata=-9999)
    with pytest.raises(InputError, match=r"two\.tif has 2 bands where a single layer is expected"):
        build(paths, tmp_path)
    assert not list(tmp_path.glob("out*"))


def test_the_index_is_not_built_with_thresholds_out_of_order(tmp_path):
    for options, text in (({"cold": 0.0}, "must rise: 0, -1.5, 3 do not"), ({"isolated": 101.0}, "101 %; it must lie")):
        with pytest.raises(InputError, match=text):
            build(small(tmp_path), tmp_path, **options)
    assert not list(tmp_path.glob("out*"))


def test_a_unit_that_is_stated_is_converted(tmp_path):
    paths = small(tmp_path, MAGT=np.full((3, 3), 269.15), PP=np.full((3, 3), 0.6))
    result = build(paths, tmp_path, units="MAGT.tif=K; PP*=fraction")
    assert [row["rank"] for row in result["table"] if row["cells"]] == [12]


def test_trends_of_different_years_are_refused(tmp_path):
    paths = small(tmp_path)
    for role, first in (("MAGT_TREND", 1997), ("ALT_TREND", 2003)):
        tags = {"PTI_FIRST_YEAR": first, "PTI_LAST_YEAR": 2021, "PTI_LAYERS": 2022 - first}
        paths[role] = write_raster(tmp_path / f"{role}.tif", np.ones((3, 3), dtype="int16"), metadata=tags)
    with pytest.raises(InputError, match=r"different years.*1997–2021 \(25 layers\).*2003–2021 \(19 layers\)"):
        build(paths, tmp_path)


def test_layers_on_different_grids_are_refused_without_a_target(tmp_path):
    paths = small(tmp_path)
    paths["PP"] = write_raster(tmp_path / "PP.tif", np.full((3, 4), 60.0))
    with pytest.raises(GridError, match=r"PP\.tif is not on the grid of MAGT\.tif.*4 x 3.*TARGET"):
        build(paths, tmp_path)


def test_a_map_with_codes_that_are_no_ranks_has_no_areas(tmp_path):
    path = write_raster(tmp_path / "map.tif", np.array([[11, 14]], dtype="uint8"), nodata=0)
    with pytest.raises(InputError, match="value 14"):
        map_areas(path, Progress())
