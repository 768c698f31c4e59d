"""RTMDet: an empirical study of designing real-time object detectors (Lyu et al., 2022).

CSPNeXt, a backbone of partial stages with wide kernels; a pyramid that goes down and up again; and towers
whose convolutions all levels share, while each has norms and last layers of its own. Each target takes the
places that cost it least, distance having a soft price, and overlaps are the labels of scores. Mosaic, mixing
of frames and the last epochs without them are left out.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from infraspot.detection.backbones.partial import wide_block
from infraspot.detection.base import Detector
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import HeadMaps, NormedByLevel, begin_small, output
from infraspot.detection.priors import Anchors
from infraspot.detection.pyramid import DownAndUp
from infraspot.networks.sheet import Sheet

TOWER = 2


class SharedHead(nn.Module):
    """Two layers to the score and two to the box."""

    def __init__(self, width: int, levels: int):
        super().__init__()
        self.class_tower, self.box_tower = (
            NormedByLevel(
                [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(TOWER)], width, levels
            )
            for _ in range(2)
        )
        begin_small(self)
        self.logits = nn.ModuleList(output(width, 1, kernel_size=1, rare=True) for _ in range(levels))
        self.boxes = nn.ModuleList(output(width, 4, kernel_size=1) for _ in range(levels))

    def forward(self, maps: Sequence[Tensor]) -> HeadMaps:
        of_class, of_box = self.class_tower(maps), self.box_tower(maps)
        return HeadMaps(
            [layer(x) for layer, x in zip(self.logits, of_class, strict=True)],
            [layer(x) for layer, x in zip(self.boxes, of_box, strict=True)],
        )


class RTMDet(DenseDetector):
    """RTMDet-L as published by default.

    Parameters
    ----------
    backbone
        ``"cspnext-tiny"`` with width 96 and depth 1, or ``"cspnext-s"`` with 128 and 1, make smaller forms.
    depth
        Blocks of a partial stage of the pyramid.
    """

    sheet = Sheet(
        family="dense",
        source="Lyu et al., 2022",
        paper_params=52.316e6,
        note="the table's figure counts 80 classes and three channels",
    )
    method = Method(
        assigner="dynamic_soft",
        decoder="edges_strides",
        class_loss="quality_focal",
        labels="assigned",
        weights="assigned",
        gains=(1.0, 2.0, 0.0, 0.0),
    )
    anchors = Anchors()
    suppression = Detector.suppression | {"iou": 0.65}

    def __init__(
        self,
        *,
        backbone: str = "cspnext-l",
        strides: tuple[int, ...] = (8, 16, 32),
        width: int = 256,
        depth: int = 3,
        assigner: dict[str, Any] | None = None,
    ):
        self.depth = depth
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_neck(self, width: int) -> nn.Module:
        return DownAndUp(self.backbone, self.strides, width, self.depth, block=wide_block, kernel_size=3)

    def make_head(self, width: int) -> nn.Module:
        return SharedHead(width, len(self.strides))
