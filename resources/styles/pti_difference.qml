<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
        <paletteEntry value="-9" color="#023858" alpha="255" label="Second map lower by 9 ranks"/>
        <paletteEntry value="-8" color="#034570" alpha="255" label="Second map lower by 8 ranks"/>
        <paletteEntry value="-7" color="#045382" alpha="255" label="Second map lower by 7 ranks"/>
        <paletteEntry value="-6" color="#0a649b" alpha="255" label="Second map lower by 6 ranks"/>
        <paletteEntry value="-5" color="#2a78b2" alpha="255" label="Second map lower by 5 ranks"/>
        <paletteEntry value="-4" color="#4a8fc2" alpha="255" label="Second map lower by 4 ranks"/>
        <paletteEntry value="-3" color="#63a0cc" alpha="255" label="Second map lower by 3 ranks"/>
        <paletteEntry value="-2" color="#82b5da" alpha="255" label="Second map lower by 2 ranks"/>
        <paletteEntry value="-1" color="#aacde6" alpha="255" label="Second map lower by 1 rank"/>
        <paletteEntry value="0" color="#ecebe7" alpha="255" label="Same rank"/>
        <paletteEntry value="1" color="#fdc899" alpha="255" label="Second map higher by 1 rank"/>
        <paletteEntry value="2" color="#fbaa71" alpha="255" label="Second map higher by 2 ranks"/>
        <paletteEntry value="3" color="#f68d4f" alpha="255" label="Second map higher by 3 ranks"/>
        <paletteEntry value="4" color="#ee7434" alpha="255" label="Second map higher by 4 ranks"/>
        <paletteEntry value="5" color="#db5a1a" alpha="255" label="Second map higher by 5 ranks"/>
        <paletteEntry value="6" color="#c1450d" alpha="255" label="Second map higher by 6 ranks"/>
        <paletteEntry value="7" color="#a43606" alpha="255" label="Second map higher by 7 ranks"/>
        <paletteEntry value="8" color="#8a2c04" alpha="255" label="Second map higher by 8 ranks"/>
        <paletteEntry value="9" color="#6e2203" alpha="255" label="Second map higher by 9 ranks"/>
        <paletteEntry value="100" color="#8c6bb1" alpha="255" label="Ranked in the first map only"/>
        <paletteEntry value="101" color="#41ab5d" alpha="255" label="Ranked in the second map only"/>
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
