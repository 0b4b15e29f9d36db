"""The predictor stack: predictors by role on one grid, scaled to 0–100 by ranges that are stored with them.

Method, section 2 (D19): (x − min) / (max − min) × 100, min and max over the base map; land cover stays categorical.
The ranges of a whole raster are known only after it has been read once, so the layers are read twice: for the ranges,
then to be scaled. Reading is cheap and warping is not, so the first reading writes those that are warped, and no
others, to a working file that the second takes them from.
"""

import os
import re
import zipfile
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..common.tables import Shape, read_csv, to_csv
from ..ensembles.features import (
    GROUP_TAG,
    GROUPS,
    KIND_TAG,
    MAX_TAG,
    MIN_TAG,
    PREDICTORS,
    RAW_UNIT_TAG,
    codes_as_float,
)
from ..ensembles.permafrost import common_grid
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.grid import Grid
from ..rasters.product_sources import Reading, layer_in_role, refuse_wrong_names
from ..rasters.products import RECOGNISE
from ..rasters.raster import CLASS, NO_CLASS, NUMBER, RasterInfo, Source, display_name, on_grid, read_info, source
from ..rasters.units import check_patterns, matching, parse_assignments
from ..series.trends import NUMBERS
from .model_file import read_features

MINMAX, RAW = SCALINGS = ("minmax_0_100", "raw")
#: item of the file with the scaling
SCALING_TAG = "PTI_SCALING"
OTHER = "other"
#: kinds of predictors as band metadata holds them; OWN_KIND says class or number
CATEGORICAL, NUMERIC = "categorical", "number"
COLUMNS = ("role", "group", "kind", "unit", "low", "high", "lowest", "highest", "cells", "missing", "outside_base",
           "clipped")
MODEL_ENDING = ".ptimodel"
#: what the band of a trend says → where the slope is taken, in the record
SIGNIFICANT, EVERYWHERE, NOT_KNOWN = "where significant", "everywhere", "not known"
_SLOPES = {NUMBERS["slope_significant"]: SIGNIFICANT, NUMBERS["slope"]: EVERYWHERE}
#: a table of ranges: its names are names even where they look like numbers
_RANGES = Shape({}, {}, frozenset({"role", "group", "kind", "unit"}))

_ROLE = re.compile(r"[a-z][a-z0-9_]*")
#: values that stand for nodata in many files; as the end of a range they are suspect
_SUSPECT = {np.float32(value) for value in (-32768, -32767, 32767, 65535, -99999, 99999, -2147483648, 2147483647,
                                            -3.4028234663852886e38, 3.4028234663852886e38, 1e20, 9.969209968386869e36)}


@dataclass(frozen=True)
class StackOptions:
    """``scaling`` of SCALINGS; ``ranges``: path of a table or model whose ranges are taken, or empty.

    Texts for own predictors: ``own_roles`` name=role pairs (names of files, or of bands where a file has several),
    ``own_kind`` role=class or role=number, ``own_groups`` role=group. ``product``, ``products`` and ``units`` of the
    roles of the paper: see Reading.
    """

    scaling: str = MINMAX
    ranges: str = ""
    own_roles: str = ""
    own_kind: str = ""
    own_groups: str = ""
    product: str = RECOGNISE
    products: str = ""
    units: str = ""

    def check(self):
        """Raise InputError for choices that do not exist or contradict each other."""
        if self.scaling not in SCALINGS:
            raise InputError(f"SCALING is '{self.scaling}'; it must be one of {', '.join(SCALINGS)}.")
        if self.scaling == RAW and self.ranges:
            raise InputError(f"RANGES is given, but SCALING is raw, which scales nothing. Leave RANGES empty or set "
                             f"SCALING to {MINMAX}.")


@dataclass(frozen=True)
class Layer:
    """One predictor of the stack: its role, the band it comes from, the Source that reads it and the ``unit`` that this
    delivers, '' for classes."""

    role: str
    info: RasterInfo
    band: int
    group: str
    categorical: bool
    item: Source
    unit: str

    @property
    def name(self):
        """File name, with the band where there are several."""
        return self.info.name + (f" (band {self.band})" if self.info.bands > 1 else "")

    @property
    def kind(self):
        """Kind as band metadata holds it."""
        return CATEGORICAL if self.categorical else NUMERIC


class Extremes(dict):
    """{role: (lowest, highest)}, put together from blocks in any order."""

    def update(self, other):
        """Widen the ranges by those of ``other``."""
        for role, (low, high) in other.items():
            own_low, own_high = self.get(role, (low, high))
            self[role] = (min(own_low, low), max(own_high, high))


@dataclass(frozen=True)
class StackKernel:
    """The arithmetic of one block. ``ranges``: (low, high) a predictor, None where it stays as it is; ``written``:
    places of the predictors that the stack of this run holds."""

    roles: tuple
    names: tuple
    ranges: tuple
    written: tuple

    def __call__(self, arrays, window, grid):
        """Return the bands of a block, the extremes over the domain, and counts of cells."""
        # in single precision, as a stack is written: raw, scaled and re-read values then know the same ranges
        layers = [_single(layer, name) for layer, name in zip(arrays["PREDICTORS"], self.names)]
        known = [~np.isnan(layer) for layer in layers]
        if "BASE" in arrays:
            domain = (arrays["BASE"] != NO_CLASS) & (arrays["BASE"] != 0)
        else:
            domain = np.logical_or.reduce(known)
        counts = Counter(domain=int(domain.sum()), complete=int((np.logical_and.reduce(known) & domain).sum()))
        seen = Extremes()
        bands = np.full((len(self.written), *domain.shape), np.nan, dtype=np.float32)
        for i, (role, values, there) in enumerate(zip(self.roles, layers, known)):
            inside = there & domain
            counts[role, "cells"] = int(inside.sum())
            counts[role, "outside"] = int(there.sum()) - counts[role, "cells"]
            if counts[role, "cells"]:
                seen[role] = (float(values[inside].min()), float(values[inside].max()))
            if self.ranges[i]:
                values, clipped = scaled(values, *self.ranges[i])
                counts[role, "clipped"] = int(clipped.sum())
                counts[role, "clipped inside"] = int((clipped & domain).sum())
            if i in self.written:
                bands[self.written.index(i)] = values
        return {"stack": bands}, {"cells": counts, "extremes": seen}


def _single(layer, name):
    """Return a layer as float32 with NaN; raises InputError for what a stack cannot hold."""
    if layer.dtype.kind == "i":
        values = codes_as_float(layer, name)
    else:
        values = layer.astype(np.float32)
    if (values == FLOAT_NODATA).any():
        raise InputError(f"{name} holds the value {FLOAT_NODATA:g}, which stands for nodata in a stack. Declare it as "
                         f"the nodata value of that file, or leave the file out.")
    return values


def scaled(values, low, high):
    """Return (values scaled so that ``low`` is 0 and ``high`` 100 and clipped to that, mask of the clipped)."""
    low, high = np.float32(low), np.float32(high)
    with np.errstate(invalid="ignore"):
        clipped = (values < low) | (values > high)
    result = (values.astype(np.float64) - float(low)) / (float(high) - float(low)) * 100.0
    return np.clip(result, 0.0, 100.0).astype(np.float32), clipped


def predictor_stack(predictors, own, base, outputs, staging, progress, options=None, target=None, settings=None):
    """Make the stack and stage it.

    ``predictors``: {role of PREDICTORS: path}; ``own``: paths of the user's own rasters; ``base``: path of the base
    map, whose cells other than 0 and nodata are the domain of the ranges, or None for all cells; ``outputs``:
    {"stack", "ranges": path or None}; ``target``: Grid, or None where all share one. The stack is float32, band
    description = role, the ranges in its band metadata where it is scaled. Returns {"predictors": rows of COLUMNS,
    "cells": {"domain", "complete"}, "slopes": where the trends are taken}. Raises InputError, GridError, OutputError,
    Cancelled, and DependencyError where RANGES is a model and xgboost is not there to read it.
    """
    options = options or StackOptions()
    options.check()
    layers = gather_layers(predictors, own, options, progress)
    base_info = read_info(base) if base else None
    grid = target or common_grid([layer.info for layer in layers] + [base_info] * bool(base))
    items = [on_grid(layer.item, grid) for layer in layers]
    sources = {"PREDICTORS": items}
    if base:
        sources["BASE"] = on_grid(source(base, CLASS, single_band=True, info=base_info), grid)
    ranges = [None] * len(layers)
    if options.ranges:
        ranges = ranges_for(layers, options.ranges)
    staging.reserve(outputs["stack"], outputs.get("ranges"))
    run = _Run(layers, grid, outputs["stack"], options, staging, settings)
    if options.ranges or options.scaling == RAW or all(layer.categorical for layer in layers):
        tallies = run.write(sources, ranges, progress)
        cells, extremes = tallies["cells"], tallies["extremes"]
        _refuse_empty(layers, cells, base)
    else:
        working, tallies, again = run.survey(sources, progress.part(0, 0.5))
        cells, extremes = tallies["cells"], tallies["extremes"]
        _refuse_empty(layers, cells, base)
        ranges = _own_ranges(layers, extremes)
        second = run.write({"PREDICTORS": again}, ranges, progress.part(0.5, 1))["cells"]
        if working:
            staging.drop(working)
        # what lies beyond its range here lies outside the domain
        cells.update({(layer.role, "clipped"): second[layer.role, "clipped"] for layer in layers})
    rows = _rows(layers, ranges, cells, extremes)
    _tell(layers, ranges, cells, extremes, options, base, progress)
    if outputs.get("ranges"):
        staging.write_text(outputs["ranges"], to_csv([_exact(row) for row in rows], COLUMNS))
    return {"predictors": rows, "cells": {"domain": cells["domain"], "complete": cells["complete"]},
            "slopes": _slopes(layers, progress)}


@dataclass(frozen=True)
class _Run:
    """The readings of one stack."""

    layers: list
    grid: Grid
    path: str
    options: StackOptions
    staging: object
    settings: object

    def survey(self, sources, progress):
        """Read everything for its extremes; returns (working file or None, tallies, Sources to read again)."""
        items = sources["PREDICTORS"]
        warped = tuple(i for i, item in enumerate(items) if item.target)
        working = self.path + ".warped.tif" if warped else None
        spec = OutputSpec(working, "float32", FLOAT_NODATA, tuple(self.layers[i].role for i in warped))
        tallies = self._blocks(sources, [None] * len(items), warped, spec, progress)
        again = list(items)
        if warped:
            info = read_info(self.staging.partial(working))
            for band, i in enumerate(warped, start=1):
                again[i] = source(info.path, items[i].kind, band, info=info)
        return working, tallies, again

    def write(self, sources, ranges, progress):
        """Write the stack; returns the tallies."""
        tags = []
        for layer, limits in zip(self.layers, ranges):
            tags.append({KIND_TAG: layer.kind, GROUP_TAG: layer.group})
            if layer.unit:
                tags[-1][RAW_UNIT_TAG] = layer.unit
            if limits:
                tags[-1].update({MIN_TAG: limits[0], MAX_TAG: limits[1]})
        spec = OutputSpec(
            self.path, "float32", FLOAT_NODATA, tuple(layer.role for layer in self.layers),
            tuple("" if limits else layer.unit for layer, limits in zip(self.layers, ranges)),
            metadata={SCALING_TAG: self.options.scaling}, band_metadata=tuple(tags))
        return self._blocks(sources, ranges, tuple(range(len(self.layers))), spec, progress)

    def _blocks(self, sources, ranges, written, spec, progress):
        kernel = StackKernel(tuple(layer.role for layer in self.layers), tuple(layer.name for layer in self.layers),
                             tuple(ranges), written)
        return run_blocks(self.grid, sources, kernel, {"stack": spec}, self.staging, progress, self.settings,
                          extra_bytes=8 * len(self.layers) + 40)


def gather_layers(predictors, own, options, progress):
    """Return the Layers of a stack, the roles of the paper in its order, then the user's own by name.

    Raises InputError for rasters without a role, roles given twice, and texts that fit nothing.
    """
    unknown = sorted(set(predictors) - set(PREDICTORS))
    if unknown:
        raise InputError(f"'{unknown[0]}' is none of the roles {', '.join(PREDICTORS)}. Give it under OWN.")
    given = {role: path for role, path in predictors.items() if path}
    twice = {}
    for role in filter(given.get, PREDICTORS):
        other = twice.setdefault(os.path.realpath(given[role]), role)
        if other != role:
            raise InputError(f"{display_name(given[role])} is given twice, as {other} and as {role}. Check which it "
                             f"is.")
    refuse_wrong_names(Reading.of(options), list(given.values()))
    layers = [_in_role(role, given[role], options, progress) for role in PREDICTORS if role in given]
    layers += _own_layers([read_info(path) for path in own], options)
    if not layers:
        raise InputError("No predictor is given. Give at least one layer by its role, or under OWN.")
    by_role, by_band = {}, {}
    for layer in layers:
        if layer.role in by_role:
            raise InputError(f"The role {layer.role} is given twice, by {by_role[layer.role].name} and {layer.name}. "
                             f"Keep one of them, or give the other a role of its own in OWN_ROLES.")
        place = (os.path.realpath(layer.info.path), layer.band)
        if place in by_band:
            raise InputError(f"{layer.name} is given twice, as {by_band[place].role} and as {layer.role}. Check which "
                             f"it is.")
        by_role[layer.role] = by_band[place] = layer
        if layer.info.band_metadata[layer.band - 1].get(MIN_TAG) is not None:
            raise InputError(f"{layer.name} is scaled already (its band has {MIN_TAG}). Give the layer it was made "
                             f"from, in its own unit.")
    return layers


def _in_role(role, path, options, progress):
    """Return the Layer of a role of the paper, in its unit and within its plausible range."""
    predictor, reading = PREDICTORS[role], Reading.of(options)
    info, item, unit = layer_in_role(path, role, predictor.quantity, reading, progress)
    if predictor.categorical:
        return Layer(role, info, 1, predictor.group, True, replace(item, kind=CLASS), "")
    return Layer(role, info, 1, predictor.group, False, item, unit)


def _own_layers(infos, options):
    bands = [(info, band) for info in infos for band in range(1, info.bands + 1)]
    names = [info.name if info.bands == 1 else info.descriptions[band - 1] for info, band in bands]
    pairs = parse_assignments(options.own_roles, "OWN_ROLES")
    check_patterns(pairs, [name for name in names if name], "OWN_ROLES")
    layers = []
    for (info, band), name in zip(bands, names):
        role = matching(pairs, name) if name else None
        if role is None:
            if info.bands == 1:
                raise InputError(f"{info.name} is given under OWN without a role. State it in OWN_ROLES, for example "
                                 f"{info.name}=my_predictor.")
            role = name.strip()
        if not _ROLE.fullmatch(role):
            where = info.name + (f" (band {band})" if info.bands > 1 else "")
            raise InputError(f"'{role}' cannot be the role of {where}: a role is a lower-case letter followed by "
                             f"lower-case letters, digits and _. State another one in OWN_ROLES.")
        known, tags = PREDICTORS.get(role), info.band_metadata[band - 1]
        group = known.group if known else tags.get(GROUP_TAG, OTHER)
        categorical = known.categorical if known else tags.get(KIND_TAG) == CATEGORICAL
        layers.append((role, info, band, group, categorical))
    kinds = _by_role(options.own_kind, "OWN_KIND", [layer[0] for layer in layers], ("class", "number"))
    groups = _by_role(options.own_groups, "OWN_GROUPS", [layer[0] for layer in layers], (*GROUPS, OTHER))
    # by name, so that the order in which rasters are clicked cannot matter
    found = []
    for role, info, band, group, categorical in sorted(layers, key=lambda layer: (layer[0], layer[1].path, layer[2])):
        categorical = {"class": True, "number": False}.get(kinds.get(role), categorical)
        item = source(info.path, CLASS if categorical else NUMBER, band, info=info)
        if role in PREDICTORS:
            item = replace(item, valid=(PREDICTORS[role].quantity.low, PREDICTORS[role].quantity.high))
        found.append(Layer(role, info, band, groups.get(role, group), categorical, item,
                           "" if categorical else info.units[band - 1]))
    return found


def _by_role(text, what, roles, allowed):
    """Return {role: value} of a text of role=value pairs; raises InputError for what is not there or not allowed."""
    found = {}
    for role, value in parse_assignments(text, what):
        if role not in roles:
            raise InputError(f"{what} names '{role}', which is no role of the rasters under OWN"
                             f"{': ' + ', '.join(sorted(roles)) if roles else ''}.")
        if role in PREDICTORS:
            raise InputError(f"{what} names '{role}', whose kind and group are settled. Give the raster another role "
                             f"in OWN_ROLES.")
        if value not in allowed:
            raise InputError(f"{what} says '{value}' for {role}; it must be one of {', '.join(allowed)}.")
        found[role] = value
    return found


def ranges_for(layers, path):
    """Return one (low, high) a Layer, None for classes, from a table or a model file.

    Raises InputError for a predictor that is missing there, of another kind, or without a usable range.
    """
    stated = _ranges_of_model(path) if path.lower().endswith(MODEL_ENDING) or _is_zip(path) else _ranges_of_table(path)
    missing = [layer.role for layer in layers if layer.role not in stated]
    if missing:
        raise InputError(f"RANGES, {os.path.basename(path)}, has no {', '.join(missing)}. It has "
                         f"{', '.join(stated)}. Leave the predictor out, or add its range.")
    found = []
    for layer in layers:
        limits = stated[layer.role]
        if layer.categorical != (limits is None):
            raise InputError(f"{layer.role} is {'categorical' if layer.categorical else 'a number'} here, but "
                             f"{'a number' if layer.categorical else 'categorical'} in RANGES, "
                             f"{os.path.basename(path)}.")
        if limits and not np.float32(limits[0]) < np.float32(limits[1]):
            raise InputError(f"RANGES, {os.path.basename(path)}, says {limits[0]:g} to {limits[1]:g} for {layer.role}; "
                             f"the second must be larger.")
        found.append(limits)
    return found


def _is_zip(path):
    return os.path.isfile(path) and zipfile.is_zipfile(path)


def _ranges_of_model(path):
    found = {}
    for feature in read_features(path):
        if not feature.categorical and None in (feature.low, feature.high):
            raise InputError(f"The model {os.path.basename(path)} was trained on {feature.name} as it is, without a "
                             f"range. Set SCALING to raw and leave RANGES empty.")
        found[feature.name] = None if feature.categorical else (feature.low, feature.high)
    return found


def _ranges_of_table(path):
    rows = read_csv(path, _RANGES)
    name = os.path.basename(path)
    if not rows or not {"role", "low", "high"} <= set(rows[0]):
        raise InputError(f"RANGES, {name}, is not a table with the columns role, low and high, as OUTPUT_RANGES "
                         f"writes it.")
    found = {}
    for line, row in enumerate(rows, start=2):
        role, low, high = str(row["role"]), row["low"], row["high"]
        if role in found:
            raise InputError(f"RANGES, {name}, has {role} twice, the second time in line {line}.")
        if row.get("kind") == CATEGORICAL:
            found[role] = None
        elif not all(isinstance(value, float) and np.isfinite(value) for value in (low, high)):
            raise InputError(f"RANGES, {name}, line {line}: low and high of {role} are '{low}' and '{high}'; two "
                             f"numbers are needed.")
        else:
            found[role] = (low, high)
    return found


def _own_ranges(layers, extremes):
    """Return one (low, high) a Layer from the extremes, None for classes; raises InputError for constant ones."""
    constant = [layer for layer in layers if not layer.categorical and len(set(extremes[layer.role])) == 1]
    if constant:
        listed = ", ".join(f"{layer.role} ({layer.name}: {_shortest(extremes[layer.role][0])})" for layer in constant)
        raise InputError(f"These predictors have one value only and cannot be scaled: {listed}. Leave them out, or "
                         f"give RANGES.")
    return [None if layer.categorical else tuple(map(_shortest, extremes[layer.role])) for layer in layers]


def _shortest(value):
    """The number of the fewest decimals that is ``value`` in single precision: 0.3, not 0.30000001192092896."""
    return float(str(np.float32(value)))


def _refuse_empty(layers, cells, base):
    where = "on the base map" if base else "on the grid"
    if not cells["domain"]:
        raise InputError("The base map has no cell other than 0 and nodata." if base else
                         "No predictor has a valid cell. Check the nodata values.")
    empty = [f"{layer.role} ({layer.name})" for layer in layers if not cells[layer.role, "cells"]]
    if empty:
        raise InputError(f"These predictors have no valid cell {where}: {', '.join(empty)}. Check their extent, CRS "
                         f"and nodata value, or leave them out.")


def _rows(layers, ranges, cells, extremes):
    rows = []
    for layer, limits in zip(layers, ranges):
        lowest, highest = map(_shortest, extremes[layer.role])
        low, high = limits or ((None, None) if layer.categorical else (lowest, highest))
        rows.append({"role": layer.role, "group": layer.group, "kind": layer.kind, "unit": layer.unit, "low": low,
                     "high": high, "lowest": lowest, "highest": highest, "cells": cells[layer.role, "cells"],
                     "missing": cells["domain"] - cells[layer.role, "cells"],
                     "outside_base": cells[layer.role, "outside"], "clipped": cells[layer.role, "clipped"]})
    return rows


def _exact(row):
    """A row whose numbers are written with all their digits, so that ranges read back are the same."""
    return {key: str(value) if isinstance(value, float) else value for key, value in row.items()}


def _slopes(layers, progress):
    """Return where the trends of the paper are taken as the record says it; warn of slopes that are no trends."""
    found = {layer.role: _SLOPES.get(layer.info.descriptions[layer.band - 1], NOT_KNOWN) for layer in layers
             if layer.role in PREDICTORS and layer.role.endswith("_trend")}
    everywhere = [role for role, taken in found.items() if taken == EVERYWHERE]
    if everywhere:
        progress.warn(f"{', '.join(everywhere)}: the Sen slope of every cell is given, significant or not. The method "
                      f"takes OUTPUT_SLOPE_SIGNIFICANT of the trend tool, which is 0 where there is no trend.")
    others = [f"{role} {taken}" for role, taken in found.items() if taken != SIGNIFICANT]
    return ", ".join(others) or SIGNIFICANT


def _tell(layers, ranges, cells, extremes, options, base, progress):
    domain, complete = cells["domain"], cells["complete"]
    place = "the base map" if base else "the grid that have any predictor"
    for layer, limits in zip(layers, ranges):
        lowest, highest = map(_shortest, extremes[layer.role])
        kind = "codes" if layer.categorical else "values"
        progress.info(f"{layer.role} ({layer.name}): {kind} {lowest:g} to {highest:g} {layer.unit}".rstrip()
                      + (f", scaled by {limits[0]:g} to {limits[1]:g}." if limits else "."))
        suspect = [value for value in extremes[layer.role] if np.float32(value) in _SUSPECT]
        if suspect:
            progress.warn(f"{layer.role} reaches {suspect[0]:g} in {layer.name}, a value that often stands for "
                          f"nodata. If it does, declare it as the nodata value and run again.")
        if options.scaling == RAW and not layer.categorical and lowest == highest:
            progress.warn(f"{layer.role} ({layer.name}) has one value only, {lowest:g}.")
    progress.info(f"{complete} of {domain} cells of {place} have all {len(layers)} predictors "
                  f"({100 * complete / domain:.1f} %).")
    lacking = {layer.role: domain - cells[layer.role, "cells"] for layer in layers}
    worst = sorted((role for role in lacking if lacking[role]), key=lambda role: (-lacking[role], role))
    if worst:
        progress.warn(f"Cells of {place} that lack a predictor: "
                      f"{', '.join(f'{role} {lacking[role]} ({100 * lacking[role] / domain:.2g} %)' for role in worst)}"
                      f". {domain - complete} of {domain} lack at least one; MAX_MISSING of the tools for samples, "
                      f"training and prediction says how many a cell may lack.")
    outside = {layer.role: cells[layer.role, "clipped inside"] / cells[layer.role, "cells"] for layer in layers
               if cells[layer.role, "clipped inside"]}
    if outside:
        listed = ", ".join(f"{role} {100 * share:.2g} %" for role, share in outside.items())
        progress.warn(f"Shares of cells outside the ranges of {os.path.basename(options.ranges)}, set to 0 or 100: "
                      f"{listed}.")
