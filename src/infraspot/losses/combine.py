"""Losses made of losses: sums by weight, and deep supervision."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.losses.base import Loss, SegLike, logits_of, part_of
from infraspot.losses.batch import Batch


class Weighted(Loss):
    """Sum of losses, each times its weight.

    Parameters
    ----------
    terms
        Pairs of a weight and a loss.
    """

    def __init__(self, terms: Sequence[tuple[float, Loss]]) -> None:
        if not terms:
            raise UsageError("a sum of losses needs at least one term, and there is none")
        self.terms = tuple(terms)

    def inner(self) -> Iterable[Loss]:
        return [loss for _, loss in self.terms]

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        (weight, first), *others = self.terms
        total = weight * first(output, batch)
        for weight, loss in others:
            total = total + weight * loss(output, batch)
        return total


class DeepSupervision(Loss):
    """The same loss on a network's answer and on its auxiliary maps.

    Parameters
    ----------
    loss
        Compared with each map.
    weights
        First the weight of the answer, then those of ``output.aux``, finest first; or one number, the weight
        of every auxiliary map beside an answer of weight 1, which suits a network of any number of maps.
    size
        How a smaller map meets the labels: ``"pool"`` shrinks the labels by their largest value, so that no
        target vanishes; ``"upsample"`` enlarges the logits (bilinear).
    normalise
        Divide by the sum of the weights, as programs do that average over heads.
    warm_up
        Epochs in which the finest auxiliary map alone is compared, and the answer is not trained (MSHNet).
    """

    def __init__(
        self,
        loss: Loss,
        weights: Sequence[float] | float,
        *,
        size: Literal["pool", "upsample"] = "pool",
        normalise: bool = False,
        warm_up: int = 0,
    ) -> None:
        self.loss, self.weights = loss, weights
        self.size, self.normalise, self.warm_up = size, normalise, warm_up
        self.epoch = 0

    def inner(self) -> Iterable[Loss]:
        return (self.loss,)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        super().begin_epoch(epoch)

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        """Weighted sum over the maps.

        Raises
        ------
        UsageError
            If the number of weights is not one more than the number of auxiliary maps, or there is none to
            warm up.
        """
        if self.epoch < self.warm_up:
            return self._compare(part_of(output, "aux", loss="warm-up")[0], batch)
        aux: tuple[Tensor, ...] = getattr(output, "aux", ())
        first, *others = self._weights(len(aux))
        total = first * self.loss(output, batch)
        for weight, logits in zip(others, aux, strict=True):
            total = total + weight * self._compare(logits, batch)
        return total

    def _weights(self, auxiliary: int) -> list[float]:
        if isinstance(self.weights, int | float):
            weights = [1.0] + auxiliary * [float(self.weights)]
        else:
            weights = list(self.weights)
        if len(weights) != 1 + auxiliary:
            raise UsageError(
                f"deep supervision has {len(weights)} weights, and the network gives {1 + auxiliary} maps"
                f" (its answer and {auxiliary} auxiliary ones); give one weight for each, or one number for"
                " all the auxiliary ones"
            )
        total = sum(weights) if self.normalise else 1.0
        if total == 0:
            raise UsageError("deep supervision cannot divide by the sum of its weights, which is 0")
        return [weight / total for weight in weights]

    def _compare(self, logits: Tensor, batch: Batch) -> Tensor:
        size = batch.labels.shape[-2:]
        if logits.shape[-2:] == size:
            return self.loss(logits, batch)
        if self.size == "pool":
            height, width = logits.shape[-2:]
            return self.loss(logits, batch.shrunk((height, width)))
        full = F.interpolate(logits_of(logits), size=size, mode="bilinear", align_corners=False)
        return self.loss(full, batch)
