"""Simulates how often each trend method errs and what it finds, and writes the tables into docs/trends.md.

Usage: PYTHONPATH=. python scripts/trend_methods.py

Reproduces the figures of the method page: false positives of each method under serial correlation, its power for one
given trend, and the seasonal methods under an effect that all seasons of a year share. Fixed seed; every share is of
REPLICATES series, so its standard error is at most 0.4 points.
"""

from pathlib import Path

import numpy as np

from pti_plugin.core.series.corrections import HAMED_RAO, HIRSCH_SLACK, ONE_SEASON, ORIGINAL, trend_test

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "trends.md"
BEGIN = "<!-- tables: written by scripts/trend_methods.py -->"
END = "<!-- end of tables -->"

YEARS = 25
LAGS = (0.0, 0.2, 0.4, 0.6, 0.8)
ALPHA = 0.05
REPLICATES = 20_000
#: power of plain Mann-Kendall without serial correlation that defines the trend of the power table
POWER = 0.89
SEASONS = (12, 46)
SHARES = (0.0, 0.1, 0.3)
SEED = 20240707
#: series simulated at once
_AT_ONCE = 2_000


def correlated(rng, lag_1, years, number):
    """Return (years, number) stationary AR(1) series with unit variance and the given lag-1 autocorrelation."""
    series = rng.standard_normal((years, number))
    for year in range(1, years):
        series[year] = lag_1 * series[year - 1] + np.sqrt(1 - lag_1**2) * series[year]
    return series


def shared_years(rng, share, seasons, years, number):
    """Return (years · seasons, number) series whose seasons share ``share`` of their variance within a year."""
    own = rng.standard_normal((years, seasons, number))
    common = rng.standard_normal((years, 1, number))
    return (np.sqrt(share) * common + np.sqrt(1 - share) * own).reshape(years * seasons, number)


def shares(series, method, period=1):
    """Return (share significant, share untestable) of the columns of ``series``; an untestable one is no finding."""
    p = trend_test(series, period, method, with_slope=False, alpha=ALPHA).p
    return float((p < ALPHA).mean()), float(np.isnan(p).mean())


def trend_of_power(power, replicates=REPLICATES):
    """Return the trend, in standard deviations a year, that plain Mann-Kendall finds with ``power`` at lag-1 0."""
    noise = correlated(np.random.default_rng(SEED), 0.0, YEARS, replicates)
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        found = shares(noise + middle * np.arange(YEARS)[:, None], ORIGINAL)[0]
        low, high = (middle, high) if found < power else (low, middle)
    return round((low + high) / 2, 3)


def annual(trend, replicates=REPLICATES):
    """Return {method: {lag-1: (share significant, share untestable)}} for series of ``trend`` a year."""
    result = {method: {} for method in (ORIGINAL, *ONE_SEASON)}
    for lag_1 in LAGS:
        # the same noise for every method and trend
        series = correlated(np.random.default_rng([SEED, round(100 * lag_1)]), lag_1, YEARS, replicates)
        series += trend * np.arange(YEARS)[:, None]
        for method, row in result.items():
            row[lag_1] = shares(series, method)
    return result


def seasonal(seasons, replicates=REPLICATES):
    """Return {method: {shared share of the variance: share significant}} for series without a trend."""
    result = {method: dict.fromkeys(SHARES, 0.0) for method in (ORIGINAL, HIRSCH_SLACK)}
    for share in SHARES:
        rng = np.random.default_rng([SEED, seasons, round(100 * share)])
        for start in range(0, replicates, _AT_ONCE):
            number = min(_AT_ONCE, replicates - start)
            series = shared_years(rng, share, seasons, YEARS, number)
            for method, row in result.items():
                row[share] += shares(series, method, seasons)[0] * number / replicates
    return result


def tables(replicates=REPLICATES):
    """Return the tables as Markdown."""
    trend = trend_of_power(POWER, replicates)
    none, some = annual(0.0, replicates), annual(trend, replicates)
    head = [f"| method | {' | '.join(f'lag-1 {lag:g}' for lag in LAGS)} |", "|---|" + "---|" * len(LAGS)]
    lines = [f"Each share is of {replicates:,} simulated series of {YEARS} years, α = {ALPHA:g} "
             f"(standard error at most {50 / replicates ** 0.5:.1f} points).", "",
             "**Found although there is no trend** (should be 5 %):", "", *head]
    lines += [f"| `{method}` | {' | '.join(f'{100 * row[lag][0]:.1f} %' for lag in LAGS)} |"
              for method, row in none.items()]
    lines += ["", f"**Found where there is a trend** of {trend:g} standard deviations a year ({YEARS} years: "
              f"{trend * (YEARS - 1):.1f} standard deviations from first to last):", "", *head]
    lines += [f"| `{method}` | {' | '.join(f'{100 * row[lag][0]:.1f} %' for lag in LAGS)} |"
              for method, row in some.items()]
    lines += ["", f"**Not testable** by `{HAMED_RAO}` because its corrected variance is not positive:", "", *head]
    lines += [f"| {name} | {' | '.join(f'{100 * row[HAMED_RAO][lag][1]:.1f} %' for lag in LAGS)} |"
              for name, row in (("no trend", none), ("trend", some))]
    lines += ["", "**Seasonal methods, found although there is no trend** (should be 5 %), by the share of the "
              "variance that all seasons of a year have in common:", "",
              f"| seasons | method | {' | '.join(f'{100 * share:g} % shared' for share in SHARES)} |",
              "|---|---|" + "---|" * len(SHARES)]
    for seasons in SEASONS:
        lines += [f"| {seasons} | `{method}` | {' | '.join(f'{100 * row[share]:.1f} %' for share in SHARES)} |"
                  for method, row in seasonal(seasons, replicates).items()]
    return "\n".join(lines)


def main():
    """Write the tables between their marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
