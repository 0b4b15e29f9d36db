"""What ``make mutants`` and ``make raises`` tell of a statement: where it is, and which tests reach it."""

import ast

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
