"""Pictures of a frame with its targets marked, small targets left visible."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infraspot.core.extras import require
from infraspot.core.prediction import Target
from infraspot.report.insets import find_clusters, with_insets

FOUND = (80, 255, 120)
INK = 255
MARGIN = 4
PLOT_MARGIN = 2
WANTED_SIDE = 640


def draw_targets(
    image: NDArray[Any], targets: Iterable[Target], *, colour: tuple[int, int, int] = FOUND
) -> Image.Image:
    """A palette picture with a thin bracket around each target and its score beside it.

    Targets that stand a few pixels apart get a numbered frame together, and are shown enlarged below the
    picture, each with its own box. Grey takes 255 levels of the palette and ``colour`` the last one: a third
    of the bytes of an RGB picture.

    Parameters
    ----------
    image
        (H, W) in [0, 1]; small frames are enlarged by a whole number, pixel by pixel.
    targets
        Marked outside their boxes, so that no pixel of a target is covered.
    """
    height, width = image.shape
    scale = max(1, WANTED_SIDE // max(height, width, 1))
    levels = (np.clip(image, 0, 1) * (INK - 1) + 0.5).astype(np.uint8)
    picture = Image.fromarray(levels.repeat(scale, axis=1).repeat(scale, axis=0))
    picture.putpalette([*np.linspace(0, 255, INK).round().astype(int).repeat(3).tolist(), *colour])
    pen = ImageDraw.Draw(picture)
    clusters, alone = find_clusters(list(targets))
    for target in alone:
        box = _around(target.box, scale)
        _bracket(pen, box)
        _label(pen, picture, box, f"{target.score:.2f}")
    for number, cluster in enumerate(clusters, 1):
        box = _around(cluster.box, scale)
        pen.rectangle(box, outline=INK)
        _label(pen, picture, box, f"{number}: {len(cluster.targets)}")
    return with_insets(picture, image, clusters, INK)


def _around(box: tuple[float, float, float, float], scale: int) -> tuple[int, int, int, int]:
    """A box of the frame as a frame of the picture that covers none of its pixels."""
    x0, y0, x1, y1 = (round(side * scale) for side in box)
    return x0 - MARGIN - 1, y0 - MARGIN - 1, x1 + MARGIN, y1 + MARGIN


def _label(
    pen: ImageDraw.ImageDraw, picture: Image.Image, box: tuple[int, int, int, int], label: str
) -> None:
    """A word above a box, or below it where there is no room."""
    text_width, text_height = pen.textbbox((0, 0), label)[2:]
    left = min(max(box[0], 0), picture.width - text_width)
    above = box[1] - text_height - 2
    pen.text((left, above if above >= 0 else box[3] + 2), label, fill=INK)


def _bracket(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    """The four corners of a box."""
    x0, y0, x1, y1 = box
    arm = max(3, min(x1 - x0, y1 - y0) // 4)
    for x, inward in ((x0, 1), (x1, -1)):
        for y, down in ((y0, 1), (y1, -1)):
            pen.line([(x + inward * arm, y), (x, y), (x, y + down * arm)], fill=INK)


def plot_targets(image: NDArray[Any], targets: Iterable[Target], title: str, axes: Any = None) -> Any:
    """Draw a frame and its targets with matplotlib, and return the axes.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    axes
        Of matplotlib; those of a new figure where there are none.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    require("report", "`plot()` (`overlay()` draws without it)")
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    if axes is None:
        _, axes = pyplot.subplots(layout="constrained")
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    colour = tuple(level / 255 for level in FOUND)
    for target in targets:
        # Pixel centres are whole numbers, so that a pixel's edges lie half a pixel away.
        left, top, right, bottom = (side - 0.5 for side in target.box)
        width, height = right - left + 2 * PLOT_MARGIN, bottom - top + 2 * PLOT_MARGIN
        left, top = left - PLOT_MARGIN, top - PLOT_MARGIN
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour))
        axes.annotate(f"{target.score:.2f}", (left, top - 1), color=colour, fontsize="small")
    axes.set_title(title)
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    return axes
