"""DyHead: dynamic head (Dai et al., CVPR 2021), on ATSS.

Six blocks in place of the towers, each with attention of three kinds. To levels: a map is the sum of its own
and its neighbours' features, each weighed by its mean. To places: they are read by deformable layers, whose
moves and weights come from the map's own level. To tasks: each channel goes through the larger of two lines
that the mean of all channels chooses.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.atss import ATSS
from infraspot.detection.heads import TowerHead
from infraspot.detection.priors import grid_points
from infraspot.detection.pyramid import FPN
from infraspot.detection.sampling import SampledConv2d, regular_moves
from infraspot.networks.sheet import Sheet

SQUEEZE = 4


class LineChoice(nn.Module):
    """DyReLU (2020): the larger of two lines for each channel, chosen by the mean of all channels."""

    def __init__(self, width: int):
        super().__init__()
        self.choose = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // SQUEEZE, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // SQUEEZE, 4 * width, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        slope, shift, other_slope, other_shift = (self.choose(x) - 0.5).chunk(4, 1)
        return torch.maximum(x * (2 * slope + 1) + shift, x * 2 * other_slope + other_shift)


class DynamicBlock(nn.Module):
    """One map a level to one map a level, all of ``width`` channels."""

    regular: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.finer, self.own, self.coarser = (SampledConv2d(width, width) for _ in range(3))
        self.norms = nn.ModuleList(nn.GroupNorm(min(16, width // 2), width) for _ in range(3))
        self.move = nn.Conv2d(width, 3 * 9, 3, padding=1)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 1, 1), nn.ReLU(inplace=True), nn.Hardsigmoid()
        )
        self.lines = LineChoice(width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
        for parameter in self.move.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("regular", regular_moves(), persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [self.lines(self._gathered(maps, k)) for k in range(len(maps))]

    def _gathered(self, maps: Sequence[Tensor], level: int) -> Tensor:
        """The mean of what the level and its neighbours say."""
        x = maps[level]
        moves, shares = self.move(x).float().split([18, 9], 1)
        moves = moves.unflatten(1, (9, 2)).permute(0, 1, 3, 4, 2) + self.regular[:, None, None]
        shares = shares.sigmoid()
        home = grid_points(x, 1).reshape(*x.shape[-2:], 2)
        said = [self.norms[0](self.own.at(x, home + moves, shares))]
        if level:
            finer = self.finer.at(maps[level - 1], 2 * home - 0.5 + moves, shares)
            said.append(self.norms[1](finer))
        if level < len(maps) - 1:
            coarse = maps[level + 1]
            rows, columns = coarse.shape[-2:]  # as the program has it: the first of the moves
            places = home[:rows, :columns] + moves[:, :, :rows, :columns]
            said.append(self._raised(coarse, places, shares[..., :rows, :columns], x))
        return torch.stack([one * self.weigh(one) for one in said]).mean(0)

    def _raised(self, coarse: Tensor, places: Tensor, shares: Tensor, like: Tensor) -> Tensor:
        found = self.norms[2](self.coarser.at(coarse, places, shares))
        return F.interpolate(found, size=like.shape[-2:], mode="bilinear", align_corners=True)


class DyHead(ATSS):
    """DyHead as published by default.

    Parameters
    ----------
    blocks
        How often levels, places and tasks are attended to.
    """

    sheet = Sheet(family="dense", source="Dai et al., CVPR 2021", paper_params=38.890e6)

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        blocks: int = 6,
        scale: float = 8.0,
        assigner: dict[str, Any] | None = None,
    ):
        self.blocks = blocks
        super().__init__(
            backbone=backbone, strides=strides, width=width, depth=0, scale=scale, assigner=assigner
        )

    def make_neck(self, width: int) -> nn.Module:
        pyramid = FPN(self.backbone, self.strides, width, extra_from=self.extra_from)
        return nn.Sequential(pyramid, *(DynamicBlock(width) for _ in range(self.blocks)))

    def make_head(self, width: int) -> nn.Module:
        return TowerHead(width, len(self.strides), depth=0, quality="box")
