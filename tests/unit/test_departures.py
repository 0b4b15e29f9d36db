"""Departures from the paper: every choice of the table is noticed, nothing else is, and nothing is claimed unseen."""

import copy
import csv
from dataclasses import asdict

import pytest

from pti_plugin.core.common.departures import (
    BESIDE,
    departures_of,
    differences,
    held_against_paper,
    paper_choices,
    reasons,
    value_text,
)
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.reporting.report_page import Report
from pti_plugin.core.reporting.report_steps import departure_section
from support import ROOT

with open(ROOT / "resources" / "tables" / "paper_choices.csv", encoding="utf-8", newline="") as stream:
    TABLE = list(csv.DictReader(stream))
#: field of the profiles → choice of the table
OF_PROFILE = {"seasonal_test": "METHOD", "coverage": "COVERAGE", "gaps": "GAPS", "max_missing": "MAX_MISSING",
              "class_weights": "CLASS_WEIGHTS"}


def value_of(text):
    """The value of a record that stands as ``text`` in the table."""
    if text in ("yes", "no"):
        return text == "yes"
    try:
        return float(text)
    except ValueError:
        return text


def chain():
    """Records of a whole chain as the paper has it: a step for every tool and role, all read by the last one."""
    steps = []
    for tool, role in dict.fromkeys((row["tool"], row["role"]) for row in TABLE):
        if not role and any(row["tool"] == tool and row["role"] for row in TABLE):
            # the choices of any role stand in the steps of the roles
            continue
        rows = [row for row in TABLE if row["tool"] == tool and row["role"] in ("", role)]
        steps.append({"tool": tool, "role": role,
                      "choices": {row["choice"]: value_of(row["paper"]) for row in rows}})
    last = next(step for step in steps if step["tool"] == "validateboreholes")
    steps.remove(last)
    last["inputs"] = [{"role": step["role"] or "PTI", "path": "x", "step": number}
                      for number, step in enumerate(steps, 1)]
    return [*steps, last]


def test_the_paper_s_own_chain_departs_in_nothing():
    held = held_against_paper(chain())
    assert held.as_published and not (held.departures or held.unknown or held.absent)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['tool']}-{row['role']}-{row['choice']}")
def test_every_planted_departure_is_found_alone(row):
    steps = chain()
    number, step = next((number, step) for number, step in enumerate(steps, 1)
                        if step["tool"] == row["tool"] and row["role"] in ("", step["role"]))
    value = step["choices"][row["choice"]]
    planted = not value if isinstance(value, bool) else value + 1 if isinstance(value, float) else f"{value} or so"
    step["choices"][row["choice"]] = planted
    held = held_against_paper(steps)
    assert not held.as_published and not held.unknown and not held.absent
    departure, = held.departures
    assert (departure.step, departure.choice.tool, departure.choice.choice) == (number, row["tool"], row["choice"])
    assert departure.used == value_text(planted) and departure.choice.value == row["paper"]
    assert departures_of(row["tool"], step["choices"], [step["role"]]) == {
        row["choice"]: {"used": planted, "as_published": row["paper"]}}


def page_of(steps):
    """The section of the report as text."""
    report = Report("A title")
    departure_section(report, steps)
    return report.to_html()


def test_the_report_calls_nothing_but_the_paper_s_own_chain_the_paper_s():
    whole = "Every step of the paper was run, and no choice that the paper states was made otherwise."
    assert whole in page_of(chain())
    for row in TABLE:
        for planted in (True, False):
            steps = chain()
            step = next(step for step in steps if step["tool"] == row["tool"] and row["role"] in ("", step["role"]))
            if planted:
                step["choices"][row["choice"]] = "another"
            else:
                del step["choices"][row["choice"]]
            text = page_of(steps)
            assert whole not in text, row
            assert ("Choices that depart from the paper" if planted else f"does not hold {row['choice']}") in text, row
    without = [step for step in chain()[:-1] if step["tool"] != "samplepoints"]
    last = chain()[-1]
    last["inputs"] = last["inputs"][:len(without)]
    assert whole not in page_of([*without, last])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['tool']}-{row['role']}-{row['choice']}")
def test_a_choice_that_is_not_on_record_is_not_called_the_paper_s(row):
    steps = chain()
    for step in steps:
        if step["tool"] == row["tool"] and row["role"] in ("", step["role"]):
            del step["choices"][row["choice"]]
    held = held_against_paper(steps)
    assert not held.as_published and not held.departures
    assert {(tool, choice) for _, tool, choice in held.unknown} == {(row["tool"], row["choice"])}


def test_a_step_that_was_not_run_is_named():
    steps = [step for step in chain() if step["tool"] != "samplepoints"]
    for entry, number in zip(steps[-1]["inputs"], range(1, len(steps))):
        entry["step"] = number
    steps[-1]["inputs"] = [{"role": step.get("role") or "PTI", "path": "x", "step": number}
                           for number, step in enumerate(steps[:-1], 1)]
    held = held_against_paper(steps)
    assert held.absent == (("samplepoints", ""),) and not held.as_published
    assert not held_against_paper([]).as_published


def test_steps_that_only_stand_beside_the_map_do_not_count():
    steps = chain()
    of_magt = next(step for step in steps if step["role"] == "MAGT_TREND")
    beside = [{"tool": "trendrasters", "choices": {**of_magt["choices"], "FIRST_YEAR": 2003}, "inputs": []},
              {"tool": "compareprofiles", "choices": {}, "inputs": [{"role": "SECOND", "path": "x", "step": 1}]}]
    last = copy.deepcopy(steps[-1])
    for entry in last["inputs"]:
        entry["step"] += len(beside)
    for role in sorted(BESIDE):
        last["inputs"].append({"role": role, "path": "x", "step": 2})
    assert held_against_paper([*beside, *steps[:-1], last]).as_published


def test_the_profile_as_published_is_the_table_and_the_other_has_reasons():
    published, defensible = asdict(AS_PUBLISHED), asdict(DEFENSIBLE)
    choices = {row["choice"] for row in TABLE}
    for field, value in published.items():
        if field == "name":
            continue
        choice = OF_PROFILE.get(field, field if field in choices else field.upper())
        values = {row["paper"] for row in TABLE if row["choice"] == choice}
        assert values == {value_text(value)}, field
        if defensible[field] != value:
            given = [reason for (_, name), reason in reasons().items() if name == choice]
            assert given and all(len(reason) > 60 and reason.endswith(".") for reason in given), field


def test_the_table_asks_the_samples_of_the_paper_s_table_3():
    with open(ROOT / "resources" / "tables" / "sampling_rules.csv", encoding="utf-8", newline="") as stream:
        rules = list(csv.DictReader(stream))
    asked = {row["choice"]: row["paper"] for row in TABLE if row["tool"] == "samplepoints"}
    assert asked["PER_CLASS"] == ", ".join(f"{rule['rank']}: {rule['samples']}" for rule in rules)
    assert asked["SPACING"] == "25, 40: 10" and asked["EDGE_BUFFER"] == "10, 40: 5"
    assert {(rule["spacing_km"], rule["edge_buffer_km"]) for rule in rules if rule["rank"] != "40"} == {("25", "10")}
    assert len(paper_choices()) == len(TABLE)


def test_two_runs_differ_in_what_their_records_say():
    first, second = chain(), chain()
    assert differences(first, second) == []
    changed = next(step for step in second if step["tool"] == "buildpti")
    changed["choices"]["COLD"] = -4
    second = [step for step in second if step["tool"] != "samplepoints"]
    second[-1]["inputs"] = [{"role": step.get("role") or "PTI", "path": "x", "step": number}
                            for number, step in enumerate(second[:-1], 1)]
    first[0]["inputs"] = [{"role": "PP", "path": "a.tif", "sha256": "aa"}]
    second[0]["inputs"] = [{"role": "PP", "path": "b.tif", "sha256": "bb"}]
    found = {(each.tool, each.choice): (each.first, each.second) for each in differences(first, second)}
    assert found[("buildpti", "COLD")] == ("-3", "-4")
    assert found[("samplepoints", "step")] == ("run", "not run")
    files, = [values for (_, choice), values in found.items() if choice == "files as PP"]
    assert len(found) == 3 and files[0] != files[1]
