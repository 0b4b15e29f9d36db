"""Tiles: rasters of one time that lie beside each other are one layer, put together without copying a cell.

The layer is a virtual raster written out, which GDAL opens like a path. Stored values, nodata, scale, unit, colours and
names stay those of the tiles. Which layers are of one time is told in time_axis.py.
"""

import os
import re
from collections import Counter
from html import escape

from osgeo import gdal

from ..common.errors import InputError
from .containers import VIRTUAL, inner_paths
from .gdal_errors import call, open_raster
from .gdal_texts import items_of, virtual_text
from .grid import spatial_reference

#: by how much of a cell the corner of a tile may lie off the lattice of the first; corners are stored rounded
MOST_OFF = 0.01
#: type with room for a nodata value beside every value of a type without one, and that value
ROOM = {"Byte": ("Int16", -32768), "Int8": ("Int16", -32768), "UInt16": ("Int32", -2147483648),
        "Int16": ("Int32", -2147483648), "Int32": ("Float64", float("nan")), "UInt32": ("Float64", float("nan")),
        "Float32": ("Float32", float("nan")), "Float64": ("Float64", float("nan"))}
_TILE = re.compile(r"(?<![a-z0-9])h\d\dv\d\d(?![a-z0-9])", re.IGNORECASE)


def has_tiles(stamps):
    """True where a time stamp (None for none) occurs more than once."""
    return any(count > 1 for stamp, count in Counter(stamps).items() if stamp is not None)


def mosaicked(infos, stamps, progress, text=str):
    """Return [(path, stamp)], one a stamp in order of their first tiles, all on one grid that holds every tile.

    ``infos``: RasterInfos of the tiles; ``stamps``: one each, none of them None; ``text`` makes a stamp readable. A
    tile that a time lacks is nodata there, and said. Raises InputError for tiles that differ in anything but their
    place, that do not fit together, and for two of one place and time.
    """
    lattice = _Lattice(infos[0])
    places = [lattice.place(info) for info in infos]
    groups = {}
    for info, stamp, place in zip(infos, stamps, places):
        tiles = groups.setdefault(stamp, {})
        if place in tiles:
            raise InputError(f"{tiles[place].name} and {info.name} are the same tile at the same time, {text(stamp)}. "
                             f"Leave one out.")
        tiles[place] = info
    for tiles in groups.values():
        _refuse_overlap(tiles)
    _tell_missing(groups, set(places), progress, text)
    frame = _frame(groups)
    gaps = any(_gap(tiles, frame) for tiles in groups.values())
    return [(lattice.virtual(tiles, frame, gaps), stamp) for stamp, tiles in groups.items()]


class _Lattice:
    """The cells that all tiles are part of, and what the first tile says of them."""

    def __init__(self, first):
        self._first = first
        self._system = spatial_reference(first.grid.wkt)
        transform = first.grid.transform
        if transform[2] or transform[4]:
            raise InputError(f"{first.name} is one of several tiles of one time and is rotated; tiles must lie along "
                             f"the axes. Merge them first.")
        self._west, self._width, _, self._north, _, self._height = transform

    def place(self, info):
        """Return (column, row, columns, rows) of a tile, counted from the corner of the first one."""
        if info is not self._first:
            self._compare(info)
        west, width, across, north, along, height = info.grid.transform
        columns, rows = (west - self._west) / self._width, (north - self._north) / self._height
        drift = max(abs(width / self._width - 1) * info.grid.width, abs(height / self._height - 1) * info.grid.height)
        off = max(abs(columns - round(columns)), abs(rows - round(rows)))
        if across or along or drift > MOST_OFF or off > MOST_OFF:
            raise InputError(f"{info.name} and {self._first.name} carry the same time or lie in one series of tiles, "
                             f"but their cells do not fit together. Align them first, or leave one out.")
        return round(columns), round(rows), info.grid.width, info.grid.height

    def _compare(self, info):
        if info.grid.wkt != self._first.grid.wkt and not self._system.IsSame(spatial_reference(info.grid.wkt)):
            raise InputError(f"{info.name} and {self._first.name} are tiles of one series but have different CRSs. "
                             f"Leave one out, or align them in runs of their own.")
        for what, own, other in zip(("number of bands", "data type", "nodata value", "valid range", "scale or offset",
                                     "unit"),
                                    _facts(self._first), _facts(info)):
            if own != other:
                raise InputError(f"{info.name} and {self._first.name} are tiles of one series but differ in their "
                                 f"{what}: {_readable(other)} and {_readable(own)}. Give tiles of one product only.")

    def virtual(self, tiles, frame, gaps):
        """Return the virtual raster of the tiles {place: info} of one time on ``frame`` (column, row, columns, rows).

        With ``gaps``, cells beyond all tiles occur in the series and need a nodata value.
        """
        left, top, columns, rows = frame
        made, failure = call(gdal.GetDriverByName("VRT").Create, "", columns, rows, 0)
        if made is None:
            raise InputError(f"The tiles of {self._first.name} cannot be put together: {failure}.")
        made.SetSpatialRef(self._system)
        made.SetGeoTransform((self._west + left * self._width, self._width, 0.0,
                              self._north + top * self._height, 0.0, self._height))
        first = next(iter(tiles.values()))
        pattern = open_raster(first.path)
        made.SetMetadata(items_of(pattern))
        for number in range(1, first.bands + 1):
            _add_band(made, pattern.GetRasterBand(number), first.encodings[number - 1], gaps)
            band = made.GetRasterBand(number)
            for i, ((column, row, _, _), info) in enumerate(sorted(tiles.items())):
                band.SetMetadataItem(f"source_{i}", _source(info, number, column - left, row - top),
                                     "new_vrt_sources")
        text = virtual_text(made)
        if not text.startswith(VIRTUAL):
            raise InputError(f"The tiles of {first.name} cannot be put together: GDAL made no virtual raster.")
        return text


def _add_band(made, pattern, encoding, gaps):
    """Add a band that says what the band ``pattern`` says, and in other words what its Encoding is."""
    dtype, nodata = gdal.GetDataTypeName(pattern.DataType), encoding.fills[0] if encoding.fills else None
    if gaps and nodata is None:
        if dtype not in ROOM or encoding.reinterpreted:
            raise InputError(f"Tiles of the type {encoding.dtype} without a nodata value leave cells of the series "
                             f"empty. Set a nodata value in the files first.")
        dtype, nodata = ROOM[dtype]
    made.AddBand(gdal.GetDataTypeByName(dtype))
    band = made.GetRasterBand(made.RasterCount)
    if nodata is not None:
        band.SetNoDataValue(nodata)
    if not encoding.plain:
        band.SetScale(encoding.scale)
        band.SetOffset(encoding.offset)
    for setter, value in ((band.SetUnitType, encoding.unit), (band.SetDescription, pattern.GetDescription()),
                          (band.SetMetadata, items_of(pattern)),
                          (band.SetCategoryNames, pattern.GetCategoryNames()),
                          (band.SetColorTable, pattern.GetColorTable()),
                          (band.SetColorInterpretation, pattern.GetColorInterpretation())):
        if value is not None:
            setter(value)


def _facts(info):
    """What tiles must have in common: bands, types, nodata values, scales and units."""
    if any(encoding.masked for encoding in info.encodings):
        raise InputError(f"{info.name} is one of several tiles of one time and has a mask or an alpha band, which "
                         f"would be lost. Merge the tiles first, with a nodata value.")
    return (info.bands, info.dtypes,
            tuple(" and ".join(f"{fill:g}" for fill in encoding.fills) or "none" for encoding in info.encodings),
            tuple(encoding.valid for encoding in info.encodings), info.scales, info.units)


def _readable(fact):
    return ", ".join(map(str, dict.fromkeys(fact))) if isinstance(fact, tuple) else str(fact)


def _source(info, band, column, row):
    """The XML of a tile inside the virtual raster; with its size and type, so that opening it can wait."""
    path = str(info.path)
    path = os.path.abspath(path) if os.path.exists(path) else path
    columns, rows = info.grid.width, info.grid.height
    return (f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(path)}</SourceFilename>'
            f'<SourceBand>{band}</SourceBand><SourceProperties RasterXSize="{columns}" RasterYSize="{rows}" '
            f'DataType="{info.dtypes[band - 1]}" BlockXSize="{info.block[0]}" BlockYSize="{info.block[1]}"/>'
            f'<SrcRect xOff="0" yOff="0" xSize="{columns}" ySize="{rows}"/>'
            f'<DstRect xOff="{column}" yOff="{row}" xSize="{columns}" ySize="{rows}"/></SimpleSource>')


def _refuse_overlap(tiles):
    """Raise InputError for tiles {(column, row, columns, rows): info} that share cells."""
    by_column = sorted(tiles.items())
    for i, ((left, top, columns, rows), info) in enumerate(by_column):
        for (other_left, other_top, _, other_rows), other in by_column[i + 1:]:
            if other_left >= left + columns:
                break
            if other_top < top + rows and top < other_top + other_rows:
                raise InputError(f"{info.name} and {other.name} carry the same time and overlap: they are no tiles of "
                                 f"one layer. Leave one out, or merge them first.")


def _frame(groups):
    """(column, row, columns, rows) of the rectangle round the tiles of all times."""
    places = [place for tiles in groups.values() for place in tiles]
    left, top = min(place[0] for place in places), min(place[1] for place in places)
    return (left, top, max(place[0] + place[2] for place in places) - left,
            max(place[1] + place[3] for place in places) - top)


def _gap(tiles, frame):
    return sum(columns * rows for _, _, columns, rows in tiles) < frame[2] * frame[3]


def _tell_missing(groups, every, progress, text):
    names = {}
    for tiles in groups.values():
        for place, info in tiles.items():
            found = _TILE.search(os.path.basename(inner_paths(str(info.path))[0]))
            names.setdefault(place, found[0] if found else f"the tile of {info.name}")
    lacking = [f"{text(stamp)}: {', '.join(names[place] for place in sorted(every - set(tiles)))}"
               for stamp, tiles in groups.items() if every - set(tiles)]
    progress.info(f"{sum(map(len, groups.values()))} tiles are put together to {len(groups)} layers of "
                  f"{len(every)} tiles.")
    if lacking:
        progress.warn(f"Tiles are missing at {len(lacking)} of {len(groups)} times, and nodata there: "
                      + "; ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "") + ".")
