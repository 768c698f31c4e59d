"""What every loss takes and returns."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from infraspot.losses.batch import Batch


class SegLike(Protocol):
    """What a loss reads of a network's output; ``infraspot.networks.SegOutput`` is one."""

    @property
    def logits(self) -> Tensor: ...

    @property
    def aux(self) -> tuple[Tensor, ...]: ...

    @property
    def edge(self) -> Tensor | None: ...


class Loss:
    """A loss takes a network's output (or its logits) and a batch, and gives one value a sample.

    It reads what it needs of the batch: the labels, (N, 1, H, W) in [0, 1] and possibly soft, and the images.
    The values are (N,) float32, whatever the precision of the logits, so that a scheme can weight samples.
    The mean over samples is the loss of the batch.
    """

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Told before each epoch, counted from 0; most losses do not care."""


def logits_of(output: SegLike | Tensor) -> Tensor:
    """(N, 1, H, W) float32 logits: half precision overflows in sums over pixels."""
    logits = output if isinstance(output, Tensor) else output.logits
    return logits.float()


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(N, 1, H, W) binary cross-entropy of each pixel."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def over_pixels(values: Tensor) -> Tensor:
    """(N,) mean over the pixels of each sample."""
    return values.flatten(1).mean(dim=1)
