"""Trend statistics equal pymannkendall and scipy in both engines: ties, gaps, seasons, ints and floats."""

import math
from functools import cache

import numpy as np
import pymannkendall
import pytest
import scipy.stats

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.series import corrections
from pti_plugin.core.series.corrections import covariance_variance, slope_limits, step_change, trend_test
from pti_plugin.core.series.mann_kendall import NUMBA, NUMPY, engines, lag_1, mann_kendall

KINDS = ("plain", "ties", "gaps", "gaps and ties", "constant", "monotone", "integers", "correlated")
ENGINES = (NUMBA, NUMPY)


@pytest.fixture(params=ENGINES)
def engine(request):
    if request.param not in engines():
        pytest.skip("numba is not installed")
    return request.param


def series(rng, length, kind):
    x = rng.normal(size=length) + rng.choice([0, 0.05, -0.1]) * np.arange(length)
    if kind == "ties":
        x = np.round(x)
    elif kind == "gaps":
        x[rng.random(length) < 0.3] = np.nan
    elif kind == "gaps and ties":
        x = np.round(x * 2) / 2
        x[rng.random(length) < 0.2] = np.nan
    elif kind == "constant":
        x[:] = rng.integers(-3, 4)
    elif kind == "monotone":
        x = np.sort(x)
    elif kind == "integers":
        x = rng.integers(-200, 200, length).astype(float)
    elif kind == "correlated":
        for i in range(1, length):
            x[i] += 0.6 * x[i - 1]
    return x


def many(seed, lengths, per_length, kinds=KINDS):
    """Return [(steps, cells) arrays], at least 2,000 series a method over all kinds and lengths."""
    rng = np.random.default_rng(seed)
    return [np.stack([series(rng, length, kind) for _ in range(per_length)], axis=1)
            for kind in kinds for length in lengths]


def same(ours, theirs, names, relative=1e-9):
    for name in names:
        np.testing.assert_allclose(getattr(ours, name), theirs[name], rtol=relative, atol=1e-14, err_msg=name)


def reference(block, test):
    rows = {name: [] for name in ("s", "variance", "z", "p", "slope", "tau")}
    for column in block.T:
        result = test(column)
        for name, value in zip(rows, (result.s, result.var_s, result.z, result.p, result.slope, result.Tau)):
            rows[name].append(value)
    return {name: np.array(values) for name, values in rows.items()}


def with_values(block, least):
    return block[:, (~np.isnan(block)).sum(axis=0) >= least]


@cache
def annual():
    """Blocks of annual series and what pymannkendall, which takes seconds, makes of them."""
    blocks = [with_values(block, 2) for block in many(1, range(2, 61), 5)]
    return [(block, reference(block, pymannkendall.original_test)) for block in blocks if block.shape[1]]


def test_annual_equals_pymannkendall(engine):
    tested = 0
    for block, expected in annual():
        same(mann_kendall(block, engine=engine), expected, ("s", "variance", "z", "p", "slope", "tau"))
        tested += block.shape[1]
    assert tested >= 2000


@pytest.mark.parametrize("period", [3, 12])
def test_seasonal_equals_pymannkendall(engine, period):
    tested = 0
    for block in many(2, range(2 * period, 8 * period, period), 22):
        # a season without data adds nothing
        block[::period, ::5] = np.nan
        block = with_values(block, 2)
        trend = mann_kendall(block, period, engine=engine)
        keep = trend.pairs > 0
        expected = reference(block[:, keep], lambda x: pymannkendall.seasonal_test(x, period=period))
        for name in ("s", "variance", "z", "p", "slope", "tau"):
            np.testing.assert_allclose(getattr(trend, name)[keep], expected[name], rtol=1e-9, atol=1e-14, err_msg=name)
        tested += int(keep.sum())
    assert tested >= 1000


def test_a_last_incomplete_year_is_padded_as_pymannkendall_does(engine):
    block = np.random.default_rng(3).normal(size=(41, 30))
    same(mann_kendall(block, 12, engine=engine),
         reference(block, lambda x: pymannkendall.seasonal_test(x, period=12)), ("s", "variance", "z", "p", "slope"))


def test_float32_gives_slopes_to_one_in_a_million(engine):
    block = np.random.default_rng(4).normal(-5, 3, size=(25, 400)).astype(np.float32)
    block[np.random.default_rng(5).random(block.shape) < 0.1] = np.nan
    trend = mann_kendall(block, engine=engine)
    exact = mann_kendall(block.astype(np.float64), engine=engine)
    assert (trend.s == exact.s).all() and (trend.variance == exact.variance).all()
    np.testing.assert_allclose(trend.slope, exact.slope, rtol=1e-6, atol=1e-7)


def test_slope_and_tau_equal_scipy(engine):
    block = np.random.default_rng(6).normal(size=(30, 200))
    trend = mann_kendall(block, engine=engine)
    steps = np.arange(30)
    for i in range(block.shape[1]):
        assert trend.slope[i] == pytest.approx(scipy.stats.theilslopes(block[:, i], steps)[0], rel=1e-9)
        assert trend.tau[i] == pytest.approx(scipy.stats.kendalltau(steps, block[:, i])[0], rel=1e-9)


def test_the_two_engines_agree():
    if NUMBA not in engines():
        pytest.skip("numba is not installed")
    for block in many(7, (2, 7, 25, 60), 40):
        for period in (1, 4):
            a, b = (mann_kendall(block, period, engine=name) for name in ENGINES)
            for name in ("s", "variance", "count", "pairs", "z", "p", "slope"):
                np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-15, err_msg=name)
            np.testing.assert_allclose(*(lag_1(block, a.slope, period, name) for name in ENGINES), rtol=1e-9,
                                       atol=1e-12)


def test_slope_of_extreme_and_tied_values(engine):
    rng = np.random.default_rng(8)
    blocks = [np.round(rng.normal(size=(40, 50))), rng.normal(size=(40, 50)) * 1e200,
              rng.normal(size=(40, 50)) * 1e-200,
              np.where(rng.random((40, 50)) < 0.9, 0.0, rng.normal(size=(40, 50))), -np.abs(rng.normal(size=(40, 50))),
              np.repeat(np.arange(40.0)[:, None], 50, axis=1), -np.repeat(np.arange(40.0)[:, None], 50, axis=1)]
    for block in blocks:
        slope = mann_kendall(block, engine=engine).slope
        expected = [np.median([(x[j] - x[i]) / (j - i) for i in range(40) for j in range(i + 1, 40)]) for x in block.T]
        np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-210)


def test_too_few_values_are_nan_not_an_error(engine):
    block = np.array([[np.nan, 1.0, 1.0], [np.nan, np.nan, 2.0], [np.nan, np.nan, np.nan]])
    trend = mann_kendall(block, engine=engine)
    assert np.isnan(trend.p[:2]).all() and np.isnan(trend.slope[:2]).all() and np.isnan(trend.tau[:2]).all()
    assert trend.slope[2] == 1.0 and trend.count.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("method", "test"), [
    (corrections.PREWHITENED, pymannkendall.pre_whitening_modification_test),
    (corrections.TREND_FREE, pymannkendall.trend_free_pre_whitening_modification_test),
    (corrections.YUE_WANG, pymannkendall.yue_wang_modification_test),
    (corrections.HAMED_RAO, pymannkendall.hamed_rao_modification_test),
])
def test_corrections_equal_pymannkendall_where_it_is_sound(method, test):
    kinds = [kind for kind in KINDS if kind != "constant"]
    tested = guarded = 0
    for block in many(9, range(5, 61, 5), 29, kinds):
        block = with_values(block, 5)
        if not block.shape[1]:
            continue
        trend = trend_test(block, method=method)
        with np.errstate(all="ignore"):
            expected = reference(block, test)
        sound = np.isfinite(expected["z"]) & (expected["variance"] > 0)
        for name in ("s", "variance", "z", "p", "slope"):
            np.testing.assert_allclose(getattr(trend, name)[sound], expected[name][sound], rtol=1e-9, atol=1e-12,
                                       err_msg=name)
        # a negative variance is not testable here, where the reference goes on with NaN
        negative = (expected["variance"] <= 0) & (trend.s != 0)
        assert np.isnan(trend.p[negative]).all()
        tested, guarded = tested + int(sound.sum()), guarded + int(negative.sum())
    assert tested >= 2000
    # Hamed and Rao keep only significant lags, which can make the variance negative
    assert (guarded > 0) == (method == corrections.HAMED_RAO)


def test_hamed_rao_of_ties_differs_only_where_the_numbers_do():
    """Ties of the detrended series are decided by rounding: float32 numbers give what the reference gives for them."""
    rng = np.random.default_rng(3)
    exact = np.round(rng.normal(-5, 1, (25, 600)) + 0.02 * np.arange(25)[:, None], 1)
    single = exact.astype(np.float32)
    p = {}
    for name, block in (("exact", exact), ("single", single)):
        with np.errstate(all="ignore"):
            p[name] = np.array([pymannkendall.hamed_rao_modification_test(column).p for column in block.T])
        np.testing.assert_allclose(trend_test(block, method=corrections.HAMED_RAO).p, p[name], rtol=1e-9, atol=1e-14)
    differing = ~np.isclose(p["exact"], p["single"], rtol=1e-9, equal_nan=True)
    # what docs/trends.md says of the reference itself
    assert 0.01 < differing.mean() < 0.1 and np.nanmax(np.abs(p["exact"] - p["single"])) > 0.0024
    whole = np.round(exact)
    np.testing.assert_array_equal(*(trend_test(block, method=corrections.HAMED_RAO).p
                                    for block in (whole, whole.astype(np.float32))))


@pytest.mark.parametrize("method", corrections.ONE_SEASON)
def test_a_constant_series_has_no_trend_by_any_correction(method):
    trend = trend_test(np.full((20, 3), 2.5), method=method)
    assert (trend.p == 1).all() and (trend.z == 0).all()


def test_hirsch_slack_equals_pymannkendall_on_complete_series():
    tested = 0
    for period, block in [(4, block) for block in many(10, (8, 16, 24, 40), 200, ("plain", "ties", "correlated"))] \
            + [(12, block) for block in many(10, (24, 60), 8, ("plain", "ties", "correlated"))]:
        trend = trend_test(block, period, corrections.HIRSCH_SLACK)
        with np.errstate(all="ignore"):
            expected = reference(block, lambda x, period=period: pymannkendall.correlated_seasonal_test(x, period))
        sound = (expected["s"] != 0) & (expected["variance"] > 1e-9)
        tested += int(sound.sum())
        for name in ("s", "variance", "z", "p", "slope"):
            np.testing.assert_allclose(getattr(trend, name)[sound], expected[name][sound], rtol=1e-9, atol=1e-12,
                                       err_msg=name)
    assert tested >= 2000


def test_hirsch_slack_with_gaps_equals_the_formula_season_by_season():
    rng = np.random.default_rng(11)
    years, period = 8, 4
    values = np.round(rng.normal(size=(years * period, 30)), 1)
    values[rng.random(values.shape) < 0.25] = np.nan
    ours = covariance_variance(values, period)
    for cell in range(values.shape[1]):
        x = values[:, cell].reshape(years, period)
        total = 0.0
        for g in range(period):
            for h in range(period):
                k = sum(np.nan_to_num(np.sign(x[j, g] - x[i, g]) * np.sign(x[j, h] - x[i, h]))
                        for i in range(years) for j in range(i + 1, years))
                rank = [[(np.sum(~np.isnan(x[:, s])) + 1 + np.nansum(np.sign(x[i, s] - x[:, s]))) / 2
                         if not np.isnan(x[i, s]) else (np.sum(~np.isnan(x[:, s])) + 1) / 2 for i in range(years)]
                        for s in (g, h)]
                n = [np.sum(~np.isnan(x[:, s])) for s in (g, h)]
                total += (k + 4 * np.dot(*rank) - years * (n[0] + 1) * (n[1] + 1)) / 3
        assert ours[cell] == pytest.approx(total, rel=1e-9)


def test_slope_limits_equal_scipy():
    block = np.random.default_rng(12).normal(size=(25, 100))
    trend = mann_kendall(block)
    low, high = slope_limits(block, trend.variance)
    for i in range(100):
        expected = scipy.stats.theilslopes(block[:, i], np.arange(25), alpha=0.95)
        assert (low[i], high[i]) == pytest.approx((expected[2], expected[3]), rel=1e-9)


def test_lag_1_finds_the_autocorrelation(engine):
    rng = np.random.default_rng(13)
    x = rng.normal(size=(3000, 20))
    for i in range(1, 3000):
        x[i] += 0.5 * x[i - 1]
    x += 0.01 * np.arange(3000)[:, None]
    assert lag_1(x, np.full(20, 0.01), engine=engine) == pytest.approx(0.5, abs=0.07)
    assert np.isnan(lag_1(np.ones((10, 1)), np.zeros(1), engine=engine)).all()


def test_a_step_is_found_where_it_is():
    rng = np.random.default_rng(14)
    x = rng.normal(size=(24, 200))
    x[12:, :100] += 4
    shift, z = step_change(x, np.zeros(200), 12)
    assert shift[:100].mean() == pytest.approx(4, abs=0.3) and abs(shift[100:].mean()) < 0.3
    assert (z[:100] > 3).all() and (np.abs(z[100:]) < 3).mean() > 0.98
    expected = scipy.stats.ranksums(x[12:, 0], x[:12, 0])
    assert z[0] == pytest.approx(expected.statistic, rel=1e-9)


def test_methods_that_do_not_fit_the_seasons_are_refused():
    for method, period in ((corrections.HIRSCH_SLACK, 1), (corrections.YUE_WANG, 12), ("mk", 1)):
        with pytest.raises(InputError):
            trend_test(np.zeros((24, 1)), period, method)


def test_best_possible_p_of_short_series():
    for n, p in ((4, 0.0894), (5, 0.0275)):
        trend = mann_kendall(np.arange(float(n))[:, None])
        assert trend.p[0] == pytest.approx(math.erfc((n * (n - 1) / 2 - 1) / math.sqrt(
            n * (n - 1) * (2 * n + 5) / 18) / math.sqrt(2)), rel=1e-12)
        assert trend.p[0] == pytest.approx(p, abs=2e-4)
