<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="11" color="#9dbbdc" alpha="255" label="11 Cold, no positive trend"/>
        <paletteEntry value="12" color="#4f7fbb" alpha="255" label="12 Cold, one positive trend"/>
        <paletteEntry value="13" color="#08397c" alpha="255" label="13 Cold, both positive"/>
        <paletteEntry value="21" color="#a9efa4" alpha="255" label="21 Cool, no positive trend"/>
        <paletteEntry value="22" color="#43b96c" alpha="255" label="22 Cool, one positive trend"/>
        <paletteEntry value="23" color="#4f7350" alpha="255" label="23 Cool, both positive"/>
        <paletteEntry value="31" color="#fbd935" alpha="255" label="31 Warm, no positive trend"/>
        <paletteEntry value="32" color="#f08d30" alpha="255" label="32 Warm, one positive trend"/>
        <paletteEntry value="33" color="#b1381b" alpha="255" label="33 Warm, both positive"/>
        <paletteEntry value="40" color="#702f57" alpha="255" label="40 Isolated patches"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
