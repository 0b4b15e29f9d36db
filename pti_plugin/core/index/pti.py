"""The conceptual Permafrost Thaw Index: two tiers, ten ranks, and for every cell the reason of its rank.

Method, section 3; the paper's section 2.2.3 and Table 3.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..common.profiles import DEFENSIBLE
from ..ensembles.permafrost import common_grid
from ..rasters.blocks import OutputSpec, run_blocks
from ..rasters.exclusion import LeftOutClasses, count_left_out, exclusion_on, tell
from ..rasters.grid import AREA_UNITS_PER_KM2
from ..rasters.product_sources import Reading, layer_in_role
from ..rasters.products import RECOGNISE
from ..rasters.raster import (
    CLASS,
    NO_CLASS,
    Exclusion,
    Source,
    SourceReader,
    on_grid,
    read_info,
    require_codes,
    source,
)
from ..rasters.tally import Tally
from ..rasters.units import QUANTITIES

#: reason codes, what they say and their colours; 0 is nodata of the reason raster
REASONS = {
    1: ("Not ranked: outside the permafrost base map", "#e8e6e1"),
    2: ("Not ranked: MAGT above the upper limit", "#f7b6a6"),
    3: ("Not ranked: PP missing on the base map", "#9e9e9e"),
    4: ("Not ranked: MAGT missing", "#616161"),
    5: ("Not ranked: a trend is not testable", "#bdbdbd"),
    6: ("Not ranked: left out by its class (water, glacier ice)", "#a6cee3"),
    10: ("Isolated: PP below the limit", ranks.BY_CODE[40].colour),
    11: ("Isolated: PP below the limit, MAGT missing", "#c51b8a"),
    20: ("Ranked by MAGT and both trends", "#2171b5"),
    21: ("Ranked; MAGT trend not testable, taken as none", "#41b6c4"),
    22: ("Ranked; ALT trend not testable, taken as none", "#78c679"),
    23: ("Ranked; neither trend testable, taken as none", "#fed976"),
}
REASON_NODATA = 0
TRENDS = ("MAGT_TREND", "ALT_TREND")
TREND_TAGS = ("PTI_FIRST_YEAR", "PTI_LAST_YEAR", "PTI_LAYERS")


@dataclass(frozen=True)
class PtiOptions:
    """Thresholds of Table 3 (°C, %), the choices of section 9 of the method, and the classes left out, or None.

    ``units``, ``product`` and ``products`` of MAGT and PP: see Reading.
    """

    cold: float = -3.0
    cool: float = -1.5
    warm: float = 3.0
    isolated: float = 10.0
    isolated_needs_magt: bool = False
    untestable_is_nodata: bool = False
    profile: object = DEFENSIBLE
    units: str = ""
    left_out: LeftOutClasses = None
    product: str = RECOGNISE
    products: str = ""

    def check(self):
        """Raise InputError where the thresholds are not in order."""
        if not self.cold < self.cool < self.warm:
            raise InputError(f"The MAGT thresholds must rise: {self.cold:g}, {self.cool:g}, {self.warm:g} do not.")
        if not 0 <= self.isolated <= 100:
            raise InputError(f"The PP limit of isolated patches is {self.isolated:g} %; it must lie in 0 to 100.")


def rank_cells(magt, magt_trend, alt_trend, percent, base, options, left_out=None):
    """Return (PTI, reason) as uint8 arrays for arrays of one shape.

    ``magt`` °C and ``percent`` % are float with NaN; the trends are int signs −1, 0, 1 and ``base`` int 0, 1, with
    NO_CLASS for nodata; ``left_out``: bool, or None. Order: base map, left out (so that its reason counts all the
    permafrost land that is left out), MAGT above the upper limit, PP missing, PP below the isolated limit, MAGT
    missing, trends, tiers. Cold is MAGT < −3, cool −3 … −1.5 closed, warm above, up to and with 3. Values and limits
    are compared in single precision, as the rasters of the ensemble hold them: 276.15 K made of scaled numbers is 3 °C.
    """
    magt, percent = np.asarray(magt, dtype=np.float32), np.asarray(percent, dtype=np.float32)
    cold, cool, warm, least = map(np.float32, (options.cold, options.cool, options.warm, options.isolated))
    index = np.zeros(magt.shape, dtype=np.uint8)
    reason = np.zeros(magt.shape, dtype=np.uint8)
    reason[(base != NO_CLASS) & (base != 1)] = 1
    open_cells = base == 1
    if left_out is not None:
        reason[open_cells & left_out] = 6
        open_cells &= ~left_out
    with np.errstate(invalid="ignore"):
        too_warm = open_cells & (magt > warm)
        isolated = open_cells & ~too_warm & (percent < least)
    reason[too_warm] = 2
    open_cells = open_cells & ~too_warm
    no_percent = open_cells & np.isnan(percent)
    reason[no_percent] = 3
    open_cells &= ~no_percent
    no_magt = np.isnan(magt)
    if options.isolated_needs_magt:
        isolated &= ~no_magt
    index[isolated] = 40
    reason[isolated] = np.where(no_magt[isolated], 11, 10)
    open_cells &= ~isolated
    reason[open_cells & no_magt] = 4
    open_cells &= ~no_magt
    untested_magt, untested_alt = magt_trend == NO_CLASS, alt_trend == NO_CLASS
    if options.untestable_is_nodata:
        untested = open_cells & (untested_magt | untested_alt)
        reason[untested] = 5
        open_cells &= ~untested
    with np.errstate(invalid="ignore"):
        tier = np.where(magt < cold, 10, np.where(magt <= cool, 20, 30))
    positive = (magt_trend == 1).astype(np.uint8) + (alt_trend == 1)
    index[open_cells] = (tier + 1 + positive)[open_cells].astype(np.uint8)
    known = 20 + untested_magt.astype(np.uint8) + 2 * untested_alt if options.profile.report_untestable_trend \
        else np.full(magt.shape, 20)
    reason[open_cells] = known[open_cells].astype(np.uint8)
    return index, reason


@dataclass(frozen=True)
class PtiKernel:
    """The arithmetic of one block and its tallies by rank and by reason."""

    options: PtiOptions
    names: tuple
    exclusion: Exclusion = None

    def __call__(self, arrays, window, grid):
        """Return the PTI and reason of a block, with cells, areas and PP-weighted areas by rank."""
        require_signs(arrays, self.names)
        require_codes(arrays["BASE"], (0, 1), self.names[2], "a base map (0 and 1)")
        left_out = self.exclusion.holds(arrays["EXCLUDE"]) if self.exclusion else None
        index, reason = rank_cells(arrays["MAGT"], arrays["MAGT_TREND"], arrays["ALT_TREND"], arrays["PP"],
                                   arrays["BASE"], self.options, left_out)
        areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
        percent = np.nan_to_num(arrays["PP"])
        ranked = index != ranks.NO_RANK
        tally = Tally.of(index[ranked], areas[ranked], 256)
        weighted = Tally.of(index[ranked], np.rint(areas[ranked] * (percent[ranked] / 100)).astype(np.int64), 256)
        reasons = Counter({int(code): int(count) for code, count in zip(*np.unique(reason, return_counts=True))})
        tallies = {"cells": tally.cells, "area": tally.area, "weighted": weighted.area, "reasons": reasons}
        if self.exclusion:
            tallies["left_out"] = count_left_out(arrays["EXCLUDE"], self.exclusion, arrays["BASE"] == 1, window, grid)
        return {"pti": index, "reason": reason}, tallies


def require_signs(arrays, names):
    """Raise InputError where a block of the trends, called ``names``, holds anything but −1, 0, 1 and nodata."""
    for role, name in zip(TRENDS, names):
        require_codes(arrays[role], (-1, 0, 1), name, "a significant-sign raster (−1, 0, 1) of the trend tool")


def ranked_cells(values, name):
    """Return where a block of the PTI map ``name`` has a rank; raises InputError for codes that are none."""
    ranked = (values != NO_CLASS) & (values != ranks.NO_RANK)
    require_codes(np.where(ranked, values, NO_CLASS), ranks.CODES, name, "a PTI map (ranks 11 to 40)")
    return ranked


def area_table(cells, area, weighted=None):
    """Return the area by rank: a list of dicts rank, label, cells, area_km2, share_percent, pp_weighted_km2."""
    total = sum(area.values())
    rows = []
    for rank in ranks.RANKS:
        row = {"rank": rank.code, "tier": rank.tier, "label": rank.label, "cells": int(cells.get(rank.code, 0)),
               "area_km2": round(area.get(rank.code, 0) / AREA_UNITS_PER_KM2, 3),
               "share_percent": round(100 * area.get(rank.code, 0) / total, 3) if total else 0.0}
        if weighted is not None:
            row["pp_weighted_km2"] = round(weighted.get(rank.code, 0) / AREA_UNITS_PER_KM2, 3)
        rows.append(row)
    return rows


def map_areas(path, progress):
    """Return the area table of a PTI raster in any CRS; raises InputError for codes that are no ranks.

    ``path`` may be a Source on its own grid.
    """
    item = path if isinstance(path, Source) else source(path, CLASS, single_band=True)
    reader, found = SourceReader(), Tally(Counter(), Counter())
    step = max(1, (1 << 20) // item.grid.width)
    for row in range(0, item.grid.height, step):
        progress.check()
        rows = min(step, item.grid.height - row)
        index = reader.read(item, row, rows, 0, item.grid.width)
        ranked = ranked_cells(index, item.name)
        if ranked.any():
            areas = item.grid.cell_areas(row, rows, 0, item.grid.width)
            found.update(Tally.of(index[ranked], areas[ranked], 256))
        progress.set((row + rows) / item.grid.height)
    reader.close()
    return area_table(found.cells, found.area)


def tier_shares(rows):
    """Return {tier: share in %} of an area table."""
    return {tier: round(sum(row["share_percent"] for row in rows if row["tier"] == tier), 2) for tier in ranks.TIERS}


def check_trend_years(magt_info, alt_info):
    """Raise InputError where the RasterInfos of the two sign rasters state different years."""
    ours = [[info.metadata.get(tag) for tag in TREND_TAGS] for info in (magt_info, alt_info)]
    if all(ours[0]) and all(ours[1]) and ours[0] != ours[1]:
        spans = [f"{first}–{last} ({layers} layers)" for first, last, layers in ours]
        raise InputError(f"The two trends cover different years: {magt_info.name} {spans[0]}, {alt_info.name} "
                         f"{spans[1]}. Run the trend tool on the same years for both.")


def class_source(info, grid, reader):
    """Return the Source of a layer of codes on ``grid``; raises InputError where it has no data at all."""
    item = source(info.path, CLASS, single_band=True, info=info)
    if np.isnan(reader.sample(item)).all():
        raise InputError(f"{info.name} has no data at all: every cell is nodata.")
    return on_grid(item, grid)


def index_spec(path, profile):
    """Return the OutputSpec of a PTI raster."""
    return OutputSpec(path, "uint8", ranks.NO_RANK, ("Permafrost Thaw Index",), colours=ranks.colour_table(),
                      metadata={"PTI_PROFILE": profile.name})


def build_pti(paths, outputs, staging, progress, options=None, target=None, settings=None):
    """Make the conceptual PTI from rasters and stage its rasters.

    ``paths``: {"MAGT", "MAGT_TREND", "ALT_TREND", "PP", "BASE"}: raster path}. ``outputs``: {"pti", "reason": path}.
    Returns {"table": area table, "reasons": {reason: cells}, "area_km2": total}, and "left_out" where classes are.
    Raises InputError, GridError, OutputError, Cancelled.
    """
    options = options or PtiOptions()
    options.check()
    reading = Reading.of(options)
    numbers = {role: layer_in_role(paths[role], role.lower(), QUANTITIES[role.lower()], reading, progress)
               for role in ("MAGT", "PP")}
    infos = {role: numbers[role][0] if role in numbers else read_info(path) for role, path in paths.items()}
    check_trend_years(*(infos[role] for role in TRENDS))
    grid = target or common_grid(list(infos.values()))
    reader = SourceReader()
    sources = {role: on_grid(numbers[role][1], grid) if role in numbers else class_source(info, grid, reader)
               for role, info in infos.items()}
    reader.close()
    exclusion = exclusion_on(options.left_out, grid) if options.left_out else None
    if exclusion:
        sources["EXCLUDE"] = exclusion.source
    kernel = PtiKernel(options, (infos["MAGT_TREND"].name, infos["ALT_TREND"].name, infos["BASE"].name), exclusion)
    specs = {
        "pti": index_spec(outputs.get("pti"), options.profile),
        "reason": OutputSpec(outputs.get("reason"), "uint8", REASON_NODATA, ("reason of the rank",),
                             colours={code: (label, ranks.hex_to_rgb(colour))
                                      for code, (label, colour) in REASONS.items()}),
    }
    tallies = run_blocks(grid, sources, kernel, specs, staging, progress, settings, extra_bytes=80)
    cells, area = tallies["cells"], tallies["area"]
    told = {"left_out": tell(tallies["left_out"], exclusion, "cells of the base map", progress)} if exclusion else {}
    if not cells:
        raise InputError("No cell received a rank. Check that the layers overlap and that MAGT, PP and the base map "
                         "have data in the same place" + (", outside the classes left out." if exclusion else "."))
    reasons = tallies["reasons"]
    untested = sum(reasons[code] for code in (21, 22, 23))
    if untested:
        progress.warn(f"{untested} ranked cells have a trend that could not be tested; it counts as 'no trend' there "
                      f"(reason codes 21–23).")
    return {"table": area_table(cells, area, tallies["weighted"]),
            "reasons": {REASONS[code][0]: count for code, count in sorted(reasons.items()) if code},
            "area_km2": sum(area.values()) / AREA_UNITS_PER_KM2, **told}
