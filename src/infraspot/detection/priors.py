"""The places of a frame that a head speaks about: points, and anchors around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from infraspot.detection.boxes import around


class Priors(NamedTuple):
    """K places over all levels, finest level first, row by row, anchors of a place side by side.

    Attributes
    ----------
    points
        (K, 2) centres as (x, y) in pixels of the frame, counted from its edge.
    strides
        (K,) pixels between neighbours of the level.
    boxes
        (K, 4) the anchor of each place.
    level
        (K,) number of the level.
    """

    points: Tensor
    strides: Tensor
    boxes: Tensor
    level: Tensor


@dataclass(frozen=True)
class Anchors:
    """Anchors of a place: of each scale, in strides, and of each ratio of height to width.

    By default one square of a stride, which only says where the place is.
    """

    scales: tuple[float, ...] = (1.0,)
    ratios: tuple[float, ...] = (1.0,)

    @property
    def count(self) -> int:
        """Anchors of a place."""
        return len(self.scales) * len(self.ratios)

    def __call__(self, maps: Sequence[Tensor], strides: Sequence[int]) -> Priors:
        """The priors of (N, C, h, w) maps at their strides."""
        found = [
            self._level(map_, stride, k) for k, (map_, stride) in enumerate(zip(maps, strides, strict=True))
        ]
        return Priors(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _level(self, map_: Tensor, stride: int, number: int) -> Priors:
        sizes = [(s * stride / r**0.5, s * stride * r**0.5) for r in self.ratios for s in self.scales]
        return anchors_of_level(map_, stride, number, sizes)


@dataclass(frozen=True)
class SizedAnchors:
    """Anchors of a place that differ from level to level: (width, height) of each, in strides."""

    sizes: tuple[tuple[tuple[float, float], ...], ...]

    def __call__(self, maps: Sequence[Tensor], strides: Sequence[int]) -> Priors:
        """The priors of (N, C, h, w) maps at their strides."""
        found = [
            anchors_of_level(map_, stride, k, [(w * stride, h * stride) for w, h in sizes])
            for k, (map_, stride, sizes) in enumerate(zip(maps, strides, self.sizes, strict=True))
        ]
        return Priors(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def anchors_of_level(map_: Tensor, stride: int, number: int, sizes: Sequence[tuple[float, float]]) -> Priors:
    """Anchors of these (width, height), in pixels of the frame, at each cell of the map of one level."""
    points = grid_points(map_, stride)
    points = points[:, None].expand(-1, len(sizes), -1)
    boxes = around(points, points.new_tensor(sizes)).reshape(-1, 4)
    points = points.reshape(-1, 2)
    same = torch.zeros_like(points[:, 0])
    return Priors(points, same + stride, boxes, same.long() + number)


def grid_points(map_: Tensor, stride: int) -> Tensor:
    """(h w, 2) centres (x, y) of the cells of a map, row by row, in pixels of the frame."""
    rows = torch.arange(map_.shape[-2], device=map_.device, dtype=torch.float32)
    columns = torch.arange(map_.shape[-1], device=map_.device, dtype=torch.float32)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
