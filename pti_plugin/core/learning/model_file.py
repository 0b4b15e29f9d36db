"""The model file: a zip of one JSON manifest, the boosters in XGBoost's own UBJ format and the training samples as a
NumPy array. Nothing pickled.

The manifest names the features, classes, training options, metrics and versions, and the checksum of every booster and
of the samples; its own checksum stands beside it. Checksums find accidents. They stop nobody who means harm, since
whoever changes a file can change its checksum too: so a model from elsewhere is data, never code, and all of it is
checked before anything is made of it (model_check.py), every tree before XGBoost sees it (boosters.py).

Version 1 of the format had no samples. Version 3 is that of models whose ranks have factors, which a plugin that knows
version 2 alone would pass over in silence; it has the manifest's checksum. All three are read.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from ..common.errors import InputError
from ..common.packages import require
from ..common.schema import check, from_json, shown
from ..ensembles.features import Feature
from . import boosters as strict
from . import model_check
from .learner import booster_names
from .model_check import FORMAT, FORMAT_VERSION, MANIFEST, MANIFEST_SUM, SAMPLES

#: zip entries carry this date, so that the same model gives the same bytes
_DATE = (1980, 1, 1, 0, 0, 0)
#: what a damaged zip makes zipfile raise, besides OSError; RuntimeError: an entry encrypted or compressed otherwise
_BROKEN = (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, RuntimeError, OverflowError, struct.error,
           zlib.error)


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
    def gains(self):
        """Share of the gain by feature in %, float64 (features,); raises InputError where the model does not state it.
        """
        stated = self.manifest.get("gain_share_percent")
        if stated is None:
            raise InputError("The model does not state how much each predictor counts, which the area of applicability "
                             "needs. Train it again.")
        return np.array([stated[feature.name] for feature in self.features], dtype=np.float64)

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

        Raises InputError for a booster that was trained on other features than the model names, or that XGBoost
        refuses.
        """
        xgboost = require("xgboost", "predicting with the model")
        loaded = []
        names = [feature.name for feature in self.features]
        for raw in self.boosters:
            booster = xgboost.Booster({"nthread": 1})
            try:
                booster.load_model(bytearray(raw))
            except xgboost.core.XGBoostError as error:
                raise InputError(f"The model is damaged, or of a version that xgboost {xgboost.__version__} does not "
                                 f"read: {str(error).splitlines()[0][:200]}.") from error
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
    packed = np.zeros(len(samples.y), dtype=model_check.sample_type(len(samples.features)))
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
        archive.writestr(_entry(MANIFEST_SUM), hashlib.sha256(text).hexdigest())
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
    with _Open(path) as file:
        manifest, features, codes = file.manifest, file.features(), tuple(int(code) for code in file.manifest["codes"])
        file.refuse_newer_xgboost()
        boosters = tuple(file.booster(entry, features, codes) for entry in manifest["boosters"])
        samples = b""
        if manifest.get("sample_table"):
            samples = file.checked(manifest["sample_table"])
            model_check.check_samples(samples, features, codes, file.named(SAMPLES))
        return Model(features, codes, boosters, manifest, samples)


def read_features(path):
    """Return the Features of a model file, whose boosters are not looked at; raises InputError as read_model does."""
    with _Open(path) as file:
        return file.features()


class _Open:
    """A model file that is open for reading, its archive and manifest checked. A context; what is found wrong inside
    becomes an InputError."""

    def __init__(self, path):
        self._path, self._archive, self.manifest = path, None, None

    def __enter__(self):
        try:
            # opened here, so that what is checked is what is read
            self._stream = open(self._path, "rb")
        except (OSError, ValueError) as error:
            self._raise(error)
        try:
            self._start()
        except BaseException as error:
            self._stream.close()
            self._raise(error)
        return self

    def __exit__(self, kind, error, _):
        self._stream.close()
        if error is not None:
            self._raise(error)

    def _raise(self, error):
        """Raise what is shown of an error, and pass on what is none of the file."""
        path = self._path
        if isinstance(error, FileNotFoundError):
            raise InputError(f"The model file {path} does not exist. Check the path.") from None
        if isinstance(error, OSError):
            raise InputError(f"The model file {path} cannot be read: {error.strerror or error}.") from error
        if isinstance(error, _BROKEN):
            raise InputError(f"{path} is not a PTI model file, or it is damaged ({error}).") from error
        raise error

    def _start(self):
        model_check.check_directory(self._stream, self._path)
        self._archive = zipfile.ZipFile(self._stream)
        self._entries = model_check.check_entries(self._archive.infolist(), self._stream.seek(0, 2), self._path)
        text = self._read(MANIFEST)
        self.manifest = manifest = from_json(text, f"{self._path} is not a PTI model file, or it is damaged")
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise InputError(f"{self._path} is not a PTI model file.")
        version = manifest.get("format_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise InputError(f"The model {self._path} states the format version {shown(version)}, which there is not: "
                             f"it is damaged. Versions 1 to {FORMAT_VERSION} are read.")
        if version > FORMAT_VERSION:
            raise InputError(f"The model {self._path} was written by a newer version of this plugin "
                             f"({shown(manifest.get('plugin_version'))}; format {version}, this one reads up to "
                             f"{FORMAT_VERSION}). Update the plugin.")
        if version >= model_check.SUMMED and (
                self._read(MANIFEST_SUM) != hashlib.sha256(text).hexdigest().encode("ascii")):
            raise InputError(f"The model {self._path} is damaged: {MANIFEST} does not have its checksum.")
        check(manifest, model_check.RULES, self.named(MANIFEST))
        model_check.check_manifest(manifest, set(self._entries), self.named(MANIFEST))

    def named(self, entry):
        """Return how a message about an entry begins."""
        return f"The model {self._path} is damaged: {entry}"

    def _read(self, name):
        """Return an entry, never more of it than its size says, whatever its bytes unfold to."""
        entry = self._entries[name]
        with self._archive.open(entry) as stream:
            parts, left = [], entry.file_size
            while left:
                parts.append(stream.read(min(left, 1 << 20)))
                if not parts[-1]:
                    raise InputError(f"{self.named(name)} is cut off.")
                left -= len(parts[-1])
            # the end of the entry is where its own check sum is looked at
            if stream.read(1):
                raise InputError(f"{self.named(name)} is larger than it says.")
        return b"".join(parts)

    def checked(self, entry):
        """Return the bytes of an entry of the manifest that have their checksum."""
        raw = self._read(entry["file"])
        if hashlib.sha256(raw).hexdigest() != entry["sha256"]:
            raise InputError(f"The model {self._path} is damaged: {entry['file']} does not have its checksum.")
        return raw

    def features(self):
        """Return the Features of the model."""
        return tuple(Feature(item["name"], item["group"], item["categorical"], item.get("low"), item.get("high"),
                             item.get("unit") or "") for item in self.manifest["features"])

    def booster(self, entry, features, codes):
        """Return the bytes of a booster that is whole and belongs to the model."""
        raw = self.checked(entry)
        try:
            found = strict.read_booster(raw)
            largest = {place: max(self.manifest["categories"][feature.name], default=-1)
                       for place, feature in enumerate(features) if feature.categorical}
            strict.check_against(found, booster_names([feature.name for feature in features]),
                                 [feature.categorical for feature in features], len(codes), largest)
        except strict.OtherKind as error:
            raise InputError(f"The model {self._path} was not made by this plugin: {entry['file']}: {error}.") from None
        except InputError as error:
            raise InputError(f"{self.named(entry['file'])}: {str(error).rstrip('.')}.") from None
        self._refuse_newer(".".join(map(str, strict.version_of(found))))
        return raw

    def refuse_newer_xgboost(self):
        """Raise InputError where the model was saved by a newer XGBoost than is installed."""
        self._refuse_newer(self.manifest["versions"]["xgboost"])

    def _refuse_newer(self, saved):
        installed = require("xgboost", "reading the model").__version__
        if _release(saved) > _release(installed):
            raise InputError(f"The model {self._path} was saved by xgboost {saved}, but {installed} is installed, and "
                             f"an older xgboost reads newer models wrongly. Install xgboost {saved} or newer.")


def _release(version):
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2])
