"""Losses that look at the targets' outlines."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.losses.base import Loss, SegLike, cross_entropy, logits_of, part_of
from infraspot.losses.batch import Batch


def outline(labels: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1]: largest less smallest label of a pixel and its 4 neighbours.

    For a mask these are the pixels on either side of its border; the border of the image is none.
    """
    return _largest_near(labels) + _largest_near(-labels)


def edge_gradient(labels: Tensor) -> Tensor:
    """(N, 1, H, W) in [0, 1]: length of the difference between opposite neighbours, outside 0, at most 1."""
    padded = F.pad(labels, (1, 1, 1, 1))
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.hypot(across, down).clamp(max=1)


EDGES = {"gradient": edge_gradient, "outline": outline}


class Edge(Loss):
    """Any loss between a network's edge map and the edges of the labels.

    ISNet (Zhang et al. 2022) adds ``Edge(weighted({"bce": 10, "soft_iou_batch": 1}))`` to the soft IoU of its
    mask.

    Parameters
    ----------
    loss
        Compared with the edge map.
    truth
        ``"gradient"``, as in ISNet: the gradient magnitude of the label. The program's truth is the root of 2
        at corners, for which cross-entropy has no lower bound, and .001 on flat ground; here it is 1 and 0.
        ``"outline"``: the pixels on either side of the border.
    """

    def __init__(self, loss: Loss, truth: Literal["gradient", "outline"] = "gradient") -> None:
        if truth not in EDGES:
            raise UsageError(f"the edge loss knows the truths {' and '.join(EDGES)}, got {truth!r}")
        self.loss, self.truth = loss, EDGES[truth]

    def inner(self) -> Iterable[Loss]:
        return (self.loss,)

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        """Compare ``output.edge`` with the edges.

        Raises
        ------
        UsageError
            If the network gives no edge map.
        """
        edge = part_of(output, "edge", loss="edge")
        return self.loss(edge, replace(batch, labels=self.truth(batch.labels)))


@dataclass(frozen=True, kw_only=True)
class HardEdgeBCE(Loss):
    """Mean cross-entropy of the hardest pixels, outlines weighted (MLCL-, ALCL-, GGL- and MSDA-Net, PAL).

    ``w BCE`` with ``w = edge_weight`` on the :func:`outline` of the label and 1 elsewhere, averaged over the
    ``share`` of the pixels where it is largest.

    The authors' program overwrites its edge map before it uses it, so that every pixel counts 4 times.
    ``edge_weight = 1``, ``pooled = true`` and a weight of 4 in ``[loss]`` give what the program computes.

    Attributes
    ----------
    edge_weight
        4 in the program's text.
    share
        Share of the pixels that count; more where values tie with the last of them.
    pooled
        Take the hardest pixels of the whole batch instead of each sample's.
    """

    edge_weight: float = 4.0
    share: float = 0.5
    pooled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UsageError(f"hard_edge_bce needs a share of pixels above 0 and up to 1, got {self.share}")

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        weight = 1 + (self.edge_weight - 1) * outline(batch.labels)
        cost = (weight * cross_entropy(logits_of(output), batch.labels)).flatten(1)
        rows = cost.detach().reshape(1, -1) if self.pooled else cost.detach()
        place = int((1 - self.share) * rows.shape[1])
        hard = cost >= rows.kthvalue(place + 1, dim=1, keepdim=True).values
        count = hard.sum() / len(cost) if self.pooled else hard.sum(dim=1)
        return (cost * hard).sum(dim=1) / count


@dataclass(frozen=True, kw_only=True)
class Gradient(Loss):
    """Mean absolute difference between the Sobel gradients of the probability and those of the label."""

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        error = F.pad(logits_of(output).sigmoid() - batch.labels, (1, 1, 1, 1), mode="replicate")
        across = error.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        slopes = F.conv2d(error, across.T.expand(1, 1, 3, 3)), F.conv2d(error, across.expand(1, 1, 3, 3))
        return sum((slope.abs().flatten(1).mean(dim=1) for slope in slopes), error.new_zeros(len(error)))


def _largest_near(labels: Tensor) -> Tensor:
    """Largest value of each pixel and its 4 neighbours."""
    return torch.maximum(F.max_pool2d(labels, (3, 1), 1, (1, 0)), F.max_pool2d(labels, (1, 3), 1, (0, 1)))
