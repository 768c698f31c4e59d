"""Pictures of a frame with its targets marked, small targets left visible."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infraspot.core.prediction import Target

FOUND = (80, 255, 120)
MARGIN = 4
WANTED_SIDE = 640


def draw_targets(
    image: NDArray[Any], targets: Iterable[Target], *, colour: tuple[int, int, int] = FOUND
) -> Image.Image:
    """An RGB picture with a thin bracket around each target and its score beside it.

    Parameters
    ----------
    image
        (H, W) in [0, 1]; small frames are enlarged by a whole number, pixel by pixel.
    targets
        Marked outside their boxes, so that no pixel of a target is covered.
    """
    height, width = image.shape
    scale = max(1, WANTED_SIDE // max(height, width, 1))
    grey = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    picture = grey.resize((width * scale, height * scale), Image.Resampling.NEAREST).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for target in targets:
        x0, y0, x1, y1 = (side * scale for side in target.box)
        box = (x0 - MARGIN - 1, y0 - MARGIN - 1, x1 + MARGIN, y1 + MARGIN)
        _bracket(pen, box, colour)
        label = f"{target.score:.2f}"
        text_width, text_height = pen.textbbox((0, 0), label)[2:]
        left = min(max(box[0], 0), picture.width - text_width)
        above = box[1] - text_height - 2
        pen.text((left, above if above >= 0 else box[3] + 2), label, fill=colour)
    return picture


def _bracket(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    """The four corners of a box."""
    x0, y0, x1, y1 = box
    arm = max(3, min(x1 - x0, y1 - y0) // 4)
    for x, inward in ((x0, 1), (x1, -1)):
        for y, down in ((y0, 1), (y1, -1)):
            pen.line([(x + inward * arm, y), (x, y), (x, y + down * arm)], fill=colour)
