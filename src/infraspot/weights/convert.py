"""Weights of published programs into the networks of this package.

What differs besides names: biases before a batch norm (folded into its running mean), three input channels
(folded into one, since these frames are grey), two-class answers (their difference is the logit).

A program that scales its image by one mean and deviation has a network that does the same: the card's
``input``. ImageNet's three means and deviations are folded into the first layers instead. Where these pad,
zeros beside a frame stood for the mean grey of the program's data, and here they are black, which is felt as
far from the border as the network sees.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from infraspot.core.errors import DataError
from infraspot.weights.key_maps import KEY_MAPS, KeyMap

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputScaling:
    """What a program does to its three channels: (pixel in [0, 1] - mean) / std."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def slopes(self) -> tuple[Tensor, Tensor]:
        """Slope and offset of each channel, float64."""
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (self.mean, self.std))
        return 1 / std, -mean / std


IMAGENET = InputScaling()
UNSCALED = InputScaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass
class _Leftovers:
    """Keys and shapes that did not fit, so that one message can name all of them."""

    unknown: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)


def convert_state(
    state: Mapping[str, Tensor], name: str, network: nn.Module, scaling: InputScaling = IMAGENET
) -> dict[str, Tensor]:
    """A published program's ``state`` as the state dict of ``network``, built under the key ``name``.

    Parts of the network that the program's file lacks, as its key map says, keep the values they have.
    ``scaling`` is what the program does to its three channels; it plays no part where the program takes one.

    Raises
    ------
    DataError
        If keys are unknown, missing or of another shape; all of them are named.
    """
    if name not in KEY_MAPS:
        raise DataError(
            f"no key map for {name!r}: weights can be converted for {', '.join(sorted(KEY_MAPS))}"
        )
    key_map = KEY_MAPS[name]
    expected = network.state_dict()
    renamed = _rename(state, key_map)
    renamed = _ARRANGE.get(name, dict)(renamed)
    biases = {key: value for key, value in renamed.items() if key not in expected and key.endswith(".bias")}
    leftovers = _Leftovers(unknown=[key for key in renamed if key not in expected and key not in biases])
    converted = {}
    for key, value in renamed.items():
        if key in expected:
            value = value.to(expected[key].dtype) if expected[key].is_floating_point() else value
            converted[key] = _fit(key, value, expected[key], leftovers)
    for key, value in biases.items():
        norm = _norm_after(key)
        if norm in converted:
            converted[norm] = converted[norm] - value
        else:
            leftovers.unknown.append(key)
    counters = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    missing = [key for key in expected if key not in converted and key not in counters]
    fresh = {key: expected[key] for key in missing if re.search(key_map.fresh, key)}
    _refuse(name, leftovers, [key for key in missing if key not in fresh])
    _fold_input(converted, network, UNSCALED if key_map.plain else scaling, key_map.slopes)
    return {**counters, **fresh, **{key: value.contiguous() for key, value in converted.items()}}


def _rename(state: Mapping[str, Tensor], key_map: KeyMap) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        key = re.sub(r"^(module|model|net)\.", "", key)
        if any(re.search(pattern, key) for pattern in key_map.dropped):
            continue
        for table in key_map.tables:
            for pattern, replacement in table:
                key, hits = re.subn(pattern, replacement, key, count=1)
                if hits:
                    break
        renamed[key] = value
    return renamed


def _fit(key: str, value: Tensor, expected: Tensor, leftovers: _Leftovers) -> Tensor:
    """The same numbers in the network's shape; three input channels are left for :func:`_fold_input`."""
    if value.shape == expected.shape or (value.ndim == 4 and value.shape[1] == 3 and expected.shape[1] == 1):
        return value
    if value.numel() == expected.numel():
        return value.reshape(expected.shape)
    if value.shape[0] == 2 and expected.shape[0] == 1 and value.shape[1:] == expected.shape[1:]:
        return value[1:] - value[:1]
    if value.ndim == 1 and expected.shape == (1,) and len(value) == 3:
        return value
    leftovers.shapes.append(f"{key} has {tuple(value.shape)} instead of {tuple(expected.shape)}")
    return value


def _norm_after(bias: str) -> str:
    """The running mean of the norm that follows the convolution of ``bias`` in its sequence."""
    head, _, index = bias.removesuffix(".bias").rpartition(".")
    return f"{head}.{int(index) + 1}.running_mean" if index.isdigit() else ""


def _refuse(name: str, leftovers: _Leftovers, missing: list[str]) -> None:
    complaints = [
        f"{what}: {', '.join(keys)}"
        for what, keys in (
            ("keys without a place", leftovers.unknown),
            ("missing keys", missing),
            ("other shapes", leftovers.shapes),
        )
        if keys
    ]
    if complaints:
        raise DataError(f"these are not the weights of {name}; {'; '.join(complaints)}")


def _fold_input(converted: dict[str, Tensor], network: nn.Module, scaling: InputScaling, slopes: str) -> None:
    """Make the layers that read the frame read one grey channel in [0, 1]."""
    for prefix, layer in network.named_modules():
        if not (isinstance(layer, nn.Conv2d) and layer.in_channels == 1):
            continue
        weight = converted[f"{prefix}.weight"].double()
        if weight.shape[1] == 1:
            continue
        slope, offset = scaling.slopes()
        if re.search(slopes, prefix):
            offset = torch.zeros_like(offset)
        if f"{_STEM_NORM}.running_mean" in converted and prefix.startswith("stem."):
            slope, offset, shared = _through_norm(converted, slope, offset)
        else:
            shared = (1.0, 0.0)
        gain, base = shared
        converted[f"{prefix}.weight"] = (weight * (slope / gain)[:, None, None]).sum(1, keepdim=True).float()
        rest = (weight.sum((2, 3)) * (offset - base * slope / gain)).sum(1).float()
        norm = _norm_after(f"{prefix}.bias")
        if norm in converted:
            converted[norm] = converted[norm] - rest
        else:
            converted[f"{prefix}.bias"] = converted[f"{prefix}.bias"] + rest


_STEM_NORM = "stem.0"


def _through_norm(
    converted: dict[str, Tensor], slope: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """Fold the scaling into the norm of the input; the norm of one channel does what the channels share."""
    keys = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, var = (converted[f"{_STEM_NORM}.{key}"].double() for key in keys)
    factor = weight / torch.sqrt(var + 1e-5)
    slope, offset = slope * factor, (offset - mean) * factor + bias
    gain, base = float(slope.mean()), float(offset.mean())
    for key, value in zip(keys, (gain, base, 0.0, 1.0 - 1e-5), strict=True):
        converted[f"{_STEM_NORM}.{key}"] = torch.tensor([value], dtype=torch.float32)
    return slope, offset, (gain, base)


def _arrange_mtunet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Linear projections of patches as convolutions, the position of the class token into the token, and
    queries, keys and values, which the program interleaves, one after the other."""
    arranged = dict(state)
    for key, value in state.items():
        prefix = key.rsplit(".", 1)[0]
        if key.endswith("positions"):
            side = round((len(value) - 1) ** 0.5)
            arranged[key] = value[1:].T.reshape(1, -1, side, side)
            arranged[f"{prefix}.class_token"] = state[f"{prefix}.class_token"] + value[0]
        elif key.endswith("project.weight"):
            patch = {"0": 16, "1": 8, "2": 4, "3": 2}[key.split(".")[1]]
            arranged[key] = value.reshape(len(value), patch, patch, -1).permute(0, 3, 1, 2)
        elif key.endswith("qkv.weight"):
            arranged[key] = value.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
    return arranged


def _arrange_summaries(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Spatial attentions that read the maximum before the mean."""
    return {
        key: value.flip(1) if value.ndim == 4 and value.shape[:2] == (1, 2) else value
        for key, value in state.items()
    }


_ARRANGE = {"gglnet": _arrange_summaries, "msdanet": _arrange_summaries, "mtunet": _arrange_mtunet}
