"""What a step of training would have changed on other frames, had its hyperparameters been others.

The network takes one step on the weighted training loss,

    w' = w - P sum_i a_i grad l_i(w, y_i) / N,

where P is the learning rate, or what Adam makes of it for each parameter. The derivatives of a validation
loss at w', with v = grad L_val(w'), are

    dL_val / da_i     = - <P v, grad l_i(w, y_i)> / N
    dL_val / dtheta   = dL_val/dtheta at fixed w'  -  d/dtheta sum_i a_i <P v, grad l_i(w, y_i(theta))> / N.

The inner products are slopes of the losses in the direction P v, so that one pass in forward mode gives all
of them at once, and no second derivative of the network is needed: its answers and their tangents depend on
neither a nor theta.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from infraspot.losses import Batch, Loss
from infraspot.networks import SegOutput

Vector = dict[str, Tensor]
"""One tensor for each trained parameter of a network, by its name."""


def parameters_of(module: nn.Module) -> Vector:
    """A copy of the parameters that are trained, as they are now."""
    return {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}


def answer(module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> SegOutput:
    """What the network would say with other parameters; its own state, also of its norms, is left alone."""
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    output: SegOutput = functional_call(module, {**parameters, **kept}, (images,))
    return output


def gradient(
    module: nn.Module, parameters: Mapping[str, Tensor], loss: Loss, batch: Batch
) -> tuple[Tensor, Vector]:
    """The mean loss of a batch and its gradient with respect to the parameters."""
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    value = loss(answer(module, leaves, batch.images), batch).mean()
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    pairs = zip(leaves.items(), found, strict=True)
    return value.detach(), {
        name: torch.zeros_like(leaf) if part is None else part.detach() for (name, leaf), part in pairs
    }


def step_sizes(optimiser: Any, module: nn.Module) -> dict[str, Tensor | float]:
    """P: how far the optimiser moves each parameter for a unit of its gradient.

    Adam and its relatives divide by the root of the mean square of the gradients, which is taken as given.
    Every other optimiser counts as a plain step with its learning rate.
    """
    names = {p: name for name, p in module.named_parameters()}
    sizes: dict[str, Tensor | float] = {}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            state = optimiser.state.get(parameter, {})
            sizes[names[parameter]] = _step_size(group, state)
    return sizes


def _step_size(group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor | float:
    rate = float(group["lr"])
    if "exp_avg_sq" not in state:
        return rate
    first, second = group["betas"]
    steps = float(state["step"])
    root = (state["exp_avg_sq"] / (1 - second**steps)).sqrt() + group["eps"]
    size: Tensor = rate * (1 - first) / (1 - first**steps) / root
    return size


def scaled(sizes: Mapping[str, Tensor | float], direction: Vector) -> Vector:
    """P v."""
    return {name: part * sizes[name] for name, part in direction.items()}


def moved(parameters: Vector, sizes: Mapping[str, Tensor | float], slope: Vector) -> Vector:
    """w' = w - P g: the parameters after a step."""
    return {name: value - sizes[name] * slope[name] for name, value in parameters.items()}


class Slopes:
    """The slopes of the losses of single frames in one direction of a network's parameters.

    Parameters
    ----------
    parameters, direction
        w, and P v.
    images
        (N, 1, H, W) of the frames.
    """

    def __init__(self, module: nn.Module, parameters: Vector, direction: Vector, images: Tensor) -> None:
        structure: list[Any] = []

        def forward(given: Vector) -> tuple[Tensor, ...]:
            flat, parts = _flattened(answer(module, given, images))
            structure[:] = parts
            return flat

        with torch.no_grad():
            found: Any = jvp(forward, (parameters,), (direction,))
        self._answers, self._tangents = found
        self._structure = structure

    def __call__(self, loss: Loss, batch: Batch) -> Tensor:
        """(N,) <P v, grad l_i>, differentiable with respect to the labels of the batch."""

        def losses(*flat: Tensor) -> Tensor:
            return loss(_rebuilt(flat, self._structure), batch)

        found: Any = jvp(losses, self._answers, self._tangents)
        slopes: Tensor = found[1]
        return slopes


def _flattened(value: Any) -> tuple[tuple[Tensor, ...], list[Any]]:
    """The tensors in nested tuples, and where they stood."""
    from torch.utils import _pytree as tree

    leaves, spec = tree.tree_flatten(value)
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return tuple(leaves[k] for k in places), [spec, places, rest]


def _rebuilt(flat: tuple[Tensor, ...], structure: list[Any]) -> Any:
    from torch.utils import _pytree as tree

    spec, places, rest = structure
    leaves = list(rest)
    for place, leaf in zip(places, flat, strict=True):
        leaves[place] = leaf
    return tree.tree_unflatten(leaves, spec)
