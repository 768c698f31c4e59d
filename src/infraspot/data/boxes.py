"""Box files, one per image: VOC, YOLO and lines of corner and size; in memory xyxy, half-open, in pixels."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape  # that of xml.sax loads the network modules
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data.coordinates import checked_coordinates
from infraspot.data.opening import read_text

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class BoxFormat:
    """How a box file counts.

    Attributes
    ----------
    kind
        ``"voc"``: corners in XML; ``"yolo"``: class, centre, size in fractions of the image; ``"xywh"``:
        corner and size in pixels.
    shift
        Added to the first corner of VOC and to the centre of YOLO boxes. VOC counts pixels from one and
        includes the last, so its shift is -1. YOLO has 0, or 0.5 where centres are whole on a pixel's middle.
    """

    kind: str
    shift: float = 0.0


VOC = BoxFormat("voc", -1.0)
YOLO = BoxFormat("yolo")


def read_boxes(path: Path, form: BoxFormat, shape: tuple[int, int]) -> Boxes:
    """The (N, 4) boxes (x0, y0, x1, y1) in one file (see :func:`read_targets`)."""
    return read_targets(path, form, shape)[0]


def read_targets(
    path: Path, form: BoxFormat, shape: tuple[int, int]
) -> tuple[Boxes, NDArray[np.int64] | None]:
    """The (N, 4) boxes (x0, y0, x1, y1) in one file, and their (N,) classes.

    Only YOLO numbers its classes; with the other formats they are None.

    Parameters
    ----------
    shape
        Height and width of the image.

    Raises
    ------
    InputError
        If the file is absent or not of the format, or holds a box that is not finite or has no area.
    """
    text = read_text(path)
    if form.kind == "voc":
        boxes = _numbers(path, _voc_rows(path, text), 4)
        boxes[:, :2] += form.shift
        return checked_boxes(boxes, str(path)), None
    rows = [line.strip("[] \t").replace(",", " ").split() for line in text.split("\n") if line.strip()]
    classes = None
    if form.kind == "yolo":
        _refuse_outlines(path, rows)
        height, width = shape
        numbers = _numbers(path, rows, 5)
        boxes, classes = numbers[:, 1:] * (width, height, width, height), numbers[:, 0].astype(np.int64)
        boxes[:, :2] += form.shift - boxes[:, 2:] / 2
    else:
        boxes = _numbers(path, rows, 4)
    boxes[:, 2:] += boxes[:, :2]
    return checked_boxes(boxes, str(path)), classes


def checked_boxes(boxes: Boxes, source: str) -> Boxes:
    """The same boxes, if each has an area; otherwise an InputError that names the first that has none."""
    empty = np.flatnonzero(~((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])))
    if len(empty):
        x0, y0, x1, y1 = boxes[empty[0]]
        raise InputError(
            f"{source}: box {empty[0] + 1} goes from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) and has no area; "
            "mend or remove it"
        )
    return boxes


def read_point_lines(path: Path) -> NDArray[np.float64]:
    """The (N, 2) points (y, x) in a text file with one ``x y`` a line (see :func:`read_boxes` for errors)."""
    rows = [line.replace(",", " ").split() for line in read_text(path).split("\n") if line.strip()]
    return _numbers(path, rows, 2)[:, ::-1].copy()


def voc_text(name: str, shape: tuple[int, int], boxes: Iterable[Iterable[float]]) -> str:
    """A VOC annotation: corners from one, last pixel included."""
    height, width = shape
    lines = [
        "<annotation>",
        f"  <filename>{escape(name, quote=False)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>1</depth></size>",
    ]
    for x0, y0, x1, y1 in boxes:
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1), strict=True)
        inner = "".join(f"<{tag}>{value:g}</{tag}>" for tag, value in corners)
        lines.append(
            f"  <object><name>Target</name><difficult>0</difficult><bndbox>{inner}</bndbox></object>"
        )
    return "\n".join([*lines, "</annotation>", ""])


def yolo_text(shape: tuple[int, int], boxes: Iterable[Iterable[float]]) -> str:
    """YOLO lines ``0 cx cy w h`` in fractions of the image."""
    height, width = shape
    rows = (
        (0, (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
        for x0, y0, x1, y1 in boxes
    )
    return "".join(f"{row[0]} " + " ".join(f"{value:.9g}" for value in row[1:]) + "\n" for row in rows)


def _voc_rows(path: Path, text: str) -> list[list[Any]]:
    if "<!ENTITY" in text:
        raise InputError(f"{path} defines XML entities, which annotations do not need; remove them")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{path} is not valid XML ({error}); restore it from its source") from error
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [[box.findtext(corner) for corner in corners] for box in root.iter("bndbox")]


def _refuse_outlines(path: Path, rows: list[list[str]]) -> None:
    """Class, box, and at most a score or a track; longer lines are outlines, whose corners are no box."""
    for index, row in enumerate(rows):
        if len(row) > 6:
            raise InputError(
                f"{path}: line {index + 1} has {len(row)} numbers, as an outline has; expected a class and "
                "centre, width and height of a box; export the labels as boxes"
            )


def _numbers(path: Path, rows: list[list[Any]], columns: int) -> NDArray[np.float64]:
    values = np.empty((len(rows), columns))
    for index, row in enumerate(rows):
        try:
            if len(row) < columns:
                raise ValueError("too few")
            values[index] = [float(cell) for cell in row[:columns]]
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: entry {index + 1} is {row!r:.60}; expected {columns} numbers"
            ) from error
    return checked_coordinates(values, str(path))
