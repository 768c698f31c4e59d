"""What tells a good boundary level from a bad one: the features of each nested component of a target."""

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.target import LEVELS, Target

Features = NDArray[np.float64]

_NOISE_FLOOR = 0.003
"""Noise in units of the contrast below which a ring counts as free of noise."""
_ANCHORS = (0.16, 0.34, 0.50, 0.70)
_NEAR, _FAR = 3, 8
"""Steps of the list of levels over which the growth of the area is measured."""


def level_features(target: Target, frame: Features) -> Features:
    """Features of every candidate level, (L, F) float64, finite.

    They are of three kinds: those of the component at the level (its size, the contrast and slope at its
    boundary, its shape, how fast it grows); those of the target as a whole; and ``frame``, from
    :func:`frame_features`. The last two are repeated on each row.
    """
    own = _component_features(target)
    whole = np.concatenate([_target_features(target, own), frame])
    return np.hstack([own, np.broadcast_to(whole, (len(own), len(whole)))])


def frame_features(image: NDArray[np.float32], clicks: int) -> Features:
    """Features of the frame, (6,): its range, median, deviation, roughness, size, and number of clicks.

    Every fourth row is looked at. Roughness is the size of the second difference over that of the first: low
    where a frame was smoothed or enlarged.
    """
    sample = image[:: max(min(4, image.shape[0] // 32), 1)].astype(np.float64)
    low, middle, high = np.percentile(sample, (1, 50, 99))
    first, second = (float(np.abs(np.diff(sample, n=n, axis=1)).sum()) for n in (1, 2))
    return np.array(
        [
            np.log(max(high - low, 0.01)),
            middle,
            sample.std(),
            second / max(first, 1e-6),
            np.log(min(image.shape)),
            min(clicks, 10),
        ]
    )


def boundary_contrast(target: Target) -> NDArray[np.float64]:
    """(L,) mean grey inside the boundary less the mean outside, in units of the contrast."""
    table = target.table
    inside = table[:, flood.INNER_SUM] / np.maximum(table[:, flood.INNER], 1)
    outside = table[:, flood.OUTER_SUM] / np.maximum(table[:, flood.OUTER], 1)
    return inside - outside


def rim_share(target: Target) -> NDArray[np.float64]:
    """(L,) share of the component that lies where the window ends inside the frame."""
    return target.table[:, flood.RIM] / np.maximum(target.table[:, flood.AREA], 1)


def radius(target: Target) -> NDArray[np.float64]:
    """(L,) radius in pixels of the disc of the component's area."""
    return np.sqrt(target.table[:, flood.AREA] / np.pi)


def _component_features(target: Target) -> Features:
    table = target.table
    area = np.maximum(table[:, flood.AREA], 1)
    size = np.log(area)
    boundary = table[:, flood.INNER] + table[:, flood.OUTER]
    half = _at(0.5, radius(target))
    click = float(target.reach[target.click])
    noise = max(target.noise / target.contrast, _NOISE_FLOOR)
    columns = [
        LEVELS,
        size,
        radius(target),
        radius(target) - half,
        boundary_contrast(target),
        3 * rim_share(target),
        np.log(np.maximum(table[:, flood.INNER], 1)) - size / 2,
        table[:, flood.SLOPE_SUM] / np.maximum(boundary, 1),
        _elongation(table),
        table[:, flood.SUM] / area,
        _shifted(size, _NEAR) - size,
        size - _shifted(size, -_NEAR),
        _shifted(size, _FAR) - size,
        size - _shifted(size, -_FAR),
        np.log(np.maximum(LEVELS, 0.02) / noise),
        np.clip(click - LEVELS, -0.5, 0.5),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _target_features(target: Target, own: Features) -> Features:
    size, edge, elongation = own[:, 1], own[:, 4], own[:, 8]
    noise = max(target.noise / target.contrast, _NOISE_FLOOR)
    return np.array(
        [
            np.log(target.contrast),
            np.log(1 / noise),
            target.background * target.polarity,
            *(_at(level, size) for level in _ANCHORS),
            _at(0.34, elongation),
            _at(0.34, edge),
            _at(0.5, edge),
            float(LEVELS[edge[5:].argmax() + 5]),
            np.log(max(target.noise, 1e-3)),
        ]
    )


def _elongation(table: Features) -> Features:
    """Ratio of the axes of the component's inertia ellipse, less 1; each pixel counts as a unit square."""
    area = np.maximum(table[:, flood.AREA], 1)
    yy = table[:, flood.YY] / area + 1 / 12
    xx = table[:, flood.XX] / area + 1 / 12
    yx = table[:, flood.YX] / area
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return np.sqrt((middle + spread) / np.maximum(middle - spread, 1 / 24)) - 1


def _at(level: float, values: NDArray[np.floating]) -> float:
    return float(values[np.abs(LEVELS - level).argmin()])


def _shifted(values: Features, step: int) -> Features:
    """Values ``step`` levels further down (up where negative), the last one repeated."""
    index = np.clip(np.arange(len(values)) + step, 0, len(values) - 1)
    shifted: Features = values[index]
    return shifted
