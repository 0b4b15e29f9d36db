"""Trend kernels and the trend tool end to end, against what others do with the same numbers."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pymannkendall
import scipy.stats
from measure import REPEATS, Row, cpu_seconds, side_by_side
from osgeo import gdal, osr

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.rasters import blocks
from pti_plugin.core.rasters.process_state import bounded_cache
from pti_plugin.core.series.mann_kendall import NUMBA, engines, mann_kendall
from pti_plugin.core.series.trends import TrendOptions, trend_rasters

THREADS = 2
TILE = 256
NODATA = -32768
OUTPUTS = ("slope", "p", "z", "s", "sign")


def annual_series(cells):
    """25 annual temperatures in hundredths of a degree, float32 (25, cells)."""
    rng = np.random.default_rng(1)
    values = rng.normal(-500, 120, cells) + rng.normal(0, 60, (25, cells))
    return np.round(values + np.arange(25)[:, None] * rng.normal(3, 3, cells)).astype(np.float32)


def seasonal_series(steps, period, cells):
    """A season, a trend and noise in steps of 20, so with ties, and 3 % gaps; float32 (steps, cells)."""
    rng = np.random.default_rng(2)
    step = np.arange(steps)[:, None]
    values = 1000 * np.sin(2 * np.pi * step / period) + step * rng.normal(0.1, 0.2, cells)
    values = (np.round((values + rng.normal(0, 100, (steps, cells))) / 20) * 20).astype(np.float32)
    values[rng.random(values.shape) < 0.03] = np.nan
    return values


def kernel_rows(quick):
    """Both engines against pymannkendall, scipy and xarrayMannKendall, one thread."""
    share = 40 if quick else 1
    repeats = 1 if quick else REPEATS
    cases = (("annual, 25 layers", annual_series(40_000 // share), 1, 200, 800, 100),
             ("monthly, 252 layers, gaps and ties", seasonal_series(252, 12, 8_000 // share), 12, 60, 900, 80),
             ("8-day, 1,150 layers", seasonal_series(1150, 46, 2_000 // share), 46, 20, 900, 80))
    rows = []
    for work, values, period, number, reach, reach_numpy in cases:
        peers = [np.ascontiguousarray(values[:, i].astype(np.float64)) for i in range(max(2, number // share))]
        for engine in engines():
            part = values if engine == NUMBA else np.ascontiguousarray(values[:, :max(values.shape[1] // 8, 8)])

            def ours(part=part, period=period, engine=engine):
                mann_kendall(part, period, engine=engine)

            def theirs(peers=peers, period=period):
                for series in peers:
                    if period == 1:
                        pymannkendall.original_test(series)
                    else:
                        pymannkendall.seasonal_test(series, period=period)

            mine, reference = side_by_side(ours, theirs, repeats)
            rows.append(Row(f"{work}: {engine}", "pymannkendall", 1e6 * mine / part.shape[1],
                            1e6 * reference / len(peers), reach=reach if engine == NUMBA else reach_numpy))
        rows.append(_against_scipy(work, values, period, peers, repeats))
    rows.append(_against_xarray(cases[0][1], 2 if quick else 200, repeats))
    return rows


def _against_scipy(work, values, period, peers, repeats):
    """scipy has no seasonal test: theilslopes and kendalltau of the series as it is."""
    known = [(np.flatnonzero(~np.isnan(series)), series[~np.isnan(series)])
             for series in peers[:max(2, len(peers) // 4)]]

    def theirs():
        for steps, series in known:
            scipy.stats.theilslopes(series, steps)
            scipy.stats.kendalltau(steps, series)

    mine, reference = side_by_side(lambda: mann_kendall(values, period), theirs, repeats)
    return Row(f"{work}: {engines()[0]}", "scipy theilslopes + kendalltau", 1e6 * mine / values.shape[1],
               1e6 * reference / len(known))


def _against_xarray(values, cells, repeats):
    work = f"annual, 25 layers: {engines()[0]}"
    if find_spec("xarrayMannKendall") is None or find_spec("dask") is None or find_spec("xarray") is None:
        return Row(work, "xarrayMannKendall", note="not installed")
    import xarray
    from xarrayMannKendall import Mann_Kendall_test
    array = xarray.DataArray(values[:, :cells].astype(np.float64), dims=("time", "x"),
                             coords={"time": np.arange(len(values)), "x": np.arange(cells)})

    def theirs():
        Mann_Kendall_test(array, "time", method="theilslopes").compute(scheduler="single-threaded")

    mine, reference = side_by_side(lambda: mann_kendall(values), theirs, repeats)
    return Row(work, "xarrayMannKendall (theilslopes)", 1e6 * mine / values.shape[1], 1e6 * reference / cells)


def compile_seconds(quick):
    """Return (first call that compiles, first call that loads from the cache), each in a process of its own.

    The quick form does not compile anew.
    """
    code = ("import numpy as np, time; from pti_plugin.core.series.mann_kendall import mann_kendall; "
            "t = time.perf_counter(); mann_kendall(np.zeros((25, 64), dtype=np.float32)); "
            "print(time.perf_counter() - t)")
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        if not quick:
            environment["NUMBA_CACHE_DIR"] = cache
        return [float(subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True,
                                     text=True).stdout) for _ in range(2)]


def write_layers(folder, number, side):
    """Write ``number`` monthly tiled int16 ZSTD layers of smooth, real-like temperatures and return their paths."""
    rng = np.random.default_rng(3)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(6931)
    coarse = rng.normal(0, 1, (side // 16 + 2, side // 16 + 2))
    place = np.arange(side) / 16
    left, part = place.astype(int), place % 1
    rows = coarse[left] * (1 - part[:, None]) + coarse[left + 1] * part[:, None]
    smooth = rows[:, left] * (1 - part) + rows[:, left + 1] * part
    paths = []
    for layer in range(number):
        season = 1200 * np.sin(2 * np.pi * layer / 12) + 0.3 * layer
        values = (1500 * smooth * (1 + 0.1 * np.sin(layer)) + 200 * np.roll(smooth, 37 * layer, axis=1) + season
                  + rng.normal(0, 12, (side, side)))
        paths.append(os.path.join(folder, f"lst_{2000 + layer // 12}{layer % 12 + 1:02d}.tif"))
        dataset = gdal.GetDriverByName("GTiff").Create(
            paths[-1], side, side, 1, gdal.GDT_Int16,
            options=["TILED=YES", f"BLOCKXSIZE={TILE}", f"BLOCKYSIZE={TILE}", "COMPRESS=ZSTD", "PREDICTOR=2"])
        dataset.SetGeoTransform((0, 1000, 0, 0, 0, -1000))
        dataset.SetProjection(reference.ExportToWkt())
        band = dataset.GetRasterBand(1)
        band.SetNoDataValue(NODATA)
        band.SetScale(0.01)
        band.WriteArray(np.round(values).astype(np.int16))
        dataset = band = None
    return paths


def decode(paths, windows, threads=THREADS):
    """Read ``windows`` of all files in the type they are stored in."""
    def read(mine):
        datasets = [gdal.Open(path) for path in paths]
        buffer = np.empty((TILE * 4, TILE * 4), dtype=np.int16)
        for window in mine:
            for dataset in datasets:
                dataset.ReadAsArray(window.column, window.row, window.columns, window.rows,
                                    buf_obj=buffer[:window.rows, :window.columns])

    with bounded_cache(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, [windows[i::threads] for i in range(threads)]))


def run_tool(paths, folder, options, progress=None):
    """Run core.series.trends.trend_rasters on ``paths`` with the main outputs; returns its result."""
    with Staging(paths) as staging:
        result = trend_rasters(paths, {name: os.path.join(folder, f"{name}.tif") for name in OUTPUTS}, staging,
                               progress or Progress(), options, settings=blocks.Settings(threads=THREADS))
        staging.commit()
    return result


def end_to_end_rows(quick):
    """The whole tool, its self-check and outputs included, against decoding the same files in the same windows."""
    number, side = (36, 256) if quick else (252, 1280)
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_layers(folder, number, side)
        options = TrendOptions(period=12)
        windows = _windows_of(lambda: run_tool(paths, folder, options))
        for repeat in range(2 if quick else 4):
            for name, work in (("tool", lambda: run_tool(paths, folder, options)),
                               ("decode", lambda: decode(paths, windows)), ("one", lambda: decode(paths, windows, 1))):
                wall, cpu = time.perf_counter(), cpu_seconds()
                work()
                if repeat:
                    taken.setdefault(name, []).append((cpu_seconds() - cpu, time.perf_counter() - wall))
    cells = side * side
    cpu, wall = ({name: 1e6 / cells * statistics.median(pair[place] for pair in pairs) for name, pairs in taken.items()}
                 for place in (0, 1))
    work = f"end to end, {number} int16 ZSTD layers, {THREADS} threads"
    return [Row(f"{work}, processor time", f"decoding the same windows, {THREADS} threads", cpu["tool"], cpu["decode"],
                at_most=True),
            Row(f"{work}, wall time", f"decoding the same windows, {THREADS} threads", wall["tool"], wall["decode"],
                reach=3, at_most=True),
            Row(f"{work}, wall time", "decoding the same windows, 1 thread", wall["tool"], wall["one"], reach=3,
                at_most=True)]


def _windows_of(run):
    """Return the windows a run of the tool reads."""
    planned = []
    plan = blocks.plan_windows

    def kept(*arguments):
        planned.append(plan(*arguments))
        return planned[-1]

    blocks.plan_windows = kept
    try:
        run()
    finally:
        blocks.plan_windows = plan
    return planned[0]
