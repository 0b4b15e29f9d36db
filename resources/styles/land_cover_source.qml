<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="1" color="#7b3294" alpha="255" label="CAVM"/>
        <paletteEntry value="2" color="#008837" alpha="255" label="LandCover_CCI in the GLCC tundra mask"/>
        <paletteEntry value="3" color="#a6dba0" alpha="255" label="LandCover_CCI"/>
        <paletteEntry value="4" color="#f4a582" alpha="255" label="GLCC alone"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
