"""What turns a frame into features at several strides: ResNets, and a small encoder for one CPU thread.

A backbone has ``strides`` and ``channels`` of its levels, finest first, and gives one map for each.
"""

from collections.abc import Callable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.compact import RegionalContext, RingContrast, residual_level


class Backbone(nn.Module):
    """(N, 1, H, W) frames, with sides that are multiples of the last stride, to one map a level."""

    strides: tuple[int, ...]
    channels: tuple[int, ...]

    def forward(self, image: Tensor) -> list[Tensor]:
        raise NotImplementedError


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

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
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

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


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

    def forward(self, image: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(image)))
        levels = [x]
        x = F.max_pool2d(x, 3, 2, 1)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(name)(x)
            levels.append(x)
        return levels


class CompactEncoder(Backbone):
    """The encoder of the network ``compact``: phases become channels, local contrast lies beside the image.

    Levels are at strides 2, 4, 8 and 16; the last one knows its region.
    """

    strides = (2, 4, 8, 16)

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 64), depths: tuple[int, ...] = (1, 2, 2, 2)):
        super().__init__()
        self.channels = channels
        self.contrast = RingContrast()
        self.stem = ConvNormAct(2 * 4, channels[0])
        stages = [residual_level(channels[0], channels[0], depths[0], 1)]
        stages += [
            residual_level(fine, coarse, depth, 2)
            for (fine, coarse), depth in zip(pairwise(channels), depths[1:], strict=True)
        ]
        self.stages = nn.ModuleList(stages)
        self.context = RegionalContext(channels[-1])

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(F.pixel_unshuffle(self.contrast(image), 2))
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        levels[-1] = self.context(levels[-1])
        return levels


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "resnet34": lambda: ResNet(BasicBlock, (3, 4, 6, 3)),
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "resnet101": lambda: ResNet(Bottleneck, (3, 4, 23, 3)),
    "resnet10": lambda: ResNet(BasicBlock, (1, 1, 1, 1), 16),
    "compact": CompactEncoder,
    "compact-wide": lambda: CompactEncoder((32, 48, 64, 96)),
}
