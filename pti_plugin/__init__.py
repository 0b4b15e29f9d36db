"""Permafrost Thaw Index (PTI): a QGIS plugin for permafrost thaw from open satellite products."""


def classFactory(iface):
    """Return the plugin; QGIS calls this when it loads the folder."""
    from .plugin import PtiPlugin
    return PtiPlugin(iface)
