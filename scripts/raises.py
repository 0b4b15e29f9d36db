#!/usr/bin/env python3
"""Which refusals of the core does no test reach? Lists its ``raise`` lines that the measured tests (see reach.py) do
not run; exits 1 where one is not in tests/data/mutants/unreached_raises.json with its reason, or where one in that
list is reached by now or gone.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys

import reach

LISTED = reach.ROOT / "tests" / "data" / "mutants" / "unreached_raises.json"


def raises(file: str) -> dict[int, tuple[str, str]]:
    """Return {line: (function, the statement's first line)} of the raise statements of a file of the core."""
    source = (reach.ROOT / file).read_text(encoding="utf-8")
    lines = source.splitlines()
    return {node.lineno: (reach.function_at(source, node.lineno), lines[node.lineno - 1].strip())
            for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tests", nargs="+", default=["tests/unit", "tests/processing"])
    run = reach.measure(parser.parse_args().tests).run
    listed = {(entry["file"], entry["function"], entry["raise"]): entry["reason"]
              for entry in json.loads(LISTED.read_text(encoding="utf-8"))}
    number, unreached = 0, {}
    for file in reach.core_files():
        for line, (function, text) in raises(file).items():
            number += 1
            if (file, line) not in run:
                unreached[file, function, text] = line
    new = {key: line for key, line in unreached.items() if key not in listed}
    for (file, function, text), line in new.items():
        print(f"{file}:{line} {function}: {text}")
    stale = sorted(set(listed) - set(unreached))
    for file, function, text in stale:
        print(f"{file} {function}: {text}\n  is listed as unreached, but is reached or gone: take it off {LISTED.name}")
    print(f"{number} raise lines, {len(unreached)} not reached, of which {len(unreached) - len(new)} are listed")
    return 1 if new or stale else 0


if __name__ == "__main__":
    sys.exit(main())
