<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="0" color="#d95f02" alpha="255" label="outside the area of applicability"/>
        <paletteEntry value="1" color="#b7e2d8" alpha="255" label="inside"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
