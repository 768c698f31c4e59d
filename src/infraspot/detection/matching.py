"""The loss of a set: each target is taught to one of a few boxes, and nothing need be thinned out (DETR)."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from infraspot.detection.base import Wanted
from infraspot.detection.boxes import generalised_overlaps
from infraspot.detection.losses import focal

# Gains of class, absolute difference and overlap, in the price of a pair and in the loss.
GAINS = (2.0, 5.0, 2.0)


@torch.no_grad()
def matched(logits: Tensor, boxes: Tensor, targets: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
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
    price = focal(logits, torch.ones_like(logits)) - focal(logits, torch.zeros_like(logits))
    gap = torch.cdist(boxes / scale, targets / scale, p=1)
    fit = generalised_overlaps(boxes[:, None], targets[None])
    cost = GAINS[0] * price[:, None] + GAINS[1] * gap - GAINS[2] * fit
    rows, columns = linear_sum_assignment(np.nan_to_num(cost.double().cpu().numpy()))
    return torch.as_tensor(rows, device=boxes.device), torch.as_tensor(columns, device=boxes.device)


def set_loss(logits: Tensor, boxes: Tensor, wanted: Wanted, shape: tuple[int, int]) -> Tensor:
    """Focal loss of all boxes; absolute difference and generalised overlap of those that have a target.

    Parameters
    ----------
    logits, boxes
        (N, Q) and (N, Q, 4) in pixels of frames of ``shape``, height and width.

    Returns
    -------
    A scalar, over the number of targets.
    """
    logits, boxes = logits.float(), boxes.float()
    scale = boxes.new_tensor([shape[1], shape[0]] * 2)
    labels, total = torch.zeros_like(logits), boxes.sum() * 0
    for own, found, targets, label in zip(logits, boxes, wanted.boxes, labels, strict=True):
        rows, columns = matched(own.detach(), found.detach(), targets, scale)
        label[rows] = 1.0
        gap = ((found[rows] - targets[columns]) / scale).abs().sum()
        total = total + GAINS[1] * gap
        total = total + GAINS[2] * (1 - generalised_overlaps(found[rows], targets[columns])).sum()
    return (total + GAINS[0] * focal(logits, labels).sum()) / max(sum(map(len, wanted.boxes)), 1)
