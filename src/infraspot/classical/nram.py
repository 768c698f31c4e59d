"""NRAM: non-convex rank approximation minimisation.

L. Zhang, L. Peng, T. Zhang, S. Cao, Z. Peng, "Infrared small target detection via non-convex rank
approximation minimization joint l2,1 norm", Remote Sensing 10(11), 2018. The patch image D of IPI splits into
a background B, a target T and strong edges E, which fill few columns::

    min  |B|_g + lambda |W * T|_1 + beta |E|_2,1   subject to   B + T + E = D      (1)
    |B|_g = sum over singular values s of (1 + g) s / (g + s)                      (2)
    W = C / (|T| + e)                                                              (3)

|B|_g is nearly the rank: large singular values cost the same as middling ones. The step for B repeats a
weighted threshold (a difference of convex functions)::

    s <- max(s_0 - (1 + g) g / ((g + s)^2 mu), 0)                                  (4)

with the s of the step before as the start. Constants and the stop rule are those of the authors' program,
which stretches the patches to [0, 1].
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.lowrank import Matrix, shrink
from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.options import require_number, require_whole

_GAMMA = 2e-3
_FIRST_MU = 3.0
_GROWTH = 1.1
_FAINTEST = 0.04
_WEIGHT_SHARE = 2.5
_EDGES = 3.0
_ROUNDS = 100
_SETTLED = 1e-6


def nram(
    image: NDArray[Any],
    *,
    size: int = 50,
    step: int = 10,
    weight: float = 1.0,
    tolerance: float = 1e-7,
    steps: int = 200,
    polarity: Polarity = "bright",
) -> Response:
    """Low-rank patches by a surrogate of the rank, strong edges apart.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size, step
        Side of a patch and distance of neighbouring patches, pixels.
    weight
        lambda in units of 1 / sqrt(min(patch pixels, patches)).
    tolerance, steps
        Stop when the relative error of B + T + E = D falls below ``tolerance``, or after ``steps``.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image``, exactly 0 on most pixels.
    """
    require_whole(1, 1000, size=size, step=step, steps=steps)
    require_number(0, 1e6, weight=weight, tolerance=tolerance)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = PatchGrid.over(frame, size, step)
        columns = np.ascontiguousarray(grid.split(frame).reshape(-1, size * size).T)
        low, span = columns.min(), np.ptp(columns)
        if span == 0:
            return np.zeros_like(frame)
        target = span * _sparse_part((columns - low) / span, weight, tolerance, steps)
        return grid.join(target.T.reshape(-1, size, size))

    return respond(bright, image, polarity)


def _sparse_part(D: Matrix, weight: float, tolerance: float, steps: int) -> Matrix:
    short = np.sqrt(min(D.shape))
    mu = _FIRST_MU * np.sqrt(max(D.shape))
    T, E, Y = np.zeros_like(D), np.zeros_like(D), np.zeros_like(D)
    values = np.zeros(min(D.shape))
    for _ in range(steps):
        shifted = D - Y / np.float32(mu)
        B, values = lower_by_surrogate(shifted - T - E, mu, values)
        rest = shifted - B - E
        W = np.float32(short / _WEIGHT_SHARE) / (np.abs(rest) + np.float32(_FAINTEST))  # (3)
        T = np.maximum(shrink(rest, weight / short * W / mu), 0)
        E = shrink_columns(shifted - B - T, _EDGES / short / mu)
        gap = B + T + E - D
        Y += np.float32(mu) * gap
        mu *= _GROWTH
        if np.linalg.norm(gap) < tolerance * np.linalg.norm(D):
            break
    return T


def lower_by_surrogate(
    matrix: Matrix, mu: float, start: NDArray[np.float64]
) -> tuple[Matrix, NDArray[np.float64]]:
    """The matrix with its singular values after equation (4), and those values, largest first."""
    if matrix.shape[0] < matrix.shape[1]:
        lowered, values = lower_by_surrogate(matrix.T, mu, start)
        return lowered.T, values
    exact = matrix.astype(np.float64)
    squares, right = np.linalg.eigh(exact.T @ exact)
    before = np.sqrt(np.maximum(squares[::-1], 0))
    values = start
    for _ in range(_ROUNDS):
        last, values = values, np.maximum(before - (1 + _GAMMA) * _GAMMA / (_GAMMA + values) ** 2 / mu, 0)
        if np.sum((values - last) ** 2) < _SETTLED:
            break
    rank = int(np.count_nonzero(values))
    kept = right[:, ::-1][:, :rank]
    factor = ((kept * (values[:rank] / np.maximum(before[:rank], 1e-15))) @ kept.T).astype(np.float32)
    return matrix @ factor, values


def shrink_columns(matrix: Matrix, threshold: float) -> Matrix:
    """Each column towards 0 by ``threshold`` of its length, and no further."""
    lengths = np.linalg.norm(matrix, axis=0)
    kept = np.maximum(1 - threshold / np.maximum(lengths, 1e-12), 0)
    shrunk: Matrix = matrix * kept.astype(np.float32)
    return shrunk
