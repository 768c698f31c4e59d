"""The few layers that every other block is written in."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm and ReLU at the same size (for stride 1); ``act=False`` leaves the ReLU out.

    The convolution has no bias: the norm has one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: bool = True,
    ):
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        padding = (dilation * (sides[0] - 1) // 2, dilation * (sides[1] - 1) // 2)
        convolution = (
            StridedPointwise(in_channels, out_channels, stride, bias=False)
            if sides == (1, 1) and stride > 1 and groups == 1
            else nn.Conv2d(in_channels, out_channels, sides, stride, padding, dilation, groups, bias=False)
        )
        layers: list[nn.Module] = [convolution, nn.BatchNorm2d(out_channels)]
        if act:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class StridedPointwise(nn.Conv2d):
    """A 1x1 convolution with a stride, computed as one of stride 1 on the pixels that the stride meets.

    The result is the same. torch's own kernel for its gradient writes past its buffers on CPUs with several
    threads: for fewer than 16 input channels, channels last, and an odd batch above 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, bias: bool = True):
        super().__init__(in_channels, out_channels, 1, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        met = F.avg_pool2d(x, 1, self.stride)  # a mean of one pixel; its gradient is cheaper than a slice's
        return F.conv2d(met, self.weight, self.bias)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def resize_to(x: Tensor, like: Tensor, *, align_corners: bool = False) -> Tensor:
    """Bilinear resize of ``x`` to the height and width of ``like``; nothing is done when they are equal."""
    size = like.shape[-2:]
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def central_difference(x: Tensor, weight: Tensor, *, share: float = 1.0) -> Tensor:
    """Central difference convolution: w * x - share sum(w) x, the border repeated.

    ``weight`` is (out, in, kh, kw) with odd sides, or (C, 1, kh, kw) for a depthwise one. Folding the sum
    into the central tap makes it one convolution.
    """
    height, width = weight.shape[-2:]
    centre = torch.zeros_like(weight)
    centre[..., height // 2, width // 2] = 1
    weight = weight - share * weight.sum((-2, -1), keepdim=True) * centre
    padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2), mode="replicate")
    return F.conv2d(padded, weight, groups=x.shape[1] // weight.shape[1])
