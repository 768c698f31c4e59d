"""DeepPro: the temporal profile of each pixel, without any convolution in space.

Source: R. Li et al., "Probing Deep into Temporal Profile Makes the Infrared Small Target Detector Much
Better", 2025 (DeepPro; with ``spatial`` its variant DeepPro-Plus). A clip of T registered frames becomes
features of (C, T, H, W). At three scales (the frame, and maxima over 2x2 and 4x4 pixels) residual blocks
convolve along time alone, with kernels of differences w'_i = 2 w_i - w_(i-1) - w_(i+1), so that a pixel
that does not change gives nothing. Temporal probing (:class:`TemporalProbe`) then mixes all T instants by
linear maps that all pixels share.

Departures, since the authors' program has no licence and was read for facts alone: kernels end in zeros,
the probe's heads share the channels among them, and the answer is that of the last frame alone, as a
detector in the field needs it; the published network answers T frames at once.

Parameters: 0.04 M at 10 frames.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import NO_LICENCE, Sheet


class DeepPro(SegmentationNetwork):
    """Temporal profiles at three scales.

    Parameters
    ----------
    frames
        Length T of a clip; the last frame is searched.
    widths
        Channels of the first features, and of the residual blocks.
    spatial
        Begin with a difference convolution over 5 instants and 7x7 pixels (DeepPro-Plus).
    """

    sheet = Sheet(family="sequence", source="DeepPro, 2025", licence=NO_LICENCE)
    stride = 4

    def __init__(self, frames: int = 10, widths: tuple[int, int, int] = (8, 16, 32), spatial: bool = False):
        super().__init__()
        self.frames = frames
        first, middle, last = widths
        self.spatial = SpatialDifference() if spatial else None
        self.stem = nn.Conv3d(2 if spatial else 1, first, (5, 1, 1), padding=(2, 0, 0))
        self.scales = nn.ModuleList(
            nn.Sequential(
                TemporalBlock(first, middle), TemporalBlock(middle, last), TemporalProbe(last, frames)
            )
            for _ in range(3)
        )
        self.merge = nn.Sequential(
            nn.Conv3d(3 * last, last, 1, bias=False), nn.BatchNorm3d(last), nn.ReLU(inplace=True)
        )
        self.head = nn.Conv2d(last, 1, 1)

    def deployed(self) -> SegmentationNetwork:
        """The same network with its difference kernels worked out."""
        fixed = copy.deepcopy(self).eval()
        for module in list(fixed.modules()):
            for name, child in module.named_children():
                if isinstance(child, TemporalDifference):
                    setattr(module, name, child.fixed())
        return fixed

    def segment(self, image: Tensor) -> SegOutput:
        clip = image.unsqueeze(1)
        if self.spatial is not None:
            clip = torch.cat([clip, self.spatial(clip)], 1)
        x = self.stem(clip)
        found = []
        for level, scale in enumerate(self.scales):
            side = 2**level
            seen = scale(F.max_pool3d(x, (1, side, side)) if level else x)
            # The last instant alone is answered, and only that is brought back to the frame's size.
            now = seen[:, :, -1]
            found.append(F.interpolate(now, scale_factor=float(side), mode="nearest") if level else now)
        merged = self.merge(torch.cat(found, 1).unsqueeze(2))
        return SegOutput(self.head(merged[:, :, 0]))


class TemporalDifference(nn.Module):
    """Convolution along time with w'_i = 2 w_i - w_(i-1) - w_(i+1), weights beyond the ends being zero."""

    def __init__(self, in_channels: int, out_channels: int, taps: int = 5):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, taps, 1, 1))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    @property
    def kernel(self) -> Tensor:
        around = F.pad(self.weight, (0, 0, 0, 0, 1, 1))
        return 2 * self.weight - around[:, :, :-2] - around[:, :, 2:]

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self.kernel, padding=(self.weight.shape[2] // 2, 0, 0))

    @torch.no_grad()
    def fixed(self) -> nn.Conv3d:
        """A plain convolution with the same answers."""
        out, channels, taps = self.weight.shape[:3]
        plain = nn.Conv3d(channels, out, (taps, 1, 1), padding=(taps // 2, 0, 0), bias=False)
        plain.weight.copy_(self.kernel)
        return plain


class TemporalBlock(nn.Module):
    """Two difference convolutions along time with norms, and the input through a 1x1x1; ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(
            TemporalDifference(in_channels, out_channels),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(inplace=True),
            TemporalDifference(out_channels, out_channels),
            nn.BatchNorm3d(out_channels),
        )
        self.skip = nn.Sequential(
            nn.Conv3d(in_channels, out_channels, 1, bias=False), nn.BatchNorm3d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class TemporalProbe(nn.Module):
    """Every instant out of all of them: a linear map T -> T for each head, norm, ReLU, 1x1x1.

    Parameters
    ----------
    heads
        Groups of channels with a map of their own; they must divide the channels.
    """

    def __init__(self, channels: int, frames: int, heads: int = 4):
        super().__init__()
        self.heads, self.frames = heads, frames
        self.maps = nn.Parameter(torch.empty(heads, frames, frames))
        nn.init.normal_(self.maps)
        self.norm = nn.BatchNorm3d(channels)
        self.mix = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, frames, height, width = x.shape
        # (heads, T, T) times (N, heads, T, values): a product of matrices, which exports as one.
        grouped = x.reshape(count, self.heads, channels // self.heads, frames, height * width)
        mixed = torch.matmul(self.maps.unsqueeze(1) / self.frames**0.5, grouped)
        return self.mix(F.relu(self.norm(mixed.reshape(count, channels, frames, height, width))))


class SpatialDifference(nn.Module):
    """One convolution over 5 instants and 7x7 pixels whose kernel has no sum: what stands out in both."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 1, 5, 7, 7))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, clip: Tensor) -> Tensor:
        framed = F.pad(clip, (3, 3, 3, 3, 2, 2), mode="replicate")
        mean = self.weight.numel() * F.avg_pool3d(framed, (5, 7, 7), 1)
        return F.conv3d(framed, self.weight) - self.weight.mean() * mean
