"""Compiled kernels are cached in the user's folder where the plugin's own folder is read-only, and run without any."""

import os
import shutil
import subprocess
import sys

import pytest

from pti_plugin.core.series.mann_kendall import NUMBA, engines
from support import ROOT

PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from pti_plugin.core.series import mann_kendall
assert mann_kendall.__file__.startswith(sys.argv[1]), mann_kendall.__file__
values = np.arange(25, dtype=np.float32)[:, None] * np.ones((1, 64), dtype=np.float32)
trend = mann_kendall.mann_kendall(values)
assert (trend.s == 300).all() and (trend.slope == 1).all()
if mann_kendall.engines()[0] == "numba":
    stats = mann_kendall._compiled().trend.stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
else:
    print("numpy")
"""


@pytest.fixture
def installed(tmp_path):
    """A copy of the plugin without any compiled file, and the command that sees its folder as read-only."""
    plugins = tmp_path / "plugins"
    shutil.copytree(ROOT / "pti_plugin", plugins / "pti_plugin", ignore=shutil.ignore_patterns("__pycache__"))
    if os.geteuid():
        for folder, _, names in os.walk(plugins):
            for name in (*names, "."):
                os.chmod(os.path.join(folder, name), 0o555 if name == "." else 0o444)
        yield plugins, []
        for folder, _, _ in os.walk(plugins):
            os.chmod(folder, 0o755)
        return
    # permission bits do not bind root; a mount seen by the command alone does
    mounted = ["unshare", "--mount", "sh", "-c",
               'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', str(plugins)]
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], capture_output=True).returncode:
        pytest.skip("this system lets root neither be kept out by permissions nor mount a folder")
    yield plugins, mounted


def run(installed, home):
    """Run the engine in a process of its own with the home folder ``home``; returns what it prints."""
    plugins, command = installed
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("NUMBA_", "XDG_", "PYTHON"))}
    done = subprocess.run([*command, sys.executable, "-c", PROGRAM, str(plugins)], capture_output=True, text=True,
                          env={**environment, "HOME": str(home)}, timeout=100)
    assert done.returncode == 0, done.stderr
    assert not list(plugins.rglob("*.nbi")) and not list(plugins.rglob("__pycache__"))
    return done.stdout.strip()


@pytest.mark.skipif(NUMBA not in engines(), reason="numba is not installed")
def test_a_read_only_plugin_folder_is_cached_in_the_users_folder(installed, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert run(installed, home) == "0 1"
    kept = {path: path.stat().st_mtime_ns for path in home.rglob("trend_numba.trend*.nb[ic]")}
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    assert run(installed, home) == "1 0"
    assert {path: path.stat().st_mtime_ns for path in home.rglob("trend_numba.trend*.nb[ic]")} == kept


@pytest.mark.skipif(NUMBA not in engines(), reason="numba is not installed")
def test_the_engine_runs_where_nothing_can_be_cached(installed, tmp_path):
    home = tmp_path / "no folder"
    home.write_text("a file, so that no cache folder can be made below it", encoding="utf-8")
    assert run(installed, home) in ("0 1", "0 0", "numpy")
