"""Adding clutter that a network takes for targets: flecks of cloud and pieces of trails."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from infraspot.core.sample import FloatArray, Sample


@dataclass(frozen=True, kw_only=True)
class Flecks:
    """Add soft blobs that are no targets to the image; masks and labels stay.

    A fleck is an uneven Gaussian, too soft at its edge for a target of its size. It is left out where it
    would cover a target.

    Attributes
    ----------
    count
        Least and largest number of flecks.
    breadth
        Standard deviation across the fleck, in pixels.
    aspect
        Largest ratio of length to breadth.
    strength
        Range of the peak in standard deviations of the frame; no peak is above half of the full scale.
    p
        Chance that a frame gets any.
    """

    count: tuple[int, int] = (1, 3)
    breadth: tuple[float, float] = (3.5, 8.0)
    aspect: float = 4.0
    strength: tuple[float, float] = (0.5, 5.0)
    p: float = 0.3

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        image, spread = sample.image, float(sample.image.std())
        occupied = None if sample.supervision is None else sample.supervision > 0
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            shape = self._shape(sample.shape, rng)
            peak = min(0.5, spread * float(np.exp(rng.uniform(*np.log(self.strength)))))
            if occupied is None or not (shape[occupied] > 0.1).any():
                image = image + np.float32(peak) * shape
        return sample.replace(image=np.clip(image, 0.0, 1.0))

    def _shape(self, shape: tuple[int, int], rng: Generator) -> FloatArray:
        """One fleck of peak about 1: a Gaussian along a random direction, modulated by two waves."""
        y, x = (np.arange(side, dtype=np.float32) - np.float32(rng.uniform(0, side)) for side in shape)
        angle = rng.uniform(0, np.pi)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = cos * x + sin * y[:, None], cos * y[:, None] - sin * x
        breadth = np.exp(rng.uniform(*np.log(self.breadth)))
        length = breadth * np.exp(rng.uniform(0, np.log(self.aspect)))
        fleck = np.exp(-0.5 * ((along / np.float32(length)) ** 2 + (across / np.float32(breadth)) ** 2))
        for axis, scale in ((along, length), (across, breadth)):
            frequency, phase = (
                np.float32(rng.uniform(0.3, 1.5) / scale),
                np.float32(rng.uniform(0, 2 * np.pi)),
            )
            fleck = fleck * (np.float32(0.75) + np.float32(0.25) * np.sin(frequency * axis + phase))
        return fleck
