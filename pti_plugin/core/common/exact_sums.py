"""Sums of floating point numbers that are exact, and so the same in any order and for any division into blocks.

Every number is taken apart into whole multiples of a fixed power of two, and whole numbers add up without rounding
(the idea of a superaccumulator; Kulisch, Computer Arithmetic and Validity, 2013).
"""

from collections import Counter
from fractions import Fraction

import numpy as np

#: powers of two that share one sum
_BITS = 8
#: bits of a number in its upper and its lower part
_UPPER, _LOWER = 22, 31
#: bins are counted from that of the smallest number there is
_FIRST = -1080 // _BITS
#: so many parts of a number add up in double precision without rounding
_AT_ONCE = 1 << 22


class Addends:
    """Finite float64 numbers ready to be added up, in part and as often as wanted."""

    def __init__(self, values):
        exponents = np.frexp(values)[1].astype(np.int64)
        bins = exponents // _BITS
        scaled = np.ldexp(values, _UPPER - _BITS * bins)
        self._upper = np.rint(scaled)
        self._lower = np.ldexp(scaled - self._upper, _LOWER)
        self._bins = (bins - _FIRST).astype(np.int16)

    def sums(self, places):
        """Return the sum of the numbers at ``places``, an array of ints, as a Counter; Counters add up."""
        found = Counter()
        for start in range(0, places.size, _AT_ONCE):
            here = places[start:start + _AT_ONCE]
            bins = self._bins[here]
            upper, lower = np.bincount(bins, self._upper[here]), np.bincount(bins, self._lower[here])
            for place in np.flatnonzero((upper != 0) | (lower != 0)).tolist():
                found[place + _FIRST] += (int(upper[place]) << _LOWER) + int(lower[place])
        return found


def total(sums):
    """Return the exact sum of a Counter of Addends as a Fraction."""
    return sum((Fraction(count) * Fraction(2) ** (_BITS * place - _UPPER - _LOWER) for place, count in sums.items()),
               Fraction(0))
