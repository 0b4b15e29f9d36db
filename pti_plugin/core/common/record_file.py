"""Where the record of a run lies, and which files are records of this plugin and which a user's own."""

from __future__ import annotations

import json
import os

SUFFIX = ".provenance.json"
PLUGIN = "Permafrost Thaw Index (PTI)"


def record_path(output) -> str:
    """Return the path of the record of an output file."""
    return os.path.splitext(str(output))[0] + SUFFIX


def record_paths(outputs) -> list[str]:
    """Return where the record of a run stands: beside its first output, and once in every further folder it fills.

    Temporary outputs lie in folders of their own; a record in each lets the steps that read them find it.
    """
    first = {}
    for output in outputs:
        first.setdefault(os.path.dirname(os.path.abspath(str(output))), output)
    return [record_path(output) for output in first.values()]


def read_json(path):
    """Return what a JSON file holds, or None where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def is_own(path) -> bool:
    """True where the file is a record that this plugin wrote."""
    content = read_json(path)
    return isinstance(content, dict) and content.get("plugin") == PLUGIN and isinstance(content.get("tool"), str) \
        and isinstance(content.get("outputs"), dict)


def outputs_of(path) -> set[str]:
    """Return the names of the files that a record of this plugin speaks of, empty for any other file."""
    return {os.path.basename(str(output)) for output in read_json(path)["outputs"].values()} if is_own(path) else set()
