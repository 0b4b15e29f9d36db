"""The record beside every result: what was run on what, enough to run it again and to explain the result."""

import datetime
import hashlib
import json
import os
import platform
import re

import numpy as np
from osgeo import gdal

from .departures import departures_of
from .packages import version_of
from .record_check import read_checked
from .record_paths import relative
from .resources import plugin_version

SUFFIX = ".provenance.json"
_CHUNK = 1 << 22
#: most steps that are gathered upstream of a result, and most records read in one folder
MOST_STEPS, MOST_RECORDS = 200, 1000


def record_path(output):
    """Return the path of the record of an output file."""
    return os.path.splitext(str(output))[0] + SUFFIX


def record_paths(outputs):
    """Return where the record of a run stands: beside its first output, and once in every further folder it fills.

    Temporary outputs lie in folders of their own; a record in each lets the steps that read them find it.
    """
    first = {}
    for output in outputs:
        first.setdefault(os.path.dirname(os.path.abspath(str(output))), output)
    return [record_path(output) for output in first.values()]


def checksum(path, progress=None):
    """Return the SHA-256 of a file as a hex string, checking for cancellation between chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            if progress is not None:
                progress.check()


def describe_input(role, path, progress=None):
    """Return {role, path, size_bytes, sha256}; subdataset strings are described by the file inside them."""
    path = str(path)
    inner = _file_inside(path)
    entry = {"role": role, "path": path}
    if inner:
        entry.update(size_bytes=os.path.getsize(inner), sha256=checksum(inner, progress))
    return entry


def build_record(tool, parameters, inputs, outputs, profile, progress, seed=None, results=None, choices=None):
    """Return the record as a dictionary.

    ``inputs``: list of (role, path); ``outputs``: {name: path}; ``results``: figures worth keeping (areas, counts).
    ``choices``: {name: value} of everything that decides the result, as it was used: words for choices, and what the
    profile decided (departures.py).
    """
    choices = dict(choices or {})
    return {
        "tool": tool,
        "plugin": "Permafrost Thaw Index (PTI)",
        "plugin_version": plugin_version(),
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "profile": profile.name if profile else None,
        "departures_from_the_paper": departures_of(tool, choices),
        "parameters": parameters,
        "choices": choices,
        "seed": seed,
        "inputs": [describe_input(role, path, progress) for role, path in inputs],
        "outputs": {name: str(path) for name, path in outputs.items() if path},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "gdal": gdal.__version__,
                     **{name: version_of(name) for name in ("xgboost", "sklearn") if tool in _LEARNING}},
        "results": results or {},
        "warnings": list(progress.warnings),
    }


_LEARNING = ("trainxgboost", "predictxgboost")


def to_json(record, folder):
    """Return a record as readable JSON text for a file in ``folder``, to which its paths are relative."""
    text = json.dumps(relative(record, folder), indent=2, ensure_ascii=False, default=_plain) + "\n"
    # a name of a file may hold bytes that are no letters
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text)


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def read_record(output):
    """Return the record beside ``output``, or None where there is none or it cannot be read."""
    return read_checked(record_path(output))


def collect_records(paths):
    """Return the records of all the steps behind files, upstream first.

    The step that made a file is the one whose record, in the file's folder, has it among its outputs; the newest where
    several have. From there the search goes on to the step's own inputs. An input of a record that a step was found
    for gets its number in the returned list as ``step``, from 1. Each step stands in the list once, circles end where
    they close, and no more than MOST_STEPS are gathered. A file that is not the size it was read with is another one
    by now, and its record is not that of the input.
    """
    search = _Search()
    for path in filter(None, paths):
        search.step_of(str(path))
    return search.steps


def link_inputs(record, steps):
    """Mark the inputs of a new record with the number of the step of ``steps`` that made them."""
    made = {os.path.realpath(path): number for number, step in enumerate(steps, 1)
            for path in step.get("outputs", {}).values()}
    for entry in record["inputs"]:
        number = made.get(os.path.realpath(_file_inside(entry["path"]) or entry["path"]))
        if number:
            entry["step"] = number


class _Search:
    """Follows records upstream; ``steps`` are those found so far, each after the steps it is made of."""

    def __init__(self):
        self.steps = []
        self._numbers, self._folders = {}, {}

    def step_of(self, path, folder="", size=None):
        """Return the number of the step that made a file, or None; ``folder`` is where it is looked for besides."""
        found = _file_inside(path) or _file_inside(os.path.join(folder, os.path.basename(path)))
        if found is None or (size is not None and os.path.getsize(found) != size):
            return None
        record = self._records_in(os.path.dirname(os.path.abspath(found))).get(os.path.basename(found))
        if record is None:
            return None
        key = json.dumps([record.get("tool"), record.get("finished"), record["outputs"]], sort_keys=True)
        if key not in self._numbers:
            if len(self._numbers) >= MOST_STEPS:
                return None
            # found again on the way up, it closes a circle
            self._numbers[key] = None
            for entry in record.get("inputs") or ():
                number = self.step_of(str(entry.get("path", "")), os.path.dirname(os.path.abspath(found)),
                                      entry.get("size_bytes"))
                if number:
                    entry["step"] = number
            self.steps.append(record)
            self._numbers[key] = len(self.steps)
        return self._numbers[key]

    def _records_in(self, folder):
        """Return {name of an output: record} of a folder, the newest where several name the same."""
        if folder not in self._folders:
            records = [record for record in map(read_checked, _record_files(folder)) if record]
            records.sort(key=lambda record: str(record.get("finished", "")))
            self._folders[folder] = {re.split(r"[\\/]", str(path))[-1]: record for record in records
                                     for path in record["outputs"].values()}
        return self._folders[folder]


def _record_files(folder):
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names[:MOST_RECORDS]]


def _file_inside(path):
    """Return the file that a data source names, as in NETCDF:"file":variable or file|layername=x, or None."""
    return next((part for part in (path, *path.split('"'), path.split("|")[0]) if os.path.isfile(part)), None)
