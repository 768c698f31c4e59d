"""Forms of trees and bushes: bare branches, and crowns of leaves."""

import math

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from infraspot.synth.fractal import fractal


def bare_tree(side: int, rng: np.random.Generator) -> Image.Image:
    """Trunk and branches, (side, side) of mode L: 255 on wood."""
    form = Image.new("L", (side, side))
    brush = ImageDraw.Draw(form)
    spread, rise = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.3)
    ends = [(side / 2, float(side), np.pi / 2, rise * side, side / 45)]
    for _ in range(7):
        turns = rng.normal([-spread, 0.1, spread], 0.15, (len(ends), 3)).tolist()
        shares = rng.uniform(0.6, 0.85, (len(ends), 3)).tolist()
        counts = rng.integers(2, 4, len(ends)).tolist()
        grown = []
        for (x, y, angle, length, width), turned, share, count in zip(
            ends, turns, shares, counts, strict=True
        ):
            u, v = x + length * math.cos(angle), y - length * math.sin(angle)
            brush.line([(x, y), (u, v)], 255, max(round(width), 1))
            grown += [(u, v, angle + turned[k], length * share[k], width * 0.65) for k in range(count)]
        ends = grown[:350]
    return form


def crown(side: int, rng: np.random.Generator) -> Image.Image:
    """A leafy crown on a trunk, or a bush where the crown reaches the ground."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    pointed = rng.uniform(0, 0.8)
    radius = np.hypot(x / (1 - pointed * (0.5 - y / 2)), y * 1.05)
    body = 1 - radius + 0.2 * fractal((side, side), rng.uniform(1.2, 2.4), rng)
    lifted = ndimage.shift(body, (-rng.uniform(0, 0.15) * side, 0), order=0, cval=-1)
    trunk = (np.abs(x) < 0.03) & (y > 0.3)
    return Image.fromarray(np.where((lifted > 0.1) | trunk, np.uint8(255), np.uint8(0)))
