"""GGLNet: gradient-guided learning (Zhao et al., IEEE GRSL, 2023).

Local details refinement and fusion. Each level of ALCLNet's encoder is told the image's gradient at its own
size again, so that edges survive the way down, and the levels meet by cross-modulation (the "two-way
guidance" fusion): channel attention of the semantics gates the details, spatial attention of the details
gates the semantics.

Parameters: 8.98 M (the authors' program has 8.99 M). Departures: one input channel instead of three equal
ones, no bias in convolutions that a batch norm follows, and the fusion's 1x1 before the upsampling, as in
ALCLNet. With the authors' weights carried over, outputs agree to 1e-5 of their range.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import ChannelAttention, SpatialAttention, SqueezeExcitation
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion import Fusion
from infraspot.blocks.gradient import gradient_magnitude
from infraspot.blocks.local_contrast import LocalContrast, PixelHead, PlainResidual, PooledResidual
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet


class _GradientGuide(nn.Module):
    """The gradient image, brought to the level's width by 3x3, SE, 3x3, joins the level by 3x3, SE, 3x3."""

    def __init__(self, channels: int):
        super().__init__()
        self.raise_ = nn.Sequential(
            ConvNormAct(1, channels),
            SqueezeExcitation(channels, reduction=4),
            ConvNormAct(channels, channels),
        )
        self.join = nn.Sequential(
            ConvNormAct(2 * channels, channels),
            SqueezeExcitation(channels, reduction=4),
            ConvNormAct(channels, channels, act=False),
        )

    def forward(self, x: Tensor, gradient: Tensor) -> Tensor:
        return F.relu_(self.join(torch.cat([x, self.raise_(gradient)], dim=1)) + x)


class _TwoWayGuidance(Fusion):
    """low CA(high) + high SA(low)."""

    align_corners = True

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.channel = ChannelAttention(out_channels, reduction=8, pools=("mean", "max"), bias=False)
        self.spatial = SpatialAttention(out_channels, bias=True)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        return torch.addcmul(low * self.channel.weights(high), high, self.spatial.weights(low))


class GGLNet(SegmentationNetwork):
    """Five levels of 16 to 256 channels, each guided by the gradient, merged pairwise from the coarsest
    up."""

    sheet = Sheet(family="fusion, local", source="Zhao et al., IEEE GRSL 2023", parity=2.6e-6)

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128, 256)):
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        first = widths[0]
        self.stem = nn.Sequential(ConvNormAct(1, first), ConvNormAct(first, first))
        self.levels = nn.ModuleList()
        for index, width in enumerate(widths):
            entry = PooledResidual(widths[index - 1], width) if index else PlainResidual(width)
            squeezed = (PlainResidual(width, squeeze=True) for _ in range(2))
            self.levels.append(nn.Sequential(entry, *squeezed))
        self.guides = nn.ModuleList(_GradientGuide(width) for width in widths)
        self.contrast = nn.ModuleList(LocalContrast(width) for width in widths)
        self.fusion = nn.ModuleList(_TwoWayGuidance(low, high, low) for low, high in pairwise(widths))
        self.head = PixelHead(first)

    def segment(self, image: Tensor) -> SegOutput:
        gradient = gradient_magnitude(image, scale=0.5)
        x = self.stem(image)
        levels = []
        for level, guide in zip(self.levels, self.guides, strict=True):
            x = guide(level(x), gradient)
            levels.append(x)
            gradient = F.max_pool2d(gradient, 2)
        levels = [contrast(level) for contrast, level in zip(self.contrast, levels, strict=True)]
        merged = levels.pop()
        for fusion, low in zip(reversed(self.fusion), reversed(levels), strict=True):
            merged = fusion(low, merged)
        return SegOutput(self.head(merged))
