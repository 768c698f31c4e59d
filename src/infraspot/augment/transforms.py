"""Augmentation: functions from a sample and a random generator to a sample.

Image, mask, points, boxes and sky move together; ``None`` stays ``None``, and the input is never changed.
Every draw comes from the generator, so that the same seed gives the same sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.augment.copy_paste import CopyPaste
from infraspot.augment.flecks import Flecks
from infraspot.augment.resampling import resample
from infraspot.core.geometry import find_components
from infraspot.core.sample import FloatArray, Sample

Transform = Callable[[Sample, Generator], Sample]
Range = tuple[float, float]


@dataclass(frozen=True)
class Compose:
    """Transforms one after the other."""

    steps: Sequence[Transform] = ()

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        for step in self.steps:
            sample = step(sample, rng)
        return sample


@dataclass(frozen=True, kw_only=True)
class Crop:
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

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        zoom = _log_uniform(self.zoom, rng)
        side = self.size / zoom
        centre = self._centre(sample, side, rng)
        corner = np.array([_window_start(c, side, n, rng) for c, n in zip(centre, sample.shape, strict=True)])
        if zoom == 1.0:
            corner = np.rint(corner)
        return resample(sample, corner, zoom, (self.size, self.size))

    def _centre(self, sample: Sample, side: float, rng: Generator) -> NDArray[np.float64]:
        if rng.random() < self.on_target:
            centres = _target_centres(sample)
            if len(centres):
                return centres[rng.integers(len(centres))] + rng.uniform(-side / 4, side / 4, 2)
        if rng.random() < self.on_clutter:
            return _brightest_clutter(sample, rng)
        return rng.uniform((0, 0), sample.shape)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Magnify the whole frame by one factor from ``zoom``; drawn evenly in its logarithm."""

    zoom: Range = (0.7, 1.4)

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        zoom = _log_uniform(self.zoom, rng)
        height, width = (max(1, round(side * zoom)) for side in sample.shape)
        return resample(sample, np.zeros(2), zoom, (height, width))


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror left and right, and upside down, each with the chance ``p``."""

    p: float = 0.5

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        rows, columns = rng.random(2) < self.p
        height, width = sample.shape
        points, boxes = sample.points, sample.boxes
        if points is not None:
            points = points.copy()
            points[:, 0] = height - 1 - points[:, 0] if rows else points[:, 0]
            points[:, 1] = width - 1 - points[:, 1] if columns else points[:, 1]
        if boxes is not None:
            x0, y0, x1, y1 = boxes.T
            x0, x1 = (width - x1, width - x0) if columns else (x0, x1)
            y0, y1 = (height - y1, height - y0) if rows else (y0, y1)
            boxes = np.stack([x0, y0, x1, y1], axis=1)
        step = (-1 if rows else 1, -1 if columns else 1)
        return _rearranged(sample, lambda layer: layer[:: step[0], :: step[1]], points, boxes)


@dataclass(frozen=True, kw_only=True)
class Transpose:
    """Swap rows and columns with the chance ``p``; with :class:`Flip` it makes all eight symmetries."""

    p: float = 0.5

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        points = None if sample.points is None else sample.points[:, ::-1].copy()
        boxes = None if sample.boxes is None else sample.boxes[:, [1, 0, 3, 2]]
        return _rearranged(sample, lambda layer: layer.T, points, boxes)


@dataclass(frozen=True, kw_only=True)
class Rot90:
    """Turn by no, one, two or three quarters, counter-clockwise, all equally likely."""

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        upside_down = Flip(p=1.0)
        quarters = int(rng.integers(4))
        if quarters >= 2:
            sample = upside_down(sample, rng)
        if quarters % 2 == 0:
            return sample
        turned = Transpose(p=1.0)(sample, rng)
        height = turned.shape[0]
        points, boxes = turned.points, turned.boxes
        if points is not None:
            points = np.stack([height - 1 - points[:, 0], points[:, 1]], axis=1)
        if boxes is not None:
            x0, y0, x1, y1 = boxes.T
            boxes = np.stack([x0, height - y1, x1, height - y0], axis=1)
        return _rearranged(turned, lambda layer: layer[::-1], points, boxes)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Change contrast about the mean by a factor from ``gain``, and brightness by up to ``bias``.

    It happens with the chance ``p``. The factor is drawn evenly in its logarithm, so that (0.05, 1) makes
    frames of very low contrast common.
    """

    gain: Range = (0.7, 1.3)
    bias: float = 0.1
    p: float = 1.0

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        gain, bias = _log_uniform(self.gain, rng), rng.uniform(-self.bias, self.bias)
        mean = float(sample.image.mean())
        return _with_image(sample, (sample.image - mean) * np.float32(gain) + np.float32(mean + bias))


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """Raise the image to a power from ``gamma``, drawn evenly in its logarithm, with the chance ``p``."""

    gamma: Range = (0.7, 1.4)
    p: float = 1.0

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        gamma = _log_uniform(self.gamma, rng)
        return _with_image(sample, sample.image ** np.float32(gamma))


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add white Gaussian noise of a standard deviation from ``sigma`` with the chance ``p``."""

    sigma: Range = (0.0, 0.02)
    p: float = 0.5

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        noise = rng.standard_normal(sample.shape, dtype=np.float32)
        return _with_image(sample, sample.image + np.float32(rng.uniform(*self.sigma)) * noise)


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Smooth by a Gaussian of ``sigma`` pixels with the chance ``p``; the mask stays."""

    sigma: Range = (0.3, 0.8)
    p: float = 0.2

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        blurred = ndimage.gaussian_filter(
            sample.image, rng.uniform(*self.sigma), mode="nearest", truncate=3.0
        )
        return _with_image(sample, blurred)


TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "crop": Crop,
    "scale": Scale,
    "flip": Flip,
    "transpose": Transpose,
    "rot90": Rot90,
    "gain": Gain,
    "gamma": Gamma,
    "noise": Noise,
    "blur": Blur,
    "copy-paste": CopyPaste,
    "flecks": Flecks,
}


def _log_uniform(limits: Range, rng: Generator) -> float:
    low, high = np.log(limits)
    return float(np.exp(rng.uniform(low, high)))


def _with_image(sample: Sample, image: FloatArray) -> Sample:
    return sample.replace(image=np.clip(image, 0.0, 1.0).astype(np.float32, copy=False))


def _rearranged(
    sample: Sample, move: Callable[[Any], Any], points: FloatArray | None, boxes: FloatArray | None
) -> Sample:
    """Apply ``move`` to the layers of pixels, which stay contiguous."""
    layers = {
        name: None if layer is None else np.ascontiguousarray(move(layer))
        for name, layer in (("image", sample.image), ("mask", sample.mask), ("sky", sample.sky))
    }
    return sample.replace(points=points, boxes=boxes, **layers)


def _target_centres(sample: Sample) -> NDArray[np.float64]:
    """(N, 2) centres as (y, x), from the cheapest annotation there is."""
    if sample.points is not None:
        return sample.points
    if sample.boxes is not None:
        x0, y0, x1, y1 = sample.boxes.T
        return np.stack([(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2], axis=1)
    return np.empty((0, 2)) if sample.mask is None else find_components(sample.mask).centroids


def _brightest_clutter(
    sample: Sample, rng: Generator, candidates: int = 64, radius: int = 6
) -> NDArray[np.float64]:
    """The background pixel, of some drawn at random, that stands out most from a ring around it."""
    height, width = sample.shape
    ys, xs = rng.integers(height, size=candidates), rng.integers(width, size=candidates)
    dy, dx = radius * np.array([[-1, -1, -1, 0, 0, 1, 1, 1], [-1, 0, 1, -1, 1, -1, 0, 1]])
    ring = sample.image[np.clip(ys[:, None] + dy, 0, height - 1), np.clip(xs[:, None] + dx, 0, width - 1)]
    contrast = sample.image[ys, xs] - ring.mean(axis=1)
    if sample.mask is not None:
        contrast = np.where(sample.mask[ys, xs], -np.inf, contrast)
    best = int(contrast.argmax())
    return np.array([ys[best], xs[best]], np.float64)


def _window_start(centre: float, side: float, length: int, rng: Generator) -> float:
    """Where a window begins so that it shows as much of the frame as it can."""
    if side >= length:
        return float(rng.uniform(length - side, 0.0))
    return float(np.clip(centre + 0.5 - side / 2, 0.0, length - side))
