"""Coordinates of time, as netCDF, HDF and GRIB files hold them, decoded to days of the calendar.

The calendars are those of the CF conventions (section 4.4), decoded by cftime, the reference implementation that xarray
uses too; here stands what it leaves open: months and years, absolute forms, years alone, and stamps at the end of their
interval. A day keeps the year and month of its own calendar.

Units: nanoseconds to weeks 'since' a date by cftime; 'months since' and 'years since' count months of the calendar, not
UDUNITS' 30.44 days, and are refused where the two disagree; '%Y%m%d.%f' and its kind, and years, by their digits.
"""

import datetime
import re
from collections import namedtuple
from functools import lru_cache

import numpy as np

from ..common.errors import InputError
from ..common.packages import require

Moment = namedtuple("Moment", "year month day day_of_year days_in_year midnight", defaults=(0, 0, 0, 0, False))
Moment.__doc__ = """A day in its file's own calendar. ``month``, ``day`` and ``day_of_year`` are 0 where the file gives
no more than the year, or year and month; ``midnight`` says that the day begins at that moment."""

Decoded = namedtuple("Decoded", "moments calendar moved")
Decoded.__doc__ = """Moments of all bands, their calendar by cftime's name, and whether bounds moved any of them to
another interval or calendar year."""

_SINCE = re.compile(r"(?P<unit>[A-Za-zµμ_]+)\s+since\s+(?P<date>\S.*)", re.IGNORECASE)
_REFERENCE = re.compile(
    r"(?P<year>[-+]?\d{1,4})(?:[-/](?P<month>\d{1,2})(?:[-/](?P<day>\d{1,2}))?)?(?P<clock>(?:[T ]|$).*)?$",
    re.IGNORECASE)
_COMPACT = re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?P<clock>(?:[T ]|$).*)?$", re.IGNORECASE)
_CLOCK = re.compile(r"(?:\d{1,2}(?::\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)?)?\s*"
                    r"(?:Z|UTC|GMT|(?P<sign>[-+])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?)?$", re.IGNORECASE)
_MIDNIGHT = re.compile(r"(?:0{1,2}(?::0{1,2}){0,2}(?:\.0*)?)?\s*(?:Z|UTC|GMT)?", re.IGNORECASE)
_ABSOLUTE = re.compile(r"(?:\w+\s+as\s+)?(?P<form>%Y(?:%m(?:%d)?)?)(?:\.%f)?$|^(?P<word>YYYY(?:MM(?:DD)?)?)(?:\.f+)?$",
                       re.IGNORECASE)
#: unit → (unit of cftime, factor)
_LINEAR = {name: (unit, factor) for names, unit, factor in (
    ("nanosecond nanoseconds nsec nsecs ns", "microseconds", 1e-3),
    ("microsecond microseconds microsec microsecs us µs μs", "microseconds", 1.0),
    ("millisecond milliseconds millisec millisecs msec msecs ms", "milliseconds", 1.0),
    ("second seconds sec secs s", "seconds", 1.0), ("minute minutes min mins", "minutes", 1.0),
    ("hour hours hr hrs h", "hours", 1.0), ("day days d", "days", 1.0), ("week weeks", "days", 7.0))
    for name in names.split()}
_DAYS = {"microseconds": 86400e6, "milliseconds": 86400e3, "seconds": 86400.0, "minutes": 1440.0, "hours": 24.0,
         "days": 1.0}
_MONTHS = {"month": 1, "months": 1, "mon": 1, "mons": 1, "year": 12, "years": 12, "yr": 12, "yrs": 12,
           "common_year": 12, "common_years": 12}
#: UDUNITS' month in days
_UDUNITS_MONTH = 365.242198781 / 12
_YEAR_UNITS = {"", "1", "year", "years", "yr", "yrs", "a", "calendar year", "calendar years", "year ad", "year ce"}
_TIME_NAMES = {"time", "valid_time", "date"} | {"year", "years", "yr"}
_CALENDARS = {"": "standard", "gregorian": "standard", "utc": "standard", "365_day": "noleap", "366_day": "all_leap"}
#: years that a coordinate of years, or of 20010731, can hold
_YEARS = (1000, 2999)
#: the longest part of an interval, in days, after which the year is no more the one the interval begins in
_INTO_INTERVAL = 92.0
#: days of an interval that is a year
_A_YEAR = (340.0, 390.0)


def is_time(dimension):
    """True where a Dimension is one of time: by its attributes, or by its name and what it holds."""
    units = dimension.units.strip()
    stated = (dimension.standard_name in ("time", "forecast_reference_time") or dimension.axis.upper() == "T"
              or _SINCE.match(units) or _ABSOLUTE.match(units))
    return bool(stated) or dimension.name.lower() in _TIME_NAMES and _absolute_form(dimension) is not None


def time_dimension(dimensions):
    """Return the Dimension that holds the time of the bands, or None.

    One along which the bands differ goes before a single value, the time itself before the time a forecast was made.
    """
    times = [dimension for dimension in dimensions if is_time(dimension)]
    return min(times, default=None, key=lambda item: (len(set(item.values)) == 1, item.standard_name != "time",
                                                      item.axis.upper() != "T"))


@lru_cache(maxsize=64)
def decode(dimension, name):
    """Return the Decoded of a Dimension of time of the raster called ``name``.

    Raises InputError where it cannot be known what the coordinate means.
    """
    if any(isinstance(value, str) or not np.isfinite(value) for value in dimension.values):
        raise _refused(dimension, name, "holds a value that is missing or no number")
    calendar = dimension.calendar.strip().lower()
    calendar = _CALENDARS.get(calendar, calendar)
    form = _SINCE.match(dimension.units.strip())
    if form is None:
        return Decoded(_absolute(dimension, calendar, name), calendar, False)
    year, month, day, clock = _reference(dimension, form["date"].strip(), calendar, name)
    values, moved = _inside_bounds(dimension, form["unit"].lower())
    counted = _MONTHS.get(form["unit"].lower())
    if counted:
        if not _MIDNIGHT.fullmatch(clock):
            raise _refused(dimension, name, "counts months or years from a time within a day")
        moments = _calendar_months(dimension, values * counted, (year, month, day), calendar, name)
        return Decoded(moments, calendar, moved)
    if form["unit"].lower() not in _LINEAR:
        raise _refused(dimension, name, f"counts in '{form['unit']}', which is no known unit of time")
    units = form["unit"].lower(), f"{year:04d}-{month:02d}-{day:02d}", clock
    moments = _by_cftime(dimension, values, units, calendar, name)
    stated = np.asarray(dimension.values, dtype=np.float64)
    if not moved and not np.array_equal(values, stated):
        # years from October, say, whose stamp stands in the next calendar year
        years = [moment.year for moment in _by_cftime(dimension, stated, units, calendar, name)]
        moved = years != [moment.year for moment in moments]
    return Decoded(moments, calendar, moved)


def day_before(moment, calendar):
    """Return the Moment of the day before one that is known to the day."""
    date = _cftime().datetime(moment.year, moment.month, moment.day, calendar=calendar) - datetime.timedelta(days=1)
    return _moment(date, False)


def moment_text(moment):
    """Return a Moment as 2001-07-31, as far as it is known."""
    return "-".join([f"{moment.year:04d}", *(f"{part:02d}" for part in (moment.month, moment.day) if part)])


def _refused(dimension, name, problem):
    units = f"units '{dimension.units}'" if dimension.units else "no units"
    calendar = f", calendar '{dimension.calendar}'" if dimension.calendar else ""
    return InputError(f"The time axis '{dimension.name}' of {name} ({units}{calendar}) {problem}. Give START, the time "
                      f"of the first layer, or put the attributes of the file right.")


def _cftime():
    return require("cftime", "reading the time axis of netCDF, HDF and GRIB files")


def _reference(dimension, text, calendar, name):
    """Return (year, month, day, rest) of the date that a unit counts from."""
    found = _COMPACT.match(text) or _REFERENCE.match(text)
    if found is None:
        raise _refused(dimension, name, f"counts from '{text}', which is no date")
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    clock = (found["clock"] or "").strip().lstrip("Tt").strip()
    if year == 0 and calendar in ("standard", "julian"):
        raise _refused(dimension, name, "counts from a year 0, which this calendar does not have: it may mean "
                       "proleptic_gregorian, or the year 1")
    if not _CLOCK.match(clock):
        raise _refused(dimension, name, f"counts from '{text}', of which '{clock}' is no time of day")
    _check_day(dimension, (year, month, day), calendar, name)
    return year, month, day, clock


def _check_day(dimension, day, calendar, name):
    """Return (day of the year, days in the year) of a (year, month, day)."""
    cftime = _cftime()
    try:
        moment = cftime.datetime(*day, calendar=calendar)
        last = cftime.datetime(day[0], 12, 30 if calendar == "360_day" else 31, calendar=calendar)
        return moment.dayofyr, last.dayofyr
    except ValueError as error:
        what = "has a calendar that is not known" if "calendar must be" in str(error) else \
            f"names the day {day[0]:04d}-{day[1]:02d}-{day[2]:02d}, which its calendar does not have"
        raise _refused(dimension, name, what) from error


def _inside_bounds(dimension, unit):
    """Return (values, whether any was beyond) with stamps at the end of their interval or outside moved into it."""
    values = np.asarray(dimension.values, dtype=np.float64)
    if not dimension.bounds:
        return values, False
    limits = np.sort(np.asarray(dimension.bounds, dtype=np.float64), axis=1)
    start, end = limits[:, 0], limits[:, 1]
    known = np.isfinite(limits).all(axis=1) & (start < end)
    beyond = known & ((values >= end) | (values < start))
    linear, factor = _LINEAR.get(unit, ("days", 1.0))
    day = _DAYS[linear] / factor
    length = end - start
    # years are named after the calendar year they begin in, wherever in them the stamp stands
    yearly = known & (length > _A_YEAR[0] * day) & (length < _A_YEAR[1] * day) if unit not in _MONTHS else beyond
    if not (beyond | yearly).any():
        return values, False
    if unit in _MONTHS:
        moved = start
    else:
        # a little into the interval: bounds may lie half a day beside the midnights
        moved = start + np.where(length <= 2 * day, length / 2, np.minimum(length / 4, _INTO_INTERVAL * day))
    return np.where(beyond | yearly, moved, values), bool(beyond.any())


def _by_cftime(dimension, values, units, calendar, name):
    """Return the moments of values in units of (unit, date, time of day)."""
    cftime = _cftime()
    unit, day, clock = units
    linear, factor = _LINEAR[unit]
    text = f"{linear} since {day} {clock}".rstrip()
    whole = values == np.rint(values)
    scaled = values * factor
    if np.array_equal(scaled, np.rint(scaled)) and np.abs(scaled).max(initial=0) < 2 ** 53:
        scaled = scaled.astype(np.int64)
    try:
        dates = np.atleast_1d(cftime.num2date(scaled, text, calendar, only_use_cftime_datetimes=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise _refused(dimension, name, f"cannot be decoded ({error})") from error
    dates = _in_own_zone(dates, clock)
    # a number that is not whole is right within the last digits of its type
    spacing = np.spacing(np.abs(values).astype(np.float32 if dimension.single else np.float64)).astype(np.float64)
    slack = np.where(whole & ~dimension.single, 0.0, 2 * spacing * factor * 86400.0 / _DAYS[linear] + 2e-6)
    moments = []
    for date, seconds in zip(dates, slack):
        left = 86400.0 - (date.hour * 3600 + date.minute * 60 + date.second + date.microsecond * 1e-6)
        if left <= seconds:
            date = date + datetime.timedelta(seconds=left)
            midnight = True
        else:
            midnight = 86400.0 - left <= seconds
        moments.append(_moment(date, midnight))
    return tuple(moments)


def _in_own_zone(dates, clock):
    """Return dates, which are UTC, in the zone that ``clock`` states where they are midnights there and not in UTC."""
    zone = _CLOCK.match(clock)
    if not zone["sign"]:
        return dates
    shift = datetime.timedelta(hours=int(zone["hours"]), minutes=int(zone["minutes"] or 0))
    local = dates + (shift if zone["sign"] == "+" else -shift)

    def midnights(times):
        return all((time.hour, time.minute, time.second, time.microsecond) == (0, 0, 0, 0) for time in times)

    return local if shift and midnights(local) and not midnights(dates) else dates


_YEAR_LENGTHS = {"360_day": (360, 360), "noleap": (365, 365), "all_leap": (366, 366)}


def _moment(date, midnight):
    common, leap = _YEAR_LENGTHS.get(date.calendar, (365, 366))
    if common != leap:
        year = date.year
        divided = year % 4 == 0 if date.calendar == "julian" else year % 4 == 0 and (
            year % 100 != 0 or year % 400 == 0 or date.calendar in ("standard", "gregorian") and year < 1582)
        common = leap if divided else common
    return Moment(date.year, date.month, date.day, date.dayofyr, common, midnight)


def _calendar_months(dimension, values, reference, calendar, name):
    """Return the moments of numbers of months after a (year, month, day): months of the calendar, not of 30.44 days."""
    whole = np.rint(values)
    # less than an hour beside a whole month is rounding
    near = np.abs(values - whole) < 1e-3
    floor = np.where(near, whole, np.floor(values))
    part = np.where(near, 0.0, values - floor)
    first = reference[0] * 12 + reference[1] - 1
    months = (first + floor).astype(np.int64)
    if calendar != "360_day" and np.ptp(part) > 1e-3:
        _refuse_other_months(dimension, values, months, reference, calendar, name)
    moments = []
    for month, share in zip(months.tolist(), part.tolist()):
        year, place = divmod(month, 12)
        day = reference[2] + (share * 30 if share else 0)
        length = _length_of_month(year, place + 1, calendar)
        if share and day > length:
            # past the end of a month that is counted from a day within it
            year, place = divmod(month + 1, 12)
            day -= length
        day = min(int(day), _length_of_month(year, place + 1, calendar))
        moments.append(Moment(year, place + 1, day, *_check_day(dimension, (year, place + 1, day), calendar, name)))
    return tuple(moments)


def _length_of_month(year, month, calendar):
    if calendar == "360_day":
        return 30
    cftime = _cftime()
    return cftime.datetime(year, month, 1, calendar=calendar).daysinmonth


def _refuse_other_months(dimension, values, months, reference, calendar, name):
    """Raise InputError where months of 30.44 days would give another month than months of the calendar."""
    cftime = _cftime()
    start = f"days since {reference[0]:04d}-{reference[1]:02d}-{reference[2]:02d}"
    dates = np.atleast_1d(cftime.num2date(values * _UDUNITS_MONTH, start, calendar, only_use_cftime_datetimes=True))
    for date, month, value in zip(dates, months.tolist(), values.tolist()):
        if (date.year, date.month) != (month // 12, month % 12 + 1):
            raise _refused(dimension, name, f"holds {value:.7g} months, which is {month // 12}-{month % 12 + 1:02d} in "
                           f"months of the calendar and {date.year}-{date.month:02d} in months of 30.44 days")


def _absolute_form(dimension):
    """Return 'day', 'month' or 'year', the meaning of a coordinate that counts from nothing, or None."""
    stated = _ABSOLUTE.match(dimension.units.strip())
    if stated:
        digits = (stated["form"] or stated["word"]).lower()
        return "day" if digits in ("%y%m%d", "yyyymmdd") else "month" if digits in ("%y%m", "yyyymm") else "year"
    if any(isinstance(value, str) or not np.isfinite(value) for value in dimension.values):
        return None
    values = np.asarray(dimension.values, dtype=np.float64)
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    units = dimension.units.strip().lower()
    if units in _YEAR_UNITS and _YEARS[0] <= low and high < _YEARS[1] + 1:
        return "year"
    days, months = values // 100, values // 1 % 100
    if units in ("", "1") and _YEARS[0] * 10000 <= low and high < (_YEARS[1] + 1) * 10000 and (
            (days % 100 >= 1) & (days % 100 <= 12) & (months >= 1) & (months <= 31)).all():
        return "day"
    return None


def _absolute(dimension, calendar, name):
    """Return the moments of a coordinate such as 20010731 or 2001."""
    form = _absolute_form(dimension)
    if form is None:
        raise _refused(dimension, name, "counts from no date")
    if form == "year":
        return _years(dimension, calendar)
    moments = []
    for value in dimension.values:
        whole = int(np.floor(value))
        if form == "day":
            day = whole // 10000, whole // 100 % 100, whole % 100
            moments.append(Moment(*day, *_check_day(dimension, day, calendar, name), value == whole))
        elif 1 <= whole % 100 <= 12:
            moments.append(Moment(whole // 100, whole % 100))
        else:
            raise _refused(dimension, name, f"holds {value:.10g}, which is no year and month")
    return tuple(moments)


def _years(dimension, calendar):
    """Return the moments of a coordinate of years, whose parts are twelfths, or else days, of a year."""
    values = np.asarray(dimension.values, dtype=np.float64)
    years = np.floor(values + 1e-6)
    parts = np.maximum(values - years, 0.0)
    if not (parts > 1e-3).any():
        return tuple(Moment(int(year)) for year in years)
    # months are given by their beginnings or their middles, rounded to three digits at the least
    if (np.abs(parts * 24 - np.rint(parts * 24)) <= 0.0125).all():
        months = (np.rint(parts * 24) // 2).astype(int)
        return tuple(Moment(int(year) + month // 12, month % 12 + 1) for year, month in zip(years, months.tolist()))
    cftime = _cftime()
    moments = []
    for year, part in zip(years.astype(int).tolist(), parts.tolist()):
        first = _moment(cftime.datetime(year, 1, 1, calendar=calendar), True)
        day = min(int(part * first.days_in_year + 0.01), first.days_in_year - 1)
        moments.append(_moment(cftime.datetime(year, 1, 1, calendar=calendar) + datetime.timedelta(days=day), False))
    return tuple(moments)
