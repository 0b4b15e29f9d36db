"""A classified map against reference data: two rasters, a raster and points, or a matrix that others have counted.

What is compared is counted by stratum, classified and reference class. A sample whose design is known says how right
the whole map is and how large its classes are (area_estimation.py); two rasters compared wall to wall are no sample but
everything there is, so they have no intervals. Rows of a matrix are classified, columns reference.
Nodata on either side is not compared and is counted; 0 is a class like any other unless the raster declares it nodata.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..rasters.blocks import TILE, run_blocks
from ..rasters.grid import AREA_UNITS_PER_KM2, require_same
from ..rasters.raster import CLASS, NO_CLASS, Source, SourceReader, cells_of, source
from ..rasters.tally import Tally
from .accuracy import kappa, kappa_interval, tier_accuracy
from .accuracy_panel import class_rows, confusion_rows, row, share_row
from .area_estimation import estimate

NOT_STATED, SIMPLE_RANDOM, SYSTEMATIC = "not stated", "simple random", "systematic"
BY_CLASS, BY_STRATA = "stratified by map class", "stratified by other strata"
DESIGNS = (NOT_STATED, SIMPLE_RANDOM, SYSTEMATIC, BY_CLASS, BY_STRATA)
#: most classes a class raster may have; more is a raster of numbers
MOST_CLASSES = 256
#: name of the only stratum of a sample without strata
_WHOLE = "the map"


@dataclass(frozen=True)
class Points:
    """Reference points: ``x``, ``y`` (n,) in the CRS ``wkt``, ``classes`` and ``strata`` (lists, None where empty)
    and ``ids`` to name them by."""

    x: np.ndarray
    y: np.ndarray
    wkt: str
    classes: list
    ids: list
    strata: list = None


@dataclass(frozen=True)
class Comparison:
    """What was compared. ``counts``: (strata, classes, classes) int64, rows classified; ``units``: what is counted.

    ``areas``: (classes, classes) ground area in km² of cells compared wall to wall, else None. ``mapped``: {class:
    size} of the whole map and ``strata_sizes``: {stratum: size} in ``size_unit``, empty where not known. ``compared``:
    share of the map's area that was compared wall to wall. ``left_out``: [(what, number of units, why)].
    """

    classes: tuple
    counts: np.ndarray
    units: str
    strata: tuple = (_WHOLE,)
    areas: np.ndarray = None
    mapped: dict = field(default_factory=dict)
    strata_sizes: dict = field(default_factory=dict)
    size_unit: str = ""
    compared: float = None
    left_out: tuple = ()
    notes: tuple = ()
    warnings: tuple = ()

    @property
    def matrix(self):
        """The confusion matrix (classes, classes)."""
        return self.counts.sum(axis=0)


@dataclass(frozen=True)
class Assessment:
    """A Comparison under a ``design``: ``estimates`` for the whole map where the design allows them, else None.

    ``names``: {class: name}; ``sentences``: what a reader should not miss; ``warnings``: likewise.
    """

    comparison: Comparison
    design: str
    estimates: object
    names: dict
    sentences: tuple
    warnings: tuple

    @property
    def census(self):
        """True where everything was compared and nothing sampled."""
        return self.comparison.areas is not None

    @property
    def labels(self):
        """The classes as words in the order of the matrix."""
        return [self.label(code) for code in self.comparison.classes]

    def label(self, code):
        """Return a class in words: rank 11, class 3 (forest), forest."""
        if of_ranks(self.comparison.classes):
            return f"rank {code}"
        name = self.names.get(code)
        if name in (None, str(code)):
            return f"class {code}" if isinstance(code, int) else str(code)
        return f"class {code} ({name})" if isinstance(code, int) else name


def of_ranks(classes):
    """True where all classes are ranks of the Permafrost Thaw Index."""
    return all(code in ranks.ORDER for code in classes)


# ---- what is compared -----------------------------------------------------------------------------------------------

def compare_table(table):
    """Return the Comparison of a confusion matrix read by core/assessment/confusion_table.py."""
    return Comparison(table.classes, table.matrix[None], "cases", mapped=dict(table.sizes), size_unit=table.unit,
                      notes=tuple(table.notes), warnings=tuple(table.warnings))


def compare_rasters(classified, reference, progress, names=None, strata=None, wall_to_wall=True, settings=None):
    """Return the Comparison of two class rasters on one grid, cell by cell, and where given of a raster of strata.

    ``classified`` may be a Source, such as one with an exclusion, whose cells are not compared and count in no area.
    ``wall_to_wall``: the reference is no sample. Raises InputError, GridError, Cancelled.
    """
    paths = {"classified": classified, "reference": reference, **({"strata": strata} if strata else {})}
    sources = _sources(paths)
    cells, area = _tally(sources, progress, settings)
    whole, whole_cells, lost = Counter(), Counter(), Counter()
    compared = {}
    for key, count in cells.items():
        stratum, mapped, true = key
        if mapped == NO_CLASS:
            lost["nodata in both" if true == NO_CLASS else
                 f"nodata{_or_left_out(sources)} in the classified map only"] += count
            continue
        whole[mapped] += area[key]
        whole_cells[mapped] += count
        if true == NO_CLASS:
            lost["nodata in the reference only"] += count
        elif strata and stratum == NO_CLASS:
            lost["nodata in the strata"] += count
        else:
            compared[key] = count
    if not compared:
        raise InputError(f"No cell has a class both in {sources['classified'].name} and in "
                         f"{sources['reference'].name}" + (" inside a stratum" if strata else "")
                         + ". Check that the two are of the same place and what they declare as nodata.")
    if names:
        _require_known(whole_cells, names, f"{sources['classified'].name} holds", "cells")
    classes, warnings = _raster_classes(compared, sources, names)
    if not wall_to_wall:
        # what the sample missed is part of the map all the same
        classes = _ordered({*classes, *whole}, names)
    stratum_names = tuple(sorted({key[0] for key in compared})) if strata else (_WHOLE,)
    counts, areas = (_cube({key: of[key] for key in compared}, classes, stratum_names if strata else None)
                     for of in (cells, area))
    strata_sizes = _strata_sizes(cells, area, sources, warnings) if strata else {}
    total = sum(whole.values())
    return Comparison(
        classes, counts, "cells", stratum_names, areas.sum(axis=0) / AREA_UNITS_PER_KM2 if wall_to_wall else None,
        _km2(whole), strata_sizes, "km²", float(areas.sum() / total),
        tuple(("cells", count, why) for why, count in sorted(lost.items())), (), tuple(warnings))


def compare_points(classified, points, progress, names=None, strata=None, settings=None):
    """Return the Comparison of a class raster with reference Points, of the cell that each lies in.

    ``classified`` may be a Source, as for two rasters. Points off the raster, on nodata or without a class are listed
    in ``left_out``. Raises InputError for classes that
    neither the map nor ``names`` knows.
    """
    sources = _sources({"classified": classified, **({"strata": strata} if strata else {})})
    cells, area = _tally(sources, progress, settings)
    whole, whole_cells = Counter(), Counter()
    for key, size in area.items():
        if key[1] != NO_CLASS:
            whole[key[1]] += size
            whole_cells[key[1]] += cells[key]
    item, warnings = sources["classified"], []
    if not whole:
        raise InputError(f"{item.name} holds no class at all: every cell is nodata.")
    true = _reference_classes(points, whole_cells, names, item.name)
    rows, columns, inside = cells_of(item.grid, points.wkt, points.x, points.y)
    mapped = _values_at(item, rows, columns, inside)
    zones = _values_at(sources["strata"], rows, columns, inside) if strata else \
        [NO_CLASS if zone is None else zone for zone in points.strata] if points.strata is not None else None
    left_out, used = [], []
    for i, name in enumerate(points.ids):
        why = ("without a reference class" if true[i] is None else "off the map" if not inside[i] else
               f"on nodata of the classified map{_or_left_out(sources)}" if mapped[i] == NO_CLASS else
               "in no stratum" if zones is not None and zones[i] == NO_CLASS else None)
        if why:
            left_out.append((f"point {name} at {points.x[i]:.9g}, {points.y[i]:.9g}", 1, why))
        else:
            used.append(i)
    if not used:
        reasons = Counter(why for _, _, why in left_out)
        raise InputError(f"None of the {len(points.ids)} reference points can be compared with {item.name}: "
                         + ", ".join(f"{count} {why}" for why, count in reasons.items())
                         + ". Check the CRS of the points, the field and what the raster declares as nodata.")
    places = Counter((rows[i], columns[i]) for i in used)
    shared = sum(count for count in places.values() if count > 1)
    if shared:
        warnings.append(f"{shared} of the {len(used)} points share their cell with another ("
                        f"{sum(count > 1 for count in places.values())} cells). Each is counted; if they were drawn "
                        f"as one sample of cells, keep one a cell.")
    compared = Counter((zones[i] if zones is not None else 0, int(mapped[i]), true[i]) for i in used)
    classes = _ordered({code for key in compared for code in key[1:]} | set(whole), names)
    strata_sizes = _strata_sizes(cells, area, sources, warnings) if strata else {}
    stratum_names = (_WHOLE,) if zones is None else tuple(sorted({key[0] for key in compared}, key=str))
    return Comparison(classes, _cube(compared, classes, None if zones is None else stratum_names), "points",
                      stratum_names, None, _km2(whole), strata_sizes, "km²", None, tuple(left_out), (),
                      tuple(warnings))


def _sources(paths):
    """Return {role: Source} of {role: path or Source}; raises GridError where their grids differ."""
    items = {role: path if isinstance(path, Source) else source(path, CLASS, single_band=True)
             for role, path in paths.items()}
    first = items["classified"]
    require_same((first.name, first.grid), [(item.name, item.grid) for item in items.values()],
                 f"The grid of {first.name} is {first.grid.describe()}. Bring the others onto it with the tool 'Align "
                 f"rasters', which keeps classes whole.")
    return items


def _or_left_out(sources):
    return " or a class left out" if sources["classified"].exclusion else ""


def _tally(sources, progress, settings):
    """Return ({(stratum, classified, reference): cells}, the same of areas in AREA_UNITS), nodata as NO_CLASS."""
    tallies = run_blocks(sources["classified"].grid, sources, _count_block, {}, None, progress, settings,
                         extra_bytes=64)
    for place, role in ((0, "strata"), (1, "classified"), (2, "reference")):
        if role in sources:
            _require_few({key[place] for key in tallies["cells"]} - {NO_CLASS}, sources[role].name)
    return tallies["cells"], tallies["area"]


def _count_block(arrays, window, grid):
    """Kernel: count cells and areas by stratum, classified and reference class."""
    codes, index = [], 0
    for role in ("strata", "classified", "reference"):
        if role not in arrays:
            codes.append(np.zeros(1, dtype=np.int64))
            continue
        found, places = _places(arrays[role].ravel())
        _require_few(found, f"The raster of the {role} classes" if role != "strata" else "The raster of the strata")
        codes.append(found)
        index = index * len(found) + places
    size = len(codes[0]) * len(codes[1]) * len(codes[2])
    areas = grid.cell_areas(window.row, window.rows, window.column, window.columns).ravel()
    tally, cells, area = Tally.of(index, areas, size), Counter(), Counter()
    for place, count in tally.cells.items():
        rest, third = divmod(place, len(codes[2]))
        first, second = divmod(rest, len(codes[1]))
        key = int(codes[0][first]), int(codes[1][second]), int(codes[2][third])
        cells[key], area[key] = count, tally.area[place]
    return {}, {"cells": cells, "area": area}


def _places(values):
    """Return (codes found, place of each value among them)."""
    known = values[values != NO_CLASS]
    low, high = (int(known.min()), int(known.max())) if known.size else (0, 0)
    if high - low >= 1 << 16:
        return np.unique(values, return_inverse=True)
    # a table is many times faster than sorting; its first place is nodata's
    steps = np.where(values == NO_CLASS, 0, values.astype(np.int64) - low + 1)
    table = np.bincount(steps, minlength=high - low + 2) > 0
    found = np.flatnonzero(table)
    return np.where(found == 0, NO_CLASS, found - 1 + low), (np.cumsum(table) - 1)[steps]


def _require_few(codes, name):
    if len(codes) > MOST_CLASSES:
        raise InputError(f"{name} holds more than {MOST_CLASSES} different values; it is no raster of classes. Give "
                         f"the classified map, not a raster of measurements.")


def _raster_classes(compared, sources, names):
    """Return (classes, warnings) of two rasters; raises InputError where CLASSES does not know one of them."""
    mapped, true = Counter(), Counter()
    for (_, one, other), count in compared.items():
        mapped[one] += count
        true[other] += count
    warnings = []
    for counts, others, role, side in ((mapped, true, "classified", "reference"),
                                       (true, mapped, "reference", "classified map")):
        if names and role == "reference":
            _require_known(counts, names, f"{sources[role].name} holds", "cells")
        for code in sorted(set(counts) - set(others)):
            zero = " If 0 means no data there, declare it as the raster's nodata value." if code == 0 else ""
            warnings.append(f"Class {code} of {sources[role].name} ({counts[code]} cells) does not occur in the {side} "
                            f"where both have data.{zero}")
    return _ordered(set(mapped) | set(true), names), warnings


def _require_known(counts, known, what, units):
    unknown = [f"{code} ({counts[code]} {units})" for code in sorted(counts, key=str) if code not in known]
    if unknown:
        raise InputError(f"{what} the unknown class {', '.join(unknown[:10])}; the classes are "
                         f"{', '.join(map(str, list(known)[:30]))}. Correct it, or list it in CLASSES if it is a class "
                         f"that the map lacks.")


def _reference_classes(points, cells, names, map_name):
    """Return the class code of each point, None where it has none; names are looked up among ``names``."""
    by_name = {str(name).strip().lower(): code for code, name in (names or {}).items()}
    known = tuple(names) if names else ranks.CODES if of_ranks(cells) else tuple(sorted(cells))
    found = [value if value is None or value in known else by_name.get(str(value).strip().lower(), value)
             for value in points.classes]
    _require_known(Counter(value for value in found if value is not None), known, "The reference points hold",
                   "points")
    if names:
        _require_known(cells, known, f"{map_name} holds", "cells")
    return found


def _ordered(codes, names):
    if names:
        return tuple(code for code in names if code in codes)
    return tuple(sorted(codes))


def _cube(compared, classes, strata):
    """Return {(stratum, classified, reference): number} as (strata, classes, classes), one stratum without strata."""
    place = {code: i for i, code in enumerate(classes)}
    layer = {name: i for i, name in enumerate(strata)} if strata else None
    cube = np.zeros((len(strata) if strata else 1, len(classes), len(classes)), dtype=np.int64)
    for (stratum, mapped, true), number in compared.items():
        cube[layer[stratum] if layer else 0, place[mapped], place[true]] += number
    return cube


def _strata_sizes(cells, area, sources, warnings):
    """Return {stratum: km²} of the part of the map that has a class."""
    sizes, outside = Counter(), 0
    for key, size in area.items():
        if key[1] != NO_CLASS:
            if key[0] == NO_CLASS:
                outside += size
            else:
                sizes[key[0]] += size
    if outside:
        share = 100 * outside / (outside + sum(sizes.values()))
        warnings.append(f"{share:.3g} % of the area of {sources['classified'].name} lies in no stratum of "
                        f"{sources['strata'].name}; the estimates hold for the rest.")
    return _km2(sizes)


def _km2(sizes):
    return {code: size / AREA_UNITS_PER_KM2 for code, size in sorted(sizes.items())}


def _values_at(item, rows, columns, inside):
    """Return the class of each cell, read tile by tile; NO_CLASS off the grid."""
    values = np.full(len(rows), NO_CLASS, dtype=np.int64)
    reader = SourceReader()
    tiles = rows // TILE * (item.grid.width // TILE + 1) + columns // TILE
    for tile in np.unique(tiles[inside]):
        here = np.flatnonzero(inside & (tiles == tile))
        top, left = rows[here[0]] // TILE * TILE, columns[here[0]] // TILE * TILE
        window = reader.read(item, int(top), TILE, int(left), TILE)
        values[here] = window[rows[here] - top, columns[here] - left]
    reader.close()
    return values


# ---- what it says ---------------------------------------------------------------------------------------------------

def mapped_sizes(classified, progress, settings=None):
    """Return {class: km²} of a class raster; raises InputError, Cancelled."""
    _, area = _tally(_sources({"classified": classified}), progress, settings)
    sizes = Counter()
    for (_, code, _), size in area.items():
        if code != NO_CLASS:
            sizes[code] += size
    return _km2(sizes)


def with_sizes(comparison, sizes, unit, of_strata=False):
    """Return a Comparison with the sizes that a table gives, {class or stratum: size}, in place of its own."""
    return replace(comparison, size_unit=unit, **{"strata_sizes" if of_strata else "mapped": dict(sizes)})


def scaled(comparison, factor, unit):
    """Return a Comparison whose sizes are multiplied by ``factor`` to come in another ``unit``."""
    return replace(comparison, size_unit=unit, mapped={key: size * factor for key, size in comparison.mapped.items()},
                   strata_sizes={key: size * factor for key, size in comparison.strata_sizes.items()})


def assess(comparison, design=NOT_STATED, names=None):
    """Return the Assessment of a Comparison under a sampling design, one of DESIGNS; raises InputError."""
    found = Assessment(comparison, design, None, names or {}, (), ())
    if found.census:
        found = replace(found, estimates=estimate(comparison.areas[None], [comparison.areas.sum()], [_WHOLE]))
        warnings = []
    else:
        estimates, warnings = _estimates(found)
        found = replace(found, estimates=estimates)
    return replace(found, sentences=tuple(_sentences(found)), warnings=(*comparison.warnings, *warnings))


def _estimates(found):
    """Return (Estimates or None, warnings) of a sample."""
    comparison, design, warnings = found.comparison, found.design, []
    if design == BY_STRATA:
        if comparison.strata == (_WHOLE,):
            raise InputError(f"DESIGN is '{BY_STRATA}', but the strata of the samples are not known. Give STRATA (a "
                             f"raster), or STRATA_FIELD of the points with the areas of the strata in AREAS; a "
                             f"confusion matrix alone does not hold them.")
        sizes = comparison.strata_sizes
        _require_sizes(sizes, comparison.strata, "stratum", "strata")
        order = [*comparison.strata, *(name for name in sizes if name not in comparison.strata and sizes[name])]
        counts = np.zeros((len(order), *comparison.matrix.shape), dtype=np.int64)
        counts[:len(comparison.strata)] = comparison.counts
        labels = [f"stratum {name}" for name in order]
        estimates = estimate(counts, [sizes[name] for name in order], labels)
    elif design == NOT_STATED or not comparison.mapped:
        if design == BY_CLASS:
            raise InputError(f"DESIGN is '{BY_CLASS}', but the mapped area of the classes is not known. Give "
                             f"CLASSIFIED, or a table of the areas or pixels of each class in AREAS.")
        if design == NOT_STATED and comparison.mapped and comparison.units == "cases":
            warnings.append("Areas of the classes were given but no DESIGN of the sample, so no area-weighted accuracy "
                            "and no areas were estimated. State how the samples were drawn.")
        return None, warnings
    else:
        sizes = comparison.mapped
        drawn = comparison.matrix.sum(axis=1)
        _require_sizes(sizes, [code for code, n in zip(comparison.classes, drawn) if n], "class", "classes")
        labels = found.labels
        unknown = [code for code, size in sizes.items() if size and code not in comparison.classes]
        if unknown:
            raise InputError(f"AREAS lists the class {', '.join(map(str, unknown))}, which the reference data do not "
                             f"have; nothing is known of that part of the map. Correct its name, add samples there, or "
                             f"merge it with another class.")
        in_order = np.array([sizes.get(code, 0.0) for code in comparison.classes])
        few = [label for label, n, size in zip(labels, drawn, in_order) if n < 2 and size]
        if few and design != BY_CLASS:
            warnings.append(f"Fewer than two samples lie in {', '.join(few)}, so the sample was not weighted with the "
                            f"mapped areas; every sample counts the same.")
            return estimate(comparison.matrix[None], [in_order.sum()], [_WHOLE]), warnings
        # strata that are classes hold only units classified so
        counts = comparison.matrix[None] * np.eye(len(comparison.classes), dtype=np.int64)[:, :, None]
        estimates = estimate(counts, in_order, labels, by_class=True)
    if estimates.single:
        warnings.append(f"A single sample lies in {', '.join(labels[i] for i in estimates.single)}: its variance "
                        f"cannot be computed, so the estimates it enters have no interval. Two samples at least are "
                        f"needed.")
    return estimates, warnings


def _require_sizes(sizes, needed, one, many):
    missing = [str(name) for name in needed if name not in sizes]
    if missing:
        raise InputError(f"The area of the {one} {', '.join(missing)} is not given; the areas known are of the {many} "
                         f"{', '.join(map(str, sizes)) or 'none'}. Add it to AREAS.")


def _sentences(found):
    """Return what a reader should not miss, in sentences."""
    comparison = found.comparison
    matrix, n, said = comparison.matrix, int(comparison.matrix.sum()), []
    right = int(np.trace(matrix))
    if found.census:
        said.append(f"{right:,} of {n:,} cells agree ({100 * right / n:.2f} %), by area "
                    f"{100 * found.estimates.overall.value:.2f} %.")
        said.append("Every cell was compared and none sampled, so there are no sampling intervals: this is how far the "
                    "two rasters agree, and how right the map is only as far as the reference is right.")
        if comparison.compared < 0.9999:
            said.append(f"The cells compared hold {100 * comparison.compared:.1f} % of the area that has a class on "
                        f"the map.")
    elif found.estimates is None:
        line = share_row("", "", right, n)
        said.append(f"{right:,} of {n:,} {comparison.units} are right: overall accuracy {line['value']:.2f} % (95 % "
                    f"interval {line['low']:.2f} to {line['high']:.2f} %).")
        said.append("The design of the sample is not stated, so these are counts of the sample; they hold for the map "
                    "only if every place had the same chance to be drawn." if found.design == NOT_STATED else
                    "The areas of the mapped classes are not known, so areas were not estimated.")
    else:
        overall = found.estimates.overall
        said.append(f"Overall accuracy {100 * overall.value:.2f} %" + (
            f" (95 % interval {100 * overall.interval[0]:.2f} to {100 * overall.interval[1]:.2f} %)"
            if overall.interval else " (no interval)") + f", area-weighted, from {n:,} {comparison.units}.")
        said.append({
            BY_CLASS: "The sample is stratified by map class; the estimators are those of Olofsson et al. (2014).",
            BY_STRATA: "The strata of the sample are not the map classes; the estimators are those of Stehman (2014).",
            SIMPLE_RANDOM: "The sample is simple random; where every class has samples, it is weighted afterwards "
                           "with the mapped areas (post-stratified; Olofsson et al. 2014).",
            SYSTEMATIC: "The sample is systematic; where every class has samples, it is weighted afterwards with the "
                        "mapped areas (post-stratified; Olofsson et al. 2014). Its variance is taken as that of a "
                        "random sample, which is usually too large rather than too small."}[found.design])
        biased = [label for code, label, area in zip(comparison.classes, found.labels, found.estimates.area)
                  if area.interval and not area.interval[0] <= comparison.mapped.get(code, area.value)
                  <= area.interval[1]]
        if biased:
            said.append(f"The mapped area lies outside the 95 % interval of the estimated area for "
                        f"{', '.join(biased)}.")
    if comparison.left_out:
        reasons = Counter()
        for _, number, why in comparison.left_out:
            reasons[why] += number
        told = ", ".join(f"{count:,} {why}" for why, count in reasons.items())
        said.append(f"Not compared: {sum(reasons.values()):,} {comparison.units} ({told}).")
    return [*said, *comparison.notes]


# ---- as a table -----------------------------------------------------------------------------------------------------

def table_rows(found):
    """Return the rows of an Assessment with the columns of accuracy_panel.py, so that a report can show them.

    Sections: accuracy, agreement, class, area, then confusion (or matrix, where the classes are no ranks) and left out.
    """
    comparison, estimates = found.comparison, found.estimates
    sampled, units = not found.census, comparison.units
    mark = f" ({units})" if found.census else " (sample counts)" if estimates is not None else ""
    meaning = (f"Of all {units} compared, how many are right." if estimates is None else
               "Share of the cells, each counting the same." if found.census else
               "Counts of the sample as it was drawn, not weighted by area.")
    matrix, n = comparison.matrix, int(comparison.matrix.sum())
    weighted = _weighted_rows(found) if estimates is not None else {"accuracy": [], "agreement": [], "class": []}
    rows = weighted["accuracy"]
    rows.append(share_row("accuracy", f"overall accuracy{mark}", int(np.trace(matrix)), n, meaning, sampled=sampled))
    if of_ranks(comparison.classes):
        rows.append(share_row("accuracy", f"tier accuracy{mark}", round(n * tier_accuracy(matrix, comparison.classes)),
                              n, "Whether cold, cool, warm or isolated is right, whatever the trends.",
                              sampled=sampled))
    low, high = kappa_interval(matrix.astype(float)) if sampled else (None, None)
    rows += weighted["agreement"]
    rows.append(row("agreement", f"kappa{mark}", kappa(matrix.astype(float)), n, "", low, high,
                    "Agreement beyond chance, at most 1."))
    rows += weighted["class"]
    rows += class_rows(matrix, found.labels, mark, units, sampled)
    if estimates is not None:
        rows += _area_rows(found)
    section = "confusion" if of_ranks(comparison.classes) else "matrix"
    names = comparison.classes if section == "confusion" else found.labels
    rows += confusion_rows(matrix, names, units, "Rows classified, columns reference.", section)
    rows += [row("left out", what, number, None, units, meaning=f"{why[0].upper()}{why[1:]}.")
             for what, number, why in comparison.left_out]
    return rows


def _weighted_rows(found):
    estimates = found.estimates
    rows = {"accuracy": [_row("accuracy", "overall accuracy (area-weighted)", found, estimates.overall,
                              "Share of the area compared on which the two agree." if found.census else
                              "Share of the area that is right, estimated for the whole map.")],
            "agreement": [_row("agreement", "kappa (area-weighted)", found, estimates.kappa,
                               "Agreement beyond chance by area, at most 1.", 1.0, "")],
            "class": []}
    for name, users, producers, f1 in zip(found.labels, estimates.users, estimates.producers, estimates.f1):
        rows["class"] += [
            _row("class", f"precision of {name} (area-weighted)", found, users,
                 "User's accuracy: of the area classified so, how much is."),
            _row("class", f"recall of {name} (area-weighted)", found, producers,
                 "Producer's accuracy: of the area that is so, how much is classified so."),
            _row("class", f"f1 of {name} (area-weighted)", found, f1, "Both in one.")]
    # a class that never occurs on one side has no share there
    rows["class"] = [of_class for of_class in rows["class"] if of_class["value"] == of_class["value"]]
    return rows


def _row(section, line, found, value, meaning, factor=100.0, unit="%"):
    """Return the row of an Estimate; n is what was compared, in cells for a census."""
    if found.census:
        return row(section, line, factor * value.value, int(found.comparison.matrix.sum()), unit, meaning=meaning)
    interval = value.interval
    if interval is None and value.error == 0 and value.n:
        meaning += " The sample shows no spread here, so it gives no interval."
    low, high = (None, None) if interval is None else (factor * bound for bound in interval)
    return row(section, line, factor * value.value, value.n, unit, low, high, meaning)


def _area_rows(found):
    comparison = found.comparison
    unit, rows = comparison.size_unit or "units", []
    mapped = comparison.areas.sum(axis=1) if found.census else None
    for k, (code, name) in enumerate(zip(comparison.classes, found.labels)):
        size = mapped[k] if found.census else comparison.mapped.get(code)
        if size is not None:
            rows.append(row("area", f"mapped area of {name}", float(size), None, unit,
                            meaning="Where both have data." if found.census else "What the map says."))
        rows.append(_row("area", f"reference area of {name}" if found.census else f"estimated area of {name}", found,
                         found.estimates.area[k], "What the reference says where both have data." if found.census else
                         "What the reference says, for the whole map: corrected for the map's errors.", 1.0, unit))
    return rows
