"""``diffusion``: heat from the click, as "Diffuse to Detect" states it (Liu et al., 2026, Eqs. 2-4).

Deterministic, and from the click alone: the window has one size. The released program is another method, see
:mod:`infraspot.annotators.diffusion_mc`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.diffusion_field import DiffusionParameters, diffuse, diffusivity, fuse
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.region import Region
from infraspot.annotators.superpixels import superpixel_under
from infraspot.annotators.surroundings import look_around
from infraspot.annotators.windows import seeded_component
from infraspot.core.errors import UsageError
from infraspot.core.options import shown

HALF_WINDOW = 12
_SEGMENTS, _COMPACTNESS = 9, 0.234
_THRESHOLD = 0.102
_USUAL_CONTRAST = 0.34
_MEDIUM_POWER, _THRESHOLD_POWER = 0.22, 0.21
"""Exponents of the contrast: a strong target's mask reaches further down its flank, so both fall with it."""
_LOWEST = -0.2


def annotate_diffusion(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    *,
    theta: DiffusionParameters | None = None,
) -> list[Region]:
    """Regions where the fused label of Eq. 4 exceeds a threshold that depends on the contrast alone.

    Parameters
    ----------
    theta
        Parameters of the diffusion; None takes the defaults.
    """
    theta = DiffusionParameters() if theta is None else theta
    if not isinstance(theta, DiffusionParameters):
        raise UsageError(f"theta takes DiffusionParameters, and {shown(theta)} came")
    return [_spread(image, point, theta) for point in points]


@dataclass(frozen=True, eq=False)
class HeatWindow:
    """What the diffusion of one click needs, whatever its parameters.

    Attributes
    ----------
    top, left
        Place of the window in the frame.
    window
        (h, w) float32: background 0, peak 1.
    seed
        (y, x) of the source in the window.
    prior
        (h, w) bool: C, the superpixel of the source.
    yielding
        beta is multiplied by it: a strong target's heat reaches further.
    threshold
        Labels of Eq. 4 from here up are the target.
    """

    top: int
    left: int
    window: NDArray[np.float32]
    seed: tuple[int, int]
    prior: NDArray[np.bool_]
    yielding: float
    threshold: float


def heat_window(image: NDArray[np.float32], point: NDArray[np.float64]) -> HeatWindow:
    """Measure the surroundings of a click (y, x) in a frame (H, W) float32 in [0, 1]."""
    target = look_around(image, *pixel_of(point))
    y, x = target.peak
    top, left = max(y - HALF_WINDOW, 0), max(x - HALF_WINDOW, 0)
    window = np.clip(target.window[top : y + HALF_WINDOW + 1, left : x + HALF_WINDOW + 1], _LOWEST, 1)
    seed = (y - top, x - left)
    strength = target.contrast / _USUAL_CONTRAST
    yielding = strength**-_MEDIUM_POWER
    prior = superpixel_under(window, seed, segments=_SEGMENTS, compactness=_COMPACTNESS / yielding)
    threshold = min(_THRESHOLD * strength**-_THRESHOLD_POWER, 0.9)
    return HeatWindow(target.top + top, target.left + left, window, seed, prior, yielding, threshold)


def heat_mask(label: NDArray[np.float32], heat: HeatWindow) -> NDArray[np.bool_]:
    """(h, w) the target in a label of Eq. 4: what exceeds the threshold around the source, without holes."""
    mask: NDArray[np.bool_] = flood.filled(seeded_component(label >= heat.threshold, heat.seed))
    return mask


def _spread(image: NDArray[np.float32], point: NDArray[np.float64], theta: DiffusionParameters) -> Region:
    heat = heat_window(image, point)
    medium = diffusivity(heat.window, replace(theta, beta=theta.beta * heat.yielding))
    label = fuse(diffuse(medium, heat.seed, theta), heat.prior, theta)
    mask, ramp = heat_mask(label, heat), _rescaled(label, heat.threshold)
    soft = np.where(mask, np.maximum(ramp, 0.5), np.minimum(ramp, 0.499))
    return Region(heat.top, heat.left, soft.astype(np.float32))


def _rescaled(label: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """The label with the threshold moved to one half."""
    return np.interp(label, (0, threshold, 1), (0, 0.5, 1)).astype(np.float32)
