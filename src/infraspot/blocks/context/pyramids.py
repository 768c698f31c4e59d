"""Contexts that treat each scale by itself and merge the scales: pooled, atrous, non-local, by patches."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import ChannelAttention, NonLocalAttention, attend, tokens, untokens
from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.blocks.pooling import region_means
from infraspot.blocks.pyramid import AtrousPyramid
from infraspot.blocks.transformer import TransformerLayer


class FPN(nn.Module):
    """Classical: three levels by strided 3x3, merged top down; the finest is the result (Lin et al.,
    2017)."""

    def __init__(self, channels: int, levels: int = 3):
        super().__init__()
        self.down = nn.ModuleList(ConvNormAct(channels, channels, stride=2) for _ in range(levels - 1))
        self.lateral = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(levels))
        self.smooth = ConvNormAct(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        levels = [x]
        for down in self.down:
            levels.append(down(levels[-1]))
        merged = self.lateral[-1](levels[-1])
        for lateral, level in zip(self.lateral[-2::-1], levels[-2::-1], strict=True):
            merged = lateral(level) + resize_to(merged, level)
        return self.smooth(merged)


class REAM(nn.Module):
    """CA after ASPP, with a residual (DMFNet, 2024).

    Judgement: dilations 1, 2, 4 and 8. The authors' program has three stacks of dilated residual blocks and
    SE in their place.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.pyramid = AtrousPyramid(channels)
        self.channel = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.channel(self.pyramid(x))


class NLPPM(nn.Module):
    """Pyramid pooling with NLA on every scale (NLFPNet, 2024; survey, figure 7).

    Judgement: grids of 2, 3, 6 and 8; on a single cell attention would do nothing.
    """

    def __init__(self, channels: int, scales: Sequence[int] = (2, 3, 6, 8)):
        super().__init__()
        self.scales = tuple(scales)
        width = max(channels // len(self.scales), 1)
        self.branches = nn.ModuleList(
            nn.Sequential(ConvNormAct(channels, width, 1), NonLocalAttention(width)) for _ in self.scales
        )
        self.merge = ConvNormAct(channels + width * len(self.scales), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = (region_means(x, scale) for scale in self.scales)
        levels = [resize_to(branch(level), x) for branch, level in zip(self.branches, pooled, strict=True)]
        return self.merge(torch.cat([x, *levels], dim=1))


class LSPM(nn.Module):
    """Local similarity pyramid: every pixel reads the s x s regions of each scale (Huang et al., 2021).

    A 1x1 gives each pixel a weight for every region. The weights are averaged over similar pixels, by
    softmax(X' X), and then gather the regions' means. Scales 1, 2, 3, 6 are concatenated with x and merged by
    a 1x1. Departure: the authors' program normalises the likeness over the other axis, so that weights need
    not sum to one; all scales share one product here. Memory grows with the square of H W: meant for the
    coarse levels.
    """

    def __init__(self, channels: int, scales: Sequence[int] = (1, 2, 3, 6)):
        super().__init__()
        self.scales = tuple(scales)
        self.region = nn.Conv2d(channels, sum(scale * scale for scale in self.scales), 1)
        self.merge = ConvNormAct(channels * (1 + len(self.scales)), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pixels = tokens(x)
        weights = attend(pixels, pixels, tokens(self.region(x)), scale=1.0)
        parts = weights.split([scale * scale for scale in self.scales], dim=-1)
        levels = [
            x + untokens(part @ tokens(region_means(x, scale)), x)
            for part, scale in zip(parts, self.scales, strict=True)
        ]
        return self.merge(torch.cat([x, *levels], dim=1))


class MVTM(nn.Module):
    """Multilevel ViT module: a transformer over patches of each size, then the pyramid (MTU-Net, 2023).

    Judgement: MTU-Net runs one ViT on each of four encoder levels; on one level the patches are 2, 4 and 8
    wide.
    """

    def __init__(self, channels: int, patches: Sequence[int] = (2, 4, 8)):
        super().__init__()
        self.patches = tuple(patches)
        width = max(channels // len(self.patches), 4)
        self.embed = nn.ModuleList(nn.Conv2d(channels, width, patch, patch) for patch in self.patches)
        self.layers = nn.ModuleList(TransformerLayer(width) for _ in self.patches)
        self.merge = ConvNormAct(channels + width * len(self.patches), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        levels = [x]
        for patch, embed, layer in zip(self.patches, self.embed, self.layers, strict=True):
            padded = F.pad(x, (0, -width % patch, 0, -height % patch))
            grid = layer(embed(padded))
            levels.append(resize_to(grid, padded)[..., :height, :width])
        return self.merge(torch.cat(levels, dim=1))
