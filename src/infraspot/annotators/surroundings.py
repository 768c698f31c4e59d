"""What surrounds one click: polarity, peak, background, noise, and the nested components between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood

HALF_WINDOW = 18
LEVELS = np.arange(0.90, 0.03, -0.02).astype(np.float32)
"""Candidate levels, falling: 0 is the background, 1 the peak."""

_CLIMB = 4
"""Pixels that a click may lie beside the brightest pixel of its target."""
_DARK_LEAD = 2.0
"""A target is dark where it falls this much further below its surroundings than it rises above them."""
_RING = (3, 6)
"""Pixels outside a first mask where the background is measured."""
_RING_LEVEL = 0.33
_FEWEST = 8
_QUANTUM = 1 / 65535


@dataclass(frozen=True, eq=False)
class Surroundings:
    """One click with its window.

    Attributes
    ----------
    top, left
        Place of the window in the frame.
    reach
        (h, w) float32: the level (0 background, 1 peak) down to which a pixel stays connected to the peak.
    window
        (h, w) float32: grey values on the same scale.
    click, peak
        (y, x) in the window.
    polarity
        1 bright, -1 dark.
    background, contrast, noise
        Grey values in [0, 1] times polarity: median of the ring; peak less background; deviation of the ring
        without its outliers.
    table
        (L, 11) of :func:`infraspot.annotators.flood.describe` at :data:`LEVELS`, grey values on the scale of
        ``reach``.
    """

    top: int
    left: int
    reach: NDArray[np.float32]
    window: NDArray[np.float32]
    click: tuple[int, int]
    peak: tuple[int, int]
    polarity: int
    background: float
    contrast: float
    noise: float
    table: NDArray[np.float64]

    def component(self, level: float) -> NDArray[np.bool_]:
        """(h, w) bool: the seeded component at a level."""
        return self.reach >= level


def look_around(image: NDArray[np.float32], y: int, x: int) -> Surroundings:
    """Measure the surroundings of a click at a pixel of a frame (H, W) float32 in [0, 1]."""
    height, width = image.shape
    top, left = max(y - HALF_WINDOW, 0), max(x - HALF_WINDOW, 0)
    bottom, right = min(y + HALF_WINDOW + 1, height), min(x + HALF_WINDOW + 1, width)
    crop = image[top:bottom, left:right]
    middle = flood.median(crop)
    polarity, peak = _find_peak(crop, (y - top, x - left), middle)
    crop = np.ascontiguousarray(crop * np.float32(polarity))
    reach, order = flood.flood(crop, *peak)
    height_of_peak = float(crop[peak])
    background, noise = _background(crop, reach, height_of_peak, polarity * middle)
    contrast = max(height_of_peak - background, _QUANTUM)
    rim = np.zeros(crop.shape, np.bool_)
    rim[0], rim[-1] = top > 0, bottom < height
    rim[:, 0] |= left > 0
    rim[:, -1] |= right < width
    scaled = ((crop - background) / contrast).astype(np.float32)
    scaled_reach = ((reach - background) / contrast).astype(np.float32)
    table = flood.describe(scaled, flood.slope(scaled), scaled_reach, order, rim, LEVELS)
    click = (y - top, x - left)
    return Surroundings(
        top, left, scaled_reach, scaled, click, peak, polarity, background, contrast, noise, table
    )


def _find_peak(crop: NDArray[Any], click: tuple[int, int], middle: float) -> tuple[int, tuple[int, int]]:
    """Polarity of the target, and the extreme that a climb from the click reaches."""
    top, bottom = _climb(crop, click), _climb(-crop, click)
    rise, fall = float(crop[top]) - middle, middle - float(crop[bottom])
    if fall > max(_DARK_LEAD * rise, _QUANTUM):
        return -1, bottom
    return 1, top


def _climb(crop: NDArray[Any], start: tuple[int, int]) -> tuple[int, int]:
    """Steepest ascent in 3x3 steps, at most ``_CLIMB`` of them."""
    y, x = start
    for _ in range(_CLIMB):
        top, left = max(y - 1, 0), max(x - 1, 0)
        block = crop[top : y + 2, left : x + 2]
        best = int(block.argmax())
        v, u = top + best // block.shape[1], left + best % block.shape[1]
        if crop[v, u] <= crop[y, x]:
            break
        y, x = v, u
    return y, x


def _background(
    crop: NDArray[np.float32], reach: NDArray[np.float32], peak: float, middle: float
) -> tuple[float, float]:
    """Median and deviation of the ring around the first mask; of the whole window where there is no ring."""
    background, noise = middle, -1.0
    nothing = np.zeros(crop.shape, np.bool_)
    for _ in range(2):
        first = reach >= np.float32(background + _RING_LEVEL * (peak - background))
        count, median, _, _, deviation = flood.ring_statistics(crop, first, nothing, *_RING)
        if count < _FEWEST or median >= peak:
            break
        background, noise = median, deviation
    if noise < 0:
        noise = 1.4826 * flood.median(np.abs(crop - np.float32(background)))
    return background, noise
