"""The cells of a grid whose centres lie in polygons, as runs of columns, row by row.

A scan line runs through the centres of each row; what lies between its odd and its even crossing of edges is inside.
The cost grows with the crossings and not, as when filling polygons block by block, with the nodes times the rows.
"""

from dataclasses import dataclass

import numpy as np

#: the points tested lie so many cells to the lower right of the centres: centres on an edge, or in the seam between
#: two halves of a polygon, then fall to one side and no other
_ASIDE = 1e-6


@dataclass(frozen=True)
class Runs:
    """Runs of cells in row order: ``rows``, ``first`` column and the one after the ``last`` (int32 arrays)."""

    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @property
    def cells(self):
        """Number of cells."""
        return int(np.sum(self.last - self.first, dtype=np.int64))

    def within(self, window):
        """Return the places of the cells that lie in a window, in its flat array, rising."""
        low, high = np.searchsorted(self.rows, [window.row, window.row + window.rows])
        first = np.clip(self.first[low:high], window.column, window.column + window.columns)
        last = np.clip(self.last[low:high], window.column, window.column + window.columns)
        lengths = (last - first).astype(np.intp)
        starts = (self.rows[low:high].astype(np.intp) - window.row) * window.columns + first - window.column
        offsets = starts - (np.cumsum(lengths) - lengths)
        return np.repeat(offsets, lengths) + np.arange(lengths.sum())


def runs_between(starts, ends, width, height):
    """Return the Runs of a grid of ``height`` x ``width`` cells inside closed rings.

    ``starts``, ``ends``: (edges, 2) columns and rows in cells, (0, 0) being the outer corner of the first cell. Rings
    inside others are holes.
    """
    turn = starts[:, 1] > ends[:, 1]
    starts, ends = np.where(turn[:, None], ends, starts), np.where(turn[:, None], starts, ends)
    # a row is crossed where its line lies in [upper end, lower end): a node is on one of its two edges only
    top, bottom = (np.clip(np.ceil(side[:, 1] - 0.5 - _ASIDE), 0, height).astype(np.int64) for side in (starts, ends))
    counts = bottom - top
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(edge.size) - np.repeat(np.cumsum(counts) - counts, counts) + top[edge]
    (x, y), span = starts[edge].T, (ends - starts)[edge]
    crossing = x + (rows + 0.5 + _ASIDE - y) * (span[:, 0] / span[:, 1])
    columns = np.clip(np.ceil(crossing - 0.5 - _ASIDE), 0, width).astype(np.int32)
    order = np.lexsort((crossing, rows))
    rows, columns = rows[order].astype(np.int32), columns[order]
    rows, first, last = rows[::2], columns[::2], columns[1::2]
    some = last > first
    return Runs(rows[some], first[some], last[some])
