"""Encoders of two branches."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.encoder.base import Encoder, MakeBlock, SingleEncoder


class DualEncoder(Encoder):
    """Two equal encoders with different inputs: the frame, and the frame blurred (DMFNet, 2024).

    A level holds both, side by side: twice the width asked for, as the fusion ``tcfm`` reads it. The coarsest
    are merged by a 1x1. The authors' program blurs in training only, by a random Gaussian of at most one
    pixel; here the Gaussian has a standard deviation of half a pixel, and stays in inference.
    """

    blur: Tensor

    def __init__(self, widths: Sequence[int], block: MakeBlock, stem: MakeBlock = ConvNormAct):
        nn.Module.__init__(self)
        self.widths = (*(2 * width for width in widths[:-1]), widths[-1])
        self.sharp = SingleEncoder(widths, block, stem)
        self.blurred = SingleEncoder(widths, block, stem)
        self.merge = ConvNormAct(2 * widths[-1], widths[-1], 1)
        taps = torch.exp(-2 * torch.tensor([-1.0, 0.0, 1.0]).square())
        kernel = torch.outer(taps, taps)
        self.register_buffer("blur", (kernel / kernel.sum()).reshape(1, 1, 3, 3), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        blurred = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), self.blur.to(image.dtype))
        pairs = zip(self.sharp(image), self.blurred(blurred), strict=True)
        *finer, coarsest = (torch.cat(pair, dim=1) for pair in pairs)
        return [*finer, self.merge(coarsest)]


class DualResolutionEncoder(Encoder):
    """A light branch that keeps the full resolution beside one of falling resolution (Chen et al., 2024).

    The full branch keeps the details of small targets and is the finest level; each coarser level takes in
    what it holds. Judgement: the full branch is one depthwise 3x3 and a 1x1, with a residual, per level; it
    enters a level through max-pooling, concatenation and a 1x1.
    """

    def __init__(self, widths: Sequence[int], block: MakeBlock, stem: MakeBlock = ConvNormAct):
        super().__init__(widths, block, stem)
        full = widths[0]
        self.light = nn.ModuleList(
            nn.Sequential(ConvNormAct(full, full, groups=full), ConvNormAct(full, full, 1)) for _ in widths
        )
        self.levels = nn.ModuleList(block(low, high) for low, high in pairwise(widths))
        self.join = nn.ModuleList(ConvNormAct(full + width, width, 1) for width in widths[1:])

    def forward(self, image: Tensor) -> list[Tensor]:
        fine = coarse = self.stem(image)
        fine = fine + self.light[0](fine)
        levels = []
        for index, (light, level, join) in enumerate(
            zip(self.light[1:], self.levels, self.join, strict=True), start=1
        ):
            fine = fine + light(fine)
            coarse = level(F.max_pool2d(coarse, 2))
            coarse = join(torch.cat([coarse, F.max_pool2d(fine, 2**index)], dim=1))
            levels.append(coarse)
        return [fine, *levels]
