"""Losses of boxes: one value an element; who calls them sums and divides."""

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.detection.boxes import TINY, distance_overlaps, generalised_overlaps, overlaps


class ClassLoss(Protocol):
    """(K,) logits and (K,) labels in [0, 1] to (K,) losses; a label above 0 is a target."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor: ...


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary, of soft labels too."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def focal(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al., 2017); of a soft label, the label itself is the share of its class."""
    chance = logits.sigmoid()
    missed = chance * (1 - labels) + (1 - chance) * labels
    weight = alpha * labels + (1 - alpha) * (1 - labels)
    return weight * missed**gamma * cross_entropy(logits, labels)


def quality_focal(logits: Tensor, labels: Tensor, beta: float = 2.0) -> Tensor:
    """|label - p|^beta times the cross entropy, for labels that are overlaps (GFL, 2020)."""
    return (labels - logits.sigmoid()).abs() ** beta * cross_entropy(logits, labels)


def varifocal(logits: Tensor, labels: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Background as in focal loss, targets weighted by their label (VarifocalNet, 2021)."""
    weight = torch.where(labels > 0, labels, alpha * logits.detach().sigmoid() ** gamma)
    return weight * cross_entropy(logits, labels)


CLASS_LOSSES: dict[str, ClassLoss] = {
    "focal": focal,
    "quality_focal": quality_focal,
    "varifocal": varifocal,
    "cross_entropy": cross_entropy,
}


def log_overlap_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """-log IoU (UnitBox, 2016): what FCOS was published with."""
    return -overlaps(boxes, wanted).clamp(min=1e-6).log()


def overlap_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """1 - IoU."""
    return 1 - overlaps(boxes, wanted)


def squared_overlap_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """1 - IoU^2, as YOLOX has it."""
    return 1 - overlaps(boxes, wanted).square()


def generalised_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """1 - GIoU: boxes that do not meet are drawn together."""
    return 1 - generalised_overlaps(boxes, wanted)


def distance_loss(boxes: Tensor, wanted: Tensor) -> Tensor:
    """1 - DIoU."""
    return 1 - distance_overlaps(boxes, wanted)


BOX_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "iou": overlap_loss,
    "log_iou": log_overlap_loss,
    "squared_iou": squared_overlap_loss,
    "giou": generalised_loss,
    "diou": distance_loss,
}


def smooth_absolute(found: Tensor, wanted: Tensor, beta: float = 1 / 9) -> Tensor:
    """Quadratic below ``beta``, then the absolute difference; summed over the last axis."""
    return F.smooth_l1_loss(found, wanted, beta=beta, reduction="none").sum(-1)


def distribution_focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy of (..., n) bins against the two whole numbers beside ``wanted`` (GFL, 2020)."""
    bins = logits.shape[-1]
    wanted = wanted.clamp(0, bins - 1 - 0.01)
    low = wanted.long()
    share = wanted - low
    logs = F.log_softmax(logits, -1)
    near = logs.gather(-1, low[..., None])[..., 0] * (1 - share)
    return -(near + logs.gather(-1, low[..., None] + 1)[..., 0] * share)


def centreness(edges: Tensor) -> Tensor:
    """How far a point lies from the edges of its box, 1 in the middle and 0 on an edge (FCOS, Eq. 3)."""
    x, y = edges[..., 0::2], edges[..., 1::2]
    share = (x.amin(-1) / x.amax(-1).clamp(min=TINY)) * (y.amin(-1) / y.amax(-1).clamp(min=TINY))
    return share.clamp(min=0).sqrt()
