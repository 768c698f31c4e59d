"""A new run, or the one that its folder holds."""

from pathlib import Path

from infraspot.core.errors import UsageError
from infraspot.core.lock import locked
from infraspot.training.build import build_run
from infraspot.training.checkpoint import has_state, read_state, restore_run
from infraspot.training.fit import Watcher, fit
from infraspot.training.run import Run
from infraspot.training.settings import Recipe


def train(recipe: Recipe, folder: Path | str, *watchers: Watcher) -> Run:
    """Train by a recipe in ``folder``, or go on with the run that is there, to its last epoch.

    Returns
    -------
    The run; ``run.complete`` is False if it was asked to stop before (Ctrl-C, or ``run.stopping``).

    Raises
    ------
    InfraspotError
        As :func:`open_run` and :func:`infraspot.training.fit` do.
    """
    with locked(folder):
        run = open_run(recipe, folder)
        fit(run, *watchers)
    return run


def open_run(recipe: Recipe, folder: Path | str) -> Run:
    """The run of ``folder`` where it was left, or a new one if there is none; nothing is written.

    Raises
    ------
    UsageError
        If the run was begun with another recipe, or there is nothing to train.
    DataError
        If the data are absent or unusable, or are not those that the run was begun on.
    """
    if recipe.train.epochs == 0 and recipe.network.start is None:
        raise UsageError("train.epochs is 0, so that there must be weights to begin with; add --start")
    state = read_state(folder) if has_state(folder) else None
    run = build_run(recipe, folder)
    if state is not None:
        restore_run(run, state)
    return run
