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

from infraspot.core.files import replacing, write_json, write_text
from infraspot.core.prediction import Prediction, Target
from infraspot.report.overlay import draw_targets

# Speed over size: the files are many and small.
PNG_LEVEL = 1


@dataclass(frozen=True, eq=False)
class Detection:
    """The targets of one frame, with what is needed to write them in any format.

    Attributes
    ----------
    name
        Of the results, below the output folder and without suffix: ``camA/0001``.
    source
        The image, below the folder that all images of the run share: ``camA/0001.png``.
    page
        Number of the page in a file of several, from 1; None in a file of one.
    image
        (H, W) float32 in [0, 1], at the contrast of a display; for the overlay only.
    bit_depth
        Bits per pixel of the stored frame.
    model, threshold
        The engine, and the least score of a target pixel.
    prediction
        What the engine says of the frame.
    targets
        What was found above the threshold, the highest score first.
    seconds
        Wall time of scoring the frame and finding its targets.
    """

    name: str
    source: str
    page: int | None
    image: NDArray[np.float32]
    bit_depth: int
    model: str
    threshold: float
    prediction: Prediction
    targets: list[Target]
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """The JSON of one frame: sizes and boxes in pixels, x to the right, y down, boxes half-open."""
        height, width = self.prediction.shape
        return {
            "image": self.source,
            **({} if self.page is None else {"page": self.page}),
            "width": width,
            "height": height,
            "bit_depth": self.bit_depth,
            "model": self.model,
            "threshold": self.threshold,
            "targets": [_target_record(number, target) for number, target in enumerate(self.targets, 1)],
        }


def _target_record(number: int, target: Target) -> dict[str, Any]:
    return {
        "id": number,
        "x": round(target.x, 2),
        "y": round(target.y, 2),
        "area": target.area,
        "score": round(target.score, 4),
        "scr": None if target.scr is None else round(target.scr, 2),
        "box": [round(side, 2) for side in target.box],
    }


def _save_png(array: NDArray[Any] | Image.Image, path: Path) -> None:
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=PNG_LEVEL)


def _write_mask(found: Detection, path: Path) -> None:
    _save_png(found.prediction.mask(found.threshold).astype(np.uint8) * 255, path)


def _write_json(found: Detection, path: Path) -> None:
    write_json(path, found.record())


def _write_overlay(found: Detection, path: Path) -> None:
    _save_png(draw_targets(found.image, found.targets), path)


def _write_prob(found: Detection, path: Path) -> None:
    scores = found.prediction.require_map("the format prob")
    _save_png((scores * 65535 + 0.5).astype(np.uint16), path)


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


def write_frame(found: Detection, folder: Path, formats: Sequence[str]) -> None:
    """Write the files of one frame in those of the formats that are of single frames."""
    for name in formats:
        if name in FRAME_FORMATS:
            FRAME_FORMATS[name].write(found, folder / f"{found.name}{FRAME_FORMATS[name].ending}")


@dataclass
class RunFiles:
    """The files of a whole run: ``detections.csv`` and ``coco.json``, from the records of its frames."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def write_csv(self, folder: Path) -> None:
        """One row a target: image, id, x, y, area, score, scr, x0, y0, x1, y1.

        In files of several pages, the image is ``FILE#PAGE``.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "id", "x", "y", "area", "score", "scr", "x0", "y0", "x1", "y1"])
        for record in self.records:
            image = record["image"] if "page" not in record else f"{record['image']}#{record['page']}"
            for target in record["targets"]:
                cells = [target[key] for key in ("id", "x", "y", "area", "score", "scr")]
                table.writerow([image, *cells, *target["box"]])
        write_text(folder / "detections.csv", text.getvalue())

    def write(self, folder: Path, formats: Sequence[str]) -> None:
        """Write those of the formats that are of whole runs."""
        for name in formats:
            if name in RUN_FORMATS:
                RUN_FORMATS[name](self, folder)

    def write_coco(self, folder: Path) -> None:
        """COCO: one category, boxes as (x, y, width, height), a score beside each annotation."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id, record in enumerate(self.records, 1):
            images.append(
                {
                    "id": image_id,
                    "file_name": record["image"],
                    **({"page": record["page"]} if "page" in record else {}),
                    "width": record["width"],
                    "height": record["height"],
                }
            )
            for target in record["targets"]:
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
