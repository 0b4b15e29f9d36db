"""The thresholds of Table 3 that a PTI map was made with, from the records of the steps that made it."""

import os

from ..common.errors import InputError
from ..common.provenance import collect_records
from ..index.pti import PtiOptions

#: parameters of the index tool, in the order of the thresholds
_NAMES = ("COLD", "COOL", "WARM", "ISOLATED")
#: roles under which a map, or what was learned for it, goes on to the next step
_ON_THE_WAY = ("INPUT", "MODEL", "SAMPLES", "PTI")


def map_thresholds(path):
    """Return (PtiOptions, where its thresholds are from) of the PTI map ``path``.

    A map of the index tool has them in its record; a predicted one in the record of the index that its model learned
    from. Where no record tells, they are the paper's.
    """
    for record in _ways_back(collect_records([path])):
        parameters = record.get("parameters") or {}
        if record.get("tool") == "buildpti" and all(isinstance(parameters.get(name), (int, float)) for name in _NAMES):
            stated = PtiOptions(*(float(parameters[name]) for name in _NAMES))
            try:
                stated.check()
            except InputError:
                # no index was made with these
                continue
            return stated, f"as the records of {os.path.basename(str(path))} state them"
    return PtiOptions(), "as in the paper, since no record of the map states them"


def _ways_back(steps):
    """Yield the record of a map and those of the steps behind it that it has its ranks from, newest first."""
    number = len(steps)
    while number:
        record = steps[number - 1]
        yield record
        number = next((entry["step"] for entry in record.get("inputs") or ()
                       if entry.get("step") and entry.get("role") in _ON_THE_WAY), 0)


def parse_thresholds(text):
    """Return the PtiOptions of a text such as ``-3; -1.5; 3; 10`` (°C, °C, °C, % PP); raises InputError."""
    try:
        cold, cool, warm, isolated = (float(part) for part in text.split(";"))
    except ValueError:
        raise InputError(f"THRESHOLDS is '{text}'; write four numbers with semicolons between: cold below, cool up to, "
                         f"warm up to (°C) and isolated below (% PP), for example -3; -1.5; 3; 10.") from None
    thresholds = PtiOptions(cold, cool, warm, isolated)
    thresholds.check()
    return thresholds
