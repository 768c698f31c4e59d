"""MLCLNet: multiscale local contrast learning (Yu et al., Infrared Physics & Technology, 2022).

Local details refinement. Where model-driven methods measure the contrast between a place and its surroundings
with fixed shifts, pairs of a k x k and a dilated 3x3 learn it, at three reaches on each of three levels. The
levels are then brought to one width, upsampled and added.

Parameters: 0.656 M (the authors' program has 0.657 M). Departures: one input channel instead of three equal
ones, and no bias in convolutions that a batch norm follows; with the authors' weights carried over, outputs
agree to 1e-5 of their range.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import resize_to
from infraspot.blocks.local_contrast import LocalContrastEncoder, MultiscaleLocalContrast, PixelHead
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet


class MLCLNet(SegmentationNetwork):
    """Three levels of 16, 32 and 64 channels, each refined, then summed at 64."""

    sheet = Sheet(family="local", source="Yu et al., Infrared Physics & Technology 2022", parity=1.5e-6)
    stride = 4

    def __init__(self, widths: tuple[int, int, int] = (16, 32, 64), merged: int = 64):
        super().__init__()
        self.encoder = LocalContrastEncoder(widths)
        self.contrast = nn.ModuleList(MultiscaleLocalContrast(width) for width in widths)
        self.lateral = nn.ModuleList(nn.Conv2d(width, merged, 1) for width in widths)
        self.head = PixelHead(merged)

    def segment(self, image: Tensor) -> SegOutput:
        levels = [
            F.relu_(lateral(contrast(level)))
            for level, contrast, lateral in zip(self.encoder(image), self.contrast, self.lateral, strict=True)
        ]
        merged = levels.pop()
        for level in reversed(levels):
            merged = resize_to(merged, level, align_corners=True).add_(level)
        return SegOutput(self.head(merged))
