"""The common ImageNet files of ResNets into the backbones of this package."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from infraspot.core.errors import DataError, UsageError, named
from infraspot.detection.backbones import Backbone, ResNet
from infraspot.weights.convert import InputScaling

CLASSIFIER = ("fc.weight", "fc.bias")


def convert_backbone(
    state: Mapping[str, Tensor], name: str, backbone: Backbone, scaling: InputScaling
) -> dict[str, Tensor]:
    """A published ResNet's ``state`` for ``backbone``, built under the key ``name``.

    Names are the usual ones (``layer1.0.conv1.weight``), with or without ``backbone.`` before them; the
    classifier is left out. Three input channels become one grey one: the scaling of each goes into the first
    convolution, and what it subtracts into the running mean of the norm after it.

    Raises
    ------
    UsageError
        If the backbone is none that is published.
    DataError
        If keys are unknown, missing or of another shape; some of them are named.
    """
    if not isinstance(backbone, ResNet):
        raise UsageError(f"files of {name} are not converted; those of resnet18, 34, 50 and 101 are")
    renamed = {re.sub(r"^(module\.)?(backbone\.)?", "", key): value for key, value in state.items()}
    expected = backbone.state_dict()
    kept = {key: value for key, value in renamed.items() if key not in CLASSIFIER}
    counters = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    wrong = [f"{key} is unknown" for key in kept if key not in expected]
    wrong += [f"{key} is missing" for key in expected if key not in kept and key not in counters]
    first = "conv1.weight"
    for key in kept.keys() & expected.keys():
        shape = tuple(kept[key].shape)
        wanted = tuple(expected[key].shape)
        if key == first:
            wanted = (wanted[0], shape[1] if len(shape) == 4 and shape[1] in (1, 3) else 3, *wanted[2:])
        if shape != wanted:
            wrong.append(f"{key} has the shape {shape} instead of {wanted}")
    if wrong:
        raise DataError(f"these are not the weights of {name}: {named(sorted(wrong))}")
    converted = {**counters, **{key: value.to(expected[key].dtype) for key, value in kept.items()}}
    if converted[first].shape[1] == 3:
        _read_grey(converted, scaling)
    return {key: value.contiguous() for key, value in converted.items()}


def _read_grey(converted: dict[str, Tensor], scaling: InputScaling) -> None:
    slope, offset = scaling.slopes()
    weight = converted["conv1.weight"].double()
    converted["conv1.weight"] = (weight * slope[:, None, None]).sum(1, keepdim=True).float()
    constant = (weight.sum((2, 3)) * offset).sum(1)
    converted["bn1.running_mean"] = (converted["bn1.running_mean"].double() - constant).to(torch.float32)
