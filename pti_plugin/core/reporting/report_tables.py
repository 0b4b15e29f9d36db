"""The tables of other tools that the report shows, read back and checked: what each column holds, and that rows which
belong together are all there."""

import re

from ..assessment.accuracy_panel import CALIBRATION, TEMPERATURE, UNTEMPERED
from ..common.errors import InputError
from ..common.ranks import BY_CODE, NO_RANK, ORDER
from ..common.schema import SENTENCE, number, one_of, optional, text
from ..common.tables import Shape, read_csv
from ..learning.feature_selection import PAPER
from ..learning.shap_table import FEATURE
from ..mapping import area_comparison, coverage

#: features that a figure of their importance can show
MOST_FEATURES = 500
#: a row of the coverage, and the kinds of a line of it
COVERAGE_LINE = r"(\w+): rank (\w+), latitude (.+)"
_COVERAGE_KINDS = {"ranked", "predicted", "incomplete", "not_predicted", "sampled"}
_CONFUSION_LINE = r"classified (\d{1,3}), reference (\d{1,3})"

_word, _words, _cell, _amount = optional(text()), optional(text(SENTENCE)), optional(number()), optional(number(0))
_rank = optional(one_of(*(number(code, code) for code in BY_CODE), number(NO_RANK, NO_RANK)))
_percent = number(0, 100)

#: parameter of the report → shape of its table
SHAPES = {
    "METRICS": Shape(
        {"section": text(), "line": text(1000), "value": _cell},
        {"low": _cell, "high": _cell, "n": _amount, "expected": _cell, "unit": _word, "meaning": _words,
         "source": _word}, frozenset({"section", "line", "unit", "meaning", "source"})),
    "SHAP": Shape(
        {"level": text(), "name": text(), "group": text(), "mean_abs_shap": _amount},
        {"share_percent": _amount, "gain_share_percent": _amount, "class": _word, "source": _word},
        frozenset({"level", "name", "group", "class", "source"})),
    "SELECTION": Shape(
        {"features": number(1, 1e6, whole=True), "mean_accuracy": _percent, "chosen": number(0, 1, whole=True)},
        {"sd_accuracy": optional(_percent), "dropped_next": _word, "source": _word, "kept": _words, "folds": _words,
         "rule": _words}, frozenset({"dropped_next", "source", "kept", "folds", "rule"})),
    "ZONES": Shape({"zone": text(1000), "cells": number(0)}, {"first_rank": _rank, "second_rank": _rank},
                   frozenset({"zone"})),
    **dict.fromkeys(("COMPARISON", "START_COMPARISON"), Shape(
        {"section": text(), "item": _words},
        {"from_rank": _rank, "to_rank": _rank, "cells": _amount, "area_km2": _amount, "share_percent": _cell,
         "cells_percent": _cell, **dict.fromkeys(("first", "second"), optional(one_of(number(), text(SENTENCE))))},
        frozenset({"section", "item"}))),
}


def read_table(name, path):
    """Return the rows of a table of SHAPES; raises InputError where it has none or is damaged."""
    rows = read_csv(path, SHAPES[name])
    if not rows:
        raise InputError(f"The table {path} has no rows. Give the CSV that the tool named in this parameter's help "
                         f"writes.")
    problem = _PROBLEMS.get(name, lambda _: "")(rows)
    if problem:
        raise InputError(f"The table {path} is damaged: {problem}. Let the tool that made it write it again.")
    return rows


def _problem_of_metrics(rows):
    for row in rows:
        section, line, value = row["section"], row["line"], row["value"]
        if section == "confusion":
            found = re.fullmatch(_CONFUSION_LINE, line)
            if not found or not {int(code) for code in found.groups()} <= set(ORDER) or value is None or not (
                    0 <= value < 1e15 and value.is_integer()):
                return f"'{line[:80]}' is no cell of a confusion matrix of the ranks"
        elif section == "accuracy" and value is not None and not 0 <= value <= 100:
            return f"'{line[:80]}' is {value:g} %"
        elif section in (CALIBRATION, UNTEMPERED) and (
                row["n"] is None or any(part is None or not 0 <= part <= 100 for part in (value, row["expected"]))):
            return f"'{line[:80]}' of the calibration lacks a number"
        elif section == TEMPERATURE and (value is None or row["meaning"] is None):
            return "the temperature of the probabilities lacks its number"
        elif section in (area_comparison.SECTION, coverage.SECTION) and value is None:
            return f"'{line[:80]}' lacks its number"
    return _problem_of_areas(rows) or _problem_of_coverage(rows)


def _problem_of_areas(rows):
    lines = {row["line"]: row for row in rows if row["section"] == area_comparison.SECTION}
    for line in lines:
        for kind in ("predicted", "adjusted"):
            if line.startswith("conceptual area of rank ") and line.replace("conceptual", kind, 1) not in lines:
                return f"'{line[:80]}' has no {kind} area beside it"
    if any(row["unit"] == "%" and row["meaning"] is None for row in lines.values()):
        return "a comparison of areas does not say what it means"
    return ""


def _problem_of_coverage(rows):
    kinds = {}
    for row in rows:
        if row["section"] == coverage.SECTION:
            found = re.fullmatch(COVERAGE_LINE, row["line"])
            if not found:
                return f"'{row['line'][:80]}' is no line of the coverage"
            kinds.setdefault(found.groups()[1:], set()).add(found.group(1))
    lacking = next((place for place, known in kinds.items() if not _COVERAGE_KINDS <= known), None)
    return f"the coverage of rank {lacking[0]}, latitude {lacking[1][:40]} is incomplete" if lacking else ""


def _problem_of_shap(rows):
    features = [row for row in rows if row["level"] == FEATURE]
    if any(row["mean_abs_shap"] is None for row in features):
        return "a predictor lacks its number"
    if len(features) > MOST_FEATURES:
        return f"it names {len(features):,} predictors, {MOST_FEATURES} at most can be shown"
    return ""


def _problem_of_selection(rows):
    chosen = sum(row["chosen"] for row in rows if row["source"] != PAPER)
    return "" if chosen == 1 else f"{chosen:g} numbers of predictors are marked as chosen, not one"


def _problem_of_start(rows):
    whole = {row["item"] for row in rows if row["section"] == "summary" and None not in (
        row["cells"], row["share_percent"])}
    lacking = [item for item in ("different rank", "higher in second map", "lower in second map") if item not in whole]
    return f"its summary lacks '{lacking[0]}'" if lacking else ""


_PROBLEMS = {"START_COMPARISON": _problem_of_start, "METRICS": _problem_of_metrics, "SHAP": _problem_of_shap,
             "SELECTION": _problem_of_selection}
