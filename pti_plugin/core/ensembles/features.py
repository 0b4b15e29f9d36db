"""Predictors: the sixteen roles of the paper, and a predictor stack read by the names of its bands.

Method, section 2: sixteen predictors in five groups.
"""

from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np

from ..common.errors import InputError
from ..rasters.grid import Grid
from ..rasters.raster import CLASS, NO_CLASS, NUMBER, read_info, source
from ..rasters.units import Quantity

Predictor = namedtuple("Predictor", "title group categorical quantity")
Predictor.__doc__ = """What a role of the stack holds; ``quantity`` has the unit of the method and the plausible
range."""

#: group → colour; apart under colour-vision deficiencies (after Okabe and Ito)
GROUP_COLOURS = {"thermal": "#d55e00", "biophysical": "#009e73", "hydrological": "#56b4e9", "soil": "#8a5a2b",
                 "topography": "#777777"}
GROUPS = tuple(GROUP_COLOURS)



def _predictor(title, group, unit, low, high, categorical=False):
    return Predictor(title, group, categorical, Quantity(title, unit, low, high, {}))


#: role → what it is; trends are per year
PREDICTORS = {
    "lst": _predictor("land surface temperature", "thermal", "degC", -90.0, 60.0),
    "lst_trend": _predictor("trend of land surface temperature", "thermal", "degC/year", -2.0, 2.0),
    "frozen_days": _predictor("frozen days a year", "thermal", "d", 0.0, 366.0),
    "land_cover": _predictor("ensemble land cover", "biophysical", "", 0.0, 9999.0, True),
    "peak_ndvi": _predictor("peak NDVI", "biophysical", "", -0.3, 1.0),
    "sum_ndvi": _predictor("annual sum of NDVI", "biophysical", "", 0.0, 366.0),
    "ndvi_trend": _predictor("trend of NDVI", "biophysical", "1/year", -0.2, 0.2),
    "snow": _predictor("snow cover", "hydrological", "%", 0.0, 100.0),
    "snow_trend": _predictor("trend of snow cover", "hydrological", "%/year", -20.0, 20.0),
    "soc": _predictor("soil organic carbon", "soil", "g/kg", 0.0, 1000.0),
    "coarse_fragments": _predictor("coarse fragments", "soil", "vol%", 0.0, 100.0),
    "bulk_density": _predictor("bulk density", "soil", "g/cm3", 0.0, 3.0),
    "water_content": _predictor("water content at 33 kPa", "soil", "vol%", 0.0, 100.0),
    "peat": _predictor("peat", "soil", "", 0.0, 100.0),
    "elevation": _predictor("elevation", "topography", "m", -500.0, 9000.0),
    "slope": _predictor("slope", "topography", "degrees", 0.0, 90.0),
}

#: whole numbers above it are not exact in the single precision that a stack is written in
_LARGEST_CODE = 1 << 24
#: band metadata that a predictor stack carries
KIND_TAG, GROUP_TAG, MIN_TAG, MAX_TAG = "PTI_KIND", "PTI_GROUP", "PTI_MIN", "PTI_MAX"
#: band item with the unit before scaling
RAW_UNIT_TAG = "PTI_RAW_UNIT"


@dataclass(frozen=True)
class Feature:
    """One predictor of a stack: its role ``name``, group, whether it is categorical, its raw range or None, and the
    raw ``unit``, which says what the range is in and decides nothing."""

    name: str
    group: str
    categorical: bool
    low: float = None
    high: float = None
    unit: str = field(default="", compare=False)


@dataclass(frozen=True)
class Stack:
    """A predictor stack: ``features`` and the Sources that read them, in the order of the file's bands."""

    name: str
    grid: Grid
    features: tuple
    sources: tuple

    def beside(self, path, role):
        """Return the Source of a class raster that must lie on the stack's grid; raises InputError naming ``role``."""
        item = source(path, CLASS, single_band=True)
        differences = self.grid.differences(item.grid)
        if differences:
            raise InputError(f"{item.name} ({role}) is not on the grid of {self.name}: {'; '.join(differences)}. Align "
                             f"it first.")
        return item

    def refuse_unknown(self, offered):
        """Raise InputError for a predictor that a model was never offered: stack and model do not belong together."""
        extra = [feature.name for feature in self.features if feature.name not in offered]
        if extra:
            raise InputError(f"The predictor stack {self.name} holds {', '.join(extra)}, which the model was not "
                             f"trained with. Use the stack that the model belongs to, or leave it out.")

    def select(self, features):
        """Return (Sources of ``features`` of a model by name, whatever their order in the file; the ranges to apply).

        The ranges are (low, high) of a predictor that the stack holds in raw units while the model has its range, else
        None. Raises InputError naming a missing predictor, a differing kind, or a differing scaling range.
        """
        own = {feature.name: (feature, item) for feature, item in zip(self.features, self.sources)}
        missing = [feature.name for feature in features if feature.name not in own]
        if missing:
            raise InputError(f"The predictor stack {self.name} lacks {', '.join(missing)}, which the model was trained "
                             f"on. It has {', '.join(own)}.")
        for feature in features:
            here = own[feature.name][0]
            if here.categorical != feature.categorical:
                raise InputError(f"{feature.name} is {_kind(here)} in {self.name} but {_kind(feature)} in the model.")
            if here.low is not None and (here.low, here.high) != (feature.low, feature.high):
                raise InputError(
                    f"{feature.name} in {self.name} is scaled by {here.low} to {here.high}, but the model was trained "
                    f"on {feature.low} to {feature.high}. Scale the stack with the model's ranges.")
        ranges = tuple((feature.low, feature.high) if own[feature.name][0].low is None and feature.low is not None
                       else None for feature in features)
        return [own[feature.name][1] for feature in features], ranges


def codes_as_float(values, name):
    """Return class codes (int with NO_CLASS) as float32 with NaN, as models know them.

    Raises InputError for codes of the layer ``name`` that single precision cannot hold: two classes would become one.
    """
    if (np.abs(np.where(values == NO_CLASS, 0, values)) > _LARGEST_CODE).any():
        raise InputError(f"{name} holds class codes above {_LARGEST_CODE}, which a stack cannot hold exactly. "
                         f"Reclassify it to smaller ones.")
    return np.where(values == NO_CLASS, np.nan, values).astype(np.float32)


def missing_limit(max_missing, features):
    """Return how many of ``features`` predictors a cell may lack: ``max_missing``, but never more than half of them."""
    return min(max_missing, features // 2)


def _kind(feature):
    return "categorical" if feature.categorical else "a number"


def _number(tags, tag, place):
    if tags.get(tag) is None:
        return None
    try:
        return float(tags[tag])
    except ValueError:
        raise InputError(f"The band item {tag} of {place} is '{tags[tag]}', not a number. Write the stack "
                         f"again.") from None


def read_stack(path):
    """Return the Stack of a multi-band raster whose band descriptions are predictor names.

    Raises InputError for unnamed or doubled bands, and for a scaling range that is no number.
    """
    info = read_info(path)
    names = [description.strip() for description in info.descriptions]
    if not all(names):
        raise InputError(f"Band {names.index('') + 1} of the predictor stack {info.name} has no name. Predictors are "
                         f"matched by band description, never by order; name every band.")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"The predictor stack {info.name} has {doubled[0]} twice. Keep one of them.")
    features, sources = [], []
    for band, name in enumerate(names, start=1):
        tags = info.band_metadata[band - 1]
        known = PREDICTORS.get(name)
        kind = tags.get(KIND_TAG)
        categorical = kind == "categorical" or (kind is None and bool(known and known.categorical))
        group = tags.get(GROUP_TAG) or (known.group if known else "other")
        place = f"{name} in {info.name}"
        low, high = (None if categorical else _number(tags, tag, place) for tag in (MIN_TAG, MAX_TAG))
        unit = tags.get(RAW_UNIT_TAG) or info.units[band - 1] or ""
        features.append(Feature(name, group, categorical, low, high, "" if categorical else unit))
        sources.append(source(info.path, CLASS if categorical else NUMBER, band=band, info=info))
    return Stack(info.name, info.grid, tuple(features), tuple(sources))
