"""An interrupted run ends soon, with a non-zero exit code, and leaves every output path as it was."""

import shutil
import signal
import time

import numpy as np
import pytest

from support import ROOT, read_raster, refusal, standing, write_raster

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
    """Return the names of the outputs that a run in ``folder`` is writing."""
    return sorted(path.name for path in folder.glob(".pti-run-*/new/*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_run_cleans_up_and_says_so(number, qgis_process, products, tmp_path):
    (tmp_path / "unrelated.txt").write_text("stays")
    (tmp_path / "base.tif").write_text("an earlier result")
    process = qgis_process.start("ensemblepermafrost", ensemble(products, tmp_path, 16))
    wait_for(lambda: len(partials(tmp_path)) == 3, process)
    time.sleep(0.5)
    code, stderr, seconds = interrupt(process, number)
    assert code == 1, stderr
    assert "cancelled; no output was written" in stderr
    assert "Traceback" not in stderr
    assert standing(tmp_path) == {"base.tif": b"an earlier result", "unrelated.txt": b"stays"}
    assert seconds < SOON


def test_a_killed_run_leaves_the_earlier_result_and_the_next_one_cleans_up(qgis_process, products, tmp_path):
    (tmp_path / "base.tif").write_text("an earlier result")
    process = qgis_process.start("ensemblepermafrost", ensemble(products, tmp_path, 16))
    wait_for(lambda: len(partials(tmp_path)) == 3, process)
    time.sleep(0.5)
    code, stderr, _ = interrupt(process, signal.SIGKILL)
    assert code == -signal.SIGKILL, stderr
    assert partials(tmp_path) == ["base.tif", "magt.tif", "pp.tif"]
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".pti-run-")] == ["base.tif"]
    assert (tmp_path / "base.tif").read_text() == "an earlier result"
    again = qgis_process.run("ensemblepermafrost", ensemble(products, tmp_path, 0))
    assert again.code == 0, again
    assert sorted(standing(tmp_path)) == ["base.provenance.json", "base.qml", "base.tif", "base.tif.aux.xml",
                                          "magt.qml", "magt.tif", "pp.qml", "pp.tif"]
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
    # model and table are claimed before the training begins
    wait_for(lambda: list(out.glob(".pti-run-*/claims/m.csv")), process)
    time.sleep(0.5)
    code, stderr, seconds = interrupt(process, signal.SIGTERM)
    assert code == 1, stderr
    assert "cancelled; no output was written" in stderr
    assert standing(out) == {}
    assert seconds < SOON


def test_sigint_while_the_plugin_is_loaded_ends_the_process(qgis_process, products, tmp_path):
    # a plugin of the same name as the real one, which says when it is loaded and then takes its time
    plugin, out = tmp_path / "plugins" / "pti_plugin", tmp_path / "out"
    shutil.copytree(ROOT / "pti_plugin", plugin, ignore=shutil.ignore_patterns("__pycache__", "sample"))
    out.mkdir()
    text = (plugin / "provider.py").read_text(encoding="utf-8")
    (plugin / "provider.py").write_text(
        f"{text}\nimport time\nopen({str(tmp_path / 'loading')!r}, 'w').close()\n"
        "for _ in range(200):\n    try:\n        time.sleep(0.05)\n    except KeyboardInterrupt:\n        pass\n",
        encoding="utf-8")
    process = qgis_process.start("ensemblepermafrost", ensemble(products, out, 0),
                                 {"PTI_PLUGIN_PATH": str(plugin.parent)})
    wait_for((tmp_path / "loading").exists, process)
    code, stderr, seconds = interrupt(process, signal.SIGINT)
    assert code == -signal.SIGINT, stderr
    assert standing(out) == {} and seconds < SOON


def test_a_second_run_at_the_same_outputs_is_refused_while_the_first_lives(qgis_process, products, tmp_path):
    process = qgis_process.start("ensemblepermafrost", ensemble(products, tmp_path, 16))
    wait_for(lambda: len(partials(tmp_path)) == 3, process)
    second = qgis_process.run("ensemblepermafrost", ensemble(products, tmp_path, 0))
    refusal(second, "base.tif is being written by another run", "Wait for its end or choose another name")
    assert process.poll() is None and len(partials(tmp_path)) == 3
    interrupt(process, signal.SIGTERM)
    assert standing(tmp_path) == {}
