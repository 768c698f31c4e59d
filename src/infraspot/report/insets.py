"""Clusters enlarged below the picture: targets a few pixels apart, each with its box and score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infraspot.core.matching import near_boxes
from infraspot.core.prediction import Target

NEAR = 6.0  # pixels between boxes up to which their brackets would cover each other
SIDE = 240  # pixels of an inset's longer side, about
AROUND, SPACE, LEAST_ZOOM, MOST_ZOOM = 3, 6, 2, 16
MOST_INSETS = 24
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
    if len(targets) < 2:
        return [], list(targets)
    from scipy.sparse import coo_array  # slow to import, and seldom needed
    from scipy.sparse.csgraph import connected_components

    boxes = np.array([target.box for target in targets], np.float64).reshape(-1, 4)
    rows, columns = near_boxes(boxes, boxes, NEAR)
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(boxes), len(boxes)))
    groups: dict[int, list[int]] = {}
    for place, group in enumerate(connected_components(links, directed=False)[1].tolist()):
        groups.setdefault(group, []).append(place)
    clusters, alone = [], []
    for places in groups.values():
        if len(places) == 1:
            alone.append(targets[places[0]])
            continue
        own = boxes[places]
        (left, top), (right, bottom) = own[:, :2].min(axis=0).tolist(), own[:, 2:].max(axis=0).tolist()
        clusters.append(Cluster(tuple(targets[k] for k in places), (left, top, right, bottom)))
    return sorted(clusters, key=lambda one: (-len(one.targets), one.box)), alone


def with_insets(
    picture: Image.Image, image: NDArray[np.floating], clusters: Sequence[Cluster], ink: int
) -> Image.Image:
    """The picture with a strip of enlarged clusters below, numbered from 1; as wide as before, or an inset.

    The first 24 are shown, less those that are too wide to be enlarged.

    Parameters
    ----------
    picture
        A palette picture whose levels below ``ink`` are grey.
    image
        (H, W) in [0, 1], the frame of the picture. Each inset is stretched to its own range.
    """
    numbered = [(f"{k}", one) for k, one in enumerate(clusters[:MOST_INSETS], 1) if _zoom(one) >= LEAST_ZOOM]
    if not numbered:
        return picture
    insets = [_inset(image, cluster, name, ink) for name, cluster in numbered]
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


def _zoom(cluster: Cluster) -> int:
    """How much larger a cluster is shown; below 2, it is not."""
    x0, y0, x1, y1 = cluster.box
    return min(int(SIDE // (max(x1 - x0, y1 - y0) + 2 * AROUND)), MOST_ZOOM)


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
    zoom = _zoom(cluster)
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
