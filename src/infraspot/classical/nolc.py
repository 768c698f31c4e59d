"""NOLC: non-convex optimisation with an Lp norm.

T. Zhang, H. Wu, Y. Liu, L. Peng, C. Yang, Z. Peng, "Infrared small target detection based on non-convex
optimization with Lp-norm constraint", Remote Sensing 11(5), 2019. The patch image D of IPI, with a target
image T that an Lp norm (p < 1) keeps sparser than the L1 norm of IPI does::

    min  |B|_* + lambda |T|_p^p   subject to   B + T = D, T >= 0             (1)

Alternating directions solve it. The step for T is the Lp shrinkage of each entry, see :func:`shrink_lp`; the
search ends when the number of target entries no longer changes.

p = 0.6, patches of 30 pixels and the growth of mu are those of the authors' program. It drops a margin that
its grid does not fill; here the frame is mirrored there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.lowrank import Matrix, threshold_by_gram
from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.options import require_number, require_whole

_FIRST_MU = 5.0
_GROWTH = 1.5
_NEWTON_STEPS = 8


def nolc(
    image: NDArray[Any],
    *,
    size: int = 30,
    step: int = 10,
    weight: float = 1.0,
    power: float = 0.6,
    tolerance: float = 1e-6,
    steps: int = 100,
    polarity: Polarity = "bright",
) -> Response:
    """Low-rank patches under an Lp norm of the target, p < 1.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size, step
        Side of a patch and distance of neighbouring patches, pixels.
    weight
        lambda in units of 1 / sqrt(max(patch pixels, patches)).
    power
        p of equation (1), in (0, 1].
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
    require_number(0.01, 1, power=power)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = PatchGrid.over(frame, size, step)
        columns = np.ascontiguousarray(grid.split(frame).reshape(-1, size * size).T)
        if np.ptp(columns) == 0:
            return np.zeros_like(frame)
        target = _sparse_part(columns, weight, power, tolerance, steps)
        return grid.join(target.T.reshape(-1, size, size))

    return respond(bright, image, polarity)


def _sparse_part(D: Matrix, weight: float, power: float, tolerance: float, steps: int) -> Matrix:
    lam = weight / np.sqrt(max(D.shape))
    mu = 1 / max(_FIRST_MU * float(D.std()), 1e-6)
    T, Y = np.zeros_like(D), np.zeros_like(D)
    count = 0
    for _ in range(steps):
        shifted = D + Y / np.float32(mu)
        B = threshold_by_gram(shifted - T, 1 / mu)
        T = shrink_lp(np.maximum(shifted - B, 0), lam / mu, power)
        gap = D - B - T
        Y += np.float32(mu) * gap
        mu *= _GROWTH
        before, count = count, int(np.count_nonzero(T))
        if (count == before and count) or np.linalg.norm(gap) < tolerance * np.linalg.norm(D):
            break
    return T


def shrink_lp(values: Matrix, weight: float, power: float) -> Matrix:
    """The x >= 0 that minimises ``(x - a)^2 / 2 + weight * x^power`` for each a >= 0 of ``values``.

    It is 0 up to a threshold, where x = 0 and the other minimum cost the same (W. Zuo et al., "A generalized
    iterated shrinkage algorithm for non-convex sparse coding", ICCV 2013). Above it, Newton's method starts
    from a and finds the zero of the derivative.
    """
    turn = (2 * weight * (1 - power)) ** (1 / (2 - power))
    threshold = turn + weight * power * turn ** (power - 1) if turn > 0 else weight * power
    shrunk = np.zeros_like(values)
    above = values > threshold
    a = values[above].astype(np.float64)
    x = a.copy()
    for _ in range(_NEWTON_STEPS):
        pull = weight * power * x ** (power - 1)
        x -= (x - a + pull) / (1 + (power - 1) * pull / x)
    shrunk[above] = x
    return shrunk
