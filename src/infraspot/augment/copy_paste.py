"""Adding targets to background, in the forms that papers use."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.augment.intensity import Range
from infraspot.augment.surroundings import describe_place, most_alike
from infraspot.core.geometry import find_components
from infraspot.core.sample import BoolArray, FloatArray, Sample

Form = Literal["excess", "plain", "context", "gaussian"]
Place = Literal["anywhere", "alike"]

LOOKED_AT = 24  # places of which the one most alike is taken

# Track and class of a pasted target.
UNKNOWN = -1

QUIETEST = 1.5 / 255  # deviation that is taken for a place with less
FACTORS = 0.15, 2.0

# Pixels around a target that its surroundings are measured on.
NEAR = 3

# The form "gaussian" takes so many pixels around a target along, and fades over a Gaussian: optics spread
# targets beyond their masks.
GROWN, BLUR = 6, 2
FADE = GROWN + 3 * BLUR


@dataclass(frozen=True, kw_only=True)
class CopyPaste:
    """Add targets of other frames, or of the frame itself, to background.

    A target is cut out, turned, weakened or strengthened, and put elsewhere, never over another target:

    ``"excess"``
        What it adds to its surroundings is added to the place, with a soft edge. It is left out where it
        would saturate or drown in the clutter (its peak is below three standard deviations of the place, or
        1.5 where ``scr`` is given).
    ``"plain"``
        Its rectangle replaces the place, grey values and all, wherever it falls: MTU-Net's
        Copy-Rotate-Resize-Paste. Its program takes half of the frames and up to 100 targets in each, which is
        ``p = 0.5`` and ``count = (1, 100)``.
    ``"context"``
        The same with ``context`` pixels of its surroundings on each side.
    ``"gaussian"``
        It replaces the place with six pixels of its surroundings, whose border is blurred by a Gaussian. All
        is made brighter or darker so that the surroundings fit those of the place; a peak beyond the full
        scale is lowered to it. It is left out where it would drown, as above. Built from the survey's
        sentences on PGDA (Wang et al. 2022), whose program is not public.

    Attributes
    ----------
    donors
        Frames with labels or masks to take targets from; where there are none, the frame's own targets are
        repeated.
    form
        One of the four above.
    context
        Surroundings that ``form = "context"`` takes along, in pixels.
    count
        Least and largest number of targets to try.
    gain
        Range of the factor on a target's contrast; papers have none, which is (1, 1).
    scr
        Range of the target's mean contrast in standard deviations of the place, drawn evenly in its
        logarithm, instead of ``gain``. The factor that this takes is kept within 0.15 and 2. The forms
        ``"plain"`` and ``"context"``, which look at no place, have none.
    zoom
        Range of the factor on a target's size, drawn evenly in its logarithm.
    place
        ``"anywhere"``: at random. ``"alike"``: of 24 random places, that which looks most like the one that
        the target was cut from, by level, spread and activity (:mod:`infraspot.augment.surroundings`):
        targets at sea go to sea, and targets over ground to ground.
    p
        Chance that a frame gets any.

    Raises
    ------
    ValueError
        If the form or the place is unknown, or the form has no ``scr``; if ``context`` is negative.
    """

    donors: Sequence[Sample] = ()
    form: Form = "excess"
    context: int = 8
    count: tuple[int, int] = (1, 2)
    gain: Range = (0.8, 1.3)
    scr: Range | None = None
    zoom: Range = (1.0, 1.0)
    place: Place = "anywhere"
    p: float = 0.3

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(get_args(Form))}, and it is {self.form!r}")
        if self.place not in get_args(Place):
            raise ValueError(f"place must be one of {', '.join(get_args(Place))}, and it is {self.place!r}")
        if self.scr is not None and self.form in ("plain", "context"):
            raise ValueError(
                f"scr adapts targets to the place, and the form {self.form!r} does not; use gain"
            )
        if self.context < 0:
            raise ValueError(f"context is a number of pixels, and it is {self.context}")

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if sample.supervision is None or rng.random() >= self.p:
            return sample
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            donor = self.donors[int(rng.integers(len(self.donors)))] if len(self.donors) else sample
            cut = _cut_target(donor, rng, self.form, self.context, describe=self.place == "alike")
            if cut is not None:
                cut = _zoomed(cut, _even_in_logarithm(self.zoom, rng))
                if self.scr is None:
                    sample = _add_target(sample, cut.times(rng.uniform(*self.gain)), self.form, rng)
                else:
                    scr = _even_in_logarithm(self.scr, rng)
                    sample = _add_target(sample, cut, self.form, rng, scr=scr)
        return sample


@dataclass(frozen=True, eq=False)
class _Cut:
    """A target that was cut out.

    Attributes
    ----------
    excess
        (H, W) what it adds to its surroundings.
    shape
        (H, W) its pixels.
    level
        Grey value of its surroundings.
    surroundings
        What it was cut from looks like (:func:`describe_place`), if a place that is alike is wanted.
    """

    excess: FloatArray
    shape: BoolArray
    level: float
    surroundings: FloatArray | None = None

    def times(self, factor: float) -> "_Cut":
        return replace(self, excess=self.excess * np.float32(factor))


def _even_in_logarithm(bounds: Range, rng: Generator) -> float:
    low, high = bounds
    return low if low == high else float(low * (high / low) ** rng.random())


def _zoomed(cut: _Cut, factor: float) -> _Cut:
    """A cut target at another size; at least its likeliest pixel stays."""
    if factor == 1:
        return cut
    excess = cut.excess
    if factor < 1:
        excess = ndimage.gaussian_filter(excess, 0.4 / factor)
    # A rectangle of few pixels keeps one.
    factors = [max(factor, 1 / side) for side in excess.shape]
    likely = ndimage.zoom(cut.shape.astype(np.float32), factors, order=1)
    shape = likely >= min(0.5, float(likely.max()))
    return replace(cut, excess=ndimage.zoom(excess, factors, order=1), shape=shape)


def _cut_target(
    donor: Sample, rng: Generator, form: Form, context: int, *, describe: bool = False
) -> _Cut | None:
    """One target, turned at random; None where there is none."""
    if donor.supervision is None:
        return None
    # A soft label's target is where it is as likely as not.
    target = donor.supervision >= 0.5
    if not target.any():
        return None
    components = find_components(target)
    number = int(rng.integers(len(components)))
    box, (y, x) = components.boxes[number], components.centroids[number]
    margin = {"excess": NEAR, "plain": 0, "context": context, "gaussian": FADE}[form]
    place, around = _window(box, margin), _window(box, max(margin, NEAR))
    surroundings = donor.image[around][~target[around]]
    if not surroundings.size:
        return None
    level, shape = np.median(surroundings), target[place]
    excess = donor.image[place] - level
    if form == "excess":
        excess = excess * np.maximum(_blurred(shape, 1.0), shape)
    quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
    excess, shape = np.rot90(excess, quarters), np.rot90(shape, quarters)
    looks = describe_place(donor.image, y, x, target) if describe else None
    return _Cut(*((excess.T, shape.T) if mirrored else (excess, shape)), float(level), looks)


def _window(box: Sequence[int], margin: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    return slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)


def _blurred(shape: BoolArray, sigma: float) -> FloatArray:
    blurred: FloatArray = ndimage.gaussian_filter(shape.astype(np.float32), sigma, mode="constant")
    return blurred


def _faded(shape: BoolArray) -> FloatArray:
    """How much of a place a target and its surroundings replace: 1 on the target, about 0 at the edge."""
    grown = ndimage.binary_dilation(shape, iterations=GROWN)
    # A target near the edge of its frame has little around it; what it has must fade too.
    for edge in (grown[: 2 * BLUR], grown[-2 * BLUR :], grown[:, : 2 * BLUR], grown[:, -2 * BLUR :]):
        edge[:] = False
    return np.maximum(_blurred(grown | shape, BLUR), shape)


def _add_target(
    sample: Sample, cut: _Cut, form: Form, rng: Generator, attempts: int = 8, *, scr: float | None = None
) -> Sample:
    """The sample with one more target at the first suitable place; unchanged where none is found."""
    occupied = sample.supervision
    room = np.array(sample.shape) - cut.shape.shape
    if occupied is None or (room < 0).any():
        return sample
    for y, x in _places(sample.image, cut, room, rng, attempts):
        place = slice(y, y + cut.shape.shape[0]), slice(x, x + cut.shape.shape[1])
        if occupied[place].any():
            continue
        ground = sample.image[place]
        fitted = cut if scr is None else cut.times(_factor(cut, ground, scr))
        patch = _blended(fitted, ground, form, 3.0 if scr is None else 1.5)
        if patch is not None:
            image = sample.image.copy()
            image[place] = np.clip(patch, 0.0, 1.0)
            return annotated(sample.replace(image=image), cut.shape, y, x)
    return sample


def _places(
    image: FloatArray, cut: _Cut, room: NDArray[np.intp], rng: Generator, attempts: int
) -> Iterator[tuple[int, int]]:
    """Corners to try for a target: at random, or those most like where it was cut from first."""
    if cut.surroundings is None:
        for _ in range(attempts):
            y, x = (int(rng.integers(free + 1)) for free in room)
            yield y, x
        return
    corners = rng.integers(room + 1, size=(LOOKED_AT, 2))
    middle = (np.array(cut.shape.shape) - 1) / 2
    order = most_alike(image, (corners + middle).tolist(), cut.surroundings)
    for y, x in corners[order[:attempts]].tolist():
        yield y, x


def _blended(cut: _Cut, ground: FloatArray, form: Form, deviations: float) -> FloatArray | None:
    """The place with the target; None where it would saturate or drown."""
    if form in ("plain", "context"):
        return cut.level + cut.excess
    if form == "excess":
        peak = float(cut.excess.max())
        saturates = peak > 1.0 - ground.mean()
        return None if saturates or _drowns(peak, ground, deviations) else ground + cut.excess
    peak = float(cut.excess[cut.shape].max())
    if _drowns(peak, ground, deviations):
        return None
    level = float(np.median(ground))
    if peak > 1.0 - level:
        cut = cut.times((1.0 - level) / peak)
    return ground + _faded(cut.shape) * (level + cut.excess - ground)


def _factor(cut: _Cut, ground: FloatArray, scr: float) -> float:
    """What a target's contrast is multiplied by to have this mean ratio to a place."""
    mean = float(cut.excess[cut.shape].mean())
    wanted = scr * max(float(ground.std()), QUIETEST) / mean if mean > 0 else 0.0
    return float(np.clip(wanted, *FACTORS))


def _drowns(peak: float, ground: FloatArray, deviations: float) -> bool:
    return bool(peak <= 0 or peak < deviations * ground.std())


def annotated(sample: Sample, shape: BoolArray, y: int, x: int) -> Sample:
    """The sample with the targets of ``shape`` at (y, x) in each annotation that it has.

    A rectangle with surroundings may hold more than one.
    """
    changes: dict[str, Any] = {}
    for name in ("mask", "label"):
        if (layer := getattr(sample, name)) is not None:
            changes[name] = layer.copy()
            place = slice(y, y + shape.shape[0]), slice(x, x + shape.shape[1])
            changes[name][place] = np.maximum(layer[place], shape)
    found, corner = find_components(shape), np.array([x, y])
    if sample.points is not None:
        changes["points"] = np.concatenate([sample.points, found.centroids + corner[::-1]])
    if sample.boxes is not None:
        changes["boxes"] = np.concatenate([sample.boxes, found.boxes + np.tile(corner, 2)])
    for name, values in sample.given("per_target").items():
        changes[name] = np.append(values, np.full(len(found), UNKNOWN)).astype(values.dtype)
    return sample.replace(**changes)
