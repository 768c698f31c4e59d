"""ALCLNet: pay attention to local contrast learning (Yu et al., IEEE GRSL, 2022).

Fusion of local details and high-level semantics. MLCLNet's encoder grows to five levels, its local contrast
is simplified to one reach (1x1, 3x3), and the levels meet in SBAM: pixel attention from the details tells the
semantics where to look, and forces the fusion to pay more attention to the places of dim small targets.

Parameters: 5.66 M (the authors' program has 5.668 M). Departures: one input channel instead of three equal
ones, no bias in convolutions that a batch norm follows, and the 1x1 of SBAM runs before the upsampling
instead of after it (the same result in evaluation for a quarter of the work; in training its norm takes its
statistics from the coarse level). With the authors' weights carried over, outputs agree to 1e-5 of their
range.
"""

from itertools import pairwise

from torch import Tensor, nn

from infraspot.blocks.fusion.one_way import SBAM
from infraspot.blocks.local_contrast import LocalContrast, LocalContrastEncoder, PixelHead
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet


class _AlignedSBAM(SBAM):
    """SBAM with the authors' upsampling, which aligns the corners."""

    align_corners = True


class ALCLNet(SegmentationNetwork):
    """Five levels of 16 to 256 channels, merged pairwise from the coarsest up."""

    sheet = Sheet(family="fusion, local", source="Yu et al., IEEE GRSL 2022", parity=1.8e-6)

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128, 256)):
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.encoder = LocalContrastEncoder(widths)
        self.contrast = nn.ModuleList(LocalContrast(width) for width in widths)
        self.fusion = nn.ModuleList(_AlignedSBAM(low, high, low) for low, high in pairwise(widths))
        self.head = PixelHead(widths[0])

    def segment(self, image: Tensor) -> SegOutput:
        levels = [contrast(level) for contrast, level in zip(self.contrast, self.encoder(image), strict=True)]
        merged = levels.pop()
        for fusion, level in zip(reversed(self.fusion), reversed(levels), strict=True):
            merged = fusion(level, merged)
        return SegOutput(self.head(merged))
