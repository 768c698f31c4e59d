"""Training and scoring the cells of a grid, each in a process of its own, several at once."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from infraspot.benchmark.grid import Cell, Grid
from infraspot.benchmark.scoring import read_scores, score_cell
from infraspot.benchmark.settings import GridPart
from infraspot.core.cores import available_cores
from infraspot.core.errors import InfraspotError
from infraspot.core.lock import locked
from infraspot.jobs.watching import Tell, tell_nobody
from infraspot.jobs.workers import follow_parent
from infraspot.training import train
from infraspot.training.checkpoint import LOG
from infraspot.training.interrupt import stop_requests

POLL = 0.5  # seconds
STOPPED = "stopped"


@dataclass(frozen=True)
class Standing:
    """How far a grid is.

    Attributes
    ----------
    scored, cells
        Trainings that are finished and scored, and all of them.
    share
        Of the epochs of all trainings, how many are behind, in [0, 1].
    left
        Seconds that the rest may take, by what this sitting has done so far; None at first.
    training
        Names of the cells that are at work.
    """

    scored: int
    cells: int
    share: float
    left: float | None
    training: Sequence[str]


@dataclass
class Outcome:
    """What became of a grid: sentences for the cells that failed, and whether it was asked to stop."""

    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


Watch = Callable[[Standing], None]


def run_grid(
    grid: Grid,
    out: str | Path,
    *,
    jobs: int = 1,
    watch: Watch = lambda standing: None,
    tell: Tell = tell_nobody,
) -> Outcome:
    """Train and score every cell that is not scored yet, ``jobs`` of them at once.

    A cell lies in ``out/runs/NAME``. Called again, it goes on wherever it was stopped or killed. A cell that
    fails is named, and the others go on. Ctrl-C saves what is at work and stops.

    Parameters
    ----------
    watch
        Hears twice a second how far the grid is.
    tell
        Hears the error of each cell that failed.

    Raises
    ------
    UsageError
        If another program works in ``out``.
    """
    with locked(out), stop_requests() as stop:
        work = _Work(grid, Path(out), jobs)
        outcome = Outcome()
        while work.pending or work.running:
            if stop.is_set() and not outcome.stopped:
                outcome.stopped = True
                work.stop()
            work.start()
            for cell, sentence in work.ended():
                if sentence == STOPPED:
                    continue
                outcome.failed[cell.name] = sentence
                tell(InfraspotError(f"{cell.name}: {sentence}"))
            watch(work.standing())
    return outcome


class _Work:
    """The cells that wait and those that are at work."""

    def __init__(self, grid: Grid, out: Path, jobs: int) -> None:
        self.grid, self.out, self.jobs = grid, out, jobs
        scored = [cell for cell in grid.cells if read_scores(grid.part, self._folder(cell)) is not None]
        self.scored = {cell.name for cell in scored}
        self.pending = deque(cell for cell in grid.cells if cell.name not in self.scored)
        self.running: dict[BaseProcess, tuple[Cell, Connection]] = {}
        self.began, self.behind = time.monotonic(), self._epochs()

    def start(self) -> None:
        """Fill the free places."""
        spawning = multiprocessing.get_context("spawn")
        while self.pending and len(self.running) < self.jobs:
            cell = self.pending.popleft()
            ours, theirs = spawning.Pipe(duplex=False)
            arguments = (cell, self.grid.part, self._folder(cell), self.jobs, theirs)
            process = spawning.Process(target=_train_and_score, args=arguments, name=cell.name)
            process.start()
            theirs.close()
            self.running[process] = cell, ours

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait a little; the cells that ended without scores since, and why."""
        wait([process.sentinel for process in self.running], timeout=POLL)
        found = []
        for process in [process for process in self.running if not process.is_alive()]:
            cell, connection = self.running.pop(process)
            sentence = _last_word(process, connection)
            if sentence:
                found.append((cell, sentence))
            else:
                self.scored.add(cell.name)
        return found

    def stop(self) -> None:
        """Ask those at work to save and end; the others never begin."""
        self.pending.clear()
        for process in self.running:
            process.terminate()

    def standing(self) -> Standing:
        """How far all of it is."""
        total = sum(cell.recipe.train.epochs for cell in self.grid.cells)
        epochs, seconds = self._epochs(), time.monotonic() - self.began
        new = epochs - self.behind
        return Standing(
            scored=len(self.scored),
            cells=len(self.grid.cells),
            share=epochs / max(total, 1),
            left=seconds / new * (total - epochs) if new else None,
            training=[cell.name for cell, _ in self.running.values()],
        )

    def _epochs(self) -> int:
        return sum(
            cell.recipe.train.epochs if cell.name in self.scored else _logged(self._folder(cell))
            for cell in self.grid.cells
        )

    def _folder(self, cell: Cell) -> Path:
        return self.out / "runs" / cell.name


def _train_and_score(cell: Cell, part: GridPart, folder: Path, jobs: int, answer: Connection) -> None:
    """The work of one process; it answers with a sentence, which is empty where all went well."""
    import torch

    # Ctrl-C is for the parent, which asks for a stop by SIGTERM; a group of its own keeps the key away.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    follow_parent()
    if not cell.recipe.train.threads:
        torch.set_num_threads(max(1, available_cores() // jobs))
    try:
        complete = train(cell.recipe, folder).complete
        if complete:
            score_cell(cell, part, folder)
        answer.send("" if complete else STOPPED)
    except InfraspotError as error:
        answer.send(str(error))
    except Exception as error:  # code outside infraspot raises what it likes, and the other cells go on
        answer.send(f"{type(error).__name__}: {error}")


def _last_word(process: BaseProcess, connection: Connection) -> str:
    process.join()
    with connection:
        try:
            said: str = connection.recv()
            return said
        except EOFError:
            if process.exitcode == -signal.SIGTERM:
                return STOPPED
            return f"its process ended with status {process.exitcode}; memory may have run out"


def _logged(folder: Path) -> int:
    """Epochs in the log of a run."""
    try:
        return max(0, (folder / LOG).read_bytes().count(b"\n") - 1)
    except OSError:
        return 0
