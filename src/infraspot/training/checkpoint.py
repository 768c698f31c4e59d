"""Saving a run so that it goes on as if it had never stopped, and weights that need nothing else."""

import io
import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from infraspot.core.catalog import imported_names
from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import replacing, write_text
from infraspot.training.card import describe_run, versions
from infraspot.training.recipe import parse_recipe, to_toml
from infraspot.training.run import Position, Row, Run
from infraspot.training.settings import Recipe
from infraspot.weights.files import save_weights

STATE, LAST, BEST = "state.pt", "last.safetensors", "best.safetensors"
LOG, RECIPE, WORTH = "log.csv", "recipe.toml", "frames.csv"
CHOSEN = "chosen.txt"

# What the state of a run consists of.
PARTS = {
    *("recipe", "versions", "data", "position", "network", "ema", "optimiser", "gradients", "scheme"),
    *("labels", "val_labels", "random", "random_cuda"),
}

# Options that may differ when a run goes on: they change where and how often, and not what is computed.
FREE = {
    "data": {"path", "set", "merge", "cache_gb"},
    "negatives": {"path", "set"},
    "unlabelled": {"path", "set"},
    "train": {"device", "threads", "save_seconds", "tensorboard", "mlflow"},
}


def save_run(run: Run) -> None:
    """Write the weights as they are now, and then the state to go on from; each file in one step.

    The state comes last, so that a run whose state is complete has its weights.
    """
    save_weights(run.folder / LAST, run.product.state_dict(), describe_run(run))
    worth = run.scheme.worth()
    if worth:
        lines = ["id,weight", *(f"{_quoted(id)},{weight:.8g}" for id, weight in sorted(worth.items()))]
        write_text(run.folder / WORTH, "\n".join(lines) + "\n")
    state = {
        "recipe": run.recipe.model_dump_json(),
        "versions": versions(),
        "data": run.fingerprint,
        "position": asdict(run.at),
        "network": run.module.state_dict(),
        "ema": None if run.ema is None else run.ema.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "gradients": _gradients(run),
        "scheme": run.scheme.state_dict(),
        "labels": run.labels.state_dict(),
        "val_labels": run.val_labels.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(run.device) if run.device.type == "cuda" else None,
    }
    # Written from memory, because torch answers to a full disk with errors of its own.
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(run.folder / STATE) as temporary:
        temporary.write_bytes(content.getbuffer())


def save_best(run: Run, row: Row) -> None:
    """Write the weights of the best epoch, with its validation in the card."""
    save_weights(run.folder / BEST, run.product.state_dict(), describe_run(run, row))


def write_recipe(run: Run) -> None:
    """Write the recipe with every default, and the list of the frames where it chooses some."""
    write_text(run.folder / RECIPE, to_toml(run.recipe))
    if run.recipe.data.choice is not None:
        write_text(run.folder / CHOSEN, "".join(f"{id}\n" for id in run.frames.ids))


def write_log(run: Run) -> None:
    """One line for each epoch; empty where an epoch was not validated."""
    columns = list(dict.fromkeys(name for row in run.at.rows for name in row))
    lines = [",".join(columns)]
    lines += [",".join(_cell(row.get(name)) for name in columns) for row in run.at.rows]
    write_text(run.folder / LOG, "\n".join(lines) + "\n")


def has_state(folder: Path | str) -> bool:
    """Whether a folder holds a run that can go on."""
    return (Path(folder) / STATE).is_file()


def read_state(folder: Path | str) -> dict[str, Any]:
    """The state of a run.

    Raises
    ------
    DataError
        If it is damaged or of another program.
    """
    path = Path(folder) / STATE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        absent = PARTS - state.keys()
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no run to resume; leave --resume out to begin one") from None
    except Exception as error:  # a damaged file fails in as many ways as pickle and zip know
        raise DataError(
            f"{path}: expected the state of a run, and it cannot be read ({type(error).__name__});"
            " its weights may still be good; begin a new run in another folder"
        ) from error
    if absent:
        raise DataError(
            f"{path}: expected the state of a run, and it lacks {', '.join(sorted(absent))}; another version"
            " of infraspot may have written it; go on with that one, or begin a new run in another folder"
        )
    return state


def recipe_of(state: dict[str, Any], trust: Collection[str] = ()) -> Recipe:
    """The recipe that a run was begun with; ``trust`` names the code outside infraspot that it may import.

    Raises
    ------
    InputError
        If it names other code.
    """
    return parse_recipe(json.loads(state["recipe"]), "the recipe of the checkpoint", trust)


def restore_run(run: Run, state: dict[str, Any]) -> None:
    """Bring a freshly built run to where the state was saved.

    Raises
    ------
    UsageError
        If the recipe differs in anything that changes what is computed.
    DataError
        If the frames are not those of the checkpoint, or its parts do not fit the run.
    """
    changed = differences(recipe_of(state, [*imported_names(run.recipe.model_dump())]), run.recipe)
    if changed:
        raise UsageError(
            f"the run in {run.folder} was begun with another recipe ({'; '.join(changed)});"
            " resume it with its own, or choose another --out"
        )
    if state["data"] != run.fingerprint:
        raise DataError(
            f"the run in {run.folder} was begun on other frames, to train on or to validate, than those given"
            " now; give the same data, or choose another --out"
        )
    try:
        _apply(run, state)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{run.folder / STATE}: the state does not fit the run that its recipe describes ({error}); its"
            " weights may still be good; begin a new run in another folder"
        ) from error


def differences(before: Recipe, now: Recipe) -> list[str]:
    """Clauses for the options that differ and may not."""
    old, new = before.model_dump(), now.model_dump()
    clauses = []
    for part, values in old.items():
        if not (isinstance(values, dict) and isinstance(new[part], dict)):
            clauses += [f"[[{part}]] differs"] if values != new[part] else []
            continue
        for name in sorted(values.keys() | new[part].keys()):
            was, is_now = values.get(name), new[part].get(name)
            if was != is_now and name not in FREE.get(part, ()):
                clauses.append(f"{part}.{name} was {was!r} and is {is_now!r}")
    return clauses


def _apply(run: Run, state: dict[str, Any]) -> None:
    run.at = Position(**state["position"])
    run.module.load_state_dict(state["network"])
    if run.ema is not None:
        run.ema.load_state_dict(state["ema"])
    run.optimiser.load_state_dict(state["optimiser"])
    for name, gradient in state["gradients"].items():
        run.module.get_parameter(name).grad = gradient.to(run.device)
    run.scheme.load_state_dict(state["scheme"])
    run.labels.load_state_dict(state["labels"])
    run.val_labels.load_state_dict(state["val_labels"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"] is not None and run.device.type == "cuda":
        torch.cuda.set_rng_state(state["random_cuda"], run.device)


def _gradients(run: Run) -> dict[str, torch.Tensor]:
    """What has gathered since the last step of the optimiser, where several batches make one step."""
    if run.at.batch % run.recipe.train.accumulate == 0:
        return {}
    return {name: p.grad for name, p in run.module.named_parameters() if p.grad is not None}


def _quoted(id: str) -> str:
    return '"' + id.replace('"', '""') + '"'


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
