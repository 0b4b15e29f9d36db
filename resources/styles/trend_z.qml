<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" classificationMin="-4" classificationMax="4">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue="-4" maximumValue="4">
          <item value="-4" color="#2166ac" alpha="255" label="-4"/>
          <item value="-2" color="#92c5de" alpha="255" label="-2"/>
          <item value="0" color="#f7f7f7" alpha="255" label="0"/>
          <item value="2" color="#f4a582" alpha="255" label="2"/>
          <item value="4" color="#b2182b" alpha="255" label="4"/>
          <rampLegendSettings useContinuousLegend="1" suffix="" prefix="" minimumLabel="" maximumLabel="" orientation="2" direction="0"/>
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
  </pipe>
</qgis>
