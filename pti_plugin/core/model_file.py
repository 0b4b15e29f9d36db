"""The model file: a zip of one JSON manifest and the boosters in XGBoost's own UBJ format. Nothing pickled.

The manifest names the features, classes, training options, metrics and versions, and the checksum of every booster.
"""

import hashlib
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass

from .errors import InputError
from .features import Feature
from .packages import require

FORMAT = "pti-model"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
#: zip entries carry this date, so that the same model gives the same bytes
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Model:
    """A trained ensemble: ``features``, ``codes`` (PTI ranks in class order), boosters as UBJ bytes, ``manifest``."""

    features: tuple
    codes: tuple
    boosters: tuple
    manifest: dict

    def load_boosters(self):
        """Return the xgboost Boosters, each set to one thread."""
        xgboost = require("xgboost", "predicting with the model")
        loaded = []
        for raw in self.boosters:
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(raw))
            booster.set_param({"nthread": 1})
            loaded.append(booster)
        return loaded


def write_model(path, features, codes, boosters, manifest):
    """Write a model file to ``path`` (already staged)."""
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
            boosters = []
            for entry in manifest["boosters"]:
                raw = archive.read(entry["file"])
                if hashlib.sha256(raw).hexdigest() != entry["sha256"]:
                    raise InputError(f"The model {path} is damaged: {entry['file']} does not have its checksum.")
                boosters.append(raw)
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
    return Model(features, codes, tuple(boosters), manifest)


def _refuse_newer_xgboost(path, manifest):
    installed = require("xgboost", "reading the model").__version__
    saved = str(manifest["versions"]["xgboost"])
    if _release(saved) > _release(installed):
        raise InputError(f"The model {path} was saved by xgboost {saved}, but {installed} is installed, and an older "
                         f"xgboost reads newer models wrongly. Install xgboost {saved} or newer.")


def _release(version):
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2])
