"""Contexts that read the next finer level too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import NonLocalAttention, SqueezeExcitation
from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.blocks.deformable import DeformableConv2d


class CrossLayerContext(nn.Module):
    """``Context(channels, finer_channels)(x, finer)``: (N, C, H, W), with the shape of ``x``.

    ``finer`` (N, finer_channels, h, w) is the encoder's level before ``x``, as large or larger.
    """


class CFAR(CrossLayerContext):
    """NLA, then a cross-layer NLA: every place gathers from the next finer level (AFENet, 2024).

    Judgement: the finer level is max-pooled to the size of ``x`` and brought to its width by a 1x1; a 3x3
    merges.
    """

    def __init__(self, channels: int, finer_channels: int):
        super().__init__()
        self.own = NonLocalAttention(channels)
        self.project = ConvNormAct(finer_channels, channels, 1)
        self.cross = NonLocalAttention(channels)
        self.merge = ConvNormAct(channels, channels)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        return self.merge(self.cross(self.own(x), self.project(shrunk_to(finer, x))))


class SFM(CrossLayerContext):
    """Semantic fusion: shallow features meet deep semantics through flexible receptive fields (FCNet, 2024).

    Judgement: the finer level, shrunk, is concatenated with ``x``; a deformable 3x3 gathers from both, SE
    weighs the channels as FCNet does on the way up, and ``x`` is added.
    """

    def __init__(self, channels: int, finer_channels: int):
        super().__init__()
        self.reduce = ConvNormAct(channels + finer_channels, channels, 1)
        self.gather = DeformableConv2d(channels, channels)
        self.weigh = SqueezeExcitation(channels, reduction=4)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        both = self.reduce(torch.cat([x, shrunk_to(finer, x)], dim=1))
        return x + self.weigh(F.relu(self.gather(both)))


def shrunk_to(finer: Tensor, x: Tensor) -> Tensor:
    """``finer`` at the height and width of ``x``, by max-pooling: a small target does not fade."""
    factor = -(-finer.shape[-2] // x.shape[-2])
    return resize_to(F.max_pool2d(finer, factor, ceil_mode=True) if factor > 1 else finer, x)
