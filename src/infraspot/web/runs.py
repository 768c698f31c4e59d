"""Masks as short JSON: a box, and the lengths of the runs inside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_SIDE = 20_000


class Patch(BaseModel):
    """A mask cut to its box (x0, y0, x1, y1), half-open, in pixels.

    ``runs`` are the lengths of alternating stretches of background and target, row by row through the box,
    beginning with background: ``[0, 2, 1, 1]`` in a 2x2 box is ``[[1, 1], [0, 1]]``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    box: tuple[int, int, int, int]
    runs: list[int] = Field(max_length=1_000_000)

    @model_validator(mode="after")
    def _fits(self) -> "Patch":
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 <= x1 <= MAX_SIDE and 0 <= y0 <= y1 <= MAX_SIDE):
            raise ValueError(f"the box {self.box} is not (x0, y0, x1, y1) inside a frame")
        if any(run < 0 for run in self.runs) or sum(self.runs) != (x1 - x0) * (y1 - y0):
            raise ValueError(f"the runs do not fill the box {self.box}")
        return self

    def paint(self, mask: NDArray[np.bool_]) -> None:
        """Set the pixels of this patch in a (H, W) mask; what lies outside the mask is left out."""
        x0, y0, x1, y1 = self.box
        inside = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs).reshape(y1 - y0, x1 - x0)
        view = mask[y0:y1, x0:x1]
        view |= inside[: view.shape[0], : view.shape[1]]


def to_patch(mask: NDArray[Any], corner: tuple[int, int] = (0, 0)) -> Patch:
    """The patch of a (H, W) mask, cut to its smallest box; its first pixel lies at ``corner`` (x, y)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Patch(box=(0, 0, 0, 0), runs=[])
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    flat = np.concatenate([[False], mask[y0:y1, x0:x1].astype(bool).ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    edges = np.concatenate([[0], changes, [flat.size - 1]])
    left, top = corner
    return Patch(box=(left + x0, top + y0, left + x1, top + y1), runs=np.diff(edges).tolist())


def to_mask(patches: Sequence[Patch], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The union of patches in a frame of ``shape`` (H, W)."""
    mask = np.zeros(shape, bool)
    for patch in patches:
        patch.paint(mask)
    return mask
