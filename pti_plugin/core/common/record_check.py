"""What a provenance record may hold, for records that are read back: those of others, and damaged ones.

A record that is not of this shape is none: what it says is not shown, and no step is found through it.
"""

from __future__ import annotations

import json
import os

from .relative_paths import absolute
from .schema import SENTENCE, Mismatch, listed, named, number, one_of, optional, plain, record, text

#: bytes of a record; ten thousand inputs have some three million
MOST_BYTES = 1 << 24


def _path(value, where):
    """A path, which may hold bytes that are no letters."""
    if not isinstance(value, str) or len(value) > 8000 or "\0" in value:
        raise Mismatch(f"{where} is no path")


_name, _words, _count = text(500), text(SENTENCE), number(0)
_any = plain(depth=12, most=1 << 17)

_file = {"size_bytes": _count, "sha256": text(64, pattern="[0-9a-f]{64}")}

_RECORD = record({"tool": text(), "outputs": named(_name, _path)}, {
    "plugin": text(), "plugin_version": text(), "finished": text(60), "profile": optional(text()),
    "departures_from_the_paper": optional(named(_name, record({}, {"used": plain(2), "as_published": plain(2)}))),
    "parameters": optional(named(_name, _any)), "choices": optional(named(_name, _any)),
    "seed": optional(one_of(number(), text())),
    "inputs": optional(listed(record(
        {"path": _path}, {"role": _name, "step": number(1, whole=True), **_file,
                          "files": optional(listed(record({"path": _path}, _file, plain(3))))}, plain(3)))),
    "versions": optional(named(_name, optional(text()))), "results": optional(named(_name, _any)),
    "warnings": optional(listed(_words)),
    # steps behind this one: looked at where they stand beside their own outputs, not here
    "steps": listed(_any)}, _any)

#: tool → (parameters, results) that others than the tool itself read
_OF_TOOLS = {
    "trendrasters": (
        record({}, {"PERIOD": optional(number(0, 1e6, whole=True)), "ALPHA": optional(number(0, 1))}),
        record({}, {"cells": optional(named(_name, _count)), "method": text(), "layers": optional(_count),
                    **dict.fromkeys(("first", "last"), optional(one_of(number(), text())))})),
    "predictorstack": (None, record({}, {"predictors": listed(record(
        {}, {"role": text(), "unit": optional(text())}))})),
    "summarizezones": (None, record({}, {"units": optional(named(_name, optional(text())))})),
}


def read_checked(path):
    """Return the record in a file, its paths as they are here, or None where it cannot be read or is no record."""
    try:
        if os.path.getsize(path) > MOST_BYTES:
            return None
        with open(path, encoding="utf-8") as stream:
            # numbers that were none when they were written
            found = json.load(stream, parse_constant=lambda _: None)
        _RECORD(found, "")
        parameters, results = _OF_TOOLS.get(found["tool"], (None, None))
        for rule, part in ((parameters, "parameters"), (results, "results")):
            if rule is not None:
                rule(found.get(part) or {}, part)
        optional(text())((found.get("parameters") or {}).get("PRODUCT"), "PRODUCT")
        # numbers of steps are those of the search that finds them
        for entry in found.get("inputs") or ():
            entry.pop("step", None)
    # RecursionError, MemoryError: nested without end
    except (OSError, ValueError, RecursionError, MemoryError, Mismatch):
        return None
    return absolute(found, os.path.dirname(os.path.abspath(path)))
