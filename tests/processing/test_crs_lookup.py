"""A lack of open files does not leave QGIS without its coordinate systems."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from support import ROOT, write_raster

PROGRAM = """
import json, os, resource, sys
from qgis.core import (QgsApplication, QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsPointXY,
                       QgsProcessingContext, QgsProcessingFeedback, QgsProject)
application = QgsApplication([], False)
application.initQgis()
from pti_plugin.provider import PtiProvider
provider = PtiProvider()
application.processingRegistry().addProvider(provider)

def moved():
    systems = [QgsCoordinateReferenceSystem(name) for name in ("EPSG:4326", "EPSG:6931")]
    change = QgsCoordinateTransform(*systems, QgsProject.instance())
    place = change.transform(QgsPointXY(-150.0, 70.0))
    return round(place.x()), round(place.y())

limit, opened = resource.getrlimit(resource.RLIMIT_NOFILE), []
resource.setrlimit(resource.RLIMIT_NOFILE, (200, limit[1]))
try:
    while True:
        opened.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    starved = moved()
for handle in opened:
    os.close(handle)
left = moved()
tool = application.processingRegistry().createAlgorithmById("pti:slope")
result, done = tool.run({"INPUT": sys.argv[1], "PRODUCT": "none", "OUTPUT": sys.argv[2]}, QgsProcessingContext(),
                        QgsProcessingFeedback())
print(json.dumps({"starved": starved, "left": left, "done": done, "after": moved()}))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the number of open files cannot be lowered there")
def test_a_run_gives_qgis_its_coordinate_systems_back(qgis_app, tmp_path):
    raster = write_raster(tmp_path / "elevation.tif", np.arange(64.0).reshape(8, 8), dtype="float32")
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(raster), str(tmp_path / "slope.tif")], capture_output=True, text=True,
        cwd=ROOT, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])})
    assert found.returncode == 0, found.stderr
    seen = json.loads(found.stdout.splitlines()[-1])
    # QGIS itself: the look-up that failed is kept, and degrees pass for metres, which is at the pole
    assert seen["starved"] == seen["left"] == [-150, 70]
    assert seen["done"] and seen["after"] == [-1110835, 1924023]
