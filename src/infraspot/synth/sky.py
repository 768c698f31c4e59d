"""Sky: a gradient from haze to zenith, with clouds of fractal spectrum, soft or hard at their edges."""

import numpy as np

from infraspot.synth.fractal import Field, fractal, warped


def sky(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Radiance of a sky, (H, W) float32, mostly within [0.05, 0.95].

    A thermal camera sees a cold zenith above a warm horizon, so the gradient is mostly upright; clouds are
    warmer than the clear sky behind them. Three skies in ten are clear, four hold thin cloud, three thick.
    """
    base = rng.choice([rng.uniform(0.08, 0.3), rng.uniform(0.3, 0.6)], p=[0.25, 0.75])
    radiance = np.float32(base) + _gradient(shape, rng, rng.uniform(0.02, 0.3))
    radiance = radiance + np.float32(rng.uniform(0.002, 0.012)) * fractal(shape, 3.6, rng)
    kind = rng.choice(["clear", "thin", "thick"], p=[0.3, 0.4, 0.3])
    if kind == "thin":
        radiance = radiance + _cloud(shape, rng, height=rng.uniform(0.04, 0.16), softness=rng.uniform(1, 3))
    elif kind == "thick":
        height = min(rng.uniform(0.15, 0.5), 0.95 - base)
        radiance = radiance + _cloud(shape, rng, height=height, softness=rng.uniform(0.3, 1.6))
    return radiance


def _gradient(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Field:
    """Warmer below, tilted a little, bending towards the horizon."""
    y, x = (np.linspace(0, 1, n, dtype=np.float32) for n in shape)
    tilt = rng.normal(0, 0.25)
    ramp = np.clip(y[:, None] + np.float32(tilt) * (x[None, :] - 0.5), 0, None)
    ramp = ramp ** np.float32(rng.uniform(0.7, 2.5))
    return np.float32(height) * (ramp - ramp.mean())


def _cloud(shape: tuple[int, int], rng: np.random.Generator, *, height: float, softness: float) -> Field:
    """Cloud where a fractal field exceeds a level: ``softness`` is the width of its edge in deviations."""
    stretch = rng.uniform(1.2, 3.0)
    slope = rng.uniform(2.9, 3.8)
    form = fractal(shape, slope, rng, stretch=stretch)
    reach = rng.uniform(0.01, 0.04) * max(shape)
    form = warped(form, fractal(shape, 3, rng), fractal(shape, 3, rng), reach)
    lift = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(rng.uniform(-0.3, 1.2))
    density = np.clip((form + lift - np.float32(rng.uniform(-0.6, 1.0))) / np.float32(softness), 0, 1)
    density = density * density * (3 - 2 * density)
    shading = 1 + np.float32(rng.uniform(0.1, 0.3)) * fractal(shape, 2.8, rng, stretch=stretch)
    return np.float32(height) * density * np.clip(shading, 0.3, 1.7)
