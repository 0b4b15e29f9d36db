"""The conceptual PTI under both profiles from the same products, and without each of them, in one pass.

Each map is, byte for byte, the one that the ensemble and the index tool make one after the other.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..common.profiles import AS_PUBLISHED, DEFENSIBLE
from ..ensembles.permafrost import (
    BASE_NODATA,
    EnsembleOptions,
    ensemble_percent,
    ensemble_temperature,
    open_products,
    products_of,
)
from ..rasters.blocks import run_blocks
from ..rasters.exclusion import count_left_out, exclusion_on, tell
from ..rasters.raster import NO_CLASS, Exclusion, SourceReader, read_info
from ..rasters.tally import Tally
from .pti import REASONS, TRENDS, PtiOptions, check_trend_years, class_source, index_spec, rank_cells, require_signs
from .rank_comparison import (
    comparison_rows,
    comparison_sentence,
    difference_spec,
    rank_difference,
    table_row,
    tally_ranks,
)
from .rank_stability import (
    ANY,
    check_left,
    find_products,
    leave_each_out,
    stability_rows,
    stability_sentences,
    stability_spec,
)

#: the first and the second map of the comparison
PAIR = (AS_PUBLISHED, DEFENSIBLE)
NAMES = tuple(profile.name for profile in PAIR)


@dataclass(frozen=True)
class StabilityOptions:
    """``products``: the user's pattern=product pairs; ``min_products``: PP products needed where one is left out, 0 for
    as many as without."""

    products: str = ""
    min_products: int = 0


@dataclass(frozen=True)
class ProfilesKernel:
    """The arithmetic of one block; ``names`` are those of the trends, ``products`` may be empty."""

    ensemble: EnsembleOptions
    absent: tuple
    index: PtiOptions
    names: tuple
    products: tuple
    left_min_products: int
    exclusion: Exclusion = None

    def __call__(self, arrays, window, grid):
        """Return the maps of a block, their difference and stability, and the tallies."""
        require_signs(arrays, self.names)
        percents, temperatures = products_of(arrays, window, grid, self.ensemble.min_latitude)
        areas = grid.cell_areas(window.row, window.rows, window.column, window.columns)
        layers = self._layers(percents, temperatures, self.absent, self.ensemble.min_products)
        (first, reason), (second, other) = (self._rank(arrays, layers, profile) for profile in PAIR)
        differs = reason != other
        tallies = self._left_out(arrays, layers, window, grid)
        tallies |= {"ranks": tally_ranks(first, second, areas),
                   "reasons": Tally.of(reason[differs].astype(np.int64) << 8 | other[differs], areas[differs], 1 << 16)}
        maps = {AS_PUBLISHED.name: first, DEFENSIBLE.name: second, "difference": rank_difference(first, second)}
        if self.products:
            def rank_without(product):
                pp, magt = (np.setdiff1d(np.arange(len(stack)), places)
                            for stack, places in ((percents, product.pp), (temperatures, product.magt)))
                left = self._layers(percents[pp], temperatures[magt], [self.absent[place] for place in pp],
                                    self.left_min_products)
                return self._rank(arrays, left, DEFENSIBLE)[0]

            maps["stability"], more = leave_each_out(second, self.products, rank_without, areas)
            tallies.update(more)
        return maps, tallies

    def _layers(self, percents, temperatures, absent, min_products):
        """Return (MAGT, PP, base), the base map as the index tool reads it from what the ensemble tool writes."""
        base, percent, _, _ = ensemble_percent(percents, absent, min_products)
        magt, _, _ = ensemble_temperature(temperatures, self.ensemble.min_magt)
        return magt, percent, np.where(base == BASE_NODATA, NO_CLASS, base.astype(np.int32))

    def _rank(self, arrays, layers, profile):
        magt, percent, base = layers
        left_out = self.exclusion.holds(arrays["EXCLUDE"]) if self.exclusion else None
        return rank_cells(magt, *(arrays[role] for role in TRENDS), percent, base, replace(self.index, profile=profile),
                          left_out)

    def _left_out(self, arrays, layers, window, grid):
        """Return the tally of what is left out of the base map, {} where nothing is."""
        if not self.exclusion:
            return {}
        return {"left_out": count_left_out(arrays["EXCLUDE"], self.exclusion, layers[2] == 1, window, grid)}


def compare_profiles(paths, outputs, staging, progress, ensemble=None, index=None, stability=None, target=None,
                     settings=None):
    """Build the index under both profiles from products, compare them, leave each product out; stage the rasters.

    ``paths``: {"PP", "MAGT": lists of rasters, "MAGT_TREND", "ALT_TREND": sign rasters}. ``outputs``: {"difference" |
    "stability" | "as_published" | "defensible": path or None}. ``ensemble``: EnsembleOptions, ``index``: PtiOptions
    (its profile is not used), ``stability``: StabilityOptions. With two PP or two MAGT products none can be left out,
    and the table has no such sections. Returns {"table": rows, "products": names}. Raises InputError, GridError,
    OutputError, Cancelled.
    """
    ensemble, index, stability = ensemble or EnsembleOptions(), index or PtiOptions(), stability or StabilityOptions()
    index.check()
    trends = [read_info(paths[role]) for role in TRENDS]
    check_trend_years(*trends)
    opened = open_products(paths["PP"], paths["MAGT"], ensemble, progress, target, trends)
    products, left_min = _products_to_leave(opened, ensemble, stability, outputs.get("stability"), progress)
    reader = SourceReader()
    sources = {**opened.sources,
               **{role: class_source(info, opened.grid, reader) for role, info in zip(TRENDS, trends)}}
    reader.close()
    exclusion = exclusion_on(index.left_out, opened.grid) if index.left_out else None
    if exclusion:
        sources["EXCLUDE"] = exclusion.source
    kernel = ProfilesKernel(ensemble, opened.absent, index, tuple(info.name for info in trends), products, left_min,
                            exclusion)
    specs = {"difference": difference_spec(outputs.get("difference"), NAMES),
             "stability": stability_spec(outputs.get("stability"), products),
             **{profile.name: index_spec(outputs.get(profile.name), profile) for profile in PAIR}}
    tallies = run_blocks(opened.grid, sources, kernel, specs, staging, progress, settings,
                         extra_bytes=40 * (len(paths["PP"]) + len(paths["MAGT"])) + 160)
    if exclusion:
        tell(tallies["left_out"], exclusion, "cells of the base map", progress)
    rows = comparison_rows(tallies["ranks"], NAMES)
    ranked = tallies["ranks"].sum(key for key in tallies["ranks"].cells if key & 255)
    either = tallies["ranks"].sum(tallies["ranks"].cells)
    rows += [table_row("reason", f"{key >> 8} to {key & 255}: {REASONS[key & 255][0]}", tallies["reasons"].sum([key]),
                       either) for key in sorted(tallies["reasons"].cells)]
    progress.info(comparison_sentence(rows, NAMES))
    told = tallies["reasons"].sum(tallies["reasons"].cells)[0]
    if told:
        progress.info(f"In {told:,} cells the profiles give the rank for different reasons; the table lists them under "
                      f"'reason'.")
    if products:
        rows += stability_rows(tallies, products, ranked)
        for sentence in stability_sentences(rows, products):
            progress.info(sentence)
    return {"table": rows, "products": [product.name for product in products]}


def _products_to_leave(opened, ensemble, stability, wanted, progress):
    """Return (Products, PP products needed without one of them); none where there are too few layers."""
    names = [[item.name for item in opened.sources[role]] for role in ("PP", "MAGT")]
    count = [len(each) for each in names]
    if min(count) < 3:
        if wanted or stability.products:
            raise InputError(f"To leave one product out takes 3 of each kind; there are {count[0]} PP and {count[1]} "
                             f"MAGT products. Add one, or leave OUTPUT_STABILITY and PRODUCTS empty.")
        progress.info("The stability takes three products of each kind; none is left out.")
        return (), 0
    try:
        products = find_products(*names, stability.products)
    except InputError as error:
        if wanted or stability.products:
            raise
        # whoever only wants the profiles compared need not name products
        progress.warn(f"No product is left out in turn. {error}")
        return (), 0
    least = stability.min_products or ensemble.min_products
    if ANY in (product.name for product in products):
        raise InputError(f"'{ANY}' in PRODUCTS is the name of a row of the table; give the product another one.")
    check_left(products, *count, least, ensemble.min_magt)
    for product in products:
        layers = [names[0][place] for place in product.pp] + [names[1][place] for place in product.magt]
        progress.info(f"Product {product.name}: {' and '.join(layers)}.")
    progress.info(f"Where one product is left out, {least} of the others with PP > 0 make permafrost.")
    return products, least
