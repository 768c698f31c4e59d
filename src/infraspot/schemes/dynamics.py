"""Sample weights from training dynamics: what is measured of a frame, and the classifier that weighs it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.surroundings import look_around
from infraspot.core.sample import Sample
from infraspot.losses import Batch, edge_gradient

FEATURES = 11
MEMORY = 0.9
"""Share of the past in the running means of a frame."""
TEMPERATURE = 0.25


class MetaClassifier(nn.Module):
    """From (N, features) to N positive weights with mean 1: ``sigmoid(logit / 0.25)`` over its batch mean."""

    def __init__(self, features: int, hidden: int = 32) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(features, hidden), nn.Linear(hidden, 1)

    def begin(self, seed: int) -> None:
        """Fresh parameters; the last layer is zero, so that all frames weigh the same at first."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            shape = self.first.weight.shape
            self.first.weight.copy_(torch.randn(shape, generator=generator) / math.sqrt(shape[1]))
            for parameter in (self.first.bias, self.last.weight, self.last.bias):
                parameter.zero_()

    def forward(self, features: Tensor) -> Tensor:
        weights = torch.sigmoid(self.last(self.first(features).relu()).squeeze(1) / TEMPERATURE)
        return weights / weights.mean()


class Memory:
    """Running means of each frame's loss and weight."""

    def __init__(self) -> None:
        self._means: dict[str, list[float]] = {}

    def update(self, seen: Iterable[tuple[str, float, float]]) -> None:
        """Take in the id, loss and weight of each frame of a batch; the first time counts in full."""
        for id, loss, weight in seen:
            kept = self._means.setdefault(id, [loss, weight])
            kept[0] += (1 - MEMORY) * (loss - kept[0])
            kept[1] += (1 - MEMORY) * (weight - kept[1])

    def losses(self, ids: Sequence[str], now: Tensor) -> Tensor:
        """(N,) running means of the losses, those of now for frames that were not met before."""
        values = [
            self._means[id][0] if id in self._means else loss
            for id, loss in zip(ids, now.tolist(), strict=True)
        ]
        return torch.tensor(values, device=now.device)

    def weights(self) -> dict[str, float]:
        """Running mean of each frame's weight."""
        return {id: kept[1] for id, kept in self._means.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"means": {id: list(kept) for id, kept in self._means.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._means = {id: list(kept) for id, kept in state["means"].items()}


@torch.no_grad()
def describe(logits: Tensor, batch: Batch, losses: Tensor, before: Tensor, hardness: Tensor) -> Tensor:
    """(N, 11) what training shows of each frame, standardised over the batch.

    Mean probability, mean absolute logit, mean entropy; mean absolute and squared error, mean of the largest
    tenth of the errors, error on the boundary of the label; Dice; share of pixels above one half; running
    mean of the loss; how hard the frame looked before training.

    Parameters
    ----------
    logits
        (N, 1, H, W) the network's answers.
    losses, before
        (N,) losses now, and their running means.
    hardness
        (N,) of :func:`hardness_of`.
    """
    p, y = torch.sigmoid(logits.float()).flatten(1), batch.labels.flatten(1)
    error = (p - y).abs()
    band = (edge_gradient(batch.labels) > 0).flatten(1)
    hardest = error.topk(max(error.shape[1] // 10, 1), dim=1).values
    measured = [
        p.mean(1),
        logits.float().abs().flatten(1).mean(1),
        F.binary_cross_entropy(p, p, reduction="none").mean(1),
        error.mean(1),
        error.square().mean(1),
        hardest.mean(1),
        (error * band).sum(1) / band.sum(1).clamp(min=1),
        2 * (p * y).sum(1) / (p.sum(1) + y.sum(1) + 1),
        (p > 0.5).float().mean(1),
        before,
        hardness,
    ]
    return standardised(torch.stack(measured, 1))


def standardised(features: Tensor) -> Tensor:
    """Mean 0 and deviation 1 of each column over the batch; a column without spread is 0."""
    deviation = features.std(0, unbiased=False, keepdim=True)
    return (features - features.mean(0, keepdim=True)) / (deviation + 1e-6)


def hardness_of(samples: Sequence[Sample]) -> dict[str, float]:
    """How hard each frame looks, from image and clicks: minus the log of its faintest target's contrast.

    The contrast is in deviations of the surroundings. Standardised over the frames; a frame without clicks
    is 0, as hard as the mean one.
    """
    faintest = {sample.id: _faintest(sample) for sample in samples}
    known = [value for value in faintest.values() if value is not None]
    mean, deviation = (float(np.mean(known)), float(np.std(known)) + 1e-6) if known else (0.0, 1.0)
    return {id: 0.0 if value is None else (value - mean) / deviation for id, value in faintest.items()}


def _faintest(sample: Sample) -> float | None:
    image = np.ascontiguousarray(sample.image, np.float32)
    seen = (look_around(image, *pixel_of(point)) for point in np.asarray(sample.points).reshape(-1, 2))
    return max((-math.log(found.contrast / max(found.noise, 1 / 65535)) for found in seen), default=None)
