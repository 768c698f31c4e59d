"""Fusions with modulation in one direction: one level says where, or what, to look at in the other."""

import torch
from torch import Tensor, nn

from infraspot.blocks.attention import ChannelAttention, PixelAttention, SqueezeExcitation
from infraspot.blocks.conv import ConvNormAct, central_difference
from infraspot.blocks.deformable import DeformableConv2d
from infraspot.blocks.fusion.base import Concat, Fusion


class FAMCA(Concat):
    """CA after the baseline fusion (Huang et al., 2021).

    The authors concatenate three levels; a decoder step has two.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.channel = SqueezeExcitation(out_channels, reduction=4)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return self.channel(super().fuse(low, high))


class SBAM(Fusion):
    """Modulation of the high level by PA weights from the low level, then the sum (ALCL-Net, 2022).

    low + high * sigmoid(BN(1x1 low)).
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.pixel = ConvNormAct(out_channels, out_channels, 1, act=False)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return torch.addcmul(low, high, torch.sigmoid(self.pixel(low)))


class BLAM(Fusion):
    """Bottom-up local attention: as SBAM, with a bottleneck PA and both levels normalised (ALCNet, 2021)."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.norm_low = nn.BatchNorm2d(out_channels)
        self.norm_high = nn.BatchNorm2d(out_channels)
        self.pixel = PixelAttention(out_channels, norm=True)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        low = self.norm_low(low)
        return torch.addcmul(low, self.norm_high(high), self.pixel.weights(low))


class TOAA(Fusion):
    """Two-orientation attention aggregation: SBAM twice, along the rows and the columns of the low level
    (ISNet, 2022).

    The weights of a direction are the sigmoid of a 1x3 or 3x1 deformable convolution, as in the authors'
    program. Both levels first pass one shared pair of 1x1 without activation.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        half = max(out_channels // 2, 1)
        self.prepare = nn.Sequential(nn.Conv2d(out_channels, half, 1), nn.Conv2d(half, out_channels, 1))
        self.row = DeformableConv2d(out_channels, out_channels, (1, 3))
        self.column = DeformableConv2d(out_channels, out_channels, (3, 1))

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        low, high = self.prepare(low), self.prepare(high)
        weights = torch.sigmoid(self.row(low)) + torch.sigmoid(self.column(low))
        return torch.addcmul(2 * low, weights, high)


class MCAF(Fusion):
    """CA over the low level, then its modulation by PA weights from the high level (LCAGNet, 2023).

    Judgement: the sum with the high level and a 3x3 follow.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.channel = ChannelAttention(out_channels)
        self.pixel = PixelAttention(out_channels, norm=True)
        self.merge = ConvNormAct(out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return self.merge(torch.addcmul(high, self.channel(low), self.pixel.weights(high)))


class OCDF(Fusion):
    """Orthogonal central difference fusion: contrast of the low level along rows and columns (Chen et al.,
    2024).

    A central difference convolution 1x3 (3x1) is w * x - sum(w) x: it answers to what differs from its
    neighbours in a row (column). Its sigmoid modulates the high level, once in each direction. Judgement:
    depthwise differences and a 3x3 on the sum.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.row = nn.Parameter(torch.empty(out_channels, 1, 1, 3))
        self.column = nn.Parameter(torch.empty(out_channels, 1, 3, 1))
        nn.init.kaiming_uniform_(self.row, a=5**0.5)
        nn.init.kaiming_uniform_(self.column, a=5**0.5)
        self.merge = ConvNormAct(out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        rows = torch.sigmoid(central_difference(low, self.row))
        columns = torch.sigmoid(central_difference(low, self.column))
        return self.merge(torch.addcmul(low, high, rows + columns))
