"""Small windows of frames as PNG text, and the pixel edges of masks as SVG paths."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SIDE, LARGEST_SIDE, SHOWN_SIDE = 44, 256, 64
MOST_EDGES = 300


@dataclass(frozen=True)
class Window:
    """A window of a frame: its corner, width and height in pixels; every ``step``-th pixel of it is shown."""

    left: int
    top: int
    width: int
    height: int
    step: int

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The part of a (H, W) array."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]


def window_at(y: float, x: float, extent: float, shape: tuple[int, int]) -> Window:
    """The window around a place, twice as wide as what lies there (``extent`` pixels), within the frame."""
    side = int(np.clip(round(2 * extent), LEAST_SIDE, LARGEST_SIDE))
    height, width = (min(side, length) for length in shape)
    top = int(np.clip(round(y) - height // 2, 0, shape[0] - height))
    left = int(np.clip(round(x) - width // 2, 0, shape[1] - width))
    return Window(left, top, width, height, -(-max(height, width) // SHOWN_SIDE))


def png_text(pixels: NDArray[Any], step: int = 1) -> str:
    """A (H, W) picture as base64 of a grey PNG; its darkest pixel becomes black and its brightest white."""
    from PIL import Image

    shown = np.nan_to_num(np.asarray(pixels, np.float64)[::step, ::step])
    low, high = float(shown.min()), float(shown.max())
    levels = np.full(shown.shape, 128) if high <= low else (shown - low) / (high - low) * 255
    file = io.BytesIO()
    Image.fromarray(np.rint(levels).astype(np.uint8)).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def outline(mask: NDArray[np.bool_]) -> str:
    """The edges of a mask's pixels as an SVG path in pixels of the mask.

    A mask with very many edges becomes the rectangle around it.

    >>> outline(np.array([[False, True, True]]))
    'M1 0h2M1 1h2M1 0v1M3 0v1'
    """
    padded = np.pad(mask, 1)
    across, down = _runs(padded[1:] != padded[:-1]), _runs((padded[:, 1:] != padded[:, :-1]).T)
    if len(across) + len(down) > MOST_EDGES:
        ys, xs = np.nonzero(mask)
        left, top, width, height = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
        return f"M{left} {top}h{width}v{height}h{-width}z"
    lines = [f"M{start - 1} {row}h{length}" for row, start, length in across]
    lines += [f"M{column} {start - 1}v{length}" for column, start, length in down]
    return "".join(lines)


def box_outline(box: NDArray[Any], window: Window) -> str:
    """A box (x0, y0, x1, y1) of the frame as a path of the window."""
    x0, y0, x1, y1 = (round(float(side), 1) for side in box)
    return f"M{x0 - window.left:g} {y0 - window.top:g}h{x1 - x0:g}v{y1 - y0:g}h{x0 - x1:g}z"


def _runs(edges: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Row, start and length of every run of True along the rows."""
    steps = np.diff(edges.astype(np.int8), axis=1, prepend=0, append=0)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return list(zip(rows.tolist(), starts.tolist(), (ends - starts).tolist(), strict=True))
