"""Weight files that need nothing else to load: safetensors with a card of JSON inside.

The card names the network and its options and may say more (data, split, recipe, figures, threshold)::

    {"network": {"name": "compact", "options": {}}, "threshold": 0.5, "trained_on": "...", ...}

A pruned network has ``widths`` beside its options (see :mod:`infraspot.weights.narrow`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from infraspot.core.catalog import find
from infraspot.core.errors import InputError
from infraspot.core.files import replacing
from infraspot.networks import NETWORKS, SegmentationNetwork
from infraspot.weights.narrow import narrow

CARD = "infraspot"


def save_weights(path: Path | str, state: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write weights and their card in one step; ``card["network"]`` says how to build the network."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    # Written from memory, because safetensors answers to a full disk with an error of its own.
    content = save(tensors, metadata={CARD: json.dumps(card)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_card(path: Path | str) -> dict[str, Any]:
    """The card of a weight file, without loading the weights.

    Raises
    ------
    InputError
        If the file is missing, damaged or was not written by infraspot.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {})[CARD])
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such weight file") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected weights written by infraspot (safetensors with a card), and reading them"
            f" failed: {error}; convert weights of other programs with `infraspot convert-weights`"
        ) from error
    if not isinstance(card, dict) or "name" not in card.get("network", {}):
        raise InputError(f"{path}: the card of this weight file does not name its network")
    return card


def load_network(path: Path | str) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """Build the network that a weight file names, load the weights, and set it to evaluation.

    Raises
    ------
    InputError
        If the file cannot be read or its tensors do not fit the network.
    """
    card = read_card(path)
    spec = card["network"]
    try:
        network = build_network(spec)
        network.load_state_dict(load_file(path))
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the weights do not fit the network {spec['name']!r}: {error}") from error
    return network.eval(), card


def build_network(spec: Mapping[str, Any]) -> SegmentationNetwork:
    """The network that a card's ``network`` names, with fresh weights; ``spec`` may hold ``widths``."""
    network = find("network", spec["name"], NETWORKS)(**spec.get("options", {}))
    return narrow(network, spec.get("widths", {}))
