"""What a network trains on in one step, and what a loss may read."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """N augmented frames of one size. A part that no frame has is ``None``.

    Attributes
    ----------
    ids
        Of the frames, in their order.
    images, labels
        (N, 1, H, W) float32 in [0, 1]; a label is the supervision in force, and may be soft. Images of clips
        are (N, T, H, W), registered frames of which the last is labelled.
    boxes, points
        One tensor a frame: (n, 4) boxes as (x0, y0, x1, y1) and (n, 2) points as (y, x), in pixels.
    sky
        (N, 1, H, W) float32: 1 sky, 0 other.
    domain
        (N,) int64: which data set a frame comes from.
    negative
        (N,) bool: True for the frames of ``[negatives]``, which hold no target.
    unlabelled
        (M, 1, H, W) images of ``[unlabelled]``, of which nothing is known.
    """

    ids: tuple[str, ...]
    images: Tensor
    labels: Tensor
    boxes: tuple[Tensor, ...] | None = None
    points: tuple[Tensor, ...] | None = None
    sky: Tensor | None = None
    domain: Tensor | None = None
    negative: Tensor | None = None
    unlabelled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        return replace(self, **{part.name: _moved(getattr(self, part.name), device) for part in fields(self)})

    def shrunk(self, size: tuple[int, int]) -> "Batch":
        """Images and labels at a smaller size, for a map of a coarse level.

        A cell of an image is the mean of its pixels. A cell of a label is the largest of its pixels, so that
        no target vanishes.
        """
        return replace(
            self,
            images=F.adaptive_avg_pool2d(self.images, size),
            labels=F.adaptive_max_pool2d(self.labels, size),
        )


def _moved(part: Any, device: torch.device | str) -> Any:
    if isinstance(part, tuple):
        return tuple(_moved(item, device) for item in part)
    return part.to(device) if isinstance(part, Tensor) else part
