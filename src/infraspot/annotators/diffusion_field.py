"""Eqs. 2-4 of "Diffuse to Detect" (Liu et al., 2026): heat from a point through an image-adaptive medium.

    du/dt = div(D grad u)                             (2)
    u(k+1) = (I - tau L_D) u(k),  u(0) = delta        (3)
    y = rho u(K) + (1 - rho) C                        (4)

The paper leaves open how D depends on the image; here it falls with the gradient and with the contrast to the
source, both in units of the target's contrast. ``infraspot.blocks.diffusion`` is the same in torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number, require_whole

Array = NDArray[np.float32]


@dataclass(frozen=True)
class DiffusionParameters:
    """The diffusion's one set of parameters, for the annotator and for :mod:`infraspot.blocks.diffusion`.

    The defaults were chosen on the training split of SIRST-v1.

    Attributes
    ----------
    d0
        Diffusivity of a flat medium.
    beta
        How fast edges and contrast slow the heat.
    alpha
        Share of edges in what slows it, in [0, 1].
    rho
        Share of the heat field in the label, in [0, 1].
    steps, tau
        K and the step size of Eq. 3; stable for ``tau * d0 <= 1/4``.

    Raises
    ------
    UsageError
        If one is out of its range, or the steps would not be stable.
    """

    d0: float = 1.0
    beta: float = 16.5
    alpha: float = 0.58
    rho: float = 0.59
    steps: int = 230
    tau: float = 0.24

    def __post_init__(self) -> None:
        require_number(1e-6, 1e6, d0=self.d0, beta=self.beta, tau=self.tau)
        require_number(0, 1, alpha=self.alpha, rho=self.rho)
        require_whole(1, 100_000, steps=self.steps)
        if self.tau * self.d0 > 0.25:
            raise UsageError(f"the heat is stable for tau * d0 <= 0.25, and it is {self.tau * self.d0:g}")


def diffusivity(window: Array, theta: DiffusionParameters) -> Array:
    """D(a, b) in Eq. 2, (H, W) > 0; ``window`` has background 0 and peak 1."""
    slope = np.hypot(*(_central(window, axis) for axis in (0, 1)))
    hindrance = theta.alpha * slope + (1 - theta.alpha) * (1 - window)
    return (theta.d0 * np.exp(-theta.beta * hindrance)).astype(np.float32)


def diffuse(medium: Array, seed: tuple[int, int], theta: DiffusionParameters) -> Array:
    """u(K) of Eq. 3, divided by its maximum; heat is kept inside the window.

    The flow between two neighbours is driven by the mean of their diffusivities.
    """
    down = theta.tau * (medium[1:] + medium[:-1]) / 2
    right = theta.tau * (medium[:, 1:] + medium[:, :-1]) / 2
    field = np.zeros_like(medium)
    field[seed] = 1
    for _ in range(theta.steps):
        fall_y, fall_x = down * np.diff(field, axis=0), right * np.diff(field, axis=1)
        field[:-1] += fall_y
        field[1:] -= fall_y
        field[:, :-1] += fall_x
        field[:, 1:] -= fall_x
    return field / field.max()


def fuse(field: Array, prior: NDArray[np.bool_], theta: DiffusionParameters) -> Array:
    """Eq. 4, normalised to [0, 1]."""
    label = theta.rho * field + (1 - theta.rho) * prior
    return label / label.max()


def _central(window: Array, axis: int) -> Array:
    if window.shape[axis] < 2:
        return np.zeros_like(window)
    slope: Array = np.gradient(window, axis=axis)
    return slope
