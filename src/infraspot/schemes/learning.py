"""Which parameters of a network learn, and whether its norms do."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infraspot.core.errors import UsageError

Form = Literal["norms-frozen", "norms-free", "norms-and-biases", "head"]
"""What of a network learns: all weights with the statistics of its norms frozen or free, the norms' own
weights and all biases alone, or the layers that give logits alone."""

NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def choose_learning(network: nn.Module, form: str) -> list[str]:
    """Let the parameters of a form learn and no other; returns their names.

    Raises
    ------
    UsageError
        If the form is unknown, or the network has nothing of it.
    """
    if form not in get_args(Form):
        raise UsageError(f"the form is one of {', '.join(get_args(Form))}, and {form!r} came")
    chosen = _names_of(network, form)
    if not chosen:
        raise UsageError(f"the form {form!r} leaves nothing to learn in a {type(network).__name__}")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
    return sorted(chosen)


def freeze_norms(network: nn.Module) -> None:
    """Let batch norms use the statistics that they have, and learn none."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def head_layers(network: nn.Module) -> dict[str, nn.Conv2d]:
    """The layers that give logits, by name: convolutions to one channel."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.out_channels == 1
    }


def distance_to(network: nn.Module, start: dict[str, Tensor]) -> Tensor:
    """Sum of squared distances of the parameters that learn to ``start`` (L2-SP, Li et al. 2018)."""
    terms = [
        (parameter - start[name]).pow(2).sum()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    ]
    return torch.stack(terms).sum()


def _names_of(network: nn.Module, form: str) -> set[str]:
    names = {name for name, _ in network.named_parameters()}
    if form == "norms-and-biases":
        norms = {
            f"{name}.{own}"
            for name, module in network.named_modules()
            if isinstance(module, NORMS)
            for own, _ in module.named_parameters(recurse=False)
        }
        return norms | {name for name in names if name.endswith("bias")}
    if form == "head":
        return {
            f"{name}.{own}"
            for name, module in head_layers(network).items()
            for own, _ in module.named_parameters()
        }
    return names
