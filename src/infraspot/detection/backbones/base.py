"""What turns a frame into features at several strides.

A backbone has ``strides`` and ``channels`` of its levels, finest first, and gives one map for each.
"""

from collections.abc import Iterable

from torch import Tensor, nn


class Backbone(nn.Module):
    """(N, 1, H, W) frames, with sides that are multiples of the last stride, to one map a level."""

    strides: tuple[int, ...]
    channels: tuple[int, ...]

    def forward(self, image: Tensor) -> list[Tensor]:
        raise NotImplementedError


def after_each(stages: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The maps after each of the stages, which follow on one another."""
    levels = []
    for stage in stages:
        x = stage(x)
        levels.append(x)
    return levels
