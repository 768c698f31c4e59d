"""The loss of a set: each target is taught to one of a few boxes, and nothing need be thinned out (DETR)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from infraspot.detection.base import Wanted
from infraspot.detection.boxes import generalised_overlaps
from infraspot.detection.losses import cross_entropy, focal

NOTHING = 0.1  # what a box without a target counts for, where scores are told by softmax


@dataclass(frozen=True)
class Teaching:
    """How the score of a box is priced and taught, and the gains of class, difference and overlap.

    Attributes
    ----------
    price
        (Q,) logits to what it costs to take each box for a target.
    loss
        (N, Q) logits and labels to a scalar; the number of targets comes third.
    """

    price: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor, int], Tensor]
    gains: tuple[float, float, float]


def _focal_price(logits: Tensor) -> Tensor:
    return focal(logits, torch.ones_like(logits)) - focal(logits, torch.zeros_like(logits))


def _weighted(logits: Tensor, labels: Tensor, targets: int) -> Tensor:
    """Of boxes that should be nothing, a tenth counts."""
    weight = labels + NOTHING * (1 - labels)
    return (weight * cross_entropy(logits, labels)).sum() / weight.sum()


FOCAL = Teaching(_focal_price, lambda logits, labels, n: focal(logits, labels).sum() / n, (2.0, 5.0, 2.0))
SOFTMAX = Teaching(lambda logits: -logits.sigmoid(), _weighted, (1.0, 5.0, 2.0))


@torch.no_grad()
def matched(
    logits: Tensor, boxes: Tensor, targets: Tensor, scale: Tensor, teaching: Teaching = FOCAL
) -> tuple[Tensor, Tensor]:
    """The pairs of (Q, 4) boxes and (n, 4) targets of one frame that cost the least together.

    Parameters
    ----------
    logits
        (Q,).
    scale
        (4,) width and height of the frame, twice: differences are shares of it.

    Returns
    -------
    Places of boxes and of targets, as many as there are of the fewer.
    """
    gains = teaching.gains
    gap = torch.cdist(boxes / scale, targets / scale, p=1)
    fit = generalised_overlaps(boxes[:, None], targets[None])
    cost = gains[0] * teaching.price(logits)[:, None] + gains[1] * gap - gains[2] * fit
    rows, columns = linear_sum_assignment(np.nan_to_num(cost.double().cpu().numpy()))
    return torch.as_tensor(rows, device=boxes.device), torch.as_tensor(columns, device=boxes.device)


def set_loss(
    logits: Tensor, boxes: Tensor, wanted: Wanted, shape: tuple[int, int], teaching: Teaching = FOCAL
) -> Tensor:
    """The loss of all scores; absolute difference and generalised overlap of boxes that have a target.

    Parameters
    ----------
    logits, boxes
        (N, Q) and (N, Q, 4) in pixels of frames of ``shape``, height and width.

    Returns
    -------
    A scalar; boxes count by the mean over targets.
    """
    logits, boxes = logits.float(), boxes.float()
    scale = boxes.new_tensor([shape[1], shape[0]] * 2)
    labels, of_boxes = torch.zeros_like(logits), boxes.sum() * 0
    for own, found, targets, label in zip(logits, boxes, wanted.boxes, labels, strict=True):
        rows, columns = matched(own.detach(), found.detach(), targets, scale, teaching)
        label[rows] = 1.0
        gap = ((found[rows] - targets[columns]) / scale).abs().sum()
        misfit = (1 - generalised_overlaps(found[rows], targets[columns])).sum()
        of_boxes = of_boxes + teaching.gains[1] * gap + teaching.gains[2] * misfit
    count = max(sum(map(len, wanted.boxes)), 1)
    return teaching.gains[0] * teaching.loss(logits, labels, count) + of_boxes / count
