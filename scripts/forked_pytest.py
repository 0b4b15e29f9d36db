#!/usr/bin/env python3
"""Runs pytest again and again in forks of one process that has imported what is slow to import, and nothing of PTI.

Reads one JSON line a run from standard input: ``arguments`` of pytest, ``limit`` in seconds of processor time, so that
a busy machine does not change what is found; a run that waits is ended after PATIENCE times as long. Writes one JSON
line a run: ``code`` (pytest's exit code, minus the signal that ended it, or null at the limit), ``failed`` (the first
failing test, or the file that cannot be collected, or null), ``running`` (the test that was started last, or null),
``output``.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

#: imported once: what the core and the tests import of others, as far as none of it starts a thread
SLOW = ("numpy", "numba", "osgeo.gdal_array", "osgeo.ogr", "osgeo.osr", "scipy.stats", "matplotlib.figure",
        "matplotlib.backends.backend_agg", "xgboost", "pymannkendall")
#: bytes of address space for one run of tests, so that a mutant cannot take the machine
MEMORY = 16 << 30
PATIENCE = 6


class _Notes:
    """Writes down, as it happens, which test is started and which fails: the process may end at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, word: str, name: str) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps([word, name]) + "\n")

    def pytest_runtest_logstart(self, nodeid, location):
        self.note("running", nodeid)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.note("failed", report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.note("failed", report.nodeid)


def run(arguments: list[str], limit: float, folder: Path) -> dict:
    """Run pytest in a fork of this process; all that it starts is ended with it."""
    notes, output = folder / "notes", folder / "output"
    for path in (notes, output):
        path.write_text("", encoding="utf-8")
    child = os.fork()
    if not child:
        code = 3
        try:
            os.setsid()
            stream = os.open(output, os.O_WRONLY | os.O_APPEND)
            for number, source in enumerate((os.open(os.devnull, os.O_RDONLY), stream, stream)):
                os.dup2(source, number)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit) + 1))
            code = int(pytest.main(arguments, plugins=[_Notes(notes)]))
        finally:
            os._exit(code)
    code = _ended(child, PATIENCE * limit)
    if code == -signal.SIGXCPU:
        code = None
    found: dict[str, str] = {}
    for word, name in map(json.loads, notes.read_text(encoding="utf-8").splitlines()):
        if word == "running" or "failed" not in found:
            found[word] = name
    return {"code": code, "failed": found.get("failed"), "running": found.get("running"),
            "output": output.read_text(encoding="utf-8", errors="replace")[-5000:]}


def _ended(child: int, limit: float) -> int | None:
    end, pause = time.monotonic() + limit, 0.01
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                return None
            time.sleep(pause)
            pause = min(pause * 1.2, 0.2)
    finally:
        # its own session: the group holds what the tests have started, too
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if not done:
            os.waitpid(child, 0)


def main() -> None:
    for name in SLOW:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    sys.path.insert(0, os.getcwd())
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(run(request["arguments"], request["limit"], Path(folder))), flush=True)


if __name__ == "__main__":
    main()
