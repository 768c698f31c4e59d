"""The form of a model of the library transformers as plain settings, which a card can hold.

A configuration may name files and code as well. Of what comes back from a card, numbers and names of
activations alone are taken.
"""

import copy
from collections.abc import Mapping
from typing import Any

from infraspot.core.errors import UsageError

Settings = dict[str, Any]

# Settings that say nothing about a network's form.
IDLE = (
    *("initializer_range", "initializer_factor", "logit_scale_init_value", "attention_dropout", "dropout"),
    *("output_attentions", "output_hidden_states", "return_dict", "is_encoder_decoder", "is_decoder"),
    *("chunk_size_feed_forward", "tie_word_embeddings", "add_cross_attention"),
)

# The encoder of SAM 2, which its configuration names.
BACKBONE = "sam2_hiera_det_model"


def settings_of(config: Any) -> Settings:
    """Numbers, lists of numbers and activations of a configuration, by dotted names."""
    found: Settings = {}

    def visit(prefix: str, table: Mapping[str, Any]) -> None:
        for name, value in table.items():
            if isinstance(value, dict) and name.endswith("_config"):
                visit(f"{prefix}{name}.", value)
            elif name not in IDLE and (_is_plain(value) or name == "hidden_act"):
                found[f"{prefix}{name}"] = value

    visit("", config.to_dict())
    return found


def tables_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The nested tables that dotted names stand for.

    Raises
    ------
    UsageError
        If a value is no number, list of numbers or activation.
    """
    tables: dict[str, Any] = {}
    for name, value in settings.items():
        *parents, last = name.split(".")
        if not (_is_plain(value) or _is_activation(last, value)):
            raise UsageError(
                f"the setting {name} of a model is a number or an activation, and it is {value!r}"
            )
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
            if parent == "backbone_config":
                table["model_type"] = BACKBONE
        table[last] = copy.deepcopy(list(value) if isinstance(value, tuple) else value)
    return tables


def _is_activation(name: str, value: Any) -> bool:
    return name == "hidden_act" and isinstance(value, str) and value.isidentifier()


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return isinstance(value, bool | int | float)
