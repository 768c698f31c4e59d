"""From a folder and a layout to the list of its images, each with the files that annotate it."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, named
from infraspot.data.layouts import Layout, Part
from infraspot.data.listing import IMAGE_SUFFIXES, images_in, natural_key
from infraspot.data.segments import Segments

_BOX_SUFFIXES = frozenset({".xml", ".txt"})
MASK_ENDING = re.compile(r"(_pixels0|\.mask|_mask)$")


@dataclass(frozen=True, eq=False)
class Entry:
    """One image of a data set: where it lies, and where its annotation lies or what it is.

    ``section`` is the folder or split that it was found in, such as ``train``; empty where there are none.
    ``page`` is its number in a file that holds several.
    ``tracks`` and ``classes`` have one row for each of the boxes.
    """

    id: str
    image: Path
    mask: Path | Segments | NDArray[np.bool_] | None = None
    boxes: Path | NDArray[np.float64] | None = None
    points: Path | NDArray[np.float64] | None = None
    sky: Path | None = None
    tracks: NDArray[np.int64] | None = None
    classes: NDArray[np.int64] | None = None
    section: str = ""
    page: int | None = None


def plain_stem(path: Path) -> str:
    """The name of a mask's image: ``Misc_1`` for ``Misc_1_pixels0.png`` and for ``Misc_1.mask.png``."""
    return MASK_ENDING.sub("", path.stem)


def folder_entries(root: Path, layout: Layout) -> list[Entry]:
    """Every image of a layout made of folders, in natural order within each section.

    Ids are the names of the images; where sections share names, all ids carry their section in front.

    Raises
    ------
    DataError
        If a folder may not be read.
    """
    entries = [
        entry
        for label, part in layout.parts.items()
        if (root / part.images).is_dir()
        for section, inner in _sections(root, label, part)
        for entry in _part_entries(root, section, inner)
    ]
    return told_apart(entries)


def strangers(root: Path, layout: Layout) -> list[Path]:
    """Masks, boxes, points and skies whose image is absent, in natural order."""
    found: dict[Path, None] = {}
    for label, part in layout.parts.items():
        if not (root / part.images).is_dir():
            continue
        for section, inner in _sections(root, label, part):
            known = {entry.id for entry in _part_entries(root, section, inner)}
            for folder in {inner.masks, inner.boxes, inner.points, inner.sky} - {inner.images}:
                suffixes = IMAGE_SUFFIXES if folder in (inner.masks, inner.sky) else _BOX_SUFFIXES
                files = _index(root, folder, suffixes)
                owned = {path for name, path in files.items() if name in known}
                found.update(dict.fromkeys(set(files.values()) - owned))
    return sorted(found, key=natural_key)


def told_apart(entries: list[Entry]) -> list[Entry]:
    """Put the section before every id when names repeat between sections."""
    if len({entry.id for entry in entries}) < len(entries):
        entries = [
            replace(entry, id="_".join([*entry.section.split("/"), entry.id]).lstrip("_"))
            for entry in entries
        ]
    return entries


def refuse_repeats(ids: Iterable[str], source: str) -> None:
    """Samples are told apart by their ids alone: two with one id would silently become one.

    Raises
    ------
    DataError
        If an id comes twice; ``source`` says where.
    """
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DataError(
            f"{source} holds {len(repeated)} ids more than once ({named(repeated)}); rename all but one image"
            " of each"
        )


def _sections(root: Path, label: str, part: Part) -> Iterator[tuple[str, Part]]:
    """The part itself, or, where its images lie in subfolders, one part for each of them."""
    folder = root / part.images
    if images_in(folder) or part.images == ".":
        yield label, part
        return
    for inner in sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key):
        name = inner.name
        below = {
            key: f"{value}/{name}"
            for key in ("images", "masks", "boxes", "points", "sky")
            if (value := getattr(part, key)) is not None
        }
        yield f"{label}/{name}" if label else name, replace(part, **below)


def _part_entries(root: Path, section: str, part: Part) -> list[Entry]:
    shared = part.masks == part.images
    masks = _index(root, part.masks, IMAGE_SUFFIXES, part.mask_ending)
    boxes = _index(root, part.boxes, _BOX_SUFFIXES)
    points = _index(root, part.points, _BOX_SUFFIXES)
    skies = _index(root, part.sky, IMAGE_SUFFIXES)
    entries = []
    for path in images_in(root / part.images):
        stem = path.stem
        if part.image_ending:
            if not stem.endswith(part.image_ending):
                continue
            stem = stem.removesuffix(part.image_ending)
        elif shared and MASK_ENDING.search(stem):
            continue
        mask = masks.get(stem)
        entries.append(
            Entry(
                stem,
                path,
                mask=None if mask == path else mask,
                boxes=boxes.get(stem),
                points=points.get(stem),
                sky=skies.get(stem),
                section=section,
            )
        )
    return entries


def _index(root: Path, folder: str | None, suffixes: Collection[str], ending: str = "") -> dict[str, Path]:
    """The files of an annotation folder by the name of their image; an exact name wins over an ending."""
    if folder is None or not (root / folder).is_dir():
        return {}
    files = (path for path in (root / folder).iterdir() if not path.name.startswith("."))
    paths = sorted(path for path in files if path.suffix.lower() in suffixes)
    if ending:
        return {path.stem.removesuffix(ending): path for path in paths if path.stem.endswith(ending)}
    found = {plain_stem(path): path for path in paths}
    found.update({path.stem: path for path in paths})
    return found
