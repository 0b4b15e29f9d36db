#!/usr/bin/env python3
"""Would the tests notice? Small changes of the core (mutants), drawn by a seed, each tested until a test fails.

The changes are those of Cosmic Ray's operators, and the removal of a ``raise``. Cosmic Ray itself runs one command for
every mutant; here each runs only the tests that reach its statement (see reach.py), nearest and shortest first, in a
copy of the repository. Compiled kernels get an empty numba cache, so that the mutant is what runs. Mutants that cannot
be told from the original stand in tests/data/mutants/equivalent.json, each with its reason. Prints a line a mutant, a
table and the score; exits 1 where the score is below --least.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
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
STYLE = {"fontsize", "labelpad", "linewidth", "linewidths", "markersize", "pad", "s", "zorder"}

#: seconds of selected tests, as measured, that one mutant is given; the time limit is a multiple of them
MOST_SECONDS = 90.0
STARTING, TIMES = 60.0, 4.0
#: bytes of address space for one run of tests, so that a mutant cannot take the machine
MEMORY = 16 << 30


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
    chosen = operators()
    places = defaultdict(list)
    for file in reach.core_files():
        if only and not any(fnmatch(Path(file).name, pattern) for pattern in only):
            continue
        source = (reach.ROOT / file).read_text(encoding="utf-8")
        left_out = _left_out(source)
        nodes = list(_nodes(parso.parse(source)))
        for name, operator in chosen.items():
            occurrence = 0
            for node in nodes:
                if not _may_fit(name, node):
                    continue
                for start, end in operator.mutation_positions(node):
                    if not any(a <= start < b for a, b in left_out):
                        places[file, start, end].append((name, occurrence))
                    occurrence += 1
    rng = random.Random(seed)
    keys = sorted(places)
    mutants = []
    for file, start, end in rng.sample(keys, len(keys)):
        if len(mutants) == count:
            break
        name, occurrence = rng.choice(places[file, start, end])
        source = (reach.ROOT / file).read_text(encoding="utf-8")
        changed = mutate_code(source, chosen[name], occurrence)
        if changed is None or changed == source:
            continue
        before, after = _changed_lines(source, changed)
        mutants.append(Mutant(file, start[0], reach.function_at(source, start[0]), before, after, name, changed))
    return mutants


def _may_fit(operator: str, node) -> bool:
    """Spare the operators most of the nodes: asking each about each takes minutes."""
    if operator.startswith("ReplaceComparison"):
        return node.type == "comparison"
    return node.type == "operator" or not operator.startswith("ReplaceBinary")


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


def equivalents(mutants: list[Mutant]) -> set[tuple[str, str, str, str]]:
    """Return the reviewed list as keys of mutants."""
    entries = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return {(entry["file"], entry["function"], entry["was"], entry["now"]) for entry in entries}


class Runner:
    """Runs the tests of a mutant, each worker in a copy of the repository of its own; keeps results in the folder."""

    def __init__(self, workers: int, measured: reach.Measured, words=print) -> None:
        self.measured, self.words, self.lock = measured, words, threading.Lock()
        self.reached, self.common = reach.Reached(measured), reach.common_digest()
        self.trees = SimpleQueue()
        FOLDER.mkdir(parents=True, exist_ok=True)
        for number in range(workers):
            self.trees.put(_copy(FOLDER / f"tree{number}"))
        self.file = FOLDER / "results.jsonl"
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        self.known = dict(json.loads(line) for line in lines)

    def run(self, mutant: Mutant) -> Outcome:
        tests = self._tests(mutant)
        if not tests:
            return Outcome(SURVIVED, "no test reaches it")
        key = _digest(self.common, mutant.file, mutant.source, *(test + _file_digest(test) for test in tests))
        if key in self.known:
            return Outcome(*self.known[key])
        tree = self.trees.get()
        try:
            outcome = self._tested(tree, mutant, tests)
        finally:
            self.trees.put(tree)
        with self.lock, self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([key, outcome]) + "\n")
        return outcome

    def _tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach the mutant: those of its module's own test file first, the shortest first."""
        found = self.reached.tests(mutant.file, mutant.line)
        stem = Path(mutant.file).stem.replace("_numba", "").replace("_numpy", "")
        seconds_of = self.measured.seconds
        order = sorted(found, key=lambda test: (f"test_{stem}" not in test, found[test], seconds_of[test], test))
        chosen, seconds = [], 0.0
        for test in order:
            seconds += seconds_of[test]
            if chosen and seconds > MOST_SECONDS:
                break
            chosen.append(test)
        return chosen

    def _tested(self, tree: Path, mutant: Mutant, tests: list[str]) -> Outcome:
        target = tree / mutant.file
        original = target.read_text(encoding="utf-8")
        limit = STARTING + TIMES * sum(self.measured.seconds[test] for test in tests)
        started = time.monotonic()
        try:
            _write(target, mutant.source)
            with tempfile.TemporaryDirectory(dir=FOLDER) as empty:
                code, output = self.pytest(tree, tests, limit, empty if "compiled" in original else None)
        finally:
            _write(target, original)
        seconds = time.monotonic() - started
        if code is None:
            return Outcome(TIMEOUT, f"stopped after {limit:.0f} s", seconds)
        if code == 0:
            return Outcome(SURVIVED, f"{len(tests)} tests pass", seconds)
        if code in (3, 4) and self.pytest(tree, [*tests, "--collect-only"], limit, None)[0] != 0:
            raise SystemExit(f"These tests cannot be run without a change either:\n{output[-3000:]}")
        line = next((line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))), "")
        # a name may hold spaces
        failed = max((test for test in tests if line.partition(" ")[2].startswith(test)), key=len, default="")
        return Outcome(KILLED, failed or f"pytest ended with {code}", seconds)

    @staticmethod
    def pytest(tree: Path, arguments: list[str], limit: float, numba_cache: str | None) -> tuple[int | None, str]:
        """Run pytest until the first failure; return its exit code (None: stopped at the limit) and output."""
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", QT_QPA_PLATFORM="offscreen")
        environment.pop("PTI_REACH", None)
        if numba_cache is not None:
            environment["NUMBA_CACHE_DIR"] = numba_cache
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", *arguments],
            cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, output

    def unmutated(self, tests: list[str]) -> bool:
        """Tell whether these tests pass in the copy without a change, as they must for a kill to mean something."""
        tree = self.trees.get()
        try:
            code, output = self.pytest(tree, sorted(tests), 3600.0, None)
        finally:
            self.trees.put(tree)
        if code != 0:
            self.words(output[-3000:])
        return code == 0


def _write(target: Path, source: str) -> None:
    """Write a module; what was compiled of it before goes, since two texts may have one size and one second."""
    target.write_text(source, encoding="utf-8")
    for stale in (target.parent / "__pycache__").glob(f"{target.stem}.*"):
        stale.unlink()


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
    for link, target in ((tree / ".venv", reach.ROOT / ".venv"),
                         (tree.parent / "shared", reach.ROOT.parent / "shared")):
        if target.exists() and not link.exists():
            link.symlink_to(target.resolve())
    return tree


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def _file_digest(test: str) -> str:
    return hashlib.sha256((reach.ROOT / test.split("::")[0]).read_bytes()).hexdigest()[:24]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--least", type=float, default=92.0, help="score in per cent below which the exit code is 1")
    parser.add_argument("--only", nargs="+", help="patterns of file names of the core, such as trend*.py")
    parser.add_argument("--tests", nargs="+", default=["tests/unit", "tests/processing"])
    arguments = parser.parse_args()

    measured = reach.measure(arguments.tests)
    mutants = draw(arguments.seed, arguments.count, arguments.only)
    same = equivalents(mutants)
    runner = Runner(arguments.workers, measured)
    shortest = {}
    for test in sorted(measured.seconds, key=measured.seconds.get, reverse=True):
        shortest[test.split("::")[0]] = test
    if not runner.unmutated(list(shortest.values())):
        print("The copy of the repository fails these tests without any change.")
        return 1
    outcomes = {}

    def one(number: int) -> None:
        mutant = mutants[number]
        if (mutant.file, mutant.function, mutant.was, mutant.now) in same:
            outcomes[number] = Outcome(SAME)
        else:
            outcomes[number] = runner.run(mutant)
        outcome = outcomes[number]
        print(f"{number + 1:4} {outcome.state:10} {mutant.file}:{mutant.line} {mutant.function}: {mutant.operator}\n"
              f"       - {mutant.was}\n       + {mutant.now}\n       {outcome.by}", flush=True)

    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(one, range(len(mutants))))

    killers = {outcome.by for outcome in outcomes.values() if outcome.state == KILLED and "::" in outcome.by}
    if killers and not runner.unmutated(list(killers)):
        print("Tests above fail without any change: the score would mean nothing.")
        return 1
    counts = Counter(outcome.state for outcome in outcomes.values())
    told = len(mutants) - counts[SAME]
    score = 100.0 * (counts[KILLED] + counts[TIMEOUT]) / told if told else 100.0
    print(f"\nSeed {arguments.seed}, {len(mutants)} mutants")
    for state in (KILLED, TIMEOUT, SURVIVED, SAME):
        print(f"  {state:10} {counts[state]:5}")
    print(f"Score: {score:.1f} % of {told} that are not equivalent (at least {arguments.least:g} % asked)")
    return 0 if score >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
