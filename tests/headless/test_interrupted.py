"""An interrupted run ends soon, with a non-zero exit code, and leaves nothing at any output path."""

import signal
import time

import numpy as np
import pytest

from support import read_raster, standing, write_raster

#: seconds a run may take to clean up after itself; about two, and some patience for a busy machine
SOON = 5
SIDE = 1500


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Two PP and two MAGT products that take long in blocks of 16 cells and a moment in large ones."""
    folder = tmp_path_factory.mktemp("products")
    tiled = ("TILED=YES", "COMPRESS=DEFLATE")
    value = np.tile(np.linspace(20, 80, SIDE, dtype=np.float32), (SIDE, 1))
    for i in (1, 2):
        write_raster(folder / f"pp_{i}.tif", value + i, nodata=-9999.0, options=tiled)
        write_raster(folder / f"magt_{i}.tif", value / 10 - 8 - i, nodata=-9999.0, options=tiled)
    return folder


def ensemble(products, out, block_size):
    return {"PP": [products / "pp_1.tif", products / "pp_2.tif"], "BLOCK_SIZE": block_size,
            "MAGT": [products / "magt_1.tif", products / "magt_2.tif"], "OUTPUT_BASE": out / "base.tif",
            "OUTPUT_PP": out / "pp.tif", "OUTPUT_MAGT": out / "magt.tif"}


def wait_for(condition, process):
    """Wait until ``condition()`` holds; the process must still be running then."""
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "the run never came to the point where it was to be interrupted"
        time.sleep(0.02)


def interrupt(process, number):
    """Send a signal and return (exit code, standard error, seconds until the end)."""
    started = time.monotonic()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr, time.monotonic() - started


def partials(folder):
    return [name for name in standing(folder) if name.endswith(".partial")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_run_cleans_up_and_says_so(number, qgis_process, products, tmp_path):
    (tmp_path / "unrelated.txt").write_text("stays")
    process = qgis_process.start("ensemblepermafrost", ensemble(products, tmp_path, 16))
    wait_for(lambda: len(partials(tmp_path)) == 3, process)
    time.sleep(0.5)
    code, stderr, seconds = interrupt(process, number)
    assert code == 1, stderr
    assert "cancelled; no output was written" in stderr
    assert "Traceback" not in stderr
    assert list(standing(tmp_path)) == ["unrelated.txt"]
    assert seconds < SOON


def test_a_killed_run_leaves_no_output_and_the_next_one_succeeds(qgis_process, products, tmp_path):
    (tmp_path / "base.tif").write_text("an older result")
    process = qgis_process.start("ensemblepermafrost", ensemble(products, tmp_path, 16))
    wait_for(lambda: len(partials(tmp_path)) == 3, process)
    time.sleep(0.5)
    code, stderr, _ = interrupt(process, signal.SIGKILL)
    assert code == -signal.SIGKILL, stderr
    assert sorted(standing(tmp_path)) == ["base.tif.partial", "magt.tif.partial", "pp.tif.partial"]
    again = qgis_process.run("ensemblepermafrost", ensemble(products, tmp_path, 0))
    assert again.code == 0, again
    assert partials(tmp_path) == []
    assert (read_raster(tmp_path / "base.tif") == 1).all()
    assert np.allclose(read_raster(tmp_path / "magt.tif")[:, 0], 20 / 10 - 8 - 1.5, atol=1e-5)


def test_a_stopped_trend_cleans_up(qgis_process, tmp_path):
    series, out = tmp_path / "series.tif", tmp_path / "out"
    out.mkdir()
    rng = np.random.default_rng(3)
    write_raster(series, rng.integers(0, 255, (25, 800, 800), np.uint8), options=("TILED=YES",))
    process = qgis_process.start("trendrasters", {"INPUT": series, "START": 1997, "BLOCK_SIZE": 8,
                                                  "OUTPUT_SIGN": out / "sign.tif", "OUTPUT_SLOPE": out / "slope.tif"})
    wait_for(lambda: len(partials(out)) == 2, process)
    code, stderr, seconds = interrupt(process, signal.SIGTERM)
    assert code == 1, stderr
    assert "cancelled; no output was written" in stderr
    assert standing(out) == {}
    assert seconds < SOON


def test_a_stopped_training_leaves_no_model(qgis_process, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    rng = np.random.default_rng(4)
    pti = rng.choice(np.array([11, 12, 21, 22, 31], np.uint8), (120, 120))
    names = ["lst", "elevation", "slope", "snow", "soc", "peat"]
    write_raster(tmp_path / "pti.tif", pti, nodata=0)
    write_raster(tmp_path / "stack.tif", rng.random((6, 120, 120), dtype=np.float32), nodata=-9999.0,
                 descriptions=names)
    process = qgis_process.start("trainxgboost", {
        "PTI": tmp_path / "pti.tif", "STACK": tmp_path / "stack.tif", "RUNS": 200, "ROUNDS": 500, "PER_CLASS": 2000,
        "OUTPUT_MODEL": out / "m.ptimodel", "OUTPUT_METRICS": out / "m.csv"})
    wait_for(lambda: len(partials(out)) == 2, process)
    time.sleep(0.5)
    code, stderr, seconds = interrupt(process, signal.SIGTERM)
    assert code == 1, stderr
    assert "cancelled; no output was written" in stderr
    assert standing(out) == {}
    assert seconds < SOON
