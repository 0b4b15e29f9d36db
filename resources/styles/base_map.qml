<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="0" color="#e8e6e1" alpha="255" label="No permafrost on the base map"/>
        <paletteEntry value="1" color="#768eb2" alpha="255" label="Permafrost"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
