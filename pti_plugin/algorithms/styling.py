"""Puts the styles of core.reporting.output_styles where QGIS takes them: beside the file, and on what Processing loads.

Processing does not take the style beside a file, so a post-processor a layer brings it.
"""

from qgis.core import QgsProcessingLayerPostProcessorInterface, QgsRasterBandStats, QgsRasterLayer
from qgis.PyQt.QtXml import QDomDocument

from ..core.common.styles import style_path
from ..core.reporting.output_styles import stated, style_qml

#: cells that the range of a ramp is taken from, at most
_SAMPLE = 250_000


class _Styler(QgsProcessingLayerPostProcessorInterface):
    """Styles one layer when it is loaded; ``text`` is its style as QML where that is known before."""

    #: QGIS does not keep Python post-processors alive; the newest ones are kept here
    kept = []

    def __init__(self, tool, output, text=None):
        super().__init__()
        self._tool, self._output, self._text = tool, output, text
        self.kept.append(self)
        del self.kept[:-64]

    def postProcessLayer(self, layer, context, feedback):
        """Give the layer its renderer."""
        statistics = (lambda: _statistics(layer)) if isinstance(layer, QgsRasterLayer) else None
        text = self._text or style_qml(self._tool, self._output, layer.source(), statistics=statistics)
        if text:
            apply_style(layer, text)


def apply_style(layer, text):
    """Give a layer the style of a QML text."""
    document = QDomDocument()
    document.setContent(text)
    layer.importNamedStyle(document)
    layer.triggerRepaint()


def _statistics(layer):
    found = layer.dataProvider().bandStatistics(
        1, QgsRasterBandStats.Min | QgsRasterBandStats.Max | QgsRasterBandStats.Mean | QgsRasterBandStats.StdDev,
        layer.extent(), _SAMPLE)
    return found.minimumValue, found.maximumValue, found.mean, found.stdDev


def style_beside(staging, tool, output, path, progress):
    """Stage the style file of an output and return its text, or None where its range is known only to a layer."""
    if not stated(tool, output):
        return None
    text = style_qml(tool, output, staging.partial(path), progress.check)
    if text:
        staging.write_text(style_path(path), text)
    return text


def style_on_completion(context, tool, output, path, text=None):
    """Have the layer of ``path`` styled, where Processing is going to load it."""
    if stated(tool, output) and context.willLoadLayerOnCompletion(path):
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(_Styler(tool, output, text))
