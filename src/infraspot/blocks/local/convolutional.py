"""Local refinement by convolutions of flexible reach: dilated, deformable, large, nested."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import ChannelAttention, EfficientChannelAttention, PixelAttention
from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.blocks.deformable import DeformableConv2d
from infraspot.blocks.local.base import Local
from infraspot.blocks.pyramid import FeaturePyramid


class PlainConvolutions(Local):
    """Baseline: two 3x3 with norm and ReLU, without a residual (U-Net, 2015)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, residual=False)
        self.layers = nn.Sequential(
            ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels)
        )

    def refine(self, x: Tensor) -> Tensor:
        return self.layers(x)


class EmbeddedUNet(Local):
    """A small U-Net inside a feature layer (UIU-Net, 2022; the residual U-block of U2-Net, 2020).

    It has ``depth`` sizes, the last one followed by a dilated 3x3; its result is added to its input.
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int = 3):
        super().__init__(in_channels, out_channels)
        inner = max(out_channels // 2, 4)
        self.enter = ConvNormAct(in_channels, out_channels)
        self.encoder = nn.ModuleList(
            ConvNormAct(out_channels if level == 0 else inner, inner) for level in range(depth)
        )
        self.bottom = ConvNormAct(inner, inner, dilation=2)
        self.decoder = nn.ModuleList(
            ConvNormAct(2 * inner, out_channels if level == 0 else inner) for level in range(depth)
        )

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        levels: list[Tensor] = []
        for encoder in self.encoder:
            fine = F.max_pool2d(levels[-1], 2, ceil_mode=True) if levels else x
            levels.append(encoder(fine))
        inner = self.bottom(levels[-1])
        for decoder, level in zip(self.decoder[::-1], levels[::-1], strict=True):
            inner = decoder(torch.cat([level, resize_to(inner, level)], dim=1))
        return x + inner


class MALC(Local):
    """Multi-attention local contrast: a local ASPP, then PA (LCAGNet, 2023).

    Judgement: "local" is read as depthwise dilated 3x3 of small rates, and "contrast" as x minus each branch,
    the difference between a place and its ring.
    """

    def __init__(self, in_channels: int, out_channels: int, rates: Sequence[int] = (1, 2, 4)):
        super().__init__(in_channels, out_channels)
        self.enter = ConvNormAct(in_channels, out_channels)
        self.rings = nn.ModuleList(
            nn.Conv2d(
                out_channels, out_channels, 3, padding=rate, dilation=rate, groups=out_channels, bias=False
            )
            for rate in rates
        )
        self.merge = ConvNormAct(len(rates) * out_channels, out_channels, 1)
        self.pixel = PixelAttention(out_channels)

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.pixel(self.merge(torch.cat([x - ring(x) for ring in self.rings], dim=1)))


class MLFPM(Local):
    """Multi-scale local feature pyramid: a feature pyramid inside one scale (Wang et al., 2023).

    Judgement: an FPN of three sizes made by max-pooling, all enlarged and merged by a 1x1.
    """

    def __init__(self, in_channels: int, out_channels: int, levels: int = 3):
        super().__init__(in_channels, out_channels)
        self.enter = ConvNormAct(in_channels, out_channels)
        self.transforms = nn.ModuleList(ConvNormAct(out_channels, out_channels) for _ in range(levels))
        self.pyramid = FeaturePyramid([out_channels] * levels, out_channels)
        self.merge = ConvNormAct(levels * out_channels, out_channels, 1)

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        levels: list[Tensor] = []
        for transform in self.transforms:
            finer = F.max_pool2d(levels[-1], 2, ceil_mode=True) if levels else x
            levels.append(transform(finer))
        merged = self.pyramid(levels)
        return self.merge(torch.cat([resize_to(level, x) for level in merged], dim=1))


class FEM(Local):
    """Dilated and deformable convolutions for flexible receptive fields (FCNet, 2024).

    Judgement: dilations 1, 2, 3 and one deformable 3x3 side by side, each a quarter of the width.
    """

    def __init__(self, in_channels: int, out_channels: int, rates: Sequence[int] = (1, 2, 3)):
        super().__init__(in_channels, out_channels)
        width = max(out_channels // (len(rates) + 1), 4)
        self.reduce = ConvNormAct(in_channels, width, 1)
        self.dilated = nn.ModuleList(ConvNormAct(width, width, dilation=rate) for rate in rates)
        self.deformable = DeformableConv2d(width, width)
        self.merge = ConvNormAct(width * (len(rates) + 1), out_channels, 1, act=False)

    def refine(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        branches = [dilated(x) for dilated in self.dilated]
        return self.merge(torch.cat([*branches, F.relu(self.deformable(x))], dim=1))


class MDAF(Local):
    """Larger kernels and dense connections in the residual block of ResNet (MDAFNet, 2024).

    Judgement: 3x3, 5x5 and 7x7 (the larger ones depthwise), each reading all results before it through a 1x1;
    "adaptive fusion" is read as ECA over the three results before the last 1x1.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.first = ConvNormAct(in_channels, out_channels)
        self.second = _depthwise(in_channels + out_channels, out_channels, 5)
        self.third = _depthwise(in_channels + 2 * out_channels, out_channels, 7)
        self.weigh = EfficientChannelAttention(3 * out_channels)
        self.merge = ConvNormAct(3 * out_channels, out_channels, 1, act=False)

    def refine(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(torch.cat([x, first], dim=1))
        third = self.third(torch.cat([x, first, second], dim=1))
        return self.merge(self.weigh(torch.cat([first, second, third], dim=1)))


def _depthwise(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """1x1, then a depthwise k x k, each with norm and ReLU."""
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels, 1),
        ConvNormAct(out_channels, out_channels, kernel_size, groups=out_channels),
    )


class MRCB(Local):
    """Dilated convolutions and CA in the residual block of ResNet (CMNet, 2024).

    Judgement: two 3x3 of dilation 1 and 2 side by side, half of the channels each, then a 3x3 and CA.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        half = out_channels // 2
        self.near = ConvNormAct(in_channels, half)
        self.far = ConvNormAct(in_channels, out_channels - half, dilation=2)
        self.merge = ConvNormAct(out_channels, out_channels, act=False)
        self.channel = ChannelAttention(out_channels)

    def refine(self, x: Tensor) -> Tensor:
        return self.channel(self.merge(torch.cat([self.near(x), self.far(x)], dim=1)))
