"""Transforms that move pixels: crops, scales and the symmetries of the square."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from infraspot.augment.geometry import Move
from infraspot.augment.intensity import Range, log_uniform
from infraspot.core.geometry import find_components
from infraspot.core.sample import FloatArray, Sample


class Geometric:
    """A transform that draws a :class:`Move`; every layer and every target of the frame makes that move."""

    def draw(self, sample: Sample, rng: Generator) -> Move:
        """The move for a frame; the other frames of a sequence may make it too."""
        raise NotImplementedError

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        return self.draw(sample, rng)(sample)


@dataclass(frozen=True, kw_only=True)
class Crop(Geometric):
    """Cut a square window, around a target or around background, and bring it to ``size`` pixels.

    Beyond the frame, its border is repeated, as networks pad it, and nothing is a target.

    Attributes
    ----------
    size
        Side of the result in pixels.
    on_target
        Chance that the window holds a target, where the frame has one, anywhere in its middle half.
    on_clutter
        Chance that any other window is centred on something bright and small that is no target.
    zoom
        Least and largest magnification; drawn evenly in its logarithm.
    """

    size: int = 160
    on_target: float = 0.75
    on_clutter: float = 0.5
    zoom: Range = (1.0, 1.0)

    def draw(self, sample: Sample, rng: Generator) -> Move:
        zoom = log_uniform(self.zoom, rng)
        side = self.size / zoom
        y, x = self._centre(sample, side, rng)
        height, width = sample.shape
        top, left = _window_start(y, side, height, rng), _window_start(x, side, width, rng)
        if zoom == 1.0:
            top, left = round(top), round(left)
        return Move(shape=(self.size, self.size), corner=(top, left), zoom=zoom)

    def _centre(self, sample: Sample, side: float, rng: Generator) -> NDArray[np.float64]:
        if rng.random() < self.on_target:
            centres = _target_centres(sample)
            if len(centres):
                return centres[rng.integers(len(centres))] + rng.uniform(-side / 4, side / 4, 2)
        if rng.random() < self.on_clutter:
            return _brightest_clutter(sample, rng)
        return rng.uniform((0, 0), sample.shape)


@dataclass(frozen=True, kw_only=True)
class Scale(Geometric):
    """Magnify the whole frame by one factor from ``zoom``; drawn evenly in its logarithm."""

    zoom: Range = (0.7, 1.4)

    def draw(self, sample: Sample, rng: Generator) -> Move:
        zoom = log_uniform(self.zoom, rng)
        height, width = (max(1, round(side * zoom)) for side in sample.shape)
        return Move(shape=(height, width), zoom=zoom)


@dataclass(frozen=True, kw_only=True)
class Flip(Geometric):
    """Mirror left and right, and upside down, each with the chance ``p``."""

    p: float = 0.5

    def draw(self, sample: Sample, rng: Generator) -> Move:
        rows, columns = rng.random(2) < self.p
        return Move(shape=sample.shape, mirrored=(bool(rows), bool(columns)))


@dataclass(frozen=True, kw_only=True)
class Transpose(Geometric):
    """Swap rows and columns with the chance ``p``; with :class:`Flip` it makes all eight symmetries."""

    p: float = 0.5

    def draw(self, sample: Sample, rng: Generator) -> Move:
        return Move(shape=sample.shape, transposed=rng.random() < self.p)


@dataclass(frozen=True, kw_only=True)
class Rot90(Geometric):
    """Turn by no, one, two or three quarters, counter-clockwise, all equally likely."""

    def draw(self, sample: Sample, rng: Generator) -> Move:
        quarters = int(rng.integers(4))
        return Move(
            shape=sample.shape, transposed=quarters % 2 == 1, mirrored=(quarters in (1, 2), quarters >= 2)
        )


def _target_centres(sample: Sample) -> FloatArray:
    """(N, 2) centres as (y, x), from the cheapest annotation there is."""
    if sample.points is not None:
        return sample.points
    if sample.boxes is not None:
        x0, y0, x1, y1 = sample.boxes.T
        return np.stack([(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2], axis=1)
    # A soft label's target is where it is as likely as not.
    return (
        np.empty((0, 2))
        if sample.supervision is None
        else find_components(sample.supervision >= 0.5).centroids
    )


def _brightest_clutter(
    sample: Sample, rng: Generator, candidates: int = 64, radius: int = 6
) -> NDArray[np.float64]:
    """The background pixel, of some drawn at random, that stands out most from a ring around it."""
    height, width = sample.shape
    ys, xs = rng.integers(height, size=candidates), rng.integers(width, size=candidates)
    dy, dx = radius * np.array([[-1, -1, -1, 0, 0, 1, 1, 1], [-1, 0, 1, -1, 1, -1, 0, 1]])
    ring = sample.image[np.clip(ys[:, None] + dy, 0, height - 1), np.clip(xs[:, None] + dx, 0, width - 1)]
    contrast = sample.image[ys, xs] - ring.mean(axis=1)
    if sample.supervision is not None:
        contrast = np.where(sample.supervision[ys, xs] > 0, -np.inf, contrast)
    best = int(contrast.argmax())
    return np.array([ys[best], xs[best]], np.float64)


def _window_start(centre: float, side: float, length: int, rng: Generator) -> float:
    """Where a window begins so that it shows as much of the frame as it can."""
    if side >= length:
        return float(rng.uniform(length - side, 0.0))
    return float(np.clip(centre + 0.5 - side / 2, 0.0, length - side))
