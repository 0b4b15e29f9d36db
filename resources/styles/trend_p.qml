<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" classificationMin="0" classificationMax="1">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue="0" maximumValue="1">
          <item value="0" color="#08306b" alpha="255" label="0"/>
          <item value="0.01" color="#2171b5" alpha="255" label="0.01"/>
          <item value="0.05" color="#6baed6" alpha="255" label="0.05"/>
          <item value="0.1" color="#deebf7" alpha="255" label="0.1"/>
          <item value="1" color="#f7fbff" alpha="255" label="1"/>
          <rampLegendSettings useContinuousLegend="0" suffix="" prefix="" minimumLabel="" maximumLabel="" orientation="2" direction="0"/>
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
  </pipe>
</qgis>
