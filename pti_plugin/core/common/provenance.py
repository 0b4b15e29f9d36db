"""The record beside every result: what was run on what, enough to run it again and to explain the result."""

import datetime
import hashlib
import json
import os
import platform
import re
import secrets
import threading
import time
from contextlib import contextmanager

import numpy as np
from osgeo import gdal

from .departures import departures_of
from .errors import InputError
from .packages import version_of
from .record_check import read_checked
from .record_file import PLUGIN, SUFFIX, record_path
from .relative_paths import relative
from .resources import plugin_version
from .source_files import file_inside

_CHUNK = 1 << 22
#: bytes of inputs from which on the log tells that they are read once more
_MUCH = 1 << 30
#: checksums kept, and seconds that a file must have been left alone
_MOST_KNOWN, _SETTLED = 20_000, 5
_known = {}
_chain = threading.local()
#: databases, which change when they are only opened
CHANGING = (".gpkg", ".sqlite", ".db")
#: most steps that are gathered upstream of a result, and most records read in one folder
MOST_STEPS, MOST_RECORDS = 200, 1000


def checksum(path, progress=None):
    """Return the SHA-256 of a file as a hex string, checking for cancellation between chunks.

    That of a file which is the same by place, size and times as before is not made again.
    """
    before = os.stat(path)
    key = os.path.realpath(path), before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns
    if key in _known:
        return _known[key]
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
            if progress is not None:
                progress.check()
    # times do not tell a change that follows at once
    if time.time() - max(before.st_mtime, before.st_ctime) > _SETTLED:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = digest.hexdigest()
    return digest.hexdigest()


def _named_file(path):
    """Return [the file that a data source names], or []."""
    return [file for file in [file_inside(path)] if file]


def describe_input(role, path, progress=None, files=None):
    """Return {role, path, size_bytes, sha256, files}.

    ``files``: the files behind the input, the one it names first; where None, the file that ``path`` names. Size and
    checksum are those of the first, ``files`` has path, size and checksum of the others, where there are any.
    """
    path = str(path)
    entry = {"role": role, "path": path}
    files = _named_file(path) if files is None else files
    described = [{"path": file, "size_bytes": os.path.getsize(file), "sha256": checksum(file, progress)}
                 for file in files]
    if described:
        entry.update(size_bytes=described[0]["size_bytes"], sha256=described[0]["sha256"])
    if described[1:]:
        entry["files"] = described[1:]
    return entry


def _described(inputs, behind, progress):
    """Return the entries of a list of (role, path) and tell of much to read; raises InputError for a file that is gone
    since."""
    listed = [(role, path, behind(path)) for role, path in inputs]
    files = {file for _, _, found in listed for file in found}
    try:
        size = sum(map(os.path.getsize, files))
        if size >= _MUCH:
            progress.info(f"Checksums of {len(files)} input files, {size / (1 << 30):.1f} GiB, are made for the "
                          f"record.")
        return [describe_input(role, path, progress, found) for role, path, found in listed]
    except OSError as error:
        raise InputError(f"{error.filename} was there when the run began and cannot be read any more: "
                         f"{error.strerror}. Put it back and run again.") from error


def build_record(tool, parameters, inputs, outputs, profile, progress, seed=None, results=None, choices=None,
                 behind=_named_file):
    """Return the record as a dictionary.

    ``inputs``: list of (role, path); ``outputs``: {name: path}; ``results``: figures worth keeping (areas, counts);
    ``choices``: {name: value} of everything that decides the result, as it was used: words for choices, and what the
    profile decided (departures.py); ``behind``: function that gives the files behind the path of an input. Each run has
    an id of its own; an input that a run made has the id of that run.
    """
    choices = dict(choices or {})
    return {
        "tool": tool,
        "run": secrets.token_hex(8),
        **({"chain": chain} if (chain := current_chain()) else {}),
        "plugin": PLUGIN,
        "plugin_version": plugin_version(),
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "profile": profile.name if profile else None,
        "departures_from_the_paper": departures_of(tool, choices),
        "parameters": parameters,
        "choices": choices,
        "seed": seed,
        "inputs": _with_runs(_described(inputs, behind, progress)),
        "outputs": {name: str(path) for name, path in outputs.items() if path},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "gdal": gdal.__version__,
                     **{name: version_of(name) for name in ("xgboost", "sklearn") if tool in _LEARNING}},
        "results": results or {},
        "warnings": list(progress.warnings),
    }


@contextmanager
def one_chain():
    """Context in which the runs of the calling thread are steps of one chain, whose id is in all their records."""
    before = current_chain()
    _chain.id = before or secrets.token_hex(8)
    try:
        yield
    finally:
        _chain.id = before


def current_chain():
    """Return the id of the chain that the calling thread runs, or None."""
    return getattr(_chain, "id", None)


def made_files(outputs, progress=None):
    """Return {name: {size_bytes, sha256}} of outputs {name: path where they are now}, for the record."""
    return {name: {"size_bytes": os.path.getsize(path), "sha256": checksum(path, progress)}
            for name, path in outputs.items()}


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
    they close, and no more than MOST_STEPS are gathered. A file that is not as its record says it was made, or as it
    was when the next step read it, is another one, and the record is not its own.
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
        number = made.get(os.path.realpath(file_inside(entry["path"]) or entry["path"]))
        if number:
            entry["step"] = number


def _with_runs(entries):
    """Return entries of inputs, those that a run made with its id as ``run``: its record lies beside, and the file is
    still the one it wrote."""
    records = Records()
    found = []
    for entry in entries:
        record = records.of(entry["path"])
        run = record and record.get("run")
        made = record and made_by(record, entry["path"])
        found.append({**entry, "run": run} if run and made == entry.get("sha256") else entry)
    return found


def made_by(record, path):
    """Return the checksum that a record has of the output with the name of ``path``, or None."""
    name = os.path.basename(file_inside(str(path)) or str(path))
    files = record.get("files_made")
    return next((files[key].get("sha256") for key, output in record["outputs"].items()
                 if name_of(output) == name and isinstance(files, dict) and isinstance(files.get(key), dict)), None)


def name_of(path):
    """Return the name of a file from a path of whatever system."""
    return re.split(r"[\\/]", str(path))[-1]


class Records:
    """The records beside files, each folder read once."""

    def __init__(self):
        self._folders = {}

    def of(self, path):
        """Return the record of the step that made a file, or None."""
        found = file_inside(str(path))
        return self._in(os.path.dirname(os.path.abspath(found))).get(os.path.basename(found)) if found else None

    def _in(self, folder):
        """Return {name of an output: record} of a folder, the newest where several name the same."""
        if folder not in self._folders:
            records = [record for record in map(read_checked, _record_files(folder)) if record]
            records.sort(key=lambda record: str(record.get("finished", "")))
            self._folders[folder] = {name_of(path): record for record in records
                                     for path in record["outputs"].values()}
        return self._folders[folder]


class _Search:
    """Follows records upstream; ``steps`` are those found so far, each after the steps it is made of."""

    def __init__(self):
        self.steps = []
        self._numbers, self._records = {}, Records()

    def step_of(self, path, folder="", size=None, digest=None):
        """Return the number of the step that made a file, or None; ``folder`` is where it is looked for besides.

        ``size`` and ``digest`` (SHA-256) are those it was read with; None: it is taken as it is now.
        """
        found = file_inside(path) or file_inside(os.path.join(folder, os.path.basename(path)))
        if found is None or (size is not None and os.path.getsize(found) != size):
            return None
        record = self._records.of(found)
        if record is None:
            return None
        made = made_by(record, found)
        if made and not found.lower().endswith(CHANGING) and made != (
                checksum(found) if size is None and digest is None else digest or made):
            return None
        key = json.dumps([record.get("tool"), record.get("finished"), record["outputs"]], sort_keys=True)
        if key not in self._numbers:
            if len(self._numbers) >= MOST_STEPS:
                return None
            # found again on the way up, it closes a circle
            self._numbers[key] = None
            for entry in record.get("inputs") or ():
                number = self.step_of(str(entry.get("path", "")), os.path.dirname(os.path.abspath(found)),
                                      entry.get("size_bytes"), entry.get("sha256"))
                if number:
                    entry["step"] = number
            self.steps.append(record)
            self._numbers[key] = len(self.steps)
        return self._numbers[key]


def _record_files(folder):
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names[:MOST_RECORDS]]
