"""A process that uses received files one after the other and may be ended by one, and what it says of each."""

from __future__ import annotations

import json
import os
import re
import resource
import selectors
import subprocess
import sys
import traceback
from pathlib import Path

from support import ROOT

#: seconds a case may take, and bytes the process may come to hold
MOST_SECONDS, MOST_BYTES = 30, 1 << 30
#: seconds that the process may take to load what it needs, on a machine that has much else to do
_MOST_TO_START = 300
#: what a screen acts on
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f]"


def answer(use):
    """Read what to use, a line of JSON each, from standard input, and say of each what became of it and how much memory
    was taken; ``use``: function that returns "used" or "refused: …"."""
    # what libraries print is not the answer
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(json.dumps([_peak(), "ready"]), file=answers, flush=True)
    for line in sys.stdin:
        _forget_peak()
        try:
            result = use(json.loads(line))
        except Exception as error:  # what the tools would show as a traceback
            result = f"traceback: {type(error).__name__}: {error} {traceback.format_exc()[-900:]}"
        print(json.dumps([_peak(), result]), file=answers, flush=True)
    os._exit(0)


def _forget_peak():
    """Have the most memory counted anew, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as stream:
            stream.write("5")
    except OSError:
        pass


def _peak():
    """Return the most memory that this process has taken, bytes; getrusage has that of its parent too."""
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            return next(int(line.split()[1]) * 1024 for line in stream if line.startswith("VmHWM:"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class User:
    """A process of a program that calls ``answer``; begun anew where it ended."""

    def __init__(self, program, *arguments):
        self._command = [sys.executable, str(Path(program).resolve()), *map(str, arguments)]
        self._process = None

    def use(self, given):
        """Return (bytes the process came to hold, what became of what was given, anything that JSON holds)."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])})
            started = self._answer(_MOST_TO_START)
            if started[1] != "ready":
                raise RuntimeError(f"{self._command} does not start: {started[1]}")
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        return self._answer(MOST_SECONDS)

    def _answer(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self.end()
                return 0, f"took more than {seconds} seconds"
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self.end()
            return 0, f"ended the process ({code})"
        return tuple(json.loads(line))

    def end(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def harm(taken, result):
    """Return what is wrong with an answer, "" where the file was used or refused in a sentence."""
    if taken > MOST_BYTES:
        return f"took {taken >> 20} MiB"
    if result != "used" and not result.startswith("refused: "):
        return result
    # a name in a damaged file may hold what a screen acts on
    if re.search(_CONTROL, result):
        return f"control characters: {result!r}"
    return ""
