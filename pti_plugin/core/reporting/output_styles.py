"""The style of every layer that a tool makes, stated once: classes by their own tables, numbers by a colour ramp.

The ramps are ColorBrewer's and stay apart under colour-vision deficiencies. Ranges are fixed where the quantity has
its own (percent, probabilities, tests), else they are taken from the cells.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..common import ranks
from ..common.styles import categories_qml, palette_qml, ramp_qml
from ..ensembles import landcover, permafrost
from ..ensembles.features import PREDICTORS, Feature
from ..index import pti, rank_comparison, rank_stability
from ..insitu.station_style import stations_qml
from ..mapping import applicability, drivers, prediction
from ..rasters.raster import CLASS, NO_CLASS, ROUNDING, SourceReader, read_info, source
from ..series import trends

#: from little to much; from certain to uncertain; from falling to rising
LIGHT_TO_DARK = ("#f7fbff", "#9ecae1", "#4292c6", "#08306b")
CERTAIN_TO_UNCERTAIN = ("#fcfbfd", "#bcbddc", "#807dba", "#3f007d")
FALL_TO_RISE = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
#: °C and colour: white at 0 °C, with the limits of the tiers (-3, -1.5 and 3 °C) among the stops
MAGT_STOPS = ((-15, "#053061"), (-10, "#2166ac"), (-6, "#4393c3"), (-3, "#92c5de"), (-1.5, "#d1e5f0"),
              (0, "#f7f7f7"), (1.5, "#fddbc7"), (3, "#f4a582"), (6, "#b2182b"))
#: p and colour: dark where significant at the usual levels
P_STOPS = ((0, "#08306b"), (0.01, "#2171b5"), (0.05, "#6baed6"), (0.1, "#deebf7"), (1, "#f7fbff"))
#: colours of codes that no table names (Paul Tol's muted scheme), repeated where there are more
CODE_COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499")
#: most codes that a legend lists; a raster with more is drawn as numbers
MOST_CODES = 64
#: rows read at once when codes are looked for
_ROWS = 256
#: standard deviations from the mean at which a range taken from the cells ends, so that a few cells do not rule it
SPREAD = 2.5


@dataclass(frozen=True)
class Classes:
    """One colour and name a class; ``table(path)`` returns {code: (name, (r, g, b))} of the raster at ``path``."""

    table: Callable


@dataclass(frozen=True)
class Ramp:
    """Colours from ``low`` to ``high``, each taken from the cells where None; ``symmetric`` about 0."""

    colours: tuple
    low: float = None
    high: float = None
    unit: str = ""
    symmetric: bool = False

    @property
    def fixed(self):
        """True where no end depends on the cells."""
        return self.low is not None and self.high is not None

    def stops(self, minimum, maximum, mean, deviation):
        """Return [(value, colour)] for cells with these statistics; empty where all cells are alike."""
        low = max(minimum, mean - SPREAD * deviation) if self.low is None else self.low
        high = min(maximum, mean + SPREAD * deviation) if self.high is None else self.high
        if self.symmetric:
            low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
        if not (math.isfinite(low) and math.isfinite(high) and high > low):
            return []
        # round ends read better in a legend; those that are stated are round as they are
        step = 10.0 ** (math.floor(math.log10(high - low)) - 2)
        low, high = math.floor(low / step + ROUNDING) * step, math.ceil(high / step - ROUNDING) * step
        last = len(self.colours) - 1
        return [(low + (high - low) * i / last, colour) for i, colour in enumerate(self.colours)]


@dataclass(frozen=True)
class Stops:
    """Colours at stated values."""

    stops: tuple
    unit: str = ""


@dataclass(frozen=True)
class Categories:
    """A vector layer of one ``geometry`` ("point", "line" or "polygon") by the classes of a ``field``."""

    geometry: str
    field: str
    table: Callable


@dataclass(frozen=True)
class Drawn:
    """A style of its own: ``qml()`` returns its text."""

    qml: Callable


def _colours(table):
    return {code: (name, ranks.hex_to_rgb(colour)) for code, (name, colour) in table.items()}


def rank_classes(_path=None):
    """Return {rank: (label, (r, g, b))}."""
    return ranks.colour_table()


def zone_classes(_path=None):
    """Return the classes of zones by their leading rank, and grey for zones without one."""
    return {**ranks.colour_table(), "": ("no ranked cell", (232, 230, 225))}


def driver_classes(path=None):
    """Return the classes of a map of top drivers, or those of all roles where no raster is given."""
    if path:
        return _colours(drivers.legend(path))
    return _colours(drivers.class_labels(drivers.driver_codes(
        [Feature(role, predictor.group, predictor.categorical) for role, predictor in PREDICTORS.items()])))


def codes_found(path, check):
    """Return {code: (code as text, colour)} of the codes in band 1 of a raster of whole numbers.

    Empty for a raster of other numbers, or with more than MOST_CODES codes. ``check`` is called between rows of blocks.
    """
    info = read_info(path)
    if info.encodings[0].floating:
        return {}
    item, reader, found = source(path, CLASS, info=info), SourceReader(), set()
    for row in range(0, item.grid.height, _ROWS):
        check()
        found.update(np.unique(reader.read(item, row, min(_ROWS, item.grid.height - row), 0, item.grid.width)).tolist())
        if len(found) > MOST_CODES + 1:
            return {}
    codes = sorted(found - {NO_CLASS})
    return _colours({code: (str(code), CODE_COLOURS[i % len(CODE_COLOURS)]) for i, code in enumerate(codes)})


def _of_content(path, check):
    """Return the style of a raster that holds whatever the user's files hold."""
    codes = codes_found(path, check)
    if codes:
        return Classes(lambda _path: codes)
    return Ramp(FALL_TO_RISE, unit="°C", symmetric=True) if read_info(path).units[0] == "degC" else Ramp(LIGHT_TO_DARK)


def _missing_predictors(path, check):
    """Return the style of a raster of missing predictors: a class for each combination that it holds."""
    codes, names = codes_found(path, check), prediction.bit_names(path)
    if not codes:
        return _UNCERTAIN
    table = {code: (f"lacks {', '.join(names[i] for i in range(len(names)) if code >> i & 1)}", colour)
             for code, (_, colour) in codes.items()}
    return _classes({**table, **({0: ("no predictor is missing", (232, 230, 225))} if 0 in codes else {})})


def _classes(table):
    return Classes(lambda _path: table)


_ANY = Ramp(LIGHT_TO_DARK)
_COUNT = Ramp(LIGHT_TO_DARK, low=0)
_PERCENT = Ramp(LIGHT_TO_DARK, 0, 100, "%")
_UNCERTAIN = Ramp(CERTAIN_TO_UNCERTAIN, low=0)
_SIGNED = Ramp(FALL_TO_RISE, symmetric=True)
_CORRELATION = Ramp(FALL_TO_RISE, -1, 1)
_RANKS = Classes(rank_classes)

#: (id of the tool, output) → Classes, Ramp, Stops, Categories, Drawn, or a function of (path, check) that finds one
STYLES = {
    ("ensemblepermafrost", "OUTPUT_BASE"): _classes(permafrost.BASE_COLOURS),
    ("ensemblepermafrost", "OUTPUT_PP"): _PERCENT,
    ("ensemblepermafrost", "OUTPUT_MAGT"): Stops(MAGT_STOPS, "°C"),
    ("ensemblepermafrost", "OUTPUT_COUNT"): _COUNT,
    ("ensemblepermafrost", "OUTPUT_SPREAD"): _UNCERTAIN,
    ("ensemblelandcover", "OUTPUT"): Classes(lambda _path: landcover.land_cover_classes()),
    ("ensemblelandcover", "OUTPUT_SOURCE"): _classes(_colours(landcover.SOURCES)),
    ("trendrasters", "OUTPUT_SLOPE"): _SIGNED,
    ("trendrasters", "OUTPUT_SLOPE_SIGNIFICANT"): _SIGNED,
    ("trendrasters", "OUTPUT_SIGN"): _classes(trends.SIGN_COLOURS),
    ("trendrasters", "OUTPUT_P"): Stops(P_STOPS),
    ("trendrasters", "OUTPUT_Z"): Ramp(FALL_TO_RISE, -4, 4),
    ("trendrasters", "OUTPUT_S"): _SIGNED,
    ("trendrasters", "OUTPUT_TAU"): _CORRELATION,
    ("trendrasters", "OUTPUT_LAG1"): _CORRELATION,
    ("trendrasters", "OUTPUT_COUNT"): _COUNT,
    ("trendrasters", "OUTPUT_SEASONS"): _COUNT,
    ("trendrasters", "OUTPUT_LIMITS"): _SIGNED,
    ("trendrasters", "OUTPUT_STEP"): _SIGNED,
    ("buildpti", "OUTPUT"): _RANKS,
    ("buildpti", "OUTPUT_REASON"): _classes(_colours(pti.REASONS)),
    ("predictxgboost", "OUTPUT"): _RANKS,
    ("predictxgboost", "OUTPUT_AGREEMENT"): _PERCENT,
    ("predictxgboost", "OUTPUT_MARGIN"): _PERCENT,
    ("predictxgboost", "OUTPUT_ENTROPY"): Ramp(CERTAIN_TO_UNCERTAIN, 0, 1),
    ("predictxgboost", "OUTPUT_PROBABILITIES"): Ramp(LIGHT_TO_DARK, 0, 1),
    ("predictxgboost", "OUTPUT_OUTSIDE"): _UNCERTAIN,
    ("predictxgboost", "OUTPUT_DISSIMILARITY"): _UNCERTAIN,
    ("predictxgboost", "OUTPUT_APPLICABILITY"): _classes(_colours(applicability.APPLICABILITY)),
    ("predictxgboost", "OUTPUT_MISSING"): _missing_predictors,
    ("drivermaps", "OUTPUT"): Classes(driver_classes),
    ("drivermaps", "OUTPUT_GROUPS"): _PERCENT,
    ("drivermaps", "OUTPUT_CONTRIBUTIONS"): _SIGNED,
    ("samplepoints", "OUTPUT"): Categories("point", "pti", rank_classes),
    ("summarizezones", "OUTPUT"): Categories("polygon", "first_rank", zone_classes),
    ("validateboreholes", "OUTPUT"): Drawn(stations_qml),
    ("compareprofiles", "OUTPUT"): _classes(_colours(rank_comparison.DIFFERENCES)),
    ("compareprofiles", "OUTPUT_STABILITY"): _classes(_colours(rank_stability.STABILITY)),
    ("compareprofiles", "OUTPUT_AS_PUBLISHED"): _RANKS,
    ("compareprofiles", "OUTPUT_DEFENSIBLE"): _RANKS,
    ("alignrasters", "OUTPUT"): _of_content,
    ("compositeseries", "OUTPUT"): _of_content,
    ("compositeseries", "OUTPUT_SERIES"): _of_content,
    ("compositeseries", "OUTPUT_COUNT"): _COUNT,
    ("compositeseries", "OUTPUT_VALUES"): _COUNT,
    ("depthmean", "OUTPUT"): _ANY,
    ("depthmean", "OUTPUT_THICKNESS"): _COUNT,
    ("slope", "OUTPUT"): _COUNT,
    ("slope", "OUTPUT_ELEVATION"): _ANY,
    ("predictorstack", "OUTPUT"): _ANY,
}


def stated(tool, output):
    """Return whether an output has a style."""
    return (tool, output) in STYLES


def style_qml(tool, output, path, check=lambda: None, statistics=None):
    """Return the QML text of the layer at ``path``, an output of a tool; None where it has no style to give.

    Without ``statistics``, a function that returns (minimum, maximum, mean, standard deviation) of the first band,
    that is so of ramps whose range is taken from the cells. ``check`` is called where a raster has to be read.
    """
    style = STYLES.get((tool, output))
    if callable(style):
        style = style(path, check)
    if isinstance(style, Classes):
        return palette_qml(style.table(path))
    if isinstance(style, Categories):
        return categories_qml(style.geometry, style.field, style.table(path))
    if isinstance(style, Drawn):
        return style.qml()
    if isinstance(style, Stops):
        return ramp_qml(style.stops, style.unit, listed=True)
    if isinstance(style, Ramp) and (style.fixed or statistics):
        stops = style.stops(*((0, 0, 0, 0) if style.fixed else statistics()))
        return ramp_qml(stops, style.unit) if stops else None
    return None
