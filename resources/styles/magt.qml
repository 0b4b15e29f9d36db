<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" classificationMin="-15" classificationMax="6">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" minimumValue="-15" maximumValue="6">
          <item value="-15" color="#053061" alpha="255" label="-15 °C"/>
          <item value="-10" color="#2166ac" alpha="255" label="-10 °C"/>
          <item value="-6" color="#4393c3" alpha="255" label="-6 °C"/>
          <item value="-3" color="#92c5de" alpha="255" label="-3 °C"/>
          <item value="-1.5" color="#d1e5f0" alpha="255" label="-1.5 °C"/>
          <item value="0" color="#f7f7f7" alpha="255" label="0 °C"/>
          <item value="1.5" color="#fddbc7" alpha="255" label="1.5 °C"/>
          <item value="3" color="#f4a582" alpha="255" label="3 °C"/>
          <item value="6" color="#b2182b" alpha="255" label="6 °C"/>
          <rampLegendSettings useContinuousLegend="0" suffix=" °C" prefix="" minimumLabel="" maximumLabel="" orientation="2" direction="0"/>
        </colorrampshader>
      </rastershader>
    </rasterrenderer>
  </pipe>
</qgis>
