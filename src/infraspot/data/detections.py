"""Scored boxes that a detector wrote as COCO: images and annotations in one file."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data.boxes import checked_boxes
from infraspot.data.coordinates import checked_coordinates
from infraspot.data.opening import read_text
from infraspot.data.recordings import numbered


@dataclass(frozen=True, eq=False)
class StoredBoxes:
    """What was found in one image, not yet checked.

    Attributes
    ----------
    source
        The file and the image, for messages.
    notes
        The annotations of the image as the file has them.
    """

    source: str
    notes: list[dict[str, Any]]

    def read(self, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 4) boxes (x0, y0, x1, y1), half-open, and their (N,) scores.

        Parameters
        ----------
        shape
            Height and width of the frame in pixels.

        Raises
        ------
        InputError
            If a box has no area, lies outside the frame or is not four numbers; if a score is missing or not
            in [0, 1].
        """
        try:
            found = np.array([note["bbox"] for note in self.notes], np.float64).reshape(len(self.notes), 4)
            scores = np.array([float(note["score"]) for note in self.notes], np.float64)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{self.source}: expected each box as bbox [x, y, width, height] with a score, and one lacks"
                f" it (at fault: {error}); write it with `infraspot detect --format coco`"
            ) from error
        boxes = checked_coordinates(found, self.source)
        boxes = checked_boxes(
            np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), self.source
        )
        height, width = shape
        outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= (width, height)).any(axis=1)
        if outside.any():
            x0, y0, x1, y1 = boxes[int(np.argmax(outside))]
            raise InputError(
                f"{self.source}: the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) lies outside the frame of"
                f" {width}x{height}; give boxes in pixels of the frame at its own size"
            )
        wrong = ~((scores >= 0) & (scores <= 1))
        if wrong.any():
            raise InputError(f"{self.source}: a score is {scores[wrong][0]:g}; expected scores in [0, 1]")
        return boxes, scores


def read_coco_boxes(path: Path) -> dict[str, StoredBoxes]:
    """The annotations of each image of a COCO file, by the image's name without its suffix.

    Page 3 of a stack ``film.tif`` is ``film-0003``.

    Raises
    ------
    InputError
        If the file cannot be read, is not COCO with its images, or names an image twice.
    """
    try:
        found = json.loads(read_text(path))
        if isinstance(found, list):
            raise InputError(
                f"{path} is a bare list of results, which does not name the images; expected an object with"
                " images and annotations, as `infraspot detect --format coco` writes it"
            )
        notes: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for note in found["annotations"]:
            notes[note["image_id"]].append(note)
        boxes: dict[str, StoredBoxes] = {}
        for image in found["images"]:
            name = PurePosixPath(str(image["file_name"])).with_suffix("").as_posix()
            name = numbered(name, image["page"] if isinstance(image.get("page"), int) else None)
            if name in boxes:
                raise InputError(f"{path} names the image {name!r:.80} twice; export it again")
            boxes[name] = StoredBoxes(f"{path}, image {name:.80}", notes.pop(image["id"], []))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a COCO file of detections (at fault: {error}); export it again"
        ) from error
    if notes:
        raise InputError(
            f"{path}: {sum(map(len, notes.values()))} boxes belong to no image of the file (image_id"
            f" {next(iter(notes))!r:.60}); export it again"
        )
    return boxes
