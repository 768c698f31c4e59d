"""Eigenvalues of the local structure tensor: which pixels lie on an edge, which at a corner or a spot."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def structure_eigenvalues(
    frame: NDArray[np.float32], *, inner: float = 1.0, outer: float = 2.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Larger and smaller eigenvalue of the smoothed outer product of the gradient.

    Both are small where the frame is flat, one is large on an edge, both are large at a corner or a spot.

    Parameters
    ----------
    frame
        (H, W) float32.
    inner, outer
        Scales of the gradient and of the averaging, pixels.

    Returns
    -------
    Two arrays (H, W) float32 >= 0, squared grey levels per squared pixel.
    """
    dy = ndimage.gaussian_filter(frame, inner, order=(1, 0), mode="nearest")
    dx = ndimage.gaussian_filter(frame, inner, order=(0, 1), mode="nearest")
    yy, xx, xy = (
        ndimage.gaussian_filter(product, outer, mode="nearest") for product in (dy * dy, dx * dx, dx * dy)
    )
    middle = (yy + xx) / 2
    spread = np.hypot((yy - xx) / 2, xy)
    return middle + spread, np.maximum(middle - spread, 0)
