"""Mean-field inference of a fully connected two-label CRF on a small window.

Kraehenbuehl & Koltun, NeurIPS 2011. Windows are small, so that the Gaussian kernels are taken in full instead
of through the permutohedral lattice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_CERTAIN = 1e-5


@dataclass(frozen=True)
class Kernel:
    """One Gaussian: spread in pixels, and in grey values (0 to 255, three equal channels) or None."""

    spread: float
    weight: float
    grey_spread: float | None = None


def mean_field(probability: Array, grey: Array, kernels: Sequence[Kernel], steps: int) -> Array:
    """Probability of the target after ``steps`` updates, (H, W) float32.

    Parameters
    ----------
    probability
        (H, W) in [0, 1]: the unary term is its negative logarithm.
    grey
        (H, W) in [0, 255].
    kernels
        Potts-weighted Gaussians, each normalised symmetrically.
    """
    belief = np.clip(probability.ravel(), _CERTAIN, 1 - _CERTAIN).astype(np.float32)
    unary = np.log(belief / (1 - belief))
    matrix = _pairwise(grey, kernels)
    for _ in range(steps):
        belief = 1 / (1 + np.exp(-np.clip(unary + matrix @ (2 * belief - 1), -30, 30)))
    return belief.reshape(probability.shape).astype(np.float32)


def _pairwise(grey: Array, kernels: Sequence[Kernel]) -> Array:
    height, width = grey.shape
    ys, xs = np.divmod(np.arange(height * width), width)
    squared = ((ys[:, None] - ys) ** 2 + (xs[:, None] - xs) ** 2).astype(np.float32)
    values = grey.ravel().astype(np.float32)
    total = np.zeros_like(squared)
    for kernel in kernels:
        exponent = squared / np.float32(-2 * kernel.spread**2)
        if kernel.grey_spread is not None:
            exponent -= (values[:, None] - values) ** 2 * np.float32(1.5 / kernel.grey_spread**2)
        weights = np.exp(exponent)
        norm = 1 / np.sqrt(weights.sum(1))
        total += np.float32(kernel.weight) * norm[:, None] * weights * norm
    return total
