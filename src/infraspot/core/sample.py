"""One image with what is known about it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sample:
    """An infrared frame and its annotation.

    ``None`` means *not annotated*; an empty array means *annotated, and there is no target*.

    Attributes
    ----------
    id
        Name without folder and extension; unique within a data set.
    image
        (H, W) float32 in [0, 1]: stored values divided by the largest value of the stored depth.
    mask
        (H, W) bool, True on targets.
    points
        (N, 2) float64 clicks as (y, x) in pixels; pixel centres are whole numbers.
    boxes
        (N, 4) float64 as (x0, y0, x1, y1) in pixels, half-open: a 3x3 target at the origin is (0, 0, 3, 3).
    sky
        (H, W) uint8: 1 sky, 0 other.
    bit_depth
        Bits per pixel of the stored file.
    """

    id: str
    image: FloatArray
    mask: BoolArray | None = None
    points: FloatArray | None = None
    boxes: FloatArray | None = None
    sky: NDArray[np.uint8] | None = None
    bit_depth: int = 8

    def __post_init__(self) -> None:
        if self.image.ndim != 2:
            raise ValueError(f"{self.id}: the image must be (H, W), and its shape is {self.image.shape}")
        for name in ("mask", "sky"):
            layer = getattr(self, name)
            if layer is not None and layer.shape != self.image.shape:
                raise ValueError(
                    f"{self.id}: the {name} has shape {layer.shape}, and the image {self.image.shape}"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.image.shape
        return height, width

    def replace(self, **changes: Any) -> "Sample":
        """A copy with some attributes changed."""
        return replace(self, **changes)
