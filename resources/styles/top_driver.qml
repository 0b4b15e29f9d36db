<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="0" color="#f2f2f2" alpha="255" label="none: no predictor contributes"/>
        <paletteEntry value="1" color="#9c4500" alpha="255" label="thermal: land surface temperature"/>
        <paletteEntry value="2" color="#d55e00" alpha="255" label="thermal: trend of land surface temperature"/>
        <paletteEntry value="3" color="#e08944" alpha="255" label="thermal: frozen days a year"/>
        <paletteEntry value="4" color="#006f50" alpha="255" label="biophysical: ensemble land cover"/>
        <paletteEntry value="5" color="#008e68" alpha="255" label="biophysical: peak NDVI"/>
        <paletteEntry value="6" color="#19a881" alpha="255" label="biophysical: annual sum of NDVI"/>
        <paletteEntry value="7" color="#4dbb9d" alpha="255" label="biophysical: trend of NDVI"/>
        <paletteEntry value="8" color="#4590ba" alpha="255" label="hydrological: snow cover"/>
        <paletteEntry value="9" color="#78c3ed" alpha="255" label="hydrological: trend of snow cover"/>
        <paletteEntry value="10" color="#5e3d1d" alpha="255" label="soil: soil organic carbon"/>
        <paletteEntry value="11" color="#744c24" alpha="255" label="soil: coarse fragments"/>
        <paletteEntry value="12" color="#8a5a2b" alpha="255" label="soil: bulk density"/>
        <paletteEntry value="13" color="#9d744d" alpha="255" label="soil: water content at 33 kPa"/>
        <paletteEntry value="14" color="#af8f6f" alpha="255" label="soil: peat"/>
        <paletteEntry value="15" color="#5f5f5f" alpha="255" label="topography: elevation"/>
        <paletteEntry value="16" color="#929292" alpha="255" label="topography: slope"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
