"""Opening a data set: a lazy sequence of samples, whatever its layout."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, InputError, UsageError, counted, named
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data.boxes import read_point_lines, read_targets
from infraspot.data.coco import coco_entries, find_coco_files, sequence_entries
from infraspot.data.decoding import count_pages
from infraspot.data.entries import Entry, folder_entries, refuse_repeats
from infraspot.data.images import read_image, read_mask, read_stored_mask
from infraspot.data.layouts import LAYOUTS, Layout
from infraspot.data.listing import natural_key
from infraspot.data.places import DATA_FOLDER, is_bare, set_at
from infraspot.data.points import read_points
from infraspot.data.raster import MAX_PIXELS
from infraspot.data.segments import Segments
from infraspot.data.sequence_entries import (
    LAST_PAGE,
    is_box_list,
    list_entries,
    mot_entries,
    nudt_entries,
    rgbt_entries,
)
from infraspot.data.splits import find_split_lists, names_of_split, read_split_list, split_role

_OF_SEQUENCES = {
    "anti-uav": sequence_entries,
    "nudt-mirsdt": nudt_entries,
    "mot": mot_entries,
    "rgbt-tiny": rgbt_entries,
    "box-lists": list_entries,
}


class Reader(Sequence[Sample]):
    """A data set, or a split of one: samples are read from disk when they are asked for.

    A slice is a reader of those samples.

    Attributes
    ----------
    name
        The name of the data set's folder.
    layout
        The row of the table of layouts that it was read by (see :data:`infraspot.data.LAYOUTS`).
    split
        The split that was asked for, None for the whole set.
    root
        The folder that the layout's paths are relative to.
    max_pixels
        Larger images are refused.
    ids
        The id of every sample, in order; no two are equal.
    unused_points
        Names in ``points.json`` that are the id of no image; known of a whole set only.

    Raises
    ------
    DataError
        If two samples have the same id.
    """

    def __init__(
        self,
        name: str,
        layout: str,
        split: str | None,
        root: Path,
        entries: Sequence[Entry],
        *,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.name, self.layout, self.split, self.root = name, layout, split, root
        self.unused_points: tuple[str, ...] = ()
        self._entries, self.max_pixels = tuple(entries), max_pixels
        self.ids = [entry.id for entry in self._entries]
        refuse_repeats(self.ids, f"{root}" + (f", split {split!r}," if split else ""))

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Reader": ...
    def __getitem__(self, index: int | slice) -> "Sample | Reader":
        if isinstance(index, slice):
            return self._with(self._entries[index], self.split)
        return _read(self._entries[index], LAYOUTS[self.layout], self.max_pixels)

    def __repr__(self) -> str:
        split = f", split {self.split!r}" if self.split else ""
        return f"<Reader {self.name!r}, layout {self.layout!r}{split}: {counted(len(self), 'image')}>"

    @property
    def sections(self) -> list[str]:
        """The folder or split that each sample was found in; empty where the set has none."""
        return [entry.section for entry in self._entries]

    def examine(self, index: int) -> tuple[Sample, list[float]]:
        """One sample, and the stray values of its mask file (:func:`infraspot.data.stray_mask_values`)."""
        entry = self._entries[index]
        if not isinstance(entry.mask, Path):
            return self[index], []
        stored = read_stored_mask(entry.mask, self.max_pixels)
        return _read(replace(entry, mask=stored.mask), LAYOUTS[self.layout], self.max_pixels), stored.strays

    def image_path(self, index: int) -> Path:
        """The file of one image."""
        return self._entries[index].image

    def mask_path(self, index: int) -> Path | None:
        """The file of one mask; None where there is none, or where it is drawn from outlines."""
        mask = self._entries[index].mask
        return mask if isinstance(mask, Path) else None

    def targets(self, index: int) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
        """(N, 4) boxes and (N,) tracks of one image, without reading it; None where no list has them."""
        entry = self._entries[index]
        return (entry.boxes if isinstance(entry.boxes, np.ndarray) else None), entry.tracks

    def has_mask(self, index: int) -> bool:
        """Whether one image has a mask, as a file or as outlines."""
        return self._entries[index].mask is not None

    def names_in(self, lines: Sequence[str]) -> list[str]:
        """Ids for the lines of a list.

        A line may carry an ending that the layout drops (MDvsFA's ``_1``), or name the folder of a sequence
        and stand for its frames.
        """
        endings = {part.image_ending for part in LAYOUTS[self.layout].parts.values()} - {""}
        shorter = {entry.id + ending: entry.id for entry in self._entries for ending in endings}
        members: dict[str, list[str]] = {}
        for entry in self._entries:
            members.setdefault(entry.section.rpartition("/")[2], []).append(entry.id)
        known = {*self.ids, *shorter, ""}
        return [
            name
            for line in lines
            for name in (members.get(line, [line]) if line not in known else [shorter.get(line, line)])
        ]

    def select(self, ids: Sequence[str], split: str | None = None) -> "Reader":
        """The samples with these ids, in this order.

        Raises
        ------
        DataError
            If an id has no image.
        """
        known = {entry.id: entry for entry in self._entries}
        absent = [name for name in ids if name not in known]
        if absent:
            raise DataError(
                f"{self.root}: {split or 'the selection'} names"
                f" {counted(len(absent), 'image that is', 'images that are')} not there"
                f" ({named(absent)}); add them, or take them out of the list ('infraspot data check' lists"
                " all)"
            )
        return self._with([known[name] for name in ids], split)

    def _with(self, entries: Sequence[Entry], split: str | None) -> "Reader":
        return Reader(self.name, self.layout, split, self.root, entries, max_pixels=self.max_pixels)


def open_dataset(
    path: Path | str, *, split: str | None = None, layout: str = "auto", max_pixels: int = MAX_PIXELS
) -> Reader:
    """Open a data set for reading.

    Parameters
    ----------
    path
        Its folder, or a COCO file; or the name of a folder within the one that the environment variable
        INFRASPOT_DATA names, as recipes have it.
    split
        ``train``, ``val``, ``test``, ``trainval``, the name of a list such as ``50_50/train``, the path of a
        list file, or None for every image.
    layout
        A key of :data:`infraspot.data.LAYOUTS`, or ``auto`` to recognise it.

    Raises
    ------
    DataError
        If the folder is absent, holds no image, or a split names images that are not there.
    UsageError
        If the layout or the split is unknown.
    """
    path = set_at(Path(path))
    root, layout = _recognised(path, layout)
    entries = _entries(root, layout)
    if not entries:
        raise DataError(f"{path} holds no image that the layout {layout!r} describes; check the folder")
    clicks = read_points(points) if (points := root / "points.json").exists() else {}
    if clicks:
        entries = [replace(entry, points=clicks.get(entry.id, entry.points)) for entry in entries]
    name = path.resolve().name if path.is_dir() else path.stem
    reader = Reader(name, layout, None, root, entries, max_pixels=max_pixels)
    reader.unused_points = tuple(sorted(clicks.keys() - set(reader.ids), key=natural_key))
    return reader if split is None else open_split(reader, split)


def _recognised(path: Path, layout: str) -> tuple[Path, str]:
    """The folder that holds the set, which may be the only one inside ``path``, and its layout."""
    if layout != "auto" and layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}")
    if path.is_file() and path.suffix.lower() == ".json" and layout in ("auto", "coco"):
        return path, "coco"
    if not path.is_dir():
        or_name = f", or the name of one within ${DATA_FOLDER}" if is_bare(path) else ""
        raise DataError(f"there is no folder {path}; expected the folder of a data set{or_name}")
    try:
        inner = [child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")]
        for root in [path, *inner[: len(inner) == 1]]:
            for name in LAYOUTS if layout == "auto" else (layout,):
                if LAYOUTS[name].fits(root) and _holds(root, name):
                    return root, name
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; change its permissions") from error
    described = "images in it or in images/" if layout == "auto" else LAYOUTS[layout].title
    raise DataError(f"{path} holds no data set; expected {described}")


def _holds(root: Path, layout: str) -> bool:
    if layout == "coco":
        return bool(find_coco_files(root))
    if layout == "box-lists" and not is_box_list(root):
        return False
    names = LAYOUTS[layout].names
    entries = _entries(root, layout)
    return bool(entries) and (names is None or all(re.fullmatch(names, entry.id) for entry in entries))


def _entries(root: Path, layout: str) -> list[Entry]:
    if layout == "coco":
        return coco_entries(root)
    if layout in _OF_SEQUENCES:
        return _OF_SEQUENCES[layout](root)
    return folder_entries(root, LAYOUTS[layout])


def open_split(reader: Reader, split: str) -> Reader:
    """One split of a whole set (see :func:`open_dataset` for what ``split`` may be, and for errors)."""
    if split.endswith(".txt"):
        return reader.select(reader.names_in(read_split_list(Path(split))), split)
    inside = [
        entry_id
        for entry_id, section in zip(reader.ids, reader.sections, strict=True)
        if split in section.split("/") or split in map(split_role, section.split("/"))
    ]
    if inside:
        return reader.select(inside, split)
    lists = find_split_lists(reader.root)
    if not lists:
        raise UsageError(
            f"{reader.root} has no split lists, so that there is no split {split!r}; "
            "leave the split out, or make lists with 'infraspot data split'"
        )
    return reader.select(reader.names_in(names_of_split(lists, split)), split)


def _read(entry: Entry, layout: Layout, max_pixels: int) -> Sample:
    page = count_pages(entry.image) if entry.page == LAST_PAGE else entry.page
    frame = read_image(entry.image, page, max_pixels=max_pixels)
    height, width = frame.image.shape
    mask = _layer(entry.mask, entry, (height, width), max_pixels)
    sky = _layer(entry.sky, entry, (height, width), max_pixels)
    boxes, classes = entry.boxes, entry.classes
    if isinstance(boxes, Path):
        boxes, classes = read_targets(boxes, layout.box_format, (height, width))
    if layout.boxes_from_masks and mask is not None:
        boxes, classes = find_components(mask).boxes.astype(np.float64), None
    points = read_point_lines(entry.points) if isinstance(entry.points, Path) else entry.points
    return Sample(
        entry.id,
        frame.image,
        mask=mask,
        points=points,
        boxes=boxes,
        sky=None if sky is None else sky.astype(np.uint8),
        bit_depth=frame.bit_depth,
        tracks=entry.tracks,
        classes=classes,
    )


def _layer(
    source: Path | Segments | NDArray[np.bool_] | None, entry: Entry, shape: tuple[int, int], max_pixels: int
) -> NDArray[np.bool_] | None:
    """A mask of the image's own size."""
    if source is None:
        return None
    if isinstance(source, Segments):
        return source.draw(shape)
    layer = read_mask(source, max_pixels=max_pixels) if isinstance(source, Path) else source
    if layer.shape != shape:
        raise InputError(
            f"the mask of {entry.id} is {layer.shape[1]}x{layer.shape[0]}, and its image {entry.image} is "
            f"{shape[1]}x{shape[0]}; replace one of them, or leave {entry.id} out"
        )
    return layer
