#!/usr/bin/env python3
"""The gate of the QGIS plugin repository, run here first: structure, metadata, and what it scans every upload for.

Bandit, secrets and suspicious files keep a plugin from being published there; executable files and Python that an
interpreter or a linter stumbles over are shown beside it. Here all of them are problems
(https://plugins.qgis.org/docs/security-scanning).

Prints every problem and exits 1, or prints a line with size and number of files and exits 0.
"""

import configparser
import json
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

PLUGIN = "pti_plugin"
MOST_BYTES = 25 * 1000 * 1000
REQUIRED_KEYS = ("name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker",
                 "repository")
REQUIRED_FILES = ("__init__.py", "metadata.txt", "LICENSE")
SCRIPTS = (".bat", ".cmd", ".ps1", ".sh")
#: what the repository's linter warns of: errors of syntax and of names, and lines over LONGEST_LINE
LINTED, LONGEST_LINE = "E1,E4,E7,E9,E501,F,W6", 120
BINARIES = (".so", ".pyd", ".dll", ".dylib", ".exe", ".whl", ".egg", ".jar", ".a", ".o")


def problems(path):
    """Return a list of sentences, one for everything that would keep the zip at ``path`` from being published."""
    found = file_problems(path)
    if found:
        return found
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        plugin = Path(folder, PLUGIN)
        return (metadata_problems(plugin, path) + bandit_problems(plugin) + secret_problems(plugin)
                + lint_problems(plugin))


def file_problems(path):
    """Check size, top folder, required files, and that nothing hidden, compiled or linked is inside."""
    found = []
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        found.append(f"The zip has {size / 1e6:.1f} MB; the repository takes at most {MOST_BYTES / 1e6:.0f} MB.")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(f"{name} stands in the zip twice.")
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        if parts[0] != PLUGIN or len(parts) < 2 or ".." in parts:
            found.append(f"{entry.filename} is not inside the one top folder {PLUGIN}.")
        if any(part.startswith(".") for part in parts):
            found.append(f"{entry.filename} is hidden.")
        if "__pycache__" in parts or entry.filename.endswith((".pyc", ".pyo")):
            found.append(f"{entry.filename} is compiled Python.")
        if entry.filename.lower().endswith(BINARIES):
            found.append(f"{entry.filename} is a binary.")
        if entry.filename.lower().endswith(SCRIPTS):
            found.append(f"{entry.filename} is a script of a shell.")
        if entry.filename.endswith(".partial"):
            found.append(f"{entry.filename} is an unfinished file.")
        mode = entry.external_attr >> 16
        if stat.S_ISLNK(mode):
            found.append(f"{entry.filename} is a link.")
        elif mode & 0o111 and not stat.S_ISDIR(mode):
            found.append(f"{entry.filename} is executable.")
    for name in REQUIRED_FILES:
        if f"{PLUGIN}/{name}" not in names:
            found.append(f"{PLUGIN}/{name} is missing.")
    return found


def metadata_problems(plugin, path):
    """Check the keys of metadata.txt, the version against the zip's name, the addresses and the icon."""
    metadata = configparser.ConfigParser(interpolation=None)
    try:
        metadata.read(plugin / "metadata.txt", encoding="utf-8")
        general = metadata["general"]
    except (configparser.Error, KeyError) as error:
        return [f"metadata.txt cannot be read: {error}."]
    found = [f"metadata.txt lacks {key}." for key in REQUIRED_KEYS if not general.get(key, "").strip()]
    version = general.get("version", "")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"The version '{version}' in metadata.txt is not of the form 1.2.3.")
    if Path(path).name != f"{PLUGIN}-{version}.zip":
        found.append(f"The zip is called {Path(path).name} but metadata.txt says version {version}.")
    if general.get("hasProcessingProvider") != "yes":
        found.append("metadata.txt lacks hasProcessingProvider=yes, so qgis_process would not find the tools.")
    for key in ("tracker", "repository", "homepage"):
        if general.get(key) and not general[key].startswith("https://"):
            found.append(f"The {key} '{general[key]}' in metadata.txt is not an https address.")
    icon = general.get("icon")
    if icon and not (plugin / icon).is_file():
        found.append(f"The icon {icon} named in metadata.txt is not in the zip.")
    return found


def bandit_problems(plugin):
    """Return what Bandit finds, of whatever severity; its ignore comments do not count."""
    answer = _run(plugin.parent, "bandit", "--quiet", "--recursive", "--ignore-nosec", "--format", "json", PLUGIN)
    return [f"Bandit {finding['test_id']} in {Path(finding['filename']).relative_to(PLUGIN)} line "
            f"{finding['line_number']}: {finding['issue_text']}" for finding in answer["results"]] + [
            f"Bandit could not read {error['filename']}: {error['reason']}" for error in answer["errors"]]


def secret_problems(plugin):
    """Return what detect-secrets takes for a secret."""
    answer = _run(plugin.parent, "detect_secrets", "scan", "--all-files", "--no-verify", PLUGIN)
    return [f"detect-secrets in {Path(name).relative_to(PLUGIN)} line {finding['line_number']}: {finding['type']}"
            for name, findings in sorted(answer["results"].items()) for finding in findings]


def lint_problems(plugin):
    """Return what a linter warns of, without the settings and exceptions of this repository."""
    answer = _run(plugin.parent, "ruff", "check", "--isolated", "--no-cache", "--ignore-noqa", "--preview", "--select",
                  LINTED, "--line-length", str(LONGEST_LINE), "--output-format", "json", PLUGIN)
    return [f"Lint {finding['code']} in {Path(finding['filename']).relative_to(plugin.resolve())} line "
            f"{finding['location']['row']}: {finding['message']}" for finding in answer]


def _run(folder, module, *arguments):
    # detect-secrets drops every finding in a file outside the folder it is run in.
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True,
                          check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"{module} gave no answer: {done.stderr.strip() or done.stdout.strip()}") from None


def main(path):
    """Check one zip; return the exit code."""
    found = problems(path)
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print(f"{path}: {len(found)} problem(s).", file=sys.stderr)
        return 1
    with zipfile.ZipFile(path) as archive:
        count = len(archive.namelist())
    print(f"{path}: {Path(path).stat().st_size / 1e6:.1f} MB, {count} files, passes the gate.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: check_zip.py ZIP")
    sys.exit(main(sys.argv[1]))
