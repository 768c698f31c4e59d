"""YOLOF: you only look one-level feature (Chen et al., CVPR 2021).

One level at stride 32, whose view four dilated blocks widen; five anchors a place. Each target is taught to
the four nearest anchors and the four nearest predictions, so that large and small ones count alike. At stride
32 targets of 3x3 pixels are out of reach; the recipe exists because the paper's table has it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import HeadMaps, output
from infraspot.detection.priors import Anchors
from infraspot.networks.sheet import Sheet

DILATIONS = (2, 4, 6, 8)


class DilatedEncoder(nn.Module):
    """The coarsest map of the wanted stride, at ``width`` channels, with a wide view."""

    def __init__(self, channels: int, width: int, level: int):
        super().__init__()
        self.level = level
        self.lateral = nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width))
        self.smooth = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(width, width // 4, 1),
                ConvNormAct(width // 4, width // 4, dilation=dilation),
                ConvNormAct(width // 4, width, 1),
            )
            for dilation in DILATIONS
        )

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        x = self.smooth(self.lateral(levels[self.level]))
        for block in self.blocks:
            x = x + block(x)
        return [x]


class ObjectnessHead(nn.Module):
    """Two layers to scores, four to boxes and to whether there is anything: the two become one logit."""

    def __init__(self, width: int, anchors: int):
        super().__init__()
        self.class_tower = nn.Sequential(*(ConvNormAct(width, width) for _ in range(2)))
        self.box_tower = nn.Sequential(*(ConvNormAct(width, width) for _ in range(4)))
        self.logits, self.boxes = output(width, anchors, rare=True), output(width, 4 * anchors)
        self.there = output(width, anchors)

    def forward(self, maps: list[Tensor]) -> HeadMaps:
        of_class, of_box = self.class_tower(maps[0]), self.box_tower(maps[0])
        one, other = self.logits(of_class), self.there(of_box)
        # The logit of the product of both chances, in sums of exponentials.
        both = one + other - torch.log(1 + one.clamp(max=20).exp() + other.clamp(max=20).exp())
        return HeadMaps([both], [self.boxes(of_box)])


class YOLOF(DenseDetector):
    """YOLOF as published by default.

    Parameters
    ----------
    strides
        The one stride that is looked at.
    scale
        Side of the smallest anchor, in strides; each of the five is twice the one before.
    """

    sheet = Sheet(family="dense", source="Chen et al., CVPR 2021", paper_params=42.339e6)
    method = Method(assigner="nearest_anchors", decoder="deltas")
    anchors: Anchors

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (32,),
        width: int = 512,
        scale: float = 1.0,
        assigner: dict[str, Any] | None = None,
    ):
        if len(strides) != 1:
            raise ValueError(f"this detector looks at one stride, and {len(strides)} came")
        self.anchors = Anchors(tuple(scale * 2**k for k in range(5)))
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_neck(self, width: int) -> nn.Module:
        if self.strides[0] not in self.backbone.strides:
            raise ValueError(f"the backbone has the strides {self.backbone.strides}, not {self.strides[0]}")
        level = self.backbone.strides.index(self.strides[0])
        return DilatedEncoder(self.backbone.channels[level], width, level)

    def make_head(self, width: int) -> nn.Module:
        return ObjectnessHead(width, self.anchors.count)
