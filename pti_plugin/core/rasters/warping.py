"""Bringing the cells of a source to a window of another grid: which source cells are read, and how they are mixed.

GDAL's own warper has no part in it, so that a map does not depend on GDAL's version, and a cell gets a value only from
source cells that were found to lie there. A cell's outline is the quadrilateral of its four corners carried to the
source, with straight sides; the share of a source cell is the part of its area within.

near        the source cell that holds the centre
mode        the class with the largest share. Shares that differ by less than TIE of a cell (of the source or of the
            target, whichever is smaller) count as equal: then the class at the centre is taken where it is one of them,
            else the lowest code
bilinear    between the four source cells round the centre
cubic       between the sixteen round the centre, by Keys' (1981) convolution with a = -1/2; where one of them has no
            data, bilinear
average     the mean of the source cells, by their shares
min, max    the lowest and the highest of them
med         their median by shares, the mean of the two middle ones where it lies between two

A cell whose centre lies beyond the edges of the source has no value. Source cells without data take no part: any other
cell has a value where any of its outline lies on data, or with near, bilinear and cubic where the source cell that
holds its centre has data. A cell whose outline has no area or is torn
apart by an interruption of the source's projection has the value at its centre.
"""

import importlib

import numpy as np

from ..common.cancellation import check_stopped

#: what stands in for the outline of a cell that an interruption of the source's projection tears apart
AT_CENTRE = {"mode": "near", "average": "bilinear", "min": "near", "max": "near", "med": "near"}
#: source cells that are mixed round a centre, along a side
SUPPORT = {"near": 1, "bilinear": 2, "cubic": 4}
#: most source cells read at once; larger windows are read in parts
SOURCE_CELLS = 4_000_000
#: a position no further than this beyond an edge of the source lies on it, as a share of a cell: they are rounded
EDGE = 2.0 ** -13
#: columns between the cells of a window from which on they are read apart
GAP = 64


def engine():
    """Return the compiled loops, or the plain ones where numba is missing. Both give the same to the bit."""
    try:
        return importlib.import_module(".resampling_numba", __package__)
    except ImportError:
        return importlib.import_module(".resampling_numpy", __package__)


class Target:
    """A window of the target grid that is filled from a source: (row, rows, column, columns) of ``footprint``.

    ``read``: function of a window of the source (top, height, left, width), which on a closed circle may reach beyond
    its last column; it gives (values, nodata, codes), or None where nothing is known there. With codes the values are
    whole-numbered places in them, ``nodata`` is one of these places; without, they are numbers with NaN.
    """

    def __init__(self, footprint, place, read):
        self.footprint, self.place, self.read = footprint, place, read

    def warped(self, empty, resampling, error):
        """Return the window: ``empty``, (rows, columns) of nodata, with what the source has.

        ``error``: the largest error of a position in source cells, 0 for none.
        """
        placement = self.footprint.placement(*self.place, error)
        if placement is None:
            return empty
        check_stopped()
        found, nodata = empty.reshape(-1), empty.flat[0]
        if not (placement.smooth and self._at_once(empty, placement, resampling)):
            centres = self._centres(placement)
            if resampling in SUPPORT:
                self._round_centres(found, np.flatnonzero(np.isfinite(centres[0] + centres[1])), centres, resampling)
            else:
                outlines = placement.outlines()
                whole = np.isfinite(outlines[0][outlines[2][:-1], 0])
                self._within_outlines(found, np.flatnonzero(whole), outlines, centres, resampling)
                torn = np.flatnonzero(~whole & np.isfinite(centres[0] + centres[1]))
                self._round_centres(found, torn, centres, AT_CENTRE[resampling])
        if resampling not in SUPPORT:
            # a cell of which the source covers no more than a rim is not of the source
            found[self._off_source(placement)] = nodata
        return empty

    def _off_source(self, placement):
        """Return which cells have their centre beyond the edges of the source."""
        if placement.smooth and self._on_source(*placement.corners()).all():
            return slice(0)
        return ~self._on_source(*self._centres(placement))

    def _centres(self, placement):
        x, y = placement.centres()
        x = x if self.footprint.closed else _on_edges(x, self.footprint.source.width)
        return x.reshape(-1), _on_edges(y, self.footprint.source.height).reshape(-1)

    def _at_once(self, found, placement, resampling):
        """Fill ``found`` from one window; returns False where that would be too large."""
        mixed_round = resampling in SUPPORT
        x, y = positions = self._centres(placement) if mixed_round else placement.corners()
        if mixed_round and not self._on_source(x, y).all():
            return False
        reach = SUPPORT[resampling] / 2 if mixed_round else 0.0
        boxes = np.array([[x.min() - reach], [x.max() + reach], [y.min() - reach], [y.max() + reach]])
        windows = list(self._windows(np.zeros(1, dtype=np.intp), boxes))
        if not windows:
            return True
        _, window, wraps = windows[0]
        if wraps or window[1] * window[3] > SOURCE_CELLS:
            return False
        function = engine().centres if mixed_round else engine().corners
        self._mixed(found.reshape(-1) if mixed_round else found, window, function, tuple(positions), resampling)
        return True

    def _on_source(self, x, y):
        on = (y >= 0) & (y < self.footprint.source.height)
        return on if self.footprint.closed else on & (x >= 0) & (x < self.footprint.source.width)

    def _within_outlines(self, found, cells, outlines, centres, resampling):
        x, y, starts = outlines
        boxes = np.array([function.reduceat(of(part, axis=1), starts[:-1]) for part in (x, y)
                          for function, of in ((np.minimum, np.min), (np.maximum, np.max))])
        for here, window, _ in self._windows(cells, boxes[:, cells]):
            counts = np.diff(starts)[here]
            first = np.concatenate([[0], np.cumsum(counts)])
            chosen = np.repeat(starts[here] - first[:-1], counts) + np.arange(first[-1])
            part = np.full(here.size, found[0], dtype=found.dtype)
            positions = (x[chosen], y[chosen], first, *(centre[here] for centre in centres))
            if self._mixed(part, window, engine().polygons, positions, resampling):
                found[here] = part

    def _round_centres(self, found, cells, centres, resampling):
        x, y = centres
        cells, reach = cells[self._on_source(x[cells], y[cells])], SUPPORT[resampling] / 2
        boxes = np.array([x[cells] - reach, x[cells] + reach, y[cells] - reach, y[cells] + reach])
        for here, window, _ in self._windows(cells, boxes):
            part = np.full(here.size, found[0], dtype=found.dtype)
            if self._mixed(part, window, engine().centres, (x[here], y[here]), resampling):
                found[here] = part

    def _mixed(self, found, window, function, positions, resampling):
        """Fill ``found`` with what ``function`` makes of a window of the source; returns False where that is empty."""
        check_stopped()
        cells = self.read(window)
        if cells is None:
            return False
        check_stopped()
        values, nodata, codes = cells
        if codes is None and resampling == "mode":
            # of numbers too
            codes, places = np.unique(values, return_inverse=True)
            values, nodata = places.reshape(values.shape).astype(np.int32), codes.size
            values[np.isnan(codes)[values]] = nodata
            codes = np.append(codes, np.nan)
        top, _, left, _ = window
        frame = (top, left, self.footprint.circle)
        result = function(np.ascontiguousarray(values), nodata, 0 if codes is None else len(codes), positions, frame,
                          resampling)
        found[...] = result if codes is None else codes[result]
        return True

    def _windows(self, cells, boxes):
        """Yield (cells, window, wraps): those cells that can be filled from a window (top, height, left, width).

        ``boxes``: (4, cells) positions: left, right, top and bottom of what each needs. ``wraps``: the window is all
        columns, since a cell needs some at both ends.
        """
        footprint, source = self.footprint, self.footprint.source
        # centres close before the next cell belong to it
        left, top = (np.floor(boxes[i]).astype(np.int64) for i in (0, 2))
        right, bottom = (np.ceil(boxes[i] + EDGE).astype(np.int64) for i in (1, 3))
        top, bottom = np.maximum(top, 0), np.minimum(bottom, source.height)
        used = top < bottom
        if not footprint.closed:
            used_wrapped = np.zeros(used.shape, dtype=bool)
            if footprint.circle:
                used_wrapped = (left + footprint.circle < source.width) | (right - footprint.circle > 0)
            used &= used_wrapped | (left < source.width) & (right > 0)
            left = np.where(used_wrapped, 0, np.maximum(left, 0))
            right = np.where(used_wrapped, source.width, np.minimum(right, source.width))
        else:
            used_wrapped = right - left >= footprint.circle
        chosen = np.flatnonzero(used)
        if not chosen.size:
            return
        order = chosen[np.argsort(left[chosen], kind="stable")]
        reached = np.maximum.accumulate(right[order])
        breaks = np.flatnonzero(left[order][1:] > reached[:-1] + GAP) + 1
        limits = np.array([left, right, top, bottom])
        for group in np.split(order, breaks):
            for part in self._divided(np.sort(group), limits):
                window = self._window(limits[:, part])
                yield cells[part], window, bool(used_wrapped[part].any())

    def _divided(self, group, limits):
        """Yield parts of a group of cells, each of which needs no more than SOURCE_CELLS or is a single cell."""
        _, height, _, width = self._window(limits[:, group])
        if height * width <= SOURCE_CELLS or group.size == 1:
            yield group
            return
        best = None
        for first in (0, 2):
            order = group[np.argsort(limits[first, group] + limits[first + 1, group], kind="stable")]
            halves = np.sort(order[:group.size // 2]), np.sort(order[group.size // 2:])
            size = sum(window[1] * window[3] for window in (self._window(limits[:, half]) for half in halves))
            if best is None or size < best[0]:
                best = size, halves
        for half in best[1]:
            yield from self._divided(half, limits)

    def _window(self, limits):
        left, right, top, bottom = (int(limits[0].min()), int(limits[1].max()), int(limits[2].min()),
                                    int(limits[3].max()))
        if self.footprint.closed and right - left >= self.footprint.circle:
            left, right = 0, self.footprint.circle
        return top, bottom - top, left, right - left


def _on_edges(positions, last):
    """Return positions of which those no more than EDGE beyond 0 or ``last`` lie in the first and last cells."""
    with np.errstate(invalid="ignore"):
        inside = np.minimum(np.maximum(positions, 0.0), last - EDGE)
        return np.where((positions >= -EDGE) & (positions <= last + EDGE), inside, positions)
