"""An earlier result stands until the new one is whole; what stands after a run is of one run."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common.errors import OutputError
from pti_plugin.core.common.staging import SIDECARS, Staging
from support import write_raster


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def hidden(folder):
    """Return the names of the working folders of runs."""
    return [name for name in names(folder) if name.startswith(".pti-run-")]


def test_outputs_appear_together_and_only_on_commit(tmp_path):
    with Staging() as staging:
        staging.write_text(tmp_path / "a.csv", "é\n")
        staging.write_bytes(tmp_path / "b.bin", b"\x00\x01")
        assert names(tmp_path) == hidden(tmp_path) and len(hidden(tmp_path)) == 1
        staging.commit()
        assert names(tmp_path) == ["a.csv", "b.bin"]
    assert names(tmp_path) == ["a.csv", "b.bin"]
    assert (tmp_path / "a.csv").read_bytes() == "é\n".encode() and (tmp_path / "b.bin").read_bytes() == b"\x00\x01"


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, OutputError])
def test_without_commit_an_earlier_result_stands_as_it_was(tmp_path, error):
    (tmp_path / "a.csv").write_text("earlier", encoding="utf-8")
    (tmp_path / "a.csv.aux.xml").write_text("earlier", encoding="utf-8")
    before = (tmp_path / "a.csv").stat()
    try:
        with Staging() as staging:
            partial = staging.stage(tmp_path / "a.csv")
            Path(partial + ".aux.xml").write_text("by GDAL", encoding="utf-8")
            Path(partial).write_text("new", encoding="utf-8")
            assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "earlier"
            if error:
                raise error()
    except (ValueError, KeyboardInterrupt, OutputError) as raised:
        assert type(raised) is error
    assert names(tmp_path) == ["a.csv", "a.csv.aux.xml"]
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in names(tmp_path)} == {"earlier"}
    after = (tmp_path / "a.csv").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_errors_inside_are_not_swallowed(tmp_path):
    with pytest.raises(ZeroDivisionError), Staging() as staging:
        staging.write_text(tmp_path / "a.csv", str(1 / 0))


def test_files_that_gdal_writes_beside_a_raster_move_with_it(tmp_path):
    for ending in ("", *SIDECARS):
        (tmp_path / ("a.tif" + ending)).write_text("of the earlier raster", encoding="utf-8")
    with Staging() as staging:
        partial = staging.stage(tmp_path / "a.tif")
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
        with staging.writing(tmp_path / "a.csv") as partial:
            os.remove(partial)
            os.symlink("/dev/full", partial)
            with open(partial, "wb") as stream:
                stream.write(b"x" * 100_000)
    assert names(tmp_path) == []
    assert os.path.exists("/dev/full")


def locked(monkeypatch, *paths):
    """Have os.replace refuse to touch files, as Windows does while another program has them open."""
    replace = os.replace
    paths = {str(path) for path in paths}

    def refusing(source, target):
        if {str(source), str(target)} & paths:
            raise PermissionError(13, "Permission denied", str(source), None, str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)


def test_an_output_that_is_open_elsewhere_is_refused_before_the_work(tmp_path, monkeypatch):
    path = tmp_path / "b.tif"
    path.write_text("earlier", encoding="utf-8")
    locked(monkeypatch, path)
    for layers, said in (({path: "My index"}, "layer 'My index': remove that layer"), ({}, "perhaps as a layer")):
        with Staging(layers=layers) as staging, pytest.raises(OutputError, match=said) as caught:
            staging.reserve(tmp_path / "a.csv", path)
        assert str(path) in str(caught.value)
    assert names(tmp_path) == ["b.tif"] and path.read_text(encoding="utf-8") == "earlier"


@pytest.mark.parametrize("linkable", [True, False])
def test_a_file_that_is_locked_at_the_end_leaves_all_earlier_ones_and_keeps_the_new_ones(tmp_path, monkeypatch,
                                                                                        linkable):
    if not linkable:
        def refused(*_):
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    for name in ("b.csv", "c.csv", "c-finished"):
        (tmp_path / name).write_text("earlier", encoding="utf-8")
    (tmp_path / "a-finished").mkdir()
    with pytest.raises(OutputError, match=r"c\.csv cannot be put in place: Permission denied") as caught:
        with Staging() as staging:
            for name in "abc":
                staging.write_text(tmp_path / f"{name}.csv", name)
            locked(monkeypatch, tmp_path / "c.csv")
            staging.commit()
    kept = tmp_path / "a-finished-2"
    assert str(kept) in str(caught.value)
    assert names(tmp_path) == ["a-finished", "a-finished-2", "b.csv", "c-finished", "c.csv"]
    assert {name: (kept / name).read_text(encoding="utf-8") for name in names(kept)} == {
        "a.csv": "a", "b.csv": "b", "c.csv": "c"}
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in ("b.csv", "c.csv")} == {"earlier"}


def test_what_a_dead_run_left_is_in_nobodys_way(tmp_path):
    dead = tmp_path / ".pti-run-0123456789ab"
    for part in ("new", "old", "claims"):
        (dead / part).mkdir(parents=True)
    (dead / "owner").write_text("{}", encoding="utf-8")
    for part in ("new", "claims"):
        (dead / part / "a.csv").write_text("half", encoding="utf-8")
    (tmp_path / ".pti-run-empty").mkdir()
    with Staging() as staging:
        staging.write_text(tmp_path / "a.csv", "whole")
        staging.commit()
    assert names(tmp_path) == ["a.csv"] and (tmp_path / "a.csv").read_text(encoding="utf-8") == "whole"


def test_a_second_run_at_one_output_is_refused_until_the_first_has_ended(tmp_path):
    with Staging() as first, Staging() as second:
        first.reserve(tmp_path / "a.csv")
        with pytest.raises(OutputError, match=f"being written by another run .process {os.getpid()} on"):
            second.reserve(tmp_path / "b.csv", tmp_path / "a.csv")
        # nothing of what it could not have at once is kept from others
        first.reserve(tmp_path / "b.csv")
        second.write_text(tmp_path / "c.csv", "of the second")
        first.write_text(tmp_path / "a.csv", "of the first")
        first.commit()
        second.write_text(tmp_path / "a.csv", "of the second")
        second.commit()
    assert names(tmp_path) == ["a.csv", "c.csv"]
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "of the second"


def test_a_link_at_an_output_path_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.csv").write_text("earlier", encoding="utf-8")
    os.symlink(tmp_path / "far" / "real.csv", tmp_path / "a.csv")
    os.symlink("far/new.csv", tmp_path / "b.csv")
    with Staging() as staging:
        staging.write_text(tmp_path / "a.csv", "new")
        staging.write_text(tmp_path / "b.csv", "new too")
        with pytest.raises(OutputError, match="Two outputs have the same name"):
            staging.stage(tmp_path / "far" / "real.csv")
        staging.commit()
    assert (tmp_path / "a.csv").is_symlink() and (tmp_path / "b.csv").is_symlink()
    assert names(tmp_path / "far") == ["new.csv", "real.csv"] and names(tmp_path) == ["a.csv", "b.csv", "far"]
    assert (tmp_path / "far" / "real.csv").read_text(encoding="utf-8") == "new"


def test_planted_links_with_the_names_of_temporary_files_are_not_followed(tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("precious", encoding="utf-8")
    for name in ("a.csv.partial", "a.csv.new", ".pti-run-aaaaaaaaaaaa"):
        os.symlink(victim, tmp_path / name)
    with Staging() as staging:
        staging.write_text(tmp_path / "a.csv", "new")
        staging.commit()
    assert victim.read_text(encoding="utf-8") == "precious"
    assert {"a.csv", "a.csv.partial", "victim.txt"} <= set(names(tmp_path))


def test_what_is_no_ordinary_file_is_no_output(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as listener:
        # the name of a socket must be short
        monkeypatch.chdir(tmp_path)
        listener.bind("a.csv")
        with pytest.raises(OutputError, match="no ordinary file"), Staging() as staging:
            staging.stage(tmp_path / "a.csv")
    with pytest.raises(OutputError, match="no ordinary file"), Staging() as staging:
        staging.stage("/dev/null")


STALE = {"a.tif": ["a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "a.qml"],
         "p.gpkg": ["p.gpkg-wal", "p.gpkg-shm", "p.gpkg-journal", "p.qml"],
         "s.shp": ["s.dbf", "s.shx", "s.prj", "s.cpg", "s.qix", "s.sbn", "s.sbx", "s.qml"]}


@pytest.mark.parametrize("name", list(STALE))
def test_what_belonged_to_the_earlier_file_goes_with_it(tmp_path, name):
    stays = ["a.csv", "a.tif.txt", "ab.qml", "s.txt", "p.csv"]
    for file in [name, *STALE[name], *stays]:
        (tmp_path / file).write_text("earlier", encoding="utf-8")
    with Staging() as staging:
        staging.write_text(tmp_path / name, "new")
        staging.write_text(tmp_path / STALE[name][-1], "new style")
        staging.commit()
    assert names(tmp_path) == sorted([name, STALE[name][-1], *stays])
    assert (tmp_path / STALE[name][-1]).read_text(encoding="utf-8") == "new style"


RECORD = '{"plugin": "Permafrost Thaw Index (PTI)", "tool": "slope", "outputs": {"OUTPUT": "%s/a.tif"%s}}'


@pytest.mark.parametrize("content", ["{}", "[]", "not JSON", '{"tool": "slope", "outputs": {}}'])
def test_a_users_own_file_with_the_name_of_a_record_is_not_replaced(tmp_path, content):
    (tmp_path / "a.provenance.json").write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match="no record of this plugin"), Staging() as staging:
        staging.reserve(tmp_path / "a.tif", tmp_path / "a.provenance.json")
    (tmp_path / "a.tif").write_text("earlier", encoding="utf-8")
    with Staging() as staging:
        staging.write_text(tmp_path / "a.tif", "new")
        staging.commit()
    assert (tmp_path / "a.provenance.json").read_text(encoding="utf-8") == content


def test_the_record_of_the_earlier_file_goes_unless_it_speaks_of_others_too(tmp_path):
    for others, left in (("", ["a.tif"]), (f', "SIGN": "{tmp_path}/b.tif"', ["a.provenance.json", "a.tif", "b.tif"])):
        for name in ("a.tif", "b.tif") if others else ("a.tif",):
            (tmp_path / name).write_text("earlier", encoding="utf-8")
        (tmp_path / "a.provenance.json").write_text(RECORD % (tmp_path, others), encoding="utf-8")
        with Staging() as staging:
            staging.write_text(tmp_path / "a.tif", "new")
            staging.commit()
        assert names(tmp_path) == left


def test_a_disk_without_locks_refuses_what_another_run_may_be_writing(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with Staging() as first, Staging() as second:
        first.write_text(tmp_path / "a.csv", "first")
        with pytest.raises(OutputError, match="where no other run is under way, remove the folder"):
            second.stage(tmp_path / "a.csv")
        first.commit()
    assert names(tmp_path) == ["a.csv"]


def test_intermediate_files_lie_beside_the_output_and_go_with_the_run(tmp_path):
    with Staging() as staging:
        one, two = staging.scratch(tmp_path / "a.csv"), staging.scratch(tmp_path / "a.csv")
        assert one != two and Path(one).parent.parent == tmp_path and os.listdir(one) == []
        Path(one, "x").write_text("x", encoding="utf-8")
        staging.write_text(tmp_path / "a.csv", "new")
        staging.commit()
    assert names(tmp_path) == ["a.csv"]
