"""RIPT: the reweighted infrared patch tensor.

Y. Dai, Y. Wu, "Reweighted infrared patch-tensor model with both nonlocal and local priors for single-frame
small target detection", IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing
10(8), 2017. The patches stand behind each other as a tensor F of three modes (row, column, patch), which
is a background B, of low rank in each unfolding B_(i), and a sparse target T, weighted entry by entry::

    min  sum_i |B_(i)|_* + lambda |W * T|_1   subject to   B + T = F        (1)
    W_LS = exp(h (d - min d) / (max d - min d)),  d = l_1 - l_2             (2)  edges cost more
    W    = W_LS / (|T| / g + e)                                             (3)  faint entries cost more

with l_1 >= l_2 the eigenvalues of the structure tensor and g = 1/255, the grey level of the paper.
Alternating directions solve it, one copy B_i and one multiplier Y_i for each unfolding; the search ends early
when the number of target entries no longer changes.

The defaults of ``weight`` and ``edge_cost`` were tuned on SIRST-v1 train (the paper takes 1 and 10, with
which most targets of that set are lost).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.lowrank import shrink, threshold_by_gram
from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.classical.structure import structure_eigenvalues
from infraspot.core.options import require_number, require_whole

Tensor = NDArray[np.float32]

_FIRST_MU = 5.0
_GROWTH = 1.2
_GREY_LEVELS = np.float32(255)


def ript(
    image: NDArray[Any],
    *,
    size: int = 30,
    step: int = 10,
    weight: float = 0.1,
    edge_cost: float = 3.0,
    faintest: float = 0.01,
    tolerance: float = 1e-3,
    steps: int = 60,
    polarity: Polarity = "bright",
) -> Response:
    """The sparse part of the reweighted patch tensor.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size, step
        Side of a patch and distance of neighbouring patches, pixels.
    weight
        L: lambda in units of 1 / sqrt(shortest mode of the tensor).
    edge_cost
        h of equation (2).
    faintest
        e of equation (3), grey levels of 1/255.
    tolerance, steps
        Stop when the relative error of B + T = F falls below ``tolerance``, or after ``steps``.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image``, exactly 0 on most pixels.
    """
    require_whole(1, 1000, size=size, step=step, steps=steps)
    require_number(0, 1e6, weight=weight, tolerance=tolerance)
    require_number(0, 50, edge_cost=edge_cost)
    require_number(1e-9, 1e6, faintest=faintest)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = PatchGrid.over(frame, size, step)
        F = grid.split(frame)
        if np.ptp(F) == 0:
            return np.zeros_like(frame)
        lam = weight / np.sqrt(min(F.shape))
        edges = grid.split(edge_weight(frame, edge_cost))
        return grid.join(_sparse_part(F, np.float32(lam) * edges, faintest, tolerance, steps))

    return respond(bright, image, polarity)


def edge_weight(frame: NDArray[np.float32], edge_cost: float) -> NDArray[np.float32]:
    """(H, W): 1 on flat ground up to exp(edge_cost) on the frame's strongest edge, equation (2)."""
    larger, smaller = structure_eigenvalues(frame)
    d = larger - smaller
    span = np.ptp(d)
    return np.exp(edge_cost * (d - d.min()) / (span if span > 0 else 1)).astype(np.float32)


def _sparse_part(F: Tensor, cost: Tensor, faintest: float, tolerance: float, steps: int) -> Tensor:
    mu = np.float32(_FIRST_MU * F.std())
    T = np.zeros_like(F)
    Y = [np.zeros_like(F) for _ in range(3)]
    W = cost
    count = 0
    for _ in range(steps):
        B = [_lower(F - T + mu * Y[i], i, float(mu)) for i in range(3)]
        middle = F + (mu * (Y[0] + Y[1] + Y[2]) - B[0] - B[1] - B[2]) / 3
        T = shrink(middle, mu * W / 3)
        for y, b in zip(Y, B, strict=True):
            y += (F - b - T) / mu
        W = cost / (np.abs(T) * _GREY_LEVELS + np.float32(faintest))  # (3)
        mu /= np.float32(_GROWTH)
        before, count = count, int(np.count_nonzero(T))
        gap = max(np.linalg.norm(F - b - T) for b in B)
        if (count == before and count) or gap < tolerance * np.linalg.norm(F):
            break
    return T


def _lower(X: Tensor, mode: int, threshold: float) -> Tensor:
    """Threshold the singular values of one unfolding: 0 patches, 1 rows, 2 columns."""
    first = np.moveaxis(X, mode, 0)
    lowered = threshold_by_gram(first.reshape(first.shape[0], -1), threshold)
    return np.moveaxis(lowered.reshape(first.shape), 0, mode)
