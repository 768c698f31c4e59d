"""Losses of single pixels: cross-entropy and its focal relatives."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.losses.base import Loss, SegLike, cross_entropy, logits_of, over_pixels
from infraspot.losses.batch import Batch

# -log p_t at which the exponent of the threshold focal loss stops growing: 1.5^20 is still a useful gradient.
LARGEST_EXPONENT = 20.0


@dataclass(frozen=True, kw_only=True)
class BCE(Loss):
    """Mean binary cross-entropy; target pixels count ``target_weight`` times."""

    target_weight: float = 1.0

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        logits = logits_of(output)
        weight = logits.new_tensor(self.target_weight)
        return over_pixels(
            F.binary_cross_entropy_with_logits(logits, batch.labels, pos_weight=weight, reduction="none")
        )


@dataclass(frozen=True, kw_only=True)
class Focal(Loss):
    """Mean of ``[alpha y + (1 - alpha)(1 - y)] (1 - e^-BCE)^gamma BCE`` (Lin et al. 2017, as in MTU-Net)."""

    alpha: float = 0.75
    gamma: float = 2.0

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        target = batch.labels
        entropy = cross_entropy(logits_of(output), target)
        alpha = self.alpha * target + (1 - self.alpha) * (1 - target)
        return over_pixels(alpha * (-torch.expm1(-entropy)) ** self.gamma * entropy)


@dataclass(frozen=True, kw_only=True)
class ThresholdFocal(Loss):
    """Adaptive threshold focal loss (EFLNet, Yang et al. 2023): hard pixels gain weight, easy ones lose it.

    BCE times ``(1 - p_t)^g`` with ``g = -log mean p_t`` where ``p_t > 0.5``, else ``(1.5 - p_t)^(-log p_t)``.
    The mean is each sample's own, and no gradient flows through it. The second exponent is capped at 20.
    """

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        logits, target = logits_of(output), batch.labels
        p = logits.sigmoid()
        p_t = p * target + (1 - p) * (1 - target)
        easy_power = -p_t.detach().mean(dim=(1, 2, 3), keepdim=True).clamp(1e-6).log()
        hard_power = -p_t.clamp(1e-30).log()
        # The powers of a base at 0 have infinite slopes; a millionth keeps them finite.
        easy = (1 - p_t).clamp(1e-6) ** easy_power
        hard = (1.5 - p_t) ** hard_power.clamp(max=LARGEST_EXPONENT)
        return over_pixels(cross_entropy(logits, target) * torch.where(p_t > 0.5, easy, hard))


@dataclass(frozen=True, kw_only=True)
class PointFocal(Loss):
    """Focal loss for point labels that grow (LESPS, Ying et al. 2023).

    Sum of ``-y (1 - p)^2 log p - (1 - y)^4 p^2 log(1 - p)`` over ``max(1, number of pixels with y = 1)``.
    """

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        logits, target = logits_of(output), batch.labels
        p = logits.sigmoid()
        on_target = target * (1 - p) ** 2 * -F.logsigmoid(logits)
        on_clutter = (1 - target) ** 4 * p**2 * -F.logsigmoid(-logits)
        certain = (target == 1).flatten(1).sum(dim=1).clamp(min=1)
        return (on_target + on_clutter).flatten(1).sum(dim=1) / certain


@dataclass(frozen=True, kw_only=True)
class HardClutter(Loss):
    """Mean cross-entropy of the ``pixels`` background pixels most like targets: aims at false alarms."""

    pixels: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pixels == 0:
            raise UsageError("hard_clutter needs 1 pixel or more, got 0")

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        entropy = cross_entropy(logits_of(output), batch.labels)
        clutter = torch.where(batch.labels > 0.5, torch.zeros_like(entropy), entropy).flatten(1)
        return clutter.topk(min(self.pixels, clutter.shape[1]), dim=1).values.mean(dim=1)
