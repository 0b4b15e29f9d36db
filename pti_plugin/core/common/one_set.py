"""Whether files belong together, as far as their records tell.

A record names the files that a run read and wrote with their checksums. Files of one set agree on them: whatever
result of a run two of them go back to was the same for both, and a file that is given is still the one the others were
made with. What no record names says nothing; nor do target grids, of which only the grid is taken, and databases such
as GeoPackage, which change when they are only opened.
"""

from __future__ import annotations

import os

from .errors import InputError
from .provenance import CHANGING, MOST_STEPS, Records, checksum, made_by, name_of
from .source_files import file_inside

_ONLY_GRID = ("TARGET",)


def refuse_mixed(inputs, progress) -> None:
    """Raise InputError where the records of files that belong together contradict each other.

    ``inputs``: list of (role, path).
    """
    given = {os.path.realpath(file): role for role, path in inputs for file in [file_inside(path)] if file}
    stated = _Statements()
    for file in given:
        stated.follow(file, progress)
    for file, said in stated.of_files.items():
        name = os.path.basename(file)
        if file in given and os.path.isfile(file):
            now = checksum(file, progress)
            for sum_read, reader in said.items():
                if sum_read != now:
                    raise InputError(
                        f"The inputs do not belong together: {reader} was made with {name} as it was then, and "
                        f"{given[file]}, {file}, is another file by now. Make {reader} again with it, or give the "
                        f"files of one run.")
        if len(said) > 1 and stated.is_result(file):
            first, second = list(said.values())[:2]
            raise InputError(
                f"The inputs do not belong together: {first} and {second} were made with different files {name} "
                f"({os.path.dirname(file)}), as their records say. Run the steps after the newest {name} again, or "
                f"give the files of one run.")


class _Statements:
    """What records say of files. ``of_files``: {file: {checksum: name of a file whose record says so}}."""

    def __init__(self):
        self.of_files: dict[str, dict[str, str]] = {}
        self._records, self._seen = Records(), set()

    def follow(self, file: str, progress, digest: str | None = None) -> None:
        """Gather what the records behind a file say; ``digest``: its checksum when it was read, None for as it is."""
        if file in self._seen or len(self._seen) >= MOST_STEPS:
            return
        self._seen.add(file)
        progress.check()
        record = self._records.of(file)
        if record is None:
            return
        made = made_by(record, file)
        if digest is None:
            digest = made if made is None or file.lower().endswith(CHANGING) else checksum(file, progress)
        if digest != made:
            # written anew since; the record is not of this file
            return
        folder, name = os.path.dirname(file), os.path.basename(file)
        for output in record["outputs"].values():
            beside = os.path.join(folder, name_of(output))
            self._say(beside if os.path.isfile(beside) else str(output), made_by(record, output), name)
        for entry in record.get("inputs") or ():
            if not isinstance(entry, dict) or entry.get("role") in _ONLY_GRID:
                continue
            for part in [entry, *(entry.get("files") or ())]:
                path = str(part.get("path", ""))
                found = file_inside(path) or file_inside(name_of(path), folder)
                self._say(found or path, part.get("sha256"), name)
                if found:
                    self.follow(os.path.realpath(found), progress, str(part.get("sha256")))

    def is_result(self, file: str) -> bool:
        """True where a run made the file, as a record beside it says."""
        return self._records.of(file) is not None

    def _say(self, path: str, digest, name: str) -> None:
        if isinstance(digest, str) and not path.lower().endswith(CHANGING):
            self.of_files.setdefault(os.path.realpath(path), {}).setdefault(digest, name)
