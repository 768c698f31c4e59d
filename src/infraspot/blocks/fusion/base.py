"""What every fusion takes and returns, and the two baselines."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct, resize_to


class Fusion(nn.Module):
    """``Fusion(low_channels, high_channels, out_channels)(low, high)``.

    ``low`` (N, low_channels, H, W) holds local details, ``high`` (N, high_channels, h, w) high-level
    semantics, at the same or a smaller size. The result is (N, out_channels, H, W). Both are first brought to
    ``out_channels`` (1x1, norm and ReLU where the count differs) and to the size of ``low``, bilinearly; the
    ReLU follows the resize, so that the 1x1 runs on the small map and equals one on the large map.

    Subclasses write :meth:`fuse`, where both have the same shape. ``align_corners`` is that of the resize.
    """

    align_corners = False

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__()
        self.project_low = projection(low_channels, out_channels)
        self.project_high = projection(high_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        """Fuse two maps of one shape."""
        raise NotImplementedError

    def align(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Both levels at the width of the result and the size of ``low``."""
        low = projected(low, self.project_low)
        if self.project_high is None:
            high = resize_to(high, low, align_corners=self.align_corners)
        else:
            high = F.relu(resize_to(self.project_high(high), low, align_corners=self.align_corners))
        return low, high

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return self.fuse(*self.align(low, high))


def projection(in_channels: int, out_channels: int) -> ConvNormAct | None:
    """1x1 and norm where the number of channels changes; the ReLU is the caller's."""
    return None if in_channels == out_channels else ConvNormAct(in_channels, out_channels, 1, act=False)


def projected(x: Tensor, project: ConvNormAct | None) -> Tensor:
    """``x`` through a :func:`projection` and a ReLU, or as it is where there is none."""
    return x if project is None else F.relu(project(x))


class Add(Fusion):
    """Baseline: element-wise summation."""

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return low + high


class Concat(Fusion):
    """Baseline: concatenation and a 3x3."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.merge = ConvNormAct(2 * out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return self.merge(torch.cat([low, high], dim=1))
