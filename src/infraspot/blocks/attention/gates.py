"""Attention by multiplication: weights in (0, 1) for channels, pixels, places, rows and columns."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct


def _mean(x: Tensor) -> Tensor:
    return x.mean((-2, -1), keepdim=True)


def _max(x: Tensor) -> Tensor:
    """``amax`` is ten times slower on channels-last maps, adaptive pooling on contiguous ones."""
    return x.amax((-2, -1), keepdim=True) if x.is_contiguous() else F.adaptive_max_pool2d(x, 1)


_POOLS: dict[str, Callable[[Tensor], Tensor]] = {"mean": _mean, "max": _max}


def bottleneck(
    channels: int, reduction: int, *, groups: int = 1, norm: bool = False, bias: bool | None = None
) -> nn.Sequential:
    """1x1 to ``channels / reduction``, ReLU, 1x1 back; with a batch norm after each 1x1 when ``norm``."""
    hidden = max(channels // reduction, groups)
    bias = (not norm) if bias is None else bias
    layers: list[nn.Module] = [nn.Conv2d(channels, hidden, 1, groups=groups, bias=bias)]
    if norm:
        layers.append(nn.BatchNorm2d(hidden))
    layers += [nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1, groups=groups, bias=bias)]
    if norm:
        layers.append(nn.BatchNorm2d(channels))
    return nn.Sequential(*layers)


class Gate(nn.Module):
    """Modulation by multiplication: x -> x * weights(x)."""

    def weights(self, x: Tensor) -> Tensor:
        """Weights in (0, 1) that broadcast over ``x``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


class ChannelAttention(Gate):
    """CA: one weight a channel, the same at every location (SENet, 2018).

    sigmoid(1x1 ReLU 1x1 pool(x)); several ``pools`` ("mean", "max") go through the same two layers and are
    summed (CBAM, 2018). With ``norm`` (ACM, 2021) training needs a batch of two or more.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 4,
        *,
        pools: Sequence[str] = ("mean",),
        norm: bool = False,
        bias: bool | None = None,
    ):
        super().__init__()
        self.pools = tuple(pools)
        self.layers = bottleneck(channels, reduction, norm=norm, bias=bias)

    def weights(self, x: Tensor) -> Tensor:
        first, *rest = (self.layers(_POOLS[pool](x)) for pool in self.pools)
        return torch.sigmoid(sum(rest, first))


class SqueezeExcitation(ChannelAttention):
    """SE: channel attention without biases, reduction 16 (SENet, 2018)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__(channels, reduction, bias=False)


class EfficientChannelAttention(Gate):
    """ECA: channel attention by a 1-D convolution across neighbouring channels (ECA-Net, 2020).

    The kernel is the odd number next to (log2 C + 1) / 2, as the authors choose it.
    """

    def __init__(self, channels: int):
        super().__init__()
        side = int(abs((math.log2(channels) + 1) / 2))
        side += 1 - side % 2
        self.across = nn.Conv1d(1, 1, side, padding=side // 2, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        means = x.mean((-2, -1)).unsqueeze(1)
        return torch.sigmoid(self.across(means)).transpose(1, 2).unsqueeze(-1)


class PixelAttention(Gate):
    """PA: channel attention whose weights differ from location to location (PAN, 2020): CA without the
    pooling."""

    def __init__(self, channels: int, reduction: int = 4, *, norm: bool = False, bias: bool | None = None):
        super().__init__()
        self.layers = bottleneck(channels, reduction, norm=norm, bias=bias)

    def weights(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(x))


class SpatialAttention(Gate):
    """SA: one weight a location from the mean and the maximum over channels (CBAM, 2018).

    ``channels`` is not used: it is there so that attentions are exchanged by name.
    """

    def __init__(self, channels: int = 1, kernel_size: int = 7, *, bias: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=bias)

    def weights(self, x: Tensor) -> Tensor:
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(summary))


class CBAM(nn.Module):
    """Channel attention from mean and maximum, then spatial attention (CBAM, 2018)."""

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7):
        super().__init__()
        self.channel = ChannelAttention(channels, reduction, pools=("mean", "max"), bias=False)
        self.spatial = SpatialAttention(channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))


class CoordinateAttention(Gate):
    """Weights of a row times weights of a column, from means along each, mixed by one 1x1 (Hou et al.,
    2021)."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.mix = ConvNormAct(channels, hidden, 1)
        self.row = nn.Conv2d(hidden, channels, 1)
        self.column = nn.Conv2d(hidden, channels, 1)

    def weights(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows = x.mean(3, keepdim=True)
        columns = x.mean(2, keepdim=True).transpose(2, 3)
        mixed_rows, mixed_columns = self.mix(torch.cat([rows, columns], dim=2)).split([height, width], dim=2)
        return torch.sigmoid(self.row(mixed_rows)) * torch.sigmoid(self.column(mixed_columns)).transpose(2, 3)


class GroupChannelAttention(Gate):
    """Channel attention inside groups of channels (PGA's channel half; Zhang et al., 2024).

    Judgement: the groups are those of grouped 1x1 convolutions; the survey says "group-wise CA" only. The
    number of groups is reduced to a divisor of ``channels``.
    """

    def __init__(self, channels: int, groups: int = 4, reduction: int = 4):
        super().__init__()
        groups = math.gcd(groups, channels)
        width = channels // groups
        self.layers = bottleneck(channels, min(reduction, width), groups=groups)

    def weights(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(_mean(x)))


class PatchSpatialAttention(Gate):
    """One weight a patch of pixels instead of one a pixel (PGA's spatial half; Zhang et al., 2024).

    Judgement: patch means and maxima over channels, one 3x3 on the grid of patches, nearest upsampling.
    """

    def __init__(self, channels: int = 1, patch: int = 4):
        super().__init__()
        self.patch = patch
        self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        padded = F.pad(summary, (0, -width % self.patch, 0, -height % self.patch), mode="replicate")
        grid = torch.sigmoid(self.conv(F.avg_pool2d(padded, self.patch)))
        return F.interpolate(grid, scale_factor=self.patch, mode="nearest")[..., :height, :width]
