"""Attention by relation: pixels gather from pixels, channels from channels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonLocalAttention(nn.Module):
    """NLA, self-attention: a location gathers from all locations (Wang et al., 2018).

    x + gamma * softmax(Q K') V with gamma learnt from 0 and Q K' not scaled, as in AGPCNet's program. Memory
    grows with the square of H W: meant for the coarse levels.
    """

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.query = nn.Conv2d(channels, hidden, 1)
        self.key = nn.Conv2d(channels, hidden, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """``x`` gathers from ``source`` (N, C, h, w), by default from itself."""
        source = x if source is None else source
        query, key, value = (
            tokens(layer(map_)) for layer, map_ in ((self.query, x), (self.key, source), (self.value, source))
        )
        gathered = attend(query, key, value, scale=1.0)
        return x + self.gamma * untokens(gathered, x)


class ChannelCrossAttention(nn.Module):
    """CCA: channels gather from channels, by the likeness of their maps (survey, 2.1.1; XCiT, 2021).

    x + 1x1(softmax(Q K' t) V) over channels, with Q from ``x`` and K, V from ``source`` (``source_channels``
    wide, at the same size); maps are L2-normalised over pixels and t is a learnt temperature.
    """

    def __init__(self, channels: int, source_channels: int | None = None):
        super().__init__()
        source_channels = source_channels or channels
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key = nn.Conv2d(source_channels, source_channels, 1, bias=False)
        self.value = nn.Conv2d(source_channels, source_channels, 1, bias=False)
        self.temperature = nn.Parameter(torch.ones(1))
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        source = x if source is None else source
        query = F.normalize(self.query(x).flatten(2), dim=-1)
        key = F.normalize(self.key(source).flatten(2), dim=-1)
        value = self.value(source).flatten(2)
        gathered = attend(query * self.temperature, key, value, scale=1.0)
        return x + self.project(gathered.reshape(x.shape))


class MultiHeadAttention(nn.Module):
    """MHA over the locations of (N, C, H, W): the attention of a transformer (Vaswani et al., 2017).

    No residual and no norm: a transformer block adds its own.
    """

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.heads = math.gcd(heads, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        shape = (count, 3, self.heads, -1, height * width)
        query, key, value = self.qkv(x).reshape(shape).transpose(-1, -2).unbind(1)
        gathered = attend(query, key, value)
        return self.project(gathered.transpose(-1, -2).reshape(x.shape))


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None) -> Tensor:
    """softmax(scale Q K') V for (..., length, C), the leading axes folded to the two that exporters know.

    ``scale`` is 1 / sqrt(C) unless given.
    """
    lead = query.shape[:-2]
    if len(lead) == 2:
        return F.scaled_dot_product_attention(query, key, value, scale=scale)
    query, key, value = (x.reshape(-1, 1, *x.shape[-2:]) for x in (query, key, value))
    out = F.scaled_dot_product_attention(query, key, value, scale=scale)
    return out.reshape(*lead, *out.shape[-2:])


def tokens(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H W, C)."""
    return x.flatten(2).transpose(1, 2)


def untokens(x: Tensor, like: Tensor) -> Tensor:
    """(N, H W, C) -> (N, C, H, W) with the H and W of ``like``."""
    count, _, channels = x.shape
    return x.transpose(1, 2).reshape(count, channels, *like.shape[-2:])
