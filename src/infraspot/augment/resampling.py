"""Moving a window of a sample onto a new grid of pixels, with everything that is annotated in it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.sample import BoolArray, FloatArray, Sample


def resample(sample: Sample, corner: NDArray[np.float64], zoom: float, shape: tuple[int, int]) -> Sample:
    """The window of ``shape`` whose top left edge lies at ``corner`` in the frame, magnified by ``zoom``.

    A mask of True and False stays one; a soft label, float in [0, 1], stays soft.
    """
    rows, columns = (_taps(corner[i], zoom, shape[i], sample.shape[i]) for i in range(2))
    image = _apply(sample.image, rows, columns, outside=True)
    mask = None if sample.mask is None else _resample_label(sample.mask, rows, columns)
    sky = (
        None
        if sample.sky is None
        else (_apply(sample.sky, rows, columns, outside=True) >= 0.5).astype(np.uint8)
    )
    points, boxes, limit = sample.points, sample.boxes, np.array(shape)
    if points is not None:
        points = (points + 0.5 - corner) * zoom - 0.5
        points = points[((points >= -0.5) & (points < limit - 0.5)).all(axis=1)]
    if boxes is not None:
        boxes = np.clip((boxes - np.tile(corner[::-1], 2)) * zoom, 0.0, np.tile(limit[::-1], 2))
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= 0.5).all(axis=1)]
    return sample.replace(image=image, mask=mask, sky=sky, points=points, boxes=boxes)


@dataclass(frozen=True, eq=False)
class _Taps:
    """One axis of a resampling.

    Attributes
    ----------
    index
        Source pixels, those beyond the frame replaced by the nearest within.
    inside
        Which of them lay in the frame.
    weights
        (size, len(index)); None where the pixels are only copied.
    """

    index: NDArray[np.intp]
    inside: BoolArray
    weights: NDArray[np.float32] | None


def _taps(start: float, zoom: float, size: int, length: int) -> _Taps:
    """Linear interpolation, widened to average where the zoom is below 1."""
    first, last = int(np.floor(start)), int(np.ceil(start + size / zoom))
    if zoom == 1.0 and start == first:
        source, weights = np.arange(first, first + size), None
    else:
        width = max(1.0, 1.0 / zoom)
        margin = int(np.ceil(width))
        source = np.arange(first - margin, last + margin)
        position = start + (np.arange(size) + 0.5) / zoom - 0.5
        weights = np.maximum(0.0, 1.0 - np.abs(position[:, None] - source) / width).astype(np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
    return _Taps(np.clip(source, 0, length - 1), (source >= 0) & (source < length), weights)


def _resample_label(label: NDArray[Any], rows: _Taps, columns: _Taps) -> NDArray[Any]:
    soft = _apply(label, rows, columns, outside=False)
    # Rounding may leave the range by a hair.
    return soft >= 0.5 if label.dtype == np.bool_ else np.clip(soft, 0.0, 1.0)


def _apply(layer: NDArray[Any], rows: _Taps, columns: _Taps, outside: bool) -> FloatArray:
    """Resample a layer; beyond the frame it repeats the border (``outside``) or is zero."""
    patch = layer[rows.index[:, None], columns.index].astype(np.float32, copy=False)
    if not outside:
        patch = patch * (rows.inside[:, None] & columns.inside)
    if rows.weights is not None:
        patch = rows.weights @ patch
    if columns.weights is not None:
        patch = patch @ columns.weights.T
    return patch
