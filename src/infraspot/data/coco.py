"""COCO data sets and Anti-UAV sequences: annotation that lies in JSON files."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, InputError
from infraspot.data.boxes import checked_boxes
from infraspot.data.coordinates import checked_coordinates
from infraspot.data.entries import Entry, told_apart
from infraspot.data.layouts import SEQUENCE_LABELS
from infraspot.data.listing import images_in, natural_key
from infraspot.data.opening import is_regular, read_text
from infraspot.data.segments import Segments


def find_coco_files(root: Path) -> list[Path]:
    """The COCO files of a folder: JSON files in it or in ``annotations`` that hold images and annotations."""
    if root.is_file():
        return [root]
    paths = [*root.glob("*.json"), *root.glob("annotations/*.json")]
    return [path for path in sorted(paths, key=natural_key) if _is_coco(path)]


def coco_entries(root: Path) -> list[Entry]:
    """The images of every COCO file; an image without annotation has none, as COCO does not tell them apart.

    Raises
    ------
    DataError, InputError
        If a file is not COCO, or an image that it names is absent.
    """
    base = root.parent if root.is_file() else root
    files = find_coco_files(root)
    entries = [
        entry for path in files for entry in _file_entries(base, path, "" if len(files) == 1 else path.stem)
    ]
    return told_apart(entries)


def sequence_entries(root: Path) -> list[Entry]:
    """The frames of Anti-UAV sequences; ``exist`` 0 or an empty box means that there is no target."""
    labels = sorted((path for name in SEQUENCE_LABELS for path in root.rglob(name)), key=natural_key)
    return [entry for label in labels for entry in _sequence(root, label)]


def _is_coco(path: Path) -> bool:
    try:
        found = json.loads(read_text(path))
    except (InputError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("images"), list) and "annotations" in found


def _file_entries(base: Path, path: Path, section: str) -> Iterator[Entry]:
    found = _load(path)
    try:
        notes = defaultdict(list)
        for note in found["annotations"]:
            notes[note["image_id"]].append(note)
        known = Counter(image["id"] for image in found["images"])
        repeated = [name for name, count in known.items() if count > 1]
        if repeated:
            raise InputError(f"{path} gives the id {repeated[0]!r:.60} to several images; number them afresh")
        if notes and not notes.keys() & known.keys():
            raise InputError(
                f"{path}: no annotation belongs to an image (image_id is {next(iter(notes))!r:.60}, the id "
                f"of an image {next(iter(known), None)!r:.60}); export anew"
            )
        for image in found["images"]:
            mine, name = notes[image["id"]], PurePosixPath(image["file_name"])
            source = f"{path}, image {name}"
            yield Entry(
                name.stem,
                _located(base, path, str(image["file_name"])),
                mask=_segments(path, mine),
                boxes=_corners(_rectangles([note["bbox"] for note in mine], source), source),
                tracks=_numbers(mine, "track_id", source),
                classes=_numbers(mine, "category_id", source),
                section="/".join(filter(None, (section, *name.parent.parts))),
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a COCO file (at fault: {error}); export it again") from error


def _segments(path: Path, notes: list[dict[str, Any]]) -> Segments | None:
    """A mask where every annotation has a segmentation; an image without targets has an empty one."""
    items = tuple(note.get("segmentation") for note in notes)
    return Segments(str(path), items) if all(items) else None


def _located(base: Path, path: Path, name: str) -> Path:
    """The file of an image, which a name can only give within the set's own folders."""
    parts = PureWindowsPath(name)  # knows both slashes and drives
    if parts.drive or parts.root or ".." in parts.parts:
        raise InputError(
            f"{path} names the image {name!r:.80}, which leads out of the data set; give names relative to "
            "its folder, without '..'"
        )
    split = path.stem.removeprefix("instances_")
    for folder in (base, base / "images", base / split, base / "images" / split, path.parent):
        if is_regular(folder / name):
            return folder / name
    raise DataError(
        f"{path} names the image {name!r:.80}, which is neither in {base} nor in its images folder; add it"
    )


def _numbers(notes: list[dict[str, Any]], name: str, source: str) -> NDArray[np.int64] | None:
    """One whole number for each annotation, -1 where it has none; None where none has one."""
    found = [note.get(name) for note in notes]
    if all(value is None for value in found):
        return None
    if not all(value is None or (isinstance(value, int) and -1 <= value < 2**31) for value in found):
        raise InputError(f"{source}: a {name} is no whole number from 0 to {2**31 - 1}; export it again")
    return np.array([-1 if value is None else value for value in found], np.int64)


def _rectangles(boxes: list[Any], source: str) -> NDArray[np.float64]:
    """(N, 4) corners and sizes as the file gives them."""
    try:
        found = np.array(boxes, np.float64).reshape(len(boxes), 4)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{source}: a box is not [x, y, width, height]; export it again") from error
    return checked_coordinates(found, source)


def _corners(rectangles: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    first, size = rectangles[:, :2], rectangles[:, 2:]
    return checked_boxes(np.concatenate([first, first + size], axis=1), source)


def _sequence(root: Path, label: Path) -> Iterator[Entry]:
    folder = label.parent if label.name == SEQUENCE_LABELS[0] else label.parent / label.stem
    frames = images_in(folder)
    found = _load(label)
    rectangles = found.get("gt_rect") if isinstance(found, dict) else None
    if not isinstance(rectangles, list) or len(rectangles) != len(frames):
        count = len(rectangles) if isinstance(rectangles, list) else 0
        raise DataError(
            f"{label} has {count} boxes and {folder} has {len(frames)} frames; "
            "extract every frame of the video, and no other image, into that folder"
        )
    exist = found.get("exist", [1] * len(frames))
    if not isinstance(exist, list) or len(exist) != len(frames):
        raise DataError(
            f"{label}: 'exist' is not a list of {len(frames)} marks, one a frame; export it again"
        )
    name = folder.relative_to(root).as_posix()
    section = name.partition("/")[0]
    for frame, there, rectangle in zip(frames, exist, rectangles, strict=True):
        source = f"{label}, frame {frame.name}"
        found_boxes = _rectangles([rectangle] if there and rectangle else [], source)
        seen = found_boxes[(found_boxes[:, 2:] > 0).all(axis=1)]
        stem = f"{name}/{frame.stem}".replace("/", "_")
        tracks = np.zeros(len(seen), np.int64)  # one target a sequence
        yield Entry(stem, frame, boxes=_corners(seen, source), tracks=tracks, section=section)


def _load(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); restore it from its source") from error
