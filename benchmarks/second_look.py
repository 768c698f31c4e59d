"""What the second look learns from and sees: one thing changed at a time, over several trainings.

    python benchmarks/second_look.py --data FOLDER --starts WEIGHTS,WEIGHTS,WEIGHTS [--rows plain,wider]

FOLDER holds ``sirst-v1`` and ``sirst-v2-part``. Each weight file is a segmentation of another seed; the seed
of its second look is its place in the list. Candidates are found once for each start.

Each row trains two networks. One never sees the cameras left out, and is judged on all their frames: the
false targets a frame where at least 0.85 or 0.8 of the targets are found, and the average precision of
targets. The other learns from every frame of train, and is judged on both val sets: average precision, and
the false targets a frame of SIRST-V2 where at least 0.9 of its targets are found. Candidates keep the
outlines of the map. Rows are appended to --out as they come, and none is made twice. Without --starts, the
means and deviations of those in --out are printed alone.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference.engines import open_engine, torch_look
from infraspot.inference.false_alarms import count_frames
from infraspot.inference.second_look import SecondLook
from infraspot.metrics.curves import average_precision_of, operating_curve
from infraspot.metrics.sweep import SweepCounts
from infraspot.training.calibration import calibrate
from infraspot.training.candidates import (
    Examples,
    Remembering,
    begins,
    examples_in,
    find_changed,
    find_pasted,
)
from infraspot.training.second_look import evidence_in, fit_network
from infraspot.training.settings import SecondLookPart
from infraspot.training.sources import draw_scenes

LEFT_OUT = ("S2021", "iraytek", "TH")
CHANGES = [
    {"name": "crop", "size": 384, "on_target": 0.5, "on_clutter": 0.5, "zoom": [0.6, 2.2]},
    {"name": "blur", "sigma": [0.4, 2.0], "p": 0.6},
    {"name": "noise", "sigma": [0.0, 0.02], "p": 0.3},
]
ROWS: dict[str, dict[str, Any]] = {
    "plain": {},
    "changed": {"augment": CHANGES},
    "unpasted": {"pasted": 0},
    "fewer pasted": {"pasted_share": 0.2},
    "fewer pasted changed": {"pasted_share": 0.2, "augment": CHANGES},
    "generated": {"scenes": 300},
    "wider": {"wide": 256},
    "larger": {"widths": (24, 40, 64)},
    "longer": {"steps": 1200},
}
WIDEST = 256
THRESHOLDS = np.concatenate([[0.0], expit(np.linspace(-9, 9, 721)), [1.0]])
FIGURES = (
    "left out: false a frame at Pd 0.85",
    "at 0.8",
    "left out: AP",
    "v1 val: AP",
    "V2 val: AP",
    "V2 val: false a frame at Pd 0.9",
)


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    for seed, start in enumerate(options.starts.split(",") if options.starts else ()):
        known = {row["row"] for row in read_rows(options.out) if row["seed"] == seed}
        missing = [name for name in options.rows.split(",") if name not in known]
        bench = Bench(Path(options.data), start, seed) if missing else None
        for name in missing:
            began = time.process_time()
            row = {"row": name, "seed": seed, **bench.judged(ROWS[name])}
            row["CPU s"] = round(time.process_time() - began, 1)
            print(json.dumps(row), flush=True)
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print_table(read_rows(options.out))


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Bench:
    """The candidates of one segmentation, and the frames to judge on."""

    def __init__(self, folder: Path, start: str, seed: int) -> None:
        self.seed = seed
        part = SecondLookPart(wide=WIDEST)
        self.engine = Remembering(open_engine(start, threads=1), part.level)
        sets = {name: folder / name for name in ("sirst-v1", "sirst-v2-part")}
        self.frames = [sample for place in sets.values() for sample in open_dataset(place, split="train")]
        self.held_out = {name: list(open_dataset(place, split="val")) for name, place in sets.items()}
        held = list(chain.from_iterable(self.held_out.values()))
        self.strangers = [sample for sample in (*self.frames, *held) if begins(sample.id, LEFT_OUT)]
        self.learnt = examples_in(self.engine, self.frames, part)
        self.held = examples_in(self.engine, held, part)

    @cached_property
    def pasted(self) -> Examples:
        donors = [sample for sample in self.frames if sample.mask is not None and sample.mask.any()]
        rng = np.random.default_rng(self.seed)
        return find_pasted(self.engine, self.frames, donors, SecondLookPart(wide=WIDEST), rng)

    @cached_property
    def changed(self) -> Examples:
        part, rng = SecondLookPart(wide=WIDEST, augment=CHANGES), np.random.default_rng((self.seed, 1))
        return find_changed(self.engine, self.frames, part, rng)

    @cached_property
    def scenes(self) -> Examples:
        part = SecondLookPart(wide=WIDEST, **ROWS["generated"])
        scenes = draw_scenes(part.scenes, self.seed, part.scene_options)
        return examples_in(self.engine, scenes, part)

    def judged(self, changes: dict[str, Any]) -> dict[str, float]:
        """The figures of one row."""
        part = SecondLookPart(mirrored=False, outlines="map", **changes)
        learnt = self.learnt + self.pasted if part.pasted else self.learnt
        learnt = learnt + self.scenes if part.scenes else learnt
        learnt = learnt + self.changed if part.augment else learnt
        learnt, held = _narrowed(learnt, part.wide), _narrowed(self.held, part.wide)
        apart = [one.touch(LEFT_OUT) for one in (learnt, held)]
        sibling = self._fitted(learnt[~apart[0]], held[~apart[1]], part)
        whole = self._fitted(learnt, held, part)
        strangers = counted(sibling, self.strangers)
        v1, v2 = (counted(whole, frames) for frames in self.held_out.values())
        precisions = map(average_precision_of, (strangers, v1, v2))
        found = (false_at(strangers, 0.85), false_at(strangers, 0.8), *precisions, false_at(v2, 0.9))
        return dict(zip(FIGURES, found, strict=True))

    def _fitted(self, learnt: Examples, held: Examples, part: SecondLookPart) -> "Looked":
        """A detector whose second look learnt from some candidates, calibrated on others."""
        network = fit_network(learnt, part, self.seed, lambda steps, count, what: steps)
        weights = calibrate(evidence_in(network, held), held.true)
        card = {**part.model_dump(include={"level", "outline", "outlines", "wide"}), **weights}
        return Looked(self.engine, torch_look(card, network, "second look"))


class Looked:
    """An engine with a second look that is in no file."""

    def __init__(self, first: Remembering, look: SecondLook) -> None:
        self.name, self.card, self.score, self.second_look = first.name, first.card, first.score, look


def counted(engine: Looked, frames: Sequence[Sample]) -> SweepCounts:
    return sum(count_frames(engine, frames, THRESHOLDS), start=SweepCounts.empty(THRESHOLDS))


def false_at(counts: SweepCounts, pd: float) -> float:
    """The fewest false targets a frame at a threshold that finds such a share of the targets; else NaN."""
    curve = operating_curve(counts)
    reached = curve["pd"] >= pd
    return float(curve["false_alarms_per_image"][reached].min()) if reached.any() else float("nan")


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print("| row | " + " | ".join(FIGURES) + " |\n|" + "---|" * (len(FIGURES) + 1))
    for name in dict.fromkeys(row["row"] for row in rows):
        own = [row for row in rows if row["row"] == name]
        cells = (
            f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"
            for values in ([row[figure] for row in own] for figure in FIGURES)
        )
        print(f"| {name} ({len(own)}) | " + " | ".join(cells) + " |")


def _narrowed(examples: Examples, wide: int) -> Examples:
    """The same candidates in windows of the side ``wide``."""
    first = (WIDEST - wide) // 2
    inside = slice(first, first + wide)
    return replace(examples, patches=examples.patches[:, inside, inside])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data")
    parser.add_argument("--starts", help="weight files, with commas between them")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--out", type=Path, default=Path("second-look.jsonl"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
