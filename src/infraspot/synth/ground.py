"""Ground from above, and the skylines of mountains, trees and buildings."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.synth.fractal import Field, fractal, fractal_line


def ground(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Radiance of open ground, (H, W) float32, mostly within [0.05, 0.95]: fields, scrub and roads."""
    stretch = rng.uniform(1.5, 4)
    fine = fractal(shape, rng.uniform(2.2, 3.0), rng, stretch=stretch)
    coarse = fractal(shape, 3.0, rng, stretch=stretch, largest=0.4 * max(shape))
    radiance = np.float32(rng.uniform(0.25, 0.5)) + np.float32(rng.uniform(0.01, 0.05)) * fine
    levels = np.float32(rng.uniform(0.02, 0.12)) * np.tanh(np.float32(rng.uniform(0.5, 2)) * coarse)
    radiance = radiance + levels
    for _ in range(int(rng.integers(0, 3))):
        radiance = radiance + np.float32(rng.normal(0, 0.08)) * _road(shape, rng)
    return radiance


def skyline(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H, W) bool: True on what stands before the sky, in the lower part of the frame."""
    form = FORMS[str(rng.choice(list(FORMS)))]
    height, width = shape
    reach = form(width, rng) * height
    return np.arange(height)[:, None] >= (height - reach)[None, :]


def _mountains(width: int, rng: np.random.Generator) -> Field:
    return np.clip(rng.uniform(0.1, 0.35) + 0.08 * fractal_line(width, 2.4, rng), 0, 0.7)


def _trees(width: int, rng: np.random.Generator) -> Field:
    crowns = np.maximum.reduce([fractal_line(width, 1.6, rng) for _ in range(2)])
    return np.clip(rng.uniform(0.06, 0.25) + 0.03 * crowns, 0, 0.6)


def _buildings(width: int, rng: np.random.Generator) -> Field:
    heights = np.full(width, rng.uniform(0.03, 0.12), np.float32)
    for _ in range(int(rng.integers(2, 9))):
        left = int(rng.integers(-width // 10, width))
        right = left + int(rng.uniform(0.03, 0.2) * width) + 1
        part = heights[max(left, 0) : max(right, 0)]
        np.maximum(part, np.float32(rng.uniform(0.08, 0.5)), out=part)
    return heights


FORMS = {"mountains": _mountains, "trees": _trees, "buildings": _buildings}


def _road(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """A soft line across the frame: 1 on it, 0 off it."""
    y, x = np.indices(shape, np.float32)
    angle = rng.uniform(0, np.pi)
    across = (y - rng.uniform(0, shape[0])) * np.cos(angle) + (x - rng.uniform(0, shape[1])) * np.sin(angle)
    width = rng.uniform(0.01, 0.04) * max(shape)
    across = np.abs(across + 0.5 * width * fractal_line(shape[1], 3, rng)[None, :])
    line: Field = ndimage.gaussian_filter((across < width).astype(np.float32), 1, mode="nearest")
    return line
