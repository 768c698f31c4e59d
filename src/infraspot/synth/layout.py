"""Where things stand: along a road, in a wood, before the horizon. Each is painted when its turn comes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from infraspot.synth import structures
from infraspot.synth.fractal import fractal_line
from infraspot.synth.perspective import Painter
from infraspot.synth.plants import bare_tree, crown
from infraspot.synth.terrain import Tones, Way

_FARTHEST = 900.0  # metres

Thing = tuple[float, Callable[[Painter], None]]  # metres ahead, and what paints it


class Plants(NamedTuple):
    """The forms of a frame's trees."""

    bare: list[Image.Image]
    leafy: list[Image.Image]

    def trees(self, rng: np.random.Generator) -> list[Image.Image]:
        """The one or the other."""
        return self.bare if rng.random() < 0.5 else self.leafy


def grow(shape: tuple[int, int], rng: np.random.Generator) -> Plants:
    """Draw the forms, as fine as a frame of that shape can show them."""
    side = min(max(max(shape) // 3, 48), 320)
    return Plants([bare_tree(side, rng) for _ in range(2)], [crown(side, rng) for _ in range(3)])


def skyline(tones: Tones, rng: np.random.Generator) -> list[Thing]:
    """Hills, woods and towers near the horizon."""
    things: list[Thing] = []
    if rng.random() < 0.5:
        things.append(
            (
                3000.0,
                partial(
                    _ridge,
                    name="hill",
                    depth=1500.0,
                    rise=rng.uniform(20, 120),
                    slope=2.4,
                    tone=tones.plants,
                    rng=rng,
                ),
            )
        )
    if rng.random() < 0.7:
        depth = rng.uniform(200, 800)
        things.append(
            (
                depth,
                partial(
                    _ridge,
                    name="tree",
                    depth=depth,
                    rise=rng.uniform(4, 12),
                    slope=1.4,
                    tone=tones.plants,
                    rng=rng,
                ),
            )
        )
    for _ in range(int(rng.integers(0, 12)) if rng.random() < 0.6 else 0):
        z, tall = rng.uniform(250, _FARTHEST), rng.random() < 0.6
        size = (rng.uniform(12, 60), rng.uniform(20, 90) if tall else rng.uniform(5, 20), 20.0)
        place = (rng.uniform(-0.6, 0.6) * z, 0.0, z)
        things.append(
            (z, partial(structures.building, place=place, size=size, warmth=walls(tones, rng), rng=rng))
        )
    return things


def roadside(way: Way, side: int, tones: Tones, plants: Plants, rng: np.random.Generator) -> list[Thing]:
    """What stands along one side of a road."""

    def beside(low: float, high: float) -> float:
        """A line along the road, so many metres off its edge."""
        return float(way.middle + side * (way.half + rng.uniform(low, high)))

    things = _front(way.middle + side * way.half, side, tones, rng)
    if rng.random() < 0.7:
        x, gap, tall, forms = beside(1, 8), rng.uniform(2.5, 12), rng.uniform(3, 12), plants.trees(rng)
        things += [
            _tree((x + rng.normal(0, 0.5), 0.0, float(z)), tall * rng.uniform(0.7, 1.2), tones, forms, rng)
            for z in np.arange(rng.uniform(8, 40), 250, gap)[:40]
        ]
    if rng.random() < 0.6:
        things += [
            _tree((beside(0.5, 6), 0.0, rng.uniform(6, 80)), rng.uniform(0.4, 2), tones, plants.leafy, rng)
            for _ in range(int(rng.integers(5, 40)))
        ]
    if rng.random() < 0.6:
        x, tall, arm = beside(0.5, 2), rng.uniform(6, 12), -side * rng.uniform(1, 2.5)
        post = partial(structures.pole, height=tall, warmth=tones.walls, rng=rng, arm=arm)
        depths = np.arange(rng.uniform(12, 40), 400, rng.uniform(20, 40)).tolist()
        things += [(z, partial(post, foot=(x, 0.0, z))) for z in depths]
    if rng.random() < 0.4:
        x, tall = beside(2, 8), rng.uniform(7, 14)
        depths = np.arange(rng.uniform(12, 30), 350, rng.uniform(30, 50)).tolist()
        feet = [(x, 0.0, z) for z in reversed(depths)]
        masts = partial(structures.pylons, feet=feet, height=tall, warmth=tones.walls, rng=rng)
        things.append((depths[0], masts))
    if rng.random() < 0.5:
        reach, tall = (rng.uniform(4, 20), rng.uniform(60, 250)), rng.uniform(0.6, 2)
        rail = partial(structures.fence, x=beside(0, 2), reach=reach, height=tall, warmth=walls(tones, rng))
        things.append((rng.uniform(20, 60), partial(rail, rng=rng)))
    return things


def _front(edge: float, side: int, tones: Tones, rng: np.random.Generator) -> list[Thing]:
    """Buildings in a row, one after the other."""
    things: list[Thing] = []
    z, back = rng.uniform(15, 60), rng.uniform(3, 25)
    while z < 300 and rng.random() < 0.85:
        size = (rng.uniform(8, 30), rng.uniform(3, 25), rng.uniform(8, 40))
        place = (edge + side * (back + size[0] / 2), 0.0, z)
        kind = structures.house if size[1] < 6 and rng.random() < 0.6 else structures.building
        things.append((z, partial(kind, place=place, size=size, warmth=walls(tones, rng), rng=rng)))
        z += size[2] + rng.uniform(2, 50)
    return things


def vehicles(way: Way, tones: Tones, rng: np.random.Generator) -> list[Thing]:
    """Cars and lorries on the road ahead."""
    places = [
        (way.middle + rng.uniform(-0.8, 0.8) * way.half, 0.0, float(np.exp(rng.uniform(*np.log((14, 250))))))
        for _ in range(int(rng.integers(0, 9)))
    ]
    return [
        (z, partial(structures.vehicle, foot=(x, y, z), warmth=walls(tones, rng), rng=rng))
        for x, y, z in places
    ]


def wood(
    tones: Tones, plants: Plants, rng: np.random.Generator, *, count: int, nearest: float, breadth: float
) -> list[Thing]:
    """Trees here and there, as dense in the frame far off as near by."""
    forms = plants.trees(rng)
    depths = nearest * np.exp(rng.uniform(0, np.log(max(600 / nearest, 2)), count))
    return [
        _tree((rng.uniform(-1, 1) * breadth * z, 0.0, float(z)), rng.uniform(3, 10), tones, forms, rng)
        for z in depths
    ]


def walls(tones: Tones, rng: np.random.Generator) -> float:
    """The radiance of one building or vehicle."""
    return float(np.clip(tones.walls + rng.normal(0, 0.08), 0.08, 0.92))


def _ridge(
    painter: Painter,
    name: str,
    depth: float,
    rise: float,
    slope: float,
    tone: float,
    rng: np.random.Generator,
) -> None:
    painter.begin(name, depth, roughness=0.06)
    half = depth * painter.camera.shape[1] / painter.camera.focal
    heights = rise * np.clip(0.5 + 0.25 * fractal_line(400, slope, rng), 0.05, None)
    crest = [(float(x), float(y), depth) for x, y in zip(np.linspace(-half, half, 400), heights, strict=True)]
    painter.face([(-half, 0, depth), *crest, (half, 0, depth)], tone)


def _tree(
    foot: tuple[float, float, float],
    height: float,
    tones: Tones,
    forms: list[Image.Image],
    rng: np.random.Generator,
) -> Thing:
    form = forms[int(rng.integers(len(forms)))]
    tone = float(np.clip(tones.plants + rng.normal(0, 0.04), 0.05, 0.95))
    width = height * rng.uniform(0.5, 1.1)

    def paint(painter: Painter) -> None:
        painter.begin("tree", foot[2], roughness=0.06)
        painter.stamp(form, foot, width, height, tone)

    return foot[2], paint
