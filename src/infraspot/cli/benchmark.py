"""``infraspot benchmark``: a grid of trainings, their scores, and tables of them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraspot.cli.console import hear, say, table
from infraspot.core.errors import UsageError
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.benchmark import Grid, Standing
    from infraspot.report.score_tables import ScoreTable

INTERRUPTED = 130


@click.command("benchmark")
@click.argument("grid")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the runs; benchmarks/GRID if left out."
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings that run at once."
)
@click.option(
    "--only", multiple=True, metavar="AXIS=LABEL", help="Only this network, scheme or data; may be repeated."
)
@click.option("--split", type=click.Choice(["val", "test"]), help="Score this split instead of the grid's.")
@click.option("--set", "changes", multiple=True, metavar="PART.OPTION=VALUE", help="Change every recipe.")
@click.option("--check", is_flag=True, help="Check the grid and its data; train nothing.")
@click.option(
    "--table", "only_table", is_flag=True, help="Write the tables of what is finished; train nothing."
)
@click.option("--report", type=click.Path(path_type=Path), help="HTML file of the tables, offline.")
def command(
    grid: str,
    out: Path | None,
    report: Path | None,
    jobs: int,
    only: Sequence[str],
    split: str | None,
    changes: Sequence[str],
    check: bool,
    only_table: bool,
) -> int:
    """Train and score GRID, a TOML file or the name of a packaged grid: networks x schemes x data x seeds.

    The same command goes on where it was stopped or killed. Tables with intervals, paired tests and the
    paper's figures are written as Markdown, CSV, LaTeX and HTML.
    """
    require("train", "`infraspot benchmark`")
    from infraspot.benchmark import find_grid, load_grid, run_grid

    folder = out or Path("benchmarks") / find_grid(grid).stem
    loaded = load_grid(grid, folder, only=_wanted(only), split=split, changes=changes)
    epochs = sum(cell.recipe.train.epochs for cell in loaded.cells)
    say(f"{loaded.part.about.title}: {len(loaded.cells)} trainings, {epochs} epochs in all")
    if check:
        return 0
    failed = stopped = False
    if not only_table:
        with Screen() as screen:
            outcome = run_grid(loaded, folder, jobs=jobs, watch=screen.show, tell=hear)
        failed, stopped = bool(outcome.failed), outcome.stopped
    written = _finish(loaded, folder, report)
    if stopped:
        say("stopped; the same command goes on")
        return INTERRUPTED
    if not written and not failed:
        raise UsageError(f"{folder} holds no finished training of this grid; leave --table out")
    return 1 if failed else 0


def _wanted(only: Sequence[str]) -> dict[str, list[str]]:
    """``network=acm`` and the like by their axis."""
    wanted: dict[str, list[str]] = {}
    for word in only:
        axis, equals, label = word.partition("=")
        if not equals:
            raise UsageError(f"--only takes AXIS=LABEL, such as network=acm, and it is {word!r}")
        wanted.setdefault(axis, []).append(label)
    return wanted


def _finish(grid: "Grid", folder: Path, report: Path | None) -> bool:
    """Print and write the tables of what is finished; False if nothing is."""
    from infraspot.benchmark import tables_of, write_tables
    from infraspot.report.benchmark_report import write_benchmark_report

    tables = tables_of(grid, folder)
    for one in tables:
        _print(one)
    if tables:
        for path in write_tables(folder, tables, grid.part.about.title):
            say(f"-> {path}")
    if tables and report is not None:
        say(f"-> {write_benchmark_report(report, tables, grid.part.about.title)}")
    return bool(tables)


def _print(one: "ScoreTable") -> None:
    from infraspot.report.score_tables import cells, head

    table(head(one), [cells(one, row) for row in one.rows], title=one.title)
    for note in one.notes:
        say(f"  {note}")
    say()


class Screen:
    """A line for each finished training; where a person looks on, also a bar with the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
        self._task = self._bar.add_task("", total=1.0, state="")
        self._scored: int | None = None

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, standing: "Standing") -> None:
        """Hear how far the grid is."""
        counted = f"{standing.scored} of {standing.cells} trainings finished"
        left = "" if standing.left is None else f", about {_clock(standing.left)} left"
        self._bar.update(
            self._task,
            description=counted,
            completed=standing.share,
            state=f"{standing.share:.0%}{left}  {', '.join(standing.training)}",
        )
        if standing.scored != self._scored:
            self._scored = standing.scored
            say(counted + left)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
