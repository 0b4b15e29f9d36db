"""Ids, parameters and outputs are a promise to saved models and scripts: they are frozen in frozen_interface.json.

After a deliberate addition, freeze the new state and look at the difference before committing it:

    PTI_FREEZE=1 make test ARGS=tests/processing/test_frozen_interface.py

Nothing that stands there may be renamed, removed or change its type.
"""

import json
import os
from pathlib import Path

import pytest

FROZEN = Path(__file__).with_name("frozen_interface.json")
HOW = "If the change is meant, run PTI_FREEZE=1 make test ARGS=tests/processing/test_frozen_interface.py"

#: names promised by the design, whatever the file says
PROMISED = {
    "ensemblepermafrost": "PP MAGT TARGET OUTPUT_BASE OUTPUT_PP OUTPUT_MAGT OUTPUT_COUNT OUTPUT_SPREAD",
    "trendrasters": "INPUT PERIOD ALPHA OUTPUT_SLOPE OUTPUT_P OUTPUT_Z OUTPUT_SIGN",
    "ensemblelandcover": "CCI GLCC CAVM CROSSWALK OUTPUT OUTPUT_SOURCE",
    "buildpti": "MAGT MAGT_TREND ALT_TREND PP BASE PROFILE OUTPUT OUTPUT_REASON OUTPUT_TABLE",
    "trainxgboost": "SAMPLES PTI STACK RUNS SEED OUTPUT_MODEL OUTPUT_METRICS OUTPUT_SHAP",
    "predictxgboost": "STACK MODEL OUTPUT OUTPUT_AGREEMENT OUTPUT_ENTROPY",
    "validateboreholes": "PTI STATIONS_MAGT STATIONS_ALT MAX_DISTANCE OUTPUT OUTPUT_TABLE OUTPUT_REPORT",
}


def interface(provider):
    """Return {id: {"parameters": {name: type}, "outputs": {name: type}}} of every algorithm."""
    return {algorithm.name(): {
        "parameters": {item.name(): _type(item) for item in algorithm.parameterDefinitions()},
        "outputs": {item.name(): item.type() for item in algorithm.outputDefinitions()},
    } for algorithm in sorted(provider.algorithms(), key=lambda algorithm: algorithm.name())}


def _type(definition):
    optional = definition.flags() & definition.FlagOptional
    return definition.type() + (", optional" if optional else "")


def differences(frozen, found):
    """Return a sentence for every difference between two interfaces."""
    told = [f"{name} is gone" for name in frozen if name not in found]
    told += [f"{name} is new" for name in found if name not in frozen]
    for name in frozen:
        for part in frozen[name] if name in found else ():
            before, after = frozen[name][part], found[name][part]
            singular = part[:-1]
            told += [f"{name}: the {singular} {item} is gone" for item in before if item not in after]
            told += [f"{name}: the {singular} {item} ({after[item]}) is new" for item in after if item not in before]
            told += [f"{name}: the {singular} {item} was {before[item]} and is {after[item]}"
                     for item in before if item in after and before[item] != after[item]]
    return told


def test_interface_is_as_frozen(provider):
    found = interface(provider)
    if os.environ.get("PTI_FREEZE") == "1":
        FROZEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    told = differences(json.loads(FROZEN.read_text(encoding="utf-8")), found)
    assert not told, "\n".join([*told, HOW])


@pytest.mark.parametrize("name", PROMISED)
def test_frozen_interface_holds_what_the_design_promises(name):
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))[name]
    for promised in PROMISED[name].split():
        assert promised in frozen["parameters"], f"{name} has no {promised}"
        if promised.startswith("OUTPUT"):
            assert promised in frozen["outputs"], f"{name} has no output {promised}"


def test_each_kind_of_change_is_told():
    frozen = {"a": {"parameters": {"X": "raster", "Y": "number"}, "outputs": {"O": "outputRaster"}},
              "b": {"parameters": {}, "outputs": {}}}
    found = {"a": {"parameters": {"X": "raster, optional", "Z": "string"}, "outputs": {}},
             "c": {"parameters": {}, "outputs": {}}}
    assert differences(frozen, found) == [
        "b is gone", "c is new", "a: the parameter Y is gone", "a: the parameter Z (string) is new",
        "a: the parameter X was raster and is raster, optional", "a: the output O is gone"]
    assert differences(frozen, frozen) == []
