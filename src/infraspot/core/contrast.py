"""How far a target stands out from its surroundings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import Components

GAP, RING = 1, 8


def signal_to_clutter(
    image: NDArray[Any], components: Components, *, gap: int = GAP, ring: int = RING, signed: bool = False
) -> NDArray[np.float64]:
    """Local signal-to-clutter ratio of each target: ``|mean(target) - mean(ring)| / std(ring)``.

    The ring is the target's box grown by ``gap + ring`` pixels, without the box grown by ``gap`` pixels (the
    target's blur reaches there) and without the pixels of other targets. Where the ring is constant, its
    deviation is taken as 1/65535 of the image's range, so that the ratio stays finite.

    Parameters
    ----------
    image
        (H, W), any linear scale.
    components
        The targets of the same frame.
    gap, ring
        Widths in pixels.
    signed
        Whether the ratio of a target that is darker than its ring is negative.

    Returns
    -------
    (N,) float64, without unit; NaN where the ring has no pixel (the target fills the frame).
    """
    floor = _least_deviation(image)
    ratios = np.full(len(components), np.nan)
    for k, box in enumerate(components.boxes):
        window, inner = _windows(box, image.shape, gap, ring)
        labels = components.labels[window]
        ratios[k] = _ratio(image[window], labels == k + 1, labels > 0, inner, floor)
    return ratios if signed else np.abs(ratios)


def box_contrasts(
    image: NDArray[Any], boxes: NDArray[np.float64], *, gap: int = GAP, ring: int = RING
) -> NDArray[np.float64]:
    """The same ratio for boxes: every pixel that a box touches counts as target.

    Parameters
    ----------
    image
        (H, W), any linear scale.
    boxes
        (N, 4) as (x0, y0, x1, y1) in pixels, half-open; they may overlap and leave the frame.

    Returns
    -------
    (N,) float64, without unit; NaN where a box lies outside the frame or its ring has no pixel.
    """
    height, width = image.shape
    corners = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1)
    corners = np.clip(corners, 0, [width, height, width, height]).astype(np.int64)
    taken = np.zeros(image.shape, np.bool_)
    for x0, y0, x1, y1 in corners:
        taken[y0:y1, x0:x1] = True
    floor = _least_deviation(image)
    ratios = np.full(len(boxes), np.nan)
    for k, box in enumerate(corners):
        window, inner = _windows(box, image.shape, gap, ring)
        x0, y0, x1, y1 = box
        if x1 > x0 and y1 > y0:
            pixels, top, left = image[window], window[0].start, window[1].start
            own = np.zeros(pixels.shape, np.bool_)
            own[y0 - top : y1 - top, x0 - left : x1 - left] = True
            ratios[k] = abs(_ratio(pixels, own, taken[window], inner, floor))
    return ratios


def _least_deviation(image: NDArray[Any]) -> float:
    return float(np.ptp(image)) / 65535 or 1.0 if image.size else 1.0


def _windows(
    box: Any, shape: tuple[int, ...], gap: int, ring: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The box grown by gap and ring, in the frame; and the box grown by the gap, in that window."""
    x0, y0, x1, y1 = (int(side) for side in box)
    top, left = max(y0 - gap - ring, 0), max(x0 - gap - ring, 0)
    window = slice(top, min(y1 + gap + ring, shape[0])), slice(left, min(x1 + gap + ring, shape[1]))
    inner = slice(max(y0 - gap - top, 0), y1 + gap - top), slice(max(x0 - gap - left, 0), x1 + gap - left)
    return window, inner


def _ratio(
    pixels: NDArray[Any],
    own: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    inner: tuple[slice, slice],
    floor: float,
) -> float:
    """The signed ratio in one window.

    ``own`` is the target, ``taken`` every target, ``inner`` the box with the gap.
    """
    around = ~taken
    around[inner] = False
    if not around.any():
        return float("nan")
    values = pixels.astype(np.float64)
    clutter = values[around]
    return float((values[own].mean() - clutter.mean()) / max(float(clutter.std()), floor))
