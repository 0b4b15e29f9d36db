"""Annual means of ground temperature from readings within the year, and the yearly range of their monthly means.

A year counts where its readings cover it: at least 350 days of a sensor read daily or more often (the rule of the
method for partial years), at least 11 months of one read less often. What covers less would be a mean of seasons, and
is left out and counted.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError

FULL_YEAR_DAYS = 350
FULL_YEAR_MONTHS = 11
#: a month of daily readings enters the yearly range with at least so many days
FULL_MONTH_DAYS = 20
#: a sensor is read daily where the middle distance of its days of reading is at most this
DAILY_STEP_DAYS = 2

RULE = (f"annual means of years with at least {FULL_YEAR_DAYS} days of daily readings, or {FULL_YEAR_MONTHS} months of "
        f"rarer ones")


@dataclass
class AnnualMean:
    """Mean of the readings of one sensor in one year; ``amplitude`` is the range of the monthly means."""

    year: int
    mean: float
    amplitude: float
    #: line of the year's first reading
    line: int


def annual_means(times, values, lines, what, path):
    """Return ([AnnualMean], Counter of what was left out) of the readings of one sensor.

    ``times`` (n,) datetime64[s], ``values`` (n,) °C or K with NaN = missing, ``lines`` (n,) their lines in the file,
    in any order. ``what`` names the sensor in messages. A time that stands twice with the same value counts once; with
    two values it raises InputError.
    """
    left_out = Counter()
    valid = np.isfinite(values)
    order = np.flatnonzero(valid)
    order = order[np.argsort(times[order], kind="stable")]
    times, values, lines = times[order], values[order], lines[order]
    again = np.flatnonzero(times[1:] == times[:-1]) + 1
    if again.size:
        clash = again[values[again] != values[again - 1]]
        if clash.size:
            first = clash[0]
            raise InputError(f"{path}, line {lines[first]}: {what} has another value for {times[first]} in line "
                             f"{lines[first - 1]} ({values[first]:g} and {values[first - 1]:g}; {clash.size} such "
                             f"case(s)). Keep one reading of each time.")
        left_out["reading that repeats another"] += int(again.size)
        times, values, lines = (np.delete(array, again) for array in (times, values, lines))
    if not times.size:
        return [], left_out
    days, first_of_day, day_means = _means_by(times.astype("datetime64[D]"), values)
    day_lines = lines[first_of_day]
    daily = days.size > 1 and np.median(np.diff(days).astype(int)) <= DAILY_STEP_DAYS
    found = []
    years = days.astype("datetime64[Y]")
    for year in np.unique(years):
        own = years == year
        months, _, means = _means_by(days[own].astype("datetime64[M]"), day_means[own])
        if daily:
            enough = own.sum() >= FULL_YEAR_DAYS
            mean = day_means[own].mean()
            _, sizes = np.unique(days[own].astype("datetime64[M]"), return_counts=True)
            means = means[sizes >= FULL_MONTH_DAYS]
        else:
            enough = months.size >= FULL_YEAR_MONTHS
            mean = means.mean()
        if not enough:
            left_out["year of a sensor with too few readings"] += 1
            continue
        found.append(AnnualMean(int(str(year)), float(mean), float(np.ptp(means)), int(day_lines[own][0])))
    return found, left_out


def _means_by(keys, values):
    """Return (distinct keys, index of the first of each, mean of the values of each) of sorted ``keys``."""
    distinct, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return distinct, first, np.add.reduceat(values, first) / counts
