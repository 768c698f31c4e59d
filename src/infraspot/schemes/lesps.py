"""LESPS: labels that start as single pixels and grow with the network's predictions (Ying et al., CVPR 2023).

"Mapping Degeneration Meets Label Evolution: Learning Infrared Small Target Detection with Single Point
Supervision". Early in training a network that sees points alone answers with whole targets (mapping
degeneration); before it learns to answer with points, its answers become the labels. Once the epoch's mean
loss is below ``start_loss``, the labels take one step of :func:`infraspot.schemes.evolution.evolve` every
``every`` of the run, and the network trains on them with the point-focal loss.

The authors evolve every 5 of 400 epochs, and train with Adam, 5e-4, divided by 10 at epochs 200 and 300, in
batches of 16 crops of 256 pixels (recipe ``d2d/lesps``). Here the running mean predicts where the recipe has
one (``train.ema``), and labels of whole frames evolve.
"""

from typing import Any

import numpy as np
from torch import Tensor

from infraspot.losses import LOSSES, Batch, DeepSupervision
from infraspot.schemes.base import Numbers, Scheme, Trainee
from infraspot.schemes.clicks import click_masks, require_clicks
from infraspot.schemes.evolution import evolve
from infraspot.schemes.timing import is_due


class Lesps(Scheme):
    """Labels of one pixel a click evolve between epochs.

    Parameters
    ----------
    start_loss
        Labels rest until the mean loss of an epoch is below it.
    every
        Share of the run between two updates; one epoch at least.
    own_loss
        Train with the point-focal loss of the paper on every map of the network, else with the recipe's loss.
    """

    def __init__(self, start_loss: float = 10.0, every: float = 5 / 400, own_loss: bool = True) -> None:
        self.start_loss, self.every, self.own_loss = start_loss, every, own_loss
        self.started = False
        self._loss = DeepSupervision(LOSSES["point_focal"](), 1.0, size="upsample", normalise=True)

    def begin(self, run: Trainee) -> None:
        require_clicks(run.samples, "the scheme lesps")
        for id, mask in click_masks(run.samples).items():
            run.labels[id] = mask
        run.labels.active = [sample.id for sample in run.samples]

    def begin_epoch(self, run: Trainee) -> Numbers | None:
        """Evolve the labels where it is time."""
        if not (self.started and is_due(run, self.every)):
            return None
        changed = 0
        for sample, prediction in zip(run.samples, run.predict(run.samples), strict=True):
            before = run.labels[sample.id].astype(np.float32)
            label, updated = evolve(before, prediction.require_map("the scheme lesps"))
            run.labels[sample.id] = label
            changed += int(updated.any())
        return {"evolved": changed}

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        if not self.own_loss:
            return super().loss(run, batch)
        return self._loss(run.network(batch.images), batch).mean()

    def end_epoch(self, run: Trainee, mean_loss: float) -> None:
        self.started = self.started or mean_loss < self.start_loss

    def state_dict(self) -> dict[str, Any]:
        return {"started": self.started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.started = state["started"]
