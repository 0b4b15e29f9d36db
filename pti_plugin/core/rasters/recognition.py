"""Which product a file is: by its record, its name, then its structure; the one place where that is decided.

A name counts without its ending, so that a file keeps its meaning when it is converted or packed. What the name does
not tell, the structure may: variables, attributes, kind of CRS, or the files inside a virtual raster. A name that comes
near one of a product, or that of a sibling, is said and never taken for it. Method, section 1.
"""

import os
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from osgeo import gdal

from ..common.errors import InputError
from .containers import (
    file_of,
    inner_paths,
    only_variable,
    opened_container,
    variable_named,
    variable_of,
    variables,
)
from .gdal_texts import items_of, virtual_text
from .grid import spatial_reference
from .products import NONE, RECOGNISE

#: item of a file that the plugin wrote: the preset its values come from
PRODUCT_TAG = "PTI_PRODUCT"
#: endings of rasters, containers and archives, which say nothing of the product
ENDINGS = frozenset("""tif tiff gtiff vrt nc nc4 cdf hdf h4 hdf4 h5 he5 hdf5 img bil bip bsq byte bin raw dat asc flt
    grd grb grb2 grib grib2 jp2 png zip gz tgz tar *""".split())
#: how a product was found
BY_RECORD, BY_NAME, BY_STRUCTURE, STATED = "record", "name", "structure", "stated"
#: what changes the values on their way through a virtual raster
_CHANGES = re.compile(r"<(?:ScaleRatio|ScaleOffset|LUT|Exponent|PixelFunctionType)\b|subClass=")


@dataclass(frozen=True)
class Recognition:
    """What a file was found to be: ``name`` of the file, its ``product`` or None, ``how`` it was found (BY_RECORD,
    BY_NAME, BY_STRUCTURE, STATED or ""), and ``near``: products whose names it comes near."""

    name: str
    product: object = None
    how: str = ""
    near: tuple = ()

    def tell(self, progress):
        """Say in the log what the file is read as, and warn of a name that comes near a product's."""
        if self.product is None:
            if self.near:
                progress.warn(f"{self.near_text()} No preset of a product is used.")
            else:
                progress.info(f"{self.name}: no preset of a product is used.")
            return
        found = {BY_RECORD: ", as its record says", BY_STRUCTURE: ", by what it holds, as its name does not tell"}
        note = f" ({self.product.note})" if self.product.note and not self.product.made else ""
        progress.info(f"{self.name}: read as {self.product.title}, preset {self.product.name}"
                      f"{found.get(self.how, '')}{note}.")

    def near_text(self):
        """Return the sentences about names that come near."""
        if not self.near:
            return ""
        titles = ", ".join(f"{product.title} ({product.name})" for product in self.near[:3])
        siblings = "; ".join(dict.fromkeys(product.siblings for product in self.near if product.siblings))
        return (f"The name {self.name} comes near that of {titles}, but does not fit. "
                + (f"{siblings[0].upper()}{siblings[1:]}. " if siblings else "")).strip()

    def require(self, role, expected, products):
        """Return the product; raise InputError where there is none and the ``role`` needs one of ``expected``, names
        of presets, to know what the values mean."""
        if self.product is not None or self.how == STATED:
            return self.product
        choices = [name for name in expected if name in products]
        unit = next((products[name].quantity.unit for name in choices), "")
        raise InputError(
            f"{self.name} is given as {role}, but it is not known what its values mean: neither its name nor its "
            f"structure is that of a product. {self.near_text()}{' ' if self.near else ''}Set PRODUCT to "
            f"{' or '.join(choices) or 'its preset'}, or to none if the values are "
            f"{'in ' + unit if unit else 'as the role needs them'} already.")


def stem_of(name):
    """Return a file's name in small letters without the endings of its format and of archives."""
    name = name.lower()
    while "." in name:
        stem, _, ending = name.rpartition(".")
        if ending not in ENDINGS or not stem:
            break
        name = stem
    return name


def named(product, file_name):
    """True where a file's name is one of the product's, whatever its ending."""
    return _fits(stem_of(file_name), product.files)


def _fits(stem, patterns):
    return any(fnmatchcase(stem, stem_of(pattern)) for pattern in patterns)


def _has_variable(product, names):
    return not product.variables or not names or any(
        fnmatchcase(name.lower(), pattern.lower()) for pattern in product.variables for name in names)


def matches(product, file_name, names=()):
    """True where a file name is one of the product's, and one of its variables is among ``names`` if it has any."""
    return named(product, file_name) and _has_variable(product, names)


def recognise(products, file_name, names=()):
    """Return the first of ``products`` whose file names and variables fit, or None."""
    return next((product for product in products.values() if matches(product, file_name, names)), None)


def near_to(products, file_name):
    """Return the products whose names a file comes near without being theirs."""
    stem = stem_of(file_name)
    return tuple(product for product in products.values()
                 if _fits(stem, product.near) and not _fits(stem, product.files))


def choose(products, wanted, file_name, names=()):
    """Return the Product called ``wanted``, or the one recognised by name, or None; raises InputError.

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
    if not _has_variable(product, names):
        raise InputError(f"{file_name} is not {product.title}: it has no variable {' or '.join(product.variables)}, "
                         f"but {', '.join(sorted(names))}.")
    return product


def identify(path, products, wanted=RECOGNISE, variable=""):
    """Return the Recognition of a raster file: the product ``wanted``, or with RECOGNISE the one it is found to be.

    ``path``: a file, a variable of one, or a virtual raster written out; ``variable``: the one chosen in it. Raises
    InputError for an unknown product, for a file that plainly is another one, for structures of several products, and
    where it cannot be opened.
    """
    name, names = name_and_variables(path, products)
    names = [variable] if variable else names
    tags = _attributes(path)
    recorded = tags.get(PRODUCT_TAG.lower())
    if wanted == recorded and recorded in products:
        return Recognition(name, as_made(products[recorded]), BY_RECORD)
    if wanted != RECOGNISE:
        return Recognition(name, choose(products, wanted, name, names), STATED)
    if recorded in products:
        return Recognition(name, as_made(products[recorded]), BY_RECORD)
    product = recognise(products, name, names)
    if product is not None:
        return Recognition(name, product, BY_NAME)
    found = _by_structure(path, products, names, tags)
    if len(found) > 1:
        raise InputError(f"{name} may be {' or '.join(f'{product.title} ({product.name})' for product in found)}: its "
                         f"structure fits each. Set PRODUCT to the right one, or to none.")
    if found:
        return Recognition(name, found[0], BY_STRUCTURE)
    return Recognition(name, None, "", _without_variable(products, name, names) or near_to(products, name))


def _without_variable(products, name, names):
    """The products that a file is named like while it lacks their variables."""
    return tuple(product for product in products.values()
                 if named(product, name) and not _has_variable(product, names))


def as_made(product):
    """Return the preset for a layer that the plugin has written of a product: in its unit, nothing left to put right.

    Classes are what the recode made of them.
    """
    codes = tuple(dict.fromkeys(value for _, value in product.recode)) or product.codes
    high = max(product.quantity.high, *codes) if codes else product.quantity.high
    return replace(product, quantity=replace(product.quantity, high=high), stored_unit="", scale=1.0, offset=0.0,
                   flags=(), keep=(), codes=codes, crs="", crs_wrong=False, extent=(), cell=0.0, shape=(), absent=None,
                   recode=(), made=True)


def name_and_variables(path, products=None):
    """Return what a product is recognised by: the name of the file and those of its variables, of a variable its own.

    Raises InputError where the file cannot be opened; with ``products`` it says what is known of such a name.
    """
    path = inner_paths(str(path))[0]
    name = os.path.basename(file_of(path))
    try:
        if file_of(path) != path:
            return name, [variable_named(path)]
        names = list(variables(path))
        own = only_variable(path) if not names else ""
    except InputError as error:
        siblings = dict.fromkeys(product.siblings for product in near_to(products or {}, name) if product.siblings)
        if not siblings:
            raise
        raise InputError(f"{error} What is known of such names: {'; '.join(siblings)}.") from error
    return name, names or ([own] if own else [])


def _attributes(path):
    """Return {attribute in small letters: value} of a raster and its first band."""
    dataset = opened_container(path)
    found = {}
    band = dataset.GetRasterBand(1) if dataset.RasterCount else None
    for tags in (items_of(dataset), items_of(band) if band else {}):
        found.update({key.lower().replace("nc_global#", ""): value for key, value in tags.items()})
    return found


def _by_structure(path, products, names, tags):
    """Return the products one of whose signs the file shows, or that all files of a virtual raster are named like."""
    facts = _Facts(path, names, tags)
    signed = [product for product in products.values()
              if any(all(facts.show(*pair) for pair in sign) for sign in product.signs)]
    return signed or _inside_virtual(path, products)


def _inside_virtual(path, products):
    dataset = opened_container(path)
    if dataset.GetDriver().ShortName != "VRT":
        return []
    text = virtual_text(dataset)
    if _CHANGES.search(text):
        return []
    inner = [recognise(products, os.path.basename(file_of(place))) for place in inner_paths(text) if place != text]
    return [] if None in inner else list({product.name: product for product in inner}.values())


class _Facts:
    """What signs speak of, found out only where one asks."""

    def __init__(self, path, names, tags):
        self._path, self._names, self._tags = path, names, tags
        self._inner, self._found = None, {}

    def show(self, key, pattern):
        """True where the file has ``key`` and its value fits."""
        return any(fnmatchcase(value.lower(), pattern.lower()) for value in self._values(key, pattern))

    def _values(self, key, pattern):
        if key == "variable":
            if self._inner is None and pattern in self._names:
                self._inner = pattern
            return self._names
        if key in ("crs", "dtype", "size", "driver"):
            # several products ask for the same, and a CRS takes GDAL longest to tell
            place = self._inner, key
            if place not in self._found:
                self._found[place] = self._of_raster(key)
            return [self._found[place]]
        return [self._tags[key.lower()]] if key.lower() in self._tags else []

    def _of_raster(self, key):
        """A fact of the raster, or of the variable asked for before."""
        place = variable_of(self._path, self._inner) if self._inner else self._path
        dataset = opened_container(place)
        if key == "size":
            return f"{dataset.RasterXSize}x{dataset.RasterYSize}"
        if key == "driver":
            return dataset.GetDriver().ShortName
        if key == "dtype":
            band = dataset.GetRasterBand(1) if dataset.RasterCount else None
            return gdal.GetDataTypeName(band.DataType) if band else ""
        wkt = dataset.GetProjection()
        if not wkt:
            return ""
        return "geographic" if spatial_reference(wkt).IsGeographic() else "projected"
