"""Adding targets to background."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from infraspot.core.geometry import find_components
from infraspot.core.sample import BoolArray, FloatArray, Sample

# Track and class of a pasted target.
UNKNOWN = -1

QUIETEST = 1.5 / 255  # deviation that is taken for a place with less
FACTORS = 0.15, 2.0


@dataclass(frozen=True, kw_only=True)
class CopyPaste:
    """Add targets of other frames, or of the frame itself, to background.

    What a target adds to its surroundings is cut out with a soft edge, turned, weakened or strengthened, and
    added elsewhere. It is left out where it would saturate, drown in the clutter (its peak is below three
    standard deviations of the place, or 1.5 where ``scr`` is given) or touch a target.

    Attributes
    ----------
    donors
        Frames with labels or masks to take targets from; where there are none, the frame's own targets are
        repeated.
    count
        Least and largest number of targets to try.
    gain
        Range of the factor on a target's contrast.
    scr
        Range of the target's mean contrast in standard deviations of the place, drawn evenly in its
        logarithm, instead of ``gain``. The factor that this takes is kept within 0.15 and 2.
    zoom
        Range of the factor on a target's size, drawn evenly in its logarithm.
    """

    donors: Sequence[Sample] = ()
    count: tuple[int, int] = (1, 2)
    gain: tuple[float, float] = (0.8, 1.3)
    scr: tuple[float, float] | None = None
    zoom: tuple[float, float] = (1.0, 1.0)
    p: float = 0.3

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if sample.supervision is None or rng.random() >= self.p:
            return sample
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            donor = self.donors[int(rng.integers(len(self.donors)))] if len(self.donors) else sample
            cut = _cut_target(donor, rng)
            if cut is not None:
                excess, shape = _zoomed(*cut, _even_in_logarithm(self.zoom, rng))
                if self.scr is None:
                    excess = excess * np.float32(rng.uniform(*self.gain))
                    sample = _add_target(sample, excess, shape, rng)
                else:
                    scr = _even_in_logarithm(self.scr, rng)
                    sample = _add_target(sample, excess, shape, rng, scr=scr)
        return sample


def _even_in_logarithm(bounds: tuple[float, float], rng: Generator) -> float:
    low, high = bounds
    return low if low == high else float(low * (high / low) ** rng.random())


def _zoomed(excess: FloatArray, shape: BoolArray, factor: float) -> tuple[FloatArray, BoolArray]:
    """A cut target at another size; at least its likeliest pixel stays."""
    if factor == 1:
        return excess, shape
    if factor < 1:
        excess = ndimage.gaussian_filter(excess, 0.4 / factor)
    likely = ndimage.zoom(shape.astype(np.float32), factor, order=1)
    return ndimage.zoom(excess, factor, order=1), likely >= min(0.5, float(likely.max()))


def _cut_target(donor: Sample, rng: Generator, margin: int = 3) -> tuple[FloatArray, BoolArray] | None:
    """What one target adds to its surroundings, and its shape, turned at random; None where there is none."""
    if donor.supervision is None:
        return None
    # A soft label's target is where it is as likely as not.
    target = donor.supervision >= 0.5
    if not target.any():
        return None
    components = find_components(target)
    x0, y0, x1, y1 = components.boxes[int(rng.integers(len(components)))]
    place = slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)
    patch, shape = donor.image[place], target[place]
    if shape.all():
        return None
    edge = ndimage.gaussian_filter(shape.astype(np.float32), 1.0, mode="constant")
    excess = (patch - np.median(patch[~shape])) * np.maximum(edge, shape)
    quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
    excess, shape = np.rot90(excess, quarters), np.rot90(shape, quarters)
    return (excess.T, shape.T) if mirrored else (excess, shape)


def _add_target(
    sample: Sample,
    excess: FloatArray,
    shape: BoolArray,
    rng: Generator,
    attempts: int = 8,
    *,
    scr: float | None = None,
) -> Sample:
    """The sample with one more target at the first suitable place; unchanged where none is found."""
    occupied = sample.supervision
    room = np.array(sample.shape) - shape.shape
    if occupied is None or (room < 0).any():
        return sample
    for _ in range(attempts):
        y, x = (int(rng.integers(free + 1)) for free in room)
        place = slice(y, y + shape.shape[0]), slice(x, x + shape.shape[1])
        if occupied[place].any():
            continue
        ground = sample.image[place]
        added = excess if scr is None else excess * _factor(excess[shape], ground, scr)
        if _stands_out(float(added.max()), ground, 3.0 if scr is None else 1.5):
            image = sample.image.copy()
            image[place] = np.clip(ground + added, 0.0, 1.0)
            return _annotated(sample.replace(image=image), shape, y, x)
    return sample


def _factor(excess: FloatArray, ground: FloatArray, scr: float) -> np.float32:
    """What a target's contrast is multiplied by to have this mean ratio to a place."""
    mean = float(excess.mean())
    wanted = scr * max(float(ground.std()), QUIETEST) / mean if mean > 0 else 0.0
    return np.float32(np.clip(wanted, *FACTORS))


def _stands_out(peak: float, ground: FloatArray, deviations: float) -> bool:
    return bool(0 < peak <= 1.0 - ground.mean() and peak >= deviations * ground.std())


def _annotated(sample: Sample, shape: BoolArray, y: int, x: int) -> Sample:
    """The sample with one more target of ``shape`` at (y, x) in each annotation that it has."""
    changes: dict[str, Any] = {}
    for name in ("mask", "label"):
        if (layer := getattr(sample, name)) is not None:
            changes[name] = layer.copy()
            place = slice(y, y + shape.shape[0]), slice(x, x + shape.shape[1])
            changes[name][place] = np.maximum(layer[place], shape)
    ys, xs = np.nonzero(shape)
    if sample.points is not None:
        changes["points"] = np.concatenate([sample.points, [[y + ys.mean(), x + xs.mean()]]])
    if sample.boxes is not None:
        box = [x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1]
        changes["boxes"] = np.concatenate([sample.boxes, [box]])
    for name, values in sample.given("per_target").items():
        changes[name] = np.append(values, UNKNOWN).astype(values.dtype)
    return sample.replace(**changes)
