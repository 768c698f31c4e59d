"""Real noise: flat windows of other frames lend theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.augment.intensity import Range
from infraspot.core.sample import FloatArray, Sample

Variant = Literal["residual", "program"]
STRENGTHS: dict[str, Range] = {"residual": (0.5, 1.5), "program": (0.1, 0.5)}


@dataclass(frozen=True, kw_only=True)
class NoiseLibrary:
    """Add the noise of a flat window of another frame, or of the frame itself; masks and labels stay.

    Where no flat window is found, the frame stays as it is.

    ``"residual"``
        The window without its mean and its slope, tiled by mirroring and never resized, is added: the noise
        keeps its grain, and the frame its contrast.
    ``"program"``
        SIRST-5K's noise displacement as its program has it: the window is enlarged to the frame, which makes
        blotches of its noise, and mixed in by a share m, so that contrast is lowered to 1 - m.

    Attributes
    ----------
    donors
        Frames to take windows from; where there are none, it is the frame itself.
    variant
        One of the two above.
    side
        Side of a window in pixels.
    flat
        Largest standard deviation within a window; SIRST-5K's is a variance of 50 grey values of 255.
    strength
        Range of the factor on the residual, or of the share m; by default 0.5 to 1.5, or 0.1 to 0.5.
    p
        Chance that a frame gets any.

    Raises
    ------
    ValueError
        If the variant is unknown, or ``side`` is below 2.
    """

    donors: Sequence[Sample] = ()
    variant: Variant = "residual"
    side: int = 32
    flat: float = 50**0.5 / 255
    strength: Range | None = None
    p: float = 0.3

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant must be residual or program, and it is {self.variant!r}")
        if self.side < 2:
            raise ValueError(f"side must be 2 pixels or more, and it is {self.side}")

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        donor = self.donors[int(rng.integers(len(self.donors)))] if len(self.donors) else sample
        window = self._flat_window(donor, rng)
        if window is None:
            return sample
        strength = np.float32(rng.uniform(*(self.strength or STRENGTHS[self.variant])))
        if self.variant == "residual":
            image = sample.image + strength * _tiled(_residual(window), sample.shape, rng)
        else:
            image = strength * _enlarged(window, sample.shape) + (1 - strength) * sample.image
        return sample.replace(image=np.clip(image, 0.0, 1.0))

    def _flat_window(self, donor: Sample, rng: Generator, attempts: int = 8) -> FloatArray | None:
        """The first window, of some drawn at random, that is flat and holds no target."""
        room = np.array(donor.shape) - self.side
        if (room < 0).any():
            return None
        for _ in range(attempts):
            y, x = (int(rng.integers(free + 1)) for free in room)
            place = slice(y, y + self.side), slice(x, x + self.side)
            if donor.supervision is not None and donor.supervision[place].any():
                continue
            if donor.image[place].std() <= self.flat:
                return donor.image[place]
        return None


def _residual(window: FloatArray) -> FloatArray:
    """A square window without its mean and its plane of best fit."""
    slope = np.arange(len(window), dtype=np.float32) - np.float32((len(window) - 1) / 2)
    steepness = len(window) * np.float32(slope @ slope)
    rows, columns = (window @ slope).sum() / steepness, (slope @ window).sum() / steepness
    return window - window.mean() - columns * slope[:, None] - rows * slope


def _tiled(window: FloatArray, shape: tuple[int, int], rng: Generator) -> FloatArray:
    """A square window repeated over a frame from a random place on, mirrored at each seam."""
    rows, columns = (_mirrored(len(window), length, rng) for length in shape)
    return window[rows[:, None], columns]


def _mirrored(side: int, length: int, rng: Generator) -> NDArray[np.intp]:
    """(length,) places in a window that runs to and fro."""
    place = (np.arange(length) + int(rng.integers(2 * side))) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


def _enlarged(window: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """A window stretched over a frame by linear interpolation."""
    factors = [length / side for length, side in zip(shape, window.shape, strict=True)]
    enlarged: FloatArray = ndimage.zoom(window, factors, order=1, mode="nearest", grid_mode=True)
    return enlarged
