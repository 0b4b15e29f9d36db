"""Bringing rasters to the polar 1 km grid, beside plain gdalwarp: same grid, resampling, compression, tiles, threads.

Usage: python benchmarks/align.py SOURCE OUTPUT KIND THREADS SIDE   (run by benchmarks/run.py)
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[1]
#: folder of real data, as the tests have it
DATA = Path(os.environ.get("PTI_SHARED_DATA", ROOT.parent / "shared" / "data"))
CLASSES = "landcover/koppen_geiger_simplified_30s_45N.tif"
ELEVATION = "dem/etopo5_5min_45N.tif"
#: half the width of the square grid north of 45° N, m
REACH = 4_950_000
REACH_GIB = 1.5
REACH_RATIO = 1.3
NODATA = {"class": 0, "number": -9999}
PREDICTOR = {"class": 2, "number": 3}


def write_source(path, columns, rows, kind):
    """Write a raster in degrees north of 45° N: five classes in patches, or heights in metres; ocean for the most part.

    Classes are bytes with 0 for nodata, heights int16 with -32768.
    """
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    dtype, missing = (gdal.GDT_Byte, 0) if kind == "class" else (gdal.GDT_Int16, -32768)
    dataset = gdal.GetDriverByName("GTiff").Create(
        path, columns, rows, 1, dtype, options=["TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2"])
    dataset.SetGeoTransform((-180, 360 / columns, 0, 90, 0, -45 / rows))
    dataset.SetProjection(reference.ExportToWkt())
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(missing)
    x = np.arange(columns) * (2 * np.pi / columns)
    rng = np.random.default_rng(7)
    for top in range(0, rows, 256):
        height = min(256, rows - top)
        y = (top + np.arange(height))[:, None] * (np.pi / rows)
        field = np.sin(5 * x + 3 * np.sin(2 * y)) + np.sin(13 * x - 7 * y) / 2 + np.sin(97 * x + 61 * y) / 8
        rough = field + rng.normal(0, 0.01, field.shape)
        values = np.clip(2 + 2 * rough, 1, 5).astype(int) if kind == "class" else np.round(900 * rough)
        band.WriteArray(np.where(field > 0.2, values, missing).astype("uint8" if kind == "class" else "int16"), 0, top)
    return path


def run(source, output, kind, threads, side):
    """Warp ``source`` with PTI to ``side``² cells and print what it took as JSON."""
    from measure import cpu_seconds
    from memory import peak_bytes

    from pti_plugin.core.common.progress import Progress
    from pti_plugin.core.common.staging import Staging
    from pti_plugin.core.rasters import blocks, raster
    from pti_plugin.core.rasters.grid import Grid, epsg_wkt

    def kernel(arrays, window, grid):
        values = arrays["x"]
        return {"x": np.where(values == raster.NO_CLASS, 0, values) if kind == "class" else values}, {}

    wall, cpu = time.perf_counter(), cpu_seconds()
    cell = 2 * REACH / side
    grid = Grid(epsg_wkt(6931), (-REACH, cell, 0.0, REACH, 0.0, -cell), side, side)
    item = raster.on_grid(raster.source(source, kind), grid)
    spec = blocks.OutputSpec(output, "uint8" if kind == "class" else "float32", NODATA[kind])
    with Staging([source]) as staging:
        blocks.run_blocks(grid, {"x": item}, kernel, {"x": spec}, staging, Progress(),
                          blocks.Settings(threads=threads))
        staging.commit()
    print(json.dumps({"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall, "peak": peak_bytes(),
                      "resampling": item.resampling}))


def ours(source, output, kind, threads, side):
    """Run PTI in a process of its own; return what it took."""
    done = subprocess.run([sys.executable, __file__, source, output, kind, str(threads), str(side)], check=True,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return json.loads(done.stdout)


def theirs(source, output, kind, threads, side, resampling):
    """Run gdalwarp; return what it took."""
    command = ["gdalwarp", "-q", "-overwrite", "-t_srs", "EPSG:6931", "-te", *map(str, (-REACH, -REACH, REACH, REACH)),
               "-ts", str(side), str(side), "-r", resampling, "-dstnodata", str(NODATA[kind]),
               "-ot", "Byte" if kind == "class" else "Float32", "-co", "TILED=YES", "-co", "COMPRESS=DEFLATE",
               "-co", f"PREDICTOR={PREDICTOR[kind]}"]
    if threads > 1:
        command += ["-multi", "-wo", f"NUM_THREADS={threads}"]
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, source, output], check=True, stderr=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    return {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall": wall}


def _sources(folder, quick):
    """Yield (name, path, kind): real rasters where they are at hand, else synthetic ones of their size.

    The quick form has classes only.
    """
    shrink = 10 if quick else 1
    for name, kind, file, columns, rows in (("classes", "class", CLASSES, 43200, 5400),
                                            ("heights", "number", None, 43200, 5400),
                                            ("elevation", "number", ELEVATION, 4320, 540)):
        if quick and kind != "class":
            continue
        columns, rows = columns // shrink, rows // shrink
        path = DATA / file if file else None
        if quick or path is None or not path.is_file():
            path = write_source(os.path.join(folder, f"{name}.tif"), columns, rows, kind)
        yield f"{name}, {columns:,} × {rows:,} cells", str(path), kind


def rows(quick):
    """Return the rows of the table: wall time with two threads, processor time with one, and peak memory."""
    from measure import Row
    side, repeats = (1200, 1) if quick else (9900, 3)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path, kind in _sources(folder, quick):
            output = os.path.join(folder, "out.tif")
            peaks, taken = [], {}
            for threads in (1, 2):
                for _ in range(repeats):
                    mine = ours(path, output, kind, threads, side)
                    peaks.append(mine["peak"])
                    taken.setdefault((threads, "ours"), []).append(mine)
                    if shutil.which("gdalwarp"):
                        taken.setdefault((threads, "theirs"), []).append(
                            theirs(path, output, kind, threads, side, mine["resampling"]))
            work = f"{name} to {side:,}², {mine['resampling']}"
            for threads, measure, label in ((1, "cpu", "1 thread, processor time"), (1, "wall", "1 thread, wall time"),
                                            (2, "wall", "2 threads, wall time")):
                against = f"gdalwarp -r {mine['resampling']}, {threads} thread{'s' if threads > 1 else ''}"
                if (threads, "theirs") not in taken:
                    found.append(Row(f"{work}: {label}", against, note="gdalwarp is not installed"))
                    continue
                numbers = [statistics.median(one[measure] for one in taken[threads, who]) for who in ("ours", "theirs")]
                found.append(Row(f"{work}: {label}", against, *numbers, unit="s", reach=REACH_RATIO, at_most=True))
            found.append(Row(f"{work}: peak memory", "the limit", max(peaks) / 2**30, REACH_GIB, "GiB", 1.0, True))
    return found


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
