"""Writes docs/tools.md from the tools themselves, so that the page cannot lag behind them.

Usage: QT_QPA_PLATFORM=offscreen PYTHONPATH=. python scripts/build_docs.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tools.md"


def page():
    """Return the text of the page; QgsApplication must be up."""
    sys.path.insert(0, str(ROOT))
    from pti_plugin.provider import ALGORITHMS
    lines = ["# The tools", "",
             "Every tool is in the Processing toolbox under *Permafrost Thaw Index (PTI)*, can be used in the "
             "graphical modeler, and runs on the command line as `qgis_process run pti:<id> -- NAME=value …`. A list "
             "of rasters is given by repeating its name. This page is made from the tools by `scripts/build_docs.py`.", ""]
    for algorithm in [create() for create in ALGORITHMS]:
        algorithm.initAlgorithm()
        lines += [f"## {algorithm.name()}", "", f"**{algorithm.displayName()}** (group *{algorithm.group()[2:]}*). "
                  f"{algorithm.shortDescription()}", "", algorithm.HELP, "", "| Parameter | What it is | Default |",
                  "|---|---|---|"]
        for parameter in algorithm.parameterDefinitions():
            default = parameter.defaultValue()
            stated = "" if default in (None, "") or parameter.isDestination() else f"`{default}`"
            optional = " *(optional)*" if parameter.flags() & parameter.FlagOptional else ""
            lines.append(f"| `{parameter.name()}` | **{parameter.description()}**{optional}. {parameter.help()} | "
                         f"{stated} |")
        lines.append("")
    return "\n".join(lines)


def main():
    """Write the page."""
    from qgis.core import QgsApplication
    application = QgsApplication([], False)
    application.initQgis()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
