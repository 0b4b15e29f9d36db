"""The ensemble land cover: annual LandCover_CCI maps, GLCC and CAVM, joined by a crosswalk table.

Method, section 4; the paper's Table 2. Precedence: CAVM where it has a class; inside the GLCC tundra mask the tundra
reading of LandCover_CCI; LandCover_CCI's recode; GLCC alone where LandCover_CCI has nothing.
"""

import csv
import os
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..common.profiles import DEFENSIBLE
from ..common.ranks import hex_to_rgb
from ..common.resources import resource
from ..rasters.blocks import OutputSpec, run_blocks
from ..rasters.exclusion import WATER_AND_ICE
from ..rasters.grid import AREA_UNITS_PER_KM2, require_same
from ..rasters.opening import opened
from ..rasters.products import read_products
from ..rasters.raster import CLASS, NO_CLASS, Series, on_grid, read_info, require_codes, source
from ..rasters.recognition import matches, name_and_variables
from ..rasters.tally import Tally
from ..rasters.time_axis import layer_stamps, parse_years, require_years
from ..series.composites import RECENT, TIES
from .permafrost import common_grid

#: GLCC codes of the alpine tundra mask
TUNDRA_MASK = (9, 53, 63, 69)
#: nodata of both outputs; no ensemble code is 0
NODATA = 0
#: cells whose majority is found at once, so that they stay in the processor's cache
MAJORITY_CELLS = 1 << 16
SOURCES = {1: ("CAVM", "#7b3294"), 2: ("LandCover_CCI in the GLCC tundra mask", "#008837"),
           3: ("LandCover_CCI", "#a6dba0"), 4: ("GLCC alone", "#f4a582")}
#: per product its presets, the first one for files whose names are none of theirs
PRESETS = {"LandCover_CCI": ("landcover_cci",), "GLCC": ("glcc", "glcc_goode"), "CAVM": ("cavm",)}
PRODUCTS = tuple(PRESETS)
_COLUMNS = ("product", "raster_value", "ensemble_code", "tundra_code")


@dataclass(frozen=True)
class Crosswalk:
    """Per product {raster value: ensemble code or NODATA}; ``tundra``: LandCover_CCI value → code in the mask."""

    codes: dict
    tundra: dict


def land_cover_classes():
    """Return {code: (name, (r, g, b))} of the 21 ensemble classes."""
    return {int(row["code"]): (row["name"], hex_to_rgb(row["colour"])) for row in _class_rows()}


def paper_percentages():
    """Return {code: share in %} of the paper's Table 2: of its whole map, water and ice among the classes."""
    return {int(row["code"]): float(row["paper_percent"]) for row in _class_rows()}


def _class_rows():
    with open(resource("tables", "landcover_classes.csv"), encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_crosswalk(path=None, profile=DEFENSIBLE):
    """Read a crosswalk CSV (the plugin's own where ``path`` is None).

    Columns product, raster_value, ensemble_code (empty = nodata), tundra_code (LandCover_CCI only, may be empty).
    Raises InputError with the line number of anything wrong.
    """
    own = path is None
    path = resource("tables", "landcover_crosswalk.csv") if own else path
    classes = land_cover_classes()
    codes, tundra = {product: {} for product in PRODUCTS}, {}
    name = os.path.basename(str(path))
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in _COLUMNS[:3] if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"The crosswalk {name} lacks the column {missing[0]}; it needs "
                                 f"{', '.join(_COLUMNS)}.")
            twice = [column for column, count in Counter(reader.fieldnames).items() if count > 1]
            if twice:
                raise InputError(f"{name}, line 1: the column '{twice[0]}' stands in the table twice.")
            for row in reader:
                place = f"{name}, line {reader.line_num}"
                if None in row:
                    raise InputError(f"{place} has {len(reader.fieldnames) + len(row[None])} fields where the header "
                                     f"has {len(reader.fieldnames)}. Put texts with commas in quotation marks.")
                _read_row(row, place, classes, codes, tundra)
            if not any(codes.values()):
                raise InputError(f"The crosswalk {name} has no row below its header.")
    except OSError as error:
        raise InputError(f"The crosswalk {path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The crosswalk {path} is not a CSV table in UTF-8: {error}.") from error
    if own and profile.cci_202_is_tundra:
        codes["LandCover_CCI"][202] = 202
    return Crosswalk(codes, tundra)


def _read_row(row, place, classes, codes, tundra):
    product = (row["product"] or "").strip()
    if product not in codes:
        raise InputError(f"{place}: the product '{product}' is not one of {', '.join(PRODUCTS)}.")
    value = _integer(row["raster_value"], f"{place}: raster_value")
    if value in codes[product]:
        raise InputError(f"{place}: {product} {value} stands in the table twice.")
    codes[product][value] = _class_code(row["ensemble_code"], f"{place}: ensemble_code", classes)
    in_mask = (row.get("tundra_code") or "").strip()
    if in_mask:
        if product != "LandCover_CCI":
            raise InputError(f"{place}: only LandCover_CCI has a tundra_code.")
        tundra[value] = _class_code(in_mask, f"{place}: tundra_code", classes)


def _integer(text, place):
    try:
        return int((text or "").strip())
    except ValueError:
        raise InputError(f"{place} is '{text or ''}', not a whole number.") from None


def _class_code(text, place, classes):
    if not (text or "").strip():
        return NODATA
    code = _integer(text, place)
    if code not in classes:
        raise InputError(f"{place} is {code}, which is none of the ensemble's classes.")
    return code


@dataclass(frozen=True)
class MajorityKernel:
    """The most frequent class of several years; the layers come oldest first. ``tie`` is one of TIES."""

    nodata: int
    tie: str

    def __call__(self, arrays, window, grid):
        """Return the majority of a block."""
        return {"majority": majority(np.asarray(arrays["CCI"]), self.nodata, self.tie)}, {}


def majority(stack, nodata=NO_CLASS, tie=RECENT):
    """Return the most frequent class along the first axis; of those tied the one seen last, or the lowest code.

    ``stack``: integers (years, rows, columns), oldest year first; ``nodata`` does not vote. ``tie`` is one of TIES.
    """
    years = stack.shape[0]
    cells = stack.reshape(years, -1)
    result = cells[-1].copy()
    for start in range(0, cells.shape[1], MAJORITY_CELLS):
        part = cells[:, start:start + MAJORITY_CELLS]
        changed = part[0] != part[-1]
        for layer in part[1:-1]:
            changed |= layer != part[-1]
        if 4 * np.count_nonzero(changed) < changed.size:
            # most cells keep their class all years
            places = np.flatnonzero(changed)
            result[start + places] = _most_voted(np.take(part, places, axis=1), nodata, tie)
        else:
            result[start:start + MAJORITY_CELLS] = _most_voted(part, nodata, tie)
    return result.reshape(stack.shape[1:])


def _most_voted(stack, nodata, tie):
    years = stack.shape[0]
    known = stack != nodata
    votes = known.astype(np.uint8 if years < 256 else np.uint16)
    for i in range(years):
        for j in range(i):
            equal = ((stack[i] == stack[j]) & known[i]).view(np.uint8)
            votes[i] += equal
            votes[j] += equal
    best, most = stack[-1].copy(), votes[-1].copy()
    for layer, number in zip(stack[-2::-1], votes[-2::-1]):
        better = number > most
        if tie != RECENT:
            better |= (number == most) & (layer < best)
        # as best[better] = layer[better] does, but several times as fast
        best ^= (best ^ layer) & (-better.view(np.int8)).astype(best.dtype)
        np.maximum(most, number, out=most)
    return best


@dataclass(frozen=True)
class LandCoverKernel:
    """The join of one block by the crosswalk; ``base_name`` is that of the base map, where there is one."""

    crosswalk: Crosswalk
    base_name: str = ""

    def __call__(self, arrays, window, grid):
        """Return land cover and deciding source of a block, with areas by class, on the base map too, and unmapped
        codes."""
        cover, decided, unmapped = join(arrays["CCI"], arrays.get("GLCC"), arrays.get("CAVM"), self.crosswalk)
        areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
        known = cover != NODATA
        tally = Tally.of(cover[known], areas[known], 256)
        deciding = Counter({int(code): int((decided == code).sum()) for code in SOURCES})
        tallies = {"cells": tally.cells, "area": tally.area, "unmapped": unmapped, "source": deciding}
        if "BASE" in arrays:
            require_codes(arrays["BASE"], (0, 1), self.base_name, "a base map (0 and 1)")
            permafrost = known & (arrays["BASE"] == 1)
            tallies["permafrost"] = Tally.of(cover[permafrost], areas[permafrost], 256)
        return {"cover": cover, "source": decided}, tallies


def join(cci, glcc, cavm, crosswalk):
    """Return (land cover uint8, deciding source uint8, Counter of unmapped (product, code)).

    The inputs are int arrays of one shape with NO_CLASS for nodata; ``glcc`` and ``cavm`` may be None.
    """
    unmapped = Counter()

    def recode(product, values):
        result = np.zeros(cci.shape, dtype=np.uint8)
        if values is None:
            return result
        table = crosswalk.codes[product]
        for code, count in zip(*np.unique(values[values != NO_CLASS], return_counts=True)):
            if int(code) in table:
                result[values == code] = table[int(code)]
            else:
                unmapped[(product, int(code))] += int(count)
        return result

    from_cavm, from_cci, from_glcc = recode("CAVM", cavm), recode("LandCover_CCI", cci), recode("GLCC", glcc)
    in_mask = np.isin(glcc, TUNDRA_MASK) if glcc is not None else np.zeros(cci.shape, dtype=bool)
    tundra = np.zeros(cci.shape, dtype=np.uint8)
    for code, ensemble_code in crosswalk.tundra.items():
        tundra[in_mask & (cci == code)] = ensemble_code
    cover, decided = np.zeros(cci.shape, dtype=np.uint8), np.zeros(cci.shape, dtype=np.uint8)
    for place, candidate in ((1, from_cavm), (2, tundra), (3, from_cci), (4, from_glcc)):
        take = (decided == 0) & (candidate != NODATA)
        cover[take], decided[take] = candidate[take], place
    return cover, decided, unmapped


@dataclass(frozen=True)
class LandCoverOptions:
    """``crosswalk``: path of a CSV or None; ``years``: first-last of the annual maps to take, all of which must be
    there, '' for all; ``tie``: rule of their majority, one of TIES."""

    crosswalk: str = None
    profile: object = DEFENSIBLE
    years: str = ""
    tie: str = RECENT


def ensemble_land_cover(paths, outputs, staging, progress, options=None, target=None, settings=None):
    """Make the ensemble land cover and stage it.

    ``paths``: {"CCI": annual LandCover_CCI maps on one grid, rasters or netCDF files, one a year or one with a band a
    year; "GLCC", "CAVM": path or None; "BASE": the permafrost base map for the table, or None}; ``outputs``: {"cover",
    "source": path or None}; ``options``: LandCoverOptions. The majority of the years is taken on their own grid, then
    brought to ``target`` by mode. Returns {"years", "table": area by class, "source": cells by deciding source}. Raises
    InputError (unmapped codes with their number of cells among others), GridError, OutputError, Cancelled.
    """
    options = options or LandCoverOptions()
    tie = options.tie
    if tie not in TIES:
        raise InputError(f"TIE is '{tie}'; it must be one of {', '.join(TIES)}.")
    table = read_crosswalk(options.crosswalk, options.profile)
    cci, numbers = _annual_maps(paths["CCI"], options.years, tie, table, progress)
    others = {}
    for role in ("GLCC", "CAVM"):
        if paths.get(role):
            info, flags = _opened(role, paths[role], table, progress)
            others[role] = info, replace(source(info.path, CLASS, single_band=True, info=info), flags=flags)
    if paths.get("BASE"):
        info = read_info(paths["BASE"])
        others["BASE"] = info, source(info.path, CLASS, single_band=True, info=info)
    grid = target or common_grid([cci[0][0], *(info for info, _ in others.values())])
    step, working = progress, outputs["cover"] + ".majority.tif"
    if len(cci) > 1:
        combined = majority_of_years(cci, table, tie, working, staging, progress.part(0, 0.6), settings)
        step = progress.part(0.6, 1)
    else:
        combined = cci[0][1]
    sources = {"CCI": on_grid(combined, grid), **{role: on_grid(item, grid) for role, (_, item) in others.items()}}
    specs = {
        "cover": OutputSpec(outputs["cover"], "uint8", NODATA, ("ensemble land cover",),
                            colours=land_cover_classes()),
        "source": OutputSpec(outputs.get("source"), "uint8", NODATA, ("deciding source",),
                             colours={code: (name, hex_to_rgb(colour)) for code, (name, colour) in SOURCES.items()}),
    }
    kernel = LandCoverKernel(table, others["BASE"][0].name if "BASE" in others else "")
    tallies = run_blocks(grid, sources, kernel, specs, staging, step, settings, extra_bytes=40)
    if len(cci) > 1:
        staging.drop(working)
    unmapped = tallies["unmapped"]
    if unmapped:
        listed = ", ".join(f"{product} {code} ({count} cells)" for (product, code), count in sorted(unmapped.items()))
        raise InputError(f"The crosswalk does not map these codes: {listed}. Add them to a crosswalk of your own "
                         f"(CROSSWALK).")
    if not tallies["cells"]:
        raise InputError("The land cover is empty: no cell of any product has a class.")
    if "BASE" in others and not tallies["permafrost"].cells:
        raise InputError(f"No cell with a land cover is permafrost in {others['BASE'][0].name}. Check that it is the "
                         f"base map, 1 where there is permafrost.")
    rows = area_table(tallies["cells"], tallies["area"], tallies["permafrost"].area if "BASE" in others else None)
    return {"years": numbers, "table": rows,
            "source": {SOURCES[code][0]: count for code, count in sorted(tallies["source"].items())}}


def area_table(cells, area, permafrost=None):
    """Return a row a class found: code, name, cells, area_km2, share_percent, and beside them the shares of land.

    ``area``, and ``permafrost`` on the base map, {code: area in AREA_UNITS_PER_KM2}. ``land_percent`` is the share of
    all classes but water, which the sea is among, and glacier ice; ``permafrost_km2`` and ``permafrost_percent`` are
    the same of permafrost land; ``paper_percent`` is the paper's, of all its classes, and ``paper_land_percent`` that
    without water and ice. Water and ice have no share of land.
    """
    classes, paper, total = land_cover_classes(), paper_percentages(), sum(area.values())
    rows = []
    for code in sorted(cells):
        row = {"code": code, "name": classes[code][0], "cells": cells[code],
               "area_km2": round(area[code] / AREA_UNITS_PER_KM2, 3),
               "share_percent": round(100 * area[code] / total, 3),
               "land_percent": _share_of_land(area, code)}
        if permafrost is not None:
            row["permafrost_km2"] = round(permafrost.get(code, 0) / AREA_UNITS_PER_KM2, 3)
            row["permafrost_percent"] = _share_of_land(permafrost, code)
        rows.append({**row, "paper_percent": paper[code],
                     "paper_land_percent": _share_of_land(paper, code)})
    return rows


def _share_of_land(amounts, code):
    """Return the share in % of a class of all but water and ice; None for these, and where there is no land."""
    land = sum(amount for other, amount in amounts.items() if other not in WATER_AND_ICE)
    return round(100 * amounts.get(code, 0) / land, 3) if land and code not in WATER_AND_ICE else None


def majority_of_years(maps, crosswalk, tie, path, staging, progress, settings=None):
    """Stage the majority of annual maps at ``path`` and return its Source.

    ``maps``: (RasterInfo, Source) of each year on one grid, oldest first; ``tie``: one of TIES.
    """
    items = tuple(item for _, item in maps)
    in_bytes = {info.dtypes[item.band - 1] for info, item in maps} == {"Byte"}
    # a byte without a sign of its own for nodata has room for one where 0 is no class
    codes = in_bytes and not crosswalk.codes["LandCover_CCI"].get(0)
    nodata = 0 if codes else NO_CLASS
    spec = OutputSpec(path, "uint8" if codes else "int32", nodata, ("majority of the years",), working=True)
    run_blocks(maps[0][0].grid, {"CCI": Series(items, codes=True) if codes else items}, MajorityKernel(nodata, tie),
               {"majority": spec}, staging, progress, settings, extra_bytes=(8 if codes else 20) * len(items))
    return source(staging.partial(path), CLASS)


def _annual_maps(paths, years, tie, crosswalk, progress):
    """Return ([(RasterInfo, Source)], [year]) of the annual maps wanted, oldest first."""
    if not paths:
        raise InputError("At least one LandCover_CCI map is needed.")
    opened_maps = []
    for path in paths:
        progress.check()
        opened_maps.append(_opened("LandCover_CCI", path, crosswalk, progress if path == paths[0] else None))
    bands = [(info, flags, band) for info, flags in opened_maps for band in range(1, info.bands + 1)]
    found = [(year, info, replace(source(info.path, CLASS, band=band, info=info), flags=flags))
             for year, (info, flags, band) in zip(layer_stamps([info for info, _ in opened_maps], 1, progress), bands)]
    numbers = [year for year, _, _ in found]
    wanted = parse_years(years)
    if len(found) > 1 and (wanted or tie == RECENT) and None in numbers:
        lacking = next(item.name for year, _, item in found if year is None)
        raise InputError(
            f"Each LandCover_CCI map must carry its own year in its file name, or each band in its name, so that ties "
            f"can go to the most recent and YEARS can choose: {lacking} has none. Rename it, for example to "
            f"landcover_2018.tif; a file with a band a year may be named after the first and the last, such as "
            f"landcover_1992-2015.tif.")
    twice = [year for year, count in Counter(numbers).items() if count > 1 and year is not None]
    if twice:
        names = ", ".join(item.name for year, _, item in found if year == twice[0])
        raise InputError(f"Each LandCover_CCI map must carry its own year; {names} all carry {twice[0]}. Leave out all "
                         f"but one.")
    if wanted:
        require_years(years, numbers, "LandCover_CCI map")
        found = [entry for entry in found if wanted[0] <= entry[0] <= wanted[1]]
    if None not in numbers:
        found.sort(key=lambda entry: entry[0])
    first = found[0][1]
    require_same((first.name, first.grid), [(info.name, info.grid) for _, info, _ in found[1:]],
                 "The annual maps must share a grid; leave out the others, or align them first.")
    numbers = [year for year, _, _ in found]
    if len(found) > 1:
        said = f" ({', '.join(map(str, numbers))})" if None not in numbers else ""
        progress.info(f"LandCover_CCI: majority of {len(found)} years{said}; ties: {tie}.")
    return [(info, item) for _, info, item in found], [year for year in numbers if year is not None]


def _opened(role, path, crosswalk, progress):
    """Return the RasterInfo of a product's file, put right by its preset, and the codes that are its nodata."""
    presets = read_products()
    file_name, variables = name_and_variables(path)
    named = {product: presets[preset] for product in PRODUCTS for preset in PRESETS[product]
             if matches(presets[preset], file_name, variables)}
    if named and role not in named:
        raise InputError(f"{file_name} is given as {role} but named like {next(iter(named))}. Give each product in its "
                         f"own parameter, or rename the file.")
    # another name says nothing of the projection, and the codes are the product's all the same
    product = named.get(role) or replace(presets[PRESETS[role][0]], crs="", crs_wrong=False, extent=())
    flags = tuple(flag for flag in product.flags if not crosswalk.codes[role].get(int(flag)))
    return opened(path, product, progress), flags
