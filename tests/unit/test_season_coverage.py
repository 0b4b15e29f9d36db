"""Coverage judged within each season: polar nights, seasons hardly ever there, nights filled for the trend."""

import numpy as np
import pymannkendall
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.series import mann_kendall
from pti_plugin.core.series.gap_filling import fill_nights
from pti_plugin.core.series.trends import TrendOptions, trend_rasters
from support import Log, read_raster, write_raster

NODATA = -9999
NAMES = ("slope", "sign", "p", "z", "s", "count", "seasons", "lag_1")
YEARS = 25


def months(count, first=(2000, 1)):
    start = first[0] * 12 + first[1] - 1
    return [f"{i // 12}-{i % 12 + 1:02d}" for i in range(start, start + count)]


def run(cube, folder, stamps=None, names=NAMES, dtype="float64", settings=None, **options):
    """Return ({name: array}, result, log) of the trend of a cube (steps, rows, columns) with NaN gaps."""
    path = write_raster(folder / "series.tif", np.where(np.isnan(cube), NODATA, cube), nodata=NODATA, dtype=dtype,
                        descriptions=stamps or months(len(cube)))
    outputs, log = {name: str(folder / f"out_{name}.tif") for name in names}, Log()
    with Staging([path]) as staging:
        result = trend_rasters([path], outputs, staging, log, TrendOptions(**{"period": 12, **options}),
                               settings=settings)
        staging.commit()
    return {name: read_raster(file) for name, file in outputs.items()}, result, log


def used_seasons(x, period, share=0.8):
    """Return which seasons of one series have their share of the years, by a plain loop."""
    used = []
    for season in range(period):
        values = x[season::period]
        used.append((~np.isnan(values)).sum() >= max(2, share * len(values) - 1e-9))
    return np.array(used)


def in_used(x, period, share=0.8):
    """Return a series with the seasons that are not used taken out, and how many are used."""
    used = used_seasons(x, period, share)
    return np.where(np.resize(used, len(x)), x, np.nan), int(used.sum())


def night_cube(seed=0):
    """25 years of months that rise; the rows lack 0 to 7 months around December of every year."""
    rng = np.random.default_rng(seed)
    cube = rng.normal(size=(12 * YEARS, 8, 4)) + 0.06 * np.repeat(np.arange(YEARS), 12)[:, None, None]
    for row, dark in enumerate(range(8)):
        for month in [11, 0, 10, 1, 9, 2, 8][:dark]:
            cube[month::12, row] = np.nan
    return cube


@pytest.mark.parametrize("engine", mann_kendall.engines())
def test_cells_with_polar_night_have_the_test_of_their_other_months(tmp_path, engine, monkeypatch):
    monkeypatch.setattr(mann_kendall, "engines", lambda: (engine,))
    cube = night_cube()
    got, result, log = run(cube, tmp_path)
    for row in range(8):
        for column in range(4):
            expected = pymannkendall.seasonal_test(cube[:, row, column], period=12)
            assert got["s"][row, column] == expected.s and got["sign"][row, column] == 1
            assert got["p"][row, column] == pytest.approx(expected.p, rel=1e-5)
            assert got["slope"][row, column] == pytest.approx(expected.slope, rel=1e-6)
    assert (got["seasons"] == 12 - np.arange(8)[:, None]).all() and (got["count"] == 25 * got["seasons"]).all()
    # as strong as in a cell with a day every month
    assert got["p"][3].max() < 1e-4 and got["p"][4].max() < 1e-4
    assert result["seasons"] == {str(12 - dark): 4 for dark in range(8)} and result["cells"]["few"] == 0
    assert any("12 of 12 at 4 cells, 11 of 12 at 4 cells" in line for line in log.lines)
    assert any("4 of 32 tested cells have fewer than half of the 12 seasons" in line for line in log.warnings)


@pytest.mark.parametrize(("dark", "seed", "slope", "p"), [((11, 0, 1), 6, 0.08, 4e-12),
                                                          ((10, 11, 0, 1), 47, 0.075, 6e-14)])
def test_a_strong_trend_is_found_under_three_and_four_months_of_night(tmp_path, dark, seed, slope, p):
    x = np.random.default_rng(seed).normal(size=12 * YEARS) + slope * np.repeat(np.arange(YEARS), 12)
    for month in dark:
        x[month::12] = np.nan
    expected = pymannkendall.seasonal_test(x, period=12)
    assert expected.p == pytest.approx(p, rel=0.15)
    got, _, _ = run(x[:, None, None] + np.zeros((1, 2, 2)), tmp_path)
    assert got["p"][0, 0] == pytest.approx(expected.p, rel=1e-5) and got["sign"][0, 0] == 1
    with pytest.raises(InputError, match=r"No cell has enough values to test a trend \(240 of 300"):
        run(x[:, None, None] + np.zeros((1, 2, 2)), tmp_path, coverage="all_steps")


def gappy(rng, steps, period):
    """One series: a season, a trend, ties; random gaps, seasons never, hardly ever and mostly there."""
    x = np.round(rng.normal(size=steps) + np.arange(steps) / period * rng.choice([0, 0.1]), rng.choice([0, 1, 5]))
    x[rng.random(steps) < rng.choice([0, 0.02, 0.15, 0.6])] = np.nan
    for season in range(period):
        x[season::period][rng.random(len(x[season::period])) < rng.choice([0, 0, 0, 0.2, 0.5, 0.95, 1])] = np.nan
    return x


@pytest.mark.parametrize("engine", mann_kendall.engines())
@pytest.mark.parametrize(("period", "steps", "share"), [(12, 300, 0.8), (12, 205, 0.8), (4, 60, 0.6), (46, 460, 0.8),
                                                        (12, 120, 0.0), (3, 30, 1.0)])
def test_any_series_has_the_test_of_its_used_seasons(tmp_path, engine, period, steps, share, monkeypatch):
    monkeypatch.setattr(mann_kendall, "engines", lambda: (engine,))
    rng = np.random.default_rng([period, steps])
    cube = np.stack([gappy(rng, steps, period) for _ in range(60)], axis=1).reshape(steps, 6, 10)
    cube[:, 0, 0] = np.arange(steps)
    stamps = [f"{2000 + i // period}" + (f"-{i % 12 + 1:02d}" if period == 12 else "") for i in range(steps)]
    start = {} if period == 12 else {"start": "2000-01-01"}
    got, result, _ = run(cube, tmp_path, stamps if period == 12 else [""] * steps, period=period, min_share=share,
                         **start)
    tested = 0
    for row, column in np.ndindex(6, 10):
        x, number = in_used(cube[:, row, column], period, share)
        if number < -(-period // 4) or (~np.isnan(x)).sum() < 4:
            assert np.isnan(got["p"][row, column]) and np.isnan(got["sign"][row, column])
            assert got["seasons"][row, column] == 0
            continue
        tested += 1
        expected = pymannkendall.seasonal_test(x, period=period)
        assert got["seasons"][row, column] == number and got["s"][row, column] == expected.s
        assert got["p"][row, column] == pytest.approx(expected.p, rel=1e-5, abs=1e-14)
        assert got["slope"][row, column] == pytest.approx(expected.slope, rel=1e-6, abs=1e-12)
        assert got["count"][row, column] == (~np.isnan(cube[:, row, column])).sum()
    assert tested == sum(result["seasons"].values()) >= 10
    assert result["cells"]["few"] + result["cells"]["empty"] == 60 - tested


def test_both_engines_give_the_same_bytes_with_seasons_left_out(tmp_path, monkeypatch):
    if len(mann_kendall.engines()) < 2:
        pytest.skip("numba is not installed")
    rng = np.random.default_rng(3)
    cube = np.round(np.stack([gappy(rng, 240, 12) for _ in range(80)], axis=1).reshape(240, 8, 10), 1)
    for method in ("original", "hirsch_slack"):
        seen = []
        for engine in mann_kendall.engines():
            with monkeypatch.context() as patch:
                patch.setattr(mann_kendall, "engines", lambda engine=engine: (engine,))
                folder = tmp_path / f"{method}_{engine}"
                folder.mkdir()
                run(cube, folder, names=("slope", "sign", "p", "z", "s", "seasons"), method=method)
                seen.append([path.read_bytes() for path in sorted(folder.glob("out_*.tif"))])
        assert seen[0] == seen[1]


def test_hirsch_slack_takes_the_covariances_of_the_used_seasons(tmp_path):
    rng = np.random.default_rng(4)
    cube = rng.normal(size=(240, 6, 5)) + 0.5 * np.repeat(rng.normal(size=(20, 6, 5)), 12, axis=0)
    cube[11::12, 2:] = cube[0::12, 3:] = cube[1::12, 5] = np.nan
    # hardly ever there: taken out, and the rest is complete
    cube[11::12, 2:][[3, 7]] = 50
    got, result, _ = run(cube, tmp_path, method="hirsch_slack")
    for row, column in np.ndindex(6, 5):
        x = cube[:, row, column].reshape(20, 12)[:, used_seasons(cube[:, row, column], 12)]
        assert got["seasons"][row, column] == x.shape[1] == 12 - (row >= 2) - (row >= 3) - (row == 5)
        expected = pymannkendall.correlated_seasonal_test(x.ravel(), period=x.shape[1])
        assert got["p"][row, column] == pytest.approx(expected.p, rel=1e-5)
        assert got["s"][row, column] == expected.s
        assert got["slope"][row, column] == pytest.approx(expected.slope, rel=1e-6)
    # the self-check of the run compares such cells too
    assert result["self_check"]["cells"] == 30


def test_share_is_of_the_years_that_the_series_has_of_a_season(tmp_path):
    # July 2000 to June 2005: five of every month, though six calendar years are touched
    cube = np.random.default_rng(5).normal(size=(60, 3, 3))
    cube[:12, 1, 1] = np.nan
    cube[:24, 2, 2] = np.nan
    got, result, _ = run(cube, tmp_path, months(60, (2000, 7)))
    assert got["seasons"][1, 1] == 12 and got["seasons"][2, 2] == 0 and np.isnan(got["p"][2, 2])
    assert result["cells"]["few"] == 1


def test_a_test_needs_a_quarter_of_the_seasons_unless_told_otherwise(tmp_path):
    cube = np.random.default_rng(6).normal(size=(120, 1, 4))
    for column, having in enumerate((1, 2, 3, 12)):
        for month in range(having, 12):
            cube[month::12, 0, column] = np.nan
    for options, expected in (({}, [0, 0, 3, 12]), ({"min_seasons": 1}, [1, 2, 3, 12]),
                              ({"min_seasons": 12}, [0, 0, 0, 12]), ({"coverage": "all_steps"}, [0, 0, 0, 12])):
        got, result, _ = run(cube, tmp_path, **options)
        assert got["seasons"][0].tolist() == expected
        assert np.isnan(got["p"][0]).tolist() == [number == 0 for number in expected]


def test_coverage_by_all_steps_is_the_published_way(tmp_path):
    cube = np.random.default_rng(7).normal(size=(240, 3, 4))
    cube[::12, 1] = np.nan
    cube[:100:12, 2] = np.nan
    got, result, _ = run(cube, tmp_path, coverage="all_steps")
    for row, column in np.ndindex(3, 4):
        assert got["s"][row, column] == pymannkendall.seasonal_test(cube[:, row, column], period=12).s
    assert "seasons" not in result and (got["seasons"] == [[12], [11], [12]]).all()


def test_annual_series_are_the_same_under_both_coverages(tmp_path):
    cube = np.random.default_rng(8).normal(size=(20, 20, 30))
    cube[np.random.default_rng(9).random(cube.shape) < 0.2] = np.nan
    seen = []
    for coverage in ("by_season", "all_steps"):
        folder = tmp_path / coverage
        folder.mkdir()
        _, result, _ = run(cube, folder, [str(2000 + i) for i in range(20)], period=1, coverage=coverage)
        seen.append([(folder / f"out_{name}.tif").read_bytes() for name in NAMES])
        assert "seasons" not in result
    assert seen[0] == seen[1]


def test_block_size_and_threads_do_not_change_a_byte(tmp_path):
    rng = np.random.default_rng(10)
    cube = np.tile(np.stack([gappy(rng, 120, 12) for _ in range(30)], axis=1).reshape(120, 5, 6), (1, 30, 20))
    seen = []
    for block, threads in ((64, 1), (256, 2)):
        folder = tmp_path / f"b{block}"
        folder.mkdir()
        _, result, _ = run(cube, folder, settings=Settings(threads, block), night="linear", dtype="float32")
        seen.append(([(folder / f"out_{name}.tif").read_bytes() for name in NAMES], result["seasons"], result["night"]))
    assert seen[0] == seen[1]


def linear(x, period, most):
    """Fill the gaps inside the years of one series by NumPy's own interpolation, as long as they are not too long."""
    x = x.copy()
    for first in range(0, len(x), period):
        year = x[first:first + period]
        known = np.flatnonzero(~np.isnan(year))
        for before, after in zip(known, known[1:]):
            if 1 < after - before <= most + 1:
                between = np.arange(before + 1, after)
                year[between] = np.interp(between, [before, after], year[[before, after]])
    return x


def test_nights_are_filled_as_numpy_interpolates():
    rng = np.random.default_rng(11)
    for period, most in ((12, 6), (12, 2), (46, 23), (3, 1)):
        year = rng.normal(size=(period, 200))
        year[rng.random(year.shape) < rng.random(200)] = np.nan
        expected = np.stack([linear(column, period, most) for column in year.T], axis=1)
        lost = np.isnan(year)
        filled = fill_nights(year, np.ones(period, dtype=bool), most)
        np.testing.assert_allclose(year, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(filled, (lost & ~np.isnan(expected)).sum(axis=0))
    year = np.array([[1.0], [np.nan], [np.nan], [4.0]])
    assert fill_nights(year, np.array([True, False, True, True]), 6).tolist() == [1]
    np.testing.assert_array_equal(year[:, 0], [1, np.nan, 3, 4])


def test_the_trend_of_filled_nights_is_that_of_the_filled_series(tmp_path):
    cube = night_cube(2)[6:-6]
    stamps = months(len(cube), (2000, 7))
    plain, _, _ = run(cube, tmp_path, stamps, season_start=7)
    got, result, log = run(cube, tmp_path, stamps, season_start=7, night="linear")
    filled = np.stack([linear(column, 12, 6) for column in cube.reshape(len(cube), -1).T], axis=1).reshape(cube.shape)
    for row, column in np.ndindex(8, 4):
        x, number = in_used(filled[:, row, column], 12)
        assert got["s"][row, column] == pymannkendall.seasonal_test(x, period=12).s
        assert got["seasons"][row, column] == number == (12 if row < 7 else 5)
    assert (got["count"] == (~np.isnan(filled)).sum(axis=0)).all() and (plain["seasons"][3] == 9).all()
    lost = np.isnan(cube).sum() - np.isnan(filled).sum()
    assert result["night"] == {"values_filled": lost, "share": pytest.approx(lost / (~np.isnan(filled)).sum())}
    assert any("filled between their neighbours" in line for line in log.lines)


@pytest.mark.parametrize("method", ["original", "hirsch_slack"])
@pytest.mark.parametrize("years", [2, 3, 4])
def test_a_series_in_which_no_trend_can_be_significant_is_told(tmp_path, method, years):
    """All rises that there are, of all seasons alike and of each by itself."""
    rng = np.random.default_rng(years)
    cube = rng.normal(size=(12 * years, 20, 30)) + np.repeat(np.arange(years), 12)[:, None, None] * rng.choice(
        [0, 1, 3, 100], (20, 30))
    got, _, log = run(cube, tmp_path, method=method, alpha=0.06)
    told = [line for line in log.warnings if "too short for a trend" in line]
    assert bool(told) == (method == "hirsch_slack" and years < 4)
    if told:
        least = float(told[0].split("p is ")[1].split()[0])
        assert least >= 0.08 and (got["p"] > least - 0.005).all() and not got["sign"].any()
    else:
        assert got["sign"].any()


def test_annual_series_of_four_years_have_no_significant_trend_and_that_is_told(tmp_path):
    for years, short in ((4, True), (5, False)):
        cube = np.arange(years, dtype=float)[:, None, None] + np.zeros((years, 2, 2))
        got, _, log = run(cube, tmp_path, [str(2000 + year) for year in range(years)], period=1)
        p = pymannkendall.original_test(cube[:, 0, 0]).p
        np.testing.assert_allclose(got["p"], p, rtol=1e-6)
        assert any(f"p is {p:.2g} at best" in line for line in log.warnings) == short == bool(p > 0.05)


@pytest.mark.parametrize(("options", "message"), [
    ({"coverage": "years"}, "COVERAGE is 'years'"), ({"night": "cubic"}, "NIGHT is 'cubic'"),
    ({"min_share": 1.2}, "MIN_SHARE is 1.2"), ({"min_seasons": 13}, "MIN_SEASONS is 13"),
    ({"period": 1, "night": "linear"}, "PERIOD is 1, but NIGHT fills"),
])
def test_options_out_of_their_range_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(np.zeros((48, 2, 2)), tmp_path, **options)
