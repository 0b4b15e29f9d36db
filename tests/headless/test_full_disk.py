"""A disk that fills up in the middle of a run gives a clear error, and no output and no remains."""

import os
import resource
import subprocess

import numpy as np
import pytest

from support import Finished, refusal, standing, write_raster

SIDE = 800
#: bytes; the databases of a QGIS profile are smaller, the rasters of SIDE x SIDE random numbers larger
LARGEST_FILE = 1_200_000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Rasters that cannot be compressed, so that every raster written of them is large."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(5)
    for i in (1, 2):
        write_raster(folder / f"pp_{i}.tif", rng.uniform(20, 90, (SIDE, SIDE)).astype(np.float32), nodata=-9999.0)
        write_raster(folder / f"magt_{i}.tif", rng.uniform(-9, 0, (SIDE, SIDE)).astype(np.float32), nodata=-9999.0)
    pti = np.repeat(np.array([11, 21, 31], np.uint8), 20)[:, None] * np.ones(60, np.uint8)
    write_raster(folder / "pti.tif", pti, nodata=0)
    write_raster(folder / "stack.tif", rng.random((2, 60, 60), dtype=np.float32), nodata=-9999.0,
                 descriptions=["lst", "elevation"])
    rows = [f"A,80.0,{40 + i},{year},10,{-5 + i}\n" for i in range(3) for year in range(2007, 2013)]
    (folder / "stations.csv").write_text("site,latitude,longitude,year,depth_m,magt_degC\n" + "".join(rows))
    return folder


def calls(inputs, out):
    """Return {tool: parameters} of the tools that write a kind of file each: rasters, a model, points and a page."""
    return {
        "ensemblepermafrost": {"PP": [inputs / "pp_1.tif", inputs / "pp_2.tif"], "OUTPUT_BASE": out / "base.tif",
                               "MAGT": [inputs / "magt_1.tif", inputs / "magt_2.tif"], "OUTPUT_PP": out / "pp.tif",
                               "OUTPUT_MAGT": out / "magt.tif"},
        "trainxgboost": {"PTI": inputs / "pti.tif", "STACK": inputs / "stack.tif", "RUNS": 10, "ROUNDS": 30,
                         "BLOCK_KM": 200, "PER_CLASS": 200, "OUTPUT_MODEL": out / "m.ptimodel",
                         "OUTPUT_METRICS": out / "m.csv"},
        "validateboreholes": {"PTI": inputs / "pti.tif", "STATIONS_MAGT": inputs / "stations.csv",
                              "OUTPUT": out / "stations.gpkg", "OUTPUT_REPORT": out / "report.html"},
    }


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system; the limit on file sizes is tested without")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True,
                             check=False, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("tool", ["ensemblepermafrost", "trainxgboost", "validateboreholes"])
def test_a_full_disk_is_named_and_nothing_is_left(tool, qgis_process, inputs, small_disk):
    finished = qgis_process.run(tool, calls(inputs, small_disk)[tool])
    message = refusal(finished, str(small_disk), "Free some space or choose another folder")
    assert "disk is full" in message or "No space left on device" in message
    assert standing(small_disk) == {}


def test_a_file_that_cannot_grow_is_named_and_nothing_is_left(qgis_process, inputs, tmp_path):
    process = qgis_process.start("ensemblepermafrost", calls(inputs, tmp_path)["ensemblepermafrost"])
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    stdout, stderr = process.communicate(timeout=120)
    refusal(Finished(process.returncode, stdout, stderr), f"Writing {tmp_path}", "failed")
    assert standing(tmp_path) == {}
