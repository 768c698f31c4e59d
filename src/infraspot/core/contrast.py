"""How far a target stands out from its surroundings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import Components


def signal_to_clutter(
    image: NDArray[Any], components: Components, *, gap: int = 1, ring: int = 8
) -> NDArray[np.float64]:
    """Local signal-to-clutter ratio of each target: ``|mean(target) - mean(ring)| / std(ring)``.

    The ring is the target's box grown by ``gap + ring`` pixels, less the box grown by ``gap`` pixels (blur
    spills there) and less every target pixel. Where the ring is constant, its deviation counts as one part
    in 65535, so that the ratio stays finite.

    Parameters
    ----------
    image
        (H, W), any linear scale.
    components
        The targets of the same frame.

    Returns
    -------
    (N,) float64, without unit; NaN where the ring has no pixel (the target fills the frame).
    """
    height, width = image.shape
    ratios = np.full(len(components), np.nan)
    floor = float(np.ptp(image)) / 65535 or 1.0 if image.size else 1.0
    for k, (x0, y0, x1, y1) in enumerate(components.boxes):
        top, left = max(y0 - gap - ring, 0), max(x0 - gap - ring, 0)
        bottom, right = min(y1 + gap + ring, height), min(x1 + gap + ring, width)
        window = image[top:bottom, left:right].astype(np.float64)
        labels = components.labels[top:bottom, left:right]
        around = labels == 0
        around[max(y0 - gap - top, 0) : y1 + gap - top, max(x0 - gap - left, 0) : x1 + gap - left] = False
        if around.any():
            clutter = window[around]
            signal = abs(window[labels == k + 1].mean() - clutter.mean())
            ratios[k] = signal / max(float(clutter.std()), floor)
    return ratios
