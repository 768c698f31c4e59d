"""BAG-CP: clusters of targets pasted into the sky in training.

Source: M. Xiao, Q. Dai, Y. Zhu and others, "Background Semantics Matter: Cross-Task Feature Exchange Network
for Clustered Infrared Small Target Detection With Sky-Annotated Dataset", section III-D and Table III.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator

from infraspot.augment.copy_paste import annotated
from infraspot.core.errors import DataError
from infraspot.core.geometry import find_components
from infraspot.core.pasting import (
    SHOWN_LEVEL,
    draw_corner,
    elsewhere,
    gaussian_weights,
    grown,
    open_corners,
    resized_patch,
)
from infraspot.core.sample import BoolArray, FloatArray, Sample

Variant = Literal["paper", "official"]
PatchSource = Literal["targets", "background"]

LEAST_SHOWN = 2 / 255  # a target whose peak adds less cannot be seen, and would be a wrong label
SIDE, WIDEST, DONORS = 20, 5, 3
# Of the authors' program.
MOST, OF_AREA, LARGE, SHRUNK = 99, 5, 10, 7
SIDE_OF_PROGRAM, SHRINKING, LEAST_SIDE = 25, 3, 7

Area = tuple[int, int, int, int]  # y, x, height, width


@dataclass(frozen=True, kw_only=True)
class BagCP:
    """Paste clusters of targets of other frames into the sky of a frame.

    ``variant="paper"``: 1 to 3 areas of 20x20 pixels with 8 to 12 targets each, or as many as fit. A target
    that is wider or higher than 5 pixels shrinks to that, keeping its proportions. Its label is the pixels
    whose weight exceeds 25/255, as in the released frames.

    ``variant="official"``: what the authors' program does. All targets come from one frame: none to all that
    it has (99 at most), five to an area of 25x25 pixels. An area that has no room shrinks by 3 pixels at a
    time, and at last targets stand alone. Targets of 10 pixels or more become 7x7. The label is the whole
    rectangle. The program then rounds every box of the frame, which costs a third of their overlap with the
    truth; that is not repeated here.

    Table III, from (a) to (f), is: ``p = 0``; no option below; ``clustered``; ``gaussian``; ``clustered`` and
    ``gaussian``; all three.

    Attributes
    ----------
    donors
        Frames with labels or masks to take targets from; where there are none, the frame's own are repeated.
    clustered
        Whether targets stand in areas, or each for itself.
    gaussian
        Whether a target is added with Gaussian weights (Eq. 1 to 3), or its rectangle replaces the place.
    sky
        Whether targets lie wholly in the sky, or anywhere.
    patches
        ``"targets"``: pixels of targets, as the paper says. ``"background"``: pixels beside them, which is
        what the released frames are made of (docs/dense.md).
    areas, targets
        Of the paper: fewest and most areas of a frame, and targets of an area.
    gap
        Fewest pixels between targets.
    strength
        Range of the factor lambda of Eq. 1.
    p
        Chance that a frame gets any.

    Raises
    ------
    ValueError
        If a name is unknown, or a range is empty.
    """

    donors: Sequence[Sample] = ()
    variant: Variant = "paper"
    clustered: bool = True
    gaussian: bool = True
    sky: bool = True
    patches: PatchSource = "targets"
    areas: tuple[int, int] = (1, 3)
    targets: tuple[int, int] = (8, 12)
    gap: int = 1
    strength: tuple[float, float] = (0.5, 1.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        for name, known in (("variant", Variant), ("patches", PatchSource)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(known))}, and it is {getattr(self, name)!r}"
                )
        for name in ("areas", "targets"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(f"{name} must go from 1 or more upwards, and it is {low} to {high}")
        if self.gap < 1:
            raise ValueError(f"gap is 1 pixel or more, or targets would join, and it is {self.gap}")

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        """Raises :class:`DataError` where the sky is asked for and the frame's is not known."""
        if sample.supervision is None or rng.random() >= self.p:
            return sample
        if self.sky and sample.sky is None:
            raise DataError(
                f"{sample.id}: BAG-CP pastes into the sky, and the sky of this frame is not known; find"
                " it with `infraspot sky`, or set sky = false"
            )
        crops = self._crops(sample, rng)
        closed = np.zeros(sample.shape, np.bool_) if not self.sky else np.asarray(sample.sky) == 0
        taken = grown(sample.supervision > 0, self.gap)
        for group in self._groups(crops, rng):
            area = self._area(closed, rng)
            for crop, shape in group:
                place = _free_place(closed | taken, area, crop.shape, rng)
                if place is None and self.variant == "official":
                    place = _free_place(closed | taken, (0, 0, *sample.shape), crop.shape, rng)
                if place is None:
                    break
                y, x = place
                sample = self._pasted(sample, crop, shape, y, x, rng)
                height, width = crop.shape
                rows = slice(max(y - self.gap, 0), y + height + self.gap)
                taken[rows, max(x - self.gap, 0) : x + width + self.gap] = True
        return sample

    def _crops(self, sample: Sample, rng: Generator) -> list[tuple[FloatArray, BoolArray]]:
        """Targets to paste, with their shapes, in random order: of one frame, or of a few."""
        count = 1 if self.variant == "official" else DONORS
        drawn = rng.integers(len(self.donors), size=count).tolist() if len(self.donors) else []
        frames = [self.donors[k] for k in drawn] or [sample]
        found = [crop for frame in frames for crop in self._cut(frame, rng)]
        return [found[k] for k in rng.permutation(len(found))]

    def _cut(self, frame: Sample, rng: Generator) -> Iterator[tuple[FloatArray, BoolArray]]:
        if frame.supervision is None:
            return
        mask = frame.supervision >= 0.5
        parts = find_components(mask)
        for k, box in enumerate(parts.boxes):
            x0, y0, x1, y1 = elsewhere(box, mask, rng) if self.patches == "background" else box
            crop, shape = frame.image[y0:y1, x0:x1], parts.mask(k)
            new = self._new_shape(shape.shape)
            if new != shape.shape:
                likely = resized_patch(shape.astype(np.float32), new)
                crop, shape = resized_patch(crop, new), likely >= min(0.5, float(likely.max()))
            yield crop, shape

    def _new_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Height and width that a target is pasted with."""
        if self.variant == "official":
            return (SHRUNK, SHRUNK) if max(shape) >= LARGE else shape
        factor = min(1.0, WIDEST / max(shape))
        return max(round(shape[0] * factor), 1), max(round(shape[1] * factor), 1)

    def _groups(
        self, crops: Sequence[tuple[FloatArray, BoolArray]], rng: Generator
    ) -> Iterator[list[tuple[FloatArray, BoolArray]]]:
        """Which targets share an area; those of the paper may come again."""
        if not crops:
            return
        if self.variant == "official":
            count = int(rng.integers(min(len(crops), MOST), endpoint=True))
            for first in range(0, count, OF_AREA):
                yield list(crops[first : min(first + OF_AREA, count)])
            return
        for _ in range(int(rng.integers(self.areas[0], self.areas[1], endpoint=True))):
            wanted = int(rng.integers(self.targets[0], self.targets[1], endpoint=True))
            yield [crops[int(k)] for k in rng.integers(len(crops), size=wanted)]

    def _area(self, closed: BoolArray, rng: Generator) -> Area | None:
        """Where a group stands: an area, the whole frame, or nowhere."""
        official = self.variant == "official"
        whole = 0, 0, *closed.shape
        if not self.clustered:
            return whole
        for side in range(SIDE_OF_PROGRAM, LEAST_SIDE - 1, -SHRINKING) if official else (SIDE,):
            corner = draw_corner(open_corners(closed, (side, side)), rng)
            if corner is not None:
                return *corner, side, side
        return whole if official else None

    def _pasted(
        self, sample: Sample, crop: FloatArray, shape: BoolArray, y: int, x: int, rng: Generator
    ) -> Sample:
        """The sample with one more target; unchanged where it would not be seen."""
        place = slice(y, y + crop.shape[0]), slice(x, x + crop.shape[1])
        back = sample.image[place]
        new = crop
        if self.gaussian:
            weights = rng.uniform(*self.strength) * gaussian_weights(crop.shape, rng)
            new, shape = np.minimum(back + crop * weights, 1.0), weights > SHOWN_LEVEL
        if np.abs(new - back).max() < LEAST_SHOWN:
            return sample
        if self.variant == "official":
            shape = np.ones(crop.shape, np.bool_)
        image = sample.image.copy()
        image[place] = new
        return annotated(sample.replace(image=image), shape, y, x)


def _free_place(
    blocked: BoolArray, area: Area | None, shape: tuple[int, int], rng: Generator
) -> tuple[int, int] | None:
    """A corner (y, x) within the area for a rectangle without a blocked pixel; None where there is none."""
    if area is None:
        return None
    y, x, height, width = area
    place = draw_corner(open_corners(blocked[y : y + height, x : x + width], shape), rng)
    return None if place is None else (y + place[0], x + place[1])
