"""The block engine: reads many rasters window by window, computes in parallel, writes tiled GeoTIFFs.

A block's work is a ``BlockTask``: a picklable description with a plain function of arrays, so what runs the tasks
(threads here) can be replaced. Results are consumed in block order and tallies are integers, so the output does not
depend on the block size or on the number of workers.
"""

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from osgeo import gdal

from ..common.cancellation import stopped_by
from ..common.errors import Cancelled, InputError, OutputError
from .gdal_errors import GdalErrors, call, output_error
from .grid import Grid
from .process_state import bounded_cache
from .raster import Series, SourceReader

#: side of the tiles of the rasters written
TILE = 256
#: memory for the arrays of all blocks under way, MiB
DEFAULT_MEMORY_MB = 512
#: nodata of the floating point rasters written
FLOAT_NODATA = -9999.0

#: GDAL drivers on the HDF4 and HDF5 libraries
SINGLE_THREADED = ("netCDF", "HDF4", "HDF4Image", "HDF5", "HDF5Image")

_GDAL_TYPES = {"uint8": gdal.GDT_Byte, "int16": gdal.GDT_Int16, "uint16": gdal.GDT_UInt16,
               "int32": gdal.GDT_Int32, "float32": gdal.GDT_Float32, "float64": gdal.GDT_Float64}


@dataclass(frozen=True)
class Settings:
    """How to run: ``threads`` (0 = all cores), ``block_size`` in cells (0 = from the files), ``memory_mb``."""

    threads: int = 0
    block_size: int = 0
    memory_mb: int = DEFAULT_MEMORY_MB

    @property
    def workers(self):
        """Number of threads to use."""
        return self.threads or os.cpu_count() or 1


@dataclass(frozen=True)
class Window:
    """A rectangle of cells: first row and column, number of rows and columns."""

    row: int
    rows: int
    column: int
    columns: int


@dataclass(frozen=True)
class BlockTask:
    """One block's work: read ``sources`` (role → Source or list of Sources) and call ``kernel``.

    ``kernel(arrays, window, grid)`` gets {role: array, or list of arrays} of the window widened by ``overlap`` cells
    on every side (of a Series with ``group``: a function that reads some of its layers), and returns ({output: array
    of the window}, {tally: Counter}).
    """

    kernel: object
    sources: dict
    window: Window
    grid: Grid
    overlap: int = 0


@dataclass
class OutputSpec:
    """One raster to write. ``bands``: names of the bands; arrays have shape (rows, columns) or (bands, rows, columns).

    ``colours``: {code: (label, (r, g, b))} for class rasters. Floating point arrays use NaN for nodata and get
    ``nodata`` in the file. ``part`` (start, stop) are the places of the bands that this run gives, where a file of many
    bands is made in several runs, the one that starts at 0 first. ``working``: it is read back in the same run and
    dropped, so it is packed for speed.
    """

    path: str
    dtype: str
    nodata: float
    bands: tuple = ("",)
    units: tuple = ()
    colours: dict = field(default_factory=dict)
    metadata: dict = field(default_factory=dict)
    band_metadata: tuple = ()
    part: tuple = ()
    working: bool = False

    @property
    def places(self):
        """Places of the bands that this run gives."""
        return range(*self.part) if self.part else range(len(self.bands))


_local = threading.local()


def run_task(task):
    """Read and compute one block; returns (outputs, tallies). Keeps one reader a thread."""
    reader = getattr(_local, "reader", None)
    if reader is None:
        reader = _local.reader = SourceReader(os.cpu_count() or 1)
    window, halo = task.window, task.overlap
    place = (window.row - halo, window.rows + 2 * halo, window.column - halo, window.columns + 2 * halo)
    arrays = {}
    for role, item in task.sources.items():
        if isinstance(item, Series) and item.group:
            arrays[role] = partial(_read_group, reader, item, place)
        elif isinstance(item, Series):
            arrays[role] = reader.read_series(item, *place)
        elif isinstance(item, (list, tuple)):
            arrays[role] = [reader.read(one, *place) for one in item]
        else:
            arrays[role] = reader.read(item, *place)
    return task.kernel(arrays, window, task.grid)


def _read_group(reader, series, place, first, last):
    return reader.read_series(replace(series, items=series.items[first:last]), *place)


def _close_reader():
    reader = getattr(_local, "reader", None)
    if reader is not None:
        reader.close()
        _local.reader = None


class ThreadExecutor:
    """Runs tasks in threads and yields results in the order of the tasks, a few tasks ahead of the consumer."""

    def __init__(self, workers):
        self.workers = workers

    def ordered(self, function, tasks, check):
        """Yield ``function(task)`` for every task; ``check()`` is called while waiting and may raise to stop.

        Tasks under way are stopped where they ask (``check_stopped``) when the consumer goes no further.
        """
        tasks, over = iter(tasks), threading.Event()

        def watched(task):
            with stopped_by(lambda: _refuse_to_go_on(over)):
                return function(task)

        with ThreadPoolExecutor(self.workers) as pool:
            pending = deque()
            try:
                for task in tasks:
                    pending.append(pool.submit(watched, task))
                    if len(pending) > self.workers:
                        yield self._wait(pending.popleft(), check)
                while pending:
                    yield self._wait(pending.popleft(), check)
            finally:
                over.set()
                for future in pending:
                    future.cancel()

    @staticmethod
    def _wait(future, check):
        while True:
            check()
            try:
                return future.result(timeout=0.1)
            except FutureTimeout:
                if future.done():
                    return future.result()


def _refuse_to_go_on(over):
    if over.is_set():
        raise Cancelled()


class InlineExecutor:
    """Runs tasks one after the other on the calling thread, for formats whose library is not made for threads."""

    @staticmethod
    def ordered(function, tasks, check):
        """Yield ``function(task)`` for every task, calling ``check()`` between them and where they ask."""
        for task in tasks:
            check()
            with stopped_by(check):
                result = function(task)
            yield result


def plan_windows(grid, sources, settings, bytes_per_cell):
    """Return the windows of a run, chosen from the files' block layout and the memory budget.

    Striped files are read in wide, low windows, tiled ones in whole tiles, netCDF and HDF chunk by chunk;
    ``bytes_per_cell`` is what one cell of one block costs in memory. Windows come in row order, those smaller than a
    tile tile by tile.
    """
    if settings.block_size:
        height = width = settings.block_size
    else:
        budget = max(settings.memory_mb << 20, 1 << 20) // (settings.workers + 1) // max(bytes_per_cell, 1)
        budget = max(min(budget, 1 << 22), TILE)
        striped = [item for item in sources if item.target is None and item.block[0] >= grid.width > 2 * TILE
                   and item.block[1] < TILE]
        chunked = [item for item in sources if item.target is None and item.driver in SINGLE_THREADED
                   and item.block[1] > 1 and 4096 <= item.block[0] * item.block[1] <= budget]
        if len(chunked) * 2 > len(sources):
            # a chunk may hold all times, and the library unpacks it for every layer anew unless it is alone in use
            width, height = chunked[0].block
        elif len(striped) * 2 > len(sources):
            width = grid.width
            height = max(budget // width, 1)
            if height >= TILE:
                height = height // TILE * TILE
        else:
            side = max(int(budget ** 0.5), 16)
            # whole tiles, or a whole number of windows to a tile: a window across tiles decodes all it touches
            side = side // TILE * TILE if side >= TILE else 1 << side.bit_length() - 1
            height = width = min(side, 4 * TILE)
    windows = [Window(row, min(height, grid.height - row), column, min(width, grid.width - column))
               for row in range(0, grid.height, height) for column in range(0, grid.width, width)]
    if TILE % height == 0 and TILE % width == 0:
        # a tile that was decoded or warped for one window is at hand for the next
        windows.sort(key=lambda window: (window.row // TILE, window.column // TILE, window.row, window.column))
    return windows


def _layers(item):
    if isinstance(item, Series):
        return item.items
    return item if isinstance(item, (list, tuple)) else [item]


def all_read(item):
    """Return the layers of an input and the class rasters that leave cells of them out."""
    layers = list(_layers(item))
    exclusions = dict.fromkeys(layer.exclusion for layer in layers if layer.exclusion is not None)
    return layers + [exclusion.source for exclusion in exclusions]


def _bytes_at_once(item):
    # single-precision series are read straight into their array, other layers through copies
    layers = getattr(item, "group", 0) or len(_layers(item))
    return (4 if getattr(item, "single", False) else 12) * layers


def run_blocks(grid, sources, kernel, outputs, staging, progress, settings=None, overlap=0, extra_bytes=0,
               executor=None):
    """Run ``kernel`` over all blocks of ``grid`` and stage the rasters of ``outputs``.

    ``sources``: {role: Source or list of Sources}, all reading on ``grid``. ``outputs``: {name: OutputSpec}; a spec
    whose path is empty is not written. ``extra_bytes``: what the kernel needs a cell beyond inputs and outputs.
    Returns the tallies of all blocks, {name: Counter, or another thing with ``update``}, put together in block order.
    Raises InputError, OutputError, Cancelled.
    """
    settings = settings or Settings()
    flat = [one for item in sources.values() for one in all_read(item)]
    for item in flat:
        if item.target is None and not item.grid.same(grid) or item.target is not None and not item.target.same(grid):
            raise InputError(f"{item.name} does not read on the grid of the run.")
    wanted = {name: spec for name, spec in outputs.items() if spec.path}
    cell = (sum(map(_bytes_at_once, sources.values())) + 8 * sum(len(spec.places) for spec in wanted.values())
            + extra_bytes)
    windows = plan_windows(grid, flat, settings, cell)
    tasks = (BlockTask(kernel, sources, window, grid, overlap) for window in windows)
    if executor is None:
        threaded = not any(item.driver in SINGLE_THREADED for item in flat)
        executor = ThreadExecutor(settings.workers) if threaded else InlineExecutor()
    for note in dict.fromkeys(item.encoding.note for item in flat):
        if note:
            progress.warn(note)
    tallies = {}
    writers = {}
    with bounded_cache(settings.memory_mb):
        try:
            for name, spec in wanted.items():
                writers[name] = RasterWriter(spec, grid, staging)
            total = grid.width * grid.height
            done = 0
            # closed at once when a write fails, so that no block goes on behind the error
            with closing(executor.ordered(run_task, tasks, progress.check)) as results:
                for window, (arrays, counts) in zip(windows, results):
                    for name, writer in writers.items():
                        writer.write(window, arrays[name])
                    for name, tally in counts.items():
                        if name in tallies:
                            tallies[name].update(tally)
                        else:
                            tallies[name] = tally
                    done += window.rows * window.columns
                    progress.set(done / total)
            for writer in writers.values():
                writer.close()
        finally:
            for writer in writers.values():
                writer.abandon()
            _close_reader()
    return tallies


class RasterWriter:
    """Writes one tiled, compressed GeoTIFF from blocks of any size that arrive in row order.

    Blocks are gathered into whole rows of tiles, so the file's bytes do not depend on the blocks.
    """

    def __init__(self, spec, grid, staging):
        if not spec.path.lower().endswith((".tif", ".tiff")):
            raise OutputError(f"PTI writes rasters as GeoTIFF; give {spec.path} a name that ends in .tif.")
        self._spec, self._grid = spec, grid
        self._strips = {}
        self._next = 0
        self._path = spec.path
        if spec.places.start:
            self._partial = staging.partial(spec.path)
            self._dataset, failure = call(gdal.OpenEx, self._partial, gdal.OF_RASTER | gdal.OF_UPDATE)
        else:
            self._partial = staging.stage(spec.path)
            self._dataset, failure = self._created()
        if self._dataset is None:
            raise output_error(spec.path, failure)

    def _created(self):
        spec, grid = self._spec, self._grid
        floating = spec.dtype.startswith("float")
        # left alone, GDAL labels the fourth of four bands of bytes as the alpha band of a picture
        labels = ["PHOTOMETRIC=MINISBLACK", "ALPHA=NO"] if len(spec.bands) in (3, 4) and spec.dtype == "uint8" else []
        options = ["TILED=YES", f"BLOCKXSIZE={TILE}", f"BLOCKYSIZE={TILE}", "COMPRESS=DEFLATE", "INTERLEAVE=BAND",
                   "BIGTIFF=IF_SAFER", f"PREDICTOR={3 if floating else 1 if spec.colours or spec.working else 2}",
                   f"ZLEVEL={1 if spec.working else 6}", *labels]
        driver = gdal.GetDriverByName("GTiff")
        dataset, failure = call(driver.Create, self._partial, grid.width, grid.height, len(spec.bands),
                                _GDAL_TYPES[spec.dtype], options=options)
        if dataset is None:
            return None, failure
        dataset.SetGeoTransform(grid.transform)
        dataset.SetProjection(grid.wkt)
        dataset.SetMetadata({key: str(value) for key, value in spec.metadata.items()})
        for i, name in enumerate(spec.bands):
            band = dataset.GetRasterBand(i + 1)
            band.SetNoDataValue(spec.nodata)
            if name:
                band.SetDescription(name)
            if i < len(spec.units) and spec.units[i]:
                band.SetUnitType(spec.units[i])
            if i < len(spec.band_metadata):
                band.SetMetadata({key: str(value) for key, value in spec.band_metadata[i].items()})
        if spec.colours:
            self._set_colours(dataset.GetRasterBand(1))
        return dataset, failure

    def _set_colours(self, band):
        colours, names = gdal.ColorTable(), [""] * (max(self._spec.colours) + 1)
        for code, (label, rgb) in self._spec.colours.items():
            if code >= 0:
                colours.SetColorEntry(int(code), (*rgb, 255))
                names[code] = label
        if self._spec.dtype == "uint8":
            if 0 <= self._spec.nodata <= 255 and int(self._spec.nodata) not in self._spec.colours:
                colours.SetColorEntry(int(self._spec.nodata), (0, 0, 0, 0))
            band.SetColorTable(colours)
        band.SetCategoryNames(names)

    def write(self, window, array):
        """Take a block; every row of tiles that it completes goes to the file."""
        array = np.asarray(array)
        if array.ndim == 2:
            array = array[None]
        if array.dtype.kind == "f":
            self._refuse_overflow(array)
            array = np.where(np.isnan(array), self._spec.nodata, array)
        array = array.astype(self._spec.dtype, copy=False)
        row = window.row
        while row < window.row + window.rows:
            index = row // TILE
            top = index * TILE
            bottom = min(top + TILE, self._grid.height)
            last = min(bottom, window.row + window.rows)
            strip = self._strips.get(index)
            if strip is None:
                strip = self._strips[index] = [
                    np.empty((array.shape[0], bottom - top, self._grid.width), dtype=self._spec.dtype),
                    (bottom - top) * self._grid.width]
            strip[0][:, row - top:last - top, window.column:window.column + window.columns] = \
                array[:, row - window.row:last - window.row]
            strip[1] -= (last - row) * window.columns
            row = last
        while self._next in self._strips and self._strips[self._next][1] == 0:
            self._flush(self._next * TILE, self._strips.pop(self._next)[0])
            self._next += 1

    def _refuse_overflow(self, array):
        """Raise InputError for numbers that the file's type would hold as infinity."""
        if array.dtype == np.float64 and self._spec.dtype == "float32":
            beyond = np.abs(array) > np.finfo(np.float32).max
            if beyond.any():
                raise InputError(f"{self._path} would have to hold {array[beyond][0]:.6g}, which is beyond what a "
                                 f"single-precision raster holds. Check the scale and the nodata value of the inputs.")

    def _flush(self, row, strip):
        with GdalErrors() as errors:
            try:
                for place, layer in zip(self._spec.places, strip):
                    band = self._dataset.GetRasterBand(place + 1)
                    band.WriteArray(layer, 0, row)
                    band.FlushCache()
            except RuntimeError as error:
                errors.first = errors.first or str(error)
        if errors.first:
            raise output_error(self._path, errors.first)

    def close(self):
        """Finish the file; raises OutputError where the last bytes cannot be written or read back."""
        with GdalErrors() as errors:
            try:
                self._dataset.FlushCache()
            except RuntimeError as error:
                errors.first = errors.first or str(error)
            self._dataset = None
        if errors.first:
            raise output_error(self._path, errors.first)
        dataset, failure = call(gdal.OpenEx, self._partial, gdal.OF_RASTER)
        if dataset is None:
            raise output_error(self._path, failure)
        band = dataset.GetRasterBand(self._spec.places.stop)
        data, failure = call(band.ReadAsArray, 0, self._grid.height - 1, self._grid.width, 1)
        if data is None or failure:
            raise output_error(self._path, failure)

    def abandon(self):
        """Let go of the file if it is still open; the staging removes it."""
        if self._dataset is not None:
            with GdalErrors():
                self._dataset = None
