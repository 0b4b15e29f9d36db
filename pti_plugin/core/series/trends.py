"""Trend rasters: Mann-Kendall tests and Sen slopes of a raster series, checked on every run.

One reading of the layers serves all outputs. 64 random cells of every run are recomputed with pymannkendall; a
difference above the tolerance fails the run. Method, section 2 (D5, D10–D15) and section 8.
"""

import heapq
import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..common.errors import InputError, PtiError
from ..common.packages import require, version_of
from ..rasters.blocks import FLOAT_NODATA, OutputSpec, run_blocks
from ..rasters.cell_keys import cell_keys
from ..rasters.product_sources import Reading
from ..rasters.products import RECOGNISE
from ..rasters.raster import CLASS, Series, SourceReader, exact_in_float32, on_grid, scaling, source
from ..rasters.series_sources import Region, open_series
from ..rasters.time_axis import AxisOptions, stamp_text, year_of
from ..rasters.units import check_range, refuse_unit_change, sample_mean
from .corrections import (
    HAMED_RAO,
    HIRSCH_SLACK,
    ORIGINAL,
    PREWHITENED,
    TREND_FREE,
    YUE_WANG,
    check_method,
    least_p,
    slope_limits,
    step_change,
    trend_test,
)
from .gap_filling import FILL_YEARS, LINEAR, LONGEST_NIGHT, NIGHTS, NO_NIGHT, fill_nights, fill_steps, longest_night
from .mann_kendall import engines, lag_1

#: nodata of the sign raster
SIGN_NODATA = -32768
SIGN_COLOURS = {-1: ("Significant decrease", (33, 102, 172)), 0: ("No significant trend", (225, 225, 225)),
                1: ("Significant increase", (178, 24, 43))}
#: fewest valid values a test needs
MIN_VALUES = 4
#: how the coverage of a cell is judged: within each season, or over all time steps (as published)
BY_SEASON, ALL_STEPS = COVERAGES = ("by_season", "all_steps")
#: a test of several seasons needs one in so many of them
SEASONS_NEEDED = 4
#: lag-1 autocorrelation above which plain Mann-Kendall is at risk (method, section 8)
RISKY_LAG_1 = 0.2
#: cells recomputed with the reference, and the relative differences allowed (float32 layers have slopes to 1e-6)
CHECKED_CELLS = 64
TOLERANCE, TOLERANCE_SINGLE = 1e-9, 1e-6
#: outputs that are rasters of one number, and their band names
NUMBERS = {"slope": "Sen slope", "p": "p, two-sided", "z": "Z", "s": "S", "tau": "Kendall's tau",
           "lag_1": "lag-1 autocorrelation of the residuals", "slope_significant": "Sen slope where significant"}
#: the other outputs
OTHERS = ("sign", "count", "seasons", "limits", "step")


@dataclass(frozen=True)
class TrendOptions:
    """``period`` seasons a year, beginning in month ``season_start``; ``method`` of corrections.METHODS.

    ``min_share``: share of its years that a season needs at a cell; with fewer it is left out of the cell's test. A
    cell needs ``min_seasons`` of the seasons (0: a quarter of them). With ``coverage`` all_steps it is the share of all
    time steps that a cell needs, and no season is left out. ``fdr``: control the false-discovery rate at ``alpha``
    (Benjamini & Hochberg 1995) over all tested cells; ``step_at``: first year after a suspected step. ``fill``: layers
    that are missing or empty get, cell by cell, the mean of the same season in the FILL_YEARS nearest years with a
    value; ``night`` linear: gaps inside a year get the values between their neighbours (gap_filling). ``first_year``,
    ``last_year``: layers of years before and after are left out, 0 for none.
    ``min_latitude``: cells whose centre lies south of it are nodata. ``sort``, ``start``, ``date_format`` and
    ``select`` are those of the time axis (AxisOptions); ``product`` to ``flags`` say how the files are read (Reading).
    """

    period: int = 1
    season_start: int = 1
    method: str = ORIGINAL
    alpha: float = 0.05
    min_share: float = 0.8
    coverage: str = BY_SEASON
    min_seasons: int = 0
    fdr: bool = False
    step_at: int = 0
    fill: bool = False
    night: str = NO_NIGHT
    first_year: int = 0
    last_year: int = 0
    sort: bool = False
    start: str = ""
    date_format: str = ""
    select: str = ""
    seed: int = 42
    min_latitude: float = -90.0
    product: str = RECOGNISE
    products: str = ""
    variable: str = ""
    wkt: str = ""
    extent: tuple = ()
    units: str = ""
    valid: tuple = ()
    flags: tuple = ()

    def check(self):
        """Raise InputError for values out of their range."""
        if not 0 < self.alpha < 1:
            raise InputError(f"ALPHA is {self.alpha:g}; it must lie between 0 and 1, usually 0.05.")
        if self.period < 1:
            raise InputError(f"PERIOD is {self.period}; it is the number of layers a year: 1 for annual, 12 for "
                             f"monthly series.")
        if not 1 <= self.season_start <= 12:
            raise InputError(f"SEASON_START is {self.season_start}; it is the month the year begins with, 1 to 12.")
        for name, value, choices in (("COVERAGE", self.coverage, COVERAGES), ("NIGHT", self.night, NIGHTS)):
            if value not in choices:
                raise InputError(f"{name} is '{value}'; it must be one of {', '.join(choices)}.")
        if not 0 <= self.min_share <= 1:
            raise InputError(f"MIN_SHARE is {self.min_share:g}; it must lie between 0 and 1.")
        if not 0 <= self.min_seasons <= self.period:
            raise InputError(f"MIN_SEASONS is {self.min_seasons}; it must lie between 0 and PERIOD, {self.period}.")
        if self.night == LINEAR and self.period < 3:
            raise InputError(f"PERIOD is {self.period}, but NIGHT fills gaps between the seasons of a year. Set NIGHT "
                             f"to {NO_NIGHT}.")
        check_range(self.valid)
        check_method(self.method, self.period)

    @property
    def by_season(self):
        """Whether coverage is judged within each of several seasons."""
        return self.coverage == BY_SEASON and self.period > 1

    @property
    def seasons_needed(self):
        """Fewest seasons of a test."""
        return (self.min_seasons or -(-self.period // SEASONS_NEEDED)) if self.by_season else 1


class Checked:
    """The cells with the smallest keys of all blocks: (key, series, results), for the self-check."""

    def __init__(self, cells):
        self.cells = cells

    def update(self, other):
        """Keep the smallest of both."""
        self.cells = heapq.nsmallest(CHECKED_CELLS, self.cells + other.cells, key=lambda cell: cell[0])


@dataclass(frozen=True)
class TrendKernel:
    """The arithmetic of one block.

    ``steps``: place of each layer on the padded time axis of ``length`` steps, which begins with season 0; ``needed``:
    values a test needs, of all steps or (an array) of each season; ``scaling``: (scale, offset) of the values as read;
    ``names`` and ``unit`` of the layers; ``step_after``: place of the suspected step; ``fill``: steps to be filled.
    """

    steps: tuple
    length: int
    needed: object
    scaling: tuple
    options: TrendOptions
    step_after: int
    wanted: tuple
    names: tuple
    unit: str = ""
    fill: tuple = ()

    def __call__(self, arrays, window, grid):
        """Return the outputs of a block and its tallies."""
        stack = arrays["INPUT"]
        shape = stack.shape[1:]
        cells = stack[0].size
        stack[:, grid.south_of(self.options.min_latitude, window.row, window.rows, window.column,
                               window.columns)] = np.nan
        stack = stack.reshape(len(stack), cells)
        options = self.options
        scale, offset = self.scaling
        refuse_unit_change([sample_mean(layer) * scale + offset for layer in stack], self.names, self.unit)
        stack, steps, nights = self._filled(stack)
        by_season = _values_by_season(stack, steps, options.period)
        valid = by_season.sum(axis=0, dtype=np.uint16)
        used = by_season >= self.needed[:, None] if options.by_season else by_season > 0
        number = used.sum(axis=0)
        if options.by_season:
            testable = (number >= options.seasons_needed) & (np.where(used, by_season, 0).sum(axis=0) >= MIN_VALUES)
        else:
            testable = valid >= self.needed
        place = np.flatnonzero(testable)
        left_out = ~used & (by_season > 0) & testable
        if steps == tuple(range(self.length)) and place.size == cells:
            flat = stack
        else:
            flat = np.full((self.length, place.size), np.nan, dtype=stack.dtype)
            flat[list(steps)] = stack[:, place]
        for season in np.flatnonzero(left_out.any(axis=1)):
            flat[season::options.period, left_out[season, place]] = np.nan
        trend = trend_test(flat, options.period, options.method, True, options.alpha)
        lag = lag_1(flat, trend.slope, options.period)
        slope = trend.slope * scale
        # p as the file will hold it, so that a threshold found on the file decides the same
        p = trend.p.astype(np.float32).astype(np.float64)
        sign = np.where(p < options.alpha, np.sign(trend.s), 0)
        sign = np.where(np.isnan(p), SIGN_NODATA, sign).astype(np.int16)
        values = {"slope": slope, "p": p, "z": trend.z, "s": trend.s, "tau": trend.tau, "lag_1": lag,
                  "slope_significant": np.where(sign == SIGN_NODATA, np.nan, np.where(sign == 0, 0.0, slope))}
        out = {name: _spread(values[name], place, shape) for name in NUMBERS if name in self.wanted}
        if "limits" in self.wanted:
            limits = slope_limits(flat, trend.variance, options.period, options.alpha)
            out["limits"] = np.stack([_spread(np.sort(np.array(limits) * scale, axis=0)[i], place, shape)
                                      for i in (0, 1)])
        if "step" in self.wanted:
            shift, z = step_change(flat, trend.slope, self.step_after, options.period)
            out["step"] = np.stack([_spread(shift * abs(scale), place, shape), _spread(z, place, shape)])
        out["sign"] = _spread(sign, place, shape, SIGN_NODATA)
        out["count"] = valid.reshape(shape)
        out["seasons"] = np.where(testable, number, 0).astype(np.uint16).reshape(shape)
        tally = Counter(up=int((sign == 1).sum()), down=int((sign == -1).sum()), none=int((sign == 0).sum()),
                        few=int((~testable & (valid > 0)).sum()), empty=int((valid == 0).sum()),
                        variance=int((sign == SIGN_NODATA).sum()),
                        risky=int((np.abs(np.nan_to_num(lag)) > RISKY_LAG_1).sum()))
        seasons, having = np.unique(number[place], return_counts=True)
        tallies = {"cells": tally, "checked": self._checked(flat, trend, place, window),
                   "seasons": Counter(dict(zip(seasons.tolist(), having.tolist()))), "nights": nights}
        if options.fdr:
            known, counts = np.unique(p[~np.isnan(p)], return_counts=True)
            tallies["p"] = Counter(dict(zip(known.tolist(), counts.tolist())))
        return out, tallies

    def _filled(self, stack):
        """Return (series, their steps, tally of the nights filled) with what the options fill."""
        options, steps, nights = self.options, self.steps, Counter()
        if self.fill or options.night == LINEAR:
            filled = np.full((self.length, stack.shape[1]), np.nan, dtype=stack.dtype)
            filled[list(steps)] = stack
            there = np.zeros(self.length, dtype=bool)
            there[[*steps, *self.fill]] = True
            fill_steps(filled, self.fill, options.period)
            if options.night == LINEAR:
                for first in range(0, self.length, options.period):
                    year = slice(first, first + options.period)
                    nights["filled"] += int(fill_nights(filled[year], there[year],
                                                        longest_night(options.period)).sum())
                nights["values"] = int((~np.isnan(filled)).sum())
            stack, steps = filled, tuple(range(self.length))
        return stack, steps, nights

    def _checked(self, flat, trend, place, window):
        rows, columns = place // window.columns + window.row, place % window.columns + window.column
        keys = cell_keys(rows, columns, self.options.seed)
        chosen = np.argsort(keys, kind="stable")[:CHECKED_CELLS]
        return Checked([(int(keys[i]), flat[:, i].astype(np.float64),
                         {name: float(getattr(trend, name)[i]) for name in ("s", "variance", "z", "p", "slope")})
                        for i in chosen])


def _values_by_season(stack, steps, period):
    """Return how many values every season of a cell has, (period, cells) uint16, of ``stack`` (steps, cells)."""
    counts = np.zeros((period, stack.shape[1]), dtype=np.uint16)
    there = np.empty(stack.shape[1], dtype=bool)
    # bytes are added many times faster than wider numbers; 255 of them fit
    for first in range(0, len(steps), 255):
        some = np.zeros(counts.shape, dtype=np.uint8)
        for step, layer in zip(steps[first:first + 255], stack[first:first + 255]):
            np.equal(layer, layer, out=there)
            some[step % period] += there.view(np.uint8)
        counts += some
    return counts


def _spread(values, place, shape, fill=np.nan):
    result = np.full(shape[0] * shape[1], fill, dtype=values.dtype)
    result[place] = values
    return result.reshape(shape)


@dataclass(frozen=True)
class DiscoveryKernel:
    """Signs again, with the threshold that controls the false-discovery rate."""

    threshold: float

    def __call__(self, arrays, window, grid):
        """Return the sign and the significant slope of a block."""
        p, s, slope = arrays["p"], arrays["s"], arrays["slope"]
        sign = np.where(p <= self.threshold, np.sign(s), 0)
        sign = np.where(np.isnan(p), SIGN_NODATA, sign).astype(np.int16)
        tally = Counter(up=int((sign == 1).sum()), down=int((sign == -1).sum()), none=int((sign == 0).sum()))
        return {"sign": sign, "slope_significant": np.where(sign == SIGN_NODATA, np.nan,
                                                            np.where(sign == 0, 0.0, slope))}, {"cells": tally}


def discovery_threshold(p_counts, alpha):
    """Return the largest p that Benjamini and Hochberg's procedure still calls significant, or −1 for none.

    ``p_counts``: {p: number of tests}.
    """
    total = sum(p_counts.values())
    reached, threshold = 0, -1.0
    for p in sorted(p_counts):
        reached += p_counts[p]
        if p <= alpha * reached / total:
            threshold = p
    return threshold


def trend_rasters(paths, outputs, staging, progress, options=None, target=None, settings=None):
    """Compute trend rasters of a series and stage them.

    ``paths``: single-band rasters, or one multi-band raster. ``outputs``: {name: path or None} with the names of
    NUMBERS, "sign", "count", "seasons" (of the test, 0 where there is none), "limits" (lower, upper) and "step" (shift,
    rank-sum Z). Untestable cells are nodata.
    Returns a dict with tallies, time span and self-check. Raises InputError, GridError, OutputError, Cancelled, and
    PtiError where the self-check fails.
    """
    options = options or TrendOptions()
    options.check()
    if not paths:
        raise InputError("The series has no layer.")
    time = AxisOptions(options.period, options.sort, options.start, options.date_format, options.select)
    opened = _within_years(open_series(paths, time, Reading.of(options), progress,
                                       Region(None, options.min_latitude)), options, progress)
    layers, unit = opened.layers, opened.unit
    if opened.product and opened.product.kind == CLASS:
        raise InputError(f"{layers[0].label} is {opened.product.title}, whose codes have no trend. Make a composite of "
                         f"them first, such as the frozen days of each year, or set PRODUCT.")
    axis = _axis(layers, options, progress)
    _tell_too_short(axis, options, progress)
    if options.method == YUE_WANG:
        progress.warn("yue_wang finds a trend in nearly every second short series that has none (docs/trends.md); it "
                      "is there for comparison with published work.")
    items, as_read = _items(opened, target)
    _refuse_empty(items.items)
    work = {name: path for name, path in outputs.items() if path}
    if options.fdr:
        # the signs can only be told once all p are known
        base = next(iter(work.values()))
        for name in ("p", "s", "slope"):
            work.setdefault(name, f"{base}.{name}.tif")
        for name in ("sign", "slope_significant"):
            work.pop(name, None)
    fill = _steps_to_fill(axis, items.items, options, progress) if options.fill else ()
    kernel = TrendKernel(axis["steps"], axis["length"], axis["needed"], as_read, options, axis["step_after"],
                         tuple(work), tuple(layer.label for layer in layers), unit, fill)
    specs = _specs({**dict.fromkeys((*NUMBERS, *OTHERS)), **work}, unit, layers, options)
    part = progress.part(0, 0.85) if options.fdr else progress
    run = partial(run_blocks, target or opened.grid, staging=staging, settings=settings)
    tallies = run({"INPUT": items}, kernel, specs, progress=part,
                  extra_bytes=axis["length"] * (4 if items.single else 8) + 120 + 4 * options.period)
    cells = tallies["cells"]
    tested = cells["up"] + cells["down"] + cells["none"]
    if tested == 0:
        raise InputError(f"No cell has enough values to test a trend ({_needed(axis, options)} are needed). Lower "
                         f"MIN_SHARE or check the nodata values of the layers.")
    check = _self_check(tallies["checked"].cells, options, items.single, progress)
    result = {"layers": len(layers), "steps": axis["span"],
              "needed": np.ravel(axis["needed"]).max().item(), "method": options.method,
              "engine": engines()[0], "self_check": check, "first": _label(layers[0], options),
              "last": _label(layers[-1], options),
              "filled": [stamp_text(step + axis["origin"], options.period) for step in fill]}
    if options.fdr:
        result["fdr"] = {"threshold": discovery_threshold(tallies["p"], options.alpha), "tests": tested,
                         "domain": "all tested cells of this run"}
        signs = _discoveries(outputs, work, specs, result["fdr"], run, progress.part(0.85, 1))
        cells.update({name: signs[name] - cells[name] for name in ("up", "down", "none")})
    _tell(cells, tested, options, progress)
    _tell_seasons(tallies, options, progress, result)
    result["cells"] = dict(cells)
    return result


def _within_years(opened, options, progress):
    """Return the series without layers before ``first_year`` and after ``last_year``; raises InputError for none."""
    if not (options.first_year or options.last_year):
        return opened
    years = [year_of(layer.index, options.period, options.season_start) for layer in opened.layers]
    kept = [place for place, year in enumerate(years)
            if options.first_year <= year and (not options.last_year or year <= options.last_year)]
    if not kept:
        raise InputError(f"The series has the years {years[0]} to {years[-1]}, of which none lies between FIRST_YEAR "
                         f"{options.first_year or 'none'} and LAST_YEAR {options.last_year or 'none'}.")
    if options.first_year > years[0] or 0 < options.last_year < years[-1]:
        progress.info(f"Of the years {years[0]} to {years[-1]}, {years[kept[0]]} to {years[kept[-1]]} are used.")
    return replace(opened, layers=tuple(opened.layers[place] for place in kept),
                   items=tuple(opened.items[place] for place in kept))


def _axis(layers, options, progress):
    """Return the padded time axis: steps of the layers, its length, the span, and the values a test needs."""
    period = options.period
    span = layers[-1].index - layers[0].index + 1
    least = max(MIN_VALUES, 2 * period)
    if span < least:
        raise InputError(f"The series has {span} time steps; a trend needs at least {least}.")
    shift = (options.season_start - 1) * period // 12
    origin = (layers[0].index - shift) // period * period + shift
    steps = tuple(layer.index - origin for layer in layers)
    if (steps[-1] + 1) % period or steps[0]:
        progress.warn(f"The series is not whole years of {period} steps; the first or last year is incomplete.")
    step_after = max(0, options.step_at * period + shift - origin) if options.step_at else 0
    if options.step_at and not steps[0] < step_after <= steps[-1]:
        raise InputError(f"STEP_YEAR is {options.step_at}, which is not inside the series.")
    if options.by_season:
        # years of each season between the first and the last layer; a single value has nothing to be compared with
        years = np.bincount(np.arange(steps[0], steps[-1] + 1) % period, minlength=period)
        needed = np.maximum(2, np.ceil(options.min_share * years - 1e-9)).astype(int)
    else:
        needed = max(MIN_VALUES, math.ceil(options.min_share * span - 1e-9))
    return {"steps": steps, "length": steps[-1] + 1, "span": span, "step_after": step_after, "origin": origin,
            "needed": needed}


def _tell_too_short(axis, options, progress):
    """Warn where no series without gaps, whatever its values, could be significant."""
    if options.method not in (ORIGINAL, HIRSCH_SLACK):
        return
    p = least_p(-(-axis["length"] // options.period), options.period, options.method)
    if p >= options.alpha:
        progress.warn(f"The series is too short for a trend: in {axis['span'] / options.period:.3g} years p is "
                      f"{p:.2g} at best by {options.method}, never below {options.alpha:g}. That no trend is "
                      f"significant says nothing here.")


def _needed(axis, options):
    if options.by_season:
        return (f"{options.seasons_needed} of {options.period} seasons with {np.max(axis['needed'])} of "
                f"{-(-axis['span'] // options.period)} years each")
    return f"{axis['needed']} of {axis['span']}"


def _steps_to_fill(axis, items, options, progress):
    """Return the steps between the first and last layer that have no layer, or an empty one."""
    reader = SourceReader()
    empty = []
    for step, item in zip(axis["steps"], items):
        progress.check()
        if np.isnan(reader.sample(item, 128)).all():
            empty.append(step)
    reader.close()
    missing = set(range(axis["steps"][0], axis["steps"][-1] + 1)) - set(axis["steps"])
    fill = tuple(sorted(missing | set(empty)))
    if fill:
        named = ", ".join(stamp_text(step + axis["origin"], options.period) for step in fill)
        progress.warn(f"Filled with the mean of the same season in the {FILL_YEARS} nearest years: {named}.")
    return fill


def _items(opened, target):
    """Return (Series, (scale, offset)): stored numbers as float32 where that is exact, else values as float64."""
    sources = opened.items if target is None else [on_grid(item, target) for item in opened.items]
    scales = {scaling(item) for item in sources}
    # a negative scale would turn the sign of S
    single = (len(scales) == 1 and next(iter(scales))[0] > 0 and all(map(exact_in_float32, opened.files.infos))
              and not any(item.target for item in sources))
    return Series(tuple(sources), single), next(iter(scales)) if single else (1.0, 0.0)


def _label(layer, options):
    return stamp_text(layer.index, options.period)


def _specs(paths, unit, layers, options):
    per_year = f"{unit}/year" if unit else "per year"
    tags = {"PTI_LAYERS": len(layers), "PTI_PERIOD": options.period, "PTI_ALPHA": options.alpha,
            "PTI_METHOD": options.method, "PTI_FDR": "Benjamini-Hochberg, all tested cells" if options.fdr else "none"}
    tags.update(PTI_FIRST_YEAR=layers[0].index // options.period, PTI_LAST_YEAR=layers[-1].index // options.period)
    units = {"slope": per_year, "slope_significant": per_year}
    specs = {name: OutputSpec(paths[name], "float32", FLOAT_NODATA, (title,), (units.get(name, ""),), metadata=tags)
             for name, title in NUMBERS.items()}
    specs["limits"] = OutputSpec(paths["limits"], "float32", FLOAT_NODATA, ("lower limit", "upper limit"),
                                 (per_year, per_year), metadata=tags)
    specs["step"] = OutputSpec(paths["step"], "float32", FLOAT_NODATA, ("shift of medians", "rank-sum Z"), (unit, ""),
                               metadata={**tags, "PTI_STEP_YEAR": options.step_at})
    specs["sign"] = OutputSpec(paths["sign"], "int16", SIGN_NODATA, ("significant sign",), metadata=tags)
    specs["count"] = OutputSpec(paths["count"], "uint16", 65535, ("valid values",), metadata=tags)
    specs["seasons"] = OutputSpec(paths["seasons"], "uint16", 65535, ("seasons of the test",), metadata=tags)
    return specs


def _refuse_empty(items):
    reader = SourceReader()
    empty = all(np.isnan(reader.sample(item, 128)).all() for item in items)
    reader.close()
    if empty:
        raise InputError(f"Every layer of the series is empty, {items[0].name} and all after it: all cells are nodata. "
                         f"Check the nodata values.")


def _discoveries(outputs, work, specs, fdr, run, progress):
    """Write sign and significant slope by the false-discovery rate; returns the tallies of the signs.

    ``fdr``: {"threshold", "tests"}; ``run``: run_blocks on the grid of the trend; p, S and slope lie in ``work``.
    """
    tags = {"PTI_FDR_TESTS": fdr["tests"], "PTI_FDR_THRESHOLD": f"{fdr['threshold']:.9g}"}
    again = {name: replace(specs[name], path=outputs.get(name), metadata={**specs[name].metadata, **tags})
             for name in ("sign", "slope_significant")}
    staging = run.keywords["staging"]
    reads = {name: source(staging.partial(work[name])) for name in ("p", "s", "slope")}
    tallies = run(reads, DiscoveryKernel(fdr["threshold"]), again, progress=progress, extra_bytes=40)
    for name in ("p", "s", "slope"):
        if not outputs.get(name):
            staging.drop(work[name])
    progress.info(f"False-discovery control over {fdr['tests']} tested cells: p up to {fdr['threshold']:.4g} is "
                  f"significant.")
    return tallies["cells"]


def _tell(cells, tested, options, progress):
    shares = {name: 100 * cells[name] / tested for name in ("up", "down", "none", "risky")}
    progress.info(f"{tested} cells tested by {options.method}: {shares['up']:.1f} % rise, {shares['down']:.1f} % fall, "
                  f"{shares['none']:.1f} % have no significant trend; {100 * options.alpha:.3g} % would be significant "
                  f"by chance alone where there is no trend at all.")
    progress.info(f"{shares['risky']:.1f} % of them have a lag-1 autocorrelation beyond ±{RISKY_LAG_1:g}, where plain "
                  f"Mann-Kendall finds too many trends.")
    progress.info(f"Not tested: {cells['few']} cells with too few values, {cells['empty']} without any.")
    if cells["variance"]:
        progress.warn(f"{cells['variance']} cells have a corrected variance that is not positive; they are not "
                      f"testable and nodata.")


def _tell_seasons(tallies, options, progress, result):
    """Say and record how many seasons the tests have, and how much of the values was filled in polar nights."""
    if options.by_season:
        found = sorted(tallies["seasons"].items(), reverse=True)
        result["seasons"] = {str(number): cells for number, cells in found}
        result["seasons_needed"] = options.seasons_needed
        named = ", ".join(f"{number} of {options.period} at {cells} cells" for number, cells in found)
        progress.info(f"Seasons of the tests (those with {100 * options.min_share:g} % of their years): {named}.")
        whole = tallies["seasons"][options.period]
        tested = sum(tallies["seasons"].values())
        few = sum(cells for number, cells in found if 2 * number < options.period)
        if few:
            progress.warn(f"{few} of {tested} tested cells have fewer than half of the {options.period} seasons; their "
                          f"trend is that of the seasons they have (OUTPUT_SEASONS).")
        elif whole < tested:
            progress.info(f"At {tested - whole} cells the trend is that of the seasons they have (OUTPUT_SEASONS).")
    if options.night == LINEAR:
        nights = tallies["nights"]
        share = nights["filled"] / nights["values"]
        result["night"] = {"values_filled": nights["filled"], "share": share}
        progress.info(f"Gaps inside a year of up to {LONGEST_NIGHT} months are filled between their neighbours "
                      f"(NIGHT): {100 * share:.2f} % of the values.")


_REFERENCES = {ORIGINAL: "original_test", PREWHITENED: "pre_whitening_modification_test",
               TREND_FREE: "trend_free_pre_whitening_modification_test", YUE_WANG: "yue_wang_modification_test",
               HAMED_RAO: "hamed_rao_modification_test"}


def _self_check(checked, options, single, progress):
    """Recompute the checked cells with pymannkendall; returns {cells, largest_difference}; raises PtiError."""
    if version_of("pymannkendall") is None:
        progress.warn("pymannkendall is not installed, so this run was not checked against it.")
        return {"cells": 0, "largest_difference": None}
    pymannkendall = require("pymannkendall", "the self-check")
    largest, compared = 0.0, 0
    for _, values, ours in checked:
        with np.errstate(all="ignore"):
            if options.period == 1:
                result = getattr(pymannkendall, _REFERENCES[options.method])(values, alpha=options.alpha)
            elif options.method == ORIGINAL:
                result = pymannkendall.seasonal_test(values, period=options.period)
            else:
                # the reference drops whole years with a gap, and knows no season without values
                years = np.full((-(-len(values) // options.period), options.period), np.nan)
                years.flat[:len(values)] = values
                years = years[:, ~np.isnan(years).all(axis=0)]
                if years.shape[1] < 2 or np.isnan(years).any():
                    continue
                result = pymannkendall.correlated_seasonal_test(years.ravel(), period=years.shape[1])
        theirs = {"s": result.s, "variance": result.var_s, "z": result.z, "p": result.p, "slope": result.slope}
        if not all(map(math.isfinite, theirs.values())) or theirs["variance"] <= 0:
            continue
        compared += 1
        for name, value in theirs.items():
            allowed = TOLERANCE_SINGLE if single and name == "slope" else TOLERANCE
            floor = 1e-12 if name != "slope" else 1e-6 * float(np.nanmax(np.abs(values))) if single else 1e-12
            difference = abs(ours[name] - value) / max(abs(value), floor / allowed)
            largest = max(largest, difference)
            if not difference <= allowed:
                raise PtiError(f"The self-check failed: {name} is {ours[name]!r} where pymannkendall gives {value!r}. "
                               f"Nothing was written; please report this with the versions of numba and NumPy.")
    if not compared:
        progress.warn("No cell of this run could be compared with pymannkendall, which leaves out incomplete years "
                      "and series that are constant.")
        return {"cells": 0, "largest_difference": None}
    progress.info(f"Self-check: {compared} random cells recomputed with pymannkendall, largest relative difference "
                  f"{largest:.1e}.")
    return {"cells": compared, "largest_difference": largest}
