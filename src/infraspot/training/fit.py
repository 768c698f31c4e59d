"""The one loop that serves every scheme."""

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import torch

from infraspot.core.errors import UsageError, named
from infraspot.core.lock import locked
from infraspot.detection import Detector
from infraspot.losses import Batch
from infraspot.schemes.base import KEPT, TrainingError
from infraspot.training.build import begin_run
from infraspot.training.checkpoint import (
    has_state,
    save_best,
    save_run,
    write_log,
    write_recipe,
)
from infraspot.training.events import write_events
from infraspot.training.interrupt import stop_requests
from infraspot.training.parts import selected
from infraspot.training.run import Row, Run
from infraspot.training.schedule import rate_factor
from infraspot.training.settings import Recipe
from infraspot.training.soft_pruning import SoftPruning
from infraspot.training.sources import set_of
from infraspot.training.validation import (
    BOX_NUMBERS,
    FROM_CLICKS,
    NUMBERS,
    PER_SET,
    validate,
    validate_boxes,
)

# Columns of the log that no scheme may use for its own numbers.
LABELS = tuple(f"{kind}_{number}" for kind in ("label", "val_label") for number in ("mass", "iou"))
COLUMNS = {
    *("epoch", "loss", "lr", "selection", *NUMBERS, *BOX_NUMBERS),
    *(FROM_CLICKS + name for name in NUMBERS),
    *LABELS,
}


class Watcher(Protocol):
    """Someone who looks on: the screen, a log, a program of yours. It may set ``run.stopping``."""

    def step(self, run: Run, loss: float) -> None:
        """After each batch."""

    def epoch(self, run: Run, row: Row) -> None:
        """After each epoch, with its numbers."""


def fit(run: Run, *watchers: Watcher) -> bool:
    """Train to the last epoch, from wherever the run is.

    The state is saved after a batch whenever ``save_seconds`` have passed, when a stop is asked for (Ctrl-C,
    or a watcher that sets ``run.stopping``), and at the end. A run that was complete is left as it is.

    Returns
    -------
    Whether the run is complete; False if it was asked to stop before.

    Raises
    ------
    UsageError
        If another program trains in the folder, or it holds a run that this one does not go on with.
    TrainingError
        If the loss is not finite.
    DataError
        If a file cannot be written; what was saved before is whole.
    """
    with locked(run.folder):
        if run.leads:
            _claim_folder(run)
        if run.at.begun and run.complete:
            return True
        if not run.at.begun:
            begin_run(run)
        clock, pruning = _Clock(run), SoftPruning(run)
        with stop_requests() as stop:
            while not run.complete:
                run.loss.begin_epoch(run.epoch)
                if run.at.batch == 0:
                    pruning.begin_epoch(run)
                    _note(run, run.scheme.begin_epoch(run))
                with run.labels.frozen(), run.val_labels.frozen():
                    for batch in run.loader.epoch(run.epoch, run.at.batch):
                        loss = train_batch(run, batch)
                        for watcher in watchers:
                            watcher.step(run, loss)
                        stopping = _any_process(run, stop.is_set() or run.stopping)
                        if stopping or clock.save_due():
                            clock.save()
                        if stopping:
                            return False
                row = finish_epoch(run)
                for watcher in watchers:
                    watcher.epoch(run, row)
                if _any_process(run, run.stopping) and not run.complete:
                    clock.save()
                    return False
        clock.save()
        return True


def train_batch(run: Run, batch: Batch) -> float:
    """Go on by one batch, and by a step of the optimiser where enough batches have gathered.

    Returns
    -------
    The loss of the batch, over all processes.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    gathered = run.at.batch % run.recipe.train.accumulate
    together = min(run.recipe.train.accumulate, len(run.loader) - run.at.batch + gathered)
    steps = gathered + 1 == together
    if gathered == 0:
        run.optimiser.zero_grad()
    run.network.train()
    batch = batch.to(run.device)
    with run.fabric.no_backward_sync(run.network, enabled=not steps):
        loss = run.scheme.loss(run, batch)
        value, share = _over_processes(run, loss.detach(), len(batch))
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {run.epoch + 1}, step {run.at.batch + 1}, on the frames"
                f" {named(batch.ids)}; {KEPT}"
            )
        run.fabric.backward(loss * (share / together))
    if steps:
        _step(run)
        _note(run, run.scheme.after_step(run, batch))
    run.at.batch += 1
    run.at.loss_sum += value
    return value


def finish_epoch(run: Run) -> Row:
    """End the epoch: tell the scheme, validate if it is time, keep the best weights, write the log."""
    _check_finite(run)
    train, mean_loss = run.recipe.train, run.at.loss_sum / max(run.at.batch, 1)
    row: Row = {"epoch": run.epoch + 1, "loss": mean_loss, "lr": learning_rate(run)}
    _note(run, run.scheme.end_epoch(run, mean_loss))
    row |= {name: total / count for name, (total, count) in run.at.noted.items()}
    row |= _label_state(run)
    run.at.epoch, run.at.batch, run.at.loss_sum, run.at.noted = run.epoch + 1, 0, 0.0, {}
    due = run.epoch % train.evaluate_every == 0 or run.complete
    if due and train.select_on != "none":
        row |= _validated(run)
        value = selection(run.recipe, row)
        if run.at.best is None or value > run.at.best["selection"]:
            run.at.best = row | {"selection": value}
            if run.leads:
                save_best(run, run.at.best)
    run.at.rows.append(row)
    if run.leads:
        write_log(run)
        if train.tensorboard:
            write_events(run)
    return row


def _validated(run: Run) -> Row:
    """The numbers of the validation: of boxes where a detector trains, else of masks."""
    predictions, sets = run.predict(run.val_frames), partial(set_of, run.recipe.data)
    if isinstance(run.module, Detector):
        return validate_boxes(predictions, run.judges[0], sets)
    return validate(predictions, *run.judges, run.recipe.train.protocol, sets)


def learning_rate(run: Run) -> float:
    """Of the step that comes next."""
    together, count = run.recipe.train.accumulate, max(len(run.loader), 1)
    done = run.epoch + (run.at.batch - run.at.batch % together) / count
    return run.recipe.optimiser.lr * rate_factor(run.recipe.schedule, done, run.epochs, together / count)


def selection(recipe: Recipe, row: Row) -> float:
    """The number that the best epoch maximises; what does not exist counts as 0."""
    prefix = FROM_CLICKS if recipe.train.select_on == "clicks" else ""
    values = {name: row[prefix + name] for name in selected(recipe)}
    return sum(
        weight * (0.0 if math.isnan(values[name]) else values[name])
        for name, weight in selected(recipe).items()
    )


def _label_state(run: Run) -> Row:
    """Mass of the labels, and their overlap with the truth where there is any."""
    stores = {"label": run.labels, "val_label": run.val_labels}
    return {
        f"{kind}_{name}": value
        for (kind, store), watch in zip(stores.items(), run.watches, strict=False)
        for name, value in watch.numbers(store).items()
    }


def _claim_folder(run: Run) -> None:
    """Write the recipe where no other run is."""
    if not run.at.begun and has_state(run.folder):
        raise UsageError(
            f"{run.folder} holds a run already; go on with it (--resume), or choose another folder"
        )
    write_recipe(run)


def _step(run: Run) -> None:
    """One step of the optimiser with the gradients that have gathered."""
    rate, clip = learning_rate(run), run.recipe.optimiser.clip
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(run.module.parameters(), clip)
    run.optimiser.step()
    if run.ema is not None:
        run.ema.update(run.module)


def _over_processes(run: Run, loss: torch.Tensor, frames: int) -> tuple[float, float]:
    """The mean loss over the frames of all processes, and what this one's gradient weighs in their mean."""
    if run.fabric.world_size == 1:
        return float(loss), 1.0
    mine = torch.stack([loss.double() * frames, loss.new_tensor(frames, dtype=torch.float64)])
    sums: Any = run.fabric.all_reduce(mine, reduce_op="sum")
    total, count = sums.tolist()
    return total / count, frames * run.fabric.world_size / count


def _any_process(run: Run, stopping: bool) -> bool:
    """Processes that share a run stop after the same batch."""
    if run.fabric.world_size == 1:
        return stopping
    asked: Any = run.fabric.all_reduce(torch.tensor(float(stopping), device=run.device), reduce_op="sum")
    return bool(asked > 0)


def _note(run: Run, numbers: Mapping[str, float] | None) -> None:
    """Add a scheme's numbers to those of the epoch."""
    for name, value in (numbers or {}).items():
        if not math.isfinite(value):
            raise TrainingError(
                f"{name}, a number of the scheme, became {value} in epoch {run.epoch + 1}, step"
                f" {run.at.batch + 1}; {KEPT}"
            )
        if name.partition(PER_SET)[0] in COLUMNS:
            raise UsageError(
                f"the scheme logs a number as {name!r}, and the log has a column of that name; choose another"
            )
        total, count = run.at.noted.get(name, (0.0, 0))
        run.at.noted[name] = (total + float(value), count + 1)


def _check_finite(run: Run) -> None:
    """Keep a good checkpoint from broken weights: a gradient can overflow where the loss did not."""
    broken = [name for name, value in run.module.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise TrainingError(
            f"weights are no longer finite in epoch {run.epoch + 1}, step {run.at.batch}: {broken[0]} and"
            f" {len(broken) - 1} more; {KEPT}"
        )


class _Clock:
    """Seconds of work, and of work since the last save."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.counted = self.saved = time.monotonic()

    def save_due(self) -> bool:
        return self.run.leads and time.monotonic() - self.saved >= self.run.recipe.train.save_seconds

    def save(self) -> None:
        now = time.monotonic()
        _check_finite(self.run)
        self.run.at.seconds += now - self.counted
        self.counted = now
        if self.run.leads:
            save_run(self.run)
        self.saved = time.monotonic()
