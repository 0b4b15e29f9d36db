"""The paths in a record: on the disk relative to the record, in memory as they are.

A folder that is sent or moved with its records keeps its steps together, and a record tells others nothing of this
machine: no path leads through the user's own folder, which is written ~, or bears the user's name.
"""

from __future__ import annotations

import os
import re

#: where a path may begin in a data source, such as NETCDF:"file":variable, /vsizip/file/inner or name=file
_BEFORE = r"(^|[\"';,=|]|:(?!/)|(?<=:)|/vsi\w+/)"
_ABSOLUTE = re.compile(_BEFORE + r"((?:[A-Za-z]:[\\/]|/(?!/|vsi))[^\"|;]*?)(?=$|[\"|;]|:[^\\/]*$)")
_RELATIVE = re.compile(_BEFORE + r"((?:\.{1,2}|~)/[^\"|;]*?)(?=$|[\"|;]|:[^\\/]*$)")
#: parts of a record whose texts may be paths
_PATHS = ("parameters", "outputs", "inputs")


def relative(record, folder):
    """Return a record as it is written in ``folder``: its paths relative to that, nothing of the user in any text."""
    folder = os.path.abspath(folder)
    return _changed(record, lambda text: _ABSOLUTE.sub(
        lambda found: found.group(1) + _seen_from(found.group(2), folder), text), _without_user)


def absolute(record, folder):
    """Return a record read in ``folder`` with its paths as they are here."""
    folder = os.path.abspath(folder)
    return _changed(record, lambda text: _RELATIVE.sub(
        lambda found: found.group(1) + os.path.normpath(os.path.join(folder, os.path.expanduser(found.group(2)))),
        text), lambda text: text)


def _changed(value, of_path, of_text, is_path=False):
    if isinstance(value, dict):
        return {key: _changed(item, of_path, of_text, is_path or key in _PATHS) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_changed(item, of_path, of_text, is_path) for item in value]
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return value
    return of_text(of_path(value) if is_path else value)


def _seen_from(path, folder):
    """Return an absolute path as it leads from a folder: ./…, ../…, ~/…, or its last part where that would tell whose
    it is or it is on another drive."""
    home = _home()
    if not os.path.isabs(path):
        # of another system
        return path
    try:
        if home and _within(path, home) and not _within(folder, home):
            return "~/" + os.path.relpath(path, home).replace(os.sep, "/")
        found = os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:
        return re.split(r"[\\/]", path)[-1]
    parts = found.split("/")
    if home and os.path.basename(home) in parts[:-1]:
        return parts[-1]
    return f"./{found}" if parts[0] != ".." else found if len(parts) > 1 else "../."


def _within(path, folder):
    return os.path.commonpath([os.path.abspath(path), folder]) == folder


def _home():
    """Return the user's own folder, "" where there is none that says anything."""
    home = os.path.abspath(os.path.expanduser("~"))
    return "" if home == os.path.dirname(home) else home


def _without_user(text):
    """Return a text in which the user's own folder is ~ and no folder bears the user's name."""
    home = _home()
    if not home:
        return text
    text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    return re.sub(rf"(?<=[\\/]){re.escape(os.path.basename(home))}(?=[\\/])", "~", text)
