"""Files of products as Sources: what a preset, the file itself and the user say of the values, put together once.

Every tool that takes rasters of products opens them here: the product is recognised, the variable chosen, CRS and
extent put right, flags left out, scale applied where the file states none, and the unit brought to that of the product,
whose plausible range guards every value. Method, section 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ..common.errors import InputError
from .containers import file_of, inner_paths
from .folders import family_of, version_of
from .opening import opened
from .products import RECOGNISE, Product, read_products
from .raster import CLASS, NUMBER, RasterInfo, Source, SourceReader, display_name, source
from .recognition import BY_NAME, BY_RECORD, PRODUCT_TAG, Recognition, identify, recognise
from .units import Quantity, check_patterns, in_unit, is_no_unit, matching, parse_assignments, unit_of

#: layers tried in turn to find one with values, to tell the unit by
LAYERS_TRIED = 12


@dataclass(frozen=True)
class Reading:
    """What a user states of files beside their paths.

    ``product``: name of a preset, RECOGNISE or NONE, or pairs file name=preset; ``products``: table of the user's own
    presets; ``variable``: of netCDF and HDF files; ``wkt``, ``extent``: instead of the file's CRS and extent;
    ``units``: name=unit pairs; ``valid`` (low, high): other values are nodata; ``flags``: stored codes that are nodata;
    ``absent``: what nodata stands for, as text, ``nodata`` for nothing, '' as the preset says.
    """

    product: str = RECOGNISE
    products: str = ""
    variable: str = ""
    wkt: str = ""
    extent: tuple = ()
    units: str = ""
    valid: tuple = ()
    flags: tuple = ()
    absent: str = ""

    @classmethod
    def of(cls, options, **others) -> Reading:
        """Return what the options of a tool say, by the names of their fields; ``others`` go before."""
        named = {field.name: getattr(options, field.name) for field in fields(cls) if hasattr(options, field.name)}
        return cls(**{**named, **others})


@dataclass(frozen=True)
class Files:
    """Files of one product, opened: what they were ``found`` to be, and one RasterInfo a path in ``infos``."""

    found: Recognition
    infos: tuple

    @property
    def product(self) -> Product | None:
        """The product, or None."""
        return self.found.product

    @property
    def record(self) -> dict:
        """Items that a file made of these carries, so that it is known what its values are."""
        return {PRODUCT_TAG: self.product.name} if self.product else {}

    @property
    def by_path(self) -> dict:
        """{path of a RasterInfo: RasterInfo}"""
        return {info.path: info for info in self.infos}


def open_files(paths: Sequence[str], reading: Reading, progress, role: str = "") -> Files:
    """Open the files of one product, a series or a single one, and say what they are read as.

    ``role``: that of predictors and ensembles for which the product must be right, else ''. Raises InputError for
    files of different products, a product that is not the role's, and as identify and opened do; GridError.
    """
    products = read_products(reading.products or None)
    found = identify(paths[0], products, _wanted(reading, paths[0]), reading.variable)
    product = found.product
    if found.near and any(map(_codes_values, found.near)):
        _refuse_near(found, opened(paths[0], None, None, reading.variable, reading.wkt, reading.extent))
    found.tell(progress)
    if role:
        refuse_other_role(found.name, product, role, products)
    infos, versions = [], {}
    for path in paths:
        progress.check()
        if infos and reading.product == RECOGNISE and found.how != BY_RECORD:
            _refuse_other_product(found, path, products)
        if reading.product == RECOGNISE and found.how == BY_NAME:
            _refuse_other_version(product, path, versions)
        infos.append(opened(path, product, None if infos else progress, reading.variable, reading.wkt, reading.extent))
    if reading.product == RECOGNISE:
        _refuse_mixed_records(infos)
    return Files(found, tuple(infos))


def _wanted(reading, path):
    """Return what PRODUCT says of a file: it may hold pairs of file name and preset."""
    if "=" not in reading.product:
        return reading.product
    name = os.path.basename(file_of(inner_paths(str(path))[0]))
    return matching(parse_assignments(reading.product, "PRODUCT"), name) or RECOGNISE


def _codes_values(product):
    """True where the numbers in a product's files are not its values, or some of them stand for none."""
    return product.kind == NUMBER and ((product.scale, product.offset) != (1.0, 0.0) or bool(product.flags)) or bool(
        product.keep)


def _refuse_near(found, info):
    """Raise InputError for whole numbers without a scale under a name that comes near one of a product which codes its
    values: what is averaged would be codes."""
    encoding = info.encodings[0]
    if encoding.floating or not encoding.plain:
        return
    names = [product.name for product in found.near if _codes_values(product)]
    raise InputError(f"{found.near_text()} It holds whole numbers without a scale, which may be scaled, or codes of "
                     f"cells without a value. Set PRODUCT to {' or '.join(names)} if it is that, or to none if the "
                     f"numbers are to be taken as they are.")


def _refuse_other_product(first, path, products):
    """Raise InputError where a file's name is that of another product than the first file's."""
    name = os.path.basename(file_of(inner_paths(str(path))[0]))
    other = recognise(products, name)
    if first.how == BY_NAME and (other is None or other.name != first.product.name) or first.product is None and other:
        one, two = (f"{place} is {'' if it else 'not '}named like {it.title if it else 'a product'}"
                    for place, it in ((first.name, first.product), (name, other)))
        raise InputError(f"The layers are not of one product: {one}, but {two}. Leave the others out, or set PRODUCT.")


def _refuse_other_version(product, path, known):
    """Raise InputError where a file's name states another version than those before it; ``known``: {family: (version,
    name)} of these. A series of two versions has a step where one follows the other."""
    name = os.path.basename(file_of(inner_paths(str(path))[0]))
    version = version_of(name)
    other, first = known.setdefault(family_of(name, product), (version, name))
    if version != other:
        raise InputError(f"The layers are of two versions of {product.title}: {first} and {name}. They are not to be "
                         f"mixed; leave those of one version out, or set PRODUCT.")


def _refuse_mixed_records(infos):
    records = {info.metadata.get(PRODUCT_TAG, ""): info.name for info in infos}
    if len(records) > 1:
        listed = "; ".join(f"{name}: {record or 'none'}" for record, name in sorted(records.items()))
        raise InputError(f"The layers are not of one product by their records ({listed}). Leave the others out, or set "
                         f"PRODUCT.")


def refuse_other_role(name: str, product: Product | None, role: str, products: dict):
    """Raise InputError where a file is of a product that serves other roles only, or has to be recoded first."""
    if product is None:
        return
    if product.roles and role.lower() not in product.roles:
        serving = [other.name for other in products.values() if role.lower() in other.roles]
        raise InputError(f"{name} is given as {role} but is {product.title}. Give each layer in its own role"
                         + (f"; the presets of {role} are {', '.join(serving)}." if serving else "."))
    if product.recode and not product.made:
        raise InputError(f"{name} is {product.title} as published, whose codes have to be recoded. Bring it to the "
                         f"grid with the tool 'Align a product to the target grid' first, and give the result.")


def sources_of(bands: Sequence[tuple[RasterInfo, int]], kind: str, files: Files, reading: Reading,
               progress) -> list[Source]:
    """Return the Sources of some bands (RasterInfo, number) of the files, in the product's unit and guarded.

    Without a product they are as the file and ``reading`` say. Raises InputError for units and values that cannot be,
    and for codes that the product does not have.
    """
    product = files.product
    items = [_source(info, band, kind, product, reading) for info, band in bands]
    stated = parse_assignments(reading.units, "UNITS")
    check_patterns(stated, [item.name for item in items], "UNITS")
    if product is None:
        if stated:
            raise InputError("UNITS needs a product with a unit; set PRODUCT.")
        return items
    declared = [info.units[band - 1] for info, band in bands]
    if product.kind == CLASS:
        quantity = product.quantity
        items = [replace(item, valid=(quantity.low, quantity.high)) for item in items]
        _refuse_other_codes(items[0], product)
        return items
    return _in_product_unit(items, declared, product, stated, reading.valid, progress)


def layer_in_role(path: str, role: str, quantity: Quantity, reading: Reading,
                  progress) -> tuple[RasterInfo, Source, str]:
    """Return (RasterInfo, Source, unit) of a single layer of numbers that is to be a ``quantity``, guarded.

    The unit is that of the quantity, or what the file declares where that cannot be told. ``role`` is the name under
    which presets serve it. Raises InputError for several bands, another product, a unit or
    values that cannot be, and where neither product nor unit is known and the stored whole numbers may be scaled.
    """
    files = open_files([path], reading, progress, role)
    info, product = files.infos[0], files.product
    if info.bands != 1:
        raise InputError(f"{role.upper()}: {info.name} has {info.bands} bands where a single layer is expected. "
                         f"Extract the band or make its composite first.")
    stated = matching(parse_assignments(reading.units, "UNITS"), info.name)
    if product is not None:
        own = replace(reading, units=f"*={stated}" if stated else "")
        item, = sources_of([(info, 1)], NUMBER, files, own, progress)
        return info, replace(item, valid=(quantity.low, quantity.high)), product.quantity.unit
    item = source(info.path, NUMBER, info=info)
    declared = info.units[0]
    if stated or quantity.conversions or unit_of(quantity.unit) and not is_no_unit(declared):
        item, sample = _first_with_values([item], progress)
        return info, in_unit(item, quantity, declared, stated, sample, progress), quantity.unit
    if is_no_unit(declared):
        _refuse_unvouched(files, item, role, reading, progress)
    return info, replace(item, valid=(quantity.low, quantity.high)), declared


def refuse_wrong_names(reading: Reading, paths: Sequence[str]):
    """Raise InputError where a pattern of UNITS or PRODUCT matches none of the files of a tool."""
    names = [display_name(path) for path in paths]
    check_patterns(parse_assignments(reading.units, "UNITS"), names, "UNITS")
    if "=" in reading.product:
        files = [os.path.basename(file_of(inner_paths(str(path))[0])) for path in paths]
        check_patterns(parse_assignments(reading.product, "PRODUCT"), files, "PRODUCT")


def _refuse_unvouched(files, item, role, reading, progress):
    """Raise InputError for whole numbers without scale and unit that may be those of a product that packs them."""
    products = read_products(reading.products or None)
    packing = [product for product in products.values() if role in product.roles and (
        product.recode or (product.scale, product.offset) != (1.0, 0.0))]
    if not packing or item.encoding.floating or not item.encoding.plain:
        return
    _, sample = _first_with_values([item], progress)
    if np.isnan(sample).all():
        return
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    packed = [product.name for product in packing if (
        _as_published(product, sample) if product.recode else product.quantity.looks_like(
            product.stored_unit or product.quantity.unit,
            *(bound * product.scale + product.offset for bound in (low, high))))]
    if packed:
        files.found.require(role, packed, products)


def _as_published(product, sample):
    """True where all values are codes of a product that are recoded, and some are not what the recode makes."""
    found = set(np.unique(sample[~np.isnan(sample)]).tolist())
    return found <= set(product.codes) and not found <= {value for _, value in product.recode}


def _source(info, band, kind, product, reading):
    """Return the Source of a band as product and user say it is to be read."""
    item = source(info.path, kind, band=band, info=info)
    flags, keep, absent = reading.flags, reading.valid, reading.absent
    if product:
        numbers = product.kind == NUMBER
        # the user's VALID is in the product's unit and comes in once that is known
        flags = flags or _flags(item, info.units[band - 1], product)
        keep = product.keep if numbers else keep or product.keep
        if numbers and is_no_unit(info.units[band - 1]):
            item = _packed(item, product)
    if absent == "":
        absent = product.absent if product else None
    return replace(item, flags=flags, keep=keep, absent=None if absent in (None, "nodata") else float(absent))


def _flags(item, declared, product):
    """Return the preset's flag codes, those of the published form: real numbers in the unit of the product are no
    longer that, and what is a plausible value there is none, as 0 is among temperatures in °C."""
    if product.kind != NUMBER or not item.encoding.floating or is_no_unit(declared) or (
            unit_of(declared) != unit_of(product.quantity.unit)):
        return product.flags
    return tuple(code for code in product.flags if not product.quantity.low <= code <= product.quantity.high)


def _packed(item, product):
    """Return a Source with the preset's scale where its file holds whole numbers and states none."""
    if not item.encoding.plain or item.encoding.floating:
        return item
    return replace(item, scale=product.scale, offset=product.offset)


def _in_product_unit(items, declared, product, stated, valid, progress):
    """Return the Sources in the product's unit, told from the first one that has values; ``valid`` is the user's."""
    others = sorted(set(declared))
    if len(others) > 1 and not stated:
        raise InputError(f"The layers declare different units ({', '.join(unit or 'none' for unit in others)}). State "
                         f"theirs in UNITS.")
    units = {matching(stated, item.name) for item in items}
    if len(units) > 1:
        raise InputError("UNITS does not say the same of every layer. State one unit of all, such as *="
                         f"{next(filter(None, sorted(map(str, units - {None}))))}, or give them in runs of their own.")
    item, sample = _first_with_values(items, progress)
    unit = units.pop()
    if not is_no_unit(declared[0]) and _needs_scale(item, product, declared[0], sample):
        # the unit is that of the scaled values
        items, item = [_packed(other, product) for other in items], _packed(item, product)
        sample = sample * product.scale + product.offset
    if unit is None:
        _refuse_unclear_scale(item, product, declared[0], sample)
        unit = _stored_unit(product, declared[0], sample)
    # of units alone: files may differ in whether they state a scale
    change = in_unit(replace(item, scale=1.0, offset=0.0), product.quantity, declared[0], unit, sample, progress)
    return [replace(other, scale=other.scale * change.scale, offset=other.offset * change.scale + change.offset,
                    valid=change.valid, keep=valid or other.keep) for other in items]


def _first_with_values(items, progress):
    """Return the first of the Sources that has values, and a decimated reading of it."""
    reader = SourceReader()
    for item in items[:LAYERS_TRIED]:
        progress.check()
        sample = reader.sample(item)
        if not np.isnan(sample).all():
            break
    reader.close()
    return item, sample


def _needs_scale(item, product, declared, sample):
    """True where the values can be in the declared unit only with the preset's scale."""
    if item.scale != 1.0 or item.offset or product.quantity.conversion(declared) is None or np.isnan(sample).all():
        return False
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    scaled = [bound * product.scale + product.offset for bound in (low, high)]
    return not product.quantity.looks_like(declared, low, high) and product.quantity.looks_like(declared, *scaled)


def _refuse_unclear_scale(item, product, declared, sample):
    """Raise InputError for fractions without a unit that may be the product's stored numbers or already its values.

    A file of whole numbers holds stored ones; once they have been averaged or warped, only the user knows.
    """
    if (product.scale, product.offset) == (1.0, 0.0) or not item.encoding.floating or not item.encoding.plain \
            or not is_no_unit(declared) or not product.quantity.unit or np.isnan(sample).all():
        return
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    stored, unit = product.stored_unit or product.quantity.unit, product.quantity.unit
    scaled = [bound * product.scale + product.offset for bound in (low, high)]
    if product.quantity.looks_like(unit, low, high) and product.quantity.looks_like(stored, *scaled):
        raw = next((name for name, pair in product.quantity.conversions.items()
                    if pair == (product.scale, product.offset)), f"{product.scale:g} {stored}")
        raise InputError(f"{item.name} holds fractions from {low:.4g} to {high:.4g} and declares no unit: they may be "
                         f"{unit}, or the numbers that {product.title} is stored as, {raw}. Set UNITS to "
                         f"{item.name}={unit} or to {item.name}={raw}.")


def _refuse_other_codes(item, product):
    """Raise InputError where a decimated reading holds codes that the product does not have."""
    reader = SourceReader()
    sample = reader.sample(item)
    reader.close()
    found = np.unique(sample[~np.isnan(sample)]).astype(int)
    unknown = [code for code in found.tolist() if product.codes and code not in product.codes]
    if unknown:
        raise other_codes(item.name, unknown, product)


def other_codes(name: str, codes: Sequence[int], product: Product) -> InputError:
    """Return the error for a file, or layers from it on, that hold ``codes`` which the product does not have."""
    return InputError(f"{name} holds the codes {', '.join(map(str, codes[:10]))}, which {product.title} does not have. "
                      f"Set PRODUCT to the right one or to none, or add the codes to a table of your own (PRODUCTS).")


def _stored_unit(product, declared, sample):
    """Return the preset's stored unit where the file declares none and the values can be in it, else None."""
    if not is_no_unit(declared) or not product.stored_unit or np.isnan(sample).all():
        return None
    fits = product.quantity.looks_like(product.stored_unit, float(np.nanmin(sample)), float(np.nanmax(sample)))
    return product.stored_unit if fits else None
