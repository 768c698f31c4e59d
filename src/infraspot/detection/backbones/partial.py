"""Backbones of partial stages: half of the channels go through blocks, the other half beside them.

CSPDarknet (YOLOX, 2021) and CSPNeXt (RTMDet, 2022).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones.base import Backbone, after_each


class Layer(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
    ):
        padding = kernel_size // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )


def narrow_block(channels: int) -> nn.Module:
    """YOLOX's: 1x1, then 3x3."""
    return nn.Sequential(Layer(channels, channels), Layer(channels, channels, 3))


def wide_block(channels: int) -> nn.Module:
    """RTMDet's: 3x3, then 5x5 within each channel, then 1x1."""
    return nn.Sequential(
        Layer(channels, channels, 3), Layer(channels, channels, 5, groups=channels), Layer(channels, channels)
    )


class PartialStage(nn.Module):
    """Half of the channels go through ``depth`` blocks, the other half beside them.

    Parameters
    ----------
    adds
        Whether blocks add their input.
    block
        Makes a block of so many channels.
    weighs
        Whether the channels of both halves are weighed by their mean before they are joined.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int,
        *,
        adds: bool,
        block: Callable[[int], nn.Module] = narrow_block,
        weighs: bool = False,
    ):
        super().__init__()
        half = out_channels // 2
        self.main, self.beside = Layer(in_channels, half), Layer(in_channels, half)
        self.blocks = nn.ModuleList(block(half) for _ in range(depth))
        self.weights = nn.Conv2d(2 * half, 2 * half, 1) if weighs else None
        self.together, self.adds = Layer(2 * half, out_channels), adds

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)
        for block in self.blocks:
            y = y + block(y) if self.adds else block(y)
        both = torch.cat([y, self.beside(x)], 1)
        if self.weights is not None:
            both = both * F.hardsigmoid(self.weights(both.mean((2, 3), keepdim=True)))
        found: Tensor = self.together(both)
        return found


class PooledContext(nn.Module):
    """The map beside its maxima over 5, 9 and 13 cells."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze, self.expand = Layer(channels, channels // 2), Layer(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        found: Tensor = self.expand(torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1))
        return found


class _PartialBackbone(Backbone):
    """A stem at stride 2, then four stages of twice the channels each; the last one sees its surroundings.

    Parameters
    ----------
    depth, width
        Factors of blocks and channels.
    """

    strides = (4, 8, 16, 32)
    depths: tuple[int, ...]
    block: Callable[[int], nn.Module]
    weighs: bool

    def __init__(self, depth: float, width: float):
        super().__init__()
        channels = round(64 * width)
        self.stem = self.make_stem(channels)
        stages, self.channels = [], ()
        for number, deep in enumerate(self.depths):
            is_last, out = number == len(self.depths) - 1, round((128 << number) * width)
            context = [PooledContext(out)] if is_last else []
            blocks = PartialStage(
                out,
                out,
                max(1, round(deep * depth)),
                adds=not is_last,
                block=type(self).block,
                weighs=self.weighs,
            )
            stages.append(nn.Sequential(Layer(channels, out, 3, 2), *context, blocks))
            channels = out
            self.channels = (*self.channels, out)
        self.stages = nn.ModuleList(stages)

    def make_stem(self, channels: int) -> nn.Module:
        """What brings the frame to stride 2."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> list[Tensor]:
        return after_each(self.stages, self.stem(image))


class CSPDarknet(_PartialBackbone):
    """YOLOX's: phases of the image become channels first."""

    depths, block, weighs = (3, 9, 9, 3), staticmethod(narrow_block), False

    def make_stem(self, channels: int) -> nn.Module:
        return nn.Sequential(nn.PixelUnshuffle(2), Layer(4, channels, 3))


class CSPNeXt(_PartialBackbone):
    """RTMDet's: fewer and wider blocks, whose channels are weighed."""

    depths, block, weighs = (3, 6, 6, 3), staticmethod(wide_block), True

    def make_stem(self, channels: int) -> nn.Module:
        half = channels // 2
        return nn.Sequential(Layer(1, half, 3, 2), Layer(half, half, 3), Layer(half, channels, 3))
