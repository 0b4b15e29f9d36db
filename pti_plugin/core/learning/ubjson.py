"""Reads Universal Binary JSON, the format XGBoost saves its models in. Specification: ubjson.org, draft 12.

Arrays of one number type come out as NumPy arrays that share the text's memory, so a model of thousands of trees is
read in a fraction of a second. What is nested deeply, or holds far more values than its bytes are worth, is refused
before it takes memory; a name given twice is refused because readers differ in which they keep.
"""

import struct

import numpy as np

from ..common.errors import InputError

#: NumPy types by the marker of a number's type
_TYPES = {ord(marker): np.dtype(kind) for marker, kind in
          (("i", "i1"), ("U", "u1"), ("I", ">i2"), ("l", ">i4"), ("L", ">i8"), ("d", ">f4"), ("D", ">f8"))}
_READERS = {ord(marker): struct.Struct(f">{code}") for marker, code in
            (("i", "b"), ("U", "B"), ("I", "h"), ("l", "i"), ("L", "q"), ("d", "f"), ("D", "d"))}
_CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False}
#: how deeply values may be nested
DEPTH = 24
#: Values that any text may hold, and bytes a value beyond: a tree of one leaf has some 30 a value.
_FREE, _BYTES_A_VALUE = 20_000, 24
#: the same where memory matters
_MANY, _BYTES_A_VALUE_OF_MANY = 1_000_000, 96
_OBJECT, _OBJECT_END, _ARRAY, _ARRAY_END, _STRING, _TYPE, _COUNT = b"{}[]S$#"


def loads(text):
    """Return what ``text`` (bytes) holds: dicts, lists, strings, numbers and big-endian NumPy arrays.

    Raises InputError where it is not UBJSON, is cut off or goes on after its end.
    """
    reader = _Reader(bytes(text))
    try:
        found = reader.value(reader.marker(), DEPTH)
        if reader.at != len(reader.text):
            raise ValueError("something follows its end")
        return found
    except (struct.error, KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"The bytes are not UBJSON, or they are damaged or cut off at byte {reader.at} "
                         f"({type(error).__name__}: {error}).") from error


class _Reader:
    def __init__(self, text):
        self.text, self.at = text, 0
        self._left = min(_FREE + len(text) // _BYTES_A_VALUE, _MANY + len(text) // _BYTES_A_VALUE_OF_MANY)

    def marker(self):
        self.at += 1
        return self.text[self.at - 1]

    def number(self, marker):
        reader = _READERS[marker]
        start = self.at
        self.at = start + reader.size
        return reader.unpack_from(self.text, start)[0]

    def end(self, length):
        """Return where ``length`` bytes from here end."""
        if not 0 <= length <= len(self.text) - self.at:
            raise ValueError(f"a length of {length}")
        return self.at + length

    def string(self):
        end = self.end(self.number(self.marker()))
        start, self.at = self.at, end
        return self.text[start:end].decode("utf-8")

    def value(self, marker, depth):
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many values for its length")
        if marker in (_OBJECT, _ARRAY):
            if not depth:
                raise ValueError("values nested too deeply")
            return self.mapping(depth - 1) if marker == _OBJECT else self.array(depth - 1)
        if marker == _STRING:
            return self.string()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        return self.number(marker)

    def mapping(self, depth):
        found = {}
        while self.text[self.at] != _OBJECT_END:
            name = self.string()
            if name in found:
                raise ValueError(f"the name {name!r} twice")
            found[name] = self.value(self.marker(), depth)
        self.at += 1
        return found

    def array(self, depth):
        marker = self.marker()
        if marker == _TYPE:
            kind = _TYPES[self.marker()]
            if self.marker() != _COUNT:
                raise ValueError("a typed array without a length")
            length = self.number(self.marker())
            end = self.end(length * kind.itemsize)
            start, self.at = self.at, end
            return np.frombuffer(self.text, kind, length, start)
        if marker == _COUNT:
            return [self.value(self.marker(), depth) for _ in range(self.end(self.number(self.marker())) - self.at)]
        found = []
        while marker != _ARRAY_END:
            found.append(self.value(marker, depth))
            marker = self.marker()
        return found
