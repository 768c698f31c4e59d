"""Self-training: a running mean of the network teaches it what the frames of a new camera hold.

After SGADA (Akkaya et al., CVPR workshops 2021), which keeps what a classifier is sure of, and mean teacher
(Tarvainen and Valpola, NIPS 2017). Ours: a label is given to a component, not to a pixel. The teacher looks
at each image twice, once mirrored. A component that is sure in both views is a target, a middling one is
left out, the rest is background. Where a batch has fewer than ``fewest`` targets that the teacher is sure of,
its background does not count either: else a network soon learns that there is nothing.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.options import require_number
from infraspot.losses import Batch
from infraspot.schemes.adaptation import Adaptation
from infraspot.schemes.base import Numbers, Trainee
from infraspot.schemes.components import stable_components
from infraspot.schemes.learning import freeze_norms


class SelfTraining(Adaptation):
    """Labels of a teacher on the new camera, masks on the known ones.

    Parameters
    ----------
    weight
        Of the loss on the new camera.
    decay
        Share of itself that the teacher keeps at each step.
    sure, doubtful
        A component is a target if its peak scores above ``sure``, and is looked at above ``doubtful``.
    fewest
        Sure targets in a batch below which its background does not count.
    frozen
        Whether norms keep their statistics.
    """

    def __init__(
        self,
        weight: float = 0.5,
        decay: float = 0.99,
        sure: float = 0.9,
        doubtful: float = 0.1,
        fewest: int = 1,
        frozen: bool = True,
    ) -> None:
        require_number(0, 1, decay=decay, sure=sure, doubtful=doubtful)
        require_number(0, 1e6, weight=weight, fewest=fewest)
        self.weight, self.decay, self.sure, self.doubtful = weight, decay, sure, doubtful
        self.fewest, self.frozen = fewest, frozen
        self._teacher: nn.Module | None = None
        self._kept: dict[str, Tensor] | None = None

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        self._kept = {name: value.detach().clone() for name, value in run.module.state_dict().items()}

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        if self.frozen:
            freeze_norms(run.module)
        images, teacher = self.images_of(batch), self._taught_by(run)
        with torch.no_grad():
            one = teacher(images).logits.float().sigmoid()
            other = teacher(images.flip(3)).logits.float().sigmoid().flip(3)
        labels, weights = stable_components(one, other, self.sure, self.doubtful)
        if labels.amax((1, 2, 3)).sum() < self.fewest:
            weights = weights * labels
        logits = run.network(images).logits.float()
        missed = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        # Targets are few: half of the weight is theirs.
        own = (missed * weights).sum() / weights.sum().clamp(min=1)
        own = own + (missed * weights * labels).sum() / labels.sum().clamp(min=1)
        return run.loss(run.network(batch.images), batch).mean() + self.weight * own

    def after_step(self, run: Trainee, batch: Batch) -> Numbers | None:
        teacher, now = self._taught_by(run), run.module.state_dict()
        with torch.no_grad():
            for name, mean in teacher.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(now[name], 1 - self.decay)
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"teacher": self._kept if self._teacher is None else self._teacher.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept, self._teacher = state["teacher"], None

    def _taught_by(self, run: Trainee) -> nn.Module:
        if self._teacher is None:
            assert self._kept is not None
            self._teacher = copy.deepcopy(run.module).eval().requires_grad_(False)
            self._teacher.load_state_dict(self._kept)
        return self._teacher
