"""A cancel does not wait for the end of a block: whatever computes for long asks between its steps."""

import threading
import time

import numpy as np
import pytest
import xgboost

from pti_plugin.core.common.cancellation import check_stopped, stopped_by
from pti_plugin.core.common.errors import Cancelled
from pti_plugin.core.mapping.applicability import Neighbours
from pti_plugin.core.mapping.tree_ensemble import read_ensemble
from pti_plugin.core.rasters.blocks import InlineExecutor, ThreadExecutor
from pti_plugin.core.rasters.grid import Grid, epsg_wkt
from pti_plugin.core.rasters.raster import Series, SourceReader, on_grid, source
from pti_plugin.core.series.corrections import METHODS, ONE_SEASON, slope_limits, step_change, trend_test
from pti_plugin.core.series.mann_kendall import engines, mann_kendall
from support import write_raster

LONGEST = 30.0


class StopAt:
    """Raises Cancelled at the ``number``-th question and counts them."""

    def __init__(self, number):
        self.number, self.asked = number, 0

    def __call__(self):
        self.asked += 1
        if self.asked >= self.number:
            raise Cancelled()


@pytest.mark.parametrize("executor", [ThreadExecutor(2), InlineExecutor()])
def test_a_task_under_way_stops_when_the_run_does(executor):
    stop, steps = threading.Event(), []

    def check():
        if stop.is_set():
            raise Cancelled()

    def task(number):
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            steps.append(number)
            if len(steps) == 5:
                stop.set()
            check_stopped()
            time.sleep(0.01)

    with pytest.raises(Cancelled):
        list(executor.ordered(task, range(2), check))
    # LONGEST would have been 3,000 steps
    assert len(steps) < 100


def test_a_task_stops_when_its_results_are_no_longer_wanted():
    ended = threading.Event()

    def task(number):
        try:
            for _ in range(3_000 * number):
                check_stopped()
                time.sleep(0.01)
        except Cancelled:
            ended.set()
            raise

    results = ThreadExecutor(2).ordered(task, range(3), lambda: None)
    assert next(results) is None
    results.close()
    assert ended.is_set()


def test_outside_of_a_run_nothing_is_stopped_and_contexts_nest():
    check_stopped()
    outer, inner = StopAt(9), StopAt(1)
    with stopped_by(outer):
        with pytest.raises(Cancelled), stopped_by(inner):
            check_stopped()
        check_stopped()
    check_stopped()
    assert (outer.asked, inner.asked) == (1, 1)


def _series(steps, cells):
    rng = np.random.default_rng(steps)
    values = rng.normal(size=(steps, cells)).round(1)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


LONG_STEPS = {
    **{f"trend, {method}": lambda method=method: trend_test(
        _series(24, 40_000), 1 if method in ONE_SEASON else 2, method) for method in METHODS if method != "original"},
    **{f"trend, {engine}": lambda engine=engine: mann_kendall(_series(96, 20_000), 1, True, engine)
       for engine in engines()},
    "limits of the slope": lambda: slope_limits(_series(60, 20_000), np.full(20_000, 900.0)),
    "step": lambda: step_change(_series(48, 60_000), np.zeros(60_000), 20),
}


@pytest.mark.parametrize("name", LONG_STEPS)
def test_arithmetic_of_many_cells_is_done_in_parts(name):
    work, stop = LONG_STEPS[name], StopAt(2)
    with pytest.raises(Cancelled), stopped_by(stop):
        work()
    assert stop.asked == 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_cell_gets_the_same_bits_alone_and_among_others(method, number):
    period = 1 if method in ONE_SEASON or method == "original" else 4
    values = _series(60, 40)
    together = trend_test(values, period, method)
    limits, step = slope_limits(values, together.variance, period), step_change(values, together.slope, 24, period)
    for first in range(0, 40 - number + 1, number):
        part = slice(first, first + number)
        alone = trend_test(np.ascontiguousarray(values[:, part]), period, method)
        for name in ("s", "variance", "z", "p", "slope"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(together, name)[part], err_msg=name)
        for ours, all_of_them in ((slope_limits(values[:, part], alone.variance, period), limits),
                                  (step_change(values[:, part], alone.slope, 24, period), step)):
            np.testing.assert_array_equal(ours, np.array(all_of_them)[:, part])


def test_readers_ask_at_every_layer_and_every_tile_that_is_warped(tmp_path):
    paths = [write_raster(tmp_path / f"{i}.tif", np.full((300, 600), i, dtype=np.float32)) for i in range(4)]
    stop = StopAt(4)
    with pytest.raises(Cancelled), stopped_by(stop):
        SourceReader().read_series(Series(tuple(source(path) for path in paths)), 0, 300, 0, 600)
    item = source(paths[0])
    x, dx, _, y, _, dy = item.grid.transform
    finer = Grid(epsg_wkt(6931), (x, dx / 2, 0.0, y, 0.0, dy / 2), 1200, 600)
    stop = StopAt(5)
    with pytest.raises(Cancelled), stopped_by(stop):
        SourceReader().read(on_grid(item, finer), 0, 600, 0, 1200)
    assert stop.asked == 5


def test_votes_and_distances_ask_between_their_parts():
    rng = np.random.default_rng(3)
    x, labels = rng.random((1200, 3)), rng.integers(0, 3, 1200)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2},
                            xgboost.DMatrix(x, labels), 2)
    ensemble, _ = read_ensemble([booster.save_raw("ubj")] * 3)
    stop = StopAt(3)
    with pytest.raises(Cancelled):
        ensemble.votes(np.asarray(x, dtype=np.float32), stop)
    from scipy import spatial
    stop = StopAt(2)
    with pytest.raises(Cancelled), stopped_by(stop):
        Neighbours(spatial, x, np.ones(3)).nearest(x)
