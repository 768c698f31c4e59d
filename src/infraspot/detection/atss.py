"""ATSS: adaptive training sample selection (Zhang et al., CVPR 2020), and GFL and PAA, which build on it.

One square anchor a place. Of the nearest anchors of each level, those are taught that overlap a target by the
mean plus the deviation of these overlaps.
"""

from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.assigners import BACKGROUND, IGNORED, Assignment, Said
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import generalised_overlaps
from infraspot.detection.dense import BINS, DenseDetector, Method
from infraspot.detection.heads import TowerHead
from infraspot.detection.losses import focal
from infraspot.detection.priors import Anchors
from infraspot.networks.sheet import Sheet


class ATSS(DenseDetector):
    """ATSS as published by default; the same head as FCOS, with centreness from the tower of boxes.

    Parameters
    ----------
    scale
        Side of the anchors, in strides.
    """

    sheet = Sheet(family="dense", source="Zhang et al., CVPR 2020", paper_params=32.113e6)
    method = Method(
        assigner="atss",
        decoder="narrow_deltas",
        weights="centreness",
        quality="centreness",
        gains=(1.0, 2.0, 1.0, 0.0),
    )

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 4,
        norm: str = "group",
        scale: float = 8.0,
        assigner: dict[str, Any] | None = None,
    ):
        self.depth, self.norm = depth, norm
        self.anchors = Anchors((scale,))
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_head(self, width: int) -> nn.Module:
        return TowerHead(width, len(self.strides), depth=self.depth, norm=self.norm, quality="box")


class GFL(ATSS):
    """Generalized focal loss (Li et al., NeurIPS 2020): scores are overlaps, edges are distributions.

    There is no quality branch: the label of a score is the overlap of its box. Each edge is a distribution
    over 17 distances, in strides.
    """

    sheet = Sheet(family="dense", source="Li et al., NeurIPS 2020", paper_params=32.258e6)
    method = Method(
        assigner="atss",
        decoder="distribution",
        class_loss="quality_focal",
        labels="overlap",
        weights="score",
        gains=(1.0, 2.0, 0.0, 0.25),
    )

    def make_head(self, width: int) -> nn.Module:
        levels = len(self.strides)
        return TowerHead(width, levels, depth=self.depth, norm=self.norm, numbers=4 * BINS)


class PAA(ATSS):
    """Probabilistic anchor assignment (Kim and Lee, ECCV 2020).

    Of the anchors that overlap a target at all, the nine of each level with the least loss are parted in two
    by a mixture of two Gaussians; those of the lower loss are taught it. The score is the root of class times
    predicted overlap. Score voting is left out.
    """

    sheet = Sheet(family="dense", source="Kim and Lee, ECCV 2020", paper_params=32.113e6)
    method = Method(
        assigner="overlap",
        decoder="narrow_deltas",
        weights="overlap",
        quality="overlap",
        gains=(1.0, 1.3, 0.5, 0.0),
    )
    candidates = 9

    def assigner_options(self) -> dict[str, Any]:
        return {"positive": 0.1, "negative": 0.1}

    def scores(self, output: BoxOutput) -> Tensor:
        return super().scores(output).sqrt()

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        assert output.priors is not None
        assigned = []
        for k, boxes in enumerate(wanted.boxes):
            first = self.assign(output.priors, boxes, Said(output.logits[k].sigmoid(), output.boxes[k]))
            assigned.append(self._parted(output, k, boxes, first))
        return self.taught(output, assigned, wanted)

    @torch.no_grad()
    def _parted(self, output: BoxOutput, frame: int, boxes: Tensor, first: Assignment) -> Assignment:
        """What stays of the first assignment once each target's anchors are parted by their losses."""
        assert output.priors is not None
        place = first.positive.nonzero()[:, 0]
        own = first.target[place]
        logits, found = output.logits[frame, place].float(), output.boxes[frame, place]
        cost = focal(logits, torch.ones_like(logits))
        cost = cost + self.method.gains[1] * (1 - generalised_overlaps(found, boxes[own]))
        target = torch.where(first.positive, IGNORED, first.target)
        target[place] = BACKGROUND
        for number in range(len(boxes)):
            mine = (own == number).nonzero()[:, 0]
            levels = output.priors.level[place[mine]]
            few = [_least(mine[levels == level], cost, self.candidates) for level in levels.unique()]
            if few:
                chosen = torch.cat(few)
                target[place[chosen[lower_part(cost[chosen])]]] = number
        return Assignment(target, (target >= 0).float())


def _least(places: Tensor, cost: Tensor, count: int) -> Tensor:
    return places[cost[places].argsort()[:count]]


def lower_part(values: Tensor, rounds: int = 20) -> Tensor:
    """(N,) bool: the values up to the one at which the lower of two fitted Gaussians peaks.

    Expectation and maximisation begin at the least and the largest value (PAA, Fig. 3c).
    """
    if len(values) < 2:
        return torch.ones_like(values, dtype=torch.bool)
    x = values.double()
    means = torch.stack([x.min(), x.max()])
    spread = x.new_ones(2)
    shares = x.new_full((2,), 0.5)
    for _ in range(rounds):
        odds = shares.log() - spread.log() - (x[:, None] - means).square() / (2 * spread.square())
        weight = odds.softmax(1)
        mass = weight.sum(0).clamp(min=1e-6)
        means = (weight * x[:, None]).sum(0) / mass
        spread = ((weight * (x[:, None] - means).square()).sum(0) / mass + 1e-6).sqrt()
        shares = mass / mass.sum()
    odds = shares.log() - spread.log() - (x[:, None] - means).square() / (2 * spread.square())
    lower = odds.argmax(1) == 0
    if not lower.any():
        return lower
    best = torch.where(lower, odds[:, 0], -torch.inf).argmax()
    return lower & (x <= x[best])
