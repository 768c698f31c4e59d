"""RetinaNet: focal loss for dense detection (Lin et al., ICCV 2017).

Nine anchors a place, taught by their overlap with a target. The pyramid's coarse levels read the backbone.
Its anchors begin at four strides, 32 pixels at stride 8: targets of 3x3 pixels need strides from 2 and
``scale`` 1.5 or so.
"""

from typing import Any

from torch import nn

from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import TowerHead
from infraspot.detection.priors import Anchors
from infraspot.networks.sheet import Sheet

OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


class RetinaNet(DenseDetector):
    """RetinaNet as published by default.

    Parameters
    ----------
    scale
        Side of the smallest anchor, in strides.
    """

    sheet = Sheet(family="dense", source="Lin et al., ICCV 2017", paper_params=36.330e6)
    method = Method(assigner="overlap", decoder="deltas", box_loss="deltas")
    extra_from = "input"
    anchors: Anchors

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 4,
        scale: float = 4.0,
        assigner: dict[str, Any] | None = None,
    ):
        self.depth = depth
        self.anchors = Anchors(tuple(scale * step for step in OCTAVE), (0.5, 1.0, 2.0))
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_head(self, width: int) -> nn.Module:
        levels, count = len(self.strides), self.anchors.count
        return TowerHead(width, levels, depth=self.depth, norm="none", anchors=count, scaled=False)
