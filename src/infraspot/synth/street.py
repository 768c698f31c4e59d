"""Ground that people built on, seen in perspective: streets, roofs from above, towers from below."""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from infraspot.synth import structures
from infraspot.synth.fractal import Field, fractal
from infraspot.synth.layout import Thing, grow, roadside, skyline, vehicles, walls, wood
from infraspot.synth.perspective import Air, Camera, Painted, Painter
from infraspot.synth.terrain import Tones, Way, open_country

_TEXTURE = 512  # pixels
_SHADES = 32  # across the frame


class View(NamedTuple):
    """A painted frame, and the camera that saw it."""

    camera: Camera
    painted: Painted


def street(shape: tuple[int, int], rng: np.random.Generator) -> View:
    """A road ahead between buildings, trees, poles and fences, from the height of a car or a mast."""
    horizon = float(np.clip(rng.normal(0.42, 0.1), 0.15, 0.75))
    camera = Camera(shape, rng.uniform(0.8, 2.0) * shape[1], horizon * shape[0], rng.uniform(1.4, 5))
    way = Way(rng.uniform(-4, 4), rng.uniform(2.5, 8))
    tones, plants = _tones(rng), grow(shape, rng)
    things = [*skyline(tones, rng), *vehicles(way, tones, rng)]
    for side in (-1, 1):
        things += roadside(way, side, tones, plants, rng)
    return _view(camera, way, tones, things, rng)


def roofs(shape: tuple[int, int], rng: np.random.Generator) -> View:
    """Houses and trees from a height, the horizon high in the frame or above it."""
    camera = Camera(
        shape, rng.uniform(1.0, 3.0) * shape[1], rng.uniform(-0.6, 0.45) * shape[0], rng.uniform(12, 60)
    )
    tones, plants, way = _tones(rng), grow(shape, rng), Way(rng.uniform(-30, 30), rng.uniform(2, 6))
    things = skyline(tones, rng)
    bottom = camera.focal * camera.height / max(shape[0] - camera.horizon, 1)
    for _ in range(int(rng.integers(20, 110))):
        z = float(bottom * np.exp(rng.uniform(-0.1, np.log(max(500 / bottom, 4)))))
        x = rng.uniform(-0.6, 0.6) * z * shape[1] / camera.focal
        size = (rng.uniform(6, 16), rng.uniform(2.5, 6), rng.uniform(5, 9))
        if abs(x - way.middle) > way.half + size[0] / 2:
            kind = structures.house if rng.random() < 0.7 else structures.building
            things.append((z, partial(kind, place=(x, 0.0, z), size=size, warmth=walls(tones, rng), rng=rng)))
    things += wood(
        tones,
        plants,
        rng,
        count=int(rng.integers(10, 70)),
        nearest=0.8 * bottom,
        breadth=0.6 * shape[1] / camera.focal,
    )
    return _view(camera, way, tones, things, rng)


def towers(shape: tuple[int, int], rng: np.random.Generator) -> View:
    """Tall buildings before the sky, the horizon low in the frame or below it."""
    camera = Camera(
        shape, rng.uniform(1.2, 3.5) * shape[1], rng.uniform(0.7, 1.25) * shape[0], rng.uniform(2, 25)
    )
    tones, plants = _tones(rng), grow(shape, rng)
    things = skyline(tones, rng)
    for _ in range(int(rng.integers(1, 7))):
        z = rng.uniform(40, 400)
        size = (
            rng.uniform(12, 40),
            rng.uniform(0.12, 0.9) * z * shape[0] / camera.focal + camera.height,
            rng.uniform(10, 25),
        )
        x = rng.uniform(-0.5, 0.5) * z * shape[1] / camera.focal
        things.append(
            (
                z,
                partial(structures.building, place=(x, 0.0, z), size=size, warmth=walls(tones, rng), rng=rng),
            )
        )
    things += wood(
        tones, plants, rng, count=int(rng.integers(0, 25)), nearest=25, breadth=0.5 * shape[1] / camera.focal
    )
    return _view(camera, Way(0, 5), tones, things, rng)


def _tones(rng: np.random.Generator) -> Tones:
    """By day and by night walls and plants are warmer than the road, and the sky is cold."""
    dark = rng.uniform(0.02, 0.12) if rng.random() < 0.8 else rng.uniform(0.12, 0.4)
    ground = dark + rng.uniform(0.22, 0.46)
    return Tones(
        dark,
        ground,
        ground + rng.normal(0, 0.06),
        ground + rng.uniform(0, 0.3),
        ground + rng.normal(0.06, 0.07),
    )


def _view(camera: Camera, way: Way, tones: Tones, things: list[Thing], rng: np.random.Generator) -> View:
    """Paint the things from far to near on sky and ground."""
    air = Air(
        tones.sky + rng.uniform(0.3, 0.8) * (tones.ground - tones.sky),
        float(np.exp(rng.uniform(*np.log((500, 4000))))),
    )
    behind, road = open_country(camera, way, tones, air, rng)
    painter = Painter(behind, camera, air)
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint(painter)
    painted = painter.finish(_tiled(camera.shape, rng))
    shaded = np.where(
        np.isinf(painted.depth), 0, np.float32(rng.uniform(0, 0.025)) * _shading(camera.shape, rng)
    )
    return View(camera, painted._replace(radiance=painted.radiance + shaded, things=[*road, *painted.things]))


def _shading(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """A coarse field over the whole frame: warmth that lingers here and there."""
    rows, columns = (np.linspace(0, _SHADES - 1, side, dtype=np.float32) for side in shape)
    coarse = fractal((_SHADES, _SHADES), 3.2, rng)
    places = np.meshgrid(rows, columns, indexing="ij", copy=False)
    spread: Field = ndimage.map_coordinates(coarse, places, order=1)
    return spread


def _tiled(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """A texture that repeats itself over a frame."""
    side = min(_TEXTURE, max(shape))
    rows, columns = (np.arange(length) % side for length in shape)
    return fractal((side, side), rng.uniform(1.0, 2.2), rng)[rows[:, None], columns[None, :]]
