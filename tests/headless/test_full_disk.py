"""A disk that fills up in the middle of a run gives a clear error, and no output and no remains."""

import os
import resource
import subprocess

import numpy as np
import pytest

from pti_plugin.core.common.ranks import RANKS, hex_to_rgb
from support import Finished, read_raster, refusal, standing, write_raster

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


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """A map of ranks that cannot be compressed, so that the raster a page is drawn from is large."""
    rng = np.random.default_rng(6)
    return write_raster(tmp_path_factory.mktemp("ranks") / "pti.tif",
                        rng.choice(np.array([rank.code for rank in RANKS], np.uint8), (192, 192)), nodata=0,
                        transform=(-4800000.0, 50000.0, 0.0, 4800000.0, 0.0, -50000.0))


def test_a_print_map_is_whole_though_the_temporary_disk_is_full(qgis_process, ranks, small_disk, tmp_path):
    # room for a small file, by which programs find out that a folder can be written to
    (small_disk / "full").write_bytes(b"x" * (48 << 10))
    out = tmp_path / "out"
    out.mkdir()
    done = qgis_process.run("printlayout", {"PTI": ranks, "DPI": 72, "OUTPUT_PNG": out / "map.png",
                                            "OUTPUT_PDF": out / "map.pdf"}, environment={"TMPDIR": str(small_disk)})
    assert done.code == 0, done
    assert sorted(standing(out)) == ["map.pdf", "map.png", "map.provenance.json"]
    picture = np.stack([read_raster(out / "map.png", band) for band in (1, 2, 3)], axis=-1)
    for rank in RANKS:
        # the swatches of the legend have 1,000
        assert (picture == hex_to_rgb(rank.colour)).all(axis=-1).sum() > 5000, rank
    assert list(standing(small_disk)) == ["full"]


def test_a_print_map_on_a_full_disk_is_refused_and_the_earlier_one_stands(qgis_process, ranks, small_disk):
    (small_disk / "map.png").write_bytes(b"an earlier map")
    finished = qgis_process.run("printlayout", {"PTI": ranks, "DPI": 72, "OUTPUT_PNG": small_disk / "map.png"})
    refusal(finished, str(small_disk), "Free some space or choose another folder")
    assert standing(small_disk) == {"map.png": b"an earlier map"}


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
