"""YOLOX: exceeding YOLO series in 2021 (Ge et al., 2021).

A backbone of partial stages (CSPDarknet), a pyramid that goes down and up again, and for each level a head of
its own with separate towers for scores and boxes. Whether there is anything at all is a branch of its own.
Each target takes the places that cost it least (SimOTA). Mosaic, mixing of frames and the last epochs without
them are left out.
"""

from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.assigners import Assignment, Said, boxes_taught, optimal_transport
from infraspot.detection.backbones.partial import CSPDarknet, Layer
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.boxes import around, overlaps
from infraspot.detection.heads import HeadMaps, flat
from infraspot.detection.losses import cross_entropy, squared_overlap_loss
from infraspot.detection.priors import Anchors
from infraspot.detection.pyramid import DownAndUp
from infraspot.networks.sheet import Sheet

BOX_GAIN = 5.0
RARE = -4.6


class LevelHead(nn.Module):
    """The head of one level: two layers to the score, two to the box and to whether there is anything."""

    def __init__(self, width: int):
        super().__init__()
        self.class_tower = nn.Sequential(Layer(width, width, 3), Layer(width, width, 3))
        self.box_tower = nn.Sequential(Layer(width, width, 3), Layer(width, width, 3))
        self.logits, self.boxes, self.there = (nn.Conv2d(width, count, 1) for count in (1, 4, 1))
        for layer in (self.logits, self.there):
            nn.init.constant_(layer.bias, RARE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of the score's logit, of four numbers of a box, and of the logit that there is anything."""
        of_box = self.box_tower(x)
        return self.logits(self.class_tower(x)), self.boxes(of_box), self.there(of_box)


class YOLOX(Detector):
    """YOLOX-S as published by default.

    Parameters
    ----------
    depth, wide
        Of the backbone, as factors: .33 and .5 make the form S, 1 and 1 the form L.
    strides
        Of the levels: neighbours among 4, 8, 16 and 32.
    width
        Channels of the heads.
    """

    sheet = Sheet(
        family="dense",
        source="Ge et al., 2021",
        paper_params=8.968e6,
        note="8.935 M; the table's figure counts 80 classes and three channels",
    )
    suppression = Detector.suppression | {"iou": 0.65}

    def __init__(
        self,
        *,
        depth: float = 0.33,
        wide: float = 0.5,
        strides: tuple[int, ...] = (8, 16, 32),
        width: int = 128,
    ):
        super().__init__()
        self.backbone = CSPDarknet(depth, wide)
        self.strides = tuple(strides)
        self.neck = DownAndUp(self.backbone, strides, width, max(1, round(3 * depth)))
        self.heads = nn.ModuleList(LevelHead(width) for _ in strides)
        self.anchors, self.assign = Anchors(), optimal_transport()

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.neck(self.backbone(image))
        said = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        answer = HeadMaps(*(list(part) for part in zip(*said, strict=True)))
        assert answer.quality is not None
        priors = self.anchors(maps, self.strides)
        raw, strides = flat(answer.boxes, 4).float(), priors.strides[:, None]
        size = raw[..., 2:].clamp(max=10).exp() * strides
        boxes = around(priors.points + raw[..., :2] * strides, size)
        return BoxOutput(boxes, flat(answer.logits), flat(answer.quality), priors, parts={"raw": raw})

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        assert output.priors is not None
        assert output.quality is not None
        scores = self.scores(output).detach().sqrt()
        assigned: list[Assignment] = [
            self.assign(output.priors, boxes, Said(scores[k], output.boxes[k].detach()))
            for k, boxes in enumerate(wanted.boxes)
        ]
        positive = torch.stack([one.positive for one in assigned])
        truth = boxes_taught(wanted.boxes, assigned)
        found = output.boxes[positive]
        fit = overlaps(found.detach(), truth)
        parts: list[Any] = [
            cross_entropy(output.quality.float(), positive.float()),
            cross_entropy(output.logits[positive].float(), fit),
            BOX_GAIN * squared_overlap_loss(found, truth),
        ]
        total: Tensor = sum(part.sum() for part in parts) / positive.sum().clamp(min=1)
        return total
