"""Which tests reach which line of the core: measured with coverage.py, one test file a run, and kept in build/reach.

A test file is measured again only when it, a helper of the tests or the plugin has changed. As a pytest plugin
(``-p reach``) this module writes the measurement of one run to the file that PTI_REACH names; imported, it gives the
measurements of all test files. Code in other processes (qgis_process) and in compiled kernels is not seen: a line of a
kernel counts as reached where a line that names the kernel is.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = "pti_plugin/core"
CACHE = ROOT / "build" / "reach"
#: a test file that takes longer than this, in seconds, is given up
LIMIT = 1800
#: tests that look at what modules state, and so reach every line outside functions
LOOKING = "tests/unit/test_stated_values.py"


class Measured(NamedTuple):
    """The measurements of all test files: ``lines`` {(file, line): keys of tests}, ``seconds`` {node id: seconds of
    processor time}.

    A key is (node id, False), or (node id, True) for a test that the line serves only through a fixture it shares
    with others. ``run`` holds all lines that were run at all, the ones run at import too. ``shared`` {node id: the
    fixtures it shares}, ``setup`` {shared fixture: seconds to make it}.
    """

    lines: dict[tuple[str, int], set[tuple[str, bool]]]
    seconds: dict[str, float]
    run: set[tuple[str, int]]
    shared: dict[str, list[str]] = {}
    setup: dict[str, float] = {}


# -- the plugin: one run of pytest ------------------------------------------------------------------------------

class _Recorder:
    """Gives each test, and each fixture that several tests share, a context of its own."""

    def __init__(self, path: str) -> None:
        import coverage

        self.path = path
        self.coverage = coverage.Coverage(data_file=None, source=[str(ROOT / CORE)], config_file=False)
        self.contexts = [""]
        self.tests: dict[str, dict] = {}
        #: {shared fixture: seconds of processor time to make it, without the shared ones that it asks for}
        self.setup: dict[str, float] = {}
        self.within = [0.0]
        self.coverage.start()

    def switch(self, context: str) -> None:
        self.contexts.append(context)
        self.coverage.switch_context(context)

    def back(self) -> None:
        self.contexts.pop()
        self.coverage.switch_context(self.contexts[-1])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        definitions = item._fixtureinfo.name2fixturedefs
        shared = [_context(definitions[name][-1]) for name in item.fixturenames
                  if name in definitions and definitions[name][-1].scope != "function"]
        test = self.tests[item.nodeid] = {"shared": shared, "seconds": 0.0, "passed": True}
        started, self.within = _processor_seconds(), [0.0]
        self.switch(item.nodeid)
        try:
            return (yield)
        finally:
            self.back()
            test["seconds"] = max(0.0, _processor_seconds() - started - self.within[0])

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        if fixturedef.scope == "function":
            return (yield)
        context, started = _context(fixturedef), _processor_seconds()
        self.switch(context)
        self.within.append(0.0)
        try:
            return (yield)
        finally:
            self.back()
            whole = _processor_seconds() - started
            self.setup[context] = self.setup.get(context, 0.0) + whole - self.within.pop()
            self.within[-1] += whole

    def pytest_runtest_logreport(self, report):
        self.tests[report.nodeid]["passed"] &= report.passed

    def pytest_sessionfinish(self):
        self.coverage.stop()
        data = self.coverage.get_data()
        numbers: dict[str, int] = {}
        lines = {}
        for path in data.measured_files():
            lines[Path(path).relative_to(ROOT).as_posix()] = {
                line: [numbers.setdefault(context, len(numbers)) for context in contexts]
                for line, contexts in data.contexts_by_lineno(path).items()}
        record = {"tests": self.tests, "contexts": list(numbers), "lines": {k: v for k, v in lines.items() if v},
                  "setup": self.setup}
        Path(self.path).write_text(json.dumps(record), encoding="utf-8")


def _processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for: a busy machine does not add."""
    return sum(os.times()[:4])


def _context(fixturedef) -> str:
    return f"fixture {fixturedef.baseid}::{fixturedef.argname}"


def pytest_configure(config):
    path = os.environ.get("PTI_REACH")
    if path:
        config.pluginmanager.register(_Recorder(path))


# -- all test files ---------------------------------------------------------------------------------------------

def core_files() -> list[str]:
    """Return the Python files of the core, relative to the repository."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / CORE).rglob("*.py"))


def common_digest() -> str:
    """Return what tells one state of the plugin and of the tests' helpers from another."""
    helpers = [path for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith("test_")]
    files = [*(ROOT / "pti_plugin").rglob("*.py"), *helpers]
    return _digest(sorted(path.relative_to(ROOT).as_posix() for path in files))


def measure(places: list[str], workers: int = 1, words=print) -> Measured:
    """Measure the test files, in folders or named, that are not measured yet; return all their measurements."""
    CACHE.mkdir(parents=True, exist_ok=True)
    common = common_digest()
    kept = {}
    for path in [path for place in places for path in sorted([ROOT / place, *(ROOT / place).rglob("test_*.py")])
                 if path.is_file()]:
        name = path.relative_to(ROOT).as_posix()
        kept[name] = CACHE / f"{path.parent.name}-{path.stem}-{_digest([name], common)}.json"
    missing = [name for name, file in kept.items() if not file.exists()]

    def one(number: int) -> None:
        name = missing[number]
        for old in CACHE.glob(f"{Path(name).parent.name}-{Path(name).stem}-*.json"):
            old.unlink()
        started = time.monotonic()
        _run(name, kept[name])
        words(f"{number + 1} of {len(missing)}: {name} measured in {time.monotonic() - started:.0f} s"
              + ("" if kept[name].exists() else ", without a result"), flush=True)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(len(missing))))
    measured = Measured(defaultdict(set), {}, set(), {}, {})
    for file in kept.values():
        if file.exists():
            _add(json.loads(file.read_text(encoding="utf-8")), measured)
    return measured


def _run(name: str, kept: Path) -> None:
    partial = kept.with_suffix(".partial")
    environment = dict(os.environ, PTI_REACH=str(partial),
                       PYTHONPATH=os.pathsep.join([str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")]))
    try:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "reach", "-p", "no:cacheprovider", name], cwd=ROOT,
                       env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return
    if partial.exists():
        partial.rename(kept)


def _add(record: dict, measured: Measured) -> None:
    passed = {name: test for name, test in record["tests"].items() if test["passed"]}
    sharing = defaultdict(list)
    for name, test in passed.items():
        measured.seconds[name] = test["seconds"]
        measured.shared[name] = test["shared"]
        for context in test["shared"]:
            sharing[context].append(name)
    for context, seconds in record["setup"].items():
        measured.setup[context] = max(seconds, measured.setup.get(context, 0.0))
    for path, contexts_by_line in record["lines"].items():
        for line, contexts in contexts_by_line.items():
            place = (path, int(line))
            measured.run.add(place)
            for context in map(record["contexts"].__getitem__, contexts):
                if context in passed:
                    measured.lines[place].add((context, False))
                else:
                    measured.lines[place].update((name, True) for name in sharing.get(context, ()))


def _digest(names: list[str], start: str = "") -> str:
    digest = hashlib.sha256(start.encode())
    for name in names:
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


# -- which tests reach a statement ------------------------------------------------------------------------------

def function_at(source: str, line: int) -> str:
    """Return the dotted name of the innermost function or class that holds ``line``, or an empty text."""
    names, nodes = [], ast.parse(source).body
    while True:
        inner = next((node for node in _scopes(nodes) if _first_line(node) <= line <= node.end_lineno), None)
        if inner is None:
            return ".".join(names)
        names.append(inner.name)
        nodes = inner.body


def _scopes(nodes):
    """Functions and classes among ``nodes`` and within their blocks, not within one another."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node
        else:
            yield from _scopes(ast.iter_child_nodes(node))


def _first_line(node) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


class Reached:
    """Finds the tests of a statement; parses each file of the core once."""

    def __init__(self, measured: Measured) -> None:
        self.lines = measured.lines
        self.looking = [test for test in measured.seconds if test.startswith(LOOKING)]
        self.trees = {file: ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in core_files()}
        self.named = defaultdict(set)
        for file, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, (ast.Name, ast.Attribute)):
                    self.named[node.id if isinstance(node, ast.Name) else node.attr].add((file, node.lineno))

    def tests(self, file: str, line: int) -> dict[str, bool]:
        """Return {test: whether only through a shared fixture} of the tests that reach the statement at ``line``."""
        found: dict[str, bool] = {} if self._in_function(file, line) else dict.fromkeys(self.looking, True)
        self._collect(file, line, found, set())
        return found

    def _collect(self, file: str, line: int, found: dict[str, bool], seen: set[str]) -> None:
        statement, scope = self._statement(file, line)
        for number in range(statement[0], statement[1] + 1):
            for test, shared in self.lines.get((file, number), ()):
                found[test] = found.get(test, True) and shared
        if scope and scope not in seen:
            seen.add(scope)
            for other_file, other_line in self.named[scope]:
                if (other_file, other_line) != (file, line):
                    self._collect(other_file, other_line, found, seen)

    def _statement(self, file: str, line: int) -> tuple[tuple[int, int], str]:
        """Return the lines of the statement, and a name to follow where no test is seen running them: they are run at
        import, compiled, or run once for all tests."""
        lines, name = (line, line), ""
        nodes = list(self.trees[file].body)
        followed = ""
        while nodes:
            inner = next((node for node in nodes if hasattr(node, "lineno") and
                          min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) <= line
                          <= node.end_lineno), None)
            if inner is None:
                break
            body = [node for field in ("body", "orelse", "handlers", "finalbody") for node in getattr(inner, field, ())
                    if isinstance(getattr(inner, field), list)]
            end = min([inner.end_lineno, *(node.lineno - 1 for node in body if node.lineno > inner.lineno)])
            lines = (inner.lineno, max(inner.lineno, end))
            if isinstance(inner, ast.FunctionDef):
                decorators = " ".join(ast.dump(decorator) for decorator in inner.decorator_list)
                once = "compiled" in decorators or "lru_cache" in decorators
                within = body and line >= body[0].lineno
                followed = followed or (inner.name if once or not within else "")
                name = "" if within else name
            elif isinstance(inner, ast.ClassDef):
                name = inner.name
            elif isinstance(inner, (ast.Assign, ast.AnnAssign)) and not name and not self._in_function(file, line):
                targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                name = next((target.id for target in targets if isinstance(target, ast.Name)), "")
            nodes = body
        return lines, followed or name

    def _in_function(self, file: str, line: int) -> bool:
        return any(isinstance(node, ast.FunctionDef) and node.body[0].lineno <= line <= node.end_lineno
                   for node in ast.walk(self.trees[file]))
