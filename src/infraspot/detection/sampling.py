"""Convolutions that read a map at given places: in plain torch, by grid sampling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.priors import grid_points


def sample(x: Tensor, places: Tensor) -> Tensor:
    """(N, C, T, h, w) bilinear values of (N, C, h, w) at (N, T, h, w, 2) places (x, y) in cells; 0 outside.

    The centre of the first cell is (.5, .5).
    """
    count, taps, height, width = places.shape[:4]
    across, down = places.unbind(-1)  # sides stay free in an exported graph
    grid = torch.stack([2 * across / x.shape[3] - 1, 2 * down / x.shape[2] - 1], -1)
    grid = grid.reshape(count, taps * height, width, 2)
    found = F.grid_sample(x, grid.to(x.dtype), align_corners=False)
    return found.reshape(count, x.shape[1], taps, height, width)


class SampledConv2d(nn.Module):
    """3x3 convolution, without bias, whose taps lie at ``moves`` (N, 9, h, w, 2) from each cell's centre."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor, moves: Tensor) -> Tensor:
        home = grid_points(x, 1).reshape(x.shape[2], x.shape[3], 2)
        return self.at(x, home + moves)

    def at(self, x: Tensor, places: Tensor, shares: Tensor | None = None) -> Tensor:
        """The same with taps at ``places`` (N, 9, h, w, 2), which count for ``shares`` (N, 9, h, w)."""
        taps = sample(x, places)
        if shares is not None:
            taps = taps * shares[:, None].to(taps.dtype)
        return F.conv2d(taps.flatten(1, 2), self.weight.flatten(2).flatten(1)[..., None, None])


class LearntMovesConv2d(SampledConv2d):
    """The same where a 3x3 convolution, which begins at zero, learns the moves (DCN, 2017)."""

    regular: Tensor

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.move = nn.Conv2d(in_channels, 18, 3, padding=1)
        for parameter in self.move.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("regular", regular_moves(), persistent=False)

    def forward(self, x: Tensor, moves: Tensor | None = None) -> Tensor:
        learnt = self.move(x).unflatten(1, (9, 2)).permute(0, 1, 3, 4, 2)
        return super().forward(x, learnt + self.regular[:, None, None])


def regular_moves() -> Tensor:
    """(9, 2) moves (x, y) of a plain 3x3 convolution."""
    y, x = torch.meshgrid(torch.arange(-1.0, 2), torch.arange(-1.0, 2), indexing="ij")
    return torch.stack([x, y], -1).reshape(9, 2)
