"""``profile``: the annotator of infraspot, from one click to the seeded component at the right level.

A target's surroundings are measured (:mod:`infraspot.annotators.surroundings`), one flood describes all
thresholds between background and peak (:mod:`infraspot.annotators.flood`), one of the nested components is
chosen (:mod:`infraspot.annotators.profile.level`), and its holes are filled. Where the boundary lies is a
convention of those who drew a data set's masks. ``level`` takes a number, or a law that ``infraspot
calibrate`` fitted to some of them; ``"auto"`` was fitted to two conventions at once.
"""

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.profile.learning import Convention
from infraspot.annotators.profile.level import Chooser, make_chooser, number_of
from infraspot.annotators.region import Region, standing_out
from infraspot.annotators.surroundings import LEVELS, Surroundings, look_around

_SOFTNESS = 0.4
"""Width of the soft edge in units of the level."""
_BELOW = 0.499
_SMALL = 25
"""Pixels of the largest mask for a click that stands out from nothing."""
_LARGE = 400
"""Pixels above which a mask is no target's."""
_LEAST_SURE = (0.25, 0.55)
"""Confidence that a mask of the small and of the large size needs; between them it grows with ln area."""


def annotate_profile(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    *,
    level: str | float | Convention = "auto",
    guarded: bool = True,
) -> list[Region]:
    """Component around the click at a level between background and peak.

    Parameters
    ----------
    image
        (H, W) float32 in [0, 1].
    points
        (N, 2) clicks (y, x) inside the frame; a click may lie a few pixels beside its target.
    level
        ``"auto"``, a number in (0, 1), ``"preset:NAME"``, the path of a calibrated file, or a
        :class:`Convention` learned from corrected targets.
    guarded
        Whether a number is raised where the component has jumped onto something beside the target. A person
        who grows a mask by hand may want just that: False takes the number as it is.
    """
    choose = make_chooser(level, image, len(points), guarded=guarded)
    chosen = isinstance(level, Convention) or number_of(level) is None
    return [_grow(look_around(image, *pixel_of(point)), choose, cautious=chosen) for point in points]


def _grow(target: Surroundings, choose: Chooser, *, cautious: bool) -> Region:
    choice = choose(target)
    level = choice.level
    mask = fill(target, target.component(level) if choice.mask is None else choice.mask)
    if cautious and floods(target, mask):
        level, mask = _small(target, level)
    return Region(target.top, target.left, _soften(target.reach, mask, level), level)


def floods(target: Surroundings, mask: NDArray[np.bool_]) -> bool:
    """Whether a mask is larger than any target, or more than small without standing out."""
    area = np.count_nonzero(mask)
    if not _SMALL < area <= _LARGE:
        return bool(area > _LARGE)
    needed = np.interp(np.log(area), np.log((_SMALL, _LARGE)), _LEAST_SURE)
    return bool(standing_out(target.window, mask, mask)[1] < needed)


def fill(target: Surroundings, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with the target's peak and without holes."""
    mask[target.peak] = True
    filled: NDArray[np.bool_] = flood.filled(mask)
    return filled


def _small(target: Surroundings, level: float) -> tuple[float, NDArray[np.bool_]]:
    """For a click on nothing: the largest small component above a level, or the pixels around the peak."""
    for higher in LEVELS[::-1]:
        mask = fill(target, target.component(float(higher)))
        if higher > level and np.count_nonzero(mask) <= _SMALL:
            return float(higher), mask
    mask = np.zeros(target.reach.shape, bool)
    y, x = target.peak
    mask[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    return float(LEVELS[0]), mask


def _soften(reach: NDArray[np.float32], mask: NDArray[np.bool_], level: float) -> NDArray[np.float32]:
    """(h, w) a ramp through one half at the level, kept to its side of one half by the mask."""
    ramp = np.clip(0.5 + (reach - np.float32(level)) / np.float32(_SOFTNESS), 0, 1)
    return np.where(mask, np.maximum(ramp, 0.5), np.minimum(ramp, _BELOW)).astype(np.float32)
