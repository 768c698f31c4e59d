"""The pixels of one click, and how the regions of several clicks become one mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.labelled_mask import Click

_RING = 4
_SURE = 3.0
"""Contrast in deviations of the surroundings at which the confidence is one half."""
_QUANTUM = 1 / 65535


@dataclass(frozen=True, eq=False)
class Region:
    """A soft mask in a window of the frame.

    ``soft`` is (h, w) float32 in [0, 1], at least 0.5 on the target; ``top`` and ``left`` place it in the
    frame.
    """

    top: int
    left: int
    soft: NDArray[np.float32]
    level: float | None = None

    @property
    def place(self) -> tuple[slice, slice]:
        """Where the window lies in the frame."""
        height, width = self.soft.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def merge_regions(
    shape: tuple[int, int], points: NDArray[np.float64], regions: Sequence[Region]
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.int32]]:
    """Union of the regions; a pixel that several claim goes to the nearest click.

    Returns
    -------
    mask, soft
        (H, W) bool and float32.
    owner
        (H, W) int32: the click a pixel of the mask belongs to, -1 elsewhere.
    """
    soft = np.zeros(shape, np.float32)
    owner = np.full(shape, -1, np.int32)
    for index, region in enumerate(regions):
        place = region.place
        np.maximum(soft[place], region.soft, out=soft[place])
        taken = owner[place]
        apart = _squared_distance(points[index], place)
        mine = region.soft >= 0.5
        for rival in np.unique(taken[mine]):
            if rival >= 0:
                mine &= (taken != rival) | (apart < _squared_distance(points[rival], place))
        taken[mine] = index
    return owner >= 0, soft, owner


def _squared_distance(point: NDArray[np.float64], place: tuple[slice, slice]) -> NDArray[np.float64]:
    """(h, w) squared distance in pixels from a click to each pixel of a window."""
    ys, xs = (np.arange(part.start, part.stop) - at for part, at in zip(place, point, strict=True))
    squared: NDArray[np.float64] = ys[:, None] ** 2 + xs**2
    return squared


def soft_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A hard mask as a soft one of zeros and ones."""
    return mask.astype(np.float32)


def standing_out(
    image: NDArray[Any], mask: NDArray[np.bool_], blocked: NDArray[np.bool_]
) -> tuple[float, float]:
    """Contrast of a mask (H, W) against a ring around it, and the confidence in [0, 1] that it is a target.

    The ring leaves out what is ``blocked``; without any ring both are 0.
    """
    grey = np.ascontiguousarray(image, np.float32)
    around, middle, spread, deviation, _ = flood.ring_statistics(grey, mask, blocked, 1, _RING)
    if around == 0:
        return 0.0, 0.0
    contrast = float(image[mask].mean()) - middle
    noise = max(spread, deviation / 2, _QUANTUM)
    ratio = abs(contrast) / noise * min(int(np.count_nonzero(mask)), 9) ** 0.5 / 3
    return contrast, ratio**2 / (ratio**2 + _SURE**2)


def record(
    image: NDArray[Any], owner: NDArray[np.int32], index: int, point: NDArray[np.float64], region: Region
) -> Click:
    """Describe what became of a click: area, contrast against a ring, and confidence."""
    rows, columns = (slice(max(part.start - _RING, 0), part.stop + _RING) for part in region.place)
    window, owners = image[rows, columns], owner[rows, columns]
    mine = owners == index
    area = int(np.count_nonzero(mine))
    y, x = float(point[0]), float(point[1])
    if area == 0:
        return Click(y, x, region.level, 0, 0.0, 0.0, 1)
    contrast, confidence = standing_out(window, mine, owners >= 0)
    return Click(y, x, region.level, area, contrast, confidence, -1 if contrast < 0 else 1)
