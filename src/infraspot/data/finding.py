"""Finding the files that hold frames, in folders and their subfolders; what is passed over is said."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from infraspot.core.errors import Caution, DataError, InfraspotError, InputError, counted, named
from infraspot.data.listing import RAW_SUFFIXES, is_frame_name, natural_key

_KINDS = 6


class FrameFile(NamedTuple):
    """A file of frames, and the folder below which its results are named."""

    path: Path
    root: Path


@dataclass(frozen=True)
class Found:
    """Files of frames in order, sentences about what was passed over, and errors of places."""

    files: list[FrameFile] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    errors: list[InfraspotError] = field(default_factory=list)


def find_frames(
    *places: Path | str, recursive: bool = False, raw: bool = False, leave_out: Path | None = None
) -> Found:
    """Every file of frames that the given files, folders and glob patterns name, each once.

    Frames are in images, TIFF stacks, animations, ``.npy``, ``.npz``, videos and, with ``raw``, raw files; a
    file that a place names is taken whatever its name. The files of a folder come in natural order, hidden
    ones are left out. Nothing is raised: a place that holds no frame becomes an error.

    Parameters
    ----------
    recursive
        Read the subfolders of folders as well. Links to folders are followed, each folder is read once.
    raw
        Take files named .raw, .bin, .dat or .y16.
    leave_out
        A folder that is not entered: that of the results.
    """
    found = Found()
    for place in map(Path, places):
        try:
            found.files.extend(_at(place, recursive, raw, leave_out, found))
        except InfraspotError as error:
            found.errors.append(error)
    once = {Path(os.path.abspath(file.path)): file for file in reversed(found.files)}  # noqa: PTH100 (links stay)
    found.files[:] = reversed(once.values())
    return found


def _at(place: Path, recursive: bool, raw: bool, leave_out: Path | None, found: Found) -> list[FrameFile]:
    if place.is_dir():
        tree = _Tree(place, recursive, leave_out, found)
        return _frames_among(tree.files(), place, place, raw, found, tree.unread)
    if has_magic(str(place)) and not place.exists():
        matches = sorted(map(Path, glob(str(place), recursive=True)), key=natural_key)  # noqa: PTH207 (it takes absolute patterns)
        if not matches:
            raise DataError(f"no file matches {place}; check the pattern")
        return _frames_among([path for path in matches if not path.is_dir()], place, None, raw, found, 0)
    if not place.exists() and not os.path.lexists(place):
        if is_frame_name(place, raw=True):
            raise InputError(f"there is no file {place}; check its name")
        raise DataError(f"no such file or folder: {place}; expected an image, a stack, a folder or a pattern")
    return [FrameFile(place, place.parent)]


def _frames_among(
    paths: Iterable[Path], place: Path, root: Path | None, raw: bool, found: Found, unread: int
) -> list[FrameFile]:
    """Those of the paths that hold frames; the others are remarked upon."""
    frames, others = [], []
    for path in paths:
        if is_frame_name(path, raw=raw):
            frames.append(FrameFile(path, root or path.parent))
        else:
            others.append(path)
    if others:
        found.remarks.append(_passed_over(place, others))
    if unread:
        folders = counted(unread, "subfolder is", "subfolders are")
        found.remarks.append(Caution(f"{place}: {folders} not read; add --recursive to read them"))
    if not frames:
        hint = "; its subfolders are read with --recursive" if unread else ""
        raise DataError(
            f"{place} holds no image, stack or video; expected PNG, BMP, JPEG, TIFF, GIF, .npy, .npz or "
            f"video files{hint}"
        )
    return frames


def _passed_over(place: Path, others: list[Path]) -> str:
    """How many files of which kind hold no frames, and the first names of each kind."""
    kinds: dict[str, list[str]] = {}
    for path in others:
        hidden = path.name.startswith(".")
        kinds.setdefault("hidden" if hidden else path.suffix.lower() or "without suffix", []).append(
            path.name
        )
    parts = [
        f"{len(names)} {kind} ({named(names, 3)})"
        for kind, names in sorted(kinds.items(), key=lambda item: -len(item[1]))[:_KINDS]
    ]
    more = f", and {len(kinds) - _KINDS} more kinds" if len(kinds) > _KINDS else ""
    raw = "; raw files are read with --raw" if not RAW_SUFFIXES.isdisjoint(kinds) else ""
    files = counted(len(others), "file holds", "files hold")
    said = f"{place}: {files} no frames, passed over: {', '.join(parts)}{more}{raw}"
    return Caution(said) if raw else said


class _Tree:
    """The files of a folder and, where asked for, of its subfolders, each folder once."""

    def __init__(self, root: Path, recursive: bool, leave_out: Path | None, found: Found) -> None:
        self.root, self.recursive, self.found = root, recursive, found
        self.unread = 0
        self._seen = {_identity(root)}
        self._left_out = None if leave_out is None else _identity(leave_out)

    def files(self) -> list[Path]:
        """Every file in natural order of its path below the root."""
        paths: list[Path] = []
        waiting, links = [self.root], list[Path]()
        while waiting or links:
            folder = waiting.pop() if waiting else links.pop()  # links last: a folder is read by its own name
            if folder != self.root and not self._enter(folder):
                continue
            files, inner = self._children(folder)
            paths.extend(files)
            for child in inner:
                (links if child.is_symlink() else waiting).append(child)
        return sorted(paths, key=self._order)

    def _order(self, path: Path) -> tuple[object, ...]:
        *folders, name = path.relative_to(self.root).parts
        # Of one folder, files come before subfolders.
        return (*((1, natural_key(part)) for part in folders), (0, natural_key(name)))

    def _enter(self, folder: Path) -> bool:
        """Whether a subfolder is read; why not is remarked upon."""
        identity = _identity(folder)
        if identity is not None and identity == self._left_out:
            self.found.remarks.append(f"{folder} is the folder of the results and is not read")
            return False
        if identity is None or identity in self._seen:
            self.found.remarks.append(f"{folder} leads to a folder that is read already; passed over")
            return False
        self._seen.add(identity)
        return True

    def _children(self, folder: Path) -> tuple[list[Path], list[Path]]:
        files, inner, hidden = [], [], 0
        try:
            for path in folder.iterdir():
                if not _is_folder(path):
                    files.append(path)
                elif path.name.startswith("."):
                    hidden += 1
                else:
                    inner.append(path)
        except OSError as error:
            failure = DataError(f"cannot list {folder}: {error.strerror}; change its permissions")
            if folder == self.root:
                raise failure from error
            self.found.errors.append(failure)
        if not self.recursive:
            self.unread = sum(_identity(path) != self._left_out for path in inner)
            return files, []
        if hidden:
            folders = counted(hidden, "hidden folder is", "hidden folders are")
            self.found.remarks.append(f"{folder}: {folders} not read")
        return files, sorted(inner, key=lambda path: natural_key(path.name), reverse=True)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a circle of links
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
