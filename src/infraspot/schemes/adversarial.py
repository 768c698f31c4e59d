"""Adversarial features: a discriminator that tells cameras apart, and features that give it nothing to tell
by.

Gradient reversal (Ganin et al., JMLR 2016), on the pixels that might be targets. The discriminator learns to
say which camera a pixel is from; what it sends back to the network is turned round, and grows over the run
by their schedule, 2 / (1 + exp(-10 p)) - 1 at the share p of the run.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.options import require_number, require_whole
from infraspot.losses import Batch
from infraspot.schemes.adaptation import Adaptation
from infraspot.schemes.base import Numbers, Trainee
from infraspot.schemes.features import candidate_pixels, with_features
from infraspot.schemes.learning import freeze_norms, head_layers


class Adversarial(Adaptation):
    """Masks on known cameras, and candidates that a discriminator cannot tell apart.

    Parameters
    ----------
    weight
        Of the reversed gradient at the end of the run.
    width
        Units of the discriminator's hidden layer.
    lr
        Learning rate of the discriminator.
    """

    def __init__(self, weight: float = 0.1, width: int = 32, lr: float = 1e-3) -> None:
        require_number(0, 1e6, weight=weight, lr=lr)
        require_whole(1, 4096, width=width)
        self.weight, self.width, self.lr = weight, width, lr
        self._judge: nn.Module | None = None
        self._optimiser: torch.optim.Optimizer | None = None
        self._saved: dict[str, Any] | None = None

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        freeze_norms(run.module)
        judge = self._discriminator(run)
        known, ours = with_features(run.network, run.module, batch.images)
        new, theirs = with_features(run.network, run.module, self.images_of(batch))
        pixels = candidate_pixels(ours, known.logits), candidate_pixels(theirs, new.logits)
        strength = self.weight * self._growth(run)
        answers = judge(_Reverse.apply(torch.cat(pixels), strength))[:, 0]
        truth = torch.cat([torch.zeros(len(pixels[0])), torch.ones(len(pixels[1]))]).to(answers)
        told = F.binary_cross_entropy_with_logits(answers, truth)
        return run.loss(known, batch).mean() + told

    def after_step(self, run: Trainee, batch: Batch) -> Numbers | None:
        assert self._optimiser is not None
        self._optimiser.step()
        self._optimiser.zero_grad()
        return None

    def state_dict(self) -> dict[str, Any]:
        if self._judge is None or self._optimiser is None:
            return {}
        return {"judge": self._judge.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._saved = state or None

    def _growth(self, run: Trainee) -> float:
        return 2 / (1 + math.exp(-10 * run.epoch / max(run.epochs, 1))) - 1

    def _discriminator(self, run: Trainee) -> nn.Module:
        if self._judge is None:
            channels = [*head_layers(run.module).values()][-1].in_channels
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(run.seed)
                self._judge = nn.Sequential(
                    nn.Linear(channels, self.width), nn.LeakyReLU(0.2), nn.Linear(self.width, 1)
                ).to(run.device)
            self._optimiser = torch.optim.Adam(self._judge.parameters(), self.lr, betas=(0.5, 0.999))
            if self._saved is not None:
                self._judge.load_state_dict(self._saved["judge"])
                self._optimiser.load_state_dict(self._saved["optimiser"])
        return self._judge


class _Reverse(torch.autograd.Function):
    """The same values; the gradient comes back turned round."""

    @staticmethod
    def forward(context: Any, values: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradient, None
