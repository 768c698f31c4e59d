"""AutoAssign: differentiable label assignment (Zhu et al., 2020).

No place is chosen: every place inside a box is taught the target and background at once, by weights that are
learnt. How far from a box's centre its best places lie is learnt too.
"""

from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import centres, pairwise_overlaps, to_edges
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import TowerHead
from infraspot.detection.losses import generalised_loss
from infraspot.detection.priors import Anchors
from infraspot.networks.sheet import Sheet

BOX_GAIN, POSITIVE_GAIN, NEGATIVE_GAIN, CENTRE_GAIN = 5.0, 0.25, 0.75, 0.75
TEMPERATURE = 1 / 3


class AutoAssign(DenseDetector):
    """AutoAssign as published by default; its towers have biases before their norms, as in the program."""

    sheet = Sheet(family="dense", source="Zhu et al., 2020", paper_params=36.244e6)
    method = Method(assigner="in_box", decoder="edges_strides", quality="overlap")
    anchors = Anchors()
    extra_from = "input"

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 4,
        assigner: dict[str, Any] | None = None,
    ):
        self.depth = depth
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)
        self.prior_mean = nn.Parameter(torch.zeros(2))
        self.prior_spread = nn.Parameter(torch.ones(2))

    def make_head(self, width: int) -> nn.Module:
        head = TowerHead(width, len(self.strides), depth=self.depth, quality="box")
        for tower in (head.class_tower, head.box_tower):
            for layer in tower:
                if isinstance(layer, nn.Conv2d):
                    layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
        return head

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        positive = negative = centre = output.boxes.sum() * 0
        targets = max(sum(len(boxes) for boxes in wanted.boxes), 1)
        for k, boxes in enumerate(wanted.boxes):
            scores = self.scores(output)[k].float().clamp(1e-6, 1 - 1e-6)
            weights = torch.ones_like(scores)
            if len(boxes):
                found, weights, near = self._of_frame(output, k, boxes, scores)
                positive, centre = positive + found, centre + near
            negative = (
                negative - (weights * scores.square() * (1 - scores * weights).clamp(min=1e-6).log()).sum()
            )
        return (POSITIVE_GAIN * positive + NEGATIVE_GAIN * negative + CENTRE_GAIN * centre) / targets

    def _of_frame(
        self, output: BoxOutput, frame: int, boxes: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of the targets, (K,) weights as background, and the loss of the prior."""
        priors = output.priors
        assert priors is not None
        inside = to_edges(priors.points[:, None], boxes[None]).amin(-1) > 0
        away = (priors.points[:, None] - centres(boxes)) / priors.strides[:, None, None]
        nearness = torch.exp(-((away - self.prior_mean) ** 2) / (2 * self.prior_spread**2)).prod(-1)
        nearness = nearness * inside
        found = output.boxes[frame][:, None].expand(-1, len(boxes), -1)
        likely = scores[:, None] * torch.exp(
            -BOX_GAIN * generalised_loss(found, boxes[None].expand_as(found))
        )
        confident = torch.exp(likely / TEMPERATURE) * nearness
        weight = confident / confident.sum(0).clamp(min=1e-12)
        held = inside.any(0)
        taught = -(weight * likely).sum(0).clamp(min=1e-12).log()[held].sum()
        with torch.no_grad():
            fit = pairwise_overlaps(output.boxes[frame], boxes)
            worth = 1 / (1 - fit).clamp(min=1e-12)
            low = torch.where(inside, worth, torch.inf).amin(0)
            high = torch.where(inside, worth, -torch.inf).amax(0)
            share = torch.where(inside, (worth - low) / (high - low).clamp(min=1e-12), 0.0)
            background = 1 - share.amax(1)
        whole = nearness.sum(0)
        spread = (inside.sum(0) / whole.clamp(min=1e-6))[held].sum()
        return taught, background, spread
