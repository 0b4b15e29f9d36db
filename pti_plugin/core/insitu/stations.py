"""Station series: annual ground temperatures and thaw depths of field sites, and the tables that hold them.

Delimiter, decimal mark, encoding, columns and units are found out and reported; what cannot be told apart is
refused with the line and the remedy, because a unit or a column read wrongly would pass for a measurement. The
checks of units and coordinates and the choice of the depth serve every format (``series_of``).
"""

import csv
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ..common.errors import InputError
from ..rasters.geodesic import distance_m

MAGT, ALT = "magt", "alt"
QUANTITY_NAMES = {MAGT: "mean annual ground temperature", ALT: "thaw depth"}
#: the depth rules that take the deepest sensor, and the shallowest one without an annual amplitude
DEEPEST, ZERO_AMPLITUDE = "deepest", "zaa"
#: range of the monthly means of a year, in °C, up to which a depth counts as one of zero annual amplitude
AMPLITUDE_LIMIT = 0.1
#: a sensor with fewer years is passed over by "deepest" while another at the site has as many
YEARS_FOR_DEEPEST = 3
#: a fixed depth is met within this share of it
DEPTH_TOLERANCE = 0.2
#: records of one site id further apart than this are different places
SAME_PLACE_M = 1000.0

#: role → header names without their unit, best first
_ALIASES = {
    "site": ("cci_id", "site_id", "station_id", "site_code", "station_code", "code", "site", "station",
             "borehole_id", "borehole", "gtnp_id", "calm_id", "id"),
    "name": ("name", "site_name", "station_name", "borehole_name"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "long", "lng"),
    "elevation": ("elevation", "elev", "altitude", "height", "h"),
    "depth": ("depth", "sensor_depth", "measurement_depth"),
    "year": ("year", "yr", "date_time", "date", "datetime", "timestamp", "utc_time", "measurement_datetime", "time"),
    "row_unit": ("unit", "units"),
    "guess": ("guess",),
}
_VALUE_ALIASES = {
    MAGT: ("magt", "mean_annual_ground_temperature", "ground_temperature", "temperature", "temp", "value"),
    ALT: ("alt", "ald", "active_layer_thickness", "active_layer_depth", "thaw_depth", "thawdepth", "thaw", "depth",
          "value"),
}
#: first words by which a value column without an exact alias is still recognised
_VALUE_WORDS = {MAGT: {"magt", "temp", "temperature"}, ALT: {"alt", "ald", "thaw"}}
#: parts of a header that mark a column of model values, never taken for the measurement
_MODEL_PARTS = ("cci", "model")
#: words that mark a column as something else than annual values
_NOT_MEASURED = {"simulated", "predicted", "map", "trend", "slope", "std", "sd", "error", "n", "count", "p", "flag",
                 "quality", "source", "method", "name"}
_UNIT_SUFFIXES = {"degc": "°C", "deg_c": "°C", "celsius": "°C", "c": "°C", "kelvin": "K", "degk": "K", "k": "K",
                  "mm": "mm", "cm": "cm", "m": "m", "deg": "degree", "dd": "degree", "wgs84": "degree"}
#: unit → how many make a metre
_PER_METRE = {"mm": 1000, "cm": 100, "m": 1}
_COLUMN_KEYS = ("site", "name", "latitude", "longitude", "elevation", "depth", "year", "value", "unit", "depth_unit")

_MISSING = {"", "-", "--", "–", ".", "na", "n/a", "nan", "nd", "null", "none"}
#: what a network writes into a year's cell once it has given the site up
_GIVEN_UP = {"inactive", "discontinued", "closed"}
_ROW_UNITS = {**_UNIT_SUFFIXES, "degree_celsius": "°C", "degrees_celsius": "°C", "deg": None, "dd": None, "wgs84": None}
_YEAR_COLUMN = re.compile(r"(?:[a-z]+_?){0,3}((?:19|20)\d\d)")
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_DELIMITERS = {";": "semicolon", "\t": "tab", ",": "comma"}
#: a number of degrees, its minutes, seconds and letter of the side, as in 71 19' N or 156°36'30"W
_DEGREES = re.compile(r"""([+-]?\d+(?:\.\d+)?)\s*[°º\s]\s*(?:(\d+(?:\.\d+)?)\s*['′’]?\s*)?"""
                      r"""(?:(\d+(?:\.\d+)?)\s*(?:["″”]|'')\s*)?([NSEW])?""", re.IGNORECASE)


@dataclass(frozen=True)
class StationSeries:
    """Annual values of one site: °C, or metres of thaw depth. ``depth_m`` is the depth of the sensor."""

    site: str
    name: str
    latitude: float
    longitude: float
    elevation_m: float
    depth_m: float
    values: dict = field(hash=False)


@dataclass
class ReadReport:
    """What was found in a station table, and how it was read."""

    path: str
    quantity: str
    encoding: str = ""
    delimiter: str = ""
    decimal_mark: str = "."
    #: the format found, as a person would name it
    format: str = "table"
    #: how to cite the data and on what terms they are given, where the file says so
    citation: str = ""
    licence: str = ""
    columns: dict = field(default_factory=dict)
    unit: str = ""
    unit_found: str = ""
    depth_unit: str = ""
    rows: int = 0
    #: values that entered a series at any depth
    values: int = 0
    sites: int = 0
    skipped: Counter = field(default_factory=Counter)
    #: {site: (depth in metres or None, why that depth)} of the series
    depths: dict = field(default_factory=dict)
    #: how the values were made and chosen, a sentence each
    notes: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    def sentences(self):
        """Return what the log should say of the table, warnings excepted."""
        details = []
        if self.delimiter:
            details.append(f"delimiter {_DELIMITERS[self.delimiter]}, decimal mark '{self.decimal_mark}', "
                           f"{self.encoding}")
        if self.columns:
            details.append("columns: " + ", ".join(f"{role} = {header}" for role, header in self.columns.items()))
        told = ["; ".join([f"{self.path} ({self.format}): {self.rows} rows, {self.sites} sites, {self.values} annual "
                           f"values of {QUANTITY_NAMES[self.quantity]} in {self.unit} ({self.unit_found})",
                           *details]) + "."]
        if self.skipped:
            told.append(f"{self.path}: not used: "
                        + ", ".join(f"{count} × {reason}" for reason, count in sorted(self.skipped.items())) + ".")
        told.extend(f"{self.path}: {note}" for note in self.notes)
        if self.citation:
            told.append(f"{self.path}: to be cited as: {self.citation}"
                        + (f" Licence: {self.licence}." if self.licence else ""))
        return told


@dataclass
class Table:
    """A header and the (line number, cells) of every row below it that is not empty; all cells are text."""

    path: str
    header: list
    rows: list


@dataclass
class Record:
    """One annual value as it stands in a file; depth and value still in the file's units.

    ``amplitude`` is the range of the year's monthly means, in degrees, None where the file gives annual values only;
    ``unit`` that of this row where the file states it row by row.
    """

    line: int
    site: str
    name: str
    latitude: float
    longitude: float
    elevation: float
    depth: float
    year: int
    value: float
    amplitude: float = None
    unit: str = None
    #: name of the file among those of a folder
    source: str = ""


def site_key(site):
    """Return a sort key that puts site '2' before '10'."""
    parts = re.split(r"(\d+)", site)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], site


def table_records(table, columns, report, needs_coordinates=True):
    """Return the [Record] of a Table, in °C or metres and with their depths in metres; fills the report.

    The table is long (a row a site, year and optional depth) or wide (a column a year). ``columns`` names what the
    headers do not tell, as "value=Temp; year=Year; unit=cm"; its keys are site, name, latitude, longitude, elevation,
    depth, year, value, unit and depth_unit.
    ``needs_coordinates`` is False where a table of sites will give what this one lacks. Raises InputError.
    """
    path, quantity = table.path, report.quantity
    given = given_columns(table, columns)
    roles, year_columns = find_columns(table, quantity, given, needs_coordinates)
    report.columns = {role: table.header[i].strip() for role, i in roles.items()}
    if year_columns:
        years = sorted(year_columns.values())
        report.columns["value"] = f"{len(years)} year columns, {years[0]}–{years[-1]}"
    records = _parse(table, quantity, roles, year_columns, report)
    if not records:
        raise InputError(f"{path} holds no usable {QUANTITY_NAMES[quantity]}: of {report.rows} rows, "
                         + (", ".join(f"{n} × {reason}" for reason, n in sorted(report.skipped.items()))
                            or "none has a value") + ".")
    header_unit = split_unit(table.header[roles["value"]])[1] if "value" in roles else _shared_unit(table,
                                                                                                     year_columns)
    depth_header = split_unit(table.header[roles["depth"]])[1] if "depth" in roles else None
    return to_units(records, path, report, given.get("unit"), header_unit, given.get("depth_unit"), depth_header)


def to_units(records, path, report, unit=None, header_unit=None, depth_unit=None, depth_header=None):
    """Convert the values of ``records`` to °C or metres and their depths to metres, in place, and return them.

    ``unit`` and ``depth_unit`` are what the user states, the others what the file does. Raises InputError.
    """
    if any(record.unit for record in records):
        _rows_to_one_unit(records, path, report)
        unit = unit or records[0].unit
    convert = _celsius if report.quantity == MAGT else _metres
    convert(records, unit, header_unit, path, report)
    _depth_metres(records, depth_unit, depth_header, report)
    return records


def series_of(records, path, depth_rule, report):
    """Return ([StationSeries], ReadReport) of records in °C or metres with coordinates, sorted by site id.

    Where a site has several depths, ``depth_rule`` ZERO_AMPLITUDE takes the shallowest whose yearly range of monthly
    means (median of the years) is at most 0.1 °C, and the deepest where there is none or the file holds annual means
    only; DEEPEST takes the deepest that has at least three years (the deepest of all where none has); a number takes
    the one nearest to that many metres within 20 %. Fills the report. Raises InputError naming file, line and remedy.
    """
    rule = depth_rule if report.quantity == MAGT else DEEPEST
    series = _choose_depths(_group(records, path, report), rule, path, report)
    report.sites = len(series)
    return sorted(series, key=lambda station: site_key(station.site)), report


def read_table(path, report):
    """Return the Table of a text file; fills the report's encoding, delimiter, citation and licence."""
    return as_table(path, read_rows(path, report), report)


def read_rows(path, report):
    """Return the (line number, cells) of the rows of a text file that are not empty, the header first."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The station table {path} cannot be read: {error.strerror or error}.") from error
    refuse_binary(path, data)
    try:
        text, report.encoding = data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        text, report.encoding = data.decode("latin-1"), "Latin-1"
    # not splitlines(): it also breaks at characters that stand inside cells
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = first_table_line(lines)
    if start >= len(lines):
        raise InputError(f"{path} is empty; a station table needs a header line and rows below it.")
    _read_description(lines[:start], report)
    report.delimiter = find_delimiter(lines[start:], path)
    return list(csv_rows((line + "\n" for line in lines[start:]), report.delimiter, path, start))


def refuse_binary(path, data):
    """Raise InputError where ``data``, the first bytes of a file, are not those of a text."""
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path} is a spreadsheet, not text; save the sheet as CSV and give that file.")
    if b"\0" in data:
        raise InputError(f"{path} is not a text table; give a CSV file in UTF-8 or Latin-1.")


def csv_rows(lines, delimiter, path, start=0):
    """Yield (line number, cells) of the rows of ``lines`` that are neither empty nor comments (#).

    ``start`` lines of the file came before. Raises InputError with the line where the quotation marks are wrong.
    """
    last = start
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells and not cells[0].startswith("#"):
                cells = [cell.strip() for cell in cells]
                if any(cells):
                    yield last + 1, cells
            last = start + reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line {last + 1}: the row cannot be read ({error}); "
                         f"check its quotation marks.") from error


def as_table(path, rows, report):
    """Return the Table whose header is the first of ``rows``; raises InputError for rows of another length."""
    (_, header), *rows = rows
    for line, cells in rows:
        check_length(path, line, cells, len(header))
    report.rows = len(rows)
    return Table(str(path), header, rows)


def check_length(path, line, cells, expected):
    """Raise InputError where a row does not have as many fields as the header; empty ones at its end are no harm."""
    if len(cells) < expected or any(cells[expected:]):
        raise InputError(f"{path}, line {line}: {len(cells)} fields where the header has {expected}; "
                         f"mend the line or remove it.")


def first_table_line(lines):
    """Return the index of the header line, past a leading /* … */ description, comments and empty lines."""
    start = 0
    if lines and lines[0].startswith("/*"):
        start = next((i + 1 for i, line in enumerate(lines) if line.rstrip().endswith("*/")), len(lines))
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        start += 1
    return start


def _read_description(lines, report):
    """Take the citation and the licence from the description that stands above a PANGAEA table."""
    if lines and lines[0].startswith("/*"):
        report.format = "PANGAEA table"
    for line in lines:
        key, _, text = line.partition(":\t")
        if key == "Citation" and not report.citation:
            report.citation = text.strip()
        elif key == "License" and not report.licence:
            report.licence = text.partition(" (URI")[0].strip()


def find_delimiter(lines, path):
    """Return the delimiter that most lines agree on with the header, and that gives the most columns."""
    best = None
    for delimiter in _DELIMITERS:
        # leniently, since here only the number of fields counts; the strict reading follows
        try:
            counts = [len(cells) for cells in csv.reader(lines[:200], delimiter=delimiter) if cells]
        except csv.Error:
            continue
        agreeing = sum(count == counts[0] for count in counts) / len(counts)
        if counts[0] > 1 and (best is None or (agreeing > 0.5, counts[0]) > best[0]):
            best = (agreeing > 0.5, counts[0]), delimiter
    if best is None:
        raise InputError(f"{path} has no columns: none of semicolon, tab and comma divides its header "
                         f"'{lines[0][:80]}'.")
    return best[1]


def split_unit(header):
    """Return (name, unit or None) of a header such as 'Depth [cm]' or 'magt_degC', the name in lower case."""
    name = re.sub(r"[^a-z0-9]+", "_", header.lower().replace("°", "deg")).strip("_")
    for suffix in sorted(_UNIT_SUFFIXES, key=len, reverse=True):
        if name.endswith("_" + suffix):
            return name[:-len(suffix) - 1], _UNIT_SUFFIXES[suffix]
    return name, None


def given_columns(table, columns):
    """Return {role: column index, unit key: unit} of the user's column string; raises InputError."""
    given = {}
    for part in (columns or "").split(";"):
        if not part.strip():
            continue
        key, equals, header = (text.strip() for text in part.partition("="))
        key = key.lower()
        if not equals or key not in _COLUMN_KEYS:
            raise InputError(f"The column list has '{part.strip()}'; write it as 'value=Temp; year=Year', with the "
                             f"keys {', '.join(_COLUMN_KEYS)}.")
        if key in ("unit", "depth_unit"):
            known = {**{unit.lower(): unit for unit in ("°C", "K", *_PER_METRE)}, "c": "°C", "degc": "°C"}
            if header.lower() not in known:
                raise InputError(f"The column list has '{part.strip()}'; a unit is one of °C, K, cm, m, mm.")
            given[key] = known[header.lower()]
            continue
        matches = [i for i, name in enumerate(table.header) if name.lower() == header.lower()]
        if len(matches) != 1:
            raise InputError(f"{table.path} has {'no' if not matches else 'more than one'} column '{header}'; its "
                             f"columns are {', '.join(table.header)}.")
        given[key] = matches[0]
    return given


def find_columns(table, quantity, given, needs_coordinates):
    """Return ({role: column index}, {column index: year}); the second is empty for a long table.

    ``given`` is what ``given_columns`` returned. Raises InputError naming a column that is missing.
    """
    names = [split_unit(header)[0] for header in table.header]
    roles = {key: index for key, index in given.items() if key in _ALIASES or key == "value"}
    if "value" not in roles:
        index = _value_column(table, names, quantity, roles)
        if index is not None:
            roles["value"] = index
    for role, aliases in _ALIASES.items():
        if role in roles or (role == "depth" and quantity == ALT) or (role == "row_unit" and "unit" in given):
            continue
        index = next((names.index(alias) for alias in aliases
                      if alias in names and names.index(alias) not in roles.values()), None)
        if index is not None:
            roles[role] = index
    year_columns = {} if "year" in roles or "value" in given else _year_columns(table, names)
    if year_columns:
        roles.pop("value", None)
    if "site" not in roles and "name" in roles:
        roles["site"] = roles["name"]
    needed = ["site", *(("latitude", "longitude") if needs_coordinates else ()),
              *(() if year_columns else ("year", "value"))]
    missing = [role for role in needed if role not in roles]
    if missing:
        raise InputError(f"{table.path} has no column recognised as {' or '.join(missing)} of a table of "
                         f"{QUANTITY_NAMES[quantity]}; its columns are {', '.join(table.header)}. Name it in the "
                         f"column list as '{missing[0]}=<name of the column>'"
                         + (", or give a table of the sites with their coordinates." if "latitude" in missing else "."))
    return roles, year_columns


def _year_columns(table, names):
    """Return {column index: year} of the columns headed by a year, as '1997', 'X1997' or 'ALT_1997'."""
    found = {}
    for i, name in enumerate(names):
        match = _YEAR_COLUMN.fullmatch(name)
        if not match or any(part in name for part in _MODEL_PARTS) or set(name.split("_")) & _NOT_MEASURED:
            continue
        year = int(match.group(1))
        if year in found.values():
            raise InputError(f"{table.path} has two columns for the year {year}; remove one of them.")
        found[i] = year
    return found


def _value_column(table, names, quantity, roles):
    """Return the index of the measured value, or None; columns of model values and statistics never count."""
    free = [i for i, name in enumerate(names)
            if i not in roles.values() and not any(part in name for part in _MODEL_PARTS)]
    for alias in _VALUE_ALIASES[quantity]:
        found = [i for i in free if names[i] == alias]
        if found:
            break
    else:
        found = [i for i in free if names[i].split("_")[0] in _VALUE_WORDS[quantity]
                 and not set(names[i].split("_")) & _NOT_MEASURED and not _YEAR_COLUMN.fullmatch(names[i])]
    if len(found) > 1:
        raise InputError(f"{table.path} has several columns that may hold the {QUANTITY_NAMES[quantity]}: "
                         f"{', '.join(table.header[i] for i in found)}. Name the right one, for example "
                         f"'value={table.header[found[0]]}'.")
    return found[0] if found else None


def _shared_unit(table, year_columns):
    """Return the unit that the year columns of a wide table state, or None."""
    units = {split_unit(table.header[i])[1] for i in year_columns}
    if len(units) > 1:
        raise InputError(f"The year columns of {table.path} state different units "
                         f"({', '.join(sorted(str(unit) for unit in units))}); bring them to one.")
    return units.pop()


def _parse(table, quantity, roles, year_columns, report):
    """Return a Record for every value; counts the others in the report."""
    numeric = [roles[role] for role in ("latitude", "longitude", "elevation", "depth", "value") if role in roles]
    report.decimal_mark = _decimal_mark(table, [*numeric, *year_columns])
    units = _row_units(table, roles["row_unit"]) if "row_unit" in roles else {}

    def cell(cells, role):
        return cells[roles[role]] if role in roles and cells[roles[role]].lower() not in _MISSING else ""

    records, guesses = [], 0
    for line, cells in table.rows:
        site, name = cell(cells, "site") or cell(cells, "name"), cell(cells, "name")
        if not site:
            raise InputError(f"{table.path}, line {line}: the row has neither a site id nor a name.")
        place = [position(cell(cells, role), role, line, table.path)
                 for role in ("latitude", "longitude", "elevation", "depth")]
        if year_columns:
            values = [(year, cells[i]) for i, year in year_columns.items()]
        elif cell(cells, "year"):
            values = [(_year(cell(cells, "year"), line, table.path), cells[roles["value"]])]
        else:
            report.skipped["row without a year"] += 1
            continue
        for year, text in values:
            value = _value(text, quantity, line, table.path, report)
            if value is not None:
                records.append(Record(line, site, name or site, *place, year, value, unit=units.get(line)))
                guesses += cell(cells, "guess").lower() in ("true", "yes", "1")
    if guesses:
        report.warnings.append(f"{report.path}: {guesses} value(s) are marked as a guess by the network; they were "
                               f"used. Remove the rows to do without them.")
    return records


def _row_units(table, column):
    """Return {line: unit} where the column states a unit in every row, {} where it is about something else."""
    units = {line: _ROW_UNITS.get(re.sub(r"[^a-z]+", "_", cells[column].lower().replace("°", "deg")).strip("_"))
             for line, cells in table.rows}
    unknown = [line for line, unit in units.items() if unit is None]
    if len(unknown) == len(units):
        return {}
    if unknown:
        raise InputError(f"{table.path}, line {unknown[0]}: the column '{table.header[column]}' does not state a unit "
                         f"here, while it does elsewhere; write °C, K, cm, m or mm in every row.")
    return units


def _decimal_mark(table, columns):
    """Return ',' or '.', whichever the numbers use; a mixture would be a thousands separator read as decimals."""
    seen = {}
    for line, cells in table.rows:
        for i in columns:
            for mark, pattern in ((",", _COMMA_NUMBER), (".", _POINT_NUMBER)):
                if mark not in seen and pattern.fullmatch(cells[i]):
                    seen[mark] = line, cells[i]
    if len(seen) == 2:
        (comma_line, comma), (point_line, point) = seen[","], seen["."]
        raise InputError(f"{table.path} mixes decimal marks: '{comma}' in line {comma_line} and '{point}' in line "
                         f"{point_line}; write all numbers with the same mark and no thousands separator.")
    if "," in seen:
        for _, cells in table.rows:
            for i in columns:
                cells[i] = cells[i].replace(",", ".")
        return ","
    return "."


def _number(text, what, line, path):
    try:
        # Python would read 1_0 as 10
        number = math.nan if "_" in text else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{path}, line {line}: the {what} '{text}' is not a number"
                         + ("; give decimal degrees." if what in ("latitude", "longitude") else "."))
    return number


def position(text, what, line, path):
    """Return a coordinate, elevation or depth, None where the cell is empty or a no-data code.

    Coordinates may be decimal degrees, or degrees with minutes and seconds as in 71 19' N. Raises InputError.
    """
    if not text:
        return None
    match = _DEGREES.fullmatch(text) if what in ("latitude", "longitude") else None
    if match and text != match.group(1):
        degrees, minutes, seconds = (float(part or 0) for part in match.groups()[:3])
        side = (match.group(4) or "").upper()
        if minutes >= 60 or seconds >= 60 or side and (side in "NS") != (what == "latitude") or degrees < 0 and side:
            raise InputError(f"{path}, line {line}: the {what} '{text}' is no angle; write it as 71 19' N or in "
                             f"decimal degrees.")
        size = abs(degrees) + minutes / 60 + seconds / 3600
        return -size if side in ("S", "W") or text.startswith("-") else size
    number = _number(text, what, line, path)
    return None if number <= -999 else number


def _year(text, line, path):
    match = re.match(r"(\d{4})(?:\.0*)?(?:$|[-/T ])", text)
    if not match or not 1800 <= int(match.group(1)) <= 2200:
        raise InputError(f"{path}, line {line}: the year '{text}' is not a year; write it with four digits.")
    return int(match.group(1))


def _value(text, quantity, line, path, report):
    """Return the number in a value cell, or None for the ways of saying "no measurement", which are counted."""
    if text.lower() in _MISSING:
        reason = "empty cell" if not text else "cell saying 'no value' (-, NA)"
    elif text.lower() in _GIVEN_UP:
        reason = "cell saying that the site was given up"
    elif text[0] in "<>" or text[-1] == ">":
        reason = "cell giving only a bound (>, <)"
    elif "*" in text:
        reason = "cell marked *"
    else:
        number = _number(text, QUANTITY_NAMES[quantity], line, path)
        if quantity == ALT and number <= 0:
            reason = "thaw depth of 0 or below, meaning no measurement"
        elif quantity == MAGT and number <= -99:
            reason = "no-data code (−99 or below)"
        else:
            return number
    report.skipped[reason] += 1
    return None


def _some_lines(records):
    lines = sorted({record.line for record in records})
    return ("line " if len(lines) == 1 else "lines ") + ", ".join(map(str, lines[:5])) + (
        f" and {len(lines) - 5} more" if len(lines) > 5 else "")


def _rows_to_one_unit(records, path, report):
    """Convert values whose rows state different units to the first row's, in place."""
    stated = sorted({record.unit for record in records})
    temperatures = {"°C", "K"} if report.quantity == MAGT else set(_PER_METRE)
    wrong = [record for record in records if record.unit not in temperatures]
    if wrong:
        raise InputError(f"{path}, line {wrong[0].line}: {wrong[0].unit} is no unit of a "
                         f"{QUANTITY_NAMES[report.quantity]} ({_some_lines(wrong)}); correct the unit.")
    to = records[0].unit
    for record in records:
        if record.unit != to and report.quantity == MAGT:
            record.value += 273.15 if to == "K" else -273.15
        elif record.unit != to:
            record.value *= _PER_METRE[to] / _PER_METRE[record.unit]
    if len(stated) > 1:
        report.warnings.append(f"{report.path}: its rows state different units ({', '.join(stated)}); each value was "
                               f"converted from the unit of its row.")
        for record in records:
            record.unit = to


def _celsius(records, given, header, path, report):
    """Convert the values to °C in place; Kelvin shows in the numbers, whatever a header says."""
    kelvin = [record for record in records if record.value > 150]
    celsius = [record for record in records if record.value <= 150]
    if kelvin and celsius:
        raise InputError(f"{path} mixes units: {_some_lines(kelvin)} read as Kelvin, {_some_lines(celsius)} as °C; "
                         f"convert the file to one unit.")
    unit = "K" if kelvin else "°C"
    report.unit = unit
    stated = given or header
    report.unit_found = "as stated" if stated == unit else "found from the size of the values"
    if stated and stated != unit:
        report.warnings.append(f"{report.path} states the unit {stated}, but its values can only be {unit}; they were "
                               f"read as {unit}.")
    if kelvin:
        for record in kelvin:
            record.value -= 273.15
        report.warnings.append(f"{report.path} holds temperatures in Kelvin; they were converted to °C.")
    wrong = [record for record in records if not -60 < record.value < 45]
    if wrong:
        raise InputError(f"{path}: {wrong[0].value:g} °C in line {wrong[0].line} cannot be a mean annual ground "
                         f"temperature ({_some_lines(wrong)}); correct it or mark it NA.")


def _metres(records, given, header, path, report):
    """Convert thaw depths to metres in place."""
    stated = given or header
    if stated in _PER_METRE:
        report.unit, report.unit_found = stated, "as stated"
    else:
        middle = median(record.value for record in records)
        report.unit = "cm" if middle > 10 else "m"
        report.unit_found = f"found from the size of the values, median {middle:g}"
    for record in records:
        record.value /= _PER_METRE[report.unit]
    # no mean thaw depth is below 5 cm or beyond 20 m: such a value is in another unit than the rest
    strange = [record for record in records if not 0.05 <= record.value <= 20]
    if len(strange) == len(records) and not given:
        raise InputError(f"{path}: read as {report.unit}, all its thaw depths would lie outside 0.05–20 m, as "
                         f"{strange[0].value:.4g} m in line {strange[0].line}. State the right unit, for example "
                         f"'unit={'m' if report.unit == 'cm' else 'cm'}'.")
    if strange and stated not in _PER_METRE:
        raise InputError(f"{path} seems to mix units: its thaw depths read as {report.unit}, but "
                         f"{_some_lines(strange)} would give {strange[0].value:.4g} m. Bring the file to one unit, or "
                         f"state it as 'unit={report.unit}' if the values are right.")
    if strange and given:
        report.warnings.append(f"{report.path}: thaw depths outside 0.05–20 m in the unit given, {report.unit}, were "
                               f"used as they are: {_some_lines(strange)}.")
    elif strange:
        # networks publish single values in another unit than their table's: CALM has 1.45 among its centimetres
        told = ", ".join(f"{record.value * _PER_METRE[report.unit]:g} at site {record.site} in {record.year}, line "
                         f"{record.line}" for record in strange[:5])
        report.warnings.append(f"{report.path}: {len(strange)} value(s) cannot be thaw depths in {report.unit} and "
                               f"were left out ({told}{' …' if len(strange) > 5 else ''}). Correct them, or state "
                               f"'unit={report.unit}' to use them as they are.")
        report.skipped["thaw depth outside 0.05–20 m"] += len(strange)
        records[:] = [record for record in records if 0.05 <= record.value <= 20]


def _depth_metres(records, given, header, report):
    """Convert sensor depths to metres, positive downwards, in place."""
    known = [record.depth for record in records if record.depth is not None]
    if not known:
        return
    stated = given or header
    if stated in _PER_METRE:
        report.depth_unit = stated
    else:
        # sensors in whole numbers down to 100 and more are in cm; a borehole in metres has fractions or ends above
        whole = all(depth == int(depth) for depth in known)
        report.depth_unit = "cm" if whole and max(map(abs, known)) >= 100 else "m"
        report.warnings.append(f"{report.path}: the unit of the sensor depths is not stated; "
                               f"{min(known):g} to {max(known):g} were read as {report.depth_unit}. If that is "
                               f"wrong, state it as 'depth_unit=m' or 'depth_unit=cm'.")
    sign = -1 if min(known) < 0 and max(known) <= 0 else 1
    for record in records:
        if record.depth is not None:
            record.depth = record.depth * sign / _PER_METRE[report.depth_unit]


def check_coordinates(records, path, report):
    """Raise InputError for missing, impossible and swapped coordinates; bring longitudes to −180 … 180 in place."""
    known = {record.site: record for record in records
             if record.latitude is not None and record.longitude is not None}
    lost = sorted({record.site for record in records if record.site not in known}, key=site_key)
    if lost:
        raise InputError(f"{path}: {len(lost)} site(s) have no coordinates: {', '.join(lost[:5])}"
                         f"{' …' if len(lost) > 5 else ''}. Add latitude and longitude, or remove the sites.")
    for record in records:
        if record.latitude is None or record.longitude is None:
            record.latitude, record.longitude = known[record.site].latitude, known[record.site].longitude
    beyond = [record for record in records if abs(record.latitude) > 90]
    if beyond:
        first = beyond[0]
        swapped = all(abs(record.longitude) <= 90 and abs(record.latitude) <= 360 for record in beyond)
        raise InputError(f"{path}, line {first.line}: site {first.site} has the latitude {first.latitude:g}"
                         + (f" and longitude {first.longitude:g}; latitude and longitude look swapped "
                            f"({_some_lines(beyond)}). Exchange the two columns." if swapped else
                            f", which is beyond 90 ({_some_lines(beyond)}). Correct it."))
    wrong = [record for record in records if not -180 <= record.longitude <= 360]
    if wrong:
        raise InputError(f"{path}, line {wrong[0].line}: site {wrong[0].site} has the longitude "
                         f"{wrong[0].longitude:g}, which is outside −180 to 360. Correct it.")
    east = [record for record in records if record.longitude > 180]
    for record in east:
        record.longitude -= 360
    if east:
        report.warnings.append(f"{report.path}: longitudes above 180 were read as counted eastwards through 360.")
    # south of 45° N with every longitude fit to be a northern latitude: legal, but more likely an exchange
    if all(record.latitude < 45 <= record.longitude <= 90 for record in records):
        report.warnings.append(f"{report.path}: every site lies south of 45° N and between 45 and 90° E; if that is "
                               f"not central Asia, latitude and longitude are swapped.")


def _group(records, path, report):
    """Return {(site, name, latitude, longitude, elevation): {depth: {year: Record}}}, checked for duplicates."""
    by_site = defaultdict(list)
    for record in records:
        by_site[record.site].append(record)
    grouped, clashes, repeats = {}, [], 0
    for site, own in by_site.items():
        # sorted, so that the order of the rows does not matter
        own.sort(key=lambda record: (record.latitude, record.longitude, record.year, record.line))
        places = []
        for record in own:
            for place in places:
                if _same_place(record, place[0]):
                    place.append(record)
                    break
            else:
                places.append([record])
        # the name of the latest year, since networks rename their sites
        names = [max((record.year, record.name) for record in place)[1] for place in places]
        for place, name in zip(places, names):
            first = place[0]
            label = site if len(places) == 1 else f"{site} ({name})" if len(set(names)) == len(names) else (
                f"{site} ({first.latitude:.3f}, {first.longitude:.3f})")
            elevation = next((record.elevation for record in place if record.elevation is not None), None)
            depths = defaultdict(dict)
            for record in place:
                series = depths[record.depth]
                known = series.setdefault(record.year, record)
                if known is record:
                    continue
                if known.value == record.value:
                    repeats += 1
                else:
                    clashes.append(record)
            grouped[label, name, first.latitude, first.longitude, elevation] = depths
        if len(places) > 1:
            report.warnings.append(f"{report.path}: the site id {site} stands at {len(places)} places more than "
                                   f"{SAME_PLACE_M / 1000:g} km apart ({', '.join(names)}); they were kept as "
                                   f"separate sites.")
    if clashes:
        clashes.sort(key=lambda record: record.line)
        told = ", ".join(f"site {record.site}" + (f" at {record.depth:g} m" if record.depth is not None else "")
                         + f" in {record.year} (line {record.line}"
                         + (f" of {record.source})" if record.source else ")") for record in clashes[:5])
        raise InputError(f"{path} has {len(clashes)} value(s) for a site, depth and year that already has another: "
                         f"{told}{' …' if len(clashes) > 5 else ''}. Keep one annual value of each.")
    if repeats:
        report.warnings.append(f"{report.path}: {repeats} row(s) repeat a site, depth and year with the same value; "
                               f"they were counted once.")
    report.values = sum(len(series) for depths in grouped.values() for series in depths.values())
    return grouped


def _same_place(one, other):
    same = (one.latitude, one.longitude) == (other.latitude, other.longitude)
    return same or distance_m(one.latitude, one.longitude, other.latitude, other.longitude) <= SAME_PLACE_M


def _choose_depths(grouped, depth_rule, path, report):
    """Return a StationSeries a site, at the depth that the rule asks for; fills the report's depths."""
    fixed = None if depth_rule in (DEEPEST, ZERO_AMPLITUDE) else _fixed_depth(depth_rule)
    chosen, shallower, left_out = [], [], []
    for (site, name, latitude, longitude, elevation), depths in grouped.items():
        known = sorted(depth for depth in depths if depth is not None)
        depth, reason = None, "no depth given"
        if fixed is not None:
            near = [depth for depth in known if abs(depth - fixed) <= DEPTH_TOLERANCE * fixed * (1 + 1e-9)]
            if not near:
                left_out.append(site)
                continue
            depth, reason = min(near, key=lambda candidate: (abs(candidate - fixed), -candidate)), "fixed depth"
        elif known:
            depth, reason = _zero_amplitude_depth(depths, known) if depth_rule == ZERO_AMPLITUDE else (None, "deepest")
            if depth is None:
                lasting = [depth for depth in known if len(depths[depth]) >= YEARS_FOR_DEEPEST]
                depth = (lasting or known)[-1]
                if depth != known[-1]:
                    shallower.append(site)
        values = depths[depth]
        report.depths[site] = depth, reason
        chosen.append(StationSeries(site, name, latitude, longitude, elevation, depth,
                                    {year: values[year].value for year in sorted(values)}))
    if left_out:
        told = (f"{len(left_out)} of {len(grouped)} sites have no sensor within "
                f"{DEPTH_TOLERANCE:.0%} of {fixed:g} m")
        if not chosen:
            raise InputError(f"{path}: {told}; choose another depth, or '{DEEPEST}'.")
        report.warnings.append(f"{report.path}: {told} and were left out.")
    if shallower:
        report.warnings.append(f"{report.path}: at {len(shallower)} site(s) the deepest sensor has fewer than "
                               f"{YEARS_FOR_DEEPEST} years; the deepest with as many was taken.")
    if depth_rule == ZERO_AMPLITUDE:
        counts = Counter(reason for _, reason in report.depths.values())
        report.notes.append("depth of the temperature: "
                            + ", ".join(f"{reason} at {count} site(s)" for reason, count in sorted(counts.items()))
                            + ".")
    return chosen


def _fixed_depth(depth_rule):
    try:
        fixed = float(depth_rule)
    except (TypeError, ValueError):
        fixed = math.nan
    if not 0 < fixed < math.inf:
        raise InputError(f"The depth rule '{depth_rule}' is neither '{ZERO_AMPLITUDE}' nor '{DEEPEST}' nor a depth in "
                         f"metres.")
    return fixed


def _zero_amplitude_depth(depths, known):
    """Return (the shallowest depth of zero annual amplitude or None, the reason to report)."""
    amplitudes = {depth: [record.amplitude for record in depths[depth].values() if record.amplitude is not None]
                  for depth in known}
    if not any(amplitudes.values()):
        return None, "deepest, since only annual means are given,"
    quiet = [depth for depth in known if amplitudes[depth] and median(amplitudes[depth]) <= AMPLITUDE_LIMIT]
    if not quiet:
        return None, f"deepest, since the monthly means of every sensor range by more than {AMPLITUDE_LIMIT:g} °C,"
    return quiet[0], "zero annual amplitude"
