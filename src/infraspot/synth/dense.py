"""Clusters of small targets pasted into the sky of real frames, as DenseSIRST was made.

Source: M. Xiao, Q. Dai, Y. Zhu and others, "Background Semantics Matter: Cross-Task Feature Exchange Network
for Clustered Infrared Small Target Detection With Sky-Annotated Dataset", section III-B, Eq. 1 to 3. No
generator was released; what the paper leaves open follows the released frames (docs/dense.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from infraspot.core.errors import UsageError
from infraspot.core.geometry import find_components
from infraspot.core.pasting import (
    OFFSET,
    SHOWN_LEVEL,
    SPREAD,
    draw_corner,
    gaussian_weights,
    grown,
    open_corners,
)
from infraspot.core.sample import BoolArray, FloatArray, Sample
from infraspot.synth.library import Patches

LEAST_SHOWN = 2 / 255  # a target whose peak adds less cannot be seen, and would be a wrong label
_PATCHES_TRIED = 5


@dataclass(frozen=True, kw_only=True)
class DenseOptions:
    """What clusters look like; the defaults are those of DenseSIRST.

    Attributes
    ----------
    areas
        Fewest and most areas of a frame.
    area
        Height and width of an area in pixels.
    targets
        Fewest and most targets to put into an area; at most as many as fit are put there.
    side
        Height and width of the pasted patch in pixels; a target is the part of it that is bright enough.
    gap
        Fewest pixels between the patch and any other target.
    strength
        Range of lambda in Eq. 1.
    offset
        The largest distance of the centre of the weights from that of the patch, along x and along y, in
        halves of the patch.
    spread
        Range of sigma in Eq. 2, in halves of the patch.
    cut
        Pixels whose weight is above this belong to the target.
    """

    areas: tuple[int, int] = (1, 3)
    area: int = 20
    targets: tuple[int, int] = (8, 12)
    side: int = 5
    gap: int = 1
    strength: tuple[float, float] = (0.5, 1.0)
    offset: float = OFFSET
    spread: tuple[float, float] = SPREAD
    cut: float = SHOWN_LEVEL

    def __post_init__(self) -> None:
        for name in ("areas", "targets"):
            low, high = getattr(self, name)
            if not 1 <= low <= high <= 1000:
                raise UsageError(f"{name} must go from 1 or more up to 1000 at most, and {low}-{high} came")
        if not 3 <= self.side <= self.area <= 1000:
            raise UsageError(
                "a target is 3 pixels wide or more and fits into its area of 1000 at most; a target of "
                f"{self.side} in an area of {self.area} came"
            )
        if not 1 <= self.gap <= 1000:
            raise UsageError(f"the gap must be 1 to 1000 pixels, or targets would join, and {self.gap} came")


@dataclass(frozen=True, eq=False)
class Clustered:
    """A frame with clusters: its sample, (x, y) corners of the areas, and the number of pasted targets."""

    sample: Sample
    areas: tuple[tuple[int, int], ...]
    pasted: int


def add_clusters(sample: Sample, library: Patches, options: DenseOptions, rng: Generator) -> Clustered:
    """Paste clusters of targets into the sky of a frame.

    Areas lie wholly in the sky, anywhere there. Where the sky has no room for an area, the frame stays as it
    is and ``areas`` is empty. Boxes and points are those of the components of the new mask.

    Parameters
    ----------
    sample
        A frame with a mask and its sky.
    library
        (N, side, side) patches in [0, 1], at least one (see :func:`infraspot.synth.library.build_library`).
    """
    assert sample.mask is not None
    assert sample.sky is not None
    image, mask = sample.image.copy(), sample.mask.copy()
    taken = grown(mask, options.gap)
    room = open_corners(sample.sky == 0, (options.area, options.area))
    areas, pasted = [], 0
    if room.any():
        for _ in range(int(rng.integers(options.areas[0], options.areas[1], endpoint=True))):
            corner = draw_corner(room, rng)
            assert corner is not None
            y, x = corner
            pasted += _fill_area(image, mask, taken, (y, x), library, options, rng)
            areas.append((x, y))
    parts = find_components(mask)
    made = Sample(
        sample.id,
        image,
        mask=mask,
        points=parts.centroids,
        boxes=parts.boxes.astype(np.float64),
        sky=sample.sky,
        bit_depth=sample.bit_depth,
    )
    return Clustered(made, tuple(areas), pasted)


def _fill_area(
    image: FloatArray,
    mask: BoolArray,
    taken: BoolArray,
    corner: tuple[int, int],
    library: Patches,
    options: DenseOptions,
    rng: Generator,
) -> int:
    """Paste targets into one area, in place, until enough are there or none fits; how many there are."""
    side, gap = options.side, options.gap
    wanted = int(rng.integers(options.targets[0], options.targets[1], endpoint=True))
    area = tuple(slice(start, start + options.area) for start in corner)
    for done in range(wanted):
        place_within = draw_corner(open_corners(taken[area], (side, side)), rng)
        if place_within is None:
            return done
        y, x = corner[0] + place_within[0], corner[1] + place_within[1]
        place = slice(y, y + side), slice(x, x + side)
        if not _paste(image, mask, place, library, options, rng):
            return done  # the sky there is white
        taken[max(y - gap, 0) : y + side + gap, max(x - gap, 0) : x + side + gap] = True
    return wanted


def _paste(
    image: FloatArray,
    mask: BoolArray,
    place: tuple[slice, slice],
    library: Patches,
    options: DenseOptions,
    rng: Generator,
) -> bool:
    """Eq. 1: add a weighted patch, in place; False where none of a few patches would be seen."""
    back = image[place]
    for _ in range(_PATCHES_TRIED):
        weights = rng.uniform(*options.strength) * gaussian_weights(
            (options.side, options.side), rng, offset=options.offset, spread=options.spread
        )
        patch = library[int(rng.integers(len(library)))]
        new = np.minimum(back + patch * weights, 1)
        if (new - back).max() >= LEAST_SHOWN:
            mask[place] = weights > options.cut
            image[place] = new
            return True
    return False
