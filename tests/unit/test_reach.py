"""What ``make mutants`` and ``make raises`` tell of a statement: where it is, and which tests reach it."""

import ast
import json
import signal
import subprocess
import sys

import pytest

import raises
import reach

SOURCE = '''LIMIT = 5


def plain(x):
    if x > LIMIT:
        raise ValueError(
            "too large")
    return x


class Kept:
    @property
    def value(self):
        return plain(1)


@compiled
def kernel(x):
    return x + 1


def caller(x):
    return kernel(x)
'''


@pytest.fixture
def reached(monkeypatch):
    monkeypatch.setattr(reach, "core_files", lambda: [])
    # as measured: nothing is seen of the line that is run at import, nor of the compiled one
    made = reach.Reached(reach.Measured({("a.py", 5): {("limit", False)}, ("a.py", 7): {("large", False)},
                                         ("a.py", 23): {("calls", True)}}, {}, set()))
    made.trees["a.py"] = ast.parse(SOURCE)
    for node in ast.walk(made.trees["a.py"]):
        if isinstance(node, ast.Name):
            made.named[node.id].add(("a.py", node.lineno))
    return made


@pytest.mark.parametrize("line, name", [(1, ""), (5, "plain"), (12, "Kept.value"), (14, "Kept.value"), (19, "kernel")])
def test_a_line_is_in_its_innermost_function(line, name):
    assert reach.function_at(SOURCE, line) == name


def test_a_statement_is_reached_on_any_of_its_lines_and_by_name_where_none_is_seen(reached):
    assert reached.tests("a.py", 6) == {"large": False}
    assert reached.tests("a.py", 5) == {"limit": False}
    # a constant through the lines that name it, a kernel through its callers
    assert reached.tests("a.py", 1) == {"limit": False}
    assert reached.tests("a.py", 19) == {"calls": True}
    assert reached.tests("a.py", 8) == {}


def test_every_raise_line_has_its_function(tmp_path, monkeypatch):
    monkeypatch.setattr(reach, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(SOURCE, encoding="utf-8")
    assert raises.raises("a.py") == {6: ("plain", "raise ValueError(")}


def test_runs_in_forks_tell_what_failed_crashed_and_hung(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "test_some.py").write_text(
        "import os, subprocess, time\n"
        "def test_passes():\n    pass\n"
        "def test_fails():\n    assert 1 == 2\n"
        "def test_crashes():\n    os.abort()\n"
        "def test_waits():\n    subprocess.run(['sleep', '60'])\n"
        "def test_hangs():\n    while True:\n        pass\n", encoding="utf-8")
    (tmp_path / "test_broken.py").write_text("import no_such_module\n", encoding="utf-8")
    runs = [(["test_some.py::test_passes"], 60), (["-x", "test_some.py::test_passes", "test_some.py::test_fails"], 60),
            (["test_some.py::test_passes", "test_some.py::test_crashes"], 60), (["test_some.py::test_waits"], 0.5),
            (["test_some.py::test_hangs"], 1),
            (["test_broken.py"], 60), (["test_some.py::test_no_more"], 60)]
    requests = "".join(json.dumps({"arguments": ["-p", "no:cacheprovider", *names], "limit": limit}) + "\n"
                       for names, limit in runs)
    done = subprocess.run([sys.executable, reach.ROOT / "scripts" / "forked_pytest.py"], cwd=tmp_path, text=True,
                          input=requests, capture_output=True, timeout=100, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(run["code"], run["failed"]) for run in found] == [
        (0, None), (1, "test_some.py::test_fails"), (-signal.SIGABRT, None), (None, None), (None, None),
        (2, "test_broken.py"), (4, None)]
    assert [run["running"] for run in found[2:5]] == [f"test_some.py::test_{name}"
                                                      for name in ("crashes", "waits", "hangs")]
    assert "assert 1 == 2" in found[1]["output"]
