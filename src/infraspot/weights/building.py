"""From the ``network`` of a card or recipe to the network, within limits where a stranger wrote the card."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from infraspot.core.catalog import find, imported_names
from infraspot.core.errors import UsageError, unknown_name
from infraspot.detection import BACKBONES, DETECTORS, Detector
from infraspot.detection.backbones import Backbone
from infraspot.networks import ALL_NETWORKS, SegmentationNetwork
from infraspot.weights.narrow import narrow

MOST_PARAMETERS = 200_000_000
MOST_MODULES = 5_000
LARGEST_STRIDE = 256

N = TypeVar("N", bound=nn.Module)

FAMILIES: dict[str, Mapping[str, Callable[..., nn.Module]]] = {
    "segmentation": ALL_NETWORKS,
    "detector": DETECTORS,
    "backbone": BACKBONES,
}
"""The families of networks by the ``kind`` of a card."""


def kind_of(name: str) -> str:
    """What a network's name stands for: a key of FAMILIES.

    Raises
    ------
    UsageError
        If nothing has that name.
    """
    for kind, family in FAMILIES.items():
        if name in family:
            return kind
    make: Any = find("network", name, {**ALL_NETWORKS, **DETECTORS})
    return "detector" if inspect.isclass(make) and issubclass(make, Detector) else "segmentation"


def build_network(spec: Mapping[str, Any]) -> SegmentationNetwork:
    """The network that ``spec`` names, with fresh weights.

    Parameters
    ----------
    spec
        ``name``, and where they are needed ``options`` of its class, ``widths`` (see
        :mod:`infraspot.weights.narrow`) and ``input``, the ``mean`` and ``std`` that the image is scaled by.

    Raises
    ------
    UsageError
        If there is no such network, or what has that name is none.
    TypeError, ValueError
        If its class does not take the options, or has no layers of these widths.
    """
    if spec["name"] in DETECTORS:
        raise UsageError(
            f"{spec['name']!r} is a detector of boxes, and a segmentation network is needed here"
        )
    make: Any = find("network", spec["name"], ALL_NETWORKS)
    if not (inspect.isclass(make) and issubclass(make, SegmentationNetwork)):
        raise UsageError(f"{spec['name']!r} is not a network: expected a subclass of SegmentationNetwork")
    network = narrow(make(**spec.get("options", {})), spec.get("widths", {}))
    if "input" in spec:
        network.input_scaling = (float(spec["input"]["mean"]), float(spec["input"]["std"]))
    return network


def build_detector(spec: Mapping[str, Any]) -> Detector:
    """The detector that ``spec`` names, as :func:`build_network` builds networks; it has no ``widths``.

    Raises
    ------
    UsageError
        If there is no such detector, or what has that name is none.
    TypeError, ValueError
        If its class does not take the options.
    """
    if spec["name"] in ALL_NETWORKS:
        raise UsageError(
            f"{spec['name']!r} is a segmentation network, and a detector of boxes is needed here"
        )
    make = find("detector", spec["name"], DETECTORS)
    if not (inspect.isclass(make) and issubclass(make, Detector)):
        raise UsageError(f"{spec['name']!r} is not a detector: expected a subclass of Detector")
    if spec.get("widths"):
        raise UsageError(f"{spec['name']!r} is a detector, and detectors are not pruned")
    detector: Detector = make(**spec.get("options", {}))
    if "input" in spec:
        detector.input_scaling = (float(spec["input"]["mean"]), float(spec["input"]["std"]))
    return detector


def build_backbone(spec: Mapping[str, Any]) -> Backbone:
    """The backbone that ``spec`` names.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    return find("backbone", spec["name"], BACKBONES)()


def sketch(spec: Mapping[str, Any], build: Callable[[Mapping[str, Any]], N]) -> N:
    """The network of a card without memory for its weights: its layers, and the shapes of its tensors.

    ``build`` is one of the three functions above.

    Raises
    ------
    UsageError
        If an option is unknown or of another type, or the network is larger than any that is sensible.
    TypeError, ValueError
        As in :func:`build_network`.
    """
    name, options = spec["name"], spec.get("options", {})
    for family in (ALL_NETWORKS, DETECTORS):
        if name in family:
            _check_options(name, options, find("network", name, family))
    # Code from outside, which the caller trusts by now, may compute with values while it builds.
    is_ours = not any(imported_names([name, options]))
    with torch.device("meta" if is_ours else "cpu"), _limited():
        network = build(spec)
    stride = getattr(network, "stride", 1)
    if not 1 <= stride <= LARGEST_STRIDE:
        raise UsageError(f"its stride is {stride}, and the largest that is loaded is {LARGEST_STRIDE}")
    return network


def _check_options(name: str, options: Mapping[str, Any], make: Callable[..., Any]) -> None:
    """Compare options with the signature of the network's class."""
    signature = inspect.signature(make, eval_str=True)
    known = {
        parameter.name: (parameter.annotation, parameter.default)
        for parameter in signature.parameters.values()
    }
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
    fields: dict[str, Any] = {f"option_{key}": value for key, value in known.items()}
    model: type[BaseModel] = create_model("Options", __config__=ConfigDict(extra="forbid"), **fields)
    try:
        model.model_validate({f"option_{key}": value for key, value in options.items()})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(key) for key in detail["loc"]).removeprefix("option_")
        raise UsageError(
            f"the option {place} of {name} is {detail['input']!r}: {detail['msg'].lower()}"
        ) from None


@contextmanager
def _limited() -> Iterator[None]:
    """Stop the building of a network that grows too large, while it grows."""
    modules = parameters = 0

    def count_module(parent: nn.Module, name: str, module: nn.Module | None) -> None:
        nonlocal modules
        modules += 1
        if modules > MOST_MODULES:
            raise UsageError(f"it has more than {MOST_MODULES} layers, the most that are loaded")

    def count_parameter(parent: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal parameters
        parameters += 0 if parameter is None else parameter.numel()
        if parameters > MOST_PARAMETERS:
            raise UsageError(f"it has more than {MOST_PARAMETERS:,} parameters, the most that are loaded")

    hooks = (
        register_module_module_registration_hook(count_module),
        register_module_parameter_registration_hook(count_parameter),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
