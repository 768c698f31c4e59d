"""Labels that are a function of the diffusion's parameters, for many clicks at once and with gradients."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from infraspot.annotators.diffusion import HeatWindow, heat_mask, heat_window
from infraspot.blocks.diffusion import HeatDiffusion
from infraspot.core.sample import Sample
from infraspot.inference.frames import prepare_frame
from infraspot.losses import Batch
from infraspot.schemes.labels import LabelStore

SIDE = 64
"""Of the crops in which labels meet the network; the least that every network trains on."""
SHARPNESS = 4.0
"""How steeply the differentiable label passes one half where the mask has its border."""


@dataclass(frozen=True, eq=False)
class _Target:
    frame: int
    heat: HeatWindow


class HeatLabels:
    """The windows of all clicks of some frames, prepared once.

    Parameters
    ----------
    samples
        Frames with clicks inside them.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._frames = [(sample.id, sample.shape) for sample in samples]
        self._targets = [
            _Target(frame, heat_window(np.ascontiguousarray(sample.image, np.float32), point))
            for frame, sample in enumerate(samples)
            for point in np.asarray(sample.points, np.float64).reshape(-1, 2)
        ]

    def __len__(self) -> int:
        """How many clicks there are."""
        return len(self._targets)

    @torch.no_grad()
    def masks(self, diffusion: HeatDiffusion) -> dict[str, NDArray[np.bool_]]:
        """The mask (H, W) of each frame: those of the annotator ``diffusion`` with these parameters."""
        masks = {id: np.zeros(shape, np.bool_) for id, shape in self._frames}
        fields = self._fields(diffusion, range(len(self)))
        for target, field in zip(self._targets, fields, strict=True):
            heat, mask = target.heat, masks[self._frames[target.frame][0]]
            height, width = heat.window.shape
            place = mask[heat.top : heat.top + height, heat.left : heat.left + width]
            place |= heat_mask(field.cpu().numpy(), heat)
        return masks

    def crops(self, targets: Sequence[int], labels: LabelStore, device: torch.device) -> "Crops":
        """Windows of :data:`SIDE` pixels around some of the clicks, without augmentation."""
        images, given, rest, corners = [], [], [], []
        for index in targets:
            target = self._targets[index]
            sample, heat = self._samples[target.frame], target.heat
            height, width = heat.window.shape
            top, left = heat.top - (SIDE - height) // 2, heat.left - (SIDE - width) // 2
            rows, columns = np.arange(top, top + SIDE), np.arange(left, left + SIDE)
            # Beyond the frame, its border is repeated, and nothing is a target.
            inside = np.ix_(rows.clip(0, sample.shape[0] - 1), columns.clip(0, sample.shape[1] - 1))
            beyond = (
                ((rows < 0) | (rows >= sample.shape[0]))[:, None]
                | (columns < 0)
                | (columns >= sample.shape[1])
            )
            given.append(np.where(beyond, 0, labels[sample.id][inside]))
            others = given[-1].copy()
            y, x = heat.top - top, heat.left - left
            others[y : y + height, x : x + width] = 0
            images.append(prepare_frame(sample.image, sample.bit_depth)[inside])
            rest.append(others)
            corners.append((y, x))
        layers = (
            torch.from_numpy(np.stack(part).astype(np.float32))[:, None].to(device)
            for part in (images, given, rest)
        )
        ids = tuple(self._frames[self._targets[index].frame][0] for index in targets)
        return Crops(self, tuple(targets), ids, tuple(corners), *layers)

    def relaxed(self, diffusion: HeatDiffusion, targets: Sequence[int]) -> list[Tensor]:
        """(h, w) labels in (0, 1), one half where a mask has its border; differentiable in the parameters."""
        fields = self._fields(diffusion, targets)
        thresholds = (self._targets[index].heat.threshold for index in targets)
        return [
            torch.sigmoid(SHARPNESS * (field.clamp(min=1e-6) / threshold).log())
            for field, threshold in zip(fields, thresholds, strict=True)
        ]

    def _fields(self, diffusion: HeatDiffusion, targets: Sequence[int]) -> list[Tensor]:
        """Eq. 4 for some of the clicks; windows of one size are computed together."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, index in enumerate(targets):
            groups[self._targets[index].heat.window.shape].append(place)
        fields: list[Tensor] = [torch.empty(0)] * len(targets)
        for places in groups.values():
            heats = [self._targets[targets[place]].heat for place in places]
            for place, field in zip(places, self._together(diffusion, heats), strict=True):
                fields[place] = field[0]
        return fields

    @staticmethod
    def _together(diffusion: HeatDiffusion, heats: Sequence[HeatWindow]) -> Tensor:
        device = diffusion.log_beta.device
        sources = np.zeros((len(heats), *heats[0].window.shape), np.float32)
        for source, heat in zip(sources, heats, strict=True):
            source[heat.seed] = 1
        layers = (
            torch.from_numpy(np.asarray(part, np.float32))[:, None].to(device)
            for part in (np.stack([h.window for h in heats]), sources, np.stack([h.prior for h in heats]))
        )
        yielding = torch.tensor([heat.yielding for heat in heats], device=device).view(-1, 1, 1, 1)
        label: Tensor = diffusion(*layers, yielding)
        return label


@dataclass(frozen=True, eq=False)
class Crops:
    """N crops of :data:`SIDE` pixels.

    Attributes
    ----------
    images, given, rest
        (N, 1, SIDE, SIDE): what the network sees, the labels in force, and those of other targets alone.
    """

    source: HeatLabels
    targets: tuple[int, ...]
    ids: tuple[str, ...]
    corners: tuple[tuple[int, int], ...]
    images: Tensor
    given: Tensor
    rest: Tensor

    def batch(self, diffusion: HeatDiffusion) -> Batch:
        """The crops with the labels of their own targets, differentiable in the diffusion's parameters."""
        pasted = []
        for label, (y, x) in zip(self.source.relaxed(diffusion, self.targets), self.corners, strict=True):
            height, width = label.shape
            pasted.append(F.pad(label, (x, SIDE - x - width, y, SIDE - y - height)))
        labels = torch.maximum(torch.stack(pasted)[:, None].to(self.rest.device), self.rest)
        return Batch(self.ids, self.images, labels)
