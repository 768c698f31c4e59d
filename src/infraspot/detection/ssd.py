"""SSD: single shot multibox detector (Liu et al., ECCV 2016).

Maps of VGG-16 and of strided layers after it, each with anchors of its own: squares of two sizes and oblong
ones. Anchors are taught by their overlap with a target, and of the background only the hardest places, three
for each that has a target. The form has the layers of SSD300; beyond stride 32 they halve the map as those of
SSD512 do, so that frames of any size have every level. Anchors are in strides, which for SSD300 is .06 to .14
of the frame's side in each level, in place of shares of the side.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infraspot.detection.assigners import Assignment, boxes_taught
from infraspot.detection.backbones import Backbone
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import NARROW, to_deltas
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import HeadMaps
from infraspot.detection.losses import cross_entropy, smooth_absolute
from infraspot.detection.priors import SizedAnchors
from infraspot.detection.pyramid import levels_at
from infraspot.networks.sheet import Sheet

# Channels of the layers after the backbone: those of a 1x1, and of the strided 3x3 after it.
FURTHER = ((256, 512), (128, 256), (128, 256), (128, 256))
# Background that is learnt from, for each place with a target; and in a frame without any.
HARDEST, HARDEST_OF_EMPTY = 3, 10


class StridedLevels(nn.Module):
    """Levels of the backbone, and one for each further stride."""

    def __init__(self, backbone: Backbone, strides: Sequence[int]):
        super().__init__()
        self.levels = levels_at(backbone, strides, beyond=len(FURTHER))
        self.channels = [backbone.channels[k] for k in self.levels]
        further, stages = len(strides) - len(self.levels), []
        for narrow, wide in FURTHER[:further]:
            stages.append(
                nn.Sequential(
                    nn.Conv2d(self.channels[-1], narrow, 1),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(narrow, wide, 3, 2, 1),
                    nn.ReLU(inplace=True),
                )
            )
            self.channels.append(wide)
        self.further = nn.ModuleList(stages)
        _begin_even(self)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        found = [levels[k] for k in self.levels]
        for layer in self.further:
            found.append(layer(found[-1]))
        return found


class MultiBoxHead(nn.Module):
    """One 3x3 a level to scores, background against target, and one to boxes."""

    def __init__(self, channels: Sequence[int], anchors: Sequence[int]):
        super().__init__()
        pairs = list(zip(channels, anchors, strict=True))
        self.classes = nn.ModuleList(nn.Conv2d(wide, 2 * count, 3, padding=1) for wide, count in pairs)
        self.boxes = nn.ModuleList(nn.Conv2d(wide, 4 * count, 3, padding=1) for wide, count in pairs)
        _begin_even(self)

    def forward(self, maps: Sequence[Tensor]) -> HeadMaps:
        both = [layer(x).unflatten(1, (-1, 2)) for layer, x in zip(self.classes, maps, strict=True)]
        boxes = [layer(x) for layer, x in zip(self.boxes, maps, strict=True)]
        return HeadMaps([x[:, :, 1] - x[:, :, 0] for x in both], boxes)


def _begin_even(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def sizes_of(scale: float, levels: int) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Anchors of each level: two squares, oblong ones of 2 to 1, and in the middle levels of 3 to 1 too."""
    few = ((1.0, 1.0), (2**0.5, 2**0.5), (2**0.5, 2**-0.5), (2**-0.5, 2**0.5))
    more = (*few, (3**0.5, 3**-0.5), (3**-0.5, 3**0.5))
    chosen = [few if k == 0 or k >= 4 else more for k in range(levels)]
    return tuple(tuple((scale * w, scale * h) for w, h in sizes) for sizes in chosen)


class SSD(DenseDetector):
    """SSD with the layers of SSD300 by default.

    Parameters
    ----------
    strides
        Of the levels; those beyond the backbone's are up to four strided layers.
    scale
        Side of the smallest anchor of a level, in strides.
    """

    sheet = Sheet(family="dense", source="Liu et al., ECCV 2016", paper_params=23.746e6)
    method = Method(assigner="overlap", decoder="narrow_deltas", box_loss="deltas")
    anchors: SizedAnchors

    def __init__(
        self,
        *,
        backbone: str = "vgg16",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128, 256),
        scale: float = 2.8,
        assigner: dict[str, Any] | None = None,
    ):
        self.anchors = SizedAnchors(sizes_of(scale, len(strides)))
        super().__init__(backbone=backbone, strides=strides, width=0, assigner=assigner)

    def make_neck(self, width: int) -> StridedLevels:
        return StridedLevels(self.backbone, self.strides)

    def make_head(self, width: int) -> nn.Module:
        assert isinstance(self.neck, StridedLevels)
        return MultiBoxHead(self.neck.channels, [len(sizes) for sizes in self.anchors.sizes])

    def assigner_options(self) -> dict[str, Any]:
        return {"negative": 0.5}

    def taught(self, output: BoxOutput, assigned: Sequence[Assignment], wanted: Wanted) -> Tensor:
        assert output.priors is not None
        positive = torch.stack([one.positive for one in assigned])
        losses = cross_entropy(output.logits.float(), positive.float())
        chosen = positive | hardest(losses.detach(), positive)
        anchors = output.priors.boxes[positive.nonzero()[:, 1]]
        wish = to_deltas(anchors, boxes_taught(wanted.boxes, assigned), NARROW)
        box = smooth_absolute(output.parts["raw"][positive], wish, beta=1.0)
        return ((losses * chosen).sum() + box.sum()) / positive.sum().clamp(min=1)


def hardest(losses: Tensor, positive: Tensor) -> Tensor:
    """(N, K) the places of the background with the largest losses: three for each that has a target."""
    found = torch.zeros_like(positive)
    for own, taught, places in zip(losses, positive, found, strict=True):
        count = HARDEST * int(taught.sum()) or HARDEST_OF_EMPTY
        order = torch.where(taught, -1.0, own).topk(min(count, int((~taught).sum()))).indices
        places[order] = True
    return found
