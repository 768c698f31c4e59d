"""Attention models: what is modulated by what (survey, section 2.1.1).

Every class is an ``Attention(channels)`` from (N, C, H, W) to the same shape. Those that multiply the
features by weights in (0, 1) are a :class:`Gate`: :meth:`Gate.weights` gives the weights alone, so that a
fusion can compute them from one level and apply them to another (cross-modulation), and calling the module
modulates its own input.
"""

from collections.abc import Callable

from torch import nn

from infraspot.blocks.attention.gates import (
    CBAM,
    ChannelAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    Gate,
    GroupChannelAttention,
    PatchSpatialAttention,
    PixelAttention,
    SpatialAttention,
    SqueezeExcitation,
    bottleneck,
)
from infraspot.blocks.attention.relations import (
    ChannelCrossAttention,
    MultiHeadAttention,
    NonLocalAttention,
    attend,
    tokens,
    untokens,
)

__all__ = [
    "ATTENTION",
    "CBAM",
    "ChannelAttention",
    "ChannelCrossAttention",
    "CoordinateAttention",
    "EfficientChannelAttention",
    "Gate",
    "GroupChannelAttention",
    "MultiHeadAttention",
    "NonLocalAttention",
    "PatchSpatialAttention",
    "PixelAttention",
    "SpatialAttention",
    "SqueezeExcitation",
    "attend",
    "bottleneck",
    "tokens",
    "untokens",
]

ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "cbam": CBAM,
    "cca": ChannelCrossAttention,
    "channel": ChannelAttention,
    "coordinate": CoordinateAttention,
    "eca": EfficientChannelAttention,
    "group-channel": GroupChannelAttention,
    "multi-head": MultiHeadAttention,
    "non-local": NonLocalAttention,
    "patch-spatial": PatchSpatialAttention,
    "pixel": PixelAttention,
    "se": SqueezeExcitation,
    "spatial": SpatialAttention,
}
