"""Fusions with cross-modulation: each level says what matters in the other."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import (
    ChannelAttention,
    Gate,
    GroupChannelAttention,
    PatchSpatialAttention,
    PixelAttention,
)
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion.base import Fusion, projected, projection


class ACM(Fusion):
    """Asymmetric contextual modulation: 3x3(2 low CA(high) + 2 high PA(low)) (Dai et al., 2021).

    Top-down, channel attention from the semantics; bottom-up, pixel attention from the details. The
    attentions have batch norms: training needs a batch of two or more.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.top_down: Gate = ChannelAttention(out_channels, norm=True)
        self.bottom_up: Gate = PixelAttention(out_channels, norm=True)
        self.merge = ConvNormAct(out_channels, out_channels)

    def modulate(self, low: Tensor, high: Tensor) -> Tensor:
        """The modulated sum before the 3x3."""
        return 2 * torch.addcmul(low * self.top_down.weights(high), high, self.bottom_up.weights(low))

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return self.merge(self.modulate(low, high))


class PGA(ACM):
    """Patch-group attention: ACM with group-wise CA and patch-wise SA (Zhang et al., 2024).

    Judgement: that of the two attentions, :class:`GroupChannelAttention` and :class:`PatchSpatialAttention`.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.top_down = GroupChannelAttention(out_channels)
        self.bottom_up = PatchSpatialAttention(out_channels)


class AFM(Fusion):
    """Asymmetric fusion: the baseline fusion modulated by both, 3x3(low + high) CA(high) PA(low) (AGPCNet,
    2023).

    It adds no attention beyond ACM's: channel and pixel weights act after the sum instead of before it.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.channel = ChannelAttention(out_channels, norm=True)
        self.pixel = PixelAttention(out_channels, norm=True)
        self.merge = ConvNormAct(out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return self.merge(low + high) * self.channel.weights(high) * self.pixel.weights(low)


class AAF(AFM):
    """Asymmetric attention fusion (GANet, 2024).

    Judgement: the survey calls it "similar to the AFM"; it is AFM here.
    """


class AAFM(AFM):
    """The combination of ACM and AFM: cross-modulation before the 3x3, and again after it (NLFPNet, 2024).

    Judgement: both use the same two attentions, computed once.
    """

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        channel, pixel = self.channel.weights(high), self.pixel.weights(low)
        return self.merge(2 * torch.addcmul(low * channel, high, pixel)) * channel * pixel


class EDIG(Fusion):
    """Encoder and decoder interactive guidance (AFENet, 2024).

    CA over each level, multiplied; then fused with the high level modulated by PA weights from the low level.
    Judgement: fused by concatenation and a 3x3.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.channel_low = ChannelAttention(out_channels)
        self.channel_high = ChannelAttention(out_channels)
        self.pixel = PixelAttention(out_channels)
        self.merge = ConvNormAct(2 * out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        agreed = self.channel_low(low) * self.channel_high(high)
        return self.merge(torch.cat([agreed, high * self.pixel.weights(low)], dim=1))


class TCFM(Fusion):
    """Triple cross-layer fusion: the decoder meets two encoders, by ACM with each (DMFNet, 2024).

    The two encoders' maps are the halves of ``low``, as the encoder ``dual`` gives them. Each half is
    modulated by its own attentions; one 3x3 serves both, and the sum is normalised, as in the authors'
    program. With an encoder of one branch, the halves of its channels take the place of the two maps.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        half = low_channels // 2
        super().__init__(low_channels - half, high_channels, out_channels)
        self.project_second = projection(half, out_channels)
        self.halves = (low_channels - half, half)
        self.cross = nn.ModuleList(_CrossModulation(out_channels) for _ in self.halves)
        self.merge = ConvNormAct(out_channels, out_channels)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        first, second = low.split(self.halves, dim=1)
        first, high = self.align(first, high)
        second = projected(second, self.project_second)
        one, other = (
            self.merge(cross(map_, high)) for cross, map_ in zip(self.cross, (first, second), strict=True)
        )
        return F.relu(self.norm(one + other))


class _CrossModulation(nn.Module):
    """2 low CA(high) + 2 high PA(low): ACM without its 3x3."""

    def __init__(self, channels: int):
        super().__init__()
        self.top_down = ChannelAttention(channels, norm=True)
        self.bottom_up = PixelAttention(channels, norm=True)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        return 2 * torch.addcmul(low * self.top_down.weights(high), high, self.bottom_up.weights(low))
