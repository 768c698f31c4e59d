"""Pictures of a frame with its tracks: a ring, the number, and the way of the last frames."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

RADIUS = 6
WANTED_SIDE = 640
COLOURS = {
    "moving": (80, 255, 120),
    "unknown": (255, 210, 80),
    "still": (110, 170, 255),
    "fixed": (200, 120, 255),
    "doubtful": (150, 150, 150),
}


def draw_tracks(
    image: NDArray[Any], rows: Iterable[dict[str, str]], ways: Mapping[str, Sequence[tuple[float, float]]]
) -> Image.Image:
    """An RGB picture; green moves, blue stands still, purple stands on the sensor, grey is doubtful,
    yellow is not known yet.

    Parameters
    ----------
    image
        (H, W) in [0, 1]; small frames are enlarged by a whole number, pixel by pixel.
    rows
        Lines of ``tracks.csv`` of this frame; a track without a detection has a broken ring.
    ways
        The last places (x, y) of each track, by id.
    """
    scale = max(1, WANTED_SIDE // max(*image.shape, 1))
    levels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    picture = Image.fromarray(levels.repeat(scale, axis=0).repeat(scale, axis=1)).convert("RGB")
    pen = ImageDraw.Draw(picture)

    def at(x: float, y: float) -> tuple[float, float]:
        return (x + 0.5) * scale, (y + 0.5) * scale

    for row in rows:
        colour = COLOURS.get(row["motion"], COLOURS["unknown"])
        x, y = at(float(row["x"]), float(row["y"]))
        reach = RADIUS * min(scale, 2)
        ring = (x - reach, y - reach, x + reach, y + reach)
        if row["state"] == "coasting":
            for angle in range(0, 360, 60):
                pen.arc(ring, angle, angle + 30, fill=colour)
        else:
            pen.ellipse(ring, outline=colour)
        pen.text((x + reach + 2, y - reach - 2), row["id"], fill=colour)
        way = [at(*place) for place in ways.get(row["id"], ())]
        if len(way) > 1:
            pen.line(way, fill=colour)
    return picture
