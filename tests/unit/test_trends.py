"""The trend statistics equal pymannkendall's, gaps, ties and seasons included."""

import numpy as np
import pymannkendall
import pytest

from pti_plugin.core.trends import mann_kendall


def random_series(rng, length, kind):
    x = rng.normal(size=length) + rng.choice([0, 0.05, -0.1]) * np.arange(length)
    if kind == "ties":
        x = np.round(x)
    elif kind == "gaps":
        x[rng.random(length) < 0.3] = np.nan
    elif kind == "gaps and ties":
        x = np.round(x * 2) / 2
        x[rng.random(length) < 0.2] = np.nan
    elif kind == "constant":
        x[:] = 3.5
    elif kind == "monotone":
        x = np.sort(x)
    return x


KINDS = ("plain", "ties", "gaps", "gaps and ties", "constant", "monotone")


@pytest.mark.parametrize("kind", KINDS)
def test_annual_equals_pymannkendall(kind):
    rng = np.random.default_rng(11)
    for length in range(4, 61, 2):
        cells = np.stack([random_series(rng, length, kind) for _ in range(12)], axis=1)
        trend = mann_kendall(cells)
        for i in range(cells.shape[1]):
            if (~np.isnan(cells[:, i])).sum() < 2:
                continue
            expected = pymannkendall.original_test(cells[:, i])
            assert trend.s[i] == expected.s
            np.testing.assert_allclose(
                [trend.variance[i], trend.z[i], trend.p[i], trend.slope[i]],
                [expected.var_s, expected.z, expected.p, expected.slope], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("period", [4, 12])
def test_seasonal_equals_pymannkendall(kind, period):
    rng = np.random.default_rng(12)
    for years in (3, 5, 10):
        cells = np.stack([random_series(rng, years * period, kind) for _ in range(8)], axis=1)
        trend = mann_kendall(cells, period)
        for i in range(cells.shape[1]):
            expected = pymannkendall.seasonal_test(cells[:, i], period=period)
            assert trend.s[i] == expected.s
            np.testing.assert_allclose(
                [trend.variance[i], trend.z[i], trend.p[i], trend.slope[i]],
                [expected.var_s, expected.z, expected.p, expected.slope], rtol=1e-9, atol=1e-12)


def test_too_few_values_are_nan_not_an_error():
    trend = mann_kendall(np.array([[np.nan, 1.0], [np.nan, np.nan], [np.nan, np.nan]]))
    assert np.isnan(trend.p).all() and np.isnan(trend.slope).all() and (trend.z == 0).all()
