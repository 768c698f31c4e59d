"""The residual block of the survey's networks, and what encoders and decoders made of it share.

Convolutions that a batch norm follows have no bias: the norm has one. Published programs keep both; a
converted bias goes into the norm's running mean (:mod:`infraspot.weights.convert`).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import ChannelAttention, SpatialAttention
from infraspot.blocks.conv import ConvNormAct


class ResidualBlock(nn.Module):
    """act(attention(3x3-BN-act-3x3-BN) + skip); the skip is 1x1-BN where stride or width change.

    ``attention`` is any module of the same width, or None (ResNet, 2016). ``slope`` is that of a leaky ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        slope: float = 0.0,
        attention: nn.Module | None = None,
    ):
        super().__init__()
        self.act = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
        self.body = nn.Sequential(
            ConvNormAct(in_channels, out_channels, stride=stride, act=False),
            self.act,
            ConvNormAct(out_channels, out_channels, act=False),
        )
        self.attention = attention or nn.Identity()
        self.skip = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else ConvNormAct(in_channels, out_channels, 1, stride=stride, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        skip = self.skip(x)  # first, so that its gradient comes last and does not wait in memory
        return self.act(self.attention(self.body(x)) + skip)


class AttentiveResidualBlock(ResidualBlock):
    """The node of DNANet and MSHNet: channel (reduction 16, mean and maximum), then spatial attention (7x7),
    before the addition: "CSAM" in the survey's Table 5."""

    def __init__(self, in_channels: int, out_channels: int):
        channel = ChannelAttention(out_channels, 16, pools=("mean", "max"), bias=False)
        attention = nn.Sequential(channel, SpatialAttention())
        super().__init__(in_channels, out_channels, attention=attention)


class LeakyResidualBlock(ResidualBlock):
    """The residual block of MTU-Net and SCTransNet: leaky ReLUs of slope .01."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, slope=0.01)


def stage(
    block: type[nn.Module], in_channels: int, out_channels: int, depth: int = 1, **first: int
) -> nn.Sequential:
    """``depth`` blocks; the first one changes the width and takes the other options, such as ``stride=2``."""
    rest = (block(out_channels, out_channels) for _ in range(depth - 1))
    return nn.Sequential(block(in_channels, out_channels, **first), *rest)


def enlarge(x: Tensor, factor: float, *, align_corners: bool = True) -> Tensor:
    """Bilinear resize by ``factor``; with aligned corners, as most of these programs do it."""
    return F.interpolate(
        x, scale_factor=factor, mode="bilinear", align_corners=align_corners, recompute_scale_factor=True
    )


class SegmentationHead(nn.Sequential):
    """3x3 to C/4, BN, ReLU, dropout .1, 1x1 to one logit: the head of ACM, ALCNet and AGPCNet (FCN, 2015)."""

    def __init__(self, channels: int):
        hidden = channels // 4
        super().__init__(ConvNormAct(channels, hidden), nn.Dropout(0.1), nn.Conv2d(hidden, 1, 1))
