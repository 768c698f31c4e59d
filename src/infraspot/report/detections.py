"""Detections as files: JSON, mask, overlay and score map of each frame; CSV and COCO of a whole run."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infraspot.core.files import replacing, write_json, write_text
from infraspot.core.prediction import Target
from infraspot.report.overlay import draw_targets

# Speed over size: the files are many and small.
PNG_LEVEL = 1


@dataclass(frozen=True, eq=False)
class Detection:
    """The targets of one frame, with what is needed to write them in any format.

    ``score_map`` is (H, W) float32 in [0, 1]; ``image`` (H, W) float32 in [0, 1] is for the overlay only;
    ``seconds`` is the wall time of scoring the frame and finding its targets.
    """

    stem: str
    source: str
    image: NDArray[np.float32]
    bit_depth: int
    model: str
    threshold: float
    score_map: NDArray[np.float32]
    targets: list[Target]
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """The JSON of one frame: sizes and boxes in pixels, x to the right, y down, boxes half-open."""
        height, width = self.score_map.shape
        return {
            "image": self.source,
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
        "box": list(target.box),
    }


def _save_png(array: NDArray[Any] | Image.Image, path: Path) -> None:
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=PNG_LEVEL)


def _write_mask(found: Detection, folder: Path) -> None:
    mask = (found.score_map > found.threshold).astype(np.uint8) * 255
    _save_png(mask, folder / f"{found.stem}.mask.png")


def _write_json(found: Detection, folder: Path) -> None:
    write_json(folder / f"{found.stem}.json", found.record())


def _write_overlay(found: Detection, folder: Path) -> None:
    _save_png(draw_targets(found.image, found.targets), folder / f"{found.stem}.overlay.png")


def _write_prob(found: Detection, folder: Path) -> None:
    scores = (found.score_map * 65535 + 0.5).astype(np.uint16)
    _save_png(scores, folder / f"{found.stem}.prob.png")


FRAME_FORMATS: Mapping[str, Callable[[Detection, Path], None]] = {
    "json": _write_json,
    "mask": _write_mask,
    "overlay": _write_overlay,
    "prob": _write_prob,
}


@dataclass
class RunFiles:
    """The files of a whole run: ``detections.csv`` and ``coco.json``, from the records of its frames."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def write_csv(self, folder: Path) -> None:
        """One row a target: image, id, x, y, area, score, scr, x0, y0, x1, y1."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "id", "x", "y", "area", "score", "scr", "x0", "y0", "x1", "y1"])
        for record in self.records:
            for target in record["targets"]:
                cells = [target[key] for key in ("id", "x", "y", "area", "score", "scr")]
                table.writerow([record["image"], *cells, *target["box"]])
        write_text(folder / "detections.csv", text.getvalue())

    def write_coco(self, folder: Path) -> None:
        """COCO: one category, boxes as (x, y, width, height), a score beside each annotation."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id, record in enumerate(self.records, 1):
            images.append(
                {
                    "id": image_id,
                    "file_name": record["image"],
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
