"""Style files of class rasters: beside a raster, QGIS takes them when the file is added; others are loaded by hand."""

import os
from html import escape


def palette_qml(classes):
    """Return a QML style for {code: (name, (r, g, b))}: one colour and name a class, in order of the codes.

    A GeoTIFF's own colour table always lists 256 codes, those without a class too.
    """
    entries = [f'        <paletteEntry value="{code}" color="#{r:02x}{g:02x}{b:02x}" alpha="255" '
               f'label="{escape(name)}"/>' for code, (name, (r, g, b)) in sorted(classes.items())]
    return "\n".join([
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
        '<qgis version="3.22.0" styleCategories="Symbology">', "  <pipe>",
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">',
        "      <colorPalette>", *entries, "      </colorPalette>", "    </rasterrenderer>", "  </pipe>", "</qgis>", ""])


def style_path(raster):
    """Return the path where QGIS looks for the style of a raster."""
    return os.path.splitext(str(raster))[0] + ".qml"
