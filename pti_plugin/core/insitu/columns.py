"""Which columns of a station table hold what, by their headers, their cells, or the column list of the user."""

import itertools
import re
from dataclasses import dataclass

from ..common.errors import InputError
from .cells import CoordinateColumn, is_missing
from .dates import DAY_FIRST, MONTH_FIRST, MONTHS
from .headers import (
    CELSIUS,
    FAHRENHEIT,
    KELVIN,
    NOT_MEANS,
    NOT_MEASURED,
    SIDES,
    TEMPERATURES,
    UNIT_WORDS,
    Header,
    coordinate_header,
    is_projected,
    may_be_projected,
    parse_header,
    side_of,
    words_of,
)

MAGT, ALT = "magt", "alt"
QUANTITY_NAMES = {MAGT: "mean annual ground temperature", ALT: "thaw depth"}
UNITS = {MAGT: TEMPERATURES, ALT: ("mm", "cm", "dm", "m", "in", "ft", "yd")}

#: role → header names without their unit, best first
_ALIASES = {
    "site": ("cci_id", "site_id", "station_id", "site_code", "station_code", "code", "site", "station",
             "borehole_id", "borehole", "gtnp_id", "calm_id", "id"),
    "name": ("name", "site_name", "station_name", "borehole_name"),
    "elevation": ("elevation", "elev", "altitude", "height", "h", "hohe", "hoehe"),
    "depth": ("depth", "sensor_depth", "measurement_depth", "tiefe"),
    "year": ("year", "yr", "jahr", "date_time", "date", "datetime", "timestamp", "utc_time", "measurement_datetime",
             "time", "datum"),
    "month": ("month", "mon", "monat", "mois", "mes"),
    "day": ("day", "tag", "day_of_month"),
    "day_of_year": ("doy", "day_of_year", "jday", "julian_day", "yday"),
    "row_unit": ("unit", "units"),
    "guess": ("guess",),
}
#: roles that only tables of readings have
WITHIN_YEAR = ("month", "day", "day_of_year")
_VALUE_ALIASES = {
    MAGT: ("magt", "mean_annual_ground_temperature", "ground_temperature", "ground_temp", "temperature",
           "temp", "temperatur", "value"),
    ALT: ("alt", "ald", "active_layer_thickness", "active_layer_depth", "thaw_depth", "thawdepth", "thaw", "depth",
          "value"),
}
#: first words by which a value column without an exact alias is still recognised
_VALUE_WORDS = {MAGT: {"magt", "temp", "temperature"}, ALT: {"alt", "ald", "thaw"}}
#: words that may stand before the name of a value
_LEADING = re.compile(r"(?:(?:mean|annual|average|avg|yearly|max|maximum|measured|observed|late|end|of|season)_)+")
#: parts of a header that mark a column of model values, never taken for the measurement
_MODEL_PARTS = ("cci", "model")
#: other than these, a column called alt may hold the altitude
_THAW_WORDS = {"ald", "active", "thaw", "thawdepth"}
_COLUMN_KEYS = ("site", "name", "latitude", "longitude", "elevation", "depth", "year", "month", "day", "value", "unit",
                "depth_unit", "latitude_side", "longitude_side", "dates")

_YEAR_COLUMN = re.compile(r"(?:[a-z]+_?){0,3}((?:19|20)\d\d)")
_MONTH_COLUMN = (re.compile(r"(?:[a-z]+_)??(?P<year>(?:19|20)\d\d)_?(?P<month>[^\W\d_]{3,}|\d\d?)"),
                 re.compile(r"(?:[a-z]+_)??(?P<month>[^\W\d_]{3,}|(?:m|month)?_?\d\d?)(?:_?(?P<year>(?:19|20)\d\d))?"))
#: columns of months a table has at least
_FEWEST_MONTHS = 6
#: columns with the letter of a hemisphere
_LETTER_WORDS = {"hemisphere", "hemi", "hem", "dir", "direction", "side", "letter"}
#: columns that hold the same letters for something else
_DIRECTION_WORDS = {"aspect", "exposure", "exposition", "slope", "facing", "orientation", "wind"}


@dataclass
class Columns:
    """Where the columns of a table are: ``roles`` {role: index}, ``years`` {index: year} of a table with a column a
    year, ``months`` {index: (year or None, month)} of one with a column a month, ``coordinates`` {latitude, longitude:
    CoordinateColumn} and ``header``, that of the values as a Header (None where the columns differ in nothing)."""

    roles: dict
    years: dict
    months: dict
    coordinates: dict
    header: Header = None


def given_columns(table, columns):
    """Return {role: column index, other key: text} of the user's column list, as "value=Temp; year=Year; unit=cm".

    Keys are roles (site, name, latitude, longitude, elevation, depth, year, month, day, value), unit and depth_unit,
    latitude_side and longitude_side (the side that unsigned numbers lie on) and dates (day first or month first).
    Raises InputError.
    """
    given = {}
    for key, text in _assignments(columns):
        if key in ("unit", "depth_unit"):
            unit = UNIT_WORDS.get("_".join(words_of(text)))
            if unit not in UNITS[MAGT] + UNITS[ALT]:
                raise InputError(f"The column list has '{key}={text}'; a unit is one of {CELSIUS}, {KELVIN}, "
                                 f"{FAHRENHEIT}, {', '.join(UNITS[ALT])}.")
            given[key] = unit
        elif key in ("latitude_side", "longitude_side"):
            side = side_of(text)
            if side not in SIDES[key[:-5]]:
                raise InputError(f"The column list has '{key}={text}'; the side is {' or '.join(SIDES[key[:-5]])}.")
            given[key] = side
        elif key == "dates":
            if text.lower() not in (DAY_FIRST, MONTH_FIRST):
                raise InputError(f"The column list has 'dates={text}'; write '{DAY_FIRST}' or '{MONTH_FIRST}'.")
            given[key] = text.lower()
        else:
            matches = [i for i, name in enumerate(table.header) if name.strip().lower() == text.lower()]
            if len(matches) != 1:
                raise InputError(f"{table.path} has {'no' if not matches else 'more than one'} column '{text}'; its "
                                 f"columns are {', '.join(table.header)}.")
            given[key] = matches[0]
    return given


def _assignments(columns):
    """Yield (key, text) of a column list; raises InputError where it is malformed."""
    for part in (columns or "").split(";"):
        if not part.strip():
            continue
        key, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals or key.lower() not in _COLUMN_KEYS:
            raise InputError(f"The column list has '{part.strip()}'; write it as 'value=Temp; year=Year', with the "
                             f"keys {', '.join(_COLUMN_KEYS)}.")
        yield key.lower(), text


def named_headers(columns):
    """Return the set of the headers that a column list names, in lower case."""
    return {text.lower() for _, text in _assignments(columns)}


def find_columns(table, quantity, given, needs_coordinates, needs_site=True):
    """Return the Columns of a table; ``years`` and ``months`` are empty for a long one.

    ``given`` is what ``given_columns`` returned; ``needs_site`` is False where the file may be that of one site. The
    rows of the table are asked where headers do not tell. Raises InputError naming a column that is missing.
    """
    headers = [parse_header(header) for header in table.header]
    names = [header.name for header in headers]
    roles = {key: index for key, index in given.items() if key in _ALIASES or key in ("value", *SIDES)}
    coordinates = coordinate_columns(table, roles, given)
    roles.update({kind: column.column for kind, column in coordinates.items()})
    months = _month_columns(table, names) if quantity == MAGT and "value" not in roles else {}
    if "value" not in roles:
        index = _value_column(table, names, quantity, {*roles.values(), *months})
        if index is not None:
            roles["value"] = index
            months = {}
    for role, aliases in _ALIASES.items():
        if role in roles or role == "depth" and quantity == ALT:
            continue
        index = next((names.index(alias) for alias in aliases
                      if alias in names and names.index(alias) not in roles.values()), None)
        if index is not None:
            roles[role] = index
    if "unit" in given:
        roles.pop("row_unit", None)
    years = {} if "year" in roles or "value" in given or months else _year_columns(table, names)
    if years:
        roles.pop("value", None)
    if "site" not in roles and "name" in roles:
        roles["site"] = roles["name"]
    texts = [header.strip().lower() for header in table.header]
    twice = next((table.header[i] for i in roles.values() if texts.count(texts[i]) > 1), None)
    if twice is not None:
        raise InputError(f"{table.path} has the column '{twice}' twice; rename or remove one of them.")
    found = Columns(roles, years, months, coordinates)
    needed = [*(["site"] if needs_site else []), *(SIDES if needs_coordinates else ())]
    _refuse_missing(table, quantity, found, needed)
    found.header = _value_header(table, found, headers, "unit" in given)
    return found


def _refuse_missing(table, quantity, found, needed):
    """Raise InputError naming the columns that a table of a quantity lacks of ``needed`` and of year and value."""
    roles = found.roles
    needed = [*needed, *(() if found.years else ("year",) if found.months else ("year", "value"))]
    if found.months and all(year for year, _ in found.months.values()):
        needed.remove("year")
    missing = [role for role in needed if role not in roles]
    if not missing:
        return
    if missing == ["year"] and found.months:
        raise InputError(f"{table.path} has a column a month, but no column of the year, so its values belong to no "
                         f"year. Add a column 'year', or write the year into the headers, as Jan 2001.")
    projected = [header for header in table.header if may_be_projected(header)]
    if (len(projected) > 1 or any(map(is_projected, projected))) and set(missing) & set(SIDES):
        raise InputError(f"{table.path} has no column of {' or '.join(kind for kind in SIDES if kind in missing)}; "
                         f"{', '.join(projected)} look like projected coordinates (such as UTM), which are not read. "
                         f"Convert them to degrees of latitude and longitude, or give a table of the sites with their "
                         f"coordinates.")
    raise InputError(f"{table.path} has no column recognised as {' or '.join(missing)} of a table of "
                     f"{QUANTITY_NAMES[quantity]}; its columns are {', '.join(table.header)}. Name it in the "
                     f"column list as '{missing[0]}=<name of the column>'"
                     + (", or give a table of the sites with their coordinates." if "latitude" in missing else "."))


def coordinate_columns(table, roles, given):
    """Return {latitude, longitude: CoordinateColumn} of those that a table has; raises InputError.

    ``roles``: {role: index} of columns that the user names, ``given``: what ``given_columns`` returned.
    """
    found = {kind: _coordinate(table, kind, roles, given) for kind in SIDES}
    return {kind: column for kind, column in found.items() if column}


def _coordinate(table, kind, roles, given):
    """Return the CoordinateColumn of a latitude or longitude, None where there is none; raises InputError."""
    if kind in roles:
        index = roles[kind]
        what = coordinate_header(table.header[index], kind)
        if is_projected(table.header[index]):
            raise InputError(f"{table.path}: the column '{table.header[index]}' named as {kind} holds projected "
                             f"coordinates by its header. Convert them to degrees of latitude and longitude.")
    else:
        every = {i: coordinate_header(header) for i, header in enumerate(table.header) if i not in roles.values()}
        found = {i: what for i, what in every.items() if what.kind == kind and not what.part}
        parts = [table.header[i] for i, what in every.items() if what.kind == kind and what.part]
        if found and parts:
            raise InputError(f"{table.path} gives the {kind} in several columns "
                             f"({', '.join([*(table.header[i] for i in found), *parts])}), which are not put together. "
                             f"Write it in one column, as 71 19' 30\" N or in decimal degrees.")
        if not found:
            return None
        if len({what.side for what in found.values()}) > 1:
            raise InputError(f"{table.path} has several columns of the {kind} that count towards different sides: "
                             f"{', '.join(table.header[i] for i in found)}. Name the right one, for example "
                             f"'{kind}={table.header[min(found)]}'.")
        # the one with the shorter name, latitude before lat_dms
        index = min(found, key=lambda i: (len(words_of(table.header[i])), i))
        what = found[index]
    side, header = what.side, table.header[index].strip()
    if side and side not in (*SIDES[kind], "?"):
        raise InputError(f"{table.path}: the column '{header}' cannot be the {kind}, since its header counts towards "
                         f"{side}.")
    stated = given.get(f"{kind}_side")
    letters = None if stated else _letters_column(table, kind, index, roles)
    return CoordinateColumn(kind, index, header, stated or side, letters)


def _letters_column(table, kind, index, roles):
    """Return the index of the column that holds the letter of the hemisphere of each row, or None."""
    for i, header in enumerate(table.header):
        if i == index or i in roles.values():
            continue
        words = set(words_of(header))
        named = (words & ({"ns", "sn"} if kind == "latitude" else {"ew", "we"})
                 or {side.lower() for side in SIDES[kind]} <= words
                 or words & _LETTER_WORDS and coordinate_header(words_of(header)[0]).kind == kind)
        cells = [cells[i] for _, cells in table.rows if i < len(cells) and not is_missing(cells[i])]
        if not all(side_of(cell) in SIDES[kind] for cell in cells):
            continue
        # a column that is there for the letter and has none leaves every row open
        beside = cells and abs(i - index) == 1 and not words & _DIRECTION_WORDS
        own = cells and words and coordinate_header(words_of(header)[0]).kind == kind
        if named and table.rows or beside or own:
            return i
    return None


def _value_header(table, found, headers, stated):
    """Return the Header of the values; raises InputError where columns of one table state different units."""
    columns = found.years or found.months
    if not columns:
        return headers[found.roles["value"]]
    units = {(headers[i].stray or headers[i].unit) for i in columns}
    if len(units) > 1 and not stated:
        raise InputError(f"The {'year' if found.years else 'month'} columns of {table.path} state different units "
                         f"({', '.join(sorted(str(unit) for unit in units))}); bring them to one.")
    return headers[min(columns)]


def _year_columns(table, names):
    """Return {column index: year} of the columns headed by a year, as '1997', 'X1997' or 'ALT_1997'."""
    found = {}
    for i, name in enumerate(names):
        match = _YEAR_COLUMN.fullmatch(name)
        if not match or any(part in name for part in _MODEL_PARTS) or set(name.split("_")) & NOT_MEASURED:
            continue
        year = int(match.group(1))
        if year in found.values():
            raise InputError(f"{table.path} has two columns for the year {year}; remove one of them.")
        found[i] = year
    return found


def _month_columns(table, names):
    """Return {column index: (year or None, month)} of the columns headed by a month, {} where there are few."""
    found = {}
    for i, name in enumerate(names):
        if any(part in name for part in _MODEL_PARTS) or set(name.split("_")) & (NOT_MEASURED | NOT_MEANS):
            continue
        match = next(filter(None, (pattern.fullmatch(name) for pattern in _MONTH_COLUMN)), None)
        if match is None:
            continue
        digits = re.sub(r"^\D+", "", match["month"])
        month = int(digits) if digits else MONTHS.get(match["month"], 0)
        if 1 <= month <= 12:
            year = match["year"] and int(match["year"])
            if (year, month) in found.values():
                raise InputError(f"{table.path} has two columns for the month '{table.header[i]}'; remove one.")
            found[i] = year, month
    bare = [i for i in found if table.header[i].strip().isdigit() and found[i][0] is None]
    numbers = [name for name in names if re.fullmatch(r"\d+(_\d+)?", name)]
    if bare and (len(bare) < 12 or len(numbers) > 12):
        # depths
        found = {i: month for i, month in found.items() if i not in bare}
    elif bare and not any(table.header[i].strip().startswith("0") for i in bare):
        raise InputError(f"{table.path} has the columns 1 to 12, which may be months or depths. If they are months, "
                         f"head them Jan to Dec or 01 to 12.")
    if len(found) < _FEWEST_MONTHS or len({month for _, month in found.values()}) < _FEWEST_MONTHS:
        return {}
    if len({year is None for year, _ in found.values()}) > 1:
        raise InputError(f"{table.path} has month columns with and without a year; write the year into all or none.")
    return found


def _value_column(table, names, quantity, taken):
    """Return the index of the measured value, or None; columns of model values and statistics never count."""
    free = [i for i, name in enumerate(names)
            if i not in taken and not any(part in name for part in _MODEL_PARTS)
            and not (quantity == MAGT and set(name.split("_")) & NOT_MEANS)]
    for alias, bare in itertools.product(_VALUE_ALIASES[quantity], (False, True)):
        found = [i for i in free if (_LEADING.sub("", names[i]) if bare else names[i]) == alias]
        if found:
            break
    else:
        found = [i for i in free if names[i].split("_")[0] in _VALUE_WORDS[quantity]
                 and not set(names[i].split("_")) & NOT_MEASURED and not _YEAR_COLUMN.fullmatch(names[i])]
    if quantity == ALT and len(found) == 1 and names[found[0]] == "alt":
        # alt is the altitude too
        found += [i for i in free if set(names[i].split("_")) & _THAW_WORDS and not _YEAR_COLUMN.fullmatch(names[i])
                  and not set(names[i].split("_")) & NOT_MEASURED]
    if len(found) > 1:
        raise InputError(f"{table.path} has several columns that may hold the {QUANTITY_NAMES[quantity]}: "
                         f"{', '.join(table.header[i] for i in found)}. Name the right one, for example "
                         f"'value={table.header[found[0]]}'.")
    return found[0] if found else None
