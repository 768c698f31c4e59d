"""What a way of training adds to the loop."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from infraspot.core.sample import Sample
from infraspot.losses import Batch, Loss
from infraspot.schemes.labels import LabelStore


class Trainee(Protocol):
    """What a scheme sees of a run.

    Attributes
    ----------
    network
        In training mode within ``loss``; takes images and gives ``SegOutput``.
    loss
        The recipe's loss, one value a sample.
    samples, val
        Frames to train on and to select on, as read, without augmentation.
    labels
        Labels in force for ``samples``.
    epoch, seed
        Counted from 0; the seed of every random draw.
    """

    network: nn.Module
    loss: Loss
    labels: LabelStore

    @property
    def samples(self) -> Sequence[Sample]: ...
    @property
    def val(self) -> Sequence[Sample]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> torch.device: ...


class Scheme:
    """Hooks of the training loop; a scheme overrides what it needs.

    The loop calls ``begin`` once, then for each epoch ``begin_epoch``, for each batch ``loss`` and
    ``after_step``, and ``end_epoch``. A resumed run calls ``load_state_dict`` instead of ``begin``, and does
    not repeat ``begin_epoch`` where it stopped within an epoch.
    """

    def begin(self, run: Trainee) -> None:
        """Give ``run.labels`` a label for every frame, and say which are active."""
        raise NotImplementedError

    def begin_epoch(self, run: Trainee) -> None:
        """Change labels or the pool of active frames."""

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        """Scalar to minimise."""
        return run.loss(run.network(batch.images), batch).mean()

    def after_step(self, run: Trainee, batch: Batch) -> None:
        """An outer level with its own parameters and optimisers."""

    def end_epoch(self, run: Trainee, mean_loss: float) -> None:
        """Look at how the epoch went."""

    def state_dict(self) -> dict[str, Any]:
        """What the scheme must remember besides the labels: tensors, numbers, strings, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
