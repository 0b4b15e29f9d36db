"""State of the whole process that this plugin changes for a while: GDAL's block cache and options, open files.

Inside QGIS it belongs to others too. So options are set for the calling thread only, and what GDAL or the system has
only once is counted: runs that overlap share one change, and the last of them gives back what stood before the first.
Memory is only asked for.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from osgeo import gdal

from ..common.errors import PtiError

#: most bytes of GDAL's block cache while blocks are read, and the least; its default is a share of the machine's memory
CACHE_BYTES, LEAST_CACHE_BYTES = 192 << 20, 32 << 20
#: bytes that a run must be able to take beside what QGIS has: with less, libraries that it calls (BLAS, XGBoost,
#: Python's threads) end the process or wait for ever instead of saying so
LEAST_MEMORY = 1 << 30


class _Shared:
    """One value of the process that is another one while anybody needs it."""

    def __init__(self, get: Callable[[], int], put: Callable[[int], None]):
        self._get, self._put = get, put
        self._lock, self._users = threading.Lock(), 0
        self._before, self._ours = 0, 0

    def take(self, value: int) -> None:
        """Set the value for one more user; the first one's holds for all."""
        with self._lock:
            if not self._users:
                self._before = self._get()
                self._put(value)
                self._ours = self._get()
            self._users += 1

    def give_back(self) -> None:
        """Put back what stood before the first user, once the last is done and nobody else has set it meanwhile."""
        with self._lock:
            self._users -= 1
            if not self._users and self._get() == self._ours:
                self._put(self._before)


def _open_files() -> int:
    import resource
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _set_open_files(number: int) -> None:
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


_cache = _Shared(gdal.GetCacheMax, gdal.SetCacheMax)
_files = _Shared(_open_files, _set_open_files)


def require_memory() -> None:
    """Raise PtiError where the process may not take LEAST_MEMORY more, as under a limit (``ulimit -v``).

    Nothing is taken. Windows reserves what is asked for, so it is not asked.
    """
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return
    try:
        mmap.mmap(-1, LEAST_MEMORY, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise PtiError(f"There is not enough memory: a run needs {LEAST_MEMORY >> 20} MB beside what QGIS has already. "
                       f"Close other programs, or raise the limit on memory (ulimit -v), and run again.") from error


@contextmanager
def bounded_cache(memory_mb: int = CACHE_BYTES >> 20) -> Iterator[None]:
    """Context in which GDAL's block cache holds CACHE_BYTES, or as much as blocks may take if that is less."""
    _cache.take(min(max(memory_mb << 20, LEAST_CACHE_BYTES), CACHE_BYTES))
    try:
        yield
    finally:
        _cache.give_back()


@contextmanager
def gdal_options(**options: str | None) -> Iterator[None]:
    """Context in which GDAL's configuration options have these values, for the calling thread only."""
    before = {name: gdal.GetThreadLocalConfigOption(name) for name in options}
    for name, value in options.items():
        gdal.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            gdal.SetThreadLocalConfigOption(name, value)


class OpenFiles:
    """Leave for more open files than the system's usual 1,024, where it can be had, until ``close``.

    ``number`` of files may be open while it lasts.
    """

    def __init__(self, wanted: int):
        self.number, self._taken = wanted, False
        try:
            import resource
        except ImportError:
            # Windows: what the C library allows is not to be asked for
            self.number = min(wanted, 512)
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return
        try:
            # also where it is high enough by now: whoever raised it may be done first
            _files.take(max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)))
            self._taken = True
        except (OSError, ValueError):
            pass
        self.number = min(wanted, _open_files())

    def close(self) -> None:
        """Give it back; a second call does nothing."""
        if self._taken:
            self._taken = False
            _files.give_back()
