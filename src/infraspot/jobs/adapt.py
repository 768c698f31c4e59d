"""A model for a new camera, from its frames and what little is known of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infraspot.core.errors import DataError, UsageError
from infraspot.core.extras import require
from infraspot.core.files import check_writable, write_json
from infraspot.core.options import require_number
from infraspot.inference import DEFAULT_MODEL
from infraspot.jobs.adapt_frames import Gathered, gather
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody

if TYPE_CHECKING:
    from infraspot.training.adapting.clock import Clock
    from infraspot.training.adapting.judging import Counts, Figures, Seen
    from infraspot.training.adapting.model import Model
    from infraspot.training.settings import Recipe

RECIPE = "adapt"
SELF_TRAINING_STEPS = 60
TO_LABEL = 5
WORSE = 0.01
"""Worth of the held-out shots (see :mod:`infraspot.training.adapting.judging`) that chance may take."""


class WorseError(DataError):
    """The adapted model does worse on held-out shots than the start; nothing was written."""


@dataclass(frozen=True)
class Adaptation:
    """What came of adapting a model.

    Attributes
    ----------
    path
        The weight file.
    figures
        What ``--json`` holds: ``before`` and ``after`` on held-out shots, on the new frames and on old ones;
        the choice that was made; the operating points.
    label_next
        The frames of ``--to`` that would teach most, best first.
    """

    path: Path
    figures: dict[str, Any] = field(repr=False)
    label_next: list[str]


def adapt(
    to: str | Path,
    out: str | Path,
    *,
    shots: str | Path | None = None,
    empty: str | Path | None = None,
    assume_empty: bool = False,
    source: str | Path | None = None,
    forget: bool = False,
    start: str = DEFAULT_MODEL,
    minutes: float = 5.0,
    fa_per_mpx: float | None = None,
    json: str | Path | None = None,
    seed: int = 0,
    trust: Collection[str] | str = (),
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> Adaptation:
    """Adapt a model to a new camera, and write it as a weight file; needs the extra ``train``.

    Parameters
    ----------
    to
        Frames of the new camera: what ``detect`` takes.
    out
        The weight file to write, ``.safetensors``. It is replaced only when everything is done.
    shots
        Labelled frames of that camera, a data set of any layout; 1 to 20 of them. Those with an empty mask
        count as frames without targets.
    empty
        Frames of that camera without any target.
    assume_empty
        Take the frames of ``to`` for such.
    source
        Data set that the start was trained on, or one like it: its answers on up to 32 of these frames are
        kept. Without it, generated scenes stand in, which keep less.
    forget
        Do not keep them: ``shots`` alone count. Better on the new camera, and worse on others.
    start
        Packaged model, weight file or run folder.
    minutes
        Limit of time; what is left of the plan is then skipped, and told.
    fa_per_mpx
        Wanted false alarms in 10^6 pixels at the point "balanced"; by default that of the start.
    json
        File for the figures.
    trust
        Names of code outside infraspot that ``start`` may import.
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If an option is wrong, or the start cannot be tuned; nothing was done.
    DataError
        If there are no frames, or no shot can be used.
    WorseError
        If held-out shots got worse; nothing was written.
    """
    out = Path(out)
    _check_options(out, minutes, fa_per_mpx, empty, assume_empty, json)
    if forget and shots is None:
        raise UsageError(
            "--forget says how --shots are learnt, and there are none; give them, or leave it out"
        )

    def read() -> Gathered:
        return gather(
            to, shots=shots, empty=empty, assume_empty=assume_empty, source=source, seed=seed, tell=tell
        )

    return adapt_to(
        read,
        out,
        forget=forget,
        start=start,
        minutes=minutes,
        fa_per_mpx=fa_per_mpx,
        json=None if json is None else Path(json),
        seed=seed,
        trust=trust,
        progress=progress,
        tell=tell,
    )


def adapt_to(
    read: Callable[[], Gathered],
    out: Path,
    *,
    forget: bool = False,
    start: str = DEFAULT_MODEL,
    minutes: float = 5.0,
    fa_per_mpx: float | None = None,
    json: Path | None = None,
    seed: int = 0,
    trust: Collection[str] | str = (),
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> Adaptation:
    """Adapt a model to what ``read`` gives, once the model is open; else as :func:`adapt`."""
    require("train", "`infraspot adapt`")
    from infraspot.training.adapting.clock import Clock
    from infraspot.training.adapting.model import open_model

    clock = Clock(60 * minutes, progress=progress)
    model = open_model(start, trust=[trust] if isinstance(trust, str) and trust else trust)
    check_writable(out.parent)
    return _Work(model, read(), clock, seed, forget, tell).run(out, fa_per_mpx, json)


def _check_options(
    out: Path,
    minutes: float,
    fa_per_mpx: float | None,
    empty: str | Path | None,
    assume_empty: bool,
    json: str | Path | None,
) -> None:
    if out.suffix != ".safetensors":
        raise UsageError(f"--out is the name of a weight file, and {str(out)!r} does not end in .safetensors")
    if json is not None and Path(json).suffix != ".json":
        raise UsageError(f"--json is the name of a JSON file, and {str(json)!r} does not end in .json")
    require_number(1e-3, 1e4, minutes=minutes)
    if fa_per_mpx is not None:
        require_number(1e-6, 1e6, fa_per_mpx=fa_per_mpx)
    if empty is not None and assume_empty:
        raise UsageError(
            "--empty names frames without targets, and --assume-empty takes those of --to for such; give one"
        )


@dataclass(frozen=True, eq=False)
class _Work:
    """One adaptation: what it begins with, and its steps in order."""

    start: "Model"
    found: Gathered
    clock: "Clock"
    seed: int
    forget: bool
    tell: Tell

    def run(self, out: Path, fa_per_mpx: float | None, json: Path | None) -> Adaptation:
        from infraspot.training.adapting.judging import difference, look_at
        from infraspot.training.adapting.points import choose_thresholds, wanted_rates

        model, choice, before, after = self._adapted()
        rates = wanted_rates(self.start.card, fa_per_mpx)
        seen = [look_at(one, self.found.looked_at) for one in (self.start, model)]
        empty = look_at(model, self.found.empties) if not self.found.assume_empty else seen[1]
        unknown = [] if self.found.assume_empty else seen[1]
        # Shots that nothing was held out of were learnt: they say nothing about thresholds.
        thresholds = choose_thresholds(rates, after, empty, unknown)
        figures = self._figures(model, choice, before, after, seen, thresholds)
        self._refuse_worse(figures, out)
        order = sorted(zip(*seen, strict=True), key=lambda pair: -difference(*pair))
        labelled = {shot.id for shot in self.found.shots}
        label_next = [one.name for one, _ in order if one.name not in labelled][:TO_LABEL]
        figures |= {"label_next": label_next, "seconds": round(self.clock.spent, 1)}
        replace(model, card=self._card(model, figures, thresholds, rates, after)).save(out)
        if json is not None:
            write_json(json, figures | {"model": out.name})
        return Adaptation(out, figures, label_next)

    def _adapted(self) -> tuple["Model", dict[str, Any], "Counts", "Counts"]:
        """The model, what was chosen, and counts of the shots before and after, each held out."""
        from infraspot.training.adapting.frames import adapt_to_frames
        from infraspot.training.adapting.looking import old_candidates, tuned_look
        from infraspot.training.adapting.shots import adapt_to_shots

        known = self.found.known
        if known.shots:
            recipe = self._recipe("finetune")
            done = adapt_to_shots(self.start, known, recipe, self.clock, self.tell, forget=self.forget)
            choice = {
                "steps": done.steps,
                "second_look": done.looks_anew,
                "forget": self.forget,
                "worths": done.worths,
            }
            return done.model, choice, done.before, done.after
        if self.found.empties:
            look = tuned_look(self.start, known, old_candidates(self.start, known.old), self.clock, self.seed)
            return look, {"steps": 0, "second_look": look is not self.start}, [], []
        self.clock.expect(SELF_TRAINING_STEPS)
        trained = adapt_to_frames(
            self.start, known, self._recipe("self_training"), SELF_TRAINING_STEPS, self.clock
        )
        self.clock.end()
        return trained.model, {"steps": trained.steps, "second_look": False, "worths": trained.worths}, [], []

    def _recipe(self, scheme: str) -> "Recipe":
        from infraspot.training import load_recipe, started_recipe
        from infraspot.training.settings import Named

        recipe = started_recipe(load_recipe(RECIPE, [f"train.seed={self.seed}"]), self.start.spec)
        return (
            recipe
            if scheme == recipe.scheme.name
            else recipe.model_copy(update={"scheme": Named(name=scheme)})
        )

    def _figures(
        self,
        model: "Model",
        choice: Mapping[str, Any],
        before: "Counts",
        after: "Counts",
        seen: "Sequence[Sequence[Seen]]",
        thresholds: Mapping[str, float],
    ) -> dict[str, Any]:
        """Before and after, on shots that were held out, on the new frames and on old ones."""
        from infraspot.inference.operating_points import DEFAULT_POINT
        from infraspot.training.adapting.judging import figures_at, judge

        levels = float(self.start.card.get("threshold", 0.5)), thresholds[DEFAULT_POINT]
        old = [sample for sample in self.found.known.old if sample.mask is not None]
        kept = [judge(one, old) for one in (self.start, model)]

        def pair(one: "Figures | None", other: "Figures | None") -> dict[str, Any] | None:
            return None if one is None or other is None else {"before": asdict(one), "after": asdict(other)}

        held = (figures_at(before, levels[0]), figures_at(after, levels[1])) if after else (None, None)
        return {
            "start": self.start.spec,
            "shots": len(self.found.shots),
            "empty": len(self.found.empties),
            "cameras": self.found.cameras,
            "choice": dict(choice),
            "threshold": {"before": levels[0], "after": levels[1]},
            "held_out_shots": pair(*held),
            "new_frames": {
                name: _seen_at(rows, level)
                for name, rows, level in zip(("before", "after"), seen, levels, strict=True)
            },
            "agreement": _agreement(seen, levels),
            "old_frames": pair(figures_at(kept[0], levels[0]), figures_at(kept[1], levels[1]))
            if old
            else None,
        }

    def _refuse_worse(self, figures: Mapping[str, Any], out: Path) -> None:
        held = figures["held_out_shots"]
        if held is None or held["after"]["worth"] >= held["before"]["worth"] - WORSE:
            return
        numbers = "; ".join(f"{when}: {_sentence(held[when])}" for when in ("before", "after"))
        raise WorseError(
            f"on shots that were held out, the adapted model does worse than {self.start.spec}"
            f" ({numbers}), so"
            f" that {out} is not written; give more shots of other sequences, or more --minutes"
        )

    def _card(
        self,
        model: "Model",
        figures: Mapping[str, Any],
        thresholds: Mapping[str, float],
        rates: Mapping[str, float],
        after: "Counts",
    ) -> dict[str, Any]:
        """The start's card with what is true of the new camera; its old calibration goes."""
        from infraspot.inference.false_alarms import false_alarms_of
        from infraspot.inference.operating_points import DEFAULT_POINT
        from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts
        from infraspot.training.adapting.points import described_points

        gone = ("false_alarms", "asked_against_given", "calibration", "stride", "validation")
        card = {name: value for name, value in model.card.items() if name not in gone}
        whole = sum(after, start=SweepCounts.empty(DEFAULT_THRESHOLDS))
        return card | {
            "threshold": thresholds[DEFAULT_POINT],
            "operating_points": described_points(thresholds, rates, after, "shots, held out"),
            "adapted": {
                "from": "/".join(Path(self.start.spec).parts[-2:]),
                "shots": [shot.id for shot in self.found.shots],
                "empty": len(self.found.empties),
                "frames": len(self.found.frames),
                "figures": figures,
            },
            **({"false_alarms": false_alarms_of(whole, "shots, held out")} if whole.targets else {}),
        }


def _seen_at(rows: "Sequence[Seen]", threshold: float) -> dict[str, float]:
    """Targets and expected false alarms a megapixel of frames without labels."""
    megapixels = sum(seen.megapixels for seen in rows) or 1.0
    scores = [float(score) for seen in rows for score in seen.scores if score >= threshold]
    return {
        "targets_per_mpx": round(len(scores) / megapixels, 4),
        "expected_false_per_mpx": round(sum(1 - score for score in scores) / megapixels, 4),
    }


def _agreement(seen: "Sequence[Sequence[Seen]]", levels: tuple[float, float]) -> float | None:
    """IoU of what the two models find in the new frames; None where neither finds anything."""
    common = either = 0
    for pair in zip(*seen, strict=True):
        one, other = (
            set(row.places[row.values >= level].tolist()) for row, level in zip(pair, levels, strict=True)
        )
        common, either = common + len(one & other), either + len(one | other)
    return round(common / either, 4) if either else None


def _sentence(row: Mapping[str, Any]) -> str:
    return (
        f"IoU {row['frame_iou']:.3f}, Pd {row['pd']:.3f}, {row['false_per_frame']:.2f} false alarms a frame"
    )
