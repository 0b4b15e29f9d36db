"""A map is compared with the thresholds it was made with, as far as its records tell them."""

import json

import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.record_file import record_path
from pti_plugin.core.insitu.map_thresholds import map_thresholds, parse_thresholds

OTHERS = {"COLD": -4.0, "COOL": -2, "WARM": 2.5, "ISOLATED": 20.0}


def made_by(output, tool, parameters=None, inputs=()):
    """Write a file and the record of the step that made it; return its path."""
    output.write_bytes(b"made")
    record = {"tool": tool, "finished": "2026-01-01T00:00:00+00:00", "parameters": parameters or {},
              "inputs": [{"role": role, "path": str(path)} for role, path in inputs],
              "outputs": {"OUTPUT": str(output)}}
    with open(record_path(output), "w", encoding="utf-8") as stream:
        json.dump(record, stream)
    return output


def values(thresholds):
    return thresholds.cold, thresholds.cool, thresholds.warm, thresholds.isolated


def test_an_index_has_them_in_its_own_record(tmp_path):
    found, source = map_thresholds(made_by(tmp_path / "pti.tif", "buildpti", OTHERS))
    assert values(found) == (-4.0, -2.0, 2.5, 20.0) and "pti.tif" in source


def test_a_predicted_map_has_those_of_the_index_its_model_learned_from(tmp_path):
    index = made_by(tmp_path / "index.tif", "buildpti", OTHERS)
    samples = made_by(tmp_path / "samples.gpkg", "samplepoints", {}, [("PTI", index)])
    model = made_by(tmp_path / "model.ptimodel", "trainxgboost", {}, [("SAMPLES", samples)])
    predicted = made_by(tmp_path / "map.tif", "predictxgboost", {}, [("STACK", tmp_path / "gone"), ("MODEL", model)])
    assert values(map_thresholds(predicted)[0]) == (-4.0, -2.0, 2.5, 20.0)


def test_an_index_that_only_stands_beside_a_predicted_map_is_not_the_one_it_learned(tmp_path):
    index = made_by(tmp_path / "index.tif", "buildpti", OTHERS)
    here = made_by(tmp_path / "here.tif", "buildpti", dict(zip(OTHERS, (-3.0, -1.5, 3.0, 10.0))))
    model = made_by(tmp_path / "model.ptimodel", "trainxgboost", {}, [("PTI", index)])
    beside = [("BASE", here), ("REFERENCE", here)]
    predicted = made_by(tmp_path / "map.tif", "predictxgboost", {}, [("MODEL", model), *beside])
    warped = made_by(tmp_path / "warped.tif", "alignrasters", {}, [("INPUT", predicted)])
    for path in (predicted, warped):
        assert values(map_thresholds(path)[0]) == (-4.0, -2.0, 2.5, 20.0)
    alone = made_by(tmp_path / "alone.tif", "predictxgboost", {}, [("MODEL", tmp_path / "gone"), *beside])
    assert "no record" in map_thresholds(alone)[1]


def test_without_a_record_they_are_the_papers_and_that_is_said(tmp_path):
    bare = tmp_path / "bare.tif"
    bare.write_bytes(b"made")
    for path in (bare, made_by(tmp_path / "other.tif", "buildpti", {"COLD": "?"}),
                 made_by(tmp_path / "predicted.tif", "predictxgboost", {}, [("MODEL", tmp_path / "gone")])):
        found, source = map_thresholds(path)
        assert values(found) == (-3.0, -1.5, 3.0, 10.0) and "no record" in source


def test_thresholds_as_text_are_read_or_refused():
    assert values(parse_thresholds("-4; -2;2.5 ; 20")) == (-4.0, -2.0, 2.5, 20.0)
    for text, told in (("-3; -1.5; 3", "four numbers"), ("a;b;c;d", "four numbers"), ("-1; -3; 3; 10", "must rise"),
                       ("nan; -1.5; 3; 10", "must rise"), ("-3; -1.5; 3; 110", "0 to 100")):
        with pytest.raises(InputError, match=told):
            parse_thresholds(text)
