"""Reads Universal Binary JSON, the format XGBoost saves its models in. Specification: ubjson.org, draft 12.

Arrays of one number type come out as NumPy arrays that share the text's memory, so a model of thousands of trees is
read in a fraction of a second.
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
_OBJECT, _OBJECT_END, _ARRAY, _ARRAY_END, _STRING, _TYPE, _COUNT = b"{}[]S$#"


def loads(text):
    """Return what ``text`` (bytes) holds: dicts, lists, strings, numbers and big-endian NumPy arrays.

    Raises InputError where it is not UBJSON or is cut off.
    """
    reader = _Reader(bytes(text))
    try:
        return reader.value(reader.marker())
    except (struct.error, KeyError, IndexError, ValueError, RecursionError, TypeError) as error:
        raise InputError(f"The bytes are not UBJSON, or they are damaged or cut off at byte {reader.at} "
                         f"({type(error).__name__}: {error}).") from error


class _Reader:
    def __init__(self, text):
        self.text, self.at = text, 0

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

    def value(self, marker):
        if marker == _OBJECT:
            return self.mapping()
        if marker == _ARRAY:
            return self.array()
        if marker == _STRING:
            return self.string()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        return self.number(marker)

    def mapping(self):
        found = {}
        while self.text[self.at] != _OBJECT_END:
            name = self.string()
            found[name] = self.value(self.marker())
        self.at += 1
        return found

    def array(self):
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
            return [self.value(self.marker()) for _ in range(self.end(self.number(self.marker())) - self.at)]
        found = []
        while marker != _ARRAY_END:
            found.append(self.value(marker))
            marker = self.marker()
        return found
