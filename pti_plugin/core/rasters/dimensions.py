"""Dimensions: along what the bands of a raster are laid out (time, depth, member …), and the choice among them.

GDAL lays the planes of a netCDF variable, a GRIB file or an HDF array out as bands. Where each band stands is read here
and nowhere else: from GDAL's metadata, from the file itself where the metadata lack it, and through virtual rasters.
What a coordinate of time means is the matter of time_decoding.
"""

import math
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from osgeo import gdal

from ..common.errors import InputError
from .gdal_errors import call
from .gdal_texts import items_of, virtual_text
from .time_decoding import decode, is_time, moment_text

#: GDAL's number of the netCDF type float, in NETCDF_DIM_…_DEF
_NC_FLOAT = "5"
#: virtual rasters in virtual rasters that are followed
_DEPTH = 4
#: GRIB: product definition templates whose values are means, sums or extremes over an interval
_STATISTICAL = {str(number) for number in (*range(8, 15), 42, 43, 46, 47, 61, 67, 68, 91)}
#: coordinates that no band is told apart by
_HORIZONTAL = {"lat", "lon", "latitude", "longitude", "x", "y", "nav_lat", "nav_lon", "xlat", "xlong"}
#: attributes of a coordinate with the values that stand for none
_MISSING = ("_FillValue", "missing_value")
#: choices that a message lists for each dimension
_LISTED = 12


@dataclass(frozen=True)
class Dimension:
    """One dimension of a raster: ``values`` holds its coordinate for every band, a number or a text.

    ``units``, ``calendar``, ``standard_name`` and ``axis`` are as the file states them; ``bounds`` holds (start, end)
    of every band in the same units, () where the file has none, None where it declares some that are out of reach.
    ``single`` marks coordinates stored in single precision.
    """

    name: str
    values: tuple
    units: str = ""
    calendar: str = ""
    standard_name: str = ""
    axis: str = ""
    bounds: tuple = ()
    single: bool = False

    def of_bands(self, bands):
        """Return the dimension of the ``bands`` (counted from 1) alone."""
        bounds = self.bounds and tuple(self.bounds[band - 1] for band in bands)
        return replace(self, values=tuple(self.values[band - 1] for band in bands), bounds=bounds)


def band_dimensions(dataset, metadata, band_metadata):
    """Return the Dimensions of an open raster, whose metadata and bands' metadata are given, in the file's order.

    Empty where nothing is known of what tells the bands apart.
    """
    found = _of_grib(band_metadata) if band_metadata and "GRIB_VALID_TIME" in band_metadata[0] else ()
    lacking = False
    names = [name.strip() for name in metadata.get("NETCDF_DIM_EXTRA", "").strip("{}").split(",") if name.strip()]
    if names:
        found = _of_netcdf(names, metadata, band_metadata)
        lacking = found is None or any(dimension.bounds is None for dimension in found)
        found = found or ()
    driver = dataset.GetDriver().ShortName
    variable = band_metadata[0].get("NETCDF_VARNAME") if band_metadata else None
    if variable and driver == "netCDF":
        elsewhere = not any(map(_has_time, found)) and _other_coordinates(band_metadata[0], found)
        path, inside = _place(dataset.GetDescription())
        if (lacking or elsewhere) and os.path.exists(path):
            return _of_array(path, inside or variable, len(band_metadata)) or found
    if not found and driver in ("HDF4Image", "HDF5Image") and len(band_metadata) > 1:
        return _of_array(_place(dataset.GetDescription())[0], "", len(band_metadata),
                         (dataset.RasterYSize, dataset.RasterXSize))
    return found


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def _of_grib(band_metadata):
    """The dimensions of the messages of a GRIB file: what, at which level, when."""
    def seconds(item, key):
        found = re.match(r"\s*(-?\d+)", item.get(key, ""))
        return float(found[1]) if found else None

    times = tuple(seconds(item, "GRIB_VALID_TIME") for item in band_metadata)
    if None in times:
        return ()
    starts = [None if item.get("GRIB_PDS_PDTN") not in _STATISTICAL or seconds(item, "GRIB_REF_TIME") is None
              else seconds(item, "GRIB_REF_TIME") + (seconds(item, "GRIB_FORECAST_SECONDS") or 0.0)
              for item in band_metadata]
    spans = tuple(zip(starts, times))
    bounds = spans if all(start is not None and start < end for start, end in spans) else ()
    texts = tuple(Dimension(name, tuple(item.get(key, "") for item in band_metadata))
                  for name, key in (("element", "GRIB_ELEMENT"), ("level", "GRIB_SHORT_NAME")))
    return (*texts, Dimension("time", times, "seconds since 1970-01-01", "standard", "time", "T", bounds))


def _of_netcdf(names, metadata, band_metadata):
    """Return the Dimensions that the metadata tell of, or None where they do not tell those of all bands."""
    found = []
    sizes = [int(metadata.get(f"NETCDF_DIM_{name}_DEF", "{0,0}").strip("{}").split(",")[0] or 0) for name in names]
    for place, name in enumerate(names):
        texts = [item.get(f"NETCDF_DIM_{name}") for item in band_metadata]
        if None in texts:
            continue
        if not all(texts):
            # GDAL lists texts, but does not give each band its own
            listed = metadata.get(f"NETCDF_DIM_{name}_VALUES", "").strip("{}").split(",")
            after = math.prod(sizes[place + 1:])
            if sizes[place] != len(listed) or math.prod(sizes) != len(band_metadata):
                return None
            texts = [listed[band // after % len(listed)] for band in range(len(band_metadata))]
        kind = metadata.get(f"NETCDF_DIM_{name}_DEF", "").strip("{}").rpartition(",")[2]
        said = {key: metadata.get(f"{name}#{key}", "") for key in (
            "units", "calendar", "standard_name", "axis", "scale_factor", "add_offset", *_MISSING)}
        values = _without_fills(map(_number, texts), [_number(said[key]) for key in _MISSING])
        found.append(Dimension(
            name, _unpacked(values, said["scale_factor"], said["add_offset"]), said["units"],
            said["calendar"], said["standard_name"], said["axis"],
            None if f"{name}#bounds" in metadata else (), kind == _NC_FLOAT))
    return tuple(found)


def _without_fills(values, fills):
    """Return the values with NaN, which no axis can hold, for those that stand for none."""
    fills = [fill for fill in fills if not isinstance(fill, str)]
    return [math.nan if value in fills else value for value in values]


def _unpacked(values, scale, offset):
    if not scale and not offset:
        return tuple(values)
    scale, offset = float(scale or 1.0), float(offset or 0.0)
    return tuple(value if isinstance(value, str) else value * scale + offset for value in values)


def _has_time(dimension):
    return " since " in dimension.units.lower() or dimension.standard_name == "time" or dimension.axis.upper() == "T"


def _other_coordinates(metadata, found):
    known = _HORIZONTAL | {dimension.name.lower() for dimension in found}
    return [name for name in metadata.get("coordinates", "").split() if name.lower() not in known]


def _place(text):
    """Return (file, variable) of a path or of a subdataset string."""
    if not text.upper().startswith(("NETCDF:", "HDF5:", "HDF4")):
        return text, ""
    quoted = text.split('"')
    if len(quoted) == 3:
        return quoted[1], quoted[2].lstrip(":")
    path, _, variable = text.partition(":")[2].rpartition(":")
    return path, variable


def _of_array(path, variable, bands, cells=()):
    """Return the Dimensions of an array of a netCDF or HDF file by GDAL's interface of many dimensions.

    Without ``variable``, of the arrays of (bands, *cells) in it, where they agree.
    """
    dataset, _ = call(gdal.OpenEx, path, gdal.OF_MULTIDIM_RASTER)
    root = dataset.GetRootGroup() if dataset is not None else None
    if root is None:
        return ()
    if variable:
        array = _array(root, variable)
        return _along(root, array, bands) if array is not None else ()
    found = set()
    for group in _groups(root):
        for name in group.GetMDArrayNames() or ():
            array, _ = call(group.OpenMDArray, name)
            if array is not None and _shape(array) == (bands, *cells):
                found.add(_along(group, array, bands))
    return found.pop() if len(found) == 1 else ()


def _groups(root):
    groups = [root]
    for group in groups:
        for name in group.GetGroupNames() or ():
            inner, _ = call(group.OpenGroup, name)
            if inner is not None:
                groups.append(inner)
    return groups


def _array(root, name):
    if name.startswith("/") or "/" in name:
        array, _ = call(root.OpenMDArrayFromFullname, "/" + name.lstrip("/"))
        return array
    array, failure = call(root.OpenMDArray, name)
    if array is not None and not failure:
        return array
    inside = [found for found, _ in (call(group.OpenMDArray, name) for group in _groups(root)[1:]) if found is not None]
    return inside[0] if len(inside) == 1 else None


def _shape(array):
    return tuple(int(dimension.GetSize()) for dimension in array.GetDimensions())


def _along(group, array, bands):
    """Return the Dimensions of all but the last two axes of an array, with what else the file says of the time."""
    axes = array.GetDimensions()
    outer = axes[:-2] if len(axes) > 2 else []
    sizes = [int(axis.GetSize()) for axis in outer]
    total = math.prod(sizes)
    if total != bands:
        return ()
    found, after = [], total
    for axis, size in zip(outer, sizes):
        after //= size
        places = [band // after % size for band in range(bands)]
        coordinate, _ = call(axis.GetIndexingVariable)
        if coordinate is None:
            coordinate, _ = call(group.OpenMDArray, axis.GetName())
        dimension = None if coordinate is None else _read(group, coordinate, axis.GetName(), places)
        found.append(dimension or Dimension(axis.GetName(), tuple(float(place + 1) for place in places)))
    if not any(map(_has_time, found)):
        _put_auxiliary(group, array, [axis.GetName() for axis in outer], sizes, found)
    return tuple(found)


def _put_auxiliary(group, array, axes, sizes, found):
    """Put the one coordinate of time that the attribute 'coordinates' names among the Dimensions ``found``.

    One along an axis takes the place of that axis; a single time stands beside them.
    """
    times = []
    for name in str(_attribute(array, "coordinates")).split():
        coordinate, _ = call(group.OpenMDArray, name)
        own = [axis.GetName() for axis in coordinate.GetDimensions()] if coordinate is not None else None
        if own is None or len(own) > 1 or own and own[0] not in axes:
            continue
        place = axes.index(own[0]) if own else len(axes)
        after = math.prod(sizes[place + 1:])
        places = [band // after % sizes[place] if own else 0 for band in range(math.prod(sizes))]
        dimension = _read(group, coordinate, name, places)
        if dimension is not None and _has_time(dimension):
            times.append((place, dimension))
    times = [pair for pair in times if pair[1].standard_name == "time"] or times
    if len(times) == 1:
        place, dimension = times[0]
        found[place:place + 1] = [dimension]


def _attribute(array, name):
    attribute, _ = call(array.GetAttribute, name)
    value, _ = call(attribute.Read) if attribute is not None else (None, "")
    return value if value is not None else ""


def _read(group, coordinate, name, places):
    values, failure = call(coordinate.Read) if coordinate.GetDataType().GetClass() == gdal.GEDTC_STRING else call(
        coordinate.ReadAsArray)
    if values is None or failure:
        return None
    listed = list(values) if isinstance(values, (list, tuple)) else values.ravel().tolist()
    stated = [_attribute(coordinate, key) for key in _MISSING]
    # HDF5 keeps a single value as an array of one
    fills = [_number(str(value[0] if isinstance(value, (list, tuple)) and value else value)) for value in stated]
    listed = _unpacked(_without_fills(listed, fills), coordinate.GetScale(), coordinate.GetOffset())
    if max(places, default=0) >= len(listed):
        return None
    bounds = ()
    if _attribute(coordinate, "bounds"):
        limits, _ = call(group.OpenMDArray, str(_attribute(coordinate, "bounds")))
        ends = None if limits is None else limits.ReadAsArray()
        bounds = None
        if ends is not None and ends.size == 2 * len(listed):
            # bounds are packed as their coordinate where they say nothing themselves
            ends = _unpacked(ends.ravel().tolist(), limits.GetScale() or coordinate.GetScale(),
                             limits.GetOffset() or coordinate.GetOffset())
            bounds = tuple((ends[2 * place], ends[2 * place + 1]) for place in places)
    single = coordinate.GetDataType().GetNumericDataType() == gdal.GDT_Float32
    return Dimension(name, tuple(listed[place] for place in places), coordinate.GetUnit() or str(
        _attribute(coordinate, "units")), str(_attribute(coordinate, "calendar")),
        str(_attribute(coordinate, "standard_name")), str(_attribute(coordinate, "axis")), bounds, single)


def _sources(dataset):
    """Return {band: (path, band inside)} of the first source of every band of a virtual raster."""
    text = virtual_text(dataset)
    folder = os.path.dirname(dataset.GetDescription()) if os.path.exists(dataset.GetDescription()) else ""
    return _sources_in(text, folder)


@lru_cache(maxsize=8)
def _sources_in(text, folder):
    tree, _ = call(gdal.ParseXMLString, text) if text else (None, "")
    found = {}
    if tree is None:
        return found
    # the source of a warped raster stands once for all bands
    shared = next(_nodes(tree, "SourceDataset"), None)
    for place, node in enumerate(_nodes(tree, "VRTRasterBand"), start=1):
        number = _attribute_of(node, "band")
        if place > 1 and not number:
            # the band of a mask
            continue
        named = next(_nodes(node, "SourceFilename"), shared)
        if named is None:
            continue
        path = _content(named)
        inside = _content(next(_nodes(node, "SourceBand"), None)) or str(place)
        file = _place(path)[0]
        if _attribute_of(named, "relativeToVRT") == "1" and folder and not os.path.isabs(file):
            path = path.replace(file, os.path.join(folder, file), 1)
        if inside.isdigit():
            found[int(number or place)] = (path, int(inside))
    return found


def _nodes(node, name):
    """Yield the elements called ``name`` of a tree of gdal.ParseXMLString: [kind, value, child, …]."""
    if node[0] == gdal.CXT_Element and node[1] == name:
        yield node
        return
    for child in node[2:]:
        yield from _nodes(child, name)


def _attribute_of(node, name):
    found = next((child for child in node[2:] if child[0] == gdal.CXT_Attribute and child[1] == name), None)
    return found[2][1] if found else ""


def _content(node):
    return "" if node is None else "".join(child[1] for child in node[2:] if child[0] == gdal.CXT_Text)


def through_virtual(dataset, metadata, band_metadata, depth=_DEPTH):
    """Return (Dimensions, names) of an open raster; ``names`` are the files that a virtual raster's bands come from.

    Like ``band_dimensions``, but a virtual raster without metadata of its own is asked for those of its files.
    """
    found = band_dimensions(dataset, metadata, band_metadata)
    if dataset.GetDriver().ShortName != "VRT":
        return found, ()
    places = _sources(dataset)
    bands = range(1, len(band_metadata) + 1)
    if not all(band in places for band in bands):
        return found, ()
    names = tuple(os.path.basename(_place(places[band][0])[0]) for band in bands)
    if depth == 0 or found and not any(dimension.bounds is None for dimension in found):
        return found, names
    opened, columns = {}, []
    for band in bands:
        path, inside = places[band]
        if path not in opened:
            inner, _ = call(gdal.OpenEx, path, gdal.OF_RASTER)
            opened[path] = () if inner is None else through_virtual(
                inner, items_of(inner), [items_of(inner.GetRasterBand(i + 1)) for i in range(inner.RasterCount)],
                depth - 1)[0]
        columns.append([dimension.of_bands([inside]) for dimension in opened[path]])
    return _joined(columns) or found, names


def _joined(columns):
    """Return the Dimensions of bands that each have their own, where all have the same ones."""
    kinds = [[(item.name, item.units, item.calendar, item.standard_name, item.axis, item.single) for item in column]
             for column in columns]
    if not kinds or not kinds[0] or any(kind != kinds[0] for kind in kinds):
        return ()
    joined = []
    for parts in zip(*columns):
        limits = [part.bounds for part in parts]
        bounds = None if None in limits else tuple(pair for part in limits for pair in part) if all(limits) else ()
        joined.append(replace(parts[0], values=tuple(part.values[0] for part in parts), bounds=bounds))
    return tuple(joined)


def varying(dimensions, bands):
    """Return the Dimensions along which the ``bands`` (counted from 1) differ."""
    return [dimension for dimension in dimensions if len({dimension.values[band - 1] for band in bands}) > 1]


def parse_select(text):
    """Return {dimension: value as text} of a text such as ``depth=1; member=3``; raises InputError."""
    chosen = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, sign, value = (side.strip() for side in part.partition("="))
        if not sign or not name or not value or name.lower() in chosen:
            raise InputError(f"SELECT is '{text}'; write a dimension and a value, each dimension once, such as "
                             f"depth=1; member=3.")
        chosen[name.lower()] = value
    return chosen


def selected_bands(name, dimensions, bands, chosen, several=1):
    """Return the bands (counted from 1) of a raster called ``name`` that ``chosen`` of ``parse_select`` picks.

    Raises InputError where a dimension or a value does not exist, and where the bands left still differ along more
    than ``several`` dimensions, listing the choices.
    """
    wanted = list(range(1, bands + 1))
    by_name = {dimension.name.lower(): dimension for dimension in dimensions}
    for key, value in chosen.items():
        dimension = by_name.get(key)
        if dimension is None:
            there = f"It has {', '.join(item.name for item in dimensions)}." if dimensions else "It has none."
            raise InputError(f"SELECT names the dimension '{key}', which {name} does not have. {there}")
        texts = _texts(dimension, name)
        fitting = [band for band in wanted if value.lower() == texts[band - 1].lower()
                   or _equal(dimension.values[band - 1], value)]
        if not fitting:
            raise InputError(f"SELECT is {key}={value}, but {name} has no such value. Choose one of: "
                             f"{_choices(dimension, wanted, name)}.")
        wanted = fitting
    differing = varying(dimensions, wanted)
    if len(differing) > several:
        listed = "; ".join(f"{dimension.name}: {_choices(dimension, wanted, name)}" for dimension in differing)
        others = [dimension for dimension in differing if not is_time(dimension)]
        others = others if 0 < len(others) < len(differing) else differing[1:]
        example = "; ".join(f"{dimension.name}={_texts(dimension, name)[wanted[0] - 1]}" for dimension in others)
        raise InputError(
            f"The bands of {name} differ along {len(differing)} dimensions, of which a series can follow one. Set "
            f"SELECT to one value of each other one, for example {example}. The choices are {listed}.")
    return wanted


def _equal(value, text):
    try:
        wanted = float(text)
    except ValueError:
        return False
    return not isinstance(value, str) and abs(value - wanted) <= 1e-6 * max(abs(value), abs(wanted))


def _texts(dimension, name):
    """Return the values of a dimension as SELECT takes them: days where it is one of time, numbers, texts."""
    if is_time(dimension):
        try:
            return [moment_text(moment) for moment in decode(dimension, name).moments]
        except InputError:
            # what cannot be decoded is chosen by its number
            return [_text(value) for value in dimension.values]
    return [_text(value) for value in dimension.values]


def _text(value):
    return value.strip() if isinstance(value, str) else f"{value:.15g}" if float(value).is_integer() else f"{value:.7g}"


def _choices(dimension, bands, name):
    texts = _texts(dimension, name)
    values = list(dict.fromkeys(texts[band - 1] for band in bands))
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    units = f" ({dimension.units})" if dimension.units not in ("", "1") and not is_time(dimension) else ""
    return ", ".join(values[:_LISTED]) + more + units
