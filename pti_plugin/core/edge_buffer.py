"""Cells far enough inside the edge of their class, by true ground distance.

The edge of a class: every cell of another class, every cell without one, and everything beyond the raster. A cell is
inside where no edge cell's centre is nearer to its own centre than the buffer, on WGS 84. What is beyond the raster is
edge too, as nothing is known of it; a grid in degrees that goes all the way round the Earth has no edge at its seam.

For a tile of the grid, the cells nearer than a distance are intervals of columns, row by row. On a grid in degrees they
are the same all along a row and exact. On a projected one they follow from the tile's ground size of a cell in every
direction and by how much that varies round about: intervals that are surely too near, and some that may be. The few
cells that hang on the latter are measured. A cell's run of equal neighbours answers a whole interval at once.
"""

import importlib
from dataclasses import dataclass

import numpy as np

from . import sampling_numpy
from .blocks import Settings, ThreadExecutor
from .geodesic import geocentric_km, longest_chord_km

#: rows worked on at once; a multiple of every tile
STRIP = 256
#: side of the tiles of a projected grid on the ground, within these numbers of cells
_TILE_KM, _SMALLEST_TILE, _LARGEST_TILE = 64.0, 8, 128
#: by how much more than sampled the ground size of cells may vary: factor, and share of the size
_MARGIN, _LEAST_MARGIN = 1.5, 1e-4
#: share beyond which it varies too much to tell distances by
_TORN = 0.2


def kernels():
    """Return the compiled loops, or the plain ones where numba is missing."""
    try:
        return importlib.import_module(".sampling_numba", __package__)
    except ImportError:
        return sampling_numpy


@dataclass(frozen=True)
class Intervals:
    """The cells nearer than some distances; see sampling_numpy for the tables. ``torn``: tiles that have none."""

    outer_low: np.ndarray
    outer_high: np.ndarray
    inner_low: np.ndarray
    inner_high: np.ndarray
    torn: np.ndarray

    @property
    def reach(self):
        """Rows that the intervals reach up and down."""
        return self.outer_low.shape[2] // 2

    @property
    def side(self):
        """Columns that they reach to either side."""
        used = self.outer_low <= self.outer_high
        if not used.any():
            return 0
        return int(max(-self.outer_low[used].min(), self.outer_high[used].max(), 0))


class Ground:
    """Tiles of a grid, with the ground area of their cells and the cells that are near each other.

    ``tile``: rows and columns of a tile, tiles across; ``tiles_down``; ``areas``: km² of a cell of every tile, 0 where
    a tile has no place on the Earth; ``circle``: columns round the Earth, 0 where the grid does not close the circle.
    """

    def __init__(self, grid):
        self.grid = grid
        self.degrees = grid.is_geographic and grid.transform[2] == 0 == grid.transform[4]
        self.circle = self._circle() if self.degrees else 0
        if self.degrees:
            rows, columns = 1, grid.width
        else:
            rows = columns = self._tile_side()
        self.tiles_down = -(-grid.height // rows)
        self.tile = (rows, columns, -(-grid.width // columns))
        if self.degrees:
            self.areas = grid.cell_areas(0, grid.height, 0, 1)[:, 0] / 1e10
        else:
            self._centres = self._tile_centres()
            self._metric = self._metrics(*self._centres)
            e, f, g = self._metric
            self.areas = np.sqrt(np.nan_to_num(np.maximum(e * g - f * f, 0)))

    @property
    def tiles(self):
        """Number of tiles."""
        return self.tiles_down * self.tile[2]

    def _circle(self):
        columns = 360 / abs(self._degrees_a_column())
        return self.grid.width if abs(columns - self.grid.width) < 1e-3 else 0

    def _degrees_a_column(self):
        # the outer columns of a grid may lie on either side of the seam
        longitude, _ = self.grid.lonlat(np.array([0.0, 1.0]), np.full(2, self.grid.height / 2))
        return (longitude[1] - longitude[0] + 180) % 360 - 180

    def _tile_side(self):
        e, f, g = self._metrics(np.array([self.grid.width / 2]), np.array([self.grid.height / 2]))
        size = np.sqrt(np.sqrt(max(e * g - f * f, 1e-12))[0]) if np.isfinite(e + f + g).all() else 1.0
        side = 1 << max(round(np.log2(_TILE_KM / size)), 0)
        return int(np.clip(side, _SMALLEST_TILE, _LARGEST_TILE))

    def _tile_centres(self):
        rows, columns, across = self.tile
        y = (np.arange(self.tiles_down) * rows + np.minimum(np.arange(1, self.tiles_down + 1) * rows,
                                                            self.grid.height)) / 2
        x = (np.arange(across) * columns + np.minimum(np.arange(1, across + 1) * columns, self.grid.width)) / 2
        return tuple(part.ravel() for part in np.meshgrid(x, y))

    def _metrics(self, columns, rows):
        """Return km² a cell in (E, F, G) of the ground's metric at positions in cells."""
        ends = [self.places(columns + a, rows + b) for a, b in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
        along, down = ends[0] - ends[1], ends[2] - ends[3]
        return (along * along).sum(-1), (along * down).sum(-1), (down * down).sum(-1)

    def places(self, columns, rows):
        """Return geocentric coordinates in km of positions in cells, (…, 3), NaN off the Earth."""
        return geocentric_km(*self.grid.lonlat(columns, rows))

    def intervals(self, distances_km, used):
        """Return the Intervals of some distances (km, > 0; one kind each) for the tiles ``used`` (a mask)."""
        return self._row_intervals(distances_km) if self.degrees else self._tile_intervals(distances_km, used)

    def _row_intervals(self, distances_km):
        # the ground is the same all along a row: the distance depends on the rows and the difference of columns
        rows, step = self.grid.height, np.radians(abs(self._degrees_a_column()))
        _, latitude = self.grid.lonlat(np.full(2, 0.5), np.array([0.5, 1.5]))
        spacing = abs(latitude[1] - latitude[0])
        # a degree of latitude is never shorter than this
        reach = int(np.ceil(max(distances_km) / (110.57 * spacing)))
        offsets = np.arange(-reach, reach + 1)
        latitudes = latitude[0] + (latitude[1] - latitude[0]) * np.arange(-reach, rows + reach)
        place = geocentric_km(np.zeros(len(latitudes)), np.clip(latitudes, -90, 90))
        here, there = np.arange(rows)[:, None] + reach, np.arange(rows)[:, None] + reach + offsets
        high = np.empty((len(distances_km), rows, len(offsets)), dtype=np.int32)
        most = self.grid.width // 2 if self.circle else self.grid.width
        for kind, distance in enumerate(distances_km):
            chord2 = longest_chord_km(distance) ** 2
            rest = chord2 - (place[here, 0] - place[there, 0]) ** 2 - (place[here, 2] - place[there, 2]) ** 2
            with np.errstate(divide="ignore", invalid="ignore"):
                turn = np.arccos(np.clip(1 - rest / (2 * place[here, 0] * place[there, 0]), -1, 1)) / step
            # one on the limit counts as nearer
            half = np.minimum(np.floor(np.nan_to_num(turn, nan=most) + 1e-9), most)
            high[kind] = np.where(rest > 0, half, -1)
        low = np.where(high >= 0, -high, 0)
        return Intervals(low, high, low, high, np.zeros(rows, dtype=bool))

    def _tile_intervals(self, distances_km, used):
        used = np.flatnonzero(used)
        e, f, g = (part[used] for part in self._metric)
        variation = self._variation(used, max(distances_km))
        torn = np.ones(self.tiles, dtype=bool)
        torn[used] = ~(variation < _TORN)
        variation = np.where(torn[used], 0.0, variation)
        sound = np.isfinite(e * f * g) & (e * g - f * f > 0) & ~torn[used]
        e, f, g = np.where(sound, e, 1e12), np.where(sound, f, 0.0), np.where(sound, g, 1e12)
        furthest = max(distances_km) / (1 - variation)
        reach = int(np.ceil((furthest * np.sqrt(e / (e * g - f * f))).max())) if len(used) else 0
        offsets = np.arange(-reach, reach + 1)
        tables = [np.zeros((len(distances_km), self.tiles, len(offsets)), dtype=np.int32) for _ in range(4)]
        for table in tables[1::2]:
            table[:] = -1
        for kind, distance in enumerate(distances_km):
            for factor, (low, high) in zip((1 / (1 - variation), 1 / (1 + variation)), (tables[:2], tables[2:])):
                # E dx² + 2 F dx dy + G dy² < distance²
                root = (distance * factor[:, None]) ** 2 * e[:, None] - (e * g - f * f)[:, None] * offsets ** 2
                half = np.sqrt(np.maximum(root, 0))
                first = np.ceil((-f[:, None] * offsets - half) / e[:, None])
                last = np.floor((-f[:, None] * offsets + half) / e[:, None])
                low[kind][used] = np.where(root > 0, first, 0)
                high[kind][used] = np.where(root > 0, last, -1)
        return Intervals(*tables, torn)

    def _variation(self, used, reach_km):
        """Return by which share ground distances round a tile may differ from those by the metric at its centre."""
        e, f, g = (part[used] for part in self._metric)
        determinant = e * g - f * f
        with np.errstate(divide="ignore", invalid="ignore"):
            across = self.tile[1] / 2 + np.minimum(reach_km * np.sqrt(g / determinant), self.grid.width)
            down = self.tile[0] / 2 + np.minimum(reach_km * np.sqrt(e / determinant), self.grid.height)
        found = np.zeros(len(used))
        for a, b in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
            x = np.clip(self._centres[0][used] + a * across, 0.5, self.grid.width - 0.5)
            y = np.clip(self._centres[1][used] + b * down, 0.5, self.grid.height - 0.5)
            e1, f1, g1 = self._metrics(x, y)
            # largest and smallest ratio of squared lengths: eigenvalues of one metric relative to the other
            with np.errstate(divide="ignore", invalid="ignore"):
                half = (g * e1 - 2 * f * f1 + e * g1) / determinant / 2
                spread = np.sqrt(np.maximum(half * half - (e1 * g1 - f1 * f1) / determinant, 0))
                here = np.maximum(np.abs(np.sqrt(half + spread) - 1), np.abs(1 - np.sqrt(np.maximum(half - spread, 0))))
            found = np.fmax(found, np.where(np.isfinite(here), here, np.inf))
        return found * _MARGIN + _LEAST_MARGIN

    def counts(self, cells, progress):
        """Return how many cells of every class the tiles have, int32 (tiles, 256)."""
        loops, counts = kernels(), np.zeros((self.tiles, 256), dtype=np.int32)
        for row in range(0, self.grid.height, STRIP):
            progress.check()
            loops.tile_counts(cells[row:row + STRIP], row, self.tile, counts)
        return counts


def kinds_of(distances_km):
    """Return (kind of every class code, 256 of them, -1 for none; distinct distances > 0) of {code: km}."""
    distinct = sorted({distance for distance in distances_km.values() if distance > 0})
    kind = np.full(256, -1, dtype=np.int64)
    for code, distance in distances_km.items():
        if distance > 0:
            kind[code] = distinct.index(distance)
    return kind, distinct


def inside_edges(cells, ground, used, buffers_km, progress, settings=None):
    """Return (cells, number torn): ``cells`` with 0 wherever a cell is nearer to the edge than its class's buffer.

    ``cells``: uint8 classes of the whole grid of the Ground, 0 = none, codes up to 254; ``used``: mask of the tiles
    that have any; ``buffers_km``: {code: km}, 0 for no buffer. The number counts cells left out because the projection
    is torn round about them, so that distances cannot be told. Raises Cancelled.
    """
    kind, distances = kinds_of(buffers_km)
    if not distances:
        return cells.copy(), 0
    intervals = ground.intervals(distances, used)
    work = _Erosion(cells, ground, kind, distances, intervals)
    out, torn = np.zeros_like(cells), 0
    strips = range(0, ground.grid.height, STRIP)
    for row, (part, lost) in zip(strips, ThreadExecutor((settings or Settings()).workers).ordered(
            work.strip, strips, progress.check)):
        out[row:row + STRIP] = part
        torn += lost
        progress.set((row + len(part)) / ground.grid.height)
    return out, torn


class _Erosion:
    """The work of ``inside_edges`` on a strip of rows."""

    def __init__(self, cells, ground, kind, distances, intervals):
        self._cells, self._ground, self._kind, self._intervals = cells, ground, kind, intervals
        self._chords = longest_chord_km(np.array(distances))
        self._pad = (intervals.reach, intervals.side)
        self._loops = kernels()

    def strip(self, row):
        """Return (the strip's cells inside, number of cells in torn tiles) of the strip that begins at ``row``."""
        height = min(STRIP, len(self._cells) - row)
        own = self._cells[row:row + height]
        out = np.zeros_like(own)
        if not own.any():
            return out, 0
        padded = self._padded(row, height)
        left = np.empty(padded.shape, dtype=np.uint8 if 2 * self._pad[1] < 255 else np.int32)
        right = np.empty_like(left)
        self._loops.run_lengths(padded, left, right)
        tables = self._intervals
        self._loops.erode(padded, left, right, self._pad, row, self._ground.tile, self._kind, tables.torn,
                          tables.outer_low, tables.outer_high, tables.inner_low, tables.inner_high, out)
        rows, columns = np.nonzero(out == sampling_numpy.UNSURE)
        if len(rows):
            out[rows, columns] = np.where(self._measured(padded, row, rows, columns), own[rows, columns], 0)
        return out, self._torn(own, row)

    def _padded(self, row, height):
        """Return the strip with what is round it: 0 beyond the raster, what follows on a closed circle."""
        (reach, side), cells = self._pad, self._cells
        padded = np.zeros((height + 2 * reach, cells.shape[1] + 2 * side), dtype=np.uint8)
        top, bottom = max(row - reach, 0), min(row + height + reach, len(cells))
        part = padded[top - row + reach:bottom - row + reach]
        part[:, side:side + cells.shape[1]] = cells[top:bottom]
        if self._ground.circle and side:
            part[:, :side] = cells[top:bottom, cells.shape[1] - side:]
            part[:, side + cells.shape[1]:] = cells[top:bottom, :side]
        return padded

    def _torn(self, own, row):
        if not self._intervals.torn.any():
            return 0
        rows, columns = np.nonzero((own != 0) & (self._kind[own] >= 0))
        tile = self._ground.tile
        return int(self._intervals.torn[(rows + row) // tile[0] * tile[2] + columns // tile[1]].sum())

    def _measured(self, padded, row, rows, columns):
        """Return which unsure cells have no edge cell nearer than their buffer, by measuring to those in question."""
        tables = self._intervals
        cell, lines, along = self._loops.doubtful_pairs(
            padded, self._pad, row, rows, columns, self._ground.tile, self._kind, tables.outer_low, tables.outer_high,
            tables.inner_low, tables.inner_high)
        # every place is looked up once
        width, (reach, side) = padded.shape[1], self._pad
        wanted = np.zeros(padded.size, dtype=bool)
        own, other = ((down + reach) * width + across + side for down, across in (
            (rows[cell], columns[cell]), (lines, along)))
        wanted[own] = wanted[other] = True
        places = np.flatnonzero(wanted)
        number = np.cumsum(wanted, dtype=np.int32)
        place = self._ground.places(places % width - side + 0.5, places // width - reach + row + 0.5)
        chord2 = ((place[number[own] - 1] - place[number[other] - 1]) ** 2).sum(axis=1)
        # a place off the Earth has no distance, and so is too near
        codes = padded[rows + reach, columns + side]
        near = ~(chord2 >= self._chords[self._kind[codes[cell]]] ** 2)
        found = np.ones(len(rows), dtype=bool)
        found[cell[near]] = False
        return found
