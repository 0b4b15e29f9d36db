"""Outputs that appear only when the whole run has succeeded.

Everything is written under ``<name>.partial`` in the target's own folder and moved into place at the end, all files
of a run together. Once a run has begun to write, what stands at its output paths is its result, or nothing; a run that
is refused before leaves them alone.
"""

import os
import shutil
from contextlib import contextmanager

from .errors import OutputError

SUFFIX = ".partial"
#: files GDAL writes beside a raster
SIDECARS = (".aux.xml", ".ovr", ".msk")
#: what compression can save at the very best of a raster with values in it
MOST_COMPRESSION = 100


class Staging:
    """The outputs of one run. Use as a context: leaving it without ``commit`` removes everything staged."""

    def __init__(self, inputs=()):
        self._inputs = {_identity(path) for path in inputs if os.path.exists(str(path))}
        self._staged = {}
        self._reserved = set()

    def reserve(self, *paths):
        """Stage paths that are written only after long work, so that a bad one is refused before it.

        Each may then be staged once more, by whatever writes it; empty ones are passed over.
        """
        for path in filter(None, paths):
            self.stage(path)
            self._reserved.add(os.path.abspath(str(path)))

    def stage(self, path):
        """Return the temporary path to write ``path`` under, and clear what stood at ``path`` before.

        Raises OutputError where the folder is missing or not writable, the path is a folder, an input, or is used
        twice.
        """
        path = os.path.abspath(str(path))
        if path in self._reserved:
            self._reserved.remove(path)
            return self._staged[path]
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise OutputError(f"The folder of the output {path} does not exist. Create it or choose another one.")
        if os.path.isdir(path):
            raise OutputError(f"The output {path} is a folder. Give the name of a file.")
        if os.path.exists(path) and _identity(path) in self._inputs:
            raise OutputError(f"{path} is an input of this run and cannot be its output too. Choose another name.")
        if path in self._staged:
            raise OutputError(f"Two outputs have the same name, {path}. Give each its own.")
        partial = path + SUFFIX
        try:
            with open(partial, "wb"):
                pass
            _remove_with_sidecars(path)
        except OSError as error:
            _remove(partial)
            raise OutputError(f"The output {path} cannot be written: {error.strerror}. "
                              f"Check the permissions or choose another folder.") from error
        self._staged[path] = partial
        return partial

    def partial(self, path):
        """Return the temporary path under which ``path`` is staged, to read a working file back."""
        return self._staged[os.path.abspath(str(path))]

    def check_space(self, path, size):
        """Raise OutputError where the disk of ``path`` cannot hold even a hundredth of ``size`` bytes.

        Rasters are compressed, so how much they will take is not known before; but not so well.
        """
        folder = os.path.dirname(os.path.abspath(str(path)))
        if not os.path.isdir(folder):
            return
        free = shutil.disk_usage(folder).free
        if free < size / MOST_COMPRESSION:
            raise OutputError(f"{path} will hold {_readable(size)} before compression, but only {_readable(free)} are "
                              f"free there. Free some space or choose another folder.")

    def drop(self, path):
        """Remove a staged working file that is not to become an output."""
        _remove_with_sidecars(self._staged.pop(os.path.abspath(str(path))))

    def write_text(self, path, text):
        """Stage ``path`` with ``text`` as UTF-8; raises OutputError."""
        self.write_bytes(path, text.encode("utf-8"))

    def write_bytes(self, path, data):
        """Stage ``path`` with ``data``; raises OutputError."""
        with self.writing(path) as partial, open(partial, "wb") as stream:
            stream.write(data)

    @contextmanager
    def writing(self, path):
        """Stage ``path`` for the block that writes the file; what fails in writing becomes an OutputError."""
        partial = self.stage(path)
        try:
            yield partial
        except OSError as error:
            raise OutputError(f"Writing {path} failed: {error.strerror}. Free some space or choose another "
                              f"folder.") from error

    def commit(self):
        """Move everything staged to its final name; on failure take back what was moved."""
        done = []
        try:
            for path, partial in self._staged.items():
                for sidecar in SIDECARS:
                    if os.path.exists(partial + sidecar):
                        os.replace(partial + sidecar, path + sidecar)
                os.replace(partial, path)
                done.append(path)
        except OSError as error:
            for moved in done:
                _remove_with_sidecars(moved)
            raise OutputError(f"The output {path} cannot be put in place: {error.strerror}. Is it open in another "
                              f"program?") from error
        self._staged = {}

    def discard(self):
        """Remove everything staged and not committed."""
        for partial in self._staged.values():
            _remove_with_sidecars(partial)
        self._staged = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.discard()
        return False


def _readable(size):
    steps = min(int(max(size, 1)).bit_length() // 10, 3)
    return f"{size / 1024 ** steps:.3g} {('bytes', 'KiB', 'MiB', 'GiB')[steps]}"


def _identity(path):
    return os.path.realpath(str(path))


def _remove(path):
    if os.path.lexists(path):
        os.remove(path)


def _remove_with_sidecars(path):
    _remove(path)
    for sidecar in SIDECARS:
        _remove(path + sidecar)
