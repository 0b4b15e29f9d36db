"""The presets of products: what a data centre's files are called, what they hold, and what is odd about them.

Presets are rows of a table, resources/tables/products.csv; a user's own table of the same columns goes before it.
Method, section 1.
"""

import csv
import io
import math
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache

from osgeo import osr

from ..common.errors import InputError
from ..common.resources import resource
from .containers import georeferenced, only_variable, parse_extent, variable_of, variables
from .gdal_errors import call, codes_as_stated, open_raster
from .grid import spatial_reference
from .raster import CLASS, NUMBER, read_info
from .units import Quantity

#: words of PRODUCT that name no preset
RECOGNISE, NONE = "recognise", "none"
AUTO = "auto"
#: in a recode: all codes that are not named
OTHER = "other"
#: how cells are brought to another grid, by GDAL's names
RESAMPLINGS = (AUTO, "near", "mode", "bilinear", "cubic", "average", "min", "max", "med")

COLUMNS = ("product", "title", "input", "kind", "files", "variables", "unit", "conversions", "low", "high",
           "least_high", "stored_unit", "scale", "offset", "flags", "keep", "codes", "crs", "crs_wrong", "extent",
           "period", "down", "up", "absent", "recode", "note")


@dataclass(frozen=True)
class Product:
    """One preset.

    ``files``, ``variables``: patterns of file names and of variables inside; ``kind`` NUMBER or CLASS; ``quantity``:
    the Quantity with unit, plausible range and other units; ``stored_unit``, ``scale``, ``offset``: for files that
    state none; ``flags``: stored codes that are nodata; ``keep``: range outside which all is nodata; ``codes``: all
    classes there are; ``crs``: for files that state none, or a wrong one (``crs_wrong``); ``extent``: for files without
    georeference, in ``crs``; ``period``: layers a year; ``down``, ``up``: resampling to larger and to smaller cells;
    ``absent``: value that nodata inside the file stands for, or None; ``recode``: pairs of code (or OTHER) and value.
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


def read_products(path=None):
    """Return {name: Product} of the plugin's table, those of the table ``path`` first and instead of equal names.

    Raises InputError with the line number of anything wrong.
    """
    own = _read_table(path) if path else {}
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
            self._text("note"))

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

    def _conversions(self):
        found = {}
        for part in self._list("conversions"):
            try:
                unit, scale, offset = part.split()
                found[unit] = (self._finite(scale), self._finite(offset))
            except ValueError:
                raise self._wrong("conversions", "unit, factor and offset, such as 'K 1 -273.15', with semicolons "
                                  "between") from None
        return found

    def _stored_unit(self, quantity):
        unit = self._text("stored_unit")
        if unit and unit not in (quantity.unit, *quantity.conversions):
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


def matches(product, file_name, names=()):
    """True where a file name is one of the product's, and one of its variables is among ``names`` if it has any."""
    named = any(fnmatch(file_name.lower(), pattern.lower()) for pattern in product.files)
    return named and (not product.variables or not names or any(
        fnmatch(name.lower(), pattern.lower()) for pattern in product.variables for name in names))


def recognise(products, file_name, names=()):
    """Return the first of ``products`` whose file names and variables fit, or None."""
    return next((product for product in products.values() if matches(product, file_name, names)), None)


def choose(products, wanted, file_name, names=()):
    """Return the Product called ``wanted``, or the one recognised, or None; raises InputError.

    A file that plainly is another product's is refused.
    """
    own = recognise(products, file_name, names)
    if wanted == RECOGNISE:
        return own
    if wanted == NONE:
        return None
    if wanted not in products:
        raise InputError(f"There is no product '{wanted}'. The products are {', '.join(products)}.")
    product = products[wanted]
    if own is not None and not matches(product, file_name, names):
        raise InputError(f"{file_name} is named like {own.title} ({own.name}), not like {product.title}. Set PRODUCT "
                         f"to {own.name}, to none, or give the right file.")
    if names and product.variables and not any(
            fnmatch(name.lower(), pattern.lower()) for pattern in product.variables for name in names):
        raise InputError(f"{file_name} is not {product.title}: it has no variable {' or '.join(product.variables)}, "
                         f"but {', '.join(sorted(names))}.")
    return product


def file_of(path):
    """Return the file inside a subdataset string, or the path itself."""
    return next((part for part in str(path).split('"') if os.path.isfile(part)), str(path))


def name_and_variables(path):
    """Return what a product is recognised by: the name of the file and those of its variables."""
    names = list(variables(path)) if os.path.exists(path) else []
    own = only_variable(path) if os.path.exists(path) and not names else ""
    return os.path.basename(file_of(path)), names or ([own] if own else [])


def opened(path, product=None, progress=None, variable="", wkt="", extent=()):
    """Return the RasterInfo of a file with the CRS and extent it should have.

    ``wkt`` and ``extent`` (west, east, south, north) go before those of ``product``, whose CRS counts where the file
    states none or the product's files are known to state a wrong one, and whose extent counts where the file has none.
    ``progress`` None keeps it silent. Raises InputError and GridError.
    """
    inner = variable_of(path, variable, product.variables if product else ()) if os.path.exists(path) else path
    dataset = open_raster(inner)
    stated, located = dataset.GetProjection(), dataset.GetGeoTransform(can_return_null=True) is not None
    del dataset
    if progress and wkt and stated and not _same(stated, wkt):
        progress.warn(f"{os.path.basename(file_of(path))} states another CRS than CRS; CRS is used.")
    if product:
        preset = _wkt(product.crs) if product.crs else ""
        if not wkt and preset and (not stated or product.crs_wrong and _of_one_kind(stated, preset)):
            wkt = preset
            if progress and not _same(stated, preset):
                progress.info(f"{os.path.basename(file_of(path))} states {'another' if stated else 'no'} CRS; that of "
                              f"the product is used, {product.crs}.")
        if not extent and product.extent and not located:
            extent = product.extent
    if wkt and stated and _same(stated, wkt):
        wkt = ""
    return read_info(georeferenced(inner, wkt, extent))


def _wkt(text):
    reference = osr.SpatialReference()
    with codes_as_stated():
        failure = call(reference.SetFromUserInput, text) != (0, "")
    if failure:
        raise InputError(f"'{text}' is no CRS. Write an EPSG code or a PROJ text in the table of products.")
    return reference.ExportToWkt()


def _same(stated, wkt):
    return bool(stated) and bool(spatial_reference(stated).IsSame(spatial_reference(wkt)))


def _of_one_kind(stated, wkt):
    # coordinates in metres are not put right by stating degrees: then the file has been projected since
    return spatial_reference(stated).IsGeographic() == spatial_reference(wkt).IsGeographic()
