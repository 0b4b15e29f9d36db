"""Permafrost Thaw Index (PTI): a QGIS plugin for permafrost thaw from open satellite products."""


def classFactory(iface):
    """Return the plugin; QGIS calls this when it loads the folder, qgis_process without a window."""
    if iface is None:
        # first of all: loading the rest takes the better part of a second
        from .interruption import end_by_signal
        end_by_signal()
    from .plugin import PtiPlugin
    return PtiPlugin(iface)
