"""Label Studio's JSON: a keypoint and a rectangle a target, in percent of the image."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError

LABEL = "Target"


def label_studio_task(
    file_name: str, shape: tuple[int, int], points: NDArray[Any], boxes: NDArray[Any]
) -> dict[str, Any]:
    """One task of an import file: the targets of one image.

    Parameters
    ----------
    shape
        (H, W) pixels.
    points, boxes
        (N, 2) clicks (y, x) and (N, 4) boxes (x0, y0, x1, y1), half-open, in pixels.
    """
    height, width = shape
    results = []
    for number, ((y, x), (x0, y0, x1, y1)) in enumerate(zip(points, boxes, strict=True), 1):
        point = {"x": (x + 0.5) / width, "y": (y + 0.5) / height, "width": 1 / width}
        box = {"x": x0 / width, "y": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
        for kind, share in (("keypoint", point), ("rectangle", box)):
            value: dict[str, Any] = {key: 100 * float(part) for key, part in share.items()}
            value[f"{kind}labels"] = [LABEL]
            results.append(
                {
                    "id": f"{kind}-{number}",
                    "type": f"{kind}labels",
                    "from_name": kind,
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "value": value,
                }
            )
    return {"data": {"image": file_name}, "annotations": [{"result": results}]}


def read_label_studio(path: Path) -> dict[str, NDArray[np.float64]]:
    """The clicks (y, x) of each image in an export: its keypoints, or the centres of its rectangles.

    Raises
    ------
    InputError
        If the file is not an export of Label Studio.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
        return dict(_task_points(task) for task in tasks)
    except (
        OSError,
        UnicodeDecodeError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
    ) as error:
        raise InputError(
            f"{path}: expected a JSON export of Label Studio, and reading it failed: {error}"
        ) from error


def _task_points(task: dict[str, Any]) -> tuple[str, NDArray[np.float64]]:
    annotations = task.get("annotations") or [{"result": []}]
    found: dict[str, list[tuple[float, float]]] = {"keypointlabels": [], "rectanglelabels": []}
    for result in annotations[0]["result"]:
        if result["type"] in found:
            value = result["value"]
            is_box = result["type"] == "rectanglelabels"
            x = (value["x"] + (value["width"] / 2 if is_box else 0)) / 100 * result["original_width"]
            y = (value["y"] + (value["height"] / 2 if is_box else 0)) / 100 * result["original_height"]
            found[result["type"]].append((y - 0.5, x - 0.5))
    points = found["keypointlabels"] or found["rectanglelabels"]
    return Path(task["data"]["image"]).stem, np.array(points, np.float64).reshape(-1, 2)
