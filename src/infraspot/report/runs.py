"""Run folders read back: what was trained, how far it came, and how good it is.

A folder may come from anybody. Only its ``recipe.toml`` and ``log.csv`` are read, as text and up to a limit;
nothing is imported, no weights are loaded, and no link is followed.
"""

import csv
import io
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infraspot.core.errors import DataError, InputError
from infraspot.core.lock import LOCK, owner_of

RECIPE, LOG, STATE = "recipe.toml", "log.csv", "state.pt"

# What `infraspot train` and `infraspot benchmark` write into a run folder.
FILES = (
    STATE,
    "best.safetensors",
    "last.safetensors",
    LOG,
    RECIPE,
    "events.tfevents",
    "labels.png",
    "frames.csv",
    "chosen.txt",
    "mlflow.json",
    "scores.json",
    LOCK,
)

LARGEST_RECIPE, LARGEST_LOG = 1 << 20, 64 << 20  # bytes
LARGEST_WHOLE = 2**63 - 1
DEEPEST, MOST = 4, 10_000  # levels of folders, and folders, that a search looks into
NUMBERS = ("iou", "niou", "pd", "fa_area")


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One run folder.

    Attributes
    ----------
    options
        The recipe as ``part.option`` to value; the keys of nested tables and lists are joined with dots.
    rows
        The lines of the log, one an epoch; a number that is not there is left out.
    owner
        Who trains in the folder now; None if nobody does.
    """

    folder: Path
    options: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    owner: str | None

    def option(self, name: str) -> str:
        """An option as text; ``-`` if the recipe does not say."""
        return shown(self.options.get(name))

    @property
    def epochs(self) -> tuple[int, int | None]:
        """Epochs behind, and those of the recipe where it says."""
        wanted = self.options.get("train.epochs")
        return len(self.rows), wanted if isinstance(wanted, int) else None

    @property
    def state(self) -> str:
        """``training``, ``finished`` or ``stopped``."""
        done, wanted = self.epochs
        if self.owner is not None:
            return "training"
        patience, best = self.options.get("train.patience"), self.best
        spent = isinstance(patience, int) and best is not None and done - best["epoch"] >= patience
        return "finished" if spent or (wanted is not None and done >= wanted) else "stopped"

    @property
    def last(self) -> Mapping[str, float] | None:
        """The last row that was validated."""
        validated = [row for row in self.rows if {"iou", "click_iou"} & row.keys()]
        return validated[-1] if validated else None

    @property
    def best(self) -> Mapping[str, float] | None:
        """The first row with the highest selection, by the recipe's ``train.select``."""
        weights = _selection(self.options)
        validated = [row for row in self.rows if all(name in row for name in weights)]
        return max(validated, key=lambda row: _weighed(row, weights), default=None)


def find_runs(place: Path) -> list[Path]:
    """The run folders at and below a folder, in the order of their names.

    Raises
    ------
    DataError
        If there is no such folder.
    """
    if not place.is_dir():
        raise DataError(f"there is no folder {place}; expected a run folder, or one that holds some")
    return sorted(path for path in _folders(place) if is_run(path))


def is_run(folder: Path) -> bool:
    """Whether ``infraspot train`` wrote this folder: a recipe with a log or a state."""
    return _is_file(folder / RECIPE) and (_is_file(folder / LOG) or _is_file(folder / STATE))


def read_run(folder: Path) -> RunRecord:
    """Read a run folder.

    Raises
    ------
    InputError
        If its recipe or its log cannot be read, or is not what training writes.
    """
    if not is_run(folder):
        raise InputError(f"{folder} is no run folder; expected {RECIPE} with {LOG} or {STATE}")
    text = _text(folder / RECIPE, LARGEST_RECIPE)
    try:
        options = dict(_flat(tomllib.loads(text)))
    except (ValueError, RecursionError) as error:  # TOML that is none, or nested or long beyond reason
        raise InputError(f"{folder / RECIPE}: expected a recipe in TOML, and it is none: {error}") from error
    huge = [name for name, value in options.items() if isinstance(value, int) and abs(value) > LARGEST_WHOLE]
    if huge:
        raise InputError(f"{folder / RECIPE}: {shown(huge[0])} is a whole number beyond 64 bits")
    return RunRecord(folder, options, _rows(folder / LOG) if _is_file(folder / LOG) else [], owner_of(folder))


def differing(records: Sequence[RunRecord]) -> list[str]:
    """The options that are not the same in all runs; where things lie does not count."""
    names = dict.fromkeys(name for record in records for name in record.options)
    places = {"data.path", "negatives.path", "unlabelled.path", "network.start"}
    return [
        name
        for name in names
        if name not in places and len({repr(record.options.get(name)) for record in records}) > 1
    ]


def shown(value: Any, longest: int = 40) -> str:
    """A value of a recipe, short enough for a table."""
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def jsonable_run(record: RunRecord) -> dict[str, Any]:
    """The run for a JSON file; numbers that are none become null."""

    def row(given: Mapping[str, float] | None) -> dict[str, float | None] | None:
        if given is None:
            return None
        return {name: value if math.isfinite(value) else None for name, value in given.items()}

    return {
        "folder": str(record.folder),
        "state": record.state,
        "owner": record.owner,
        "epochs": record.epochs[0],
        "best": row(record.best),
        "last": row(record.last),
        "options": json.loads(json.dumps(record.options, default=str)),
    }


def _folders(place: Path) -> Iterator[Path]:
    """The folder and those below it, without links, up to a depth and a number."""
    base = len(place.parts)
    for count, (name, below, _) in enumerate(os.walk(place)):
        if count >= MOST:
            raise DataError(f"{place} holds more than {MOST} folders; name the one that the runs lie in")
        yield Path(name)
        if len(Path(name).parts) - base >= DEEPEST:
            below.clear()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _text(path: Path, largest: int) -> str:
    try:
        if path.stat().st_size > largest:
            raise InputError(f"{path} has more than {largest} bytes; training writes no such file")
        with path.open("rb") as file:
            return file.read(largest).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _rows(path: Path) -> list[dict[str, float]]:
    lines = csv.reader(io.StringIO(_text(path, LARGEST_LOG)))
    try:
        columns = next(lines, [])
        rows = [
            {name: float(cell) for name, cell in zip(columns, line, strict=True) if cell} for line in lines
        ]
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: expected a line of numbers for each epoch: {error}") from error
    if rows and ("epoch" not in columns or len(set(columns)) < len(columns)):
        raise InputError(f"{path}: expected columns with names of their own, and one of them epoch")
    return [row for row in rows if "epoch" in row]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = {str(place): item for place, item in enumerate(value)}
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _selection(options: Mapping[str, Any]) -> dict[str, float]:
    """The weights by which the best epoch is chosen, of the numbers by masks or by clicks."""
    prefix = "click_" if options.get("train.select_on") == "clicks" else ""
    chosen = options.get("train.select", "iou")
    if isinstance(chosen, str) and "train.select" in options:
        return {prefix + chosen: 1.0}
    start = "train.select."
    named = {name[len(start) :]: value for name, value in options.items() if name.startswith(start)}
    weights = {prefix + name: float(value) for name, value in named.items() if isinstance(value, int | float)}
    return weights or {f"{prefix}iou": 1.0}


def _weighed(row: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weight * (0.0 if math.isnan(row[name]) else row[name]) for name, weight in weights.items())
