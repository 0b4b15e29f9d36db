"""Annual means come only from years that the readings cover, and equal a mean taken by hand."""

import math

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.insitu.annual_means import annual_means


def readings(start, count, step="D", function=lambda day: -3 + 8 * math.sin(2 * math.pi * day / 365)):
    times = (np.datetime64(start) + np.arange(count).astype(f"timedelta64[{step}]")).astype("datetime64[s]")
    days = (times - np.datetime64("2001-01-01")) / np.timedelta64(86400, "s")
    return times, np.array([function(day) for day in days]), np.arange(count) + 2


def means(times, values, lines):
    return annual_means(times, values, lines, "site A at depth 1", "a.csv")


def test_a_year_of_days_gives_its_mean_and_the_range_of_its_months():
    times, values, lines = readings("2001-01-01", 365)
    (found,), left_out = means(times, values, lines)
    assert (found.year, found.line, dict(left_out)) == (2001, 2, {})
    assert found.mean == pytest.approx(sum(values) / 365)
    months = [[value for time, value in zip(times, values) if str(time)[5:7] == f"{month:02}"]
              for month in range(1, 13)]
    middles = [sum(month) / len(month) for month in months]
    assert found.amplitude == pytest.approx(max(middles) - min(middles))


def test_a_month_of_few_days_does_not_widen_the_yearly_range():
    times, values, lines = readings("2001-01-01", 365, function=lambda day: -2.0)
    values[31:43] = np.nan
    values[43:59] = -5
    assert means(times, values, lines)[0][0].amplitude == 0
    times, values, lines = readings("2001-01-01", 365, function=lambda day: -2.0 - (31 <= day < 59))
    assert means(times, values, lines)[0][0].amplitude == 1


@pytest.mark.parametrize("days, kept", [(350, True), (349, False)])
def test_a_year_counts_with_350_days(days, kept):
    times, values, lines = readings("2001-01-01", 365)
    values[np.random.default_rng(1).permutation(365)[days:]] = np.nan
    found, left_out = means(times, values, lines)
    assert bool(found) == kept
    assert left_out["year of a sensor with too few readings"] == (0 if kept else 1)


@pytest.mark.parametrize("months, kept", [(12, True), (11, True), (10, False)])
def test_a_year_of_monthly_readings_counts_with_eleven(months, kept):
    times = np.array([np.datetime64(f"2001-{month:02}-15") for month in range(1, months + 1)], "datetime64[s]")
    values = np.arange(months) / 2.0
    found, _ = means(times, values, np.arange(months))
    assert bool(found) == kept
    if kept:
        assert (found[0].mean, found[0].amplitude) == (pytest.approx((months - 1) / 4), (months - 1) / 2)


def test_one_reading_a_year_is_no_annual_mean():
    times = np.array([np.datetime64(f"{year}-08-01") for year in range(1990, 2000)], "datetime64[s]")
    found, left_out = means(times, np.full(10, -4.0), np.arange(10))
    assert found == [] and left_out["year of a sensor with too few readings"] == 10


def test_days_weigh_the_same_however_often_they_were_read():
    times, values, lines = readings("2001-01-01", 365)
    extra = times[:100] + np.timedelta64(3600, "s")
    found, _ = means(np.concatenate([times, extra]), np.concatenate([values, values[:100] + 2]),
                     np.arange(465))
    assert found[0].mean == pytest.approx((values.sum() + 100) / 365)


def test_the_order_of_readings_does_not_matter():
    times, values, lines = readings("2001-01-01", 800)
    shuffled = np.random.default_rng(2).permutation(800)
    one, other = means(times, values, lines)[0], means(times[shuffled], values[shuffled], lines[shuffled])[0]
    assert [(year.year, year.line) for year in other] == [(2001, 2), (2002, 367)]
    assert [year.mean for year in other] == [year.mean for year in one]


def test_a_reading_that_stands_twice_counts_once_and_with_two_values_is_refused():
    times, values, lines = readings("2001-01-01", 365)
    twice = [np.append(times, times[10]), np.append(values, values[10]), np.append(lines, 400)]
    found, left_out = means(*twice)
    assert found[0].mean == means(times, values, lines)[0][0].mean
    assert left_out["reading that repeats another"] == 1
    twice[1][-1] += 0.5
    with pytest.raises(InputError, match="line 400: site A at depth 1 .* in line 12"):
        means(*twice)


def test_no_reading_gives_no_year():
    assert means(*(np.array([], dtype=kind) for kind in ("datetime64[s]", float, int)))[0] == []
