"""MSHNet: a multi-scale head and a scale and location sensitive loss (Liu et al., CVPR 2024).

In the survey's Table 6: "curated loss, multi-scale head". The network is deliberately plain, a U-Net of
DNANet's blocks; its head predicts at four scales and a 3x3 fuses the enlarged predictions, so that the loss
(SLS) weighs targets of every size.

The four predictions are ``aux``, finest first, each at its own scale. The authors' warm phase (the first
epochs train the finest prediction alone) belongs to the loss: ``aux[0]`` is that prediction.

Departures: one grey channel instead of three; no bias before a batch norm.
"""

import torch
from torch import Tensor, nn

from infraspot.blocks.residual import AttentiveResidualBlock, enlarge, stage
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

CHANNELS = (16, 32, 64, 128, 256)
DEPTHS = (1, 2, 2, 2, 2)


class MSHNet(SegmentationNetwork):
    """U-Net of five scales with attentive residual blocks and a fused four-scale head."""

    sheet = Sheet(
        family="loss, head",
        source="Liu et al., CVPR 2024",
        paper_params=4.07e6,
        paper_flops=6.08e9,
        parity=4.5e-7,
    )
    stride = 16

    def __init__(self) -> None:
        super().__init__()
        widths, depths = CHANNELS, DEPTHS
        self.stem = nn.Conv2d(1, widths[0], 1)
        self.pool = nn.MaxPool2d(2)
        inputs = (widths[0], *widths[:-1])
        self.encoder = nn.ModuleList(
            stage(AttentiveResidualBlock, *sizes) for sizes in zip(inputs, widths, depths, strict=True)
        )
        self.decoder = nn.ModuleList(
            stage(AttentiveResidualBlock, widths[k] + widths[k + 1], widths[k], depths[k]) for k in range(4)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths[:4])
        self.fuse = nn.Conv2d(4, 1, 3, padding=1)

    def segment(self, image: Tensor) -> SegOutput:
        skips = [self.encoder[0](self.stem(image))]
        for encode in self.encoder[1:]:
            skips.append(encode(self.pool(skips[-1])))
        y = skips[-1]
        decoded = []
        for skip, decode in zip(reversed(skips[:4]), reversed(self.decoder), strict=True):
            y = decode(torch.cat([skip, enlarge(y, 2)], dim=1))
            decoded.append(y)
        scales = [head(y) for head, y in zip(self.heads, reversed(decoded), strict=True)]
        enlarged = [enlarge(scale, 2**k) if k else scale for k, scale in enumerate(scales)]
        return SegOutput(self.fuse(torch.cat(enlarged, dim=1)), tuple(scales))
