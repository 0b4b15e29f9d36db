"""Damages model files in seeded ways, and uses each in a process of its own that may be ended.

Checksums are made anew after the damage, so that what is tried is the reader and not the checksum. PTI_FUZZ_MODELS sets
the number of cases of each kind (12; the long form is 2000).
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import struct
import zipfile

import numpy as np
from user_process import answer

MANIFEST, MANIFEST_SUM = "manifest.json", "manifest.sha256"
_MARKERS = {"i1": b"i", "u1": b"U", "i2": b"I", "i4": b"l", "i8": b"L", "f4": b"d", "f8": b"D"}
_ODD_NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 1000, 65_535, 2**31 - 1, -2**31, 2**31, 2**53, 2**63 - 1, -2**63,
                0.5, -0.5, 1e-45, 1e38, 1e308, float("nan"), float("inf"), float("-inf"))
_ODD_TEXTS = ("", "0", "1", "-1", "2", "999999999", "99999999999999999999", "nan", "inf", "5E-1", "[5E-1", "[1,2]", "q",
              "c", "gbtree", "dart", "gblinear", "binary:logistic", "multi:softmax", "reg:squarederror", "a\0b", "é",
              "[% @user_full_name %]", "=1+1", "$x$", "../../x", "x" * 3000)


def entries_of(content):
    """Return {name: bytes} of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(entries, summed=True):
    """Return a zip of ``entries``; ``summed``: with the checksums made anew."""
    entries = dict(entries)
    if summed:
        try:
            manifest = json.loads(entries[MANIFEST])
            for entry in [*manifest["boosters"], manifest.get("sample_table") or {}]:
                if entry.get("file") in entries:
                    entry["sha256"] = hashlib.sha256(entries[entry["file"]]).hexdigest()
            entries[MANIFEST] = json.dumps(manifest).encode()
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            pass
        entries[MANIFEST_SUM] = hashlib.sha256(entries[MANIFEST]).hexdigest().encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def ubj(value):
    """Return a value as UBJSON, written as XGBoost writes it."""
    if value is None or isinstance(value, bool):
        return {None: b"Z", True: b"T", False: b"F"}[value]
    if isinstance(value, dict):
        return b"{" + b"".join(_text(name) + ubj(item) for name, item in value.items()) + b"}"
    if isinstance(value, np.ndarray):
        data = value.astype(value.dtype.newbyteorder(">")).tobytes()
        return b"[$" + _MARKERS[value.dtype.str[1:]] + b"#L" + struct.pack(">q", len(value)) + data
    if isinstance(value, list):
        return b"[" + b"".join(map(ubj, value)) + b"]"
    if isinstance(value, str):
        return b"S" + _text(value)
    if isinstance(value, float):
        return b"D" + struct.pack(">d", value)
    return b"L" + struct.pack(">q", max(-2**63, min(2**63 - 1, int(value))))


def _text(text):
    data = text.encode("utf-8")
    return b"L" + struct.pack(">q", len(data)) + data


def _places(value, path=()):
    """Return the paths to every value."""
    found = [path]
    if isinstance(value, dict):
        for name, item in value.items():
            found += _places(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value[:40]):
            found += _places(item, (*path, number))
    return found


def _odd(rng, value):
    """Return another value in the place of one."""
    kind = rng.integers(0, 12)
    if isinstance(value, np.ndarray) and kind < 9:
        changed = value.copy()
        if len(changed) and kind < 6:
            with np.errstate(all="ignore"):
                odd = _ODD_NUMBERS[rng.integers(0, len(_ODD_NUMBERS))]
                wide = np.array([odd]).astype(np.float64)
                if changed.dtype.kind in "iu":
                    wide = np.nan_to_num(wide, posinf=2**31 - 1, neginf=-2**31).astype(np.int64)
                changed[rng.integers(0, len(changed))] = wide.astype(changed.dtype)[0]
        elif kind == 6:
            changed = changed[:-1]
        elif kind == 7:
            changed = np.concatenate([changed, changed[:1]])
        else:
            changed = rng.permutation(changed)
        return changed.astype(value.dtype)
    if isinstance(value, (int, float)) and kind < 8:
        return _ODD_NUMBERS[rng.integers(0, len(_ODD_NUMBERS))]
    if isinstance(value, str) and kind < 9:
        return _ODD_TEXTS[rng.integers(0, len(_ODD_TEXTS))]
    if isinstance(value, list) and kind < 6:
        return [value[1:], value * 2, value + value[:1], value[::-1], [], [[]] * 3][kind]
    if isinstance(value, dict) and kind < 4:
        return [{}, {**value, "more": 1}, list(value.values()), None][kind]
    return [None, True, {}, [], 1, -1, "x", 1e400, [1, 2], {"x": []}, 2**40, [None] * 50][kind]


def changed_somewhere(rng, value):
    """Return a copy of nested values with one to three of them replaced, left out, or given twice."""
    value = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        places = [path for path in _places(value) if path]
        if not places:
            break
        *above, last = places[rng.integers(0, len(places))]
        parent = value
        for name in above:
            parent = parent[name]
        if rng.random() < 0.12:
            del parent[last]
        else:
            parent[last] = _odd(rng, parent[last])
    return value


def of_bytes(rng, content):
    """Flip up to eight bytes of one entry."""
    entries = entries_of(content)
    name = rng.choice([name for name in entries if name != MANIFEST_SUM])
    data = bytearray(entries[name])
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(0, len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(0, 256)])
    if rng.random() < 0.1:
        data = data[:rng.integers(0, len(data))]
    return packed({**entries, name: bytes(data)})


def of_trees(rng, content):
    """Change what a booster says."""
    from pti_plugin.core.learning import ubjson

    entries = entries_of(content)
    name = rng.choice([name for name in entries if name.startswith("boosters/")])
    return packed({**entries, name: ubj(changed_somewhere(rng, ubjson.loads(entries[name])))})


def of_manifest(rng, content):
    """Change what the manifest says."""
    entries = entries_of(content)
    manifest = changed_somewhere(rng, json.loads(entries[MANIFEST]))
    return packed({**entries, MANIFEST: json.dumps(manifest).encode()}, summed=rng.random() < 0.9)


def of_zip(rng, content):
    """Flip bytes of the archive itself, most of them where it lists its files."""
    data = bytearray(content)
    low = max(0, len(data) - 700) if rng.random() < 0.8 else 0
    for _ in range(rng.integers(1, 5)):
        data[rng.integers(low, len(data))] = rng.integers(0, 256)
    return bytes(data)


KINDS = {"bytes": of_bytes, "trees": of_trees, "manifest": of_manifest, "zip": of_zip}


def use(path):
    """Use a model file in every way the tools do; return "used" or the sentence that refuses it."""
    import xgboost

    from pti_plugin.core.common.errors import PtiError
    from pti_plugin.core.learning.model_file import read_features, read_model
    from pti_plugin.core.mapping.class_boosters import class_boosters
    from pti_plugin.core.mapping.predictors import Look
    from pti_plugin.core.mapping.tree_ensemble import XGBoostVotes, voting

    try:
        read_features(path)
        model = read_model(path)
        Look.of(model, [None] * len(model.features))
        x = np.zeros((5, len(model.features)), dtype=np.float32)
        x[1] = np.nan
        x[2:] = np.arange(len(model.features)) * 37.0
        voter, _ = voting(model)
        voter.votes(x)
        XGBoostVotes(model.load_boosters(), model.factors).votes(x)
        for booster in class_boosters(xgboost, model.boosters[0], lambda: None):
            matrix = xgboost.DMatrix(x, feature_names=booster.feature_names, feature_types=booster.feature_types,
                                     enable_categorical=True, nthread=1)
            booster.predict(matrix, pred_contribs=True)
        float(model.temperature), int(model.max_missing), len(model.offered)
        if model.samples:
            model.training_samples()
    except PtiError as error:
        str(error).encode("utf-8")
        return f"refused: {error}"
    return "used"


if __name__ == "__main__":
    answer(use)
