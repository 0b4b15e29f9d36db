"""The time axis of a series: stamps of layers read, put in order, gaps found and named.

A stamp is the number of steps since year 0, with ``period`` steps a year; with DAILY steps a year every calendar day
has its own, and the 366th of common years does not exist. A stamp is read from the band's metadata, the time axis of a
netCDF file, the band's name or the file's name, whichever gives one first, or counted from a start. The forms known in
names: 2001, 2001-07, 200107, 2001-07-15, 20010715, 2001195, 2001_day195 and A2001195 (day of the year); the last one
counts before all others, as the day of making stands behind it.
"""

import datetime
import os
import re
from dataclasses import dataclass, replace

from ..common.errors import InputError
from .raster import read_info

#: steps a year of daily series
DAILY = 366
_METADATA_KEYS = ("TIME", "time", "year", "YEAR", "date", "DATE", "TIFFTAG_DATETIME")
_YEAR = r"(?:18|19|20|21)\d\d"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DAY_OF_YEAR = r"(?P<doy>00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])"
_FORMS = (
    re.compile(rf"(?<![^._-])A(?P<year>{_YEAR}){_DAY_OF_YEAR}(?!\d)"),
    re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?P<sep>[-_.:]?)(?P<month>{_MONTH})(?P=sep)(?P<day>{_DAY})(?!\d)"),
    re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?:[-_.]?|[-_.]day){_DAY_OF_YEAR}(?!\d)"),
    re.compile(rf"(?<!\d)(?P<year>{_YEAR})[-_.]?(?P<month>{_MONTH})(?!\d)"),
    re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?!\d)"),
)
_SPAN = re.compile(rf"(?<!\d){_YEAR}(?:{_MONTH})?[-_]{_YEAR}(?:{_MONTH})?(?!\d)")
_UNITS = re.compile(r"(?P<unit>second|minute|hour|day|month|year)s?\s+since\s+(?P<date>\d+-\d+-\d+)", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class Layer:
    """One layer of a series: raster ``path``, ``band``, a ``label`` for messages and its time ``index`` in steps."""

    path: str
    band: int
    label: str
    index: int


def stamp_of(text, period):
    """Return the stamp in ``text`` as a whole number of steps since year 0, or None.

    Where there are several, the last of the most exact form counts. Spans such as 1997-2021 are no stamps, and a year
    alone is one only for annual series.
    """
    text = _SPAN.sub(" ", text)
    for form in _FORMS:
        found = list(form.finditer(text))
        if found:
            parts = found[-1].groupdict()
            year, month = int(parts["year"]), int(parts.get("month") or 0)
            if period == 1:
                return year
            if parts.get("doy"):
                return year * period + _slot(int(parts["doy"]), period)
            if month and period == 12:
                return year * 12 + month - 1
            if parts.get("day"):
                return _of_date(year, month, int(parts["day"]), period)
            return None
    return None


def _of_date(year, month, day, period):
    try:
        date = datetime.date(year, month, day)
    except ValueError:
        return None
    if period == 12:
        return year * 12 + month - 1
    return year * period + _slot(date.timetuple().tm_yday, period)


def _slot(day_of_year, period):
    """Place in the year of a day: months by length, 46 composites of 8 days, else equal parts."""
    if period == 12:
        return (datetime.date(2001, 1, 1) + datetime.timedelta(min(day_of_year, 365) - 1)).month - 1
    if period == 46:
        return (day_of_year - 1) // 8
    return min((day_of_year - 1) * period // 365, period - 1)


def date_of(index):
    """Return the calendar day of a stamp of a daily series."""
    return datetime.date(index // DAILY, 1, 1) + datetime.timedelta(index % DAILY)


def stamp_of_day(date):
    """Return the stamp of a calendar day in a daily series."""
    return date.year * DAILY + date.timetuple().tm_yday - 1


def following(index, steps, period):
    """Return the stamp ``steps`` steps after ``index``."""
    return stamp_of_day(date_of(index) + datetime.timedelta(steps)) if period == DAILY else index + steps


def year_of(index, period, season_start=1):
    """Return the year a stamp lies in, for years that begin in month ``season_start`` and are named after that one."""
    if period == DAILY:
        date = date_of(index)
        return date.year - (date.month < season_start)
    return (index - (season_start - 1) * period // 12) // period


def steps_of_year(year, period, season_start=1):
    """Return the stamps of a year that begins in month ``season_start``, in order."""
    if period == DAILY:
        first = datetime.date(year, season_start, 1)
        days = (datetime.date(year + 1, season_start, 1) - first).days
        return [stamp_of_day(first + datetime.timedelta(day)) for day in range(days)]
    first = year * period + (season_start - 1) * period // 12
    return list(range(first, first + period))


def _exists(index, period):
    return period != DAILY or index % DAILY < DAILY - 1 or date_of(index).month == 12


def stamp_text(index, period):
    """Return the readable form of a stamp, which ``stamp_of`` reads back."""
    if period == 1:
        return str(index)
    if period == DAILY:
        return date_of(index).isoformat()
    year, step = divmod(index, period)
    if period == 12:
        return f"{year}-{step + 1:02d}"
    # the first day of the step
    return f"{year}-{1 + (8 * step if period == 46 else -(-step * 365 // period)):03d}"


def _netcdf_stamp(metadata, units, period):
    """Stamp of a netCDF band from its time coordinate and the unit 'days since …', or None."""
    value = metadata.get("NETCDF_DIM_time")
    form = _UNITS.search(units or "")
    if value is None or form is None:
        return None
    year, month, day = (int(part) for part in form["date"].split("-"))
    amount, unit = float(value), form["unit"].lower()
    if unit in ("month", "year"):
        months = year * 12 + month - 1 + int(amount * (12 if unit == "year" else 1) + 1e-6)
        year, month, day = months // 12, months % 12 + 1, 1
    else:
        date = datetime.datetime(max(year, 1), month, day) + datetime.timedelta(seconds=amount * _SECONDS[unit])
        year, month, day = date.year, date.month, date.day
    return year if period == 1 else _of_date(year, month, day, period)


def parse_years(text):
    """Return (first, last) of a text such as ``1997-2021``, or None where it is empty; raises InputError."""
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{4})\s*-\s*(\d{4})\s*", text)
    if not found or found[2] < found[1]:
        raise InputError(f"YEARS is '{text}'; write the first and the last, such as 1997-2021.")
    return int(found[1]), int(found[2])


def require_years(text, years, what):
    """Return (first, last) of a text of years, all of which must be among ``years``, or None where it is empty.

    Raises InputError naming those that are missing; ``what`` is what there is one a year of.
    """
    wanted = parse_years(text)
    missing = [str(year) for year in range(wanted[0], wanted[1] + 1) if year not in years] if wanted else []
    if missing:
        raise InputError(f"There is no {what} for {', '.join(missing)} of YEARS {text.strip()}. Add the files, or ask "
                         f"for other years.")
    return wanted


def steps_a_year(period):
    """Return the steps of the time axis a year of a series of ``period`` layers a year: calendar days where daily."""
    return DAILY if period in (DAILY - 1, DAILY) else period


def dated(layers, steps):
    """True where Layers in order of time carry stamps; those without are counted from 0, or have none."""
    return layers[0].index is not None and layers[0].index >= 1000 * steps


def series(paths, period, sort, progress, start="", wkt="", infos=None):
    """Return the Layers of a series in time order: a list of rasters, or the bands of one.

    ``wkt`` is the CRS of files that state none; ``infos`` the RasterInfos of the paths where they are already read.
    With ``start`` (such as 2000-07) the stamps are counted from there in the order given. With ``sort`` layers are put
    in order of their stamps; without it layers out of order are an error. Layers without any stamp keep their order
    and count from 0. Raises InputError for duplicates, for stamps on some layers only, for several files of several
    bands without stamps, and for annual stamps where ``period`` is another.
    """
    infos = infos or [read_info(path, wkt) for path in paths]
    layers = [Layer(info.path, band, info.name if info.bands == 1 else f"{info.name} band {band}",
                    None if start else stamp)
              for info in infos for band, stamp in enumerate(band_stamps(info, period), start=1)]
    several = [info for info in infos if info.bands > 1]
    if len(infos) > 1 and several and (start or None in {layer.index for layer in layers}):
        raise InputError(f"{several[0].name} has {several[0].bands} bands in a list of single layers. Give one "
                         f"multi-band file, single layers, or files whose every band carries its time.")
    if start:
        first = stamp_of(start, period)
        if first is None:
            raise InputError(f"START is '{start}', which gives no {'year' if period == 1 else 'date'}; write for "
                             f"example {'1997' if period == 1 else '2000-07-01'}.")
        return [replace(layer, index=following(first, i, period)) for i, layer in enumerate(layers)]
    stamped = [layer for layer in layers if layer.index is not None]
    if not stamped:
        years = [_band_stamp(info, band, 1) for info in infos for band in range(1, info.bands + 1)]
        if len(years) > 1 and None not in years and len(set(years)) == len(years):
            raise InputError(f"PERIOD is {period}, but the layers carry only years, each its own ({years[0]}, "
                             f"{years[1]} …). Set PERIOD to 1.")
        progress.info("The layers carry no time stamps; they are taken in the order given, one step apart.")
        return [replace(layer, index=i) for i, layer in enumerate(layers)]
    if len(stamped) < len(layers):
        missing = next(layer.label for layer in layers if layer.index is None)
        raise InputError(f"{missing} carries no time stamp while others do. Name all layers with their year "
                         f"(or year and month), or none.")
    ordered = sorted(layers, key=lambda layer: layer.index)
    for first, second in zip(ordered, ordered[1:]):
        if first.index == second.index:
            raise InputError(f"{first.label} and {second.label} carry the same time stamp, "
                             f"{stamp_text(first.index, period)}. Leave one out, or set PERIOD to the number of layers "
                             f"a year.")
    if ordered != layers:
        _out_of_order(layers, period, sort, progress)
    gaps = [stamp_text(i, period) for a, b in zip(ordered, ordered[1:]) for i in range(a.index + 1, b.index)
            if _exists(i, period)]
    if gaps:
        listed = ", ".join(gaps[:20]) + (f" and {len(gaps) - 20} more" if len(gaps) > 20 else "")
        progress.warn(f"The series has no layer for {listed}; the gap is kept in the time axis.")
    progress.info(f"{len(ordered)} layers, {stamp_text(ordered[0].index, period)} to "
                  f"{stamp_text(ordered[-1].index, period)}, by the time stamps in their metadata or names.")
    return ordered


def band_stamps(info, period):
    """Return the stamp of every band of a raster, None where there is none.

    The bands of an annual file without stamps of their own, named after its first and last year, are those years.
    """
    stamps = [_band_stamp(info, band, period) for band in range(1, info.bands + 1)]
    if period == 1 and info.bands > 1 and set(stamps) == {None}:
        for span in _SPAN.findall(os.path.splitext(info.name)[0]):
            first, last = (int(year) for year in re.findall(_YEAR, span))
            if last - first + 1 == info.bands:
                return list(range(first, last + 1))
    return stamps


def _band_stamp(info, band, period):
    metadata = info.band_metadata[band - 1]
    stamp = _netcdf_stamp(metadata, info.metadata.get("time#units"), period)
    if stamp is not None:
        return stamp
    texts = [metadata[key] for key in _METADATA_KEYS if key in metadata] + [info.descriptions[band - 1]]
    if info.bands == 1:
        texts.append(os.path.splitext(info.name)[0])
    return next((stamp for stamp in (stamp_of(text, period) for text in texts) if stamp is not None), None)


def _out_of_order(layers, period, sort, progress):
    place = next(i for i, (a, b) in enumerate(zip(layers, layers[1:])) if b.index < a.index)
    first, second = layers[place], layers[place + 1]
    if not sort:
        raise InputError(
            f"The layers are out of order: {second.label} ({stamp_text(second.index, period)}) comes after "
            f"{first.label} ({stamp_text(first.index, period)}). Put them in order, or set SORT to true.")
    progress.info("The layers were put in the order of their time stamps.")
