"""IPI: the infrared patch-image model.

C. Gao, D. Meng, Y. Yang, Y. Wang, X. Zhou, A. G. Hauptmann, "Infrared patch-image model for small target
detection in a single image", IEEE Transactions on Image Processing 22(12), 2013. Patches of the background
resemble each other, so that the matrix D whose columns are patches is a low-rank background B, a sparse
target image T and small noise::

    min over B, T of  mu |B|_* + lambda mu |T|_1 + |D - B - T|_F^2 / 2      (1)

solved by the accelerated proximal gradient with a falling mu, as in the paper (Z. Lin, A. Ganesh, J. Wright
et al., "Fast convex optimization algorithms for exact recovery of a corrupted low-rank matrix", 2009).

The paper takes a full singular value decomposition in each step; here each step starts from the subspace of
the one before (see :mod:`infraspot.classical.lowrank`), with the same result to rounding of the stop rule.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.lowrank import Matrix, SingularValueThreshold, shrink
from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.options import require_number, require_whole


def ipi(
    image: NDArray[Any],
    *,
    size: int = 50,
    step: int = 10,
    weight: float = 1.0,
    tolerance: float = 3e-3,
    steps: int = 200,
    polarity: Polarity = "bright",
) -> Response:
    """The sparse part of the patch image.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size, step
        Side of a patch and distance of neighbouring patches, pixels.
    weight
        lambda in units of 1 / sqrt(max(patch pixels, patches)).
    tolerance, steps
        Stop when the relative residual of the optimality condition falls below ``tolerance``, or after
        ``steps``.
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
        columns = grid.split(frame).reshape(-1, size * size).T
        target = _sparse_part(np.ascontiguousarray(columns), weight, tolerance, steps)
        return grid.join(target.T.reshape(-1, size, size))

    return respond(bright, image, polarity)


def _sparse_part(D: Matrix, weight: float, tolerance: float, steps: int) -> Matrix:
    lam = weight / np.sqrt(max(D.shape))
    mu, last_mu = _continuation(D)
    lower_rank = SingularValueThreshold(np.random.default_rng(0))
    B = B_before = T = T_before = np.zeros_like(D)
    t = t_before = 1.0
    for _ in range(steps):
        push = np.float32((t_before - 1) / t)
        Y_B, Y_T = B + push * (B - B_before), T + push * (T - T_before)
        half = (Y_B + Y_T - D) / 2  # gradient over the Lipschitz constant 2
        B_before, T_before = B, T
        B = lower_rank(Y_B - half, mu / 2)
        T = shrink(Y_T - half, lam * mu / 2)
        t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        at_end, mu = mu <= last_mu, max(0.9 * mu, last_mu)
        if at_end and _residual(Y_B, Y_T, B, T) < tolerance:
            break
    return T


def _continuation(D: Matrix) -> tuple[float, float]:
    """First and last mu: the second singular value of D, and a twentieth of the fourth."""
    values = np.sqrt(np.maximum(np.linalg.eigvalsh((D.T @ D).astype(np.float64))[::-1], 0))
    values = np.append(values, np.zeros(4))
    floor = 1e-6 * max(values[0], 1e-6)
    last = max(0.05 * values[3], floor)
    return max(float(values[1]), last), float(last)


def _residual(Y_B: Matrix, Y_T: Matrix, B: Matrix, T: Matrix) -> float:
    shift = Y_B + Y_T - B - T
    gap = np.hypot(np.linalg.norm(2 * (Y_B - B) - shift), np.linalg.norm(2 * (Y_T - T) - shift))
    return float(gap / max(1.0, 2 * np.hypot(np.linalg.norm(B), np.linalg.norm(T))))
