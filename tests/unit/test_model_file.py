"""A model file comes back as it was written, or not at all."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.ensembles.features import Feature
from pti_plugin.core.learning.folds import stratified_folds
from pti_plugin.core.learning.model_file import MANIFEST, MANIFEST_SUM, Model, pack_samples, read_model, write_model
from pti_plugin.core.learning.training import FoldScheme
from pti_plugin.core.samples.sampling import Samples

xgboost = pytest.importorskip("xgboost")

FEATURES = (Feature("lst", "thermal", False, -20.5, 31.0), Feature("land_cover", "biophysical", True))
CODES = (11, 22, 40)


@pytest.fixture(scope="module")
def boosters():
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.normal(size=60), rng.integers(0, 4, 60)])
    matrix = xgboost.DMatrix(x, label=rng.integers(0, 3, 60), feature_names=["lst", "land_cover"],
                             feature_types=["q", "c"], enable_categorical=True)
    return [bytes(xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "seed": seed}, matrix,
                                1).save_raw("ubj")) for seed in range(2)]


def manifest(version=xgboost.__version__, **more):
    return {"plugin_version": "0.1", "versions": {"xgboost": version}, "categories": {"land_cover": [0, 1, 2, 3]},
            **more}


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(3)
    return Samples(rng.normal(size=(40, 2)).astype(np.float32), rng.choice(CODES, 40), rng.uniform(-180, 180, 40),
                   rng.uniform(45, 90, 40), FEATURES)


@pytest.fixture(scope="module")
def packed(samples):
    labels = np.searchsorted(CODES, samples.y)
    return pack_samples(samples, FoldScheme(stratified_folds(labels, 1), stratified_folds(labels, 2), 500.0, 9))


@pytest.fixture
def written(tmp_path, boosters, packed):
    path = tmp_path / "m.ptimodel"
    write_model(path, FEATURES, CODES, boosters, manifest(metrics=[{"line": "å", "value": 1.5}]), packed)
    return path


def rewritten(path, change):
    """Write the model again with its manifest changed by a function, and its checksum; others stay as they are."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(entries[MANIFEST])
    entries[MANIFEST] = json.dumps(change(content)).encode()
    entries[MANIFEST_SUM] = hashlib.sha256(entries[MANIFEST]).hexdigest().encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_a_model_comes_back_as_it_was_written(written, boosters):
    model = read_model(written)
    assert (model.features, model.codes, model.boosters) == (FEATURES, CODES, tuple(boosters))
    assert model.manifest["categories"] == {"land_cover": [0, 1, 2, 3]}
    assert model.manifest["metrics"] == [{"line": "å", "value": 1.5}]
    x = np.array([[0.3, 2], [-1, 0]], dtype=np.float32)
    for raw, loaded in zip(boosters, model.load_boosters()):
        original = xgboost.Booster()
        original.load_model(bytearray(raw))
        np.testing.assert_array_equal(loaded.inplace_predict(x), original.inplace_predict(x))


def test_the_training_samples_come_back_with_their_places_and_folds(written, samples):
    found = read_model(written).training_samples()
    for name, expected in (("x", samples.x), ("pti", samples.y), ("longitude", samples.longitude),
                           ("latitude", samples.latitude)):
        np.testing.assert_array_equal(found[name], expected)
    labels = np.searchsorted(CODES, samples.y)
    np.testing.assert_array_equal(found["random_fold"], stratified_folds(labels, 1))
    np.testing.assert_array_equal(found["block_fold"], stratified_folds(labels, 2))
    assert found["x"].dtype == np.float32


def test_a_file_of_the_first_version_is_read_without_samples(tmp_path, boosters):
    path = tmp_path / "old"
    write_model(path, FEATURES, CODES, boosters, manifest())
    rewritten(path, lambda content: {**content, "format_version": 1, "features": [
        {key: value for key, value in feature.items() if key != "unit"} for feature in content["features"]]})
    model = read_model(path)
    assert (model.features, model.codes, model.boosters) == (FEATURES, CODES, tuple(boosters))
    with pytest.raises(InputError, match="does not hold its training samples. Train it again"):
        model.training_samples()


def test_samples_that_were_exchanged_are_found_by_their_checksum(written, samples):
    with zipfile.ZipFile(written) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["samples.npy"] = entries["samples.npy"][:-1] + b"\x07"
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match=r"is damaged: samples\.npy does not have its checksum"):
        read_model(written)


def test_a_model_that_names_other_roles_than_its_boosters_know_is_refused(written):
    for change in (lambda features: features[:1], lambda features: features[::-1]):
        path = rewritten(written, lambda content, change=change: {**content, "features": change(content["features"])})
        with pytest.raises(InputError, match="a booster was trained on lst, land_cover, but the model names"):
            read_model(path)
        rewritten(path, lambda content: {**content, "features": [feature.__dict__ for feature in FEATURES]})


def test_the_same_model_is_the_same_bytes(written, tmp_path, boosters, packed):
    write_model(tmp_path / "again", FEATURES, CODES, boosters, manifest(metrics=[{"line": "å", "value": 1.5}]), packed)
    assert (tmp_path / "again").read_bytes() == written.read_bytes()


def test_nothing_in_it_is_pickled(written):
    with zipfile.ZipFile(written) as archive:
        assert archive.namelist() == [MANIFEST, MANIFEST_SUM, "boosters/0000.ubj", "boosters/0001.ubj", "samples.npy"]
        # as numpy reads it without unpickling
        np.load(io.BytesIO(archive.read("samples.npy")), allow_pickle=False)
        assert archive.read("boosters/0000.ubj")[:1] == b"{"
        json.loads(archive.read(MANIFEST))


def test_a_flipped_byte_anywhere_is_an_error_or_does_not_matter(written, tmp_path):
    content, good = written.read_bytes(), read_model(written)
    damaged, refused = tmp_path / "damaged", 0
    places = sorted({*range(0, 60), *range(60, len(content), 11), *range(len(content) - 330, len(content))})
    for place in places:
        for bits in (0x01, 0xFF):
            changed = bytearray(content)
            changed[place] ^= bits
            damaged.write_bytes(changed)
            try:
                # some bytes of a zip, as the dates in it, mean nothing here
                assert read_model(damaged) == good, place
            except InputError as error:
                refused += 1
                assert "damaged" in str(error) or "cannot be read" in str(error)
    assert refused > 0.8 * 2 * len(places)


def test_a_truncated_file_is_an_error(written, tmp_path):
    content = written.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 30, len(content) - 1):
        (tmp_path / "short").write_bytes(content[:length])
        with pytest.raises(InputError, match="short is not a PTI model file, or it is damaged"):
            read_model(tmp_path / "short")


def test_a_booster_that_was_exchanged_is_found_by_its_checksum(written, boosters):
    with zipfile.ZipFile(written) as archive:
        entries = {name: archive.read(name) for name in (MANIFEST, MANIFEST_SUM, "samples.npy")}
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.writestr("boosters/0000.ubj", boosters[0])
        archive.writestr("boosters/0001.ubj", boosters[1][:-1] + b" ")
    with pytest.raises(InputError, match=r"is damaged: boosters/0001\.ubj does not have its checksum"):
        read_model(written)


def test_a_newer_xgboost_is_refused_and_an_older_or_equal_one_is_not(written):
    major, minor = (int(part) for part in xgboost.__version__.split(".")[:2])
    for version in (f"{major}.{minor + 1}.0", f"{major + 1}.0.0", f"{major}.{minor + 10}.2+cpu"):
        rewritten(written, lambda content, version=version: {**content, "versions": {"xgboost": version}})
        with pytest.raises(InputError, match=f"saved by xgboost {version[:4]}.*{xgboost.__version__} is installed"):
            read_model(written)
    for version in (xgboost.__version__, f"{major}.{minor}.99", f"{major - 1}.99.0"):
        rewritten(written, lambda content, version=version: {**content, "versions": {"xgboost": version}})
        assert isinstance(read_model(written), Model)


@pytest.mark.parametrize("change, text", [
    (lambda content: {**content, "format": "other"}, "is not a PTI model file"),
    (lambda content: [1, 2], "is not a PTI model file"),
    (lambda content: {**content, "format_version": 4}, "written by a newer version of this plugin"),
    (lambda content: {**content, "boosters": []}, "holds no booster"),
    (lambda content: {**content, "features": [{"name": "lst"}]}, "damaged"),
    (lambda content: {**content, "features": 5}, "damaged"),
    (lambda content: {**content, "codes": ["x"]}, "damaged"),
    (lambda content: {**content, "versions": "x"}, "damaged"),
    (lambda content: {**content, "boosters": [{"file": "nowhere", "sha256": ""}]}, "damaged"),
    (lambda content: {key: content[key] for key in content if key != "codes"}, "damaged")])
def test_a_manifest_that_is_wrong_is_refused(written, change, text):
    with pytest.raises(InputError, match=text):
        read_model(rewritten(written, change))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        read_model(tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("readme", "x")
    for name in ("text", "zip"):
        with pytest.raises(InputError, match=f"{name} is not a PTI model file"):
            read_model(tmp_path / name)
    with pytest.raises(InputError, match="folder cannot be read: Is a directory"):
        read_model(tmp_path / "folder")
