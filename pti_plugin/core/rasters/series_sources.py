"""A series of a product as Sources: recognised, tiles put together, in order of time, in its unit, cut to a region.

The tools that take series open them here, whatever way they were delivered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..common.errors import InputError
from ..common.progress import Progress
from .containers import inner_paths
from .grid import Grid, require_same
from .product_sources import Files, Reading, open_files, sources_of
from .raster import NUMBER, read_info
from .regions import region_of
from .tiles import has_tiles, mosaicked
from .time_axis import DAILY, AxisOptions, layer_stamps, series, stamp_text

_TILE = re.compile(r"(?<![a-z0-9])h\d\dv\d\d(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Region:
    """The part of a series that is computed: what a ``target`` Grid needs, and what lies north of ``min_latitude``."""

    target: Grid | None = None
    min_latitude: float = -90.0


@dataclass(frozen=True)
class OpenSeries:
    """A series ready to be read: ``layers`` in order of time with one Source each in ``items``, all on one grid;
    ``files`` they come from and the ``unit`` that they deliver."""

    layers: tuple
    items: tuple
    files: Files
    unit: str

    @property
    def product(self):
        """The product, or None."""
        return self.files.product

    @property
    def grid(self) -> Grid:
        """The grid of the layers, cut to the region."""
        return self.items[0].grid

    @property
    def infos(self) -> tuple:
        """One RasterInfo a layer."""
        by_path = self.files.by_path
        return tuple(by_path[layer.path] for layer in self.layers)


def open_series(paths: Sequence[str], axis: AxisOptions, reading: Reading, progress,
                region: Region | None = None) -> OpenSeries:
    """Open a series of numbers or codes, the codes as numbers.

    ``paths``: rasters of one grid or tiles of one; ``axis``: how they stand in time. Raises InputError and GridError,
    as open_files, mosaicked, series and sources_of do.
    """
    files = joined(open_files(paths, reading, progress), axis, progress)
    layers = series([info.path for info in files.infos], axis, progress, infos=list(files.infos))
    first = files.infos[0]
    require_same((first.name, first.grid), [(info.name, info.grid) for info in files.infos[1:]],
                 "All layers of a series must share one grid; align them first.")
    by_path = files.by_path
    bands = [(by_path[layer.path], layer.band) for layer in layers]
    unit = files.product.quantity.unit if files.product else _unit(bands)
    items = sources_of(bands, NUMBER, files, reading, progress)
    if region is not None:
        items = region_of(items, region.target, region.min_latitude)
    return OpenSeries(tuple(layers), tuple(items), files, unit)


def joined(files: Files, axis: AxisOptions, progress) -> Files:
    """Return the Files with the tiles of each time put together, or as they are where they are no tiles.

    Tiles are rasters on different parts of one grid, several of one time or named as tiles of the MODIS grid. Raises
    InputError for tiles whose time is not known, and as mosaicked does.
    """
    infos = files.infos
    if len({info.grid.transform for info in infos}) == 1 or any(info.bands > 1 for info in infos):
        return files
    stamps, period = _stamps(infos, axis)
    named = all(_TILE.search(os.path.basename(inner_paths(str(info.path))[0])) for info in infos)
    if not named and not has_tiles(stamps):
        return files
    if None in stamps:
        name = infos[stamps.index(None)].name
        raise InputError(f"{name} is one of several tiles, but its time is not known, so it cannot be told which "
                         f"belong together. Name the files with their date, or state in DATE_FORMAT how it stands "
                         f"there.")
    found = mosaicked(infos, stamps, progress, lambda stamp: stamp_text(stamp, period))
    return Files(files.found, tuple(read_info(path) for path, _ in found))


def _stamps(infos, axis):
    """Return (the stamps of the tiles, steps a year): by the day where all state one, else by the steps asked for."""
    for period in dict.fromkeys((DAILY, axis.period or DAILY)):
        stamps = layer_stamps(infos, period, Progress(), axis.date_format)
        if None not in stamps:
            break
    return stamps, period


def _unit(bands):
    """Return the unit that all bands declare; raises InputError where they differ."""
    units = {info.units[band - 1] for info, band in bands}
    if len(units) > 1:
        raise InputError(f"The layers declare different units ({', '.join(sorted(unit or 'none' for unit in units))}). "
                         f"Convert them to one first.")
    return units.pop()
