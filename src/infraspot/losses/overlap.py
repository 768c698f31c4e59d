"""Losses of overlap: soft IoU, Dice, focal IoU."""

from dataclasses import dataclass

from torch import Tensor

from infraspot.losses.base import Loss, SegLike, logits_of
from infraspot.losses.batch import Batch


def overlap(probability: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) soft intersection and soft union of each sample, in pixels."""
    shared = (probability * target).flatten(1).sum(dim=1)
    return shared, (probability + target).flatten(1).sum(dim=1) - shared


@dataclass(frozen=True, kw_only=True)
class SoftIoU(Loss):
    """``1 - (sum py + s) / (sum p + sum y - sum py + s)``.

    Attributes
    ----------
    pooled
        Sum over the whole batch, as BasicIRSTD and DNANet do, and give every sample that one value. A crop
        without targets then adds its false pixels to the union. Otherwise each sample has its own value, as
        in AGPCNet, MSHNet and D2D, and a crop without targets counts as much as any other.
    smooth
        ``s``, 1 in all these programs.
    """

    pooled: bool = False
    smooth: float = 1.0

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        shared, union = overlap(logits_of(output).sigmoid(), batch.labels)
        if self.pooled:
            shared, union = shared.sum().expand_as(shared), union.sum().expand_as(union)
        return 1 - (shared + self.smooth) / (union + self.smooth)


@dataclass(frozen=True, kw_only=True)
class Dice(Loss):
    """``1 - (2 sum py + s) / (sum p + sum y + s)`` of each sample (Milletari et al. 2016, no squares)."""

    smooth: float = 1.0

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        shared, union = overlap(logits_of(output).sigmoid(), batch.labels)
        return 1 - (2 * shared + self.smooth) / (shared + union + self.smooth)


@dataclass(frozen=True, kw_only=True)
class FocalIoU(Loss):
    """Focal loss whose power follows the overlap (MTU-Net, Wu et al. 2023), summed over the pixels.

    ``sum alpha_t (1 - IoU) [(1 - p_t)^2 BCE]^((IoU + 1) / 2)`` with ``p <- 0.999 (p - 0.5) + 0.5``. The
    program takes one IoU of the whole batch. Here each sample has its own, so that its value does not depend
    on its neighbours.
    """

    alpha: float = 0.75
    smooth: float = 1.0

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        target, p = batch.labels, 0.999 * (logits_of(output).sigmoid() - 0.5) + 0.5
        shared, union = overlap(p, target)
        iou = ((shared + self.smooth) / (union + self.smooth)).view(-1, 1, 1, 1)
        entropy = -(target * p.log() + (1 - target) * (1 - p).log())
        focal = (1 - (-entropy).exp()) ** 2 * entropy
        alpha = self.alpha * target + (1 - self.alpha) * (1 - target)
        return (alpha * (1 - iou) * focal ** ((iou + 1) / 2)).flatten(1).sum(dim=1)
