"""Reads what others have counted: a confusion matrix, the areas of the mapped classes and the names of classes, as CSV.

Which way round a matrix stands is taken from its labels, never guessed in silence: read transposed, a map's precision
passes for its recall.
"""

import csv
import os
import re
from dataclasses import dataclass, field

import numpy as np

from ..common.errors import InputError

CLASSIFIED, REFERENCE = "classified", "reference"
#: words in labels that say of which side a row or column is
_SIDES = {**dict.fromkeys(("classified", "classification", "map", "mapped", "predicted", "prediction", "pred"),
                          CLASSIFIED),
          **dict.fromkeys(("reference", "ref", "truth", "true", "actual", "observed", "observation"), REFERENCE)}
#: words that may stand beside those in a label and say nothing
_FILLERS = ("n", "class", "classes", "ground", "data", "count", "counts", "rank", "label", "labels")
_TOTALS = ("total", "totals", "sum", "all", "row total", "column total")
#: first words of columns and rows of results that others add to a matrix
_RESULTS = ("overall", "precision", "recall", "f1", "user", "users", "producer", "producers", "accuracy", "kappa",
            "commission", "omission", "ua", "pa", "oa")
_CLASS_COLUMNS = ("code", "rank", "value", "id", "class", "map class", "classified", "stratum", "label", "name")
_NAME_COLUMNS = ("name", "class name", "label", "title", "description", "class")
#: columns of sizes, best first, by their first word; the rest of the header is the unit
_SIZE_COLUMNS = ("mapped", "area", "size", "pixels", "cells", "count")
#: counts are exact in double precision below
_MOST = 2 ** 53
_UNITS = {"km2": "km²", "ha": "ha", "hectares": "ha", "m2": "m²", "pixels": "pixels", "pixel": "pixels",
          "cells": "cells", "count": "cells"}


@dataclass
class MatrixTable:
    """A confusion matrix (classes, classes), rows classified, int64; ``classes``: codes or names in its order.

    ``sizes``: {class: mapped size}, in ``unit``, where the table has a column of them, else empty. ``notes`` and
    ``warnings``: what was found and assumed.
    """

    classes: tuple
    matrix: np.ndarray
    sizes: dict = field(default_factory=dict)
    unit: str = ""
    notes: list = field(default_factory=list)
    warnings: list = field(default_factory=list)


def read_matrix(path, names=None):
    """Return the MatrixTable of a CSV with a header and the class of each row in its first column.

    ``names``: {code: name} of the classes there are, from ``read_classes``, or None. A matrix whose labels say that
    its rows are the reference is turned; where they say nothing, rows are taken as classified, with a warning. Raises
    InputError for what is no confusion matrix.
    """
    rows = _rows(path)
    above, header, lines = _parts(rows, path)
    table, name = MatrixTable((), np.zeros((0, 0), dtype=np.int64)), os.path.basename(path)
    columns, size_column, ignored = _columns(header, path)
    lines, totals = _split_lines(lines, columns, ignored, path)
    if ignored:
        table.notes.append(f"Passed over in {name}: {', '.join(ignored)}.")
    row_names, row_side = _without_side([cells[0] for _, cells in lines])
    column_names, column_side = _without_side([header[place] for place in columns.values()])
    turned = _is_turned(header[0], above, row_side, column_side, name, table)
    known = _Names(names)
    row_classes = _classes([known.of(label) for label in row_names], "row", path)
    column_classes = _classes([known.of(label) for label in column_names], "column", path)
    if names:
        known.require([*row_classes, *column_classes], path)
    counts = np.array([[_count(cells[place], header[place], cells[0], line, path) for place in columns.values()]
                       for line, cells in lines], dtype=np.int64)
    _check_totals(counts, lines, header, columns, totals, path)
    if size_column is not None:
        for code, (line, cells) in zip(row_classes, lines):
            table.sizes[code] = _size(cells[size_column], header[size_column], code, line, path)
        table.unit = _unit(header[size_column])
        if turned:
            raise InputError(f"The rows of {path} are the reference, but its column '{header[size_column]}' gives the "
                             f"mapped size of each row. Give the areas in a table of their own (AREAS).")
    table.classes = _common_order(row_classes, column_classes, path, turned, table)
    table.matrix = _filled(counts, row_classes, column_classes, table.classes)
    if turned:
        table.matrix = np.ascontiguousarray(table.matrix.T)
    if not table.matrix.sum():
        raise InputError(f"The confusion matrix {path} holds no case: all its counts are 0.")
    return table


def read_sizes(path, names=None):
    """Return ({class: size}, unit) of a CSV with a class in its first column and its area or number of cells.

    The column is the first of those named mapped…, area…, size, pixels, cells; its name gives the unit, '' where it
    does not. Raises InputError.
    """
    rows = _rows(path)
    header = [_key(cell) for cell in rows[0][1]]
    class_column = next((header.index(name) for name in _CLASS_COLUMNS if name in header), 0)
    found = [place for word in _SIZE_COLUMNS for place, name in enumerate(header)
             if name.split(" ")[:1] == [word] and place != class_column]
    if not found:
        raise InputError(f"The table of areas {path} has no column of areas. Name one area, area_km2, area_ha, "
                         f"mapped_pixels or cells; its columns are {', '.join(rows[0][1])}.")
    known, sizes = _Names(names), {}
    for line, cells in rows[1:]:
        _require_width(cells, rows[0][1], line, path)
        name = cells[class_column]
        if not cells[found[0]] or not name or _key(name) in _TOTALS:
            continue
        name = known.of(name)
        if name in sizes:
            raise InputError(f"{path}, line {line}: the class {name} has a second line. Keep one.")
        sizes[name] = _size(cells[found[0]], rows[0][1][found[0]], name, line, path)
    if not sizes:
        raise InputError(f"The table of areas {path} has no line with an area.")
    return sizes, _unit(rows[0][1][found[0]])


def read_classes(path):
    """Return {code: name} of a CSV of classes, in its order: codes in one column, names in another or the same.

    Raises InputError.
    """
    rows = _rows(path)
    header = [_key(cell) for cell in rows[0][1]]
    code = next((header.index(name) for name in _CLASS_COLUMNS if name in header), None)
    if code is None:
        raise InputError(f"The table of classes {path} has no column of codes. Name it code, class or rank; its "
                         f"columns are {', '.join(rows[0][1])}.")
    name = next((header.index(title) for title in _NAME_COLUMNS if title in header and header.index(title) != code),
                code)
    classes = {}
    for line, cells in rows[1:]:
        _require_width(cells, rows[0][1], line, path)
        key = class_code(cells[code])
        if key in classes:
            raise InputError(f"{path}, line {line}: the class {key} has a second line. Keep one.")
        classes[key] = cells[name] or str(key)
    if not classes:
        raise InputError(f"The table of classes {path} has no line below its header.")
    return classes


def class_code(text):
    """Return a class as a whole number where ``text`` is one, else as the text itself."""
    text = str(text).strip()
    return int(float(text)) if re.fullmatch(r"[+-]?\d{1,9}(\.0*)?", text) else text


class _Names:
    """Finds classes by code or by name, however it is spaced and cased."""

    def __init__(self, names):
        self._names = names or {}
        self._by_key = {**{_key(name): code for code, name in self._names.items()},
                        **{_key(code): code for code in self._names}}
        self._seen = {}

    def of(self, text):
        """Return the class of a label: of the list where it is in it, else as it was first written."""
        key = _key(text)
        return self._by_key[key] if key in self._by_key else self._seen.setdefault(key, class_code(text))

    def require(self, classes, path):
        """Raise InputError where one of ``classes`` is not in the list."""
        unknown = [str(name) for name in dict.fromkeys(classes) if name not in self._names]
        if unknown:
            raise InputError(f"{path} holds the class {', '.join(unknown)}, which CLASSES does not list "
                             f"({', '.join(map(str, self._names))}). Correct one of the two.")


def _rows(path):
    """Return [(line number, cells)] of the lines of a CSV that hold anything."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
        first = text.lstrip().split("\n", 1)[0]
        delimiter = max((",", ";", "\t"), key=first.count)
        reader = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except OSError as error:
        raise InputError(f"The table {path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {path} is not a CSV table in UTF-8: {error}.") from error
    rows = [(line, cells) for line, cells in rows if any(cells)]
    if len(rows) < 2:
        raise InputError(f"The table {path} needs a header and at least one line below it.")
    return rows


def _parts(rows, path):
    """Return (words above the header, header, lines) of a matrix's rows."""
    above = ""
    words = [cell for cell in rows[0][1] if cell]
    if len(words) == 1 and len(rows) > 2 and _sides(words[0]):
        above, rows = words[0], rows[1:]
    header = rows[0][1]
    if len(header) < 2:
        raise InputError(f"The table {path} has a single column; a confusion matrix has the class of each row first "
                         f"and then a column for every class.")
    for line, cells in rows[1:]:
        _require_width(cells, header, line, path)
    return above, header, rows[1:]


def _require_width(cells, header, line, path):
    if len(cells) != len(header):
        raise InputError(f"{path}, line {line}: {len(cells)} values for {len(header)} columns of the header. Every "
                         f"line needs one value a column.")


def _key(text):
    """Return a label in lower case with single spaces for anything but letters and digits."""
    code = class_code(text)
    return str(code) if isinstance(code, int) else " ".join(re.findall(r"[^\W_]+", str(text).lower()))


def _sides(text):
    """Return the sides that a label names, in its order, where it consists of nothing else; else []."""
    words = _key(text).split()
    if not all(word in _SIDES or word in _FILLERS for word in words):
        return []
    return list(dict.fromkeys(_SIDES[word] for word in words if word in _SIDES))


def _columns(header, path):
    """Return ({column title: place} of the matrix, place of the column of sizes or None, [columns passed over])."""
    size, ignored, plain, marked = None, [], {}, {}
    for place, title in enumerate(header[1:], 1):
        words = _key(title).split()
        if words[:1] == ["mapped"] and len(words) > 1 and words[1] in ("area", *_UNITS):
            size = place if size is None else size
            continue
        rest, side = _side_of(words)
        target = marked if rest and side else plain
        if title in target:
            raise InputError(f"The confusion matrix {path} has two columns '{title}'. Keep one.")
        target[title] = place
    if len(marked) > 1:
        # where the classes' columns are marked as such, the others are something else
        ignored = list(plain)
        return marked, size, [title or "(untitled column)" for title in ignored]
    columns = {}
    for title, place in {**plain, **marked}.items():
        if _is_result(title):
            ignored.append(title)
        else:
            columns[title] = place
    return columns, size, ignored


def _split_lines(lines, columns, ignored, path):
    """Return (lines of classes, {'row' or column title: total line}) and drop the columns that are totals."""
    totals = {}
    for total in [title for title in columns if " ".join(_side_of(_key(title).split())[0]) in _TOTALS]:
        totals["column"] = columns.pop(total)
    classes = []
    for line, cells in lines:
        if _key(cells[0]) in _TOTALS:
            totals["row"] = (line, cells)
        elif not any(cells[place] for place in columns.values()) or _is_result(cells[0]):
            ignored.append(f"the line '{cells[0]}'")
        else:
            classes.append((line, cells))
    if not classes or not columns:
        raise InputError(f"{path} holds no confusion matrix: a header with a column for every class, and below it a "
                         f"line for every class with its counts.")
    return classes, totals


def _is_result(title):
    return any(word in _RESULTS for word in _key(title).split()[:1])


def _side_of(words):
    """Return (words without the first ones that name a side, the side named or None)."""
    side, place = None, 0
    while place < len(words) and (words[place] in _SIDES or words[place] in _FILLERS):
        side = _SIDES.get(words[place], side)
        place += 1
    return words[place:], side


def _without_side(titles):
    """Return (titles without the words that name a side, that side) where all titles name the same, else as is."""
    found = [_side_of(_key(title).split()) for title in titles]
    sides = {side for rest, side in found if rest}
    if len(sides) == 1 and None not in sides and all(rest for rest, _ in found):
        return [" ".join(rest) for rest, _ in found], sides.pop()
    if sides == {None} and all(rest and rest != _key(title).split() for (rest, _), title in zip(found, titles)):
        # every label begins with a filler, as in "class 3" or "rank 11"
        return [" ".join(rest) for rest, _ in found], None
    return titles, None


def _is_turned(corner, above, row_side, column_side, name, table):
    """Return whether the rows of a matrix are the reference, from all that its labels say."""
    other = {CLASSIFIED: REFERENCE, REFERENCE: CLASSIFIED}
    said = []
    corner_sides = _sides(corner)
    if len(corner_sides) == 1:
        said.append(corner_sides[0])
    said += [row_side] if row_side else []
    said += [other[column_side]] if column_side else []
    said += [other[side] for side in _sides(above)[:1]]
    if len(set(said)) > 1:
        raise InputError(f"The labels of the confusion matrix {name} contradict each other: some say that its rows "
                         f"are classified, others that they are the reference. Correct them.")
    if not said and len(corner_sides) == 2:
        said = corner_sides[:1]
        table.warnings.append(f"'{corner}' in the first cell of {name} is read as rows {said[0]}, columns "
                              f"{other[said[0]]}. If it is the other way round, precision and recall are exchanged.")
    elif not said:
        said = [CLASSIFIED]
        table.warnings.append(f"The labels of {name} do not say whether its rows are classified or reference; rows "
                              f"are taken as classified and columns as reference. If it is the other way round, "
                              f"precision and recall are exchanged: write 'reference' in the first cell.")
    if said[0] == REFERENCE:
        table.notes.append(f"The labels of {name} say that its rows are the reference, so the matrix was turned: rows "
                           f"are classified and columns reference in all results.")
        return True
    return False


def _classes(found, what, path):
    twice = [str(name) for name in dict.fromkeys(found) if found.count(name) > 1]
    if twice:
        raise InputError(f"The confusion matrix {path} has more than one {what} for the class {', '.join(twice)}. "
                         f"Add them together.")
    return found


def _count(text, column, row, line, path):
    place = f"{path}, line {line}: the count in row '{row}', column '{column}' is"
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{place} '{text}', not a number. Write 0 where there is no case.") from None
    if not 0 <= value < _MOST:
        raise InputError(f"{place} {text}; a count is 0 or more, and finite.")
    if value != int(value):
        raise InputError(f"{place} {text}, not a whole number. Give the counts of cases, not shares or areas.")
    return int(value)


def _check_totals(counts, lines, header, columns, totals, path):
    if "column" in totals:
        for (line, cells), found in zip(lines, counts.sum(axis=1)):
            _require_total(cells[totals["column"]], found, f"row '{cells[0]}'", line, path)
    if "row" in totals:
        line, cells = totals["row"]
        for place, found in zip(columns.values(), counts.sum(axis=0)):
            _require_total(cells[place], found, f"column '{header[place]}'", line, path)


def _require_total(text, found, what, line, path):
    if text and _count(text, "total", what, line, path) != found:
        raise InputError(f"{path}, line {line}: the total of {what} is given as {text}, but its counts add up to "
                         f"{found}. One of them is wrong.")


def _size(text, column, name, line, path):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{path}, line {line}: '{column}' of the class {name} is '{text}', not a number of at least "
                         f"0.")
    return value


def _unit(title):
    return next((_UNITS[word] for word in reversed(_key(title).replace("²", "2").split()) if word in _UNITS), "")


def _common_order(rows, columns, path, turned, table):
    shared = [name for name in rows if name in columns]
    if not shared:
        raise InputError(f"The rows of {path} ({', '.join(map(str, rows[:8]))}) and its columns "
                         f"({', '.join(map(str, columns[:8]))}) have no class in common. A confusion matrix has the "
                         f"same classes on both sides, named in its first column and its header.")
    only = [name for name in rows if name not in columns], [name for name in columns if name not in rows]
    for missing, here, there in ((only[0], "row", "column"), (only[1], "column", "row")):
        if missing:
            side = CLASSIFIED if (here == "row") == turned else REFERENCE
            table.warnings.append(f"{os.path.basename(path)} has a {here} but no {there} for the class "
                                  f"{', '.join(map(str, missing))}; it is taken as never occurring as {side} (zeros).")
    together = [*rows, *only[1]]
    return tuple(sorted(together)) if all(isinstance(name, int) for name in together) else tuple(together)


def _filled(counts, rows, columns, classes):
    place = {name: i for i, name in enumerate(classes)}
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    matrix[np.ix_([place[name] for name in rows], [place[name] for name in columns])] = counts
    return matrix
