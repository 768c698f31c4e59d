"""YOLOX: exceeding YOLO series in 2021 (Ge et al., 2021).

A backbone of partial stages (CSPDarknet), a pyramid that goes down and up again, and for each level a head of
its own with separate towers for scores and boxes. Whether there is anything at all is a branch of its own.
Each target takes the places that cost it least (SimOTA). Mosaic, mixing of frames and the last epochs without
them are left out.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.assigners import Assignment, Said, optimal_transport
from infraspot.detection.backbones import Backbone
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.boxes import around, overlaps
from infraspot.detection.heads import HeadMaps, flat
from infraspot.detection.losses import cross_entropy, squared_overlap_loss
from infraspot.detection.priors import Anchors
from infraspot.networks.sheet import Sheet

# Stages of width 1: channels, blocks at depth 1, and whether blocks add their input.
STAGES = ((128, 3, True), (256, 9, True), (512, 9, True), (1024, 3, False))
BOX_GAIN = 5.0
RARE = -4.6


class Layer(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )


class PartialStage(nn.Module):
    """Half of the channels go through ``depth`` blocks, the other half beside them."""

    def __init__(self, in_channels: int, out_channels: int, depth: int, *, adds: bool):
        super().__init__()
        half = out_channels // 2
        self.main, self.beside = Layer(in_channels, half), Layer(in_channels, half)
        self.blocks = nn.ModuleList(
            nn.Sequential(Layer(half, half), Layer(half, half, 3)) for _ in range(depth)
        )
        self.together, self.adds = Layer(2 * half, out_channels), adds

    def forward(self, x: Tensor) -> Tensor:
        y = self.main(x)
        for block in self.blocks:
            y = y + block(y) if self.adds else block(y)
        found: Tensor = self.together(torch.cat([y, self.beside(x)], 1))
        return found


class PooledContext(nn.Module):
    """The map beside its maxima over 5, 9 and 13 cells."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze, self.expand = Layer(channels, channels // 2), Layer(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        found: Tensor = self.expand(torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1))
        return found


class PartialDarknet(Backbone):
    """CSPDarknet: phases of the image become channels, then four stages at strides 4 to 32."""

    strides = (4, 8, 16, 32)

    def __init__(self, depth: float, width: float):
        super().__init__()
        channels = round(64 * width)
        self.stem = Layer(4, channels, 3)
        stages, self.channels = [], ()
        for number, (wide, deep, adds) in enumerate(STAGES):
            out = round(wide * width)
            context = [PooledContext(out)] if number == len(STAGES) - 1 else []
            blocks = PartialStage(out, out, max(1, round(deep * depth)), adds=adds)
            stages.append(nn.Sequential(Layer(channels, out, 3, 2), *context, blocks))
            channels = out
            self.channels = (*self.channels, out)
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, levels = self.stem(F.pixel_unshuffle(image, 2)), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


class DownAndUp(nn.Module):
    """A pyramid from coarse to fine and back to coarse (PANet), its joints partial stages."""

    def __init__(self, channels: Sequence[int], width: int, depth: int):
        super().__init__()
        pairs = list(pairwise(channels))
        self.reduce = nn.ModuleList(Layer(coarse, fine) for fine, coarse in pairs)
        self.down = nn.ModuleList(PartialStage(2 * fine, fine, depth, adds=False) for fine, _ in pairs)
        self.shrink = nn.ModuleList(Layer(fine, fine, 3, 2) for fine, _ in pairs)
        self.up = nn.ModuleList(PartialStage(2 * fine, coarse, depth, adds=False) for fine, coarse in pairs)
        self.out = nn.ModuleList(Layer(count, width) for count in channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        x = levels[-1]
        maps: list[Tensor] = []
        for k in reversed(range(len(self.reduce))):
            x = self.reduce[k](x)
            maps.insert(0, x)
            x = self.down[k](torch.cat([F.interpolate(x, scale_factor=2.0), levels[k]], 1))
        found = [x]
        for k, shrink in enumerate(self.shrink):
            x = self.up[k](torch.cat([shrink(x), maps[k]], 1))
            found.append(x)
        return [layer(map_) for layer, map_ in zip(self.out, found, strict=True)]


class LevelHead(nn.Module):
    """The head of one level: two layers to the score, two to the box and to whether there is anything."""

    def __init__(self, width: int):
        super().__init__()
        self.class_tower = nn.Sequential(Layer(width, width, 3), Layer(width, width, 3))
        self.box_tower = nn.Sequential(Layer(width, width, 3), Layer(width, width, 3))
        self.logits, self.boxes, self.there = (nn.Conv2d(width, count, 1) for count in (1, 4, 1))
        for layer in (self.logits, self.there):
            nn.init.constant_(layer.bias, RARE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of the score's logit, of four numbers of a box, and of the logit that there is anything."""
        of_box = self.box_tower(x)
        return self.logits(self.class_tower(x)), self.boxes(of_box), self.there(of_box)


class YOLOX(Detector):
    """YOLOX-S as published by default.

    Parameters
    ----------
    depth, wide
        Of the backbone, as factors: .33 and .5 make the form S, 1 and 1 the form L.
    strides
        Of the levels, the last ones of the backbone's 4, 8, 16 and 32.
    width
        Channels of the heads.
    """

    sheet = Sheet(
        family="dense",
        source="Ge et al., 2021",
        paper_params=8.968e6,
        note="8.935 M; the table's figure counts 80 classes and three channels",
    )
    suppression = Detector.suppression | {"iou": 0.65}

    def __init__(
        self,
        *,
        depth: float = 0.33,
        wide: float = 0.5,
        strides: tuple[int, ...] = (8, 16, 32),
        width: int = 128,
    ):
        super().__init__()
        self.backbone = PartialDarknet(depth, wide)
        known = self.backbone.strides
        if tuple(strides) != known[-len(strides) :]:
            raise ValueError(f"strides are the last ones of {known}, and {tuple(strides)} came")
        self.strides = tuple(strides)
        channels = self.backbone.channels[-len(strides) :]
        self.neck = DownAndUp(channels, width, max(1, round(3 * depth)))
        self.heads = nn.ModuleList(LevelHead(width) for _ in strides)
        self.anchors, self.assign = Anchors(), optimal_transport()

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.neck(self.backbone(image)[-len(self.strides) :])
        said = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        answer = HeadMaps(*(list(part) for part in zip(*said, strict=True)))
        assert answer.quality is not None
        priors = self.anchors(maps, self.strides)
        raw, strides = flat(answer.boxes, 4).float(), priors.strides[:, None]
        size = raw[..., 2:].clamp(max=10).exp() * strides
        boxes = around(priors.points + raw[..., :2] * strides, size)
        return BoxOutput(boxes, flat(answer.logits), flat(answer.quality), priors, parts={"raw": raw})

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        assert output.priors is not None
        assert output.quality is not None
        scores = self.scores(output).detach().sqrt()
        assigned: list[Assignment] = [
            self.assign(output.priors, boxes, Said(scores[k], output.boxes[k].detach()))
            for k, boxes in enumerate(wanted.boxes)
        ]
        positive = torch.stack([one.positive for one in assigned])
        truth = torch.cat(
            [boxes[one.target[one.positive]] for boxes, one in zip(wanted.boxes, assigned, strict=True)]
        )
        found = output.boxes[positive]
        fit = overlaps(found.detach(), truth)
        parts: list[Any] = [
            cross_entropy(output.quality.float(), positive.float()),
            cross_entropy(output.logits[positive].float(), fit),
            BOX_GAIN * squared_overlap_loss(found, truth),
        ]
        total: Tensor = sum(part.sum() for part in parts) / positive.sum().clamp(min=1)
        return total
