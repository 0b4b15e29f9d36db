"""Unit guards: what a quantity's values must look like, and how a product in another unit is recognised.

A declared unit is used where the values agree with it; where they contradict it that is said, and where nothing is
declared but the values look wrong the run stops with the remedy. A unit is never guessed in silence.
"""

from dataclasses import dataclass, replace
from fnmatch import fnmatch

import numpy as np

from .errors import InputError

_KELVIN = 273.15


@dataclass(frozen=True)
class Quantity:
    """A physical quantity: ``unit`` of the method, plausible range in it, and {other unit: (scale, offset)}."""

    title: str
    unit: str
    low: float
    high: float
    conversions: dict


QUANTITIES = {
    "pp": Quantity("permafrost percent", "%", 0.0, 100.0, {"fraction": (100.0, 0.0)}),
    "magt": Quantity("mean annual ground temperature", "degC", -60.0, 60.0, {"K": (1.0, -_KELVIN)}),
}

_ALIASES = {"%": "%", "percent": "%", "pct": "%", "percentage": "%", "fraction": "fraction", "1": "fraction",
            "0-1": "fraction", "k": "K", "kelvin": "K", "degc": "degC", "c": "degC", "celsius": "degC", "°c": "degC",
            "deg c": "degC", "degree_celsius": "degC", "degrees_celsius": "degC"}


def parse_assignments(text, what):
    """Return [(pattern, value)] of a text like ``obu*=fraction; cci_magt.tif=K``; raises InputError when malformed."""
    pairs = []
    for part in (text or "").replace(",", ";").split(";"):
        if not part.strip():
            continue
        pattern, separator, value = part.partition("=")
        if not separator or not pattern.strip() or not value.strip():
            raise InputError(f"'{part.strip()}' in {what} is not of the form name=value, for example "
                             f"obu*.tif=fraction.")
        pairs.append((pattern.strip(), value.strip()))
    return pairs


def matching(pairs, name):
    """Return the value of the last pattern that matches the file name, or None."""
    found = [value for pattern, value in pairs if fnmatch(name.lower(), pattern.lower())]
    return found[-1] if found else None


def check_patterns(pairs, names, what):
    """Raise InputError where a pattern matches none of the inputs: a spelling mistake must not pass."""
    for pattern, _ in pairs:
        if not any(fnmatch(name.lower(), pattern.lower()) for name in names):
            raise InputError(f"'{pattern}' in {what} matches none of the inputs: {', '.join(names)}.")


def in_unit(item, quantity, declared, stated, sample, progress):
    """Return the Source ``item`` set to deliver ``quantity`` in its own unit, guarded by the plausible range.

    ``declared`` is the band's unit, ``stated`` the user's, ``sample`` a decimated reading in the stored unit.
    Raises InputError with the remedy where the values cannot be what they should be, or where there are none.
    """
    expected = QUANTITIES[quantity]
    known = sample[~np.isnan(sample)]
    if known.size == 0:
        raise InputError(f"{item.name} has no data at all: every cell is nodata. Check its nodata value and flags.")
    low, high = float(known.min()), float(known.max())
    unit = _stated_unit(item, expected, stated)
    if unit is None:
        unit = _declared_unit(item, expected, declared, low, high, progress)
    if unit is None:
        _refuse_implausible(item, expected, low, high)
        unit = expected.unit
    scale, offset = expected.conversions.get(unit, (1.0, 0.0))
    if unit != expected.unit:
        progress.info(f"{item.name}: {expected.title} read as {unit} and converted to {expected.unit}.")
    return replace(item, scale=scale, offset=offset, valid=(expected.low, expected.high))


def _stated_unit(item, expected, stated):
    if stated is None:
        return None
    unit = _ALIASES.get(stated.lower(), stated)
    allowed = [expected.unit, *expected.conversions]
    if unit not in allowed:
        raise InputError(f"UNITS says '{stated}' for {item.name}, but {expected.title} is known in "
                         f"{' or '.join(allowed)}.")
    return unit


def _declared_unit(item, expected, declared, low, high, progress):
    unit = _ALIASES.get((declared or "").strip().lower())
    if unit in expected.conversions:
        if _looks_like(expected, unit, low, high):
            return unit
        progress.warn(f"{item.name} declares its unit as '{declared}', but its values run from {low:.4g} to "
                      f"{high:.4g}; they are read as {expected.unit}.")
    return None


def _looks_like(expected, unit, low, high):
    if expected.unit == "%":
        return high <= 1.0 + 1e-6
    scale, offset = expected.conversions[unit]
    return expected.low <= low * scale + offset and high * scale + offset <= expected.high


def _refuse_implausible(item, expected, low, high):
    for unit in expected.conversions:
        if _looks_like(expected, unit, low, high):
            raise InputError(
                f"{item.name} runs from {low:.4g} to {high:.4g}: that looks like {unit}, but {expected.title} in "
                f"{expected.unit} is expected. If it is {unit}, set UNITS to {item.name}={unit}; if the values really "
                f"are {expected.unit}, set UNITS to {item.name}={expected.unit}.")
    if low < expected.low or high > expected.high:
        raise InputError(
            f"{item.name} runs from {low:.4g} to {high:.4g}, outside {expected.low:g} to {expected.high:g} "
            f"{expected.unit} for {expected.title}. Check the layer, its nodata value and its flag codes.")
