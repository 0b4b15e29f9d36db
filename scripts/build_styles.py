"""Writes resources/styles/land_cover.qml from the table of classes; run it after changing a name or a colour there.

Usage: python scripts/build_styles.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "resources" / "styles" / "land_cover.qml"


def text():
    """Return the style as the table of classes has it."""
    sys.path.insert(0, str(ROOT))
    from pti_plugin.core.landcover import land_cover_classes
    from pti_plugin.core.styles import palette_qml
    return palette_qml(land_cover_classes())


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text(), encoding="utf-8")
