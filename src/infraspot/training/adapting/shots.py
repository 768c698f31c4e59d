"""Adapting to labelled frames: how far to go is chosen by shots that were held out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from infraspot.core.errors import Caution, counted
from infraspot.core.sample import Sample
from infraspot.training.adapting.clock import Clock, Plan, plan
from infraspot.training.adapting.judging import Counts, judge, worth
from infraspot.training.adapting.looking import old_candidates, tuned_look
from infraspot.training.adapting.model import Model
from infraspot.training.adapting.tuning import Known, Weights, of_steps, seconds_of_a_step, tune
from infraspot.training.settings import Recipe

BETTER = 0.05  # of a worth, by which a choice must beat one that is expected to do better

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Adapted:
    """A model for the new camera, and how it does on shots that it did not see.

    Attributes
    ----------
    model
        Adapted to all shots.
    steps
        Of tuning; 0 where the weights of the start were the best.
    looks_anew
        Whether the second look was tuned.
    before, after
        Counts of each shot: by the start, and by models that were adapted without it. ``after`` is empty
        where nothing could be held out.
    worths
        Mean worth of the held-out shots for each choice that was tried.
    """

    model: Model
    steps: int
    looks_anew: bool
    before: Counts
    after: Counts
    worths: dict[str, float]


@dataclass(frozen=True, eq=False)
class Held:
    """A model, and shots that it did not learn from."""

    model: Model
    shots: Sequence[Sample]


@dataclass(frozen=True)
class _Choice:
    """One way to go on from the start."""

    steps: int
    outlines: str | None
    looks_anew: bool = False

    @property
    def name(self) -> str:
        outlines = "" if self.outlines is None else f", outlines by {self.outlines}"
        return f"{self.steps} steps{outlines}{', second look tuned' if self.looks_anew else ''}"


def adapt_to_shots(
    start: Model, known: Known, recipe: Recipe, clock: Clock, tell: Tell, *, forget: bool = False
) -> Adapted:
    """Adapt a model to the shots of :class:`Known`, within the time of the clock.

    The shots are held out in turn, in up to five groups: a model is tuned on the others, and judged on them
    after half and all of its steps, with both kinds of outlines, and where frames without targets are known
    also with its second look tuned. What does best is then done with all shots. The weights are the mean of
    those that were tuned on all shots and those of the trials: from one start and few frames, each of them
    goes astray in its own way (model soups, Wortsman et al., ICML 2022). Nothing can be held out of one shot:
    then all is done, and nothing judges it. With ``forget``, the answers of the start on old frames are not
    kept.
    """
    of_others = known.old
    if forget:
        known = replace(known, old=())
    planned = plan(seconds_of_a_step(recipe, known, clock), clock.left, len(known.shots))
    recipe = of_steps(recipe, planned.steps)
    tell(_announced(planned, len(known.shots)))
    clock.expect((planned.trials + 1) * planned.steps)
    before = judge(start, known.shots)
    trials = _trials(known, recipe, planned, clock)
    tried = {choice: _held_out(start, choice, trials) for choice in _choices(start, planned)}
    judged = {choice: _judge_all(held) for choice, held in tried.items()} if trials else {}
    chosen = _best(judged) if judged else _Choice(planned.steps, start.outlines)
    old = old_candidates(start, of_others) if known.empties else None
    if start.look is not None and known.empties and clock.left > 0:
        anew = replace(chosen, looks_anew=True)
        tried[anew] = [
            Held(tuned_look(one.model, trial.known, old, clock), one.shots)
            for one, trial in zip(tried[chosen], trials, strict=True)
        ]
        if trials:
            judged[anew] = _judge_all(tried[anew])
        if not trials or worth(judged[anew]) > worth(judged[chosen]):
            chosen = anew
    weights = None
    if chosen.steps:
        last = tune(recipe, known, [chosen.steps], clock).last
        weights = mean_of([last, *(trial.after(chosen.steps) for trial in trials)])
    model = _shaped(start, chosen, weights)
    if chosen.looks_anew:
        model = tuned_look(model, known, old, clock)
    clock.end()
    worths = {choice.name: round(worth(counts), 4) for choice, counts in judged.items()}
    after = judged[chosen] if judged else []
    return Adapted(model, chosen.steps, chosen.looks_anew, before, after, worths)


def _announced(planned: Plan, shots: int) -> str:
    if not planned.steps:
        return Caution("the time is over before the network could be tuned; its weights stay as they are")
    if not planned.trials:
        reason = "one shot" if shots == 1 else f"the time for {shots} shots"
        return Caution(
            f"{reason} allows no trial: {planned.steps} steps, and nothing shows whether they help"
        )
    trials = counted(planned.trials, "trial")
    return f"{trials} of {planned.steps} steps with held-out shots, then one with all of them"


def _trials(known: Known, recipe: Recipe, planned: Plan, clock: Clock) -> list["_Trial"]:
    """Tuning without some of the shots, each time without others; all shots are held out once."""
    trials = []
    for held in groups_of(known.shots, planned.trials):
        rest = known.without(held)
        trials.append(_Trial(held, rest, tune(recipe, rest, _marks(planned), clock).weights))
    return trials


def groups_of(shots: Sequence[Sample], count: int) -> list[list[Sample]]:
    """The shots in so many groups of about one size, frames of one sequence in one group where that can be.

    Names that differ in their last number alone are of one sequence: shots that were held out would otherwise
    have near twins among those that are learnt.
    """
    if not count:
        return []
    sequences: dict[str, list[Sample]] = {}
    for shot in shots:
        sequences.setdefault(re.sub(r"\d+$", "", shot.id), []).append(shot)
    whole = sorted(sequences.values(), key=len, reverse=True)
    if len(whole) < count:
        whole = [[shot] for shot in shots]
    groups: list[list[Sample]] = [[] for _ in range(count)]
    for sequence in whole:
        min(groups, key=len).extend(sequence)
    return groups


def _marks(planned: Plan) -> list[int]:
    """After how many steps the weights are compared."""
    return [planned.steps // 2, planned.steps]


@dataclass(frozen=True, eq=False)
class _Trial:
    """Weights after some numbers of steps, and the shots that they did not see."""

    held: Sequence[Sample]
    known: Known
    weights: dict[int, Weights]

    def after(self, steps: int) -> Weights:
        """Those after so many steps, or the last before the time was over."""
        reached = [done for done in self.weights if done <= steps] or [*self.weights][:1]
        return self.weights[max(reached)]


def mean_of(several: Sequence[Weights]) -> Weights:
    """The mean of each tensor; of whole numbers, such as counts of batches, the first."""
    return {
        name: torch.stack([weights[name] for weights in several]).mean(0)
        if first.is_floating_point()
        else first
        for name, first in several[0].items()
    }


def _choices(start: Model, planned: Plan) -> list[_Choice]:
    """All that is tried, what is expected to do best first.

    That is all steps, and for tuned weights the outlines of the map: these follow the masks of the shots,
    while those by grey levels are drawn as the start's labels were.
    """
    if start.look is None:
        return [_Choice(steps, None) for steps in (*_marks(planned)[::-1], 0)]
    others = [outlines for outlines in ("map", "levels") if outlines != start.outlines]
    tuned = [_Choice(steps, one) for steps in _marks(planned)[::-1] for one in ("map", "levels")]
    return [*tuned, *(_Choice(0, one) for one in (start.outlines, *others))]


def _held_out(start: Model, choice: _Choice, trials: Sequence[_Trial]) -> list[Held]:
    """The model of each trial, and the shots that it did not see."""
    return [
        Held(_shaped(start, choice, trial.after(choice.steps) if choice.steps else None), trial.held)
        for trial in trials
    ]


def _judge_all(held: Sequence[Held]) -> Counts:
    """Counts of every shot by a model that did not see it."""
    return [row for one in held for row in judge(one.model, one.shots)]


def _best(judged: dict[_Choice, Counts]) -> _Choice:
    """The first choice that is nearly as good as the best: a few shots do not tell small differences."""
    highest = max(map(worth, judged.values()))
    return next(choice for choice, counts in judged.items() if worth(counts) >= highest - BETTER)


def _shaped(start: Model, choice: _Choice, weights: Weights | None) -> Model:
    model = start if weights is None else start.with_weights(weights)
    return model if model.look is None else model.with_look(model.look, outlines=choice.outlines)
