"""Scale and location sensitive loss (MSHNet, Liu et al., CVPR 2024)."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from infraspot.losses.base import Loss, SegLike, logits_of
from infraspot.losses.batch import Batch
from infraspot.losses.overlap import overlap

TINY = 1e-8


@dataclass(kw_only=True)
class SLS(Loss):
    """``1 - w IoU`` plus a term of location; plain soft IoU for the first ``warm_up`` epochs.

    With ``d = ((Sp - Sy) / 2)^2`` the weight ``w = (min(Sp, Sy) + d) / (max(Sp, Sy) + d)`` punishes a wrong
    size. The location is ``1 - min(r) / max(r) + 4 / pi^2 (theta_p - theta_y)^2`` of the polar form of the
    mean of ``(x / W, y / H) p``, which the program does not divide by the mass. A sample without targets has
    no location, and the term is left out.

    Attributes
    ----------
    warm_up
        Epochs of soft IoU alone: 6, since the program's 5 is the last epoch of them, counted from 0.
    smooth
        Added to numerators and denominators. 0 in the program, which is NaN on empty crops.
    location
        False leaves the term of location out.
    """

    warm_up: int = 6
    smooth: float = 1.0
    location: bool = True
    epoch: int = field(default=0, init=False)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        p, target = logits_of(output).sigmoid(), batch.labels
        shared, union = overlap(p, target)
        iou = (shared + self.smooth) / (union + self.smooth)
        if self.epoch < self.warm_up:
            return 1 - iou
        sizes = torch.stack([p.flatten(1).sum(dim=1), target.flatten(1).sum(dim=1)])
        spread = ((sizes[0] - sizes[1]) / 2) ** 2
        slack = spread + self.smooth
        weight = (sizes.amin(dim=0) + slack) / (sizes.amax(dim=0) + slack)
        scale = 1 - weight * iou
        return scale + _misplaced(p, target) * (sizes[1] > 0) if self.location else scale


def _misplaced(p: Tensor, target: Tensor) -> Tensor:
    """(N,) term of location, between 0 and 2."""
    radius_p, angle_p = _polar(p)
    radius_y, angle_y = _polar(target)
    ratio = torch.minimum(radius_p, radius_y) / (torch.maximum(radius_p, radius_y) + TINY)
    return 1 - ratio + 4 / math.pi**2 * (angle_p - angle_y) ** 2


def _polar(mass: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) radius and angle of the mean of (x / W, y / H) times the mass."""
    height, width = mass.shape[-2:]
    x = torch.arange(width, device=mass.device, dtype=mass.dtype) / width
    y = torch.arange(height, device=mass.device, dtype=mass.dtype) / height
    centre_x = (mass * x).mean(dim=(1, 2, 3))
    centre_y = (mass * y[:, None]).mean(dim=(1, 2, 3))
    return torch.sqrt(centre_x**2 + centre_y**2 + TINY), torch.atan(centre_y / (centre_x + TINY))
