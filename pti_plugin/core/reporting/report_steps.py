"""The sections of the report that stand on the records of a run: trends, departures from the paper, steps, citing."""

from ..common.departures import held_against_paper, readers, value_text
from ..common.profiles import ALWAYS
from ..ensembles.features import PREDICTORS
from ..rasters.products import read_products
from ..rasters.recognition import recognise
from ..series.trends import RISKY_LAG_1
from .report_page import MOST_INPUTS, NUMBER, YEAR, Column, file_name

TRENDS = "trendrasters"
#: role under which a step reads a trend → what it is a trend of, where that is no predictor
_INDEX_TRENDS = {"MAGT_TREND": "mean annual ground temperature (MAGT)", "ALT_TREND": "active layer thickness (ALT)"}
_METHODS = {"original": "Mann-Kendall", "hirsch_slack": "Mann-Kendall with the variance of Hirsch and Slack"}


def trend_section(report, steps, sources):
    """Add what every trend upstream of the map found, from the records of the trend tool."""
    report.section("Trends")
    rows = [_trend_row(number, step, steps) for number, step in enumerate(steps, 1)
            if step.get("tool") == TRENDS and (step.get("results") or {}).get("cells")]
    if not rows:
        report.paragraph("No trend was given: no record of the trend tool was found behind the map.")
        return
    report.table([Column("step", "Step", "", 0), Column("what", "Trend of"), Column("years", "From, to", kind=NUMBER),
                  Column("layers", "Layers", "", 0), Column("test", "Test"), Column("alpha", "α", "", 3),
                  Column("up", "Rise", "%", 1), Column("down", "Fall", "%", 1), Column("none", "No trend", "%", 1),
                  Column("tested", "Tested", "cells", 0), Column("untestable", "Not testable", "%", 1),
                  Column("risky", "At risk", "%", 1)],
                 rows, "Trends behind the map", source=sources.get("record"),
                 note=f"Rise, fall and no trend: shares of the cells tested, significant at α. Not testable: share of "
                      f"the cells with any value. At risk: cells tested whose lag-1 autocorrelation is beyond "
                      f"±{RISKY_LAG_1:g}, where plain Mann-Kendall finds trends too often.")
    report.paragraph("With no trend at all a share of α would still come out as significant: half of it as rise, half "
                     "as fall.")


def _trend_row(number, step, steps):
    results, parameters = step["results"], step.get("parameters") or {}
    cells = results["cells"]
    tested = sum(cells.get(name, 0) for name in ("up", "down", "none"))
    untestable = cells.get("few", 0) + cells.get("variance", 0)
    shares = {name: 100 * cells.get(name, 0) / tested if tested else None for name in ("up", "down", "none", "risky")}
    method = results.get("method", "")
    test = _METHODS.get(method, f"Mann-Kendall, {method.replace('_', ' ')}")
    period = parameters.get("PERIOD") or 1
    if period > 1:
        test = f"Seasonal {test} ({period} a year)"
    if results.get("fdr"):
        test += ", false-discovery control"
    return {"step": number, "what": _trend_of(number, step, steps), "test": test, "alpha": parameters.get("ALPHA"),
            "years": " to ".join(str(results[end]) for end in ("first", "last") if results.get(end)),
            "layers": results.get("layers"), "tested": tested,
            "untestable": 100 * untestable / (tested + untestable) if tested + untestable else None, **shares}


def _trend_of(number, step, steps):
    """Return what a trend is of, by the role under which later steps read it, else by its first layer."""
    for later in steps:
        for entry in later.get("inputs") or ():
            role = str(entry.get("role", ""))
            if entry.get("step") == number and role in _INDEX_TRENDS:
                return _INDEX_TRENDS[role]
            if entry.get("step") == number and role.lower() in PREDICTORS:
                return PREDICTORS[role.lower()].title.replace("trend of ", "")
    inputs = step.get("inputs") or [{}]
    return file_name(inputs[0].get("path", ""))


def departure_section(report, steps):
    """Add every choice that departs from what the paper does, each with its reason."""
    report.section("Departures from the paper")
    held = held_against_paper(steps)
    if not steps:
        report.paragraph("Which choices were made is not known: no provenance record was given.")
    elif held.departures:
        found = {}
        for departure in held.departures:
            paper = departure.choice
            # the name of a parameter stays as it is typed
            choice = paper.choice if paper.choice.isupper() else paper.choice.replace("_", " ")
            row = (choice, departure.used, value_text(paper.value), paper.section,
                   departure.reason or "Set by the user.")
            found.setdefault(row, []).append((departure.step, paper.tool))
        report.table(["Choice", "Here", "In the paper", "Stated in", "Reason", "Tools", "Steps"],
                     [(*row, ", ".join(dict.fromkeys(tool for _, tool in made)),
                       ", ".join(str(number) for number, _ in made)) for row, made in found.items()],
                     "Choices that depart from the paper",
                     note="Steps are numbered as under 'What was run'. Where the paper does not state a choice, the "
                          "column In the paper has what its text comes closest to.")
    if steps and (held.unknown or held.absent):
        told = [f"the record of step {number} ({tool}) does not hold {choice}" for number, tool, choice in held.unknown]
        told += [f"there is no record of {tool}" + (f" for {role}" if role else "") for tool, role in held.absent]
        report.paragraph("What cannot be compared with the paper: " + "; ".join(told) + ".")
    if steps and held.as_published:
        report.paragraph("Every step of the paper was run, and no choice that the paper states was made otherwise.")
    elif steps and not held.departures:
        report.paragraph("None of the choices that are on record departs from the paper.")
    report.table(["Choice", "Here", "In the paper", "Reason"], [tuple(departure) for departure in ALWAYS],
                 "Departures of every run, whatever the profile")


def run_section(report, steps, sources):
    """Add every step with its inputs, checksums, versions and parameters, folded on the screen."""
    report.section("What was run")
    if not steps:
        report.paragraph("No provenance record was given, so this page cannot say which inputs and parameters stand "
                         "behind it.")
        return
    source = sources.get("record")
    report.paragraph("Every step behind the map for which a record was found, in the order in which one needs the "
                     "other. Each is unfolded by a click; in print all are open.")
    versions = {}
    for step in steps:
        for name, value in {"plugin": step.get("plugin_version"), **(step.get("versions") or {})}.items():
            if value:
                versions.setdefault(name, dict.fromkeys([str(value)]))[str(value)] = None
    report.paragraph("Versions, over all steps: "
                     + ", ".join(f"{name} {' and '.join(values)}" for name, values in versions.items()) + ".")
    report.table([Column("step", "Step", "", 0), Column("tool", "Tool"), Column("made", "Made"),
                  Column("read", "Read by"), Column("profile", "Profile"), Column("seed", "Seed", kind=YEAR)],
                 [{"step": number, "tool": step.get("tool"), "profile": step.get("profile"), "seed": step.get("seed"),
                   "read": _readers(number, steps),
                   "made": ", ".join(file_name(path) for path in (step.get("outputs") or {}).values())}
                  for number, step in enumerate(steps, 1)], "Steps of the run", source=source)
    for number, step in enumerate(steps, 1):
        _step_fold(report, number, step, source)


def _readers(number, steps):
    """Return which later steps read the outputs of a step, and as what."""
    roles = {}
    for later, role in readers(number, steps):
        roles.setdefault(later, {})[role] = None
    return "; ".join(f"{later} as {', '.join(of_step)}" for later, of_step in roles.items())


def _step_fold(report, number, step, source):
    tool = f"step {number}, {step.get('tool', 'run')}"
    report.fold(f"Step {number}: {step.get('tool', 'run')}"
                + (f", profile {step['profile']}" if step.get("profile") else ""))
    parameters = [(name, value) for name, value in (step.get("parameters") or {}).items()
                  if value not in (None, "", [])]
    if parameters:
        report.key_values(parameters, f"Parameters of {tool}; those left empty are not listed", source=source)
    inputs = step.get("inputs") or []
    if inputs:
        made_by = any(entry.get("step") for entry in inputs)
        more = len(inputs) - MOST_INPUTS
        report.table([Column("role", "Role"), Column("file", "File"),
                      *([Column("step", "From step", "", 0)] if made_by else []),
                      Column("size_bytes", "Size", "bytes", 0), Column("sha256", "SHA-256")],
                     [dict(entry, file=file_name(entry.get("path", ""))) for entry in inputs[:MOST_INPUTS]],
                     f"Inputs of {tool}", source=source,
                     note=f"{more:,} more stand in the record." if more > 0 else None)


def cite_section(report, steps, citations=()):
    """Add what to cite: the method, its data, this plugin, the products read by the steps, and the stations.

    ``citations``: (file, how to cite it, licence) of station tables that state it.
    """
    report.section("How to cite")
    report.paragraph("The method: Guo, D., Wang, C. and Zang, S.: An Ensemble Dataset of Permafrost Thaw Conditions "
                     "for Northern High Latitudes Using Open Satellite Data, 2026. Its published data: "
                     "https://doi.org/10.5281/zenodo.19148960")
    version = next((step["plugin_version"] for step in reversed(steps) if step.get("plugin_version")), None)
    named = f"Permafrost Thaw Index (PTI), QGIS plugin{f', version {version}' if version else ''}"
    report.paragraph(f"The software: {named}. Say which profile was used and how it departs from the paper.")
    report.paragraph("The products: this map is made of other people's data, each with its own licence and citation. "
                     "Cite every product that the inputs under 'What was run' hold.")
    products = products_used(steps)
    if products:
        report.table([Column("title", "Product"), Column("input", "Input of the method"), Column("files", "Files")],
                     products, "Products that inputs are named like")
    else:
        report.paragraph("None of the inputs is named like a product of the method, so this page cannot list them.")
    for path, citation, licence in citations:
        report.paragraph(f"Stations of {file_name(path)}: {citation}" + (f" Licence: {licence}." if licence else ""))


def mean_units(steps):
    """Return {name of a predictor: the unit of its means by zone} from the records of zone tables.

    Records that do not state it are of means in the unit that the predictor stack had before scaling.
    """
    units = {str(predictor.get("role")): str(predictor.get("unit") or "") for step in steps
             if step.get("tool") == "predictorstack" for predictor in (step.get("results") or {}).get("predictors", ())}
    for step in steps:
        if step.get("tool") == "summarizezones":
            stated = (step.get("results") or {}).get("units") or {}
            units.update({name[len("mean_"):]: unit or "" for name, unit in stated.items() if name.startswith("mean_")})
    return {name: _typeset(unit) for name, unit in units.items()}


def _typeset(unit):
    for plain_text, text in (("cm3", "cm³"), ("dm3", "dm³"), ("10^-3", "10⁻³"), ("degC", "°C"), ("degree", "°")):
        unit = unit.replace(plain_text, text)
    return unit


def products_used(steps):
    """Return [{title, input, files}] of the products that the inputs of ``steps`` which no step made are named like.

    A step that was told its product by name counts for all of its inputs.
    """
    known = read_products()
    found = {}
    for step in steps:
        stated = known.get((step.get("parameters") or {}).get("PRODUCT"))
        for entry in step.get("inputs") or ():
            if entry.get("step"):
                continue
            name = file_name(entry.get("path", ""))
            product = stated if stated and entry.get("role") == "INPUT" else recognise(known, name)
            if product:
                found.setdefault(product.title, (product.input, []))[1].append(name)
    return [{"title": title, "input": number, "files": _some(sorted(set(names)))}
            for title, (number, names) in sorted(found.items())]


def _some(names):
    return names[0] if len(names) == 1 else f"{len(names):,} files, {names[0]} to {names[-1]}"
