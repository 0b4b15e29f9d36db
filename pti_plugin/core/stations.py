"""Reads station tables: annual ground temperatures and thaw depths of field sites, from delimited text.

Delimiter, decimal mark, encoding, columns and units are found out and reported; what cannot be told apart is
refused with the line and the remedy, because a unit or a column read wrongly would pass for a measurement.
"""

import csv
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .errors import InputError
from .geodesic import distance_m

MAGT, ALT = "magt", "alt"
QUANTITY_NAMES = {MAGT: "mean annual ground temperature", ALT: "thaw depth"}
#: the depth rule that takes the deepest sensor
DEEPEST = "deepest"
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
    "elevation": ("elevation", "elev", "altitude", "height"),
    "depth": ("depth", "sensor_depth", "measurement_depth"),
    "year": ("year", "yr", "date_time", "date"),
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
_COLUMN_KEYS = (*_ALIASES, "value", "unit", "depth_unit")

_MISSING = {"", "-", "--", "–", ".", "na", "n/a", "nan", "nd", "null", "none"}
_YEAR_COLUMN = re.compile(r"(?:[a-z]+_?){0,3}((?:19|20)\d\d)")
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_DELIMITERS = {";": "semicolon", "\t": "tab", ",": "comma"}


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
    columns: dict = field(default_factory=dict)
    unit: str = ""
    unit_found: str = ""
    depth_unit: str = ""
    rows: int = 0
    #: values that entered a series at any depth
    values: int = 0
    sites: int = 0
    skipped: Counter = field(default_factory=Counter)
    warnings: list = field(default_factory=list)

    def sentences(self):
        """Return what the log should say of the table, warnings excepted."""
        columns = ", ".join(f"{role} = {header}" for role, header in self.columns.items())
        told = [f"{self.path}: {self.rows} rows, {self.sites} sites, {self.values} annual values of "
                f"{QUANTITY_NAMES[self.quantity]} in {self.unit} ({self.unit_found}); delimiter "
                f"{_DELIMITERS[self.delimiter]}, decimal mark '{self.decimal_mark}', {self.encoding}; "
                f"columns: {columns}."]
        if self.skipped:
            told.append(f"{self.path}: not used: "
                        + ", ".join(f"{count} × {reason}" for reason, count in sorted(self.skipped.items())) + ".")
        return told


@dataclass
class _Table:
    path: str
    header: list
    #: (line number, cells) of every row that is not empty
    rows: list


@dataclass
class _Record:
    line: int
    site: str
    name: str
    latitude: float
    longitude: float
    elevation: float
    depth: float
    year: int
    value: float


def site_key(site):
    """Return a sort key that puts site '2' before '10'."""
    parts = re.split(r"(\d+)", site)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], site


def read_series(path, quantity, columns=None, depth_rule=DEEPEST):
    """Return ([StationSeries], ReadReport) of the station table ``path``, sorted by site id.

    ``quantity`` is MAGT (values become °C) or ALT (values become metres). The table is long (a row a site, year and
    optional depth) or wide (a column a year). ``columns`` names what the headers do not tell, as
    "value=Temp; year=Year; unit=cm"; its keys are site, name, latitude, longitude, elevation, depth, year, value,
    unit and depth_unit. Where a site has several depths, ``depth_rule`` DEEPEST takes the deepest that has at least
    three years (the deepest of all where none has); a number takes the one nearest to that many metres within 20 %.
    The depth of zero annual amplitude cannot be derived from annual means; a table that holds it has it as its only
    depth. Raises InputError naming file, line and remedy.
    """
    report = ReadReport(Path(path).name, quantity)
    table = _read_table(path, report)
    given = _given_columns(table, columns)
    roles, year_columns = _find_columns(table, quantity, given)
    report.columns = {role: table.header[i].strip() for role, i in roles.items()}
    if year_columns:
        years = sorted(year_columns.values())
        report.columns["value"] = f"{len(years)} year columns, {years[0]}–{years[-1]}"
    records = _parse(table, quantity, roles, year_columns, report)
    if not records:
        raise InputError(f"{path} holds no usable {QUANTITY_NAMES[quantity]}: of {report.rows} rows, "
                         + (", ".join(f"{n} × {reason}" for reason, n in sorted(report.skipped.items()))
                            or "none has a value") + ".")
    header_unit = _split_unit(table.header[roles["value"]])[1] if "value" in roles else _shared_unit(table,
                                                                                                     year_columns)
    convert = _celsius if quantity == MAGT else _metres
    convert(records, given.get("unit"), header_unit, path, report)
    if quantity == MAGT and "depth" in roles:
        _depth_metres(records, given.get("depth_unit"), _split_unit(table.header[roles["depth"]])[1], report)
    _check_coordinates(records, path, report)
    series = _choose_depths(_group(records, path, report), depth_rule, path, report)
    report.sites = len(series)
    return sorted(series, key=lambda station: site_key(station.site)), report


def _read_table(path, report):
    """Return the _Table of a text file; fills the report's encoding and delimiter."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The station table {path} cannot be read: {error.strerror or error}.") from error
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path} is a spreadsheet, not text; save the sheet as CSV and give that file.")
    if b"\0" in data:
        raise InputError(f"{path} is not a text table; give a CSV file in UTF-8 or Latin-1.")
    try:
        text, report.encoding = data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        text, report.encoding = data.decode("latin-1"), "Latin-1"
    # not splitlines(): it also breaks at characters that stand inside cells
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = _first_table_line(lines)
    if start >= len(lines):
        raise InputError(f"{path} is empty; a station table needs a header line and rows below it.")
    report.delimiter = _find_delimiter(lines[start:], path)
    rows, last = [], start
    reader = csv.reader((line + "\n" for line in lines[start:]), delimiter=report.delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
                rows.append((last + 1, [cell.strip() for cell in cells]))
            last = start + reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line {last + 1}: the row cannot be read ({error}); "
                         f"check its quotation marks.") from error
    header = rows.pop(0)[1]
    for line, cells in rows:
        if any(cells[len(header):]) or len(cells) < len(header):
            raise InputError(f"{path}, line {line}: {len(cells)} fields where the header has {len(header)}; "
                             f"mend the line or remove it.")
    report.rows = len(rows)
    return _Table(str(path), header, rows)


def _first_table_line(lines):
    """Return the index of the header line, past a leading /* … */ description, comments and empty lines."""
    start = 0
    if lines and lines[0].startswith("/*"):
        start = next((i + 1 for i, line in enumerate(lines) if line.rstrip().endswith("*/")), len(lines))
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        start += 1
    return start


def _find_delimiter(lines, path):
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


def _split_unit(header):
    """Return (name, unit or None) of a header such as 'Depth [cm]' or 'magt_degC', the name in lower case."""
    name = re.sub(r"[^a-z0-9]+", "_", header.lower().replace("°", "deg")).strip("_")
    for suffix in sorted(_UNIT_SUFFIXES, key=len, reverse=True):
        if name.endswith("_" + suffix):
            return name[:-len(suffix) - 1], _UNIT_SUFFIXES[suffix]
    return name, None


def _given_columns(table, columns):
    """Return {role: column index} and {unit key: unit} of the user's column string."""
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


def _find_columns(table, quantity, given):
    """Return ({role: column index}, {column index: year}); the second is empty for a long table."""
    names = [_split_unit(header)[0] for header in table.header]
    roles = {key: index for key, index in given.items() if key in _ALIASES or key == "value"}
    if "value" not in roles:
        index = _value_column(table, names, quantity, roles)
        if index is not None:
            roles["value"] = index
    for role, aliases in _ALIASES.items():
        if role in roles or (role == "depth" and quantity == ALT):
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
    needed = ["site", "latitude", "longitude"] + ([] if year_columns else ["year", "value"])
    missing = [role for role in needed if role not in roles]
    if missing:
        raise InputError(f"{table.path} has no column recognised as {' or '.join(missing)} of a table of "
                         f"{QUANTITY_NAMES[quantity]}; its columns are {', '.join(table.header)}. Name it in the "
                         f"column list as '{missing[0]}=<name of the column>'.")
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
    units = {_split_unit(table.header[i])[1] for i in year_columns}
    if len(units) > 1:
        raise InputError(f"The year columns of {table.path} state different units "
                         f"({', '.join(sorted(str(unit) for unit in units))}); bring them to one.")
    return units.pop()


def _parse(table, quantity, roles, year_columns, report):
    """Return a _Record for every value; counts the others in the report."""
    numeric = [roles[role] for role in ("latitude", "longitude", "elevation", "depth", "value") if role in roles]
    report.decimal_mark = _decimal_mark(table, [*numeric, *year_columns])

    def cell(cells, role):
        return cells[roles[role]] if role in roles and cells[roles[role]].lower() not in _MISSING else ""

    records = []
    for line, cells in table.rows:
        site, name = cell(cells, "site") or cell(cells, "name"), cell(cells, "name")
        if not site:
            raise InputError(f"{table.path}, line {line}: the row has neither a site id nor a name.")
        place = [_position(cell(cells, role), role, line, table.path)
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
                records.append(_Record(line, site, name or site, *place, year, value))
    return records


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
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{path}, line {line}: the {what} '{text}' is not a number"
                         + ("; give decimal degrees." if what in ("latitude", "longitude") else "."))
    return number


def _position(text, what, line, path):
    """Return a coordinate, elevation or depth, None where the cell is empty or a no-data code."""
    if not text:
        return None
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
    lines = sorted(record.line for record in records)
    return ("line " if len(lines) == 1 else "lines ") + ", ".join(map(str, lines[:5])) + (
        f" and {len(lines) - 5} more" if len(lines) > 5 else "")


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
    if strange and stated not in _PER_METRE:
        raise InputError(f"{path} seems to mix units: its thaw depths read as {report.unit}, but "
                         f"{_some_lines(strange)} would give {strange[0].value:.4g} m. Bring the file to one unit, or "
                         f"state it as 'unit={report.unit}' if the values are right.")
    if strange:
        report.warnings.append(f"{report.path}: {_some_lines(strange)} give thaw depths outside 0.05–20 m "
                               f"in the stated unit {report.unit}.")


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
    sign = -1 if max(known) <= 0 else 1
    for record in records:
        if record.depth is not None:
            record.depth = record.depth * sign / _PER_METRE[report.depth_unit]


def _check_coordinates(records, path, report):
    """Refuse missing, impossible and swapped coordinates; bring longitudes to −180 … 180."""
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
    """Return {(site, name, latitude, longitude, elevation): {depth: {year: value}}}, checked for duplicates."""
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
                if record.year not in series:
                    series[record.year] = record.value
                elif series[record.year] == record.value:
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
                         + f" in {record.year} (line {record.line})" for record in clashes[:5])
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
    """Return a StationSeries a site, at the depth that the rule asks for."""
    fixed = None
    if depth_rule != DEEPEST:
        try:
            fixed = float(depth_rule)
        except (TypeError, ValueError):
            fixed = math.nan
        if not 0 < fixed < math.inf:
            raise InputError(f"The depth rule '{depth_rule}' is neither '{DEEPEST}' nor a depth in metres.")
    chosen, shallower, left_out = [], [], []
    for (site, name, latitude, longitude, elevation), depths in grouped.items():
        known = sorted(depth for depth in depths if depth is not None)
        if fixed is not None:
            near = [depth for depth in known if abs(depth - fixed) <= DEPTH_TOLERANCE * fixed * (1 + 1e-9)]
            if not near:
                left_out.append(site)
                continue
            depth = min(near, key=lambda candidate: (abs(candidate - fixed), -candidate))
        elif known:
            lasting = [depth for depth in known if len(depths[depth]) >= YEARS_FOR_DEEPEST]
            depth = (lasting or known)[-1]
            if depth != known[-1]:
                shallower.append(site)
        else:
            depth = None
        values = depths[depth]
        chosen.append(StationSeries(site, name, latitude, longitude, elevation, depth,
                                    {year: values[year] for year in sorted(values)}))
    if left_out:
        told = (f"{len(left_out)} of {len(grouped)} sites have no sensor within "
                f"{DEPTH_TOLERANCE:.0%} of {fixed:g} m")
        if not chosen:
            raise InputError(f"{path}: {told}; choose another depth, or '{DEEPEST}'.")
        report.warnings.append(f"{report.path}: {told} and were left out.")
    if shallower:
        report.warnings.append(f"{report.path}: at {len(shallower)} site(s) the deepest sensor has fewer than "
                               f"{YEARS_FOR_DEEPEST} years; the deepest with as many was taken.")
    return chosen
