"""The record beside every result: what was run on what, enough to run it again and to explain the result."""

import datetime
import hashlib
import json
import os
import platform

import numpy as np
from osgeo import gdal

from .packages import version_of
from .profiles import deviations
from .resources import plugin_version

SUFFIX = ".provenance.json"
_CHUNK = 1 << 22


def record_path(output):
    """Return the path of the record of an output file."""
    return os.path.splitext(str(output))[0] + SUFFIX


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
    inner = next((part for part in path.split('"') if os.path.isfile(part)), None)
    entry = {"role": role, "path": path}
    if inner:
        entry.update(size_bytes=os.path.getsize(inner), sha256=checksum(inner, progress))
    return entry


def build_record(tool, parameters, inputs, outputs, profile, progress, seed=None, results=None):
    """Return the record as a dictionary.

    ``inputs``: list of (role, path); ``outputs``: {name: path}; ``results``: figures worth keeping (areas, counts).
    """
    return {
        "tool": tool,
        "plugin": "Permafrost Thaw Index (PTI)",
        "plugin_version": plugin_version(),
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "profile": profile.name if profile else None,
        "departures_from_the_paper": deviations(profile) if profile else {},
        "parameters": parameters,
        "seed": seed,
        "inputs": [describe_input(role, path, progress) for role, path in inputs],
        "outputs": {name: str(path) for name, path in outputs.items() if path},
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "gdal": gdal.__version__,
                     **{name: version_of(name) for name in ("xgboost", "sklearn") if tool in _LEARNING}},
        "results": results or {},
        "warnings": list(progress.warnings),
    }


_LEARNING = ("trainxgboost", "predictxgboost")


def to_json(record):
    """Return a record as readable JSON text."""
    return json.dumps(record, indent=2, ensure_ascii=False, default=_plain) + "\n"


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def read_record(output):
    """Return the record beside ``output``, or None where there is none or it cannot be read."""
    try:
        with open(record_path(output), encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None
