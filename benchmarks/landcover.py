"""Majority of five annual land-cover maps against QGIS's native cell statistics, and against reading the files alone.

Usage: python benchmarks/landcover.py FOLDER SIDE REPEATS   (run by benchmarks/run.py, in a process of its own: QGIS)
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import REPEATS, Row, side_by_side
from osgeo import gdal, osr

ROOT = Path(__file__).resolve().parents[1]
YEARS = range(2018, 2023)
SIDE, QUICK_SIDE = 3_200, 256
TILE = 256
#: side in cells of the patches of a class, which also change as one
PATCH = 8
#: place of the majority among the statistics of native:cellstatistics
MAJORITY = 9


def write_maps(folder, side):
    """Write five annual maps of patches of classes, of which a tenth is another class in one year; return the paths."""
    rng = np.random.default_rng(5)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    codes = np.array([0, 10, 30, 60, 70, 80, 90, 100, 120, 130, 140, 150, 180, 200, 210], dtype=np.uint8)
    patches = rng.choice(codes, (side // PATCH, side // PATCH))
    paths = []
    for year in YEARS:
        values = np.where(rng.random(patches.shape) < 0.02, rng.choice(codes, patches.shape), patches)
        values = values.repeat(PATCH, axis=0).repeat(PATCH, axis=1)
        paths.append(os.path.join(folder, f"landcover_{year}.tif"))
        dataset = gdal.GetDriverByName("GTiff").Create(
            paths[-1], side, side, 1, gdal.GDT_Byte,
            options=["TILED=YES", f"BLOCKXSIZE={TILE}", f"BLOCKYSIZE={TILE}", "COMPRESS=DEFLATE"])
        dataset.SetGeoTransform((0, 0.0028, 0, 80, 0, -0.0028))
        dataset.SetProjection(reference.ExportToWkt())
        dataset.GetRasterBand(1).SetNoDataValue(0)
        dataset.GetRasterBand(1).WriteArray(values)
        dataset = None
    return paths


def measured(folder, side, repeats):
    """Return {name: (seconds of ours, seconds of theirs)} of the processor."""
    from pti_plugin.core.ensembles.landcover import majority
    paths = write_maps(folder, side)
    stack = np.stack([_read_all(path) for path in paths])
    random = np.random.default_rng(6).choice(stack[:, ::7, ::7].ravel(), stack.shape)
    native = _native(paths, os.path.join(folder, "native.tif"))

    def ours():
        _tool(paths, os.path.join(folder, "ours.tif"))

    def decode():
        for path in paths:
            _read_all(path)

    return {"native": side_by_side(ours, native, repeats), "decode": side_by_side(ours, decode, repeats),
            "kernel": side_by_side(lambda: majority(stack, 0), decode, repeats),
            "random": side_by_side(lambda: majority(random, 0), decode, repeats)}


def _read_all(path):
    dataset = gdal.Open(path)
    return dataset.GetRasterBand(1).ReadAsArray()


def _tool(paths, output):
    from pti_plugin.core.common.progress import Progress
    from pti_plugin.core.common.staging import Staging
    from pti_plugin.core.ensembles.landcover import majority_of_years, read_crosswalk
    from pti_plugin.core.rasters.blocks import Settings
    from pti_plugin.core.rasters.raster import CLASS, read_info, source
    with Staging() as staging:
        maps = [(info, source(info.path, CLASS, info=info)) for info in map(read_info, paths)]
        majority_of_years(maps, read_crosswalk(), "most_recent_year", output, staging, Progress(), Settings(threads=1))
        staging.commit()


def _native(paths, output):
    """Return a function that runs native:cellstatistics on the maps."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from qgis.analysis import QgsNativeAlgorithms
    from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback
    application = QgsApplication([], False)
    application.initQgis()
    registry = QgsApplication.processingRegistry()
    registry.addProvider(QgsNativeAlgorithms())
    algorithm = registry.algorithmById("native:cellstatistics")
    parameters = {"INPUT": paths, "STATISTIC": MAJORITY, "IGNORE_NODATA": True, "REFERENCE_LAYER": paths[0],
                  "OUTPUT": output}

    def run():
        # what Python holds of QGIS must outlive the runs
        _, done = algorithm.run(parameters, QgsProcessingContext(), QgsProcessingFeedback())
        if not done or application is None:
            raise RuntimeError("native:cellstatistics failed")

    return run


def rows(quick):
    """Return the Rows of the table."""
    side = QUICK_SIDE if quick else SIDE
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, __file__, folder, str(side), str(1 if quick else REPEATS)], check=True,
                              capture_output=True, text=True)
    found = json.loads(done.stdout)
    work, kernel = f"majority of 5 years, {side:,} × {side:,} cells", "majority of 5 years in memory"
    unit, per_cell = "ns a cell", 1e9 / side ** 2
    return [Row(f"{work}: files to file", "native:cellstatistics", *(per_cell * value for value in found["native"]),
                unit, 6),
            Row(f"{work}: files to file", "decoding the files", *(per_cell * value for value in found["decode"]), unit,
                2, at_most=True),
            Row(f"{kernel}, a tenth of the cells changes", "decoding the files",
                *(per_cell * value for value in found["kernel"]), unit),
            Row(f"{kernel}, random classes", "decoding the files", *(per_cell * value for value in found["random"]),
                unit)]


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    gdal.UseExceptions()
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))), flush=True)
    # QGIS is not taken down: its objects end in no order that always ends well
    os._exit(0)
