"""``diffusion``: heat from the click, as "Diffuse to Detect" states it (Liu et al., 2026, Eqs. 2-4).

Deterministic, and from the click alone: the window has one size. The released program is another method, see
:mod:`infraspot.annotators.diffusion_mc`.
"""

from dataclasses import replace

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


def _spread(image: NDArray[np.float32], point: NDArray[np.float64], theta: DiffusionParameters) -> Region:
    target = look_around(image, *pixel_of(point))
    y, x = target.peak
    top, left = max(y - HALF_WINDOW, 0), max(x - HALF_WINDOW, 0)
    window = np.clip(target.window[top : y + HALF_WINDOW + 1, left : x + HALF_WINDOW + 1], _LOWEST, 1)
    seed = (y - top, x - left)
    strength = target.contrast / _USUAL_CONTRAST
    yielding = strength**-_MEDIUM_POWER
    medium = diffusivity(window, replace(theta, beta=theta.beta * yielding))
    field = diffuse(medium, seed, theta)
    prior = superpixel_under(window, seed, segments=_SEGMENTS, compactness=_COMPACTNESS / yielding)
    label = fuse(field, prior, theta)
    threshold = min(_THRESHOLD * strength**-_THRESHOLD_POWER, 0.9)
    mask = flood.filled(seeded_component(label >= threshold, seed))
    ramp = _rescaled(label, threshold)
    soft = np.where(mask, np.maximum(ramp, 0.5), np.minimum(ramp, 0.499))
    return Region(target.top + top, target.left + left, soft.astype(np.float32))


def _rescaled(label: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """The label with the threshold moved to one half."""
    return np.interp(label, (0, threshold, 1), (0, 0.5, 1)).astype(np.float32)
