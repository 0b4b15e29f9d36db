"""The presets of products: what a data centre's files are called, what they hold, and what is odd about them.

Presets are rows of a table, resources/tables/products.csv; a user's own table of the same columns goes before it.
Which preset a file has is found out in recognition.py, how it is opened in opening.py. Method, section 1.
"""

import csv
import io
import math
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from ..common.errors import InputError
from ..common.resources import resource
from .containers import parse_extent
from .raster import CLASS, NUMBER
from .units import Quantity, unit_named

#: words of PRODUCT that name no preset
RECOGNISE, NONE = "recognise", "none"
AUTO = "auto"
#: in a recode: all codes that are not named
OTHER = "other"
#: how cells are brought to another grid, by GDAL's names
RESAMPLINGS = (AUTO, "near", "mode", "bilinear", "cubic", "average", "min", "max", "med")

COLUMNS = ("product", "title", "input", "roles", "kind", "files", "near", "siblings", "signs", "variables", "unit",
           "conversions", "low", "high", "least_high", "stored_unit", "scale", "offset", "flags", "keep", "codes",
           "crs", "crs_wrong", "extent", "cell", "shape", "period", "down", "up", "absent", "recode", "note",
           "assumed", "url", "doi", "licence", "login", "size")


@dataclass(frozen=True)
class Product:
    """One preset.

    ``files``, ``variables``: patterns of file names (their endings do not count) and of variables inside; ``near``:
    patterns of names that come close, which are those of ``siblings``, a sentence, or misspelt; ``signs``: structures
    that only this product has, each ((key, pattern), …), all of which hold; ``kind`` NUMBER or CLASS; ``quantity``: the
    Quantity with unit, plausible range and other units; ``stored_unit``, ``scale``, ``offset``: for files that state
    none; ``flags``: stored codes that are nodata; ``keep``: range outside which all is nodata; ``codes``: all classes
    there are; ``crs``: for files that state none, or a wrong one (``crs_wrong``); ``extent``: for files without
    georeference, in ``crs``, which have ``shape`` (columns, rows) cells of size ``cell``; ``period``: layers per year;
    ``down``, ``up``: resampling to larger and to smaller cells; ``absent``: value that nodata inside the file stands
    for, or None; ``recode``: pairs of code (or OTHER) and value; ``own``: of a user's table; ``made``: a layer of this
    product that the plugin itself has written, in the unit of the method; ``roles``: of the layers of the method that
    it is, or whose mean it is.
    """

    name: str
    title: str
    input: str
    kind: str
    files: tuple
    variables: tuple
    quantity: Quantity
    stored_unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    flags: tuple = ()
    keep: tuple = ()
    codes: tuple = ()
    crs: str = ""
    crs_wrong: bool = False
    extent: tuple = ()
    period: int = 0
    down: str = AUTO
    up: str = AUTO
    absent: float = None
    recode: tuple = ()
    note: str = ""
    near: tuple = ()
    siblings: str = ""
    signs: tuple = ()
    cell: float = 0.0
    shape: tuple = ()
    source: "Origin" = None
    roles: tuple = ()
    own: bool = False
    made: bool = False


@dataclass(frozen=True)
class Origin:
    """Where a product comes from: ``url``, ``doi`` of the data or else of the article that describes them (several
    versions: several), ``licence``, ``login`` "yes" or "no", ``size`` of a download, and what is ``assumed`` of its
    files because no public source confirms it. An empty text is not known."""

    url: str = ""
    doi: tuple = ()
    licence: str = ""
    login: str = ""
    size: str = ""
    assumed: str = ""


def read_products(path=None):
    """Return {name: Product} of the plugin's table, those of the table ``path`` first and instead of equal names.

    Raises InputError with the line number of anything wrong.
    """
    own = {name: replace(product, own=True) for name, product in _read_table(path).items()} if path else {}
    return {**own, **{name: product for name, product in _own_table().items() if name not in own}}


@lru_cache(maxsize=1)
def _own_table():
    # every tool is made anew for each run and each dialog, and lists the presets
    return _read_table(resource("tables", "products.csv"))


def _read_table(path):
    name, found = os.path.basename(str(path)), {}
    reader = csv.DictReader(io.StringIO(_text_of(path), newline=""), strict=True)
    try:
        _check_columns(reader.fieldnames or (), name)
        for row in reader:
            product = _Row(row, f"{name}, line {reader.line_num}").product()
            if product.name in found:
                raise InputError(f"{name}, line {reader.line_num}: the product {product.name} stands in the table "
                                 f"twice.")
            found[product.name] = product
    except csv.Error as error:
        # the count is of the lines before
        raise InputError(f"{name}, line {reader.line_num + 1}: this is no line of a CSV table ({error}). Check its "
                         f"quotation marks.") from error
    return found


def _text_of(path):
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise InputError(f"The table of products {path} cannot be read: {error.strerror or error}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{os.path.basename(str(path))}, line {line}: the table of products is not in UTF-8. Save it "
                         f"as CSV with that encoding.") from error


def _check_columns(columns, name):
    for problem, found in (("lacks the column", [wanted for wanted in ("product", "files", "kind")
                                                 if wanted not in columns]),
                           ("has the unknown column", [column for column in columns if column not in COLUMNS]),
                           ("has twice the column", [column for column in columns if columns.count(column) > 1])):
        if found:
            raise InputError(f"{name}, line 1: the table of products {problem} '{found[0]}'. Its columns are "
                             f"{', '.join(COLUMNS)}.")


class _Row:
    """One line of the table, with errors that name the line and the column."""

    def __init__(self, row, place):
        self._row, self._place = row, place

    def product(self):
        """Return the Product of the line."""
        if None in self._row:
            raise InputError(f"{self._place}: there are more values than columns. Put a value with a comma in it in "
                             f"quotation marks.")
        name = self._text("product")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in (RECOGNISE, NONE):
            raise self._wrong("product", "a name of small letters, digits and _")
        kind = self._choice("kind", (NUMBER, CLASS))
        files = self._list("files")
        if not files:
            raise self._wrong("files", "at least one file name, with * for what differs")
        low, high = self._number("low", -1e30), self._number("high", 1e30)
        if low >= high:
            raise self._wrong("high", "a number above low")
        title = self._text("title") or name
        quantity = Quantity(title, self._text("unit"), low, high, self._conversions(),
                            self._number("least_high", -1e30))
        return Product(
            name, title, self._text("input"), kind, files, self._list("variables"), quantity,
            self._stored_unit(quantity), self._number("scale", 1.0), self._number("offset", 0.0),
            self._numbers("flags"), self._range("keep"), self._numbers("codes"), self._text("crs"),
            self._choice("crs_wrong", ("yes", "no"), "no") == "yes", self._extent(),
            self._whole("period"), self._choice("down", RESAMPLINGS, AUTO),
            self._choice("up", RESAMPLINGS, AUTO), self._number("absent", None), self._recode(kind),
            self._text("note"), self._list("near"), self._text("siblings"), self._signs(), self._cell(), self._shape(),
            self._origin(), self._list("roles"))

    def _text(self, column):
        return (self._row.get(column) or "").strip()

    def _list(self, column):
        return tuple(part.strip() for part in self._text(column).split(";") if part.strip())

    def _wrong(self, column, wanted):
        return InputError(f"{self._place}: {column} is '{self._text(column)}'; it must be {wanted}.")

    def _choice(self, column, choices, default=None):
        text = self._text(column) or default
        if text not in choices:
            raise self._wrong(column, f"one of {', '.join(choices)}")
        return text

    def _number(self, column, default):
        text = self._text(column)
        try:
            return self._finite(text) if text else default
        except ValueError:
            raise self._wrong(column, "a number") from None

    @staticmethod
    def _finite(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number

    def _whole(self, column):
        number = self._number(column, 0)
        if number < 0 or number != int(number):
            raise self._wrong(column, "a whole number")
        return int(number)

    def _numbers(self, column):
        try:
            return tuple(self._finite(part) for part in self._list(column))
        except ValueError:
            raise self._wrong(column, "codes with semicolons between") from None

    def _range(self, column):
        text = self._text(column)
        if not text:
            return ()
        try:
            low, high = (self._finite(part) for part in text.split(".."))
        except ValueError:
            low, high = 1.0, 0.0
        if low >= high:
            raise self._wrong(column, "two numbers, the lower first, such as 0..100")
        return low, high

    def _extent(self):
        try:
            return parse_extent(self._text("extent"))
        except InputError:
            raise self._wrong("extent", "four numbers, xmin,xmax,ymin,ymax") from None

    def _cell(self):
        cell = self._number("cell", 0.0)
        if cell < 0 or cell and not self._text("extent"):
            raise self._wrong("cell", "a positive number, with extent beside it")
        return cell

    def _shape(self):
        """The columns and rows, which with ``cell`` make the extent."""
        text = self._text("shape")
        if not text:
            return ()
        found = re.fullmatch(r"(\d+)\s*x\s*(\d+)", text)
        shape = (int(found[1]), int(found[2])) if found else (0, 0)
        cell, extent = self._cell(), self._extent()
        if not all(shape) or not cell or any(
                abs((high - low) / cell - cells) > 0.01 for low, high, cells in zip(extent[::2], extent[1::2], shape)):
            raise self._wrong("shape", "columns x rows, as 7200x3600, which times cell make the extent")
        return shape

    def _signs(self):
        """Alternatives by semicolons, each of them conditions key=pattern by &."""
        alternatives = []
        for part in self._list("signs"):
            pairs = tuple(tuple(side.strip() for side in condition.partition("=")[::2])
                          for condition in part.split("&"))
            if not all(key and pattern for key, pattern in pairs):
                raise self._wrong("signs", "conditions such as variable=PFR & crs=geographic, with semicolons between "
                                  "alternatives")
            alternatives.append(pairs)
        return tuple(alternatives)

    def _origin(self):
        url, dois = self._text("url"), self._list("doi")
        if url and not re.fullmatch(r"https?://\S+", url):
            raise self._wrong("url", "an address that begins with https://")
        if not all(re.fullmatch(r"10\.\d{4,9}/\S+", doi) for doi in dois):
            raise self._wrong("doi", "a DOI such as 10.5067/MODIS/MOD10CM.061, several with semicolons between")
        login = self._choice("login", ("yes", "no"), "no") if self._text("login") else ""
        return Origin(url, dois, self._text("licence"), login, self._text("size"), self._text("assumed"))

    def _conversions(self):
        found = {}
        for part in self._list("conversions"):
            try:
                unit, scale, offset = part.rsplit(maxsplit=2)
                found[unit_named(unit)] = (self._finite(scale), self._finite(offset))
            except ValueError:
                raise self._wrong("conversions", "unit, factor and offset, such as 'K 1 -273.15', with semicolons "
                                  "between") from None
        return found

    def _stored_unit(self, quantity):
        unit = self._text("stored_unit")
        if unit and quantity.conversion(unit) is None:
            raise self._wrong("stored_unit", "the unit or one of the conversions")
        return unit

    def _recode(self, kind):
        text = self._text("recode")
        if text and kind != CLASS:
            raise self._wrong("recode", "empty for numbers")
        try:
            return parse_recode(text)
        except InputError as error:
            raise InputError(f"{self._place}: recode: {error}") from None


def parse_recode(text):
    """Return ((code or OTHER, value), …) of a text such as ``1=100; 2=50; other=0``; raises InputError."""
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        code, separator, value = (side.strip() for side in part.partition("="))
        try:
            pair = OTHER if code == OTHER else int(code), int(value)
        except ValueError:
            raise InputError(f"'{part}' is no pair of codes such as 2=50. Write 1=100; 2=50; other=0.") from None
        if not separator or pair[0] in [known for known, _ in pairs]:
            raise InputError(f"The code {code} is given twice in '{text}'.")
        pairs.append(pair)
    return tuple(pairs)
