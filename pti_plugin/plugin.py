"""The plugin's shell: adds the Processing provider and takes it away again."""

from qgis.core import QgsApplication

from .provider import PtiProvider


class PtiPlugin:
    """What QGIS holds on to; ``iface`` is None when run without a window."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None

    def initProcessing(self):
        """Register the provider; also called by qgis_process, which has no window."""
        self.provider = PtiProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        # the bundled model finds its children only once the provider itself is registered
        self.provider.refreshAlgorithms()

    def initGui(self):
        """Called by QGIS with a window."""
        self.initProcessing()

    def unload(self):
        """Take the provider away again."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
