"""The script behind docs/trends.md reproduces the method page's figures, in a short form with honest bounds."""

import numpy as np
import pytest
import trend_methods

from pti_plugin.core.series.corrections import HAMED_RAO, HIRSCH_SLACK, ORIGINAL, PREWHITENED, TREND_FREE, YUE_WANG

REPLICATES = 1000


def about(share, replicates=REPLICATES):
    """``share`` within four standard errors of so many series."""
    return pytest.approx(share, abs=4 * (share * (1 - share) / replicates) ** 0.5)


@pytest.fixture(scope="module")
def false_positives():
    return {method: {lag: found for lag, (found, _) in row.items()}
            for method, row in trend_methods.annual(0.0, REPLICATES).items()}


def test_series_have_unit_variance_and_the_autocorrelation_asked_for():
    series = trend_methods.correlated(np.random.default_rng(1), 0.6, 25, 20_000)
    assert series.var() == pytest.approx(1, abs=0.02)
    assert (series[1:] * series[:-1]).mean() == pytest.approx(0.6, abs=0.02)


def test_seasons_share_the_variance_asked_for():
    series = trend_methods.shared_years(np.random.default_rng(1), 0.3, 4, 3, 50_000)
    assert series.shape == (12, 50_000)
    assert np.corrcoef(series[0], series[3])[0, 1] == pytest.approx(0.3, abs=0.02)
    assert np.corrcoef(series[3], series[4])[0, 1] == pytest.approx(0, abs=0.02)


def test_plain_mann_kendall_errs_more_with_correlation(false_positives):
    found = false_positives[ORIGINAL]
    assert found[0.0] == about(0.05)
    assert found[0.4] == about(0.17)
    assert sorted(found.values()) == list(found.values())


def test_corrections_at_25_years(false_positives):
    assert false_positives[PREWHITENED][0.4] == about(0.04)
    assert false_positives[HAMED_RAO][0.4] == about(0.19)
    assert false_positives[TREND_FREE][0.4] == about(0.19)
    assert min(false_positives[YUE_WANG].values()) > 0.35


def test_pre_whitening_pays_with_power():
    trend = trend_methods.trend_of_power(0.89, REPLICATES)
    found = trend_methods.annual(trend, REPLICATES)
    assert found[ORIGINAL][0.0][0] == about(0.89)
    # the page's .89 and .25 both belong to lag-1 0.4
    found = trend_methods.annual(0.11, REPLICATES)
    assert found[ORIGINAL][0.4][0] == about(0.89)
    assert found[PREWHITENED][0.4][0] == about(0.25)
    assert 0 < found[HAMED_RAO][0.4][1] < 0.05


@pytest.mark.parametrize("seasons, share", [(12, 0.165), (46, 0.38)])
def test_a_shared_year_effect_needs_the_covariances(seasons, share):
    found = trend_methods.seasonal(seasons, 400)
    assert found[ORIGINAL][0.0] == about(0.05, 400) and found[ORIGINAL][0.1] == about(share, 400)
    assert found[ORIGINAL][0.3] > found[ORIGINAL][0.1]
    assert list(found[HIRSCH_SLACK].values()) == [about(0.05, 400)] * 3


def test_the_page_holds_the_tables_of_the_script():
    text = trend_methods.PAGE.read_text(encoding="utf-8")
    table = text.split(trend_methods.BEGIN)[1].split(trend_methods.END)[0]
    assert f"{trend_methods.REPLICATES:,} simulated series" in table
    short = trend_methods.tables(20)
    assert [line for line in table.splitlines() if line.startswith(("| method", "**"))][:2] == [
        line for line in short.splitlines() if line.startswith(("| method", "**"))][:2]
    for method in (ORIGINAL, PREWHITENED, TREND_FREE, YUE_WANG, HAMED_RAO):
        assert table.count(f"| `{method}` |") >= 2
        assert f"**`{method}`**" in text
