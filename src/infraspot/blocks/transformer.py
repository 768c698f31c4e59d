"""Transformer layers on (N, C, H, W), global, in windows or along one axis."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import MultiHeadAttention, attend
from infraspot.blocks.conv import LayerNorm2d


class TransformerLayer(nn.Module):
    """x + MHA(norm(x)), then x + MLP(norm(x)) (ViT, 2021).

    Positions come from a depthwise 3x3 added to the input (conditional encodings, Chu et al., 2023), so that
    a map may have any size. ``attention`` maps (N, C, H, W) to the same shape; by default it is global
    multi-head attention.
    """

    def __init__(
        self, channels: int, heads: int = 4, *, expansion: int = 2, attention: nn.Module | None = None
    ):
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm_attention = LayerNorm2d(channels)
        self.attention = attention or MultiHeadAttention(channels, heads)
        self.norm_mlp = LayerNorm2d(channels)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, expansion * channels, 1),
            nn.GELU(),
            nn.Conv2d(expansion * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position(x)
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class WindowAttention(nn.Module):
    """Multi-head attention inside windows of ``side`` x ``side`` pixels, optionally shifted (Swin, 2021).

    Departure: a shifted grid is padded instead of rolled around, so that no mask is needed and pixels of
    opposite borders never meet.
    """

    def __init__(self, channels: int, heads: int = 4, *, side: int = 8, shift: int = 0):
        super().__init__()
        self.side, self.shift = side, shift
        self.attention = MultiHeadAttention(channels, heads)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        side, shift = self.side, self.shift
        padded = F.pad(x, (shift, -(width + shift) % side, shift, -(height + shift) % side))
        out = from_windows(self.attention(to_windows(padded, side)), padded.shape)
        return out[..., shift : shift + height, shift : shift + width]


def to_windows(x: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> (N H/side W/side, C, side, side)."""
    count, channels, height, width = x.shape
    blocks = x.reshape(count, channels, height // side, side, width // side, side)
    return blocks.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)


def from_windows(windows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse of :func:`to_windows` for maps of ``shape``."""
    count, channels, height, width = shape
    side = windows.shape[-1]
    grid = windows.reshape(count, height // side, width // side, channels, side, side)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(shape)


class AxialAttention(nn.Module):
    """Every pixel attends to its row (``axis`` 3) or to its column (``axis`` 2) (Axial-DeepLab, 2020)."""

    def __init__(self, channels: int, heads: int = 4, *, axis: int = 3):
        super().__init__()
        self.axis = axis
        self.heads = math.gcd(heads, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=1)
        gathered = attend(self._lines(query), self._lines(key), self._lines(value))
        # (N, lines, heads, length, C / heads) -> (N, C, lines, length)
        map_ = gathered.permute(0, 2, 4, 1, 3).flatten(1, 2)
        return self.project(map_ if self.axis == 3 else map_.transpose(2, 3))

    def _lines(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, lines, heads, length, C / heads)."""
        x = x if self.axis == 3 else x.transpose(2, 3)
        return x.unflatten(1, (self.heads, -1)).permute(0, 3, 1, 4, 2)
