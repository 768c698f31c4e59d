"""COCO segmentations: polygons and run lengths, drawn into a mask when a sample is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data.coordinates import MAX_COORDINATE

Spans = NDArray[np.int64]
"""(N, 2) first and last-but-one places of runs of pixels in a flattened image."""

_DIGITS = 7  # of 5 bits each: enough for any run of an image, few enough that a number stays small
_MOST_CROSSINGS = 10_000_000


@dataclass(frozen=True, eq=False)
class Segments:
    """The segmentations of one image, as they stand in the JSON file."""

    source: str
    items: tuple[Any, ...]

    def draw(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The (H, W) bool union of all segmentations.

        Raises
        ------
        InputError
            If a segmentation is malformed, made for another size, or has outlines of too many corners.
        """
        columns: list[Spans] = []
        rows: list[Spans] = []
        crossings = 0
        try:
            for item in self.items:
                if isinstance(item, dict):
                    columns.append(_run_spans(item, shape))
                    continue
                for outline in item:
                    rows.append(_polygon_spans(outline, shape, _MOST_CROSSINGS - crossings))
                    crossings += 2 * len(rows[-1])
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise InputError(
                f"{self.source} holds a segmentation that cannot be drawn at "
                f"{shape[1]}x{shape[0]} ({error}); export it again"
            ) from error
        size = shape[0] * shape[1]
        return _filled(rows, size).reshape(shape) | _filled(columns, size).reshape(shape, order="F")


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Uncompressed COCO run lengths: column by column, beginning with zeros."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    if len(edges) and edges[-1] == mask.size:
        counts = counts[:-1]
    return {"size": [int(side) for side in mask.shape], "counts": [int(count) for count in counts]}


def _filled(parts: list[Spans], size: int) -> NDArray[np.bool_]:
    """A flat image of ``size`` pixels, True on the union of the spans."""
    spans = np.concatenate([np.empty((0, 2), np.int64), *parts])
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    fresh = np.ones(len(spans), bool)  # begins beyond all spans before it
    fresh[1:] = spans[1:, 0] > reach[:-1]
    firsts = np.flatnonzero(fresh)
    lasts = np.append(firsts[1:], len(spans))[: len(firsts)] - 1
    edges = np.stack([spans[firsts, 0], reach[lasts]], axis=1).ravel()
    lengths = np.diff(edges, prepend=0, append=size)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def _run_spans(item: dict[str, Any], shape: tuple[int, int]) -> Spans:
    """Column by column; each run is bounded before any are added, as their sum may wrap."""
    if tuple(item["size"]) != shape:
        raise ValueError(f"its size is {item['size']}")
    size = shape[0] * shape[1]
    counts = item["counts"]
    runs = np.asarray(_unpacked(counts, size) if isinstance(counts, str) else counts)
    if runs.ndim != 1 or runs.dtype.kind not in "iu":
        raise ValueError("its run lengths are not a list of whole numbers")
    if not len(runs) or len(runs) > 2 * size or runs.min() < 0 or runs.max() > size or runs.sum() != size:
        raise ValueError("its run lengths do not fill the image")
    ends = np.cumsum(runs, dtype=np.int64)
    return np.stack([ends[: len(ends) // 2 * 2 : 2], ends[1::2]], axis=1)


def _unpacked(text: str, most: int) -> list[int]:
    """COCO's compressed run lengths: base 32, signed, each from the fourth on relative to two before."""
    counts: list[int] = []
    value = digits = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or digits == _DIGITS:
            raise ValueError("its compressed run lengths are damaged")
        value |= (digit & 31) << 5 * digits
        digits += 1
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << 5 * digits
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        if not 0 <= counts[-1] <= most:
            raise ValueError("a run length is negative or longer than the image")
        value = digits = 0
    if digits:
        raise ValueError("its compressed run lengths end within a number")
    return counts


def _polygon_spans(outline: list[float], shape: tuple[int, int], most: int) -> Spans:
    """Row by row, the pixels whose centres lie inside by the even-odd rule; a centre is at half a pixel."""
    height, width = shape
    corners = np.asarray(outline, np.float64).reshape(-1, 2)
    if not (np.abs(corners) <= MAX_COORDINATE).all():
        raise ValueError("a corner lies in no image")
    x0, y0 = corners.T
    x1, y1 = np.roll(corners, -1, axis=0).T
    # Rows whose centre lies in [lower end, upper end) of each edge: a corner then counts once.
    top = np.ceil(np.minimum(y0, y1) - 0.5).clip(0, height).astype(np.int64)
    bottom = np.ceil(np.maximum(y0, y1) - 0.5).clip(0, height).astype(np.int64)
    tall = bottom - top
    if tall.sum() > most:
        raise ValueError("its outlines have too many corners")
    edge = np.repeat(np.arange(len(tall)), tall)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(tall) - tall, tall) + top[edge]
    slope = (row + 0.5 - y0[edge]) / (y1 - y0)[edge]
    column = np.ceil(x0[edge] + slope * (x1 - x0)[edge] - 0.5).clip(0, width).astype(np.int64)
    places = np.sort(row * (width + 1) + column).reshape(
        -1, 2
    )  # every row is crossed an even number of times
    return places - places // (width + 1)
