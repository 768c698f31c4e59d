"""Layers that are fitted to labelled frames, once, before training; no gradient changes them."""

import torch
from torch import Tensor, nn


class FittedLayer(nn.Module):
    """A layer whose numbers are buffers that :meth:`fit_labelled` sets from labelled frames.

    ``fitted``, a buffer too, is saved with the weights: a run that goes on does not fit again. Networks fit
    all such layers with :func:`infraspot.networks.fitting.fit_layers`.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))

    def fit_labelled(self, x: Tensor, targets: Tensor) -> None:
        """Fit to ``x`` (N, C, H, W), what enters the layer, and ``targets`` (N, 1, H, W) bool."""
        raise NotImplementedError


def patches_at(x: Tensor, places: Tensor, side: int) -> Tensor:
    """(M, C, side, side) patches of ``x`` (N, C, H, W) around M places (frame, row, column); outside is 0.

    ``side`` is odd.
    """
    margin = side // 2
    padded = torch.nn.functional.pad(x, (margin,) * 4).permute(0, 2, 3, 1)
    frame, row, column = places.reshape(-1, 3, 1, 1).unbind(1)
    span = torch.arange(side, device=x.device)
    return padded[frame, row + span[:, None], column + span].permute(0, 3, 1, 2)
