"""Heads: from a pyramid's maps to numbers for each place."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RARE = 0.01  # targets are rare: scores begin there


class HeadMaps(NamedTuple):
    """One map a level: logits (N, A, h, w), numbers of a box (N, A d, h, w), and quality like logits."""

    logits: list[Tensor]
    boxes: list[Tensor]
    quality: list[Tensor] | None = None


class Scale(nn.Module):
    """A learnt factor, one for each level."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class LevelNorms(nn.ModuleList):
    """A batch norm for each level of a pyramid; with ``levels`` of 1 one for all of them.

    In training a batch norm scales each level by that level's own mean and deviation. One norm for all levels
    keeps one running mean of them, which fits none in prediction.
    """

    def __init__(self, width: int, levels: int):
        super().__init__(nn.BatchNorm2d(width) for _ in range(levels))


class Tower(nn.Sequential):
    """Layers that all levels of a pyramid share, but for their :class:`LevelNorms`."""

    def forward(self, x: Tensor, level: int = 0) -> Tensor:
        for layer in self:
            x = (layer[min(level, len(layer) - 1)] if isinstance(layer, LevelNorms) else layer)(x)
        return x


def tower(width: int, depth: int, norm: str = "group", levels: int = 1) -> Tower:
    """``depth`` times 3x3, norm, ReLU; ``norm`` is ``"group"``, ``"batch"`` or ``"none"``."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Conv2d(width, width, 3, padding=1, bias=norm == "none"),
            *_norm(width, norm, levels),
            nn.ReLU(inplace=True),
        ]
    found = Tower(*layers)
    begin_small(found)
    return found


def _norm(width: int, kind: str, levels: int) -> list[nn.Module]:
    if kind == "none":
        return []
    if kind == "batch":
        return [LevelNorms(width, levels)]
    if kind == "group":
        return [nn.GroupNorm(min(32, width // 2), width)]
    raise ValueError(f"a tower's norm is 'group', 'batch' or 'none', and {kind!r} came")


def begin_small(module: nn.Module, deviation: float = 0.01) -> None:
    """Convolutions begin with small weights, and biases with 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def begin_rare(layer: nn.Conv2d | nn.Linear) -> None:
    """Logits begin with the chance that targets have before anything is learnt."""
    nn.init.constant_(layer.bias, -math.log(1 / RARE - 1))  # type: ignore[arg-type]


def output(width: int, channels: int, *, kernel_size: int = 3, rare: bool = False) -> nn.Conv2d:
    """A last layer; ``rare`` is for logits, see :func:`begin_rare`."""
    layer = nn.Conv2d(width, channels, kernel_size, padding=kernel_size // 2)
    begin_small(layer)
    if rare:
        begin_rare(layer)
    return layer


class TowerHead(nn.Module):
    """Two towers that all levels share, one to scores and one to boxes: RetinaNet, FCOS, ATSS, GFL and kin.

    Parameters
    ----------
    anchors, numbers
        Boxes of a place, and numbers of a box.
    quality
        Which tower a further logit of each box comes from: ``"class"``, ``"box"``, or None.
    scaled
        Whether the numbers of boxes have a learnt factor a level.
    """

    def __init__(
        self,
        width: int,
        levels: int,
        *,
        depth: int = 4,
        norm: str = "group",
        anchors: int = 1,
        numbers: int = 4,
        quality: str | None = None,
        scaled: bool = True,
    ):
        super().__init__()
        self.class_tower, self.box_tower = (tower(width, depth, norm, levels) for _ in range(2))
        self.logits = output(width, anchors, rare=True)
        self.boxes = output(width, anchors * numbers)
        self.quality_from = quality
        self.quality = None if quality is None else output(width, anchors)
        self.scales = nn.ModuleList(Scale() for _ in range(levels)) if scaled else None

    def forward(self, maps: Sequence[Tensor]) -> HeadMaps:
        of_class = [self.class_tower(x, level) for level, x in enumerate(maps)]
        return self.read(of_class, self.of_box(maps))

    def of_box(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What the tower of boxes makes of each level."""
        return [self.box_tower(x, level) for level, x in enumerate(maps)]

    def read(self, of_class: Sequence[Tensor], of_box: Sequence[Tensor]) -> HeadMaps:
        """The last layers, after the towers."""
        boxes = [self.boxes(x) for x in of_box]
        if self.scales is not None:
            boxes = [scale(x) for scale, x in zip(self.scales, boxes, strict=True)]
        quality = None
        if self.quality is not None:
            quality = [self.quality(x) for x in (of_class if self.quality_from == "class" else of_box)]
        return HeadMaps([self.logits(x) for x in of_class], boxes, quality)


class NormedByLevel(nn.Module):
    """Layers that all levels share; the batch norm after each is the level's own, and then SiLU.

    Parameters
    ----------
    layers
        Each from ``width`` to ``width`` channels.
    """

    def __init__(self, layers: Sequence[nn.Module], width: int, levels: int):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, eps=1e-3, momentum=0.01) for _ in range(levels * len(layers))
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        found = []
        for level, x in enumerate(maps):
            for k, layer in enumerate(self.layers):
                x = F.silu(self.norms[level * len(self.layers) + k](layer(x)))
            found.append(x)
        return found


def flat(maps: Sequence[Tensor], numbers: int = 1) -> Tensor:
    """(N, K, numbers) of all levels, in the order of the priors; (N, K) where there is one number."""
    rows = [map_.unflatten(1, (-1, numbers)).permute(0, 3, 4, 1, 2).flatten(1, 3) for map_ in maps]
    together = torch.cat(rows, 1)
    return together[..., 0] if numbers == 1 else together
