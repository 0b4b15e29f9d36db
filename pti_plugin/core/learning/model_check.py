"""What a model file may hold: its archive, its manifest and its samples, checked before anything is made of them.

Limits are far beyond what training makes, and low enough that no file takes much more memory than it has bytes.
"""

from __future__ import annotations

import ast
import re

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..common.schema import (
    SENTENCE,
    flag,
    listed,
    named,
    number,
    optional,
    plain,
    record,
    shown,
    text,
)

FORMAT = "pti-model"
FORMAT_VERSION = 3
#: versions from this one on have the manifest's checksum
SUMMED = 3
MANIFEST, MANIFEST_SUM, SAMPLES = "manifest.json", "manifest.sha256", "samples.npy"
#: entries of an archive, and bytes of the list of them
_MOST_ENTRIES, _MOST_LISTED = 10_000, 1 << 22
#: bytes of the manifest; bytes that any archive may unfold to, and how many times its own size besides
_MOST_MANIFEST, _FREE, _TIMES = 1 << 23, 96 << 20, 8
#: end of a zip without a comment, and what stands before it in one of the large kind
_END, _END_SIZE, _LOCATOR, _LOCATOR_SIZE = b"PK\x05\x06", 22, b"PK\x06\x07", 20
_BOOSTER = r"boosters/\d{4,5}\.ubj"
_MOST_FEATURES, _MOST_FOLDS = 10_000, 255
#: bytes of the header of the samples
_HEADER = 512

_code = text(3, among=[str(code) for code in ranks.CODES])
_sum = text(64, pattern="[0-9a-f]{64}")
_name, _count = text(empty=False), number(0, 1e15, whole=True)
_words = text(SENTENCE)
_cell = optional(number())
_row = plain(depth=2)
_metric = record({}, {"section": text(), "line": text(1000), "value": _cell, "low": _cell, "high": _cell,
                      "n": optional(number(0)), "unit": optional(text()), "expected": _cell,
                      "meaning": optional(_words), "source": optional(text())}, _row)
_of_features = named(_name, number())

#: the manifest; members that are not named here may hold anything plain
RULES = record({
    "format": text(among=(FORMAT,)), "format_version": number(1, FORMAT_VERSION, whole=True),
    "features": listed(record({"name": _name, "group": text(), "categorical": flag},
                              {"low": _cell, "high": _cell, "unit": optional(text())}, _row), 0, _MOST_FEATURES),
    "codes": listed(number(1, 255, whole=True), 1, len(ranks.CODES)),
    "boosters": listed(record({"file": text(pattern=_BOOSTER), "sha256": _sum}), 0, _MOST_ENTRIES),
    "versions": record({"xgboost": text(60, pattern=r"\d{1,4}(\.\d{1,4})+[\w.+-]*")}, None, optional(text())),
}, {
    "sample_table": optional(record({"file": text(among=(SAMPLES,)), "sha256": _sum})),
    "plugin_version": optional(text()), "profile": optional(text()), "options": named(_name, plain()),
    "parameters": named(_name, plain()), "seed": optional(number(whole=True)),
    "samples": _count, "samples_sha256": text(), "samples_by_rank": named(_code, _count),
    "fold_scheme": named(_name, plain()), "class_weights": optional(text()),
    "area_of_ranks": optional(named(_code, number(0))), "rank_factors": optional(named(_code, number(1e-6, 1e6))),
    "temperature": number(1e-3, 1e3), "rounds": listed(_count), "gain_share_percent": _of_features,
    "grid": optional(record({"crs": text(1 << 17), "transform": listed(number(), 6, 6), "width": _count,
                             "height": _count}, None, _row)),
    "selection": optional(record({"left_out": listed(_name, 0, _MOST_FEATURES)},
                                 {"folds": _words, "rule": _words, "rows": listed(_row)}, plain())),
    "metrics": listed(_metric), "shap": listed(named(_name, plain(1))), "labels": named(_code, text()),
    "colours": named(_code, text(pattern="#[0-9a-f]{6}")), "nodata": number(0, 255, whole=True),
    "nodata_rule": _words, "max_missing": number(0, _MOST_FEATURES, whole=True),
    "samples_lacking": named(_name, _count),
    "categories": named(_name, listed(number(-(1 << 31), 1 << 31, whole=True))),
    "sample_ranges": named(_name, listed(number(), 2, 2)),
}, plain())


def check_directory(stream, path):
    """Check the end of a zip: that its list of entries is short. Raises InputError.

    What zipfile makes of the list takes many times its bytes.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END_SIZE - _LOCATOR_SIZE))
    end = stream.read()
    if len(end) < _END_SIZE or end[-_END_SIZE:-_END_SIZE + 4] != _END or end[-2:] != b"\0\0":
        raise InputError(f"{path} is not a PTI model file, or it is damaged (it does not end as one).")
    listed_bytes = int.from_bytes(end[-10:-6], "little")
    if end.startswith(_LOCATOR) or listed_bytes > _MOST_LISTED:
        raise InputError(f"{path} is not a PTI model file: it lists more than one can hold.")


def check_entries(entries, size, path):
    """Return {name: ZipInfo} of the entries of an archive of ``size`` bytes; raises InputError.

    None is unpacked here: what they say of themselves must be what a model file can be.
    """
    found = {entry.filename: entry for entry in entries}
    problem = ""
    if len(found) < len(entries):
        problem = "it holds a file twice"
    elif len(entries) > _MOST_ENTRIES:
        problem = f"it holds {len(entries):,} files"
    elif any(entry.flag_bits & 1 or entry.compress_type not in (0, 8) for entry in entries):
        problem = "it is encrypted, or packed in another way"
    elif sum(entry.compress_size for entry in entries) > size:
        problem = "files in it lie upon each other"
    elif sum(entry.file_size for entry in entries) > _FREE + _TIMES * size:
        problem = f"{size:,} bytes would unfold to {sum(entry.file_size for entry in entries):,}"
    elif any(re.search(r"^[/\\]|^\w:|\\|(^|/)\.\.(/|$)", name) for name in found):
        problem = "a file in it would lie outside"
    elif MANIFEST not in found:
        problem = f"it holds no {MANIFEST}"
    elif found[MANIFEST].file_size > _MOST_MANIFEST:
        problem = f"its {MANIFEST} has {found[MANIFEST].file_size:,} bytes"
    if problem:
        raise InputError(f"{path} is not a PTI model file, or it is damaged ({problem}).")
    return found


def check_manifest(manifest, entries, what):
    """Check that the members of a manifest that keeps RULES agree, with each other and with the names of the
    ``entries``. Raises InputError, its sentence begun with ``what``."""
    features, codes = manifest["features"], manifest["codes"]
    names = [feature["name"] for feature in features]
    files = [entry["file"] for entry in manifest["boosters"]]
    wanted = {MANIFEST, *files, *([SAMPLES] if manifest.get("sample_table") else []),
              *({MANIFEST_SUM} if manifest["format_version"] >= SUMMED else {MANIFEST_SUM} & entries)}
    categorical = [feature["name"] for feature in features if feature["categorical"]]
    problem = ""
    if not files:
        problem = "the model holds no booster"
    elif not names:
        problem = "the model has no features"
    elif len(set(files)) < len(files):
        problem = "it lists a booster twice"
    elif entries != wanted:
        differing = ", ".join(map(shown, sorted(entries ^ wanted)[:5]))
        problem = f"it and the archive do not name the same files ({differing})"
    elif len(set(names)) < len(names):
        problem = "it has a feature twice"
    elif any(ranks.ORDER.get(code, -1) <= ranks.ORDER.get(before, -1) for before, code in zip([None, *codes], codes)):
        problem = "its codes are not ranks in their order"
    elif any(feature.get("low") is not None and feature.get("high") is not None and feature["low"] >= feature["high"]
             for feature in features):
        problem = "the range of a feature ends before it begins"
    elif any(not manifest.get("categories", {}).get(name) for name in categorical):
        problem = "it does not say which categories a feature has"
    elif "gain_share_percent" in manifest and not set(names) <= set(manifest["gain_share_percent"]):
        problem = "gain_share_percent does not name every feature"
    if problem:
        raise InputError(f"{what}: {problem}.")


def sample_type(features):
    """Return the NumPy type of the training samples of a model of so many features."""
    return np.dtype([("x", "<f4", (features,)), ("pti", "u1"), ("longitude", "<f8"), ("latitude", "<f8"),
                     ("random_fold", "u1"), ("block_fold", "u1")])


def check_samples(raw, features, codes, what):
    """Check the bytes of an NPY array of training samples: its header word by word, then its values.

    NumPy would make an array as large as the header says. Raises InputError, its sentence begun with ``what``.
    """
    size = int.from_bytes(raw[8:10], "little")
    kind = sample_type(len(features))
    try:
        if raw[:8] != b"\x93NUMPY\x01\x00" or not size <= min(_HEADER, len(raw) - 10):
            raise ValueError("no header")
        header = ast.literal_eval(raw[10:10 + size].decode("latin-1").strip())
        count, = header["shape"]
        whole = (len(raw) - 10 - size) / kind.itemsize
        if header["fortran_order"] is not False or np.dtype(header["descr"]) != kind or type(count) is not int or (
                count != whole or not count):
            raise ValueError("other columns or rows than it holds")
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise InputError(f"{what} is no table of training samples ({error}).") from error
    found = np.frombuffer(raw, kind, count, 10 + size)
    longitude, latitude = found["longitude"], found["latitude"]
    for wrong, says in ((np.isinf(found["x"]), "a predictor that is infinite"),
                        (~np.isin(found["pti"], codes), "a rank that the model does not know"),
                        (~((np.abs(longitude) <= 360) & (np.abs(latitude) <= 90)), "a place that is none")):
        if wrong.any():
            raise InputError(f"{what} holds {says}.")
