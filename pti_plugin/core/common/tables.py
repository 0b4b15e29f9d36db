"""Tables as CSV text: one header line, '.' decimals, empty cells for what is not known.

Texts that a spreadsheet would run have an apostrophe before them, which is taken off again on reading.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InputError
from .escapes import for_cell, from_cell
from .schema import SENTENCE, Rule, check, number, one_of, optional, record, text

#: bytes and rows of a table that is read back
MOST_BYTES, MOST_ROWS = 1 << 26, 200_000


@dataclass(frozen=True)
class Shape:
    """What the columns of a table hold: ``needed`` must be there, ``allowed`` may; others hold numbers or texts.

    ``words``: columns whose cells are texts even where they look like numbers, None for all.
    """

    needed: Mapping[str, Rule]
    allowed: Mapping[str, Rule] = field(default_factory=dict)
    words: frozenset | None = frozenset()


_ANY, _TEXTS = Shape({}), Shape({}, words=None)
_OTHER = optional(one_of(number(), text(SENTENCE)))


def to_csv(rows, columns=None):
    """Return a list of dicts as CSV text, columns in the order of the first row unless given."""
    stream = io.StringIO()
    columns = columns or list(rows[0])
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return stream.getvalue()


def _cell(value):
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    return for_cell(value) if isinstance(value, str) else value


def read_csv(path, shape=_ANY):
    """Return a CSV written by this plugin as a list of dicts: numbers as float, empty cells as None.

    Columns of ``shape`` that may be absent are None in every row then. Raises InputError where it is no table, or not
    of its shape, with the line.
    """
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise InputError(f"The table {path} has {os.path.getsize(path):,} bytes; no table of this plugin has more "
                             f"than {MOST_BYTES:,}.")
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return _rows(csv.reader(stream), shape, path)
    except OSError as error:
        raise InputError(f"The table {path} cannot be read: {error.strerror or error}.") from error
    # ValueError: not UTF-8, or a path that cannot be one
    except (ValueError, csv.Error) as error:
        raise InputError(f"The table {path} is not a CSV table in UTF-8: {error}.") from error


def read_texts(path):
    """Return a CSV in UTF-8 as a list of dicts of texts, empty cells as ''; raises InputError."""
    return [{name: cell or "" for name, cell in row.items()} for row in read_csv(path, _TEXTS)]


def _rows(reader, shape, path):
    header = [from_cell(cell) for cell in next(reader, [])]
    lacking = [name for name in shape.needed if name not in header]
    if lacking:
        raise InputError(f"The table {path} has no column {lacking[0]}. Its columns are "
                         f"{', '.join(name[:50] for name in header[:50]) or 'none'}.")
    if len(set(header)) < len(header):
        raise InputError(f"The table {path} has two columns of the same name. Keep one.")
    rule = record(shape.needed, shape.allowed, _OTHER)
    rows = []
    for cells in reader:
        place = f"{path}, line {reader.line_num}"
        if not cells:
            continue
        if len(cells) > len(header):
            raise InputError(f"{place}: {len(cells)} values for {len(header)} columns of the header. Put a value with "
                             f"a comma in it in quotation marks.")
        if len(rows) == MOST_ROWS:
            raise InputError(f"{place}: no table of this plugin has more than {MOST_ROWS:,} rows.")
        cells += [""] * (len(header) - len(cells))
        row = {name: _value(cell, shape.words is None or name in shape.words) for name, cell in zip(header, cells)}
        rows.append({**dict.fromkeys(shape.allowed), **check(row, rule, place)})
    return rows


def _value(cell, is_word):
    if not cell:
        return None
    if not is_word:
        try:
            value = float(cell)
            if math.isfinite(value) and "_" not in cell:
                return value
        except ValueError:
            pass
    return from_cell(cell)
