"""Layers with fewer channels than their network's class gives them, as pruning leaves them.

The card of such a weight file names them, with their input and output channels::

    {"name": "compact", "options": {}, "widths": {"stem.0": [8, 11], "stem.1": [11, 11], ...}}
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Widths = Mapping[str, Sequence[int]]


def narrow(network: Network, widths: Widths) -> Network:
    """Reduce the channels of some layers of ``network`` in place; the first channels are kept.

    Parameters
    ----------
    widths
        Input and output channels by the module's name: a dense or depthwise convolution or a batch norm.

    Raises
    ------
    ValueError
        If the network has no such layer, or it has fewer channels.
    """
    modules = dict(network.named_modules())
    for name, (inputs, outputs) in widths.items():
        layer = modules.get(name)
        if isinstance(layer, nn.Conv2d):
            _narrow_convolution(layer, inputs, outputs)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = outputs
        else:
            raise ValueError(f"there is no convolution or batch norm {name!r} to narrow")
        _cut(name, layer, inputs, outputs)
    return network


def _narrow_convolution(layer: nn.Conv2d, inputs: int, outputs: int) -> None:
    if layer.groups > 1:
        layer.groups = inputs
    layer.in_channels, layer.out_channels = inputs, outputs


def _cut(name: str, layer: nn.Conv2d | nn.BatchNorm2d, inputs: int, outputs: int) -> None:
    for key, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
        if tensor.ndim == 0:  # the count of batches that a norm has seen
            continue
        cut = _first(tensor, 0, outputs, name)
        if tensor.ndim > 1 and isinstance(layer, nn.Conv2d) and layer.groups == 1:
            cut = _first(cut, 1, inputs, name)
        cut = cut.detach().clone()
        is_learnt = isinstance(tensor, nn.Parameter)
        setattr(layer, key, nn.Parameter(cut, requires_grad=tensor.requires_grad) if is_learnt else cut)


def _first(tensor: Tensor, axis: int, count: int, name: str) -> Tensor:
    if not 0 < count <= tensor.shape[axis]:
        raise ValueError(f"{name!r} has {tensor.shape[axis]} channels, and {count} cannot be kept of them")
    return tensor.narrow(axis, 0, count)
