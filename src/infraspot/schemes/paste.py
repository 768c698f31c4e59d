"""Paste: drawn targets in frames without labels, as supervision that costs nothing.

Targets are drawn as :mod:`infraspot.synth` draws them: a form, blurred by a lens and collected by pixels.
They are added to the frames of each batch at random places, with a wanted ratio to the clutter around the
place, and the network learns to find them. Ours; the survey names the idea under
augmentation (copy-paste), where targets come from labelled frames.

A target that was in the frame before counts as background, since nobody knows of it. Frames with few targets
serve best.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number, require_whole
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.frames_alone import FramesAlone, to_batch, to_frames
from infraspot.synth.optics import Optics
from infraspot.synth.targets import target_pattern

Range = tuple[float, float]

# Pixels around a target that its surroundings are measured on, and the deviation of quieter ones.
NEAR, QUIETEST = 8, 1.5 / 255

# A target that loses more of its contrast at the ends of the scale is not drawn.
LEAST_KEPT = 0.6


@dataclass(frozen=True, kw_only=True)
class Pasting:
    """Draws targets into frames.

    Attributes
    ----------
    targets
        Largest number of targets in a frame that gets any.
    empty
        Share of frames that get none.
    diameter
        Range of their sizes before the lens, in pixels, drawn evenly in the logarithm.
    scr
        Range of their mean contrast in standard deviations of the surroundings, drawn alike.
    blur
        Range of the lens's blur: the standard deviation of its point spread, in pixels.
    dark
        Share of targets that are darker than their surroundings.
    """

    targets: int = 3
    empty: float = 0.25
    diameter: Range = (0.4, 9.0)
    scr: Range = (2.0, 20.0)
    blur: Range = (0.5, 1.2)
    dark: float = 0.0

    def __post_init__(self) -> None:
        require_whole(1, 1000, targets=self.targets)
        require_number(0, 1, empty=self.empty, dark=self.dark)
        for name, bounds in (("diameter", self.diameter), ("scr", self.scr), ("blur", self.blur)):
            if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] < 1000:
                raise UsageError(
                    f"{name} is a range of two numbers above 0, the smaller one first, and it is {bounds}"
                )

    def __call__(
        self, image: NDArray[np.float32], rng: Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A frame (H, W) with targets, and its label (H, W) of 0 and 1; the frame given is changed."""
        label = np.zeros_like(image)
        if rng.random() >= self.empty:
            for _ in range(int(rng.integers(1, self.targets + 1))):
                self._add(image, label, rng)
        return image, label

    def _add(self, image: NDArray[np.float32], label: NDArray[np.float32], rng: Generator) -> None:
        height, width = image.shape
        centre = (float(rng.uniform(0, height - 1)), float(rng.uniform(0, width - 1)))
        optics = Optics(width=float(rng.uniform(*self.blur)))
        pattern = target_pattern(centre, _even_in_logarithm(self.diameter, rng), optics, rng)
        there, here = pattern.cut((height, width))
        signal, mask = pattern.signal[here], pattern.mask[here]
        if not mask.any() or label[there][mask].any():
            return
        ground = image[_grown(there[0]), _grown(there[1])]
        wanted = _even_in_logarithm(self.scr, rng) * max(float(ground.std()), QUIETEST)
        sign = -1 if rng.random() < self.dark else 1
        added = np.clip(image[there] + np.float32(sign * wanted / signal[mask].mean()) * signal, 0, 1)
        if sign * float((added - image[there])[mask].mean()) >= LEAST_KEPT * wanted:
            image[there] = added
            label[there][mask] = 1


class Paste(FramesAlone):
    """Train on frames with drawn targets.

    Parameters
    ----------
    targets, empty, diameter, scr, blur, dark
        What is drawn; see :class:`Pasting`.
    """

    def __init__(
        self,
        targets: int = 3,
        empty: float = 0.25,
        diameter: Range = (0.4, 9.0),
        scr: Range = (2.0, 20.0),
        blur: Range = (0.5, 1.2),
        dark: float = 0.0,
    ) -> None:
        super().__init__()
        self.pasting = Pasting(targets=targets, empty=empty, diameter=diameter, scr=scr, blur=blur, dark=dark)

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        batch = self.pasted(batch, self.draws(run))
        value: Tensor = run.loss(run.network(batch.images), batch).mean()
        return value

    def pasted(self, batch: Batch, rng: Generator) -> Batch:
        """The same frames with targets, and with labels that know them."""
        drawn = [self.pasting(frame, rng) for frame in to_frames(batch.images)]
        images, labels = ([pair[k] for pair in drawn] for k in (0, 1))
        return replace(batch, images=to_batch(images, batch.images), labels=to_batch(labels, batch.images))


def _even_in_logarithm(bounds: Range, rng: Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _grown(place: slice) -> slice:
    return slice(max(place.start - NEAR, 0), place.stop + NEAR)
