"""Features of a network at its finest level, and which of their pixels matter."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.errors import UsageError
from infraspot.networks import SegOutput
from infraspot.schemes.learning import head_layers

MOST = 32
"""Pixels of an image that stand for its clutter, or for what may be a target in it."""


def with_features(network: nn.Module, module: nn.Module, images: Tensor) -> tuple[SegOutput, Tensor]:
    """The answer of a network, and what its last head reads: (N, C, H, W), at the size of the images.

    Parameters
    ----------
    network
        Takes the images.
    module
        The network itself, without what precision and devices wrap around it.

    Raises
    ------
    UsageError
        If it has no head: no convolution to one channel.
    """
    with _tapped(module) as caught:
        output: SegOutput = network(images)
    features = caught[-1].float()
    if features.shape[-2:] != images.shape[-2:]:
        features = F.interpolate(features, images.shape[-2:])
    return output, features


def target_pixels(features: Tensor, labels: Tensor) -> Tensor:
    """(P, C) features of all pixels of targets: labels (N, 1, H, W) of 0.5 and above."""
    return features.permute(0, 2, 3, 1)[labels[:, 0] >= 0.5]


def candidate_pixels(features: Tensor, logits: Tensor, labels: Tensor | None = None) -> Tensor:
    """(P, C) features of the :data:`MOST` likeliest pixels of each image that are no target's."""
    scores = logits.detach().float()[:, 0].flatten(1)
    if labels is not None:
        scores = scores.masked_fill(labels[:, 0].flatten(1) >= 0.5, -torch.inf)
    places = scores.topk(min(MOST, scores.shape[1]), dim=1).indices
    flat = features.flatten(2)
    picked = flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1))
    return picked.transpose(1, 2).reshape(-1, flat.shape[1])


@contextmanager
def _tapped(module: nn.Module) -> Iterator[list[Tensor]]:
    heads = head_layers(module)
    if not heads:
        raise UsageError(
            f"the scheme compares features before the last head, and {type(module).__name__} has no"
            f" convolution"
            " to one channel"
        )
    caught: list[Tensor] = []
    hook = [*heads.values()][-1].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        yield caught
    finally:
        hook.remove()
