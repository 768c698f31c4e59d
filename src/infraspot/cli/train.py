"""``infraspot train``: from a recipe to a run folder with weights that need nothing else."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraspot.cli.console import progress, say, warn
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.training import Row, Run, Watcher

INTERRUPTED = 130
RESULTS = ("best.safetensors", "last.safetensors", "log.csv", "recipe.toml")


@click.command()
@click.argument("recipe", required=False)
@click.option("--data", help="Folder of the data set; else the recipe's, or its set within $INFRASPOT_DATA.")
@click.option("--out", help="Run folder; runs/RECIPE if not given.")
@click.option("--set", "changes", multiple=True, metavar="PART.OPTION=VALUE", help="Change the recipe.")
@click.option(
    "--start",
    help="Weights to start from: a weight file, run folder or packaged model. Sets the network too.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@trust_option
def command(
    recipe: str | None,
    data: str | None,
    out: str | None,
    changes: Sequence[str],
    start: str | None,
    resume: bool,
    trust: tuple[str, ...],
) -> int:
    """Train a network by RECIPE, a TOML file or the name of a packaged one.

    Ctrl-C saves and stops; --resume goes on from there, and from a crash, as if nothing had happened.
    """
    require("train", "`infraspot train`")
    from infraspot.training import locked

    if recipe is None and not (resume and out):
        raise UsageError("give a recipe, such as `infraspot train compact_sirst1`, or --resume --out RUN")
    folder = Path(out or f"runs/{Path(recipe or '').stem}")
    changes = [*changes, *([f"data.path={json.dumps(str(Path(data).resolve()))}"] if data else [])]
    with locked(folder):
        return _train(_open_run(recipe, folder, changes, start, resume, trust))


def _open_run(
    recipe: str | None,
    folder: Path,
    changes: Sequence[str],
    start: str | None,
    resume: bool,
    trust: Sequence[str],
) -> "Run":
    """A new run, or the one in the folder where it is resumed; nothing is written."""
    from infraspot import training

    if training.has_state(folder) and not resume:
        raise UsageError(
            f"{folder} holds a run already; add --resume to go on with it, or choose another --out"
        )
    state = training.read_state(folder) if training.has_state(folder) or recipe is None else None
    if recipe is not None:
        chosen = training.load_recipe(recipe, changes)
    else:
        chosen = training.changed_recipe(training.recipe_of(state or {}, trust), changes)
    if start is not None:
        chosen = training.started_recipe(chosen, start, trust)
    if chosen.train.epochs == 0 and chosen.network.start is None:
        raise UsageError("train.epochs is 0, so that there must be weights to begin with; add --start")
    run = training.build_run(chosen, folder)
    if state is not None:
        training.restore_run(run, state)
    return run


def _train(run: "Run") -> int:
    from infraspot.training import fit

    if not run.leads:
        return 0 if fit(run) else INTERRUPTED
    if run.recipe.train.select_on == "test":
        warn("the best epoch is chosen on the test split: its figures are too good, and its weights say so")
    say(_introduction(run))
    if run.recipe.negatives is not None and run.loader.negatives is None:
        say("no negatives: the recipe can take frames without targets too, with --set negatives.path=FOLDER")
    with Screen(run) as screen:
        complete = fit(run, screen, *_logs(run))
    if not complete:
        say(
            f"stopped in epoch {run.epoch + 1} of {run.epochs};"
            f" `infraspot train --resume --out {run.folder}` goes on"
        )
        return INTERRUPTED
    if run.at.best is not None:
        chosen_on = run.recipe.train.select_on
        say(f"best  {_numbers(run.at.best)}   epoch {run.at.best['epoch']:.0f}, chosen on {chosen_on}")
    if run.recipe.second_look is not None:
        _look_twice(run)
    written = [name for name in RESULTS if (run.folder / name).is_file()]
    say(f"-> {run.folder}/{', '.join(written)}")
    return 0


def _look_twice(run: "Run") -> None:
    """The stage after the run; it is done again by --resume if it is stopped."""
    from infraspot.training import look_twice

    card = look_twice(run, progress)
    say(f"second look  calibration error {card['calibration']['error']:.3f}")
    for name, point in card["operating_points"].items():
        for row in point["measured"]:
            pd = "-" if row["pd"] is None else f"{row['pd']:.3f}"
            say(
                f"{name:9} {point['threshold']:.2f}  Pd {pd:>5}  {row['false_per_frame']:.3f} false a frame"
                f"  {row['clean']:.3f} of frames without  {row['data']} ({row['frames']})"
            )


def _introduction(run: "Run") -> str:
    parameters = sum(p.numel() for p in run.module.parameters()) / 1e6
    place = f", from epoch {run.done:.1f}" if run.at.begun else ""
    return (
        f"{run.recipe.network.name}  {parameters:.3f} M parameters   {len(run.samples)} frames to train on,"
        f" {len(run.val)} to validate   {run.epochs} epochs on {run.device}{place}"
    )


def _logs(run: "Run") -> "list[Watcher]":
    if not run.recipe.train.tensorboard:
        return []
    from infraspot.training.tensorboard import TensorBoard

    return [TensorBoard(run.folder / "tensorboard")]


def _numbers(row: "Row") -> str:
    """The validation of an epoch; false alarms as pixels in a million."""
    return (
        f"IoU {row['iou']:.4f}  nIoU {row['niou']:.4f}  Pd {row['pd']:.4f}  Fa {row['fa_area'] * 1e6:.1f}e-6"
    )


class Screen:
    """A line for each validated epoch; where a person looks on, also a bar with loss and time left."""

    def __init__(self, run: "Run") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
        self._task = self._bar.add_task("", total=run.epochs, state="")
        self._began, self._from = time.monotonic(), run.done

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, run: "Run", loss: float) -> None:
        mean = run.at.loss_sum / run.at.batch
        best = "" if run.at.best is None else f"best IoU {run.at.best['iou']:.4f}  "
        self._bar.update(
            self._task,
            description=f"epoch {run.epoch + 1}/{run.epochs}",
            completed=run.done,
            state=f"loss {mean:.4f}  {best}{self._left(run)} left",
        )

    def epoch(self, run: "Run", row: "Row") -> None:
        if "iou" not in row:
            return
        best = " *" if run.at.best is not None and run.at.best["epoch"] == row["epoch"] else ""
        head = f"epoch {row['epoch']:4.0f}  loss {row['loss']:.4f}"
        say(f"{head}  {_numbers(row)}  {self._left(run)} left{best}")

    def _left(self, run: "Run") -> str:
        share = max(run.done - self._from, 1e-9)
        seconds = int((time.monotonic() - self._began) / share * (run.epochs - run.done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
