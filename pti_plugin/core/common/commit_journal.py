"""Puts the finished files of a run in place, so that a crash at any moment leaves all of them or none.

Before the first file is moved, a journal in the run's main working folder lists every file that will be moved. From
then on the run is decided: whoever finds the journal of a dead run finishes it where every new file is still there,
and undoes it where one is lost. A new file replaces the earlier one in one step; the earlier ones are kept under the
same names in the working folders until the last step.
"""

from __future__ import annotations

import json
import os

from .run_folder import NEW, OLD, PREFIX, RunFolder, run_folders, sync_folder

JOURNAL = "journal.json"
_VERSION = 1


class Journal:
    """The moves of one run. ``folders``: its working folders, the main one first; ``files``: [place in ``folders``,
    name, size, time] of every new file; ``earlier``: [place, name] of every earlier file that goes."""

    def __init__(self, folders: list[str], files: list, earlier: list):
        self._folders, self._files, self._earlier = folders, files, earlier

    @classmethod
    def of(cls, names: dict[str, tuple[list, list]]) -> Journal:
        """Return the Journal of {working folder: (names of new files, names of earlier files that go)}."""
        folders = list(names)
        files = [[place, name, *_stamp(os.path.join(folder, NEW, name))]
                 for place, folder in enumerate(folders) for name in names[folder][0]]
        earlier = [[place, name] for place, folder in enumerate(folders) for name in names[folder][1]]
        return cls(folders, files, earlier)

    @classmethod
    def read(cls, main: str) -> Journal | None:
        """Return the Journal in a dead run's main working folder, None where there is none or it is not to be trusted.

        Names with folders in them and working folders that do not name this one as theirs are not followed: a folder
        that someone sent may hold a journal too.
        """
        try:
            with open(os.path.join(main, JOURNAL), encoding="utf-8") as stream:
                told = json.load(stream)
            folders, files, earlier = told["folders"], told["files"], told["earlier"]
            fits = told["version"] == _VERSION and all(
                isinstance(path, str) for path in folders) and all(
                type(place) is int and 0 <= place <= len(folders) and _plain(name)
                for place, name, *_ in [*files, *earlier]) and all(len(file) == 4 for file in files)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls([main, *folders], files, earlier) if fits else None

    def write(self) -> None:
        """Write the journal whole, beside nothing else; from now on the run is decided. Raises OSError."""
        path = os.path.join(self._folders[0], JOURNAL)
        with open(path + ".new", "x", encoding="utf-8") as stream:
            # the main folder goes without saying, since it may be moved
            json.dump({"version": _VERSION, "folders": self._folders[1:], "files": self._files,
                       "earlier": self._earlier}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(path + ".new", path)
        sync_folder(self._folders[0])

    def place(self) -> None:
        """Move every new file to its name; what is done already is passed over. Raises OSError."""
        new = {(place, name) for place, name, *_ in self._files}
        for place, name in self._earlier:
            final, kept = self._final(place, name), self._inner(place, OLD, name)
            if os.path.lexists(kept) or not os.path.lexists(final) or not os.path.isdir(os.path.dirname(kept)):
                continue
            if (place, name) not in new:
                os.replace(final, kept)
            elif os.path.lexists(self._inner(place, NEW, name)):
                _keep(final, kept)
        for place, name, *_ in self._files:
            staged = self._inner(place, NEW, name)
            if os.path.lexists(staged):
                os.replace(staged, self._final(place, name))
        for folder in self._folders:
            sync_folder(os.path.dirname(folder))

    def undo(self) -> None:
        """Take every new file back into the working folders, and put the earlier ones where they were.

        A file that was changed since by someone else is left alone. Raises OSError.
        """
        for place, name, *stamp in reversed(self._files):
            final, staged = self._final(place, name), self._inner(place, NEW, name)
            if not os.path.lexists(staged) and _stamp(final) == stamp:
                os.replace(final, staged)
        for place, name in self._earlier:
            final, kept = self._final(place, name), self._inner(place, OLD, name)
            if os.path.lexists(kept) and not os.path.lexists(final):
                os.replace(kept, final)

    def whole(self) -> bool:
        """True where every new file is there, moved or not."""
        return all(stamp in (_stamp(self._inner(place, NEW, name)), _stamp(self._final(place, name)))
                   for place, name, *stamp in self._files)

    def finals(self) -> list[str]:
        """Return the final paths of the new files."""
        return [self._final(place, name) for place, name, *_ in self._files]

    def others(self) -> list[str]:
        """Return the working folders beside the main one."""
        return self._folders[1:]

    def close(self) -> None:
        """Remove the journal: what stands now is final. Raises OSError."""
        os.remove(os.path.join(self._folders[0], JOURNAL))

    def _final(self, place: int, name: str) -> str:
        return os.path.join(os.path.dirname(self._folders[place]), name)

    def _inner(self, place: int, part: str, name: str) -> str:
        return os.path.join(self._folders[place], part, name)


def recover(place: str) -> list[str]:
    """Finish or undo what dead runs left in a folder, and remove their working folders; return sentences about it.

    What cannot be judged or moved, such as another user's, is left as it is.
    """
    said = []
    for path in run_folders(place):
        folder = RunFolder.take_over(path)
        if folder is None:
            continue
        main = folder.told().get("main")
        try:
            if not main:
                said += _recover_run(folder)
            else:
                said += _recover_part(folder, str(main))
        except OSError as error:
            said.append(f"What a run that was cut short left in {path} cannot be put right: {error.strerror}. Check "
                        f"the permissions of {place}.")
        finally:
            folder.release()
    return said


def _recover_run(folder: RunFolder) -> list[str]:
    """Finish or undo a dead run whose main working folder this is."""
    journal = Journal.read(folder.path)
    if journal is None:
        # no file was moved yet
        folder.remove()
        return []
    others = []
    try:
        # those that are gone were finished
        for path in filter(os.path.lexists, journal.others()):
            others.append(RunFolder.take_over(path))
            if others[-1] is None or not _same(others[-1].told().get("main"), folder.path):
                return []
        if not all(map(_is_real, [folder.path, *(other.path for other in others)])):
            return []
        names = ", ".join(journal.finals())
        if journal.whole():
            journal.place()
            said = f"A run was cut short while it put its results in place. They are in place now: {names}."
        else:
            journal.undo()
            said = (f"A run was cut short while it put its results in place, and one of them is lost. The earlier "
                    f"results are in place again: {names}.")
        clear(folder, others, journal)
        return [said]
    finally:
        for other in filter(None, others):
            other.release()


def clear(main: RunFolder, others: list[RunFolder], journal: Journal) -> None:
    """Remove the working folders of a run; the journal goes when all others are gone, and the main folder last."""
    for other in others:
        other.remove()
    try:
        journal.close()
    except OSError:
        # the next run finds everything in place and removes it
        main.release()
    else:
        main.remove()


def _recover_part(folder: RunFolder, main: str) -> list[str]:
    """Put right what a dead run left in one of its further folders; its main working folder decides."""
    said = []
    if os.path.basename(main).startswith(PREFIX) and os.path.isdir(main) and os.path.dirname(main) != folder.place:
        folder.release()
        said = recover(os.path.dirname(main))
        again = None if os.path.isdir(main) else RunFolder.take_over(folder.path)
        if again is None:
            return said
        folder = again
    # nothing was moved yet, or the main folder was moved away by hand
    older = os.path.join(folder.path, OLD)
    try:
        for name in os.listdir(older) if _is_real(folder.path) and os.path.isdir(older) else ():
            if not os.path.lexists(os.path.join(folder.place, name)):
                os.replace(folder.inner(OLD, name), os.path.join(folder.place, name))
        folder.remove()
    finally:
        folder.release()
    return said


def _keep(final: str, kept: str) -> None:
    """Keep an earlier file, which stays in its place until it is replaced wherever a second name can be given."""
    try:
        os.link(final, kept)
    except OSError:
        os.replace(final, kept)


def _stamp(path: str) -> list[int] | None:
    """Return [size, time of the last change] of a file, by which it is known again, or None."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _plain(name: object) -> bool:
    return isinstance(name, str) and name == os.path.basename(name) and name not in ("", ".", "..")


def _is_real(path: str) -> bool:
    """True for a working folder that does not lead elsewhere by a link."""
    return os.path.isdir(path) and not any(os.path.islink(part) for part in (
        path, os.path.join(path, NEW), os.path.join(path, OLD)))


def _same(one: object, other: str) -> bool:
    return isinstance(one, str) and os.path.realpath(one) == os.path.realpath(other)
