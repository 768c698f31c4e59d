"""The shared parts of the local contrast learning family: MLCLNet, ALCLNet, GGLNet and MSDANet (Yu et
al.)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import SqueezeExcitation
from infraspot.blocks.conv import ConvNormAct


class PlainResidual(nn.Module):
    """3x3, norm, ReLU, [SE,] 3x3, norm; the input is added; ReLU."""

    def __init__(self, channels: int, *, squeeze: bool = False):
        super().__init__()
        middle = [SqueezeExcitation(channels, reduction=4)] if squeeze else []
        self.body = nn.Sequential(
            ConvNormAct(channels, channels), *middle, ConvNormAct(channels, channels, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.body(x).add_(x))


class PooledResidual(nn.Module):
    """Half the size: 3x3, norm, ReLU, max-pool, 3x3, norm; a strided 3x3, norm, ReLU is added; ReLU.

    The ReLU runs after the pooling, with the same result for a quarter of the work.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(in_channels, out_channels, act=False),
            nn.Sequential(nn.MaxPool2d(2), nn.ReLU(inplace=True)),
            ConvNormAct(out_channels, out_channels, act=False),
        )
        self.skip = ConvNormAct(in_channels, out_channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.body(x).add_(self.skip(x)))


class LocalContrastEncoder(nn.Module):
    """Two 3x3, then levels of three residual blocks, each after the first at half the size of the one
    before."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(ConvNormAct(1, first), ConvNormAct(first, first))
        self.levels = nn.ModuleList()
        for index, width in enumerate(widths):
            entry = PooledResidual(widths[index - 1], width) if index else PlainResidual(width)
            self.levels.append(nn.Sequential(entry, PlainResidual(width), PlainResidual(width)))

    def forward(self, image: Tensor) -> list[Tensor]:
        """The levels, finest first."""
        x = self.stem(image)
        outputs = []
        for level in self.levels:
            x = level(x)
            outputs.append(x)
        return outputs


class LocalContrast(nn.Module):
    """LCL: a k x k, ReLU, a 3x3 of a dilation, ReLU: how a place differs from its ring of
    neighbours (MLCLNet, 2022)."""

    def __init__(self, channels: int, kernel_size: int = 1, dilation: int = 1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MultiscaleLocalContrast(nn.Module):
    """MLCL: local contrast of three reaches (1x1 with dilation 1, 3x3 with 3, 5x5 with 5), merged by a 1x1
    (MLCLNet, 2022)."""

    def __init__(self, channels: int):
        super().__init__()
        self.branches = nn.ModuleList(
            LocalContrast(channels, side, dilation) for side, dilation in ((1, 1), (3, 3), (5, 5))
        )
        self.merge = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(torch.cat([branch(x) for branch in self.branches], dim=1))


class PixelHead(nn.Sequential):
    """Logits: 1x1, ReLU, 1x1."""

    def __init__(self, channels: int):
        super().__init__(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, 1, 1))
