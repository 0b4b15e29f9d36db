"""The time axis of a series: stamps of layers put in order, gaps found and named.

A stamp is the number of steps since year 0, with ``period`` steps a year; with DAILY steps a year every calendar day
has its own, and the 366th of common years does not exist. A layer's stamp is that of the file's time axis
(time_decoding), of the band's metadata, of its name, of the file's name (stamp_names), whichever gives one first, or it
is counted from a start. Nothing else in the plugin reads stamps.

Days of other calendars keep their year and month. In a daily series they stand on the calendar day of the same name: a
calendar of 365 days lacks 29 February, which is then a missing day, and one of 360 days cannot be placed; it can with
as many steps a year as it has days.
"""

import datetime
import os
import re
from dataclasses import dataclass, replace

from ..common.errors import DependencyError, InputError
from ..common.progress import Progress
from .dimensions import parse_select, selected_bands
from .raster import read_info
from .stamp_names import Ambiguous, natural_order, stamp_in, stamps_in, years_of_span
from .time_decoding import Moment, day_before, decode, moment_text, time_dimension

#: steps a year of daily series
DAILY = 366
_METADATA_KEYS = ("TIME", "time", "year", "YEAR", "date", "DATE")
#: names that a message lists
_LISTED = 20


@dataclass(frozen=True)
class Layer:
    """One layer of a series: raster ``path``, ``band``, a ``label`` for messages and its time ``index`` in steps.

    ``index`` is None where the time is not known.
    """

    path: str
    band: int
    label: str
    index: int


@dataclass(frozen=True)
class AxisOptions:
    """How the layers of a series stand in time.

    ``period``: steps a year; ``sort``: put them in order of their stamps (without it layers out of order are an error);
    ``start``: time of the first layer, such as 2000-07, from which the others are counted in the order given;
    ``date_format``: how dates stand in names, '' finds out; ``select``: dimension=value pairs for files whose bands
    differ along several dimensions; ``undated``: whether layers without any time are let through.
    """

    period: int
    sort: bool = False
    start: str = ""
    date_format: str = ""
    select: str = ""
    undated: bool = False


def index_of(moment, period, name=""):
    """Return the stamp, in steps since year 0, of a Stamp or Moment; None where it does not say as much.

    Raises InputError where day and month of a name cannot be told apart, and for days that no calendar day stands for;
    ``name`` is what the messages speak of.
    """
    if period == 1:
        return moment.year
    if isinstance(moment, Ambiguous):
        raise InputError(f"'{moment.text}' in {name} can be read as day, month and year or as month, day and year. "
                         f"State it in DATE_FORMAT, %d.%m.%Y or %m.%d.%Y, or rename the files to 2001-07-31.")
    month, day_of_year, length = moment.month, moment.day_of_year, 365
    if isinstance(moment, Moment):
        length = 360 if moment.days_in_year == 360 else 365
    elif day_of_year:
        month = (datetime.date(moment.year, 1, 1) + datetime.timedelta(day_of_year - 1)).month
    elif moment.day:
        day_of_year = datetime.date(moment.year, month, moment.day).timetuple().tm_yday
    if period == 12:
        return moment.year * 12 + month - 1 if month else None
    if not day_of_year:
        return None
    if period == DAILY and isinstance(moment, Moment):
        try:
            return stamp_of_day(datetime.date(moment.year, month, moment.day))
        except ValueError:
            raise InputError(f"{name} holds the day {moment.year}-{month:02d}-{moment.day:02d} of its own calendar, "
                             f"which is no calendar day. Set PERIOD to the days of its year, "
                             f"{moment.days_in_year}.") from None
    if period == 46:
        return moment.year * period + (day_of_year - 1) // 8
    if period == DAILY:
        return moment.year * period + day_of_year - 1
    return moment.year * period + min((day_of_year - 1) * period // length, period - 1)


def stamp_of(text, period, date_format=""):
    """Return the stamp in ``text`` as a whole number of steps since year 0, or None; raises InputError."""
    stamp = stamp_in(text, date_format)
    return None if stamp is None else index_of(stamp, period, f"'{text}'")


def date_of(index):
    """Return the calendar day of a stamp of a daily series."""
    return datetime.date(index // DAILY, 1, 1) + datetime.timedelta(index % DAILY)


def month_of(index):
    """Return the month, counted from year 0, of a stamp of a daily series."""
    date = date_of(index)
    return date.year * 12 + date.month - 1


def days_of_month(month):
    """Return the number of days of a month, counted from year 0."""
    first, last = (datetime.date(number // 12, number % 12 + 1, 1) for number in (month, month + 1))
    return (last - first).days


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


def named_stamps(indices, period):
    """Return ``indices`` (stamps, in order) as text: three and more in a row as first and last, at most 20 entries."""
    rows = []
    for index in indices:
        if rows and index == following(rows[-1][-1], 1, period):
            rows[-1].append(index)
        else:
            rows.append([index])
    entries = [entry for row in rows for entry in ([row] if len(row) > 2 else [[index] for index in row])]
    shown = [stamp_text(entry[0], period) if len(entry) == 1 else
             f"{stamp_text(entry[0], period)} to {stamp_text(entry[-1], period)} ({len(entry)})"
             for entry in entries[:_LISTED]]
    more = sum(map(len, entries[_LISTED:]))
    return ", ".join(shown) + (f" and {more} more" if more else "")


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


def dated(layers):
    """True where the Layers carry stamps."""
    return layers[0].index is not None


def series(paths, options, progress, wkt="", infos=None):
    """Return the Layers of a series in time order: a list of rasters, or the bands of one.

    ``options``: the AxisOptions; ``wkt``: the CRS of files that state none; ``infos``: the RasterInfos of the paths
    where they are already read. Raises InputError for layers without a time (unless ``options.undated``), for
    duplicates, for stamps on some layers only, for layers out of order, for several files of several bands without
    stamps, for bands that differ along several dimensions, and for annual stamps where ``period`` is another.
    """
    infos = infos or [read_info(path, wkt) for path in paths]
    chosen = parse_select(options.select)
    bands = [selected_bands(info.name, info.dimensions, info.bands, chosen) for info in infos]
    layers = [Layer(info.path, band, info.name if info.bands == 1 else f"{info.name} band {band}", None)
              for info, wanted in zip(infos, bands) for band in wanted]
    if options.start:
        return _counted(layers, infos, bands, options, progress)
    problems = []
    found = layer_stamps(infos, options.period, progress, options.date_format, bands, problems)
    layers = [replace(layer, index=index) for layer, index in zip(layers, found)]
    stamped = [layer for layer in layers if layer.index is not None]
    if not stamped:
        return _without_stamps(layers, infos, bands, options, progress, problems)
    _refuse_several(infos, bands, None in found)
    if len(stamped) < len(layers):
        missing = next(layer.label for layer in layers if layer.index is None)
        raise InputError(f"{missing} carries no time stamp while others do. Name all layers with their year "
                         f"(or year and month), or none.{_because(problems)}")
    return _in_order(layers, options, progress)


def _in_order(layers, options, progress):
    """Return dated Layers in order of time, telling what is missing; raises InputError."""
    period = options.period
    ordered = sorted(layers, key=lambda layer: layer.index)
    for first, second in zip(ordered, ordered[1:]):
        if first.index == second.index:
            raise InputError(f"{first.label} and {second.label} carry the same time stamp, "
                             f"{stamp_text(first.index, period)}. Leave one out, or set PERIOD to the number of layers "
                             f"a year.")
    if ordered != layers:
        _out_of_order(layers, period, options.sort, progress)
    gaps = [i for a, b in zip(ordered, ordered[1:]) for i in range(a.index + 1, b.index) if _exists(i, period)]
    if gaps:
        progress.warn(f"The series has no layer for {named_stamps(gaps, period)}; the gap is kept in the time axis.")
    progress.info(f"{len(ordered)} layers, {stamp_text(ordered[0].index, period)} to "
                  f"{stamp_text(ordered[-1].index, period)}, by the time stamps in their time axis, metadata or names.")
    return ordered


def _refuse_several(infos, bands, unstamped):
    """Raise InputError for files of several bands in a list of files where not every band has its time."""
    several = [(info, wanted) for info, wanted in zip(infos, bands) if len(wanted) > 1]
    if len(infos) > 1 and several and unstamped:
        info, wanted = several[0]
        raise InputError(f"{info.name} has {len(wanted)} bands in a list of single layers. Give one "
                         f"multi-band file, single layers, or files whose every band carries its time.")


def _because(problems):
    return f" {problems[0]}" if problems else ""


def _without_stamps(layers, infos, bands, options, progress, problems):
    """Return Layers that carry no time, where they are let through; else raise InputError saying what to do."""
    if options.period > 1 and len(layers) > 1:
        years = layer_stamps(infos, 1, Progress(), options.date_format, bands, [])
        if None not in years and len(set(years)) == len(years):
            raise InputError(f"PERIOD is {options.period}, but the layers carry only years, each its own ({years[0]}, "
                             f"{years[1]} …). Set PERIOD to 1.")
    _refuse_several(infos, bands, True)
    if options.undated:
        if len(layers) > 1:
            progress.info("The layers carry no time stamps; they are taken in the order given, without a time.")
        return layers
    differing = sorted({dimension.name for info, wanted in zip(infos, bands) for dimension in info.dimensions
                        if len({dimension.values[band - 1] for band in wanted}) > 1})
    along = f" Its bands differ along {', '.join(differing)}." if differing and not problems else ""
    wrong = _contradiction([layer.label for layer in layers]) if len(infos) > 1 else None
    order = f" The order given is not that of their names: {wrong[0]} comes before {wrong[1]}." if wrong else ""
    raise InputError(
        f"{layers[0].label} carries no time that can be read, neither in a time axis, nor in the metadata or the name "
        f"of a band, nor in the name of the file, and no other layer does.{along}{order}{_because(problems)} Give "
        f"START, the time of the first layer, if the layers follow each other step by step in the order given; else "
        f"name them with their time, such as 1997, 2000-07 or 2000-07-15, or state in DATE_FORMAT how it stands in the "
        f"names.")


def _contradiction(names):
    """Return two names that stand the wrong way round by the number in them, or None."""
    places = natural_order([os.path.splitext(name)[0] for name in names])
    if places is None:
        return None
    return next(((names[i], names[i + 1]) for i in range(len(places) - 1) if places[i] > places[i + 1]), None)


def _counted(layers, infos, bands, options, progress):
    """Return Layers counted from START in the order given, which nothing that is known of them may contradict."""
    _refuse_several(infos, bands, True)
    period = options.period
    first = stamp_of(options.start, period)
    if first is None:
        raise InputError(f"START is '{options.start}', which gives no {'year' if period == 1 else 'date'}; write for "
                         f"example {'1997' if period == 1 else '2000-07-01'}.")
    try:
        found = layer_stamps(infos, period, Progress(), options.date_format, bands, [])
    except (InputError, DependencyError):
        # START states what the layers themselves leave open
        found = [None]
    known = None not in found and len(set(found)) == len(found)
    if known:
        layers = [replace(layer, index=index) for layer, index in zip(layers, found)]
        ordered = sorted(layers, key=lambda layer: layer.index)
        if ordered != layers:
            _out_of_order(layers, period, options.sort, progress)
        layers = ordered
    elif len(infos) > 1:
        layers = _by_numbers(layers, options.sort, progress)
    counted = [replace(layer, index=following(first, i, period)) for i, layer in enumerate(layers)]
    other = next((pair for pair in zip(layers, counted) if known and pair[0].index != pair[1].index), None)
    if other:
        progress.warn(f"{other[0].label} carries the time {stamp_text(other[0].index, period)}, but counted from START "
                      f"it is {stamp_text(other[1].index, period)}; START counts. Leave START empty to use the times "
                      f"of the layers.")
    progress.info(f"{len(counted)} layers counted from START, {counted[0].label} as "
                  f"{stamp_text(counted[0].index, period)} to {counted[-1].label} as "
                  f"{stamp_text(counted[-1].index, period)}.")
    return counted


def _by_numbers(layers, sort, progress):
    """Return Layers of which one number in the names tells the order, in that order; raises InputError without SORT."""
    names = [layer.label for layer in layers]
    wrong = _contradiction(names)
    if wrong is None:
        return layers
    if not sort:
        raise InputError(f"The layers are counted from START in the order given, in which {wrong[0]} comes before "
                         f"{wrong[1]}. Put them in order, or set SORT to true.")
    progress.info("The layers were put in the order of the numbers in their names.")
    places = natural_order([os.path.splitext(name)[0] for name in names])
    return [layer for _, layer in sorted(zip(places, layers), key=lambda pair: pair[0])]


def layer_stamps(infos, period, progress, date_format="", bands=None, problems=None):
    """Return the stamps of all bands of all rasters in turn, None where there is none.

    ``bands``: those wanted of each raster, all where it is None; ``problems`` takes up sentences on time axes that
    cannot be read. The bands of an annual file without stamps of their own, named after its first and last year, are
    those years. Where the time axis or the metadata say another time than the name of the file, that is said. Raises
    InputError for names that can be read in several ways.
    """
    bands = bands or [range(1, info.bands + 1) for info in infos]
    problems = [] if problems is None else problems
    reading = _Reading(infos, bands, period, date_format)
    found = reading.of_axes(problems)
    names = reading.of_files(strict=any(None in stamps for stamps in found))
    found = reading.against_names(found, names, progress)
    found = reading.filled(found, reading.metadata_texts(), progress)
    for texts in (reading.descriptions(), reading.inner_files()):
        found = reading.filled(found, texts, progress, date_format)
    return [index for stamps in reading.filled_by_names(found, names, progress) for index in stamps]


class _Reading:
    """The stamps of rasters, list by list: one list of indices a raster, one index a band wanted."""

    def __init__(self, infos, bands, period, date_format):
        self.infos, self.bands, self.period, self.date_format = infos, bands, period, date_format
        self.axes = [time_dimension([dimension.of_bands(wanted) for dimension in info.dimensions])
                     for info, wanted in zip(infos, bands)]
        self.decoded = [None] * len(infos)

    def of_axes(self, problems):
        """Decode the time axes; returns the indices."""
        found = []
        for place, (info, bands, axis) in enumerate(zip(self.infos, self.bands, self.axes)):
            stamps = [None] * len(bands)
            if axis is not None:
                try:
                    self.decoded[place] = decode(axis, info.name)
                except InputError as error:
                    problems.append(str(error))
                else:
                    stamps = self._indices(self.decoded[place].moments, info.name)
            found.append(stamps)
        return found

    def _indices(self, moments, name):
        return [index_of(moment, self.period, name) for moment in moments]

    def of_files(self, strict):
        """Return (Stamp or None of each file's name, notes); unless ``strict``, None for names that are refused."""
        try:
            return stamps_in([_stem(info.name) for info in self.infos], self.date_format)
        except InputError:
            if strict and any(len(bands) == 1 for bands in self.bands):
                raise
            return [None] * len(self.infos), []

    def against_names(self, found, names, progress):
        """Return the indices of the axes, where an end of an interval became the interval that the name states."""
        _tell_bounds(self.infos, self.axes, self.decoded, progress)
        stamps = names[0]
        if len(stamps) > 1 and len(set(stamps)) == 1:
            # what is the same in all names tells no time
            return found
        ends, others, result = [], [], []
        for info, decoded, indices, stamp in zip(self.infos, self.decoded, found, stamps):
            if decoded is not None and stamp is not None and not all(_within(moment, stamp) for moment in
                                                                     decoded.moments):
                before = tuple(day_before(moment, decoded.calendar) if moment.midnight and moment.day else moment
                               for moment in decoded.moments)
                said = info.name, moment_text(decoded.moments[-1]), _stamp_text(stamp)
                if all(_within(moment, stamp) for moment in before):
                    ends.append(said)
                    indices = self._indices(before, info.name)
                elif len(indices) == 1 or len(self.infos) > 1 and not any(
                        _within(moment, stamp) for moment in decoded.moments):
                    others.append(said)
            result.append(indices)
        _tell_difference(ends, "the time axis states the end of the interval, and the name counts", progress)
        _tell_difference(others, "the time axis counts", progress)
        return result

    def metadata_texts(self):
        """Return the times in the bands' metadata as texts."""
        return [[next((info.band_metadata[band - 1][key] for key in _METADATA_KEYS
                       if info.band_metadata[band - 1].get(key)), "") for band in bands]
                for info, bands in zip(self.infos, self.bands)]

    def descriptions(self):
        """Return the names of the bands."""
        return [[info.descriptions[band - 1] for band in bands] for info, bands in zip(self.infos, self.bands)]

    def inner_files(self):
        """Return the names of the files that bands of virtual rasters come from."""
        return [[_stem(info.files[band - 1]) if len(set(info.files)) > 1 else "" for band in bands]
                for info, bands in zip(self.infos, self.bands)]

    def filled(self, found, texts, progress, date_format=""):
        """Return the indices with those of the bands that lack one read from ``texts``, all of them as a set."""
        places = [(i, k) for i, indices in enumerate(found) for k, index in enumerate(indices)
                  if index is None and texts[i][k]]
        stamps, notes = stamps_in([texts[i][k] for i, k in places], date_format)
        found = [list(indices) for indices in found]
        for (i, k), stamp in zip(places, stamps):
            if stamp is not None:
                found[i][k] = index_of(stamp, self.period, self.infos[i].name)
        for note in notes if any(stamps) and self.period > 1 else ():
            progress.warn(note)
        return found

    def filled_by_names(self, found, names, progress):
        """Return the indices with those of single bands that lack one taken from the names of their files."""
        stamps, notes = names
        result, differing, used = [], [], False
        for info, bands, indices, stamp, decoded in zip(self.infos, self.bands, found, stamps, self.decoded):
            if len(bands) == 1 and stamp is not None:
                if indices[0] is None:
                    indices = [index_of(stamp, self.period, info.name)]
                    used = True
                elif decoded is None and len(set(stamps)) > 1:
                    named = None if isinstance(stamp, Ambiguous) else index_of(stamp, self.period, info.name)
                    if named not in (None, indices[0]):
                        differing.append((info.name, stamp_text(indices[0], self.period), _stamp_text(stamp)))
            elif self.period == 1 and len(bands) > 1 and set(indices) == {None}:
                indices = years_of_span(_stem(info.name), len(bands)) or indices
            result.append(indices)
        for note in notes if used and self.period > 1 else ():
            progress.warn(note)
        _tell_difference(differing, "the band counts", progress, "band")
        return result


def _stem(name):
    # a name may hold a variable after the file: soil.nc:temperature
    file, _, variable = name.rpartition(":") if ":" in name[2:] else (name, "", "")
    return f"{os.path.splitext(file)[0]}:{variable}" if variable and file else os.path.splitext(name)[0]


def _within(moment, stamp):
    """True where a Moment lies in the year, month or day that a Stamp of a name states."""
    if moment.year != stamp.year:
        return False
    if isinstance(stamp, Ambiguous) or not moment.month:
        return True
    month, day = stamp.month, stamp.day
    if stamp.day_of_year:
        if moment.days_in_year < 365:
            return not moment.day_of_year or moment.day_of_year == stamp.day_of_year
        date = datetime.date(stamp.year, 1, 1) + datetime.timedelta(stamp.day_of_year - 1)
        month, day = date.month, date.day
    return (not month or month == moment.month) and (not day or not moment.day or day == moment.day)


def _stamp_text(stamp):
    if stamp.day_of_year:
        return f"day {stamp.day_of_year} of {stamp.year}"
    return moment_text(Moment(*stamp))


def _tell_difference(differing, rule, progress, what="time axis"):
    if differing:
        name, one, other = differing[0]
        more = f" ({len(differing)} files differ like this)" if len(differing) > 1 else ""
        progress.warn(f"{name}: the {what} says {one}, the name of the file {other}{more}; {rule}.")


def _tell_bounds(infos, axes, decoded, progress):
    """Say where bounds decided, and where they are declared and out of reach."""
    moved = [info.name for info, item in zip(infos, decoded) if item is not None and item.moved]
    if moved:
        progress.info(f"The time axis of {moved[0]} does not state when its intervals begin; their bounds do, and "
                      f"count.")
    for info, axis, item in zip(infos, axes, decoded):
        if item is not None and axis.bounds is None and all(moment.midnight and moment.day == 1
                                                            for moment in item.moments):
            progress.warn(f"The time axis of {info.name} declares bounds that cannot be read from this file; its "
                          f"times, such as {moment_text(item.moments[0])}, are taken as the beginnings of their "
                          f"intervals.")
            return


def _out_of_order(layers, period, sort, progress):
    place = next(i for i, (a, b) in enumerate(zip(layers, layers[1:])) if b.index < a.index)
    first, second = layers[place], layers[place + 1]
    if not sort:
        raise InputError(
            f"The layers are out of order: {second.label} ({stamp_text(second.index, period)}) comes after "
            f"{first.label} ({stamp_text(first.index, period)}). Put them in order, or set SORT to true.")
    progress.info("The layers were put in the order of their time stamps.")
