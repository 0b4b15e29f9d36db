"""What belongs to the whole process is given back, however runs overlap."""

import subprocess
import sys
import threading

import pytest
from osgeo import gdal

from pti_plugin.core.rasters.process_state import CACHE_BYTES, LEAST_CACHE_BYTES, bounded_cache, gdal_options
from support import ROOT


@pytest.fixture
def cache():
    """Another cache than the plugin's, as QGIS has it."""
    usual = gdal.GetCacheMax()
    gdal.SetCacheMax(77 << 20)
    yield 77 << 20
    gdal.SetCacheMax(usual)


def test_interleaved_runs_give_the_cache_back(cache):
    first, second = bounded_cache(), bounded_cache()
    first.__enter__()
    second.__enter__()
    assert gdal.GetCacheMax() == CACHE_BYTES
    # the one that began first ends first: what it found is not put back under the other
    first.__exit__(None, None, None)
    assert gdal.GetCacheMax() == CACHE_BYTES
    second.__exit__(None, None, None)
    assert gdal.GetCacheMax() == cache


@pytest.mark.parametrize(("memory_mb", "size"), [
    (512, CACHE_BYTES), (192, CACHE_BYTES), (191, 191 << 20), (64, 64 << 20), (32, LEAST_CACHE_BYTES),
    (16, LEAST_CACHE_BYTES)])
def test_a_run_of_little_memory_has_a_small_cache(cache, memory_mb, size):
    with bounded_cache(memory_mb):
        assert gdal.GetCacheMax() == size
    assert gdal.GetCacheMax() == cache


def test_many_threads_and_failures_give_the_cache_back(cache):
    barrier = threading.Barrier(8)

    def run(number):
        barrier.wait()
        for _ in range(200):
            try:
                with bounded_cache():
                    assert gdal.GetCacheMax() == CACHE_BYTES
                    if number % 2:
                        raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gdal.GetCacheMax() == cache


def test_what_somebody_else_sets_meanwhile_stays(cache):
    with bounded_cache():
        gdal.SetCacheMax(99 << 20)
    assert gdal.GetCacheMax() == 99 << 20


def test_options_are_those_of_the_thread_only():
    seen = []
    with gdal_options(OGR_CURRENT_DATE="2000-01-01T00:00:00.000Z"):
        other = threading.Thread(target=lambda: seen.append(gdal.GetConfigOption("OGR_CURRENT_DATE")))
        other.start()
        other.join()
        assert gdal.GetConfigOption("OGR_CURRENT_DATE") == "2000-01-01T00:00:00.000Z"
    assert seen == [None] and gdal.GetConfigOption("OGR_CURRENT_DATE") is None


LIMITS = """
import resource
from pti_plugin.core.rasters.process_state import OpenFiles
limit = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]
resource.setrlimit(resource.RLIMIT_NOFILE, (600, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
one, two = OpenFiles(900), OpenFiles(900)
assert one.number == two.number == 900 == limit()
one.close()
one.close()
assert limit() == 900
two.close()
assert limit() == 600
assert OpenFiles(500).number == 500
"""


def test_the_limit_of_open_files_is_given_back_by_the_last():
    pytest.importorskip("resource")
    # in a process of its own: readers that other tests left open need the limit too
    subprocess.run([sys.executable, "-c", LIMITS], cwd=ROOT, check=True, timeout=120)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of this kind")
def test_a_process_that_may_take_little_memory_more_is_told_before_the_work():
    program = """
import resource
from pathlib import Path
from pti_plugin.core.common.errors import PtiError
from pti_plugin.core.rasters.process_state import LEAST_MEMORY, require_memory
for more, fits in ((LEAST_MEMORY * 2, True), (LEAST_MEMORY // 2, False)):
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + more, resource.RLIM_INFINITY))
    try:
        require_memory()
        assert fits
    except PtiError as error:
        assert not fits and "a run needs 1024 MB beside what QGIS has" in str(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
