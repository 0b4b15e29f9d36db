"""The mean over depth of soil layers, weighted with their thickness.

Method, section 2 (D16): Σ wᵢxᵢ / Σ wᵢ. Depths are read from names as SoilGrids writes them (soc_0-5cm_mean), in cm.
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.grid import require_same
from ..rasters.product_sources import Reading, open_files, sources_of
from ..rasters.products import RECOGNISE
from ..rasters.raster import NUMBER
from ..rasters.units import check_patterns, matching, parse_assignments

ALL, THERE = GAPS = ("all_layers", "layers_there")
_NAMED = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*[-–]\s*(\d+(?:\.\d+)?)\s*cm(?![a-z])", re.IGNORECASE)
_STATED = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*(?:cm)?", re.IGNORECASE)


@dataclass(frozen=True)
class DepthOptions:
    """``layers``: depths as ``name=top-bottom; …`` (cm) where the names do not tell them; ``top`` and ``bottom``: the
    depths the mean is taken between, cm, 0 for the bottom of the deepest layer; ``gaps`` of GAPS: cells need all
    layers, or those there with at least ``min_thickness``, a share of the whole thickness. ``product``, ``products``,
    ``units``: see Reading."""

    layers: str = ""
    top: float = 0.0
    bottom: float = 0.0
    gaps: str = ALL
    min_thickness: float = 0.5
    product: str = RECOGNISE
    products: str = ""
    units: str = ""

    def check(self):
        """Raise InputError for values out of their range."""
        if self.gaps not in GAPS:
            raise InputError(f"GAPS is '{self.gaps}'; it must be one of {', '.join(GAPS)}.")
        if not 0 <= self.min_thickness <= 1:
            raise InputError(f"MIN_THICKNESS is {self.min_thickness:g}; it must lie between 0 and 1.")
        if self.top < 0 or self.bottom < 0 or self.bottom and self.bottom <= self.top:
            raise InputError(f"TOP is {self.top:g} and DEPTH {self.bottom:g}; the mean goes from TOP down to a larger "
                             f"DEPTH, both in cm.")


@dataclass(frozen=True)
class DepthKernel:
    """The arithmetic of one block: ``weights`` are the thicknesses in cm that the layers enter with."""

    weights: tuple
    gaps: str
    min_thickness: float

    def __call__(self, arrays, window, grid):
        """Return mean and thickness of a block, and how its cells were decided."""
        total, thickness, layers = weighted_sums(arrays["INPUT"], self.weights)
        whole = layers == len(self.weights)
        enough = whole
        if self.gaps == THERE:
            # the margin lets a share of exactly the minimum pass
            enough = (layers > 0) & (thickness >= self.min_thickness * sum(self.weights) * (1 - 1e-12))
        mean = np.full(total.shape, np.nan)
        np.divide(total, thickness, out=mean, where=enough)
        tally = Counter(whole=int(whole.sum()), partial=int((enough & ~whole).sum()),
                        few=int((~enough & (layers > 0)).sum()), empty=int((layers == 0).sum()))
        return {"mean": mean, "thickness": np.where(enough, thickness, np.nan)}, {"cells": tally}


def weighted_sums(layers, weights):
    """Return (Σ wx, Σ w, number of layers) of every cell over the layers that have a value there."""
    total, thickness = np.zeros(layers[0].shape), np.zeros(layers[0].shape)
    number = np.zeros(layers[0].shape, dtype=np.uint8)
    for layer, weight in zip(layers, weights):
        known = ~np.isnan(layer)
        total[known] += weight * layer[known]
        thickness[known] += weight
        number += known
    return total, thickness, number


def depths_of(names, text=""):
    """Return [(top, bottom)] in cm of layer names, from ``text`` (name=top-bottom; …) where given, else the names.

    Raises InputError where a name tells no depth or a statement fits no layer.
    """
    stated = parse_assignments(text, "LAYERS")
    check_patterns(stated, names, "LAYERS")
    depths = []
    for name in names:
        value = matching(stated, name)
        found = _STATED.fullmatch(value) if value else _last(_NAMED, name)
        if found is None:
            if value:
                raise InputError(f"LAYERS says '{value}' for {name}; write its depths in cm as top-bottom, for example "
                                 f"0-5.")
            raise InputError(f"The name {name} tells no depth as in soc_0-5cm_mean. State it in LAYERS, for example "
                             f"{name}=0-5.")
        top, bottom = float(found[1]), float(found[2])
        if bottom <= top:
            raise InputError(f"{name} lies between {top:g} and {bottom:g} cm; the bottom must be deeper than the top.")
        depths.append((top, bottom))
    return depths


def _last(form, text):
    found = list(form.finditer(text))
    return found[-1] if found else None


def thicknesses(names, depths, top=0.0, bottom=0.0):
    """Return the weights in cm of the layers in their order, 0 outside ``top`` to ``bottom``.

    ``bottom`` 0 is that of the deepest layer. Raises InputError naming depths that overlap or are missing.
    """
    order = sorted(range(len(names)), key=lambda i: depths[i])
    for i, j in zip(order, order[1:]):
        if depths[j][0] < depths[i][1]:
            raise InputError(f"{names[i]} ({_phrase(depths[i])}) and {names[j]} ({_phrase(depths[j])}) overlap. Leave "
                             f"one out, or correct LAYERS.")
    deepest = max(layer[1] for layer in depths)
    if top >= deepest:
        raise InputError(f"TOP is {top:g}, but the deepest layer ends at {deepest:g} cm. Lower TOP.")
    bottom = bottom or deepest
    weights = [max(0.0, min(layer[1], bottom) - max(layer[0], top)) for layer in depths]
    missing, reached = [], top
    for i in order:
        if weights[i]:
            if depths[i][0] > reached:
                missing.append((reached, depths[i][0]))
            reached = depths[i][1]
    if reached < bottom:
        missing.append((reached, bottom))
    if missing:
        raise InputError(f"There is no layer for {', '.join(map(_phrase, missing))}. Add it, or change TOP and DEPTH.")
    return weights


def _phrase(depths):
    return f"{depths[0]:g}-{depths[1]:g} cm"


def depth_mean(paths, outputs, staging, progress, options=None, settings=None):
    """Make the mean over depth and stage it.

    ``paths``: rasters of one grid, one layer each or several bands with names; ``outputs``: {"mean", "thickness": path
    or None}, thickness in cm. Returns {"layers": rows of name, depths and weight, "cells": tallies}. Raises InputError,
    GridError, OutputError, Cancelled.
    """
    options = options or DepthOptions()
    options.check()
    if not paths:
        raise InputError("No layer is given.")
    reading = Reading.of(options)
    files = open_files(paths, reading, progress)
    infos = files.infos
    require_same((infos[0].name, infos[0].grid), [(info.name, info.grid) for info in infos[1:]],
                 "All layers must share one grid; align them first.")
    bands = [(info, band) for info in infos for band in range(1, info.bands + 1)]
    names = [info.name if info.bands == 1 else info.descriptions[band - 1] or f"{info.name} band {band}"
             for info, band in bands]
    if len(names) < 2:
        raise InputError(f"{names[0]} is the only layer; a mean over depth needs at least 2.")
    units = {info.units[band - 1] for info, band in bands}
    if len(units) > 1:
        raise InputError(f"The layers declare different units ({', '.join(sorted(unit or 'none' for unit in units))}). "
                         f"Convert them to one first.")
    depths = depths_of(names, options.layers)
    weights = thicknesses(names, depths, options.top, options.bottom)
    _warn_of_mixture(names, progress)
    # from the top down, so that the order in which layers are clicked cannot matter
    used = sorted((i for i in range(len(names)) if weights[i]), key=lambda i: depths[i])
    for i in used:
        progress.info(f"{names[i]}: {_phrase(depths[i])}, weight {weights[i]:g} cm.")
    for i in sorted(set(range(len(names))) - set(used)):
        progress.warn(f"{names[i]} ({_phrase(depths[i])}) lies outside TOP and DEPTH and is not used.")
    items = sources_of([bands[i] for i in used], NUMBER, files, reading, progress)
    kernel = DepthKernel(tuple(weights[i] for i in used), options.gaps, options.min_thickness)
    tags = {"PTI_DEPTH_CM": f"{options.top:g}-{options.top + sum(kernel.weights):g}", "PTI_GAPS": options.gaps,
            **files.record}
    unit = files.product.quantity.unit if files.product else units.pop()
    specs = {"mean": OutputSpec(outputs["mean"], "float32", FLOAT_NODATA, ("mean over depth",), (unit,),
                                metadata=tags),
             "thickness": OutputSpec(outputs.get("thickness"), "float32", FLOAT_NODATA, ("thickness used",), ("cm",),
                                     metadata=tags)}
    tallies = run_blocks(infos[0].grid, {"INPUT": items}, kernel, specs, staging, progress, settings, extra_bytes=60)
    cells = tallies["cells"]
    _tell(cells, options, progress)
    return {"cells": dict(cells), "layers": [{"name": names[i], "top_cm": depths[i][0], "bottom_cm": depths[i][1],
                                              "weight_cm": weights[i]} for i in used]}


def _warn_of_mixture(names, progress):
    stems = {_NAMED.sub("*", name).lower() for name in names if _NAMED.search(name)}
    if len(stems) > 1:
        progress.warn(f"The layers differ in more than their depth: {', '.join(sorted(stems))}. Check that all are of "
                      f"one property.")


def _tell(cells, options, progress):
    if not cells["whole"] + cells["partial"]:
        needed = "all layers" if options.gaps == ALL else f"{100 * options.min_thickness:g} % of the thickness"
        remedy = "set GAPS to layers_there" if options.gaps == ALL else "lower MIN_THICKNESS"
        raise InputError(f"No cell has {needed}. Check the nodata values of the layers, or {remedy}.")
    progress.info(f"{cells['whole']} cells have all layers; {cells['empty']} have none.")
    if cells["partial"]:
        progress.warn(f"{cells['partial']} cells lack a layer; their mean is of the layers there.")
    if cells["few"]:
        progress.warn(f"{cells['few']} cells have only some of the layers and are nodata (GAPS).")
