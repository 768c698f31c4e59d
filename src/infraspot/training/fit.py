"""The one loop that serves every scheme."""

import math
import time
from typing import Protocol

import torch

from infraspot.core.errors import InfraspotError
from infraspot.schemes import Batch
from infraspot.training.checkpoint import save_best, save_run, write_log
from infraspot.training.interrupt import stop_requests
from infraspot.training.parts import selected
from infraspot.training.run import Row, Run, load_start
from infraspot.training.schedule import rate_factor
from infraspot.training.settings import Recipe
from infraspot.training.validation import validate


class Watcher(Protocol):
    """Someone who looks on: the screen, a log."""

    def step(self, run: Run, loss: float) -> None:
        """After each step."""

    def epoch(self, run: Run, row: Row) -> None:
        """After each epoch, with its numbers."""


class TrainingError(InfraspotError):
    """The loss left the numbers; the last checkpoint is untouched."""


def fit(run: Run, *watchers: Watcher) -> bool:
    """Train to the last epoch, from wherever the run is.

    The state is saved after a step whenever ``save_seconds`` have passed, when a stop is asked for (Ctrl-C),
    and at the end.

    Returns
    -------
    Whether the run is complete; False if it was asked to stop before.
    """
    if not run.at.begun:
        load_start(run)
        run.scheme.begin(run)
        run.at.begun = True
    clock = _Clock(run)
    with stop_requests() as stop:
        while run.epoch < run.epochs:
            run.loss.begin_epoch(run.epoch)
            if run.at.batch == 0:
                run.scheme.begin_epoch(run)
            for batch in run.loader.epoch(run.epoch, run.at.batch):
                loss = train_step(run, batch)
                run.at.batch += 1
                run.at.loss_sum += loss
                for watcher in watchers:
                    watcher.step(run, loss)
                if stop.is_set() or clock.save_due():
                    clock.save()
                if stop.is_set():
                    return False
            row = finish_epoch(run)
            for watcher in watchers:
                watcher.epoch(run, row)
    clock.save()
    return True


def train_step(run: Run, batch: Batch) -> float:
    """One step of the optimiser; the loss of the batch.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    rate = learning_rate(run)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.network.train()
    batch = batch.to(run.device)
    loss = run.scheme.loss(run, batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value} in epoch {run.epoch + 1}, step {run.at.batch + 1}; the last checkpoint"
            " is as it was; lower optimiser.lr or set optimiser.clip"
        )
    run.optimiser.zero_grad()
    run.fabric.backward(loss)
    if run.recipe.optimiser.clip is not None:
        torch.nn.utils.clip_grad_norm_(run.module.parameters(), run.recipe.optimiser.clip)
    run.optimiser.step()
    if run.ema is not None:
        run.ema.update(run.module)
    run.scheme.after_step(run, batch)
    return value


def finish_epoch(run: Run) -> Row:
    """End the epoch: tell the scheme, validate if it is time, keep the best weights, write the log."""
    train, mean_loss = run.recipe.train, run.at.loss_sum / max(run.at.batch, 1)
    row: Row = {"epoch": run.epoch + 1, "loss": mean_loss, "lr": learning_rate(run)}
    run.scheme.end_epoch(run, mean_loss)
    run.at.epoch, run.at.batch, run.at.loss_sum = run.epoch + 1, 0, 0.0
    if run.epoch % train.evaluate_every == 0 or run.epoch == run.epochs:
        row |= validate(run.product, run.val, run.device, train.protocol)
        value = selection(run.recipe, row)
        if run.at.best is None or value > run.at.best["selection"]:
            run.at.best = row | {"selection": value}
            save_best(run, run.at.best)
    run.at.rows.append(row)
    write_log(run)
    return row


def learning_rate(run: Run) -> float:
    """Of the step that comes next."""
    factor = rate_factor(run.recipe.schedule, run.done, run.epochs, 1 / max(len(run.loader), 1))
    return run.recipe.optimiser.lr * factor


def selection(recipe: Recipe, row: Row) -> float:
    """The number that the best epoch maximises; what does not exist counts as 0."""
    return sum(
        weight * (0.0 if math.isnan(row[name]) else row[name]) for name, weight in selected(recipe).items()
    )


class _Clock:
    """Seconds of work, and of work since the last save."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.counted = self.saved = time.monotonic()

    def save_due(self) -> bool:
        return time.monotonic() - self.saved >= self.run.recipe.train.save_seconds

    def save(self) -> None:
        now = time.monotonic()
        self.run.at.seconds += now - self.counted
        self.counted = now
        save_run(self.run)
        self.saved = time.monotonic()
