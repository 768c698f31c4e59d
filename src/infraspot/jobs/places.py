"""The files of frames at the places that a caller names."""

from collections.abc import Sequence
from pathlib import Path

from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError
from infraspot.data import (
    FrameFile,
    FrameKey,
    Reader,
    Reading,
    find_frames,
    frame_keys,
    numbered,
    open_dataset,
)
from infraspot.data.entries import Entry
from infraspot.data.finding import Found
from infraspot.data.listing import PAGED_SUFFIXES
from infraspot.data.places import set_at
from infraspot.data.reader import open_split
from infraspot.data.reading import DEFAULT
from infraspot.inference.stream import NamedFile
from infraspot.jobs.naming import name_results
from infraspot.jobs.watching import Tell, tell_nobody


def list_frames(
    places: Sequence[str | Path], recursive: bool, reading: Reading, out: Path | None, tell: Tell
) -> Found:
    """Every file of frames that the places name; what was passed over and what failed is told."""
    found = Found()
    for place in places:
        at = frames_at(place, recursive=recursive, reading=reading, out=out)
        found.files.extend(at.files)
        found.remarks.extend(at.remarks)
        found.errors.extend(at.errors)
    for remark in found.remarks:
        tell(remark)
    for error in found.errors:
        tell(error)
    return found


def frames_at(
    place: str | Path, *, recursive: bool = False, reading: Reading | None = None, out: Path | None = None
) -> Found:
    """The files of frames at one place; a data set's folder stands for its images, without the masks."""
    raw = reading is not None and reading.raw is not None
    found = find_frames(place, recursive=recursive, raw=raw, leave_out=out)
    images = [] if found.files else _images_of_set(Path(place))
    return Found(images) if images else found


def open_set(
    place: str | Path, *, split: str | None = None, recursive: bool = False, tell: Tell = tell_nobody
) -> Reader:
    """A data set; or every frame of a file, or of a folder without annotations, as a set.

    Pages of stacks and videos are frames of their own, named as the results of `detect` are.

    Parameters
    ----------
    recursive
        Read the frames of subfolders as well, and no annotation.

    Raises
    ------
    UsageError
        If ``split`` is asked of frames that are no data set.
    DataError
        If there is no frame, or the data set cannot be read.
    """
    place = set_at(Path(place))
    if not recursive and (place.is_dir() or place.suffix.lower() == ".json"):
        reader = _known_set(place)
        if reader is not None:
            return reader if split is None else open_split(reader, split)
    if split is not None:
        raise UsageError(f"--split {split} is of a data set, and {place} is read as frames; leave it out")
    found = list_frames([place], recursive, DEFAULT, None, tell)
    entries = [entry for file in name_results(found.files) for entry in _entries(file)]
    if not entries:
        raise DataError(f"{place} holds no frame that can be read; check the folder")
    return Reader(place.resolve().stem, "folder", None, place if place.is_dir() else place.parent, entries)


def _known_set(place: Path) -> Reader | None:
    """The data set in a folder; None where its frames are not annotated, so that they may be stacks."""
    try:
        reader = open_dataset(place)
    except DataError:
        if find_frames(place).files:
            return None
        raise
    plain = reader.layout == "folder" and not any(map(reader.has_mask, range(len(reader))))
    stacked = any(reader.image_path(index).suffix.lower() in PAGED_SUFFIXES for index in range(len(reader)))
    return None if plain and stacked else reader


def _entries(file: NamedFile) -> list[Entry]:
    """The frames of one file; one that is damaged stays, so that reading it says why."""
    try:
        keys = frame_keys(file.path)
    except InputError:
        keys = [FrameKey(file.path)]
    return [Entry(numbered(file.name, key.page), key.path, page=key.page) for key in keys]


def _images_of_set(place: Path) -> list[FrameFile]:
    """The images of a data set's folder; empty where it is none."""
    try:
        reader = open_dataset(place)
    except InfraspotError:
        return []
    paths = [reader.image_path(index) for index in range(len(reader))]
    return [FrameFile(path, path.parent) for path in paths]
