"""UIU-Net: U-Net in U-Net for infrared small object detection (Wu et al., IEEE TIP 2023; online 2022).

The survey's "embedded U-Net" with interactive cross attention (IC-A): every stage of a U-Net is itself a
small residual U-Net (RSU, from U2-Net, 2020), so that local contrast is learnt within each scale, and a
decoder stage reads two maps: the low level weighed by the high level's channels, and the high level weighed
by the places of that.

Seven predictions: six side maps, and their 1x1 fusion, which is the answer. The side maps are ``aux``, finest
first, at their own scales; the authors enlarge them and sum seven equal losses.

Departures: one grey channel instead of three; no bias before a batch norm.
"""

import torch
from torch import Tensor, nn

from infraspot.blocks.attention import ChannelAttention, SpatialAttention
from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import AFRESH, Sheet


class UIUNet(SegmentationNetwork):
    """Six stages of residual U-Nets, the last two dilated, with interactive cross attention on four skips."""

    sheet = Sheet(
        family="fusion, local, semantics",
        source="Wu et al., IEEE TIP 2023",
        licence=AFRESH + "Apache-2.0",
        paper_params=50.54e6,
        paper_flops=54.43e9,
        parity=7.3e-7,
    )
    stride = 32

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            [
                NestedUNet(7, 1, 32, 64),
                NestedUNet(6, 64, 32, 128),
                NestedUNet(5, 128, 64, 256),
                NestedUNet(4, 256, 128, 512),
                DilatedUNet(512, 256, 512),
                DilatedUNet(512, 256, 512),
            ]
        )
        self.decoder = nn.ModuleList(
            [
                NestedUNet(7, 128, 16, 64),
                NestedUNet(6, 256, 32, 64),
                NestedUNet(5, 512, 64, 128),
                NestedUNet(4, 1024, 128, 256),
                DilatedUNet(1024, 256, 512),
            ]
        )
        self.cross = nn.ModuleList(InteractiveCrossAttention(width) for width in (128, 256, 512, 512))
        self.sides = nn.ModuleList(
            nn.Conv2d(width, 1, 3, padding=1) for width in (64, 64, 128, 256, 512, 512)
        )
        self.fuse = nn.Conv2d(6, 1, 1)

    def segment(self, image: Tensor) -> SegOutput:
        skips = [self.encoder[0](image)]
        for encode in self.encoder[1:]:
            skips.append(encode(self.pool(skips[-1])))
        decoded = [skips.pop()]
        for level in range(4, -1, -1):
            low, high = skips[level], resize_to(decoded[0], skips[level])
            pair = self.cross[level - 1](low, high) if level else (high, low)
            decoded.insert(0, self.decoder[level](torch.cat(pair, dim=1)))
        sides = [side(y) for side, y in zip(self.sides, decoded, strict=True)]
        logits = self.fuse(torch.cat([resize_to(side, sides[0]) for side in sides], dim=1))
        return SegOutput(logits, tuple(sides))


class NestedUNet(nn.Module):
    """RSU of ``depth`` levels: a U-Net on the map of a stage, whose entry is added to its result."""

    def __init__(self, depth: int, in_channels: int, middle: int, out_channels: int):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.entry = ConvNormAct(in_channels, out_channels)
        self.down = nn.ModuleList(
            ConvNormAct(out_channels if k == 0 else middle, middle) for k in range(depth - 1)
        )
        self.bottom = ConvNormAct(middle, middle, dilation=2)
        self.up = nn.ModuleList(
            ConvNormAct(2 * middle, middle if k else out_channels) for k in range(depth - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        entry = self.entry(x)
        skips = [self.down[0](entry)]
        for layer in self.down[1:]:
            skips.append(layer(self.pool(skips[-1])))
        y = self.bottom(skips[-1])
        for skip, layer in zip(reversed(skips), reversed(self.up), strict=True):
            y = layer(torch.cat([resize_to(y, skip), skip], dim=1))
        return y + entry


class DilatedUNet(nn.Module):
    """RSU-4F: the same on coarse maps, where dilation (1, 2, 4, 8) takes the place of pooling."""

    def __init__(self, in_channels: int, middle: int, out_channels: int):
        super().__init__()
        self.entry = ConvNormAct(in_channels, out_channels)
        self.down = nn.ModuleList(
            ConvNormAct(out_channels if dilation == 1 else middle, middle, dilation=dilation)
            for dilation in (1, 2, 4)
        )
        self.bottom = ConvNormAct(middle, middle, dilation=8)
        self.up = nn.ModuleList(
            ConvNormAct(2 * middle, out_channels if dilation == 1 else middle, dilation=dilation)
            for dilation in (1, 2, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        entry = self.entry(x)
        skips = [self.down[0](entry)]
        for layer in self.down[1:]:
            skips.append(layer(skips[-1]))
        y = self.bottom(skips[-1])
        for skip, layer in zip(reversed(skips), reversed(self.up), strict=True):
            y = layer(torch.cat([y, skip], dim=1))
        return y + entry


class InteractiveCrossAttention(nn.Module):
    """IC-A: w = low CA(high); 3x3(2 w) and 3x3(2 high SA(w)), with one 3x3 for both.

    ``high`` is first transformed by a 1x1. Its places come from ``w`` by a 1x1 to a quarter of the width.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.prepare = ConvNormAct(channels, channels, 1)
        self.which = ChannelAttention(channels, 4, norm=True)
        self.squeeze = ConvNormAct(channels, channels // 4, 1)
        self.where = SpatialAttention(channels // 4, 3)
        self.merge = ConvNormAct(channels, channels)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        high = self.prepare(high)
        weighted = low * self.which.weights(high)
        places = self.where.weights(self.squeeze(weighted))
        return self.merge(2 * weighted), self.merge(2 * high * places)
