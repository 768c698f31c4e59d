"""Weight files that need nothing else to load: safetensors with a card inside (:mod:`.card`).

Weight files travel between people, so that one is believed only after it was checked: its header and card
before anything is built, the shapes of its tensors before memory is taken for them, their values before the
network is used.
"""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from infraspot.core.errors import InputError
from infraspot.core.files import replacing
from infraspot.detection import Detector
from infraspot.detection.backbones import Backbone
from infraspot.networks import SegmentationNetwork
from infraspot.weights import CARD
from infraspot.weights.building import build_backbone, build_detector, build_network, sketch
from infraspot.weights.card import parse_card
from infraspot.weights.second_look import PREFIX, SecondLookNetwork

LONGEST_HEADER = 8_000_000  # bytes
MOST_TENSORS = 40_000
TRIED_SIDE = 32
N = TypeVar("N", bound=nn.Module)

# What a file of each kind is, in sentences.
KINDS = {
    "segmentation": "a segmentation network",
    "detector": "a detector of boxes",
    "backbone": "a backbone without a head",
}
FLOATS = {"F64", "F32", "F16", "BF16"}


def save_weights(path: Path | str, state: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write weights and their card in one step; ``card["network"]`` says how to build the network."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    first = {tensor.data_ptr(): name for name, tensor in reversed(tensors.items())}
    # A tensor that stands under two names is written twice.
    tensors = {
        name: tensor if first[tensor.data_ptr()] == name else tensor.clone()
        for name, tensor in tensors.items()
    }
    # Written from memory, because safetensors answers to a full disk with an error of its own.
    content = save(tensors, metadata={CARD: json.dumps(card)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_card(path: Path | str, *, trust: Collection[str] | str = ()) -> dict[str, Any]:
    """The card of a weight file, checked, without loading the weights.

    Parameters
    ----------
    trust
        Names ``"module:attribute"`` of code outside infraspot that the file may name.

    Raises
    ------
    InputError
        If the file is missing, damaged, was not written by infraspot, or names code that is not trusted.
    """
    try:
        _check_header(Path(path))
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})[CARD]
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such weight file") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected weights written by infraspot (safetensors with a card), and reading them"
            f" failed: {error}; convert weights of other programs with `infraspot convert-weights`"
        ) from error
    return parse_card(text, path, trust)


def load_network(
    path: Path | str, *, trust: Collection[str] | str = ()
) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """Build the network that a weight file names, load the weights, and set it to evaluation.

    Parameters
    ----------
    trust
        Names ``"module:attribute"`` of code outside infraspot that the file may name. That code runs.

    Raises
    ------
    InputError
        If the file cannot be read, names code that is not trusted, its tensors do not fit the network or are
        not finite, or the network does not run.
    """
    return _load(path, trust, "segmentation", build_network, _try_out)


def load_detector(path: Path | str, *, trust: Collection[str] | str = ()) -> tuple[Detector, dict[str, Any]]:
    """Build the detector that a weight file names, as :func:`load_network` does; the same errors.

    A file of a segmentation network is refused, as :func:`load_network` refuses one of a detector.
    """
    return _load(path, trust, "detector", build_detector, _try_out_detector)


def load_backbone(path: Path | str) -> tuple[Backbone, dict[str, Any]]:
    """Build the backbone that a weight file names: what a detector may begin with."""
    return _load(path, (), "backbone", build_backbone, _try_out_backbone)


def _load(
    path: Path | str,
    trust: Collection[str] | str,
    kind: str,
    build: Callable[[Mapping[str, Any]], N],
    try_out: Callable[[N], None],
) -> tuple[N, dict[str, Any]]:
    card = read_card(path, trust=trust)
    spec, came = card["network"], card.get("kind", "segmentation")
    if came != kind:
        raise InputError(
            f"{path}: these weights are {KINDS[came]} ({spec['name']}), and {KINDS[kind]} is needed here"
        )
    try:
        _check_tensors(path, sketch(spec, build), apart=PREFIX if card.get("second_look") else None)
        network = build(spec)
        network.load_state_dict(_without(PREFIX, load_file(path)))
        try_out(network.eval())
    except InputError:
        raise
    except Exception as error:  # constructors raise what they like at options that nobody foresaw
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"{path}: the weights do not fit the network {spec['name']!r}: {reason}") from error
    _check_finite(path, network)
    return network, card


def load_second_look(path: Path | str, card: Mapping[str, Any]) -> SecondLookNetwork | None:
    """The network of the second look in a weight file, set to evaluation; None where the card names none.

    Raises
    ------
    InputError
        If its tensors do not fit the card or are not finite.
    """
    if not card.get("second_look"):
        return None
    network = SecondLookNetwork(card["second_look"]["widths"])
    try:
        _check_tensors(path, network, prefix=PREFIX)
        tensors = load_file(path)
        network.load_state_dict({name: tensors[PREFIX + name] for name in network.state_dict()})
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{path}: the weights do not fit the second look of its card: {error}") from error
    _check_finite(path, network)
    return network.eval()


def _without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}


def _check_finite(path: Path | str, network: nn.Module) -> None:
    broken = next((key for key, value in network.state_dict().items() if not value.isfinite().all()), None)
    if broken is not None:
        raise InputError(f"{path}: the weights {broken!r} are not finite numbers; the file is of no use")


def _check_header(path: Path) -> None:
    """Refuse a header that is longer than any network needs, before it is parsed."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(LONGEST_HEADER, path.stat().st_size):
        raise ValueError(f"its header would be {length} bytes long")


def _check_tensors(
    path: Path | str, expected: nn.Module, *, prefix: str = "", apart: str | None = None
) -> None:
    """Compare the names, shapes and types of a file's tensors with the network's, without loading them.

    Only tensors whose names begin with ``prefix`` count, and none whose name begins with ``apart``.
    """
    wanted = {prefix + name: tensor for name, tensor in expected.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        names = {name for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
        if apart is not None:
            names = {name for name in names if not name.startswith(apart)}
        if len(names) > MOST_TENSORS:
            raise ValueError(f"{len(names)} tensors; at most {MOST_TENSORS} are read")
        _refuse("keys without a place", names - wanted.keys())
        _refuse("missing keys", wanted.keys() - names)
        for name, tensor in wanted.items():
            slice_ = file.get_slice(name)
            shape, kind = tuple(slice_.get_shape()), slice_.get_dtype()
            if shape != tuple(tensor.shape) or 0 in shape:
                raise ValueError(f"{name} has the shape {shape} instead of {tuple(tensor.shape)}")
            if (kind in FLOATS) != tensor.is_floating_point():
                raise ValueError(f"{name} holds {kind}, and the network's are {tensor.dtype}")


def _refuse(what: str, names: Collection[str]) -> None:
    if names:
        shown = ", ".join(repr(name[:100]) for name in sorted(names)[:3])
        raise ValueError(f"{what}: {shown}{f' and {len(names) - 3} more' if len(names) > 3 else ''}")


@torch.inference_mode()
def _try_out(network: SegmentationNetwork) -> None:
    """Run a small frame: layers of widths that do not meet show only here."""
    side = max(TRIED_SIDE, network.stride)
    shape = tuple(network(torch.full((1, network.frames, side, side), 0.5)).logits.shape)
    if shape != (1, 1, side, side):
        raise ValueError(f"it answers a frame of {side}x{side} with a map of the shape {shape}")


@torch.inference_mode()
def _try_out_detector(detector: Detector) -> None:
    """Run a small frame through a detector, and look at what it answers."""
    side = max(TRIED_SIDE, detector.stride)
    output = detector(torch.full((1, 1, side, side), 0.5))
    boxes, scores = tuple(output.boxes.shape), tuple(detector.scores(output).shape)
    if len(boxes) != 3 or boxes != (1, scores[-1], 4) or len(scores) != 2:
        raise ValueError(f"it answers a frame with boxes of the shape {boxes} and scores of {scores}")


@torch.inference_mode()
def _try_out_backbone(backbone: Backbone) -> None:
    """Run a small frame: a level for each stride."""
    side = 2 * backbone.strides[-1]
    shapes = [tuple(level.shape[1:]) for level in backbone(torch.full((1, 1, side, side), 0.5))]
    wanted = [
        (width, side // stride, side // stride)
        for width, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    if shapes != wanted:
        raise ValueError(f"it answers a frame with levels of the shapes {shapes} instead of {wanted}")
