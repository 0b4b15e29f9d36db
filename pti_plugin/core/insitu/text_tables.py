"""Delimited text as people save it: encoding, lines above the header, delimiter, rows with their line numbers.

The csv module is used and not pandas: every message names the line of the file, which pandas does not keep past empty
lines, comments and quoted line breaks, and rows that are too short would be filled up without a word.
"""

import codecs
import csv
import re
from dataclasses import dataclass

from ..common.errors import InputError
from .cells import is_missing, plain
from .dates import MONTHS
from .headers import UNIT_WORDS, coordinate_header, parse_header, words_of

DELIMITERS = {";": "semicolon", "\t": "tab", ",": "comma", "|": "vertical bar"}
#: lines among which the header is looked for
_HEADER_WITHIN = 60
#: words by which a row is known as the header, for want of a column list
_KNOWN = set("""site station borehole code id name year yr date time datetime timestamp depth elevation elev altitude
value magt temperature temp alt ald thaw unit units month day latitude longitude lat lon long lng jahr datum tiefe
hohe temperatur monat active cci dataset""".split()) | set(MONTHS)
_TIMES = {"time", "date", "datetime", "timestamp"}
#: what stands below the header of a column without a unit
_NO_UNIT = {"text", "string", "id", "yyyy", "number", "(-)", "[-]", "integer", "char", "yyyy-mm-dd", "dd.mm.yyyy"}
_YEAR = re.compile(r"\D{0,12}(?:19|20)\d\d\D{0,8}")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig", "UTF-8"), (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
         (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"), (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
         (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"))


@dataclass
class Table:
    """A header and the (line number, cells) of every row below it that is not empty; all cells are text."""

    path: str
    header: list
    rows: list


def decoded(path, data, whole=True):
    """Return (text, codec, encoding as a person names it) of the bytes of a text file.

    ``whole`` is False where ``data`` is only its beginning, which may end within a character. UTF-16 without a mark is
    taken where one byte of every pair is zero as in Latin letters. Raises InputError for what is no text.
    """
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{path} is a spreadsheet, not text; save the sheet as CSV and give that file.")
    codec, told = next(((codec, told) for mark, codec, told in _BOMS if data.startswith(mark)), None) or _unmarked(data)
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data, whole)
    except UnicodeDecodeError as error:
        if told != "UTF-8":
            raise InputError(f"{path} is not text in {told} throughout ({error.reason}); save it as UTF-8.") from error
        # the bytes that only Windows uses hold its dashes and quotation marks
        codec, told = ("cp1252", "Windows-1252") if re.search(rb"[\x80-\x9f]", data) else ("latin-1", "Latin-1")
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            text, codec, told = data.decode("latin-1"), "latin-1", "Latin-1"
    if "\0" in text:
        raise InputError(f"{path} is not a text table; give a CSV file in UTF-8, UTF-16 or Latin-1.")
    return text, codec, told


def _unmarked(data):
    """Return (codec, name) of bytes without a byte order mark."""
    pairs = data[:len(data) // 2 * 2]
    even, odd = pairs[0::2], pairs[1::2]
    for codec, zeros, letters in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if len(zeros) > 8 and zeros.count(0) > 0.6 * len(zeros) and letters.count(0) < 0.01 * len(letters):
            return codec, "UTF-16"
    return "utf-8-sig", "UTF-8"


def lines_of(text):
    """Return the lines of a text; not splitlines(), which also breaks at characters that stand inside cells."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def find_header(lines, path, named=()):
    """Return (index of the header line, delimiter) of the first lines of a file.

    A leading /* … */ description, comments, empty lines and lines of free text stand above the header. ``named``:
    headers that the user names. Raises InputError where there is no line, or nothing that divides it.
    """
    start = 0
    if lines and lines[0].startswith("/*"):
        start = next((i + 1 for i, line in enumerate(lines) if line.rstrip().endswith("*/")), len(lines))
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        start += 1
    if start >= len(lines):
        return start, None
    best = None
    for delimiter in DELIMITERS:
        place, score, agreeing, count = _header_of(lines, start, delimiter, named)
        if count > 1 and (best is None or (score, agreeing, count) > best[0]):
            best = (score, agreeing, count), place, delimiter
    if best is None:
        raise InputError(f"{path} has no columns: none of semicolon, tab, comma and | divides its header "
                         f"'{lines[start][:80]}'.")
    return best[1], best[2]


def _header_of(lines, start, delimiter, named):
    """Return (line index, columns recognised, whether most lines agree in their fields, fields) of the best header."""
    # leniently, since here only the number of fields counts; the strict reading follows
    try:
        rows = [next(csv.reader([line], delimiter=delimiter), []) for line in lines[start:start + 200]]
    except csv.Error:
        return start, 0, False, 0
    counts = [len(cells) for cells in rows]
    full = [count for count, line in zip(counts, lines[start:]) if line.strip() and not line.startswith("#")]

    def judged(place):
        count = counts[place]
        numbers = place and not set(words_of(rows[place][0])) & _TIMES and any(map(_is_number, rows[place]))
        return (0 if numbers else recognised(rows[place], named),
                sum(other == count for other in full) > 0.5 * len(full), count)

    first = judged(0)
    if first[0] >= 3 or first[0] == 2 and first[1]:
        return (start, *first)
    found = (start, *first)
    for place in range(1, min(len(rows), _HEADER_WITHIN)):
        if not lines[start + place].strip() or lines[start + place].startswith("#"):
            continue
        score, agreeing, count = judged(place)
        if count > 1 and score >= 2 and score > found[1]:
            return start + place, score, agreeing, count
    if not first[1]:
        # no words known: the first of the lines that most others are like
        usual = max(set(full), key=lambda count: (full.count(count), count))
        if usual > 1 and full.count(usual) > 0.5 * len(full):
            place = counts.index(usual)
            return start + place, judged(place)[0], True, usual
    return found


def _is_number(cell):
    """Say whether a cell holds a number that is no year, as no header does."""
    return bool(re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", plain(cell))) and not _YEAR.fullmatch(cell.strip())


def recognised(cells, named=()):
    """Return how many of the cells of a row are headers known to the readers, or named by the user."""
    found = 0
    for cell in cells:
        text = cell.strip()
        if not text or len(text) > 60:
            continue
        if text.lower() in named or coordinate_header(text).kind or _YEAR.fullmatch(text):
            found += 1
            continue
        words = parse_header(text).name.split("_")
        found += len(words) <= 5 and bool(set(words) & _KNOWN) and not text.endswith(":")
    return found


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
                if not all(map(str.isascii, cells)):
                    cells = [plain(cell) for cell in cells]
                if any(cells):
                    yield last + 1, cells
            last = start + reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line {last + 1}: the row cannot be read ({error}); "
                         f"check its quotation marks.") from error


def header_row(rows, named=()):
    """Return the place of the header among ``rows``, [(line, cells)] of a sheet: the first row where none is known."""
    known = [recognised(cells, named) for _, cells in rows[:_HEADER_WITHIN]]
    return next((i for i, found in enumerate(known) if found >= 2 and found > known[0]), 0) if known[0] < 3 else 0


def as_table(path, rows, report):
    """Return the Table whose header is the first of ``rows``; raises InputError for rows of another length.

    A row of units right below the header is put into the header, in brackets.
    """
    (_, header), *rows = rows
    merged = with_units(header, rows[0][1]) if rows else None
    if merged:
        report.notes.append(f"line {rows[0][0]} states the units of the columns.")
        header, rows = merged, rows[1:]
    for line, cells in rows:
        check_length(path, line, cells, len(header))
    report.rows = len(rows)
    return Table(str(path), header, rows)


def with_units(header, cells):
    """Return the header with the units of the row right below it in brackets; None where that row holds no units."""
    if len(cells) != len(header) or any(re.search(r"\d", cell) for cell in cells):
        return None
    def says_nothing(cell):
        return is_missing(cell) or cell.lower() in _NO_UNIT

    found = 0
    for name, cell in zip(header, cells):
        if says_nothing(cell):
            continue
        kind = coordinate_header(name).kind
        unit = "_".join(words_of(cell)) in UNIT_WORDS or cell.lstrip(" [(").startswith("°")
        if not unit and not (kind and coordinate_header(f"{kind} {cell}").kind):
            return None
        found += unit or cell not in ("N", "S", "E", "W")
    if not found:
        return None
    return [name if says_nothing(cell) else f"{name} [{cell.strip('[]() ')}]" for name, cell in zip(header, cells)]


def check_length(path, line, cells, expected):
    """Raise InputError where a row does not have as many fields as the header; empty ones at its end are no harm."""
    if len(cells) < expected or any(cells[expected:]):
        raise InputError(f"{path}, line {line}: {len(cells)} fields where the header has {expected}; "
                         f"mend the line or remove it.")
