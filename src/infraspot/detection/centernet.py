"""CenterNet as a dense head (Zhou et al., "Probabilistic two-stage detection", 2021).

A heat map a level says where centres are, and each place near a centre how far the edges are. By its count of
parameters this is what Table II of BAFE-Net calls CenterNet. The original (Objects as points, 2019) has one
level at stride 4; ``strides = (4,)`` is close to it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.assigners import FAR
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import areas, centres, sides, to_edges
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import TowerHead
from infraspot.detection.losses import generalised_loss
from infraspot.detection.priors import Anchors, Priors
from infraspot.networks.sheet import Sheet

# A place that overlaps its box so much when it is moved there is as good as the centre.
LEAST_OVERLAP = 0.8
LEAST_RADIUS = 4.0
BOX_GAIN, POSITIVE_GAIN, NEGATIVE_GAIN = 2.0, 0.5, 0.5
# Places inside the box and within a cell of its centre learn its edges.
NEAR = 1.0
# A level answers for boxes of half a diagonal up to so many strides.
REACH = (5.0, 10.0)


class CenterNet(DenseDetector):
    """CenterNet on a pyramid, as published by default."""

    sheet = Sheet(family="dense", source="Zhou et al., 2021", paper_params=32.111e6)
    method = Method(assigner="in_box", decoder="edges_strides")
    anchors = Anchors()

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 4,
        norm: str = "group",
        assigner: dict[str, Any] | None = None,
    ):
        self.depth, self.norm = depth, norm
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_head(self, width: int) -> nn.Module:
        return TowerHead(width, len(self.strides), depth=self.depth, norm=self.norm)

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        assert output.priors is not None
        total = output.boxes.sum() * 0
        targets = max(sum(len(boxes) for boxes in wanted.boxes), 1)
        for k, boxes in enumerate(wanted.boxes):
            heat, peaks = self.heat(output.priors, boxes)
            chance = output.logits[k].float().sigmoid().clamp(1e-4, 1 - 1e-4)
            hit = -0.25 * ((1 - chance[peaks]) ** 2 * chance[peaks].log()).sum()
            miss = -0.75 * ((1 - heat) ** 4 * chance**2 * (1 - chance).log()).sum()
            total = total + POSITIVE_GAIN * hit + NEGATIVE_GAIN * miss
            if len(boxes):
                total = total + BOX_GAIN * self._edges(output, k, boxes)
        return total / targets

    def heat(self, priors: Priors, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """(K,) Gaussian bumps around centres, in [0, 1]; and the places of the centres themselves."""
        if not len(boxes):
            return torch.zeros_like(priors.strides), priors.level[:0]
        fits = self._levels(priors, boxes)
        gap = (priors.points[:, None] - centres(boxes)).square().sum(-1)
        held = torch.where(fits, gap, FAR)
        delta = (1 - LEAST_OVERLAP) / (1 + LEAST_OVERLAP)
        radius = (2 * delta**2 * areas(boxes)).clamp(min=LEAST_RADIUS)
        heat = torch.where(fits, torch.exp(-gap / radius), 0.0).amax(1)
        peaks = held.argmin(0)
        heat = heat.clone()
        heat[peaks] = 1.0
        return heat, peaks

    def _levels(self, priors: Priors, boxes: Tensor) -> Tensor:
        """(K, n) whether the level of a place answers for a box; every box has a level."""
        half = sides(boxes).square().sum(-1).sqrt() / 2
        low, high = REACH[0] * priors.strides[:, None], REACH[1] * priors.strides[:, None]
        low = torch.where(priors.level[:, None] == 0, 0.0, low)
        high = torch.where(priors.level[:, None] == priors.level.max(), FAR, high)
        return (half >= low) & (half <= high)

    def _edges(self, output: BoxOutput, frame: int, boxes: Tensor) -> Tensor:
        """Loss of the boxes at places next to a centre, weighted by the heat there."""
        priors = output.priors
        assert priors is not None
        away = (priors.points[:, None] - centres(boxes)).abs().amax(-1) / priors.strides[:, None]
        inside = to_edges(priors.points[:, None], boxes[None]).amin(-1) > 0
        near = self._levels(priors, boxes) & (away <= NEAR) & inside
        gap, target = torch.where(near, away, FAR).min(1)
        chosen = gap < FAR
        heat = self.heat(priors, boxes)[0][chosen]
        losses = generalised_loss(output.boxes[frame][chosen], boxes[target[chosen]])
        return (losses * heat).sum() / heat.sum().clamp(min=1e-6) * len(boxes)
