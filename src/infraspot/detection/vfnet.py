"""VarifocalNet (Zhang et al., CVPR 2021): boxes that are looked at again along their own outline.

A first box is predicted. A convolution then samples the features at nine points of it (centre, middles of the
edges, corners) for factors that refine its edges. Another one samples them for the score, whose label is the
overlap of the refined box. ATSS chooses the places.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.assigners import IGNORED, Assignment, boxes_taught
from infraspot.detection.atss import ATSS
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import from_edges, overlaps
from infraspot.detection.dense import Method
from infraspot.detection.heads import HeadMaps, Scale, flat, output, tower
from infraspot.detection.losses import generalised_loss, varifocal
from infraspot.detection.sampling import SampledConv2d
from infraspot.networks.sheet import Sheet

# A share of the gradient goes from the sampled points back into the first box.
BACK = 0.1


class RefiningHead(nn.Module):
    """Three layers a tower, a first box, and what is read along it."""

    def __init__(self, width: int, levels: int, *, depth: int, norm: str):
        super().__init__()
        self.class_tower, self.box_tower = (tower(width, depth, norm, levels) for _ in range(2))
        self.box_layer = tower(width, 1, norm, levels)
        self.boxes, self.factors = output(width, 4), output(width, 4)
        self.scales = nn.ModuleList(Scale() for _ in range(levels))
        self.factor_scales = nn.ModuleList(Scale() for _ in range(levels))
        self.along_box, self.along_class = SampledConv2d(width, width), SampledConv2d(width, width)
        self.logits = output(width, 1, rare=True)

    def forward(self, maps: Sequence[Tensor]) -> tuple[HeadMaps, list[Tensor]]:
        """Logits and first edges in strides; and refined edges."""
        logits, firsts, refined = [], [], []
        scales = zip(self.scales, self.factor_scales, strict=True)
        for level, (x, (scale, factor_scale)) in enumerate(zip(maps, scales, strict=True)):
            of_class, of_box = self.class_tower(x, level), self.box_tower(x, level)
            first = scale(self.boxes(self.box_layer(of_box, level))).float().clamp(max=10).exp()
            moves = star(BACK * first + (1 - BACK) * first.detach())
            factors = factor_scale(self.factors(torch.relu(self.along_box(of_box, moves))))
            refined.append(factors.float().clamp(max=10).exp() * first.detach())
            logits.append(self.logits(torch.relu(self.along_class(of_class, moves))))
            firsts.append(first)
        return HeadMaps(logits, firsts), refined


def star(edges: Tensor) -> Tensor:
    """(N, 9, h, w, 2) moves (x, y) to the nine points of a box, from (N, 4, h, w) distances to its edges."""
    left, up, right, down = edges.unbind(1)
    none = torch.zeros_like(left)
    moves = [
        *((-left, -up), (none, -up), (right, -up)),
        *((-left, none), (none, none), (right, none)),
        *((-left, down), (none, down), (right, down)),
    ]
    return torch.stack([torch.stack(move, -1) for move in moves], 1)


class VFNet(ATSS):
    """VFNet as published by default, without deformable layers in its backbone."""

    sheet = Sheet(family="dense", source="Zhang et al., CVPR 2021", paper_params=32.709e6)
    method = Method(
        assigner="atss",
        decoder="edges_strides",
        class_loss="varifocal",
        labels="overlap",
        gains=(1.0, 2.0, 1.5, 0.0),
    )

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 3,
        norm: str = "group",
        scale: float = 8.0,
        assigner: dict[str, Any] | None = None,
    ):
        super().__init__(
            backbone=backbone,
            strides=strides,
            width=width,
            depth=depth,
            norm=norm,
            scale=scale,
            assigner=assigner,
        )

    def make_head(self, width: int) -> nn.Module:
        return RefiningHead(width, len(self.strides), depth=self.depth, norm=self.norm)

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.features(image)
        answer, refined = self.head(maps)
        priors = self.anchors(maps, self.strides)
        first, raw = (flat(edges, 4) for edges in (answer.boxes, refined))
        strides = priors.strides[:, None]
        parts = {"raw": raw.clamp(min=1e-6).log(), "first": from_edges(priors.points, first * strides)}
        return BoxOutput(
            from_edges(priors.points, raw * strides), flat(answer.logits), None, priors, parts=parts
        )

    def taught(self, output: BoxOutput, assigned: Sequence[Assignment], wanted: Wanted) -> Tensor:
        target = torch.stack([one.target for one in assigned])
        positive = target >= 0
        truth = boxes_taught(wanted.boxes, assigned)
        first, found = output.parts["first"][positive], output.boxes[positive]
        fits = [overlaps(boxes.detach(), truth) for boxes in (first, found)]
        label = torch.zeros_like(output.logits, dtype=torch.float32).masked_scatter(positive, fits[1])
        over = positive.sum().clamp(min=1)
        total = (varifocal(output.logits.float(), label) * (target != IGNORED)).sum() / over
        for boxes, fit, gain in zip(
            (first, found), fits, (self.method.gains[2], self.method.gains[1]), strict=True
        ):
            total = total + gain * (generalised_loss(boxes, truth) * fit).sum() / fit.sum().clamp(min=1e-6)
        return total
