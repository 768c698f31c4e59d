"""Moving a frame, and everything that is annotated in it, onto a new grid of pixels."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from infraspot.core.sample import BoolArray, FloatArray, Sample

AnySample = TypeVar("AnySample", bound=Sample)

# A box of which less than this many pixels are left on a side is dropped.
SMALLEST_SIDE = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Move:
    """A window of a frame, magnified, then transposed, then mirrored: all that augmentation does to geometry.

    The same move fits every frame of its size, so that the frames of a sequence can move together.

    Attributes
    ----------
    shape
        Height and width of the window in pixels of the result, before it is transposed.
    corner
        (y, x) of the window's top left edge in the frame, in pixels; the frame's own edge is (0, 0).
    zoom
        Pixels of the result for each pixel of the frame.
    transposed
        Whether rows and columns are swapped.
    mirrored
        Whether the order of rows, and that of columns, is reversed, after transposing.
    """

    shape: tuple[int, int]
    corner: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    transposed: bool = False
    mirrored: tuple[bool, bool] = (False, False)

    def __call__(self, sample: AnySample) -> AnySample:
        """The moved sample; targets that are no longer in sight are dropped with all their rows.

        A layer of True and False, or of whole numbers, stays one; a soft label, float in [0, 1], stays soft.
        """
        rows, columns = (_taps(self.corner[i], self.zoom, self.shape[i], sample.shape[i]) for i in (0, 1))
        beyond = {part.name: part.metadata["beyond"] for part in fields(sample) if "beyond" in part.metadata}
        changes: dict[str, Any] = {
            name: self.turned(_resampled(layer, rows, columns, beyond[name] == "border"))
            for name, layer in sample.given("beyond").items()
        }
        kept: BoolArray | None = None
        if sample.points is not None:
            changes["points"], kept = self.moved_points(sample.points)
        if sample.boxes is not None:
            changes["boxes"], kept = self.moved_boxes(sample.boxes)
        for name, values in sample.given("per_target").items():
            changes[name] = values[kept]
        return sample.replace(**changes)

    def turned(self, layer: NDArray[Any]) -> NDArray[Any]:
        """(..., H, W) pixels of the window, transposed and mirrored."""
        layer = layer.swapaxes(-1, -2) if self.transposed else layer
        rows, columns = (slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return np.ascontiguousarray(layer[..., rows, columns])

    def moved_points(self, points: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Those of (N, 2) points that stay in sight, as (y, x) in the result; and (N,) which they are."""
        # The centre of a pixel lies half a pixel from its edges.
        moved = self._places(points + 0.5)
        kept: BoolArray = np.all((moved >= 0) & (moved < self._limit), axis=1)
        return moved[kept] - 0.5, kept

    def moved_boxes(self, boxes: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Those of (N, 4) boxes that stay in sight, cut at the window; and (N,) which they are."""
        corners = np.clip([self._places(boxes[:, [1, 0]]), self._places(boxes[:, [3, 2]])], 0.0, self._limit)
        low, high = corners.min(axis=0), corners.max(axis=0)
        kept = (high - low >= SMALLEST_SIDE).all(axis=1)
        return np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)[kept], kept

    def _places(self, places: FloatArray) -> FloatArray:
        """Where (N, 2) places (y, x), counted from the frame's edge, lie in the result."""
        moved = (places - self.corner) * self.zoom
        moved = moved[:, ::-1] if self.transposed else moved
        return np.where(self.mirrored, self._limit - moved, moved)

    @property
    def _limit(self) -> FloatArray:
        return np.array(self.shape[::-1] if self.transposed else self.shape, np.float64)


@dataclass(frozen=True, eq=False)
class _Taps:
    """One axis of a resampling.

    Attributes
    ----------
    source
        Source pixels; those beyond the frame are replaced by the nearest within. A slice where none is.
    inside
        Which of them lie in the frame.
    weights
        (size, number of source pixels); None where the pixels are only copied.
    """

    source: NDArray[np.intp] | slice
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
    inside = (source >= 0) & (source < length)
    if inside.all():
        return _Taps(slice(int(source[0]), int(source[-1]) + 1), inside, weights)
    return _Taps(np.clip(source, 0, length - 1), inside, weights)


def _resampled(layer: NDArray[Any], rows: _Taps, columns: _Taps, repeat_border: bool) -> NDArray[Any]:
    """(..., H, W) on the new grid, in its own type; beyond the frame it repeats its border or is zero."""
    patch = layer[..., rows.source, :][..., columns.source]
    if not repeat_border and not (rows.inside.all() and columns.inside.all()):
        patch = patch * (rows.inside[:, None] & columns.inside)
    if rows.weights is None and columns.weights is None:
        return patch
    mixed = patch.astype(np.float32, copy=False)
    mixed = mixed if rows.weights is None else rows.weights @ mixed
    mixed = mixed if columns.weights is None else mixed @ columns.weights.T
    if layer.dtype == np.bool_:
        return mixed >= 0.5
    if layer.dtype.kind in "iu":
        return np.floor(mixed + 0.5).astype(layer.dtype)
    # Rounding may leave the range by a hair.
    return np.clip(mixed, patch.min(), patch.max())
