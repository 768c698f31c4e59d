"""Writing files so that nothing is ever half-written, and nothing is left over by a run that was killed."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infraspot.core.errors import DataError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: leftovers of killed runs stay there
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = ".infraspot~"
_swept: set[Path] = set()


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it takes the place of ``path`` in one step.

    On any failure, Ctrl-C included, the temporary file goes and what was at ``path`` stays as it was. What a
    killed process left goes when the next one writes into the same folder (see :func:`clear_leftovers`). The
    parent folder is made if it is missing.

    Raises
    ------
    DataError
        If the place cannot be written to (no permission, disk full, a file where a folder should be).
    """
    path = Path(path)
    temporary: Path | None = None
    handle = -1
    try:
        handle, temporary = _open_beside(path)
        if not _lock(handle):
            os.close(handle)
            handle = -1
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; choose another folder or free the place"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle >= 0:
            os.close(handle)


def _open_beside(path: Path) -> tuple[int, Path]:
    """A new temporary file in the folder of ``path``, which is made and cleared of leftovers at first."""
    folder = path.parent
    if folder not in _swept or not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder)
        _swept.add(folder)
    handle, name = tempfile.mkstemp(dir=folder, prefix=_TEMPORARY, suffix=path.suffix)
    return handle, Path(name)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder, if it exists.

    A process holds a lock on each temporary file while it writes it, and the system frees the lock when the
    process ends, however it ends; a file that can be locked is therefore a leftover.
    """
    if fcntl is None or not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if not entry.name.startswith(_TEMPORARY):
            continue
        try:
            handle = os.open(entry.path, os.O_RDWR)
        except OSError:  # gone meanwhile, or of another user
            continue
        try:
            if _lock(handle):
                Path(entry.path).unlink(missing_ok=True)
        finally:
            os.close(handle)


def check_writable(folder: Path) -> None:
    """Make the folder if it is missing, and refuse one that takes no files: before the work, not after it.

    Raises
    ------
    DataError
        If no file can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=_TEMPORARY):
            pass
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder"
        ) from error


def write_text(path: Path | str, text: str) -> None:
    """Write a text file in one step (see :func:`replacing`)."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON in one step; NaN is not JSON and is refused by ``json``, so pass None instead."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _lock(handle: int) -> bool:
    """Lock an open file; False if another process holds it, or the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
