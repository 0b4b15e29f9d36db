"""Writes resources/layouts/pti_map.qpt, the layout of the PTI map without a map, for the layout manager of QGIS.

Usage: QT_QPA_PLATFORM=offscreen python scripts/build_layout.py (with QGIS 3.22, whose templates all later ones open)
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "resources" / "layouts" / "pti_map.qpt"
SOUTH = 45


def layout():
    """Return the layout and the project it belongs to; needs a running QgsApplication."""
    sys.path.insert(0, str(ROOT))
    from qgis.core import QgsProject

    from pti_plugin.algorithms.map_layout import MapTexts, View, map_layout
    from pti_plugin.core.rasters.grid import epsg_wkt
    from pti_plugin.core.reporting.polar_map import EASE_GRID_NORTH, frame_to

    project, frame = QgsProject(), frame_to(epsg_wkt(EASE_GRID_NORTH), SOUTH)
    made, _ = map_layout(project, View(frame, frame.bounds, True), MapTexts(
        "Permafrost Thaw Index", "Northern high latitudes", (f"Projection: {frame.projection_name}",)))
    return made, project


if __name__ == "__main__":
    from qgis.core import QgsApplication

    application = QgsApplication([], True)
    application.initQgis()
    made, _project = layout()
    from pti_plugin.algorithms.map_layout import template_text

    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(template_text(made), encoding="utf-8")
    sys.stdout.flush()
    # QGIS's objects outlive Python's in no order that always ends well
    os._exit(0)
