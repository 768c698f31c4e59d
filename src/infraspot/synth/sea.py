"""Sea: waves seen at a slant, and the glint of the sun or of a warm sky on their faces."""

import numpy as np
from scipy import ndimage

from infraspot.synth.fractal import Field, fractal

_TEXTURE = 512


def sea(shape: tuple[int, int], rng: np.random.Generator, *, horizon: float = -0.3) -> Field:
    """Radiance of a sea, (H, W) float32, mostly within [0.05, 0.95].

    Parameters
    ----------
    shape
        Height and width of the frame in pixels.
    rng
        Source of all randomness.
    horizon
        Where the horizon lies, in frame heights from the upper edge; negative when it is above the frame.
        Rows above it are filled with what the first row below it shows.
    """
    slant = _slant(shape, horizon)
    square = (_TEXTURE, _TEXTURE)
    waves = _seen(shape, fractal(square, rng.uniform(1.8, 2.6), rng, stretch=2.5, largest=90), slant, rng)
    swell = _seen(shape, fractal(square, 3.2, rng, stretch=4), slant, rng)
    nearness = np.clip(slant / slant.max(), 0.08, 1) ** np.float32(0.5)
    rough = np.float32(rng.uniform(0.01, 0.06))
    radiance = np.float32(rng.uniform(0.15, 0.45)) + rough * nearness * (waves + np.float32(0.6) * swell)
    radiance = radiance + np.float32(rng.uniform(-0.12, 0.12)) * (1 - nearness)
    if rng.random() < 0.5:
        radiance = radiance + _glint(shape, waves, rng)
    return radiance.astype(np.float32)


def _slant(shape: tuple[int, int], horizon: float) -> Field:
    """(H, 1): distance below the horizon in frame heights, at least one row."""
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None] - np.float32(horizon)
    return np.maximum(rows, np.float32(1 / max(shape[0], 2)))


def _seen(shape: tuple[int, int], texture: Field, slant: Field, rng: np.random.Generator) -> Field:
    """A texture on the water as the camera sees it: further rows shrink by the tangent of the view."""
    height, width = shape
    scale = np.float32(rng.uniform(0.8, 1.6)) * height
    depth = np.broadcast_to(scale * np.log(slant), shape)
    aside = (np.arange(width, dtype=np.float32) - width / 2)[None, :] / np.maximum(slant, 0.05) ** np.float32(
        0.5
    )
    places = np.stack([depth, aside])
    seen: Field = ndimage.map_coordinates(texture, places, order=1, mode="grid-wrap")
    return seen


def _glint(shape: tuple[int, int], waves: Field, rng: np.random.Generator) -> Field:
    """Wave faces that mirror the sun: sharp, bright, and within a path below it."""
    x = np.linspace(0, 1, shape[1], dtype=np.float32)[None, :]
    path = np.exp(-(((x - np.float32(rng.uniform(0, 1))) / np.float32(rng.uniform(0.1, 0.6))) ** 2))
    facing = np.clip(waves - np.float32(rng.uniform(1.0, 2.2)), 0, 1.5)
    return np.float32(rng.uniform(0.1, 0.4)) * path * facing
