<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <renderer-v2 type="RuleRenderer" symbollevels="0" enableorderby="1" forceraster="0">
    <rules key="stations">
      <rule key="group 0" label="Map against station">
        <rule key="rule 0" filter="&quot;match&quot; = &#x27;exact&#x27;" label="Same rank" symbol="0"/>
        <rule key="rule 1" filter="&quot;match&quot; = &#x27;one off&#x27;" label="One rank off" symbol="1"/>
        <rule key="rule 2" filter="&quot;match&quot; = &#x27;further&#x27;" label="Further off" symbol="2"/>
      </rule>
      <rule key="group 1" label="Rank of the station">
        <rule key="rule 3" filter="&quot;site_rank&quot; = 11" label="11 Cold, no positive trend" symbol="3"/>
        <rule key="rule 4" filter="&quot;site_rank&quot; = 12" label="12 Cold, one positive trend" symbol="4"/>
        <rule key="rule 5" filter="&quot;site_rank&quot; = 13" label="13 Cold, both positive" symbol="5"/>
        <rule key="rule 6" filter="&quot;site_rank&quot; = 21" label="21 Cool, no positive trend" symbol="6"/>
        <rule key="rule 7" filter="&quot;site_rank&quot; = 22" label="22 Cool, one positive trend" symbol="7"/>
        <rule key="rule 8" filter="&quot;site_rank&quot; = 23" label="23 Cool, both positive" symbol="8"/>
        <rule key="rule 9" filter="&quot;site_rank&quot; = 31" label="31 Warm, no positive trend" symbol="9"/>
        <rule key="rule 10" filter="&quot;site_rank&quot; = 32" label="32 Warm, one positive trend" symbol="10"/>
        <rule key="rule 11" filter="&quot;site_rank&quot; = 33" label="33 Warm, both positive" symbol="11"/>
        <rule key="rule 12" filter="&quot;site_rank&quot; = 40" label="40 Isolated patches" symbol="12"/>
        <rule key="rule 13" filter="&quot;site_rank&quot; IS NULL" label="No rank" symbol="13"/>
      </rule>
    </rules>
    <symbols>
      <symbol type="marker" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="5.2"/>
            <Option type="QString" name="color" value="255,255,255,255"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.45"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="dot"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="5.2"/>
            <Option type="QString" name="color" value="255,255,255,255"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.45"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="cross2"/>
            <Option type="QString" name="size" value="5.2"/>
            <Option type="QString" name="color" value="34,40,46,255"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.8"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="157,187,220,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="4" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="79,127,187,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="5" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="8,57,124,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="6" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="169,239,164,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="7" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="67,185,108,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="8" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="79,115,80,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="9" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="251,217,53,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="10" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="240,141,48,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="11" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="177,56,27,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="12" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="3.2"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
            <Option type="QString" name="color" value="112,47,87,255"/>
          </Option>
        </layer>
      </symbol>
      <symbol type="marker" name="13" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option type="QString" name="size_unit" value="MM"/>
            <Option type="QString" name="outline_width_unit" value="MM"/>
            <Option type="QString" name="outline_style" value="solid"/>
            <Option type="QString" name="name" value="circle"/>
            <Option type="QString" name="size" value="1.6"/>
            <Option type="QString" name="color" value="255,255,255,255"/>
            <Option type="QString" name="outline_color" value="34,40,46,255"/>
            <Option type="QString" name="outline_width" value="0.25"/>
          </Option>
        </layer>
      </symbol>
    </symbols>
    <orderby>
      <orderByClause asc="1" nullsFirst="0">coalesce(abs("rank_diff"), -1)</orderByClause>
    </orderby>
  </renderer-v2>
</qgis>
