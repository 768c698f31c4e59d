"""Outlines of what a detector found: the nested component that boundary laws and the detector's map agree on.

A segmentation network decides each pixel at a coarse resolution, and learns the outline of one labelling
convention. The frame itself says more: a target's boundary is one of its nested components
(:mod:`infraspot.annotators.flood`). So what the detector found becomes the click, its map a vote, and the
level is chosen as ``profile`` chooses it.

Two laws vote. One was fitted to a convention of tight masks on smooth frames (SIRST-v1), the other to that
and to a convention of wide masks (SIRST-V2). Smooth frames, whose second differences are small beside the
first, follow the first law.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.annotator import fill, floods
from infraspot.annotators.profile.features import NAMES, frame_features, level_features
from infraspot.annotators.profile.level import automatic, load_level, lowest_level, plausible
from infraspot.annotators.profile.scorer import Scorer
from infraspot.annotators.surroundings import HALF_WINDOW, LEVELS, Surroundings, look_around

Array = NDArray[np.float64]
Window = tuple[slice, slice]

ROUGH, WIDTH = 1.7, 0.1
"""Roughness at which both laws count the same, and how fast the one gives way to the other."""
AGREEMENT = 2.0
"""Weight of the logarithm of the overlap with the detector's map, beside the logarithms of the laws."""
_FLOOR = 1e-3
_ROUGHNESS = NAMES.index("roughness")
_SMOOTH_LAW = "preset:sirst-v1"


class Outliner:
    """Outlines of the targets of one frame.

    Parameters
    ----------
    image
        (H, W) float32 in [0, 1].
    belief
        (H, W) float32 in [0, 1]: the detector's map.
    """

    def __init__(self, image: NDArray[np.float32], belief: NDArray[np.float32]) -> None:
        self._image, self._belief = image, belief
        self._frame = frame_features(image, 1)
        roughness = self._frame[_ROUGHNESS - len(NAMES)]
        self._smooth = 1 / (1 + math.exp((roughness - ROUGH) / WIDTH))

    def outline(self, found: NDArray[np.bool_], place: Window) -> tuple[Window, NDArray[np.bool_]] | None:
        """The outline of one target.

        Parameters
        ----------
        found
            (h, w) bool: the pixels of the target on the detector's map, within its box.
        place
            The box, as slices of rows and columns.

        Returns
        -------
        The window and the mask within it; None where the target's own pixels are the better answer: it is
        too large for a window of 37 x 37, or the mask floods what does not stand out.
        """
        if max(found.shape) > 2 * HALF_WINDOW:
            return None
        brightest = np.where(found, self._image[place], -np.inf).argmax()
        y, x = np.unravel_index(int(brightest), found.shape)
        target = look_around(self._image, place[0].start + int(y), place[1].start + int(x))
        height, width = target.reach.shape
        window = slice(target.top, target.top + height), slice(target.left, target.left + width)
        own = np.zeros(self._image.shape, bool)
        own[place] = found
        votes = np.where(own[window] | (self._belief[window] <= 0.5), self._belief[window], 0)
        mask = fill(target, self._choose(target, votes))
        return None if floods(target, mask) else (window, mask)

    def _choose(self, target: Surroundings, votes: NDArray[np.float32]) -> NDArray[np.bool_]:
        features, allowed = level_features(target, self._frame), plausible(target)
        tight = _smooth_law()
        chances = [_chances(law.score(features), allowed) for law in (automatic(), tight)]
        overlap = np.log(_overlaps(target.reach, votes) + _FLOOR)
        score = (1 - self._smooth) * chances[0] + self._smooth * chances[1] + AGREEMENT * overlap
        score = np.where(allowed, score, -np.inf)
        if self._smooth > 0.5 and tight.pixels is not None:
            return tight.pixels.mask(target, features[0], lowest_level(target), score)
        return target.component(float(LEVELS[score.argmax()]))


@lru_cache(maxsize=1)
def _smooth_law() -> Scorer:
    law = load_level(_SMOOTH_LAW)
    assert isinstance(law, Scorer)
    return law


def _chances(score: Array, allowed: NDArray[np.bool_]) -> Array:
    """(L,) logarithm of each allowed level's share; what is not allowed has no meaning."""
    highest = score[allowed].max()
    result: Array = score - highest - np.log(np.exp(score[allowed] - highest).sum())
    return result


def _overlaps(reach: NDArray[np.float32], votes: NDArray[np.float32]) -> Array:
    """(L,) soft intersection over union of each level's component with the votes."""
    inside = reach.ravel() >= LEVELS[:, None]
    common = inside @ votes.ravel().astype(np.float64)
    union = inside.sum(1) + float(votes.sum(dtype=np.float64)) - common
    overlap: Array = common / np.maximum(union, 1e-9)
    return overlap
