"""Feature pyramids: several receptive fields side by side (survey, section 2.1.2 and figure 5)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.blocks.pooling import region_means


class SpatialPyramid(nn.Module):
    """SPP for segmentation: pool to s x s, transform each scale, align and concatenate (PSPNet, 2017)."""

    def __init__(
        self, in_channels: int, out_channels: int | None = None, *, scales: Sequence[int] = (1, 2, 3, 6)
    ):
        super().__init__()
        self.scales = tuple(scales)
        width = max(in_channels // len(self.scales), 1)
        # No norm: at scale 1 a batch norm would see one value a channel and image.
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.ReLU(inplace=True)) for _ in self.scales
        )
        self.merge = ConvNormAct(in_channels + width * len(self.scales), out_channels or in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = (region_means(x, scale) for scale in self.scales)
        levels = [resize_to(branch(level), x) for branch, level in zip(self.branches, pooled, strict=True)]
        return self.merge(torch.cat([x, *levels], dim=1))


class AtrousPyramid(nn.Module):
    """ASPP: 3x3 convolutions of several dilations instead of pooling (DeepLab v3, 2017).

    Rate 1 stands for the 1x1 branch; the image-level branch is a global mean.
    """

    def __init__(
        self, in_channels: int, out_channels: int | None = None, *, rates: Sequence[int] = (1, 2, 4, 8)
    ):
        super().__init__()
        width = max(in_channels // len(rates), 1)
        self.branches = nn.ModuleList(
            ConvNormAct(in_channels, width, 1 if rate == 1 else 3, dilation=rate) for rate in rates
        )
        self.image = nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.ReLU(inplace=True))
        self.merge = ConvNormAct(width * (len(rates) + 1), out_channels or in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        image = self.image(x.mean((-2, -1), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.merge(torch.cat([*(branch(x) for branch in self.branches), image], dim=1))


class FeaturePyramid(nn.Module):
    """FPN: coarse levels are upsampled and added to finer ones, top down (Lin et al., 2017).

    ``forward`` takes the levels finest first and returns as many, ``out_channels`` wide, at their sizes.
    """

    def __init__(self, channels: Sequence[int], out_channels: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        merged = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        for index in range(len(merged) - 2, -1, -1):
            merged[index] = merged[index] + resize_to(merged[index + 1], merged[index])
        return [smooth(level) for smooth, level in zip(self.smooth, merged, strict=True)]


class DynamicPyramid(nn.Module):
    """DPC: each scale writes its own depthwise k x k filter, which then reads the unscaled map (Chen et al.,
    2024).

    For each k: pool to k x k, 1x1: those k x k x c numbers *are* the kernel, one for each image (survey,
    figure 7). Judgement: the kernels' sum of magnitudes is held to 1 (they come from data and would not stay
    bounded).
    """

    def __init__(
        self, in_channels: int, out_channels: int | None = None, *, kernel_sizes: Sequence[int] = (1, 3, 5)
    ):
        super().__init__()
        self.kernel_sizes = tuple(kernel_sizes)
        width = max(in_channels // len(self.kernel_sizes), 1)
        self.transforms = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in self.kernel_sizes)
        self.filters = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in self.kernel_sizes)
        self.merge = ConvNormAct(in_channels + width * len(self.kernel_sizes), out_channels or in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [
            _own_filter(transform(x), filter_(region_means(x, side)))
            for side, transform, filter_ in zip(self.kernel_sizes, self.transforms, self.filters, strict=True)
        ]
        return self.merge(torch.cat([x, *levels], dim=1))


def _own_filter(x: Tensor, kernels: Tensor) -> Tensor:
    """Depthwise convolution of (N, C, H, W) with one (C, k, k) kernel an image, normalised to unit L1."""
    count, channels, side, _ = kernels.shape
    kernels = kernels / (kernels.abs().sum((-2, -1), keepdim=True) + 1e-6)
    folded = x.reshape(1, count * channels, *x.shape[-2:])
    weight = kernels.reshape(count * channels, 1, side, side).to(folded.dtype)
    return F.conv2d(folded, weight, padding=side // 2, groups=count * channels).reshape(x.shape)


PYRAMID: dict[str, Callable[[int, int], nn.Module]] = {
    "aspp": AtrousPyramid,
    "dpc": DynamicPyramid,
    "spp": SpatialPyramid,
}
