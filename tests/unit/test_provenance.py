"""The record beside a result holds enough to run it again."""

import hashlib
import json
import os
import re

import numpy as np
import pytest

from pti_plugin.core.common import provenance
from pti_plugin.core.common.one_set import refuse_mixed
from pti_plugin.core.common.profiles import AS_PUBLISHED, DEFENSIBLE
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.provenance import (
    build_record,
    checksum,
    collect_records,
    describe_input,
    link_inputs,
    read_record,
    to_json,
)
from pti_plugin.core.common.record_file import record_path, record_paths
from pti_plugin.core.common.relative_paths import absolute, relative
from pti_plugin.core.common.resources import plugin_version


def made(tmp_path, profile=DEFENSIBLE, **options):
    path = tmp_path / "in.tif"
    path.write_bytes(b"some raster")
    progress = Progress()
    progress.warn("12 cells have no MAGT.")
    return path, build_record("buildpti", {"COLD": -3.0, "PROFILE": 0}, [("MAGT", path)],
                              {"OUTPUT": tmp_path / "out.tif", "OUTPUT_REASON": None}, profile, progress, **options)


def test_inputs_have_size_and_checksum(tmp_path):
    path, record = made(tmp_path)
    assert record["inputs"] == [{"role": "MAGT", "path": str(path), "size_bytes": 11,
                                 "sha256": hashlib.sha256(b"some raster").hexdigest()}]


def test_large_files_are_summed_in_parts(tmp_path):
    content = os.urandom(9 << 20)
    (tmp_path / "large").write_bytes(content)
    assert checksum(tmp_path / "large", Progress()) == hashlib.sha256(content).hexdigest()


def test_a_variable_of_a_file_is_described_by_the_file(tmp_path):
    (tmp_path / "x.nc").write_bytes(b"netcdf")
    entry = describe_input("INPUT", f'NETCDF:"{tmp_path / "x.nc"}":T2m')
    assert entry["size_bytes"] == 6 and entry["path"].endswith(":T2m")
    assert describe_input("INPUT", "memory layer") == {"role": "INPUT", "path": "memory layer"}


def test_parameters_versions_warnings_and_results_are_there(tmp_path):
    _, record = made(tmp_path, seed=7, results={"area_km2": np.float64(3.5)})
    assert record["tool"] == "buildpti" and record["plugin_version"] == plugin_version()
    assert record["parameters"] == {"COLD": -3.0, "PROFILE": 0} and record["seed"] == 7
    assert record["outputs"] == {"OUTPUT": str(tmp_path / "out.tif")}
    assert record["warnings"] == ["12 cells have no MAGT."]
    assert {"python", "numpy", "gdal"} <= set(record["versions"])
    assert record["versions"]["numpy"] == np.__version__
    assert record["finished"].endswith("+00:00")


def test_choices_are_kept_and_those_that_depart_from_the_paper_are_listed(tmp_path):
    choices = {"COLD": -3.0, "COOL": -2.0, "report_untestable_trend": True, "UNTESTABLE": "none"}
    record = made(tmp_path, choices=choices)[1]
    assert record["profile"] == "defensible" and record["choices"] == choices
    assert record["departures_from_the_paper"] == {
        "COOL": {"used": -2.0, "as_published": "-1.5"}, "report_untestable_trend": {"used": True, "as_published": "no"}}
    record = made(tmp_path, AS_PUBLISHED, choices={"COOL": -1.5})[1]
    assert record["profile"] == "as_published" and record["departures_from_the_paper"] == {}


def test_the_record_is_found_beside_the_result(tmp_path):
    output = tmp_path / "map.v2.tif"
    assert record_path(output) == str(tmp_path / "map.v2.provenance.json")
    assert read_record(output) is None
    _, record = made(tmp_path, results={"cells": np.int64(3), "shares": np.array([1.5]).tolist(), "path": tmp_path})
    text = to_json(record, tmp_path)
    with open(record_path(output), "w", encoding="utf-8") as stream:
        stream.write(text)
    found = read_record(output)
    assert found["results"] == {"cells": 3, "shares": [1.5], "path": str(tmp_path)}
    assert {**found, "results": 0} == {**json.loads(json.dumps(record, default=str)), "results": 0}
    assert json.loads(text)["inputs"][0]["path"] == "./in.tif"
    (tmp_path / "map.v2.provenance.json").write_text("{", encoding="utf-8")
    assert read_record(output) is None


def keep(folder, tool, outputs, inputs=(), finished="2026-01-01", **more):
    """Write outputs of some bytes and the record of the step that made them beside the first."""
    folder.mkdir(exist_ok=True)
    paths = {name: folder / file for name, file in outputs.items()}
    for path in paths.values():
        if not path.exists():
            path.write_bytes(b"0123")
    record = {"tool": tool, "finished": finished, "outputs": {name: str(path) for name, path in paths.items()},
              "inputs": [{"role": role, "path": str(path), "size_bytes": 4} for role, path in inputs], **more}
    (folder / record_path(next(iter(outputs.values())))).write_text(json.dumps(record), encoding="utf-8")
    return [str(path) for path in paths.values()]


def told(steps):
    return [(step["tool"], [entry.get("step") for entry in step["inputs"]]) for step in steps]


def test_all_steps_behind_a_result_are_gathered_upstream_first_and_once(tmp_path):
    (tmp_path / "raw.tif").write_bytes(b"0123")
    base, pp = keep(tmp_path, "ensemble", {"BASE": "base.tif", "PP": "pp.tif"}, [("PP", tmp_path / "raw.tif")])
    slope, sign = keep(tmp_path / "temporary", "trend", {"SLOPE": "slope.tif", "SIGN": "sign.tif"})
    index, = keep(tmp_path, "index", {"OUTPUT": "index.tif"}, [("BASE", base), ("PP", pp), ("SIGN", sign)])
    result, = keep(tmp_path, "predict", {"OUTPUT": "map.tif"}, [("BASE", base), ("REFERENCE", index)])
    assert told(collect_records([result, index, None])) == [
        ("ensemble", [None]), ("trend", []), ("index", [1, 1, 2]), ("predict", [1, 3])]
    assert collect_records([str(tmp_path / "raw.tif"), str(tmp_path / "gone.tif")]) == []


def test_circles_end_and_the_newest_record_of_a_file_counts(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"0123")
    keep(tmp_path, "second", {"OUTPUT": "b.tif"}, [("INPUT", tmp_path / "a.tif")])
    keep(tmp_path, "first", {"OUTPUT": "a.tif"}, [("INPUT", tmp_path / "b.tif")])
    assert told(collect_records([tmp_path / "b.tif"])) == [("first", [None]), ("second", [1])]
    keep(tmp_path, "again", {"OTHER": "c.tif", "OUTPUT": "b.tif"}, finished="2026-02-02")
    assert told(collect_records([tmp_path / "b.tif"])) == [("again", [])]


def test_a_moved_folder_is_still_followed_and_a_changed_file_is_not(tmp_path):
    pp, = keep(tmp_path / "old", "ensemble", {"OUTPUT": "pp.tif"})
    keep(tmp_path / "old", "index", {"OUTPUT": "index.tif"}, [("PP", pp)])
    os.rename(tmp_path / "old", tmp_path / "new")
    assert told(collect_records([tmp_path / "new" / "index.tif"])) == [("ensemble", []), ("index", [1])]
    (tmp_path / "new" / "pp.tif").write_bytes(b"another file by now")
    assert told(collect_records([tmp_path / "new" / "index.tif"])) == [("index", [None])]


def sums(*paths):
    return {"files_made": {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in paths}}


def test_a_file_that_was_made_anew_since_has_another_record(tmp_path):
    """Of the same size, as uncompressed rasters are."""
    slope, = keep(tmp_path, "trend", {"OUTPUT": "slope.tif"}, **sums(("OUTPUT", b"0123")))
    entry = {"role": "SLOPE", "path": slope, "size_bytes": 4, "sha256": hashlib.sha256(b"0123").hexdigest()}
    keep(tmp_path, "index", {"OUTPUT": "index.tif"}, **sums(("OUTPUT", b"0123")))
    record = json.loads((tmp_path / "index.provenance.json").read_text(encoding="utf-8"))
    (tmp_path / "index.provenance.json").write_text(json.dumps({**record, "inputs": [entry]}), encoding="utf-8")
    assert told(collect_records([tmp_path / "index.tif"])) == [("trend", []), ("index", [1])]
    (tmp_path / "slope.tif").write_bytes(b"4567")
    keep(tmp_path, "trend", {"OUTPUT": "slope.tif"}, finished="2026-02-02", **sums(("OUTPUT", b"4567")))
    assert told(collect_records([tmp_path / "index.tif"])) == [("index", [None])]
    # warped over itself by another program
    (tmp_path / "index.tif").write_bytes(b"89ab")
    assert collect_records([tmp_path / "index.tif"]) == []
    # databases change when they are opened
    points, = keep(tmp_path, "samples", {"OUTPUT": "points.gpkg"}, **sums(("OUTPUT", b"4567")))
    assert told(collect_records([points])) == [("samples", [])]


@pytest.mark.parametrize("files", [[1], "y.tif", 5, [{"sha256": "aa"}], [{"path": "y.tif", "sha256": 3}]])
def test_a_record_whose_inputs_have_no_such_files_is_none(tmp_path, files):
    output, = keep(tmp_path, "index", {"OUTPUT": "index.tif"})
    record = json.loads((tmp_path / "index.provenance.json").read_text(encoding="utf-8"))
    member = {"path": "y.tif", "size_bytes": 4, "sha256": "a" * 64}
    for given, known in (([member], True), (files, False)):
        record["inputs"] = [{"role": "MAGT", "path": "x.vrt", "files": given}]
        (tmp_path / "index.provenance.json").write_text(json.dumps(record), encoding="utf-8")
        assert bool(collect_records([output])) == known
        refuse_mixed([("PTI", output)], Progress())


def test_the_search_is_bounded_and_survives_what_is_no_record(tmp_path, monkeypatch):
    before = ()
    for number in range(6):
        before = [("INPUT", keep(tmp_path, f"step{number}", {"OUTPUT": f"{number}.tif"}, before)[0])]
    (tmp_path / "bad.provenance.json").write_text("[1", encoding="utf-8")
    (tmp_path / "list.provenance.json").write_text("[1]", encoding="utf-8")
    assert len(collect_records([tmp_path / "5.tif"])) == 6
    monkeypatch.setattr(provenance, "MOST_STEPS", 3)
    assert [step["tool"] for step in collect_records([tmp_path / "5.tif"])] == ["step3", "step4", "step5"]


def test_a_new_record_is_linked_to_the_steps_before_it(tmp_path):
    pp, = keep(tmp_path, "ensemble", {"OUTPUT": "pp.tif"})
    record = {"inputs": [{"role": "PP", "path": pp}, {"role": "X", "path": str(tmp_path / "x.tif")},
                         {"role": "LAYER", "path": pp + "|layername=a"}]}
    link_inputs(record, collect_records([pp]))
    assert [entry.get("step") for entry in record["inputs"]] == [1, None, 1]


def test_every_folder_with_an_output_has_the_record_once(tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert record_paths([f"{one}/a.tif", f"{one}/b.tif", f"{two}/c.tif"]) == [
        f"{one}/a.provenance.json", f"{two}/c.provenance.json"]


# paths on the disk

SOURCES = ("/home/alice/in/a b.tif", "/data/x.tif", "/data/out", 'NETCDF:"/home/alice/x.nc":v',
           "NETCDF:/data/x.nc:v",
           "HDF4_SDS:UNKNOWN:/data/x.hdf:3", "GTIFF_DIR:1:/data/x.tif", "/vsizip//data/a.zip/in.tif",
           "/vsizip//vsicurl/https://x.org/y.zip/z", "/data/x.gpkg|layername=a", "a.tif=K; b=/data/q.tif",
           "/home/alice", "dir=/data", "/data/a:b.tif", "https://x.org/data/y", "a.tif", "EPSG:6931", "1/2",
           "C:\\data\\x.tif", "", "a, b")


@pytest.fixture
def alice(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("USERPROFILE", "/home/alice")


@pytest.mark.parametrize("folder", ["/home/alice/out", "/data/out", "/data", "/home/alice"])
def test_paths_are_written_relative_to_the_record_and_read_as_they_were(alice, folder):
    record = {"inputs": [{"role": "A", "path": source} for source in SOURCES], "outputs": dict(enumerate(SOURCES)),
              "parameters": {"INPUT": list(SOURCES), "COLD": -3.0, "SKIP": None}}
    written = relative({**record, "steps": [record]}, folder)
    text = json.dumps(written)
    assert "alice" not in text and not re.search(r'"/(home|data)', text)
    assert absolute(written, folder) == {**record, "steps": [record]}


def test_nothing_of_the_user_is_written(alice):
    """A folder with the user's name that no relative path can leave out, and paths in sentences."""
    written = relative({"inputs": [{"path": "/media/alice/disk/x.tif"}], "warnings": [
        "/home/alice/x.tif is empty.", "The file /media/alice/y and (/home/alice) differ.", "/home/alice2/x"],
        "results": {"where": "/home/alice/z"}}, "/data")
    assert written == {"inputs": [{"path": "x.tif"}], "warnings": [
        "~/x.tif is empty.", "The file /media/~/y and (~) differ.", "/home/alice2/x"], "results": {"where": "~/z"}}


def test_steps_are_found_after_all_folders_were_moved_together(tmp_path):
    """Records beside inputs and outputs in two folders; then one that was written with whole paths before."""
    for old in (False, True):
        root = tmp_path / f"before{old}"
        (root / "a").mkdir(parents=True)
        (root / "b").mkdir()
        for name in ("a/x.tif", "b/y.tif"):
            (root / name).write_bytes(b"1234")
        for folder, tool, output, inputs in (("a", "buildpti", "a/x.tif", []), ("b", "predictxgboost", "b/y.tif",
                                                                                ["a/x.tif"])):
            record = {"tool": tool, "finished": "2026-01-01", "outputs": {"OUTPUT": str(root / output)},
                      "inputs": [{"role": "PTI", "path": str(root / name), "size_bytes": 4} for name in inputs]}
            text = json.dumps(record) if old else to_json(record, root / folder)
            (root / record_path(output)).write_text(text, encoding="utf-8")
        assert tools(collect_records([root / "b/y.tif"])) == ["buildpti", "predictxgboost"]
        moved = root.rename(tmp_path / f"after{old}")
        found = tools(collect_records([moved / "b/y.tif"]))
        assert found == (["predictxgboost"] if old else ["buildpti", "predictxgboost"])


def tools(steps):
    return [step["tool"] for step in steps]
