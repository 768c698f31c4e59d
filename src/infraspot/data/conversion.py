"""Merging data sets, and writing them in another form."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.core.files import write_json, write_text
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data.boxes import voc_text, yolo_text
from infraspot.data.clicks import filled_boxes, sample_boxes, sample_points
from infraspot.data.entries import refuse_repeats
from infraspot.data.points import write_points
from infraspot.data.reader import Reader
from infraspot.data.segments import run_lengths
from infraspot.data.splits import split_text
from infraspot.data.store import empty_folder, write_dataset
from infraspot.data.writing import write_grey, write_mask

Splits = Mapping[str, Sequence[str]]
ROLES = ("train", "val", "test", "trainval")


@dataclass(frozen=True)
class Order:
    """How points are made where a form has them (see :func:`infraspot.data.clicks.sample_points`)."""

    points: str = "centroid"
    seed: int = 0


def merged(readers: Sequence[Reader]) -> list[tuple[Reader, int, str]]:
    """Every image of several sets: its reader, its index, and an id that is unique among them all.

    An id that several sets use gets the name of its set in front, in each of them.

    Raises
    ------
    DataError
        If an id with a set's name in front is again that of another image.
    """
    sources = _distinct([reader.name for reader in readers])
    uses = Counter(name for reader in readers for name in reader.ids)
    rows = [
        (reader, index, f"{source}_{name}" if uses[name] > 1 else name)
        for reader, source in zip(readers, sources, strict=True)
        for index, name in enumerate(reader.ids)
    ]
    refuse_repeats((name for _, _, name in rows), "the merged set")
    return rows


def merge_splits(readers: Sequence[Reader], open_split: Callable[[Reader, str], Reader | None]) -> Splits:
    """The splits of several sets together: for each role that every one of them has, all its images."""
    fresh = {(id(reader), reader.ids[index]): name for reader, index, name in merged(readers)}
    splits = {}
    for role in ROLES:
        parts = [open_split(reader, role) for reader in readers]
        if all(parts):
            pairs = zip(readers, parts, strict=True)
            splits[role] = [fresh[id(reader), name] for reader, part in pairs if part for name in part.ids]
    return splits


def to_nuaa(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``images/``, ``masks/``, ``splits/``, ``points.json`` (see :func:`infraspot.data.write_dataset`)."""
    pointed = (sample.replace(points=sample_points(sample, order.points, order.seed)) for sample in samples)
    write_dataset(folder, pointed, splits=splits)


def to_masks(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``ID.png`` with 0 and 255; boxes without masks are filled."""
    for sample in samples:
        write_mask(folder / f"{sample.id}.png", _mask(sample))


def to_points(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``points.json``: ``{id: [[x, y], ...]}`` of the images that are annotated."""
    found = {sample.id: sample_points(sample, order.points, order.seed) for sample in samples}
    write_points(folder / "points.json", _annotated(found))


def to_boxes(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``boxes.json``: ``{id: [[x0, y0, x1, y1], ...]}``, half-open, of the images that are annotated."""
    found = _annotated({sample.id: sample_boxes(sample) for sample in samples})
    write_json(folder / "boxes.json", {name: boxes.tolist() for name, boxes in found.items()})


def to_voc(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``JPEGImages/ID.png``, ``Annotations/ID.xml``, ``ImageSets/Main/*.txt``."""
    written = set()
    for sample in samples:
        text = voc_text(f"{sample.id}.png", sample.shape, _boxes(sample))
        _write_image(folder / "JPEGImages", sample)
        write_text(folder / "Annotations" / f"{sample.id}.xml", text)
        written.add(sample.id)
    for name, ids in splits.items():
        text = split_text(image for image in ids if image in written)
        write_text(folder / "ImageSets" / "Main" / f"{name}.txt", text)


def to_yolo(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``images/ID.png``, ``labels/ID.txt``, lists of images, and ``data.yaml`` that names them."""
    written = set()
    for sample in samples:
        text = yolo_text(sample.shape, _boxes(sample))
        _write_image(folder / "images", sample)
        write_text(folder / "labels" / f"{sample.id}.txt", text)
        written.add(sample.id)
    lines = ["path: .", "names: {0: target}"]
    for name, ids in splits.items():
        write_text(
            folder / f"{name}.txt", "".join(f"./images/{image}.png\n" for image in ids if image in written)
        )
        lines.append(f"{name}: {name}.txt")
    if not splits:
        lines += ["train: images", "val: images"]
    write_text(folder / "data.yaml", "\n".join(lines) + "\n")


def to_coco(samples: Iterable[Sample], folder: Path, splits: Splits, order: Order) -> None:
    """``images/ID.png`` and ``annotations/instances_NAME.json``: boxes, and masks as exact run lengths."""
    records = {}
    for sample in samples:
        records[sample.id] = (sample.shape, list(_coco_notes(sample)))
        _write_image(folder / "images", sample)
    disjoint = {name: ids for name, ids in splits.items() if name != "trainval"}
    for name, ids in (disjoint or {"all": list(records)}).items():
        write_json(folder / "annotations" / f"instances_{name}.json", _coco_file(records, ids))


FORMS: Mapping[str, Callable[[Iterable[Sample], Path, Splits, Order], None]] = {
    "nuaa": to_nuaa,
    "masks": to_masks,
    "points": to_points,
    "boxes": to_boxes,
    "voc": to_voc,
    "yolo": to_yolo,
    "coco": to_coco,
}


def convert(
    samples: Iterable[Sample], form: str, folder: Path, *, splits: Splits, order: Order = Order()
) -> None:
    """Write samples in one of :data:`FORMS` into a new folder.

    Raises
    ------
    DataError
        If the folder already holds files or cannot be written to.
    InputError
        If a sample has no annotation from which the form could be made.
    """
    empty_folder(folder)
    FORMS[form](samples, folder, splits, order)


def _annotated(found: Mapping[str, NDArray[np.float64] | None]) -> dict[str, NDArray[np.float64]]:
    """What is known; an InputError if that is nothing at all."""
    known = {name: values for name, values in found.items() if values is not None}
    if not known:
        raise InputError(
            "no image of the set is annotated for that form; annotate them with 'infraspot annotate'"
        )
    return known


def _mask(sample: Sample) -> NDArray[np.bool_]:
    if sample.mask is not None:
        return sample.mask
    if sample.boxes is None:
        raise InputError(
            f"{sample.id} has neither a mask nor boxes; make masks from points with 'infraspot pseudo'"
        )
    return filled_boxes(sample.boxes, sample.shape)


def _boxes(sample: Sample) -> list[list[float]]:
    boxes = sample_boxes(sample)
    if boxes is None:
        raise InputError(f"{sample.id} has neither a mask nor boxes; leave it out or annotate it")
    return [[float(side) for side in box] for box in boxes]


def _write_image(folder: Path, sample: Sample) -> None:
    write_grey(folder / f"{sample.id}.png", sample.image, bits=16 if sample.bit_depth > 8 else 8)


def _coco_notes(sample: Sample) -> Iterator[dict[str, Any]]:
    parts = None if sample.mask is None else find_components(sample.mask)
    for index, (x0, y0, x1, y1) in enumerate(_boxes(sample)):
        note: dict[str, Any] = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
        if parts is not None:
            note |= {"area": int(parts.areas[index]), "segmentation": run_lengths(parts.labels == index + 1)}
        yield note


def _coco_file(
    records: Mapping[str, tuple[tuple[int, int], list[dict[str, Any]]]], ids: Sequence[str]
) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for number, name in enumerate((name for name in ids if name in records), start=1):
        (height, width), found = records[name]
        images.append({"id": number, "file_name": f"{name}.png", "width": width, "height": height})
        for note in found:
            notes.append({"id": len(notes) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, **note})
    return {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "target"}]}


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of sets, numbered where folders are called alike."""
    counts = Counter(names)
    return [f"{name}{index + 1}" if counts[name] > 1 else name for index, name in enumerate(names)]
