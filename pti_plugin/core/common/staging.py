"""Outputs that appear only when the whole run has succeeded; until then every earlier result stands as it was.

A run writes in a hidden working folder beside its outputs (run_folder.py) and moves all files into place at the end,
by a journal that a later run finishes or undoes after a crash (commit_journal.py). An output is claimed before the work
begins; a second run at the same output is refused. A link at an output path is followed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import contextmanager

from .commit_journal import Journal, clear, recover
from .errors import OutputError
from .record_file import SUFFIX as RECORD
from .record_file import is_own, outputs_of, record_path
from .run_folder import CLAIMS, NEW, RunFolder, owner_of, run_folders

#: files GDAL writes beside a raster
SIDECARS = (".aux.xml", ".ovr", ".msk")
#: files that belong to a layer by the ending of its name: (added to the name, in place of the ending). A database
#: replays the log of an earlier one, and indexes of other programs are wrong once a shapefile is replaced
_BELONGS = {
    ".tif": (SIDECARS, (".qml",)),
    ".tiff": (SIDECARS, (".qml",)),
    ".gpkg": (("-wal", "-shm", "-journal", ".aux.xml"), (".qml",)),
    ".shp": ((".xml",), (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".qmd", ".qml")),
    ".geojson": ((), (".qml",)),
    ".json": ((), (".qml",)),
    ".fgb": ((), (".qml",)),
}
#: what compression can save at the very best of a raster with values in it
MOST_COMPRESSION = 100
#: times that two runs which claim one output in the same moment both step back, and the longest pause, seconds
_TRIES, _PAUSE = 8, 0.05


class Staging:
    """The outputs of one run. Use as a context: leaving it without ``commit`` removes everything staged.

    ``inputs``: files that the run reads; ``layers``: {file: name} of the layers that QGIS has loaded.
    """

    def __init__(self, inputs=(), layers=None):
        self._inputs = {_identity(path) for path in inputs if os.path.exists(str(path))}
        self._layers = {_identity(path): name for path, name in (layers or {}).items()}
        self._folders: dict[str, RunFolder] = {}
        self._staged: dict[str, str] = {}
        self._reserved: set[str] = set()

    def reserve(self, *paths) -> None:
        """Claim paths that are written only after long work, so that a bad one is refused before it.

        All are claimed or none. Each may then be staged once; empty ones and those reserved before are passed over.
        Raises OutputError as ``stage`` does.
        """
        targets = {}
        for path in filter(None, paths):
            target = _identity(path)
            if target in self._reserved:
                continue
            if target in targets or target in self._staged:
                raise OutputError(f"Two outputs have the same name, {path}. Give each its own.")
            self._check(str(path), target)
            targets[target] = str(path)
        for left in reversed(range(_TRIES)):
            busy = self._claim(targets)
            if busy is None:
                break
            if not left:
                raise OutputError(busy)
            for place in {os.path.dirname(target) for target in targets}:
                # the other run may have died
                recover(place)
            time.sleep(_PAUSE * secrets.randbelow(1000) / 1000)
        self._reserved.update(targets)

    def stage(self, path) -> str:
        """Return the temporary path to write ``path`` under; what stands at ``path`` stays until ``commit``.

        Raises OutputError where the folder is missing or not writable, the path is a folder, an input, open in another
        program, being written by another run, or used twice.
        """
        target = _identity(path)
        self.reserve(path)
        self._reserved.discard(target)
        partial = self._folders[os.path.dirname(target)].inner(NEW, os.path.basename(target))
        with self._explained(path), open(partial, "xb"):
            self._staged[target] = partial
        return partial

    def partial(self, path) -> str:
        """Return the temporary path under which ``path`` is staged, to read a working file back."""
        return self._staged[_identity(path)]

    def scratch(self, path) -> str:
        """Return a fresh folder for intermediate files, on the disk of the output ``path``; raises OutputError.

        It goes with the run, and with the next one where this one dies.
        """
        self._check_folder(str(path), _identity(path))
        with self._explained(path):
            return self._folder(os.path.dirname(_identity(path))).scratch()

    def check_space(self, path, size) -> None:
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

    def drop(self, path) -> None:
        """Remove a staged working file that is not to become an output."""
        target = _identity(path)
        partial = self._staged.pop(target)
        for file in (partial, *(partial + ending for ending in SIDECARS)):
            if os.path.lexists(file):
                os.remove(file)
        self._unclaim(target)

    def write_text(self, path, text) -> None:
        """Stage ``path`` with ``text`` as UTF-8; raises OutputError."""
        self.write_bytes(path, text.encode("utf-8"))

    def write_bytes(self, path, data) -> None:
        """Stage ``path`` with ``data``; raises OutputError."""
        with self.writing(path) as partial, open(partial, "wb") as stream:
            stream.write(data)

    @contextmanager
    def writing(self, path):
        """Stage ``path`` for the block that writes the file; what fails in writing becomes an OutputError."""
        partial = self.stage(path)
        with _written(path):
            yield partial

    def commit(self) -> None:
        """Move everything staged to its final name, and what belonged to the earlier files away.

        Raises OutputError; where a file cannot be replaced, all earlier results stand and the new ones are kept in a
        folder that the message names.
        """
        if self._staged:
            for target, partial in self._staged.items():
                with _written(target):
                    _sync(partial)
            self._place()
        self.discard()

    def discard(self) -> None:
        """Remove everything staged and not committed."""
        # the main folder last, since the others name it
        for folder in reversed(list(self._folders.values())):
            folder.remove()
        self._folders, self._staged, self._reserved = {}, {}, set()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.discard()
        return False

    # claims ----------------------------------------------------------------------------------------------------

    def _check(self, path: str, target: str) -> None:
        """Raise OutputError where ``path`` cannot be an output of this run, whatever other runs do."""
        self._check_folder(path, target)
        if os.path.isdir(target):
            raise OutputError(f"The output {path} is a folder. Give the name of a file.")
        if not os.path.lexists(target):
            return
        if target in self._inputs:
            raise OutputError(f"{path} is an input of this run, or a file that an input is made of, and cannot be its "
                              f"output too. Choose another name.")
        if not os.path.isfile(target):
            raise OutputError(f"The output {path} is no ordinary file. Choose another name.")
        if path.endswith(RECORD) and not is_own(target):
            raise OutputError(f"{path} is no record of this plugin, and the record of this run would replace it. "
                              f"Rename it, or give the output another name.")
        try:
            # Windows refuses this while another program has the file open
            os.replace(target, target)
        except OSError as error:
            raise OutputError(f"The output {path} cannot be replaced: {error.strerror}. {self._remedy(target)} Then "
                              f"run again, or choose another name.") from error

    @staticmethod
    def _check_folder(path: str, target: str) -> None:
        if not os.path.isdir(os.path.dirname(target)):
            raise OutputError(f"The folder of the output {path} does not exist. Create it or choose another one.")

    def _remedy(self, target: str) -> str:
        name = self._layers.get(target)
        return (f"It is open in QGIS as the layer '{name}': remove that layer from the project." if name else
                "It is open in another program, perhaps as a layer of QGIS: remove the layer, or close the program.")

    def _claim(self, targets: dict[str, str]) -> str | None:
        """Claim all ``targets`` {target: path}, or none; return what is wrong where another run has claimed one.

        Each run first makes its claims and then looks for those of others, so of two at least one sees the other.
        """
        claimed = []
        busy = None
        for target, path in targets.items():
            with self._explained(path):
                folder = self._folder(os.path.dirname(target))
                claim = folder.inner(CLAIMS, os.path.basename(target))
                try:
                    with open(claim, "x", encoding="utf-8"):
                        claimed.append(target)
                except FileExistsError:
                    # of two names that differ only in case, on a disk that takes them for one
                    raise OutputError(f"Two outputs have the same name, {path}. Give each its own.") from None
        for target, path in targets.items():
            busy = busy or self._busy(path, target)
        if busy:
            for target in claimed:
                self._unclaim(target)
        return busy

    def _busy(self, path: str, target: str) -> str | None:
        own = self._folders[os.path.dirname(target)].path
        for other in run_folders(os.path.dirname(target)):
            if other != own and os.path.lexists(os.path.join(other, CLAIMS, os.path.basename(target))):
                told = owner_of(other)
                who = f" (process {told['process']} on {told['host']}, since {told['started']})" \
                    if {"process", "host", "started"} <= set(told) else ""
                return (f"The output {path} is being written by another run{who}. Wait for its end or choose another "
                        f"name; where no other run is under way, remove the folder {other}.")
        return None

    def _unclaim(self, target: str) -> None:
        os.remove(self._folders[os.path.dirname(target)].inner(CLAIMS, os.path.basename(target)))

    def _folder(self, place: str) -> RunFolder:
        """Return the working folder in ``place``; the first time, what dead runs left there is put right."""
        if place not in self._folders:
            recover(place)
            main = next(iter(self._folders.values()), None)
            self._folders[place] = RunFolder.create(place, main.path if main else "")
        return self._folders[place]

    @contextmanager
    def _explained(self, path):
        try:
            yield
        except OSError as error:
            raise OutputError(f"The output {path} cannot be written: {error.strerror}. Check the permissions or choose "
                              f"another folder.") from error

    # commit ----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        names = {folder.path: ([], []) for folder in self._folders.values()}
        for target, partial in self._staged.items():
            new, _ = names[self._folders[os.path.dirname(target)].path]
            name = os.path.basename(target)
            # what a driver wrote beside it goes first
            new += [name + ending for ending in SIDECARS if os.path.lexists(partial + ending)] + [name]
        placed = {os.path.join(folder.place, name) for folder in self._folders.values()
                  for name in names[folder.path][0]}
        for target in sorted(placed.union(*map(self._belonging, self._staged))):
            if os.path.lexists(target):
                names[self._folders[os.path.dirname(target)].path][1].append(os.path.basename(target))
        journal = Journal.of(names)
        try:
            journal.write()
            journal.place()
        except OSError as error:
            raise self._kept(journal, error) from error
        main, *others = self._folders.values()
        self._folders = {}
        clear(main, others, journal)

    def _belonging(self, target: str) -> list[str]:
        """Return the paths of files that belonged to an earlier file at ``target`` and would be wrong beside a new one.
        """
        stem, ending = os.path.splitext(target)
        if not os.path.lexists(target):
            return []
        added, instead = _BELONGS.get(ending.lower(), ((), ()))
        found = [target + end for end in added] + [stem + end for end in instead]
        record = record_path(target)
        # a record stays for outputs that this run does not make
        others = {name for name in outputs_of(record)
                  if os.path.join(os.path.dirname(target), name) not in self._staged
                  and os.path.exists(os.path.join(os.path.dirname(target), name))}
        return found + ([record] if is_own(record) and not others else [])

    def _kept(self, journal: Journal, error: OSError) -> OutputError:
        """Undo what was moved and keep the new files in folders of their own; return the OutputError that says so."""
        failed = next((path for path in (error.filename2, error.filename) if path in journal.finals()),
                      journal.finals()[0])
        problem = f"The output {failed} cannot be put in place: {error.strerror}. {self._remedy(failed)}"
        try:
            journal.undo()
            kept = [_move_beside(folder) for folder in self._folders.values()]
        except OSError as second:
            for folder in self._folders.values():
                folder.release()
            self._folders = {}
            return OutputError(f"{problem} The new results are finished; the next run in this folder puts them in "
                               f"place ({second.strerror}).")
        return OutputError(f"{problem} The earlier results are as they were; the new ones are finished and kept in "
                           f"{', '.join(filter(None, kept))}. Move them from there.")


@contextmanager
def _written(path):
    try:
        yield
    except OSError as error:
        raise OutputError(f"Writing {path} failed: {error.strerror}. Free some space or choose another "
                          f"folder.") from error


def _sync(path: str) -> None:
    """Have a file written to the disk; raises OSError, also for what the system had put off."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_beside(folder: RunFolder) -> str:
    """Give the folder of the new files a free name of its own beside the outputs, and return it; '' without files."""
    new = os.path.join(folder.path, NEW)
    names = sorted(os.listdir(new))
    if not names:
        return ""
    stem = os.path.join(folder.place, f"{names[0].split('.')[0]}-finished")
    number, path = 1, stem
    while os.path.lexists(path):
        number += 1
        path = f"{stem}-{number}"
    os.replace(new, path)
    return path


def _readable(size):
    steps = min(int(max(size, 1)).bit_length() // 10, 3)
    return f"{size / 1024 ** steps:.3g} {('bytes', 'KiB', 'MiB', 'GiB')[steps]}"


def _identity(path) -> str:
    return os.path.realpath(str(path))
