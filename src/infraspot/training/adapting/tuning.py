"""The first part of adaptation: a few hundred steps of the loop on frames in memory."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from infraspot.core.sample import Sample
from infraspot.training.adapting.clock import Clock
from infraspot.training.build import Sources, begin_run, build_run
from infraspot.training.fit import train_batch
from infraspot.training.run import Run
from infraspot.training.settings import Recipe

EPOCH = 32
"""Frames of an epoch: a few shots come several times in it, so that batches are full."""

MEASURED = 3

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Known:
    """What is known of the new camera, and what must stay known of others.

    Attributes
    ----------
    shots
        Labelled frames, each with a target.
    empties
        Frames without any target.
    frames
        Frames of which nothing is known.
    old
        Frames of other cameras: the answers of the start are kept on them. Those with masks teach the second
        look as well.
    """

    shots: Sequence[Sample] = ()
    empties: Sequence[Sample] = ()
    frames: Sequence[Sample] = ()
    old: Sequence[Sample] = ()

    def without(self, left_out: Sequence[Sample]) -> "Known":
        """The same without some of the shots."""
        names = {sample.id for sample in left_out}
        return replace(self, shots=[shot for shot in self.shots if shot.id not in names])


@dataclass
class Course:
    """The weights along a run of tuning, by the steps done."""

    weights: dict[int, Weights] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def last(self) -> Weights:
        """Those after the most steps."""
        return self.weights[max(self.weights)]


def tune(recipe: Recipe, known: Known, marks: Sequence[int], clock: Clock) -> Course:
    """Tune by a recipe on the shots, as :func:`tune_on` does."""
    return tune_on(recipe, sources_of(known), marks, clock)


def tune_on(recipe: Recipe, sources: Sources, marks: Sequence[int], clock: Clock) -> Course:
    """Tune by a recipe, and keep the weights after each number of steps in ``marks``.

    Where the time ends before the first mark, the weights of the last step are kept.
    """
    run = tuning_run(recipe, sources)
    course, began = Course(), clock.spent
    for done in tuning_steps(run):
        over = clock.left <= 0
        if done in marks or (over and not course.weights):
            course.weights[done] = {name: value.clone() for name, value in run.product.state_dict().items()}
        clock.step()
        if over or done >= max(marks):
            break
    course.seconds = clock.spent - began
    return course


def seconds_of_a_step(recipe: Recipe, known: Known, clock: Clock) -> float:
    """Measured over a few steps that nobody keeps; the first, which warms up, does not count."""
    steps = tuning_steps(tuning_run(recipe, sources_of(known)))
    next(steps)
    began = clock.spent
    for _ in range(MEASURED):
        next(steps)
    return (clock.spent - began) / MEASURED


def of_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with a schedule that ends after so many steps."""
    epochs = -(-steps // (EPOCH // recipe.train.batch))
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": epochs})})


def sources_of(
    known: Known, training: Sequence[Sample] | None = None, unlabelled: Sequence[Sample] | None = None
) -> Sources:
    """Frames for the loop: shots with masks, frames without targets, and old frames as unlabelled ones."""
    return Sources(
        training=repeated(known.shots) if training is None else training,
        negatives=[as_negative(sample) for sample in known.empties],
        unlabelled=[
            Sample(f"unlabelled/{sample.id}", sample.image, bit_depth=sample.bit_depth)
            for sample in (known.old if unlabelled is None else unlabelled)
        ],
    )


def as_negative(sample: Sample) -> Sample:
    """A frame that holds no target, as ``[negatives]`` of a recipe reads it."""
    label = sample.image < 0
    return Sample(f"negatives/{sample.id}", sample.image, bit_depth=sample.bit_depth, label=label)


def repeated(shots: Sequence[Sample], frames: int = EPOCH) -> list[Sample]:
    """Every shot as often as it takes to have so many frames, each with an id of its own."""
    times = -(-frames // len(shots))
    return [shot.replace(id=f"{shot.id}#{k}") for k in range(times) for shot in shots]


def tuning_run(recipe: Recipe, sources: Sources) -> Run:
    """A run that stands at its first batch; its folder is never written to."""
    run = build_run(recipe, Path(tempfile.gettempdir()) / "infraspot-adapt", sources)
    begin_run(run)
    return run


def tuning_steps(run: Run) -> Iterator[int]:
    """Train batch by batch to the last epoch; gives the number of steps done after each of them."""
    done = 0
    while not run.complete:
        run.loss.begin_epoch(run.epoch)
        run.scheme.begin_epoch(run)
        with run.labels.frozen():
            for batch in run.loader.epoch(run.epoch):
                train_batch(run, batch)
                done += 1
                yield done
        run.scheme.end_epoch(run, run.at.loss_sum / max(run.at.batch, 1))
        run.at.epoch, run.at.batch, run.at.loss_sum, run.at.noted = run.epoch + 1, 0, 0.0, {}
