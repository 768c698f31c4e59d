"""Folders of exports: each holds what is finished now and nothing else, and nothing of anybody's is lost."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from threading import Lock

from infraspot.core.errors import DataError, named
from infraspot.core.files import write_json

MANIFEST = ".infraspot-export.json"
# What file managers leave in every folder that they show.
OF_THE_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}
# Two windows may ask for one export at once.
_TURN = Lock()


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder``; on success it takes its place, with a list of what it holds.

    On any failure the last export stays as it was.

    Raises
    ------
    DataError
        If ``folder`` holds a file that no export wrote or that was changed since, or it cannot be replaced.
    """
    fresh, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
    with _TURN:
        try:
            _refuse_what_is_not_ours(folder)
            rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            yield fresh
            write_json(fresh / MANIFEST, _digests(fresh))
            _swap(fresh, folder, old)
        except OSError as error:
            raise DataError(
                f"cannot write the export {folder}: {error.strerror or error}; free the place, or give"
                " another --out"
            ) from error
        finally:
            rmtree(fresh, ignore_errors=True)


def _refuse_what_is_not_ours(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder} is no folder of an export; move it away, and export again")
    found = _digests(folder)
    written = _manifest(folder) if found else {}
    foreign = [name for name, digest in found.items() if written.get(name) != digest]
    if foreign:
        raise DataError(
            f"{folder} holds {named(foreign, 1)}, which no export wrote or which was changed since; move what"
            " you want to keep out of it, or move the whole folder away, and export again"
        )


def is_untouched(folder: Path) -> bool:
    """Whether a folder holds exactly what an export wrote there."""
    written = _manifest(folder)
    return bool(written) and written == _digests(folder)


def is_export(folder: Path) -> bool:
    """Whether an export wrote this folder, whatever became of it since."""
    return (folder / MANIFEST).is_file()


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path within the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    return {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in files
        if path.name not in OF_THE_SYSTEM and path != folder / MANIFEST
    }


def _digest(path: Path) -> str:
    if path.is_symlink():
        return "a link"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, str]:
    """What the last export wrote; nothing where that is not known."""
    try:
        written = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def _swap(fresh: Path, folder: Path, old: Path) -> None:
    rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    rmtree(old, ignore_errors=True)
