"""Training from Python: a recipe, its changes, a folder."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infraspot.core.errors import UsageError
from infraspot.core.extras import require
from infraspot.core.options import shown
from infraspot.jobs.watching import Progress, no_progress

if TYPE_CHECKING:
    from infraspot.training import Watcher


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A run of training, as it was left.

    Attributes
    ----------
    folder
        Holds ``best.safetensors`` and ``last.safetensors``, ``log.csv`` and ``recipe.toml``.
    complete
        Whether all epochs are done; a run that was stopped goes on with ``resume=True``.
    rows
        One dict of numbers for each epoch: loss, learning rate, and the validation where there was one.
    best
        The row of the best epoch; None where no epoch was validated.
    """

    folder: Path
    complete: bool
    rows: list[dict[str, float]]
    best: dict[str, float] | None

    @property
    def weights(self) -> Path:
        """The weights of the best epoch, or the last ones: what :func:`infraspot.load` takes."""
        best = self.folder / "best.safetensors"
        return best if best.is_file() else self.folder / "last.safetensors"

    def __repr__(self) -> str:
        state = "complete" if self.complete else "stopped"
        best = ""
        if self.best is not None:
            label, name = ("AP", "ap") if "ap" in self.best else ("IoU", "iou")
            best = f", best {label} {self.best.get(name, math.nan):.3f} in epoch {self.best['epoch']:.0f}"
        return f"<TrainingRun {self.folder}: {len(self.rows)} epochs, {state}{best}>"


def train(
    recipe: str | Path,
    *,
    data: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    trust: Collection[str] | str = (),
    watchers: "Collection[Watcher]" = (),
    progress: Progress = no_progress,
    **settings: Any,
) -> TrainingRun:
    """Train a network by a recipe, as ``infraspot train`` does; needs the extra ``train``.

    Parameters
    ----------
    recipe
        A TOML file, or the name of a packaged recipe such as ``"compact_sirst1"``.
    data
        Folder of the data set, or a dict of changes of the recipe's part ``data``; else the recipe's own,
        which is looked for in the folder that INFRASPOT_DATA names.
    out
        Folder of the run; ``runs/RECIPE`` by default.
    start
        Weights to begin with: a weight file, run folder or packaged model. It decides the network as well.
    resume
        Go on with the run in ``out``, if there is one.
    trust
        Names ``"module:attribute"`` of code outside infraspot that ``start`` may import.
    watchers
        Called after each batch and epoch (:class:`infraspot.training.Watcher`).
    progress
        See :mod:`infraspot.jobs.watching`; for the stages after the last epoch.
    **settings
        Changes of the recipe, a dict for each part: ``train={"epochs": 5}, network={"name": "mshnet"}``.

    Raises
    ------
    UsageError
        If the extra is missing, a setting is unknown or wrong, or ``out`` holds a run; nothing was done.
    DataError
        If the frames cannot be read, or ``out`` cannot be written to.
    """
    require("train", "`infraspot.train`")
    from infraspot import training

    folder = Path(out or f"runs/{Path(recipe).stem}")
    if data is not None:
        settings["data"] = data if isinstance(data, Mapping) else {"path": str(Path(data).resolve())}
    changes = [
        f"{part}.{option}={training.as_toml(value)}"
        for part, options in settings.items()
        for option, value in _part(part, options).items()
    ]
    with training.locked(folder):
        chosen = training.load_recipe(recipe, changes)
        if start is not None:
            chosen = training.started_recipe(chosen, str(start), trust, changes)
        if training.has_state(folder) and not resume:
            raise UsageError(
                f"{folder} holds a run already; pass resume=True to go on with it, or another out"
            )
        run = training.open_run(chosen, folder)
        complete = training.fit(run, *watchers)
        if complete and run.leads:
            training.run_stages(run, progress)
    return TrainingRun(folder, complete, run.at.rows, run.at.best)


def _part(name: str, options: Any) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise UsageError(
            "expected each setting as a part of the recipe with a dict of its options, such as"
            f" train={{'epochs': 5}}, and {name}={shown(options)} came"
        )
    return options
