"""EfficientDet: scalable and efficient object detection (Tan et al., CVPR 2020).

EfficientNet-B0, a pyramid that goes down and up three times and learns how much each map counts (BiFPN), and
towers of separable layers that all levels share, with norms of their own. Anchors, labels and loss are those
of RetinaNet.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones import Backbone
from infraspot.detection.dense import DenseDetector, Method
from infraspot.detection.heads import HeadMaps, NormedByLevel, begin_rare
from infraspot.detection.priors import Anchors
from infraspot.detection.pyramid import levels_at
from infraspot.detection.retinanet import OCTAVE
from infraspot.networks.sheet import Sheet

LEAST_WEIGHT = 1e-4


class Separable(nn.Sequential):
    """3x3 within each channel, then 1x1; ``rare`` as for a head's last layers."""

    def __init__(self, in_channels: int, out_channels: int, *, rare: bool = False):
        across = nn.Conv2d(in_channels, out_channels, 1)
        if rare:
            begin_rare(across)
        within = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        super().__init__(within, across)


class WeightedSum(nn.Module):
    """The sum of maps, each by a learnt share, then SiLU, a separable layer and a norm."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))
        self.layer = nn.Sequential(*Separable(width, width), _norm(width))

    def forward(self, *maps: Tensor) -> Tensor:
        weights = F.relu(self.weights)
        shares = weights / (weights.sum() + LEAST_WEIGHT)
        together = sum(share * x for share, x in zip(shares, maps, strict=True))
        found: Tensor = self.layer(F.silu(together))
        return found


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


def _brought(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1), _norm(width))


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, 1)


class BiFPNStage(nn.Module):
    """Once down and once up. On the way up, inner levels see their input again."""

    def __init__(self, width: int, levels: int):
        super().__init__()
        self.down = nn.ModuleList(WeightedSum(2, width) for _ in range(levels - 1))
        self.up = nn.ModuleList(WeightedSum(3 if k < levels - 1 else 2, width) for k in range(1, levels))

    def forward(self, maps: Sequence[Tensor], again: Sequence[Tensor]) -> list[Tensor]:
        """From ``maps``, finest first, and the inputs that the way up sees ``again``."""
        found = list(maps)
        for k in reversed(range(len(self.down))):
            coarse = F.interpolate(found[k + 1], size=found[k].shape[-2:])
            found[k] = self.down[k](maps[k], coarse)
        for k, join in enumerate(self.up, 1):
            own = (again[k], found[k]) if k < len(self.up) else (again[k],)
            found[k] = join(*own, _halved(found[k - 1]))
        return found


class BiFPN(nn.Module):
    """Stages after each other; levels beyond the backbone's begin as maxima of its coarsest.

    The first stage reads inner levels of the backbone twice, each time by a layer of its own.
    """

    def __init__(self, backbone: Backbone, strides: Sequence[int], width: int, stages: int):
        super().__init__()
        self.levels = levels_at(backbone, strides, beyond=len(strides))
        channels = [backbone.channels[k] for k in self.levels]
        self.bring = nn.ModuleList(_brought(wide, width) for wide in channels)
        self.bring_again = nn.ModuleList(_brought(wide, width) for wide in channels[1:])
        self.beyond = len(strides) - len(channels)
        self.first_beyond = _brought(channels[-1], width) if self.beyond else None
        self.stages = nn.ModuleList(BiFPNStage(width, len(strides)) for _ in range(stages))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        own = [levels[k] for k in self.levels]
        maps = [layer(x) for layer, x in zip(self.bring, own, strict=True)]
        beyond: list[Tensor] = []
        if self.first_beyond is not None:
            beyond = [_halved(self.first_beyond(own[-1]))]
            for _ in range(self.beyond - 1):
                beyond.append(_halved(beyond[-1]))
        again = [maps[0], *(layer(x) for layer, x in zip(self.bring_again, own[1:], strict=True)), *beyond]
        maps += beyond
        for stage in self.stages:
            maps = stage(maps, again)
            again = maps
        return maps


class SeparableHead(nn.Module):
    """Two towers of separable layers, and a separable layer to the scores and to the boxes."""

    def __init__(self, width: int, levels: int, *, depth: int, anchors: int):
        super().__init__()
        self.class_tower, self.box_tower = (
            NormedByLevel([Separable(width, width) for _ in range(depth)], width, levels) for _ in range(2)
        )
        self.logits, self.boxes = Separable(width, anchors, rare=True), Separable(width, 4 * anchors)

    def forward(self, maps: Sequence[Tensor]) -> HeadMaps:
        return HeadMaps(
            [self.logits(x) for x in self.class_tower(maps)], [self.boxes(x) for x in self.box_tower(maps)]
        )


class EfficientDet(DenseDetector):
    """EfficientDet-D0 as published by default.

    Parameters
    ----------
    width, stages
        Channels of the pyramid and the head, and how often the pyramid goes down and up.
    depth
        Layers of a tower.
    scale
        Side of the smallest anchor, in strides.
    """

    sheet = Sheet(
        family="dense",
        source="Tan et al., CVPR 2020",
        paper_params=18.320e6,
        note="D0 with one class; by its count the table's row is RetinaNet on EfficientNet-B3",
    )
    method = Method(assigner="overlap", decoder="deltas", box_loss="deltas")
    anchors: Anchors

    def __init__(
        self,
        *,
        backbone: str = "efficientnet-b0",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 64,
        stages: int = 3,
        depth: int = 3,
        scale: float = 4.0,
        assigner: dict[str, Any] | None = None,
    ):
        self.stages, self.depth = stages, depth
        self.anchors = Anchors(tuple(scale * step for step in OCTAVE), (0.5, 1.0, 2.0))
        super().__init__(backbone=backbone, strides=strides, width=width, assigner=assigner)

    def make_neck(self, width: int) -> nn.Module:
        return BiFPN(self.backbone, self.strides, width, self.stages)

    def make_head(self, width: int) -> nn.Module:
        return SeparableHead(width, len(self.strides), depth=self.depth, anchors=self.anchors.count)

    def assigner_options(self) -> dict[str, Any]:
        return {"negative": 0.5}
