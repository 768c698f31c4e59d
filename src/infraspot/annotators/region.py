"""The pixels of one click, and how the regions of several clicks become one mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.labelled_mask import Click
from infraspot.core.compiled import compiled

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
        _claim(soft, owner, points, index, region.soft, region.top, region.left)
    return owner >= 0, soft, owner


@compiled
def _claim(
    soft: NDArray[np.float32],
    owner: NDArray[np.int32],
    points: NDArray[np.float64],
    index: int,
    region: NDArray[np.float32],
    top: int,
    left: int,
) -> None:
    """Lay one click's region on the frame, in place."""
    for v in range(region.shape[0]):
        for u in range(region.shape[1]):
            y, x = top + v, left + u
            soft[y, x] = max(soft[y, x], region[v, u])
            if region[v, u] >= 0.5:
                rival = owner[y, x]
                mine = (y - points[index, 0]) ** 2 + (x - points[index, 1]) ** 2
                if rival < 0 or mine < (y - points[rival, 0]) ** 2 + (x - points[rival, 1]) ** 2:
                    owner[y, x] = index


def soft_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A hard mask as a soft one of zeros and ones."""
    return mask.astype(np.float32)


def standing_out(
    image: NDArray[Any], mask: NDArray[np.bool_], blocked: NDArray[np.bool_]
) -> tuple[float, float]:
    """Contrast of a mask (H, W) against a ring around it, and the confidence in [0, 1] that it is a target.

    The ring leaves out what is ``blocked``; without any ring both are 0.
    """
    around, middle, spread, deviation = flood.ring_statistics(image, mask, blocked, 1, _RING)
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
