"""The noise of a frame, measured on the frame itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FINEST = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Leaves out all that is smooth (Immerkaer, CVIU 1996); the deviation of white noise stays as it is."""


def noise_of(image: NDArray[np.floating[Any]]) -> float:
    """Standard deviation of the finest detail of (H, W), by its median: clutter and targets hardly count."""
    detail = ndimage.convolve(np.asarray(image, np.float32), FINEST)
    return float(np.median(np.abs(detail))) / 0.6745
