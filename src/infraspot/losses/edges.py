"""Losses that look at the targets' outlines."""

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.losses.base import Loss, SegLike, logits_of
from infraspot.losses.batch import Batch


def outline(target: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1]: largest less smallest value in each 3x3 window, an outline two pixels wide."""
    return F.max_pool2d(target, 3, 1, 1) + F.max_pool2d(-target, 3, 1, 1)


class Edge(Loss):
    """Any loss between a network's edge map and the outline of the target.

    ISNet (Zhang et al. 2022) adds ``Edge(weighted({"bce": 10, "soft_iou": 1}))`` to the soft IoU of its mask.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def begin_epoch(self, epoch: int) -> None:
        self.loss.begin_epoch(epoch)

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        """Compare ``output.edge`` with the outline.

        Raises
        ------
        UsageError
            If the network gives no edge map.
        """
        edge = getattr(output, "edge", None)
        if edge is None:
            raise UsageError(
                "the edge loss needs a network with an edge map, and this one has none;"
                " take [loss] edge out of the recipe or choose another network"
            )
        return self.loss(edge, replace(batch, labels=outline(batch.labels)))


@dataclass(frozen=True, kw_only=True)
class Gradient(Loss):
    """Mean absolute difference between the Sobel gradients of the probability and those of the target."""

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        error = F.pad(logits_of(output).sigmoid() - batch.labels, (1, 1, 1, 1), mode="replicate")
        across = error.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        slopes = F.conv2d(error, across.T.expand(1, 1, 3, 3)), F.conv2d(error, across.expand(1, 1, 3, 3))
        return sum((slope.abs().flatten(1).mean(dim=1) for slope in slopes), error.new_zeros(len(error)))
