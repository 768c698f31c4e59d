"""TridentNet: scale-aware trident networks (Li et al., ICCV 2019), on Faster R-CNN without a pyramid.

One map at stride 16, whose stage runs three times with the same weights, its taps one, two and three cells
apart: three views of three widths. Each learns from every target; the middle one alone detects. Regions of
14x14 go through the backbone's last stage. With ``dilations=[1]`` it is Faster R-CNN without a pyramid, which
Table II of BAFE-Net lists as Faster R-CNN.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones import ResNet
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.rcnn import FasterRCNN
from infraspot.detection.region_heads import ProposalHead, apart
from infraspot.detection.roi import roi_align
from infraspot.networks.sheet import Sheet

REGION = 14
STRIDE = 16


class MeanHead(nn.Module):
    """The mean of what the last stage makes of a region, to background against target and the box."""

    def __init__(self, channels: int):
        super().__init__()
        self.classes, self.boxes = nn.Linear(channels, 2), nn.Linear(channels, 4)
        nn.init.normal_(self.boxes.weight, std=0.001)
        nn.init.zeros_(self.boxes.bias)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) logits and (n, 4) deltas."""
        x = regions.mean((2, 3))
        return apart(self.classes(x)), self.boxes(x)


class TridentNet(FasterRCNN):
    """TridentNet as published by default.

    Parameters
    ----------
    backbone
        A ResNet.
    dilations
        Of the views; the middle one detects.
    scale
        Factor of the anchors, whose sides are 2 to 32 strides of 16.
    proposals
        Most proposals of a frame.
    """

    sheet = Sheet(family="two-stage", source="Li et al., ICCV 2019", paper_params=33.035e6)
    learnt_from, share = 128, 0.5
    sides = (2.0, 4.0, 8.0, 16.0, 32.0)
    backbone: ResNet

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        dilations: tuple[int, ...] = (1, 2, 3),
        scale: float = 1.0,
        proposals: int = 300,
    ):
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations are whole numbers from 1, and {tuple(dilations)} came")
        self.dilations = tuple(dilations)
        super().__init__(backbone=backbone, strides=(STRIDE,), width=0, scale=scale, proposals=proposals)

    def make_neck(self, width: int) -> nn.Module:
        if not isinstance(self.backbone, ResNet):
            raise ValueError("the backbone is a ResNet, and another came")
        return nn.Identity()

    def make_proposer(self, width: int) -> nn.Module:
        return ProposalHead(self.backbone.channels[self.backbone.strides.index(STRIDE)], self.anchors.count)

    def make_stage(self, width: int, hidden: int) -> nn.Module:
        return MeanHead(self.backbone.channels[-1])

    def features(self, image: Tensor) -> list[Tensor]:
        """One map; while training, the frames of one view after those of the other."""
        first, second, third = (self.backbone.get_submodule(f"layer{k}") for k in (1, 2, 3))
        x = second(first(F.max_pool2d(self.backbone.start(image), 3, 2, 1)))
        seen = self.dilations if self.training else self.dilations[len(self.dilations) // 2 :][:1]
        views = []
        for dilation in seen:
            view = x
            for block in third.children():
                view = block(view, dilation)
            views.append(view)
        return [torch.cat(views)]

    def look(
        self, stage: nn.Module, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        regions = roi_align(maps[0], boxes, REGION, stride=STRIDE)
        said: tuple[Tensor, Tensor] = stage(self.backbone.get_submodule("layer4")(regions))
        return said

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        views = len(output.logits) // len(wanted.boxes)
        return super().loss(output, Wanted(wanted.boxes * views))
