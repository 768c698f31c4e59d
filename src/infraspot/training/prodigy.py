"""Prodigy: Adam that estimates its own step size (Mishchenko and Defazio, ICML 2024, Algorithm 4)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Prodigy(torch.optim.Optimizer):
    """Adam whose step is ``lr * d``: d estimates the distance to the solution from below, and only grows.

    One estimate serves all parameters. The learning rate is a factor on it: 1, or a schedule down from 1.

    Parameters
    ----------
    params
        Parameters, or groups of them.
    lr
        Factor on the estimated step.
    betas
        Decay of the means of gradients and of their squares; the estimate's own is the root of the second.
    eps
        Added to the root of the mean square, times d.
    weight_decay
        Decoupled, as in AdamW: each step takes ``lr * d * weight_decay`` of a weight away.
    first
        The first estimate; far below the true distance.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        first: float = 1e-6,
    ) -> None:
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1 and eps > 0 and first > 0):
            raise ValueError(f"betas must be in [0, 1), eps and first above 0; {betas}, {eps}, {first} came")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "first": first}
        super().__init__(params, defaults | {"d": first, "numerator": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; parameters without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        head = self.param_groups[0]
        d, decay = head["d"], math.sqrt(head["betas"][1])
        numerator, denominator = head["numerator"] * decay, 0.0
        for group, parameter, state in self._moving():
            gained, size = _gather(parameter, state, group, d, decay)
            numerator, denominator = numerator + gained, denominator + size
        grown = max(d, numerator / denominator) if denominator else d
        for group, parameter, state in self._moving():
            rate = group["lr"] * d
            root = state["square"].sqrt().add_(grown * group["eps"])
            parameter.mul_(1 - rate * group["weight_decay"]).addcdiv_(state["mean"], root, value=-rate)
        for group in self.param_groups:
            group["d"], group["numerator"] = grown, numerator
        return loss

    def _moving(self) -> Iterable[tuple[dict[str, Any], Tensor, dict[str, Any]]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    yield group, parameter, self.state[parameter]


def _gather(
    parameter: Tensor, state: dict[str, Any], group: dict[str, Any], d: float, decay: float
) -> tuple[float, float]:
    """Update the means of one parameter; what it adds to both sides of the estimate."""
    gradient = parameter.grad
    assert gradient is not None
    if not state:
        state["start"] = parameter.clone()
        for name in ("mean", "square", "sum"):
            state[name] = torch.zeros_like(parameter)
    first, second = group["betas"]
    weight = d / group["first"] * d * group["lr"]
    gained = weight * float(torch.sum(gradient * (state["start"] - parameter)))
    state["mean"].lerp_(gradient * d, 1 - first)
    state["square"].lerp_((gradient * d).square(), 1 - second)
    state["sum"].mul_(decay).add_(gradient, alpha=weight)
    return gained, float(state["sum"].abs().sum())
