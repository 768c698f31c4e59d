"""Dynamic R-CNN (Zhang et al., ECCV 2020): a stage that asks for more as its proposals become better."""

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.detection.rcnn import FasterRCNN
from infraspot.networks.sheet import Sheet


class DynamicRCNN(FasterRCNN):
    """Dynamic R-CNN (Zhang et al., 2020): threshold and loss follow how good proposals have become.

    Every hundred steps, the threshold becomes the mean of each frame's 75th best overlap since, from .4 on.
    The loss is then quadratic below the median of the tenth least error of each step. What is gathered is
    part of the weights, so that a run goes on as if it had never stopped.
    """

    sheet = Sheet(family="two-stage", source="Zhang et al., ECCV 2020", paper_params=41.348e6)
    every, best, least = 100, 75, 10
    threshold: Tensor
    beta: Tensor
    gathered: Tensor
    errors: Tensor
    steps: Tensor

    def remember(self) -> None:
        self.register_buffer("threshold", torch.tensor(0.4))
        self.register_buffer("beta", torch.tensor(1.0))
        self.register_buffer("gathered", torch.zeros(2))  # sum of overlaps, and how many
        self.register_buffer("errors", torch.zeros(self.every))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def threshold_of(self, number: int) -> float:
        return float(self.threshold)

    def drawn(self, positive: Tensor, fit: Tensor) -> Tensor:
        best = fit.topk(min(self.best, len(fit))).values[-1]
        self.gathered += torch.stack([best, torch.ones_like(best)])
        return super().drawn(positive, fit)

    def box_losses(self, found: Tensor, wanted: Tensor) -> Tensor:
        gap = (found - wanted).detach()[:, :2].abs().mean(1)
        error = gap.kthvalue(min(self.least, len(gap))).values if len(gap) else self.beta
        self.errors[self.steps % self.every] = error
        losses = F.smooth_l1_loss(found, wanted, beta=float(self.beta), reduction="none")
        self.steps += 1
        if int(self.steps) % self.every == 0:
            mean = self.gathered[0] / self.gathered[1].clamp(min=1)
            self.threshold.copy_(mean.clamp(min=0.4))
            self.beta.copy_(self.errors.median().clamp(1e-3, 1.0))
            self.gathered.zero_()
        return losses
