"""YOLOv3: an incremental improvement (Redmon and Farhadi, 2018).

Darknet-53 and a pyramid whose joints are five layers each. Three anchors a place; of each target one learns,
at the cell that holds the target's centre: the one that fits it best in shape. It says where in its cell the
centre lies. Whether there is anything is a branch of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.assigners import IGNORED, Assignment, boxes_taught
from infraspot.detection.backbones import Backbone
from infraspot.detection.backbones.darknet import LeakyLayer
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import TINY, centres, sides
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import HeadMaps, output
from infraspot.detection.losses import cross_entropy
from infraspot.detection.priors import SizedAnchors
from infraspot.detection.pyramid import levels_at
from infraspot.networks.sheet import Sheet

# In pixels, at strides 8, 16 and 32.
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
BOX_GAIN = 2.0


class _Joint(nn.Sequential):
    """1x1 and 3x3 in turn, five layers, to ``width`` channels."""

    def __init__(self, in_channels: int, width: int):
        super().__init__(
            LeakyLayer(in_channels, width),
            LeakyLayer(width, 2 * width, 3),
            LeakyLayer(2 * width, width),
            LeakyLayer(width, 2 * width, 3),
            LeakyLayer(2 * width, width),
        )


class JoinedLevels(nn.Module):
    """From coarse to fine: each level beside the coarser one's answer, then a joint to half its channels."""

    def __init__(self, backbone: Backbone, strides: Sequence[int]):
        super().__init__()
        self.levels = levels_at(backbone, strides)
        channels = [backbone.channels[k] for k in self.levels]
        self.channels = [wide // 2 for wide in channels]
        beside = [*self.channels[:-1], 0]
        self.joints = nn.ModuleList(
            _Joint(wide + more, half)
            for wide, more, half in zip(channels, beside, self.channels, strict=True)
        )
        self.reduce = nn.ModuleList(
            LeakyLayer(coarse, fine)
            for fine, coarse in zip(self.channels[:-1], self.channels[1:], strict=True)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        maps = [levels[k] for k in self.levels]
        maps[-1] = self.joints[-1](maps[-1])
        for k in reversed(range(len(self.reduce))):
            coarse = F.interpolate(self.reduce[k](maps[k + 1]), scale_factor=2.0)
            maps[k] = self.joints[k](torch.cat([coarse, maps[k]], 1))
        return maps


class LevelHeads(nn.Module):
    """For each level a 3x3, then 1x1s to scores, boxes and whether there is anything."""

    def __init__(self, channels: Sequence[int], anchors: int):
        super().__init__()
        self.shared = nn.ModuleList(LeakyLayer(wide, 2 * wide, 3) for wide in channels)
        self.logits, self.boxes, self.there = (
            nn.ModuleList(output(2 * wide, anchors * count, kernel_size=1, rare=rare) for wide in channels)
            for count, rare in ((1, False), (4, False), (1, True))
        )

    def forward(self, maps: Sequence[Tensor]) -> HeadMaps:
        shared = [layer(x) for layer, x in zip(self.shared, maps, strict=True)]
        return HeadMaps(
            *(
                [layer(x) for layer, x in zip(layers, shared, strict=True)]
                for layers in (self.logits, self.boxes, self.there)
            )
        )


class YOLOv3(DenseDetector):
    """YOLOv3 as published by default.

    Parameters
    ----------
    strides
        Of up to three levels.
    scale
        Factor of the published anchors, which are in strides: 10x13 pixels and more at stride 8.
    """

    sheet = Sheet(
        family="dense",
        source="Redmon and Farhadi, 2018",
        paper_params=61.949e6,
        note="the table's figure counts 80 classes and three channels",
    )
    method = Method(assigner="cell", decoder="in_cell")

    def __init__(
        self,
        *,
        backbone: str = "darknet53",
        strides: tuple[int, ...] = (8, 16, 32),
        scale: float = 1.0,
        assigner: dict[str, Any] | None = None,
    ):
        if len(strides) > len(ANCHORS):
            raise ValueError(f"this detector has anchors for {len(ANCHORS)} levels, and {len(strides)} came")
        published = (8, 16, 32)
        self.anchors = SizedAnchors(
            tuple(
                tuple((scale * w / stride, scale * h / stride) for w, h in sizes)
                for sizes, stride in list(zip(ANCHORS, published, strict=True))[: len(strides)]
            )
        )
        super().__init__(backbone=backbone, strides=strides, width=0, assigner=assigner)

    def make_neck(self, width: int) -> JoinedLevels:
        return JoinedLevels(self.backbone, self.strides)

    def make_head(self, width: int) -> nn.Module:
        assert isinstance(self.neck, JoinedLevels)
        return LevelHeads(self.neck.channels, len(ANCHORS[0]))

    def taught(self, output: BoxOutput, assigned: Sequence[Assignment], wanted: Wanted) -> Tensor:
        """Sums over places, as published, of the mean frame."""
        priors = output.priors
        assert priors is not None
        assert output.quality is not None
        target = torch.stack([one.target for one in assigned])
        positive = target >= 0
        there = cross_entropy(output.quality.float(), positive.float()) * (target != IGNORED)
        logits = output.logits[positive].float()
        place = positive.nonzero()[:, 1]
        truth, raw = boxes_taught(wanted.boxes, assigned), output.parts["raw"][positive]
        shift = (centres(truth) - priors.points[place]) / priors.strides[place, None] + 0.5
        scale = (sides(truth).clamp(min=TINY) / sides(priors.boxes[place])).log()
        box = cross_entropy(raw[:, :2], shift.clamp(0, 1)).sum() + (raw[:, 2:] - scale).square().sum()
        total = there.sum() + cross_entropy(logits, torch.ones_like(logits)).sum() + BOX_GAIN * box
        return total / len(target)
