"""The model file: a zip of one JSON manifest, the boosters in XGBoost's own UBJ format and the training samples as a
NumPy array. Nothing pickled.

The manifest names the features, classes, training options, metrics and versions, and the checksum of every booster and
of the samples. Version 1 of the format had no samples; it is still read.
"""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from ..common.errors import InputError
from ..common.packages import require
from ..ensembles.features import Feature
from .learner import booster_names

FORMAT = "pti-model"
FORMAT_VERSION = 2
MANIFEST = "manifest.json"
SAMPLES = "samples.npy"
#: zip entries carry this date, so that the same model gives the same bytes
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Model:
    """A trained ensemble: ``features``, ``codes`` (PTI ranks in class order), boosters as UBJ bytes, ``manifest``, and
    ``samples`` as the bytes of an NPY array, empty in a file of format version 1."""

    features: tuple
    codes: tuple
    boosters: tuple
    manifest: dict
    samples: bytes = b""

    @property
    def offered(self):
        """Names of the predictors it was offered: those it uses, and those that the feature elimination left out."""
        left_out = (self.manifest.get("selection") or {}).get("left_out", [])
        return {*left_out, *(feature.name for feature in self.features)}

    @property
    def max_missing(self):
        """Most predictors that a cell may lack; 0 of a model from before this was stated."""
        return int(self.manifest.get("max_missing", 0))

    @property
    def temperature(self):
        """Temperature of its probabilities (calibration.py); 1 of a model from before they were calibrated."""
        return float(self.manifest.get("temperature", 1.0))

    @property
    def factors(self):
        """Factors of its ranks before a run votes (rank_factors.py), float32 (classes,); 1 where none are stated."""
        stated = self.manifest.get("rank_factors") or {}
        return np.array([stated.get(str(code), 1.0) for code in self.codes], dtype=np.float32)

    def training_samples(self):
        """Return the samples it was trained on as a structured array (n,), see ``pack_samples``.

        Raises InputError where the file holds none.
        """
        if not self.samples:
            raise InputError("The model was written by an older version of this plugin and does not hold its training "
                             "samples. Train it again.")
        return np.load(io.BytesIO(self.samples), allow_pickle=False)

    def load_boosters(self):
        """Return the xgboost Boosters, each set to one thread.

        Raises InputError for a booster that was trained on other features than the model names.
        """
        xgboost = require("xgboost", "predicting with the model")
        loaded = []
        names = [feature.name for feature in self.features]
        for raw in self.boosters:
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(raw))
            booster.set_param({"nthread": 1})
            if booster.feature_names != booster_names(names):
                raise InputError(f"The model is damaged: a booster was trained on "
                                 f"{', '.join(booster.feature_names or ['predictors without names'])}, but the model "
                                 f"names {', '.join(names)}.")
            loaded.append(booster)
        return loaded


def pack_samples(samples, folds):
    """Return training samples as the bytes of a structured NPY array (n,).

    Its fields: ``x`` float32 (features,), ``pti`` uint8, ``longitude`` and ``latitude`` float64 in degrees of WGS 84,
    ``random_fold`` and ``block_fold`` uint8, the folds of the two cross-validations. ``folds``: a FoldScheme.
    """
    packed = np.zeros(len(samples.y), dtype=[
        ("x", "<f4", (len(samples.features),)), ("pti", "u1"), ("longitude", "<f8"), ("latitude", "<f8"),
        ("random_fold", "u1"), ("block_fold", "u1")])
    for name, values in (("x", samples.x), ("pti", samples.y), ("longitude", samples.longitude),
                         ("latitude", samples.latitude), ("random_fold", folds.random), ("block_fold", folds.blocks)):
        packed[name] = values
    stream = io.BytesIO()
    np.lib.format.write_array(stream, packed, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def write_model(path, features, codes, boosters, manifest, samples=b""):
    """Write a model file to ``path`` (already staged); ``samples``: what ``pack_samples`` gives."""
    if samples:
        manifest = {**manifest, "sample_table": {"file": SAMPLES, "sha256": hashlib.sha256(samples).hexdigest()}}
    manifest = {
        "format": FORMAT, "format_version": FORMAT_VERSION, **manifest,
        "features": [asdict(feature) for feature in features], "codes": list(codes),
        "boosters": [{"file": f"boosters/{i:04d}.ubj", "sha256": hashlib.sha256(raw).hexdigest()}
                     for i, raw in enumerate(boosters)],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True).encode("utf-8")
        archive.writestr(_entry(MANIFEST), text)
        for entry, raw in zip(manifest["boosters"], boosters):
            archive.writestr(_entry(entry["file"]), bytes(raw))
        if samples:
            archive.writestr(_entry(SAMPLES), samples)


def _entry(name):
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def read_model(path):
    """Read and check a model file.

    Raises InputError where it is not a PTI model, is damaged, or was saved by a newer XGBoost than the one installed
    (which would load it wrongly without a word); DependencyError without xgboost.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(MANIFEST).decode("utf-8"))
            if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
                raise InputError(f"{path} is not a PTI model file.")
            if manifest["format_version"] > FORMAT_VERSION:
                raise InputError(f"The model {path} was written by a newer version of this plugin "
                                 f"({manifest.get('plugin_version')}). Update the plugin.")
            _refuse_newer_xgboost(path, manifest)
            boosters = [_checked(path, archive, entry) for entry in manifest["boosters"]]
            table = manifest.get("sample_table")
            samples = _checked(path, archive, table) if table else b""
            features = tuple(Feature(**feature) for feature in manifest["features"])
            codes = tuple(int(code) for code in manifest["codes"])
    except FileNotFoundError:
        raise InputError(f"The model file {path} does not exist. Check the path.") from None
    except OSError as error:
        raise InputError(f"The model file {path} cannot be read: {error.strerror or error}.") from error
    # RuntimeError: an entry that claims to be encrypted, or compressed in a way that zipfile does not know
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, RuntimeError, zlib.error) as error:
        raise InputError(f"{path} is not a PTI model file, or it is damaged ({error}).") from error
    if not boosters:
        raise InputError(f"The model {path} holds no booster.")
    return Model(features, codes, tuple(boosters), manifest, samples)


def _checked(path, archive, entry):
    raw = archive.read(entry["file"])
    if hashlib.sha256(raw).hexdigest() != entry["sha256"]:
        raise InputError(f"The model {path} is damaged: {entry['file']} does not have its checksum.")
    return raw


def _refuse_newer_xgboost(path, manifest):
    installed = require("xgboost", "reading the model").__version__
    saved = str(manifest["versions"]["xgboost"])
    if _release(saved) > _release(installed):
        raise InputError(f"The model {path} was saved by xgboost {saved}, but {installed} is installed, and an older "
                         f"xgboost reads newer models wrongly. Install xgboost {saved} or newer.")


def _release(version):
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2])
