"""Cells far enough inside the edge of their class, by true ground distance.

The edge of a class: every cell of another class, every cell without one, and everything beyond the raster. A cell is
inside where no edge cell's centre is nearer to its own centre than the buffer, on WGS 84. What is beyond the raster is
edge too, as nothing is known of it; a grid in degrees that goes all the way round the Earth has no edge at its seam.

For a tile of the grid, the cells nearer than a distance are intervals of columns, row by row. On a grid in degrees they
are the same all along a row and exact. On a projected one they follow from the tile's ground size of a cell in every
direction and by how much that varies round about: intervals that are surely too near, and some that may be. The few
cells that hang on the latter are measured. Intervals of neighbouring rows overlap, so a cell of another class in them
shows as a change of class within a row or from a row to the next; the compiled loops look for those 64 cells at once.
"""

import importlib
from dataclasses import dataclass

import numpy as np

from ..rasters.blocks import Settings, ThreadExecutor
from ..rasters.geodesic import geocentric_km, longest_chord_km
from . import sampling_numpy

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
    work = _Erosion(cells, ground, used, kind, distances)
    torn = 0
    strips = range(0, ground.grid.height, STRIP)
    for row, lost in zip(strips, ThreadExecutor((settings or Settings()).workers).ordered(
            work.strip, strips, progress.check)):
        torn += lost
        progress.set(min(row + STRIP, ground.grid.height) / ground.grid.height)
    return work.out, torn


def _linked(low, high, wider):
    """Return intervals (kinds, tiles, offsets) of which neighbours overlap, all linked with the middle one.

    Rather ``wider`` ones, so that nothing is left out, or narrower ones, so that nothing is added.
    """
    filled, overlap = low <= high, np.maximum(low[..., 1:], low[..., :-1]) <= np.minimum(high[..., 1:], high[..., :-1])
    # from a filled one to the next, but for the empty ones at both ends
    changes = np.diff(filled, axis=2, prepend=False, append=False).sum(axis=2)
    if (overlap | ~filled[..., 1:] | ~filled[..., :-1]).all() and (changes <= 2).all():
        return low, high
    low, high, middle = low.copy(), high.copy(), low.shape[2] // 2
    for direction in (1, -1):
        last = low.shape[2] - 1 if direction > 0 else 0
        for at in range(middle + direction, last + direction, direction):
            # places of the interval before and of this one
            before_low, before_high, this_low, this_high = (
                part[..., place] for place in (at - direction, at) for part in (low, high))
            linked = before_low <= before_high
            filled = this_low <= this_high
            if wider:
                beyond = np.s_[..., at + 1:] if direction > 0 else np.s_[..., :at]
                gap = linked & ~filled & (low[beyond] <= high[beyond]).any(axis=-1)
                this_low[gap], this_high[gap] = before_low[gap], before_high[gap]
                linked &= filled
                np.copyto(this_low, np.minimum(this_low, before_high), where=linked)
                np.copyto(this_high, np.maximum(this_high, before_low), where=linked)
            else:
                cut = ~linked | (this_low > before_high) | (this_high < before_low)
                this_low[cut], this_high[cut] = 0, -1
    return low, high


class _Erosion:
    """The work of ``inside_edges`` on a strip of rows; ``out`` holds the cells inside."""

    def __init__(self, cells, ground, used, kind, distances):
        self._cells, self._ground, self._kind = cells, ground, kind
        self._chords = longest_chord_km(np.array(distances))
        intervals = ground.intervals(distances, used)
        self._used, self._torn = used, intervals.torn & used
        self._outer = _linked(intervals.outer_low, intervals.outer_high, True)
        self._inner = _linked(intervals.inner_low, intervals.inner_high, False)
        self._pad = (intervals.reach, max(intervals.side, -int(self._outer[0].min()), int(self._outer[1].max())))
        self._loops = kernels()
        self.out = np.zeros_like(cells)

    def strip(self, row):
        """Fill the strip that begins at ``row``; return how many of its cells lie in torn tiles."""
        ground, own, out = self._ground, self._cells[row:row + STRIP], self.out[row:row + STRIP]
        rows, _, across = ground.tile
        if not self._used[row // rows * across:-(-(row + STRIP) // rows) * across].any():
            return 0
        rows, columns = self._loops.erode(self._cells, row, self._pad, ground.circle, ground.tile, self._kind,
                                          self._torn, *self._outer, *self._inner, out)
        if len(rows):
            near = self._near(rows + row, columns)
            out[rows[near], columns[near]] = 0
        return self._lost(own, row)

    def _lost(self, own, row):
        if not self._torn.any():
            return 0
        rows, columns = np.nonzero((own != 0) & (self._kind[own] >= 0))
        tile = self._ground.tile
        return int(self._torn[(rows + row) // tile[0] * tile[2] + columns // tile[1]].sum())

    def _near(self, rows, columns):
        """Return which unsure cells have an edge cell nearer than their buffer, by measuring to those in question."""
        ground = self._ground
        cell, lines, along = self._loops.doubtful_pairs(self._cells, rows, columns, ground.tile, self._kind,
                                                        *self._outer, *self._inner)
        # every place is looked up once; they may lie beyond the grid
        (reach, side), wide = self._pad, self._cells.shape[1] + 2 * self._pad[1]
        places, number = np.unique(np.concatenate([
            (down + reach) * wide + across + side for down, across in ((rows[cell], columns[cell]), (lines, along))]),
            return_inverse=True)
        place = ground.places(places % wide - side + 0.5, places // wide - reach + 0.5)
        chord2 = ((place[number[:len(cell)]] - place[number[len(cell):]]) ** 2).sum(axis=1)
        found = np.zeros(len(rows), dtype=bool)
        # a place off the Earth has no distance, and so is too near
        found[cell[~(chord2 >= self._chords[self._kind[self._cells[rows[cell], columns[cell]]]] ** 2)]] = True
        return found
