"""Writes docs/tools.md from the tools themselves, the table of origins in docs/dataset.md from the presets, and that of
the paper's choices in docs/profiles.md from the plugin's table, so that the pages cannot lag behind them.

Usage: QT_QPA_PLATFORM=offscreen PYTHONPATH=. python scripts/build_docs.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tools.md"
DATASET = ROOT / "docs" / "dataset.md"
PROFILES = ROOT / "docs" / "profiles.md"


INTRODUCTION = (
    "Every tool is in the Processing toolbox under *Permafrost Thaw Index (PTI)*, can be used in the graphical "
    "modeler, and runs on the command line as `qgis_process run pti:<id> -- NAME=value …`. A list of rasters is given "
    "by repeating its name. This page is made from the tools by `scripts/build_docs.py`.")


def page(provider):
    """Return the text of the page from the tools of a registered provider."""
    from pti_plugin.provider import ALGORITHMS
    order = [algorithm.ID for algorithm in ALGORITHMS]
    tools = sorted(provider.algorithms(), key=lambda tool: order.index(tool.name()) if tool.name() in order else 99)
    return "\n".join(["# The tools", "", INTRODUCTION, "", *(line for tool in tools for line in section(tool))])


def section(tool):
    """Return the lines about one tool."""
    from pti_plugin.algorithms.base import NAMES_HELP

    text = tool.shortHelpString().removesuffix(NAMES_HELP).rstrip()
    lines = [f"## {tool.name()}", "", f"**{tool.displayName()}** (group *{tool.group()[2:]}*). {text}", "",
             "| Parameter | What it is | Default |", "|---|---|---|"]
    for parameter in tool.parameterDefinitions():
        default = parameter.defaultValue()
        stated = "" if default in (None, "") or parameter.isDestination() else f"`{default}`"
        optional = " *(optional)*" if parameter.flags() & parameter.FlagOptional else ""
        title = f"**{parameter.description()}**{optional}"
        lines.append(f"| `{parameter.name()}` | {title}. {parameter.help()} | {stated} |")
    return [*lines, ""]


def origins():
    """Return the lines of the table of where products come from, one row per place and set of presets."""
    from pti_plugin.core.rasters.products import read_products
    rows = {}
    for product in read_products().values():
        origin = product.source
        page = f"[page]({origin.url})" if origin.url else "unknown"
        dois = ", ".join(f"[{doi}](https://doi.org/{doi})" for doi in origin.doi) or "unknown"
        row = (product.input, page, dois, origin.licence or "unknown", origin.login or "unknown",
               origin.size or "unknown", origin.assumed or "–")
        rows.setdefault(row, []).append(f"`{product.name}`")
    return ["| Presets | Row | Page | DOI | Licence | Login | Size | Assumed |", "|---|---|---|---|---|---|---|---|",
            *(f"| {', '.join(names)} | {' | '.join(row)} |" for row, names in rows.items())]


def choices():
    """Return the lines of the table of what the paper states, one row per choice."""
    from pti_plugin.core.common.departures import NOT_STATED, paper_choices, reasons, value_text
    why, rows = reasons(), {}
    for paper in paper_choices():
        key = (paper.tool, paper.choice, value_text(paper.value), paper.section)
        rows.setdefault(key, []).append(f"`{paper.role}`" if paper.role else "")
    lines = ["| Tool | Choice | For | In the paper | Section | Why `defensible` departs |", "|---|---|---|---|---|---|"]
    for (tool, choice, value, section), roles in rows.items():
        stated = f"*{NOT_STATED}*" if section == NOT_STATED else section
        reason = why.pop((tool, choice), "")
        lines.append(f"| `{tool}` | `{choice}` | {', '.join(roles)} | {value} | {stated} | {reason} |")
    return lines


def between(page, mark, lines):
    """Return the text of a page with ``lines`` between <!-- mark --> and <!-- /mark -->."""
    first, last = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(first)
    return "\n".join([before + first.strip(), *lines, last + rest.partition(last)[2]])


def dataset_page():
    """Return the text of docs/dataset.md with the table of origins as it should be."""
    return between(DATASET, "products", origins())


def profiles_page():
    """Return the text of docs/profiles.md with the table of the paper's choices as it should be."""
    return between(PROFILES, "choices", choices())


def main():
    """Write the page."""
    from qgis.core import QgsApplication
    application = QgsApplication([], False)
    application.initQgis()
    sys.path.insert(0, str(ROOT))
    from pti_plugin.provider import PtiProvider
    provider = PtiProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    provider.refreshAlgorithms()
    PAGE.write_text(page(provider), encoding="utf-8")
    DATASET.write_text(dataset_page(), encoding="utf-8")
    PROFILES.write_text(profiles_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
