"""Unit guards: what a quantity's values must look like, and how a product in another unit is recognised.

A declared unit is used where the values agree with it; where they contradict it that is said, and where nothing is
declared but the values look wrong the run stops with the remedy. A unit is never guessed in silence.
"""

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatch

import numpy as np

from ..common.errors import InputError
from .raster import NUMBER, source

#: 0 °C in kelvin
ZERO_CELSIUS = 273.15
#: cells of a block that tell the level of a layer, and the least jump of levels from one unit to another, kelvin
_SAMPLED, _LEAST_JUMP = 256, 150.0


@dataclass(frozen=True)
class Quantity:
    """A physical quantity: ``unit`` of the method, plausible range in it, and {other unit: (scale, offset)}.

    ``least_high``: what the highest value of a whole map reaches at least; it tells metres from centimetres, whose
    ranges overlap.
    """

    title: str
    unit: str
    low: float
    high: float
    conversions: dict
    least_high: float = -math.inf

    def looks_like(self, unit, low, high):
        """True where values from ``low`` to ``high`` can be this quantity in ``unit``."""
        if self.unit == "%" and unit == "fraction":
            return high <= 1.0 + 1e-6
        scale, offset = self.conversions.get(unit, (1.0, 0.0))
        low, high = low * scale + offset, high * scale + offset
        return self.low <= low and self.least_high <= high <= self.high


QUANTITIES = {
    "pp": Quantity("permafrost percent", "%", 0.0, 100.0, {"fraction": (100.0, 0.0)}),
    "magt": Quantity("mean annual ground temperature", "degC", -60.0, 60.0, {"K": (1.0, -ZERO_CELSIUS)}),
}

_ALIASES = {"m": "m", "metre": "m", "meter": "m", "metres": "m", "meters": "m", "cm": "cm", "centimetre": "cm",
            "centimeter": "cm", "mm": "mm", "km": "km", "ft": "ft", "d": "d", "day": "d", "days": "d",
            "%": "%", "percent": "%", "pct": "%", "percentage": "%", "fraction": "fraction", "1": "fraction",
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


def parse_range(text):
    """Return (low, high) of a text such as ``0..100``, or () where it is empty; raises InputError."""
    if not text.strip():
        return ()
    try:
        low, high = (float(part) for part in text.split(".."))
    except ValueError:
        raise InputError(f"VALID is '{text}'; write the lowest and the highest value, for example 0..100.") from None
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise InputError(f"VALID is '{text}'; both limits must be numbers, the lower first, for example 0..100.")
    return low, high


def check_range(valid):
    """Raise InputError for a range (low, high) that is not () and does not rise."""
    if valid and not valid[0] < valid[1]:
        raise InputError(f"VALID runs from {valid[0]:g} to {valid[1]:g}; the lower limit comes first.")


def parse_flags(text):
    """Return the codes of a text such as ``211, 250, 255``; raises InputError."""
    try:
        return tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise InputError(f"FLAGS is '{text}'; write the codes with commas between, for example 211, 250, 255.") \
            from None


def unit_named(text):
    """Return the name this module uses for a unit as files and people write it; unknown ones come back as they are."""
    return _ALIASES.get(text.strip().lower(), text.strip())


def sample_mean(values):
    """Return the mean of some cells of an array, NaN where none of them has a value; always the same cells."""
    some = values.ravel()[::max(1, values.size // _SAMPLED)]
    known = some[~np.isnan(some)]
    return float(known.mean(dtype=np.float64)) if known.size else math.nan


def refuse_unit_change(means, names, unit=""):
    """Raise InputError where layers of a series change from kelvin to degrees Celsius.

    ``means``: one for every layer, of the same cells, NaN where there is none; ``names``: of the layers; ``unit``:
    declared by all. Other quantities that change so much declare their unit.
    """
    if unit_named(unit) not in ("", "none", "K", "degC"):
        return
    known = [place for place, mean in enumerate(means) if math.isfinite(mean)]
    order = sorted(known, key=lambda place: means[place])
    steps = [means[after] - means[before] for before, after in zip(order, order[1:])]
    if not steps or max(steps) < _LEAST_JUMP:
        return
    cut = steps.index(max(steps)) + 1
    cold, warm = order[:cut], order[cut:]
    if means[cold[0]] > -120 and means[cold[-1]] < 100 and means[warm[0]] > 150 and means[warm[-1]] < 350:
        first, other = names[min(cold)], names[min(warm)]
        raise InputError(f"The layers change their unit: {other} looks like kelvin (mean {means[min(warm)]:.1f}), "
                         f"{first} like degrees Celsius (mean {means[min(cold)]:.1f}). Bring all layers to one unit "
                         f"first; if they are no temperatures, declare their unit in the files.")


def in_unit(item, quantity, declared, stated, sample, progress):
    """Return the Source ``item`` set to deliver ``quantity`` in its own unit, guarded by the plausible range.

    ``quantity`` is a Quantity, ``declared`` the band's unit, ``stated`` the user's, ``sample`` a decimated reading of
    ``item`` as it stands.
    Raises InputError with the remedy where the values cannot be what they should be, or where there are none.
    """
    known = sample[~np.isnan(sample)]
    if known.size == 0:
        raise InputError(f"{item.name} has no data at all: every cell is nodata. Check its nodata value and flags.")
    low, high = float(known.min()), float(known.max())
    unit = _stated_unit(item, quantity, stated)
    if unit is None:
        unit = _declared_unit(item, quantity, declared, low, high, progress)
    if unit is None:
        _refuse_implausible(item, quantity, low, high)
        unit = quantity.unit
    scale, offset = quantity.conversions.get(unit, (1.0, 0.0))
    if unit != quantity.unit:
        progress.info(f"{item.name}: {quantity.title} read as {unit} and converted to {quantity.unit}.")
    return replace(item, scale=item.scale * scale, offset=item.offset * scale + offset,
                   valid=(quantity.low, quantity.high))


def opened_in_unit(info, quantity, stated, reader, progress):
    """Return the Source of a raster of one band, by its RasterInfo, that delivers a quantity of QUANTITIES in its unit.

    ``quantity`` is its key, ``stated`` the user's pairs (see parse_assignments). Raises InputError as in_unit does.
    """
    item = source(info.path, NUMBER, single_band=True, info=info)
    return in_unit(item, QUANTITIES[quantity], info.units[0], matching(stated, info.name), reader.sample(item),
                   progress)


def _stated_unit(item, quantity, stated):
    if stated is None:
        return None
    unit = unit_named(stated)
    allowed = [quantity.unit, *quantity.conversions]
    if unit not in allowed:
        raise InputError(f"UNITS says '{stated}' for {item.name}, but {quantity.title} is known in "
                         f"{' or '.join(allowed)}.")
    return unit


def _declared_unit(item, quantity, declared, low, high, progress):
    unit = unit_named(declared or "")
    if unit in quantity.conversions:
        if quantity.looks_like(unit, low, high):
            return unit
        progress.warn(f"{item.name} declares its unit as '{declared}', but its values run from {low:.4g} to "
                      f"{high:.4g}; they are read as {quantity.unit}.")
    return None


def _refuse_implausible(item, quantity, low, high):
    """Raise InputError for values that cannot be in the quantity's unit, or in % look like a fraction."""
    fits = quantity.looks_like(quantity.unit, low, high)
    if fits and quantity.unit != "%":
        return
    for unit in quantity.conversions:
        if quantity.looks_like(unit, low, high):
            raise InputError(
                f"{item.name} runs from {low:.4g} to {high:.4g}: that looks like {unit}, but {quantity.title} in "
                f"{quantity.unit} is expected. If it is {unit}, set UNITS to {item.name}={unit}; if the values really "
                f"are {quantity.unit}, set UNITS to {item.name}={quantity.unit}.")
    if low < quantity.low or high > quantity.high:
        raise InputError(
            f"{item.name} runs from {low:.4g} to {high:.4g}, outside {quantity.low:g} to {quantity.high:g}"
            f"{quantity.unit and ' '}{quantity.unit} for {quantity.title}. Check the layer, its nodata value, its flag "
            f"codes and its scale.")
    if not fits:
        raise InputError(
            f"{item.name} reaches only {high:.4g}, but a map of {quantity.title} reaches {quantity.least_high:g} "
            f"{quantity.unit} at least. Check the layer and its unit; if it is right, set UNITS to "
            f"{item.name}={quantity.unit}.")
