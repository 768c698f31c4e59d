"""Adaptive pooling to a grid of regions, in forms that export at free height and width."""

import torch
import torch.nn.functional as F
from torch import Tensor


def region_means(x: Tensor, side: int) -> Tensor:
    """Means of ``side`` x ``side`` regions, (N, C, side, side): adaptive average pooling.

    A traced graph takes them as two products with matrices of shares, which any height and width give.
    """
    if not torch.jit.is_tracing():
        return F.adaptive_avg_pool2d(x, side)
    down, across = (_shares(length, side, x.device).to(x.dtype) for length in x.shape[2:])
    return down @ x @ across.T


def _shares(length: int, side: int, device: torch.device) -> Tensor:
    """(side, length): the share of each place of a line in the mean of each of ``side`` windows."""
    cells, places = torch.arange(side, device=device)[:, None], torch.arange(length, device=device)
    first, end = cells * length // side, ((cells + 1) * length + side - 1) // side
    inside = (places >= first) & (places < end)
    return inside.float() / (end - first).float()


def region_maxima(x: Tensor, side: int) -> Tensor:
    """Maxima of ``side`` x ``side`` regions, (N, C, side, side): adaptive max-pooling that exports.

    Windows are gathered at the length of the longest; a shorter one repeats its last element.
    """
    down, across = (_windows(length, side, x.device) for length in x.shape[2:])
    return x[:, :, down].amax(3)[..., across].amax(-1)


def _windows(length: int, side: int, device: torch.device) -> Tensor:
    """(side, longest) places of the ``side`` windows that cover a line, which overlap by one at most."""
    cells = torch.arange(side, device=device)[:, None]
    first = cells * length // side
    last = ((cells + 1) * length + side - 1) // side - 1
    return torch.minimum(first + torch.arange(length // side + 2, device=device), last)
