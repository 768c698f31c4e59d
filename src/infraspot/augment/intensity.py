"""Transforms of brightness alone; nothing moves."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from infraspot.core.sample import FloatArray, Sample

Range = tuple[float, float]


def log_uniform(limits: Range, rng: Generator) -> float:
    """A number between two limits, drawn evenly in its logarithm."""
    low, high = np.log(limits)
    return float(np.exp(rng.uniform(low, high)))


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
        gain, bias = log_uniform(self.gain, rng), rng.uniform(-self.bias, self.bias)
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
        gamma = log_uniform(self.gamma, rng)
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


def _with_image(sample: Sample, image: FloatArray) -> Sample:
    return sample.replace(image=np.clip(image, 0.0, 1.0).astype(np.float32, copy=False))
