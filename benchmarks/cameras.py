"""Three more transfers: to clutter alone, between cameras of one set, and from generated scenes alone.

    python benchmarks/cameras.py empty   --data FOLDER --start WEIGHTS
    python benchmarks/cameras.py between --data FOLDER --starts FOLDER
    python benchmarks/cameras.py scenes  --data FOLDER --starts FOLDER --full WEIGHTS

FOLDER of --data holds ``sirst-v1``, ``sirst-v2-part`` and ``densesirst-part``. Starts that are trained here
are kept in the folder of --starts, and trained once.

- ``empty``: frames without targets of eight cameras of SIRST-V2. WEIGHTS have seen SIRST-v1 train alone;
  their second look is fitted here to SIRST-v1, ``S2021*`` and a few frames of cameras that are not among the
  eight. The first half of a camera's frames, by the numbers in their names, is given, and the other half
  judged, at the threshold that finds 90 % of the targets of SIRST-v1 val. ``source`` is the start; ``empty``
  is ``infraspot adapt --empty``, and ``empty-sourced`` the same with ``--source`` SIRST-v1.
- ``between``: DenseSIRST, from the frames ``Misc*`` of train to those of one other camera; judged on val.
  ``source`` is the start, ``frames`` is ``adapt --to`` without labels, ``adapt`` is with shots, and ``whole``
  trains on with every frame of both cameras in train, for as many steps as the start had.
- ``scenes``: from generated scenes to SIRST-v1, shots from train, judged on val. ``maml-`` before a method is
  the same from a meta-trained start: half of its training is first-order MAML in the time that the other
  start trains plainly. ``scratch`` has no start. ``whole`` are the weights of --full, trained on all of
  train.

``source``, ``frames`` and ``whole`` go with --shots 0. Methods that choose no operating point take the
threshold 0.5. See ``transfer.py`` for the others, the columns of the rows, and ``--gather``.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference.operating_points import DEFAULT_POINT
from infraspot.jobs.adapt_frames import MOST_OLD, evenly, generated_frames
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts
from infraspot.training import load_recipe, started_recipe
from infraspot.training.adapting.clock import Clock
from infraspot.training.adapting.frames import adapt_to_frames
from infraspot.training.adapting.judging import judge, look_at
from infraspot.training.adapting.looking import old_candidates, tuned_look
from infraspot.training.adapting.model import Model, open_model
from infraspot.training.adapting.points import choose_thresholds, wanted_rates
from infraspot.training.adapting.tuning import Known, repeated, tune_on
from infraspot.training.build import Sources
from infraspot.training.calibration import calibrate
from infraspot.training.candidates import Remembering, find_examples, find_pasted
from infraspot.training.second_look import evidence_in, fit_network
from infraspot.training.settings import Named, Recipe, SecondLookPart
from infraspot.weights.building import build_network
from transfer import FORMS, Bench, Draw, everything, gather, read, write_rows

EMPTY_CAMERAS = ("iraytek-", "S7_", "S4_", "S2_", "TH_", "S1_", "20210725-S2-", "202105-Enhance-")
OTHERS_SEEN = re.compile(r"S2021|211|foo|other|GAODE")
EVERY = {"iraytek-": 5, "v1": 2, "Misc": 4}  # frame of these is taken, since they are many or large
WANTED_PD = 0.9
SOURCE = re.compile("Misc")
CAMERAS = {"S1 to S7": re.compile(r"S\d_"), "iraytek": re.compile("iraytek")}
UNLIMITED = 10_000
START = ("augment.0.size=128", "train.batch=8", "train.precision=bf16-mixed", "train.threads=1")
SCRATCH = ("optimiser.lr=3e-3", "train.ema=0.98")
STEPS = {"between": 500, "scenes": 1000}
SCRATCH_STEPS, SELF_TRAINING_STEPS = 400, 60
MAML_COST = 2.2  # steps of plain training that one of first-order MAML takes as long as
SCENE_SEED, TRAINING_SCENES = 1000, 400
UNKNOWN = 12


def measure_empty(arguments: argparse.Namespace) -> None:
    """Known-empty frames of a camera: false alarms in its other frames, before and after."""
    data = Path(arguments.data)
    v1, val = (read(data / "sirst-v1", (split,), everything, UNLIMITED) for split in ("train", "val"))
    v2, path = data / "sirst-v2-part", Path(arguments.starts) / "looks-twice.safetensors"

    def seen() -> list[Sample]:
        return [*v1, *read(v2, ("train", "val"), OTHERS_SEEN.match, UNLIMITED)]

    start = kept(path, lambda: with_look(open_model(arguments.start), seen(), val[1::2]))
    judged, rates = val[:: EVERY["v1"]], wanted_rates({}, arguments.fa_per_mpx)
    for camera in arguments.cameras.split(",") if arguments.cameras else EMPTY_CAMERAS:
        frames = in_time(v2, camera)
        given, rest = frames[: len(frames) // 2], frames[len(frames) // 2 :]
        for method in ("source", "empty", "empty-sourced"):
            began = time.process_time()
            old = generated_frames(0) if method == "empty" else evenly(v1, MOST_OLD)
            clock = Clock(arguments.seconds, now=time.process_time)
            known = Known(empties=given, old=old)
            model = (
                start if method == "source" else tuned_look(start, known, old_candidates(start, old), clock)
            )
            chosen = choose_thresholds(rates, [], look_at(model, given), [])[DEFAULT_POINT]
            about = {"method": method, "shots": len(given), "draw": camera}
            about["seconds"] = round(time.process_time() - began, 1)
            points = {f"Pd {WANTED_PD}": threshold_at(model, judged, WANTED_PD), "counted in them": chosen}
            write_rows(Path(arguments.rows), model, points, {"empty frames": rest, "v1": judged}, about)


def _named(frames: Sequence[Sample], pattern: re.Pattern[str]) -> list[Sample]:
    return [frame for frame in frames if pattern.match(frame.id)]


def in_time(folder: Path, camera: str) -> list[Sample]:
    """The frames of a camera, or every so many of them, by the last number of their names."""
    names = [id for split in ("train", "val") for id in open_dataset(folder, split=split).ids]
    ordered = sorted((id for id in names if id.startswith(camera)), key=_number)[:: EVERY.get(camera, 1)]
    frames = read(folder, ("train", "val"), set(ordered).__contains__, UNLIMITED)
    return sorted(frames, key=lambda frame: _number(frame.id))


def _number(name: str) -> int:
    return int(re.findall(r"\d+", name)[-1])


def with_look(model: Model, learnt: Sequence[Sample], held: Sequence[Sample]) -> Model:
    """The model with a second look, as training fits it, in few steps."""
    part = SecondLookPart(steps=130, batch=48)
    engine = Remembering(model.engine, part.level)
    donors = [frame for frame in learnt if frame.mask is not None and frame.mask.any()]
    examples = find_examples(engine, learnt, part)
    examples += find_pasted(engine, learnt[::2], donors, part, np.random.default_rng(0))
    look = fit_network(examples, part, 0, lambda items, *_: items)
    judged = find_examples(engine, held, part)
    card = part.model_dump(include={"level", "outline", "outlines", "mirrored"}) | {
        "widths": list(part.widths),
        **calibrate(evidence_in(look, judged), judged.true),
    }
    return replace(model, look=look, card={**model.card, "second_look": card})


def threshold_at(model: Model, samples: Sequence[Sample], pd: float) -> float:
    """The highest threshold that finds this share of the targets; the lowest of all where none does."""
    whole = sum(judge(model, samples), start=SweepCounts.empty(DEFAULT_THRESHOLDS))
    enough = np.flatnonzero(whole.column("hits") >= pd * whole.targets)
    return float(DEFAULT_THRESHOLDS[enough[-1] if len(enough) else 0])


@dataclass(frozen=True)
class Transfer:
    """From starts to another place: frames to draw shots from, and frames to be judged on.

    Attributes
    ----------
    starts
        By the prefix that their methods have.
    whole
        Models that have seen all of ``pool``; a draw takes one of them.
    old
        Frames of the old place, whose answers are kept.
    """

    arguments: argparse.Namespace
    starts: dict[str, Model]
    whole: list[Model]
    old: list[Sample]
    pool: list[Sample]
    sets: dict[str, list[Sample]]

    def measure(self, **about: Any) -> None:
        """Every method with each number of shots, in each draw."""
        numbers = [list(map(int, given.split(","))) for given in (self.arguments.draws, self.arguments.shots)]
        for seed, count, method in product(*numbers, self.arguments.methods.split(",")):
            began = time.process_time()
            model, thresholds, notes = self.run(method, count, seed)
            row = {"method": method, "shots": count, "draw": seed, **about, **notes}
            row["seconds"] = round(time.process_time() - began, 1)
            write_rows(Path(self.arguments.rows), model, thresholds, self.sets, row)

    def run(self, method: str, count: int, seed: int) -> tuple[Model, dict[str, float], dict[str, Any]]:
        """A model, its thresholds, and what to note of it."""
        prefix = next(prefix for prefix in sorted(self.starts, reverse=True) if method.startswith(prefix))
        start, name = self.starts[prefix], method.removeprefix(prefix)
        clock = Clock(self.arguments.seconds, now=time.process_time)
        order = np.random.default_rng(seed).permutation(len(self.pool))
        shots, rest = ([self.pool[int(k)] for k in part] for part in (order[:count], order[count:]))
        draw, half = Draw(shots, rest[:UNKNOWN], []), {DEFAULT_POINT: 0.5}
        recipe = started_recipe(load_recipe("adapt"), start.spec)
        rates = wanted_rates(start.card, self.arguments.fa_per_mpx)
        bench = Bench(start, recipe, rates, self.old, [], self.arguments.seconds, sourced=self.old)
        if name == "source":
            return start, half, {}
        if name == "whole":
            return self.whole[seed % len(self.whole)], half, {}
        if name == "frames":
            recipe = recipe.model_copy(update={"scheme": Named(name="self_training")})
            known = Known(frames=draw.unknown, old=self.old)
            done = adapt_to_frames(start, known, recipe, SELF_TRAINING_STEPS, clock)
            thresholds = choose_thresholds(rates, [], [], look_at(done.model, draw.unknown))
            return done.model, thresholds, {"steps": done.steps, "worths": done.worths}
        if name == "scratch":
            recipe = load_recipe("adapt", SCRATCH).model_copy(update={"scheme": Named(name="full")})
            return trained(recipe, repeated(shots), SCRATCH_STEPS), half, {}
        return (bench.trained(name, draw, clock), half, {}) if name in FORMS else bench.run(name, draw)


def trained(recipe: Recipe, frames: Sequence[Sample], steps: int, start: Model | None = None) -> Model:
    """The network of a recipe after some steps on frames; from fresh weights, or from a start."""
    if start is not None:
        recipe = started_recipe(recipe, start.spec)
    epochs = -(-steps // max(len(frames) // recipe.train.batch, 1))
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": epochs})})
    spec = recipe.network.spec
    model = start or Model("", build_network(spec), None, {"network": spec, "threshold": 0.5})
    return model.with_weights(tune_on(recipe, Sources(frames), [steps], Clock(UNLIMITED)).last)


def kept(path: Path, train: Callable[[], Model]) -> Model:
    """The model of a file, which is trained where it is not there yet."""
    if not path.exists():
        began = time.process_time()
        train().save(path)
        print(f"{path.name}: trained in {time.process_time() - began:.0f} CPU seconds", flush=True)
    return open_model(str(path))


def measure_between(arguments: argparse.Namespace) -> None:
    """DenseSIRST: from one camera to another."""
    data, recipe = Path(arguments.data) / "densesirst-part", load_recipe("equal_budget", START)
    train, val = (read(data, (split,), everything, UNLIMITED) for split in ("train", "val"))
    folder, misc, steps = Path(arguments.starts), _named(train, SOURCE), STEPS["between"]
    start = kept(folder / "misc.safetensors", lambda: trained(recipe, misc, steps))
    target = [frame for pattern in CAMERAS.values() for frame in _named(train, pattern)]
    whole = kept(folder / "all.safetensors", lambda: trained(recipe, target, steps, start))
    chosen = arguments.cameras.split(",") if arguments.cameras else CAMERAS
    for camera, pattern in ((name, CAMERAS[name]) for name in chosen):
        sets = {camera: _named(val, pattern), "Misc": _named(val, SOURCE)[:: EVERY["Misc"]]}
        pool, old = _named(train, pattern), evenly(misc, MOST_OLD)
        Transfer(arguments, {"": start}, [whole], old, pool, sets).measure(camera=camera)


def measure_scenes(arguments: argparse.Namespace) -> None:
    """From generated scenes to SIRST-v1."""
    data, folder, recipe = Path(arguments.data), Path(arguments.starts), load_recipe("equal_budget", START)
    pool, val = (read(data / "sirst-v1", (split,), everything, UNLIMITED) for split in ("train", "val"))
    scenes, half = generated_frames(SCENE_SEED, TRAINING_SCENES), STEPS["scenes"] // 2
    first = kept(folder / "scenes-half.safetensors", lambda: trained(recipe, scenes, half))
    start = kept(folder / "scenes.safetensors", lambda: trained(recipe, scenes, half, first))
    meta, steps = recipe.model_copy(update={"scheme": Named(name="maml", order="first")}), half / MAML_COST
    learnt = kept(folder / "scenes-maml.safetensors", lambda: trained(meta, scenes, round(steps), first))
    starts, whole = {"": start, "maml-": learnt}, [open_model(path) for path in arguments.full or []]
    sets = {"v1": val[:: EVERY["v1"]]}
    Transfer(arguments, starts, whole, generated_frames(0), pool, sets).measure()


EXPERIMENTS = {"empty": measure_empty, "between": measure_between, "scenes": measure_scenes}


if __name__ == "__main__":
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--data", help="folder that holds the three sets")
    parser.add_argument("--start", help="weights that saw SIRST-v1 train alone")
    parser.add_argument("--starts", default="starts", help="folder for the starts that are trained here")
    parser.add_argument("--full", nargs="*", help="weights that are trained on SIRST-v1 train")
    parser.add_argument("--cameras", help="some of the cameras, by the names in the rows")
    parser.add_argument("--methods", default="norms-frozen,adapt")
    parser.add_argument("--shots", default="10")
    parser.add_argument("--fa-per-mpx", type=float, default=0.9, help="wanted at the point balanced")
    parser.add_argument("--seconds", type=float, default=90, help="limit of a method, of the CPU")
    parser.add_argument("--draws", default="0,1,2")
    parser.add_argument("--rows", default="cameras.jsonl", help="file of rows, one JSON a line")
    parser.add_argument(
        "--gather", action="store_true", help="print the table of --rows, and measure nothing"
    )
    torch.set_num_threads(1)
    given = parser.parse_args()
    gather(Path(given.rows)) if given.gather else EXPERIMENTS[given.experiment](given)
