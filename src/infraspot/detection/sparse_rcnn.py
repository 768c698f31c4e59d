"""Sparse R-CNN (Sun et al., CVPR 2021): a hundred learnt proposals in place of a head that proposes.

Each proposal is a box, the whole frame at first, and a feature of what it looks for. Six stages in turn read
the box's region, let proposals see each other, and make of each feature two layers that its region goes
through. Each stage is taught by the loss of a set, and nothing is thinned out.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.catalog import find
from infraspot.detection.backbones import BACKBONES
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.boxes import from_deltas, within
from infraspot.detection.heads import begin_rare
from infraspot.detection.matching import set_loss
from infraspot.detection.pyramid import FPN
from infraspot.detection.roi import roi_align_levels
from infraspot.networks.sheet import Sheet

REGION = 7
HEADS = 8
SPREAD = (0.5, 0.5, 1.0, 1.0)


class DynamicLayers(nn.Module):
    """Two layers over each cell of a region, made of the proposal's own feature."""

    def __init__(self, width: int, narrow: int):
        super().__init__()
        self.width, self.narrow = width, narrow
        self.make = nn.Linear(width, 2 * width * narrow)
        self.norms = nn.ModuleList(nn.LayerNorm(wide) for wide in (narrow, width))
        self.out = nn.Sequential(
            nn.Linear(width * REGION**2, width), nn.LayerNorm(width), nn.ReLU(inplace=True)
        )

    def forward(self, features: Tensor, regions: Tensor) -> Tensor:
        """(n, C) from (n, C) features and (n, 49, C) regions."""
        first, second = self.make(features).chunk(2, -1)
        x = F.relu(self.norms[0](regions @ first.unflatten(1, (self.width, self.narrow))))
        x = F.relu(self.norms[1](x @ second.unflatten(1, (self.narrow, self.width))))
        found: Tensor = self.out(x.flatten(1))
        return found


class SparseStage(nn.Module):
    """Proposals see each other, then their regions; then scores and boxes."""

    def __init__(self, width: int, hidden: int, narrow: int):
        super().__init__()
        self.among = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.into = DynamicLayers(width, narrow)
        self.wide = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.class_tower, self.box_tower = _tower(width, 1), _tower(width, 3)
        self.logits, self.boxes = nn.Linear(width, 1), nn.Linear(width, 4)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        begin_rare(self.logits)

    def forward(self, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, Q) logits, (N, Q, 4) deltas and the next (N, Q, C) features."""
        x = self.norms[0](features + self.among(features, features, features, need_weights=False)[0])
        flat = x.flatten(0, 1)
        flat = self.norms[1](flat + self.into(flat, regions.flatten(2).transpose(1, 2)))
        x = self.norms[2](flat + self.wide(flat)).unflatten(0, features.shape[:2])
        return self.logits(self.class_tower(x))[..., 0], self.boxes(self.box_tower(x)), x


def _tower(width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), nn.LayerNorm(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class SparseRCNN(Detector):
    """Sparse R-CNN as published by default, with 100 proposals.

    Parameters
    ----------
    strides
        Of the pyramid.
    proposals
        How many are learnt; no frame gets more boxes.
    stages
        How often boxes are looked at.
    hidden, narrow
        Width of the layers after a region, and between the two that a feature makes.
    finest
        Regions of a side below twice this many pixels are read from the first level; by default 14 strides.
    """

    sheet = Sheet(family="set", source="Sun et al., CVPR 2021", paper_params=0.106e9)
    suppression = Detector.suppression | {"iou": 1.0}

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (4, 8, 16, 32),
        width: int = 256,
        proposals: int = 100,
        stages: int = 6,
        hidden: int = 2048,
        narrow: int = 64,
        finest: float | None = None,
    ):
        super().__init__()
        if width % HEADS:
            raise ValueError(f"width is a multiple of {HEADS}, and {width} came")
        self.backbone = find("backbone", backbone, BACKBONES)()
        self.stride, self.strides = self.backbone.strides[-1], tuple(strides)
        self.neck = FPN(self.backbone, strides, width)
        self.start = nn.Parameter(torch.tensor([[0.5, 0.5, 1.0, 1.0]]).repeat(proposals, 1))
        self.wished = nn.Parameter(torch.randn(proposals, width))
        self.stages = nn.ModuleList(SparseStage(width, hidden, narrow) for _ in range(stages))
        self.finest = finest or 14.0 * strides[0]

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.neck(self.backbone(image))
        shape = int(image.shape[-2]), int(image.shape[-1])
        boxes = self._first(len(image), shape)
        features = self.wished.expand(len(image), -1, -1)
        said: list[tuple[Tensor, Tensor]] = []
        for stage in self.stages:
            logits, deltas, features = stage(features, self._regions(maps, boxes.detach()))
            boxes = from_deltas(boxes.detach() if said else boxes, deltas.float(), SPREAD)
            said.append((logits, boxes))
        return BoxOutput(within(boxes, shape), logits, parts={"said": said, "shape": shape})

    def _first(self, count: int, shape: tuple[int, int]) -> Tensor:
        """(N, Q, 4) learnt boxes; they are shares of the frame's sides."""
        middle, half = self.start[:, :2], self.start[:, 2:].clamp(min=0) / 2
        boxes = torch.cat([middle - half, middle + half], -1)
        return (boxes * boxes.new_tensor([shape[1], shape[0]] * 2)).expand(count, -1, -1)

    def _regions(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        return roi_align_levels(maps, self.strides, list(boxes), REGION, finest=self.finest)

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        """Of every stage, as published."""
        said, shape = output.parts["said"], output.parts["shape"]
        return torch.stack([set_loss(logits, boxes, wanted, shape) for logits, boxes in said]).sum()
