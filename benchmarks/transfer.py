"""What a new camera costs: SIRST-V2's S2021 camera, from weights that never saw it.

    python benchmarks/transfer.py --data FOLDER --start WEIGHTS --methods source,frames,adapt --shots 5
    --draws 0,1

FOLDER holds ``sirst-v1`` and ``sirst-v2-part``. WEIGHTS must not have seen a frame named ``S2021*``; the
packaged model has. Each draw takes its shots from three of the six days of that camera, and is judged on
frames of the other three: by day, never by frame. Frames of over 700 pixels are left out, to save time. Rows
are printed as they come, and appended to --rows, so that draws can be made apart and gathered with
``--gather``.

Methods: ``source`` is the start as its card says. ``frames`` adapts without labels (operating points for the
other frames of the shots' days). ``empty`` tunes the second look on frames without targets of other cameras.
``adapt`` is ``infraspot adapt --shots``. ``norms-frozen``, ``norms-free``, ``norms-and-biases`` and ``head``
are 60 steps of plain fine-tuning in one of its forms, without old frames, held-out shots or a second look of
its own.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference.operating_points import DEFAULT_POINT
from infraspot.jobs.adapt_frames import generated_frames
from infraspot.training import load_recipe, started_recipe
from infraspot.training.adapting.clock import Clock
from infraspot.training.adapting.judging import figures_at, judge, look_at
from infraspot.training.adapting.looking import old_candidates, tuned_look
from infraspot.training.adapting.model import Model, open_model
from infraspot.training.adapting.points import choose_thresholds, wanted_rates
from infraspot.training.adapting.shots import adapt_to_shots
from infraspot.training.adapting.tuning import Known, of_steps, tune
from infraspot.training.settings import Named, Recipe

CAMERA = re.compile(r"S2021\d{4}")
LARGE_DAYS = ("S20210422", "S20210527")  # two thirds of the frames; each draw learns from one of them
LARGEST = 700
UNKNOWN, JUDGED, OLD_JUDGED = 12, 16, 20
FORMS = ("norms-frozen", "norms-free", "norms-and-biases", "head")
ABSOLUTE = ("false_per_frame",)
COLUMNS = ("iou", "frame_iou", "pd", "false_per_frame")


@dataclass(frozen=True)
class Draw:
    """Shots and other frames of some days, and frames of other days to be judged on."""

    shots: list[Sample]
    unknown: list[Sample]
    judged: list[Sample]


def read(folder: Path, splits: Sequence[str], wanted: Callable[[str], Any]) -> list[Sample]:
    frames = []
    for split in splits:
        reader = open_dataset(folder, split=split)
        frames += [reader[k] for k, id in enumerate(reader.ids) if wanted(id)]
    return [frame for frame in frames if max(frame.shape) <= LARGEST]


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


def run(
    method: str, start: Model, recipe: Recipe, draw: Draw, old: list[Sample], empties: list[Sample]
) -> tuple[Model, dict[str, float], dict[str, Any]]:
    """A model, its thresholds, and what to note of it."""
    clock, rates = Clock(110, now=time.process_time), wanted_rates(start.card, None)
    if method == "source":
        points = start.card["operating_points"]
        return start, {name: point["threshold"] for name, point in points.items()}, {}
    if method == "frames":
        return start, choose_thresholds(rates, [], [], look_at(start, draw.unknown)), {}
    if method == "empty":
        model = tuned_look(start, Known(empties=empties, old=old), old_candidates(start, old), clock)
        return model, choose_thresholds(rates, [], look_at(model, empties), []), {}
    known = Known(shots=draw.shots, old=old)
    if method == "adapt":
        done = adapt_to_shots(start, known, recipe, clock, print)
        thresholds = choose_thresholds(rates, done.after, [], look_at(done.model, draw.unknown))
        return done.model, thresholds, {"steps": done.steps, "look": done.looks_anew, "worths": done.worths}
    plain = of_steps(recipe.model_copy(update={"scheme": Named(name="finetune", form=method)}), 60)
    model = start.with_weights(tune(plain, Known(shots=draw.shots), [60], clock).last)
    return model, run("source", start, recipe, draw, old, empties)[1], {}


def measure(arguments: argparse.Namespace) -> None:
    data, start = Path(arguments.data), open_model(arguments.start)
    frames = read(data / "sirst-v2-part", ("train", "val"), CAMERA.match)
    others = read(data / "sirst-v2-part", ("val",), lambda id: not CAMERA.match(id))
    others = [one for one in others if one.mask is not None and not one.mask.any()]
    old_judged = read(data / "sirst-v1", ("val",), lambda _: True)[:: 85 // OLD_JUDGED]
    recipe, old = started_recipe(load_recipe("adapt", arguments.set), start.spec), generated_frames(0)
    for seed in map(int, arguments.draws.split(",")):
        draw = drawn(frames, arguments.shots, seed)
        for method in arguments.methods.split(","):
            began = time.process_time()
            model, thresholds, notes = run(method, start, recipe, draw, old, others[::2][:8])
            seconds = time.process_time() - began
            sets = {"camera": draw.judged, "v1": old_judged, "other cameras": others[1::2][:8]}
            for name, samples in sets.items():
                counts = judge(model, samples)
                for point, threshold in thresholds.items():
                    row = {"method": method, "shots": arguments.shots, "draw": seed, "set": name}
                    found = vars(figures_at(counts, threshold))
                    row |= {"point": point, "threshold": threshold, "seconds": round(seconds, 1)}
                    with Path(arguments.rows).open("a") as file:
                        file.write(json.dumps({**row, **found, **notes}) + "\n")
                    if point == DEFAULT_POINT:
                        print(seed, method, name, {key: found[key] for key in COLUMNS}, flush=True)


def gather(path: Path) -> None:
    """Mean and standard deviation over draws."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["point"], row["method"], row["shots"]), []).append(row)
    print("| set | point | method | K | draws | IoU | frame IoU | Pd | false a frame | CPU s |")
    print("|" + "---|" * 10)
    for key, own in sorted(groups.items()):
        cells = [_spread([row[name] for row in own], 1 if name in ABSOLUTE else 100) for name in COLUMNS]
        seconds = np.median([row["seconds"] for row in own])
        print(f"| {' | '.join(map(str, key))} | {len(own)} | {' | '.join(cells)} | {seconds:.0f} |")


def _spread(values: Sequence[float | None], scale: float) -> str:
    known = [scale * value for value in values if value is not None]
    style = ".1f" if scale > 1 else ".2f"
    return f"{np.mean(known):{style}} ± {np.std(known, ddof=len(known) > 1):{style}}" if known else "-"


if __name__ == "__main__":
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", help="folder that holds sirst-v1 and sirst-v2-part")
    parser.add_argument("--start", help="weight file that never saw the S2021 camera")
    parser.add_argument("--methods", default="source,frames,adapt")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--draws", default="0,1,2,3,4")
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--rows", default="transfer.jsonl", help="file of rows, one JSON a line")
    parser.add_argument(
        "--gather", action="store_true", help="print the table of --rows, and measure nothing"
    )
    torch.set_num_threads(1)
    given = parser.parse_args()
    gather(Path(given.rows)) if given.gather else measure(given)
