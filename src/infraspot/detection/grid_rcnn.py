"""Grid R-CNN (Lu et al., CVPR 2019): boxes from nine points, on Faster R-CNN.

Proposals are scored first. A second head then reads the region of each of the best again, and draws a heat
map for each of nine points of the box, three by three; neighbours among the points tell each other what they
see. The maps lie in an area twice as wide as the region, each in the half of it where its point may lie (Grid
R-CNN Plus, 2019). Each edge is the mean of its three points, weighed by their heat.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.boxes import around, centres, sides, within
from infraspot.detection.losses import cross_entropy
from infraspot.detection.rcnn import FasterRCNN, side_by_side
from infraspot.detection.region_heads import ClassHead
from infraspot.detection.suppression import suppress
from infraspot.networks.sheet import Sheet

SIDE = 3  # points of a side
REGION = 14
WHOLE = 4 * REGION  # cells of a side of the whole area, of which a heat map covers half
LAYERS = 8
MOST_TAUGHT, JITTER, GAIN = 192, 0.15, 15.0
APART = 0.3


class GridHead(nn.Module):
    """From (n, C, 14, 14) features to (n, 9, 28, 28) logits of the points, column by column."""

    def __init__(self, width: int, each: int):
        super().__init__()
        points, wide = SIDE**2, SIDE**2 * each
        self.each, groups = each, points * max(1, each // 16)
        layers: list[nn.Module] = []
        for k in range(LAYERS):
            layers += [
                nn.Conv2d(wide if k else width, wide, 3, 1 if k else 2, 1),
                nn.GroupNorm(groups, wide),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        near = [(i, j) for i in range(points) for j in range(points) if _are_neighbours(i, j)]
        self.near = near
        self.first, self.second = (nn.ModuleList(_message(each) for _ in near) for _ in range(2))
        self.grow = nn.ConvTranspose2d(wide, wide, 4, 2, 1, groups=points)
        self.norm = nn.GroupNorm(points, wide)
        self.heat = nn.ConvTranspose2d(wide, points, 4, 2, 1, groups=points)
        nn.init.normal_(self.grow.weight, std=0.001)
        nn.init.normal_(self.heat.weight, std=0.001)
        nn.init.constant_(self.heat.bias, -4.6)  # type: ignore[arg-type]

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Heat with what neighbours say, and without."""
        x = self.layers(regions)
        own = list(x.split(self.each, 1))
        told = self._heard(own, own, self.first)
        told = self._heard(own, told, self.second)
        return self._drawn(torch.cat(told, 1)), self._drawn(x)

    def _heard(self, own: list[Tensor], said: list[Tensor], messages: nn.ModuleList) -> list[Tensor]:
        found = list(own)
        for (i, j), message in zip(self.near, messages, strict=True):
            found[i] = found[i] + message(said[j])
        return found

    def _drawn(self, x: Tensor) -> Tensor:
        drawn: Tensor = self.heat(F.relu(self.norm(self.grow(x))))
        return drawn


def _are_neighbours(one: int, other: int) -> bool:
    return abs(one // SIDE - other // SIDE) + abs(one % SIDE - other % SIDE) == 1


def _message(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 5, 1, 2, groups=width), nn.Conv2d(width, width, 1))


def corners() -> Tensor:
    """(9, 2) first cell (x, y) of each point's heat map in the whole area."""
    starts = torch.tensor([0, WHOLE // 4, WHOLE // 2])
    return torch.stack([starts.repeat_interleave(SIDE), starts.repeat(SIDE)], 1)


def points_of(boxes: Tensor) -> Tensor:
    """(n, 9, 2) points (x, y) of boxes, column by column."""
    share = torch.linspace(0, 1, SIDE, device=boxes.device)
    share = torch.stack([share.repeat_interleave(SIDE), share.repeat(SIDE)], 1)
    return boxes[:, None, :2] + share * sides(boxes)[:, None]


def heat_of(whole: Tensor, truth: Tensor) -> Tensor:
    """(n, 9, 28, 28) of 0 and 1: the cell of each point of (n, 4) targets, and the four beside it.

    ``whole`` (n, 4) are the areas that the heat maps lie in.
    """
    size = sides(whole)[:, None]
    cell = ((points_of(truth) - whole[:, None, :2]) / size * WHOLE).floor()
    cell = cell - corners().to(cell)
    steps = torch.arange(WHOLE // 2, device=cell.device)
    away = (steps - cell[..., None]).square()  # (n, 9, 2, 28)
    return (away[:, :, 1, :, None] + away[:, :, 0, None, :] <= 1).float()


def boxes_of(whole: Tensor, heat: Tensor) -> Tensor:
    """(n, 4) boxes from (n, 9, 28, 28) logits that lie in areas (n, 4)."""
    chance, place = heat.flatten(2).sigmoid().max(-1)
    cell = torch.stack([place % heat.shape[-1], place // heat.shape[-1]], -1)
    found = (cell + corners().to(cell) + 0.5) / WHOLE * sides(whole)[:, None] + whole[:, None, :2]
    grid, weight = found.unflatten(1, (SIDE, SIDE)), chance.unflatten(1, (SIDE, SIDE))
    edges = [
        (grid[:, 0, :, 0], weight[:, 0]),
        (grid[:, :, 0, 1], weight[:, :, 0]),
        (grid[:, -1, :, 0], weight[:, -1]),
        (grid[:, :, -1, 1], weight[:, :, -1]),
    ]
    return torch.stack([(at * by).sum(1) / by.sum(1).clamp(min=1e-9) for at, by in edges], 1)


def doubled(boxes: Tensor) -> Tensor:
    """The boxes, twice as large."""
    return around(centres(boxes), 2 * sides(boxes))


class GridRCNN(FasterRCNN):
    """Grid R-CNN as published by default.

    Parameters
    ----------
    each
        Channels of a point.
    looked
        Most proposals of a frame that the second head looks at; they are thinned out first.
    """

    sheet = Sheet(family="two-stage", source="Lu et al., CVPR 2019", paper_params=64.467e6)

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (4, 8, 16, 32, 64),
        width: int = 256,
        scale: float = 8.0,
        proposals: int = 300,
        finest: float | None = None,
        hidden: int = 1024,
        each: int = 64,
        looked: int = 100,
    ):
        super().__init__(
            backbone=backbone,
            strides=strides,
            width=width,
            scale=scale,
            proposals=proposals,
            finest=finest,
            hidden=hidden,
        )
        self.looked, self.points = looked, GridHead(width, each)

    def make_stage(self, width: int, hidden: int) -> nn.Module:
        return ClassHead(width, hidden)

    def decoded(self, boxes: Tensor, numbers: Tensor, number: int) -> Tensor:
        return boxes

    def box_loss(self, boxes: Tensor, truth: Tensor, numbers: Tensor, number: int) -> Tensor:
        return numbers.sum()  # of none: the first head says nothing of boxes

    def detect(self, image: Tensor) -> BoxOutput:
        output = super().detect(image)
        if self.training:
            return output  # its loss looks at other boxes
        kept = [
            suppress(boxes, logits, APART, most=self.looked)
            for boxes, logits in zip(output.boxes, output.logits, strict=True)
        ]
        boxes = [own[places] for own, places in zip(output.boxes, kept, strict=True)]
        logits = [own[places] for own, places in zip(output.logits, kept, strict=True)]
        heat = self.points(self.regions(output.parts["maps"], boxes, REGION))[0]
        found = boxes_of(doubled(torch.cat(boxes)), heat).split([len(own) for own in boxes])
        shape = output.parts["shape"]
        answer = side_by_side([within(own, shape) for own in found], logits)
        return answer._replace(priors=output.priors, parts=output.parts)

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        return super().loss(output, wanted) + GAIN * self._loss_of_points(output, wanted)

    def _loss_of_points(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        boxes, truth = [], []
        for found, own in zip(output.parts["found"], wanted.boxes, strict=True):
            drawn = self.sampled(torch.cat([found, own]), own, 0)
            chosen = (drawn.target >= 0).nonzero()[: MOST_TAUGHT // len(wanted.boxes), 0]
            boxes.append(jittered(drawn.boxes[chosen]))
            truth.append(drawn.truth[chosen])
        if not any(len(own) for own in boxes):
            return output.logits.sum() * 0
        wish = heat_of(doubled(torch.cat(boxes)), torch.cat(truth))
        said = self.points(self.regions(output.parts["maps"], boxes, REGION))
        return torch.stack([cross_entropy(heat.float(), wish).mean() for heat in said]).sum()


def jittered(boxes: Tensor) -> Tensor:
    """The boxes, moved and scaled by up to a share at random."""
    shift, scale = (JITTER * (2 * torch.rand_like(boxes[:, :2]) - 1) for _ in range(2))
    return around(centres(boxes) + shift * sides(boxes), sides(boxes) * (1 + scale))
