"""Cells and true ground area counted by a code, exactly, so that sums do not depend on how a map is cut into blocks."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

#: bits of the lower half of an area; sums of either half are exact in double precision
_LOW_BITS = 20


@dataclass(frozen=True)
class Tally:
    """How many ``cells`` and how much ``area`` (in units of cell_areas) by a key: two Counters added up together."""

    cells: Counter
    area: Counter

    @classmethod
    def of(cls, codes, areas, size):
        """Return the Tally of cells by code, 0 to ``size`` − 1, of two integer vectors: codes and areas."""
        cells = np.bincount(codes, minlength=size)
        # faster than a pass a code
        high, low = (np.bincount(codes, weights=part, minlength=size)
                     for part in (areas >> _LOW_BITS, areas & (1 << _LOW_BITS) - 1))
        found = np.flatnonzero(cells).tolist()
        return cls(Counter({code: int(cells[code]) for code in found}),
                   Counter({code: (int(high[code]) << _LOW_BITS) + int(low[code]) for code in found}))

    def update(self, other):
        """Add another Tally."""
        self.cells.update(other.cells)
        self.area.update(other.area)

    def sum(self, keys):
        """Return (cells, area) of several keys together."""
        keys = list(keys)
        return sum(self.cells[key] for key in keys), sum(self.area[key] for key in keys)
