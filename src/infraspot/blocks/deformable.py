"""Deformable convolution in plain torch, by grid sampling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DeformableConv2d(nn.Module):
    """Convolution whose taps move: y(p) = sum_k m_k(p) w_k x(p + p_k + d_k(p)) (Zhu et al., DCNv2, 2019).

    One convolution, which starts at zero, predicts the moves d (y, x interleaved, in pixels) and the masks m
    in (0, 1): an untrained layer is a plain convolution of half strength. Outside the image x is 0. Stride 1,
    same size and one deformable group, as the survey's networks use it. All taps are sampled in one call,
    bilinearly, in float32.
    """

    home: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        dilation: int = 1,
    ):
        super().__init__()
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.taps = sides[0] * sides[1]
        padding = (dilation * (sides[0] - 1) // 2, dilation * (sides[1] - 1) // 2)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *sides))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.move = nn.Conv2d(in_channels, 3 * self.taps, sides, padding=padding, dilation=dilation)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)  # type: ignore[arg-type]
        rows = torch.arange(sides[0], dtype=torch.float32) * dilation - padding[0]
        columns = torch.arange(sides[1], dtype=torch.float32) * dilation - padding[1]
        home = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        self.register_buffer("home", home.reshape(self.taps, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        moves, masks = self.move(x).split([2 * self.taps, self.taps], dim=1)
        moves = moves.float().reshape(count, self.taps, 2, height, width).permute(0, 1, 3, 4, 2)
        places = moves + self.home[:, None, None] + _pixel_grid(height, width, x.device)
        sampled = F.grid_sample(x.float(), _to_grid(places), align_corners=False)
        sampled = sampled.reshape(count, channels, self.taps, height, width)
        columns = (sampled * torch.sigmoid(masks).unsqueeze(1)).flatten(1, 2)
        kernel = self.weight.reshape(len(self.weight), -1, 1, 1)
        return F.conv2d(columns.to(x.dtype), kernel, self.bias)


def _pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """(1, 1, H, W, 2) of (y, x)."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)[None, None]


def _to_grid(places: Tensor) -> Tensor:
    """(N, K, H, W, 2) pixel places (y, x) -> (N, K H, W, 2) in [-1, 1] (x, y), the unit of
    ``grid_sample``."""
    height, width = places.shape[2:4]
    down, across = places.unbind(-1)
    grid = torch.stack([(2 * across + 1) / width - 1, (2 * down + 1) / height - 1], dim=-1)
    return grid.flatten(1, 2)
