"""AGPCNet: attention-guided pyramid context network (Zhang et al., IEEE TAES 2023; arXiv 2021).

The survey's "semantics refinement" by AGCB and "fusion refinement" by AFM: on the coarsest map, non-local
attention gathers inside regions while a global view weighs the regions; several region sizes make a pyramid
of context. Two asymmetric fusions bring it back to half of the resolution.

The encoder is a ResNet-18 without its first reduction and pooling: 1/2, 1/4 and 1/8 of the frame.

Departures: one grey channel instead of three, hence no ImageNet weights; no bias before a batch norm; a frame
below 80 pixels is filled up with its border, where the program's ten regions a side would be empty.
"""

from torch import Tensor

from infraspot.blocks.context.regions import ContextPyramid
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion.two_way import AFM
from infraspot.blocks.residual import ResidualBlock, SegmentationHead, enlarge, stage
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import AFRESH, Sheet

CHANNELS = (64, 128, 256, 512)
DEPTH = 2


class AGPCNet(SegmentationNetwork):
    """ResNet-18 encoder, context pyramid on 1/8, two asymmetric fusions, head on 1/2."""

    sheet = Sheet(
        family="fusion, semantics",
        source="Zhang et al., IEEE TAES 2023",
        licence=AFRESH + "MIT",
        paper_params=0.48e6,
        paper_flops=0.41e9,
        note="Table 6's row is not this network's: the authors' program counts 12.35 M and 42.6 G",
        parity=1.4e-6,
    )
    stride = 8
    training_side = 96

    def __init__(self) -> None:
        super().__init__()
        c0, c1, c2, c3 = CHANNELS
        self.stem = ConvNormAct(1, c0, 7)
        self.encode0 = stage(ResidualBlock, c0, c0, DEPTH)
        self.encode1 = stage(ResidualBlock, c0, c1, DEPTH, stride=2)
        self.encode2 = stage(ResidualBlock, c1, c2, DEPTH, stride=2)
        self.encode3 = stage(ResidualBlock, c2, c3, DEPTH, stride=2)
        self.context = ContextPyramid(c3)
        self.fuse2 = AlignedFusion(c2, c3, c2)
        self.fuse1 = AlignedFusion(c1, c2, c1)
        self.head = SegmentationHead(c1)

    def segment(self, image: Tensor) -> SegOutput:
        x1 = self.encode1(self.encode0(self.stem(image)))
        x2 = self.encode2(x1)
        x3 = self.context(self.encode3(x2))
        y1 = self.fuse1(x1, self.fuse2(x2, x3))
        return SegOutput(enlarge(self.head(y1), 2))


class AlignedFusion(AFM):
    """AFM with the authors' aligned corners."""

    align_corners = True
