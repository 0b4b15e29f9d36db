"""A model that comes with the plugin: a fixed id for the command line, a readable name in the toolbox."""

from qgis.core import QgsProcessingModelAlgorithm
from qgis.PyQt.QtGui import QIcon

from .core.resources import resource

#: model name (its id) → name in the toolbox
TITLES = {"fullchain": "Permafrost thaw index, full chain"}


class BundledModel(QgsProcessingModelAlgorithm):
    """A model whose display name is not its id."""

    def displayName(self):
        """Name in the toolbox."""
        return TITLES.get(self.name(), self.name())

    def icon(self):
        """The provider's icon."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self):
        """Path of the icon."""
        return str(resource("icons", "pti.svg"))

    def createInstance(self):
        """Return a copy of the model."""
        copy = BundledModel()
        copy.loadVariant(self.toVariant())
        return copy
