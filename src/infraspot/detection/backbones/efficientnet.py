"""EfficientNets (Tan and Le, 2019): blocks that widen, look within channels, weigh them and narrow."""

import math

from torch import Tensor, nn

from infraspot.detection.backbones.base import Backbone, after_each

# Widening, kernel, stride, channels and blocks of each stage at width and depth 1.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM = 32
SQUEEZE = 4


class _Block(nn.Module):
    """1x1 to ``widening`` times the channels, a depthwise layer, weights of channels, 1x1, plus the input."""

    def __init__(self, in_channels: int, out_channels: int, widening: int, kernel_size: int, stride: int):
        super().__init__()
        wide = in_channels * widening
        self.widen = _layer(in_channels, wide) if widening > 1 else nn.Identity()
        self.look = _layer(wide, wide, kernel_size, stride, wide)
        hidden = in_channels // SQUEEZE
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(wide, hidden, 1),
            nn.SiLU(inplace=True),
            nn.Conv2d(hidden, wide, 1),
            nn.Sigmoid(),
        )
        self.narrow = nn.Sequential(nn.Conv2d(wide, out_channels, 1, bias=False), _norm(out_channels))
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.look(self.widen(x))
        y = self.narrow(y * self.weigh(y))
        return x + y if self.adds else y


def _layer(
    in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False),
        _norm(out_channels),
        nn.SiLU(inplace=True),
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not below 90 % of it."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near if near >= 0.9 * channels else near + 8


class EfficientNet(Backbone):
    """EfficientNet without its last 1x1: the last map of each stride from 2 to 32.

    Parameters
    ----------
    width, depth
        Factors of channels and blocks: 1 and 1 make B0, 1.2 and 1.4 make B3.
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, width: float, depth: float):
        super().__init__()
        channels = _rounded(STEM * width)
        self.stem = _layer(1, channels, 3, 2)
        levels: list[nn.Sequential] = [nn.Sequential()]
        self.channels: tuple[int, ...] = ()
        for widening, kernel_size, stride, wide, deep in STAGES:
            if stride == 2:
                levels.append(nn.Sequential())
                self.channels = (*self.channels, channels)
            out = _rounded(wide * width)
            for k in range(math.ceil(deep * depth)):
                levels[-1].append(_Block(channels, out, widening, kernel_size, 1 if k else stride))
                channels = out
        self.channels = (*self.channels, channels)
        self.levels = nn.ModuleList(levels)

    def forward(self, image: Tensor) -> list[Tensor]:
        return after_each(self.levels, self.stem(image))
