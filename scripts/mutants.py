#!/usr/bin/env python3
"""Would the tests notice? Small changes of the core (mutants), drawn by a seed, each tested until a test fails.

The changes are those of Cosmic Ray's operators, and the removal of a ``raise``. Cosmic Ray itself runs one command for
every mutant; here each runs only the tests that reach its statement (see reach.py), nearest and shortest first, in a
copy of the repository and in forks of one process (see forked_pytest.py). A test that fails counts only where it passes
without the mutant. Kernels are compiled anew, so that the mutant is what runs. Mutants that cannot be told from the
original stand in tests/data/mutants/equivalent.json, each with its reason. Prints each mutant, a table and the score;
exits 1 where the score is below --least. Results are kept in build/mutants: a run that was stopped goes on from there,
and one after new tests asks only what these may have changed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import parso
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider

import reach

EQUIVALENT = reach.ROOT / "tests" / "data" / "mutants" / "equivalent.json"
FOLDER = reach.ROOT / "build" / "mutants"
KILLED, SURVIVED, TIMEOUT, SAME = "killed", "survived", "timeout", "equivalent"

#: what each operator of a calculation is replaced by; Cosmic Ray's other pairs are seldom mistakes that one makes
ARITHMETIC = {("Add", "Sub"), ("Sub", "Add"), ("Mul", "Div"), ("Div", "Mul"), ("FloorDiv", "Div"), ("Mod", "FloorDiv"),
              ("Pow", "Mul"), ("BitOr", "BitAnd"), ("BitAnd", "BitOr"), ("BitXor", "BitOr"), ("LShift", "RShift"),
              ("RShift", "LShift")}
#: these need arguments, or change speed only
LEFT_OUT = {"RemoveDecorator", "VariableReplacer", "VariableInserter"}
#: arguments of matplotlib that are a matter of taste
STYLE = {"fontsize", "labelpad", "linespacing", "linewidth", "linewidths", "markersize", "pad", "s", "zorder"}

#: seconds of tests, as measured, that one mutant is given, and how they are divided into runs
MOST_SECONDS = 90.0
PARTS = (2.0, 15.0, MOST_SECONDS)
#: the limit of a run: seconds of processor time to start, to compile kernels, and a multiple of what its tests take
STARTING, COMPILING, TIMES = 30.0, 150.0, 4.0


class RemoveRaise(Operator):
    """Removes a refusal: Cosmic Ray has no operator for statements."""

    def mutation_positions(self, node):
        if node.type == "raise_stmt" or (node.type == "keyword" and node.value == "raise"
                                         and node.parent.type != "raise_stmt"):
            yield (node.start_pos, node.end_pos)

    def mutate(self, node, index):
        return parso.python.tree.Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls):
        return ()


class Mutant(NamedTuple):
    """One change: the file, the line, the function it is in, the line before and after it, the operator's name."""

    file: str
    line: int
    function: str
    was: str
    now: str
    operator: str
    source: str


class Outcome(NamedTuple):
    """What became of a mutant; ``by`` is the failing test, or why none failed."""

    state: str
    by: str = ""
    seconds: float = 0.0


def operators() -> dict[str, Operator]:
    """Return the operators in use by name."""
    provider = OperatorProvider()
    chosen = {"RemoveRaise": RemoveRaise()}
    for name in provider:
        kind, *pair = name.split("_")[-3:]
        if name in LEFT_OUT:
            continue
        if kind == "ReplaceBinaryOperator" and tuple(pair) not in ARITHMETIC:
            continue
        # identity in place of a comparison of values, and the other way round
        if kind == "ReplaceComparisonOperator" and ("Is" in pair[0]) != ("Is" in pair[1]):
            continue
        chosen[name] = provider[name]()
    return chosen


def draw(seed: int, count: int, only: list[str] | None = None) -> list[Mutant]:
    """Return ``count`` mutants: places are drawn, each as likely as any, then one of the changes there are for it.

    ``only`` holds patterns of file names (fnmatch) where not the whole core is meant.
    """
    places = _places([file for file in reach.core_files()
                      if not only or any(fnmatch(Path(file).name, pattern) for pattern in only)])
    rng = random.Random(seed)
    keys = sorted(places)
    mutants: list[Mutant] = []
    for place in rng.sample(keys, len(keys)):
        if len(mutants) == count:
            break
        mutants += _made(place, *rng.choice(places[place]))
    return mutants


def of_lines(lines: list[str]) -> list[Mutant]:
    """Return all mutants of some lines of the core, given as file.py:number."""
    named = {(name, int(number)) for name, _, number in (line.rpartition(":") for line in lines)}
    places = _places([file for file in reach.core_files() if Path(file).name in {name for name, _ in named}])
    return [mutant for place in sorted(places) if (Path(place[0]).name, place[1][0]) in named
            for change in places[place] for mutant in _made(place, *change)]


def _places(files: list[str]) -> dict[tuple, list[tuple[str, int]]]:
    """Return {(file, start, end): [(operator, number of its place in the file)]} of what can be changed."""
    chosen = operators()
    places = defaultdict(list)
    for file in files:
        source = (reach.ROOT / file).read_text(encoding="utf-8")
        left_out = _left_out(source)
        fitting = _fitting(list(_nodes(parso.parse(source))))
        for name, operator in chosen.items():
            occurrence = 0
            for node in fitting.get(name.partition("_")[0], fitting[""]):
                for start, end in operator.mutation_positions(node):
                    if not any(a <= start < b for a, b in left_out):
                        places[file, start, end].append((name, occurrence))
                    occurrence += 1
    return places


def _made(place: tuple, name: str, occurrence: int) -> list[Mutant]:
    """Return the mutant, or none where the text stays the same."""
    file, start, _ = place
    source = (reach.ROOT / file).read_text(encoding="utf-8")
    changed = mutate_code(source, operators()[name], occurrence)
    if changed is None or changed == source:
        return []
    before, after = _changed_lines(source, changed)
    return [Mutant(file, start[0], reach.function_at(source, start[0]), before, after, name, changed)]


def _fitting(nodes: list) -> dict[str, list]:
    """Return {first word of an operator's name: nodes that it may change}, "" for all other operators: asking each
    operator about each node takes minutes."""
    kinds = {"ReplaceComparisonOperator": ("comparison",), "ReplaceBinaryOperator": ("operator",),
             "ReplaceUnaryOperator": ("factor", "not_test"), "NumberReplacer": ("number",)}
    others = ("keyword", "if_stmt", "while_stmt", "for_stmt", "assert_stmt", "raise_stmt", "except_clause", "test",
              "ternary")
    return {name: [node for node in nodes if node.type in types] for name, types in {**kinds, "": others}.items()}


def _nodes(node):
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _left_out(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where annotations stand, which are not evaluated, and sizes, widths and orders of drawing: no test can
    call another one wrong."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.keyword) and node.arg in STYLE:
            parts.append(node.value)
        spans += [((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset))
                  for part in parts if isinstance(part, ast.AST)]
    return spans


def _changed_lines(source: str, changed: str) -> tuple[str, str]:
    """Return the lines that differ, before and after, without indentation."""
    before, after = source.splitlines(), changed.splitlines()
    first = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    return tuple(" ".join(line.strip() for line in lines[first:len(lines) - last]) for lines in (before, after))


def equivalents() -> set[tuple[str, str, str, str]]:
    """Return the reviewed list as keys of mutants."""
    entries = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return {(entry["file"], entry["function"], entry["was"], entry["now"]) for entry in entries}


class Runner:
    """Runs the tests of a mutant, each worker in a copy of the repository of its own; keeps results in the folder."""

    def __init__(self, workers: int, measured: reach.Measured) -> None:
        self.measured, self.lock = measured, threading.Lock()
        self.reached, self.common = reach.Reached(measured), reach.common_digest()
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(workers):
            self.trees.put(Tree(FOLDER / f"tree{number}"))
        self.file = FOLDER / "results.jsonl"
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        self.known = dict(json.loads(line) for line in lines)

    def run(self, mutant: Mutant) -> Outcome:
        """Return what becomes of the mutant; a result kept of an earlier run stands while the plugin, the helpers and
        the test files that decided it are as they were."""
        tests = self._tests(mutant)
        if not tests:
            return Outcome(SURVIVED, "no test reaches it")
        kill = _digest("kill", self.common, mutant.file, mutant.source)
        if kill in self.known:
            outcome, tested = self.known[kill]
            if _file_digest(outcome[1]) == tested:
                return Outcome(*outcome)
        key = _digest(self.common, mutant.file, mutant.source, *(test + _file_digest(test) for test in tests))
        if key in self.known:
            return Outcome(*self.known[key])
        tree = self.trees.get()
        try:
            outcome = self._tested(tree, mutant, tests)
        finally:
            self.trees.put(tree)
        if outcome.state == KILLED:
            self._keep(kill, [outcome, _file_digest(outcome.by)])
        else:
            self._keep(key, outcome)
        return outcome

    def _keep(self, key: str, result) -> None:
        with self.lock, self.file.open("a", encoding="utf-8") as stream:
            self.known[key] = result
            stream.write(json.dumps([key, result]) + "\n")

    def _tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach the mutant, the shortest first; those of its module's own test file, which notice
        it more often, go before others of up to five times their length."""
        found = self.reached.tests(mutant.file, mutant.line)
        stem = Path(mutant.file).stem.replace("_numba", "").replace("_numpy", "")
        order = sorted(found, key=lambda test: (
            found[test], self._seconds([test]) * (0.2 if f"test_{stem}" in test else 1.0), test))
        chosen: list[str] = []
        for test in order:
            if chosen and self._seconds([*chosen, test]) > MOST_SECONDS:
                continue
            chosen.append(test)
        return chosen

    def _seconds(self, tests: list[str]) -> float:
        """Return the seconds that the tests take in one run of pytest, as measured."""
        shared = {fixture for test in tests for fixture in self.measured.shared[test]}
        return sum(self.measured.seconds[test] for test in tests) + sum(
            self.measured.setup.get(fixture, 0.0) for fixture in shared)

    def _parts(self, tests: list[str]) -> list[list[str]]:
        """Divide the tests into a short run, a longer one and the rest: pytest imports all test files of a run before
        the first test, and most mutants fall to the first tests."""
        parts: list[list[str]] = []
        for most in PARTS:
            part = []
            while tests and (not part or self._seconds([*part, tests[0]]) <= most):
                part, tests = [*part, tests[0]], tests[1:]
            parts.append(part)
        return [part for part in parts if part]

    def _tested(self, tree: Tree, mutant: Mutant, tests: list[str]) -> Outcome:
        started, kernels = time.monotonic(), _kernels(mutant.file)
        left = tests
        while left:
            with tree.mutated(mutant, kernels):
                state, by = self._first_failure(tree, left, COMPILING if kernels else 0.0)
            if state != KILLED or self._passes(tree, by):
                return Outcome(state, by, time.monotonic() - started)
            # it fails without the mutant too: it tells nothing
            remaining = [test for test in left if test != by and not test.startswith(by + "[")]
            if len(remaining) == len(left):
                raise SystemExit(f"{by} fails without a change too.")
            left = remaining
        return Outcome(SURVIVED, "the tests that reach it fail without it too", time.monotonic() - started)

    def _first_failure(self, tree: Tree, tests: list[str], compiling: float) -> tuple[str, str]:
        for part in self._parts(tests):
            limit = STARTING + compiling + TIMES * self._seconds(part)
            done = tree.pytest(part, limit)
            if done["code"] == 4:
                # the mutant changes the names of parametrized tests
                part = list(dict.fromkeys(test.partition("[")[0] for test in part))
                done = tree.pytest(part, limit)
            if done["code"] is None:
                return TIMEOUT, f"stopped after {limit:.0f} s in {done['running'] or 'the collection'}"
            if done["code"] != 0:
                by = done["failed"] or done["running"] or part[0]
                return KILLED, by if "::" in by else next((test for test in part if test.startswith(by)), part[0])
        return SURVIVED, f"{len(tests)} tests pass"

    def _passes(self, tree: Tree, test: str) -> bool:
        """Tell whether the test passes in the copy without a change, as it must for a kill to mean something."""
        key = _digest("passes", self.common, test, _file_digest(test))
        if key not in self.known:
            function = test.partition("[")[0]
            names = [test if test in self.measured.seconds else function]
            seconds = sum(took for name, took in self.measured.seconds.items() if name.partition("[")[0] == function)
            done = tree.pytest(names, STARTING + COMPILING + TIMES * (seconds + self._seconds(
                [name for name in names if name in self.measured.seconds])))
            self._keep(key, done["code"] == 0)
        return self.known[key]


class Tree:
    """A copy of the repository, and a process in it that runs tests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = _copy(folder), 0
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", QT_QPA_PLATFORM="offscreen")
        environment.pop("PTI_REACH", None)
        subprocess.run([sys.executable, "-m", "compileall", "-q", "pti_plugin", "scripts"], cwd=folder, check=True)
        self.server = subprocess.Popen([sys.executable, "scripts/forked_pytest.py"], cwd=folder, env=environment,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def pytest(self, tests: list[str], limit: float) -> dict:
        """Run these tests until one fails; returns what scripts/forked_pytest.py writes."""
        arguments = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
        self.server.stdin.write(json.dumps({"arguments": arguments, "limit": limit}) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    @contextmanager
    def mutated(self, mutant: Mutant, kernels: list[str]):
        """Write the mutant; afterwards the file is back as it was, to its time, so that what was compiled fits."""
        target = self.folder / mutant.file
        original, times = target.read_bytes(), target.stat()
        self.number += 1
        with tempfile.TemporaryDirectory(dir=FOLDER) as kept:
            for file in self._machine_code(kernels):
                shutil.move(file, kept)
            try:
                target.write_text(mutant.source, encoding="utf-8")
                later = times.st_mtime_ns + self.number * 10 ** 10
                os.utime(target, ns=(later, later))
                yield
            finally:
                target.write_bytes(original)
                os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
                for file in self._machine_code(kernels):
                    file.unlink()
                for file in Path(kept).iterdir():
                    shutil.move(file, (self.folder / kernels[0]).parent / "__pycache__")

    def _machine_code(self, kernels: list[str]) -> list[Path]:
        return [file for kernel in kernels for file in
                (self.folder / kernel).parent.joinpath("__pycache__").glob(f"{Path(kernel).stem}.*.nb?")]


def _kernels(file: str) -> list[str]:
    """Return the files of kernels that are compiled with what ``file`` holds: itself, or one that imports from it."""
    found = []
    for kernel in reach.core_files():
        tree = ast.parse((reach.ROOT / kernel).read_text(encoding="utf-8"))
        decorated = any(isinstance(node, ast.FunctionDef) and "compiled" in map(ast.unparse, node.decorator_list)
                        for node in tree.body)
        imported = {(reach.ROOT / kernel).parents[node.level - 1] / f"{node.module.replace('.', '/')}.py"
                    for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level and node.module}
        if decorated and (kernel == file or reach.ROOT / file in imported):
            found.append(kernel)
    return found


def _copy(tree: Path) -> Path:
    """Copy the files of the repository as they stand, with the data beside it and the environment in it."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=reach.ROOT,
                            check=True, capture_output=True, text=True).stdout.split("\0")
    shutil.rmtree(tree, ignore_errors=True)
    for name in filter(None, listed):
        source = reach.ROOT / name
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if source.exists():
            shutil.copy2(source, tree / name, follow_symlinks=False)
    for compiled in (reach.ROOT / reach.CORE).rglob("*.nb[ci]"):
        copy = tree / compiled.relative_to(reach.ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy2(compiled, copy)
    for link, target in ((tree / ".venv", reach.ROOT / ".venv"),
                         (tree.parent / "shared", reach.ROOT.parent / "shared")):
        if target.exists() and not link.exists():
            link.symlink_to(target.resolve())
    return tree


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def _file_digest(test: str) -> str:
    """The test file as it was copied: the one in the repository may be edited in the meantime."""
    return hashlib.sha256((FOLDER / "tree0" / test.split("::")[0]).read_bytes()).hexdigest()[:24]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--least", type=float, default=92.0, help="score in per cent below which the exit code is 1")
    parser.add_argument("--only", nargs="+", help="patterns of file names of the core, such as trend*.py")
    parser.add_argument("--at", nargs="+", help="instead of drawing, all changes of these lines, such as trends.py:376")
    parser.add_argument("--tests", nargs="+", default=["tests/unit", "tests/processing"])
    arguments = parser.parse_args()

    started = time.monotonic()
    measured = reach.measure(arguments.tests, arguments.workers)
    mutants = of_lines(arguments.at) if arguments.at else draw(arguments.seed, arguments.count, arguments.only)
    same = equivalents()
    runner = Runner(arguments.workers, measured)
    outcomes: dict[int, Outcome] = {}

    def one(number: int) -> None:
        mutant = mutants[number]
        equivalent = (mutant.file, mutant.function, mutant.was, mutant.now) in same
        outcome = Outcome(SAME) if equivalent else runner.run(mutant)
        outcomes[number] = outcome
        print(f"{number + 1:4} {outcome.state:10} {mutant.file}:{mutant.line} {mutant.function}: {mutant.operator}\n"
              f"       - {mutant.was}\n       + {mutant.now}\n       {outcome.by} ({outcome.seconds:.0f} s; "
              f"{len(outcomes)} of {len(mutants)} after {(time.monotonic() - started) / 60:.1f} min)", flush=True)

    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(one, range(len(mutants))))

    counts = Counter(outcome.state for outcome in outcomes.values())
    told = len(mutants) - counts[SAME]
    score = 100.0 * (counts[KILLED] + counts[TIMEOUT]) / told if told else 100.0
    print(f"\nSeed {arguments.seed}, {len(mutants)} mutants in {(time.monotonic() - started) / 60:.0f} min")
    for state in (KILLED, TIMEOUT, SURVIVED, SAME):
        print(f"  {state:10} {counts[state]:5}")
    print(f"Score: {score:.1f} % of {told} that are not equivalent (at least {arguments.least:g} % asked)")
    return 0 if score >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
