"""Gaps of a cell inside a year: which years count, what fills them, polar nights; against plain loops over cells."""

import datetime

import numpy as np
import pytest

from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.series import composites
from pti_plugin.core.series.composites import CompositeOptions, composite_series
from support import Log, read_raster, standing, write_raster

NODATA = -9999
NAMES = ("composite", "count", "values", "series")


def run(cube, folder, stamps, names=NAMES, settings=None, **options):
    """Return ({name: array, the series with all bands}, result, log) of a cube (steps, rows, columns), NaN = gap."""
    path = write_raster(folder / "series.tif", np.where(np.isnan(cube), NODATA, cube), nodata=NODATA, dtype="float64",
                        descriptions=list(stamps))
    outputs, log = {name: str(folder / f"out_{name}.tif") for name in names}, Log()
    with Staging([path]) as staging:
        result = composite_series([path], outputs, staging, log, CompositeOptions(**options), settings)
        staging.commit()
    got = {name: read_raster(file) for name, file in outputs.items()}
    if "series" in names:
        got["series"] = np.stack([read_raster(outputs["series"], 1 + i) for i in range(len(result["years"]))])
    return got, result, log


def months(count, first=(2000, 1)):
    start = first[0] * 12 + first[1] - 1
    return [f"{i // 12}-{i % 12 + 1:02d}" for i in range(start, start + count)]


def composites_of(years, period=46):
    days = [1 + 8 * i for i in range(period)]
    return [(datetime.date(year, 1, 1) + datetime.timedelta(day - 1)).isoformat() for year in years for day in days]


def days_of(first, last):
    count = (datetime.date(last + 1, 1, 1) - datetime.date(first, 1, 1)).days
    return [(datetime.date(first, 1, 1) + datetime.timedelta(i)).isoformat() for i in range(count)]


def growing_year():
    """46 composites: peak 0.700, sum 9.01; without the 20 of the summer the highest is 0.0917 and the sum 0.71."""
    arc = np.sin(np.pi * (np.arange(20) + 0.5) / 20) / np.sin(np.pi * 9.5 / 20)
    low, high = 0.1, 5.0
    for _ in range(80):
        power = (low + high) / 2
        low, high = (power, high) if (0.7 * arc**power).sum() > 8.30 else (low, power)
    year = np.full(46, (0.71 - 2 * 0.0917) / 24)
    year[13:33] = 0.7 * arc**power
    year[[12, 33]] = 0.0917
    return year


def summers_lost():
    cube = np.tile(growing_year(), 5)[:, None, None] + np.zeros((1, 2, 2))
    for year in (0, 2, 3):
        cube[46 * year + 13:46 * year + 33, 0, 0] = np.nan
    return cube


@pytest.mark.parametrize(("statistic", "wrong", "right"), [("annual_maximum", 0.335, 0.700),
                                                           ("annual_positive_sum", 4.03, 9.01)])
def test_masked_summers_do_not_lower_peak_and_sum(tmp_path, statistic, wrong, right):
    stamps = composites_of(range(2000, 2005))
    got, _, log = run(summers_lost(), tmp_path, stamps, statistic=statistic, period=46, gaps="as_they_are")
    assert got["composite"][0, 0] == pytest.approx(wrong, abs=0.005) and got["count"][0, 0] == 5
    assert got["values"][0, 0] == 170 and not log.warnings
    got, result, log = run(summers_lost(), tmp_path, stamps, statistic=statistic, period=46)
    assert got["composite"] == pytest.approx(np.full((2, 2), right), abs=1e-5)
    assert got["count"].tolist() == [[2, 5], [5, 5]] and got["values"].tolist() == [[92, 230], [230, 230]]
    assert np.isnan(got["series"][:, 0, 0]).tolist() == [True, False, True, True, False]
    assert result["gaps"]["left_out"] == 3 and result["gaps"]["cell_years"] == 20
    assert any("of 20 years of cells 15.00 % are left out" in warning for warning in log.warnings)


def test_fifteen_masked_january_days_are_counted_by_the_days_of_january(tmp_path):
    stamps = days_of(2001, 2001)
    cube = np.ones((365, 1, 3))
    cube[:215] = 0
    cube[10:25, 0, 0] = np.nan
    # fifteen days of months that do not freeze
    cube[355:, 0, 1] = cube[245:250, 0, 1] = np.nan
    got, _, _ = run(cube, tmp_path, stamps, statistic="frozen_days", period=365, gaps="as_they_are")
    assert got["composite"].tolist() == [[200, 215, 215]]
    got, result, log = run(cube, tmp_path, stamps, statistic="frozen_days", period=365)
    assert got["composite"].tolist() == [[215, 215, 215]] and got["values"].tolist() == [[350, 350, 365]]
    assert result["gaps"]["filled_years"] == 2 and result["gaps"]["filled_values"] == 30
    assert any("66.67 % have values filled from the same month" in warning for warning in log.warnings)
    cube[25, 0, 0] = np.nan
    got, result, log = run(cube, tmp_path, stamps, statistic="frozen_days", period=365)
    assert np.isnan(got["composite"][0, 0]) and got["count"][0].tolist() == [0, 1, 1] and result["gaps"]["lost"] == 1
    assert any("1 cells have values, but no year" in warning for warning in log.warnings)
    got, _, _ = run(cube, tmp_path, stamps, statistic="frozen_days", period=365, partial="scaled")
    assert got["composite"].tolist() == [[215, 215, 215]]


def test_a_peak_that_is_hardly_ever_there_is_told(tmp_path):
    """Summer masked in 4 of 5 years, so that no rule can tell the usual peak; in 3 of 5 the two other years count."""
    peak = 0.1 + 0.6 * np.sin(np.pi * (np.arange(12) + 0.5) / 12)
    cube = np.tile(peak, (5, 1))[:, :, None] + np.zeros(3)
    cube[:3, 3:9, 1] = np.nan
    cube[:4, 3:9, 2] = np.nan
    got, result, log = run(cube.reshape(60, 1, 3), tmp_path, months(60), statistic="annual_maximum", period=12)
    np.testing.assert_allclose(got["composite"][0, :2], peak.max(), rtol=1e-6)
    assert got["composite"][0, 2] < 0.6 and result["gaps"]["hidden_peaks"] == 1
    assert [line for line in log.warnings if line.startswith("1 cells have their highest season in fewer than 25 %")]


def gappy_cube(rng, years, period, cells=60):
    """Series with a season, noise and gaps of every kind: random, whole seasons, whole years, a season once only."""
    season = np.sin(2 * np.pi * (np.arange(period) - period / 4) / period)
    cube = np.empty((years, period, cells))
    for cell in range(cells):
        x = 0.3 + 0.4 * season + rng.normal(0, 0.15, (years, period))
        x[rng.random(x.shape) < rng.choice([0, 0.02, 0.1, 0.5])] = np.nan
        for number in range(years):
            if rng.random() < 0.2:
                first = rng.integers(0, period)
                x[number, first:first + rng.integers(1, period)] = np.nan
        for number in range(period):
            x[rng.random(years) < rng.choice([0, 0, 0, 0, 0.5, 0.9, 1]), number] = np.nan
        cube[:, :, cell] = x
    cube[:, :, 0], cube[:, :, 1] = np.nan, np.arange(years * period).reshape(years, period)
    return cube


def usual_seasons(x):
    return (~np.isnan(x)).sum(axis=0) >= np.maximum(1, 0.25 * len(x))


def annual_reference(x, statistic, share=0.75):
    """Annual values (years,) of one cell (years, seasons) by a plain loop; NaN where the year does not count."""
    years, period = x.shape
    usual, ever = usual_seasons(x), (~np.isnan(x)).any(axis=0)
    y = np.maximum(x, 0) if statistic == "annual_positive_sum" else x
    means = np.array([np.mean(y[~np.isnan(y[:, s]), s]) if ever[s] else np.nan for s in range(period)])
    needed = usual
    if statistic == "annual_maximum" and usual.any():
        peak = np.flatnonzero(usual)[np.argmax(means[usual])]
        needed = usual & (np.abs(np.arange(period) - peak) <= max(1, period // 24))
    values = np.full(years, np.nan)
    for year in range(years):
        there = ~np.isnan(x[year])
        if not needed.any() or not there.any() or there[needed].sum() < share * needed.sum() - 1e-9:
            continue
        if statistic == "annual_maximum":
            values[year] = x[year][there].max()
            continue
        whole = np.where(there, y[year], means)[ever]
        values[year] = whole.sum() if statistic == "annual_positive_sum" else whole.mean()
    return values


@pytest.mark.parametrize("statistic", ["annual_maximum", "annual_positive_sum", "snow_year_mean", "mean"])
@pytest.mark.parametrize(("years", "period", "share"), [(8, 12, 0.75), (5, 46, 0.75), (25, 4, 1.0), (6, 12, 0.0)])
def test_any_gaps_give_what_a_loop_over_cells_gives(tmp_path, statistic, years, period, share):
    rng = np.random.default_rng([years, period])
    cube = gappy_cube(rng, years, period)
    stamps = {12: months(12 * years), 46: composites_of(range(2000, 2000 + years))}.get(period)
    options = {"season_start": 1, "start": "" if stamps else "2000-01-01", "night": "none", "fill": False}
    got, result, _ = run(cube.reshape(years * period, 6, 10), tmp_path, stamps or [""] * (years * period),
                         statistic=statistic, period=period, min_share=share, **options)
    for cell in range(60):
        x, at = cube[:, :, cell], divmod(cell, 10)
        expected = annual_reference(x, statistic, share)
        np.testing.assert_allclose(got["series"][(slice(None), *at)], expected, rtol=1e-5, atol=1e-6)
        used = ~np.isnan(expected)
        if statistic == "mean":
            ever = (~np.isnan(x)).any(axis=0)
            mean = np.nanmean(x[:, ever], axis=0).mean() if ever.any() else np.nan
            assert got["composite"][at] == pytest.approx(mean, rel=1e-5, abs=1e-6, nan_ok=True)
            assert got["count"][at] == got["values"][at] == (~np.isnan(x)).sum()
            continue
        mean = expected[used].mean() if used.any() else np.nan
        assert got["composite"][at] == pytest.approx(mean, rel=1e-5, abs=1e-6, nan_ok=True)
        assert got["count"][at] == used.sum() and got["values"][at] == (~np.isnan(x[used])).sum()
    has = (~np.isnan(cube)).any(axis=1)
    assert result["gaps"]["cell_years"] == has.sum() and result["gaps"]["values"] == (~np.isnan(cube)).sum()
    if statistic != "mean":
        assert result["gaps"]["left_out"] == has.sum() - (~np.isnan(got["series"])).sum()
        assert result["gaps"]["lost"] == (has.any(axis=0) & np.isnan(got["composite"]).ravel()).sum()


def test_a_year_counts_by_the_seasons_that_the_cell_usually_has(tmp_path):
    """Twelve months, of which a cell never has four: eight are all it needs; a month seen once changes nothing."""
    cube = np.random.default_rng(1).random((10, 12, 3)) + 1
    cube[:, 8:, 1:] = np.nan
    cube[3, 8, 2] = 90
    got, result, log = run(cube.reshape(120, 1, 3), tmp_path, months(120), statistic="annual_maximum", period=12)
    assert got["count"].tolist() == [[10, 10, 10]] and result["gaps"]["lacking"] == 2
    np.testing.assert_allclose(got["composite"][0, :2], [cube[:, :, 0].max(axis=1).mean(),
                                                         cube[:, :8, 1].max(axis=1).mean()], rtol=1e-6)
    assert any("2 cells lack at least one season in every year" in warning for warning in log.warnings)


def test_the_mean_of_unequal_seasons_is_balanced(tmp_path):
    """Winters at -30, summers at 10: with half of the winters lost the plain mean is 10 degrees too warm."""
    cube = np.tile(np.repeat([-30.0, 10.0], 6), 20).reshape(240, 1, 1) + np.zeros((1, 1, 2))
    cube[:120].reshape(10, 12, 2)[:, :6, 0] = np.nan
    got, _, log = run(cube, tmp_path, months(240), period=12, gaps="as_they_are")
    assert got["composite"][0, 0] > -4
    got, result, log = run(cube, tmp_path, months(240), period=12)
    np.testing.assert_allclose(got["composite"], [[-10, -10]])
    assert got["count"].tolist() == [[180, 240]] and result["gaps"]["cells_with_gaps"] == 1
    assert any("1 cells have gaps" in line for line in log.lines)


def test_daily_gaps_are_judged_by_months(tmp_path):
    stamps = days_of(2000, 2003)
    day = np.array([datetime.date.fromisoformat(s).timetuple().tm_yday for s in stamps])
    month = np.array([int(s[5:7]) for s in stamps])
    year = np.array([int(s[:4]) for s in stamps])
    cube = np.repeat((0.4 - 0.3 * np.cos(2 * np.pi * day / 365.25))[:, None, None], 3, axis=2)
    rng = np.random.default_rng(2)
    cube[rng.random(len(stamps)) < 0.1, 0, 0] = np.nan
    cube[(year == 2001) & (month == 7), 0, 1] = np.nan
    got, _, _ = run(cube, tmp_path, stamps, statistic="annual_positive_sum", period=365)
    assert got["composite"][0, 0] == pytest.approx(got["composite"][0, 2], rel=2e-3)
    assert got["composite"][0, 1] == pytest.approx(got["composite"][0, 2], rel=2e-3)
    got, _, _ = run(cube, tmp_path, stamps, statistic="annual_maximum", period=365)
    assert got["count"].tolist() == [[4, 3, 4]]
    got, _, _ = run(cube, tmp_path, stamps, statistic="mean", period=365)
    weights = np.array([(month == m).sum() for m in range(1, 13)])
    for column in range(3):
        means = [np.nanmean(cube[month == m, 0, column]) for m in range(1, 13)]
        assert got["composite"][0, column] == pytest.approx((means * weights).sum() / weights.sum(), rel=1e-6)


def frozen_reference(frozen, stamps, min_days=350, scaled=False):
    """Frozen days a year of one cell (days,), NaN = gap, month by month in a plain loop."""
    year = np.array([int(s[:4]) for s in stamps])
    month = np.array([int(s[5:7]) for s in stamps])
    result = []
    for number in sorted(set(year)):
        length = (datetime.date(number + 1, 1, 1) - datetime.date(number, 1, 1)).days
        valid = (~np.isnan(frozen[year == number])).sum()
        if valid < min_days and not (scaled and valid >= 0.75 * length):
            result.append(np.nan)
            continue
        total = 0.0
        for m in range(1, 13):
            here = frozen[(year == number) & (month == m)]
            here = here[~np.isnan(here)]
            if not here.size:
                here = frozen[month == m]
                here = here[~np.isnan(here)]
            following = datetime.date(number + m // 12, m % 12 + 1, 1)
            total += (following - datetime.date(number, m, 1)).days * (here.mean() if here.size else np.nan)
        result.append(total)
    return np.array(result)


@pytest.mark.parametrize("partial", ["dropped", "scaled"])
def test_frozen_days_with_any_gaps_are_what_a_loop_over_months_gives(tmp_path, partial):
    stamps = [s for s in days_of(2002, 2005) if not s < "2002-03-19" and not "2003-10-04" <= s <= "2003-11-10"]
    rng = np.random.default_rng(3)
    day = np.array([datetime.date.fromisoformat(s).timetuple().tm_yday for s in stamps])
    cold = 0.5 + 0.5 * np.cos(2 * np.pi * (day - 15) / 365)
    cube = (rng.random((len(stamps), 4, 5)) > cold[:, None, None]).astype(float)
    for column, share in enumerate((0, 0.01, 0.03, 0.1, 0.2)):
        cube[rng.random((len(stamps), 4)) < share, column] = np.nan
    cube[[i for i, s in enumerate(stamps) if s.startswith("2004-02")], 3, 4] = np.nan
    # a month that the cell has in no year
    cube[[i for i, s in enumerate(stamps) if s[5:7] == "07"], 3, 3] = np.nan
    got, result, _ = run(cube, tmp_path, stamps, statistic="frozen_days", period=365, partial=partial)
    for at in np.ndindex(4, 5):
        frozen = np.where(np.isnan(cube[(slice(None), *at)]), np.nan, cube[(slice(None), *at)] == 0)
        expected = frozen_reference(frozen, stamps, scaled=partial == "scaled")
        np.testing.assert_allclose(got["series"][(slice(None), *at)], expected, rtol=1e-6)
        assert got["count"][at] == (~np.isnan(expected)).sum()
    assert (~np.isnan(got["series"])).sum() == result["gaps"]["cell_years"] - result["gaps"]["left_out"]


def snow_cube(years=10):
    """July to June, %: full from November to March; rows lack 0, 2, 4, 6 and 7 months around January."""
    year = np.array([0, 0, 10, 60, 95, 100, 100, 100, 98, 90, 60, 5.0])
    cube = np.tile(year, years)[:, None, None] + np.zeros((1, 5, 2))
    for row, dark in enumerate(((), (5, 6), (4, 5, 6, 7), (3, 4, 5, 6, 7, 8), (3, 4, 5, 6, 7, 8, 9))):
        for month in dark:
            cube[month::12, row] = np.nan
    return cube


def test_polar_night_takes_the_values_between_its_neighbours(tmp_path):
    cube, stamps = snow_cube(), months(120, (2000, 7))
    whole = cube[:12, 0, 0].mean()
    got, result, _ = run(cube, tmp_path, stamps, statistic="snow_year_mean", period=12, night="none")
    # the published way: too low
    assert got["composite"][:, 0].tolist() == pytest.approx(
        [np.nanmean(cube[:12, row, 0]) for row in range(5)], rel=1e-6)
    without = whole - got["composite"][2, 0]
    assert without > 15 and result["gaps"]["nights"] == 0
    got, result, log = run(cube, tmp_path, stamps, statistic="snow_year_mean", period=12)
    expected = []
    for row in range(5):
        x = cube[:12, row, 0]
        known = np.flatnonzero(~np.isnan(x))
        expected.append(np.interp(np.arange(12), known, x[known]).mean() if row < 4 else np.nanmean(x))
    assert got["composite"][:, 0].tolist() == pytest.approx(expected, rel=1e-6)
    assert abs(got["composite"][2, 0] - whole) < without / 2
    assert (got["count"] == 10).all() and got["values"][:, 0].tolist() == [120, 100, 80, 60, 50]
    filled = 10 * 2 * (2 + 4 + 6)
    assert result["gaps"]["nights"] == filled
    assert result["gaps"]["share_filled_in_nights"] == pytest.approx(filled / (filled + (~np.isnan(cube)).sum()))
    share = 100 * result["gaps"]["share_filled_in_nights"]
    assert any(f"{share:.2f} % of the values" in line and "NIGHT" in line for line in log.lines)
    # both together are what the paper does
    got, _, _ = run(cube, tmp_path, stamps, statistic="snow_year_mean", period=12, night="linear", gaps="as_they_are")
    assert got["composite"][:, 0].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_night_ends_with_the_year_and_layers_that_do_not_exist_stay_missing(tmp_path):
    cube = snow_cube(4)
    cube[10:14, 0, 0] = np.nan
    stamps = months(48, (2000, 7))
    got, _, _ = run(cube, tmp_path, stamps, statistic="snow_year_mean", period=12, gaps="as_they_are")
    assert got["series"][0, 0, 0] == pytest.approx(cube[:10, 0, 0].mean())
    assert got["series"][1, 0, 0] == pytest.approx(cube[14:24, 0, 0].mean())
    keep = [i for i in range(48) if i != 17]
    got, _, _ = run(cube[keep], tmp_path, [stamps[i] for i in keep], statistic="snow_year_mean", period=12,
                    gaps="as_they_are", fill=False)
    x = cube[12:24, 2, 0]
    x = np.interp(np.arange(12), np.flatnonzero(~np.isnan(x)), x[~np.isnan(x)])
    assert got["series"][1, 2, 0] == pytest.approx(np.delete(x, 5).mean())


def test_complete_series_are_not_read_again_nor_changed(tmp_path, monkeypatch):
    stamps = composites_of(range(2000, 2005))
    cube = np.random.default_rng(4).normal(0.2, 0.3, (230, 6, 7))
    cube[:, 2, 3] = np.nan
    stored = composites.SourceReader.read_series
    for statistic in ("annual_maximum", "annual_positive_sum", "snow_year_mean", "mean"):
        files, layers = [], []
        with monkeypatch.context() as patch:
            patch.setattr(composites.SourceReader, "read_series", lambda self, part, *place, layers=layers: (
                layers.append(len(part.items)), stored(self, part, *place))[1])
            for way in ({}, {"gaps": "as_they_are", "night": "none"}):
                _, result, log = run(cube, tmp_path, stamps, statistic=statistic, period=46, season_start=1, **way)
                files.append({name: (tmp_path / f"out_{name}.tif").read_bytes() for name in NAMES})
                assert not log.warnings and result["gaps"]["cells_with_gaps"] == 0
        assert sum(layers) == 2 * 230 and files[0] == files[1]


def test_block_size_threads_and_group_do_not_change_a_byte(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    cube = np.tile(gappy_cube(rng, 5, 12).reshape(60, 6, 10), (1, 50, 30))[:, :290, :270]
    for statistic in ("annual_positive_sum", "annual_maximum", "snow_year_mean", "mean"):
        seen = []
        for block, threads, group in ((64, 1, 32), (256, 2, 5), (1, 1, 1000)) if statistic == "mean" else (
                (64, 1, 32), (256, 2, 5)):
            part = cube[:, :12, :9] if statistic == "mean" else cube
            monkeypatch.setattr(composites, "GROUP", group)
            folder = tmp_path / f"{statistic}_{block}"
            folder.mkdir()
            _, result, _ = run(part, folder, months(60), settings=Settings(threads, block), statistic=statistic,
                               period=12, season_start=1)
            (folder / "series.tif").unlink()
            seen.append((standing(folder), result["gaps"]))
        assert all(one == seen[0] for one in seen[1:])
