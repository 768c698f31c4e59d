"""A training run: everything that the loop works on, and how far it is."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric

from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.detection import Detector
from infraspot.inference.box_engines import TorchBoxEngine
from infraspot.inference.engines import TorchEngine
from infraspot.inference.predictor import predict
from infraspot.losses import Batch, Loss
from infraspot.networks import SegmentationNetwork
from infraspot.schemes import LabelStore, Scheme
from infraspot.schemes.clicks import masks_from_clicks, require_clicks
from infraspot.training.batching import VAL_STREAM, Loader
from infraspot.training.ema import EMA
from infraspot.training.frames import CachedFrames
from infraspot.training.label_state import LabelWatch
from infraspot.training.settings import Recipe
from infraspot.training.validation import Masks, true_masks

Row = dict[str, float]
T = TypeVar("T")

# The annotator that grows masks to validate by where nobody drew them.
JUDGE = "profile"


@dataclass
class Position:
    """How far a run is.

    Attributes
    ----------
    epoch, batch
        The next batch: epochs behind, and batches behind in the present one.
    loss_sum
        Of the batches behind in the present epoch.
    noted
        Numbers that the scheme gave in the present epoch: their sum, and how many there were.
    seconds
        Of work, over all sittings.
    rows
        One for each epoch behind: loss, learning rate, the scheme's numbers, and the validation where there
        was one.
    best
        The row of the best epoch by the recipe's ``select``, with ``selection``, its value.
    begun
        Whether the scheme has given the first labels.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    noted: dict[str, tuple[float, int]] = field(default_factory=dict)
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: Row | None = None
    begun: bool = False


@dataclass(eq=False)
class Run:
    """What the loop works on, and what a scheme sees (see :class:`infraspot.schemes.Trainee`).

    ``module`` is the network itself, and ``network`` the same one behind the precision and the devices.
    ``frames`` and ``val_frames`` know the truth, and the scheme sees them as ``samples`` and ``val``.
    A watcher that sets ``stopping`` ends the sitting after the batch: the run is saved and can go on.
    ``curves_open`` says that this sitting has begun the file of curves.
    ``watches`` compare ``labels`` and ``val_labels`` with it, where a scheme makes labels without seeing it.
    """

    recipe: Recipe
    folder: Path
    fabric: Fabric
    module: SegmentationNetwork | Detector
    network: Any
    optimiser: torch.optim.Optimizer
    ema: EMA | None
    loss: Loss
    scheme: Scheme
    frames: CachedFrames
    val_frames: CachedFrames
    labels: LabelStore
    val_labels: LabelStore
    loader: Loader
    val_loader: Loader
    watches: Sequence[LabelWatch] = ()
    at: Position = field(default_factory=Position)
    stopping: bool = False
    curves_open: bool = False

    @property
    def complete(self) -> bool:
        """Whether the last epoch is behind, or no better one came for ``patience`` epochs."""
        return self.at.epoch >= self.epochs or self.patience_ended

    @property
    def patience_ended(self) -> bool:
        """Whether the best epoch lies ``patience`` epochs back."""
        patience, best = self.recipe.train.patience, self.at.best
        return patience is not None and best is not None and self.at.epoch - best["epoch"] >= patience

    @property
    def epoch(self) -> int:
        """Counted from 0."""
        return self.at.epoch

    @property
    def epochs(self) -> int:
        """Length of the run."""
        return self.recipe.train.epochs

    @property
    def seed(self) -> int:
        """Seed of every random draw."""
        return self.recipe.train.seed

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return self.fabric.device

    @property
    def leads(self) -> bool:
        """Whether this process, of those that share the run, writes its files and speaks for it."""
        return bool(self.fabric.is_global_zero)

    @property
    def samples(self) -> Sequence[Sample]:
        """Frames to train on."""
        return self.loader.samples

    @property
    def val(self) -> Sequence[Sample]:
        """Frames that a scheme may learn from beside those to train on; never those of test."""
        return self.val_loader.samples

    @property
    def unlabelled(self) -> Sequence[Sample]:
        """Frames of which nothing is known."""
        return () if self.loader.unlabelled is None else self.loader.unlabelled.samples

    @cached_property
    def judges(self) -> tuple[Masks, Masks]:
        """Masks to validate by: those of the frames, and those that ``profile`` grows from their clicks.

        Raises
        ------
        DataError
            If the best epoch is chosen by one of them, and a frame lacks what it is made of.
        """
        by_clicks = self.recipe.train.select_on == "clicks"
        truth = true_masks(self.val_frames, required=not by_clicks)
        clicked = by_clicks or not self.scheme.needs_truth
        if by_clicks:
            require_clicks(self.val_frames, "choosing the best epoch by clicks")
        elif clicked:
            clicked = all(sample.points is not None for sample in self.val_frames)
        return truth, masks_from_clicks(self.val_frames, JUDGE) if clicked else {}

    @property
    def product(self) -> SegmentationNetwork | Detector:
        """The network to validate and to keep: the running mean where there is one."""
        return self.module if self.ema is None else self.ema.network

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every frame that the run reads."""
        further = (self.loader.negatives, self.loader.unlabelled)
        sets = (self.frames, self.val_frames, *(part.samples for part in further if part is not None))
        return hashlib.sha256("".join(frames.fingerprint for frames in sets).encode()).hexdigest()

    @property
    def done(self) -> float:
        """Epochs behind, with the share of the present one."""
        return self.at.epoch + self.at.batch / max(len(self.loader), 1)

    def val_batch(self, frames: int) -> Batch:
        """Frames of ``val`` with their labels, augmented as those to train on; others in each batch."""
        place = [self.seed, self.at.epoch, self.at.batch, VAL_STREAM, self.fabric.global_rank]
        return self.val_loader.drawn(frames, place).to(self.device)

    def average(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over the processes that share the run."""
        if self.fabric.world_size == 1:
            return value
        mean: Any = self.fabric.all_reduce(value, reduce_op="mean")
        return mean

    def gather(self, rows: list[T]) -> list[T]:
        """The rows of every process that shares the run, in the order of the processes."""
        if self.fabric.world_size == 1:
            return rows
        parts: list[list[T]] = [[] for _ in range(self.fabric.world_size)]
        torch.distributed.all_gather_object(parts, rows)
        return [row for part in parts for row in part]

    def predict(self, frames: Sequence[Sample]) -> Iterator[Prediction]:
        """What :attr:`product` says about each frame, prepared as a detector that runs would prepare it."""
        product = self.product
        if self.fabric.world_size > 1:
            # Statistics of normalisation differ between processes; the leader's are those that are kept.
            product.load_state_dict(self.fabric.broadcast(product.state_dict()))
        make = TorchBoxEngine if isinstance(product, Detector) else TorchEngine
        engine = make(product, {}, self.recipe.network.name)  # type: ignore[arg-type]
        return (predict(engine, sample) for sample in frames)
