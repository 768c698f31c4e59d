"""ResNets, with the usual names of their tensors."""

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones.base import Backbone


class BasicBlock(nn.Module):
    """3x3, norm, ReLU, 3x3, norm, plus the input; ReLU."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor, dilation: int = 1) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(_spread(self.conv2, y, dilation))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the width, plus the input; norms and ReLUs between."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1):
        super().__init__()
        out = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = _shortcut(in_channels, out, stride)

    def forward(self, x: Tensor, dilation: int = 1) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(_spread(self.conv2, y, dilation)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _spread(layer: nn.Conv2d, x: Tensor, dilation: int) -> Tensor:
    """The layer, a 3x3, with its taps so many cells apart."""
    if dilation == 1:
        return layer(x)
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, dilation, dilation)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class ResNet(Backbone):
    """He et al., 2016, with the usual names of its tensors and one input channel.

    Levels are the stem at stride 2 and the four stages at 4, 8, 16 and 32. ``infraspot convert-weights``
    brings the common ImageNet files here.
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...], width: int = 64):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        self.channels: tuple[int, ...] = (width,)
        for number, depth in enumerate(depths):
            stage = []
            for k in range(depth):
                stride = 2 if number and not k else 1
                stage.append(block(channels, width << number, stride))
                channels = (width << number) * block.expansion
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
            self.channels = (*self.channels, channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def start(self, image: Tensor) -> Tensor:
        """The stem's map, at stride 2."""
        return F.relu(self.bn1(self.conv1(image)))

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.start(image)
        levels = [x]
        x = F.max_pool2d(x, 3, 2, 1)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(name)(x)
            levels.append(x)
        return levels
