"""A network made ready to predict: norms folded, memory laid out for convolutions."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FEW = 8  # channels, below which a plain product is faster

aten = torch.ops.aten


def prepare_for_inference(network: nn.Module) -> nn.Module:
    """A copy for prediction: batch norms folded into the convolutions before them, channels last, and 1x1
    convolutions by the fastest route.

    Answers differ from the network's by rounding alone. The copy cannot be trained.
    """
    prepared = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(prepared.modules()):
        if isinstance(module, nn.Sequential):
            _fold_norms(module)
    for module in prepared.modules():
        if type(module) is nn.Conv2d and torch.backends.mkldnn.is_available() and _is_pointwise(module):
            module.__class__ = _Pointwise
    return channels_last(prepared)


def channels_last(network: nn.Module) -> nn.Module:
    """The network with the channels of its 2-D weights last in memory; nothing else changes."""
    return network._apply(lambda t: t.to(memory_format=torch.channels_last) if t.dim() == 4 else t)


def _fold_norms(layers: nn.Sequential) -> None:
    names = list(layers._modules)
    for name, following in pairwise(names):
        layer, norm = layers._modules[name], layers._modules[following]
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(layer, nn.ConvTranspose2d)
            layers._modules[name] = fuse_conv_bn_eval(layer, norm, transposed)
            layers._modules[following] = nn.Identity()


def _is_pointwise(layer: nn.Conv2d) -> bool:
    plain = layer.stride == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)
    return plain and layer.kernel_size == (1, 1) and layer.out_channels >= FEW


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution that asks oneDNN directly, where channels are last in the memory of a CPU.

    On one thread torch itself would unfold the map and multiply: two to seven times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        fit = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        if not fit or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        return aten.mkldnn_convolution(x, self.weight, self.bias, (0, 0), (1, 1), (1, 1), 1)
