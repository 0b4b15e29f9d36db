"""A run that dies at any moment leaves all its results or none, and two runs at once leave those of one."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

from pti_plugin.core.common.commit_journal import JOURNAL, Journal, recover
from pti_plugin.core.common.errors import OutputError
from pti_plugin.core.common.run_folder import RunFolder
from pti_plugin.core.common.staging import Staging
from support import ROOT, standing

#: two runs at once: so many races in 'make test', and PTI_FAULTS=full for the long form
RACES = 200 if os.environ.get("PTI_FAULTS") == "full" else 9
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are made to die and to race by forking")


def crashes(*arguments):
    done = subprocess.run([sys.executable, ROOT / "tests" / "crashes.py", *map(str, arguments)], capture_output=True,
                          text=True, check=True, timeout=600)
    return json.loads(done.stdout)


def test_a_run_and_its_recovery_may_die_before_every_single_step(tmp_path):
    # hundreds of runs: in memory where there is such a place
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as folder:
        seen = crashes("crash", os.path.join(folder, "outputs"))
    print(f"\n{seen['crashes']} crashes before a step on the disk, {len(seen['breaches'])} breaches")
    assert seen["breaches"] == []
    # the commits alone have so many steps, and some lie before and some after the journal
    assert seen["crashes"] > 500 and seen["finished"] > 50 and seen["undone"] > 30


def test_of_two_runs_at_one_set_of_outputs_the_set_of_one_stands(tmp_path):
    seen = crashes("race", tmp_path / "outputs", RACES)
    print(f"\n{RACES} races: {seen['both']} both ended well, of {seen['one']} one was refused, "
          f"{len(seen['breaches'])} breaches")
    assert seen["breaches"] == [] and seen["both"] + seen["one"] == RACES
    assert seen["both"] and seen["one"]


def died(folder, new, earlier=()):
    """Leave what a run leaves that dies between the journal and the first move; return its working folder."""
    for name in earlier:
        (folder / name).write_text("earlier", encoding="utf-8")
    staging = Staging()
    for name in new:
        staging.write_text(folder / name, "new")
    run, = staging._folders.values()
    Journal.of({run.path: (list(new), [name for name in new if name in earlier])}).write()
    run.release()
    return run.path


def test_a_dead_run_is_finished_and_says_what_is_in_place(tmp_path):
    died(tmp_path, ["a.tif", "b.tif"], ["a.tif"])
    said, = recover(str(tmp_path))
    assert "cut short" in said and "in place now" in said and str(tmp_path / "b.tif") in said
    assert standing(tmp_path) == {"a.tif": b"new", "b.tif": b"new"}
    assert recover(str(tmp_path)) == []


def test_a_dead_run_that_lost_a_file_is_undone(tmp_path):
    run = died(tmp_path, ["a.tif", "b.tif", "c.tif"], ["a.tif", "b.tif"])
    os.replace(os.path.join(run, "new", "a.tif"), tmp_path / "moved.tif")
    os.replace(tmp_path / "a.tif", os.path.join(run, "old", "a.tif"))
    os.replace(tmp_path / "moved.tif", tmp_path / "a.tif")
    os.remove(os.path.join(run, "new", "c.tif"))
    said, = recover(str(tmp_path))
    assert "earlier results are in place again" in said
    assert standing(tmp_path) == {"a.tif": b"earlier", "b.tif": b"earlier"}


def test_what_was_written_since_is_not_taken_back(tmp_path):
    run = died(tmp_path, ["a.tif", "b.tif"], ["a.tif"])
    os.remove(os.path.join(run, "new", "a.tif"))
    (tmp_path / "a.tif").write_text("by the user, since", encoding="utf-8")
    recover(str(tmp_path))
    assert standing(tmp_path) == {"a.tif": b"by the user, since"}


def test_a_folder_that_was_moved_after_a_crash_is_finished_where_it_is(tmp_path):
    (tmp_path / "first").mkdir()
    died(tmp_path / "first", ["a.tif"], ["a.tif"])
    os.rename(tmp_path / "first", tmp_path / "second")
    recover(str(tmp_path / "second"))
    assert standing(tmp_path / "second") == {"a.tif": b"new"}


def test_a_living_run_is_left_alone(tmp_path):
    with Staging() as staging:
        staging.write_text(tmp_path / "a.tif", "new")
        before = standing(tmp_path)
        assert recover(str(tmp_path)) == [] and standing(tmp_path) == before
        staging.commit()
    assert standing(tmp_path) == {"a.tif": b"new"}


JOURNALS = {
    "another folder": {"folders": ["{victim}"], "files": [[1, "v.txt", 4, 0]], "earlier": [[1, "v.txt"]]},
    "up the tree": {"folders": [], "files": [[0, "../victim/v.txt", 4, 0]], "earlier": []},
    "an absolute name": {"folders": [], "files": [], "earlier": [[0, "{victim}/v.txt"]]},
    "a negative place": {"folders": ["{victim}"], "files": [], "earlier": [[-1, "v.txt"]]},
    "no list": {"folders": 3, "files": {}, "earlier": None},
    "another version": {"version": 99, "folders": [], "files": [], "earlier": []},
}


@pytest.mark.parametrize("journal", list(JOURNALS))
def test_a_journal_that_someone_sent_moves_nothing_elsewhere(tmp_path, journal):
    victim, received = tmp_path / "victim", tmp_path / "received"
    victim.mkdir()
    received.mkdir()
    (victim / "v.txt").write_text("mine", encoding="utf-8")
    run = received / ".pti-run-0123456789ab"
    for part in ("new", "old", "claims"):
        (run / part).mkdir(parents=True)
    (run / "owner").write_text("{}", encoding="utf-8")
    (run / "new" / "v.txt").write_text("evil", encoding="utf-8")
    text = json.dumps({"version": 1, **JOURNALS[journal]}).replace("{victim}", str(victim))
    (run / JOURNAL).write_text(text, encoding="utf-8")
    recover(str(received))
    assert standing(victim) == {"v.txt": b"mine"}


def test_links_in_a_working_folder_are_not_followed(tmp_path):
    victim, received = tmp_path / "victim", tmp_path / "received"
    victim.mkdir()
    received.mkdir()
    (victim / "v.txt").write_text("mine", encoding="utf-8")
    run = died(received, ["v.txt"])
    stamp = os.stat(victim / "v.txt")
    os.remove(os.path.join(run, "new", "v.txt"))
    os.rmdir(os.path.join(run, "new"))
    os.symlink(victim, os.path.join(run, "new"))
    path = os.path.join(run, JOURNAL)
    with open(path, encoding="utf-8") as stream:
        journal = json.load(stream)
    journal["files"] = [[0, "v.txt", stamp.st_size, stamp.st_mtime_ns]]
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(journal, stream)
    recover(str(received))
    assert standing(victim) == {"v.txt": b"mine"}


def test_a_folder_that_is_taken_for_a_dead_runs_before_it_is_locked_is_given_up(tmp_path, monkeypatch):
    mkdir, hits = os.mkdir, []

    def followed_by_another(path, *arguments):
        mkdir(path, *arguments)
        if os.path.basename(path).startswith(".pti-run-") and len(hits) < 3:
            hits.append(path)
            assert RunFolder.take_over(path) is None

    monkeypatch.setattr(os, "mkdir", followed_by_another)
    with Staging() as staging:
        staging.write_text(tmp_path / "a.tif", "new")
        staging.commit()
    assert len(hits) == 3 and standing(tmp_path) == {"a.tif": b"new"}


def test_results_that_cannot_even_be_kept_are_put_in_place_by_the_next_run(tmp_path, monkeypatch):
    replace = os.replace
    (tmp_path / "a.tif").write_text("earlier", encoding="utf-8")
    broken = []

    def failing(source, target):
        if broken and os.path.basename(source) != "journal.json.new":
            raise OSError(5, "Input/output error", source, None, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="the next run in this folder puts them in place"), Staging() as staging:
        staging.write_text(tmp_path / "a.tif", "new")
        staging.write_text(tmp_path / "b.tif", "new")
        broken.append(True)
        staging.commit()
    assert (tmp_path / "a.tif").read_text(encoding="utf-8") == "earlier"
    broken.clear()
    recover(str(tmp_path))
    assert standing(tmp_path) == {"a.tif": b"new", "b.tif": b"new"}
