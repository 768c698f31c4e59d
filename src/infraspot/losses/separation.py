"""Losses of networks that part an image into targets and background."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.losses.base import Loss, SegLike, logits_of, over_pixels, part_of
from infraspot.losses.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Fidelity(Loss):
    """Mean squared difference between the image and its reconstruction (RPCANet, Wu et al. 2024).

    The reconstruction is ``output.background + output.logits``. The authors add it with weight 0.01.
    """

    per_map: ClassVar[bool] = False

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        """One value a sample.

        Raises
        ------
        UsageError
            If the network reconstructs no background.
        """
        background = part_of(output, "background", loss="fidelity")
        return over_pixels((background.float() + logits_of(output) - batch.images).square())


@dataclass(frozen=True, kw_only=True)
class Contrast(Loss):
    """Contrast learning between a stream of targets and a stream of background (FDDBANet, survey 2.5).

    The features ``f`` of the target stream and ``g`` of the background stream have length 1 at each pixel.
    With ``t`` the direction of the mean ``f`` on targets, and ``b`` that of the mean ``g`` off targets, the
    loss is half the sum of

        mean over target pixels of      log(1 + exp((f.b - f.t) / temperature)) and
        mean over background pixels of  log(1 + exp((g.t - g.b) / temperature)),

    the InfoNCE loss of each pixel with its own mean as the positive and the other as the negative, averaged
    over the levels of ``output.streams``. A sample without targets, or with nothing else, has no pair to
    compare: 0.

    The paper's formula was not at hand, and the authors' program is not public: this is a reading of the
    survey, which says that the disparity of the two is maximised by contrast learning.
    """

    per_map: ClassVar[bool] = False
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature == 0:
            raise UsageError("contrast needs a temperature above 0, got 0")

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        """One value a sample.

        Raises
        ------
        UsageError
            If the network has no two streams.
        """
        streams = part_of(output, "streams", loss="contrast")
        levels = [self._level(f.float(), g.float(), batch) for f, g in streams]
        return torch.stack(levels).mean(dim=0)

    def _level(self, of_targets: Tensor, of_background: Tensor, batch: Batch) -> Tensor:
        height, width = of_targets.shape[-2:]
        on = batch.shrunk((height, width)).labels.flatten(2)
        off = 1 - on
        f, g = (F.normalize(stream.flatten(2), dim=1) for stream in (of_targets, of_background))
        t, b = (
            F.normalize((f * on).sum(2, keepdim=True), dim=1),
            F.normalize((g * off).sum(2, keepdim=True), dim=1),
        )
        apart = t - b
        f_cost = F.softplus(-(f * apart).sum(1, keepdim=True) / self.temperature)
        g_cost = F.softplus((g * apart).sum(1, keepdim=True) / self.temperature)
        both = (on.sum((1, 2)) > 0) & (off.sum((1, 2)) > 0)
        return both * (_mean(f_cost, on) + _mean(g_cost, off)) / 2


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """(N,) weighted mean of (N, 1, M) values; 0 where all weights are 0."""
    return (values * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1e-6)
