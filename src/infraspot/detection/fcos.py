"""FCOS: fully convolutional one-stage detection (Tian et al., ICCV 2019).

Every place inside a box says how far its four edges are, whether it is a target, and how central it lies.
Large boxes are left to coarse levels. Scores are the chance of a target times centreness.

Ours beside it: strides from 2 up, and ``nearest``. At stride 8 two in three boxes of the clustered targets
hold no place, and FCOS never learns them. With ``nearest`` such a box teaches the nearest place. That place
lies outside its box, where distances to the edges would be negative and centreness 0. So boxes are then told
by their shift and size instead, and quality is the overlap with the target.
"""

from typing import Any

from torch import nn

from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import TowerHead
from infraspot.detection.priors import Anchors
from infraspot.networks.sheet import Sheet

# The largest distance to an edge that the level of a stride answers for, in strides: (-1, 64) at stride 8.
REACH = 8

PUBLISHED = Method(assigner="in_box", box_loss="log_iou", weights="centreness", quality="centreness")
NEAREST = Method(assigner="in_box", decoder="deltas", box_loss="diou", quality="overlap")


class FCOS(DenseDetector):
    """FCOS as published by default: ResNet-50, strides 8 to 128, four layers a tower.

    Parameters
    ----------
    depth, norm
        Layers of a tower, and their norm.
    nearest
        Whether a box without a place inside teaches the nearest one; ours.
    radius
        Teach only places within so many strides of a box's centre.
    """

    sheet = Sheet(family="dense", source="Tian et al., ICCV 2019", paper_params=32.113e6)
    method = PUBLISHED
    anchors = Anchors()

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        depth: int = 4,
        norm: str = "group",
        nearest: bool = False,
        radius: float | None = None,
        assigner: dict[str, Any] | None = None,
    ):
        self.depth, self.norm, self.nearest, self.radius = depth, norm, nearest, radius
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)
        self.method = NEAREST if nearest else PUBLISHED

    def make_head(self, width: int) -> nn.Module:
        return TowerHead(width, len(self.strides), depth=self.depth, norm=self.norm, quality="class")

    def assigner_options(self) -> dict[str, Any]:
        ranges = tuple(float(REACH * stride) for stride in self.strides[:-1])
        return {"ranges": ranges, "nearest": self.nearest, "radius": self.radius}
