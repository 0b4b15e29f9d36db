"""The block engine: one result whatever the blocks, the threads or the executor; nothing left when it stops."""

import itertools
import multiprocessing
import os
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import Cancelled, InputError, OutputError
from pti_plugin.core.common.profiles import DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles import permafrost
from pti_plugin.core.ensembles.features import read_stack
from pti_plugin.core.ensembles.landcover import ensemble_land_cover
from pti_plugin.core.ensembles.permafrost import EnsembleKernel, EnsembleOptions, ensemble_permafrost
from pti_plugin.core.index.pti import build_pti
from pti_plugin.core.learning.learner import TrainingOptions
from pti_plugin.core.learning.model_file import write_model
from pti_plugin.core.learning.predictor_stack import predictor_stack
from pti_plugin.core.learning.training import manifest, train
from pti_plugin.core.mapping.prediction import predict
from pti_plugin.core.rasters import blocks
from pti_plugin.core.rasters.blocks import (
    DEFAULT_MEMORY_MB,
    TILE,
    BlockTask,
    OutputSpec,
    RasterWriter,
    Settings,
    Window,
    plan_windows,
    run_blocks,
    run_task,
)
from pti_plugin.core.rasters.encoding import Encoding
from pti_plugin.core.rasters.gdal_errors import call
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.raster import NUMBER, Source, on_grid, read_info, source
from pti_plugin.core.samples.sampling import draw_samples
from support import ROOT, read_raster, standing, write_raster

SAMPLE = ROOT / "resources" / "sample"
GRID = Grid(epsg_wkt(6931), (0.0, 1000.0, 0.0, 0.0, 0.0, -1000.0), 700, 600)
#: block sizes and threads; the first is what the others must equal
WAYS = [Settings(1, 0), *(Settings(threads, size) for size in (64, 256, 1000) for threads in (1, 2)), Settings(2, 0),
        Settings(0, 0, 16)]
#: for the slower tools: every size and every number of threads once
FEWER_WAYS = [Settings(1, 256), Settings(2, 64), Settings(0, 1000)]
#: the middle of the sample's grid, with the pole and the seam of longitudes; more than one tile of the engine
MIDDLE = Grid(epsg_wkt(6931), (-3500000.0, 25000.0, 0.0, 3500000.0, 0.0, -25000.0), 280, 270)


def test_numbers_beyond_single_precision_are_refused_not_infinite(tmp_path):
    grid = Grid(epsg_wkt(6931), (0.0, 1000.0, 0.0, 0.0, 0.0, -1000.0), 3, 2)
    values = np.array([[1.0, np.nan, 3.4e38], [0.0, -1e39, 2.0]])
    path = str(tmp_path / "out.tif")
    with pytest.raises(InputError, match=r"out\.tif.* would have to hold -1e\+39, which is beyond"):
        with Staging() as staging:
            RasterWriter(OutputSpec(path, "float32", -9999.0), grid, staging).write(Window(0, 2, 0, 3), values)


def contents(folder):
    """All files of a folder and their bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def same_for_all(tmp_path, work, ways=WAYS):
    """Run ``work(folder, settings)`` in every way; every file must be the same bytes. Returns the last folder."""
    first = None
    for number, settings in enumerate(ways):
        folder = tmp_path / str(number)
        folder.mkdir()
        result = work(folder, settings)
        found = contents(folder), result
        assert not [name for name in found[0] if "partial" in name]
        first = first or found
        assert found == first, settings
    assert len(first[0]) > 0
    return folder


# the same bytes --------------------------------------------------------------------------------------------------

PP = sorted(str(path) for path in (SAMPLE / "permafrost").glob("*_pp_*.tif"))
MAGT = sorted(str(path) for path in (SAMPLE / "permafrost").glob("*_magt_*.tif"))


def ensemble(folder, settings, grid=MIDDLE):
    outputs = {name: str(folder / f"{name}.tif") for name in ("base", "pp", "magt", "count", "spread")}
    with Staging() as staging:
        result = ensemble_permafrost(PP, MAGT, outputs, staging, Progress(),
                                     EnsembleOptions(units="obu_pp*=fraction", absent="cci*; obu*"),
                                     grid, settings)
        staging.commit()
    return result


@pytest.fixture(scope="module")
def ensembled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    ensemble(folder, Settings(1, 0), read_info(SAMPLE / "grid.tif").grid)
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory, ensembled):
    """An index of the sample's ensemble with random trends."""
    folder = tmp_path_factory.mktemp("index")
    grid = read_info(SAMPLE / "grid.tif").grid
    rng = np.random.default_rng(1)
    paths = {"MAGT": ensembled / "magt.tif", "PP": ensembled / "pp.tif", "BASE": ensembled / "base.tif"}
    for role in ("MAGT_TREND", "ALT_TREND"):
        signs = rng.choice([-1, 0, 1, 9], (grid.height, grid.width), p=[0.1, 0.4, 0.4, 0.1])
        paths[role] = write_raster(folder / f"{role}.tif", signs, nodata=9, dtype="int16", transform=grid.transform)

    def build(target, settings):
        outputs = {name: str(target / f"{name}.tif") for name in ("pti", "reason")}
        with Staging() as staging:
            result = build_pti(paths, outputs, staging, Progress(), settings=settings)
            staging.commit()
        return result

    build(folder, Settings())
    return folder / "pti.tif", build


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """A predictor stack of the sample's relief, soil and land cover on its target grid."""
    path = str(tmp_path_factory.mktemp("stack") / "stack.tif")
    layers = {"land_cover": "landcover/cci_lc_2020.tif", "soc": "soil/soc_0-5cm_mean.tif",
              "coarse_fragments": "soil/cfvo_0-5cm_mean.tif", "elevation": "dem/elevation_wc21.tif"}
    with Staging() as staging:
        predictor_stack({role: str(SAMPLE / file) for role, file in layers.items()}, [], None, {"stack": path},
                        staging, Progress(), target=read_info(SAMPLE / "grid.tif").grid)
        staging.commit()
    return path


# warnings cannot be silenced in threads, so none may arise
@pytest.mark.filterwarnings("error")
def test_the_ensemble_of_products_in_four_crss_is_the_same_bytes(tmp_path):
    crss = {read_info(path).grid.name for path in PP}
    assert len(crss) == 3
    folder = same_for_all(tmp_path, ensemble, FEWER_WAYS)
    assert (read_raster(folder / "base.tif") == 1).sum() > 10_000


def test_the_index_is_the_same_bytes(tmp_path, index):
    folder = same_for_all(tmp_path, index[1])
    assert len(np.unique(read_raster(folder / "pti.tif"))) > 10


def test_the_land_cover_is_the_same_bytes(tmp_path):
    cci = [str(path) for path in (SAMPLE / "landcover").glob("cci*.tif")]
    assert len(cci) == 5

    def work(folder, settings):
        with Staging() as staging:
            result = ensemble_land_cover(
                {"CCI": cci, "GLCC": str(SAMPLE / "landcover" / "glcc_ecosystems.tif"),
                 "CAVM": str(SAMPLE / "landcover" / "cavm.tif")},
                {"cover": str(folder / "cover.tif"), "source": str(folder / "source.tif")}, staging, Progress(),
                target=MIDDLE, settings=settings)
            staging.commit()
        return result

    folder = same_for_all(tmp_path, work, FEWER_WAYS)
    assert set(np.unique(read_raster(folder / "source.tif"))) >= {1, 2, 3}


def test_the_predicted_map_is_the_same_bytes(tmp_path, index, stack):
    pytest.importorskip("xgboost")
    samples = draw_samples(str(index[0]), read_stack(stack), 60, 0, 5, Progress())
    options = TrainingOptions(runs=2, rounds=4, max_depth=4, threads=1)
    training = train(samples, options, Progress())
    model = str(tmp_path / "model.ptimodel")
    write_model(model, samples.features, training.codes, training.boosters,
                manifest(training, samples, options, DEFENSIBLE))

    def work(folder, settings):
        outputs = {name: str(folder / f"{name}.tif") for name in ("pti", "agreement", "entropy")}
        with Staging() as staging:
            result = predict(stack, model, outputs, staging, Progress(), settings=settings)
            staging.commit()
        return result

    folder = same_for_all(tmp_path, work, FEWER_WAYS)
    assert len(np.unique(read_raster(folder / "pti.tif"))) > 5


class Processes:
    """Runs tasks in processes that share nothing with this one."""

    def ordered(self, function, tasks, check):
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            for future in [pool.submit(function, task) for task in tasks]:
                check()
                yield future.result()


def test_blocks_computed_in_other_processes_give_the_same_bytes(tmp_path):
    grid = MIDDLE
    sources = {role: [on_grid(source(path), grid) for path in paths] for role, paths in (("PP", PP), ("MAGT", MAGT))}
    kernel = EnsembleKernel((True, False, True), 2, 2)
    found = []
    for name, executor in (("threads", None), ("processes", Processes())):
        folder = tmp_path / name
        folder.mkdir()
        specs = {"base": OutputSpec(str(folder / "base.tif"), "uint8", 255, colours=permafrost.BASE_COLOURS),
                 "magt": OutputSpec(str(folder / "magt.tif"), "float32", -9999)}
        with Staging() as staging:
            tallies = run_blocks(grid, sources, kernel, specs, staging, Progress(), Settings(2, 256),
                                 executor=executor)
            staging.commit()
        found.append((contents(folder), tallies))
    assert found[0] == found[1]
    assert found[0][1]["cells"]["permafrost"] > 1000


def test_a_task_alone_gives_what_the_run_writes(tmp_path):
    grid = MIDDLE
    sources = {role: [on_grid(source(path), grid) for path in paths] for role, paths in (("PP", PP), ("MAGT", MAGT))}
    window = Window(100, 30, 60, 50)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(run_task, BlockTask(EnsembleKernel((False,) * 3, 2, 2), sources, window, grid)).result()
    here = run_task(BlockTask(EnsembleKernel((False,) * 3, 2, 2), sources, window, grid))
    for name, array in here[0].items():
        np.testing.assert_array_equal(array, there[0][name])
    assert here[1] == there[1]


# windows ---------------------------------------------------------------------------------------------------------

def plain_source(grid=GRID, block=(256, 256), target=None):
    return Source("x.tif", 1, NUMBER, grid, Encoding("Float32"), target=target, block=block)


@pytest.mark.parametrize("size", [0, 1, 7, 64, 256, 599, 1000])
@pytest.mark.parametrize("block", [(256, 256), (700, 1), (16, 16)])
def test_windows_cover_every_cell_once(size, block):
    grid = Grid(GRID.wkt, GRID.transform, 70, 60) if size == 1 else GRID
    seen = np.zeros((grid.height, grid.width), dtype=int)
    for window in plan_windows(grid, [plain_source(grid, block)], Settings(2, size), 40):
        assert window.rows > 0 and window.columns > 0
        seen[window.row:window.row + window.rows, window.column:window.column + window.columns] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("memory, threads, cost", [(16, 1, 100), (16, 2, 4000), (512, 2, 100), (512, 8, 5000),
                                                   (64, 1, 9000)])
@pytest.mark.parametrize("block", [(256, 256), (43200, 1)])
def test_the_blocks_under_way_keep_to_the_memory_budget(memory, threads, cost, block):
    grid = Grid(GRID.wkt, GRID.transform, 43200 if block[1] == 1 and cost < 4000 else 700, 5000)
    block = (grid.width, 1) if block[1] == 1 else block
    windows = plan_windows(grid, [plain_source(grid, block)] * 3, Settings(threads, 0, memory), cost)
    largest = max(window.rows * window.columns for window in windows)
    # one block more than threads is under way: the one being written
    assert largest * cost * (threads + 1) <= memory << 20
    # and the budget is used: a block is at least a twentieth of its share, or all of the raster's width
    assert largest * cost * (threads + 1) * 20 >= min(memory << 20, grid.width * grid.height * cost)


def test_striped_files_are_read_in_wide_low_windows_and_tiled_ones_in_whole_tiles():
    wide = Grid(GRID.wkt, GRID.transform, 8000, 6000)
    striped = [plain_source(wide, (8000, 1))] * 3
    windows = plan_windows(wide, striped, Settings(2), 200)
    assert all(window.columns == 8000 for window in windows) and windows[0].rows < 200
    windows = plan_windows(wide, [plain_source(wide, (256, 256))] * 3, Settings(2), 200)
    assert windows[0].rows == windows[0].columns == windows[0].rows // TILE * TILE
    # mostly striped decides; a source that is warped has no say
    assert plan_windows(wide, striped[:2] + [plain_source(wide)], Settings(2), 200)[0].columns == 8000
    warped = plain_source(wide, (8000, 1), target=wide)
    assert plan_windows(wide, [warped] * 3, Settings(2), 200)[0].columns < 8000


def test_files_as_gdal_writes_them_are_known_as_striped_or_tiled(tmp_path):
    values = np.zeros((100, 900), dtype="float32")
    striped = source(write_raster(tmp_path / "s.tif", values))
    tiled = source(write_raster(tmp_path / "t.tif", values, options=["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"]))
    assert striped.block[0] == 900 and striped.block[1] < 100
    assert tiled.block == (64, 64)


# kernels of these tests ------------------------------------------------------------------------------------------

def mean_of_neighbours(arrays, window, grid):
    """Mean of the 3 × 3 cells that have a value; needs an overlap of 1."""
    values = arrays["X"]
    assert values.shape == (window.rows + 2, window.columns + 2)
    parts = np.stack([values[i:i + window.rows, j:j + window.columns] for i in range(3) for j in range(3)])
    known = (~np.isnan(parts)).sum(axis=0)
    total = np.nansum(parts, axis=0)
    return {"mean": np.where(known > 0, total / np.maximum(known, 1), np.nan)}, {"known": Counter(n=int(known.sum()))}


def copy(arrays, window, grid):
    return {"out": arrays["X"]}, {"cells": Counter(n=arrays["X"].size)}


@pytest.fixture
def numbers(tmp_path):
    """A raster of random numbers with holes, 150 × 130, in a folder of its own."""
    rng = np.random.default_rng(4)
    values = np.where(rng.random((130, 150)) < 0.2, np.nan, rng.normal(size=(130, 150)).round(3))
    folder = tmp_path / "in"
    folder.mkdir()
    return write_raster(folder / "x.tif", values, nodata=-9999, dtype="float64"), values


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("size, threads", [(0, 1), (7, 2), (64, 1), (1000, 2)])
def test_the_overlap_reaches_across_blocks_and_ends_at_the_raster(numbers, out, size, threads):
    path, values = numbers
    item = source(path)
    with Staging() as staging:
        tallies = run_blocks(item.grid, {"X": item}, mean_of_neighbours,
                             {"mean": OutputSpec(str(out / "m.tif"), "float64", -9999)}, staging, Progress(),
                             Settings(threads, size), overlap=1)
        staging.commit()
    expected, known = np.full(values.shape, np.nan), 0
    for row, column in np.ndindex(values.shape):
        near = values[max(row - 1, 0):row + 2, max(column - 1, 0):column + 2]
        near = near[~np.isnan(near)]
        known += near.size
        if near.size:
            expected[row, column] = near.mean()
    np.testing.assert_allclose(read_raster(out / "m.tif"), expected, atol=1e-12)
    assert tallies["known"]["n"] == known


def test_progress_rises_to_one_and_tallies_are_summed(numbers, out):
    class Watch(Progress):
        seen = []

        def set(self, fraction):
            self.seen.append(fraction)

    item, watch = source(numbers[0]), Watch()
    with Staging() as staging:
        tallies = run_blocks(item.grid, {"X": item}, copy, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)},
                             staging, watch, Settings(2, 64))
    assert watch.seen == sorted(watch.seen) and len(watch.seen) == 9 and watch.seen[-1] == 1
    assert tallies == {"cells": Counter(n=150 * 130)}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cancelled_run_stops_within_a_block_and_leaves_the_earlier_result(numbers, out, threads):
    (out / "o.tif").write_bytes(b"an earlier result")
    progress, calls, stopped_at = Progress(), [], []

    def slow(arrays, window, grid):
        calls.append(time.monotonic())
        time.sleep(0.05)
        if len(calls) == 4:
            progress.stop()
            stopped_at.append(time.monotonic())
        return {"out": arrays["X"]}, {}

    item = source(numbers[0])
    with pytest.raises(Cancelled, match="no output was written"), Staging() as staging:
        run_blocks(item.grid, {"X": item}, slow, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)}, staging,
                   progress, Settings(threads, 10))
    assert time.monotonic() - stopped_at[0] < 1
    # blocks that had begun may end, the other 190 are never begun
    assert len(calls) <= 4 + 2 * threads
    assert standing(out) == {"o.tif": b"an earlier result"}


def test_a_run_cancelled_while_a_long_block_computes_does_not_wait_for_the_next(numbers, out):
    progress = Progress()

    def slow(arrays, window, grid):
        progress.stop()
        time.sleep(0.3)
        return {"out": arrays["X"]}, {}

    item, begun = source(numbers[0]), time.monotonic()
    with pytest.raises(Cancelled), Staging() as staging:
        run_blocks(item.grid, {"X": item}, slow, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)}, staging,
                   progress, Settings(1, 30))
    assert time.monotonic() - begun < 0.9
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("error", [InputError("bad cell"), ValueError("a bug"), MemoryError()])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_kernel_is_raised_and_leaves_nothing(numbers, out, error, threads):
    def failing(arrays, window, grid):
        if window.row >= 60:
            raise error
        return {"out": arrays["X"]}, {}

    item, cache = source(numbers[0]), gdal.GetCacheMax()
    with pytest.raises(type(error)), Staging() as staging:
        run_blocks(item.grid, {"X": item}, failing, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)}, staging,
                   Progress(), Settings(threads, 20))
    assert list(out.iterdir()) == []
    assert gdal.GetCacheMax() == cache
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_write_that_fails_stops_the_blocks_at_once(numbers, out, monkeypatch, threads):
    def full(self, window, array):
        raise OutputError("the disk is full")

    monkeypatch.setattr(RasterWriter, "write", full)
    item = source(numbers[0])
    with pytest.raises(OutputError) as caught, Staging() as staging:
        run_blocks(item.grid, {"X": item}, copy, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)}, staging,
                   Progress(), Settings(threads, 10))
    # while the error, and with it the run's frames, is still held
    assert caught.traceback
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    assert list(out.iterdir()) == []


def test_a_damaged_input_is_an_error_and_leaves_nothing(numbers, out):
    damaged = numbers[0].replace("x.tif", "damaged.tif")
    gdal.Translate(damaged, numbers[0], creationOptions=["COMPRESS=DEFLATE", "TILED=YES", "BLOCKXSIZE=64",
                                                         "BLOCKYSIZE=64"])
    content = bytearray(open(damaged, "rb").read())
    content[-3000:-2500] = bytes(500)
    with open(damaged, "wb") as stream:
        stream.write(content)
    item = source(damaged)
    with pytest.raises(InputError, match=r"damaged\.tif cannot be read"), Staging() as staging:
        run_blocks(item.grid, {"X": item}, copy, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)}, staging,
                   Progress(), Settings(2, 64))
    assert list(out.iterdir()) == []


def test_a_source_on_another_grid_is_refused(numbers, out):
    item = source(numbers[0])
    with pytest.raises(InputError, match="does not read on the grid"), Staging() as staging:
        run_blocks(GRID, {"X": item}, copy, {"out": OutputSpec(str(out / "o.tif"), "float32", -1)}, staging, Progress())


# what is written -------------------------------------------------------------------------------------------------

def write(spec, grid, values, order=None):
    """Write ``values`` through the writer in windows of 50 cells."""
    with Staging() as staging:
        writer = RasterWriter(spec, grid, staging)
        places = list(itertools.product(range(0, grid.height, 50), range(0, grid.width, 50)))
        for row, column in places if order is None else [places[i] for i in order]:
            part = values[..., row:row + 50, column:column + 50]
            writer.write(Window(row, part.shape[-2], column, part.shape[-1]), part)
        writer.close()
        staging.commit()


def test_nodata_colours_names_units_and_tags_are_in_the_file(tmp_path):
    grid = Grid(GRID.wkt, GRID.transform, 120, 90)
    codes = np.random.default_rng(2).choice([0, 11, 40], (90, 120)).astype("uint8")
    spec = OutputSpec(str(tmp_path / "c.tif"), "uint8", 0, ("rank",), ("",), {11: ("Cold", (10, 20, 30)),
                      40: ("Patches", (200, 0, 90))}, {"PTI_PROFILE": "defensible"}, ({"PTI_KIND": "categorical"},))
    write(spec, grid, codes)
    dataset = gdal.Open(spec.path)
    band = dataset.GetRasterBand(1)
    np.testing.assert_array_equal(band.ReadAsArray(), codes)
    assert band.GetNoDataValue() == 0 and band.GetDescription() == "rank"
    table = band.GetColorTable()
    assert table.GetColorEntry(11) == (10, 20, 30, 255) and table.GetColorEntry(40) == (200, 0, 90, 255)
    assert table.GetColorEntry(0)[3] == 0
    names = band.GetCategoryNames()
    assert (names[11], names[40], names[12], len(names)) == ("Cold", "Patches", "", 41)
    assert dataset.GetMetadataItem("PTI_PROFILE") == "defensible"
    assert band.GetMetadataItem("PTI_KIND") == "categorical"
    assert Grid(dataset.GetProjection(), dataset.GetGeoTransform(), 120, 90).same(grid)
    assert band.GetBlockSize() == [TILE, TILE]
    assert dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "DEFLATE"


def test_several_float_bands_keep_names_units_and_nodata(tmp_path):
    grid = Grid(GRID.wkt, GRID.transform, 120, 90)
    values = np.random.default_rng(2).normal(size=(2, 90, 120))
    values[:, 10:20] = np.nan
    spec = OutputSpec(str(tmp_path / "f.tiff"), "float32", -9999.0, ("PP range", "MAGT range"), ("%", "degC"))
    write(spec, grid, values)
    dataset = gdal.Open(spec.path)
    for number, (name, unit) in enumerate((("PP range", "%"), ("MAGT range", "degC")), start=1):
        band = dataset.GetRasterBand(number)
        assert (band.GetDescription(), band.GetUnitType(), band.GetNoDataValue()) == (name, unit, -9999)
        np.testing.assert_array_equal(read_raster(spec.path, number), values[number - 1].astype("float32"))


def test_the_bytes_do_not_depend_on_the_order_in_a_row_of_tiles(tmp_path):
    grid = Grid(GRID.wkt, GRID.transform, 120, 90)
    values = np.random.default_rng(2).normal(size=(90, 120))
    write(OutputSpec(str(tmp_path / "a.tif"), "float64", -1), grid, values)
    write(OutputSpec(str(tmp_path / "b.tif"), "float64", -1), grid, values, order=[5, 0, 3, 1, 4, 2])
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_large_rasters_become_bigtiff_and_small_ones_do_not(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(blocks, "call", lambda function, *arguments, **options: (
        given.append(options.get("options")), call(function, *arguments, **options))[1])
    with Staging() as staging:
        RasterWriter(OutputSpec(str(tmp_path / "x.tif"), "uint8", 0), GRID, staging).abandon()
    options = next(entry for entry in given if entry)
    for side, magic in ((600, b"II*\0"), (70_000, b"II+\0")):
        # the writer's own options, and no tiles, so that the large file is quickly made
        path = str(tmp_path / f"{side}.tif")
        dataset = gdal.GetDriverByName("GTiff").Create(path, side, side, 1, gdal.GDT_Byte,
                                                       options=[*options, "SPARSE_OK=TRUE"])
        del dataset
        with open(path, "rb") as stream:
            assert stream.read(4) == magic


def test_another_format_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"GeoTIFF; give .*x\.png a name that ends in \.tif"), Staging() as staging:
        RasterWriter(OutputSpec(str(tmp_path / "x.png"), "uint8", 0), GRID, staging)
    assert os.listdir(tmp_path) == []


def test_optional_outputs_are_not_made(numbers, out):
    item = source(numbers[0])
    with Staging() as staging:
        run_blocks(item.grid, {"X": item}, copy, {"out": OutputSpec(None, "float32", -1)}, staging, Progress())
        staging.commit()
    assert list(out.iterdir()) == []


def test_the_default_settings_use_all_cores_and_a_stated_budget():
    assert Settings().workers == os.cpu_count() and Settings(3).workers == 3
    assert Settings().memory_mb == DEFAULT_MEMORY_MB
