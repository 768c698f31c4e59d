"""D2D: weights of frames and labels by diffusion, both tuned on validation clicks (Liu et al., ICML 2026).

"Diffuse to Detect: Bi-Level Sample Rebalancing with Pseudo-Label Diffusion for Point-Supervised Infrared
Small-Target Detection". Two levels, one loss (1):

    min over a, theta of  L_val(w*(a, theta), theta)
    with  w* = argmin over w of  sum_i a_i l(N(x_i; w), y_i(theta))

- y(theta): the label that heat from the click leaves (Eqs. 2-4, :mod:`infraspot.annotators.diffusion_field`).
  Val is labelled in the same way: no mask is read anywhere.
- a: the weight of a frame, which a small classifier gives from training dynamics
  (:mod:`infraspot.schemes.dynamics`).
- Dynamic aggregation: the network descends ``sum a_i l_i / N + beta L_val`` in the steps of the outer level.

``variant = "paper"`` follows the equations: the classifier and theta descend the true derivative of L_val
after one step of training (:mod:`infraspot.schemes.hypergradient`). ``variant = "program"`` follows what was
released, a proxy (:mod:`infraspot.schemes.proxy`), with the annotator ``diffusion-mc`` and 0.1 cross-entropy
on val.

Where paper and program differ, or are silent: the paper gives 1e-3 as the learning rate, the program 5e-4.
The outer level of the program comes every 4th step. The paper moves theta by a surrogate that it aligns with
labels and answers; here the variant ``paper`` moves it by the derivative of (1), for which that stands. A
step takes half as many frames of val as of train. The program knows the true size of each target; here nobody
does. Schedules are shares of the run: 80 and 20 of the paper's 400 epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import default_rng
from numpy.typing import NDArray
from torch import Tensor

from infraspot.annotators.diffusion_field import DiffusionParameters
from infraspot.blocks.diffusion import HeatDiffusion
from infraspot.core.errors import UsageError
from infraspot.core.options import require_number, require_whole
from infraspot.losses import Batch, SoftIoU
from infraspot.networks import SegOutput
from infraspot.schemes import proxy
from infraspot.schemes.base import KEPT, Numbers, Scheme, Trainee, TrainingError
from infraspot.schemes.clicks import click_masks, masks_from_clicks, require_clicks
from infraspot.schemes.dynamics import FEATURES, Memory, MetaClassifier, describe, hardness_of
from infraspot.schemes.heat import Crops, HeatLabels
from infraspot.schemes.hypergradient import (
    Slopes,
    Vector,
    answer,
    gradient,
    moved,
    parameters_of,
    scaled,
    step_sizes,
)
from infraspot.schemes.timing import epochs_of, is_due, require_shares

VARIANTS = ("paper", "program")
SOURCES: dict[str, float | None] = {
    "both": None,
    "heat": 1.0,
    "superpixel": 0.0,
    "point": None,
    "profile": None,
}
"""What labels are made of, and the rho that it fixes."""
FIXED = ("point", "profile")
"""Labels that theta does not change."""
THETA_TARGETS = 32
"""Clicks of train, and of val, that a step of theta looks at."""
THETA_STREAM = 11
PROGRAM_BCE = 0.1


class D2D(Scheme):
    """Diffusion labels, a meta-classifier of sample weights, and an outer level on val.

    Parameters
    ----------
    variant
        ``"paper"`` or ``"program"``.
    labels
        ``"both"``, heat and superpixel; ``"heat"`` (A2), ``"superpixel"`` (A3) or ``"point"`` (A1).
        ``"profile"``, masks of our annotator of that name, is not of the paper; theta then rests.
    options
        Those of ``profile``, such as ``{level = "level.json"}`` from ``infraspot calibrate``.
    outer
        Share of the run after which the outer level begins; 1 is never (A1-A4).
    every
        Share of the run between two updates of theta and labels; one epoch at least.
    outer_steps
        Steps of the optimiser from one of the outer level to the next.
    beta
        Weight of the loss on val in the steps of the outer level; 0 is B4.
    balance
        Whether frames are weighted; without it all weights are 1 (B2).
    relabel
        Whether theta and the labels are updated (B3 without).
    joint
        One level instead of two (B1): classifier and theta descend the training loss itself.
    meta_lr, theta_lr
        Learning rates of the classifier (AdamW) and of theta (Adam; AdamW in the program).
    """

    uses_val = True

    def __init__(
        self,
        variant: Literal["paper", "program"] = "paper",
        labels: Literal["both", "heat", "superpixel", "point", "profile"] = "both",
        options: Mapping[str, Any] | None = None,
        outer: float = 0.2,
        every: float = 0.05,
        outer_steps: int = 8,
        beta: float = 1 / 1.2,
        balance: bool = True,
        relabel: bool = True,
        joint: bool = False,
        meta_lr: float = 1e-3,
        theta_lr: float = 1e-2,
    ) -> None:
        if variant not in VARIANTS or labels not in SOURCES:
            raise UsageError(
                f"the scheme d2d has the variants {', '.join(VARIANTS)} and labels from {', '.join(SOURCES)};"
                f" variant is {variant!r} and labels is {labels!r}"
            )
        if options and labels != "profile":
            raise UsageError(
                f"options of the scheme d2d are those of the annotator profile, and labels is {labels!r};"
                ' set scheme.labels="profile", or leave options out'
            )
        require_whole(1, 1_000_000, outer_steps=outer_steps)
        require_number(0, 1000, beta=beta)
        require_number(0, 1, meta_lr=meta_lr, theta_lr=theta_lr)
        require_shares(outer=outer, every=every)
        self.program, self.source, self.options = variant == "program", labels, dict(options or {})
        self.outer, self.every, self.outer_steps, self.beta = outer, every, outer_steps, beta
        self.balance, self.relabel, self.joint = balance, relabel and labels not in FIXED, joint
        rho = SOURCES[labels]
        self.heat = HeatDiffusion(None if rho is None else DiffusionParameters(rho=rho))
        self.surrogate = proxy.Surrogate()
        self.classifier = MetaClassifier(FEATURES + (proxy.FEATURES if self.program else 0))
        self.memory, self.steps = Memory(), 0
        self._meta = torch.optim.AdamW(self.classifier.parameters(), lr=meta_lr)
        self._theta: torch.optim.Optimizer
        if self.program:
            self._theta = torch.optim.AdamW(self.surrogate.parameters(), lr=theta_lr)
        else:
            self._theta = torch.optim.Adam(self.heat.parameters(), lr=theta_lr)
        self._prepared: tuple[HeatLabels, HeatLabels, dict[str, float]] | None = None
        self._pending: _Step | None = None

    def begin(self, run: Trainee) -> None:
        """Label train and val by diffusion from the clicks."""
        require_clicks(run.samples, "the scheme d2d")
        require_clicks(run.val, "the outer level of the scheme d2d, on val,")
        self.classifier.begin(run.seed)
        self._label(run)
        run.labels.active = [sample.id for sample in run.samples]

    def begin_epoch(self, run: Trainee) -> Numbers | None:
        """Move theta by one step of the outer level and label anew, where it is time."""
        if self.relabel and self._begun(run) and is_due(run, self.every, self.outer):
            self._move_theta(run)
            self._label(run)
        theta = self.heat.parameters_now()
        numbers = (theta.d0, theta.beta, theta.rho, theta.alpha)
        names = ("theta_d0", "theta_beta", "theta_rho", "theta_alpha")
        return dict(zip(names, self.surrogate.numbers() if self.program else numbers, strict=True))

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        output = run.network(batch.images)
        losses = run.loss(output, batch)
        outer = self._begun(run) and self.steps % self.outer_steps == 0
        weights, features = self._weigh(run, output.logits.detach(), batch, losses.detach())
        self.memory.update(run.gather(list(zip(batch.ids, losses.tolist(), weights.tolist(), strict=True))))
        total = (weights * losses).mean()
        self._pending = None
        if not outer:
            return total
        val_batch = run.val_batch(-(-len(batch) // 2))
        seen = (losses.detach(), features, output.logits.detach())
        self._pending = _Step(parameters_of(run.module), *seen, val_batch)
        if self.beta == 0:
            return total
        answered = run.network(val_batch.images)
        return total + self.beta * self._val_loss(run, answered, val_batch)

    def after_step(self, run: Trainee, batch: Batch) -> Numbers | None:
        """One step of the meta-classifier, after that of the network."""
        self.steps += 1
        step, self._pending = self._pending, None
        if step is None or not self.balance:
            return None
        features, cost = (part.cpu() for part in self._meta_costs(run, batch, step))
        weights = self.classifier(features)
        value = proxy.reward(weights, cost) if self.program and not self.joint else (weights * cost).sum()
        self._descend(run, self._meta, value)
        return {"weight_spread": float(weights.detach().std(unbiased=False))}

    def worth(self) -> dict[str, float]:
        """Running mean of each frame's weight, to choose the frames that training needs most."""
        return self.memory.weights()

    def state_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "memory": self.memory.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self.memory.load_state_dict(state["memory"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "heat": self.heat,
            "surrogate": self.surrogate,
            "classifier": self.classifier,
            "meta": self._meta,
            "theta": self._theta,
        }

    def _begun(self, run: Trainee) -> bool:
        return self.outer < 1 and run.epoch >= epochs_of(run, self.outer)

    def _prepare(self, run: Trainee) -> tuple[HeatLabels, HeatLabels, dict[str, float]]:
        """Windows and difficulty of the frames; they follow from images and clicks, and are not saved."""
        if self._prepared is None:
            self._prepared = HeatLabels(run.samples), HeatLabels(run.val), hardness_of(run.samples)
        return self._prepared

    def _label(self, run: Trainee) -> None:
        for samples, store in ((run.samples, run.labels), (run.val, run.val_labels)):
            masks: dict[str, NDArray[np.bool_]]
            if self.source == "point":
                masks = click_masks(samples)
            elif self.source == "profile":
                masks = masks_from_clicks(samples, "profile", self.options)
            elif self.program:
                physics = {"physics": self.surrogate.numbers(), "seed": run.seed}
                masks = masks_from_clicks(samples, "diffusion-mc", physics)
            else:
                train, val, _ = self._prepare(run)
                masks = (train if store is run.labels else val).masks(self.heat)
            for id, mask in masks.items():
                store[id] = mask

    def _weigh(
        self, run: Trainee, logits: Tensor, batch: Batch, losses: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """(N,) the weights of a batch, and what they were given from; all 1 before the outer level begins."""
        if not (self.balance and self._begun(run)):
            return torch.ones_like(losses), None
        hardness = self._prepare(run)[2]
        known = torch.tensor([hardness.get(id, 0.0) for id in batch.ids], device=losses.device)
        features = describe(logits, batch, losses, self.memory.losses(batch.ids, losses), known)
        seen = features
        if self.program:
            seen = torch.cat([features, proxy.describe(logits, batch, self.surrogate, None)], 1)
        return self.classifier(seen.cpu()).detach().to(losses.device), features

    def _val_loss(self, run: Trainee, output: SegOutput, val_batch: Batch) -> Tensor:
        value = run.loss(output, val_batch).mean()
        if not self.program:
            return value
        entropy = F.binary_cross_entropy_with_logits(output.logits.float(), val_batch.labels)
        return value + PROGRAM_BCE * entropy

    def _meta_costs(self, run: Trainee, batch: Batch, step: "_Step") -> tuple[Tensor, Tensor]:
        """Features of the batch, and what each frame's weight costs: dL_val / da, or what stands for it."""
        assert step.features is not None
        if self.program:
            with torch.no_grad():
                val_logits = run.network(step.val_batch.images).logits
            aligned = proxy.alignment(step.logits, batch, val_logits, step.val_batch)
            extra = proxy.describe(step.logits, batch, self.surrogate, aligned)
            features = torch.cat([step.features, extra], 1)
            return features, step.losses / len(batch) if self.joint else aligned
        if self.joint:
            return step.features, step.losses / len(batch)
        _, slope = gradient(run.module, parameters_of(run.module), run.loss, step.val_batch)
        slope = {name: run.average(part) for name, part in slope.items()}
        direction = scaled(step_sizes(run.optimiser, run.module), slope)
        slopes = Slopes(run.module, step.parameters, direction, batch.images)(run.loss, batch)
        return step.features, -slopes.detach() / len(batch)

    def _move_theta(self, run: Trainee) -> None:
        train, val, _ = self._prepare(run)
        rng = default_rng([run.seed, run.epoch, THETA_STREAM])
        chosen = [rng.permutation(len(part))[:THETA_TARGETS].tolist() for part in (train, val)]
        val_crops = val.crops(chosen[1], run.val_labels, run.device)
        run.module.train()
        if self.program:
            value = self._aligned(run, val_crops)
        else:
            crops = train.crops(chosen[0], run.labels, run.device)
            value = theta_objective(run, crops.batch(self.heat), val_crops.batch(self.heat), joint=self.joint)
        self._descend(run, self._theta, value)

    def _aligned(self, run: Trainee, crops: Crops) -> Tensor:
        """L_val(M(y; theta), label) + L_val(M(y; theta), y): soft IoU, with y what the network answers."""
        with torch.no_grad():
            own = answer(run.module, parameters_of(run.module), crops.images).logits.sigmoid()
        spread = self.surrogate(own)
        loss = SoftIoU()
        both = [loss(spread, Batch(crops.ids, crops.images, y)) for y in (crops.given, own)]
        return (both[0] + both[1]).mean()

    def _descend(self, run: Trainee, optimiser: torch.optim.Optimizer, value: Tensor) -> None:
        optimiser.zero_grad()
        value.backward()
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = run.average(parameter.grad)
                    if not parameter.grad.isfinite().all():
                        raise TrainingError(
                            f"the gradient of the outer level of d2d is not finite in epoch {run.epoch + 1};"
                            f" {KEPT}"
                        )
        optimiser.step()


def theta_objective(run: Trainee, batch: Batch, val_batch: Batch, *, joint: bool = False) -> Tensor:
    """A scalar whose derivative with respect to theta is that of (1) after one step of training.

    Parameters
    ----------
    batch, val_batch
        Frames whose labels depend on theta.
    joint
        Take the training loss itself instead.
    """
    module, loss, before = run.module, run.loss, parameters_of(run.module)
    if joint:
        with torch.no_grad():
            output = answer(module, before, batch.images)
        return loss(output, batch).mean()
    sizes = step_sizes(run.optimiser, module)
    _, slope = gradient(module, before, loss, replace(batch, labels=batch.labels.detach()))
    after = moved(before, sizes, slope)
    _, val_slope = gradient(module, after, loss, replace(val_batch, labels=val_batch.labels.detach()))
    slopes = Slopes(module, before, scaled(sizes, val_slope), batch.images)(loss, batch)
    with torch.no_grad():
        output = answer(module, after, val_batch.images)
    return loss(output, val_batch).mean() - slopes.mean()


@dataclass(frozen=True, eq=False)
class _Step:
    """What a step of the outer level needs of the step of training before it."""

    parameters: Vector
    losses: Tensor
    features: Tensor | None
    logits: Tensor
    val_batch: Batch
