"""A folder of Segment Anything's weights as a network that can be tuned."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.networks.sam import KINDS, TunedSAM, settings_of
from infraspot.weights.building import build_network
from infraspot.weights.files import load_network
from infraspot.weights.pretrained import open_pretrained

# A prompter begins as the packaged model.
PROMPTER = Path(__file__).parent / "packaged" / "compact-sirst1.safetensors"

# Kinds that a folder's config.json may name; images are a part of the video model.
WRITTEN_AS = {"sam": ("sam",), "sam2": ("sam2", "sam2_video")}


def tuned_from_folder(folder: Path, options: Mapping[str, Any]) -> tuple[TunedSAM, dict[str, Any]]:
    """The network ``sam`` with the weights of a folder, and its spec for a card.

    New parts begin as :class:`TunedSAM` says, a prompter with the weights of the packaged model.

    Raises
    ------
    InputError, UsageError, DataError
        If the folder holds no SAM or SAM 2 model, an option is wrong, or the weights do not fit.
    """
    kind = _kind_of(folder)
    model = open_pretrained(folder, kind, KINDS[kind], WRITTEN_AS[kind], extra="sam")
    spec = {"name": "sam", "options": {"kind": kind, "config": settings_of(model.config), **options}}
    torch.manual_seed(0)
    try:
        network = build_network(spec)
    except TypeError as error:
        raise UsageError(f"the network sam: {error}") from error
    assert isinstance(network, TunedSAM)
    _fill(network, model.state_dict())
    if network.prompter is not None:
        network.prompter.load_state_dict(load_network(PROMPTER)[0].state_dict())
    return network, spec


def _kind_of(folder: Path) -> str:
    """Which of the two a folder holds, by its config.json."""
    try:
        text = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = text.get("model_type") if isinstance(text, dict) else None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: expected a folder with config.json and model.safetensors, as save_pretrained writes"
            f" it ({error})"
        ) from error
    for kind, names in WRITTEN_AS.items():
        if named in names:
            return kind
    raise InputError(
        f"{folder}: expected a model of the kind sam or sam2, and its config.json names {named!r}"
    )


def _fill(network: TunedSAM, source: Mapping[str, torch.Tensor]) -> None:
    """Copy every weight to its place, which may lie within a wrapper."""
    own = network.model.state_dict()
    places = {key: re.sub(r"\.inner\b", "", key) for key in own}
    lacking = sorted(set(source) - set(places.values()))
    if lacking:
        raise DataError(f"these weights have {len(lacking)} parts without a place, {lacking[0]} among them")
    network.model.load_state_dict(own | {key: source[name] for key, name in places.items() if name in source})
