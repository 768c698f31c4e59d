"""PSTNN: partial sum of the tensor nuclear norm.

L. Zhang, Z. Peng, "Infrared small target detection based on partial sum of the tensor nuclear norm", Remote
Sensing 11(4), 2019. The patch tensor D is a background B of low tubal rank and a sparse target T; the largest
singular values of each Fourier slice are left alone, for they are surely background::

    min  |B|_PSTNN + lambda |W * T|_1   subject to   B + T = D                    (1)
    |B|_PSTNN = sum over Fourier slices of the singular values after the first N  (2)
    prior = l_1 * (l_1 l_2) / (l_1 + l_2), scaled to [0, 1]                       (3)
    W = 1 / (prior * (|T| / g + e))                                               (4)

with l_1 >= l_2 the eigenvalues of the structure tensor (corners and spots cost less than edges) and
g = 1/255, the grey level of the paper.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from infraspot.classical.lowrank import shrink
from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.classical.structure import structure_eigenvalues

Tensor = NDArray[np.float32]

_FIRST_MU = 5.0
_GROWTH = 1.3
_GREY_LEVELS = np.float32(255)


def pstnn(
    image: NDArray[Any],
    *,
    size: int = 40,
    step: int = 40,
    weight: float = 0.35,
    kept: int = 1,
    faintest: float = 0.01,
    tolerance: float = 1e-3,
    steps: int = 60,
    polarity: Polarity = "bright",
) -> Response:
    """The sparse part of the patch tensor under the partial sum of singular values.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size, step
        Side of a patch and distance of neighbouring patches, pixels.
    weight
        lambda in units of 1 / sqrt(larger of patch side and patches, times patch side); the paper takes 0.7.
    kept
        N of equation (2).
    faintest
        e of equation (4), grey levels of 1/255.
    tolerance, steps
        Stop when the relative error of B + T = D falls below ``tolerance``, or after ``steps``.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image``, exactly 0 on most pixels.
    """

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = PatchGrid.over(frame, size, step)
        D = grid.split(frame)
        if np.ptp(D) == 0:
            return np.zeros_like(frame)
        lam = np.float32(weight / np.sqrt(max(size, len(D)) * size))
        cost = lam / np.maximum(grid.split(corner_prior(frame)), np.float32(1e-3))
        return grid.join(_sparse_part(D, cost, kept, faintest, tolerance, steps))

    return respond(bright, image, polarity)


def corner_prior(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: how much a pixel looks like a corner or a spot, equation (3)."""
    larger, smaller = structure_eigenvalues(frame)
    total = larger + smaller
    strength = larger * larger * smaller / np.where(total > 0, total, 1)
    low, span = strength.min(), np.ptp(strength)
    return (strength - low) / (span if span > 0 else 1)


def _sparse_part(
    D: Tensor, cost: NDArray[Any], kept: int, faintest: float, tolerance: float, steps: int
) -> Tensor:
    mu = np.float32(1 / max(_FIRST_MU * float(D.std()), 1e-6))
    T, Y = np.zeros_like(D), np.zeros_like(D)
    W = cost
    count = 0
    for _ in range(steps):
        B = _lower_slices(D - T - Y / mu, float(1 / mu), kept)
        T = shrink(D - B - Y / mu, W / mu)
        W = cost / (np.abs(T) * _GREY_LEVELS + np.float32(faintest))  # (4)
        Y += mu * (B + T - D)
        mu *= np.float32(_GROWTH)
        before, count = count, int(np.count_nonzero(T))
        if (count == before and count) or np.linalg.norm(D - B - T) < tolerance * np.linalg.norm(D):
            break
    return T


def _lower_slices(X: Tensor, threshold: float, kept: int) -> Tensor:
    """Lower all but the first ``kept`` singular values of each Fourier slice along the patches.

    The Fourier transform of a real tensor is symmetric, so half of the slices are enough; their Gram matrices
    are decomposed as one batch.
    """
    slices = fft.rfft(X, axis=0)
    squares, left = np.linalg.eigh(slices @ slices.conj().swapaxes(1, 2))
    values = np.sqrt(np.maximum(squares, 1e-30))
    factor = np.maximum(1 - threshold / values, 0)
    factor[:, values.shape[1] - kept :] = 1  # eigh puts the largest last
    lowered = ((left * factor[:, None]) @ left.conj().swapaxes(1, 2)) @ slices
    return fft.irfft(lowered, n=len(X), axis=0).astype(np.float32, copy=False)
