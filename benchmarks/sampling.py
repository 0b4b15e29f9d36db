"""Sampling at circumpolar size: the edge buffer against scipy's distance transform, and the whole tool.

Usage: python benchmarks/sampling.py FOLDER   (run by benchmarks/run.py, in a process of its own for the memory)
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[1]
FULL_SIDE, QUICK_SIDE = 10_000, 600
LAND, COARSE, STRIP = 0.2, 8, 256
BUFFER_KM = 10.0
MOST_SECONDS, MOST_GIB = 20.0, 2.0


def _field(rng, side, wavelength):
    """Return a smooth random field, (side, side), its features ``wavelength`` cells wide, mean 0, deviation 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    noise = np.fft.rfft2(rng.normal(size=(side, side)))
    field = np.fft.irfft2(noise / (1 + (frequency * wavelength) ** 2) ** 1.2, s=(side, side))
    return (field - field.mean()) / field.std()


def _widened(field, row, rows, side):
    """Return rows of a field COARSE times as fine, by linear interpolation, (rows, side)."""
    at = np.minimum((np.arange(row, row + rows) + 0.5) / COARSE, len(field) - 1.001)
    along = np.minimum((np.arange(side) + 0.5) / COARSE, len(field) - 1.001)
    top, share = at.astype(int), (at % 1)[:, None]
    lines = field[top] * (1 - share) + field[top + 1] * share
    left, share = along.astype(int), along % 1
    return lines[:, left] * (1 - share) + lines[:, left + 1] * share


def write_maps(folder, side):
    """Write a PTI map of ``side``² cells of 1 km round the pole, a fifth of it land in patches, and 16 predictors."""
    from pti_plugin.core.common.ranks import CODES
    from pti_plugin.core.ensembles.features import PREDICTORS
    rng = np.random.default_rng(8)
    coarse = side // COARSE + 2
    land, temperature, trends = (_field(rng, coarse, size) for size in (120, 60, 25))
    shore = np.quantile(land, 1 - LAND)
    predictors = [_field(rng, coarse, 40) for _ in range(2)]
    steps = [np.quantile(field[land > shore], np.linspace(0, 1, 4)[1:-1]) for field in (temperature, trends)]
    isolated = np.quantile(temperature[land > shore], 0.9)
    pti = _created(folder, "pti.tif", side, 1, gdal.GDT_Byte, ["COMPRESS=DEFLATE"])
    pti.GetRasterBand(1).SetNoDataValue(0)
    stack = _created(folder, "stack.tif", side, len(PREDICTORS), gdal.GDT_Float32,
                     ["COMPRESS=DEFLATE", "PREDICTOR=3", "INTERLEAVE=BAND", "ZLEVEL=1", "NUM_THREADS=ALL_CPUS"])
    for band, name in enumerate(PREDICTORS, start=1):
        stack.GetRasterBand(band).SetDescription(name)
        stack.GetRasterBand(band).SetNoDataValue(-9999)
    for row in range(0, side, STRIP):
        rows = min(STRIP, side - row)
        warm, rising = (_widened(field, row, rows, side) for field in (temperature, trends))
        ranks = np.array(CODES[:-1], dtype=np.uint8)[3 * np.searchsorted(steps[0], warm) + np.searchsorted(
            steps[1], rising)]
        ranks[warm > isolated] = CODES[-1]
        ranks[_widened(land, row, rows, side) <= shore] = 0
        pti.GetRasterBand(1).WriteArray(ranks, 0, row)
        layers = [_widened(field, row, rows, side) for field in predictors]
        # tiles without land are left out, as nodata
        for left in (left for left in range(0, side, STRIP) if ranks[:, left:left + STRIP].any()):
            columns = slice(left, left + STRIP)
            for band, predictor in enumerate(PREDICTORS.values(), start=1):
                values = 50 + 15 * layers[band % 2][:, columns] + band
                values = np.rint(values) if predictor.categorical else np.rint(values * 100) / 100
                values[ranks[:, columns] == 0] = -9999
                stack.GetRasterBand(band).WriteArray(values.astype(np.float32), left, row)
    pti = stack = None


def _created(folder, name, side, bands, kind, options):
    options = ["TILED=YES", "SPARSE_OK=TRUE", "BIGTIFF=IF_SAFER", *options]
    dataset = gdal.GetDriverByName("GTiff").Create(os.path.join(folder, name), side, side, bands, kind, options)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(6931)
    dataset.SetGeoTransform((-500.0 * side, 1000, 0, 500.0 * side, 0, -1000))
    dataset.SetProjection(reference.ExportToWkt())
    return dataset


def run(folder):
    """Draw the paper's sample from the maps of ``folder`` and print what it took as JSON."""
    from measure import cpu_seconds
    from memory import peak_bytes

    from pti_plugin.core.common.progress import Progress
    from pti_plugin.core.ensembles.features import read_stack
    from pti_plugin.core.samples.sampling import sample_points
    from pti_plugin.core.samples.sampling_rules import read_rules

    stack = read_stack(os.path.join(folder, "stack.tif"))
    wall, cpu = time.perf_counter(), cpu_seconds()
    samples, table = sample_points(os.path.join(folder, "pti.tif"), stack, read_rules(), Progress())
    print(json.dumps({"peak": peak_bytes(), "cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall,
                      "points": len(samples.y), "bound": table[-1]["packing_bound"]}))


def _buffer_rows(folder, side):
    """Time the edge buffer, in seconds of the processor, beside scipy's distance transform.

    The transform takes one mask and measures in the plane of the projection, to the nearest cell outside. So the same
    work as that of all ranks at once takes ten of them; beside a single one stands the buffer of a single class.
    """
    from measure import Row, side_by_side
    from scipy.ndimage import distance_transform_edt

    from pti_plugin.core.common.progress import Progress
    from pti_plugin.core.common.ranks import CODES
    from pti_plugin.core.rasters.blocks import Settings
    from pti_plugin.core.rasters.raster import read_info
    from pti_plugin.core.samples.edge_buffer import Ground, inside_edges

    info = read_info(os.path.join(folder, "pti.tif"))
    cells = gdal.Open(info.path).ReadAsArray()
    land = (cells != 0).astype(np.uint8)
    buffers = dict.fromkeys((1, *CODES), BUFFER_KM)

    def ours(classes):
        ground = Ground(info.grid)
        used = ground.counts(classes, Progress()).max(axis=1) > 0
        return inside_edges(classes, ground, used, buffers, Progress(), Settings(threads=1))[0]

    def theirs(mask):
        # what is beyond the raster is edge
        return distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] >= BUFFER_KM

    def theirs_by_rank():
        inside = np.zeros_like(cells)
        for code in CODES:
            inside[theirs(cells == code)] = code
        return inside

    # the plane of the projection is not the ground: the two agree but for cells along the edges
    planar, inside = theirs(land), ours(land) != 0
    if (planar != inside).sum() > 0.05 * planar.sum() + 100:
        raise RuntimeError("The edge buffer is not where the distance transform has it.")
    taken = []
    for function in (lambda: ours(cells), theirs_by_rank):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    work = f"{side:,} × {side:,} cells, {BUFFER_KM:g} km edge buffer in true ground distance"
    peer = "scipy.ndimage.distance_transform_edt"
    return [Row(f"{work}: ten ranks at once", f"{peer}, one a rank, in the plane", *taken, "s", 40),
            Row(f"{work}: all land as one class", f"{peer}, in the plane",
                *side_by_side(lambda: ours(land), lambda: theirs(land), 2), "s")]


def rows(quick):
    """Return the rows of the table."""
    from measure import Row
    side = QUICK_SIDE if quick else FULL_SIDE
    with tempfile.TemporaryDirectory() as folder:
        print(f"writing a map and 16 predictors of {side} × {side} cells …", file=sys.stderr, flush=True)
        write_maps(folder, side)
        buffers = _buffer_rows(folder, side)
        # the first draw compiles the kernels where no earlier one has
        for _ in range(2):
            done = subprocess.run([sys.executable, __file__, folder], check=True, stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "PYTHONPATH": str(ROOT)})
    found = json.loads(done.stdout)
    work = f"{side:,} × {side:,} cells, {LAND:.0%} land, 16 predictors: the paper's sample"
    return [*buffers,
            Row(f"{work}, wall time", "the limit", found["wall"], MOST_SECONDS, "s", 1.0, True),
            Row(f"{work}, peak memory", "the limit", found["peak"] / 2**30, MOST_GIB, "GiB", 1.0, True),
            Row(f"{work}: {found['points']:,} points, at most {found['bound']:,} fit", "",
                note=f"{found['cpu']:.0f} s of the processor")]


if __name__ == "__main__":
    run(sys.argv[1])
