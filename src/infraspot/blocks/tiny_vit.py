"""TinyViT (Wu et al., ECCV 2022) in the form that MobileSAM gave it (Zhang et al., 2023).

Four stages of 64, 128, 160 and 320 channels, at 1/4, 1/8, 1/16 and 1/16 of the image, and a neck of 256. The
first stage is convolutional; the others attend within windows, between which a depthwise 3x3 passes things
on. Where a window reaches over the border, zeros stand there, and are attended to, as in the program.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct, LayerNorm2d
from infraspot.blocks.transformer import from_windows, to_windows

WIDTHS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (2, 4, 5, 10)
WINDOWS = (7, 7, 14, 7)

# The last merging keeps the size: the finer map serves masks.
STRIDES = (2, 2, 1)


class TinyViT(nn.Module):
    """(N, 1, H, W) with sides that are multiples of 16, to (N, 256, H/16, W/16).

    Parameters
    ----------
    extra
        Makes a layer of so many channels, which follows each stage and keeps its shape; nothing by default.
    """

    out_channels = 256

    def __init__(self, extra: "type[nn.Module]" = nn.Identity):
        super().__init__()
        self.stem = nn.Sequential(
            ConvNormAct(1, WIDTHS[0] // 2, stride=2, act=False),
            nn.GELU(),
            ConvNormAct(WIDTHS[0] // 2, WIDTHS[0], stride=2, act=False),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    WindowBlock(width, heads, window) if index else _InvertedBottleneck(width)
                    for _ in range(depth)
                )
            )
            for index, (width, depth, heads, window) in enumerate(
                zip(WIDTHS, DEPTHS, HEADS, WINDOWS, strict=True)
            )
        )
        self.extras = nn.ModuleList(map(extra, WIDTHS))
        self.merges = nn.ModuleList(map(_Merge, WIDTHS[:-1], WIDTHS[1:], STRIDES))
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], self.out_channels, 1, bias=False),
            LayerNorm2d(self.out_channels, eps=1e-6),
            nn.Conv2d(self.out_channels, self.out_channels, 3, padding=1, bias=False),
            LayerNorm2d(self.out_channels, eps=1e-6),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for index, (stage, extra) in enumerate(zip(self.stages, self.extras, strict=True)):
            x = extra(stage(x))
            if index < len(self.merges):
                x = self.merges[index](x)
        return self.neck(x)


class _InvertedBottleneck(nn.Module):
    """1x1 to four times the width, depthwise 3x3, 1x1 back, added to the input; GELU (MobileNetV2)."""

    def __init__(self, width: int):
        super().__init__()
        self.expand = ConvNormAct(width, 4 * width, 1, act=False)
        self.spread = ConvNormAct(4 * width, 4 * width, groups=4 * width, act=False)
        self.project = ConvNormAct(4 * width, width, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.project(F.gelu(self.spread(F.gelu(self.expand(x))))))


class _Merge(nn.Module):
    """1x1 to the next width, depthwise 3x3 that may halve the size, 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.expand = ConvNormAct(in_channels, out_channels, 1, act=False)
        self.spread = ConvNormAct(out_channels, out_channels, stride=stride, groups=out_channels, act=False)
        self.project = ConvNormAct(out_channels, out_channels, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(F.gelu(self.spread(F.gelu(self.expand(x)))))


class WindowBlock(nn.Module):
    """Attention within windows, added; a depthwise 3x3; an MLP, added."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.window = window
        self.attention = _BiasedAttention(width, heads, window)
        self.local = ConvNormAct(width, width, groups=width, act=False)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.local(x + self._attended(x))
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _attended(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.window, 0, -height % self.window))
        windows = to_windows(padded, self.window)
        gathered = self.attention(windows.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(windows.shape)
        return from_windows(gathered, padded.shape)[..., :height, :width]


class _BiasedAttention(nn.Module):
    """Norm and multi-head attention over the places of a window, (M, S, C), with a learnt bias for each
    distance along rows and along columns."""

    index: Tensor

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window * window, device="cpu")
        down, across = ((way[:, None] - way).abs() for way in (place // window, place % window))
        self.register_buffer("index", down * window + across, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # Of each head, its query, key and value lie side by side.
        split = self.qkv(self.norm(x)).unflatten(-1, (self.heads, 3, -1))
        query, key, value = (part.transpose(1, 2) for part in split.unbind(3))
        likeness = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + self.biases[:, self.index]
        return self.project((likeness.softmax(-1) @ value).transpose(1, 2).flatten(2))
