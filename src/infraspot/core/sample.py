"""One image with what is known about it."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


# What a field of a sample says of itself, as metadata. A layer is (H, W), one value a pixel, or several
# of these, (K, H, W); where a window reaches over the frame, it repeats its border or is zero. A per-target
# field has one row for each target.
BORDER_LAYER = {"beyond": "border"}
ZERO_LAYER = {"beyond": "zero"}
PER_TARGET = {"per_target": True}


@dataclass(frozen=True, eq=False)
class Sample:
    """An infrared frame and its annotation.

    ``None`` means *not annotated*; an empty array means *annotated, and there is no target*.

    A subclass may add fields. Those whose metadata are ``BORDER_LAYER``, ``ZERO_LAYER`` or ``PER_TARGET``
    follow the geometry of a transform; every other field is kept as it is.

    Attributes
    ----------
    id
        Name without folder and extension; unique within a data set.
    image
        (H, W) float32 in [0, 1]: stored values divided by the largest value of the stored depth.
    mask
        (H, W) bool, True on targets: the truth.
    points
        (N, 2) float64 clicks as (y, x) in pixels; pixel centres are whole numbers. Clicks and boxes come from
        different sources, so that their numbers and orders may differ.
    boxes
        (M, 4) float64 as (x0, y0, x1, y1) in pixels, half-open: a 3x3 target at the origin is (0, 0, 3, 3).
    sky
        (H, W) uint8: 1 sky, 0 other.
    bit_depth
        Bits per pixel of the stored file.
    label
        (H, W) the supervision in force, which need not be true: float32 in [0, 1], or bool where every value
        is 0 or 1.
    tracks, classes
        (M,) whole numbers, in the order of the boxes, or of the points where there are no boxes; -1 unknown.
    """

    id: str
    image: FloatArray = field(metadata=BORDER_LAYER)
    mask: BoolArray | None = field(default=None, metadata=ZERO_LAYER)
    points: FloatArray | None = None
    boxes: FloatArray | None = None
    sky: NDArray[np.uint8] | None = field(default=None, metadata=BORDER_LAYER)
    bit_depth: int = 8
    label: NDArray[Any] | None = field(default=None, metadata=ZERO_LAYER)
    tracks: NDArray[np.integer[Any]] | None = field(default=None, metadata=PER_TARGET)
    classes: NDArray[np.integer[Any]] | None = field(default=None, metadata=PER_TARGET)

    def __post_init__(self) -> None:
        if self.image.ndim != 2:
            raise ValueError(f"{self.id}: the image must be (H, W), and its shape is {self.image.shape}")
        for name, values in self.given("beyond").items():
            if values.shape[-2:] != self.image.shape:
                raise ValueError(
                    f"{self.id}: the {name} has shape {values.shape}, and the image {self.image.shape}"
                )
        for name, values in self.given("per_target").items():
            places = self.points if self.boxes is None else self.boxes
            if places is None or len(values) != len(places):
                count = "no boxes or points" if places is None else f"{len(places)} targets"
                raise ValueError(
                    f"{self.id}: {name} has {len(values)} rows for {count}; each target has one row"
                )

    def __repr__(self) -> str:
        height, width = self.shape
        parts = [
            part.name
            for part in fields(self)
            if part.default is None and getattr(self, part.name) is not None
        ]
        return f"<Sample {self.id} {width}x{height}: {', '.join(parts) or 'not annotated'}>"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.image.shape
        return height, width

    @property
    def supervision(self) -> NDArray[Any] | None:
        """(H, W) what to learn from: the label where there is one, else the mask."""
        return self.mask if self.label is None else self.label

    def given(self, kind: Literal["beyond", "per_target"]) -> dict[str, NDArray[Any]]:
        """The arrays that are not None, by name: the layers (``"beyond"``) or the rows (``"per_target"``)."""
        return {
            part.name: getattr(self, part.name)
            for part in fields(self)
            if kind in part.metadata and getattr(self, part.name) is not None
        }

    def replace(self, **changes: Any) -> Self:
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def without_truth(self) -> Self:
        """A copy without what tells the extent of targets (mask and boxes); clicks stay.

        Rows that belong to the boxes go with them.
        """
        rows = self.given("per_target") if self.boxes is not None else {}
        return self.replace(mask=None, boxes=None, **dict.fromkeys(rows))


@dataclass(frozen=True, eq=False)
class Clip(Sample):
    """A frame with those before it, moved so that the background stands still; the annotation is the frame's.

    Attributes
    ----------
    earlier
        (K, H, W) float in [0, 1]: the K frames before, the oldest first, registered to the frame.
    """

    earlier: FloatArray = field(default_factory=lambda: np.zeros((0, 0, 0)), metadata=BORDER_LAYER)

    @property
    def stack(self) -> NDArray[np.float32]:
        """(K + 1, H, W) float32: all frames, the last one being the clip's own."""
        return np.concatenate([self.earlier, self.image[None]]).astype(np.float32, copy=False)
