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
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np

from ..common.errors import InputError
from ..common.progress import Progress
from .annual_means import RULE, annual_means
from .station_places import Place, gtnp_json_metadata, gtnp_text_metadata
from .stations import (
    MAGT,
    QUANTITY_NAMES,
    Record,
    Table,
    check_length,
    csv_rows,
    find_columns,
    find_delimiter,
    first_table_line,
    given_columns,
    position,
    refuse_binary,
    split_unit,
    to_units,
)

GTNP_WIDE, GTNP_LONG = "GTN-P export", "GTN-P export of 2026"
PERMOS, NTGS, BY_DEPTH, LONG = ("PERMOS time series", "NTGS ground temperature report", "time series, a column a depth",
                                "time series, a row a reading")
HEAD_BYTES = 1 << 16
_PROGRESS_ROWS = 20000
_TIME_NAMES = {"time", "date", "datetime", "date_time", "timestamp", "utc_time"}
_DEPTH = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*[_\s\[(]*(m|cm)?[\])]?", re.IGNORECASE)
_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d*,\d+")
_MISSING = {"", "-", "na", "n/a", "nan", "null", "none"}
#: a reading of this or below is a code for none
_CODE = -99
#: °C; between them and the lowest reading in Kelvin lies nothing that ground can have
_CELSIUS_TOP, _KELVIN_BOTTOM, _KELVIN_TOP = 60, 180, 335
_EPOCH = datetime(1970, 1, 1).toordinal()


@dataclass
class Layout:
    """Where the columns of a file of readings are; ``depths`` is {column: depth} of a wide one, else {}."""

    format: str
    date: int
    time: int = None
    site: int = None
    name: int = None
    latitude: int = None
    longitude: int = None
    elevation: int = None
    depth: int = None
    value: int = None
    dataset: int = None
    flag: int = None
    depths: dict = field(default_factory=dict)
    unit: str = None
    depth_unit: str = None


class _Site:
    """Readings of one site as packed columns; a long file has a depth a reading, a wide one a row of values."""

    def __init__(self, place):
        self.place = place
        self.times, self.lines, self.values, self.depths = array("q"), array("q"), array("d"), array("d")

    def sensors(self, layout):
        """Yield (depth, times, values, lines) of every sensor, as arrays of numpy."""
        times = np.frombuffer(self.times, dtype=np.int64).astype("datetime64[s]")
        lines = np.frombuffer(self.lines, dtype=np.int64)
        values = np.frombuffer(self.values)
        if layout.depths:
            table = values.reshape(-1, len(layout.depths))
            for number, depth in enumerate(layout.depths.values()):
                yield depth, times, table[:, number], lines
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
                      depth_unit="m")
    if "date_yyyy-mm-dd" in at:
        found = _depth_columns(path, header, [i for i, name in enumerate(names) if _DEPTH.fullmatch(name)])
        return Layout(NTGS, at["date_yyyy-mm-dd"], at.get("time_hh:mm:ss"), at.get("site_id"), None,
                      at.get("latitude"), at.get("longitude"), depths=found[0], depth_unit=found[1])
    if names[0] == "date/depth":
        return Layout(GTNP_WIDE, 0, depths=_depth_columns(path, header, range(1, len(names)))[0], depth_unit="m")
    if names[0] in _TIME_NAMES and 2 * sum(bool(_DEPTH.fullmatch(name)) for name in names[1:]) > len(names) - 1:
        depths, unit = _depth_columns(path, header, range(1, len(names)))
        permos = names[0] == "time"
        return Layout(PERMOS if permos else BY_DEPTH, 0, depths=depths, depth_unit="m" if permos else unit)
    return _long_layout(path, header, rows, columns) if quantity == MAGT else None


def _depth_columns(path, header, columns):
    """Return ({column: depth}, the unit that the headers state or None)."""
    depths, units = {}, set()
    for i in columns:
        match = _DEPTH.fullmatch(header[i].strip())
        if not match:
            raise InputError(f"{path}: the column '{header[i]}' is no depth; below the dates every column must be "
                             f"headed by the depth of its sensor.")
        depth = float(match.group(1).replace(",", "."))
        if depth in depths.values():
            raise InputError(f"{path} has two columns for the depth {depth:g}; remove one of them.")
        depths[i] = depth
        units.add((match.group(2) or "").lower())
    if len(units) > 1:
        raise InputError(f"{path}: the headers of the depths state different units; bring them to one.")
    if not depths:
        raise InputError(f"{path} has no column headed by a depth, such as 0.5 or 0.5_m.")
    return depths, units.pop() or None


def _long_layout(path, header, rows, columns):
    """Return the Layout of a table with a row a date and depth, or None where it gives one value a year."""
    given = given_columns(Table(str(path), header, []), columns)
    try:
        roles, year_columns = find_columns(Table(str(path), header, []), MAGT, given, False)
    except InputError:
        # the reader of annual tables says what is missing
        return None
    if year_columns or "depth" not in roles:
        return None
    seen = {}
    for _, cells in rows:
        if len(cells) < len(header):
            continue
        key = cells[roles["site"]], cells[roles["depth"]], cells[roles["year"]][:4]
        if seen.setdefault(key, cells[roles["year"]]) != cells[roles["year"]]:
            break
    else:
        return None
    return Layout(LONG, roles["year"], None, roles["site"], roles.get("name"), roles.get("latitude"),
                  roles.get("longitude"), roles.get("elevation"), roles["depth"], roles["value"],
                  unit=given.get("unit") or split_unit(header[roles["value"]])[1],
                  depth_unit=given.get("depth_unit") or split_unit(header[roles["depth"]])[1])


def open_head(path, report):
    """Return (encoding, line of the header, delimiter, [(line, cells)] of the first rows) of a text file.

    Reads its first 64 kB only. Raises InputError where it is empty, or no text.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"The station file {path} cannot be read: {error.strerror or error}.") from error
    refuse_binary(path, data)
    whole = len(data) < HEAD_BYTES
    # the last line may be cut, and within a character
    data = data if whole else data[:data.rfind(b"\n") + 1]
    try:
        text, encoding = data.decode("utf-8-sig"), "utf-8-sig"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    report.encoding = "Latin-1" if encoding == "latin-1" else "UTF-8"
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = first_table_line(lines)
    if start >= len(lines):
        if not whole:
            return encoding, start, None, []
        raise InputError(f"{path} is empty; a station file needs a header line and rows below it.")
    delimiter = find_delimiter(lines[start:], path)
    # a row that breaks off at the end of the head, or is malformed, is met again when the file is read
    rows = csv_rows((line + "\n" for line in lines[start:start + 400]), delimiter, path, start)
    head = []
    try:
        head.extend(islice(rows, 400))
    except InputError:
        if not head:
            raise
    return encoding, start, delimiter, head


def text_rows(path, encoding, start, delimiter, progress):
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
        with open(path, encoding=encoding, newline=None) as stream:
            yield from csv_rows(lines(stream), delimiter, path, start)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 throughout ({error.reason}); save it as UTF-8.") from error


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
    comma, rows = _has_decimal_comma(rows, layout)
    report.decimal_mark = "," if comma else "."
    metadata = gtnp_json_metadata(path) if layout.format == GTNP_LONG else {}
    own_place = None if layout.site is not None else _place_of_file(path, layout, places, alone)
    sites = _collect(path, layout, len(header), rows, comma, own_place, metadata, report)
    report.notes.append(RULE + ".")
    records, left_out = [], Counter()
    for number, site in enumerate(sites.values()):
        progress.check()
        for depth, times, values, lines in site.sensors(layout):
            values = _checked(values, lines, path, report)
            what = f"site {site.place.site} at depth {depth:g}"
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
    unit = layout.unit or next((site.place.unit for site in sites.values() if site.place.unit), None)
    return to_units(records, path, report, given.get("unit"), unit, given.get("depth_unit"), layout.depth_unit)


def _has_decimal_comma(rows, layout):
    """Say whether the first rows write decimals with a comma; return it with all the rows again."""
    first = list(islice(rows, 200))
    places = list(layout.depths) or [layout.value]
    comma = any(_NUMBER_WITH_COMMA.fullmatch(cells[i]) for _, cells in first for i in places if i < len(cells))

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


def _collect(path, layout, width, rows, comma, own_place, metadata, report):
    """Return {key: _Site} of all rows."""
    sites, others, boreholes, flagged = {}, Counter(), {}, 0
    value_columns = list(layout.depths) or [layout.value]
    place_columns = [i for i in (layout.site, layout.dataset, layout.latitude, layout.longitude) if i is not None]
    for line, cells in rows:
        report.rows += 1
        if len(cells) != width:
            check_length(path, line, cells, width)
        key = tuple(cells[i] for i in place_columns)
        site = sites.get(key)
        if site is None:
            if key in others:
                others[key] += 1
                continue
            place = own_place or _place_of_row(path, layout, line, cells, comma, metadata)
            if place is None:
                others[key] += 1
                continue
            boreholes.setdefault(place.site, []).append(key)
            site = sites[key] = _Site(place)
        moment = cells[layout.date] if layout.time is None else f"{cells[layout.date]} {cells[layout.time]}"
        site.times.append(_seconds(moment, line, path))
        site.lines.append(line)
        if layout.depth is not None:
            site.depths.append(_reading(cells[layout.depth], comma, line, path, "depth"))
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
            missing = text.lower() in _MISSING
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


def _place_of_row(path, layout, line, cells, comma, metadata):
    """Return the Place that a row tells, None where its data set is no ground temperature."""
    site = cells[layout.site]
    if not site:
        raise InputError(f"{path}, line {line}: the row has no site id.")
    if layout.dataset is not None:
        return metadata.get(cells[layout.dataset], Place(site, site)) if metadata else Place(site, site)
    numbers = [None if column is None else
               position(cells[column].replace(",", ".") if comma else cells[column], role, line, path)
               for role, column in (("latitude", layout.latitude), ("longitude", layout.longitude),
                                    ("elevation", layout.elevation))]
    return Place(site, cells[layout.name] if layout.name is not None and cells[layout.name] else site, *numbers)


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


def _seconds(text, line, path):
    """Return a date, with or without time of day, as seconds since 1970; a zone is not applied."""
    try:
        moment = datetime.fromisoformat(text.replace("/", "-").rstrip("Zz"))
    except ValueError as error:
        raise InputError(f"{path}, line {line}: the date '{text}' is no date; write it as 2015-07-31 or "
                         f"2015-07-31 12:00:00.") from error
    return (moment.toordinal() - _EPOCH) * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second


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


def _checked(values, lines, path, report):
    """Return the readings with codes for none as NaN; raises InputError for what no ground can have."""
    codes = values <= _CODE
    if codes.any():
        report.skipped["reading that is a no-data code (−99 or below)"] += int(codes.sum())
        values = np.where(codes, np.nan, values)
    celsius, kelvin = values <= _CELSIUS_TOP, (values >= _KELVIN_BOTTOM) & (values <= _KELVIN_TOP)
    wrong = np.flatnonzero(~(celsius | kelvin | np.isnan(values)))
    if wrong.size:
        raise InputError(f"{path}, line {lines[wrong[0]]}: {values[wrong[0]]:g} cannot be a ground temperature "
                         f"({wrong.size} such reading(s)); correct it or mark it NA.")
    if celsius.any() and kelvin.any():
        raise InputError(f"{path} mixes units: line {lines[np.argmax(kelvin)]} reads as Kelvin, line "
                         f"{lines[np.argmax(celsius)]} as °C; convert the file to one unit.")
    return values
