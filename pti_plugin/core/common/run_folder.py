"""The hidden folder beside outputs in which a run works, and how a dead run is told from a living one.

It holds the outputs while they are written (NEW), under their own names, so that drivers see their endings; the
earlier results that are being replaced (OLD); an empty file for every output the run has claimed (CLAIMS); and OWNER,
on which the run keeps a lock as long as it lives. The system lets go of a lock when its process ends, in whatever way;
so a folder whose lock can be taken is what a dead run left.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import time

try:
    import fcntl
except ImportError:
    # Windows
    import msvcrt
    fcntl = None

PREFIX = ".pti-run-"
NEW, OLD, CLAIMS, OWNER = "new", "old", "claims", "owner"
#: a folder that is taken for a dead run's in the moment before it is locked is given up for another
_ATTEMPTS = 20
#: more is not written of an owner
_MOST_BYTES = 1 << 16
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class RunFolder:
    """The working folder of a run in the folder ``place`` of some of its outputs."""

    def __init__(self, path: str, handle: int | None):
        self.path, self._handle = path, handle

    @property
    def place(self) -> str:
        """The folder of the outputs."""
        return os.path.dirname(self.path)

    @classmethod
    def create(cls, place: str, main: str = "") -> RunFolder:
        """Make the working folder of a living run in ``place``; ``main``: the first one of the run. Raises OSError."""
        for _ in range(_ATTEMPTS):
            path = os.path.join(place, PREFIX + secrets.token_hex(6))
            os.mkdir(path)
            handle = None
            try:
                handle = os.open(os.path.join(path, OWNER), _CREATE, 0o644)
                if _lock(handle) is not False and _still_there(handle, path):
                    told = {"main": main, "process": os.getpid(), "host": platform.node(),
                            "started": time.strftime("%Y-%m-%d %H:%M:%S")}
                    os.write(handle, json.dumps(told).encode())
                    for name in (NEW, OLD, CLAIMS):
                        os.mkdir(os.path.join(path, name))
                    return cls(path, handle)
            except FileNotFoundError:
                # a run that cleans up came between
                pass
            except OSError:
                cls(path, handle).remove()
                raise
            if handle is not None:
                os.close(handle)
        raise OSError(f"{place} is being cleaned again and again")

    @classmethod
    def take_over(cls, path: str) -> RunFolder | None:
        """Return the working folder of a dead run with its lock held, or None where its run lives or it is unclear.

        An empty folder, of a run that died before it had a lock, is removed.
        """
        if os.path.islink(path) or not os.path.isdir(path):
            return None
        try:
            handle = os.open(os.path.join(path, OWNER), _OPEN)
        except FileNotFoundError:
            try:
                os.rmdir(path)
            except OSError:
                pass
            return None
        except OSError:
            return None
        try:
            dead = _lock(handle) is True and _still_there(handle, path)
        except OSError:
            dead = False
        if dead:
            return cls(path, handle)
        os.close(handle)
        return None

    def inner(self, part: str, name: str) -> str:
        """Return the path of a file in one part of the folder."""
        return os.path.join(self.path, part, name)

    def told(self) -> dict:
        """Return what the owner wrote of itself: ``main``, ``process``, ``host``, ``started``; {} where unreadable."""
        # through the handle that holds the lock: Windows lets no other one read
        os.lseek(self._handle, 0, os.SEEK_SET)
        return _as_owner(os.read(self._handle, _MOST_BYTES))

    def scratch(self) -> str:
        """Make and return a fresh folder for files that GDAL or QGIS name themselves."""
        path = os.path.join(self.path, "work-" + secrets.token_hex(4))
        os.mkdir(path)
        return path

    def release(self) -> None:
        """Let go of the lock and leave the folder to the next run."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        """Remove the folder; the owner goes last, so that what cannot be removed now is still known for a dead run."""
        for name in _names(self.path):
            if name != OWNER:
                inside = os.path.join(self.path, name)
                if os.path.isdir(inside) and not os.path.islink(inside):
                    shutil.rmtree(inside, ignore_errors=True)
                else:
                    _unlink(inside)
        self.release()
        if _names(self.path) in ([], [OWNER]):
            _unlink(os.path.join(self.path, OWNER))
            try:
                os.rmdir(self.path)
            except OSError:
                pass


def run_folders(place: str) -> list[str]:
    """Return the working folders of runs, living and dead, in a folder."""
    return [os.path.join(place, name) for name in sorted(_names(place)) if name.startswith(PREFIX)]


def owner_of(path: str) -> dict:
    """Return what the owner of a working folder wrote of itself, {} where it cannot be read."""
    try:
        with open(os.path.join(path, OWNER), "rb") as stream:
            return _as_owner(stream.read(_MOST_BYTES))
    except OSError:
        return {}


def _as_owner(data: bytes) -> dict:
    try:
        told = json.loads(data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def sync_folder(path: str) -> None:
    """Have the names in a folder written to the disk, where the system can."""
    if fcntl is None:
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        # some network file systems cannot
        pass
    finally:
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Take the lock on an open file: True where it is taken, False where another holds it, None where there are none.
    """
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _still_there(handle: int, path: str) -> bool:
    return os.path.samestat(os.fstat(handle), os.stat(os.path.join(path, OWNER)))


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
