<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="1" color="#e8e6e1" alpha="255" label="Not ranked: outside the permafrost base map"/>
        <paletteEntry value="2" color="#f7b6a6" alpha="255" label="Not ranked: MAGT above the upper limit"/>
        <paletteEntry value="3" color="#9e9e9e" alpha="255" label="Not ranked: PP missing on the base map"/>
        <paletteEntry value="4" color="#616161" alpha="255" label="Not ranked: MAGT missing"/>
        <paletteEntry value="5" color="#bdbdbd" alpha="255" label="Not ranked: a trend is not testable"/>
        <paletteEntry value="6" color="#a6cee3" alpha="255" label="Not ranked: left out by its class (water, glacier ice)"/>
        <paletteEntry value="10" color="#702f57" alpha="255" label="Isolated: PP below the limit"/>
        <paletteEntry value="11" color="#c51b8a" alpha="255" label="Isolated: PP below the limit, MAGT missing"/>
        <paletteEntry value="20" color="#2171b5" alpha="255" label="Ranked by MAGT and both trends"/>
        <paletteEntry value="21" color="#41b6c4" alpha="255" label="Ranked; MAGT trend not testable, taken as none"/>
        <paletteEntry value="22" color="#78c679" alpha="255" label="Ranked; ALT trend not testable, taken as none"/>
        <paletteEntry value="23" color="#fed976" alpha="255" label="Ranked; neither trend testable, taken as none"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
