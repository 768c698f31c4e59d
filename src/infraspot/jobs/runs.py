"""Deleting run folders."""

from pathlib import Path

from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import clear_leftovers
from infraspot.core.lock import LOCK, locked
from infraspot.report.runs import FILES, is_run


def delete_run(folder: str | Path) -> list[str]:
    """Delete what training wrote into a run folder, and the folder if nothing else is in it.

    Files of other names and folders stay. A link is removed itself, never what it points at.

    Returns
    -------
    The names of what stays, sorted.

    Raises
    ------
    UsageError
        If it is no run folder, or is a link, or a program trains in it; nothing was deleted.
    DataError
        If a file cannot be deleted.
    """
    folder = Path(folder)
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link; name the folder itself")
    if not is_run(folder):
        raise UsageError(f"{folder} is no run folder, so that nothing of it is deleted")
    with locked(folder):
        clear_leftovers(folder)
        try:
            for name in FILES:
                path = folder / name
                if name != LOCK and (path.is_symlink() or path.is_file()):
                    path.unlink()
        except OSError as error:
            raise DataError(f"cannot delete {error.filename}: {error.strerror}") from error
    left = sorted(path.name for path in folder.iterdir())
    if not left:
        folder.rmdir()
    return left
