"""Clicks and boxes that stand for a mask: what a person's single point, or a box, would have been."""

from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from infraspot.core.geometry import Components, find_components
from infraspot.core.sample import Sample

_SPREAD = 0.25  # of half the box's side
_TRIES = 1000


def centroid_points(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One point a target: the whole-number part of its centroid, (N, 2) as (y, x).

    As LESPS (Ying et al. 2023) and its followers define centroid supervision; on a bent target the point
    may lie beside it.
    """
    return np.floor(find_components(mask).centroids)


def coarse_points(mask: NDArray[np.bool_], rng: Generator) -> NDArray[np.float64]:
    """One point a target, off its centre as a hurried click is, always on the target; (N, 2) as (y, x).

    ``floor(centroid + side / 2 * N(0, 0.25))`` on each axis, drawn again until it lies on the target (Ying
    et al. 2023). Where a thousand draws miss, as on a thin ring, one of the target's pixels is drawn instead.
    """
    parts = find_components(mask)
    return np.array([_coarse_point(parts, k, rng) for k in range(len(parts))]).reshape(-1, 2)


def sample_points(sample: Sample, kind: str, seed: int) -> NDArray[np.float64] | None:
    """Points of one sample: centroid or coarse ones of its mask, else its own, else its boxes' centres.

    The seed is mixed with the id, so that a sample's points do not depend on which others there are.
    """
    if sample.mask is not None:
        if kind == "centroid":
            return centroid_points(sample.mask)
        return coarse_points(sample.mask, np.random.default_rng([seed, crc32(sample.id.encode())]))
    if sample.points is not None or sample.boxes is None:
        return None if sample.points is None else np.asarray(sample.points, np.float64)
    x0, y0, x1, y1 = sample.boxes.T
    return np.floor(np.stack([(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2], axis=1), dtype=np.float64)


def sample_boxes(sample: Sample) -> NDArray[np.float64] | None:
    """The boxes of one sample, (N, 4) xyxy half-open: of its mask's components, else its own."""
    if sample.mask is not None:
        return find_components(sample.mask).boxes.astype(np.float64)
    return None if sample.boxes is None else np.asarray(sample.boxes, np.float64)


def filled_boxes(boxes: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) mask of the boxes' insides, corners rounded: the crudest mask that boxes allow."""
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in np.rint(boxes).astype(int).clip(0):
        mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def _coarse_point(parts: Components, index: int, rng: Generator) -> NDArray[np.float64]:
    x0, y0, x1, y1 = parts.boxes[index]
    half = np.array([y1 - y0, x1 - x0]) / 2
    inside = parts.mask(index)
    draws = np.floor(parts.centroids[index] + half * rng.normal(0, _SPREAD, (_TRIES, 2))).astype(int)
    draws -= (y0, x0)
    within = ((draws >= 0) & (draws < inside.shape)).all(axis=1)
    draws = draws[within]
    hits = draws[inside[draws[:, 0], draws[:, 1]]]
    found = hits[0] if len(hits) else rng.choice(np.argwhere(inside))
    return np.add(found, (y0, x0), dtype=np.float64)
