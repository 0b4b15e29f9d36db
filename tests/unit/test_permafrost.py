"""The ensemble of permafrost products equals a plain calculation cell by cell, for every combination of values."""

import itertools
import statistics

import numpy as np
import pytest

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.permafrost import (
    BASE_NODATA,
    EnsembleKernel,
    EnsembleOptions,
    ensemble_percent,
    ensemble_permafrost,
    ensemble_temperature,
)
from pti_plugin.core.rasters.blocks import Window
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from support import read_raster, write_raster

NOTHING = float("nan")
PERCENT = (NOTHING, 0.0, 0.5, 90.0)
MAGT = (NOTHING, 0.0, -0.25, -12.0)
COMBINATIONS = list(itertools.product(range(4), repeat=3))
OUTPUTS = ("base", "pp", "magt", "count", "spread")


def known(values):
    return [value for value in values if value == value]


def percent_of_cell(values, absent, min_products):
    """One cell: (base, PP, count, spread); NaN is nodata. A flagged product says 0 where another says anything."""
    if not known(values):
        return BASE_NODATA, NOTHING, 0, NOTHING
    values = known(0.0 if flagged and value != value else value for value, flagged in zip(values, absent))
    base = 1 if sum(value > 0 for value in values) >= min_products else 0
    return base, statistics.median(values) if base else NOTHING, len(values), max(values) - min(values)


def temperature_of_cell(values, min_magt):
    """One cell: (MAGT, count, spread)."""
    values = known(values)
    return (statistics.median(values) if len(values) >= min_magt else NOTHING, len(values),
            max(values) - min(values) if values else NOTHING)


def check(found, expected):
    for got, wanted in zip(found, zip(*expected)):
        np.testing.assert_array_equal(np.asarray(got, dtype=float).ravel(), np.array(wanted, dtype=float))


@pytest.mark.parametrize("min_products", [1, 2, 3])
@pytest.mark.parametrize("absent", list(itertools.product((False, True), repeat=3)))
def test_percent_of_three_products_in_every_combination(absent, min_products):
    cells = [[PERCENT[i] for i in combination] for combination in COMBINATIONS]
    found = ensemble_percent(np.array(cells).T.reshape(3, 8, 8), absent, min_products)
    check(found, [percent_of_cell(cell, absent, min_products) for cell in cells])


@pytest.mark.parametrize("min_magt", [1, 2, 3])
def test_temperature_of_three_products_in_every_combination(min_magt):
    cells = [[MAGT[i] for i in combination] for combination in COMBINATIONS]
    found = ensemble_temperature(np.array(cells).T.reshape(3, 8, 8), min_magt)
    check(found, [temperature_of_cell(cell, min_magt) for cell in cells])


@pytest.mark.parametrize("products", [2, 4, 5])
def test_other_numbers_of_products_at_random(products):
    rng = np.random.default_rng(products)
    for _ in range(20):
        percent = rng.choice([NOTHING, 0.0, 0.0, 3.0, 42.0, 77.7, 100.0], (products, 60))
        magt = np.where(rng.random(percent.shape) < 0.4, NOTHING, rng.normal(-3, 4, percent.shape))
        absent = tuple(bool(flag) for flag in rng.integers(0, 2, products))
        least = int(rng.integers(1, products + 1))
        check(ensemble_percent(percent[:, None], absent, least),
              [percent_of_cell(cell, absent, least) for cell in percent.T])
        check(ensemble_temperature(magt[:, None], least), [temperature_of_cell(cell, least) for cell in magt.T])


def test_the_inputs_of_the_arithmetic_are_not_changed():
    percent = np.array([[[NOTHING]], [[5.0]]])
    ensemble_percent(percent, (True, True), 1)
    assert np.isnan(percent[0, 0, 0])


def every_cell():
    """64 × 64 cells: rows run through all combinations of PP, columns through all of MAGT."""
    percent = np.array([[PERCENT[i] for i in combination] for combination in COMBINATIONS]).T
    magt = np.array([[MAGT[i] for i in combination] for combination in COMBINATIONS]).T
    return np.repeat(percent[:, :, None], 64, axis=2), np.repeat(magt[:, None, :], 64, axis=1)


def write_products(folder):
    """Three products a role, each in a unit and storage of its own."""
    percent, magt = every_cell()
    pp_paths = [
        write_raster(folder / "obu_pp.tif", percent[0] / 100, nodata=-1, dtype="float64"),
        write_raster(folder / "nieer_pp.tif", percent[1], nodata=float("nan"), dtype="float32", unit="%"),
        write_raster(folder / "cci_pp.tif", percent[2] * 2, nodata=255, dtype="uint8", scale=0.5)]
    magt_paths = [
        write_raster(folder / "obu_magt.tif", magt[0], nodata=-9999, dtype="float32"),
        write_raster(folder / "nieer_magt.tif", magt[1] * 100, nodata=-32768, dtype="int16", scale=0.01),
        write_raster(folder / "cci_magt.tif", (magt[2] + 273.15) * 100, nodata=0, dtype="float64", scale=0.01,
                     unit="K")]
    return pp_paths, magt_paths


def run(folder, pp_paths, magt_paths, name="out", progress=None, **options):
    paths = {output: str(folder / f"{name}_{output}.tif") for output in OUTPUTS}
    with Staging() as staging:
        result = ensemble_permafrost(pp_paths, magt_paths, paths, staging, progress or Progress(),
                                     EnsembleOptions(**{"units": "obu_pp*=fraction", **options}))
        staging.commit()
    return result, paths


@pytest.mark.parametrize("min_products, min_magt, absent", [
    (2, 2, "obu*; cci_pp.tif"), (1, 3, ""), (3, 1, "nieer_pp.tif")])
def test_every_combination_through_files(tmp_path, min_products, min_magt, absent):
    progress = Progress()
    result, paths = run(tmp_path, *write_products(tmp_path), progress=progress, min_products=min_products,
                        min_magt=min_magt, absent=absent)
    flags = tuple(any(text.split("_")[0].rstrip("*") == name for text in absent.split("; "))
                  for name in ("obu", "nieer", "cci"))
    assert sum(flags) == len([text for text in absent.split("; ") if text])
    cells = [percent_of_cell([PERCENT[i] for i in combination], flags, min_products) for combination in COMBINATIONS]
    base, percent, count, spread = (np.repeat(np.array(column, dtype=float)[:, None], 64, axis=1)
                                    for column in zip(*cells))
    temperatures = [temperature_of_cell([MAGT[i] for i in combination], min_magt) for combination in COMBINATIONS]
    magt, magt_count, magt_spread = (np.repeat(np.array(column, dtype=float)[None], 64, axis=0)
                                     for column in zip(*temperatures))
    np.testing.assert_array_equal(read_raster(paths["base"]), np.where(base == BASE_NODATA, np.nan, base))
    np.testing.assert_allclose(read_raster(paths["pp"]), percent, rtol=1e-6)
    np.testing.assert_allclose(read_raster(paths["magt"]), magt, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(read_raster(paths["count"], 1), count)
    np.testing.assert_array_equal(read_raster(paths["count"], 2), magt_count)
    np.testing.assert_allclose(read_raster(paths["spread"], 1), spread, rtol=1e-6)
    np.testing.assert_allclose(read_raster(paths["spread"], 2), magt_spread, rtol=1e-6, atol=1e-5)
    assert result["cells"]["permafrost"] == (base == 1).sum()
    assert result["cells"]["no_permafrost"] == (base == 0).sum()
    assert result["cells"]["magt"] == (~np.isnan(magt)).sum()
    without = int(((base == 1) & np.isnan(magt)).sum())
    assert result["cells"]["permafrost_without_magt"] == without > 0
    assert any(f"{without} of {int((base == 1).sum())} permafrost cells" in text for text in progress.warnings)
    assert result["area_km2"] == pytest.approx(625 * (base == 1).sum())


def test_the_order_of_the_lists_does_not_change_a_byte(tmp_path):
    pp_paths, magt_paths = write_products(tmp_path)
    first = None
    for number, order in enumerate(itertools.permutations(range(3))):
        _, paths = run(tmp_path, [pp_paths[i] for i in order], [magt_paths[i] for i in reversed(order)], str(number),
                       absent="obu*")
        contents = [open(paths[output], "rb").read() for output in OUTPUTS]
        first = first or contents
        assert contents == first


def test_a_flag_on_another_product_changes_the_result(tmp_path):
    pp_paths, magt_paths = write_products(tmp_path)
    results = [run(tmp_path, pp_paths, magt_paths, f"flag_{name}", absent=f"{name}*")[1]
               for name in ("obu", "cci")]
    assert not np.array_equal(read_raster(results[0]["pp"]), read_raster(results[1]["pp"]), equal_nan=True)


def test_the_kernel_does_what_its_functions_do():
    percent, magt = every_cell()
    grid = Grid(epsg_wkt(6931), (0, 1000, 0, 0, 0, -1000), 64, 64)
    outputs, tallies = EnsembleKernel((True, False, True), 2, 2)({"PP": list(percent), "MAGT": list(magt)},
                                                                Window(0, 64, 0, 64), grid)
    np.testing.assert_array_equal(outputs["base"], ensemble_percent(percent, (True, False, True), 2)[0])
    assert tallies["area"]["permafrost"] == tallies["cells"]["permafrost"] * 10 ** 10


@pytest.mark.parametrize("pp, magt, options, error, text", [
    (1, 3, {}, InputError, "at least 2 PP products; 1 given"),
    (3, 1, {}, InputError, "at least 2 MAGT products; 1 given"),
    (3, 3, {"min_products": 4}, InputError, "MIN_PRODUCTS is 4"),
    (3, 3, {"min_magt": 0}, InputError, "MIN_MAGT is 0"),
    (3, 3, {"units": "obo*=fraction"}, InputError, r"'obo\*' in UNITS matches none"),
    (3, 3, {"units": "obu_pp*=fraction", "absent": "cc1*"}, InputError, r"'cc1\*' in ABSENT matches none"),
    (3, 3, {"units": ""}, InputError, r"obu_pp\.tif runs from 0 to 0\.9: that looks like fraction"),
    (3, 3, {"units": "obu_pp.tif"}, InputError, "not of the form name=value"),
])
def test_what_cannot_be_an_ensemble_is_refused(tmp_path, pp, magt, options, error, text):
    pp_paths, magt_paths = write_products(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=text):
        run(tmp_path, pp_paths[:pp], magt_paths[:magt], **options)
    assert sorted(tmp_path.iterdir()) == before


def test_the_same_product_twice_is_refused(tmp_path):
    pp_paths, magt_paths = write_products(tmp_path)
    with pytest.raises(InputError, match="same PP product is given twice"):
        run(tmp_path, [pp_paths[0], pp_paths[1], pp_paths[1]], magt_paths)


def test_a_product_on_another_grid_is_refused_by_name(tmp_path):
    pp_paths, magt_paths = write_products(tmp_path)
    pp_paths[1] = write_raster(tmp_path / "wide_pp.tif", np.ones((64, 65)) * 50, dtype="float32")
    with pytest.raises(GridError, match=r"wide_pp\.tif is not on the grid of .*: it has 65 x 64 cells, not 64 x 64"):
        run(tmp_path, pp_paths, magt_paths)


def test_products_without_common_permafrost_are_an_error_and_leave_nothing(tmp_path):
    first = np.full((4, 4), np.nan)
    second = first.copy()
    first[:, :2], second[:, 2:] = 80, 80
    pp_paths = [write_raster(tmp_path / f"{i}.tif", values, nodata=-9999) for i, values in enumerate((first, second))]
    magt_paths = [write_raster(tmp_path / f"m{i}.tif", np.full((4, 4), -3.0)) for i in range(2)]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="No cell has permafrost in enough products"):
        run(tmp_path, pp_paths, magt_paths, units="")
    assert sorted(tmp_path.iterdir()) == before


def test_products_out_of_their_range_are_refused(tmp_path):
    magt = [write_raster(tmp_path / f"m{i}.tif", np.full((4, 4), -3.0)) for i in range(2)]
    for values, text in ((np.full((4, 4), 130.0), "outside 0 to 100"), (np.full((4, 4), np.nan), "no data at all")):
        paths = [write_raster(tmp_path / f"{i}.tif", values, nodata=-9999) for i in range(2)]
        with pytest.raises(InputError, match=text):
            run(tmp_path, paths, magt, units="")
