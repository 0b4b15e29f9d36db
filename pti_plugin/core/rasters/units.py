"""Unit guards: what a quantity's values must look like, and how a product in another unit is recognised.

A declared unit is used where the values agree with it; where they contradict it that is said, and where nothing is
declared but the values look wrong the run stops with the remedy. A unit is never guessed in silence.
"""

import csv
import math
import re
import unicodedata
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import lru_cache

import numpy as np

from ..common.errors import InputError
from ..common.resources import resource

#: 0 °C in kelvin
ZERO_CELSIUS = 273.15
#: cells of a block that tell the level of a layer, and the least jump of levels from one unit to another, kelvin
_SAMPLED, _LEAST_JUMP = 256, 150.0
#: what files write that give values no unit
NO_UNIT = ("", "none", "n/a", "na", "-", "unitless", "dimensionless", "no unit", "no units", "unknown", "null")
#: what stands for other characters in a pattern of file names
_WILD = re.compile(r"\*|\?|\[[^\]]*\]")
_FACTOR = re.compile(r"(?P<factor>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*[*x·]?\s*(?P<unit>\D.*)")


@dataclass(frozen=True)
class Unit:
    """A unit of the table: ``name``, the ``dimension`` it measures, and value in the base unit of that dimension =
    ``factor`` * value + ``offset``."""

    name: str
    dimension: str
    factor: float
    offset: float


@dataclass(frozen=True)
class Quantity:
    """A physical quantity: ``unit`` of the method, plausible range in it, and {other unit: (scale, offset)}.

    ``least_high``: what the highest value of a whole map reaches at least; it tells metres from centimetres, whose
    ranges overlap. Other units of the same dimension are converted too where a file or the user states them.
    """

    title: str
    unit: str
    low: float
    high: float
    conversions: dict
    least_high: float = -math.inf

    def looks_like(self, unit, low, high):
        """True where values from ``low`` to ``high`` can be this quantity in ``unit``."""
        if self.unit == "%" and unit_named(unit) == "fraction":
            return high <= 1.0 + 1e-6
        scale, offset = self.conversion(unit) or (1.0, 0.0)
        low, high = low * scale + offset, high * scale + offset
        return self.low <= low and self.least_high <= high <= self.high

    def conversion(self, unit):
        """Return (scale, offset) that turn ``unit`` as files and people write it into the quantity's own, or None.

        A quantity without a unit takes values without one, also as a fraction of 1.
        """
        name = unit_named(unit)
        if name == self.unit:
            return 1.0, 0.0
        if name in self.conversions:
            return self.conversions[name]
        if not self.unit:
            return (1.0, 0.0) if name == "fraction" or is_no_unit(unit) else None
        given, own = unit_of(unit), unit_of(self.unit)
        if given is None or own is None or given.dimension != own.dimension:
            return None
        return given.factor / own.factor, (given.offset - own.offset) / own.factor


QUANTITIES = {
    "pp": Quantity("permafrost percent", "%", 0.0, 100.0, {"fraction": (100.0, 0.0)}),
    "magt": Quantity("mean annual ground temperature", "degC", -60.0, 60.0, {"K": (1.0, -ZERO_CELSIUS)}),
}


@lru_cache(maxsize=1)
def _units():
    """Return ({spelling as it stands: Unit}, {spelling in small letters: Unit}) of resources/tables/units.csv."""
    exact, folded = {}, {}
    with open(resource("tables", "units.csv"), encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            unit = Unit(row["unit"], row["dimension"], float(row["factor"]), float(row["offset"]))
            for text in row["spellings"].split(";"):
                exact[_key(text)] = folded[_key(text).lower()] = unit
            # a capital that makes another unit, as Mg beside mg
            exact.update({_key(text): unit for text in row["exact_spellings"].split(";") if text})
    return exact, folded


def _key(text):
    """The spelling without what writers differ in: spaces, underscores, signs of powers, forms of one character."""
    text = unicodedata.normalize("NFKC", text.strip()).replace("\u2212", "-").replace("\u2013", "-")
    text = re.sub(r"(?<=[A-Za-z])[.·*](?=[A-Za-z])", "", text)
    return re.sub(r"[\s_^*]+", "", text).replace("\u02da", "\u00b0")


def unit_of(text):
    """Return the Unit that a file or a person means by ``text``, or None.

    A number before it counts: 0.01 K is the hundredth of a kelvin.
    """
    exact, folded = _units()
    found = exact.get(_key(text)) or folded.get(_key(text).lower())
    if found is None:
        scaled = _FACTOR.fullmatch(unicodedata.normalize("NFKC", text.strip()))
        unit = unit_of(scaled["unit"]) if scaled else None
        if unit is not None and 0 < float(scaled["factor"]) < math.inf:
            found = Unit(text.strip(), unit.dimension, float(scaled["factor"]) * unit.factor, unit.offset)
    return found


def is_no_unit(text):
    """True where ``text`` says that there is no unit, or nothing."""
    return (text or "").strip().lower() in NO_UNIT


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
    """Return the value of the pattern that matches the file name, or None.

    Of several, the one counts that names the file most closely, in whatever order they stand: without wildcards, then
    with most characters of the name, its ending aside; of equal ones the last.
    """
    found = [(_closeness(pattern), place, value) for place, (pattern, value) in enumerate(pairs)
             if fnmatch(name.lower(), pattern.lower())]
    return max(found)[-1] if found else None


def _closeness(pattern):
    stem = pattern.rpartition(".")[0] or pattern
    return not _WILD.search(pattern), len(_WILD.sub("", stem))


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
    unit = unit_of(text)
    return unit.name if unit else text.strip()


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
    if not is_no_unit(unit) and unit_named(unit) not in ("K", "degC"):
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
    Raises InputError with the remedy where the values cannot be what they should be, where there are none, and for a
    declared unit that is not one of the quantity.
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
    scale, offset = quantity.conversion(unit)
    if unit_named(unit) != quantity.unit:
        progress.info(f"{item.name}: {quantity.title} read as {unit_named(unit)} and converted to {quantity.unit}.")
    return replace(item, scale=item.scale * scale, offset=item.offset * scale + offset,
                   valid=(quantity.low, quantity.high))


def _stated_unit(item, quantity, stated):
    if stated is None:
        return None
    if quantity.conversion(stated) is None:
        raise InputError(f"UNITS says '{stated}' for {item.name}, but {quantity.title} is known in "
                         f"{' or '.join([quantity.unit, *quantity.conversions])}.")
    return stated


def _declared_unit(item, quantity, declared, low, high, progress):
    """Return the declared unit where it is to be used, None where there is none or the values contradict it."""
    if is_no_unit(declared) or unit_named(declared) == quantity.unit:
        return None
    if quantity.conversion(declared) is None:
        known = [quantity.unit, *quantity.conversions] if quantity.unit else ["1"]
        raise InputError(f"{item.name} declares the unit '{declared}', which is not known for {quantity.title}. "
                         f"Check that it is the right layer. Set UNITS to {item.name}= and one of {', '.join(known)} "
                         f"only if the layer is right and its unit is stated wrongly.")
    if quantity.looks_like(declared, low, high):
        return declared if quantity.unit else None
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
