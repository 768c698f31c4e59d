"""Targets as the detector sees them before noise: a pattern with peak 1, where it lies, and its true mask."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.synth.optics import Field, Optics

_FINE = 4
_MARGIN = 6


class Pattern(NamedTuple):
    """What one target adds to a frame.

    ``signal`` is (h, w) float32 with peak 1; ``top`` and ``left`` place it in the frame, and may be negative;
    ``mask`` is (h, w) bool; ``centre`` is the true (y, x) of the target, with sub-pixels.
    """

    signal: Field
    top: int
    left: int
    mask: NDArray[np.bool_]
    centre: tuple[float, float]

    def cut(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Slices of a frame of that shape and of the pattern where the two overlap."""
        pairs = [
            (
                slice(max(start, 0), max(min(start + size, side), 0)),
                slice(max(-start, 0), max(min(side - start, size), 0)),
            )
            for start, size, side in zip((self.top, self.left), self.signal.shape, shape, strict=True)
        ]
        return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])


def target_pattern(
    centre: tuple[float, float],
    diameter: float,
    optics: Optics,
    rng: np.random.Generator,
    *,
    mask_share: float = 1 / 3,
    winged: float = 0.4,
) -> Pattern:
    """Draw one target.

    Parameters
    ----------
    centre
        (y, x) in the frame, pixels.
    diameter
        Size before the optics, pixels; below one pixel the target is a point source.
    optics
        Point spread of the lens and detector.
    rng
        Draws the form and the attitude of an extended target.
    mask_share
        A pixel belongs to the target where the signal is at least this share of its peak. People who label
        infrared frames draw the outline at about a third.
    winged
        Chance that a target of at least four pixels is a body with wings, and no ellipse.
    """
    size = 2 * int(np.ceil(diameter / 2 + 3 * optics.width)) + _MARGIN + 1
    whole = tuple(int(np.floor(c + 0.5)) for c in centre)
    offset = (centre[0] - whole[0], centre[1] - whole[1])
    if diameter < 1:
        signal = optics.point(size, offset)
    else:
        signal = optics.blur(_shape(size, offset, diameter, rng, winged), _FINE)
    signal = signal / signal.max()
    return Pattern(signal, whole[0] - size // 2, whole[1] - size // 2, signal >= mask_share, centre)


def moved(pattern: Pattern, way: tuple[float, float], mask_share: float) -> Pattern:
    """The pattern moved by (y, x) pixels: whole ones by place, the rest by interpolation."""
    if way == (0.0, 0.0):
        return pattern
    whole = [int(np.floor(w + 0.5)) for w in way]
    rest = [w - n for w, n in zip(way, whole, strict=True)]
    signal = ndimage.shift(pattern.signal, rest, order=1, mode="constant")
    centre = (pattern.centre[0] + way[0], pattern.centre[1] + way[1])
    mask = signal >= mask_share * signal.max()
    return Pattern(signal, pattern.top + whole[0], pattern.left + whole[1], mask, centre)


def _shape(
    size: int, offset: tuple[float, float], diameter: float, rng: np.random.Generator, winged: float
) -> Field:
    """An extended target on a fine grid: an ellipse, or a body with wings, at any attitude."""
    grid = (np.arange(size * _FINE) + 0.5) / _FINE - size / 2
    y, x = np.meshgrid(grid - offset[0], grid - offset[1], indexing="ij")
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    half = diameter / 2
    body = (along / half) ** 2 + (across / (half * rng.uniform(0.35, 1))) ** 2 <= 1
    if diameter >= 4 and rng.random() < winged:
        body = (np.abs(along) <= half) & (np.abs(across) <= half * 0.25)
        wings = (np.abs(across) <= half * 0.9) & (
            np.abs(along - half * 0.15 + np.abs(across) / 3) <= half * 0.3
        )
        body = body | wings
    warmth = 1 + rng.uniform(-0.5, 0.5) * along / half
    return (body * np.clip(warmth, 0.3, None)).astype(np.float32)
