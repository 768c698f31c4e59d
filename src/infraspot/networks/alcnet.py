"""ALCNet: attentional local contrast network (Dai et al., IEEE TGRS 2021).

In the survey's Table 6: fusion and local refinement. Local contrast, the measure of classical detectors, is a
layer without parameters: a place stands out when it differs from its neighbours in *all* of four opposite
directions (the multi-scale patch contrast measure, MPCM). The contrasts of three levels are fused from the
top down by bottom-up local attention (BLAM): details decide where semantics count.

What later papers benchmark, Table 6 included, is a port (``alcnet-port``) that keeps the name but has neither
local contrast nor BLAM: ACM's encoder with 4 blocks a stage at a quarter of the resolution, and ACM's fusion.

Departures: one grey channel instead of three equal ones; no bias before a batch norm. The port's decoder
blocks, which its forward never calls (.09 M parameters), are left out; so is its momentum of .9.
"""

from functools import reduce

import torch
from torch import Tensor, nn

from infraspot.blocks.attention import PixelAttention
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion import two_way
from infraspot.blocks.fusion.one_way import BLAM
from infraspot.blocks.residual import ResidualBlock, SegmentationHead, enlarge, stage
from infraspot.networks.acm import CHANNELS, full_stem, reduced_stem
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

DEPTH = 4
SHIFTS = (13, 17)
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, 1))


class ALCNet(SegmentationNetwork):
    """Residual encoder of three scales, patch contrast on each, fused top down by local attention."""

    sheet = Sheet(
        family="fusion, local",
        source="Dai et al., IEEE TGRS 2021",
        note="the authors' own network, with local contrast; Table 6 shows the port",
    )
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3 = CHANNELS
        self.stem = full_stem(c1)
        self.encode1 = stage(ResidualBlock, c1, c1, DEPTH)
        self.encode2 = stage(ResidualBlock, c1, c2, DEPTH, stride=2)
        self.encode3 = stage(ResidualBlock, c2, c3, DEPTH, stride=2)
        self.reduce2 = ConvNormAct(c2, c1, 1)
        self.reduce3 = ConvNormAct(c3, c1, 1)
        self.fuse2 = BottomUpAttention(c1)
        self.fuse1 = BottomUpAttention(c1)
        self.head = SegmentationHead(c1)

    def segment(self, image: Tensor) -> SegOutput:
        x1 = self.encode1(self.stem(image))
        x2 = self.encode2(x1)
        x3 = self.encode3(x2)
        y2 = self.fuse2(self.reduce2(patch_contrast(x2)), self.reduce3(patch_contrast(x3)))
        y1 = self.fuse1(patch_contrast(x1), y2)
        return SegOutput(self.head(y1))


class BottomUpAttention(BLAM):
    """BLAM with the authors' full-width attention and aligned corners."""

    align_corners = True

    def __init__(self, channels: int):
        super().__init__(channels, channels, channels)
        self.pixel = PixelAttention(channels, 1, norm=True)


def patch_contrast(x: Tensor) -> Tensor:
    """MPCM: the larger, over two distances, of the smallest product of opposite differences.

    For a direction d and a distance s: (x[p + s d] - x[p]) (x[p - s d] - x[p]), positive where p is higher or
    lower than both. The frame wraps around at its borders, as in the authors' program. Same shape as ``x``.
    """
    height, width = x.shape[-2:]
    margin = max(SHIFTS)
    wrapped = x.index_select(2, _around(height, margin, x)).index_select(3, _around(width, margin, x))

    def moved(down: int, right: int) -> Tensor:
        top, left = margin + down, margin + right
        return wrapped[..., top : top + height, left : left + width] - x

    near, far = (
        reduce(
            torch.minimum,
            (moved(s * down, s * right) * moved(-s * down, -s * right) for down, right in DIRECTIONS),
        )
        for s in SHIFTS
    )
    return torch.maximum(near, far)


def _around(length: int, margin: int, like: Tensor) -> Tensor:
    """Places of a line that wraps around, from ``margin`` before it to ``margin`` after it."""
    return torch.arange(-margin, length + margin, device=like.device) % length


class ALCNetPort(SegmentationNetwork):
    """The port of Table 6: ACM's fusion on a residual encoder at a quarter of the resolution."""

    sheet = Sheet(
        family="fusion",
        source="Dai et al., IEEE TGRS 2021, as ported",
        paper_params=0.43e6,
        paper_flops=0.38e9,
        parity=9.0e-6,
    )
    stride = 16

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3 = CHANNELS
        self.stem = reduced_stem(c1)
        self.encode1 = stage(ResidualBlock, c1, c1, DEPTH)
        self.encode2 = stage(ResidualBlock, c1, c2, DEPTH, stride=2)
        self.encode3 = stage(ResidualBlock, c2, c3, DEPTH, stride=2)
        self.up2 = nn.ConvTranspose2d(c3, c2, 4, stride=2, padding=1)
        self.fuse2 = two_way.ACM(c2, c2, c2)
        self.up1 = nn.ConvTranspose2d(c2, c1, 4, stride=2, padding=1)
        self.fuse1 = two_way.ACM(c1, c1, c1)
        self.up0 = nn.ConvTranspose2d(c1, c1 // 2, 4, stride=2, padding=1)
        self.head = SegmentationHead(c1 // 2)

    def segment(self, image: Tensor) -> SegOutput:
        x1 = self.encode1(self.stem(image))
        x2 = self.encode2(x1)
        x3 = self.encode3(x2)
        y2 = self.fuse2(x2, self.up2(x3))
        y1 = self.fuse1(x1, self.up1(y2))
        return SegOutput(enlarge(self.head(self.up0(y1)), 2, align_corners=False))
