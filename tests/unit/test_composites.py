"""Composites: what NumPy gives on the whole cube; years, gaps and what is filled; the same bytes however it is run."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import Cancelled, GridError, InputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.blocks import Settings, plan_windows
from pti_plugin.core.rasters.encoding import Encoding
from pti_plugin.core.rasters.grid import epsg_wkt
from pti_plugin.core.rasters.raster import NUMBER, Source, read_info
from pti_plugin.core.rasters.time_axis import DAILY, AxisOptions, series, stamp_of, steps_of_year, year_of
from pti_plugin.core.rasters.units import parse_flags, parse_range
from pti_plugin.core.series import composites
from pti_plugin.core.series.composites import CompositeOptions, composite_series
from pti_plugin.core.series.gap_filling import mean_of_first, nearest_first
from support import Log, read_raster, standing, write_raster

NODATA = -9999
#: gaps of a cell count as they come; what else becomes of them is in test_season_gaps
PLAIN = {"gaps": "as_they_are", "night": "none"}


def run(paths, folder, names=("composite", "series", "count"), settings=None, **options):
    """Return ({name: array of the first band}, result, log, {name: path}) of a composite made in ``folder``."""
    outputs = {name: str(folder / f"out_{name}.tif") for name in names}
    log = Log()
    with Staging(paths) as staging:
        result = composite_series(paths, outputs, staging, log, CompositeOptions(**options), settings)
        staging.commit()
    return {name: read_raster(path) for name, path in outputs.items()}, result, log, outputs


def bands(path):
    return np.stack([read_raster(path, band) for band in range(1, read_info(path).bands + 1)])


def write_cube(folder, cube, stamps, name="series.tif", **options):
    """Write a multi-band series with its stamps as band descriptions."""
    options = {"nodata": NODATA, "dtype": "float32", **options}
    return [write_raster(folder / name, cube, descriptions=list(stamps), **options)]


def months(first, last):
    """Return the stamps of all months from (year, month) to (year, month)."""
    return [f"{i // 12}-{i % 12 + 1:02d}" for i in range(first[0] * 12 + first[1] - 1, last[0] * 12 + last[1])]


def days(first, last):
    """Return the stamps of all days."""
    first, last = datetime.date(*first), datetime.date(*last)
    return [(first + datetime.timedelta(i)).isoformat() for i in range((last - first).days + 1)]


def random_cube(number, shape=(6, 5), gaps=0.1, seed=1):
    rng = np.random.default_rng(seed)
    cube = rng.normal(0.2, 1, (number, *shape)).astype(np.float32)
    cube[rng.random(cube.shape) < gaps] = np.nan
    cube[:, 0, 0] = np.nan
    return cube


def yearly(cube, years, function):
    """Return {year: function(layers of the year)} of a float64 cube, all-NaN cells NaN."""
    with np.errstate(all="ignore"):
        result = {year: function(cube[np.array(years) == year]) for year in sorted(set(years))}
    for year in result:
        result[year][np.isnan(cube[np.array(years) == year]).all(axis=0)] = np.nan
    return result


def nan_mean(layers):
    number = (~np.isnan(layers)).sum(axis=0)
    return np.where(number > 0, np.nansum(layers, axis=0) / np.maximum(number, 1), np.nan)


def positive_sum(layers):
    return np.where(layers > 0, layers, 0).sum(axis=0)


REFERENCES = {"mean": nan_mean, "annual_maximum": lambda layers: np.fmax.reduce(layers, axis=0),
              "annual_positive_sum": positive_sum, "snow_year_mean": nan_mean}


@pytest.mark.parametrize("statistic", REFERENCES)
def test_composites_are_what_numpy_gives_on_the_whole_cube(tmp_path, statistic):
    stamps = months((2000, 7), (2006, 6))
    cube = random_cube(len(stamps))
    paths = write_cube(tmp_path, cube, stamps)
    got, result, _, outputs = run(paths, tmp_path, statistic=statistic, period=12, season_start=7,
                                **PLAIN)
    years = [2000 + i // 12 for i in range(len(stamps))]
    annual = yearly(cube.astype(float), years, REFERENCES[statistic])
    expected = np.array([annual[year] for year in range(2000, 2006)])
    np.testing.assert_allclose(bands(outputs["series"]), expected, rtol=1e-6, atol=1e-7)
    mean = nan_mean(cube.astype(float)) if statistic == "mean" else nan_mean(expected)
    np.testing.assert_allclose(got["composite"], mean, rtol=1e-6, atol=1e-7)
    counted = cube if statistic == "mean" else expected
    np.testing.assert_array_equal(got["count"], (~np.isnan(counted)).sum(axis=0))
    info = read_info(outputs["series"])
    assert info.descriptions == ("2000", "2001", "2002", "2003", "2004", "2005")
    assert [layer.index for layer in series([outputs["series"]], AxisOptions(1), Progress())] == list(range(2000, 2006))
    assert result["years"] == list(range(2000, 2006)) and result["filled"] == [] and result["left_out"] == []


def test_values_are_exact_where_float32_is(tmp_path):
    stamps = months((2001, 1), (2004, 12))
    cube = np.random.default_rng(3).integers(-64, 64, (48, 7, 9)).astype(float)
    paths = write_cube(tmp_path, cube, stamps, dtype="int16")
    got, _, _, _ = run(paths, tmp_path, statistic="annual_positive_sum", period=12)
    np.testing.assert_array_equal(got["composite"], np.where(cube > 0, cube, 0).sum(axis=0) / 4)


def test_snow_years_begin_in_july_unless_told_otherwise(tmp_path):
    stamps = months((2000, 7), (2003, 6))
    cube = np.arange(36.0)[:, None, None] + np.zeros((36, 2, 2))
    paths = write_cube(tmp_path, cube, stamps)
    _, result, _, outputs = run(paths, tmp_path, statistic="snow_year_mean", period=12)
    assert bands(outputs["series"])[:, 0, 0].tolist() == [5.5, 17.5, 29.5] and result["years"] == [2000, 2001, 2002]
    _, result, log, outputs = run(paths, tmp_path, statistic="snow_year_mean", period=12, season_start=1)
    assert bands(outputs["series"])[:, 0, 0].tolist() == [11.5, 23.5] and result["left_out"] == [2000, 2003]
    assert any("2000 (6 of 12), 2003 (6 of 12)" in warning for warning in log.warnings)


def test_the_six_missing_months_of_the_snow_cover_are_filled_and_listed(tmp_path):
    lost = ("2000-08", "2001-06", "2002-03", "2003-12", "2016-02", "2022-10")
    stamps = months((2000, 7), (2025, 6))
    assert len(stamps) == 300
    cube = np.random.default_rng(5).integers(0, 101, (300, 3, 4)).astype(float)
    keep = [i for i, stamp in enumerate(stamps) if stamp not in lost]
    stored = cube.copy()
    stored[7, 1, 1] = 211
    paths = write_cube(tmp_path, stored[keep], [stamps[i] for i in keep], dtype="uint8", nodata=None)
    got, result, log, outputs = run(paths, tmp_path, statistic="snow_year_mean", period=12, valid=(0, 100))
    assert result["filled"] == list(lost) and result["missing"] == []
    assert any(all(stamp in warning for stamp in lost) and "Filled" in warning for warning in log.warnings)
    # a month without a value in between: the mean of its neighbours
    cube[7, 1, 1] = (cube[6, 1, 1] + cube[8, 1, 1]) / 2
    whole = cube.copy()
    for stamp in lost:
        step = stamps.index(stamp)
        others = sorted((i for i in keep if i % 12 == step % 12), key=lambda i: (abs(i - step), i))
        whole[step] = cube[others[:10]].mean(axis=0)
    expected = nan_mean(np.array([nan_mean(whole[i:i + 12]) for i in range(0, 300, 12)]))
    np.testing.assert_allclose(got["composite"], expected, rtol=1e-6)
    assert (got["count"] == 25).all() and read_info(outputs["series"]).bands == 25


@pytest.mark.parametrize(("fill_years", "donors"), [("all", range(2001, 2021)), ("2002-2009", range(2002, 2010)),
                                                    ("", range(2001, 2011)), ("2003, 2007", (2003, 2007))])
def test_the_missing_first_january_is_the_mean_of_other_januaries(tmp_path, fill_years, donors):
    stamps = months((2000, 2), (2020, 12))
    cube = random_cube(len(stamps), gaps=0)
    cube[:, 0, 0] = 1
    paths = write_cube(tmp_path, cube, stamps)
    got, result, _, _ = run(paths, tmp_path, statistic="mean", period=12, fill_years=fill_years)
    january = np.mean([cube[stamps.index(f"{year}-01")].astype(float) for year in donors], axis=0)
    assert result["filled"] == ["2000-01"]
    np.testing.assert_allclose(got["composite"], (cube.astype(float).sum(axis=0) + january) / 252, rtol=1e-6)
    assert (got["count"] == 252).all()


def test_filling_can_be_switched_off_and_is_per_cell(tmp_path):
    stamps = months((2000, 2), (2012, 12))
    cube = random_cube(len(stamps), gaps=0.3, seed=8)
    paths = write_cube(tmp_path, cube, stamps)
    got, result, log, _ = run(paths, tmp_path, statistic="mean", period=12, fill=False, **PLAIN)
    np.testing.assert_allclose(got["composite"], nan_mean(cube.astype(float)), rtol=1e-6, atol=1e-7)
    assert result["filled"] == [] and result["missing"] == ["2000-01"]
    assert any("2000-01" in warning for warning in log.warnings)
    januaries = cube[[stamps.index(f"{year}-01") for year in range(2001, 2013)]].astype(float)
    filled = np.full((6, 5), np.nan)
    for row in range(6):
        for column in range(5):
            known = januaries[:, row, column][~np.isnan(januaries[:, row, column])][:10]
            if known.size:
                filled[row, column] = known.mean()
    got, _, _, _ = run(paths, tmp_path, statistic="mean", period=12, **PLAIN)
    np.testing.assert_allclose(got["composite"], nan_mean(np.concatenate([cube.astype(float), filled[None]])),
                               rtol=1e-6, atol=1e-7)


def test_the_nearest_years_come_first_and_of_two_the_earlier():
    assert nearest_first(16, [4, 10, 13, 19, 22, 25]) == [13, 19, 10, 22, 25, 4]
    layers = [np.array([value, np.nan]) for value in (1.0, 2.0, 4.0)]
    np.testing.assert_array_equal(mean_of_first(layers, 2, 2), [1.5, np.nan])


def test_an_empty_layer_counts_as_missing(tmp_path):
    stamps = months((2000, 1), (2003, 12))
    cube = random_cube(48, gaps=0)
    cube[:, 0, 0] = 0
    cube[17] = 255
    paths = write_cube(tmp_path, cube, stamps)
    got, result, _, _ = run(paths, tmp_path, statistic="annual_maximum", period=12, valid=(-10, 10))
    assert result["filled"] == ["2001-06"]
    cube[17] = (cube[5] + cube[29].astype(float) + cube[41]) / 3
    np.testing.assert_allclose(got["composite"], cube.reshape(4, 12, 6, 5).max(axis=1).mean(axis=0), rtol=1e-6)
    _, result, _, _ = run(paths, tmp_path, statistic="annual_maximum", period=12, flags=(255,))
    assert result["filled"] == ["2001-06"]


def test_years_with_too_few_layers_are_left_out_and_named(tmp_path):
    stamps = [stamp for stamp in months((2000, 1), (2004, 12)) if not "2001-05" <= stamp <= "2001-12"
              and not stamp.startswith("2003")]
    cube = random_cube(len(stamps), gaps=0, seed=4)
    paths = write_cube(tmp_path, cube, stamps)
    got, result, log, outputs = run(paths, tmp_path, statistic="annual_maximum", period=12)
    assert result["left_out"] == [2001, 2003] and result["years"] == [2000, 2002, 2004]
    assert any("2001 (4 of 12), 2003 (0 of 12)" in warning for warning in log.warnings)
    assert read_info(outputs["series"]).descriptions == ("2000", "2002", "2004")
    maxima = [cube[[stamp.startswith(year) for stamp in stamps]].max(axis=0) for year in ("2000", "2002", "2004")]
    np.testing.assert_allclose(got["composite"], np.mean(np.array(maxima, dtype=float), axis=0), rtol=1e-6)
    with pytest.raises(InputError, match=r"No year has 75 % of its 12 layers.*PERIOD"):
        run(write_cube(tmp_path, cube[:5], stamps[:5], "short.tif"), tmp_path, statistic="annual_maximum", period=12)


def frozen_reference(cube, stamps, first_month=1, min_days=350, scaled=False):
    """Frozen days by a plain loop over cells and calendar years."""
    result = {}
    for year in sorted({int(s[:4]) - (int(s[5:7]) < first_month) for s in stamps}):
        start, end = datetime.date(year, first_month, 1), datetime.date(year + 1, first_month, 1)
        here = [i for i, s in enumerate(stamps) if start <= datetime.date.fromisoformat(s) < end]
        value = np.full(cube.shape[1:], np.nan)
        for row in range(cube.shape[1]):
            for column in range(cube.shape[2]):
                x = cube[here, row, column]
                valid, frozen = (~np.isnan(x)).sum(), (x == 0).sum()
                if valid >= min_days:
                    value[row, column] = frozen
                elif scaled and valid >= 0.75 * (end - start).days:
                    value[row, column] = frozen * (end - start).days / valid
        result[year] = value
    return result


@pytest.mark.parametrize("way", [{}, {"partial": "scaled"}, {"season_start": 7}, {"min_days": 300}])
def test_frozen_days_with_partial_and_leap_years(tmp_path, way):
    stamps = [s for s in days((2002, 6, 19), (2005, 12, 31)) if not "2003-10-04" <= s <= "2003-11-10"]
    rng = np.random.default_rng(9)
    cube = rng.choice([0, 1, 2, 3], (len(stamps), 3, 4), p=[0.5, 0.3, 0.1, 0.1]).astype(float)
    cube[rng.random(cube.shape) < 0.02] = np.nan
    cube[:, 0, 0], cube[:, 0, 1], cube[:, 0, 2] = np.nan, 0, 1
    # 2005 with 350 and 349 valid days, the leap year 2004 with 300
    cube[-365:, 1, :2] = 0
    cube[-15:, 1, 0], cube[-16:, 1, 1] = np.nan, np.nan
    cube[-365 - 66:-365, 1, 2] = np.nan
    stored = np.where(np.isnan(cube), 253, cube)
    paths = write_cube(tmp_path, stored, stamps, dtype="uint8", nodata=None)
    got, result, log, outputs = run(paths, tmp_path, statistic="frozen_days", period=365, valid=(0, 3), **PLAIN, **way)
    expected = frozen_reference(cube, stamps, way.get("season_start", 1), way.get("min_days", 350), "partial" in way)
    assert result["years"] == list(expected)
    np.testing.assert_allclose(bands(outputs["series"]), np.array(list(expected.values())), rtol=1e-6)
    np.testing.assert_allclose(got["composite"], nan_mean(np.array(list(expected.values()))), rtol=1e-6)
    if not way:
        # 2004 is a leap year, 2003 lacks 38 days, 2002 begins in June
        assert bands(outputs["series"])[:, 0, 1].tolist()[2:] == [366, 365]
        assert np.isnan(bands(outputs["series"])[:2]).all() and got["composite"][0, 2] == 0
        assert list(result["partial"]) == [2002, 2003, 2004, 2005]
        assert (result["partial"][2002], result["partial"][2004]) == (11, 1)
        assert bands(outputs["series"])[3, 1, 0] == 350 and np.isnan(bands(outputs["series"])[3, 1, 1])
        assert any("350 valid days" in warning and "2003 (11 cells)" in warning for warning in log.warnings)


def test_a_frozen_code_that_never_occurs_is_said(tmp_path):
    stamps = days((2001, 1, 1), (2001, 12, 31))
    paths = write_cube(tmp_path, np.ones((365, 2, 2)), stamps, dtype="uint8", nodata=None)
    got, _, log, _ = run(paths, tmp_path, statistic="frozen_days", period=365)
    assert (got["composite"] == 0).all() and any("FROZEN_CODE" in warning for warning in log.warnings)
    got, _, log, _ = run(paths, tmp_path, statistic="frozen_days", period=366, frozen_code=1)
    assert (got["composite"] == 365).all() and not log.warnings


@pytest.mark.parametrize("tie", ["most_recent_year", "lowest_code"])
def test_the_majority_is_a_plain_count_with_the_tie_rule(tmp_path, tie):
    rng = np.random.default_rng(11)
    cube = rng.choice([10, 30, 130, 210], (5, 12, 10)).astype(float)
    cube[rng.random(cube.shape) < 0.2] = np.nan
    cube[:, 0, 0] = np.nan
    paths = [write_raster(tmp_path / f"cover_{2018 + i}.tif", layer, nodata=0, dtype="uint8")
             for i, layer in enumerate(np.nan_to_num(cube))]
    got, result, _, outputs = run(paths, tmp_path, ("composite", "count"), statistic="majority", tie=tie)
    for row in range(12):
        for column in range(10):
            x = cube[:, row, column][~np.isnan(cube[:, row, column])].tolist()
            if not x:
                assert np.isnan(got["composite"][row, column])
                continue
            most = max(map(x.count, x))
            tied = [code for code in x if x.count(code) == most]
            assert got["composite"][row, column] == (min(tied) if tie == "lowest_code" else tied[-1])
            assert got["count"][row, column] == len(x)
    assert read_info(outputs["composite"]).dtypes == ("Int16",) and result["cells"]["empty"] == 1


def test_the_most_recent_year_wins_whatever_the_order_of_the_files(tmp_path):
    paths = [write_raster(tmp_path / f"cover_{year}.tif", np.full((2, 2), code), dtype="uint8")
             for year, code in ((2019, 20), (2018, 10))]
    got, _, _, _ = run(paths, tmp_path, ("composite",), statistic="majority", sort=True)
    assert (got["composite"] == 20).all()


def test_scale_offset_and_flags_of_stored_integers(tmp_path):
    stamps = months((2001, 1), (2002, 12))
    stored = np.random.default_rng(2).integers(0, 5000, (24, 4, 4)).astype(float)
    stored[3, 0, 0], stored[4, 1, 1] = 65531, 60000
    paths = write_cube(tmp_path, stored, stamps, dtype="uint16", nodata=None, scale=0.02, offset=-50.0, unit="degC")
    got, _, _, outputs = run(paths, tmp_path, period=12, flags=(65531,), valid=(-100, 100), **PLAIN)
    units = stored * 0.02 - 50
    units[units > 100] = np.nan
    np.testing.assert_allclose(got["composite"], nan_mean(units), rtol=1e-5)
    assert read_info(outputs["composite"]).units == ("degC",) and got["count"][0, 0] == 23
    doubles = write_cube(tmp_path, stored, stamps, "doubles.tif", dtype="float64", nodata=None, scale=0.02,
                         offset=-50.0)
    (tmp_path / "again").mkdir()
    again, _, _, _ = run(doubles, tmp_path / "again", period=12, flags=(65531,), valid=(-100, 100), **PLAIN)
    np.testing.assert_array_equal(again["composite"], got["composite"])


def test_infinite_values_are_nodata(tmp_path):
    cube = np.ones((4, 2, 2), dtype=np.float32)
    cube[1, 0, 0] = np.inf
    got, _, _, _ = run(write_cube(tmp_path, cube, ["2001", "2002", "2003", "2004"]), tmp_path)
    assert (got["composite"] == 1).all() and got["count"].tolist() == [[3, 4], [4, 4]]


def test_block_size_threads_and_group_do_not_change_a_byte(tmp_path, monkeypatch):
    stamps = [s for s in months((2000, 2), (2003, 12)) if s != "2002-04"]
    cube = np.tile(random_cube(len(stamps), (30, 30)), (1, 10, 9))
    paths = write_cube(tmp_path, cube, stamps)
    seen = []
    for block, threads, group in ((64, 1, 32), (256, 2, 32), (1000, 2, 5), (0, 1, 1000)):
        monkeypatch.setattr(composites, "GROUP", group)
        folder = tmp_path / f"b{block}_{threads}"
        folder.mkdir()
        run(paths, folder, settings=Settings(threads, block), statistic="annual_positive_sum", period=12)
        seen.append(standing(folder))
    assert len(seen[0]) == 3 and all(files == seen[0] for files in seen[1:])


def test_a_series_is_read_in_groups_however_long_it_is(tmp_path, monkeypatch):
    stamps = days((2001, 1, 1), (2003, 12, 31))
    paths = write_cube(tmp_path, np.zeros((len(stamps), 3, 3)), stamps, dtype="uint8", nodata=None)
    most = []
    stored = composites.SourceReader.read_series
    monkeypatch.setattr(composites.SourceReader, "read_series", lambda self, part, *place: (
        most.append(len(part.items)), stored(self, part, *place))[1])
    run(paths, tmp_path, statistic="frozen_days", period=365)
    assert max(most) == composites.GROUP and sum(most) == len(stamps)


def test_netcdf_is_read_chunk_by_chunk(tmp_path):
    grid = read_info(write_raster(tmp_path / "a.tif", np.zeros((90, 720)), dtype="uint8")).grid
    item = Source("a.nc", 1, NUMBER, grid, Encoding("Float32"), block=(360, 45), driver="netCDF")
    windows = plan_windows(grid, [item] * 300, Settings(1), 700)
    assert [(w.row, w.rows, w.column, w.columns) for w in windows] == [
        (0, 45, 0, 360), (0, 45, 360, 360), (45, 45, 0, 360), (45, 45, 360, 360)]
    for other in (replace(item, block=(720, 1)), replace(item, block=(5, 5)), replace(item, driver="GTiff")):
        assert len(plan_windows(grid, [other] * 300, Settings(1), 700)) < 10


def test_yearly_files_of_many_bands_make_one_series(tmp_path):
    paths = []
    for year in (2001, 2002):
        stamps = months((year, 1), (year, 12))
        paths += write_cube(tmp_path, np.full((12, 2, 2), year), stamps, f"part_{year}.tif")
    _, result, _, outputs = run(paths, tmp_path, statistic="annual_maximum", period=12)
    assert bands(outputs["series"])[:, 0, 0].tolist() == [2001, 2002] and result["layers"] == 24


def test_years_and_days_of_the_calendar():
    assert [len(steps_of_year(year, DAILY)) for year in (1900, 2000, 2001, 2004)] == [365, 366, 365, 366]
    assert len(steps_of_year(2003, DAILY, 7)) == 366 and len(steps_of_year(2004, DAILY, 7)) == 365
    for period, month in ((1, 1), (12, 7), (46, 1), (46, 7), (DAILY, 7), (DAILY, 1)):
        for year in (2003, 2004):
            assert {year_of(step, period, month) for step in steps_of_year(year, period, month)} == {year}
    assert stamp_of("2004366", DAILY) == stamp_of("2004-12-31", DAILY) == steps_of_year(2004, DAILY)[-1]


def test_daily_layers_counted_from_a_start_fall_on_calendar_days(tmp_path):
    path = write_raster(tmp_path / "days.tif", np.zeros((731, 1, 1)), dtype="uint8")
    layers = series([path], AxisOptions(DAILY, start="2003-07-01"), Progress())
    assert layers[-1].index == stamp_of("2005-06-30", DAILY)
    log = Log()
    stamps = [s for s in days((2001, 1, 1), (2002, 2, 1)) if s != "2001-03-04"]
    series(write_cube(tmp_path, np.zeros((len(stamps), 1, 1)), stamps), AxisOptions(DAILY), log)
    assert log.warnings == ["The series has no layer for 2001-03-04; the gap is kept in the time axis."]


@pytest.mark.parametrize(("options", "message"), [
    ({"statistic": "median"}, "STATISTIC is 'median'.*annual_maximum"),
    ({"statistic": "annual_maximum"}, "PERIOD is 1, but the mean of the annual maxima needs several"),
    ({"statistic": "frozen_days", "period": 12}, "PERIOD is 12.*Set PERIOD to 365"),
    ({"period": 0}, "PERIOD is 0"), ({"season_start": 13}, "SEASON_START is 13"),
    ({"period": 12, "valid": (100, 0)}, "VALID runs from 100 to 0"), ({"min_share": 1.5}, "MIN_SHARE is 1.5"),
    ({"statistic": "frozen_days", "period": 365, "min_days": 400}, "MIN_DAYS is 400"),
    ({"fill_years": "2009-2002"}, "FILL_YEARS is '2009-2002'"), ({"fill_years": "ten"}, "FILL_YEARS is 'ten'"),
    ({"statistic": "majority", "tie": "oldest"}, "TIE is 'oldest'"), ({"partial": "kept"}, "PARTIAL_YEARS is 'kept'"),
    ({"gaps": "kept"}, "GAPS is 'kept'"), ({"night": "kept"}, "NIGHT is 'kept'"),
    ({"statistic": "majority"}, "OUTPUT_SERIES is not made"),
])
def test_options_that_make_no_sense_are_refused(tmp_path, options, message):
    paths = write_cube(tmp_path, np.ones((3, 2, 2)), ["2001", "2002", "2003"])
    with pytest.raises(InputError, match=message):
        run(paths, tmp_path, **options)


@pytest.mark.parametrize("text", ["0-100", "0..", "low..high", "0..inf", "0..5..9"])
def test_a_malformed_range_is_refused(text):
    with pytest.raises(InputError, match="0..100"):
        parse_range(text)


def test_ranges_and_flags_are_read():
    assert parse_range("-1.5 .. 100") == (-1.5, 100) and parse_range(" ") == ()
    assert parse_flags("211, 250,255") == (211, 250, 255) and parse_flags("") == ()
    with pytest.raises(InputError, match="FLAGS is '211; 250'"):
        parse_flags("211; 250")


def test_layers_that_do_not_fit_are_refused_and_leave_nothing(tmp_path):
    before = tmp_path / "in"
    before.mkdir()
    annual = [write_raster(before / f"a_{year}.tif", np.ones((2, 2)), dtype="float32") for year in range(2001, 2006)]
    monthly = [write_raster(before / f"m_2001-{month:02d}.tif", np.full((2, 2), -1.0), nodata=-1, dtype="float32")
               for month in range(1, 13)]
    plain = write_raster(before / "plain.tif", np.ones((24, 2, 2)), dtype="float32")
    other = write_raster(before / "a_2009.tif", np.ones((3, 3)), dtype="float32")
    kelvin = write_raster(before / "a_2010.tif", np.ones((2, 2)), dtype="float32", unit="K")
    fractions = write_raster(before / "f_2001.tif", np.full((2, 2), 0.5), dtype="float32")
    scaled = write_raster(before / "s_2001.tif", np.ones((2, 2)), dtype="int16", scale=0.1)
    many = write_raster(before / "n_2001.tif", np.arange(900.0).reshape(30, 30), dtype="int16")
    out = tmp_path / "out"
    out.mkdir()
    for paths, error, message, options in (
            ([], InputError, "no layer", {}),
            (annual, InputError, r"PERIOD is 12, but the layers carry only years.*Set PERIOD to 1", {"period": 12}),
            (monthly, InputError, "same time stamp, 2001.*set PERIOD", {}),
            (monthly, InputError, "Every layer of the series is empty, m_2001-01.tif", {"period": 12}),
            (monthly, InputError, "No cell has a value", {"period": 12, "fill": False}),
            (annual[::-1], InputError, "out of order.*SORT", {}),
            ([plain], InputError, "years are not known.*START", {"period": 12, "statistic": "annual_maximum"}),
            ([plain], InputError, "years are not known.*START", {"period": 12}),
            ([*annual, other], GridError, "a_2009.tif is not on the grid", {}),
            ([*annual, kelvin], InputError, "different units", {}),
            ([fractions], InputError, "0.5 where whole-numbered classes", {"statistic": "majority"}),
            ([scaled], InputError, "s_2001.tif declares a scale", {"statistic": "majority"}),
            ([many], InputError, "more than 256 different values", {"statistic": "majority"}),
            ([plain], InputError, "FILL_YEARS is '1990'.*2000-01",
             {"period": 12, "start": "2000-02-01", "fill_years": "1990"}),
            ([str(before / "none.tif")], InputError, "none.tif", {})):
        names = ("composite",) if options.get("statistic") == "majority" else ("composite", "series", "count")
        with pytest.raises(error, match=message):
            run(paths, out, names, **options)
        assert standing(out) == {}, message


def test_twenty_months_without_enough_days_are_listed_and_the_rest_counted(tmp_path):
    # a day a month of two years, but all days of the last month
    stamps = [f"{year}-{month:02d}-01" for year in (2001, 2002) for month in range(1, 13)]
    stamps = stamps[:-1] + days((2002, 12, 1), (2002, 12, 31))
    paths = write_cube(tmp_path, np.ones((len(stamps), 2, 2)), stamps)
    _, result, log, _ = run(paths, tmp_path, ("composite",), statistic="monthly_mean", period=365, **PLAIN)
    said, = (line for line in log.warnings if "MIN_SHARE" in line)
    assert said.count(" (1 of ") == 20 and said.endswith("2002-08 (1 of 31) and 3 more.")


@pytest.mark.parametrize("fill", [True, False])
def test_that_nothing_is_filled_without_a_time_is_said_where_it_was_asked(tmp_path, fill):
    path = write_raster(tmp_path / "plain.tif", np.ones((4, 2, 2)), dtype="float32")
    got, _, log, _ = run([path], tmp_path, ("composite",), fill=fill)
    assert (got["composite"] == 1).all()
    assert any("none that is missing or empty is filled" in line for line in log.warnings) == fill


def test_named_classes_have_no_mean(tmp_path):
    path = write_raster(tmp_path / "cover_2001.tif", np.ones((2, 2)), dtype="uint8")
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetCategoryNames(["none", "forest"])
    dataset = None
    with pytest.raises(InputError, match="cover_2001.tif holds named classes.*majority"):
        run([path], tmp_path)


def test_codes_with_colours_are_taken_as_numbers_and_that_is_said(tmp_path):
    path = write_raster(tmp_path / "snow_2001.tif", np.full((2, 2), 40), dtype="uint8")
    dataset = gdal.Open(path, gdal.GA_Update)
    colours = gdal.ColorTable()
    colours.SetColorEntry(40, (0, 0, 255, 255))
    dataset.GetRasterBand(1).SetColorTable(colours)
    dataset = None
    got, _, log, _ = run([path], tmp_path)
    assert (got["composite"] == 40).all()
    assert any("snow_2001.tif has a colour for every code" in warning for warning in log.warnings)


def test_a_broken_layer_and_a_stopped_run_leave_nothing(tmp_path):
    paths = [write_raster(tmp_path / f"a_{year}.tif", np.random.default_rng(0).random((300, 300)), dtype="float32")
             for year in range(2001, 2006)]
    out = tmp_path / "out"
    out.mkdir()
    data = (tmp_path / "a_2003.tif").read_bytes()
    (tmp_path / "a_2003.tif").write_bytes(data[:len(data) // 3])
    with pytest.raises(InputError, match="a_2003.tif"):
        run(paths, out)
    assert standing(out) == {}
    (tmp_path / "a_2003.tif").write_bytes(data)
    log = Log()
    log.set = lambda fraction: log.stop()
    outputs = {"composite": str(out / "c.tif")}
    with pytest.raises(Cancelled), Staging(paths) as staging:
        composite_series(paths, outputs, staging, log, CompositeOptions(), Settings(1, 64))
    assert standing(out) == {}


@pytest.mark.parametrize("statistic", ["annual_maximum", "annual_positive_sum"])
def test_peak_and_sum_of_a_real_ndvi_series(tmp_path, shared_data, statistic):
    path = str(shared_data / "ndvi" / "gimms_ndvi3g_monthly_1982-2011_brooksrange_1-12deg.tif")
    got, result, _, outputs = run([path], tmp_path, statistic=statistic, period=12)
    cube = np.stack([read_raster(path, band) for band in range(1, 361)])
    expected = np.array(list(yearly(cube, [1982 + i // 12 for i in range(360)], REFERENCES[statistic]).values()))
    np.testing.assert_allclose(got["composite"], nan_mean(expected), rtol=1e-6)
    np.testing.assert_allclose(bands(outputs["series"]), expected, rtol=1e-6)
    assert result["years"] == list(range(1982, 2012)) and result["filled"] == []


def test_mean_of_a_real_netcdf_series_of_scaled_integers(tmp_path, shared_data):
    path = str(shared_data / "assembled_0.25deg_45N" / "REALDERIVED_t2m_monthly_1988-2012_0.5deg.nc")
    got, result, _, outputs = run([path], tmp_path, period=12, wkt=epsg_wkt(4326))
    dataset = gdal.Open(path)
    width, height = dataset.GetRasterBand(1).GetBlockSize()
    # chunk by chunk: the library unpacks each anew otherwise
    stored = np.concatenate([np.concatenate([dataset.ReadAsArray(column, row, width, height)
                                             for column in range(0, 720, width)], axis=2)
                             for row in range(0, 90, height)], axis=1)
    cube = np.where(stored == -32768, np.nan, stored * 0.01)
    np.testing.assert_allclose(got["composite"], nan_mean(cube), rtol=1e-5, atol=1e-6)
    assert result["years"] == list(range(1988, 2013)) and result["filled"] == []
    assert read_info(outputs["composite"]).units == ("degC",)


@pytest.mark.parametrize("statistic, period, texts, plausible, flags", [
    ("snow_year_mean", 12, months((2001, 7), (2003, 6)), (0, 100), (211, 250, 254)),
    ("frozen_days", DAILY, days((2003, 1, 1), (2004, 12, 31)), (0, 3), (4, 252, 254))])
def test_flags_of_a_file_whose_name_tells_nothing_stop_the_run(tmp_path, statistic, period, texts, plausible, flags):
    rng = np.random.default_rng(3)
    cube = rng.integers(plausible[0], plausible[1] + 1, (len(texts), 3, 4)).astype("uint8")
    options = {"statistic": statistic, "period": period, **PLAIN}
    clean, *_ = run(write_cube(tmp_path, cube, texts, dtype="uint8", nodata=255), tmp_path, **options)
    for flag in flags:
        flagged = cube.copy()
        flagged[len(texts) // 2, 1, 2] = flag
        paths = write_cube(tmp_path, flagged, texts, dtype="uint8", nodata=255)
        with pytest.raises(InputError, match=f"holds the value {flag}, outside the plausible {plausible[0]} to "
                                             f"{plausible[1]}.*flag codes"):
            run(paths, tmp_path, **options)
        named, *_ = run(paths, tmp_path, flags=(flag,), **options)
        known = np.ones((3, 4), bool)
        known[1, 2] = False
        np.testing.assert_array_equal(named["composite"][known], clean["composite"][known])
        run(paths, tmp_path, product="none", **options)
    # numbers of a stated unit are what they say: days of snow, say; % are no more than 100
    if statistic == "snow_year_mean":
        with pytest.raises(InputError, match="outside the plausible 0 to 100"):
            run(write_cube(tmp_path, cube + 100, texts, dtype="uint8", nodata=255, unit="percent"), tmp_path, **options)
        run(write_cube(tmp_path, cube + 100, texts, dtype="uint8", nodata=255, unit="d"), tmp_path, **options)
