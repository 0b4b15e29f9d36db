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
from .gdal_texts import items_of, virtual_text

#: types whose every value is exact in float32
EXACT_IN_FLOAT32 = ("Byte", "Int8", "Int16", "UInt16", "Float32")
#: no quantity of this plugin reaches it; what does is a fill value, whether the file declares it or not
LARGEST = 1e18
#: drivers whose attributes speak of the values as they are stored; in other files an attribute may be a leftover of
#: the file they were converted from
NATIVE = ("netCDF", "HDF4", "HDF4Image", "HDF5", "HDF5Image", "GMT", "Zarr")
#: drivers of formats that hold pictures and nothing else
PICTURES = ("PNG", "WEBP", "GIF", "JPEG", "BIGGIF")
#: files of a virtual raster that are looked at to learn what it passes on
VIRTUAL_FILES = 64
#: MODIS and VIIRS land products, whose files state the divisor of the stored values as their scale factor
_MODIS_LAND = re.compile(r"(?<![A-Z])(?:MOD|MYD|MCD|VNP|VJ1)\d{2}[A-Z0-9]*[._]", re.IGNORECASE)
#: a scale factor so large, with a valid range that reaches it, divides; packed numbers are multiplied by small ones
_DIVISOR = 100.0
_FILLS = ("_fillvalue", "missing_value", "fillvalue", "fill_value")
_ATTRIBUTES = ("scale_factor", "add_offset", "valid_range", "valid_min", "valid_max", "units", "_unsigned", *_FILLS)
#: a number, as netCDF's tools write it too, with its type after it
_NUMBER = re.compile(r"([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf|infinity))(?:[bsfdlu]|ub|us|ul|ll|ull)?",
                     re.IGNORECASE)
#: a subdataset: format, file, and what of it
_SUBDATASET = re.compile(r'^(?P<format>[A-Za-z][A-Za-z0-9_]+:(?:[A-Za-z_]+:)?"?)(?P<file>[^":]+)(?P<rest>"?:.+)$')
_TO_8_BIT = {"Byte": np.uint8, "Int8": np.int8}
_STORED = {name: np.dtype("uint8" if name == "Byte" else name.lower())
           for name in ("Byte", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64")}


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
        found = [np.isnan(stored)] if self.floating else []
        for fill in self.fills:
            if self.floating and abs(fill) > LARGEST:
                # often stated rounded in decimal, or as the extreme of another type
                found.append((stored > LARGEST) if fill > 0 else (stored < -LARGEST))
            else:
                found.append(stored == (stored.dtype.type(fill) if fits(fill, stored.dtype) else fill))
        if self.valid:
            found += [stored < self.valid[0], stored > self.valid[1]]
        if mask is not None:
            found.append(~(mask > 0))
        missing = np.asarray(found[0]) if found else np.zeros(stored.shape, dtype=bool)
        for more in found[1:]:
            missing |= more
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
    if _labelled_by_default(dataset, bands) and not _masks(bands[-1], name):
        raise InputError(f"Band 4 of {name} is labelled as the alpha band of a picture, but holds other values than 0 "
                         f"and 255: it may be a layer. If it is, remove the label (gdal_edit.py -colorinterp_4 "
                         f"undefined); if it is a mask, let it hold 0 and 255 only.")
    return bands[:-1]


def _labelled_by_default(dataset, bands):
    """True for four bands of bytes as red, green, blue and alpha: GDAL writes so what nobody has labelled.

    Formats of pictures know no other fourth band.
    """
    if driver_below(dataset) in PICTURES:
        return False
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


def drop_changed_nodata(dataset, copy):
    """Take the nodata value from the bands of a virtual ``copy`` where it is not that of ``dataset``.

    GDAL makes 0 of one that the type does not hold, such as −9999 of bytes; where none is stated, that of the file
    counts.
    """
    for number in range(1, copy.RasterCount + 1):
        band, stated = copy.GetRasterBand(number), dataset.GetRasterBand(number).GetNoDataValue()
        if band.GetNoDataValue() not in (None, stated):
            band.DeleteNoDataValue()


def encodings_of(dataset, name):
    """Return the Encoding of every layer of an open GDAL ``dataset``; ``name`` is for messages. Raises InputError."""
    return _encodings(dataset, name, {})


def _encodings(dataset, name, known):
    """The same, with the encodings of files below virtual rasters kept in ``known``, {path: encodings}."""
    made = _virtual_bands(dataset)
    driver = driver_below(dataset, made)
    shared = items_of(dataset)
    result = []
    for number, band in enumerate(layer_bands(dataset, name), start=1):
        stated = _stated(dataset, band, driver, shared, name, number)
        if number in made:
            stated = _passed_on(made[number], stated, band.GetNoDataValue() is not None, _band_of(name, number), known)
        result.append(stated)
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
    if driver == "netCDF" and unsigned and meant in ("Int32", "Int64"):
        raise InputError(f"{_band_of(name, number)} holds unsigned integers (its attribute _Unsigned), which GDAL "
                         f"reads as signed ones: values from {1 << int(meant[3:]) - 1:,} on would become negative. "
                         f"Bring it to a floating-point type first.")
    floating = meant.startswith("Float")
    # attributes of integers are in stored numbers; a float that was converted may carry those of its origin
    trusted = native or not floating
    scale, offset, note = _scaling(band, attributes, native, floating, name, number)
    fills = _fills(band, attributes, native) if trusted else [band.GetNoDataValue()]
    fills = [fill for fill in fills if fill is not None and not math.isnan(fill)]
    if meant != dtype:
        fills = [_resigned_number(fill, meant) for fill in fills]
    if floating and band.GetMetadataItem("NBITS", "IMAGE_STRUCTURE") == "16":
        fills = [half for fill in fills for half in _halves(fill)]
    in_units = driver == "netCDF" and (scale, offset) != (1.0, 0.0) and not floating and _range_in_units(dataset, band)
    if in_units and dtype == "Byte":
        raise InputError(f"{_band_of(name, number)} is packed in bytes and has a valid range in units, which GDAL "
                         f"takes for one of the bytes. Remove the attributes valid_range, valid_min and valid_max.")
    valid = _valid_range(attributes, meant, scale, offset, in_units, unsigned) if trusted else ()
    return Encoding(
        dtype=meant, unit=band.GetUnitType() or attributes.get("units", "").strip(), scale=scale, offset=offset,
        fills=tuple(dict.fromkeys(fills)), valid=valid, masked=mask_band_of(dataset, band) is not None,
        reinterpreted=dtype != meant, note=note)


def _fills(band, attributes, native):
    """Return what the nodata value and the attributes of a band call nodata, None and NaN among it."""
    declared = band.GetNoDataValue()
    stated = {key: _numbers(attributes.get(key, "")) for key in _FILLS}
    if not native and declared is not None:
        # what the file was converted from had another one
        former = set(stated["_fillvalue"])
        stated = {key: [value for value in values if value not in former] for key, values in stated.items()}
    return [declared, *(value for values in stated.values() for value in values)]


def _halves(fill):
    """Return a fill value as it is kept in 16 bits, rounded to nearest and towards 0: GDAL has done both."""
    if abs(fill) > np.finfo(np.float16).max:
        return [fill]
    nearest = np.float16(fill)
    return [fill, float(nearest), float(np.nextafter(nearest, np.float16(0)))]


def _range_in_units(dataset, band):
    """True where netCDF's valid range is given with fractions for packed integers: it is in units then.

    As a text, which is all that a band has, 100.0 is 100.
    """
    path = next(iter(dataset.GetFileList() or ()), "")
    name = dataset.GetDescription().rsplit(":", 1)[-1] if dataset.GetDescription().startswith("NETCDF:") else ""
    name = name or band.GetMetadataItem("NETCDF_VARNAME") or ""
    container, _ = call(gdal.OpenEx, path, gdal.OF_MULTIDIM_RASTER)
    group = container.GetRootGroup() if container is not None else None
    array, _ = call(group.OpenMDArrayFromFullname, "/" + name.strip('"').lstrip("/")) if group else (None, "")
    for key in ("valid_range", "valid_min", "valid_max"):
        attribute, _ = call(array.GetAttribute, key) if array is not None else (None, "")
        if attribute is not None:
            kind = attribute.GetDataType().GetNumericDataType()
            return kind in (gdal.GDT_Float32, gdal.GDT_Float64)
    return False


def _attributes(band, shared, driver):
    """Return {name in small letters: text} of a band's attributes; HDF4 keeps those of its array with the file."""
    attributes = {key.lower(): value for key, value in shared.items() if key.lower() in _ATTRIBUTES}
    attributes.update((key.lower(), value) for key, value in items_of(band).items())
    if driver.startswith("HDF5"):
        # the path of the array stands before the name
        for known in _ATTRIBUTES:
            attributes.update((known, value) for key, value in list(attributes.items()) if key.endswith("_" + known))
    return attributes


def _numbers(text):
    """Return the numbers of an attribute that is a list of numbers, as GDAL or a person writes it; [] for any other."""
    found = []
    for part in re.split(r"[\s,;]+", str(text).strip(" {}[]()")):
        number = _NUMBER.fullmatch(part)
        if number is None:
            return []
        found.append(float(number[1]))
    return found


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
    if (scale, offset) == (1.0, 0.0) and (own_scale, own_offset) != (1.0, 0.0) and (native or not floating):
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


def _valid_range(attributes, dtype, scale, offset, in_units, unsigned):
    """Return (low, high) of the stored values that an attribute calls valid, or (); ``in_units``: it is in units."""
    limits = _numbers(attributes.get("valid_range", ""))
    if len(limits) != 2:
        limits = [_number(attributes, "valid_min", -math.inf), _number(attributes, "valid_max", math.inf)]
    low, high = limits
    if unsigned and high < 0 <= low:
        # netCDF's unsigned integers have attributes of the signed type
        high += {"Byte": 1 << 8, "UInt16": 1 << 16, "UInt32": 1 << 32}.get(dtype, 0)
    if not low < high or limits == [-math.inf, math.inf]:
        return ()
    if not dtype.startswith("Float") and (scale, offset) != (1.0, 0.0) and (
            in_units or any(math.isfinite(limit) and not fits(limit, _STORED[dtype]) for limit in (low, high))):
        # fractions, and numbers that the type does not hold, are no stored integers
        low, high = sorted(((low - offset) / scale, (high - offset) / scale))
        # the limits themselves are valid
        margin = 1e-6 * max(abs(low), abs(high), 1.0) if math.isfinite(high - low) else 1e-6
        low, high = low - margin, high + margin
    return low, high


@dataclass(frozen=True)
class _Input:
    """A band of a file that a virtual raster takes cells from; ``band`` 0 for a mask.

    ``unchanged``: its stored values pass as they are; ``skipped``: cells without a value in it are left out, so that
    they get the nodata value of the virtual raster; ``masking``: its mask goes into that of the virtual raster.
    """

    path: str
    band: int
    unchanged: bool
    skipped: bool
    masking: bool = False


@dataclass(frozen=True)
class _Made:
    """How a band of a virtual raster comes about.

    ``computed``: by a function of its files; ``warped``: '' or the resampling; ``hidden``: the nodata value that it
    writes and does not declare, or None; ``covered``: every cell lies in a file.
    """

    inputs: tuple
    computed: bool = False
    warped: str = ""
    hidden: float = None
    covered: bool = True


def driver_below(dataset, made=None):
    """Name of the driver that reads the cells: of the files inside a virtual raster where they are all of one kind."""
    name = dataset.GetDriver().ShortName
    if name != "VRT":
        return name
    inner = set()
    made = _virtual_bands(dataset) if made is None else made
    for path in sorted({given.path for band in made.values() for given in band.inputs})[:VIRTUAL_FILES]:
        driver, _ = call(gdal.IdentifyDriver, path)
        inner.add(driver.ShortName if driver is not None else name)
    return inner.pop() if len(inner) == 1 else name


def _virtual_bands(dataset):
    """Return {band number: _Made} of a virtual raster; empty for any other."""
    if dataset.GetDriver().ShortName != "VRT":
        return {}
    text = virtual_text(dataset)
    root, _ = call(gdal.ParseXMLString, text) if text else (None, "")
    # of a file, GDAL writes paths relative to it
    folder = os.path.dirname(dataset.GetDescription()) if not dataset.GetDescription().startswith("<") else ""
    size = dataset.RasterXSize, dataset.RasterYSize
    nodes = _elements(root, "VRTRasterBand")
    masks = [node for outer in _elements(root, "MaskBand") for node in _elements(outer, "VRTRasterBand")]
    masks += [node for node in nodes if _text_of(node, "ColorInterp") == "Alpha"]
    masking = {given.path for node in masks for given, _ in _inputs(node, folder, size) if given.skipped
               or given.unchanged}
    found = {}
    for node in nodes:
        number = int(_attribute(node, "band") or len(found) + 1)
        inputs, places = [], []
        for given, place in _inputs(node, folder, size):
            inputs.append(replace(given, masking=given.path in masking))
            places.append(place)
        hidden = _numbers(_text_of(node, "NoDataValue")) if _text_of(node, "HideNoDataValue") == "1" else ()
        found[number] = _Made(tuple(inputs), _attribute(node, "subClass") == "VRTDerivedRasterBand",
                              hidden=hidden[0] if hidden else None, covered=not places or _cover(places, *size))
    return {**found, **_warped_bands(root, folder)}


def _warped_bands(root, folder):
    """Return {band number: _Made} of a virtual raster that warps a file."""
    found = {}
    for options in _elements(root, "GDALWarpOptions"):
        path = _path(_elements(options, "SourceDataset"), folder)
        how = _text_of(options, "ResampleAlg") or "NearestNeighbour"
        for mapping in (node for listed in _elements(options, "BandList") for node in _elements(listed, "BandMapping")):
            band, number = _attribute(mapping, "src"), _attribute(mapping, "dst")
            if path and band.isdigit() and number.isdigit():
                given = _Input(path, int(band), True, True, masking=bool(_elements(options, "DstAlphaBand")))
                found[int(number)] = _Made((given,), warped=how)
    return found


def _inputs(band, folder, size):
    """Yield (_Input, cells it fills as (left, right, top, bottom)) of a band of a virtual raster."""
    for kind in ("SimpleSource", "ComplexSource", "AveragedSource", "KernelFilteredSource"):
        for node in _elements(band, kind):
            path = _path(_elements(node, "SourceFilename"), folder)
            number = _text_of(node, "SourceBand") or "1"
            number = "0" if number.startswith("mask") else number
            changed = kind == "KernelFilteredSource" or any(
                _elements(node, name) for name in ("ScaleOffset", "ScaleRatio", "LUT", "Exponent",
                                                   "ColorTableComponent"))
            skipped = bool(_elements(node, "NODATA")) or _text_of(node, "UseMaskBand").lower() in ("true", "1")
            if path and number.isdigit():
                yield _Input(path, int(number), not changed, skipped), _cells_filled(node, size)


def _path(nodes, folder):
    """Return the path in a node of a virtual raster that names a file, as GDAL opens it; '' where there is none."""
    path = _text(nodes[0]) if nodes else ""
    if path and folder and _attribute(nodes[0], "relativeToVRT") == "1":
        part = _SUBDATASET.match(path)
        path = f"{part['format']}{os.path.join(folder, part['file'])}{part['rest']}" if part else \
            os.path.join(folder, path)
    return path


def _cells_filled(source, size):
    places = _elements(source, "DstRect")
    if not places:
        return 0, size[0], 0, size[1]
    left, top, width, height = (float(_attribute(places[0], name) or 0) for name in ("xOff", "yOff", "xSize", "ySize"))
    return tuple(math.floor(edge + 0.5) for edge in (left, left + width, top, top + height))


def _cover(places, width, height):
    """True where rectangles of cells (left, right, top, bottom) together fill a raster."""
    if any(left <= 0 and right >= width and top <= 0 and bottom >= height for left, right, top, bottom in places):
        return True
    places = np.clip(np.array(places), 0, [width, width, height, height])
    columns = np.unique(np.append(places[:, :2], [0, width]))
    rows = np.unique(np.append(places[:, 2:], [0, height]))
    filled = np.zeros((len(rows) - 1, len(columns) - 1), dtype=bool)
    across, down = np.searchsorted(columns, places[:, :2]), np.searchsorted(rows, places[:, 2:])
    for (left, right), (top, bottom) in zip(across, down):
        filled[top:bottom, left:right] = True
    return bool(filled.all())


def _elements(node, name):
    """Return the child elements called ``name`` of a node as gdal.ParseXMLString gives it."""
    return [child for child in (node or ())[2:] if child[0] == gdal.CXT_Element and child[1] == name]


def _attribute(node, name):
    return next((_text(child) for child in node[2:] if child[0] == gdal.CXT_Attribute and child[1] == name), "")


def _text(node):
    return next((child[1] for child in node[2:] if child[0] == gdal.CXT_Text), "")


def _text_of(node, name):
    """Text of the first child element called ``name``, '' where there is none."""
    found = _elements(node, name)
    return _text(found[0]).strip() if found else ""


def _passed_on(made, stated, declared, name, known):
    """Return the Encoding of a band of a virtual raster, with what its files state and the virtual raster leaves out.

    ``declared``: whether it declares a nodata value, be it NaN. Raises InputError where the files differ, or where it
    loses what says nodata in them.
    """
    below = []
    for given in made.inputs[:VIRTUAL_FILES]:
        if given.path not in known:
            # also where a virtual raster is made of itself
            known[given.path] = ()
            inner, _ = call(gdal.OpenEx, given.path, gdal.OF_RASTER)
            if inner is not None:
                known[given.path] = _encodings(inner, os.path.basename(given.path), known)
        if 1 <= given.band <= len(known[given.path]):
            below.append((given, known[given.path][given.band - 1]))
    _refuse_lost_nodata(made, below, stated, declared, name)
    if not below or made.computed or not all(given.unchanged for given, _ in below):
        return stated
    below = [encoding for _, encoding in below]
    first = below[0]
    if any((other.scale, other.offset, other.dtype) != (first.scale, first.offset, first.dtype) for other in below):
        if stated.plain and stated.dtype == first.dtype or any(other.dtype != first.dtype for other in below):
            raise InputError(f"The files of the virtual raster {name} store their values in different ways (type, "
                             f"scale or offset). Bring them to one first.")
        return stated
    if stated.plain and not first.plain:
        stated = replace(stated, scale=first.scale, offset=first.offset, note=first.note)
    if first.dtype in _TO_8_BIT and stated.dtype in _TO_8_BIT and first.dtype != stated.dtype:
        if made.warped not in ("", "NearestNeighbour"):
            raise InputError(f"The virtual raster {name} warps signed bytes as if they were unsigned. Bring its file "
                             f"to Int16 first.")
        stated = replace(stated, dtype=first.dtype, reinterpreted=not stated.reinterpreted,
                         fills=tuple(_resigned_number(fill, first.dtype) for fill in stated.fills))
    fills = tuple(dict.fromkeys(fill for one in below for fill in one.fills))
    if stated.dtype.endswith("Int64") and fills and stated.fills and not set(stated.fills) <= set(fills):
        raise InputError(f"The virtual raster {name} states the nodata value {stated.fills[0]} for files with "
                         f"{fills[0]}: GDAL rounds it in virtual rasters of 64 bit integers. Give the files "
                         f"themselves.")
    if stated.fills:
        fills = stated.fills
    return replace(stated, unit=stated.unit or first.unit, fills=fills, valid=first.valid or stated.valid)


def _refuse_lost_nodata(made, below, stated, declared, name):
    """Raise InputError where cells without a value become values in a virtual raster."""
    marked = declared or stated.masked
    if not made.covered and not marked:
        raise InputError(f"The virtual raster {name} has cells that no file covers, and no nodata value: they would "
                         f"be 0. Make it with a nodata value (gdalbuildvrt -vrtnodata).")
    masked = [given for given, encoding in below if encoding.masked]
    fills = {fill for _, encoding in below for fill in encoding.fills}
    if any(not given.masking and not (declared and given.skipped) for given in masked):
        raise InputError(f"The virtual raster {name} leaves out the mask or alpha band of the files it is made of. "
                         f"Give the files themselves, or declare a nodata value in them first.")
    if not fills or marked and not (made.computed or _scaled_blindly(below)):
        return
    if made.hidden is not None and made.hidden not in fills:
        raise InputError(f"The virtual raster {name} hides its nodata value {made.hidden:g}. Make it without "
                         f"-hidenodata.")
    if made.computed and not marked or made.warped and not marked or _scaled_blindly(below) or not marked and any(
            not given.unchanged for given, _ in below):
        raise InputError(f"The virtual raster {name} computes its values from files with the nodata value "
                         f"{min(fills):g}, and does not leave those cells out. Compute from the files with a tool that "
                         f"keeps nodata, or give the files themselves.")


def _scaled_blindly(below):
    """True where files have nodata values that a virtual raster scales like any other."""
    return any(encoding.fills and not given.unchanged and not given.skipped for given, encoding in below)
