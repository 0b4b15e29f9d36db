"""Styles for what Processing loads: a post-processor a layer, because a sidecar style is not applied there."""

from qgis.core import (
    QgsColorRampShader,
    QgsPalettedRasterRenderer,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterBandStats,
    QgsRasterShader,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from ..core import drivers, landcover, permafrost, pti, ranks, trends

#: colour ramps of continuous outputs, from low to high
_COLD_TO_WARM = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")
_LIGHT_TO_DARK = ("#f7fbff", "#9ecae1", "#4292c6", "#08306b")
#: outputs whose sign matters
_SIGNED = ("OUTPUT_SLOPE", "OUTPUT_Z", "OUTPUT_S", "OUTPUT_CONTRIBUTIONS")


def _classes(table):
    return {code: (label, QColor(*rgb)) for code, (label, rgb) in table.items()}


def _palette(tool, output, path):
    if output == "OUTPUT" and tool in ("buildpti", "predictxgboost"):
        return _classes(ranks.colour_table())
    if output == "OUTPUT_REASON":
        return {code: (label, QColor(colour)) for code, (label, colour) in pti.REASONS.items()}
    if output == "OUTPUT_BASE":
        return _classes(permafrost.BASE_COLOURS)
    if output == "OUTPUT_SIGN":
        return _classes(trends.SIGN_COLOURS)
    if tool == "ensemblelandcover" and output == "OUTPUT":
        return _classes(landcover.land_cover_classes())
    if tool == "drivermaps" and output == "OUTPUT":
        return {code: (label, QColor(colour)) for code, (label, colour) in drivers.legend(path).items()}
    if output == "OUTPUT_SOURCE":
        return {code: (name, QColor(colour)) for code, (name, colour) in landcover.SOURCES.items()}
    return None


class _Styler(QgsProcessingLayerPostProcessorInterface):
    """Styles one layer when it is loaded."""

    #: QGIS does not keep Python post-processors alive; the newest ones are kept here
    kept = []

    def __init__(self, tool, output):
        super().__init__()
        self._tool, self._output = tool, output
        self.kept.append(self)
        del self.kept[:-64]

    def postProcessLayer(self, layer, context, feedback):
        """Give the layer its renderer."""
        if not hasattr(layer, "setRenderer") or not hasattr(layer.dataProvider(), "bandStatistics"):
            return
        palette = _palette(self._tool, self._output, layer.source())
        if palette:
            classes = [QgsPalettedRasterRenderer.Class(code, colour, label) for code, (label, colour)
                       in palette.items()]
            layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes))
        else:
            _ramp(layer, _COLD_TO_WARM if self._output in (*_SIGNED, "OUTPUT_MAGT") else _LIGHT_TO_DARK,
                  symmetric=self._output in _SIGNED)
        layer.triggerRepaint()


def _ramp(layer, colours, symmetric):
    statistics = layer.dataProvider().bandStatistics(
        1, QgsRasterBandStats.Min | QgsRasterBandStats.Max | QgsRasterBandStats.Mean | QgsRasterBandStats.StdDev,
        layer.extent(), 250_000)
    low = max(statistics.minimumValue, statistics.mean - 2.5 * statistics.stdDev)
    high = min(statistics.maximumValue, statistics.mean + 2.5 * statistics.stdDev)
    if symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    if not high > low:
        return
    steps = [low + (high - low) * i / (len(colours) - 1) for i in range(len(colours))]
    ramp = QgsColorRampShader(low, high)
    ramp.setColorRampItemList([QgsColorRampShader.ColorRampItem(value, QColor(colour), f"{value:.3g}")
                               for value, colour in zip(steps, colours)])
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(ramp)
    layer.setRenderer(QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, shader))


def style_on_completion(context, tool, output, path):
    """Have the layer of ``path`` styled, where Processing is going to load it."""
    if context.willLoadLayerOnCompletion(path):
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(_Styler(tool, output))
