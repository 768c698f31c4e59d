"""TOOD: task-aligned one-stage detection (Feng et al., ICCV 2021).

Six shared layers; each task weighs them by itself (task decomposition). A map of the tasks' agreement joins
the score, and learnt moves take each edge of a box from the place that knows it best. Those places are taught
whose score and overlap agree best, with that agreement as label. The program's first four epochs with ATSS
are left out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.base import BoxOutput
from infraspot.detection.boxes import from_edges
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import Scale, begin_small, flat, output, tower
from infraspot.detection.priors import Anchors, grid_points
from infraspot.detection.sampling import sample
from infraspot.networks.sheet import Sheet


class Decomposition(nn.Module):
    """What one task takes of the shared layers: a weight for each, from their mean, then a 1x1."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        hidden = max(1, width // 8)
        self.attention = nn.Sequential(
            nn.Conv2d(width * layers, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, layers, 1),
            nn.Sigmoid(),
        )
        begin_small(self.attention, 0.001)
        self.reduce = nn.Conv2d(width * layers, width, 1, bias=False)
        self.norm = nn.GroupNorm(min(32, width // 2), width)
        nn.init.normal_(self.reduce.weight, std=0.01)
        self.layers = layers

    def forward(self, shared: Tensor) -> Tensor:
        weights = self.attention(shared.mean((2, 3), keepdim=True))
        weighted = shared.unflatten(1, (self.layers, -1)) * weights[:, :, None]
        return torch.relu(self.norm(self.reduce(weighted.flatten(1, 2))))


class AlignedHead(nn.Module):
    """Scores and edges, in strides, of every level."""

    def __init__(self, width: int, levels: int, *, depth: int):
        super().__init__()
        self.shared = nn.ModuleList(tower(width, 1) for _ in range(depth))
        self.of_class, self.of_box = Decomposition(width, depth), Decomposition(width, depth)
        self.logits, self.boxes = output(width, 1, rare=True), output(width, 4)
        self.agreement = _alignment(width * depth, width // 4, 1, rare=True)
        self.moves = _alignment(width * depth, width // 4, 8)
        self.scales = nn.ModuleList(Scale() for _ in range(levels))

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits, and the (N, 4, h, w) edges of boxes as places in cells."""
        logits, boxes = [], []
        for x, scale in zip(maps, self.scales, strict=True):
            layers = []
            for layer in self.shared:
                x = layer(x)
                layers.append(x)
            shared = torch.cat(layers, 1)
            both = self.logits(self.of_class(shared)).sigmoid() * self.agreement(shared).sigmoid()
            logits.append(torch.logit(both.sqrt(), eps=1e-6))
            edges = scale(self.boxes(self.of_box(shared))).float().clamp(max=10).exp()
            home = grid_points(x, 1).reshape(x.shape[2], x.shape[3], 2)
            found = from_edges(home, edges.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            boxes.append(_moved(found, self.moves(shared).float(), home))
        return logits, boxes


def _alignment(width: int, hidden: int, channels: int, *, rare: bool = False) -> nn.Sequential:
    first = nn.Conv2d(width, hidden, 1)
    begin_small(first)
    return nn.Sequential(first, nn.ReLU(inplace=True), output(hidden, channels, rare=rare))


def _moved(boxes: Tensor, moves: Tensor, home: Tensor) -> Tensor:
    """(N, 4, h, w) each edge, read at a move (x, y) of its own from the place."""
    places = home + moves.unflatten(1, (4, 2)).permute(0, 1, 3, 4, 2)
    edges = [sample(boxes[:, k : k + 1], places[:, k : k + 1])[:, 0] for k in range(4)]
    return torch.cat(edges, 1)


class TOOD(DenseDetector):
    """TOOD as published by default, anchor-free."""

    sheet = Sheet(family="dense", source="Feng et al., ICCV 2021", paper_params=32.018e6)
    method = Method(
        assigner="aligned",
        decoder="edges_strides",
        class_loss="quality_focal",
        labels="assigned",
        weights="assigned",
        gains=(1.0, 2.0, 0.0, 0.0),
    )
    anchors = Anchors()

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 6,
        assigner: dict[str, Any] | None = None,
    ):
        self.depth = depth
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_head(self, width: int) -> nn.Module:
        return AlignedHead(width, len(self.strides), depth=self.depth)

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.features(image)
        logits, boxes = self.head(maps)
        priors = self.anchors(maps, self.strides)
        edges = flat(boxes, 4) * priors.strides[:, None]
        found = torch.cat(
            [torch.minimum(edges[..., :2], edges[..., 2:]), torch.maximum(edges[..., :2], edges[..., 2:])], -1
        )
        return BoxOutput(found, flat(logits), None, priors, parts={"raw": found})
