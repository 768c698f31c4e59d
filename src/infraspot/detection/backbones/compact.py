"""A small encoder for one CPU thread."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.detection.backbones.base import Backbone, after_each
from infraspot.networks.compact import RegionalContext, RingContrast, residual_level


class CompactEncoder(Backbone):
    """The encoder of the network ``compact``: phases become channels, local contrast lies beside the image.

    Levels are at strides 2, 4, 8 and 16; the last one knows its region.
    """

    strides = (2, 4, 8, 16)

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 64), depths: tuple[int, ...] = (1, 2, 2, 2)):
        super().__init__()
        self.channels = channels
        self.contrast = RingContrast()
        self.stem = ConvNormAct(2 * 4, channels[0])
        stages = [residual_level(channels[0], channels[0], depths[0], 1)]
        stages += [
            residual_level(fine, coarse, depth, 2)
            for (fine, coarse), depth in zip(pairwise(channels), depths[1:], strict=True)
        ]
        self.stages = nn.ModuleList(stages)
        self.context = RegionalContext(channels[-1])

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = after_each(self.stages, self.stem(F.pixel_unshuffle(self.contrast(image), 2)))
        levels[-1] = self.context(levels[-1])
        return levels
