#!/usr/bin/env python3
"""Builds dist/pti_plugin-<version>.zip, the file that QGIS installs, and prints its path.

The same files always give the same bytes: entries are sorted and carry a fixed time. The links to metadata.txt,
LICENSE and resources that stand in the plugin folder of a checkout become real files.
"""

import argparse
import configparser
import os
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "pti_plugin"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
# QGIS leaves .aux.xml files with statistics beside rasters it has shown.
LEFT_OUT_SUFFIXES = (".pyc", ".pyo", ".partial", ".aux.xml")


def plugin_files(root=ROOT):
    """Return [(name in the zip, path)] of every file that belongs into the zip, sorted by name."""
    top = Path(root, PLUGIN)
    found = []
    for folder, subfolders, names in os.walk(top, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name != "__pycache__"]
        inside = Path(folder).relative_to(top)
        for name in names:
            makes_resources = name.endswith(".py") and inside.parts[:1] == ("resources",)
            if name.startswith(".") or name.endswith(LEFT_OUT_SUFFIXES) or makes_resources:
                continue
            found.append((Path(PLUGIN, inside, name).as_posix(), Path(folder, name)))
    return sorted(found)


def plugin_version(root=ROOT):
    """Return the version in metadata.txt."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(Path(root, "metadata.txt"), encoding="utf-8")
    return metadata["general"]["version"]


def build(folder=ROOT / "dist", root=ROOT):
    """Write the zip into ``folder`` and return its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{PLUGIN}-{plugin_version(root)}.zip"
    partial = path.with_name(path.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, source in plugin_files(root):
            entry = zipfile.ZipInfo(name, FIXED_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, source.read_bytes())
    os.replace(partial, path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the installable zip of the plugin and print its path.")
    parser.add_argument("--folder", default=ROOT / "dist", help="where to write it (default: dist)")
    print(build(parser.parse_args().folder))
