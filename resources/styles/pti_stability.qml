<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="0" color="#d9d7d0" alpha="255" label="Same rank whichever product is left out"/>
        <paletteEntry value="1" color="#fdc66b" alpha="255" label="Flips without one of the products"/>
        <paletteEntry value="2" color="#e9692c" alpha="255" label="Flips without either of two products"/>
        <paletteEntry value="3" color="#8b1a4a" alpha="255" label="Flips without any of three products or more"/>
        <paletteEntry value="100" color="#41ab5d" alpha="255" label="Not ranked, but ranked without a product"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
