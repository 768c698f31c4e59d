"""Adapting to frames without any label: self-training, judged by targets that were pasted into them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng

from infraspot.augment.transforms import CopyPaste
from infraspot.core.sample import Sample
from infraspot.training.adapting.clock import Clock
from infraspot.training.adapting.judging import Counts, judge, worth
from infraspot.training.adapting.model import Model
from infraspot.training.adapting.tuning import Known, of_steps, sources_of, tune_on
from infraspot.training.adapting.tuning import repeated as as_epoch
from infraspot.training.settings import Recipe

PASTED_INTO = 10
SCR = (3.0, 15.0)
BETTER = 0.02


@dataclass(frozen=True, eq=False)
class Trained:
    """A model that trained itself on frames, or the start where that did no good.

    Attributes
    ----------
    model, steps
        0 steps where the weights of the start stay.
    worths
        Of start and self-trained model, on pasted targets.
    """

    model: Model
    steps: int
    worths: dict[str, float]


def adapt_to_frames(start: Model, known: Known, recipe: Recipe, steps: int, clock: Clock) -> Trained:
    """Self-training on the frames of :class:`Known`, kept only where it finds pasted targets better.

    Targets of the old frames are pasted into some of the new ones, once for both models. What else a model
    finds there counts as false, which is unjust to frames with targets of their own, and the same for both.
    """
    donors = [sample for sample in known.old if sample.mask is not None and sample.mask.any()]
    judged = pasted_into(known.frames, donors) if donors else []
    if not judged or steps < 1:
        return Trained(start, 0, {})
    sources = sources_of(known, training=as_epoch(donors), unlabelled=known.frames)
    model = start.with_weights(tune_on(of_steps(recipe, steps), sources, [steps], clock).last)
    worths = {"start": judge(start, judged), "self-trained": judge(model, judged)}
    return _better(start, model, steps, worths)


def _better(start: Model, model: Model, steps: int, counts: dict[str, Counts]) -> Trained:
    worths = {name: round(worth(rows), 4) for name, rows in counts.items()}
    helped = worths["self-trained"] > worths["start"] + BETTER
    return Trained(model if helped else start, steps if helped else 0, worths)


def pasted_into(frames: Sequence[Sample], donors: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """Some of the frames, evenly spread, with targets of donors; the masks know these targets alone."""
    places = np.unique(np.linspace(0, len(frames) - 1, min(PASTED_INTO, len(frames))).round().astype(int))
    pasted = []
    for place in places.tolist():
        frame = frames[place]
        empty = frame.replace(mask=np.zeros(frame.shape, bool), label=None)
        paste = CopyPaste(donors=donors, p=1.0, count=(2, 4), scr=SCR)
        changed = paste(empty, default_rng([seed, place]))
        if changed.mask is not None and changed.mask.any():
            pasted.append(changed)
    return pasted
