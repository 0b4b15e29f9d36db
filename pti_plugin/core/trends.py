"""Mann-Kendall trends and Sen slopes, cell by cell, for annual and seasonal series.

The statistics are those of pymannkendall's original_test, seasonal_test, sens_slope and seasonal_sens_slope: normal
p values with continuity correction and ties, gaps left out of S and var(S) and respected by the slope. References:
Mann 1945, Kendall 1975, Sen 1968, Hirsch et al. 1982; method, section 2 (D5, D10–D15).
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .blocks import FLOAT_NODATA, OutputSpec, run_blocks
from .errors import InputError
from .grid import require_same
from .raster import SourceReader, on_grid, read_info, source
from .time_axis import series, stamp_text

#: nodata of the sign raster
SIGN_NODATA = -32768
SIGN_COLOURS = {-1: ("Significant decrease", (33, 102, 172)), 0: ("No significant trend", (225, 225, 225)),
                1: ("Significant increase", (178, 24, 43))}
#: fewest valid values a test needs
MIN_VALUES = 4
#: cells computed at once inside a block, so that the pairwise slopes stay in the processor's cache
_CHUNK_SLOPES = 1 << 20


@dataclass(frozen=True)
class Trend:
    """Results for n cells, each an array (n,): slope per year (per step where ``period`` is 1), S, var(S), Z, p, n."""

    slope: np.ndarray
    s: np.ndarray
    variance: np.ndarray
    z: np.ndarray
    p: np.ndarray
    count: np.ndarray


def mann_kendall(values, period=1):
    """Test every column of ``values``, shape (steps, cells), NaN = gap, for a monotonic trend.

    ``period`` is the number of seasons a year, the first step being season 0; 1 gives the original test. Cells with
    fewer than 2 values have NaN slope and p, and Z 0. A constant series has Z 0, p 1, slope 0.
    """
    values = np.asarray(values, dtype=np.float64)
    steps, cells = values.shape
    s, variance = np.zeros(cells), np.zeros(cells)
    for season in range(min(period, steps)):
        part_s, part_variance = _score(values[season::period])
        s += part_s
        variance += part_variance
    count = (~np.isnan(values)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variance > 0, (s - np.sign(s)) / np.sqrt(variance), 0.0)
    p = two_sided_p(z)
    slope = _sen(values, period)
    p = np.where(count < 2, np.nan, p)
    return Trend(slope, s, variance, z, p, count)


def two_sided_p(z):
    """Return 2 (1 − Φ(|z|)) of an array, as pymannkendall computes it."""
    # 0.5 erfc(x / sqrt 2) in floating point differs from 1 − Φ(x); the reference subtracts from one
    return 2 * (1 - 0.5 * (1 + _erf(np.abs(z) / math.sqrt(2))))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _score(values):
    """S and var(S) of every column; gaps drop out, ties reduce the variance (Kendall 1975)."""
    steps, cells = values.shape
    s = np.zeros(cells)
    pairs, triples = np.zeros(cells), np.zeros(cells)
    for i in range(steps - 1):
        later = values[i + 1:]
        with np.errstate(invalid="ignore"):
            s += (later > values[i]).sum(axis=0)
            s -= (later < values[i]).sum(axis=0)
            equal = (later == values[i]).sum(axis=0)
        # over a tied group of size t: sum of e is t(t-1)/2, sum of e(e-1)/2 is t(t-1)(t-2)/6
        pairs += equal
        triples += equal * (equal - 1.0) / 2
    n = (~np.isnan(values)).sum(axis=0).astype(np.float64)
    variance = (n * (n - 1) * (2 * n + 5) - (12 * triples + 18 * pairs)) / 18
    return s, np.maximum(variance, 0.0)


def _sen(values, period):
    """Median of all pairwise slopes within seasons, (x[j] − x[i]) / (j − i) in years."""
    steps, cells = values.shape
    pairs = []
    for gap in range(1, (steps - 1) // period + 1):
        pairs.append((values[gap * period:] - values[:-gap * period]) / gap)
    if not pairs:
        return np.full(cells, np.nan)
    slopes = np.concatenate(pairs)
    slopes.sort(axis=0)
    # NaN sorts last: the median is taken among the first m of every column
    m = slopes.shape[0] - np.isnan(slopes).sum(axis=0)
    column = np.arange(cells)
    middle = 0.5 * (slopes[np.maximum((m - 1) // 2, 0), column] + slopes[np.minimum(m // 2, slopes.shape[0] - 1),
                                                                         column])
    return np.where(m > 0, middle, np.nan)


@dataclass(frozen=True)
class TrendKernel:
    """The arithmetic of one block. ``steps``: place of each layer in time; ``needed``: values a test needs."""

    steps: tuple
    period: int
    alpha: float
    needed: int

    def __call__(self, arrays, window, grid):
        """Return slope, p, z, s, count and sign of a block and the tallies of the signs."""
        layers = arrays["INPUT"]
        shape = layers[0].shape
        flat = np.full((self.steps[-1] + 1, layers[0].size), np.nan)
        for step, layer in zip(self.steps, layers):
            flat[step] = layer.ravel()
        count = (~np.isnan(flat)).sum(axis=0)
        testable = count >= self.needed
        out = {name: np.full(count.size, np.nan) for name in ("slope", "p", "z", "s")}
        cells = np.flatnonzero(testable)
        length = len(flat)
        pairs = max(1, length * (length // self.period) // 2)
        chunk = max(16, _CHUNK_SLOPES // pairs)
        for start in range(0, cells.size, chunk):
            some = cells[start:start + chunk]
            trend = mann_kendall(flat[:, some], self.period)
            out["slope"][some], out["p"][some], out["z"][some], out["s"][some] = (
                trend.slope, trend.p, trend.z, trend.s)
        sign = np.full(count.size, SIGN_NODATA, dtype=np.int16)
        significant = out["p"][cells] < self.alpha
        sign[cells] = np.where(significant, np.sign(out["s"][cells]), 0).astype(np.int16)
        tally = Counter(up=int((sign == 1).sum()), down=int((sign == -1).sum()), none=int((sign == 0).sum()),
                        untestable=int((~testable & (count > 0)).sum()), empty=int((count == 0).sum()))
        arrays_out = {name: array.reshape(shape) for name, array in out.items()}
        arrays_out.update(sign=sign.reshape(shape), count=count.astype(np.uint16).reshape(shape))
        return arrays_out, {"cells": tally}


def trend_rasters(paths, outputs, staging, progress, period=1, alpha=0.05, min_share=0.8, sort=False, target=None,
                  settings=None):
    """Compute trend rasters of a series and stage them.

    ``paths``: single-band rasters, or one multi-band raster. ``outputs``: {"slope"|"p"|"z"|"s"|"sign"|"count": path}.
    ``min_share``: share of the time steps a cell needs to be testable; untestable cells are nodata. Returns a dict
    with the tallies and the time span. Raises InputError, GridError, OutputError, Cancelled.
    """
    if not 0 < alpha < 1:
        raise InputError(f"ALPHA is {alpha:g}; it must lie between 0 and 1, usually 0.05.")
    if period < 1:
        raise InputError(f"PERIOD is {period}; it is the number of layers a year: 1 for annual, 12 for monthly series.")
    layers = series(paths, period, sort, progress)
    length = layers[-1].index - layers[0].index + 1
    if length < max(MIN_VALUES, 2 * period):
        raise InputError(f"The series has {length} time steps; a trend needs at least {max(MIN_VALUES, 2 * period)}.")
    if length % period:
        progress.warn(f"{length} layers are not whole years of {period}; the last year is incomplete.")
    infos = {path: read_info(path) for path in paths}
    first = infos[layers[0].path]
    if target is None:
        require_same((first.name, first.grid), [(info.name, info.grid) for info in infos.values()],
                     "All layers of a series must share one grid; align them first.")
    units = {info.units[0] for info in infos.values()}
    if len(units) > 1:
        raise InputError(f"The layers declare different units ({', '.join(sorted(u or 'none' for u in units))}). "
                         f"Convert them to one first.")
    grid = target or first.grid
    sources = [on_grid(source(layer.path, band=layer.band, info=infos[layer.path]), grid) for layer in layers]
    _refuse_empty(sources)
    origin = layers[0].index
    needed = max(MIN_VALUES, math.ceil(min_share * length - 1e-9))
    kernel = TrendKernel(tuple(layer.index - origin for layer in layers), period, alpha, needed)
    unit = first.units[0]
    per_year = f"{unit}/year" if unit else "per year"
    tags = {"PTI_LAYERS": len(layers), "PTI_PERIOD": period, "PTI_ALPHA": alpha}
    if layers[0].index > 1000:
        tags.update(PTI_FIRST_YEAR=stamp_text(layers[0].index, period)[:4],
                    PTI_LAST_YEAR=stamp_text(layers[-1].index, period)[:4])
    specs = {
        "slope": OutputSpec(outputs.get("slope"), "float32", FLOAT_NODATA, ("Sen slope",), (per_year,), metadata=tags),
        "p": OutputSpec(outputs.get("p"), "float32", FLOAT_NODATA, ("p, two-sided",), metadata=tags),
        "z": OutputSpec(outputs.get("z"), "float32", FLOAT_NODATA, ("Z",), metadata=tags),
        "s": OutputSpec(outputs.get("s"), "float32", FLOAT_NODATA, ("S",), metadata=tags),
        "sign": OutputSpec(outputs.get("sign"), "int16", SIGN_NODATA, ("significant sign",), metadata=tags),
        "count": OutputSpec(outputs.get("count"), "uint16", 65535, ("valid values",), metadata=tags),
    }
    tallies = run_blocks(grid, {"INPUT": sources}, kernel, specs, staging, progress, settings,
                         extra_bytes=8 * length + 32)
    cells = tallies["cells"]
    tested = cells["up"] + cells["down"] + cells["none"]
    if tested == 0:
        raise InputError(f"No cell has enough values to test a trend ({needed} of {length} are needed). Lower "
                         f"MIN_SHARE or check the nodata values of the layers.")
    shares = {name: 100 * cells[name] / tested for name in ("up", "down", "none")}
    progress.info(f"{tested} cells tested: {shares['up']:.1f} % rise, {shares['down']:.1f} % fall, "
                  f"{shares['none']:.1f} % have no significant trend; {100 * alpha:.3g} % would be significant by "
                  f"chance alone. {cells['untestable']} cells have too few values.")
    return {"cells": dict(cells), "layers": len(layers), "steps": length, "needed": needed,
            "first": stamp_text(layers[0].index, period) if origin > 1000 else "1",
            "last": stamp_text(layers[-1].index, period) if origin > 1000 else str(length)}


def _refuse_empty(sources):
    reader = SourceReader()
    empty = [item.name for item in sources if np.isnan(reader.sample(item, 128)).all()]
    reader.close()
    if len(empty) == len(sources):
        raise InputError("Every layer of the series is empty: all cells are nodata. Check the nodata values.")
