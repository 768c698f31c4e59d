"""What lies behind things that stand: the sky, and level ground with a road, in perspective."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from infraspot.synth.clutter import Clutter
from infraspot.synth.fractal import Field, fractal
from infraspot.synth.perspective import Air, Camera
from infraspot.synth.sky import sky

_TEXTURE = 512  # pixels


class Tones(NamedTuple):
    """Radiances of a frame, [0, 1]."""

    sky: float
    ground: float
    road: float
    walls: float
    plants: float


class Way(NamedTuple):
    """A straight road ahead: its middle and half its width at the camera, metres."""

    middle: float
    half: float


def open_country(
    camera: Camera, way: Way, tones: Tones, air: Air, rng: np.random.Generator
) -> tuple[Field, list[Clutter]]:
    """Sky above the horizon and ground below it; and the road, where there is one to be seen."""
    height, width = camera.shape
    above = int(np.clip(np.floor(camera.horizon), 0, height))
    radiance = np.empty(camera.shape, np.float32)
    if above:
        clouds = sky((above, width), rng)
        rise = np.exp(
            (np.arange(above, dtype=np.float32)[:, None] - above)
            / np.float32(rng.uniform(0.05, 0.4) * height)
        )
        thin = np.float32(rng.choice([0.03, 0.3, 0.8], p=[0.6, 0.3, 0.1]))
        radiance[:above] = (
            np.float32(tones.sky)
            + thin * (clouds - clouds.mean())
            + np.float32(air.radiance - tones.sky) * rise
        )
    if above == height:
        return radiance, []
    on_road = _ground(camera, above, way, tones, air, radiance, rng)
    rows, columns = np.nonzero(on_road > 0.5)
    if not len(rows):
        return radiance, []
    box = (columns.min(), above + rows.min(), columns.max() + 1, above + rows.max() + 1)
    return radiance, [Clutter("road", (float(box[0]), float(box[1]), float(box[2]), float(box[3])))]


def _ground(
    camera: Camera, above: int, way: Way, tones: Tones, air: Air, radiance: Field, rng: np.random.Generator
) -> Field:
    """Fill in the ground below row ``above``, and return how much of each pixel is road."""
    width = camera.shape[1]
    depth = camera.depth()[above:]
    across = (
        (np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5 - width / 2))
        * depth
        / np.float32(camera.focal)
    )
    scale = np.float32(camera.focal) / depth  # pixels a metre

    def strip(middle: Field | float, breadth: float) -> Field:
        """How much of each pixel a strip along the way covers."""
        covered = np.clip(0.5 + (np.float32(breadth / 2) - np.abs(across - middle)) * scale, 0, 1)
        return np.minimum(covered, np.float32(breadth) * scale)

    tile = min(_TEXTURE, max(camera.shape))
    texture = fractal((tile, tile), rng.uniform(1.0, 2.2), rng, stretch=rng.uniform(1, 2.5), largest=60)
    nearest = camera.focal / float(depth.min())  # pixels a metre
    seen = _on_the_ground(texture, depth, across, nearest / float(np.exp(rng.uniform(0, np.log(4)))))
    coarse = _on_the_ground(texture, depth, across, nearest / rng.uniform(20, 60))
    bend = np.float32(rng.normal(0, 0.0006)) * depth**2
    from_middle = np.clip(way.middle + bend, -200, 200)
    on_road = strip(from_middle, 2 * way.half)
    rough = (
        np.float32(rng.uniform(0.006, 0.032)) * (1 - on_road)
        + np.float32(rng.uniform(0.003, 0.018)) * on_road
    )
    ground = (
        np.float32(tones.ground)
        + np.float32(rng.uniform(0, 0.05)) * np.tanh(2 * coarse) * (1 - on_road)
        + rough * seen
    )
    ground = ground + np.float32(tones.road - tones.ground) * on_road
    worn = np.float32(rng.normal(0.015, 0.02))
    for lane in np.arange(-way.half + 1.75, way.half, 3.5):
        for wheel in (-0.8, 0.8):
            track = (across - from_middle - np.float32(lane + wheel)) / np.float32(0.45)
            ground = ground + worn * np.exp(-(track**2)) * on_road
    for offset, tone, dashed in _marks(way, rng):
        mark = strip(from_middle + np.float32(offset), 0.2)
        ground = ground + np.float32(tone) * mark * (((depth / 6) % 2 < 1) if dashed else 1)
    if rng.random() < 0.25:  # a crossing
        start = rng.uniform(4, 30)
        ground = ground + np.float32(rng.normal(0, 0.12)) * on_road * (
            (depth > start) & (depth < start + 4)
        ) * (across % 1.2 < 0.6)
    clear = np.exp(-depth / np.float32(air.sight))
    radiance[above:] = np.float32(air.radiance) * (1 - clear) + ground * clear
    return on_road


def _marks(way: Way, rng: np.random.Generator) -> list[tuple[float, float, bool]]:
    """Lines along the road: metres from its middle, tone, dashed or not. Kerbs are warm, paint is cold."""
    lanes = [
        (offset, -rng.uniform(0.03, 0.15), True) for offset in np.arange(-way.half + 3.5, way.half - 2, 3.5)
    ]
    kerbs = [(side * way.half, rng.normal(0.06, 0.08), False) for side in (-1, 1)]
    return lanes[: int(rng.integers(0, 5))] + kerbs[: int(rng.integers(0, 3))]


def _on_the_ground(texture: Field, depth: Field, across: Field, grain: float) -> Field:
    """A texture laid on the ground, ``grain`` of its pixels a metre near the camera and fewer far off."""
    near = float(depth.min())
    along = np.float32(grain * near) * np.log(depth / np.float32(near))
    aside = np.float32(grain) * across * np.sqrt(np.float32(near) / depth)
    places = [np.broadcast_to(along, across.shape), aside]
    laid: Field = ndimage.map_coordinates(texture, places, order=1, mode="grid-wrap")
    return laid
