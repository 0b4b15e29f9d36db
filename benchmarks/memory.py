"""Peak memory of tools at circumpolar size, on rasters made on the spot, each job in a process of its own.

Usage: python benchmarks/memory.py JOB FOLDER   (run by benchmarks/run.py)
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[1]
YEARS = 25
#: layers of the composite
COMPOSITED = 24
#: predictors and models of the prediction; memory does not depend on the number of trees, so they are few
PREDICTORS, MODELS, ROUNDS = 12, 10, 10
THREADS = 2
LAND = 0.2
NODATA = -32768


def write_layers(folder, side):
    """Write 25 annual int16 layers of ``side``² cells of which a fifth is land, the rest nodata."""
    rng = np.random.default_rng(4)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(6931)
    strip = 256
    columns, rows = np.arange(side), np.arange(strip)
    base = 600 * np.sin(columns / 97)[None] * np.cos(rows / 61)[:, None] - 500
    paths = []
    for year in range(YEARS):
        noise = rng.normal(3 * year, 40, (strip, side))
        path = os.path.join(folder, f"magt_{1997 + year}.tif")
        dataset = gdal.GetDriverByName("GTiff").Create(
            path, side, side, 1, gdal.GDT_Int16, options=["TILED=YES", "COMPRESS=ZSTD", "ZSTD_LEVEL=1"])
        dataset.SetGeoTransform((0, 1000, 0, 0, 0, -1000))
        dataset.SetProjection(reference.ExportToWkt())
        band = dataset.GetRasterBand(1)
        band.SetNoDataValue(NODATA)
        for row in range(0, side, strip):
            height = min(strip, side - row)
            values = np.round(base + np.roll(noise, 131 * row, axis=1)).astype(np.int16)
            # land in wide bands, as continents are
            values[:, (columns // 500 + row // 500) % 5 != 0] = NODATA
            band.WriteArray(values[:height], 0, row)
        dataset = band = None
        paths.append(path)
    return paths


def peak_bytes():
    """Largest resident memory of this process so far."""
    try:
        # a process started by a larger one inherits that one's peak in getrusage, not here
        with open("/proc/self/status", encoding="ascii") as stream:
            return 1024 * int(next(line for line in stream if line.startswith("VmHWM")).split()[1])
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def trend(folder, progress):
    """The trend tool with its main outputs on all layers."""
    from trends import run_tool

    from pti_plugin.core.series.trends import TrendOptions

    return run_tool(_layers(folder), folder, TrendOptions(), progress)["cells"]


def composite(folder, progress):
    """The mean of COMPOSITED layers, with the number of values."""
    from pti_plugin.core.common.staging import Staging
    from pti_plugin.core.rasters.blocks import Settings
    from pti_plugin.core.series.composites import CompositeOptions, composite_series

    paths = _layers(folder)[:COMPOSITED]
    with Staging(paths) as staging:
        result = composite_series(paths, {"composite": os.path.join(folder, "mean.tif"),
                                          "count": os.path.join(folder, "count.tif")}, staging, progress,
                                  CompositeOptions(), Settings(threads=THREADS))
        staging.commit()
    return result["cells"]


def write_stack(folder, side):
    """Write a predictor stack of ``side``² cells of which a fifth is land, and a model of MODELS runs for it."""
    from pti_plugin.core.common import ranks
    from pti_plugin.core.common.profiles import DEFENSIBLE
    from pti_plugin.core.common.progress import Progress
    from pti_plugin.core.ensembles.features import PREDICTORS as ROLES
    from pti_plugin.core.ensembles.features import Feature
    from pti_plugin.core.learning.learner import TrainingOptions
    from pti_plugin.core.learning.model_file import pack_samples, write_model
    from pti_plugin.core.learning.training import manifest, train
    from pti_plugin.core.samples.sampling import Samples

    names = [name for name, role in ROLES.items() if not role.categorical][:PREDICTORS]
    rng = np.random.default_rng(5)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(6931)
    dataset = gdal.GetDriverByName("GTiff").Create(
        os.path.join(folder, "stack.tif"), side, side, PREDICTORS, gdal.GDT_Float32,
        options=["TILED=YES", "COMPRESS=ZSTD", "ZSTD_LEVEL=1", "INTERLEAVE=BAND", "BIGTIFF=YES"])
    dataset.SetGeoTransform((0, 1000, 0, 0, 0, -1000))
    dataset.SetProjection(reference.ExportToWkt())
    columns = np.arange(side)
    for number, name in enumerate(names, start=1):
        band = dataset.GetRasterBand(number)
        band.SetDescription(name)
        band.SetNoDataValue(NODATA)
        noise = rng.uniform(0, 100, (256, side)).astype(np.float32)
        for row in range(0, side, 256):
            values = np.roll(noise, 131 * row, axis=1)
            values[:, (columns // 500 + row // 500) % 5 != 0] = NODATA
            band.WriteArray(values[:min(256, side - row)], 0, row)
    dataset = band = None
    n = 2000
    samples = Samples(rng.uniform(0, 100, (n, PREDICTORS)).astype(np.float32), np.resize(ranks.CODES, n),
                      rng.uniform(-180, 180, n), rng.uniform(50, 80, n),
                      tuple(Feature(name, ROLES[name].group, False) for name in names))
    options = TrainingOptions(runs=MODELS, rounds=ROUNDS, threads=THREADS)
    training = train(samples, options, Progress())
    write_model(os.path.join(folder, "bench.ptimodel"), samples.features, training.codes, training.boosters,
                manifest(training, samples, options, DEFENSIBLE), pack_samples(samples, training.folds))


def predict(folder, progress):
    """The predicted map with agreement and entropy."""
    from pti_plugin.core.common.staging import Staging
    from pti_plugin.core.mapping import prediction
    from pti_plugin.core.rasters.blocks import Settings

    with Staging() as staging:
        result = prediction.predict(
            os.path.join(folder, "stack.tif"), os.path.join(folder, "bench.ptimodel"),
            {name: os.path.join(folder, f"{name}.tif") for name in ("pti", "agreement", "entropy")}, staging, progress,
            settings=Settings(threads=THREADS))
        staging.commit()
    return sum(row["cells"] for row in result["table"])


#: job → (function, layers it reads, limit in GiB)
JOBS = {"trend": (trend, YEARS, 1.5), "composite": (composite, COMPOSITED, 1.5), "predict": (predict, PREDICTORS, 2.0)}


def _layers(folder):
    return [os.path.join(folder, f"magt_{1997 + year}.tif") for year in range(YEARS)]


def run(job, folder):
    """Run a job on the layers of ``folder`` and print what it took as JSON."""
    from measure import cpu_seconds

    from pti_plugin.core.common.progress import Progress

    class Shown(Progress):
        """Prints every tenth on standard error and counts the reports."""

        reports, shown = 0, -1

        def set(self, fraction):
            self.reports += 1
            if int(10 * fraction) > self.shown:
                self.shown = int(10 * fraction)
                print(f"  {10 * self.shown} %, {peak_bytes() / 2**30:.2f} GiB", file=sys.stderr, flush=True)

    progress = Shown()
    wall, cpu = time.perf_counter(), cpu_seconds()
    cells = JOBS[job][0](folder, progress)
    print(json.dumps({"peak": peak_bytes(), "cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall,
                      "reports": progress.reports, "cells": cells}))


def rows(side):
    """Return the rows of the table for ``side``² cells."""
    from measure import Row
    found = []
    with tempfile.TemporaryDirectory() as folder:
        print(f"writing {YEARS} layers of {side} × {side} cells …", file=sys.stderr, flush=True)
        write_layers(folder, side)
        write_stack(folder, side)
        for job, (_, layers, limit) in JOBS.items():
            done = subprocess.run([sys.executable, __file__, job, folder], check=True, stdout=subprocess.PIPE,
                                  text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
            taken = json.loads(done.stdout)
            work = f"{job}, {side:,} × {side:,} cells × {layers} layers, {LAND:.0%} land"
            found += [Row(f"{work}: peak memory", "the limit", taken["peak"] / 2**30, limit, "GiB", 1.0, True),
                      Row(f"{work}: {taken['wall']:.0f} s, {taken['cpu']:.0f} s of the processor", "",
                          note=f"progress reported {taken['reports']} times")]
    return found


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
