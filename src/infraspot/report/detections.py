"""Detections as files: JSON, mask, overlay and score map of each frame; CSV and COCO of a whole run."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infraspot.core.errors import UsageError
from infraspot.core.files import check_writable, replacing, write_json, write_text
from infraspot.report.detection import Detection

# Speed over size: the files are many and small.
PNG_LEVEL = 1


def _save_png(array: NDArray[Any] | Image.Image, path: Path) -> None:
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=PNG_LEVEL)


def _write_mask(found: Detection, path: Path) -> None:
    _save_png(found.mask.astype(np.uint8) * 255, path)


def _write_json(found: Detection, path: Path) -> None:
    write_json(path, found.record())


def _write_overlay(found: Detection, path: Path) -> None:
    _save_png(found.overlay(), path)


def _write_prob(found: Detection, path: Path) -> None:
    scores = found.prediction.require_map("the format prob")
    _save_png((scores * 65535 + 0.5).astype(np.uint16), path)


def _write_csv(found: Detection, path: Path) -> None:
    write_text(path, _as_csv([found.record()]))


@dataclass(frozen=True)
class FrameFormat:
    """A file for each frame: what its name ends in, how it is written, and whether it needs a score map."""

    ending: str
    write: Callable[[Detection, Path], None]
    needs_map: bool = False


FRAME_FORMATS: Mapping[str, FrameFormat] = {
    "json": FrameFormat(".json", _write_json),
    "mask": FrameFormat(".mask.png", _write_mask, needs_map=True),
    "overlay": FrameFormat(".overlay.png", _write_overlay),
    "prob": FrameFormat(".prob.png", _write_prob, needs_map=True),
}
_SAVED_FORMATS = (FrameFormat(".csv", _write_csv), FrameFormat(".png", _write_overlay))


def save_detection(found: Detection, path: Path) -> Path:
    """Write one frame's detection in the format that the ending of ``path`` names, and return ``path``.

    Raises
    ------
    UsageError
        If the ending is none of ``.json``, ``.csv``, ``.mask.png``, ``.prob.png`` and ``.png`` (the overlay).
    """
    name = path.name.lower()
    known = {form.ending: form for form in (*FRAME_FORMATS.values(), *_SAVED_FORMATS)}
    form = next((form for ending, form in known.items() if name.endswith(ending)), None)
    if form is None:
        raise UsageError(
            f"expected a file name that ends in {', '.join(known)}, and {path.name!r} came;"
            " `.png` alone is the overlay"
        )
    if form.needs_map:
        found.prediction.require_map(path.name)
    check_writable(path.parent)
    form.write(found, path)
    return path


def write_frame(found: Detection, folder: Path, formats: Sequence[str]) -> None:
    """Write one frame in each of the formats that have a file for every frame; others are skipped."""
    for name in formats:
        if name in FRAME_FORMATS:
            FRAME_FORMATS[name].write(found, folder / f"{found.name}{FRAME_FORMATS[name].ending}")


@dataclass
class RunFiles:
    """The files of a whole run: ``detections.csv`` and ``coco.json``, from the records of its frames."""

    records: list[dict[str, Any]] = field(default_factory=list)
    _proposed: list[list[dict[str, Any]]] = field(default_factory=list)

    def add(self, found: Detection) -> None:
        """Add the next frame."""
        self.records.append(found.record())
        self._proposed.append(found.proposed_records())

    def write_csv(self, folder: Path) -> None:
        """``detections.csv``: one row a target."""
        write_text(folder / "detections.csv", _as_csv(self.records))

    def write(self, folder: Path, formats: Sequence[str]) -> None:
        """Write the run in each of the formats that have one file for all frames; others are skipped."""
        for name in formats:
            if name in RUN_FORMATS:
                RUN_FORMATS[name](self, folder)

    def write_coco(self, folder: Path) -> None:
        """COCO: one category, boxes as (x, y, width, height), a score beside each annotation.

        A detector of boxes also lists its targets below the threshold, down to a score of 0.01, since average
        precision needs them.
        """
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id, (record, proposed) in enumerate(zip(self.records, self._proposed, strict=True), 1):
            images.append(
                {
                    "id": image_id,
                    "file_name": record["image"],
                    **({"page": record["page"]} if "page" in record else {}),
                    "width": record["width"],
                    "height": record["height"],
                }
            )
            for target in proposed:
                x0, y0, x1, y1 = target["box"]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": 1,
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": target["area"],
                        "iscrowd": 0,
                        "score": target["score"],
                    }
                )
        categories = [{"id": 1, "name": "target"}]
        write_json(
            folder / "coco.json", {"images": images, "annotations": annotations, "categories": categories}
        )


RUN_FORMATS: Mapping[str, Callable[[RunFiles, Path], None]] = {
    "csv": RunFiles.write_csv,
    "coco": RunFiles.write_coco,
}


def _as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """One row a target: image, id, x, y, area, score, scr, x0, y0, x1, y1.

    In files of several pages, the image is ``FILE#PAGE``.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "id", "x", "y", "area", "score", "scr", "x0", "y0", "x1", "y1"])
    for record in records:
        image = record["image"] if "page" not in record else f"{record['image']}#{record['page']}"
        for target in record["targets"]:
            cells = [target[key] for key in ("id", "x", "y", "area", "score", "scr")]
            table.writerow([image, *cells, *target["box"]])
    return text.getvalue()
