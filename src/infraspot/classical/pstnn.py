"""PSTNN: partial sum of the tensor nuclear norm.

L. Zhang, Z. Peng, "Infrared small target detection based on partial sum of the tensor nuclear norm", Remote
Sensing 11(4), 2019. The patch tensor D is a background B of low tubal rank and a sparse target T; the largest
singular values of each Fourier slice are left alone, for they are surely background::

    min  |B|_PSTNN + lambda |W * T|_1   subject to   B + T = D, T >= 0            (1)
    |B|_PSTNN = sum over Fourier slices of the singular values after the first N  (2)
    prior = l_1 * (l_1 l_2) / (l_1 + l_2), scaled to [0, 1]                       (3)
    W = N / (prior * (|T| + e))                                                   (4)

with l_1 >= l_2 the eigenvalues of the structure tensor: corners and spots cost less than edges. N is
adaptive, see :func:`adaptive_rank`.

Constants, the factor N of equation (4) and a first step without weights are those of the authors' program,
in grey levels of 0 to 255. Departures: the last patch of a row is mirrored, not shifted inwards, and the
structure tensor is averaged by Gaussians in place of 3x3 squares of about the same width.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.classical.structure import structure_eigenvalues
from infraspot.core.options import require_number, require_whole

Tensor = NDArray[np.float32]

_FIRST_MU = 2e-3
_GROWTH = 1.05
_GREY_LEVELS = np.float32(255)
_WIDTH = 0.82
"""Standard deviation of a square of 3 pixels."""
_RANK_SHARE = 0.1


def pstnn(
    image: NDArray[Any],
    *,
    size: int = 40,
    step: int = 40,
    weight: float = 0.7,
    kept: int | None = None,
    faintest: float = 0.01,
    tolerance: float = 1e-3,
    steps: int = 500,
    polarity: Polarity = "bright",
) -> Response:
    """Low-rank patch tensor whose largest singular values cost nothing.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size, step
        Side of a patch and distance of neighbouring patches, pixels.
    weight
        lambda in units of 1 / sqrt(patch side * patches).
    kept
        N of equation (2); None takes the adaptive one.
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
    require_whole(1, 1000, size=size, step=step, steps=steps)
    require_number(0, 1e6, weight=weight, tolerance=tolerance)
    require_number(1e-9, 1e6, faintest=faintest)
    if kept is not None:
        require_whole(0, size, kept=kept)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = PatchGrid.over(frame, size, step)
        D = grid.split(frame) * _GREY_LEVELS
        if np.ptp(D) == 0:
            return np.zeros_like(frame)
        lam = np.float32(weight / np.sqrt(size * len(D)))
        prior = np.maximum(grid.split(corner_prior(frame)), np.float32(1e-9))
        first = adaptive_rank(D) if kept is None else kept
        target = _sparse_part(D, lam, prior, min(first, size), faintest, tolerance, steps)
        return grid.join(target / _GREY_LEVELS)

    return respond(bright, image, polarity)


def adaptive_rank(D: Tensor) -> int:
    """N: how many singular values reach a tenth of the largest when D, (N, size, size), is one matrix.

    The matrix is that of the authors' program: the pixels of all patches, column by column, cut into strips
    as long as there are patches. One row a patch, the usual unfolding, gives a larger N on smooth frames,
    which can lose a clear spot, and nearly the same figures on real ones.
    """
    strips = D.transpose(0, 2, 1).reshape(-1, len(D)).astype(np.float64)
    squares = np.linalg.eigvalsh(strips.T @ strips)
    return max(int(np.count_nonzero(squares >= _RANK_SHARE**2 * squares[-1])), 1)


def corner_prior(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: how much a pixel looks like a corner or a spot, equation (3)."""
    larger, smaller = structure_eigenvalues(frame, inner=_WIDTH, outer=_WIDTH)
    total = larger + smaller
    strength = larger * larger * smaller / np.where(total > 0, total, 1)
    low, span = strength.min(), np.ptp(strength)
    return (strength - low) / (span if span > 0 else 1)


def _sparse_part(
    D: Tensor, lam: np.float32, prior: Tensor, kept: int, faintest: float, tolerance: float, steps: int
) -> Tensor:
    mu = np.float32(_FIRST_MU)
    T, Y = np.zeros_like(D), np.zeros_like(D)
    W = np.ones_like(D)
    count = 0
    for _ in range(steps):
        B = _lower_slices(D - T - Y / mu, float(1 / mu), kept)
        T = np.maximum(D - B - Y / mu - lam * W / mu, 0)
        W = max(kept, 1) / (prior * (T + np.float32(faintest)))  # (4)
        gap = B + T - D
        Y += mu * gap
        mu *= np.float32(_GROWTH)
        before, count = count, int(np.count_nonzero(T))
        if (count == before and count) or np.linalg.norm(gap) < tolerance * np.linalg.norm(D):
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
