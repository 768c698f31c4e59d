"""A training run: everything that one holds, built from a recipe."""

import hashlib
import math
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from infraspot.core.errors import UsageError
from infraspot.core.files import write_text
from infraspot.core.version import VERSION
from infraspot.inference.engines import locate
from infraspot.losses import Loss
from infraspot.networks import SegmentationNetwork
from infraspot.schemes import LabelStore, Scheme
from infraspot.training import parts
from infraspot.training.batching import Loader, Negatives
from infraspot.training.ema import EMA
from infraspot.training.frames import CachedFrames, LabelledFrames
from infraspot.training.recipe import to_toml
from infraspot.training.settings import NegativesPart, Recipe, TrainPart
from infraspot.training.sources import open_negatives, open_training, open_validation
from infraspot.weights.files import load_network

Row = dict[str, float]

# Where things lay on one machine is of no use on another.
PLACES: Any = {"network": {"start"}, "data": {"path"}, "negatives": {"path"}}


@dataclass
class Position:
    """How far a run is.

    Attributes
    ----------
    epoch, batch
        The next batch: epochs behind, and batches behind in the present one.
    loss_sum
        Of the batches behind in the present epoch.
    seconds
        Of work, over all sittings.
    rows
        One for each epoch behind: loss, learning rate, and the validation where there was one.
    best
        The row of the best epoch by the recipe's ``select``, with ``selection``, its value.
    begun
        Whether the scheme has given the first labels.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: Row | None = None
    begun: bool = False


@dataclass(eq=False)
class Run:
    """What the loop works on, and what a scheme sees (see :class:`infraspot.schemes.Trainee`).

    ``module`` is the network itself, and ``network`` the same one behind the precision and the device.
    """

    recipe: Recipe
    folder: Path
    fabric: Fabric
    module: SegmentationNetwork
    network: nn.Module
    optimiser: torch.optim.Optimizer
    ema: EMA | None
    loss: Loss
    scheme: Scheme
    labels: LabelStore
    samples: CachedFrames
    val: CachedFrames
    loader: Loader
    at: Position = field(default_factory=Position)

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
    def product(self) -> SegmentationNetwork:
        """The network to validate and to keep: the running mean where there is one."""
        return self.module if self.ema is None else self.ema.network

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that is trained on."""
        negatives = self.loader.negatives
        if negatives is None:
            return self.samples.fingerprint
        return hashlib.sha256((self.samples.fingerprint + negatives.samples.fingerprint).encode()).hexdigest()

    @property
    def done(self) -> float:
        """Epochs behind, with the share of the present one."""
        return self.at.epoch + self.at.batch / max(len(self.loader), 1)


def build_run(recipe: Recipe, folder: Path | str) -> Run:
    """Read the data, build every part with fresh weights, and write the recipe into the run's folder.

    Raises
    ------
    InfraspotError
        If the data are absent or unusable, or an option has a value that its part refuses.
    """
    train = recipe.train
    if train.threads:
        torch.set_num_threads(train.threads)
    fabric = _open_device(train)
    limit = recipe.data.cache_gb * 2**30
    samples = CachedFrames(open_training(recipe.data), limit)
    val_split = recipe.data.val_split if train.select_on == "val" else recipe.data.test_split
    val = CachedFrames(open_validation(recipe.data, val_split), limit)
    # Weights and dropout draw from torch's own generator, for want of another handle; checkpoints keep it.
    torch.manual_seed(train.seed)
    module = parts.network_of(recipe.network)
    if train.channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = parts.build_optimiser(recipe.optimiser, module.to(fabric.device))
    network, wrapped = fabric.setup(module, optimiser)
    loss = parts.build_loss(recipe.loss)
    loss.begin(module)
    labels = LabelStore()
    donors = LabelledFrames(samples, labels)
    transform = parts.build_transform(recipe.augment, donors)
    negatives = _open_negatives(recipe.negatives, donors)
    write_text(Path(folder) / "recipe.toml", to_toml(recipe))
    return Run(
        recipe=recipe,
        folder=Path(folder),
        fabric=fabric,
        module=module,
        network=network,
        optimiser=wrapped,
        ema=EMA(module, train.ema) if train.ema else None,
        loss=loss,
        scheme=parts.build_scheme(recipe.scheme),
        labels=labels,
        samples=samples,
        val=val,
        loader=Loader(samples, labels, transform, train.batch, train.seed, train.drop_last, negatives),
    )


def load_start(run: Run) -> None:
    """Give a run that has not begun the weights that its recipe starts from, if it names some.

    Raises
    ------
    UsageError
        If nothing has that name, or the weights are another network's.
    """
    start = run.recipe.network.start
    if start is None:
        return
    source, card = load_network(locate(start, "torch"))
    try:
        run.module.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise UsageError(
            f"network.start {start} holds weights of {card['network']}, and the recipe trains"
            f" {run.recipe.network.spec}; `infraspot train --start {start}` takes the network from the file"
        ) from error
    if run.ema is not None:
        run.ema.network.load_state_dict(source.state_dict())


def _open_negatives(part: NegativesPart | None, donors: LabelledFrames) -> Negatives | None:
    if part is None or (part.path is None and part.set is None):
        return None
    return Negatives(
        CachedFrames(open_negatives(part), math.inf),
        parts.build_transform(part.augment, donors),
        part.per_batch,
    )


def _open_device(train: TrainPart) -> Fabric:
    try:
        return Fabric(accelerator=train.device, devices=1, precision=train.precision)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"train.device is {train.device!r}, and this machine cannot train on it: {error}; set it to 'cpu'"
        ) from error


def describe_run(run: Run) -> dict[str, Any]:
    """The card of a run's weights: all that a reader, or a program that loads them, must know."""
    data, train = run.recipe.data, run.recipe.train
    return {
        "network": run.recipe.network.spec,
        "threshold": 0.5,
        "trained_on": {
            "set": Path(data.path).name if data.path else data.set,
            "split": data.split,
            "frames": len(run.samples),
            "fingerprint": run.fingerprint,
        },
        "selected_on": train.select_on,
        "protocol": train.protocol,
        "seed": train.seed,
        "epochs": run.epoch,
        **({"started_from": _file_name(run.recipe.network.start)} if run.recipe.network.start else {}),
        "recipe": run.recipe.model_dump(mode="json", exclude=PLACES),
        "versions": versions(),
    }


def _file_name(start: str) -> str:
    """What a reader recognises: a packaged name, or the last two parts of a path."""
    return "/".join(Path(start).parts[-2:])


def versions() -> dict[str, str]:
    """Of everything that numbers may depend on."""
    return {
        "infraspot": VERSION,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
