"""Perona-Malik diffusion in Haar wavelets: noise is smoothed, edges stay."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WaveletPeronaMalik(nn.Module):
    """x - tau W'(g(|W x|) W x), with the high-pass bands W of the undecimated Haar transform.

    Perona and Malik (1990) diffuse by div(g(|grad x|) grad x) with g = 1 / (1 + (|.| / k)^2): little where
    the gradient is far above k, an edge, and much below. The three high-pass bands stand for the gradient and
    their adjoint W' for the divergence (Mrazek and Weickert, 2003: coupled Haar wavelet shrinkage). The sum
    over a map does not change. ``tau`` and ``k`` are learnt for each channel; tau starts at 0, where the
    block gives its input back.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.tau = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_k = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
        across, down, diagonal = (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
        square = across.square() + down.square() + diagonal.square()
        lets_pass = 1 / (1 + square * torch.exp(-2 * self.log_k))
        across, down, diagonal = (lets_pass * band / 2 for band in (across, down, diagonal))
        flow = (
            F.pad(across + down + diagonal, (0, 1, 0, 1))
            + F.pad(down - across - diagonal, (1, 0, 0, 1))
            + F.pad(across - down - diagonal, (0, 1, 1, 0))
            + F.pad(diagonal - across - down, (1, 0, 1, 0))
        )
        return x - self.tau * flow
