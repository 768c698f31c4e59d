"""Clusters enlarged below the picture: targets a few pixels apart, each with its box and score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infraspot.core.prediction import Target

NEAR = 6.0  # pixels between boxes up to which their brackets would cover each other
SIDE = 240  # pixels of an inset's longer side, about
AROUND, SPACE, LEAST_ZOOM, MOST_ZOOM = 3, 6, 2, 16
LABELLED_FROM = 26  # pixels that an enlarged target needs for a score beside it


@dataclass(frozen=True)
class Cluster:
    """Targets that stand close together.

    Attributes
    ----------
    targets
        Two or more.
    box
        (x0, y0, x1, y1) of all of them together, in pixels, half-open.
    """

    targets: tuple[Target, ...]
    box: tuple[float, float, float, float]


def find_clusters(targets: Sequence[Target]) -> tuple[list[Cluster], list[Target]]:
    """The clusters, the largest first, and the targets that stand alone.

    Targets whose boxes are up to 6 pixels apart belong together, along rows and columns alike.
    """
    boxes = np.array([target.box for target in targets], np.float64).reshape(-1, 4)
    gaps = np.maximum(boxes[:, None, :2] - boxes[None, :, 2:], boxes[None, :, :2] - boxes[:, None, 2:])
    near = gaps.max(axis=2, initial=-np.inf) <= NEAR
    left = set(range(len(targets)))
    clusters: list[Cluster] = []
    alone: list[Target] = []
    while left:
        group = frontier = {min(left)}
        left -= group
        while frontier:
            frontier = {k for k in left if near[k, list(frontier)].any()}
            left, group = left - frontier, group | frontier
        members = tuple(targets[k] for k in sorted(group))
        if len(members) == 1:
            alone += members
            continue
        own = boxes[sorted(group)]
        (left_edge, top), (right, bottom) = own[:, :2].min(axis=0).tolist(), own[:, 2:].max(axis=0).tolist()
        clusters.append(Cluster(members, (left_edge, top, right, bottom)))
    return sorted(clusters, key=lambda one: (-len(one.targets), one.box)), alone


def with_insets(
    picture: Image.Image, image: NDArray[np.floating], clusters: Sequence[Cluster], ink: int
) -> Image.Image:
    """The picture with a strip of enlarged clusters below, numbered from 1; as wide as before, or an inset.

    Parameters
    ----------
    picture
        A palette picture whose levels below ``ink`` are grey.
    image
        (H, W) in [0, 1], the frame of the picture. Each inset is stretched to its own range.
    """
    if not clusters:
        return picture
    insets = [_inset(image, cluster, f"{number}", ink) for number, cluster in enumerate(clusters, 1)]
    places, width, x, y, row = [], max(picture.width, *(one.width for one in insets)), 0, SPACE, 0
    for inset in insets:
        if x and x + inset.width > width:
            x, y, row = 0, y + row + SPACE, 0
        places.append((x, picture.height + y))
        x, row = x + inset.width + SPACE, max(row, inset.height)
    whole = Image.new("P", (width, picture.height + y + row), 0)
    palette = picture.getpalette()
    assert palette is not None
    whole.putpalette(palette)
    for part, place in zip((picture, *insets), ((0, 0), *places), strict=True):
        whole.paste(part, place)
    return whole


def _inset(image: NDArray[np.floating], cluster: Cluster, name: str, ink: int) -> Image.Image:
    """One cluster, enlarged pixel by pixel, with a thin frame just outside each box."""
    height, width = image.shape
    x0, y0 = (max(int(side) - AROUND, 0) for side in cluster.box[:2])
    x1, y1 = (
        min(int(np.ceil(side)) + AROUND, end)
        for side, end in zip(cluster.box[2:], (width, height), strict=True)
    )
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    window = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    zoom = int(np.clip(SIDE // max(window.shape), LEAST_ZOOM, MOST_ZOOM))
    low, high = float(window.min()), float(window.max())
    levels = (window - low) / (high - low) if high > low else np.zeros(window.shape)
    grey = (np.clip(levels, 0, 1) * (ink - 1) + 0.5).astype(np.uint8)
    inset = Image.fromarray(grey.repeat(zoom, axis=1).repeat(zoom, axis=0)).convert("P")
    pen = ImageDraw.Draw(inset)
    for target in cluster.targets:
        left, top, right, bottom = (
            round((side - start) * zoom) for side, start in zip(target.box, (x0, y0, x0, y0), strict=True)
        )
        pen.rectangle((left - 1, top - 1, right, bottom), outline=ink)
        if right - left >= LABELLED_FROM:
            pen.text((left + 1, bottom + 1), f"{target.score:.2f}".removeprefix("0"), fill=ink)
    pen.text((2, 1), name, fill=ink)
    return inset
