"""MRF3Net: multi-scale receptive field feature fusion network (Zhang et al., IEEE TGRS 2024).

In the survey's Table 6: fusion and local refinement. Three levels only (full, 1/2, 1/4), since tiny targets
vanish below; a reduction that keeps every pixel (the four phases of a 2x2 grid, with the maximum); local
refinement by kernels of several sizes (MPE); fusion of an encoder level with the one before (FFE), and of a
decoder level with the coarser one (FFD), which combines two guesses of the target's place as probabilities.

Every convolution is "vanilla": convolution, norm, then, instead of a plain ReLU, ReLU, depthwise 7x7, norm.

``aux`` holds predictions of the two coarser encoder levels, ``edge`` that of the targets' edges; both are
made in training only. Table 6's .54 M and 8.30 G leave out the depthwise 7x7 (functional in the program) and
the training heads.

Departures: one logit instead of two classes (their difference); the program's edges of the coarser levels,
the attention at FFD's end and MPE's 1x1, none of which it uses, are left out: MPE's first group takes the 7x7
of the last group, as in the program, where the paper has 1x1 (``paper_groups=True``). FFD enlarges after its
1x1 instead of before, which is the same with nearest neighbours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import SqueezeExcitation
from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

CHANNELS = (32, 64, 128)


class MRF3Net(SegmentationNetwork):
    """Three levels with multi-kernel refinement and probabilistic fusion.

    Parameters
    ----------
    paper_groups
        Let MPE's first group of channels have its own 1x1, as the paper draws it.
    """

    sheet = Sheet(
        family="fusion, local",
        source="Zhang et al., IEEE TGRS 2024",
        paper_params=0.54e6,
        paper_flops=8.30e9,
        note="Table 6's counter misses the depthwise 7x7 (functional in the program; .08 M) and the heads for"
        " training (.09 M here)",
        parity=4.6e-7,
    )
    stride = 4

    def __init__(self, *, paper_groups: bool = False):
        super().__init__()
        c0, c1, c2 = CHANNELS
        self.encode0 = VanillaConv(1, c0)
        self.encode1 = nn.Sequential(VanillaConv(c0, c1), Cut(c1))
        self.encode2 = nn.Sequential(VanillaConv(c1, c2), Cut(c2))
        self.refine = nn.ModuleList(MultiKernel(width, paper_groups=paper_groups) for width in CHANNELS)
        self.meet1 = EncoderFusion(c0, c1)
        self.meet2 = EncoderFusion(c1, c2)
        self.join2 = DecoderFusion(c2, c1, kernel_size=1, factor=2)
        self.join1 = DecoderFusion(c1, c0, kernel_size=1, factor=2)
        self.join0 = DecoderFusion(c0, c0, kernel_size=3, factor=1)
        self.head = _head(c0)
        self.edge = _head(c0)
        self.aux1 = _head(c1)
        self.aux2 = _head(c2)

    def segment(self, image: Tensor) -> SegOutput:
        x0 = self.encode0(image)
        y0 = self.refine[0](x0)
        x1 = self.encode1(y0)
        y1 = self.refine[1](self.meet1(x0, x1))
        x2 = self.encode2(y1)
        y2 = self.refine[2](self.meet2(x1, x2))
        z = self.join0(y0, self.join1(y1, self.join2(x2, y2)))
        if not self.training:
            return SegOutput(self.head(z))
        return SegOutput(self.head(z), (self.aux1(y1), self.aux2(y2)), edge=self.edge(z))


class VanillaConv(nn.Module):
    """Convolution, norm, ReLU, depthwise 7x7, norm: an activation with a neighbourhood (VanillaNet, 2023).

    ``factor`` enlarges by nearest neighbours before the depthwise 7x7.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, *, factor: int = 1):
        super().__init__()
        self.factor = factor
        self.conv = ConvNormAct(in_channels, out_channels, kernel_size)
        self.around = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 7, padding=3, groups=out_channels, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-6),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.factor > 1:
            x = F.interpolate(x, scale_factor=float(self.factor))
        return self.around(x)


class Cut(nn.Module):
    """Half the size without loss: the four phases of the 2x2 grid and the 3x3 maximum, through a 1x1."""

    def __init__(self, channels: int):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.merge = ConvNormAct(5 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        phases = [x[..., down::2, right::2] for right in (0, 1) for down in (0, 1)]
        return self.merge(torch.cat([*phases, self.pool(x)], dim=1))


class MultiKernel(nn.Module):
    """MPE: four groups of channels, a kernel each; with the input through a 1x1; squeeze and excitation."""

    def __init__(self, channels: int, *, paper_groups: bool):
        super().__init__()
        width = channels // 4
        kernels = (1, 3, 5, 7) if paper_groups else (3, 5, 7)
        self.groups = nn.ModuleList(ConvNormAct(width, width, side) for side in kernels)
        self.merge = VanillaConv(2 * channels, channels, 1)
        self.gate = SqueezeExcitation(channels)

    def forward(self, x: Tensor) -> Tensor:
        first = self.groups[0] if len(self.groups) == 4 else self.groups[-1]
        layers = (first, *self.groups[-3:])
        parts = [layer(part) for layer, part in zip(layers, x.chunk(4, dim=1), strict=True)]
        return self.gate(self.merge(torch.cat([*parts, x], dim=1)))


class EncoderFusion(nn.Module):
    """FFE: the coarser map gives the finer one a spatial weight, then gets one from it; both are added."""

    def __init__(self, before: int, channels: int, reduction: int = 16):
        super().__init__()
        self.cut = Cut(before)
        self.where = nn.Sequential(
            VanillaConv(channels, channels // reduction), nn.Conv2d(channels // reduction, 1, 1), nn.Sigmoid()
        )
        self.low = VanillaConv(before, channels, 1)
        self.high = VanillaConv(channels, channels, 1)
        self.merge = VanillaConv(channels, channels, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        low = self.low(self.cut(low) * self.where(high))
        return self.merge(low + self.high(high * self.where(low)))


class DecoderFusion(nn.Module):
    """FFD: two maps of one size under a spatial weight, then channel weights; ``factor`` enlarges the result.

    The spatial weight comes from three guesses: a and b from each map, and both combined as if independent,
    ab / (ab + (1 - a)(1 - b)).
    """

    def __init__(self, channels: int, out_channels: int, *, kernel_size: int, factor: int):
        super().__init__()
        self.guesses = nn.ModuleList(
            nn.Sequential(
                VanillaConv(channels, channels // 16, kernel_size),
                nn.Conv2d(channels // 16, 1, 1),
                nn.Sigmoid(),
            )
            for _ in range(2)
        )
        self.place = nn.Conv2d(3, 1, 1)
        self.join = VanillaConv(2 * channels, channels, kernel_size)
        self.channel = nn.Conv2d(channels, out_channels, 1)
        self.finish = VanillaConv(channels, out_channels, 1, factor=factor)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        a, b = self.guesses[0](low), self.guesses[1](high)
        both = a * b / (a * b + (1 - a) * (1 - b) + 1e-6)
        places = torch.sigmoid(self.place(torch.cat([a, b, both], dim=1)))
        y = self.join(torch.cat([low, high], dim=1)) * places
        pooled = self.channel(y.mean((2, 3), keepdim=True)) + self.channel(y.amax((2, 3), keepdim=True))
        return self.finish(y) * torch.sigmoid(pooled)


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(VanillaConv(channels, channels // 2), nn.Conv2d(channels // 2, 1, 1))
