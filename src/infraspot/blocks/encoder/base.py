"""What every encoder takes and returns, and the baseline."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct

MakeBlock = Callable[[int, int], nn.Module]


class Encoder(nn.Module):
    """``Encoder(widths, block, stem)(image)``: (N, 1, H, W) to levels, finest first, each half as large.

    Sides are multiples of the coarsest level's cell. ``block(in_channels, out_channels)`` makes the
    refinement of a level, ``stem`` the layer that reads the frame.

    Attributes
    ----------
    widths
        Channels of the levels that come out; the coarsest has the width asked for.
    """

    widths: tuple[int, ...]

    def __init__(self, widths: Sequence[int], block: MakeBlock, stem: MakeBlock = ConvNormAct):
        super().__init__()
        self.widths = tuple(widths)
        self.stem = stem(1, widths[0])

    def forward(self, image: Tensor) -> list[Tensor]:
        raise NotImplementedError


class SingleEncoder(Encoder):
    """Baseline: one branch, halved by max-pooling (U-Net, 2015)."""

    def __init__(self, widths: Sequence[int], block: MakeBlock, stem: MakeBlock = ConvNormAct):
        super().__init__(widths, block, stem)
        self.levels = nn.ModuleList(block(low, high) for low, high in pairwise((widths[0], *widths)))

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        levels = []
        for index, level in enumerate(self.levels):
            x = level(F.max_pool2d(x, 2) if index else x)
            levels.append(x)
        return levels
