"""Meta-learning: weights from which a few frames of a new camera go far.

MAML (Finn, Abbeel and Levine, ICML 2017), its first order, ANIL (Raghu et al., ICLR 2020: the inner loop
moves the heads alone) and Reptile (Nichol, Achiam and Schulman, 2018). A task is a camera: frames of a batch
under one gain, gamma, blur and noise, drawn for the task. Half of its frames are its shots, the other half
its questions.

Norms keep their statistics, since those of the questions would tell about them.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number, require_whole
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.full import Full
from infraspot.schemes.learning import freeze_norms, head_layers

ORDERS = ("second", "first", "anil", "reptile")

Weights = dict[str, Tensor]


class MAML(Full):
    """Learn a start for few shots.

    Parameters
    ----------
    order
        ``"second"``: the gradient through the inner steps; ``"first"``: the gradient at their end;
        ``"anil"``: second order, and the inner steps move heads alone; ``"reptile"``: towards their end.
    steps, rate
        Inner steps of gradient descent, and their rate.
    tasks
        Cameras in a batch; each needs two frames.
    """

    def __init__(self, order: str = "second", steps: int = 2, rate: float = 0.01, tasks: int = 2) -> None:
        if order not in ORDERS:
            raise UsageError(f"the order is one of {', '.join(ORDERS)}, and {order!r} came")
        require_whole(1, 100, steps=steps, tasks=tasks)
        require_number(0, 1e3, rate=rate)
        self.order, self.steps, self.rate, self.tasks = order, steps, rate, tasks

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        freeze_norms(run.module)
        count = min(self.tasks, len(batch) // 2) or 1
        parts = [_part(batch, range(task, len(batch), count)) for task in range(count)]
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, (1,))))
        losses = [self._outer(run, as_camera(part, generator)) for part in parts]
        return torch.stack(losses).mean()

    def _outer(self, run: Trainee, task: Batch) -> Tensor:
        """What the start gets its gradient from, for one task."""
        weights: Weights = dict(run.module.named_parameters())
        shots, questions = _part(task, range(0, len(task), 2)), _part(task, range(1, len(task), 2))
        moved = self._inner(run, weights, shots)
        if self.order != "reptile":
            return self._loss(run, moved, questions if len(questions) else shots)
        # The gradient of this is the way back from where the shots led.
        ways = [(weights[name] * (weights[name] - value).detach()).sum() for name, value in moved.items()]
        return torch.stack(ways).sum()

    def _inner(self, run: Trainee, weights: Weights, shots: Batch) -> Weights:
        names = [*weights]
        if self.order == "anil":
            names = [
                f"{name}.{own}"
                for name, head in head_layers(run.module).items()
                for own, _ in head.named_parameters()
            ]
        through = self.order in ("second", "anil")
        for _ in range(self.steps):
            loss = self._loss(run, weights, shots)
            gradients = torch.autograd.grad(
                loss, [weights[name] for name in names], create_graph=through, allow_unused=True
            )
            moves = {
                name: weights[name] - self.rate * (gradient if through else gradient.detach())
                for name, gradient in zip(names, gradients, strict=True)
                if gradient is not None
            }
            weights = {**weights, **moves}
        return weights

    def _loss(self, run: Trainee, weights: Mapping[str, Tensor], batch: Batch) -> Tensor:
        value: Tensor = run.loss(functional_call(run.module, dict(weights), (batch.images,)), batch).mean()
        return value


def as_camera(batch: Batch, generator: torch.Generator) -> Batch:
    """The frames as one camera would give them: a gain, a gamma, a blur and a noise for all of them."""
    gain, gamma, blur, noise = torch.rand(4, generator=generator).tolist()
    images = (batch.images * (0.6 + 0.8 * gain)).clamp(1e-4, 1) ** (0.7 + 0.6 * gamma)
    if blur > 0.5:
        kernel = torch.tensor([0.25, 0.5, 0.25]).to(images)
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        images = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 3, 1)), kernel.view(1, 1, 1, 3))
    drawn = torch.randn(images.shape, generator=generator).to(images)
    return replace(batch, images=(images + 0.02 * noise * drawn).clamp(0, 1))


def _part(batch: Batch, places: range) -> Batch:
    """Some of the frames of a batch; what is not one value a frame is left out."""
    chosen = list(places)
    return Batch(
        ids=tuple(batch.ids[k] for k in chosen),
        images=batch.images[chosen],
        labels=batch.labels[chosen],
        negative=None if batch.negative is None else batch.negative[chosen],
    )
