"""Models of the library transformers from a folder on this machine; nothing is ever downloaded."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from infraspot.core.errors import InputError, UsageError

# No published model is larger.
LARGEST, MOST_LAYERS = 20_000, 200


def open_pretrained(
    folder: str | Path, purpose: str, family: str, written_as: Collection[str], *, extra: str
) -> Any:
    """The model in a folder as ``save_pretrained`` writes it, in evaluation mode.

    Parameters
    ----------
    purpose
        What needs it; the first word of every error.
    family
        Name of the model's class in transformers.
    written_as
        Kinds that ``config.json`` may name.
    extra
        The extra of this package that brings transformers.

    Raises
    ------
    UsageError
        If transformers is not installed.
    InputError
        If the folder does not hold such a model, or lacks weights.
    """
    transformers = _library(purpose, extra)
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise InputError(
            f"{folder} is not a folder with a config.json; {purpose} reads what save_pretrained writes"
        )
    transformers.utils.logging.disable_progress_bar()
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(path, **here)
        if config.model_type not in written_as:
            raise InputError(
                f"{folder} holds a model of kind {config.model_type!r}, and {purpose} was asked for"
            )
        _check_sizes(folder, config.to_dict())
        # Named here, because a config could name kernels that would be fetched.
        model, report = getattr(transformers, family).from_pretrained(
            path, **here, attn_implementation="eager", output_loading_info=True
        )
    except InputError:
        raise
    except Exception as error:  # transformers and what it rests on raise what they like at damaged folders
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"cannot read the weights of {purpose} in {folder}: {reason}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise InputError(f"{folder} lacks {len(missing)} weights of {purpose}, {missing[0]} among them")
    return model.eval()


def _check_sizes(folder: str | Path, table: Mapping[str, Any]) -> None:
    """Refuse a form that no published model has, before anything is built of it."""
    for key, value in table.items():
        name = str(key)
        if isinstance(value, dict):
            _check_sizes(folder, value)
            continue
        for number in value if isinstance(value, list | tuple) else [value]:
            most = MOST_LAYERS if "layers" in name or "blocks" in name else LARGEST
            counts_words = "vocab" in name or name.endswith("_id")
            if isinstance(number, int | float) and not counts_words and not -1 <= number <= most:
                raise InputError(f"{folder}: its config.json says {name} = {number}, more than any model has")


def kind_of(folder: str | Path, written_as: Mapping[str, Collection[str]]) -> str:
    """Which kind of model a folder holds, by its config.json.

    Parameters
    ----------
    written_as
        From each kind to the names that config.json may give it.

    Raises
    ------
    InputError
        If it is none of them.
    """
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{folder}: expected a folder with config.json and model.safetensors, as save_pretrained writes"
            f" it ({error})"
        ) from error
    named = config.get("model_type") if isinstance(config, dict) else None
    for kind, names in written_as.items():
        if named in names:
            return kind
    raise InputError(
        f"{folder}: expected a model of the kind {' or '.join(written_as)}, and its config.json names"
        f" {str(named)[:80]!r}"
    )


def _library(purpose: str, extra: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            f"{purpose} needs the library transformers; install it with: pip install 'infraspot[{extra}]'"
        ) from error
    return transformers
