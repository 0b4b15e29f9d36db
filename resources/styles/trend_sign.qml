<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="-1" color="#2166ac" alpha="255" label="Significant decrease"/>
        <paletteEntry value="0" color="#e1e1e1" alpha="255" label="No significant trend"/>
        <paletteEntry value="1" color="#b2182b" alpha="255" label="Significant increase"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
