"""DTUM: the direction in which features move, coded by where the largest of four lies.

Source: R. Li et al., "Direction-coded temporal U-shape module for multiframe infrared small target
detection", IEEE TNNLS, 2023. A network in space gives every frame its features, with shared weights. Over
the clip, each level of a U takes maxima of 2x2 pixels; the place of the maximum is a code (left or right
-+0.5, up or down -+1), and codes that change along time tell a motion. The decoder climbs back, and the
last frame's own features join.

Departures: the features are those of a small network here (the authors put any network without its head
there), and all levels of the U learn. In the authors' program the answer of the first level is cut from the
gradient, so that the deeper levels teach it nothing: ``detached`` does so too, for comparison.

Parameters: 0.03 M at 5 frames.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import NO_LICENCE, Sheet

_LEVELS = 3


class DTUM(SegmentationNetwork):
    """Features of each frame, then a U over the clip.

    Parameters
    ----------
    frames
        Length T of a clip, odd or even, at least 2; the last frame is searched.
    width
        Channels of the features.
    detached
        Cut the deeper levels of the U from the gradient, as the authors' program does.
    """

    sheet = Sheet(family="sequence", source="DTUM, TNNLS 2023", licence=NO_LICENCE)
    stride = 2**_LEVELS

    def __init__(self, frames: int = 5, width: int = 16, detached: bool = False):
        super().__init__()
        self.frames, self.detached = frames, detached
        self.features = nn.Sequential(
            ConvNormAct(1, width), ConvNormAct(width, width), ConvNormAct(width, width)
        )
        self.norm = nn.BatchNorm3d(width)
        self.encoder = nn.ModuleList(DirectionLevel(width) for _ in range(_LEVELS))
        self.first = _over_time(width, width)
        self.decoder = nn.ModuleList(_over_time(2 * width, width) for _ in range(_LEVELS))
        self.last = nn.Conv3d(width, width, (frames, 1, 1))
        self.fuse = nn.Sequential(ConvNormAct(2 * width, width), nn.Dropout(0.5))
        self.head = nn.Conv2d(width, 1, 1)

    def segment(self, image: Tensor) -> SegOutput:
        count, frames, height, width = image.shape
        each = self.features(image.reshape(count * frames, 1, height, width))
        clip = each.reshape(count, frames, -1, height, width).transpose(1, 2)
        x = self.first(F.relu(self.norm(clip)))
        levels = [x]
        for depth, level in enumerate(self.encoder):
            cut = self.detached and depth == 1
            levels.append(level(levels[-1].detach() if cut else levels[-1]))
        x = levels.pop()
        for level in self.decoder:
            x = F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest")
            x = level(torch.cat([levels.pop(), x], 1))
        moved = self.last(x)[:, :, 0]
        return SegOutput(self.head(self.fuse(torch.cat([clip[:, :, -1], moved], 1))))


class DirectionLevel(nn.Module):
    """(N, C, T, H, W) to (N, C, T, H/2, W/2): maxima times the code of their places, over time."""

    code: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.time = nn.Conv3d(channels, channels, (5, 1, 1), padding=(2, 0, 0))
        self.moves = nn.Conv3d(channels, channels, (5, 1, 1), padding=(2, 0, 0))
        self.norm = nn.BatchNorm3d(channels)
        # Up or down by one, left or right by a half: -1.5, -0.5, 0.5, 1.5 in reading order.
        self.register_buffer("code", torch.tensor([-1.5, -0.5, 0.5, 1.5]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.time(x)
        four = torch.stack([x[..., a::2, b::2] for a in (0, 1) for b in (0, 1)])
        best = four.amax(0)
        # The first of equals; a product over the four, which any exporter knows.
        first = four == best
        taken, code = torch.zeros_like(best), torch.zeros_like(best)
        for place in range(4):
            here = first[place].to(best.dtype) * (1 - taken)
            code, taken = code + here * self.code[place], taken + here
        return F.relu(self.norm(self.moves(best * code).abs()))


def _over_time(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, (5, 1, 1), padding=(2, 0, 0), bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )
