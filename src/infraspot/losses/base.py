"""What every loss takes and returns."""

import math
from collections.abc import Iterable
from dataclasses import Field, fields, is_dataclass
from typing import Any, ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.errors import UsageError
from infraspot.losses.batch import Batch

# What the options of losses may be.
KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number of 0 or more",
    float: "a number of 0 or more",
}


class SegLike(Protocol):
    """What a loss reads of a network's output; ``infraspot.networks.SegOutput`` is one."""

    @property
    def logits(self) -> Tensor: ...

    @property
    def aux(self) -> tuple[Tensor, ...]: ...

    @property
    def edge(self) -> Tensor | None: ...

    @property
    def background(self) -> Tensor | None: ...

    @property
    def streams(self) -> tuple[tuple[Tensor, Tensor], ...]: ...


class Loss:
    """A loss takes a network's output (or its logits) and a batch, and gives one value a sample.

    It reads what it needs of the batch: the labels, (N, 1, H, W) in [0, 1] and possibly soft, and the images.
    The values are (N,) float32, whatever the precision of the logits, so that a scheme can weight samples.
    The mean over samples is the loss of the batch.

    Attributes
    ----------
    per_map
        Whether the loss reads one map of logits. Deep supervision applies such a loss to every map. The
        others read something else (a reconstruction, features, weights) and are added once.
    """

    per_map: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the options of a loss that is a dataclass: numbers are finite and not negative."""
        options: tuple[Field[Any], ...] = fields(self) if is_dataclass(self) else ()
        for option in options:
            value = getattr(self, option.name)
            if option.type in KINDS and not _fits(value, option.type):
                raise UsageError(
                    f"the loss {type(self).__name__} expects {option.name} to be {KINDS[option.type]},"
                    f" got {value!r}"
                )

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def inner(self) -> Iterable["Loss"]:
        """The losses that this one is made of."""
        return ()

    def begin(self, network: nn.Module) -> None:
        """Told of the network once, before the first batch; most losses do not care."""
        for loss in self.inner():
            loss.begin(network)

    def begin_epoch(self, epoch: int) -> None:
        """Told before each epoch, counted from 0; most losses do not care."""
        for loss in self.inner():
            loss.begin_epoch(epoch)


def _fits(value: Any, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    number = isinstance(value, int) if kind is int else isinstance(value, int | float)
    return number and math.isfinite(value) and value >= 0


def logits_of(output: SegLike | Tensor) -> Tensor:
    """(N, 1, H, W) float32 logits: half precision overflows in sums over pixels."""
    logits = output if isinstance(output, Tensor) else output.logits
    return logits.float()


def part_of(output: SegLike | Tensor, name: str, *, loss: str) -> Any:
    """What ``output`` holds beside its logits.

    Raises
    ------
    UsageError
        If the network gives no such part.
    """
    part = getattr(output, name, None)
    if part is None or part == ():
        raise UsageError(
            f"the {loss} loss needs a network whose output has {name!r}, and this one gives none;"
            " take the loss out of [loss], or choose another network"
        )
    return part


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(N, 1, H, W) binary cross-entropy of each pixel."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def over_pixels(values: Tensor) -> Tensor:
    """(N,) mean over the pixels of each sample."""
    return values.flatten(1).mean(dim=1)
