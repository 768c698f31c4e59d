"""Pyramid vision transformer (Wang et al., ICCV 2021): attention in four stages, over ever fewer cells."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import LayerNorm2d
from infraspot.detection.backbones.base import Backbone

# Channels, heads, widening of the layers, and cells a side that are seen as one.
STAGES = ((64, 1, 8, 8), (128, 2, 8, 4), (320, 5, 4, 2), (512, 8, 4, 1))
TRAINED_ON = 224  # side of the frames that positions are learnt for; they are resized for others


class _Layer(nn.Module):
    """Attention to the map seen coarsely, then two 1x1s; each adds its input."""

    def __init__(self, width: int, heads: int, widening: int, coarse: int):
        super().__init__()
        self.first, self.second = LayerNorm2d(width, eps=1e-6), LayerNorm2d(width, eps=1e-6)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.seen = (
            nn.Sequential(nn.Conv2d(width, width, coarse, coarse), LayerNorm2d(width))
            if coarse > 1
            else nn.Identity()
        )
        self.mix = nn.Sequential(
            nn.Conv2d(width, widening * width, 1), nn.GELU(), nn.Conv2d(widening * width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        seen = self.seen(y).flatten(2).transpose(1, 2)
        told = self.attention(y.flatten(2).transpose(1, 2), seen, seen, need_weights=False)[0]
        x = x + told.transpose(1, 2).reshape(x.shape)
        found: Tensor = x + self.mix(self.second(x))
        return found


class _Stage(nn.Module):
    """Patches become cells, positions are added, then the layers."""

    def __init__(
        self, in_channels: int, width: int, heads: int, widening: int, coarse: int, *, patch: int, side: int
    ):
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(in_channels, width, patch, patch), LayerNorm2d(width))
        self.places = nn.Parameter(torch.empty(1, width, side, side))
        nn.init.trunc_normal_(self.places, std=0.02)
        self.layers = nn.Sequential(*(_Layer(width, heads, widening, coarse) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        places = F.interpolate(self.places, size=x.shape[-2:], mode="bilinear")
        found: Tensor = self.layers(x + places)
        return found


class PVT(Backbone):
    """PVT-Tiny: two layers a stage, at strides 4 to 32."""

    strides = (4, 8, 16, 32)
    channels = tuple(width for width, *_ in STAGES)

    def __init__(self) -> None:
        super().__init__()
        stages: list[_Stage] = []
        channels = 1
        for stride, (width, heads, widening, coarse) in zip(self.strides, STAGES, strict=True):
            patch, side = 2 if stages else 4, TRAINED_ON // stride
            stages.append(_Stage(channels, width, heads, widening, coarse, patch=patch, side=side))
            channels = width
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, levels = image, []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels
