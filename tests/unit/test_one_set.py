"""Files of different runs are told by their records, and only where these contradict each other."""

import hashlib
import json
import os

import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.one_set import refuse_mixed
from pti_plugin.core.common.progress import Progress


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def step(folder, tool, outputs, inputs=(), checksums=True, finished="2026-01-01"):
    """Write outputs {name: content} and their record as a run does that reads ``inputs``, names or (name, role)."""
    entries = []
    for item in inputs:
        name, role = item if isinstance(item, tuple) else (item, "INPUT")
        entries.append({"role": role, "path": str(folder / name), "size_bytes": (folder / name).stat().st_size,
                        "sha256": digest(folder / name)})
    for name, content in outputs.items():
        (folder / name).write_text(content, encoding="utf-8")
    record = {"tool": tool, "plugin": "Permafrost Thaw Index (PTI)", "finished": finished, "inputs": entries,
              "outputs": {name: str(folder / name) for name in outputs}}
    if checksums:
        record["files_made"] = {name: {"size_bytes": 0, "sha256": digest(folder / name)} for name in outputs}
    first = os.path.splitext(next(iter(outputs)))[0]
    (folder / f"{first}.provenance.json").write_text(json.dumps(record), encoding="utf-8")


def chain(folder, run="1", steps=("stack", "index", "train", "predict")):
    """Run the steps of a chain whose results all hold the number of the run."""
    (folder / "dem.tif").write_text("raw", encoding="utf-8")
    (folder / "target.tif").write_text(f"grid {run}", encoding="utf-8")
    for name in steps:
        if name == "stack":
            step(folder, "predictorstack", {"stack.tif": f"stack {run}"}, ["dem.tif", ("target.tif", "TARGET")])
        elif name == "index":
            step(folder, "buildpti", {"index.tif": f"index {run}"}, ["dem.tif", ("target.tif", "TARGET")])
        elif name == "train":
            step(folder, "trainxgboost", {"model.ptimodel": f"model {run}", "metrics.csv": f"metrics {run}"},
                 ["index.tif", "stack.tif"])
        else:
            step(folder, "predictxgboost", {"map.tif": f"map {run}"}, ["stack.tif", "model.ptimodel"])


def check(folder, *names):
    refuse_mixed([(name.split(".")[0].upper(), str(folder / name)) for name in names], Progress())


def test_results_of_one_chain_belong_together(tmp_path):
    chain(tmp_path)
    check(tmp_path, "map.tif", "metrics.csv", "index.tif", "stack.tif", "model.ptimodel")
    os.rename(tmp_path, f"{tmp_path}-moved")
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    check(moved, "map.tif", "metrics.csv", "index.tif", "stack.tif")


def test_a_chain_that_was_run_again_with_the_same_results_belongs_together(tmp_path):
    chain(tmp_path)
    chain(tmp_path, steps=("stack", "index", "train"))
    check(tmp_path, "map.tif", "metrics.csv", "index.tif", "stack.tif")


@pytest.mark.parametrize("stopped_after, given, said", [
    # the report of an old map beside the metrics of a new model
    (("stack", "index", "train"), ("map.tif", "metrics.csv"), "different files (stack.tif|model.ptimodel)"),
    (("index",), ("map.tif", "index.tif"), "model.ptimodel was made with index.tif as it was then, and INDEX"),
    (("stack",), ("map.tif", "stack.tif"), "map.tif was made with stack.tif as it was then, and STACK"),
    (("index",), ("metrics.csv", "index.tif"), "metrics.csv was made with index.tif as it was then, and INDEX"),
    (("stack", "index", "train"), ("map.tif", "model.ptimodel"), "model.ptimodel as it was then|stack.tif"),
    (("predict",), ("map.tif", "metrics.csv"), None),
])
def test_after_a_stopped_chain_old_and_new_results_are_told_apart(tmp_path, stopped_after, given, said):
    chain(tmp_path)
    chain(tmp_path, "2", stopped_after)
    if said is None:
        check(tmp_path, *given)
    else:
        with pytest.raises(InputError, match=said):
            check(tmp_path, *given)


def test_records_without_checksums_of_what_was_made_tell_of_what_was_read(tmp_path):
    step(tmp_path, "buildpti", {"index.tif": "index 1"}, checksums=False)
    step(tmp_path, "zones", {"zones.csv": "zones 1"}, ["index.tif"], checksums=False)
    check(tmp_path, "index.tif", "zones.csv")
    (tmp_path / "index.tif").write_text("index 2", encoding="utf-8")
    with pytest.raises(InputError, match="zones.csv was made with index.tif as it was then"):
        check(tmp_path, "index.tif", "zones.csv")


def test_what_is_no_result_may_change_between_steps(tmp_path):
    (tmp_path / "presets.csv").write_text("one row", encoding="utf-8")
    step(tmp_path, "alignrasters", {"a.tif": "a"}, ["presets.csv"])
    (tmp_path / "presets.csv").write_text("two rows", encoding="utf-8")
    step(tmp_path, "alignrasters", {"b.tif": "b"}, ["presets.csv"])
    check(tmp_path, "a.tif", "b.tif")


def test_a_map_edited_since_has_no_record_and_contradicts_only_what_was_made_with_it(tmp_path):
    chain(tmp_path)
    (tmp_path / "index.tif").write_text("corrected by hand", encoding="utf-8")
    check(tmp_path, "index.tif", "stack.tif")
    with pytest.raises(InputError, match="metrics.csv was made with index.tif as it was then"):
        check(tmp_path, "index.tif", "metrics.csv")


def test_files_without_records_and_records_that_are_none_say_nothing(tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "a.provenance.json").write_text('{"outputs": {"OUTPUT": "a.tif"}, "inputs": [{"path": 3}]}',
                                                encoding="utf-8")
    check(tmp_path, "a.tif", "b.tif", "missing.tif")
