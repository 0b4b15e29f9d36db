"""No run that is killed, starved or disturbed loses or mixes results, touches its inputs or leaves anything.

PTI_FAULTS=full (make faults) goes through all tools and the chain by SEED, and prints what became of every kind of
case; otherwise one tool is drawn, the same every time.
"""

import json
import os
import subprocess
import sys

import pytest

from support import ROOT

FULL = os.environ.get("PTI_FAULTS") == "full"
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="runs are forked and watched as Linux can")


def test_nothing_is_lost_mixed_touched_or_left(tmp_path):
    command = [sys.executable, ROOT / "tests" / "faults.py", tmp_path, os.environ.get("SEED", "1") if FULL else "1",
               "full" if FULL else "short"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                          errors="replace") as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    assert process.returncode == 0, "".join(lines)[-3000:]
    seen = json.loads(lines[-1])
    assert seen["breaches"] == []
    if FULL:
        killed = sum(number for kind, outcomes in seen["cases"].items() if kind.startswith("kill")
                     for outcome, number in outcomes.items() if outcome != "ended well")
        assert killed >= 200


@pytest.mark.parametrize("change, said", [
    ({"b.csv": None}, "b.csv is lost"), ({"b.csv": b"ne"}, "neither the earlier nor the new"),
    ({"b.csv": b"new"}, "mixed"), ({"x.csv": b"new"}, "x.csv is no output"), ({}, "")])
def test_what_is_lost_or_mixed_is_seen(tmp_path, change, said):
    from faults import Reference

    reference = Reference([{"a.csv": b"new", "b.csv": b"new"}] * 2, 1, 1)
    for name, data in {**reference.earlier, **change}.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    assert said in " ".join(reference.judge(tmp_path, True, settled=True)[1])
    assert bool(said) == bool(reference.judge(tmp_path, True, settled=True)[1])
