"""A folder of weights of Segment Anything or CLIP as a network that can be tuned."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from infraspot.core.errors import DataError, UsageError
from infraspot.networks import SegmentationNetwork
from infraspot.networks.settings import settings_of
from infraspot.weights.building import build_network
from infraspot.weights.files import load_network
from infraspot.weights.pretrained import kind_of, open_pretrained

# A prompter begins as the packaged model.
PROMPTER = Path(__file__).parent / "packaged" / "compact-sirst1.safetensors"

# For each network: kinds of models, with their classes in transformers and the names that config.json may
# give them (images are a part of the video model); and the extra that it needs.
FAMILIES = {
    "sam": {"sam": "SamModel", "sam2": "Sam2Model"},
    "clip": {"clip": "CLIPModel"},
}
WRITTEN_AS = {"sam": ("sam",), "sam2": ("sam2", "sam2_video"), "clip": ("clip",)}
EXTRAS = {"sam": "sam", "clip": "text"}


def tuned_from_folder(
    folder: Path, options: Mapping[str, Any], name: str = "sam"
) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """The network ``name`` with the weights of a folder, and its spec for a card.

    New parts begin as the network's class says, a prompter with the weights of the packaged model.

    Raises
    ------
    InputError, UsageError, DataError
        If the folder holds no such model, an option is wrong, or the weights do not fit.
    """
    family = FAMILIES[name]
    kind = kind_of(folder, {kind: WRITTEN_AS[kind] for kind in family})
    model = open_pretrained(folder, kind, family[kind], WRITTEN_AS[kind], extra=EXTRAS[name])
    given = {"config": settings_of(model.config), **({"kind": kind} if len(family) > 1 else {})}
    spec = {"name": name, "options": {**given, **options}}
    torch.manual_seed(0)
    try:
        network = build_network(spec)
    except TypeError as error:
        raise UsageError(f"the network {name}: {error}") from error
    inner: Any = network.model
    own = inner.state_dict()
    places = {key: re.sub(r"\.inner\b", "", key) for key in own}  # within a wrapper
    source = model.state_dict()
    lacking = sorted(set(source) - set(places.values()))
    if lacking:
        raise DataError(f"these weights have {len(lacking)} parts without a place, {lacking[0]} among them")
    inner.load_state_dict(own | {key: source[name] for key, name in places.items() if name in source})
    prompter: Any = getattr(network, "prompter", None)
    if prompter is not None:
        prompter.load_state_dict(load_network(PROMPTER)[0].state_dict())
    return network, spec
