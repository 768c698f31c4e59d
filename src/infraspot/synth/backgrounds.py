"""What lies behind the targets: radiance, which part of it is sky, and what stands there."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.synth.clutter import Clutter, Perch, Place, shown
from infraspot.synth.fractal import Field, fractal
from infraspot.synth.ground import ground, skyline
from infraspot.synth.sea import sea
from infraspot.synth.sky import sky
from infraspot.synth.street import View, roofs, street, towers

_FAR = 150.0  # metres: a target before nearer ground would be a bird, or large


class Background(NamedTuple):
    """What a camera sees before there are targets.

    Attributes
    ----------
    radiance
        (H, W) float32 within [0, 1].
    sky
        (H, W) uint8: 1 sky, 0 other.
    open_air
        (H, W) bool: where targets may be.
    floor
        (H, W) bool: open ground, on which things may lie.
    scale
        (H, W) float32: pixels to a metre, 0 in the sky; None where the background has no depth.
    things, perches
        What stands on the ground, and places for spots.
    """

    radiance: Field
    sky: NDArray[np.uint8]
    open_air: NDArray[np.bool_]
    floor: NDArray[np.bool_]
    scale: Field | None = None
    things: tuple[Clutter, ...] = ()
    perches: tuple[Perch, ...] = ()

    def moved(self, way: Place, shape: tuple[int, int]) -> "Background":
        """What a frame of that shape shows once all has moved by ``way`` (rows, columns; none above 0)."""
        rows, columns = (
            slice(start, start + side) for start, side in zip((round(-w) for w in way), shape, strict=True)
        )
        return Background(
            radiance=ndimage.shift(self.radiance, way, order=1, mode="nearest")[: shape[0], : shape[1]],
            sky=ndimage.shift(self.sky, way, order=0, mode="nearest")[: shape[0], : shape[1]],
            open_air=self.open_air[rows, columns],
            floor=self.floor[rows, columns],
            scale=None if self.scale is None else self.scale[rows, columns],
            things=tuple(shown(self.things, way, shape)),
            perches=tuple(
                perch._replace(place=(perch.place[0] + way[0], perch.place[1] + way[1]))
                for perch in self.perches
            ),
        )


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


def _seen(
    view: Callable[[tuple[int, int], np.random.Generator], View],
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> Background:
    """Ground that people built on. Targets are in the sky, or low before what is far off."""
    camera, painted = view(shape, rng)
    is_sky = np.isinf(painted.depth)
    far = painted.depth > (_FAR if is_sky.any() else 0)
    plain = _background(painted.radiance, is_sky)
    return plain._replace(
        open_air=is_sky | far,
        floor=painted.floor,
        scale=np.where(is_sky, 0, np.float32(camera.focal) / painted.depth),
        things=tuple(painted.things),
        perches=tuple(painted.perches),
    )


BACKGROUNDS: dict[str, Callable[[tuple[int, int], np.random.Generator], Background]] = {
    "sky": only_sky,
    "sea": only_sea,
    "ground": only_ground,
    "mixed": mixed,
    "street": partial(_seen, street),
    "roofs": partial(_seen, roofs),
    "towers": partial(_seen, towers),
}
BUILT = ("street", "roofs", "towers")


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
    open_air = is_sky if is_sky.any() else np.ones_like(is_sky)
    return Background(
        np.clip(radiance, 0.02, 0.98).astype(np.float32), is_sky.astype(np.uint8), open_air, ~is_sky
    )
