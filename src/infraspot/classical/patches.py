"""A frame as overlapping patches, and back: what the low-rank methods work on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


@dataclass(frozen=True)
class PatchGrid:
    """Square patches of ``size`` pixels every ``step`` pixels, over a frame of ``height`` x ``width``.

    Frames that the grid does not fit are mirrored at their lower and right edges.
    """

    height: int
    width: int
    size: int
    step: int

    @classmethod
    def over(cls, frame: NDArray[Any], size: int, step: int) -> "PatchGrid":
        """The grid over a frame (H, W)."""
        height, width = frame.shape
        return cls(height, width, size, step)

    @property
    def rows(self) -> int:
        """Patches in a column of the grid."""
        return 1 + max(-(-(self.height - self.size) // self.step), 0)

    @property
    def columns(self) -> int:
        """Patches in a row of the grid."""
        return 1 + max(-(-(self.width - self.size) // self.step), 0)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the mirrored frame."""
        return self.size + (self.rows - 1) * self.step, self.size + (self.columns - 1) * self.step

    def split(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) -> (N, size, size), a copy in raster order."""
        below, right = (big - small for big, small in zip(self.padded, frame.shape, strict=True))
        padded = np.pad(frame, ((0, below), (0, right)), mode="symmetric")
        windows = sliding_window_view(padded, (self.size, self.size))[:: self.step, :: self.step]
        return windows.reshape(-1, self.size, self.size)

    def join(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, size, size) -> (H, W): the median of what the overlapping patches say of each pixel.

        Patches ``ceil(size / step)`` grid places apart do not overlap, so each such set is one layer that is
        pasted in one go; the median runs over the layers.
        """
        stride = -(-self.size // self.step)
        grid = patches.reshape(self.rows, self.columns, self.size, self.size)
        layers = np.full((stride * stride, *self.padded), np.nan, np.float32)
        for layer in range(stride * stride):
            y, x = divmod(layer, stride)
            pasted = _side_by_side(grid[y::stride, x::stride], stride * self.step)
            free = layers[layer, y * self.step :, x * self.step :]
            height, width = (min(sides) for sides in zip(pasted.shape, free.shape, strict=True))
            free[:height, :width] = pasted[:height, :width]
        return _median_of_known(layers)[: self.height, : self.width]


def _side_by_side(grid: NDArray[np.float32], period: int) -> NDArray[np.float32]:
    """(R, C, size, size) -> (R * period, C * period): patches that do not overlap, NaN between them."""
    rows, columns, size, _ = grid.shape
    canvas = np.full((rows, period, columns, period), np.nan, np.float32)
    canvas[:, :size, :, :size] = grid.transpose(0, 2, 1, 3)
    return canvas.reshape(rows * period, columns * period)


def _median_of_known(layers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median over the first axis, NaN left out (sorting puts NaN last, so counting finds the middle)."""
    known = len(layers) - np.isnan(layers).sum(axis=0)
    ordered = np.sort(layers, axis=0)
    low = np.take_along_axis(ordered, ((known - 1) // 2)[None], axis=0)[0]
    high = np.take_along_axis(ordered, (known // 2)[None], axis=0)[0]
    middle: NDArray[np.float32] = (low + high) / 2
    return middle
