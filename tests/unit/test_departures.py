"""Departures from the paper: every choice of the table is noticed, nothing else is, and nothing is claimed unseen."""

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


#: roles of the trends of the index, which the index reads itself
OF_INDEX = ("MAGT_TREND", "ALT_TREND")


def linked(steps):
    """``steps`` with their inputs: the last one reads all the others, the index its trends."""
    for step in steps:
        step["inputs"] = []
    index = next((step for step in steps if step["tool"] == "buildpti"), steps[-1])
    for number, step in enumerate(steps[:-1], 1):
        role = step.get("role")
        (index if role in OF_INDEX else steps[-1])["inputs"].append(
            {"role": role or "PTI", "path": "x", "step": number})
    return steps


def chain():
    """Records of a whole chain as the paper has it: a step for every tool and role, all behind the last one."""
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
    return linked([*steps, last])


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
    assert whole not in page_of(linked([step for step in chain() if step["tool"] != "samplepoints"]))


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
    held = held_against_paper(linked([step for step in chain() if step["tool"] != "samplepoints"]))
    assert held.absent == (("samplepoints", ""),) and not held.as_published
    assert not held_against_paper([]).as_published


def test_steps_that_only_stand_beside_the_map_do_not_count():
    steps = chain()
    of_magt = next(step for step in steps if step["role"] == "MAGT_TREND")
    beside = [{"tool": "trendrasters", "choices": {**of_magt["choices"], "FIRST_YEAR": 2003}, "inputs": []},
              {"tool": "compareprofiles", "choices": {}, "inputs": [{"role": "SECOND", "path": "x", "step": 1}]}]
    for entry in [entry for step in steps for entry in step["inputs"]]:
        entry["step"] += len(beside)
    for step in steps:
        step["inputs"] += [{"role": role, "path": "x", "step": 2} for role in sorted(BESIDE.get(step["tool"], ()))]
    assert held_against_paper([*beside, *steps]).as_published
    # nor do they stand for steps of the map that are not on record
    lost = [step for step in steps if step["tool"] != "trendrasters" and step["tool"] != "buildpti"]
    index = {"tool": "buildpti", "choices": chain()[-1]["choices"], "inputs": []}
    linked(lost)[-1]["inputs"].append({"role": "OTHER_MAPS", "path": "x", "step": len(lost)})
    held = held_against_paper([*lost[:-1], index, lost[-1]])
    assert not held.departures and ("buildpti", "") in held.absent


def test_the_profile_as_published_is_the_table_and_the_other_has_reasons():
    published, defensible = asdict(AS_PUBLISHED), asdict(DEFENSIBLE)
    choices = {row["choice"] for row in TABLE}
    for field, value in published.items():
        if field == "name":
            continue
        choice = OF_PROFILE.get(field, field if field in choices else field.upper())
        values = {row["paper"] for row in TABLE if row["choice"] == choice}
        assert values == {value_text(value)}, field
        own = {row["defensible"] for row in TABLE
               if row["choice"] == choice and (row["tool"], choice) != ("trendrasters", "NIGHT")}
        assert own == {value_text(defensible[field]) if defensible[field] != value else ""}, field
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
    second = linked([step for step in second if step["tool"] != "samplepoints"])
    first[0]["inputs"] = [{"role": "PP", "path": "a.tif", "sha256": "aa"}]
    second[0]["inputs"] = [{"role": "PP", "path": "b.tif", "sha256": "bb"}]
    found = {(each.tool, each.choice): (each.first, each.second) for each in differences(first, second)}
    assert found[("buildpti", "COLD")] == ("-3", "-4")
    assert found[("samplepoints", "step")] == ("on record", "no record")
    files, = [values for (_, choice), values in found.items() if choice == "files as PP"]
    assert len(found) == 3 and files[0] != files[1]


def aligned(*resampling, tool="ensemblepermafrost"):
    """Records of a step that reads several alike."""
    return [*({"tool": "alignrasters", "choices": {"RESAMPLING": way}, "inputs": []} for way in resampling),
            {"tool": tool, "choices": {}, "inputs": [{"role": "PP", "path": "x", "step": number}
                                                     for number in range(1, len(resampling) + 1)]}]


def test_of_several_steps_that_are_read_alike_those_that_differ_are_told():
    assert differences(aligned("mode", "average"), aligned("average", "mode")) == []
    found, = differences(aligned("mode", "average", "nearest"), aligned("average", "bilinear", "nearest"))
    assert (found.text, found.first, found.second) == ("alignrasters (PP): RESAMPLING", "mode", "bilinear")
    found, = differences(aligned("mode", "mode"), aligned("mode"))
    assert (found.choice, found.first, found.second) == ("step", "on record", "no record")


def predicted(role_of_index, **choices):
    """Records of a map whose index is read by its model, and by the prediction as one more role."""
    return [{"tool": "buildpti", "choices": {"COLD": -3.0, **choices}, "inputs": []},
            {"tool": "trainxgboost", "choices": {}, "inputs": [{"role": "PTI", "path": "x", "step": 1}]},
            {"tool": "predictxgboost", "choices": {}, "inputs": [{"role": "MODEL", "path": "x", "step": 2},
                                                                 {"role": role_of_index, "path": "x", "step": 1}]}]


@pytest.mark.parametrize("roles", [("BASE", "REFERENCE"), ("REFERENCE", "EXCLUDE"), ("BASE", "BASE")])
def test_a_step_is_compared_though_one_run_reads_it_under_another_role_too(roles):
    found, = differences(predicted(roles[0]), predicted(roles[1], COLD=-4.0))
    assert (found.tool, found.choice, found.first, found.second) == ("buildpti", "COLD", "-3", "-4")


def test_every_digit_of_a_number_counts():
    first, second = aligned(), aligned()
    first[0]["choices"], second[0]["choices"] = {"SEED": 20260101}, {"SEED": 20260102}
    found, = differences(first, second)
    assert (found.first, found.second) == ("20260101", "20260102")
    steps = chain()
    next(step for step in steps if step["tool"] == "buildpti")["choices"]["COLD"] = -3.0000001
    assert [departure.used for departure in held_against_paper(steps).departures] == ["-3.0000001"]


def test_what_a_record_does_not_hold_is_not_called_empty():
    first, second = aligned("mode"), aligned("mode")
    del first[0]["choices"]["RESAMPLING"]
    second[1].pop("choices")
    found, = differences(first, second)
    assert (found.choice, found.first, found.second) == ("RESAMPLING", "not on record", "mode")


def test_files_beside_the_one_that_is_named_count():
    """As the members of a virtual raster."""
    def read(member):
        return [{"tool": "buildpti", "choices": {}, "inputs": [
            {"role": "MAGT", "path": "x.vrt", "sha256": "aa", "files": [{"path": "y.tif", "sha256": member}]}]}]

    assert differences(read("bb"), read("bb")) == []
    assert [each.choice for each in differences(read("bb"), read("cc"))] == ["files as MAGT"]


def test_the_reason_of_the_profile_is_given_for_its_own_value_only():
    for row in TABLE:
        if not row["defensible"]:
            continue
        steps = chain()
        step = next(step for step in steps if step["tool"] == row["tool"] and row["role"] in ("", step["role"]))
        for value, because in ((row["defensible"], reasons()[row["tool"], row["choice"]]), ("another", "")):
            step["choices"][row["choice"]] = value
            departure, = held_against_paper(steps).departures
            assert departure.reason == because
    page = chain()
    next(step for step in page if step["role"] == "MAGT_TREND")["choices"]["METHOD"] = "hamed_rao"
    assert "Set by the user." in page_of(page) and "Hirsch and Slack" not in page_of(page)
