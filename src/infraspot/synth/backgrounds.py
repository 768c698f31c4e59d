"""What lies behind the targets: radiance, and which part of it is sky."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infraspot.synth.fractal import Field, fractal
from infraspot.synth.ground import ground, skyline
from infraspot.synth.sea import sea
from infraspot.synth.sky import sky


class Background(NamedTuple):
    """Radiance (H, W) float32 within [0, 1], and sky (H, W) uint8: 1 sky, 0 other."""

    radiance: Field
    sky: NDArray[np.uint8]


def only_sky(shape: tuple[int, int], rng: np.random.Generator) -> Background:
    """Nothing but sky."""
    return _background(sky(shape, rng), np.ones(shape, bool))


def only_sea(shape: tuple[int, int], rng: np.random.Generator) -> Background:
    """Nothing but water, the horizon above the frame."""
    return _background(sea(shape, rng, horizon=-rng.uniform(0.05, 1)), np.zeros(shape, bool))


def only_ground(shape: tuple[int, int], rng: np.random.Generator) -> Background:
    """Nothing but ground."""
    return _background(ground(shape, rng), np.zeros(shape, bool))


def mixed(shape: tuple[int, int], rng: np.random.Generator) -> Background:
    """Sky above a skyline, or above the sea."""
    above = sky(shape, rng)
    if rng.random() < 0.4:
        horizon = rng.uniform(0.25, 0.8)
        below = sea(shape, rng, horizon=horizon)
        front = np.repeat(np.arange(shape[0])[:, None] >= horizon * shape[0], shape[1], axis=1)
    else:
        front = skyline(shape, rng)
        below = _standing(shape, above, front, rng)
    return _background(np.where(front, below, above), ~front)


BACKGROUNDS: dict[str, Callable[[tuple[int, int], np.random.Generator], Background]] = {
    "sky": only_sky,
    "sea": only_sea,
    "ground": only_ground,
    "mixed": mixed,
}


def _standing(
    shape: tuple[int, int], above: Field, front: NDArray[np.bool_], rng: np.random.Generator
) -> Field:
    """What stands before the sky: warmer or colder than the sky just above it, by a visible step."""
    horizon = float(above[~front].mean()) if not front.all() else 0.4
    step = rng.choice([-1, 1], p=[0.35, 0.65]) * rng.uniform(0.08, 0.4)
    texture = np.float32(rng.uniform(0.01, 0.06)) * fractal(shape, rng.uniform(1.8, 2.8), rng)
    patches = np.float32(rng.uniform(0, 0.1)) * np.tanh(4 * fractal(shape, 2.8, rng, largest=max(shape) / 6))
    return np.float32(np.clip(horizon + step, 0.05, 0.9)) + texture + patches


def _background(radiance: Field, is_sky: NDArray[np.bool_]) -> Background:
    return Background(np.clip(radiance, 0.02, 0.98).astype(np.float32), is_sky.astype(np.uint8))
