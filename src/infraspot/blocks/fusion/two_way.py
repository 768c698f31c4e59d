"""Fusions with cross-modulation: each level says what matters in the other."""

import torch
from torch import Tensor

from infraspot.blocks.attention import (
    ChannelAttention,
    Gate,
    GroupChannelAttention,
    PatchSpatialAttention,
    PixelAttention,
)
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion.base import Fusion


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
    """Patch-group attention: ACM with group-wise CA and patch-wise SA (Zhang et al., 2024)."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.top_down = GroupChannelAttention(out_channels)
        self.bottom_up = PatchSpatialAttention(out_channels)


class AFM(Fusion):
    """Asymmetric fusion: the baseline fusion modulated by both, 3x3(low + high) CA(high) PA(low) (AGPCNet,
    2023).

    The survey calls AAF (GANet, 2024) the same; it is registered under both names.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.channel = ChannelAttention(out_channels, norm=True)
        self.pixel = PixelAttention(out_channels, norm=True)
        self.merge = ConvNormAct(out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return self.merge(low + high) * self.channel.weights(high) * self.pixel.weights(low)


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
    """Triple cross-layer fusion: the decoder meets two encoders, by ACM twice (DMFNet, 2024).

    ``forward`` takes the second encoder's level as ``side``, like ``low`` in shape. Judgement: without one,
    the second view of the low level is a 3x3 of the first, so that TCFM also serves a network with one
    encoder.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.view = ConvNormAct(low_channels, out_channels)
        self.first = ACM(out_channels, out_channels, out_channels)
        self.second = ACM(out_channels, out_channels, out_channels)

    def forward(self, low: Tensor, high: Tensor, side: Tensor | None = None) -> Tensor:
        view = self.view(low if side is None else side)
        low, high = self.align(low, high)
        return self.second(low, self.first(view, high))


class MFFM(Fusion):
    """Cascade from high-level semantics to low-level details (Wang et al., 2023).

    Judgement: the high level is refined, joins the low level, and is added once more to what they gave.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.semantics = ConvNormAct(out_channels, out_channels)
        self.details = ConvNormAct(2 * out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        semantics = self.semantics(high)
        return semantics + self.details(torch.cat([low, semantics], dim=1))
