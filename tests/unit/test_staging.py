"""What stands at an output path after a run is that run's result, or nothing."""

import os

import numpy as np
import pytest

from pti_plugin.core.common.errors import OutputError
from pti_plugin.core.common.staging import SIDECARS, SUFFIX, Staging
from support import write_raster


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_outputs_appear_together_and_only_on_commit(tmp_path):
    with Staging() as staging:
        staging.write_text(tmp_path / "a.csv", "é\n")
        staging.write_bytes(tmp_path / "b.bin", b"\x00\x01")
        assert names(tmp_path) == ["a.csv" + SUFFIX, "b.bin" + SUFFIX]
        staging.commit()
        assert names(tmp_path) == ["a.csv", "b.bin"]
    assert names(tmp_path) == ["a.csv", "b.bin"]
    assert (tmp_path / "a.csv").read_bytes() == "é\n".encode() and (tmp_path / "b.bin").read_bytes() == b"\x00\x01"


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, OutputError])
def test_without_commit_nothing_stays_and_an_older_result_is_gone(tmp_path, error):
    (tmp_path / "a.csv").write_text("older", encoding="utf-8")
    (tmp_path / "a.csv.aux.xml").write_text("older", encoding="utf-8")
    try:
        with Staging() as staging:
            staging.write_text(tmp_path / "a.csv", "new")
            (tmp_path / ("a.csv" + SUFFIX + ".aux.xml")).write_text("by GDAL", encoding="utf-8")
            if error:
                raise error()
    except (ValueError, KeyboardInterrupt, OutputError) as raised:
        assert type(raised) is error
    assert names(tmp_path) == []


def test_errors_inside_are_not_swallowed(tmp_path):
    with pytest.raises(ZeroDivisionError), Staging() as staging:
        staging.write_text(tmp_path / "a.csv", str(1 / 0))


def test_files_that_gdal_writes_beside_a_raster_move_with_it(tmp_path):
    for ending in SIDECARS:
        (tmp_path / ("a.tif" + ending)).write_text("of the older raster", encoding="utf-8")
    with Staging() as staging:
        partial = staging.stage(tmp_path / "a.tif")
        assert names(tmp_path) == ["a.tif" + SUFFIX]
        write_raster(partial, np.ones((2, 2), dtype="uint8"))
        with open(partial + ".aux.xml", "w", encoding="utf-8") as stream:
            stream.write("<PAMDataset/>")
        staging.commit()
    assert names(tmp_path) == ["a.tif", "a.tif.aux.xml"]


def test_a_working_file_is_read_back_and_dropped(tmp_path):
    with Staging() as staging:
        staging.write_text(tmp_path / "work.csv", "x")
        staging.write_text(tmp_path / "kept.csv", "y")
        with open(staging.partial(tmp_path / "work.csv"), encoding="utf-8") as stream:
            assert stream.read() == "x"
        staging.drop(tmp_path / "work.csv")
        staging.commit()
    assert names(tmp_path) == ["kept.csv"]


def test_an_input_is_never_an_output(tmp_path):
    path = tmp_path / "in.tif"
    path.write_text("precious", encoding="utf-8")
    os.symlink(path, tmp_path / "link.tif")
    for same in (path, tmp_path / "link.tif", tmp_path / "." / "in.tif", os.path.relpath(path)):
        for inputs in ([path], [tmp_path / "link.tif"]):
            with pytest.raises(OutputError, match="is an input of this run"), Staging(inputs) as staging:
                staging.stage(same)
    assert path.read_text(encoding="utf-8") == "precious"
    with Staging([path, tmp_path / "not there.tif"]) as staging:
        staging.stage(tmp_path / "other.tif")


def test_two_outputs_of_one_name_are_refused(tmp_path):
    with pytest.raises(OutputError, match="Two outputs have the same name"), Staging() as staging:
        staging.stage(tmp_path / "a.tif")
        staging.stage(str(tmp_path) + os.sep + "." + os.sep + "a.tif")
    assert names(tmp_path) == []


def test_a_missing_folder_and_a_folder_as_output_are_refused(tmp_path):
    with pytest.raises(OutputError, match="folder of the output .* does not exist"), Staging() as staging:
        staging.stage(tmp_path / "no" / "a.tif")
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(OutputError, match="is a folder"), Staging() as staging:
        staging.stage(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").is_dir()


def test_a_folder_without_permission_is_refused_and_keeps_its_older_result(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "a.csv").write_text("older", encoding="utf-8")
    os.chmod(folder, 0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(OutputError, match="cannot be written: Permission denied"), Staging() as staging:
            staging.stage(folder / "a.csv")
    finally:
        os.chmod(folder, 0o700)
    assert (folder / "a.csv").read_text(encoding="utf-8") == "older"


def test_a_full_disk_is_named(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OutputError, match="No space left on device.*Free some space"), Staging() as staging:
        partial = staging.stage(tmp_path / "a.csv")
        staging.drop(tmp_path / "a.csv")
        os.symlink("/dev/full", partial)
        staging.write_text(tmp_path / "a.csv", "x" * 100_000)
    assert names(tmp_path) == []
    assert os.path.exists("/dev/full")


def test_a_commit_that_fails_half_way_takes_back_what_it_moved(tmp_path, monkeypatch):
    moved = []
    replace = os.replace

    def failing(source, target):
        if len(moved) == 2:
            raise PermissionError(13, "Permission denied")
        moved.append(target)
        replace(source, target)

    with pytest.raises(OutputError, match=r"c\.csv cannot be put in place: Permission denied"), Staging() as staging:
        for name in "abc":
            staging.write_text(tmp_path / f"{name}.csv", name)
        monkeypatch.setattr(os, "replace", failing)
        staging.commit()
    assert len(moved) == 2 and names(tmp_path) == []


def test_a_partial_file_of_a_killed_run_is_in_nobodys_way(tmp_path):
    (tmp_path / ("a.csv" + SUFFIX)).write_text("half of an older run", encoding="utf-8")
    with Staging() as staging:
        staging.write_text(tmp_path / "a.csv", "whole")
        staging.commit()
    assert names(tmp_path) == ["a.csv"] and (tmp_path / "a.csv").read_text(encoding="utf-8") == "whole"
