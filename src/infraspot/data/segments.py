"""COCO segmentations: polygons and run lengths, drawn into a mask when a sample is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError


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
            If a segmentation is malformed or made for another size.
        """
        mask = np.zeros(shape, bool)
        for item in self.items:
            try:
                mask |= _runs(item, shape) if isinstance(item, dict) else _polygons(item, shape)
            except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
                raise InputError(
                    f"{self.source} holds a segmentation that cannot be drawn at "
                    f"{shape[1]}x{shape[0]} ({error}); export it again"
                ) from error
        return mask


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Uncompressed COCO run lengths: column by column, beginning with zeros."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    if len(edges) and edges[-1] == mask.size:
        counts = counts[:-1]
    return {"size": [int(side) for side in mask.shape], "counts": [int(count) for count in counts]}


def _runs(item: dict[str, Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    if tuple(item["size"]) != shape:
        raise ValueError(f"its size is {item['size']}")
    counts = item["counts"]
    lengths = np.array(_unpacked(counts) if isinstance(counts, str) else counts, np.int64)
    if (lengths.size and lengths.min() < 0) or lengths.sum() != shape[0] * shape[1]:
        raise ValueError("its run lengths do not fill the image")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(shape, order="F")


def _unpacked(text: str) -> list[int]:
    """COCO's compressed run lengths: base 32, signed, each from the fourth on relative to two before."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts


def _polygons(item: list[list[float]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside; in COCO a pixel's centre is at half a pixel."""
    from skimage.draw import polygon

    mask = np.zeros(shape, bool)
    for outline in item:
        x, y = np.asarray(outline, np.float64).reshape(-1, 2).T
        mask[polygon(y - 0.5, x - 0.5, shape)] = True
    return mask
