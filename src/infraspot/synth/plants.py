"""Forms of trees and bushes: bare branches, and crowns of leaves."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from infraspot.synth.fractal import fractal

_SIDE = 320


def bare_tree(rng: np.random.Generator) -> Image.Image:
    """Trunk and branches, (320, 320) of mode L: 255 on wood."""
    form = Image.new("L", (_SIDE, _SIDE))
    brush = ImageDraw.Draw(form)
    spread, rise = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.3)
    ends = [(_SIDE / 2, float(_SIDE), np.pi / 2, rise * _SIDE, 7.0)]
    for _ in range(7):
        grown = []
        for x, y, angle, length, width in ends:
            u, v = x + length * np.cos(angle), y - length * np.sin(angle)
            brush.line([(x, y), (u, v)], 255, max(round(width), 1))
            for turn in rng.normal([-spread, 0.1, spread], 0.15)[: int(rng.integers(2, 4))]:
                grown.append((u, v, angle + turn, length * rng.uniform(0.6, 0.85), width * 0.65))
        ends = grown[:350]
    return form


def crown(rng: np.random.Generator) -> Image.Image:
    """A leafy crown on a trunk, or a bush where the crown reaches the ground."""
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    pointed = rng.uniform(0, 0.8)
    radius = np.hypot(x / (1 - pointed * (0.5 - y / 2)), y * 1.05)
    body = 1 - radius + 0.2 * fractal((_SIDE, _SIDE), rng.uniform(1.2, 2.4), rng)
    lifted = ndimage.shift(body, (-rng.uniform(0, 0.15) * _SIDE, 0), order=0, cval=-1)
    trunk = (np.abs(x) < 0.03) & (y > 0.3)
    return Image.fromarray(np.where((lifted > 0.1) | trunk, np.uint8(255), np.uint8(0)))
