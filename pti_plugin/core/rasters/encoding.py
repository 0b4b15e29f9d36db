"""What the stored values of a band mean: their type, which of them say nodata, scale, offset and unit.

``encodings_of`` decides it once for every tool, from what GDAL states and from the attributes that GDAL leaves aside.
A statement that contradicts itself is refused with the remedy, since both readings would give a map.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace

import numpy as np
from osgeo import gdal

from ..common.errors import InputError
from .gdal_errors import call

#: types whose every value is exact in float32
EXACT_IN_FLOAT32 = ("Byte", "Int8", "Int16", "UInt16", "Float32")
#: no quantity of this plugin reaches it; what does is a fill value that the file does not declare
LARGEST = 1e30
#: drivers whose attributes speak of the values as they are stored; in other files an attribute may be a leftover of
#: the file they were converted from
NATIVE = ("netCDF", "HDF4", "HDF4Image", "HDF5", "HDF5Image", "GMT", "Zarr")
#: files of a virtual raster that are looked at to learn what it passes on
VIRTUAL_FILES = 64
#: MODIS and VIIRS land products, whose files state the divisor of the stored values as their scale factor
_MODIS_LAND = re.compile(r"(?<![A-Z])(?:MOD|MYD|MCD|VNP|VJ1)\d{2}[A-Z0-9]*[._]", re.IGNORECASE)
#: a scale factor so large, with a valid range that reaches it, divides; packed numbers are multiplied by small ones
_DIVISOR = 100.0
_FILLS = ("_fillvalue", "missing_value", "fillvalue", "fill_value")
_ATTRIBUTES = ("scale_factor", "add_offset", "valid_range", "valid_min", "valid_max", "units", "_unsigned", *_FILLS)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_TO_8_BIT = {"Byte": np.uint8, "Int8": np.int8}


@dataclass(frozen=True)
class Encoding:
    """How a band stores its values; value = stored × ``scale`` + ``offset``.

    ``dtype``: GDAL's name of the stored type, Int8 for signed bytes whatever GDAL's version. ``reinterpreted``: GDAL
    takes the bytes for those of the other sign. ``fills``: stored values that are nodata, beside NaN. ``valid``: lowest
    and highest stored value that count, or (). ``masked``: a mask or an alpha band says more. ``note``: what a reader
    of the log should know, or ''.
    """

    dtype: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    fills: tuple = ()
    valid: tuple = ()
    masked: bool = False
    reinterpreted: bool = False
    note: str = ""

    @property
    def floating(self) -> bool:
        """True where fractions, NaN and infinities can be stored."""
        return self.dtype.startswith("Float")

    @property
    def plain(self) -> bool:
        """True where the stored values are the values."""
        return (self.scale, self.offset) == (1.0, 0.0)

    def resigned(self, stored):
        """Return stored values with the sign they have; ``stored`` is as GDAL gives them, in any type.

        An array of a wider type than the band's is changed in place.
        """
        if not self.reinterpreted:
            return stored
        if stored.dtype.itemsize == 1:
            return stored.view(_TO_8_BIT[self.dtype])
        if self.dtype == "Int8":
            stored[stored > 127] -= 256
        else:
            stored[stored < 0] += 256
        return stored

    def missing(self, stored, mask=None):
        """Return where ``stored`` values (any type that holds them exactly, with the right sign) are nodata.

        ``mask``: the band's mask or alpha, 0 for nodata, or None.
        """
        missing = np.isnan(stored) if self.floating else np.zeros(stored.shape, dtype=bool)
        for fill in self.fills:
            comparable = fits(fill, stored.dtype)
            missing |= stored == (stored.dtype.type(fill) if comparable else fill)
        if self.valid:
            missing |= (stored < self.valid[0]) | (stored > self.valid[1])
        if mask is not None:
            missing |= ~(mask > 0)
        return missing


def fits(value, dtype) -> bool:
    """True where ``value`` survives a round trip through ``dtype``, so stored values can be compared exactly."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return float(value).is_integer() and limits.min <= value <= limits.max
    # a float32 band may declare its nodata rounded in decimal
    return abs(value) <= np.finfo(dtype).max


def layer_bands(dataset, name):
    """Return the bands that are layers, in order: all but an alpha band, which masks the others.

    Raises InputError where it cannot be told which band is the mask.
    """
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    alphas = [i for i, band in enumerate(bands) if band.GetColorInterpretation() == gdal.GCI_AlphaBand]
    if len(bands) == 1 or not alphas:
        return bands
    if alphas != [len(bands) - 1]:
        raise InputError(f"Band {alphas[0] + 1} of {name} is an alpha band but not the only one, or not the last. Put "
                         f"one alpha band after all layers, or write the layers without it.")
    if _labelled_by_default(bands) and not _masks(bands[-1], name):
        raise InputError(f"Band 4 of {name} is labelled as the alpha band of a picture, but holds other values than 0 "
                         f"and 255: it may be a layer. If it is, remove the label (gdal_edit.py -colorinterp_4 "
                         f"undefined); if it is a mask, let it hold 0 and 255 only.")
    return bands[:-1]


def _labelled_by_default(bands):
    """True for four bands of bytes as red, green, blue and alpha: GDAL writes so what nobody has labelled."""
    colours = [band.GetColorInterpretation() for band in bands]
    return (colours == [gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand, gdal.GCI_AlphaBand]
            and all(band.DataType == gdal.GDT_Byte for band in bands))


def _masks(band, name):
    """True where a band of bytes holds 0 and 255 only, and 255 somewhere."""
    found = np.zeros(256, dtype=np.int64)
    rows = max(1, (1 << 22) // band.XSize)
    for row in range(0, band.YSize, rows):
        values, failure = call(band.ReadAsArray, 0, row, band.XSize, min(rows, band.YSize - row))
        if values is None or failure:
            raise InputError(f"{name} cannot be read at row {row}: {failure or 'the file is damaged'}. Get the file "
                             f"again or leave it out.")
        found += np.bincount(values.ravel(), minlength=256)
        if found[1:255].any():
            return False
    return bool(found[255])


def mask_band_of(dataset, band):
    """Return the band whose zeros mask ``band`` beyond its nodata value, or None: a mask, or an alpha band.

    GDAL itself makes masks only of alpha bands of unsigned integers.
    """
    flags = band.GetMaskFlags()
    if flags & (gdal.GMF_PER_DATASET | gdal.GMF_ALPHA) or not flags & (gdal.GMF_ALL_VALID | gdal.GMF_NODATA):
        return band.GetMaskBand()
    last = dataset.GetRasterBand(dataset.RasterCount)
    return last if dataset.RasterCount > 1 and last.GetColorInterpretation() == gdal.GCI_AlphaBand else None


def encodings_of(dataset, name):
    """Return the Encoding of every layer of an open GDAL ``dataset``; ``name`` is for messages. Raises InputError."""
    return _encodings(dataset, name, {})


def _encodings(dataset, name, known):
    """The same, with the encodings of files below virtual rasters kept in ``known``, {path: encodings}."""
    sources = _virtual_bands(dataset)
    driver = driver_below(dataset, sources)
    shared = dataset.GetMetadata() or {}
    result = []
    for number, band in enumerate(layer_bands(dataset, name), start=1):
        stated = _stated(dataset, band, driver, shared, name, number)
        result.append(_passed_on(sources.get(number, ()), stated, name, known))
    return tuple(result)


def _stated(dataset, band, driver, shared, name, number):
    """Return the Encoding that a band states by itself."""
    native = driver in NATIVE
    attributes = _attributes(band, shared, driver)
    dtype = gdal.GetDataTypeName(band.DataType)
    if dtype.startswith("C"):
        raise InputError(f"{name} holds complex numbers; PTI reads real ones.")
    signed = band.GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") == "SIGNEDBYTE"
    unsigned = str(attributes.get("_unsigned", "")).lower() == "true"
    meant = "Int8" if dtype == "Byte" and signed else dtype
    if meant == "Int8" and unsigned:
        meant = "Byte"
    floating = meant.startswith("Float")
    # attributes of integers are in stored numbers; a float that was converted may carry those of its origin
    trusted = native or not floating
    scale, offset, note = _scaling(band, attributes, native, floating, name, number)
    fills = [band.GetNoDataValue()]
    if trusted:
        fills += [value for key in _FILLS for value in _numbers(attributes.get(key, ""))]
    fills = [fill for fill in fills if fill is not None and not math.isnan(fill)]
    if meant != dtype:
        fills = [_resigned_number(fill, meant) for fill in fills]
    valid = _valid_range(attributes, meant, scale, offset) if trusted else ()
    return Encoding(
        dtype=meant, unit=band.GetUnitType() or attributes.get("units", "").strip(), scale=scale, offset=offset,
        fills=tuple(dict.fromkeys(fills)), valid=valid, masked=mask_band_of(dataset, band) is not None,
        reinterpreted=dtype != meant, note=note)


def _attributes(band, shared, driver):
    """Return {name in small letters: text} of a band's attributes; HDF4 keeps those of its array with the file."""
    attributes = {key.lower(): value for key, value in shared.items() if key.lower() in _ATTRIBUTES}
    attributes.update((key.lower(), value) for key, value in (band.GetMetadata() or {}).items())
    if driver.startswith("HDF5"):
        # the path of the array stands before the name
        for known in _ATTRIBUTES:
            attributes.update((known, value) for key, value in list(attributes.items()) if key.endswith("_" + known))
    return attributes


def _numbers(text):
    return [float(part) for part in _NUMBER.findall(str(text))]


def _number(attributes, key, default):
    found = _numbers(attributes.get(key, ""))
    return found[0] if found else default


def _resigned_number(value, dtype):
    """Return a fill value of bytes with the sign that bytes of ``dtype`` have."""
    if dtype == "Byte" and -128 <= value < 0:
        return value + 256
    return value - 256 if dtype == "Int8" and 128 <= value < 256 else value


def _scaling(band, attributes, native, floating, name, number):
    """Return (scale, offset, note) of a band. Raises InputError where the two readings differ."""
    scale = 1.0 if band.GetScale() is None else float(band.GetScale())
    offset = float(band.GetOffset() or 0.0)
    own_scale, own_offset = _number(attributes, "scale_factor", 1.0), _number(attributes, "add_offset", 0.0)
    note = ""
    if (scale, offset) == (1.0, 0.0) and (own_scale, own_offset) != (1.0, 0.0) and not floating:
        if not native:
            raise InputError(
                f"{_band_of(name, number)} has the attribute scale_factor {own_scale:g}, add_offset {own_offset:g}, "
                f"but declares no scale: its values may be scaled already. If they are not, declare it (gdal_edit.py "
                f"-scale {own_scale:g} -offset {own_offset:g}); if they are, remove the attributes.")
        scale, offset = own_scale, own_offset
    if scale == 0.0 or not (math.isfinite(scale) and math.isfinite(offset)):
        raise InputError(f"{_band_of(name, number)} declares the scale {scale:g} and the offset {offset:g}, which give "
                         f"no values. Declare the right ones (gdal_edit.py -scale 1 -offset 0 where there are none).")
    limits = _numbers(attributes.get("valid_range", ""))
    reaches = len(limits) == 2 and limits[1] * 10 >= scale
    if not floating and scale >= _DIVISOR and reaches:
        if not _MODIS_LAND.search(name):
            raise InputError(
                f"{_band_of(name, number)} declares the scale {scale:g} and valid stored values up to {limits[1]:g}, "
                f"that is values up to {limits[1] * scale:g}: the scale may be a divisor, as in MODIS land products. "
                f"Declare the scale that the stored values are multiplied by (gdal_edit.py -scale {1 / scale:g}).")
        note = (f"{name} states the divisor of its stored values as their scale, {scale:g}; they are divided by it, as "
                f"MODIS land products define it.")
        # value = (stored − offset) / scale
        scale, offset = 1.0 / scale, -offset / scale if offset else 0.0
    return scale, offset, note


def _band_of(name, number):
    return name if number == 1 else f"Band {number} of {name}"


def _valid_range(attributes, dtype, scale, offset):
    """Return (low, high) of the stored values that an attribute calls valid, or ()."""
    limits = _numbers(attributes.get("valid_range", ""))
    if len(limits) != 2:
        limits = [_number(attributes, "valid_min", -math.inf), _number(attributes, "valid_max", math.inf)]
    low, high = limits
    if not low < high or limits == [-math.inf, math.inf]:
        return ()
    whole = all(limit.is_integer() or math.isinf(limit) for limit in limits)
    if not whole and not dtype.startswith("Float") and scale > 0:
        # fractions are no stored integers: the attribute is in units
        low, high = (low - offset) / scale, (high - offset) / scale
    return low, high


def driver_below(dataset, sources=None):
    """Name of the driver that reads the cells: of the files inside a virtual raster where they are all of one kind."""
    name = dataset.GetDriver().ShortName
    if name != "VRT":
        return name
    inner = set()
    sources = _virtual_bands(dataset) if sources is None else sources
    for path in sorted({path for band in sources.values() for path, *_ in band})[:VIRTUAL_FILES]:
        driver, _ = call(gdal.IdentifyDriver, path)
        inner.add(driver.ShortName if driver is not None else name)
    return inner.pop() if len(inner) == 1 else name


def _virtual_bands(dataset):
    """Return {band number: [(path, band of it, whether stored values pass unchanged)]} of a virtual raster.

    Empty for any other.
    """
    if dataset.GetDriver().ShortName != "VRT":
        return {}
    text = (dataset.GetMetadata("xml:VRT") or [""])[0]
    root, _ = call(gdal.ParseXMLString, text) if text else (None, "")
    # of a file, GDAL writes paths relative to it
    folder = os.path.dirname(dataset.GetDescription()) if not dataset.GetDescription().startswith("<") else ""
    found = {}
    for node in _elements(root, "VRTRasterBand"):
        number = int(_attribute(node, "band") or len(found) + 1)
        found[number] = [source for kind in ("SimpleSource", "ComplexSource", "AveragedSource", "KernelFilteredSource")
                         for source in _sources(node, kind, folder)]
    return found


def _sources(band, kind, folder):
    for node in _elements(band, kind):
        files = _elements(node, "SourceFilename")
        if not files:
            continue
        path = _text(files[0])
        if _attribute(files[0], "relativeToVRT") == "1" and folder:
            path = os.path.join(folder, path)
        numbers = _elements(node, "SourceBand")
        number = _text(numbers[0]) if numbers else "1"
        changed = any(_elements(node, name) for name in ("ScaleOffset", "ScaleRatio", "LUT", "Exponent",
                                                         "ColorTableComponent"))
        if number.isdigit():
            yield path, int(number), kind != "KernelFilteredSource" and not changed


def _elements(node, name):
    """Return the child elements called ``name`` of a node as gdal.ParseXMLString gives it."""
    return [child for child in (node or ())[2:] if child[0] == gdal.CXT_Element and child[1] == name]


def _attribute(node, name):
    return next((_text(child) for child in node[2:] if child[0] == gdal.CXT_Attribute and child[1] == name), "")


def _text(node):
    return next((child[1] for child in node[2:] if child[0] == gdal.CXT_Text), "")


def _passed_on(sources, stated, name, known):
    """Return the Encoding of a band of a virtual raster, with what its files state and the virtual raster leaves out.

    Raises InputError where the files differ, or where a mask of theirs is lost.
    """
    below = []
    for path, band, unchanged in sources[:VIRTUAL_FILES]:
        if not unchanged:
            return stated
        if path not in known:
            # also where a virtual raster is made of itself
            known[path] = ()
            inner, _ = call(gdal.OpenEx, path, gdal.OF_RASTER)
            if inner is not None:
                known[path] = _encodings(inner, os.path.basename(path), known)
        if band <= len(known[path]):
            below.append(known[path][band - 1])
    if not below:
        return stated
    first = below[0]
    if any(encoding.masked for encoding in below) and not stated.masked:
        raise InputError(f"The virtual raster {name} leaves out the mask or alpha band of the files it is made of. "
                         f"Give the files themselves, or declare a nodata value in them first.")
    if any((other.scale, other.offset, other.dtype) != (first.scale, first.offset, first.dtype) for other in below):
        if stated.plain and stated.dtype == first.dtype or any(other.dtype != first.dtype for other in below):
            raise InputError(f"The files of the virtual raster {name} store their values in different ways (type, "
                             f"scale or offset). Bring them to one first.")
        return stated
    if stated.plain and not first.plain:
        stated = replace(stated, scale=first.scale, offset=first.offset, note=first.note)
    if first.dtype in _TO_8_BIT and stated.dtype in _TO_8_BIT and first.dtype != stated.dtype:
        stated = replace(stated, dtype=first.dtype, reinterpreted=not stated.reinterpreted,
                         fills=tuple(_resigned_number(fill, first.dtype) for fill in stated.fills))
    fills = stated.fills if stated.fills else tuple(dict.fromkeys(fill for one in below for fill in one.fills))
    return replace(stated, unit=stated.unit or first.unit, fills=fills, valid=stated.valid or first.valid)
