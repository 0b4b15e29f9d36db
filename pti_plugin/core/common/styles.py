"""Styles as QGIS's QML text: beside a file, QGIS takes them when it is added; others are loaded by hand."""

import os

from .escapes import for_markup

#: geometry → (symbol type, symbol layer, its options; {} is the colour of the class)
_SYMBOLS = {
    "point": ("marker", "SimpleMarker", {
        "name": "circle", "color": "{}", "outline_color": "40,40,40,255", "outline_style": "solid",
        "outline_width": "0.2", "outline_width_unit": "MM", "size": "2.8", "size_unit": "MM"}),
    "line": ("line", "SimpleLine", {
        "line_color": "{}", "line_style": "solid", "line_width": "0.5", "line_width_unit": "MM"}),
    "polygon": ("fill", "SimpleFill", {
        "style": "solid", "color": "{}", "outline_color": "70,70,70,255", "outline_style": "solid",
        "outline_width": "0.2", "outline_width_unit": "MM"}),
}
#: names of the types of a field's values
_VALUE_TYPES = {str: "string", int: "long", float: "double", bool: "bool"}


def palette_qml(classes):
    """Return a QML style for {code: (name, (r, g, b))}: one colour and name a class, in order of the codes.

    A GeoTIFF's own colour table always lists 256 codes, those without a class too.
    """
    entries = [f'        <paletteEntry value="{code}" color="#{r:02x}{g:02x}{b:02x}" alpha="255" '
               f'label="{for_markup(name)}"/>' for code, (name, (r, g, b)) in sorted(classes.items())]
    return document([
        "  <pipe>", '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">',
        "      <colorPalette>", *entries, "      </colorPalette>", "    </rasterrenderer>", "  </pipe>"])


def ramp_qml(stops, unit="", listed=False):
    """Return a QML style of a colour ramp through ``stops``, [(value, '#rrggbb')] in rising order of values.

    Values beyond the ends have the colours of the ends. The legend is a bar with its ends in ``unit``, or lists the
    stops where ``listed``.
    """
    low, high = stops[0][0], stops[-1][0]
    suffix = f" {for_markup(unit)}" if unit else ""
    items = [f'          <item value="{value:.10g}" color="{colour}" alpha="255" label="{value:.3g}{suffix}"/>'
             for value, colour in stops]
    return document([
        "  <pipe>",
        '    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" '
        f'classificationMin="{low:.10g}" classificationMax="{high:.10g}">',
        "      <rastershader>",
        '        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" '
        f'minimumValue="{low:.10g}" maximumValue="{high:.10g}">',
        *items,
        f'          <rampLegendSettings useContinuousLegend="{0 if listed else 1}" suffix="{suffix}" prefix="" '
        'minimumLabel="" maximumLabel="" orientation="2" direction="0"/>',
        "        </colorrampshader>", "      </rastershader>", "    </rasterrenderer>", "  </pipe>"])


def categories_qml(geometry, field, classes):
    """Return a QML style of a vector layer: one colour and name a class of ``field``, in the order given.

    ``geometry``: "point", "line" or "polygon"; ``classes``: {value of the field: (name, (r, g, b))}.
    """
    kind, layer, options = _SYMBOLS[geometry]
    categories, symbols = [], []
    for place, (value, (name, (r, g, b))) in enumerate(classes.items()):
        categories.append(f'      <category value="{for_markup(str(value))}" type="{_VALUE_TYPES[type(value)]}" '
                          f'label="{for_markup(name)}" symbol="{place}" render="true"/>')
        symbols += [f'      <symbol type="{kind}" name="{place}" alpha="1" clip_to_extent="1" force_rhr="0">',
                    f'        <layer class="{layer}" enabled="1" locked="0" pass="0">', '          <Option type="Map">',
                    *(f'            <Option type="QString" name="{key}" value="{text.format(f"{r},{g},{b},255")}"/>'
                      for key, text in options.items()),
                    "          </Option>", "        </layer>", "      </symbol>"]
    return document([
        f'  <renderer-v2 type="categorizedSymbol" attr="{for_markup(field)}" symbollevels="0" enableorderby="0" '
        'forceraster="0">',
        "    <categories>", *categories, "    </categories>", "    <symbols>", *symbols, "    </symbols>",
        "  </renderer-v2>"])


def style_path(layer):
    """Return the path where QGIS looks for the style of a raster or vector file."""
    return os.path.splitext(str(layer))[0] + ".qml"


def document(lines):
    """Return the QML text of the lines of a renderer."""
    return "\n".join([
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
        '<qgis version="3.22.0" styleCategories="Symbology">', *lines, "</qgis>", ""])
