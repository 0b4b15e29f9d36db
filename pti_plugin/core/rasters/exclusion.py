"""Cells that are left out of a map because a class raster says what they are: open water and glacier ice above all.

Neither can hold permafrost that thaws as land does, and the paper leaves both out (sections 2.1 and 3.2.1); method,
section 9. What is left out is part of how a map is read (raster.py), so that every tool leaves out the same cells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..common.progress import Progress
from .blocks import Settings, run_blocks
from .grid import AREA_UNITS_PER_KM2, Grid
from .raster import (
    CLASS,
    NO_CLASS,
    Exclusion,
    Source,
    SourceReader,
    display_name,
    on_grid,
    read_info,
    source,
)
from .tally import Tally

#: water and glacier ice of the ensemble land cover, and of LandCover_CCI
WATER_AND_ICE = (210, 220)
_SEPARATORS = re.compile(r"[,;\s]+")
#: keys of the tally of a map: its cells kept, left out, and without a class in the class raster; and the cells of the
#: classes left out that the map does not have anyway
_KEPT, _LEFT_OUT, _UNKNOWN, _ELSEWHERE = range(4)


@dataclass(frozen=True)
class LeftOutClasses:
    """What the user wants left out: the cells where the class raster at ``path`` has one of ``codes``."""

    path: str
    codes: tuple = WATER_AND_ICE

    @property
    def text(self) -> str:
        """What is left out, in words."""
        return f"classes {', '.join(map(str, self.codes))} of {display_name(self.path)}"


def parse_codes(text: str, name: str) -> tuple:
    """Return the codes of a text such as '210, 220', sorted; raises InputError naming the parameter ``name``."""
    words = [word for word in _SEPARATORS.split(text.strip()) if word]
    wrong = [word for word in words if not re.fullmatch(r"[+-]?\d{1,9}", word)]
    if wrong or not words:
        raise InputError(f"{name} is '{text}'; write the codes of the classes to leave out as whole numbers with "
                         f"commas between, such as 210, 220.")
    return tuple(sorted({int(word) for word in words}))


def exclusion_on(left_out: LeftOutClasses, grid: Grid) -> Exclusion:
    """Return the Exclusion that reads on ``grid``; a class raster in another CRS or grid is warped on the fly.

    Raises InputError for a raster of several bands, without any class, of numbers that are no codes, or whose nodata
    value is among the codes; GridError where it does not overlap the grid.
    """
    info = read_info(left_out.path)
    item = source(info.path, CLASS, single_band=True, info=info)
    undone = sorted(set(left_out.codes) & {int(fill) for fill in item.encoding.fills if float(fill).is_integer()})
    if undone:
        raise InputError(f"{info.name} declares {undone[0]} as its nodata value, so that cells of that class cannot be "
                         f"told from cells without a class. Remove that declaration (gdal_edit.py -unsetnodata and "
                         f"the file), or take {undone[0]} out of the codes to leave out.")
    reader = SourceReader()
    empty = np.isnan(reader.sample(item)).all()
    reader.close()
    if empty:
        raise InputError(f"{info.name} has no data at all, so it does not say what to leave out.")
    return Exclusion(on_grid(item, grid), left_out.codes)


def excluding(item: Source, left_out: LeftOutClasses | None, progress: Progress, settings: Settings | None = None,
              zero: bool = False) -> Source:
    """Return ``item``, a class raster, so that the cells of ``left_out`` read as nodata; itself where that is None.

    Counts what is left out of the cells that have a class, and says it; ``zero``: 0 is a class too, as it is not in a
    map of ranks. Raises as ``exclusion_on`` does.
    """
    if left_out is None:
        return item
    grid = item.target or item.grid
    exclusion = exclusion_on(left_out, grid)
    # the run that reads them for good tells the notes on how they are read
    sources = {role: replace(one, encoding=replace(one.encoding, note=""))
               for role, one in (("MAP", item), ("EXCLUDE", exclusion.source))}
    found = run_blocks(grid, sources, _CountKernel(exclusion, zero), {}, None, progress, settings,
                       extra_bytes=32)["found"]
    tell(found, exclusion, f"cells of {item.name}", progress)
    return replace(item, exclusion=exclusion)


@dataclass(frozen=True)
class _CountKernel:
    """Counts the cells of a map, and their ground area, by what the class raster says of them."""

    exclusion: Exclusion
    zero: bool

    def __call__(self, arrays, window, grid):
        known = arrays["MAP"] != NO_CLASS
        if not self.zero:
            known &= arrays["MAP"] != 0
        return {}, {"found": count_left_out(arrays["EXCLUDE"], self.exclusion, known, window, grid)}


def count_left_out(classes, exclusion: Exclusion, among, window, grid: Grid) -> Tally:
    """Return the Tally of the cells ``among`` (bool) of a block, for ``tell``; ``classes`` as the exclusion reads."""
    out = exclusion.holds(classes)
    here = np.where(out, np.where(among, _LEFT_OUT, _ELSEWHERE), np.where(classes == NO_CLASS, _UNKNOWN, _KEPT))
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
    counted = among | out
    return Tally.of(here[counted], areas[counted], 4)


def tell(found: Tally, exclusion: Exclusion, what: str, progress: Progress) -> dict:
    """Say how much is left out of ``what``; return {"cells", "area_km2", "unknown_cells"} for the record.

    ``found``: the Tallies of ``count_left_out`` together.
    """
    cells, area = found.cells, found.area
    name, codes = exclusion.source.name, ", ".join(map(str, exclusion.codes))
    whole, whole_area = found.sum((_KEPT, _LEFT_OUT, _UNKNOWN))
    if whole and not cells[_LEFT_OUT] and cells[_ELSEWHERE]:
        progress.info(f"{name}: none of the {whole:,} {what} has a class left out ({codes}); {cells[_ELSEWHERE]:,} "
                      f"other cells have.")
    elif whole and not cells[_LEFT_OUT]:
        progress.warn(f"None of the {whole:,} {what} has a class {codes} in {name}, so nothing is left out. Check that "
                      f"it is the right class raster and that its codes mean water and glaciers.")
    elif whole:
        progress.info(f"Left out by {name} (classes {codes}): {cells[_LEFT_OUT]:,} of {whole:,} {what}, "
                      f"{area[_LEFT_OUT] / AREA_UNITS_PER_KM2:,.0f} km² "
                      f"({100 * area[_LEFT_OUT] / whole_area:.2f} % of the area).")
    if cells[_UNKNOWN]:
        progress.info(f"{name} has no class in {cells[_UNKNOWN]:,} of {whole:,} {what} "
                      f"({100 * cells[_UNKNOWN] / whole:.3g} %); nothing is left out there.")
    return {"cells": cells[_LEFT_OUT], "area_km2": round(area[_LEFT_OUT] / AREA_UNITS_PER_KM2, 3),
            "unknown_cells": cells[_UNKNOWN]}
