"""Looks through the header of a classic netCDF file before a library takes its word for how much it lists.

A few changed bytes have the netCDF library make room for hundreds of millions of variables, which takes it up to half a
minute, before it finds that they are not there. The form is that of the netCDF Classic Format Specification (Unidata);
files of netCDF-4 are HDF5 and checked by that library.
"""

from __future__ import annotations

import os

#: beginning of a file → bytes of a count and of a place in it
_FORMS = {b"CDF\x01": (4, 4), b"CDF\x02": (4, 8), b"CDF\x05": (8, 8)}
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
#: type → bytes of a value
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
#: no file has longer lists
_MOST_LISTED = 100_000


def lists_too_much(path: str) -> bool:
    """Return True for a classic netCDF file whose header lists more than the file holds, or is cut.

    Files of other formats and files that cannot be read are left to others: False.
    """
    try:
        with open(path, "rb") as stream:
            form = _FORMS.get(stream.read(4))
            return form is not None and not _Header(stream, *form).holds()
    except (OSError, ValueError):
        return False


class _Damaged(Exception):
    """The header is not of its form."""


class _Header:
    def __init__(self, stream, count_bytes: int, place_bytes: int):
        self._stream, self._count_bytes, self._place_bytes = stream, count_bytes, place_bytes
        self._size = os.fstat(stream.fileno()).st_size

    def holds(self) -> bool:
        """Return whether everything that is listed can be in the file."""
        count = self._count_bytes
        try:
            # the number of records
            self._skip(count)
            for _ in range(self._listed(_DIMENSIONS, 2 * count)):
                self._name()
                self._skip(count)
            self._attributes()
            for _ in range(self._listed(_VARIABLES, 4 * count + 8 + self._place_bytes)):
                self._name()
                self._skip(self._number(count) * count)
                self._attributes()
                self._skip(4 + count + self._place_bytes)
        except _Damaged:
            return False
        return True

    def _attributes(self):
        for _ in range(self._listed(_ATTRIBUTES, 2 * self._count_bytes + 4)):
            self._name()
            size = _SIZES.get(self._number(4), 1)
            self._skip(_padded(self._number(self._count_bytes) * size))

    def _name(self):
        self._skip(_padded(self._number(self._count_bytes)))

    def _listed(self, tag: int, least: int) -> int:
        """Return how many things of at least so many bytes a list has."""
        found, count = self._number(4), self._number(self._count_bytes)
        if (found != tag if count else found not in (0, tag)) or count > _MOST_LISTED \
                or count * least > self._size - self._stream.tell():
            raise _Damaged
        return count

    def _number(self, length: int) -> int:
        data = self._stream.read(length)
        if len(data) < length:
            raise _Damaged
        return int.from_bytes(data, "big")

    def _skip(self, length: int) -> None:
        if length > self._size - self._stream.tell():
            raise _Damaged
        self._stream.seek(length, os.SEEK_CUR)


def _padded(length: int) -> int:
    return -(-length // 4) * 4
