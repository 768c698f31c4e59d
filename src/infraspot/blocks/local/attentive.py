"""Local refinement by attention: along rows and columns, in windows, across channels, by contrast."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import (
    CBAM,
    ChannelCrossAttention,
    EfficientChannelAttention,
    NonLocalAttention,
    bottleneck,
)
from infraspot.blocks.conv import ConvNormAct, LayerNorm2d, resize_to
from infraspot.blocks.gradient import gradient_magnitude
from infraspot.blocks.local.base import Local
from infraspot.blocks.pooling import region_means
from infraspot.blocks.transformer import AxialAttention, TransformerLayer, WindowAttention

KEY_GRID = 16  # rows and columns of keys, where all pixels attend to a whole map


class ICA(Local):
    """Improved coordinate attention: CA of every row, then of every column (Zhang et al., 2024).

    Judgement: a row's weights come from its mean and maximum.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.body = _two_convolutions(in_channels, out_channels)
        self.row = bottleneck(out_channels, 4)
        self.column = bottleneck(out_channels, 4)

    def refine(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x = x * torch.sigmoid(self.row(x.mean(3, keepdim=True)) + self.row(x.amax(3, keepdim=True)))
        return x * torch.sigmoid(self.column(x.mean(2, keepdim=True)) + self.column(x.amax(2, keepdim=True)))


def _two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels, act=False)
    )


class SAE(Local):
    """CA, then SA, in the residual block: CBAM under the name that HMNet gives it (HMNet, 2024).

    Judgement: the survey says no more; two 3x3 before the attention, reduction 8.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.body = _two_convolutions(in_channels, out_channels)
        self.attention = CBAM(out_channels, reduction=8)

    def refine(self, x: Tensor) -> Tensor:
        return self.attention(self.body(x))


class SiAM(Local):
    """Spatial-interactive attention: CCA, spatial information interacts between channels (HAMANet, 2024).

    Judgement: after two 3x3, in a residual block.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.body = _two_convolutions(in_channels, out_channels)
        self.attention = ChannelCrossAttention(out_channels)

    def refine(self, x: Tensor) -> Tensor:
        return self.attention(self.body(x))


class PiAM(Local):
    """Pixel-interactive attention: NLA, local context between pixels (HAMANet, 2024).

    Judgement: keys and values are the means of 16x16 regions, so that it also serves the fine levels.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.body = _two_convolutions(in_channels, out_channels)
        self.attention = NonLocalAttention(out_channels)

    def refine(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return self.attention(x, region_means(x, KEY_GRID))


class InteractiveAttention(nn.Sequential):
    """SiAM, then PiAM: feature transformation by CCA and by NLA (HAMANet, 2024).

    Judgement: one after the other, each in its residual block.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(SiAM(in_channels, out_channels), PiAM(out_channels, out_channels))


class SwinPair(nn.Module):
    """Two transformer layers in windows of 8, the second one's shifted by half (Swin, 2021).

    The local "Transformer" of FTCNet and GANet in the survey's Table 5. Judgement: windows, since global
    attention does not reach the fine levels.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.enter = ConvNormAct(in_channels, out_channels)
        self.layers = nn.Sequential(
            *(
                TransformerLayer(out_channels, attention=WindowAttention(out_channels, side=8, shift=shift))
                for shift in (0, 4)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.enter(x))


class SwinGCL(Local):
    """Swin and edge-prior guided refinement by a gated convolution (GSTUNet, 2024).

    Judgement: "edge prior" is read as the gradient magnitude of the features themselves, fixed and not
    learnt. It opens a gate that raises them by up to twice before a 3x3; no edge map is predicted.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.swin = SwinPair(in_channels, out_channels)
        self.gate = nn.Conv2d(out_channels, out_channels, 1)
        self.merge = ConvNormAct(out_channels, out_channels, act=False)

    def refine(self, x: Tensor) -> Tensor:
        x = self.swin(x)
        edge = torch.sigmoid(self.gate(gradient_magnitude(x, scale=0.5)))
        return self.merge(torch.addcmul(x, x, edge))


class SwinLCA(Local):
    """Swin and local contrast attention (Zhao et al., 2023).

    The features minus the features shifted in two converse directions, multiplied: high where a place stands
    out on both sides. Judgement: the shifts are ``reach`` pixels, the four pairs of directions are averaged,
    and the result, through a 1x1 and a sigmoid, gates the features; the contrast itself is not learnt.
    """

    def __init__(self, in_channels: int, out_channels: int, reach: int = 2):
        super().__init__(in_channels, out_channels)
        self.swin = SwinPair(in_channels, out_channels)
        self.reach = reach
        self.gate = ConvNormAct(out_channels, out_channels, 1, act=False)
        self.merge = ConvNormAct(out_channels, out_channels, act=False)

    def refine(self, x: Tensor) -> Tensor:
        x = self.swin(x)
        return self.merge(x * torch.sigmoid(self.gate(converse_contrast(x, self.reach))))


def converse_contrast(x: Tensor, reach: int) -> Tensor:
    """Mean over the four axes through a pixel of (x - one side) (x - other side), ``reach`` pixels away."""
    height, width = x.shape[-2:]
    padded = (
        F.pad(x, (reach,) * 4, mode="replicate") if reach < min(height, width) else F.pad(x, (reach,) * 4)
    )

    def away(down: int, right: int) -> Tensor:
        top, left = reach * (1 + down), reach * (1 + right)
        return x - padded[..., top : top + height, left : left + width]

    axes = ((0, 1), (1, 0), (1, 1), (1, -1))
    first, *rest = (away(down, right) * away(-down, -right) for down, right in axes)
    return sum(rest, first) / len(axes)


class SCTB(Local):
    """Spatial-channel cross transformer block: CCA with concatenated scales, then a gated mix (SCTransNet,
    2024).

    The channels of a level attend to those of all scales; then two depthwise kernels mix each location's
    neighbourhood, and ECA weighs the channels. Judgement: SCTransNet takes the scales from the encoder's
    levels; here they are the level itself, its half and its quarter.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, residual=False)
        self.enter = ConvNormAct(in_channels, out_channels)
        self.norm = LayerNorm2d(3 * out_channels)
        self.attention = ChannelCrossAttention(out_channels, 3 * out_channels)
        self.norm_mix = LayerNorm2d(out_channels)
        self.widen = nn.Conv2d(out_channels, 2 * out_channels, 1)
        self.near = nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels)
        self.far = nn.Conv2d(out_channels, out_channels, 5, padding=2, groups=out_channels)
        self.narrow = nn.Conv2d(2 * out_channels, out_channels, 1)
        self.weigh = EfficientChannelAttention(out_channels)

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        half = F.avg_pool2d(x, 2, ceil_mode=True)
        quarter = F.avg_pool2d(half, 2, ceil_mode=True)
        scales = self.norm(torch.cat([x, resize_to(half, x), resize_to(quarter, x)], dim=1))
        x = self.attention(x, scales)
        near, far = self.widen(self.norm_mix(x)).chunk(2, dim=1)
        mixed = torch.cat([F.relu(self.near(near)), F.relu(self.far(far))], dim=1)
        return x + self.weigh(self.narrow(mixed))


class TCIA(Local):
    """Thermal conduction-inspired attention (TCI-Former, 2024).

    Like heat, a pixel's features come from its neighbours in the layer before, along x or y: groups of
    channels are shifted by one pixel up, down, left and right (one group stays), then rows and columns attend
    to themselves. Judgement: a transformer layer for the rows, then one for the columns.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, residual=False)
        self.enter = ConvNormAct(in_channels, out_channels)
        self.row = TransformerLayer(out_channels, attention=AxialAttention(out_channels, axis=3))
        self.column = TransformerLayer(out_channels, attention=AxialAttention(out_channels, axis=2))

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return x + self.column(self.row(shift_groups(x)))


def shift_groups(x: Tensor) -> Tensor:
    """Five groups of channels: four shifted by a pixel down, up, right and left (filled with 0), one as it
    is."""
    height, width = x.shape[-2:]
    group = x.shape[1] // 5
    padded = F.pad(x[:, : 4 * group], (1, 1, 1, 1))
    places = ((0, 1), (2, 1), (1, 0), (1, 2))
    shifted = [
        padded[:, index * group : (index + 1) * group, top : top + height, left : left + width]
        for index, (top, left) in enumerate(places)
    ]
    return torch.cat([*shifted, x[:, 4 * group :]], dim=1)
