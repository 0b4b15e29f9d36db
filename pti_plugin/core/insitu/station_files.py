"""Reads station data in the formats in which the networks publish them; the format is found by the content.

Annual tables (delimited text, PANGAEA .tab, CALM's summary table, the same as a spreadsheet) and readings through the
year (GTN-P, PERMOS, NTGS), one file or a folder of them, a borehole each.
"""

import itertools
from pathlib import Path

from ..common.errors import InputError
from ..common.progress import Progress
from .annual_means import RULE
from .calm_table import calm_table, is_calm
from .columns import MAGT, QUANTITY_NAMES, find_columns, given_columns, named_headers
from .reading_files import open_head, readings_to_records, recognize, text_rows
from .spreadsheets import is_spreadsheet, read_sheets
from .station_places import locate, read_places
from .stations import WITHOUT_PLACE, ZERO_AMPLITUDE, ReadReport, check_coordinates, read_rows, series_of, table_records
from .text_tables import Table, as_table, header_row

#: endings of what a download holds beside its data
_BESIDE = (".metadata.txt", ".json", ".pdf", ".html", ".htm", ".xml", ".md", ".png", ".jpg")
#: beginnings of the names of texts about the data
_ABOUT = ("readme", "license", "licence", "citation", "policy")
_DATA = (".csv", ".tab", ".txt", ".tsv", ".dat", ".xls", ".xlsx", ".ods")


def read_stations(path, quantity, columns=None, depth_rule=ZERO_AMPLITUDE, sites=None, progress=None):
    """Return ([StationSeries], ReadReport) of a file of station data, or a folder of them, sorted by site id.

    ``quantity`` is MAGT (values in °C) or ALT (metres). ``columns`` names the columns of a table, and units, where its
    headers do not (see ``stations.table_records``); ``depth_rule`` chooses among the depths of a site (see
    ``stations.series_of``). ``sites`` is a table of sites (id, name, latitude, longitude, elevation) for files without
    coordinates; its ids or names are those of the data, or stand in the names of the files. Readings through the year
    become annual means (see ``annual_means``). Raises InputError naming file, line and remedy, DependencyError where a
    driver is missing.
    """
    progress = progress or Progress()
    path = Path(path)
    places = read_places(sites) if sites else None
    if path.is_dir():
        return _read_folder(path, quantity, columns, depth_rule, places, progress)
    report = ReadReport(path.name, quantity)
    records = _records(path, report, columns, places, True, progress)
    _tell_sites(report, places)
    if not records:
        raise InputError(_no_full_year(path, report))
    return series_of(records, path, depth_rule, report)


def _tell_sites(report, places):
    """Add to the report how the table of sites was read."""
    if places is not None:
        name = Path(places.path).name
        report.notes.extend(f"table of sites {name}: {note}" for note in places.notes)
        report.warnings.extend(places.warnings)


def _records(path, report, columns, places, alone, progress):
    """Return the [Record] of a file in whatever format, in °C or metres; fills the report."""
    if not path.is_file():
        raise InputError(f"The station file {path} does not exist. Check the path.")
    if path.suffix.lower() == ".json":
        raise InputError(f"{path} holds metadata, not readings; give the .csv file beside it, which needs it.")
    if path.suffix.lower() == ".zip":
        raise InputError(f"{path} is an archive; unpack it and give the folder or the file with the data.")
    if is_spreadsheet(path):
        records = _spreadsheet_records(path, report, columns, places, alone, progress)
    else:
        codec, start, delimiter, head = open_head(path, report, columns)
        layout = recognize(path, head[0][1], head[1:], report.quantity, columns) if head else None
        if layout is not None:
            report.delimiter = delimiter
            rows = text_rows(path, codec, start, delimiter, progress.part(0, 0.9))
            records = readings_to_records(path, layout, rows, report, places, columns, alone, progress.part(0.9, 1))
        else:
            records = _annual_records(path, read_rows(path, report, columns), report, columns, places)
    if places is not None and records:
        records = locate(records, places, path, report)
    if records:
        check_coordinates(records, path, report, alone)
    return records


def _annual_records(path, rows, report, columns, places):
    if not is_calm(rows):
        return table_records(as_table(path, rows, report), columns, report, places is None)
    records = table_records(calm_table(path, rows, report), columns, report)
    # the other columns bear the names that the format gives them
    report.columns = {"value": report.columns["value"]}
    return records


def _spreadsheet_records(path, report, columns, places, alone, progress):
    """Return the records of all sheets of a spreadsheet that hold station data; the others are named in the report."""
    sheets = {name: rows for name, rows in read_sheets(path).items() if len(rows) > 1}
    if not sheets:
        raise InputError(f"The spreadsheet {path} is empty; station data need a header row and rows below it.")
    records, reports, refused = [], [], {}
    for name, rows in sheets.items():
        if not is_calm(rows):
            rows = rows[header_row(rows, named_headers(columns)):]
        try:
            layout = None if is_calm(rows) else _sheet_layout(path, rows, columns, report.quantity, places)
        except InputError as error:
            refused[name] = error
            continue
        own = ReadReport(report.path, report.quantity)
        try:
            records.extend(_annual_records(path, rows, own, columns, places) if layout is None else
                           readings_to_records(path, layout, iter(rows), own, places, columns, alone, progress))
        except InputError as error:
            raise InputError(f"{error} (sheet '{name}')") from error
        reports.append(own)
    if not reports:
        # the sheet with the most rows is the one meant to be read
        name = max(refused, key=lambda key: len(sheets[key]))
        raise InputError(f"{refused[name]} (sheet '{name}')") from refused[name]
    _merge(report, reports)
    if refused:
        report.notes.append(f"no station data in the sheet(s) {', '.join(refused)}.")
    return records


def _sheet_layout(path, rows, columns, quantity, places):
    """Return the Layout of a sheet of readings, None for an annual table; raises InputError where it is neither."""
    header = rows[0][1]
    layout = recognize(path, header, rows[1:400], quantity, columns)
    if layout is None:
        table = Table(str(path), header, [])
        find_columns(table, quantity, given_columns(table, columns), places is None)
    return layout


def _no_full_year(path, report):
    counts = ", ".join(f"{count} × {reason}" for reason, count in sorted(report.skipped.items()))
    return (f"{path} ({report.format}) holds no usable {QUANTITY_NAMES[MAGT]}: of {report.rows} rows, "
            f"{counts or 'none has a value'}. Needed are {RULE}.")


def _read_folder(folder, quantity, columns, depth_rule, places, progress):
    """Return the series and one report of all files of a folder; files without a full year are named in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    data = [file for file in files if file.name.lower().endswith(_DATA)
            and not file.name.lower().startswith(_ABOUT) and not file.name.lower().endswith(_BESIDE)]
    if places is not None:
        data = [file for file in data if file.resolve() != Path(places.path).resolve()]
    if not data:
        raise InputError(f"The folder {folder} holds no file of station data ({', '.join(_DATA)}).")
    total, records, empty, placeless = ReadReport(folder.name, quantity), [], [], 0
    reports = []
    for number, file in enumerate(data):
        progress.check()
        report = ReadReport(file.name, quantity)
        part = progress.part(number / len(data), (number + 1) / len(data))
        found = _records(file, report, columns, places, False, part)
        # what has no place is named by the report of its own file
        if not found and report.skipped[WITHOUT_PLACE]:
            placeless += 1
        elif not found:
            empty.append(file.name)
        for record in found:
            record.source = file.name
        records.extend(found)
        reports.append(report)
    _merge(total, reports)
    total.format = f"{len(reports)} files: {total.format}"
    if empty:
        total.warnings.append(f"{total.path}: {len(empty)} of {len(data)} files have no full year and were left out: "
                              f"{', '.join(empty)}.")
    others = [file.name for file in files if file.name.lower().startswith(_ABOUT)
              or not file.name.lower().endswith(_DATA + _BESIDE)]
    if others:
        total.warnings.append(f"{total.path}: {len(others)} file(s) were not taken for station data: "
                              f"{', '.join(others)}.")
    _tell_sites(total, places)
    if not records:
        if placeless:
            raise InputError(f"None of the {len(data)} files of {folder} has a full year of readings at a site with "
                             f"coordinates. Give a table of the sites with their coordinates.")
        raise InputError(f"None of the {len(data)} files of {folder} has a full year of readings. Needed are {RULE}.")
    return series_of(records, folder, depth_rule, total)


def _merge(total, reports):
    """Fill a report from those of the parts of a file or folder: counts added, what differs listed."""
    def joined(name, mark=", "):
        return mark.join(sorted({getattr(report, name) for report in reports if getattr(report, name)}))

    total.format, total.unit, total.unit_found = joined("format"), joined("unit"), joined("unit_found")
    total.depth_unit, total.citation, total.licence = joined("depth_unit"), joined("citation", " "), joined("licence")
    for report in reports:
        total.rows += report.rows
        total.skipped.update(report.skipped)
        total.warnings.extend(report.warnings)
    if len(reports) == 1:
        total.columns = reports[0].columns
    total.notes = sorted(set(itertools.chain.from_iterable(report.notes for report in reports)))
