"""Tables as CSV text: one header line, '.' decimals, empty cells for what is not known."""

import csv
import io
import math

from .errors import InputError


def to_csv(rows, columns=None):
    """Return a list of dicts as CSV text, columns in the order of the first row unless given."""
    stream = io.StringIO()
    columns = columns or list(rows[0])
    writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _cell(row.get(column)) for column in columns})
    return stream.getvalue()


def _cell(value):
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    return value


def read_csv(path):
    """Return a CSV written by this plugin as a list of dicts, numbers as float; raises InputError."""
    return [{key: _value(text) for key, text in row.items()} for row in read_texts(path)]


def _value(text):
    if text in (None, ""):
        return None
    try:
        return float(text)
    except ValueError:
        return text


def read_texts(path):
    """Return a CSV in UTF-8 as a list of dicts of texts, empty cells as ''; raises InputError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return [{key: text or "" for key, text in row.items()} for row in csv.DictReader(stream)]
    except OSError as error:
        raise InputError(f"The table {path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {path} is not a CSV table in UTF-8: {error}.") from error
