<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" classificationMin="0" classificationMax="1">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue="0" maximumValue="1">
          <item value="0" color="#f7fbff" alpha="255" label="0"/>
          <item value="0.3333333333" color="#9ecae1" alpha="255" label="0.333"/>
          <item value="0.6666666667" color="#4292c6" alpha="255" label="0.667"/>
          <item value="1" color="#08306b" alpha="255" label="1"/>
          <rampLegendSettings useContinuousLegend="1" suffix="" prefix="" minimumLabel="" maximumLabel="" orientation="2" direction="0"/>
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
  </pipe>
</qgis>
