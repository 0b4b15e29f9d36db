"""The summary table of CALM: thaw depth by site and year, in blocks a region, as its spreadsheet or saved as CSV.

Every block has a row "Site Code, Site Name, Location, …" with the unit in it, a row with LAT, LONG and the years, and a
row a site below; between the blocks stand the names of regions. '-' and empty cells are no measurement, 0 is none
either, '>260' and '<66' are bounds and '98*' carries a note of the network (at U18 the site had burned): these are left
out and counted by the reader of tables.
"""

import csv
import re

from ..common.errors import InputError
from .columns import ALT, QUANTITY_NAMES
from .headers import parse_header, words_of
from .text_tables import Table

FORMAT = "CALM summary table"
_YEAR = re.compile(r"(?:19|20)\d\d")
_NUMBER = re.compile(r"\s*[<>+-]?\d+([.,]\d+)?\*?\s*")


def is_calm(rows):
    """Say whether ``rows``, [(line, cells)], are those of a CALM summary table."""
    return any(_is_title(cells) and _is_years(below)
               for (_, cells), (_, below) in zip(rows[:20], rows[1:21]))


def _is_title(cells):
    return [cell.lower() for cell in cells[:2]] == ["site code", "site name"]


def _is_years(cells):
    upper = {cell.upper() for cell in cells}
    return bool(upper & {"LAT", "LATITUDE"}) and bool(upper & {"LONG", "LON", "LONGITUDE"}) and sum(
        bool(_YEAR.fullmatch(cell)) for cell in cells) >= 2


def calm_table(path, rows, report):
    """Return the Table (site, name, latitude, longitude, a column a year) of the blocks of a CALM table.

    Raises InputError naming the line for a row before any header, a row that is no site, and years that cannot be
    told.
    """
    report.format = FORMAT
    if report.quantity != ALT:
        raise InputError(f"{path} is a CALM summary table, which holds thaw depths, not a "
                         f"{QUANTITY_NAMES[report.quantity]}; give it as the file of thaw depths.")
    _refuse_site_above(path, report)
    unit, layout, years, found = None, None, None, []
    pending = False
    for line, cells in rows:
        if _is_title(cells):
            titles = [parse_header(cell) for cell in cells if {"thaw", "depth"} & set(words_of(cell))]
            stated = {title.unit or title.stray for title in titles} - {None}
            if len(stated) > 1 or unit and stated - {unit}:
                raise InputError(f"{path}, line {line}: the table states more than one unit; bring it to one.")
            unit, pending = stated.pop() if stated else unit, True
        elif pending:
            if not _is_years(cells):
                raise InputError(f"{path}, line {line}: LAT, LONG and the years should stand here, below 'Site Code'.")
            layout = _layout(path, line, cells, report)
            if years is None:
                years = list(layout["years"].values())
            elif years != list(layout["years"].values()):
                raise InputError(f"{path}, line {line}: this block has other years than the first; give every block "
                                 f"the same years.")
            pending = False
        elif sum(bool(cell) for cell in cells) == 1:
            # the name of a region
            continue
        elif layout is None:
            raise InputError(f"{path}, line {line}: a site stands before the row with LAT, LONG and the years.")
        else:
            width = max(layout["years"]) + 1
            if len(cells) < width:
                raise InputError(f"{path}, line {line}: {len(cells)} fields where the header has years up to field "
                                 f"{width}; mend the line or remove it.")
            # 'U7 A' in one column is 'U7A' in the other, and in what else CALM publishes
            site, name = re.sub(r"\s+", "", cells[0]), " ".join(cells[1].split())
            if not site:
                raise InputError(f"{path}, line {line}: the row has values but no site code.")
            found.append((line, [site, name, cells[layout["latitude"]], cells[layout["longitude"]],
                                 *(cells[i] for i in layout["years"])]))
    if not found:
        raise InputError(f"{path} holds the headers of a CALM table and no site.")
    report.rows = len(found)
    suffix = f" ({unit})" if unit else ""
    return Table(str(path), ["site", "name", "latitude", "longitude", *(f"{year}{suffix}" for year in years)], found)


def _refuse_site_above(path, report):
    """Raise InputError where a line above the header, which text files may have, holds the values of a site."""
    for text in report.above:
        cells = next(csv.reader([text], delimiter=report.delimiter), [])
        if cells and cells[0].strip() and sum(bool(_NUMBER.fullmatch(cell)) for cell in cells[1:]) > 1:
            raise InputError(f"{path}: a site stands before the row with LAT, LONG and the years: '{text.strip()}'. "
                             f"Put it below, or remove it.")


def _layout(path, line, cells, report):
    """Return {"latitude": column, "longitude": column, "years": {column: year}} of a row of years."""
    upper = [cell.upper() for cell in cells]
    latitude = next(i for i, cell in enumerate(upper) if cell in ("LAT", "LATITUDE"))
    longitude = next(i for i, cell in enumerate(upper) if cell in ("LONG", "LON", "LONGITUDE"))
    known = {i: int(cell) for i, cell in enumerate(cells) if _YEAR.fullmatch(cell)}
    first, last = min(known), max(known)
    years = {i: known[first] + i - first for i in range(first, last + 1)}
    wrong = [i for i, year in known.items() if years[i] != year]
    hidden = [i for i in years if i not in known]
    # a column too narrow for its number is saved as ###: its year is told by its neighbours, which leave one choice
    if wrong or any(not re.fullmatch("#+", cells[i]) for i in hidden):
        i = (wrong or hidden)[0]
        raise InputError(f"{path}, line {line}: '{cells[i]}' stands where the year {years[i]} should; the years must "
                         f"follow one another, a column each.")
    if hidden and not any("###" in note for note in report.notes):
        report.notes.append(f"the years {', '.join(str(years[i]) for i in hidden)} stand as ### in the table and were "
                            f"told by their neighbours.")
    return {"latitude": latitude, "longitude": longitude, "years": years}
