"""What a new camera costs: SIRST-V2's S2021 camera, from weights that never saw it.

    python benchmarks/transfer.py --data FOLDER --start WEIGHTS --methods source,frames,adapt --shots 5
    --draws 0,1

FOLDER holds ``sirst-v1`` and ``sirst-v2-part``. WEIGHTS must not have seen a frame named ``S2021*``; the
packaged model has. Each draw takes its shots from three of the six days of that camera, and is judged on
frames of the other three: by day, never by frame. Frames of over 700 pixels are left out, to save time. Rows
are printed as they come, and appended to --rows, so that draws can be made apart and gathered with
``--gather``.

Methods:

- ``source`` is the start as its card says.
- ``frames`` keeps the weights, and chooses the operating points for the other frames of the shots' days.
- ``empty`` tunes the second look on frames without targets of other cameras.
- ``adapt`` is ``infraspot adapt --shots``; ``adapt-forgets`` is the same with ``--forget``, and
  ``adapt-sourced`` keeps real frames in place of generated ones: those of SIRST-v1 train, by ``--source``.
- ``norms-frozen``, ``norms-free``, ``norms-and-biases`` and ``head`` are plain fine-tuning in one of its
  forms: without old frames, held-out shots, or a second look of its own.
- Every other name is a scheme: ``prototypes`` and ``cosine_head`` learn from the shots, and
  schemes of adaptation from generated scenes with masks and from the new frames without.

All but ``source`` and ``adapt`` choose their operating points as ``frames`` does. A row also holds what no
user can know, since it takes the masks of the judged frames: Pd and IoU at the threshold that gives
``ALLOWED`` false alarms a frame there (``known_pd``, ``known_iou``), and the fewest false alarms a frame at
a Pd of .9 (``false_at_pd``).
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference.operating_points import DEFAULT_POINT
from infraspot.jobs.adapt_frames import MOST_OLD, evenly, generated_frames
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts
from infraspot.networks.compared import Compared
from infraspot.training import load_recipe, started_recipe
from infraspot.training.adapting.clock import Clock
from infraspot.training.adapting.judging import Counts, figures_at, judge, look_at
from infraspot.training.adapting.looking import old_candidates, tuned_look
from infraspot.training.adapting.model import Model, open_model
from infraspot.training.adapting.points import choose_thresholds, wanted_rates
from infraspot.training.adapting.shots import adapt_to_shots
from infraspot.training.adapting.tuning import Known, of_steps, repeated, sources_of, tune_on
from infraspot.training.build import Sources
from infraspot.training.recipe import parse_recipe
from infraspot.training.settings import Named, Recipe

CAMERA = re.compile(r"S2021\d{4}")
LARGE_DAYS = ("S20210422", "S20210527")  # two thirds of the frames; each draw learns from one of them
LARGEST = 700
UNKNOWN, JUDGED, OLD_JUDGED = 12, 16, 20
FORMS = ("norms-frozen", "norms-free", "norms-and-biases", "head")
FROM_SHOTS = ("prototypes", "cosine_head")
STEPS = 160
ALLOWED = 0.3
WANTED_PD = 0.9
ABSOLUTE = ("false_per_frame", "false_at_pd")
COLUMNS = ("iou", "frame_iou", "pd", "false_per_frame", "known_iou", "known_pd", "false_at_pd")
RESAMPLES = 4000


@dataclass(frozen=True)
class Draw:
    """Shots and other frames of some days, and frames of other days to be judged on."""

    shots: list[Sample]
    unknown: list[Sample]
    judged: list[Sample]


def everything(_: str) -> bool:
    return True


def read(
    folder: Path, splits: Sequence[str], wanted: Callable[[str], Any], largest: int = LARGEST
) -> list[Sample]:
    """Frames of a set whose names are wanted, but for large ones."""
    frames = []
    for split in splits:
        reader = open_dataset(folder, split=split)
        frames += [reader[k] for k, id in enumerate(reader.ids) if wanted(id)]
    return [frame for frame in frames if max(frame.shape) <= largest]


def drawn(frames: Sequence[Sample], count: int, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    days = sorted({frame.id[:9] for frame in frames} - set(LARGE_DAYS))
    known = {LARGE_DAYS[seed % 2], *rng.permutation(days)[:2].tolist()}
    pool = [frame for frame in frames if frame.id[:9] in known]
    shots = [pool[int(k)] for k in rng.permutation(len(pool))[:count]]
    names = {shot.id for shot in shots}
    unknown = [frame for frame in pool if frame.id not in names][:UNKNOWN]
    rest = [frame for frame in frames if frame.id[:9] not in known]
    return Draw(shots, unknown, [rest[int(k)] for k in rng.permutation(len(rest))[:JUDGED]])


@dataclass(frozen=True)
class Bench:
    """What all draws share: the start, how to train, and frames of other cameras."""

    start: Model
    recipe: Recipe
    rates: dict[str, float]
    old: list[Sample]
    empties: list[Sample]
    seconds: float
    sourced: list[Sample]

    def run(self, method: str, draw: Draw) -> tuple[Model, dict[str, float], dict[str, Any]]:
        """A model, its thresholds, and what to note of it."""
        start, clock = self.start, Clock(self.seconds, now=time.process_time)
        if method == "source":
            points = start.card["operating_points"]
            return start, {name: point["threshold"] for name, point in points.items()}, {}
        if method == "empty":
            known = Known(empties=self.empties, old=self.old)
            model = tuned_look(start, known, old_candidates(start, self.old), clock)
            return model, choose_thresholds(self.rates, [], look_at(model, self.empties), []), {}
        if method.startswith("adapt"):
            old = self.sourced if method == "adapt-sourced" else self.old
            known = Known(shots=draw.shots, frames=draw.unknown, old=old)
            forget = method == "adapt-forgets"
            done = adapt_to_shots(start, known, self.recipe, clock, print, forget=forget)
            thresholds = choose_thresholds(self.rates, done.after, [], look_at(done.model, draw.unknown))
            notes = {"steps": done.steps, "look": done.looks_anew, "worths": done.worths}
            return done.model, thresholds, notes
        model = start if method == "frames" else self.trained(method, draw, clock)
        return model, choose_thresholds(self.rates, [], [], look_at(model, draw.unknown)), {}

    def trained(self, method: str, draw: Draw, clock: Clock) -> Model:
        """The start after some steps by a form of fine-tuning, or by a scheme."""
        if method in FORMS:
            scheme = Named(name="finetune", form=method)
            return self.tuned(scheme, self.start, sources_of(Known(draw.shots)), clock)
        if method in FROM_SHOTS:
            return self.compared(method, draw, clock)
        scenes = repeated([frame for frame in self.old if frame.mask is not None and frame.mask.any()])
        sources = sources_of(Known(), training=scenes, unlabelled=draw.unknown)
        return self.tuned(Named(name=method), self.start, sources, clock)

    def compared(self, method: str, draw: Draw, clock: Clock) -> Model:
        """The start with prototypes in the place of its last head."""
        network = Compared(self.start.card["network"]["name"])
        network.load_state_dict(network.adopt(self.start.network.state_dict()))
        start = replace(self.start, network=network.eval())
        part = {"name": "compared", "base": self.start.card["network"]["name"], "start": self.start.spec}
        recipe = parse_recipe({**self.recipe.model_dump(exclude_none=True), "network": part}, "compared")
        return self.tuned(Named(name=method), start, sources_of(Known(draw.shots)), clock, recipe)

    def tuned(
        self, scheme: Named, start: Model, sources: Sources, clock: Clock, recipe: Recipe | None = None
    ) -> Model:
        changed = of_steps((recipe or self.recipe).model_copy(update={"scheme": scheme}), STEPS)
        return start.with_weights(tune_on(changed, sources, [STEPS], clock).last)


def known_at(counts: Counts) -> dict[str, float | None]:
    """What thresholds that are chosen on the judged frames themselves would give."""
    whole = sum(counts, start=SweepCounts.empty(DEFAULT_THRESHOLDS))
    if not whole.targets:
        return {"known_pd": None, "known_iou": None, "false_at_pd": None}
    false, hits = whole.column("false") / whole.frames, whole.column("hits") / whole.targets
    few = next(row for row in range(len(false)) if (false[row:] <= ALLOWED).all())
    enough = np.flatnonzero(hits >= WANTED_PD)
    found = figures_at(counts, float(DEFAULT_THRESHOLDS[few]))
    rate = float(false[enough].min()) if len(enough) else None
    return {"known_pd": found.pd, "known_iou": found.iou, "false_at_pd": rate}


def write_rows(
    path: Path,
    model: Model,
    thresholds: dict[str, float],
    sets: dict[str, list[Sample]],
    about: dict[str, Any],
) -> None:
    """One row for each set and threshold: what is measured there, and what it is about."""
    for name, samples in sets.items():
        counts = judge(model, samples)
        known = known_at(counts)
        for point, threshold in thresholds.items():
            found = vars(figures_at(counts, threshold)) | known
            row = {**about, "set": name, "point": point, "threshold": threshold, **found}
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            if point == DEFAULT_POINT or len(thresholds) == 1:
                print(about["draw"], about["method"], name, {key: found[key] for key in COLUMNS}, flush=True)


def measure(arguments: argparse.Namespace) -> None:
    data, start = Path(arguments.data), open_model(arguments.start)
    frames = read(data / "sirst-v2-part", ("train", "val"), CAMERA.match)
    others = read(data / "sirst-v2-part", ("val",), lambda id: not CAMERA.match(id))
    others = [one for one in others if one.mask is not None and not one.mask.any()]
    sets = {"v1": read(data / "sirst-v1", ("val",), everything)[:: 85 // OLD_JUDGED]}
    sets["other cameras"] = others[1::2][:8]
    recipe = started_recipe(load_recipe("adapt", arguments.set), start.spec)
    rates = wanted_rates(start.card, arguments.fa_per_mpx)
    sourced = evenly(read(data / "sirst-v1", ("train",), everything), MOST_OLD)
    bench = Bench(
        start, recipe, rates, generated_frames(0), others[::2][:8], arguments.seconds, sourced=sourced
    )
    for seed in map(int, arguments.draws.split(",")):
        draw = drawn(frames, arguments.shots, seed)
        for method in arguments.methods.split(","):
            began = time.process_time()
            model, thresholds, notes = bench.run(method, draw)
            about = {"method": method, "shots": arguments.shots, "draw": seed, **notes}
            about["seconds"] = round(time.process_time() - began, 1)
            write_rows(Path(arguments.rows), model, thresholds, {"camera": draw.judged, **sets}, about)


def gather(path: Path) -> None:
    """Mean, standard deviation and 95 % interval of the mean (bootstrap over draws)."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["point"], row["shots"], row["method"]), []).append(row)
    print(f"| set | point | K | method | draws | {' | '.join(COLUMNS)} | CPU s |")
    print("|" + "---|" * (6 + len(COLUMNS)))
    for key, own in sorted(groups.items()):
        cells = [_spread([row.get(name) for row in own], 1 if name in ABSOLUTE else 100) for name in COLUMNS]
        seconds = np.median([row["seconds"] for row in own])
        print(f"| {' | '.join(map(str, key))} | {len(own)} | {' | '.join(cells)} | {seconds:.0f} |")


def _spread(values: Sequence[float | None], scale: float) -> str:
    known = np.array([scale * value for value in values if value is not None])
    if not len(known):
        return "-"
    style = ".1f" if scale > 1 else ".2f"
    text = f"{known.mean():{style}} ± {known.std(ddof=len(known) > 1):{style}}"
    if len(known) < 3:
        return text
    chosen = np.random.default_rng(0).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.quantile(known[chosen].mean(1), [0.025, 0.975])
    absent = f" ({len(known)} of {len(values)})" if len(known) < len(values) else ""
    return f"{text} [{low:{style}}, {high:{style}}]{absent}"


if __name__ == "__main__":
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", help="folder that holds sirst-v1 and sirst-v2-part")
    parser.add_argument("--start", help="weight file that never saw the S2021 camera")
    parser.add_argument("--methods", default="source,frames,adapt")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--fa-per-mpx", type=float, default=0.9, help="wanted at the point balanced")
    parser.add_argument("--seconds", type=float, default=60, help="limit of a method, of the CPU")
    parser.add_argument("--draws", default="0,1,2,3,4")
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--rows", default="transfer.jsonl", help="file of rows, one JSON a line")
    parser.add_argument(
        "--gather", action="store_true", help="print the table of --rows, and measure nothing"
    )
    torch.set_num_threads(1)
    given = parser.parse_args()
    gather(Path(given.rows)) if given.gather else measure(given)
