"""Reads files of ground temperatures within the year and makes annual values of them.

Known layouts: GTN-P exports (wide, and long of 2026), PERMOS time series, reports and exports of the NTGS, and any
table of the same shape: a column a depth below a column of dates, or a row a date and depth. The files are read line by
line into packed arrays, so that a file needs about its own size in memory. tsp, which reads the same formats, is what
the tests compare with; it is not used here because it holds no line numbers, fills short lines up without a word and
needs several times the file in memory.
"""

import re
from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np

from ..common.errors import InputError
from ..common.progress import Progress
from .annual_means import RULE, annual_means
from .cells import CoordinateColumn, height, is_missing
from .columns import MAGT, QUANTITY_NAMES, find_columns, given_columns, named_headers
from .dates import MONTH_FIRST, DateColumn, moment, month_number, year_of
from .headers import CELSIUS, FAHRENHEIT, PER_METRE, UNIT_WORDS, Header, parse_header
from .station_places import Place, gtnp_json_metadata, gtnp_text_metadata
from .station_units import celsius, to_units
from .stations import Record, describe, elevation_factor, place_of, tell_coordinates
from .text_tables import Table, check_length, csv_rows, decoded, find_header, lines_of, with_units

GTNP_WIDE, GTNP_LONG = "GTN-P export", "GTN-P export of 2026"
PERMOS, NTGS, BY_DEPTH = "PERMOS time series", "NTGS ground temperature report", "time series, a column a depth"
LONG, MONTHLY = "time series, a row a reading", "monthly means, a column a month"
HEAD_BYTES = 1 << 16
_PROGRESS_ROWS = 20000
_TIME_NAMES = {"time", "date", "datetime", "date_time", "timestamp", "utc_time"}
_METRES = Header("", "depth", "m")
_DEPTH = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*[_\s\[(]*([a-z]+)?[\])]?", re.IGNORECASE)
_COMMA_WITHIN = re.compile(r"^[^.]*\d,\d[^.]*$")
_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d*,\d+")
#: a reading of this or below is a code for none
_CODE = -99
#: °C; between them and the lowest reading in Kelvin lies nothing that ground can have
_CELSIUS_TOP, _KELVIN_BOTTOM, _KELVIN_TOP = 60, 180, 335


@dataclass
class Layout:
    """Where the columns of a file of readings are; ``depths`` is {column: depth} of a wide one, else {}.

    ``date`` is the column of the date, or of the year where ``month``, ``day`` or ``day_of_year`` give the rest, or
    ``months``, {column: (year or None, month)}, holds a column a month. ``header`` and ``depth_header`` are those of
    the values and depths as a Header, None where nothing is stated.
    """

    format: str
    date: int
    time: int = None
    site: int = None
    name: int = None
    coordinates: dict = field(default_factory=dict)
    elevation: int = None
    depth: int = None
    value: int = None
    dataset: int = None
    flag: int = None
    month: int = None
    day: int = None
    day_of_year: int = None
    depths: dict = field(default_factory=dict)
    months: dict = field(default_factory=dict)
    header: Header = None
    depth_header: Header = None


class _Site:
    """Readings of one site as packed columns; a long file has a depth a reading, a wide one a row of values.

    ``times`` are seconds since 1970 with the day first, ``others`` the same with the month first, None while no date
    could be read in both orders.
    """

    def __init__(self, place):
        self.place = place
        self.times, self.others, self.lines = array("q"), None, array("q")
        self.values, self.depths = array("d"), array("d")

    def add_time(self, day_first, month_first):
        """Add the time of a reading, in seconds since 1970, as it is in both orders of the date."""
        if self.others is None and day_first != month_first:
            self.others = array("q", self.times)
        self.times.append(day_first)
        if self.others is not None:
            self.others.append(month_first)

    def sensors(self, layout, order):
        """Yield (depth, times, values, lines) of every sensor, as arrays of numpy; ``order`` of the dates."""
        other = order == MONTH_FIRST and self.others is not None
        times = np.frombuffer(self.others if other else self.times, dtype=np.int64)
        times = times.astype("datetime64[s]")
        lines = np.frombuffer(self.lines, dtype=np.int64)
        values = np.frombuffer(self.values)
        if layout.depths:
            table = values.reshape(-1, len(layout.depths))
            for number, depth in enumerate(layout.depths.values()):
                yield depth, times, table[:, number], lines
            return
        if layout.depth is None:
            yield None, times, values, lines
            return
        depths = np.frombuffer(self.depths)
        for depth in np.unique(depths):
            own = depths == depth
            yield float(depth), times[own], values[own], lines[own]


def recognize(path, header, rows, quantity, columns=None):
    """Return the Layout of a file of readings with these first lines, or None where it is none.

    ``header`` is the list of its column names, ``rows`` [(line, cells)] some rows below, ``quantity`` what is looked
    for. Raises InputError for output of the model GEOtop, which is no measurement, and for a column that should be a
    depth and is not.
    """
    names = [name.strip().lower() for name in header]
    if names[0].startswith("date12") and "simulation_period" in names:
        raise InputError(f"{path} is output of the model GEOtop, not a measurement; a map is not compared with it.")
    at = {name: i for i, name in enumerate(names)}
    if {"dataset_id", "depth", "temperature"} <= set(names) and {"date", "utc_time"} & set(names):
        return Layout(GTNP_LONG, at.get("date", at.get("utc_time")), site=at.get("borehole_id", at["dataset_id"]),
                      depth=at["depth"], value=at["temperature"], dataset=at["dataset_id"], flag=at.get("flag"),
                      depth_header=_METRES)
    if "date_yyyy-mm-dd" in at:
        found = _depth_columns(path, header, [i for i, name in enumerate(names) if _DEPTH.fullmatch(name)])
        places = {kind: CoordinateColumn(kind, at[kind], header[at[kind]]) for kind in ("latitude", "longitude")
                  if kind in at}
        return Layout(NTGS, at["date_yyyy-mm-dd"], at.get("time_hh:mm:ss"), at.get("site_id"), coordinates=places,
                      depths=found[0], depth_header=found[1])
    if names[0] == "date/depth":
        depths, stated = _depth_columns(path, header, range(1, len(names)))
        return Layout(GTNP_WIDE, 0, depths=depths, depth_header=stated or _METRES)
    if names[0] in _TIME_NAMES and 2 * sum(bool(_DEPTH.fullmatch(name)) for name in names[1:]) > len(names) - 1:
        depths, stated = _depth_columns(path, header, range(1, len(names)))
        permos = names[0] == "time"
        return Layout(PERMOS if permos else BY_DEPTH, 0, depths=depths,
                      depth_header=stated or (_METRES if permos else None))
    return _table_layout(path, header, rows, columns) if quantity == MAGT else None


def _depth_columns(path, header, columns):
    """Return ({column: depth}, Header of the unit that they state or None)."""
    depths, units = {}, {}
    for i in columns:
        match = _DEPTH.fullmatch(header[i].strip())
        unit = match and UNIT_WORDS.get((match.group(2) or "m").lower())
        if unit not in PER_METRE:
            raise InputError(f"{path}: the column '{header[i]}' is no depth; below the dates every column must be "
                             f"headed by the depth of its sensor, such as 0.5 or 0.5_m.")
        depth = float(match.group(1).replace(",", "."))
        if depth in depths.values():
            raise InputError(f"{path} has two columns for the depth {depth:g}; remove one of them.")
        depths[i] = depth
        units[unit if match.group(2) else None] = header[i]
    if len(units) > 1:
        raise InputError(f"{path}: the headers of the depths state different units; bring them to one.")
    if not depths:
        raise InputError(f"{path} has no column headed by a depth, such as 0.5 or 0.5_m.")
    (unit, text), = units.items()
    return depths, Header(text, "depth", unit) if unit else None


def _table_layout(path, header, rows, columns):
    """Return the Layout of a table with a row a date, or with a column a month, or None where it is neither."""
    given = given_columns(Table(str(path), header, rows), columns)
    merged = with_units(header, rows[0][1]) if rows else None
    if merged:
        header, rows = merged, rows[1:]
    table = Table(str(path), header, rows)
    try:
        found = find_columns(table, MAGT, given, False, False)
    except InputError:
        # the reader of annual tables says what is missing
        return None
    roles = found.roles
    common = {"site": roles.get("site"), "name": roles.get("name"), "coordinates": found.coordinates,
              "elevation": roles.get("elevation"), "depth": roles.get("depth"), "header": found.header,
              "depth_header": parse_header(header[roles["depth"]]) if "depth" in roles else None}
    if found.months:
        return Layout(MONTHLY, roles.get("year"), months=found.months, **common)
    if found.years:
        return None
    within = {role: roles.get(role) for role in ("month", "day", "day_of_year")}
    if within["month"] is None:
        within["day"] = None
    seen = {}
    of_date = [i for i in (roles["year"], *within.values()) if i is not None]
    of_sensor = [i for i in (roles.get("site"), roles.get("depth")) if i is not None]
    for line, cells in rows:
        if len(cells) < len(header) or is_missing(cells[roles["year"]]):
            continue
        key = (*(cells[i] for i in of_sensor), year_of(cells[roles["year"]], line, path))
        date = tuple(cells[i] for i in of_date)
        if seen.setdefault(key, date) != date:
            return Layout(LONG, roles["year"], value=roles["value"], **within, **common)
    return None


def open_head(path, report, columns=None):
    """Return (codec, line of the header, delimiter, [(line, cells)] of the first rows) of a text file.

    Reads its first 64 kB only. ``columns``: the column list of the user. Raises InputError where it is empty, or no
    text.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"The station file {path} cannot be read: {error.strerror or error}.") from error
    whole = len(data) < HEAD_BYTES
    text, codec, report.encoding = decoded(path, data, whole)
    # the last line may be cut
    lines = lines_of(text if whole else text[:text.rfind("\n") + 1])
    start, delimiter = find_header(lines, path, named_headers(columns))
    if start >= len(lines):
        if not whole:
            return codec, start, None, []
        raise InputError(f"{path} is empty; a station file needs a header line and rows below it.")
    describe(lines[:start], report)
    # a row that breaks off at the end of the head, or is malformed, is met again when the file is read
    rows = csv_rows((line + "\n" for line in lines[start:start + 400]), delimiter, path, start)
    head = []
    try:
        head.extend(islice(rows, 400))
    except InputError:
        if not head:
            raise
    return codec, start, delimiter, head


def text_rows(path, codec, start, delimiter, progress):
    """Yield (line, cells) of the rows of a text file, the header first; moves ``progress``, which may cancel."""
    size = max(Path(path).stat().st_size, 1)

    def lines(stream):
        done = 0
        for number, line in enumerate(stream):
            done += len(line)
            if number % _PROGRESS_ROWS == 0:
                progress.check()
                progress.set(done / size)
            if number >= start:
                yield line

    try:
        with open(path, encoding=codec, newline=None) as stream:
            yield from csv_rows(lines(stream), delimiter, path, start)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in {codec.replace('-sig', '').upper()} throughout ({error.reason}); save "
                         f"it as UTF-8.") from error


def readings_to_records(path, layout, rows, report, places=None, columns=None, alone=True, progress=None):
    """Return the [Record] of the full years of a file of readings, in °C and metres; [] where no year is full.

    ``rows`` yields (line, cells), the header first. ``places`` is the Places of a table of sites; ``alone`` says that
    the file is not one of a folder's. Fills the report. Raises InputError naming file, line and remedy.
    """
    if report.quantity != MAGT:
        raise InputError(f"{path} holds ground temperatures through the year, not a {QUANTITY_NAMES[report.quantity]}; "
                         f"give it as the file of ground temperatures.")
    progress = progress or Progress()
    report.format = layout.format
    header = next(rows)[1]
    given = given_columns(Table(str(path), header, []), columns)
    first = next(rows, None)
    if first and with_units(header, first[1]):
        report.notes.append(f"line {first[0]} states the units of the columns.")
    elif first:
        rows = chain([first], rows)
    comma, rows = _has_decimal_comma(rows, layout)
    report.decimal_mark = "," if comma else "."
    metadata = gtnp_json_metadata(path) if layout.format == GTNP_LONG else {}
    own_place = None
    if layout.site is None and not layout.coordinates:
        own_place = _place_of_file(path, layout, places, alone)
    dates = DateColumn(path, given.get("dates"))
    sites = _collect(path, layout, header, rows, comma, (own_place, metadata, dates), report)
    order = dates.order()
    if dates.told:
        report.notes.append(f"its dates have the {order.replace(' first', '')} first.")
    tell_coordinates(layout.coordinates, path, report)
    report.notes.append(RULE + ".")
    stated = given.get("unit") or layout.header and layout.header.unit or next(
        (site.place.unit for site in sites.values() if site.place.unit), None)
    records, left_out = [], Counter()
    for number, site in enumerate(sites.values()):
        progress.check()
        for depth, times, values, lines in site.sensors(layout, order):
            values = _checked(values, lines, path, report, stated)
            what = f"site {site.place.site}" + ("" if depth is None else f" at depth {depth:g}")
            means, counts = annual_means(times, values, lines, what, path)
            left_out += counts
            place = site.place
            records.extend(Record(mean.line, place.site, place.name, place.latitude, place.longitude, place.elevation,
                                  depth, mean.year, mean.mean, mean.amplitude) for mean in means)
        progress.set((number + 1) / len(sites))
    report.skipped.update(left_out)
    if not records:
        return []
    used = {record.site for record in records}
    lost = sorted({site.place.site for site in sites.values()} - used)
    if lost:
        report.warnings.append(f"{report.path}: {len(lost)} of {len(lost) + len(used)} sites have no full year and "
                               f"were left out: {', '.join(lost)}.")
    citations = {site.place.citation for site in sites.values() if site.place.site in used}
    report.citation = " ".join(sorted(citations - {""}))
    value_header = layout.header or (stated and Header(f"unit of the readings, {stated}", "", stated)) or None
    return to_units(records, path, report, given, value_header, layout.depth_header)


def _has_decimal_comma(rows, layout):
    """Say whether the first rows write decimals with a comma; return it with all the rows again."""
    first = list(islice(rows, 200))
    values = list(layout.depths) or list(layout.months) or [layout.value]
    places = [column.column for column in layout.coordinates.values()]
    comma = any(_NUMBER_WITH_COMMA.fullmatch(cells[i]) for _, cells in first for i in values if i < len(cells)) or any(
        _COMMA_WITHIN.search(cells[i]) for _, cells in first for i in places if i < len(cells))

    def again():
        yield from first
        yield from rows

    return comma, again()


def _place_of_file(path, layout, places, alone):
    """Return the Place of a file that holds one site and does not say where."""
    stem = Path(path).name.split(".")[0]
    found = gtnp_text_metadata(path) if layout.format == GTNP_WIDE else None
    if (found is None or found.latitude is None) and places is not None:
        found = places.find_in(stem, alone) or found
    return found or Place(stem, stem)


def _collect(path, layout, header, rows, comma, known, report):
    """Return {key: _Site} of all rows; ``known``: (Place of the file or None, metadata, DateColumn)."""
    own_place, metadata, dates = known
    sites, others, boreholes, flagged = {}, Counter(), {}, 0
    value_columns = list(layout.depths) or list(layout.months) or [layout.value]
    place_columns = [i for i in (layout.site, layout.dataset) if i is not None]
    place_columns += [column.column for column in layout.coordinates.values()]
    metres = None if layout.elevation is None else elevation_factor(header[layout.elevation], report)
    parts = any(i is not None for i in (layout.month, layout.day, layout.day_of_year))
    for line, cells in rows:
        report.rows += 1
        if len(cells) != len(header):
            check_length(path, line, cells, len(header))
        key = tuple(cells[i] for i in place_columns)
        site = sites.get(key)
        if site is None:
            if key in others:
                others[key] += 1
                continue
            place = own_place or _place_of_row(path, layout, line, cells, (comma, metres), metadata)
            if place is None:
                others[key] += 1
                continue
            boreholes.setdefault(place.site, []).append(key)
            site = sites[key] = _Site(place)
        text = "" if layout.date is None else cells[layout.date]
        if layout.date is not None and (not text or is_missing(text)):
            report.skipped["row without a year or date"] += 1
            continue
        if layout.months:
            _add_months(path, layout, line, cells, site)
        elif parts:
            seconds = _moment_of_parts(path, layout, line, cells)
            site.add_time(seconds, seconds)
        else:
            site.add_time(*dates.read(text if layout.time is None else f"{text} {cells[layout.time]}", line))
        site.lines.extend([line] * (len(layout.months) or 1))
        if layout.depth is not None:
            site.depths.extend([_reading(cells[layout.depth], comma, line, path, "depth")] * (len(layout.months) or 1))
        if layout.flag is not None and cells[layout.flag] and cells[layout.value]:
            flagged += 1
        for i in value_columns:
            text = cells[i]
            # Python would read 1_0 as 10
            if not comma and "_" not in text:
                try:
                    site.values.append(float(text))
                    continue
                except ValueError:
                    pass
            missing = is_missing(text)
            report.skipped["reading that is empty or says 'no value'"] += missing
            site.values.append(np.nan if missing else _reading(text, comma, line, path, "ground temperature"))
    if others:
        report.skipped["reading of a data set that is no ground temperature"] += sum(others.values())
    if layout.dataset is not None:
        _separate_datasets(sites, boreholes, report)
    if flagged:
        report.warnings.append(f"{report.path}: {flagged} reading(s) carry a flag; they were used.")
    if not sites:
        raise InputError(f"{path} has no readings below its header.")
    report.skipped = +report.skipped
    return sites


def _add_months(path, layout, line, cells, site):
    """Add the middle of every month of a row to the times of its site."""
    own = None if layout.date is None else year_of(cells[layout.date], line, path)
    for year, month in layout.months.values():
        seconds = moment(year or own, month, 15)
        site.add_time(seconds, seconds)


def _moment_of_parts(path, layout, line, cells):
    """Return seconds since 1970 of a row that gives year and month, day or day of the year in columns of their own."""
    year = year_of(cells[layout.date], line, path)
    if layout.month is None:
        text = cells[layout.day_of_year]
        day = int(_reading(text, False, line, path, "day of the year"))
        seconds = moment(year, 1, 1) + (day - 1) * 86400 if 1 <= day <= 366 else None
    else:
        text = f"{cells[layout.month]} {cells[layout.day] if layout.day is not None else ''}".strip()
        month = month_number(cells[layout.month])
        day = 15 if layout.day is None else int(_reading(cells[layout.day], False, line, path, "day"))
        seconds = moment(year, month, day) if month else None
    if seconds is None:
        raise InputError(f"{path}, line {line}: '{text}' of {year} is no month, day or day of the year. Correct it.")
    return seconds


def _place_of_row(path, layout, line, cells, number_format, metadata):
    """Return the Place that a row tells, None where its data set is no ground temperature.

    ``number_format``: (whether decimals have a comma, metres in a unit of the elevation or None).
    """
    comma, metres = number_format
    site = Path(path).stem if layout.site is None else cells[layout.site]
    if is_missing(site):
        raise InputError(f"{path}, line {line}: the row has no site id.")
    if layout.dataset is not None:
        return metadata.get(cells[layout.dataset], Place(site, site)) if metadata else Place(site, site)
    elevation = None
    if metres is not None:
        text = cells[layout.elevation]
        elevation = height(text.replace(",", ".") if comma else text, "elevation", line, path)
        elevation = None if elevation is None else elevation * metres
    name = cells[layout.name] if layout.name is not None and cells[layout.name] else site
    return Place(site, name, *place_of(layout.coordinates, cells, line, path, comma), elevation)


def _separate_datasets(sites, boreholes, report):
    """Give data sets of one borehole ids of their own: they may hold the same years, measured or processed twice."""
    several = {borehole: keys for borehole, keys in boreholes.items() if len(keys) > 1}
    for keys in several.values():
        for key in keys:
            place = sites[key].place
            label = f"{place.site} (data set {key[1]})"
            sites[key].place = Place(label, place.name, place.latitude, place.longitude, place.elevation, place.unit,
                                     place.citation)
    if several:
        report.warnings.append(f"{report.path}: {len(several)} borehole(s) have more than one data set "
                               f"({', '.join(sorted(several))}); each data set was kept as a site.")


def _reading(text, comma, line, path, what):
    mark, other = (",", ".") if comma else (".", ",")
    try:
        number = np.nan if other in text or "_" in text else float(text.replace(mark, "."))
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        hint = f"; the decimal mark of the file is '{mark}'" if other in text else ""
        raise InputError(f"{path}, line {line}: the {what} '{text}' is not a number{hint}. Correct it, or mark a "
                         f"missing value NA.")
    return number


def _checked(values, lines, path, report, unit):
    """Return the readings with codes for none as NaN; raises InputError for what no ground can have.

    ``unit``: the unit that is stated, None where it is not, and K may show in the numbers.
    """
    codes = values <= _CODE
    if codes.any():
        report.skipped["reading that is a no-data code (−99 or below)"] += int(codes.sum())
        values = np.where(codes, np.nan, values)
    if unit == FAHRENHEIT:
        shown = celsius(values, FAHRENHEIT)
        fits, kelvin = shown <= _CELSIUS_TOP, np.zeros(values.shape, dtype=bool)
    else:
        fits, kelvin = values <= _CELSIUS_TOP, (values >= _KELVIN_BOTTOM) & (values <= _KELVIN_TOP)
    wrong = np.flatnonzero(~(fits | kelvin | np.isnan(values)))
    if wrong.size:
        raise InputError(f"{path}, line {lines[wrong[0]]}: {values[wrong[0]]:g} cannot be a ground temperature "
                         f"({wrong.size} such reading(s)); correct it or mark it NA.")
    if fits.any() and kelvin.any():
        raise InputError(f"{path} mixes units: line {lines[np.argmax(kelvin)]} reads as Kelvin, line "
                         f"{lines[np.argmax(fits)]} as {CELSIUS}; convert the file to one unit.")
    return values
