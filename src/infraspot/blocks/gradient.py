"""Fixed derivatives of images and feature maps: gradients and Haar wavelets. Nothing here is learnt."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_magnitude(x: Tensor, *, scale: float = 1.0, floor: float = 1e-12) -> Tensor:
    """Length of the central difference of (N, C, H, W), the outside taken as 0; ``scale`` 0.5 makes it a
    slope.

    ``floor`` is added under the root, whose own gradient would be infinite at 0.
    """
    padded = F.pad(x, (1, 1, 1, 1))
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return scale * torch.sqrt(across.square() + down.square() + floor)


def haar_bands(x: Tensor, *, step: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Haar wavelet bands: mean, down (top minus bottom), across (left minus right) and diagonal, each halved
    sums.

    ``step`` 1 gives maps of the same size, over a pixel and its neighbours above and to the left (0 outside);
    ``step`` 2 gives the decimated transform, at half the size of an even map.
    """
    if step == 1:
        padded = F.pad(x, (1, 0, 1, 0))
        left, right = padded[..., :-1], padded[..., 1:]
        plus, minus = left + right, left - right
        above, below = (slice(None, -1), slice(1, None))
    else:
        left, right = x[..., 0::2], x[..., 1::2]
        plus, minus = left + right, left - right
        above, below = (slice(0, None, 2), slice(1, None, 2))
    return (
        (plus[..., above, :] + plus[..., below, :]) / 2,
        (plus[..., above, :] - plus[..., below, :]) / 2,
        (minus[..., above, :] + minus[..., below, :]) / 2,
        (minus[..., above, :] - minus[..., below, :]) / 2,
    )
