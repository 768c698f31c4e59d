"""What a way of training adds to the loop."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from infraspot.core.errors import InfraspotError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.losses import Batch, Loss
from infraspot.schemes.labels import LabelStore

Numbers = Mapping[str, float]
Row = TypeVar("Row")

KEPT = "the last checkpoint is as it was; lower optimiser.lr or set optimiser.clip"
"""What to do about a :class:`TrainingError`."""


class TrainingError(InfraspotError):
    """The loss or the weights are no longer finite; the last checkpoint is untouched."""


class Trainee(Protocol):
    """What a scheme sees of a run.

    Attributes
    ----------
    network
        In training mode within ``loss``; takes images and gives ``SegOutput``.
    module
        The network itself, without what precision and devices wrap around it.
    optimiser
        Of the network's parameters.
    loss
        The recipe's loss, one value a sample.
    samples, val
        Frames to train on and to select on, as read, without augmentation. Masks and boxes are taken away
        unless the scheme needs the truth.
    unlabelled
        Frames of ``[unlabelled]``, without any annotation.
    labels, val_labels
        Labels in force for ``samples`` and, where the scheme gives any, for ``val``.
    epoch, epochs, seed
        Counted from 0; how many there are; the seed of every random draw.
    """

    network: nn.Module
    loss: Loss
    labels: LabelStore
    val_labels: LabelStore

    @property
    def module(self) -> nn.Module: ...
    @property
    def optimiser(self) -> torch.optim.Optimizer: ...
    @property
    def samples(self) -> Sequence[Sample]: ...
    @property
    def val(self) -> Sequence[Sample]: ...
    @property
    def unlabelled(self) -> Sequence[Sample]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> torch.device: ...

    def val_batch(self, frames: int) -> Batch:
        """So many frames of ``val`` with their labels, drawn anew in each step and augmented."""
        ...

    def average(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes that share the run."""
        ...

    def gather(self, rows: list[Row]) -> list[Row]:
        """The rows of every process that shares the run, in the order of the processes."""
        ...

    def predict(self, frames: Sequence[Sample]) -> Iterator[Prediction]:
        """What the network, or its running mean, says about each frame, as a detector that runs would."""
        ...


class Scheme:
    """Hooks of the training loop; a scheme overrides what it needs.

    The loop calls ``begin`` once; then for each epoch ``begin_epoch``, for each batch ``loss``, for each step
    of the optimiser ``after_step``, and ``end_epoch``. A resumed run calls ``load_state_dict`` instead of
    ``begin``, and does not repeat ``begin_epoch`` where it stopped within an epoch.

    ``begin_epoch``, ``after_step`` and ``end_epoch`` may return numbers for the log; those of the steps are
    averaged over the epoch.

    Attributes
    ----------
    needs_truth
        Whether ``samples`` and ``val`` keep their masks and boxes.
    self_supervised
        Whether it learns from frames alone: frames of any kind are read without annotation, and the last
        weights are kept unless the recipe names a split with masks to choose by.
    detects
        Whether the network's answer is a score of targets; weights of other schemes are a start alone.
    uses_val
        Whether it learns from ``val``; the frames of test are then kept out of it.
    reads
        Parts of a batch that it needs beside images and labels: any of ``boxes``, ``points``, ``sky``. Frames
        that lack one end the run with their names.
    """

    needs_truth: ClassVar[bool] = False
    self_supervised: ClassVar[bool] = False
    detects: ClassVar[bool] = True
    uses_val: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ()

    def begin(self, run: Trainee) -> None:
        """Give ``run.labels`` a label for every frame, and say which are active."""
        raise NotImplementedError

    def begin_epoch(self, run: Trainee) -> Numbers | None:
        """Change labels or the pool of active frames."""

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        """Scalar to minimise."""
        return run.loss(run.network(batch.images), batch).mean()

    def after_step(self, run: Trainee, batch: Batch) -> Numbers | None:
        """Train an outer level with parameters and optimisers of its own; labels are frozen here."""

    def end_epoch(self, run: Trainee, mean_loss: float) -> Numbers | None:
        """Look at how the epoch went; labels may change."""

    def worth(self) -> Mapping[str, float]:
        """How much each frame matters to training, by its id, where the scheme learns that."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What the scheme must remember besides the labels: tensors, numbers, strings, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
