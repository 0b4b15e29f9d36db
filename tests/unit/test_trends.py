"""Trend rasters: files in, files out; the time axis; filling; false-discovery control; the self-check."""

import numpy as np
import pymannkendall
import pytest

from pti_plugin.core.common.errors import GridError, InputError, PtiError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.time_axis import stamp_of
from pti_plugin.core.series import trends
from pti_plugin.core.series.corrections import HAMED_RAO, HIRSCH_SLACK, ORIGINAL, PREWHITENED, TREND_FREE, YUE_WANG
from pti_plugin.core.series.trends import TrendOptions, discovery_threshold, fill_steps, trend_rasters
from support import TRANSFORM, Log, read_raster, write_raster


def write_series(folder, cube, first=2000, **options):
    paths = []
    for i, layer in enumerate(cube):
        paths.append(str(folder / f"layer_{first + i}.tif"))
        write_raster(paths[-1], layer, **options)
    return paths


def run(paths, folder, names=("slope", "sign", "p", "z", "s", "count"), settings=None, **options):
    outputs = {name: str(folder / f"{name}.tif") for name in names}
    log = Log()
    with Staging(paths) as staging:
        result = trend_rasters(paths, outputs, staging, log, TrendOptions(**options), settings=settings)
        staging.commit()
    return {name: read_raster(path) for name, path in outputs.items()}, result, log


@pytest.fixture
def cube():
    rng = np.random.default_rng(1)
    cube = np.round(rng.normal(size=(20, 12, 9)) + 0.1 * np.arange(20)[:, None, None], 2)
    cube[rng.random(cube.shape) < 0.05] = np.nan
    cube[:, 0, 0] = np.nan
    cube[5:, 0, 1] = np.nan
    return cube


def test_files_give_what_pymannkendall_gives(tmp_path, cube):
    paths = write_series(tmp_path, np.where(np.isnan(cube), -999, cube), nodata=-999, dtype="float32")
    got, result, log = run(paths, tmp_path)
    for row in range(12):
        for column in range(9):
            x = cube[:, row, column].astype(np.float32).astype(float)
            if (~np.isnan(x)).sum() < 16:
                assert all(np.isnan(got[name][row, column]) for name in ("slope", "p", "z", "s", "sign"))
                continue
            expected = pymannkendall.original_test(x)
            assert got["s"][row, column] == expected.s
            assert got["p"][row, column] == pytest.approx(expected.p, rel=1e-6)
            assert got["z"][row, column] == pytest.approx(expected.z, rel=1e-6)
            assert got["slope"][row, column] == pytest.approx(expected.slope, rel=1e-5, abs=1e-6)
            assert got["sign"][row, column] == (np.sign(expected.s) if expected.p < 0.05 else 0)
    assert result["self_check"]["cells"] == 64 and result["self_check"]["largest_difference"] < 1e-6
    assert any("by chance" in line for line in log.lines) and any("lag-1" in line for line in log.lines)
    valid = (~np.isnan(cube)).sum(axis=0)
    assert result["cells"]["few"] == ((valid > 0) & (valid < 16)).sum() and result["cells"]["empty"] == 1


@pytest.mark.parametrize("scale", [0.01, -0.01])
def test_scaled_integers_give_the_trend_in_units(tmp_path, cube, scale):
    stored = np.where(np.isnan(cube), -32768, np.round(cube / scale)).astype(np.int16)
    paths = write_series(tmp_path, stored, nodata=-32768, dtype="int16", scale=scale, offset=150.0)
    got, _, _ = run(paths, tmp_path)
    (tmp_path / "plain").mkdir()
    plain = write_series(tmp_path / "plain", np.where(np.isnan(cube), -999, cube), nodata=-999, dtype="float64")
    expected, _, _ = run(plain, tmp_path / "plain")
    np.testing.assert_allclose(got["slope"], expected["slope"], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(got["s"], expected["s"])


def test_block_size_and_threads_do_not_change_a_byte(tmp_path, cube):
    big = np.tile(cube, (1, 30, 40))[:, :300, :300]
    paths = write_series(tmp_path, np.where(np.isnan(big), -999, big), nodata=-999, dtype="float32")
    seen = []
    for block, threads in ((64, 1), (256, 2), (1000, 2), (0, 1)):
        folder = tmp_path / f"b{block}_{threads}"
        folder.mkdir()
        run(paths, folder, ("slope", "sign", "p", "lag_1"), Settings(threads, block), fdr=True)
        seen.append([(folder / f"{name}.tif").read_bytes() for name in ("slope", "sign", "p", "lag_1")])
    assert all(files == seen[0] for files in seen[1:])


def test_layers_out_of_order_are_an_error_or_sorted(tmp_path, cube):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    swapped = [paths[1], paths[0], *paths[2:]]
    with pytest.raises(InputError, match="out of order.*SORT"):
        run(swapped, tmp_path)
    ordered, _, _ = run(paths, tmp_path)
    got, _, _ = run(swapped, tmp_path, sort=True)
    np.testing.assert_array_equal(got["slope"], ordered["slope"])


def test_a_missing_year_is_a_gap_in_the_time_axis(tmp_path, cube):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    got, result, log = run(paths[:7] + paths[8:], tmp_path)
    assert any("2007" in warning for warning in log.warnings)
    x = np.nan_to_num(cube)[:, 3, 3].astype(np.float32).astype(float)
    x[7] = np.nan
    assert got["slope"][3, 3] == pytest.approx(pymannkendall.original_test(x).slope, rel=1e-5, abs=1e-6)
    assert result["steps"] == 20 and result["layers"] == 19


@pytest.mark.parametrize(("names", "message"), [
    (("a_2000.tif", "b_2000.tif"), "same time stamp, 2000"), (("a_2000.tif", "b.tif"), "no time stamp"),
])
def test_bad_stamps_are_named(tmp_path, names, message):
    paths = [str(tmp_path / name) for name in names]
    for path in paths:
        write_raster(path, np.ones((4, 4)), dtype="float32")
    with pytest.raises(InputError, match=message):
        run(paths, tmp_path)


def test_bad_series_are_refused(tmp_path, cube):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    with pytest.raises(InputError, match="3 time steps"):
        run(paths[:3], tmp_path)
    odd = str(tmp_path / "layer_2020.tif")
    write_raster(odd, np.ones((5, 5)), dtype="float32")
    with pytest.raises(GridError, match="layer_2020.tif is not on the grid"):
        run([*paths, odd], tmp_path)
    write_raster(odd, np.ones((12, 9)), dtype="float32", unit="K")
    with pytest.raises(InputError, match="different units"):
        run([*paths, odd], tmp_path)
    empty = write_series(tmp_path, np.full((6, 3, 3), -1.0), first=1900, nodata=-1, dtype="float32")
    with pytest.raises(InputError, match="empty"):
        run(empty, tmp_path)
    data = bytearray((tmp_path / "layer_2010.tif").read_bytes())
    (tmp_path / "layer_2010.tif").write_bytes(data[:len(data) // 2])
    with pytest.raises(InputError, match="layer_2010.tif"):
        run(paths, tmp_path)
    assert not list(tmp_path.glob("slope*")) and not list(tmp_path.glob("*.partial"))


def test_seasonal_layers_with_a_start_and_an_incomplete_year(tmp_path):
    rng = np.random.default_rng(2)
    cube = rng.normal(size=(44, 4, 5))
    path = str(tmp_path / "series.tif")
    write_raster(path, cube, dtype="float64")
    got, _, log = run([path], tmp_path, period=12, start="2000-07", season_start=7)
    for row in range(4):
        for column in range(5):
            expected = pymannkendall.seasonal_test(cube[:, row, column], period=12)
            assert got["s"][row, column] == expected.s
            assert got["slope"][row, column] == pytest.approx(expected.slope, rel=1e-5)
    assert any("incomplete" in warning for warning in log.warnings)


def test_discovery_threshold_is_benjamini_and_hochbergs():
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.random(400), rng.random(100) * 1e-3])
    keys, counts = np.unique(p.round(4), return_counts=True)
    threshold = discovery_threshold(dict(zip(keys, counts)), 0.05)
    ordered = np.sort(p.round(4))
    passed = ordered <= 0.05 * np.arange(1, 501) / 500
    assert threshold == ordered[passed][-1]
    assert discovery_threshold({0.5: 10}, 0.05) == -1.0


def test_false_discovery_control_is_stricter_and_recorded(tmp_path, cube):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    plain, _, _ = run(paths, tmp_path)
    got, result, _ = run(paths, tmp_path, ("sign", "slope_significant"), fdr=True)
    threshold = result["fdr"]["threshold"]
    expected = np.where(plain["p"] <= threshold, np.sign(plain["s"]), 0)
    np.testing.assert_array_equal(got["sign"], expected)
    np.testing.assert_array_equal(got["slope_significant"], np.where(expected == 0, 0, plain["slope"]))
    assert 0 < (expected == 0).sum() < expected.size
    assert (np.abs(got["sign"]).sum()) <= np.abs(plain["sign"]).sum() and result["fdr"]["tests"] == 108
    assert not [path for path in tmp_path.iterdir() if path.name.endswith((".p.tif", ".partial", ".slope.tif"))]


def test_filling_takes_the_nearest_years_of_the_season():
    series = np.arange(24 * 3, dtype=float).reshape(24, 3)
    series[5] = np.nan
    series[4, 0] = np.nan
    series[7, 1] = np.nan
    before = series.copy()
    fill_steps(series, (5,), 2)
    donors = [3, 7, 1, 9, 11, 13, 15, 17, 19, 21, 23]
    for cell in range(3):
        values = [before[d, cell] for d in donors if not np.isnan(before[d, cell])][:10]
        assert series[5, cell] == pytest.approx(np.mean(values))
    assert np.isnan(series[4, 0]) and np.isnan(series[7, 1])


def test_filled_layers_are_recorded(tmp_path, cube):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    _, result, log = run(paths[:7] + paths[8:], tmp_path, fill=True)
    assert result["filled"] == ["2007"] and any("Filled" in warning for warning in log.warnings)


def test_a_wrong_engine_fails_the_run(tmp_path, cube, monkeypatch):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    real = trends.trend_test

    def wrong(*arguments, **options):
        result = real(*arguments, **options)
        result.s = result.s + 2
        return result

    monkeypatch.setattr(trends, "trend_test", wrong)
    with pytest.raises(PtiError, match="self-check failed"):
        run(paths, tmp_path)
    assert not (tmp_path / "slope.tif").exists()


@pytest.mark.parametrize("name", ["s", "variance", "z", "p", "slope"])
@pytest.mark.parametrize("method, period", [(PREWHITENED, 1), (TREND_FREE, 1), (YUE_WANG, 1), (HAMED_RAO, 1),
                                            (HIRSCH_SLACK, 4), (ORIGINAL, 4)])
def test_a_wrong_number_of_any_method_fails_the_run(tmp_path, monkeypatch, method, period, name):
    cube = np.random.default_rng(2).normal(size=(20, 9, 9)) + 0.1 * np.arange(20)[:, None, None]
    path = str(tmp_path / "series.tif")
    write_raster(path, cube, dtype="float32", transform=TRANSFORM)
    start = "2000-01-01" if period == 4 else "2000"
    options = {"names": ("slope", "p"), "method": method, "period": period, "start": start}
    got, result, _ = run([path], tmp_path, **options)
    # pymannkendall goes on with a variance that is not positive
    assert result["self_check"]["cells"] > 56 and result["method"] == method and (tmp_path / "slope.tif").exists()
    real = trends.trend_test

    def wrong(*arguments, **options):
        trend = real(*arguments, **options)
        # one part in 10,000
        setattr(trend, name, getattr(trend, name) * 1.0001)
        return trend

    monkeypatch.setattr(trends, "trend_test", wrong)
    with pytest.raises(PtiError, match=f"self-check failed: {name} is"):
        run([path], tmp_path, **options)


def test_a_step_that_is_not_inside_the_series_is_refused(tmp_path, cube):
    paths = write_series(tmp_path, np.nan_to_num(cube), dtype="float32")
    # 2000 is the first year, and has none before it; 2019 is the last
    for year in (1999, 2000, 2020, 2100):
        with pytest.raises(InputError, match=f"STEP_YEAR is {year}, which is not inside the series"):
            run(paths, tmp_path, ("slope", "step"), step_at=year)
    assert not (tmp_path / "step.tif").exists()
    for year in (2001, 2019):
        run(paths, tmp_path, ("slope", "step"), step_at=year)


@pytest.mark.parametrize("share, tested", [(0.75, True), (0.8, False)])
@pytest.mark.parametrize("period", [1, 2])
def test_a_cell_with_exactly_the_share_of_values_is_tested(tmp_path, share, tested, period):
    """15 of 20 years, in each season."""
    rng = np.random.default_rng(4)
    cube = rng.normal(size=(20 * period, 3, 3))
    cube[:5 * period, 1, 1] = np.nan
    path = write_raster(tmp_path / "series.tif", cube, dtype="float32", nodata=-9999)
    start = "2000" if period == 1 else "2000-01-01"
    got, _, _ = run([path], tmp_path, ("p", "count"), min_share=share, period=period, start=start)
    assert np.isnan(got["p"][1, 1]) == (not tested) and got["count"][1, 1] == 15 * period
    assert not np.isnan(np.delete(got["p"].ravel(), 4)).any()


@pytest.mark.parametrize("factor, significant", [(1 + 1e-6, True), (1, False)])
def test_a_p_that_is_alpha_exactly_is_not_significant(tmp_path, factor, significant):
    """α is what the raster of p holds, in single precision, or just above."""
    x = np.array([1, 3, 2, 5, 4, 6, 8, 7.0])
    paths = write_series(tmp_path, np.tile(x[:, None, None], (1, 2, 2)), dtype="float32")
    alpha = float(np.float32(pymannkendall.original_test(x).p))
    got, _, _ = run(paths, tmp_path, ("sign", "slope_significant", "p"), alpha=alpha * factor)
    assert (got["p"] == np.float32(alpha)).all()
    assert (got["sign"] == significant).all() and ((got["slope_significant"] > 0) == significant).all()


@pytest.mark.parametrize(("text", "period", "stamp"), [
    ("cci_magt_1997", 1, 1997), ("x_1997-2021_magt_2003", 1, 2003), ("lst_2000-07", 12, 2000 * 12 + 6),
    ("lst_200007", 12, 2000 * 12 + 6), ("NDVI.A2001009.hdf", 46, 2001 * 46 + 1), ("2001-01-09", 46, 2001 * 46 + 1),
    ("20010131", 365, 2001 * 365 + 30), ("m_1234_x", 1, None), ("lst_2000", 12, None), ("1997-2021", 1, None),
    ("MOD10CM.A2001032.061", 12, 2001 * 12 + 1),
    # the last and the first day of a month, in leap years and others
    ("x.A2004060", 12, 2004 * 12 + 1), ("x.A2004061", 12, 2004 * 12 + 2), ("x.A2003059", 12, 2003 * 12 + 1),
    ("x.A2003060", 12, 2003 * 12 + 2), ("x.A2004366", 12, 2004 * 12 + 11), ("x.A2003365", 12, 2003 * 12 + 11),
    ("x.A2000031", 12, 2000 * 12), ("x.A2000032", 12, 2000 * 12 + 1), ("x.A2000335", 12, 2000 * 12 + 10),
    ("x.A2000336", 12, 2000 * 12 + 11), ("x_2004-02-29", 12, 2004 * 12 + 1), ("x_20040229", 365, 2004 * 365 + 59),
    ("x_2004-02-29", 46, 2004 * 46 + 7), ("x_2004-12-31", 46, 2004 * 46 + 45), ("x_2003-12-31", 46, 2003 * 46 + 45),
])
def test_stamps_in_names(text, period, stamp):
    assert stamp_of(text, period) == stamp


def test_first_and_last_year_leave_out_the_layers_beyond(tmp_path):
    rng = np.random.default_rng(5)
    # a step in 2003, with nothing before and after it
    values = rng.normal(0, 0.1, (20, 6, 7)) + (np.arange(1995, 2015) >= 2003)[:, None, None] * 2.0
    paths = write_series(tmp_path, values.astype(np.float32), first=1995)
    for name in ("whole", "part", "none"):
        (tmp_path / name).mkdir()
    whole = run(paths, tmp_path / "whole")[0]
    part, _, log = run(paths, tmp_path / "part", first_year=2003, last_year=2012)
    assert "Of the years 1995 to 2014, 2003 to 2012 are used." in log.lines
    for row, column in np.ndindex(6, 7):
        expected = pymannkendall.original_test(values[8:18, row, column].astype(np.float32).astype(float))
        assert part["p"][row, column] == pytest.approx(expected.p, rel=1e-5)
        assert part["slope"][row, column] == pytest.approx(expected.slope, rel=1e-4, abs=1e-6)
    assert (whole["p"] < 0.05).all() and (part["p"] < 0.05).mean() < 0.3
    for name, options, kept in (("from", {"first_year": 2003}, slice(8, 20)),
                                ("to", {"last_year": 2005}, slice(0, 11))):
        (tmp_path / name).mkdir()
        found = run(paths, tmp_path / name, **options)[0]
        expected = pymannkendall.original_test(values[kept, 2, 3].astype(np.float32).astype(float))
        assert found["p"][2, 3] == pytest.approx(expected.p, rel=1e-5)
    with pytest.raises(InputError, match="years 1995 to 2014, of which none"):
        run(paths, tmp_path / "none", first_year=2050)
