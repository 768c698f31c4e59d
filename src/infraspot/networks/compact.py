"""Compact: the network that ships with trained weights; made for one CPU thread.

A U-shaped encoder and decoder of residual blocks. The image's four phases become channels (pixel
unshuffle), which halves the resolution without losing a pixel, so that only a light refinement works at
full resolution: sub-pixel convolution brings the decoder's output there, and details straight from the
image join it. At 1/16, regional context (mean and maximum over 272 x 272 pixels) scales and shifts the
channels. It compares a bright spot with the brightest thing near it, which tells a fleck of cloud from a
target. Three coarser heads serve deep supervision.

Next to the image, the network sees its local contrast: the deviation from the mean of a neighbourhood of
about 48 pixels, divided by the standard deviation there. A faint target in a flat frame then looks like a
bright one, and a tile has the same contrast as the frame that it was cut from.

Parameters: 0.44 M. At 256x256: 0.70 GMACs.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import OWN, Sheet

PRIOR_LOGIT = -4.0  # targets are rare: heads begin at a probability of 2 %


class Compact(SegmentationNetwork):
    """Four levels, at 1/2, 1/4, 1/8 and 1/16 of the frame.

    Parameters
    ----------
    widths
        Channels of the four levels.
    depths
        Residual blocks of the encoder's four levels; the decoder has one a level.
    full_width
        Channels of the refinement at full resolution.
    """

    sheet = Sheet(family="own", source="infraspot", licence=OWN)
    stride = 16

    def __init__(
        self,
        widths: tuple[int, ...] = (16, 32, 64, 64),
        depths: tuple[int, ...] = (1, 2, 2, 2),
        full_width: int = 8,
    ):
        super().__init__()
        self.contrast = RingContrast()
        self.stem = ConvNormAct(2 * 4, widths[0])
        ins = (widths[0], *widths[:-1])
        self.encoder = nn.ModuleList(
            residual_level(i, o, depth, stride=2 if k else 1)
            for k, (i, o, depth) in enumerate(zip(ins, widths, depths, strict=True))
        )
        self.context = RegionalContext(widths[-1])
        self.lateral = nn.ModuleList(ConvNormAct(low, high, 1, act=False) for high, low in pairwise(widths))
        self.decoder = nn.ModuleList(ResidualBlock(width, width) for width in widths[:-1])
        self.aux_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths[:-1])
        self.subpixel = nn.Conv2d(widths[0], 4 * full_width, 1)
        self.detail = nn.Conv2d(2, full_width, 3, padding=1)
        self.refine = ConvNormAct(full_width, full_width)
        self.head = nn.Conv2d(full_width, 1, 3, padding=1)
        for name, parameter in self.aux_heads.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, PRIOR_LOGIT)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def segment(self, image: Tensor) -> SegOutput:
        image = self.contrast(image)
        x = self.begin(image)
        levels = []
        for level in self.encoder:
            x = level(x)
            levels.append(x)
        x = self.context(levels.pop())
        aux = []
        for k in reversed(range(len(levels))):
            x = self.decoder[k](levels[k] + F.interpolate(self.lateral[k](x), scale_factor=2.0))
            aux.append(self.aux_heads[k](x))
        return SegOutput(self.finish(image, aux[-1], x), tuple(reversed(aux)))

    def begin(self, image: Tensor) -> Tensor:
        """(N, C, H/2, W/2), from the image and its contrast, (N, 2, H, W)."""
        return self.stem(F.pixel_unshuffle(image, 2))

    def finish(self, image: Tensor, coarse: Tensor, x: Tensor) -> Tensor:
        """The logits, (N, 1, H, W).

        Parameters
        ----------
        image
            (N, 2, H, W), the image and its contrast.
        coarse
            (N, 1, H/2, W/2), the decoder's own answer, which the last layers refine.
        x
            (N, C, H/2, W/2), of the decoder.
        """
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        seen = F.relu(F.pixel_shuffle(self.subpixel(x), 2) + self.detail(image))
        return coarse + self.head(self.refine(seen))

    def deployed(self) -> SegmentationNetwork:
        from infraspot.networks.compact_half import with_half

        return with_half(self)


class RingContrast(nn.Module):
    """(N, 1, H, W) in [0, 1] to (N, 2, H, W): the centred image and its local contrast.

    Means are taken over 3x3 cells of ``cell`` pixels and interpolated. ``floor``, in units of the image, is
    added to the standard deviation in squares, so that the grey steps of a flat 8-bit frame do not count as
    contrast.
    """

    def __init__(self, cell: int = 16, floor: float = 0.01):
        super().__init__()
        self.cell, self.floor = cell, floor

    def forward(self, image: Tensor) -> Tensor:
        deviation = image - self._spread(self._mean(image))
        variance = self._spread(self._mean(deviation * deviation))
        contrast = deviation * torch.rsqrt(variance + self.floor**2)
        return torch.cat([4.0 * (image - 0.5), contrast], 1)

    def _mean(self, x: Tensor) -> Tensor:
        cells = F.pad(F.avg_pool2d(x, self.cell), (1, 1, 1, 1), mode="replicate")
        return F.avg_pool2d(cells, 3, 1)

    def _spread(self, cells: Tensor) -> Tensor:
        return F.interpolate(cells, scale_factor=float(self.cell), mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """3x3, norm, ReLU, 3x3, norm; plus the input, through a 1x1 and a norm where its shape differs; ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(in_channels, out_channels, stride=stride),
            ConvNormAct(out_channels, out_channels, act=False),
        )
        same = in_channels == out_channels and stride == 1
        self.skip = (
            nn.Identity() if same else ConvNormAct(in_channels, out_channels, 1, stride=stride, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class RegionalContext(nn.Module):
    """Scale and shift channels by what their mean and maximum over a square around each cell say.

    The square reaches ``reach`` cells to either side; at first, nothing changes. Means and maxima over rows
    and then over columns cost little, and are those over the square.
    """

    def __init__(self, channels: int, reach: int = 8):
        super().__init__()
        self.reach = reach
        self.squeeze = nn.Conv2d(2 * channels, channels // 2, 1)
        self.expand = nn.Conv2d(channels // 2, 2 * channels, 1)
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        side, mean, peak = 2 * self.reach + 1, x, x
        for window, margin in (((side, 1), (self.reach, 0)), ((1, side), (0, self.reach))):
            mean = F.avg_pool2d(mean, window, 1, margin, count_include_pad=False)
            peak = F.max_pool2d(peak, window, 1, margin)
        scale, shift = self.expand(F.relu(self.squeeze(torch.cat([mean, peak], 1)))).chunk(2, 1)
        return x * (1 + torch.tanh(scale)) + shift


def residual_level(in_channels: int, out_channels: int, depth: int, stride: int) -> nn.Sequential:
    """``depth`` residual blocks, of which the first changes channels and size."""
    rest = (ResidualBlock(out_channels, out_channels) for _ in range(depth - 1))
    return nn.Sequential(ResidualBlock(in_channels, out_channels, stride), *rest)
