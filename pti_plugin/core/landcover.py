"""The ensemble land cover: annual LandCover_CCI maps, GLCC and CAVM, joined by a crosswalk table.

Method, section 4; the paper's Table 2. Precedence: CAVM where it has a class; inside the GLCC tundra mask the tundra
reading of LandCover_CCI; LandCover_CCI's recode; GLCC alone where LandCover_CCI has nothing.
"""

import csv
import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .blocks import OutputSpec, run_blocks
from .errors import InputError
from .grid import AREA_UNITS_PER_KM2
from .permafrost import common_grid
from .profiles import DEFENSIBLE
from .ranks import hex_to_rgb
from .raster import CLASS, NO_CLASS, on_grid, read_info, source
from .resources import resource
from .time_axis import stamp_of

#: GLCC codes of the alpine tundra mask
TUNDRA_MASK = (9, 53, 63, 69)
#: nodata of both outputs; no ensemble code is 0
NODATA = 0
#: nodata of the working raster that holds the majority of the years, where 0 is still a code
MAJORITY_NODATA = -32768
SOURCES = {1: ("CAVM", "#7b3294"), 2: ("LandCover_CCI in the GLCC tundra mask", "#008837"),
           3: ("LandCover_CCI", "#a6dba0"), 4: ("GLCC alone", "#f4a582")}
PRODUCTS = ("LandCover_CCI", "GLCC", "CAVM")
_COLUMNS = ("product", "raster_value", "ensemble_code", "tundra_code")


@dataclass(frozen=True)
class Crosswalk:
    """Per product {raster value: ensemble code or NODATA}; ``tundra``: LandCover_CCI value → code in the mask."""

    codes: dict
    tundra: dict


def land_cover_classes():
    """Return {code: (name, (r, g, b))} of the 21 ensemble classes."""
    with open(resource("tables", "landcover_classes.csv"), encoding="utf-8", newline="") as stream:
        return {int(row["code"]): (row["name"], hex_to_rgb(row["colour"])) for row in csv.DictReader(stream)}


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
            for row in reader:
                _read_row(row, f"{name}, line {reader.line_num}", classes, codes, tundra)
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
        raise InputError(f"{place} is '{text}', not a whole number.") from None


def _class_code(text, place, classes):
    if not (text or "").strip():
        return NODATA
    code = _integer(text, place)
    if code not in classes:
        raise InputError(f"{place} is {code}, which is none of the ensemble's classes.")
    return code


@dataclass(frozen=True)
class MajorityKernel:
    """The most frequent class of several years; the layers come oldest first, ties go to the most recent year."""

    def __call__(self, arrays, window, grid):
        """Return the majority of a block, NO_CLASS as MAJORITY_NODATA."""
        most = majority(np.array(arrays["CCI"]))
        return {"majority": np.where(most == NO_CLASS, MAJORITY_NODATA, most).astype(np.int16)}, {}


def majority(stack):
    """Return the most frequent class along the first axis; among tied classes the one seen most recently.

    ``stack``: int array (years, rows, columns), oldest year first, NO_CLASS = nodata, which does not vote.
    """
    votes = np.zeros(stack.shape, dtype=np.int16)
    for i in range(stack.shape[0]):
        for j in range(stack.shape[0]):
            votes[i] += stack[i] == stack[j]
    votes[stack == NO_CLASS] = 0
    # the last of the equal maxima is the most recent year
    best = stack.shape[0] - 1 - np.argmax(votes[::-1], axis=0)
    return np.take_along_axis(stack, best[None], axis=0)[0]


@dataclass(frozen=True)
class LandCoverKernel:
    """The join of one block by the crosswalk."""

    crosswalk: Crosswalk

    def __call__(self, arrays, window, grid):
        """Return land cover and deciding source of a block, with areas by class and unmapped codes."""
        cover, decided, unmapped = join(arrays["CCI"], arrays.get("GLCC"), arrays.get("CAVM"), self.crosswalk)
        areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
        cells, area = Counter(), Counter()
        for code in np.unique(cover[cover != NODATA]):
            here = cover == code
            cells[int(code)], area[int(code)] = int(here.sum()), int(areas[here].sum())
        deciding = Counter({int(code): int((decided == code).sum()) for code in SOURCES})
        return {"cover": cover, "source": decided}, {"cells": cells, "area": area, "unmapped": unmapped,
                                                     "source": deciding}


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


def ensemble_land_cover(cci_paths, glcc_path, cavm_path, outputs, staging, progress, crosswalk=None, target=None,
                        settings=None, profile=DEFENSIBLE):
    """Make the ensemble land cover and stage it.

    ``cci_paths``: one or more annual LandCover_CCI maps on one grid; ``glcc_path``, ``cavm_path``: path or None;
    ``outputs``: {"cover", "source": path or None}; ``crosswalk``: path of a CSV or None. The majority of the years is
    taken on their own grid, then brought to ``target`` by mode. Returns {"table": area by class, "source": {…}}.
    Raises InputError (unmapped codes with their number of cells among others), GridError, OutputError, Cancelled.
    """
    table = read_crosswalk(crosswalk, profile)
    if not cci_paths:
        raise InputError("At least one LandCover_CCI map is needed.")
    infos = _by_year([read_info(path) for path in cci_paths])
    cci_grid = common_grid(infos)
    others = {role: read_info(path) for role, path in (("GLCC", glcc_path), ("CAVM", cavm_path)) if path}
    grid = target or common_grid([*infos, *others.values()])
    cci = [source(info.path, CLASS, single_band=True, info=info) for info in infos]
    step = progress
    if len(cci) > 1:
        working = outputs["cover"] + ".majority.tif"
        spec = {"majority": OutputSpec(working, "int16", MAJORITY_NODATA, ("majority of the years",))}
        run_blocks(cci_grid, {"CCI": cci}, MajorityKernel(), spec, staging, progress.part(0, 0.6), settings,
                   extra_bytes=20 * len(cci))
        combined = source(staging.partial(working), CLASS)
        step = progress.part(0.6, 1)
    else:
        combined = cci[0]
    sources = {"CCI": on_grid(combined, grid)}
    for role, info in others.items():
        sources[role] = on_grid(source(info.path, CLASS, single_band=True, info=info), grid)
    specs = {
        "cover": OutputSpec(outputs["cover"], "uint8", NODATA, ("ensemble land cover",),
                            colours=land_cover_classes()),
        "source": OutputSpec(outputs.get("source"), "uint8", NODATA, ("deciding source",),
                             colours={code: (name, hex_to_rgb(colour)) for code, (name, colour) in SOURCES.items()}),
    }
    tallies = run_blocks(grid, sources, LandCoverKernel(table), specs, staging, step, settings, extra_bytes=40)
    if len(cci) > 1:
        staging.drop(working)
    unmapped = tallies["unmapped"]
    if unmapped:
        listed = ", ".join(f"{product} {code} ({count} cells)" for (product, code), count in sorted(unmapped.items()))
        raise InputError(f"The crosswalk does not map these codes: {listed}. Add them to a crosswalk of your own "
                         f"(CROSSWALK).")
    if not tallies["cells"]:
        raise InputError("The land cover is empty: no cell of any product has a class.")
    classes = land_cover_classes()
    total = sum(tallies["area"].values())
    rows = [{"code": code, "name": classes[code][0], "cells": tallies["cells"][code],
             "area_km2": round(tallies["area"][code] / AREA_UNITS_PER_KM2, 3),
             "share_percent": round(100 * tallies["area"][code] / total, 3)} for code in sorted(tallies["cells"])]
    return {"table": rows, "source": {SOURCES[code][0]: count for code, count in sorted(tallies["source"].items())}}


def _by_year(infos):
    """Put the annual maps in the order of the years in their names, so that ties can go to the most recent."""
    stamps = [stamp_of(info.name, 1) for info in infos]
    if None in stamps or len(set(stamps)) < len(stamps):
        if len(infos) > 1:
            raise InputError("Each LandCover_CCI map must carry its own year in its file name, so that ties can go to "
                             f"the most recent: {', '.join(info.name for info in infos)}.")
        return infos
    return [info for _, info in sorted(zip(stamps, infos), key=lambda pair: pair[0])]
