"""What the generator of clusters and their augmentation share: weights of a pasted target, and free places.

Source: M. Xiao, Q. Dai, Y. Zhu and others, "Background Semantics Matter: Cross-Task Feature Exchange Network
for Clustered Infrared Small Target Detection With Sky-Annotated Dataset", Eq. 2 and 3.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.core.sample import BoolArray

SHOWN_LEVEL = 25 / 255
"""Pixels of a pasted target whose weight is above this belong to its mask: what the released masks show."""
OFFSET = 0.2
SPREAD = (0.3, 0.6)
_ATTEMPTS = 8


def gaussian_weights(
    shape: tuple[int, int],
    rng: Generator,
    *,
    offset: float = OFFSET,
    spread: tuple[float, float] = SPREAD,
) -> NDArray[np.float64]:
    """(H, W) weights of Eq. 2, turned by Eq. 3 and stretched to [0, 1].

    The paper's offsets and sigmas are fractions without a unit. The released masks fit coordinates from -1 to
    1 over the patch.

    Parameters
    ----------
    shape
        Height and width of the patch in pixels.
    offset
        The largest distance of the centre from that of the patch, along x and along y, in halves of it.
    spread
        Range of sigma, in halves of the patch.
    """
    centre = -rng.uniform(0, offset, 2)
    sigma = rng.uniform(*spread, 2)
    angle = np.deg2rad(rng.integers(-90, 90))
    y, x = np.linspace(-1, 1, shape[0])[:, None] - centre[0], np.linspace(-1, 1, shape[1]) - centre[1]
    along, across = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    weights = np.exp(-((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2) / 2)
    low, high = weights.min(), weights.max()
    return np.asarray((weights - low) / (high - low)) if high > low else np.ones(shape)


def open_corners(blocked: BoolArray, shape: tuple[int, int]) -> BoolArray:
    """(H - h + 1, W - w + 1): upper left corners of the rectangles (h, w) that hold no blocked pixel.

    Empty where the frame is smaller than the rectangle.
    """
    height, width = blocked.shape
    rows, columns = shape
    if height < rows or width < columns:
        return np.zeros((0, 0), np.bool_)
    sums = np.zeros((height + 1, width + 1), np.int32)
    np.cumsum(np.cumsum(blocked, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    inside = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    return np.asarray(inside == 0)


def draw_corner(free: BoolArray, rng: Generator) -> tuple[int, int] | None:
    """One of the corners (y, x) that are True; None where there is none."""
    places = np.flatnonzero(free)
    if not len(places):
        return None
    y, x = divmod(int(places[rng.integers(len(places))]), free.shape[1])
    return y, x


def grown(mask: BoolArray, reach: int) -> BoolArray:
    """The pixels within ``reach`` rows and columns of the mask."""
    return np.asarray(ndimage.maximum_filter(mask, 2 * reach + 1)) if mask.any() else mask.copy()


def elsewhere(box: NDArray[np.int64], mask: BoolArray, rng: Generator) -> NDArray[np.int64]:
    """A box of the same size (x0, y0, x1, y1) elsewhere, clear of the mask where that is soon found."""
    width, height = int(box[2] - box[0]), int(box[3] - box[1])
    y = x = 0
    for _ in range(_ATTEMPTS):
        y = int(rng.integers(mask.shape[0] - height + 1))
        x = int(rng.integers(mask.shape[1] - width + 1))
        if not mask[y : y + height, x : x + width].any():
            break
    return np.array([x, y, x + width, y + height])


def resized_patch(crop: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.floating]:
    """A patch brought to another height and width, bilinearly, centres of pixels to centres."""
    return _taps(shape[0], crop.shape[0]) @ crop @ _taps(shape[1], crop.shape[1]).T


def _taps(side: int, length: int) -> NDArray[np.float64]:
    """(side, length): what each sample of a line takes from its two neighbours."""
    place = ((np.arange(side) + 0.5) * length / side - 0.5).clip(0, length - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(length)), 0)
