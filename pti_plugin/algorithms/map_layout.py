"""The print layout of the PTI map: page, map in a frame, graticule, legend in two tiers, scale bar, foot.

All but ranks and stations are items of the layout itself, so that a saved layout holds them. There is no north arrow:
round the pole north is another direction at every place, and the meridians show it.
"""

import math
import re
from dataclasses import dataclass
from itertools import count

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsLayoutItemLabel,
    QgsLayoutItemMap,
    QgsLayoutItemPolyline,
    QgsLayoutItemScaleBar,
    QgsLayoutItemShape,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsLineSymbol,
    QgsPrintLayout,
    QgsReadWriteContext,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QPointF, Qt
from qgis.PyQt.QtGui import QColor, QFont, QFontDatabase, QPolygonF
from qgis.PyQt.QtXml import QDomDocument

from ..core.common.escapes import for_qgis, seen
from ..core.common.ranks import BY_CODE, RANKS
from ..core.index.pti import PtiOptions
from ..core.reporting.figures import INK, LAND, MUTED, SEA, text_colour_on
from ..core.reporting.polar_map import Frame
from . import compat
from .report_pdf import FONTS

#: pages, the first one the default: name → (width, height) in mm
PAGES = {"A4 portrait": (210, 297), "A4 landscape": (297, 210), "A3 portrait": (297, 420), "A3 landscape": (420, 297)}
#: sides of the square that holds the map, and room for labels round it, mm on A4
_SQUARE, _RING = 190, 8
_GRATICULE = {"color": "76,89,99,150", "width": "0.15", "width_unit": "MM", "line_style": "dash"}
#: 10° W runs through the Atlantic and the Greenland Sea, where a label hides no rank
_LABEL_MERIDIAN = -10.0
_POINTS = 1441


@dataclass(frozen=True)
class View:
    """What the map shows: ``frame`` round the pole, cut to ``bounds`` (west, south, east, north) unless ``round``."""

    frame: Frame
    bounds: tuple
    round: bool

    @property
    def latitude(self):
        """The parallel along which the scale bar is true: halfway down round the pole, else through the middle."""
        west, south, east, north = self.bounds
        if west < self.frame.x < east and south < self.frame.y < north:
            return float(round((self.frame.south + 90) / 2 / 5) * 5)
        _, latitude = self.frame.unproject((west + east) / 2, (south + north) / 2)
        return float(round(latitude[0]))


@dataclass(frozen=True)
class MapTexts:
    """What is written: ``foot`` are the lines below everything; ``stations`` how many have a rank and how many none."""

    title: str
    subtitle: str = ""
    foot: tuple = ()
    thresholds: PtiOptions = PtiOptions()
    land: bool = False
    stations: tuple = (0, 0)


def map_layout(project, view, texts, page="A4 portrait"):
    """Return the QgsPrintLayout of a map and its map item, which has no layers yet."""
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    layout.setName(seen(texts.title))
    width, height = PAGES[page]
    layout.pageCollection().page(0).setPageSize(QgsLayoutSize(width, height))
    draw = _Draw(layout, page_factor(page))
    upright = height > width
    left, top = (10, 26) if upright else (8, 10)
    item = _map(draw, view, left + _RING, top + _RING, _SQUARE - 2 * _RING, texts.land)
    _graticule(draw, view, left + _RING, top + _RING, _SQUARE - 2 * _RING)
    _scale_bar(draw, item, view, left, top + _SQUARE)
    if upright:
        draw.label("title", texts.title, 10, 9, 190, 9, 16, bold=True)
        draw.label("subtitle", texts.subtitle, 10, 18.5, 190, 6, 10, MUTED)
        _tiers(draw, texts.thresholds, 10, 222)
        _entries(draw, texts, 112, 229)
        draw.label("foot", "\n".join(texts.foot), 10, 270, 190, 20, 7, MUTED, down="bottom")
    else:
        draw.label("title", texts.title, 205, 12, 84, 16, 16, bold=True, down="bottom")
        draw.label("subtitle", texts.subtitle, 205, 29, 84, 12, 10, MUTED)
        _tiers(draw, texts.thresholds, 205, 48)
        _entries(draw, texts, 205, 94)
        draw.label("foot", "\n".join(texts.foot), 205, 142, 84, 58, 7, MUTED, down="bottom")
    return layout, item


def page_factor(page):
    """Return how many times as large as on A4 everything is on a page."""
    return min(PAGES[page]) / 210


def map_cells(page, dpi, most):
    """Return how many cells a side the map has on a page at ``dpi``, at most ``most``."""
    return min(most, math.ceil((_SQUARE - 2 * _RING) * page_factor(page) / 25.4 * dpi))


def template_text(layout):
    """Return a layout as the text of a template (.qpt), the same for the same layout: QGIS numbers items at random."""
    document = QDomDocument()
    document.appendChild(layout.writeXml(document, QgsReadWriteContext()))
    text = re.sub(r"<[\w-]+(?:\s+[\w:-]+=\"[^\"]*\")+", _sorted_attributes, document.toString(1))
    numbers = {}
    return re.sub(r"\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}",
                  lambda found: numbers.setdefault(found.group(), f"{{00000000-0000-4000-8000-{len(numbers):012x}}}"),
                  text)


def _sorted_attributes(tag):
    name, rest = tag.group().split(None, 1)
    return " ".join([name, *sorted(re.findall(r"[\w:-]+=\"[^\"]*\"", rest))])


class _Draw:
    """Adds items to a layout, places and sizes in mm on A4, ``factor`` times as large on the page."""

    _ACROSS = {"left": Qt.AlignmentFlag.AlignLeft, "centre": Qt.AlignmentFlag.AlignHCenter,
               "right": Qt.AlignmentFlag.AlignRight}
    _DOWN = {"top": Qt.AlignmentFlag.AlignTop, "middle": Qt.AlignmentFlag.AlignVCenter,
             "bottom": Qt.AlignmentFlag.AlignBottom}

    def __init__(self, layout, factor):
        self.layout, self.factor = layout, factor
        self._places = count(1)
        families = compat.font_families(QFontDatabase)
        self._family = next((name for name in FONTS if name in families), QFont().family())

    def font(self, points, bold=False):
        """Return a font of so many points on A4."""
        font = QFont(self._family)
        font.setPointSizeF(points * self.factor)
        font.setBold(bold)
        return font

    def add(self, item, name, x, y, width, height):
        """Place an item above those before it."""
        item.setId(name)
        item.setZValue(next(self._places))
        item.attemptMove(QgsLayoutPoint(x * self.factor, y * self.factor))
        item.attemptResize(QgsLayoutSize(width * self.factor, height * self.factor))
        self.layout.addLayoutItem(item)
        return item

    def label(self, name, text, x, y, width, height, points, colour=INK, bold=False, across="left", down="top"):
        """Add a text in a box, shown as it is: labels of a layout evaluate expressions."""
        item = QgsLayoutItemLabel(self.layout)
        item.setText(for_qgis(text))
        compat.set_label_font(item, self.font(points, bold), QColor(colour))
        item.setHAlign(self._ACROSS[across])
        item.setVAlign(self._DOWN[down])
        item.setMarginX(0)
        item.setMarginY(0)
        return self.add(item, name, x, y, width, height)

    def shape(self, name, kind, x, y, width, height, fill="no", outline=INK, line=0.2):
        """Add a rectangle or an ellipse; ``fill`` is a colour or "no"."""
        item = QgsLayoutItemShape(self.layout)
        item.setShapeType(kind)
        item.setSymbol(QgsFillSymbol.createSimple({
            **({"style": "no"} if fill == "no" else {"color": fill}), "outline_color": outline,
            "outline_width": str(line * self.factor), "outline_width_unit": "MM"}))
        return self.add(item, name, x, y, width, height)

    def line(self, name, points):
        """Add a thin dashed line through points in mm on A4."""
        item = QgsLayoutItemPolyline(QPolygonF([QPointF(x * self.factor, y * self.factor) for x, y in points]),
                                     self.layout)
        item.setId(name)
        item.setZValue(next(self._places))
        item.setSymbol(QgsLineSymbol.createSimple(_GRATICULE))
        self.layout.addLayoutItem(item)


_RECTANGLE, _ELLIPSE = QgsLayoutItemShape.Shape.Rectangle, QgsLayoutItemShape.Shape.Ellipse


def _map(draw, view, x, y, side, land):
    item = draw.add(QgsLayoutItemMap(draw.layout), "map", x, y, side, side)
    item.setCrs(QgsCoordinateReferenceSystem.fromWkt(view.frame.wkt))
    item.setExtent(QgsRectangle(*view.bounds))
    item.setBackgroundColor(QColor(SEA if land else "#ffffff"))
    if view.round:
        # what clips is not drawn itself
        clip = item.itemClippingSettings()
        clip.setEnabled(True)
        clip.setSourceItem(draw.shape("clip", _ELLIPSE, x, y, side, side))
    draw.shape("frame", _ELLIPSE if view.round else _RECTANGLE, x, y, side, side, outline=MUTED, line=0.3)
    return item


# ---- graticule ------------------------------------------------------------------------------------------------------

def _graticule(draw, view, left, top, side):
    frame = view.frame
    west, south, east, north = view.bounds
    step_down, step_round = _steps(view)

    def place(longitudes, latitudes):
        x, y = frame.project(longitudes, latitudes)
        inside = ((np.hypot(x - frame.x, y - frame.y) <= frame.radius * (1 + 1e-9)) if view.round else
                  (x >= west) & (x <= east) & (y >= south) & (y <= north))
        return left + (x - west) / (east - west) * side, top + (north - y) / (north - south) * side, inside

    turn = np.linspace(-180, 180, _POINTS)
    limit = frame.south if view.round else -80
    parallels = [latitude for latitude in np.arange(90 - step_down, limit, -step_down) if latitude > limit]
    labels = _Labels(draw, left, top, side)
    for latitude in parallels:
        x, y, inside = place(turn, np.full(_POINTS, latitude))
        name = _latitude(latitude)
        for part in _runs(inside):
            # every degree is enough for a circle; at the edge of a rectangle the line must reach it
            every = slice(None, None, 4 if view.round else None)
            draw.line(f"parallel {name}", zip(x[part][every], y[part][every]))
            if not view.round and len(x[part]) < _POINTS:
                labels.beyond(name, x[part], y[part])
    for latitude in [*parallels, frame.south] if view.round else ():
        x, y, _ = place(_LABEL_MERIDIAN, latitude)
        label = draw.label(f"label {_latitude(latitude)}", _latitude(latitude), x[0] - 5.2, y[0] - 1.7, 10.4, 3.4, 7,
                           across="centre", down="middle")
        label.setBackgroundEnabled(True)
        label.setBackgroundColor(QColor(255, 255, 255, 190))
    down = np.linspace(limit, 90 - step_down / 3, _POINTS)
    for longitude in np.arange(-180, 180, step_round):
        x, y, inside = place(np.full(_POINTS, longitude), down)
        name = _longitude(longitude)
        for part in _runs(inside):
            ends = [0, -1] if view.round else slice(None)
            draw.line(f"meridian {name}", zip(x[part][ends], y[part][ends]))
            labels.beyond(name, x[part], y[part], only_first=view.round)


def _steps(view):
    """Return the distances of parallels and of meridians in degrees."""
    if view.round:
        return (15 if view.frame.south <= 50 else 10), 30
    west, south, east, north = view.bounds
    degrees = min(east - west, north - south) / 111_000
    down = next((step for step in (1, 2, 5, 10) if degrees / step < 5), 15)
    return down, next((step for step in (1, 2, 5, 10, 15) if step >= 2 * down), 30)


def _runs(inside):
    """Yield slices of the consecutive points that are inside, where there are two or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2]):
        if stop - start > 1:
            yield slice(start, stop)


def _latitude(value):
    return f"{value:g}° N"


def _longitude(value):
    return f"{abs(value):g}°" if value in (0, -180) else f"{abs(value):g}° {'E' if value > 0 else 'W'}"


class _Labels:
    """Labels round the map, each beyond the end of its line, none upon another."""

    def __init__(self, draw, left, top, side):
        self._draw, self._left, self._top, self._side = draw, left, top, side
        self._taken = []

    def beyond(self, text, x, y, only_first=False):
        """Label a line at its ends that reach the edge."""
        for end, before in ((0, 1),) if only_first else ((0, 1), (-1, -2)):
            ahead = np.array([x[end] - x[before], y[end] - y[before]])
            at = np.array([x[end], y[end]])
            if not only_first:
                gaps = np.array([at[0] - self._left, self._left + self._side - at[0], at[1] - self._top,
                                 self._top + self._side - at[1]])
                edge = int(gaps.argmin())
                if gaps[edge] > 1:
                    continue
                ahead = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)][edge], dtype=float)
            ahead = ahead / np.hypot(*ahead)
            place = at + ahead * (2.6 + 3.4 * abs(ahead[0]))
            if any(abs(place[0] - other[0]) < 11 and abs(place[1] - other[1]) < 4 for other in self._taken):
                continue
            self._taken.append(place)
            self._draw.label(f"label {text}", text, place[0] - 6, place[1] - 2, 12, 4, 7, MUTED, across="centre",
                             down="middle")


def _scale_bar(draw, item, view, left, bottom):
    latitude = view.latitude
    west, _, east, _ = view.bounds
    wanted = (east - west) / 1000 * 0.06
    segment = max((step * 10 ** power for power in range(0, 5) for step in (1, 2, 5) if step * 10 ** power <= wanted),
                  default=1)
    bar = QgsLayoutItemScaleBar(draw.layout)
    bar.setStyle("Double Box")
    bar.setLinkedMap(item)
    # map units, not metres: QGIS would measure across the middle of the map, here the scale is that along a parallel
    bar.setUnits(compat.MAP_UNITS)
    kilometre = 1000 * view.frame.scale_along_parallel(latitude)
    bar.setMapUnitsPerScaleBarUnit(kilometre)
    bar.setUnitLabel("km")
    bar.setNumberOfSegmentsLeft(0)
    bar.setNumberOfSegments(2)
    bar.setUnitsPerSegment(segment * kilometre)
    bar.setHeight(1.4 * draw.factor)
    bar.setBoxContentSpace(0)
    bar.setLabelBarSpace(0.8 * draw.factor)
    bar.setTextFormat(compat.text_format(draw.font(7), QColor(INK)))
    bar.setLineSymbol(QgsLineSymbol.createSimple({"color": INK, "width": str(0.2 * draw.factor), "width_unit": "MM"}))
    x, y = (left, bottom - 7) if view.round else (left + _RING + 3, bottom - _RING - 9)
    if not view.round:
        draw.shape("scale bar ground", _RECTANGLE, x - 2, y - 5, 40, 12.5, "255,255,255,200", "255,255,255,0")
    draw.add(bar, "scale bar", x, y, 46, 7)
    draw.label("scale bar note", f"true along {latitude:g}° N", x, y - 4, 46, 3.6, 7, MUTED)


# ---- legend ---------------------------------------------------------------------------------------------------------

def _tiers(draw, thresholds, x, y):
    """Draw the legend of the ranks: temperature tiers down, number of positive trends across."""
    cold, cool, warm = (f"{value:g}".replace("-", "\u2212")
                        for value in (thresholds.cold, thresholds.cool, thresholds.warm))
    rows = (("cold", f"MAGT < {cold} °C"), ("cool", f"{cold} to {cool} °C"), ("warm", f"> {cool} to {warm} °C"))
    draw.label("legend heading", "Positive trends (MAGT, ALT)", x + 30, y, 51, 4.5, 8.5, bold=True, across="centre")
    for column, heading in enumerate(("none", "one", "both")):
        draw.label(f"legend {heading}", heading, x + 30 + 17 * column, y + 5, 16.4, 4.2, 8.5, across="centre")
    for row, (tier, meaning) in enumerate(rows):
        top = y + 10 + 9.6 * row
        draw.label(f"legend {tier}", tier.capitalize(), x, top + 0.2, 29, 4.4, 9, bold=True)
        draw.label(f"legend {tier} meaning", meaning, x, top + 4.6, 29, 4.2, 7.5)
        for column, rank in enumerate(rank for rank in RANKS if rank.tier == tier):
            _swatch(draw, rank.colour, str(rank.code), x + 30 + 17 * column, top, 9)


def _entries(draw, texts, x, y):
    """Draw what stands beside the tiers: rank 40, land and sea, stations."""
    entries = [(BY_CODE[40].colour, "40", f"isolated patches (PP < {texts.thresholds.isolated:g} %)")]
    if texts.land:
        entries += [(LAND, "", "land without a rank"), (SEA, "", "sea, or no data")]
    for place, (colour, text, meaning) in enumerate(entries):
        _swatch(draw, colour, text, x, y + 8.8 * place, 7.4)
        draw.label(f"legend {meaning}", meaning, x + 18.5, y + 8.8 * place, 62, 7.4, 8.5, down="middle")
    ranked, bare = texts.stations
    lines = [(2.8, f"station ({ranked}), colour: its rank")] if ranked else []
    lines += [(1.6, f"station without a rank ({bare})")] if bare else []
    for place, (size, meaning) in enumerate(lines):
        middle = y + 8.8 * len(entries) + 2.6 + 6 * place
        draw.shape("legend station", _ELLIPSE, x + 8.2 - size / 2, middle - size / 2, size, size, "#ffffff", line=0.25)
        draw.label(f"legend {meaning}", meaning, x + 18.5, middle - 2.5, 62, 5, 8.5, down="middle")


def _swatch(draw, colour, text, x, y, height):
    draw.shape(f"swatch {text}", _RECTANGLE, x, y, 16.4, height, colour)
    if text:
        draw.label(f"rank {text}", text, x, y, 16.4, height, 8.5, text_colour_on(colour), bold=True, across="centre",
                   down="middle")
