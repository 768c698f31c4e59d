"""Fusions without attention across levels: cascades, details that go down first, a shared choice."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.blocks.fusion.base import Fusion, projected


class MFFM(Fusion):
    """Cascade from high-level semantics to low-level details (Wang et al., 2023).

    No attention: a 3x3 of the high level, concatenated with the low level, a 3x3, and the sum of both.
    Judgement: the survey says "cascaded" and no more; every decoder step is a link of such a cascade.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.semantics = ConvNormAct(out_channels, out_channels)
        self.details = ConvNormAct(2 * out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        semantics = self.semantics(high)
        return semantics + self.details(torch.cat([low, semantics], dim=1))


class CFM(Fusion):
    """Context fusion: details join the semantics on the way down, before the semantics come up (FCNet, 2024).

    Judgement: FCNet fuses context "during the downsampling process, mitigating information loss". Here a
    strided 3x3 brings the low level to the size of the high one, two dilated 3x3 read both there, and the
    result comes up and joins the low level by a 3x3. HAMANet's CFM, of which the survey gives the letters
    alone, is read alike.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        self.down = ConvNormAct(out_channels, out_channels, stride=2)
        self.near = ConvNormAct(2 * out_channels, out_channels)
        self.far = ConvNormAct(2 * out_channels, out_channels, dilation=2)
        self.merge = ConvNormAct(2 * out_channels, out_channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        low, high = projected(low, self.project_low), projected(high, self.project_high)
        both = torch.cat([resize_to(self.down(low), high), high], dim=1)
        context = self.near(both) + self.far(both)
        return self.merge(torch.cat([low, resize_to(context, low)], dim=1))


class AdjacentFusion(Fusion):
    """Adjacent fusion: neighbouring levels share every channel between them (Zhang et al., 2024).

    Judgement: the survey gives the name alone. The means of the sum of both levels give each channel two
    weights, which add up to one; the weighted sum passes a 3x3.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int):
        super().__init__(low_channels, high_channels, out_channels)
        hidden = max(out_channels // 4, 4)
        self.squeeze = nn.Conv2d(out_channels, hidden, 1)
        self.choose = nn.Conv2d(hidden, out_channels, 1)
        self.merge = ConvNormAct(out_channels, out_channels)

    def fuse(self, low: Tensor, high: Tensor) -> Tensor:
        means = (low + high).mean((-2, -1), keepdim=True)
        share = torch.sigmoid(self.choose(F.relu(self.squeeze(means))))
        return self.merge(high + share * (low - high))
