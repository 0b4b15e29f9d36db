<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="10" color="#ffff64" alpha="255" label="Cropland and herbaceous cover"/>
        <paletteEntry value="30" color="#d2be50" alpha="255" label="Mosaic cropland / natural vegetation"/>
        <paletteEntry value="60" color="#00a000" alpha="255" label="Deciduous broadleaf forest"/>
        <paletteEntry value="70" color="#003c00" alpha="255" label="Evergreen coniferous forest"/>
        <paletteEntry value="80" color="#5a7828" alpha="255" label="Deciduous coniferous forest"/>
        <paletteEntry value="90" color="#968c00" alpha="255" label="Mixed forest"/>
        <paletteEntry value="100" color="#aac828" alpha="255" label="Mosaic tree / shrub / herbaceous cover"/>
        <paletteEntry value="120" color="#966400" alpha="255" label="Shrubland"/>
        <paletteEntry value="130" color="#ffb432" alpha="255" label="Grassland"/>
        <paletteEntry value="150" color="#ffebaf" alpha="255" label="Sparse vegetation"/>
        <paletteEntry value="160" color="#00785a" alpha="255" label="Forested wetland"/>
        <paletteEntry value="180" color="#00dc82" alpha="255" label="Shrub / herbaceous wetland"/>
        <paletteEntry value="190" color="#c31400" alpha="255" label="Urban"/>
        <paletteEntry value="200" color="#ffd2c8" alpha="255" label="Bare land"/>
        <paletteEntry value="201" color="#b9a99a" alpha="255" label="Barren tundra"/>
        <paletteEntry value="202" color="#b4dca0" alpha="255" label="Herbaceous tundra"/>
        <paletteEntry value="203" color="#b08fc7" alpha="255" label="Dwarf shrub tundra"/>
        <paletteEntry value="204" color="#8064a2" alpha="255" label="Low shrub tundra"/>
        <paletteEntry value="205" color="#5fb7b0" alpha="255" label="Wetland tundra"/>
        <paletteEntry value="210" color="#0046c8" alpha="255" label="Water"/>
        <paletteEntry value="220" color="#eaf6ff" alpha="255" label="Glacier ice"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
