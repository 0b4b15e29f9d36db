"""No model file ends the process, keeps it busy, takes its memory or shows a traceback; what XGBoost would follow
blindly never reaches it."""

import hashlib
import io
import json
import os
import struct
import zipfile
from pathlib import Path

import damaged_models
import numpy as np
import pytest
from damaged_models import KINDS, MANIFEST, MANIFEST_SUM, entries_of, packed, ubj
from user_process import MOST_BYTES, User, harm

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.learning import boosters, ubjson
from pti_plugin.core.learning.model_file import read_features, read_model, write_model
from pti_plugin.core.mapping import tree_ensemble
from support import ROOT

xgboost = pytest.importorskip("xgboost")
pytest.importorskip("numba")

CASES = int(os.environ.get("PTI_FUZZ_MODELS", "12"))
SEED = int(os.environ.get("SEED", "1")) if CASES > 12 else 20
FIRST = "boosters/0000.ubj"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a small model with numbers and categories, in the newest format."""
    path = tmp_path_factory.mktemp("good") / "m.ptimodel"
    old = read_model(ROOT / "tests/data/golden.ptimodel")
    kept = {name: value for name, value in old.manifest.items()
            if name not in ("format", "format_version", "features", "codes", "boosters", "sample_table")}
    write_model(path, old.features, old.codes, old.boosters, kept, old.samples)
    assert read_model(path).boosters == old.boosters and read_model(path).manifest["format_version"] == 3
    return path.read_bytes()


@pytest.fixture
def no_xgboost(monkeypatch):
    monkeypatch.setattr(xgboost.Booster, "load_model", lambda *_: pytest.fail("XGBoost got a damaged booster"))


def spoilt(good, change, number=1):
    """Return the model with a tree of its first booster changed by a function of (tree, forest, model)."""
    entries = entries_of(good)
    model = ubjson.loads(entries[FIRST])
    forest = model["learner"]["gradient_booster"]["model"]
    tree = forest["trees"][number]
    for name, value in tree.items():
        tree[name] = value.copy() if isinstance(value, (np.ndarray, dict)) else value
    change(tree, forest, model)
    return packed({**entries, FIRST: ubj(model)})


def refused(path, content, words):
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_model(path)


def called(name, change):
    """A change with a name for the list of tests, which must be the same in every process."""
    change.__name__ = name
    return change


def put(name, place, value):
    return called(f"{name}[{place}]={value}", lambda tree, *_: tree[name].__setitem__(place, value))


def one_more(name):
    return called(f"one more {name}",
                  lambda tree, *_: tree.update({name: np.concatenate([tree[name], tree[name][:1]])}))


def with_learner(**changes):
    def change(tree, forest, model):
        for name, value in changes.items():
            model["learner"]["learner_model_param"][name] = value
    return called(str(changes), change)


@pytest.mark.parametrize("change", [
    put("left_children", 1, 0), put("right_children", 0, 10_000), put("left_children", 0, -7),
    put("right_children", 0, -1), put("left_children", 0, 2), put("parents", 1, 2), put("parents", 2, 99_999),
    put("parents", 0, 0), put("split_indices", 0, 99), put("split_indices", 0, -1), put("split_indices", -1, 2**31 - 1),
    put("split_conditions", 0, np.nan), put("split_conditions", -1, np.inf), put("split_type", 0, 7),
    put("default_left", 0, 9), put("sum_hessian", 0, np.nan), *map(one_more, (
        "left_children", "parents", "split_type", "sum_hessian", "base_weights", "default_left")),
    lambda tree, *_: tree.pop("parents"), lambda tree, *_: tree.update(id=0),
    lambda tree, *_: tree.update(split_conditions=tree["split_conditions"].astype("f8")),
    lambda tree, *_: tree["tree_param"].update(num_nodes="1000000000"),
    lambda tree, *_: tree["tree_param"].update(num_nodes="x"),
    lambda tree, *_: tree["tree_param"].update(num_deleted="1"), lambda tree, *_: tree["tree_param"].update(more=1),
    with_learner(boost_from_average="q"),
    lambda tree, *_: tree["tree_param"].update(num_feature="1000"),
    lambda tree, forest, _: forest["tree_info"].__setitem__(0, 77),
    lambda tree, forest, _: forest["tree_info"].__setitem__(0, -1),
    lambda tree, forest, _: forest["iteration_indptr"].__setitem__(1, 1_000_000),
    lambda tree, forest, _: forest["gbtree_model_param"].update(num_trees="1"),
    lambda tree, forest, _: forest["gbtree_model_param"].update(num_parallel_tree="0"),
    lambda tree, forest, _: forest["trees"].pop(), lambda tree, forest, _: forest["trees"].clear(),
    with_learner(num_class="1000000000"), with_learner(num_class="2"), with_learner(num_feature="0"),
    with_learner(base_score="nan"), with_learner(base_score="[1"), with_learner(base_score="[0.5, 0.5]"),
    lambda tree, forest, model: model["learner"]["objective"].update(name="reg:squarederror"),
    lambda tree, forest, model: model["learner"]["objective"]["softmax_multiclass_param"].update(num_class="99"),
    lambda tree, forest, model: model["learner"].update(feature_types=["c"] * 4),
    lambda tree, forest, model: model["version"].__setitem__(0, "3"),
    lambda tree, forest, model: model.update(version=[]),
], ids=lambda change: change.__name__)
def test_a_tree_that_xgboost_would_follow_astray_is_refused_before_it_sees_it(good, tmp_path, no_xgboost, change):
    refused(tmp_path / "m", spoilt(good, change), r"boosters/0000\.ubj: |is damaged")


def test_sets_of_categories_are_checked(good, tmp_path, no_xgboost):
    model = ubjson.loads(entries_of(good)[FIRST])
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    number = next(i for i, tree in enumerate(trees) if len(tree["categories_nodes"]))
    for change in (put("categories", 0, -5), put("categories", 0, 2**31 - 1), put("categories", 0, 9999),
                   put("categories_nodes", 0, 10_000), put("categories_nodes", 0, -1), put("categories_segments", 0, 7),
                   put("categories_sizes", 0, 0), put("categories_sizes", 0, 2**40), put("categories_sizes", 0, -1),
                   one_more("categories"), one_more("categories_nodes"), one_more("categories_sizes")):
        refused(tmp_path / "m", spoilt(good, change, number), r"boosters/0000\.ubj: ")


def test_sets_of_categories_take_little_memory(good):
    """A bit for each category up to the largest, in each of thousands of sets."""
    model = ubjson.loads(entries_of(good)[FIRST])
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    for tree in trees:
        if len(tree["categories"]):
            tree["categories"] = np.full(len(tree["categories"]), boosters.MOST_CATEGORY - 1, dtype=">i4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosters, "MOST_SET_BYTES", 1 << 20)
        with pytest.raises(InputError, match="more memory than any training makes"):
            boosters.read_booster(ubj(model))


def chain(levels):
    """A tree that goes down to the left."""
    size = 2 * levels + 1
    left, parents = np.full(size, -1, dtype=">i4"), np.zeros(size, dtype=">i4")
    inner = np.arange(0, size - 2, 2)
    left[inner] = inner + 2
    right = left.copy()
    right[inner] = inner + 1
    parents[1::2], parents[2::2], parents[0] = inner, inner, 2**31 - 1
    kinds = {"base_weights": ">f4", "loss_changes": ">f4", "sum_hessian": ">f4", "split_conditions": ">f4",
             "split_indices": ">i4", "split_type": "u1", "default_left": "u1"}
    empty = {"categories": ">i4", "categories_nodes": ">i4", "categories_segments": ">i8", "categories_sizes": ">i8"}
    return {"left_children": left, "right_children": right, "parents": parents,
            **{name: np.zeros(size, dtype=kind) for name, kind in kinds.items()},
            **{name: np.zeros(0, dtype=kind) for name, kind in empty.items()},
            "tree_param": {"num_deleted": "0", "num_feature": "4", "num_nodes": str(size), "size_leaf_vector": "1"}}


def test_a_tree_is_not_deeper_than_training_makes_it(good, tmp_path, no_xgboost):
    model = ubjson.loads(entries_of(good)[FIRST])
    features = model["learner"]["learner_model_param"]["num_feature"]

    def deep(levels):
        def change(tree, *_):
            tree.update(chain(levels))
            tree["tree_param"]["num_feature"] = features
        return change

    (tmp_path / "m").write_bytes(spoilt(good, deep(boosters.MOST_LEVELS)))
    read_model(tmp_path / "m")
    refused(tmp_path / "m", spoilt(good, deep(5000)), "more than 64 levels")


def test_boosters_of_another_kind_are_told_from_damaged_ones(good, tmp_path):
    entries = entries_of(good)
    model = ubjson.loads(entries[FIRST])
    booster = model["learner"]["gradient_booster"]
    trees = len(booster["model"]["trees"])
    # trees whose weights differ are well formed: XGBoost itself predicts
    model["learner"]["gradient_booster"] = {"gbtree": booster, "name": "dart", "weight_drop": [0.5] * trees}
    (tmp_path / "m").write_bytes(packed({**entries, FIRST: ubj(model)}))
    from pti_plugin.core.mapping.tree_ensemble import voting
    voter, reason = voting(read_model(tmp_path / "m"))
    assert "dart" in reason
    assert voter.votes(np.zeros((1, len(read_model(tmp_path / "m").features)), dtype=np.float32))[0].sum() == 3
    model["learner"]["gradient_booster"]["weight_drop"].pop()
    refused(tmp_path / "m", packed({**entries, FIRST: ubj(model)}), "is damaged.*not one a tree")
    model["learner"]["gradient_booster"] = {"model": {"weights": [0.0]}, "name": "gblinear"}
    refused(tmp_path / "m", packed({**entries, FIRST: ubj(model)}), "was not made by this plugin.*gblinear")


def test_a_booster_that_xgboost_itself_refuses_is_refused(good, monkeypatch):
    def refuse(*_):
        raise xgboost.core.XGBoostError("no\nStack trace")

    compare = tree_ensemble._compare
    monkeypatch.setattr(tree_ensemble, "_compare", lambda *given: (
        monkeypatch.setattr(xgboost.Booster, "load_model", refuse), compare(*given)))
    with pytest.raises(InputError, match=r"A booster is damaged: xgboost .* does not read it \(no\)\.$"):
        tree_ensemble.read_ensemble([entries_of(good)[FIRST]])


@pytest.mark.parametrize(("raw", "words"), [
    (b"[" * 5000, "nested too deeply"),
    (b"[" + b"Z" * 5_000_000 + b"]", "too many values"), (b"[" + b"{}" * 3_000_000 + b"]", "too many values"),
    (b"[]Z", "something follows"), (ubj({"a": 1})[:-1] + ubj({"a": 2})[1:], "the name 'a' twice"),
    (b'{"learner": {}}', "UBJSON"), (b"binf" + bytes(200), "UBJSON"), (b"", "UBJSON"),
    (b"[$d#L" + struct.pack(">q", 2**62) + b"x", "a length of"), (ubj([1, 2]), "not a group of named values")])
def test_bytes_that_are_no_booster_are_refused(good, tmp_path, no_xgboost, raw, words):
    refused(tmp_path / "m", packed({**entries_of(good), FIRST: raw}), words)


def bomb(entries):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def test_an_archive_that_is_not_one_is_refused_before_it_is_unpacked(good, tmp_path, no_xgboost, monkeypatch):
    entries = list(entries_of(good).items())
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_, **__: pytest.fail("something was unpacked"))
    path = tmp_path / "m"
    refused(path, bomb([*entries, (FIRST.replace("0000", "0009"), bytes(300 << 20))]), "would unfold to")
    refused(path, bomb([(MANIFEST, b" " * (9 << 20))]), r"manifest\.json has 9,437,184 bytes")
    refused(path, bomb([("readme", b"")]), r"holds no manifest\.json")
    with pytest.warns(UserWarning, match="Duplicate name"):
        refused(path, bomb([*entries, entries[0]]), "a file twice")
    for name in ("/etc/x", "../x", "C:/x", "a/../x", "a\\x"):
        refused(path, bomb([*entries, (name, b"")]), "would lie outside")
    refused(path, bomb([*entries, *((f"boosters/{i:05d}.ubj", b"") for i in range(10_001))]), "it holds 10,")
    refused(path, bomb([*entries, *((f"boosters/{i:05d}" + "x" * 440, b"") for i in range(9000))]), "lists more than")
    locked = bytearray(good)
    locked[good.index(b"PK\x01\x02") + 8] |= 1
    refused(path, bytes(locked), "encrypted")


def test_files_upon_each_other_are_refused(good, tmp_path, no_xgboost):
    """One packed booster, listed over and over with other names: small to keep, large to unpack."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries_of(good).items():
            archive.writestr(name, data)
        first = archive.getinfo(FIRST)
        for number in range(100, 400):
            again = zipfile.ZipInfo(f"boosters/{number:04d}.ubj")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(again, field, getattr(first, field))
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
    refused(tmp_path / "m", stream.getvalue(), "lie upon each other|would unfold to")


def test_an_entry_is_never_unpacked_beyond_its_size(good, tmp_path, no_xgboost):
    """The list says a few bytes, the packed bytes hold 200 MB."""
    content = bytearray(bomb([*((name, data) for name, data in entries_of(good).items() if name != FIRST),
                              (FIRST, bytes(200 << 20))]))
    content[content.rindex(FIRST.encode()) - 22:content.rindex(FIRST.encode()) - 18] = struct.pack("<I", 1000)
    (tmp_path / "m").write_bytes(content)
    user = User(damaged_models.__file__)
    try:
        taken, result = user.use(str(tmp_path / "m"))
    finally:
        user.end()
    assert result.startswith("refused") and taken < MOST_BYTES // 2


def test_a_booster_that_is_listed_often_is_refused(good, tmp_path, no_xgboost):
    entries = entries_of(good)
    manifest = json.loads(entries[MANIFEST])
    manifest["boosters"] *= 5000
    refused(tmp_path / "m", packed({**entries, MANIFEST: json.dumps(manifest).encode()}), "a booster twice|items")
    manifest["boosters"] = manifest["boosters"][:1]
    refused(tmp_path / "m", packed({**entries, MANIFEST: json.dumps(manifest).encode()}), "do not name the same files")


@pytest.mark.parametrize("header", [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "(" * 400, "[" * 400, "1 + 1", "print()",
    "{'descr': [('x', '<f4', (4,))], 'fortran_order': False, 'shape': (True,), }", "{'shape': (-1,)}", "\x93" * 100])
def test_samples_are_of_the_size_that_their_header_says(good, tmp_path, header):
    raw = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin-1") + bytes(100)
    refused(tmp_path / "m", packed({**entries_of(good), "samples.npy": raw}), "is no table of training samples")


def test_samples_hold_what_samples_can(good, tmp_path):
    entries = entries_of(good)
    raw = bytearray(entries["samples.npy"])
    size = 10 + int.from_bytes(raw[8:10], "little")
    found = np.load(io.BytesIO(bytes(raw)))
    for name, value, words in (("x", np.inf, "infinite"), ("pti", 99, "a rank that the model does not know"),
                               ("latitude", np.nan, "a place"), ("longitude", 1e9, "a place")):
        changed = found.copy()
        changed[name][3] = value
        raw[size:] = changed.tobytes()
        refused(tmp_path / "m", packed({**entries, "samples.npy": bytes(raw)}), words)


@pytest.mark.parametrize(("name", "value"), [
    ("rank_factors", {"11": "x"}), ("rank_factors", {"11": 1e300}), ("rank_factors", {"99": 1.0}), ("rank_factors", 5),
    ("temperature", 0), ("temperature", "1"), ("temperature", None), ("max_missing", -1), ("max_missing", 1.5),
    ("max_missing", True), ("categories", {"land_cover": "x"}), ("categories", {}), ("categories", None),
    ("gain_share_percent", {"lst": 1.0}), ("gain_share_percent", []), ("metrics", "x"), ("metrics", [1]),
    ("metrics", [{"line": 5}]), ("selection", {"left_out": [["x"]]}), ("selection", {"left_out": 7}),
    ("samples_lacking", {"lst": "many"}), ("sample_table", {"file": "/etc/passwd", "sha256": "0" * 64}),
    ("sample_table", 1), ("codes", [22, 11]), ("codes", [11, 11]), ("codes", [True]), ("codes", [7]), ("codes", []),
    ("features", []), ("features", [{"name": "a\0", "group": "", "categorical": False}]), ("features", {"a": 1}),
    ("versions", {"xgboost": "1.x"}), ("versions", {"xgboost": 3}), ("versions", {}), ("grid", {"crs": 1}),
    ("boosters", [{"file": "../../x", "sha256": "0" * 64}]), ("boosters", "boosters"), ("format_version", 0),
    ("format_version", "3"), ("format_version", 2.5), ("format_version", True), ("format_version", None),
    ("more", [[[[[[[[[[[1]]]]]]]]]]])])
def test_a_manifest_that_is_not_of_its_shape_is_refused(good, tmp_path, name, value):
    entries = entries_of(good)
    manifest = json.loads(entries[MANIFEST])
    manifest[name] = value
    content = packed({**entries, MANIFEST: json.dumps(manifest).encode()}, summed=False)
    content = packed({**entries, MANIFEST: json.dumps(manifest).encode(),
                      MANIFEST_SUM: hashlib.sha256(json.dumps(manifest).encode()).hexdigest().encode()}, summed=False)
    refused(tmp_path / "m", content, "damaged")


@pytest.mark.parametrize("text", [b"\xff\xfe", b"{", b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"format": "pti-model"}',
                                  b'{"format": "pti-model", "format_version": 3, "features": "\\ud800"}', b"1" * 6000])
def test_a_manifest_that_is_no_text_is_refused(good, tmp_path, text):
    refused(tmp_path / "m", packed({**entries_of(good), MANIFEST: text}), "not a PTI model file|is damaged")


def test_the_manifest_has_its_checksum_since_version_3(good, tmp_path):
    entries = entries_of(good)
    changed = entries[MANIFEST].replace(b'"seed"', b'"sead"')
    assert changed != entries[MANIFEST]
    refused(tmp_path / "m", packed({**entries, MANIFEST: changed}, summed=False), "manifest.json does not have its")
    without = {name: data for name, data in entries.items() if name != MANIFEST_SUM}
    refused(tmp_path / "m", packed(without, summed=False), "damaged")
    # what was written before had none
    older = json.dumps({**json.loads(entries[MANIFEST]), "format_version": 2}).encode()
    (tmp_path / "m").write_bytes(packed({**without, MANIFEST: older}, summed=False))
    assert read_model(tmp_path / "m").manifest["format_version"] == 2


def test_factors_of_ranks_are_not_passed_over_by_a_reader_of_version_2(good):
    """A plugin that reads up to version 2 refuses the model; it would have ignored the factors."""
    manifest = json.loads(entries_of(good)[MANIFEST])
    assert manifest["format_version"] == 3 > 2


def test_ranges_are_read_without_the_boosters(good, tmp_path, no_xgboost):
    (tmp_path / "m").write_bytes(packed({**entries_of(good), FIRST: b"{}"}))
    assert [feature.name for feature in read_features(tmp_path / "m")]


@pytest.mark.parametrize("kind", KINDS)
def test_seeded_damage_is_refused_or_does_not_matter(good, tmp_path, kind):
    user = User(damaged_models.__file__)
    try:
        for case in range(CASES):
            rng = np.random.default_rng((SEED, list(KINDS).index(kind), case))
            path = Path(tmp_path / "m.ptimodel")
            path.write_bytes(KINDS[kind](rng, good))
            assert not harm(*user.use(str(path))), case
    finally:
        user.end()
