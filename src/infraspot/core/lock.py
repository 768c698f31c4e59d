"""One program at a time in a folder."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from infraspot.core.errors import DataError, UsageError

LOCK = "run.lock"

# Characters of a lock that are read; what a program of ours writes is far shorter.
LONGEST = 1000

# Folders that this process holds: what is called within a lock may ask for it again.
_held: set[Path] = set()


@contextmanager
def locked(folder: Path | str) -> Iterator[None]:
    """Keep other programs from writing into ``folder``.

    While the block runs, the file ``run.lock`` names the owner's host, process and start time. The operating
    system holds the lock, so that it ends with the process, also when that is killed: a file that was left
    behind is taken over. Processes that share one run share the lock of the first.

    Raises
    ------
    UsageError
        If another program works in the folder.
    DataError
        If the folder cannot be written to.
    """
    folder = Path(folder).resolve()
    if folder in _held or os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    path = folder / LOCK
    made = _missing_parents(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _acquired(path)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; choose another folder or free the place"
        ) from error
    _held.add(folder)
    try:
        yield
    finally:
        _held.discard(folder)
        path.unlink(missing_ok=True)
        os.close(handle)
        _remove_empty(made)


def owner_of(folder: Path | str) -> str | None:
    """Who works in ``folder`` now, as words for a sentence; None if nobody does. Nothing is written.

    A file that a killed process left behind names nobody.
    """
    path = Path(folder).resolve() / LOCK
    if path.parent in _held:
        return _named(path)
    if not path.is_file():
        return None
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # gone meanwhile, or of another user
        return _named(path) if path.is_file() else None
    try:
        return None if _try_lock(handle) else _named(path)
    finally:
        os.close(handle)


def _acquired(path: Path) -> int:
    """A file descriptor that holds the lock."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(handle):
                raise UsageError(_refusal(path))
            # An owner that ends removes the file, perhaps between the two lines above.
            if _is_at(handle, path):
                os.ftruncate(handle, 0)
                os.write(handle, _owner().encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _owner() -> str:
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": started}) + "\n"


def _refusal(path: Path) -> str:
    return f"{path.parent} is in use by {_named(path)}; wait until it ends, or choose another --out"


def _named(path: Path) -> str:
    """The owner that a lock names."""
    try:
        with path.open(encoding="utf-8") as file:
            owner = json.loads(file.read(LONGEST))
        return f"process {owner['pid']} on {owner['host']} since {owner['started']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "a process that does not say its name"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        # A byte far beyond the text, because others may not read a locked one.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: nothing can be known of others
            return True
        return True


def _missing_parents(folder: Path) -> list[Path]:
    """Folders that would have to be made, the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _remove_empty(folders: list[Path]) -> None:
    """A refused run leaves no folder behind."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
