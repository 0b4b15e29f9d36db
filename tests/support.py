"""Helpers that tests share: small rasters, and qgis_process as a function."""

import difflib
import json
import os
import re
import subprocess
from collections import namedtuple
from pathlib import Path

import numpy as np

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.relative_paths import absolute

ROOT = Path(__file__).resolve().parents[1]
QGIS_PROCESS = ROOT / "scripts" / "qgis_process"

#: a 25 km equal-area polar grid whose upper left corner is at (-100 km, 100 km)
TRANSFORM = (-100000.0, 25000.0, 0.0, 100000.0, 0.0, -25000.0)

Finished = namedtuple("Finished", "code stdout stderr")
Finished.__doc__ = "A finished qgis_process: exit code, standard output and standard error as text."


def write_raster(path, array, *, nodata=None, crs="EPSG:6931", transform=TRANSFORM, scale=None, offset=None,
                 unit=None, descriptions=None, metadata=None, dtype=None, options=()):
    """Write a GeoTIFF and return its path as str.

    ``array`` is (rows, columns) or (bands, rows, columns); NaN in it is stored as ``nodata`` where that is given.
    ``scale``, ``offset`` and ``unit`` are set on every band and not applied to the values; ``descriptions`` is one
    text a band; ``metadata`` a dict for the file; ``crs=None`` and ``transform=None`` leave those out;
    ``options`` are GDAL creation options.
    """
    from osgeo import gdal, gdal_array, osr

    bands = np.asarray(array)
    if bands.ndim == 2:
        bands = bands[np.newaxis]
    dtype = np.dtype(dtype or {"bool": "uint8", "int64": "int32"}.get(bands.dtype.name, bands.dtype))
    if nodata is not None and bands.dtype.kind == "f" and not np.isnan(nodata):
        bands = np.where(np.isnan(bands), nodata, bands)
    count, rows, columns = bands.shape
    code = gdal_array.NumericTypeCodeToGDALTypeCode(dtype.type)
    dataset = gdal.GetDriverByName("GTiff").Create(os.fspath(path), columns, rows, count, code, list(options))
    if dataset is None:
        raise OSError(f"cannot create {path}: {gdal.GetLastErrorMsg()}")
    if transform is not None:
        dataset.SetGeoTransform(transform)
    if crs is not None:
        system = osr.SpatialReference()
        if system.SetFromUserInput(crs) != 0:
            raise ValueError(f"unknown CRS {crs}")
        dataset.SetProjection(system.ExportToWkt())
    if metadata:
        dataset.SetMetadata({key: str(value) for key, value in metadata.items()})
    for number, values in enumerate(bands, start=1):
        band = dataset.GetRasterBand(number)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if scale is not None:
            band.SetScale(scale)
        if offset is not None:
            band.SetOffset(offset)
        if unit is not None:
            band.SetUnitType(unit)
        if descriptions is not None:
            band.SetDescription(descriptions[number - 1])
        band.WriteArray(values.astype(dtype))
    dataset.FlushCache()
    return os.fspath(path)


def read_raster(path, band=1):
    """Return one band as float64 (rows, columns) with NaN where it is nodata or masked; scale and offset are not
    applied."""
    from osgeo import gdal

    dataset = gdal.Open(os.fspath(path))
    if dataset is None:
        raise OSError(f"cannot open {path}: {gdal.GetLastErrorMsg()}")
    source = dataset.GetRasterBand(band)
    values = source.ReadAsArray().astype("float64")
    values[source.GetMaskBand().ReadAsArray() == 0] = np.nan
    return values


def run_arguments(algorithm, parameters):
    """Return the arguments of ``qgis_process run``; a list or tuple among ``parameters`` repeats the parameter."""
    arguments = ["run", algorithm if ":" in algorithm else f"pti:{algorithm}", "--"]
    for name, value in parameters.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            arguments.append(f"{name}={item}")
    return arguments


class QgisProcess:
    """qgis_process with a profile of its own in which the plugin is enabled.

    ``plugin_path`` is the folder that holds pti_plugin; the repository unless given.
    """

    def __init__(self, profile, plugin_path=ROOT):
        self.environment = {**os.environ, "PTI_PROFILE": str(profile), "PTI_PLUGIN_PATH": str(plugin_path)}

    def __call__(self, arguments, timeout=300, environment=None):
        """Run it with a list of arguments and return a Finished; TimeoutExpired after ``timeout`` seconds."""
        done = subprocess.run([QGIS_PROCESS, *map(str, arguments)], env={**self.environment, **(environment or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False,
                              encoding="utf-8", errors="replace")
        return Finished(done.returncode, done.stdout, done.stderr)

    def run(self, algorithm, parameters, timeout=300, environment=None):
        """Run an algorithm, 'buildpti' or 'native:…', with a dict of parameters and return a Finished."""
        return self(run_arguments(algorithm, parameters), timeout, environment)

    def start(self, algorithm, parameters, environment=None):
        """Start an algorithm and return its Popen, for tests that interrupt it."""
        return subprocess.Popen([QGIS_PROCESS, *run_arguments(algorithm, parameters)],
                                env={**self.environment, **(environment or {})}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")


def standing(folder):
    """Return {path within ``folder``: bytes} of every file below it, None for a folder."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
            for path in sorted(folder.rglob("*"))}


def refusal(finished, *said):
    """Return the message of a run that must have failed cleanly.

    Asserts exit code 1 (a crash has another one), that the message holds every text of ``said`` and reads as plain
    sentences, and that no Python traceback was printed.
    """
    assert finished.code == 1, finished
    _, mark, message = finished.stderr.partition("ERROR:")
    assert mark, finished
    for text in said:
        assert text in message, message
    for text in ("Traceback", 'File "', "Errno", "Exception", "Error:", "object at 0x", "</"):
        assert text not in finished.stdout + message, finished
    return message.strip()


class Log(Progress):
    """A progress that keeps what it is told, in ``lines`` and ``warnings``."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def info(self, message):
        """Keep the message."""
        self.lines.append(message)


def assert_as_looked_at(name, text):
    """Compare a text with tests/data/looked_at/``name``: what a person has looked at and found right.

    After a change that is meant, write it anew with PTI_FREEZE=1 and look at the difference before committing it.
    """
    path = ROOT / "tests" / "data" / "looked_at" / name
    if os.environ.get("PTI_FREEZE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    difference = list(difflib.unified_diff(path.read_text(encoding="utf-8").splitlines(), text.splitlines(),
                                           "looked at", "now", lineterm="", n=2))
    assert not difference, "\n".join(difference[:60])


def page_text(html):
    """What an HTML page says and how it is marked up, a line a tag, without pictures and style."""
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(r'src="data:[^"]*"', 'src=""', html)
    return re.sub(r"(?<=>)\s*(?=<(?!/))|\n+", "\n", html).strip() + "\n"


def record_in(path):
    """Return a provenance record, its paths as they are here."""
    path = Path(path)
    return absolute(json.loads(path.read_text(encoding="utf-8")), path.parent)


def majority_filtered(place):
    """3 × 3 majority cell by cell: nodata (-1) neither votes nor changes, a tie for the most keeps the centre."""
    result = place.copy()
    for row, column in np.ndindex(place.shape):
        near = place[max(row - 1, 0):row + 2, max(column - 1, 0):column + 2]
        labels, counts = np.unique(near[near >= 0], return_counts=True)
        if place[row, column] >= 0 and (counts == counts.max()).sum() == 1:
            result[row, column] = labels[counts.argmax()]
    return result
