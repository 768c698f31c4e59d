"""Libra R-CNN (Pang et al., CVPR 2019): levels, draws and errors in balance."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.pyramid import FPN
from infraspot.detection.rcnn import FasterRCNN
from infraspot.networks.sheet import Sheet


class BalancedPyramid(FPN):
    """A pyramid whose levels share their mean, every place of which sees all others (Libra R-CNN)."""

    def __init__(self, backbone: nn.Module, strides: Sequence[int], width: int):
        super().__init__(backbone, strides, width, extra_from="pool")  # type: ignore[arg-type]
        self.asked, self.key, self.value, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        maps = super().forward(levels)
        middle = maps[min(2, len(maps) - 1)].shape[-2:]
        alike = [
            F.adaptive_max_pool2d(x, middle) if x.shape[-1] > middle[-1] else F.interpolate(x, size=middle)
            for x in maps
        ]
        mean = torch.stack(alike).mean(0)
        asked, key, value = (layer(mean).flatten(2) for layer in (self.asked, self.key, self.value))
        weight = (asked.transpose(1, 2) @ key / key.shape[1] ** 0.5).softmax(-1)
        shared = mean + self.out((value @ weight.transpose(1, 2)).unflatten(2, middle))
        return [
            x
            + (
                F.interpolate(shared, size=x.shape[-2:])
                if x.shape[-1] >= middle[-1]
                else F.adaptive_max_pool2d(shared, x.shape[-2:])
            )
            for x in maps
        ]


class LibraRCNN(FasterRCNN):
    """Libra R-CNN (Pang et al., 2019).

    The pyramid's levels share their mean, background is drawn evenly over how much it overlaps a target, and
    small errors of boxes weigh more.
    """

    sheet = Sheet(family="two-stage", source="Pang et al., CVPR 2019", paper_params=41.611e6)
    bins, alpha, gamma = 3, 0.5, 1.5

    def make_neck(self, width: int) -> nn.Module:
        return BalancedPyramid(self.backbone, self.strides, width)

    def drawn(self, positive: Tensor, fit: Tensor) -> Tensor:
        targets = positive.nonzero()[:, 0]
        most = int(self.learnt_from * self.share)
        targets = targets[torch.randperm(len(targets), device=fit.device)[:most]]
        wanted = self.learnt_from - len(targets)
        bound = float(self.thresholds[0])
        others = []
        for k in range(self.bins):
            inside = ~positive & (fit >= bound * k / self.bins) & (fit < bound * (k + 1) / self.bins)
            places = inside.nonzero()[:, 0]
            others.append(places[torch.randperm(len(places), device=fit.device)[: wanted // self.bins]])
        return torch.cat([targets, *others])

    def box_losses(self, found: Tensor, wanted: Tensor) -> Tensor:
        """The gradient of small errors is raised: alpha ln(b |x| + 1), up to gamma beyond 1 (Eq. 8)."""
        b = torch.e ** (self.gamma / self.alpha) - 1
        gap = (found - wanted).abs()
        small = self.alpha / b * (b * gap + 1) * (b * gap + 1).log() - self.alpha * gap
        edge = self.alpha / b * (b + 1) * (self.gamma / self.alpha) - self.alpha
        return torch.where(gap < 1, small, self.gamma * gap + edge - self.gamma)
