"""Finds the plugin's own data files and metadata: always inside the plugin folder.

In a development checkout ``resources`` and ``metadata.txt`` in the plugin folder are links to the ones at the top
of the repository; an installed plugin and the zip hold the files themselves. So there is one rule.
"""

import configparser
from pathlib import Path

from .errors import InputError

PLUGIN_FOLDER = Path(__file__).resolve().parents[2]


def resource(*parts):
    """Return the path of a file below ``resources``; raises InputError when the installation lacks it."""
    path = PLUGIN_FOLDER.joinpath("resources", *parts)
    if not path.exists():
        raise InputError(f"The plugin's own file {path} is missing; install the plugin again.")
    return path


def plugin_version():
    """Return the version stated in metadata.txt."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN_FOLDER / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]
