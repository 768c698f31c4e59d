"""``infraspot train``: from a recipe to a run folder with weights that need nothing else."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say, warn
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError, counted, named
from infraspot.core.extras import is_installed, require

if TYPE_CHECKING:
    from infraspot.training import Recipe, Row, Run, Watcher

INTERRUPTED = 130
RESULTS = (
    "best.safetensors",
    "last.safetensors",
    "log.csv",
    "events.tfevents",
    "labels.png",
    "frames.csv",
    "chosen.txt",
    "recipe.toml",
)


@click.command()
@click.argument("recipe", required=False)
@click.option("--data", help="Folder of the data set; else the recipe's, or its set within $INFRASPOT_DATA.")
@click.option("--out", help="Run folder; runs/RECIPE if not given.")
@click.option("--set", "changes", multiple=True, metavar="PART.OPTION=VALUE", help="Change the recipe.")
@click.option(
    "--start",
    help="Weights to start from: a weight file, run folder or packaged model. Sets the network too.",
)
@click.option("--epochs", type=click.IntRange(0), help="Passes over the training frames.")
@click.option("--batch", type=click.IntRange(1), help="Frames in a batch, over all devices.")
@click.option("--seed", type=click.IntRange(0), help="Random seed.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train.")
@click.option(
    "--repeat",
    type=click.IntRange(1),
    help="Train so many times, with seeds one apart, in OUT/seed-N; prints mean and deviation.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@trust_option
def command(
    recipe: str | None,
    data: str | None,
    out: str | None,
    changes: Sequence[str],
    start: str | None,
    repeat: int | None,
    resume: bool,
    trust: tuple[str, ...],
    **shortcuts: object,
) -> int:
    """Train a network by RECIPE, a TOML file or the name of a packaged one.

    Ctrl-C saves and stops; --resume goes on from there, and from a crash, as if nothing had happened.
    --epochs, --batch, --seed and --device are short for --set train.epochs=... and so on; the recipe's own
    values hold where they are left out.
    """
    require("train", "`infraspot train`")
    from infraspot import training

    if recipe is None and not (resume and out):
        raise UsageError("give a recipe, such as `infraspot train compact_sirst1`, or --resume --out RUN")
    folder = Path(out or f"runs/{Path(recipe or '').stem}")
    changes = [
        *changes,
        *([f"data.path={json.dumps(str(Path(data).resolve()))}"] if data else []),
        *(f"train.{name}={value}" for name, value in shortcuts.items() if value is not None),
    ]
    with training.locked(folder):
        if repeat is None:
            return train_to_end(open_run_in(folder, recipe, changes, start=start, resume=resume, trust=trust))
        return _repeat(_repeated(recipe, changes, start, trust, repeat), folder, resume)


def open_run_in(
    folder: Path,
    recipe: str | None,
    changes: Sequence[str],
    *,
    start: str | None = None,
    resume: bool = False,
    trust: Sequence[str] = (),
) -> "Run":
    """A new run, or the one in the folder where it is resumed; nothing is written.

    Without a recipe, the run's own is taken.
    """
    from infraspot import training

    _refuse_other_run(folder, resume)
    if recipe is not None:
        chosen = training.load_recipe(recipe, changes)
    else:
        chosen = training.changed_recipe(training.recipe_of(training.read_state(folder), trust), changes)
    if start is not None:
        chosen = training.started_recipe(chosen, start, trust, changes)
    return training.open_run(chosen, folder)


def _refuse_other_run(folder: Path, resume: bool) -> None:
    from infraspot import training

    if training.has_state(folder) and not resume:
        raise UsageError(
            f"{folder} holds a run already; add --resume to go on with it, or choose another --out"
        )


def _repeated(
    recipe: str | None, changes: Sequence[str], start: str | None, trust: Sequence[str], count: int
) -> "list[Recipe]":
    """The recipe under each of the seeds."""
    from infraspot import training

    if recipe is None:
        raise UsageError("--repeat needs the recipe, also with --resume: `infraspot train RECIPE --repeat N`")
    chosen = training.load_recipe(recipe, changes)
    if start is not None:
        chosen = training.started_recipe(chosen, start, trust, changes)
    if chosen.train.epochs == 0:
        raise UsageError("train.epochs is 0, so that there is nothing to repeat")
    if chosen.train.select_on == "none":
        raise UsageError(
            "--repeat compares validations, and train.select_on is 'none'; leave one of them out"
        )
    first = chosen.train.seed
    return [training.changed_recipe(chosen, [f"train.seed={first + k}"]) for k in range(count)]


def _repeat(recipes: "Sequence[Recipe]", folder: Path, resume: bool) -> int:
    """Train by each recipe in a folder of its own; then mean and deviation of the best and last weights."""
    from infraspot import training

    places = {recipe.train.seed: folder / f"seed-{recipe.train.seed}" for recipe in recipes}
    for place in places.values():
        _refuse_other_run(place, resume)
    best, last = {}, {}
    for recipe in recipes:
        seed = recipe.train.seed
        with training.locked(places[seed]):
            run = training.open_run(recipe, places[seed])
            status = train_to_end(run, again=f"the same command with --resume goes on (seed {seed})")
        if status:
            return status
        best[seed], last[seed] = run.at.best or run.at.rows[-1], run.at.rows[-1]
    kinds = {"best": best, "last": last}
    if run.leads:
        written = training.write_repeats(folder, kinds)
        for kind, rows in kinds.items():
            say(f"{kind}  {_spread(training.spread_of(list(rows.values())))}   {len(rows)} seeds")
        say(f"-> {written}")
    return 0


def train_to_end(run: "Run", again: str | None = None) -> int:
    """Train to the end; ``again`` says how to go on with a run that was stopped."""
    from infraspot.schemes.clicks import APART, doubled_clicks
    from infraspot.training import fit, run_stages

    if not run.leads:
        return 0 if fit(run) else INTERRUPTED
    if run.recipe.train.select_on == "test":
        warn("the best epoch is chosen on the test split: its figures are too good, and its weights say so")
    if run.recipe.train.select_on == "clicks":
        say("the best epoch is chosen by the masks that `profile` grows from the clicks of val: (clicks)")
    say(_introduction(run))
    if run.recipe.negatives is not None and run.loader.negatives is None:
        say("no negatives: the recipe can take frames without targets too, with --set negatives.path=FOLDER")
    by_clicks = not (run.scheme.needs_truth or run.scheme.self_supervised)
    if by_clicks and not run.at.begun and (doubled := doubled_clicks(run.samples)):
        warn(f"clicks less than {APART:g} px apart mean one target, and it gets one label: {named(doubled)}")
    with Screen(run) as screen:
        complete = fit(run, screen, *_logs(run))
    _draw_labels(run.folder)
    again = again or f"`infraspot train --resume --out {run.folder}` goes on"
    if not complete:
        say(f"stopped in epoch {run.epoch + 1} of {run.epochs}; {again}")
        return INTERRUPTED
    if run.epoch < run.epochs:
        say(f"ended after epoch {run.epoch}: {run.recipe.train.patience} epochs without a better one")
    if run.at.best is not None:
        chosen_on = run.recipe.train.select_on
        say(f"best  {_numbers(run.at.best)}   epoch {run.at.best['epoch']:.0f}, chosen on {chosen_on}")
    try:
        cards = run_stages(run, progress)
    except KeyboardInterrupt:
        say(f"stopped in what follows the last epoch, which is done again; {again}")
        return INTERRUPTED
    for name, card in cards.items():
        STAGES[name](card)
    written = [name for name in RESULTS if (run.folder / name).is_file()]
    say(f"-> {run.folder}/{', '.join(written)}")
    return 0


def _say_peaks(card: Mapping[str, Any]) -> None:
    found = card["parted"]
    say(
        f"peaks  AP {found['ap']:.3f}, recall {found['recall']:.3f}, centres within 3 px: AP"
        f" {found['centre_ap']:.3f}; calibration error {found['error']:.3f}"
    )


def _say_second_look(card: Mapping[str, Any]) -> None:
    say(f"second look  calibration error {card['calibration']['error']:.3f}")
    for name, point in card["operating_points"].items():
        for row in point["measured"]:
            pd = "-" if row["pd"] is None else f"{row['pd']:.3f}"
            say(
                f"{name:9} {point['threshold']:.2f}  Pd {pd:>5}  {row['false_per_frame']:.3f} false a frame"
                f"  {row['clean']:.3f} of frames without  {row['data']} ({row['frames']})"
            )


STAGES = {"second_look": _say_second_look, "peaks": _say_peaks}
"""What is said after each of :data:`infraspot.training.stages.STAGES`."""


def _introduction(run: "Run") -> str:
    parameters = sum(p.numel() for p in run.module.parameters()) / 1e6
    place = f", from epoch {run.done:.1f}" if run.at.begun else ""
    judged = f", {len(run.val)} to validate" if len(run.val) else ""
    frames = counted(len(run.samples), "frame")
    return (
        f"{run.recipe.network.name}  {parameters:.3f} M parameters   {frames} to train on"
        f"{judged}   {run.epochs} epochs on {run.device}{place}"
    )


def _logs(run: "Run") -> "list[Watcher]":
    if run.recipe.train.mlflow is None:
        return []
    from infraspot.training.mlflow_log import MlflowLog

    return [MlflowLog(run)]


def _draw_labels(folder: Path) -> None:
    """How the labels evolved, as a picture, where matplotlib is installed."""
    from infraspot.report.label_curves import write_label_curves

    if is_installed("matplotlib") and (folder / "log.csv").is_file():
        write_label_curves(folder / "log.csv", folder / "labels.png")


def _numbers(row: "Row") -> str:
    """The validation of an epoch, by masks and by clicks; false alarms as pixels in a million."""
    if "ap" in row:
        return (
            f"AP {row['ap']:.4f}  recall {row['recall']:.4f}  centre AP {row['ap_centre']:.4f}"
            f"  recall {row['recall_centre']:.4f}  F1 {row['f1']:.4f}"
        )
    return "   ".join(
        f"IoU{label} {row[kind + 'iou']:.4f}  nIoU {row[kind + 'niou']:.4f}  Pd {row[kind + 'pd']:.4f}"
        f"  Fa {row[kind + 'fa_area'] * 1e6:.1f}e-6"
        for kind, label in (("", ""), ("click_", " (clicks)"))
        if kind + "iou" in row
    )


def _spread(numbers: Mapping[str, tuple[float, float]]) -> str:
    """Mean ± standard deviation of each number; false alarms as pixels in a million."""
    if "ap" in numbers:
        names = (("AP", "ap"), ("recall", "recall"), ("centre AP", "ap_centre"))
        return "  ".join(f"{label} {numbers[n][0]:.4f} ± {numbers[n][1]:.4f}" for label, n in names)
    cells = [
        f"{label} {numbers[name][0] * factor:{style}} ± {numbers[name][1] * factor:{style}}"
        for label, name, factor, style in (
            ("IoU", "iou", 1, ".4f"),
            ("nIoU", "niou", 1, ".4f"),
            ("Pd", "pd", 1, ".4f"),
            ("Fa", "fa_area", 1e6, ".1f"),
        )
    ]
    return "  ".join(cells) + "e-6"


class Screen:
    """A line for each validated epoch; where a person looks on, also a bar with loss and time left.

    A run that validates nothing has a line for each epoch.
    """

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
        best = "" if run.at.best is None else f"best {run.at.best['selection']:.4f}  "
        self._bar.update(
            self._task,
            description=f"epoch {run.epoch + 1}/{run.epochs}",
            completed=run.done,
            state=f"loss {mean:.4f}  {best}{self._left(run)} left",
        )

    def epoch(self, run: "Run", row: "Row") -> None:
        numbers, validates = _numbers(row), run.recipe.train.select_on != "none"
        if validates and not numbers:
            return
        best = " *" if run.at.best is not None and run.at.best["epoch"] == row["epoch"] else ""
        head = f"epoch {row['epoch']:4.0f}  loss {row['loss']:.4f}"
        say("  ".join(filter(None, (head, numbers, f"{self._left(run)} left{best}"))))

    def _left(self, run: "Run") -> str:
        share = max(run.done - self._from, 1e-9)
        seconds = int((time.monotonic() - self._began) / share * (run.epochs - run.done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
