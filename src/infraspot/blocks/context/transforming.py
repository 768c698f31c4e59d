"""Contexts by transformers, gated perceptrons and blocks known from other families."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import CBAM
from infraspot.blocks.conv import ConvNormAct, LayerNorm2d, resize_to
from infraspot.blocks.local.convolutional import MRCB
from infraspot.blocks.pyramid import AtrousPyramid
from infraspot.blocks.transformer import TransformerLayer


class TransformerContext(nn.Sequential):
    """Transformer layers over all places of a CNN's coarsest level (Liu et al., 2023).

    Judgement: two layers. Memory grows with the square of H W: meant for the coarse levels.
    """

    def __init__(self, channels: int, layers: int = 2):
        super().__init__(*(TransformerLayer(channels) for _ in range(layers)))


class AtrousTransformer(nn.Sequential):
    """ASPP, then a transformer (IR-TransDet, 2023). Judgement: one layer, after the pyramid."""

    def __init__(self, channels: int):
        super().__init__(AtrousPyramid(channels), TransformerLayer(channels))


class MRCBContext(MRCB):
    """MRCB on the coarsest level: dilated convolutions and CA in a residual block (CMNet, 2024).

    Judgement: that of the local ``mrcb``.
    """

    def __init__(self, channels: int):
        super().__init__(channels, channels)


class CGMLP(nn.Module):
    """Compound guide multilayer perceptron (HAMANet, 2024).

    Judgement: the survey gives the letters alone. A perceptron over the channels of every place, whose hidden
    half is guided twice: by the neighbourhood (a depthwise 7x7 of the other half) and by the whole map (its
    means, through a 1x1 and a sigmoid).
    """

    def __init__(self, channels: int, expansion: int = 2, kernel_size: int = 7):
        super().__init__()
        inner = expansion * channels
        self.norm = LayerNorm2d(channels)
        self.widen = nn.Conv2d(channels, 2 * inner, 1)
        self.near = nn.Conv2d(inner, inner, kernel_size, padding=kernel_size // 2, groups=inner)
        self.whole = nn.Conv2d(inner, inner, 1)
        self.narrow = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden, guide = self.widen(self.norm(x)).chunk(2, dim=1)
        whole = torch.sigmoid(self.whole(guide.mean((-2, -1), keepdim=True)))
        return x + self.narrow(F.gelu(hidden) * self.near(guide) * whole)


class HAA(nn.Module):
    """Hierarchical attention aggregation (HMNet, 2024).

    Judgement: the survey gives the letters alone. The map at full, half and quarter size, CA and SA on each,
    aggregated from the coarsest up: what a size gives is enlarged, added to the next and read by a 3x3.
    """

    def __init__(self, channels: int, cells: Sequence[int] = (1, 2, 4)):
        super().__init__()
        self.cells = tuple(cells)
        self.attention = nn.ModuleList(CBAM(channels, reduction=8) for _ in self.cells)
        self.merge = nn.ModuleList(ConvNormAct(channels, channels) for _ in self.cells[1:])

    def forward(self, x: Tensor) -> Tensor:
        finest, *coarser = (
            attention(F.avg_pool2d(x, cell, ceil_mode=True) if cell > 1 else x)
            for cell, attention in zip(self.cells, self.attention, strict=True)
        )
        merged = coarser.pop()
        for merge, level in zip(self.merge, [*reversed(coarser), finest], strict=True):
            merged = merge(level + resize_to(merged, level))
        return x + merged
