"""Station series: annual ground temperatures and thaw depths of field sites, and the tables that hold them.

Columns, their units and the sides their coordinates are counted towards are found out and reported; what cannot be told
apart is refused with the line and the remedy, because a unit or a column read wrongly would pass for a measurement. The
checks of units and coordinates and the choice of the depth serve every format (``series_of``).
"""

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ..common.errors import InputError
from ..rasters.geodesic import distance_m
from .cells import height, is_missing, number
from .columns import ALT, MAGT, QUANTITY_NAMES, WITHIN_YEAR, find_columns, given_columns, named_headers
from .dates import year_of
from .headers import DEGREE, PER_METRE, SIDES, UNIT_WORDS, is_unit, parse_header, words_of
from .station_units import some_lines, to_units
from .text_tables import DELIMITERS, as_table, csv_rows, decoded, find_header, lines_of

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
#: reason by which values without coordinates are counted
WITHOUT_PLACE = "value of a site without coordinates"
#: what a network writes into a year's cell once it has given the site up
_GIVEN_UP = {"inactive", "discontinued", "closed"}
_NUMBERS, _CODE = re.compile(r"\d*[.,]\d+"), re.compile(r"-9{3,}[.,]\d*")


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
    #: the lines above the header
    above: list = field(default_factory=list)
    unit: str = ""
    unit_found: str = ""
    depth_unit: str = ""
    rows: int = 0
    #: values that entered a series at any depth
    values: int = 0
    sites: int = 0
    #: least and greatest latitude and longitude of the sites, in degrees
    places: tuple = ()
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
            details.append(f"delimiter {DELIMITERS[self.delimiter]}, decimal mark '{self.decimal_mark}', "
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
        if self.places:
            south, north, west, east = self.places
            told.append(f"{self.path}: the sites lie between latitudes {south:.5g} and {north:.5g} and longitudes "
                        f"{west:.5g} and {east:.5g}; negative longitudes are west of Greenwich.")
        if self.citation:
            told.append(f"{self.path}: to be cited as: {self.citation}"
                        + (f" Licence: {self.licence}." if self.licence else ""))
        return told


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
    headers do not tell, as "value=Temp; year=Year; unit=cm"; its keys are those of ``given_columns``.
    ``needs_coordinates`` is False where a table of sites will give what this one lacks. Raises InputError.
    """
    path, quantity = table.path, report.quantity
    given = given_columns(table, columns)
    found = find_columns(table, quantity, given, needs_coordinates)
    report.columns = {role: table.header[i].strip() for role, i in found.roles.items() if role not in WITHIN_YEAR}
    if found.years:
        years = sorted(found.years.values())
        report.columns["value"] = f"{len(years)} year columns, {years[0]}–{years[-1]}"
    records = _parse(table, quantity, found, report)
    if not records:
        raise InputError(f"{path} holds no usable {QUANTITY_NAMES[quantity]}: of {report.rows} rows, "
                         + (", ".join(f"{n} × {reason}" for reason, n in sorted(report.skipped.items()))
                            or "none has a value") + ".")
    if quantity == MAGT and any(role in found.roles for role in WITHIN_YEAR):
        report.warnings.append(f"{report.path} has one temperature a site, depth and year beside a column of the month "
                               f"or day; they were taken for annual means. Remove the table if they are single "
                               f"readings.")
    depth = parse_header(table.header[found.roles["depth"]]) if "depth" in found.roles else None
    return to_units(records, path, report, given, found.header, depth)


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
    if series:
        latitudes, longitudes = ([getattr(station, side) for station in series] for side in ("latitude", "longitude"))
        report.places = (min(latitudes), max(latitudes), min(longitudes), max(longitudes))
    return sorted(series, key=lambda station: site_key(station.site)), report


def read_table(path, report):
    """Return the Table of a text file; fills the report's encoding, delimiter, citation and licence."""
    return as_table(path, read_rows(path, report), report)


def read_rows(path, report, columns=None):
    """Return the (line number, cells) of the rows of a text file that are not empty, the header first."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The station table {path} cannot be read: {error.strerror or error}.") from error
    text, _, report.encoding = decoded(path, data)
    lines = lines_of(text)
    start, report.delimiter = find_header(lines, path, named_headers(columns))
    if start >= len(lines):
        raise InputError(f"{path} is empty; a station table needs a header line and rows below it.")
    if not report.above:
        describe(lines[:start], report)
    return list(csv_rows((line + "\n" for line in lines[start:]), report.delimiter, path, start))


def describe(lines, report):
    """Fill the report from the lines above the header: citation and licence of PANGAEA, and how many lines of text."""
    described = bool(lines) and lines[0].startswith("/*")
    report.above = [] if described else list(lines)
    if described:
        report.format = "PANGAEA table"
    for line in lines:
        key, _, text = line.partition(":\t")
        if key == "Citation" and not report.citation:
            report.citation = text.strip()
        elif key == "License" and not report.licence:
            report.licence = text.partition(" (URI")[0].strip()
    texts = [line for line in lines if line.strip() and not line.startswith("#")]
    if texts and not described:
        report.notes.append(f"{len(texts)} line(s) of text above the header were passed over.")


def _parse(table, quantity, found, report):
    """Return a Record for every value; counts the others in the report."""
    roles, path = found.roles, table.path
    numeric = [roles[role] for role in (*SIDES, "elevation", "depth", "value") if role in roles]
    report.decimal_mark = _decimal_mark(table, [*numeric, *found.years])
    units = _row_units(table, roles["row_unit"]) if "row_unit" in roles else {}
    metres = elevation_factor(table.header[roles["elevation"]], report) if "elevation" in roles else None

    def cell(cells, role):
        return cells[roles[role]] if role in roles and not is_missing(cells[roles[role]]) else ""

    records, guesses = [], 0
    for line, cells in table.rows:
        site, name = cell(cells, "site") or cell(cells, "name"), cell(cells, "name")
        if not site:
            raise InputError(f"{path}, line {line}: the row has neither a site id nor a name.")
        place = place_of(found.coordinates, cells, line, path)
        elevation, depth = (height(cell(cells, role), role, line, path) for role in ("elevation", "depth"))
        elevation = None if elevation is None or metres is None else elevation * metres
        if found.years:
            values = [(year, cells[i]) for i, year in found.years.items()]
        elif cell(cells, "year"):
            values = [(year_of(cell(cells, "year"), line, path), cells[roles["value"]])]
        else:
            report.skipped["row without a year"] += 1
            continue
        for year, text in values:
            value = _value(text, quantity, line, path, report)
            if value is not None:
                records.append(Record(line, site, name or site, *place, elevation, depth, year, value,
                                      unit=units.get(line)))
                guesses += cell(cells, "guess").lower() in ("true", "yes", "1")
    tell_coordinates(found.coordinates, path, report)
    if guesses:
        report.warnings.append(f"{report.path}: {guesses} value(s) are marked as a guess by the network; they were "
                               f"used. Remove the rows to do without them.")
    return records


def place_of(coordinates, cells, line, path, comma=False):
    """Return (latitude, longitude) of a row by {latitude, longitude: CoordinateColumn}, None where it has none."""
    return tuple(coordinates[kind].read(cells, line, path, comma) if kind in coordinates else None for kind in SIDES)


def tell_coordinates(coordinates, path, report):
    """Say in the report on which side coordinates lie that are not counted as usual; raises InputError where none of
    the rows has told."""
    for column in coordinates.values():
        column.finish(path)
        if column.sentence():
            report.notes.append(column.sentence())


def elevation_factor(text, report):
    """Return how many metres one unit of an elevation is by its header, None with a warning where it is not known."""
    header = parse_header(text)
    if not header.stray and header.unit is None:
        return 1.0
    if header.stray or header.unit not in PER_METRE:
        report.warnings.append(f"{report.path}: the column '{text}' states '{header.stray or header.unit}', which is "
                               f"no known unit of an elevation; the elevations were not used.")
        return None
    return 1.0 / PER_METRE[header.unit]


def _row_units(table, column):
    """Return {line: unit} where the column states a unit in every row, {} where it is about something else."""
    units = {line: UNIT_WORDS.get("_".join(words_of(cells[column]))) for line, cells in table.rows}
    units = {line: None if unit == DEGREE else unit for line, unit in units.items()}
    unknown = [line for line, unit in units.items() if unit is None]
    if len(unknown) == len(units):
        stated = next((cells[column] for _, cells in table.rows if is_unit(cells[column])), None)
        if stated:
            raise InputError(f"{table.path}, line {table.rows[0][0]}: '{stated}' in the column "
                             f"'{table.header[column]}' is no known unit; state the unit of the values in the column "
                             f"list, as 'unit=cm'.")
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
            # a code for no data has the mark of who made it
            for found in () if _CODE.fullmatch(cells[i]) else _NUMBERS.findall(cells[i]):
                seen.setdefault("," if "," in found else ".", (line, cells[i]))
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


def _value(text, quantity, line, path, report):
    """Return the number in a value cell, or None for the ways of saying "no measurement", which are counted."""
    if is_missing(text):
        reason = "empty cell" if not text else "cell saying 'no value' (-, NA)"
    elif text.lower() in _GIVEN_UP:
        reason = "cell saying that the site was given up"
    elif text[0] in "<>" or text[-1] == ">":
        reason = "cell giving only a bound (>, <)"
    elif "*" in text:
        reason = "cell marked *"
    else:
        found = number(text, QUANTITY_NAMES[quantity], line, path)
        if quantity == ALT and found <= 0:
            reason = "thaw depth of 0 or below, meaning no measurement"
        elif quantity == MAGT and found <= -99:
            reason = "no-data code (−99 or below)"
        else:
            return found
    report.skipped[reason] += 1
    return None


def check_coordinates(records, path, report, alone=True):
    """Leave out and name the sites without coordinates; bring longitudes to −180 … 180 in place.

    Raises InputError for impossible and swapped coordinates, and where no site of a file that stands ``alone`` has any.
    """
    known = {record.site: record for record in records
             if record.latitude is not None and record.longitude is not None}
    lost = sorted({record.site for record in records if record.site not in known}, key=site_key)
    if lost and not known and alone:
        raise InputError(f"{path}: none of its {len(lost)} site(s) has coordinates: {', '.join(lost[:5])}"
                         f"{' …' if len(lost) > 5 else ''}. Add latitude and longitude, or give a table of the sites "
                         f"with their coordinates.")
    if lost:
        values = sum(record.site not in known for record in records)
        report.warnings.append(f"{report.path}: {values} annual value(s) of {len(lost)} site(s) without coordinates "
                               f"were left out: {', '.join(lost)}. Add latitude and longitude to use them.")
        report.skipped[WITHOUT_PLACE] += values
        records[:] = [record for record in records if record.site in known]
    for record in records:
        if record.latitude is None or record.longitude is None:
            record.latitude, record.longitude = known[record.site].latitude, known[record.site].longitude
    beyond = [record for record in records if abs(record.latitude) > 90]
    if beyond:
        first = beyond[0]
        swapped = all(abs(record.longitude) <= 90 and abs(record.latitude) <= 360 for record in beyond)
        raise InputError(f"{path}, line {first.line}: site {first.site} has the latitude {first.latitude:g}"
                         + (f" and longitude {first.longitude:g}; latitude and longitude look swapped "
                            f"({some_lines(beyond)}). Exchange the two columns." if swapped else
                            f", which is beyond 90 ({some_lines(beyond)}). Correct it."))
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
