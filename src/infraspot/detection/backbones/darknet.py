"""Darknet-53 (YOLOv3, 2018)."""

from torch import Tensor, nn

from infraspot.detection.backbones.base import Backbone, after_each

DEPTHS = (1, 2, 8, 8, 4)


class LeakyLayer(nn.Sequential):
    """Convolution, batch norm, ReLU that lets a tenth through."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.1, inplace=True),
        )


class _Residual(nn.Sequential):
    """1x1 to half of the channels, 3x3 back, plus the input."""

    def __init__(self, channels: int):
        super().__init__(LeakyLayer(channels, channels // 2), LeakyLayer(channels // 2, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Darknet(Backbone):
    """A first 3x3, then five stages of a strided 3x3 and residual blocks."""

    strides = (2, 4, 8, 16, 32)

    def __init__(self, width: int = 32):
        super().__init__()
        self.stem = LeakyLayer(1, width, 3)
        self.channels = tuple(width << k for k in range(1, 6))
        self.stages = nn.ModuleList(
            nn.Sequential(LeakyLayer(out // 2, out, 3, 2), *(_Residual(out) for _ in range(depth)))
            for out, depth in zip(self.channels, DEPTHS, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        return after_each(self.stages, self.stem(image))
