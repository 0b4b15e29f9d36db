"""Two PTI maps of the same land: how far apart their ranks are, and how much ground goes from which rank to which.

Distances are counted in places of the order of the ranks (``ranks.ORDER``), areas are true ground areas.
"""

from dataclasses import dataclass

import numpy as np

from ..common import ranks
from ..common.departures import differences
from ..common.errors import InputError
from ..common.provenance import collect_records
from ..ensembles.permafrost import common_grid
from ..rasters.blocks import OutputSpec, run_blocks
from ..rasters.exclusion import excluding
from ..rasters.grid import AREA_UNITS_PER_KM2
from ..rasters.raster import SourceReader, read_info
from ..rasters.tally import Tally
from .pti import class_source, ranked_cells

#: nodata of the difference raster: ranked in neither map; 0 is the same rank
DIFFERENCE_NODATA = -32768
ONLY_FIRST, ONLY_SECOND = 100, 101
#: codes of the difference raster, what they say and their colours
DIFFERENCES = {
    -9: ("Second map lower by 9 ranks", "#023858"),
    -8: ("Second map lower by 8 ranks", "#034570"),
    -7: ("Second map lower by 7 ranks", "#045382"),
    -6: ("Second map lower by 6 ranks", "#0a649b"),
    -5: ("Second map lower by 5 ranks", "#2a78b2"),
    -4: ("Second map lower by 4 ranks", "#4a8fc2"),
    -3: ("Second map lower by 3 ranks", "#63a0cc"),
    -2: ("Second map lower by 2 ranks", "#82b5da"),
    -1: ("Second map lower by 1 rank", "#aacde6"),
    0: ("Same rank", "#ecebe7"),
    1: ("Second map higher by 1 rank", "#fdc899"),
    2: ("Second map higher by 2 ranks", "#fbaa71"),
    3: ("Second map higher by 3 ranks", "#f68d4f"),
    4: ("Second map higher by 4 ranks", "#ee7434"),
    5: ("Second map higher by 5 ranks", "#db5a1a"),
    6: ("Second map higher by 6 ranks", "#c1450d"),
    7: ("Second map higher by 7 ranks", "#a43606"),
    8: ("Second map higher by 8 ranks", "#8a2c04"),
    9: ("Second map higher by 9 ranks", "#6e2203"),
    ONLY_FIRST: ("Ranked in the first map only", "#8c6bb1"),
    ONLY_SECOND: ("Ranked in the second map only", "#41ab5d"),
}

#: what the table and the log call two maps that are given
NAMES = ("first map", "second map")
#: columns of the table of a comparison; shares are of the area, or of the cells, that the section is about
COLUMNS = ("section", "item", "from_rank", "to_rank", "cells", "area_km2", "share_percent", "cells_percent", "first",
           "second")
#: section with what the records say that the two runs have otherwise
RUNS = "runs"

#: place of every code in the order of the ranks, −1 for none
PLACES = np.full(256, -1, dtype=np.int16)
PLACES[list(ranks.CODES)] = [ranks.ORDER[code] for code in ranks.CODES]


def rank_difference(first, second):
    """Return second − first of two uint8 arrays of ranks (0 = none) as int16: places, ONLY_…, DIFFERENCE_NODATA."""
    one, two = PLACES[first], PLACES[second]
    difference = two - one
    difference[two < 0] = ONLY_FIRST
    difference[one < 0] = ONLY_SECOND
    difference[(one < 0) & (two < 0)] = DIFFERENCE_NODATA
    return difference


def tally_ranks(first, second, areas):
    """Return the Tally of two uint8 arrays of ranks by 256 · first + second, where either is one."""
    ranked = (first != ranks.NO_RANK) | (second != ranks.NO_RANK)
    return Tally.of(first[ranked].astype(np.int64) << 8 | second[ranked], areas[ranked], 1 << 16)


def table_row(section, item, found, whole, ranks_of=(None, None)):
    """Return a row of the table; ``found`` and ``whole`` are (cells, area), shares are of the whole."""
    (cells, area), (all_cells, all_area) = found, whole
    return {"section": section, "item": item, "from_rank": ranks_of[0], "to_rank": ranks_of[1], "cells": cells,
            "area_km2": round(area / AREA_UNITS_PER_KM2, 3),
            "share_percent": round(100 * area / all_area, 4) if all_area else 0.0,
            "cells_percent": round(100 * cells / all_cells, 4) if all_cells else 0.0}


def comparison_rows(tally, names):
    """Return the sections "summary" and "transition" of a Tally of tally_ranks; ``names`` are those of the maps.

    Shares are of what is ranked in either map. Every pair that occurs has a row, 0 standing for no rank. Raises
    InputError where neither map has a rank.
    """
    pairs = {(key >> 8, key & 255): key for key in sorted(tally.cells)}
    if not pairs:
        raise InputError(f"Neither {names[0]} nor {names[1]} has a rank in any cell. Check that the layers overlap.")
    whole = tally.sum(pairs.values())
    both = {pair: key for pair, key in pairs.items() if all(pair)}
    steps = {pair: ranks.ORDER[pair[1]] - ranks.ORDER[pair[0]] for pair in both}
    same_tier = {pair for pair in both if ranks.BY_CODE[pair[0]].tier == ranks.BY_CODE[pair[1]].tier}
    items = {
        "ranked in either": pairs, "ranked in both": both,
        "same rank": [pair for pair in both if steps[pair] == 0],
        "different rank": [pair for pair in both if steps[pair]],
        "within one rank": [pair for pair in both if abs(steps[pair]) <= 1],
        "same tier": same_tier, "different tier": [pair for pair in both if pair not in same_tier],
        f"higher in {names[1]}": [pair for pair in both if steps[pair] > 0],
        f"lower in {names[1]}": [pair for pair in both if steps[pair] < 0],
        f"only in {names[0]}": [pair for pair in pairs if not pair[1]],
        f"only in {names[1]}": [pair for pair in pairs if not pair[0]],
    }
    rows = [table_row("summary", item, tally.sum(pairs[pair] for pair in members), whole)
            for item, members in items.items()]
    return rows + [table_row("transition", None, tally.sum([key]), whole, pair) for pair, key in pairs.items()]


def share_of(rows, item, section="summary", column="share_percent"):
    """Return one figure of a table: ``column`` of the row of ``section`` called ``item``."""
    return next(row[column] for row in rows if (row["section"], row["item"]) == (section, item))


def comparison_sentence(rows, names):
    """Return what the log says of two maps."""
    cells = share_of(rows, "ranked in either", column="cells")
    if share_of(rows, "same rank", column="cells") == cells:
        return f"{names[0]} and {names[1]} give the same rank in all {cells:,} ranked cells."
    return (f"{names[1]} against {names[0]}: {share_of(rows, 'same rank'):.2f} % of the ranked area has the same rank, "
            f"{share_of(rows, 'different rank'):.2f} % another one "
            f"({share_of(rows, f'higher in {names[1]}'):.2f} % higher, {share_of(rows, f'lower in {names[1]}'):.2f} % "
            f"lower); {share_of(rows, f'only in {names[0]}'):.2f} % is ranked only in {names[0]}, "
            f"{share_of(rows, f'only in {names[1]}'):.2f} % only in {names[1]}.")


def difference_spec(path, names):
    """Return the OutputSpec of a difference raster."""
    return OutputSpec(path, "int16", DIFFERENCE_NODATA, (f"{names[1]} - {names[0]}, in places of the ranks",))


@dataclass(frozen=True)
class MapsKernel:
    """The arithmetic of one block of two maps; ``files`` are their file names."""

    files: tuple

    def __call__(self, arrays, window, grid):
        """Return the difference of a block and the tally of its ranks."""
        maps = [_rank_codes(arrays[role], name) for role, name in zip(("FIRST", "SECOND"), self.files)]
        areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
        return {"difference": rank_difference(*maps)}, {"ranks": tally_ranks(*maps, areas)}


def _rank_codes(values, name):
    return np.where(ranked_cells(values, name), values, ranks.NO_RANK).astype(np.uint8)


def compare_maps(maps, outputs, staging, progress, target=None, settings=None, left_out=None):
    """Compare two PTI rasters and stage their difference.

    ``maps``: their paths, first and second; ``outputs``: {"difference": path or None}; ``target``: Grid, or None where
    both share one; ``left_out``: LeftOutClasses that neither map counts, or None. Returns {"table": rows}.
    Raises InputError (codes that are no ranks, no rank at all), GridError, OutputError, Cancelled.
    """
    infos = [read_info(path) for path in maps]
    grid = target or common_grid(infos)
    reader = SourceReader()
    sources = {role: class_source(info, grid, reader) for role, info in zip(("FIRST", "SECOND"), infos)}
    reader.close()
    if left_out:
        sources = {role: excluding(item, left_out, progress.part(0.15 * place, 0.15 * (place + 1)), settings)
                   for place, (role, item) in enumerate(sources.items())}
        progress = progress.part(0.3, 1)
    tallies = run_blocks(grid, sources, MapsKernel(tuple(info.name for info in infos)),
                         {"difference": difference_spec(outputs.get("difference"), NAMES)}, staging, progress, settings,
                         extra_bytes=60)
    rows = comparison_rows(tallies["ranks"], NAMES)
    progress.info(comparison_sentence(rows, NAMES))
    return {"table": rows + run_rows(maps, progress)}


def run_rows(maps, progress):
    """Return the section RUNS: a row for everything that the records behind two maps say was done otherwise."""
    steps = [collect_records([path]) for path in maps]
    without = [str(path) for path, found in zip(maps, steps) if not found]
    if without:
        progress.info(f"No record of {' and '.join(without)} as it is now stands beside it, so what the two runs have "
                      f"otherwise is not known.")
        return []
    found = differences(*steps)
    if found:
        progress.info("The two runs differ in:\n" + "\n".join(
            f"- {each.text} {each.first} against {each.second}" for each in found))
    else:
        progress.info("The records of the two runs name no difference.")
    return [{"section": RUNS, "item": each.text, "first": each.first, "second": each.second} for each in found]
