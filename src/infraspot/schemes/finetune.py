"""Fine-tuning: a few labelled frames of a new camera, from weights that know other cameras.

The frames of ``[data]`` are the shots. What is known of other cameras is kept in three ways, each with a
weight:

- the parameters are pulled to where they began (``pull``; L2-SP, Li et al., ICML 2018);
- on the frames of ``[unlabelled]`` the network shall answer as it did at the start (``keep``; learning
without
  forgetting, Li and Hoiem, ECCV 2016). These may be old frames, generated scenes, or both: no label is read;
- frames of ``[negatives]`` hold no target.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.options import require_number
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.full import Full
from infraspot.schemes.learning import choose_learning, distance_to, freeze_norms


class FineTune(Full):
    """Train on the masks of a few frames, and change little else.

    Parameters
    ----------
    form
        What learns: see :data:`infraspot.schemes.learning.Form`.
    pull
        Weight of the squared distance to the first weights.
    keep
        Weight of the difference to the first answers on the frames of ``[unlabelled]``.
    """

    def __init__(self, form: str = "norms-frozen", pull: float = 0.0, keep: float = 0.0) -> None:
        require_number(0, 1e6, pull=pull, keep=keep)
        self.form, self.pull, self.keep = form, pull, keep
        self._start: dict[str, Tensor] | None = None
        self._teacher: nn.Module | None = None
        self._chosen = False

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        self._start = {name: value.detach().clone() for name, value in run.module.state_dict().items()}

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        self._prepare(run)
        total = run.loss(run.network(batch.images), batch).mean()
        if self.pull:
            assert self._start is not None
            total = total + self.pull * distance_to(run.module, self._start)
        if self.keep and batch.unlabelled is not None:
            total = total + self.keep * self._change(run, batch.unlabelled)
        return total

    def state_dict(self) -> dict[str, Any]:
        return {"start": self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = state["start"]

    def _prepare(self, run: Trainee) -> None:
        if not self._chosen:
            choose_learning(run.module, self.form)
            self._chosen = True
        if self.form != "norms-free":
            freeze_norms(run.module)

    def _change(self, run: Trainee, images: Tensor) -> Tensor:
        """How far the answers are from those of the start, as a mean over pixels that counts each target."""
        if self._teacher is None:
            assert self._start is not None
            self._teacher = copy.deepcopy(run.module).eval().requires_grad_(False)
            self._teacher.load_state_dict(self._start)
        with torch.no_grad():
            wanted = self._teacher(images).logits.float()
        return answers_differ(run.network(images).logits.float(), wanted)


def answers_differ(logits: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross entropy towards soft answers above their own entropy: 0 where they agree.

    Half of the weight is on the pixels that either of them takes for a target's, since these are few.
    """
    truth = wanted.sigmoid()
    excess = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") - (
        F.binary_cross_entropy_with_logits(wanted, truth, reduction="none")
    )
    either = torch.maximum(truth, logits.detach().sigmoid())
    return excess.mean() + (excess * either).sum() / (either.sum() + 1)
