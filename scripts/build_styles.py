"""Writes resources/styles/*.qml from the plugin's own tables; run it after changing a name, a colour or a ramp there.

Usage: python scripts/build_styles.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "resources" / "styles"
#: name of the file → (tool, output) whose style it is; those whose range depends on the cells have none
FILES = {
    "pti": ("buildpti", "OUTPUT"), "pti_reason": ("buildpti", "OUTPUT_REASON"),
    "pti_difference": ("compareprofiles", "OUTPUT"), "pti_stability": ("compareprofiles", "OUTPUT_STABILITY"),
    "base_map": ("ensemblepermafrost", "OUTPUT_BASE"), "permafrost_percent": ("ensemblepermafrost", "OUTPUT_PP"),
    "magt": ("ensemblepermafrost", "OUTPUT_MAGT"), "land_cover": ("ensemblelandcover", "OUTPUT"),
    "land_cover_source": ("ensemblelandcover", "OUTPUT_SOURCE"), "trend_sign": ("trendrasters", "OUTPUT_SIGN"),
    "trend_p": ("trendrasters", "OUTPUT_P"), "trend_z": ("trendrasters", "OUTPUT_Z"),
    "trend_tau": ("trendrasters", "OUTPUT_TAU"), "agreement": ("predictxgboost", "OUTPUT_AGREEMENT"),
    "entropy": ("predictxgboost", "OUTPUT_ENTROPY"), "probability": ("predictxgboost", "OUTPUT_PROBABILITIES"),
    "applicability": ("predictxgboost", "OUTPUT_APPLICABILITY"), "top_driver": ("drivermaps", "OUTPUT"),
    "sample_points": ("samplepoints", "OUTPUT"), "stations": ("validateboreholes", "OUTPUT"),
}


def texts():
    """Return {path: text} of all style files."""
    sys.path.insert(0, str(ROOT))
    from pti_plugin.core.reporting.output_styles import style_qml
    return {FOLDER / f"{name}.qml": style_qml(*output, None) for name, output in FILES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
