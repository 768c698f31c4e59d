"""What tells a good boundary level from a bad one: the features of each nested component of a target."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.surroundings import LEVELS, Surroundings

Features = NDArray[np.float64]

_OF_COMPONENT = (
    "level", "log area", "radius", "radius over half", "boundary contrast", "rim", "perimeter", "slope",
    "elongation", "mean", "growth down", "growth up", "far growth down", "far growth up", "level over noise",
    "level under click",
)  # fmt: skip
_OF_TARGET = (
    "contrast", "contrast over noise", "background", "area at .16", "area at .34", "area at .50",
    "area at .70", "elongation at .34", "boundary contrast at .34", "boundary contrast at .50",
    "sharpest level", "noise",
)  # fmt: skip
_OF_FRAME = ("range", "median", "deviation", "roughness", "size", "clicks")
NAMES = (*_OF_COMPONENT, *_OF_TARGET, *_OF_FRAME)
"""Columns of :func:`level_features`."""
UNIT_FREE = tuple(
    name
    for name in NAMES
    if name not in ("contrast", "background", "noise", "range", "median", "deviation", "size", "clicks")
)
"""Those that depend neither on the unit of the grey values nor on the size of the frame or its clicks."""

_NOISE_FLOOR = 0.003
"""Noise in units of the contrast below which a ring counts as free of noise."""
_ANCHORS = [int(np.abs(LEVELS - level).argmin()) for level in (0.16, 0.34, 0.50, 0.70)]
"""Indices of the levels whose areas are features of the target."""
_THIRD, _HALF = _ANCHORS[1], _ANCHORS[2]
_NEAR_DOWN, _NEAR_UP, _FAR_DOWN, _FAR_UP = (
    np.clip(np.arange(len(LEVELS)) + step, 0, len(LEVELS) - 1) for step in (3, -3, 8, -8)
)
"""Indices some levels further down or up: the area's growth is measured between them."""
_LOG_LEVELS = np.log(np.maximum(LEVELS, 0.02))


def level_features(target: Surroundings, frame: Features) -> Features:
    """Features of every candidate level, (L, F) float64, finite; :data:`NAMES` names the columns.

    They are of three kinds: those of the component at the level (its size, the contrast and slope at its
    boundary, its shape, how fast it grows); those of the target as a whole; and ``frame``, from
    :func:`frame_features`. The last two are repeated on each row.
    """
    own = _component_features(target)
    whole = _target_features(target, own)
    features = np.empty((len(LEVELS), len(own) + len(whole) + len(frame)))
    for column, values in enumerate((*own, *whole, *frame.tolist())):
        features[:, column] = values
    return features


def frame_features(image: NDArray[np.float32], clicks: int) -> Features:
    """Features of the frame, (6,): its range, median, deviation, roughness, size, and number of clicks.

    Every fourth row is looked at. Roughness is the size of the second difference over that of the first: low
    where a frame was smoothed or enlarged.
    """
    sample = np.ascontiguousarray(image[:: max(min(4, image.shape[0] // 32), 1)])
    low, middle, high = _quantiles(sample, (0.01, 0.5, 0.99))
    rows = sample.astype(np.float64)
    first, second = (float(np.abs(np.diff(rows, n, axis=1)).sum()) for n in (1, 2))
    return np.array(
        [
            np.log(max(high - low, 0.01)),
            middle,
            rows.std(),
            second / max(first, 1e-6),
            np.log(min(image.shape)),
            min(clicks, 10),
        ]
    )


def _quantiles(sample: NDArray[np.float32], shares: Sequence[float]) -> Sequence[float]:
    """Quantiles between the two nearest ranks; single precision sorts twice as fast."""
    places = [share * (sample.size - 1) for share in shares]
    ranks = sorted({rank for place in places for rank in (int(place), min(int(place) + 1, sample.size - 1))})
    ordered = np.partition(sample.ravel(), ranks)
    found = []
    for place in places:
        low, high = (float(ordered[min(int(place) + step, sample.size - 1)]) for step in (0, 1))
        found.append(low + (high - low) * (place - int(place)))
    return found


def boundary_contrast(target: Surroundings) -> NDArray[np.float64]:
    """(L,) mean grey inside the boundary less the mean outside, in units of the contrast."""
    table = target.table
    inside = table[:, flood.INNER_SUM] / np.maximum(table[:, flood.INNER], 1)
    outside = table[:, flood.OUTER_SUM] / np.maximum(table[:, flood.OUTER], 1)
    return inside - outside


def rim_share(target: Surroundings) -> NDArray[np.float64]:
    """(L,) share of the component that lies where the window ends inside the frame."""
    return target.table[:, flood.RIM] / np.maximum(target.table[:, flood.AREA], 1)


def radius(target: Surroundings) -> NDArray[np.float64]:
    """(L,) radius in pixels of the disc of the component's area."""
    return np.sqrt(target.table[:, flood.AREA] / np.pi)


def _component_features(target: Surroundings) -> list[Features]:
    table = target.table
    area = np.maximum(table[:, flood.AREA], 1)
    size = np.log(area)
    boundary = table[:, flood.INNER] + table[:, flood.OUTER]
    extent = radius(target)
    click = float(target.reach[target.click])
    noise = max(target.noise / target.contrast, _NOISE_FLOOR)
    return [
        LEVELS,
        size,
        extent,
        extent - extent[_HALF],
        boundary_contrast(target),
        3 * rim_share(target),
        np.log(np.maximum(table[:, flood.INNER], 1)) - size / 2,
        table[:, flood.SLOPE_SUM] / np.maximum(boundary, 1),
        _elongation(table),
        table[:, flood.SUM] / area,
        size[_NEAR_DOWN] - size,
        size - size[_NEAR_UP],
        size[_FAR_DOWN] - size,
        size - size[_FAR_UP],
        _LOG_LEVELS - np.log(noise),
        np.clip(click - LEVELS, -0.5, 0.5),
    ]


def _target_features(target: Surroundings, own: list[Features]) -> list[float]:
    size, edge, elongation = own[1], own[4], own[8]
    noise = max(target.noise / target.contrast, _NOISE_FLOOR)
    return [
        float(np.log(target.contrast)),
        float(np.log(1 / noise)),
        target.background * target.polarity,
        *size[_ANCHORS].tolist(),
        float(elongation[_THIRD]),
        float(edge[_THIRD]),
        float(edge[_HALF]),
        float(LEVELS[edge[5:].argmax() + 5]),
        float(np.log(max(target.noise, 1e-3))),
    ]


def _elongation(table: Features) -> Features:
    """Ratio of the axes of the component's inertia ellipse, less 1; each pixel counts as a unit square."""
    area = np.maximum(table[:, flood.AREA], 1)
    yy = table[:, flood.YY] / area + 1 / 12
    xx = table[:, flood.XX] / area + 1 / 12
    yx = table[:, flood.YX] / area
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return np.sqrt((middle + spread) / np.maximum(middle - spread, 1 / 24)) - 1
