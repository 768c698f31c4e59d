"""Every annotator on SIRST-v1: IoU against the masks, and milliseconds a target on one thread.

    python benchmarks/annotators.py DATA [--methods profile,diffusion]

DATA is the folder of SIRST-v1 with its lists of train and val. ``profile`` with a fitted level is
cross-validated over train and val by image; on val alone the level was fitted on train. Time is that of the
thread, the first call left out. Lines ``name=value`` come last.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from infraspot.annotators import ANNOTATORS, annotate
from infraspot.annotators.profile.fitting import (
    best_levels,
    cross_validate,
    examples_of,
    fit_scorer,
    join,
    set_iou,
)
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.data.clicks import sample_points

SEEDS = range(5)
ORACLE = ("mclc", "diffusion-mc")


def measure(
    samples: Sequence[Sample], clicks: Callable[[Sample], Any], method: str, **options: Any
) -> tuple[float, float]:
    """IoU over the set, and the median over images of the thread's milliseconds a target."""
    common = union = 0
    pace = []
    for sample in samples:
        points = clicks(sample)
        if options.get("size_prior") == "oracle":
            options["areas"] = find_components(sample.mask).areas
        start = time.thread_time()
        mask = annotate(sample.image, points, method, **options).mask
        pace.append(1000 * (time.thread_time() - start) / max(len(points), 1))
        common += int((mask & sample.mask).sum())
        union += int((mask | sample.mask).sum())
    return common / union, median(pace[1:])


def centroid(sample: Sample) -> Any:
    return sample_points(sample, "centroid", 0)


def coarse(seed: int) -> Callable[[Sample], Any]:
    return lambda sample: sample_points(sample, "coarse", seed)


def calibrated(train: Sequence[Sample], val: Sequence[Sample]) -> dict[str, float]:
    """IoU of ``profile`` with a fitted level: five folds by image, and fitted on train for val."""
    samples = [*train, *val]
    rounds = [centroid, *(coarse(seed) for seed in SEEDS)]
    parts, kinds, held = [], [], []
    for index, sample in enumerate(samples):
        for kind, clicks in enumerate(rounds):
            part = examples_of(sample.image, sample.mask, clicks(sample), index)
            if part is not None:
                parts.append(part)
                kinds += [kind] * len(part)
                held += [index >= len(train)] * len(part)
    examples, kind, on_val = join(parts), np.array(kinds), np.array(held)
    by_fold = cross_validate(examples, lambda known, seed: fit_scorer(examples.take(known), seed=seed))
    by_train = best_levels(fit_scorer(examples.take(~on_val)), examples)

    def iou(levels: Any, chosen: Any) -> float:
        return set_iou(examples.take(chosen), levels[chosen])

    return {
        "profile_cv_iou": iou(by_fold, kind == 0),
        "profile_cv_coarse_iou": float(np.mean([iou(by_fold, kind == 1 + seed) for seed in SEEDS])),
        "profile_val_iou": iou(by_train, on_val & (kind == 0)),
        "profile_val_coarse_iou": float(
            np.mean([iou(by_train, on_val & (kind == 1 + seed)) for seed in SEEDS])
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--methods", default=",".join(ANNOTATORS))
    arguments = parser.parse_args()
    train, val = (list(open_dataset(arguments.data, split=split)) for split in ("train", "val"))
    figures: dict[str, float] = {}
    for method in arguments.methods.split(","):
        options = {"size_prior": "oracle"} if method in ORACLE else {}
        key = method.replace("-", "_")
        figures[f"{key}_iou"], figures[f"{key}_ms"] = measure([*train, *val], centroid, method, **options)
        figures[f"{key}_val_only_iou"], _ = measure(val, centroid, method, **options)
        print(
            f"{method:14s} IoU {figures[f'{key}_iou']:.4f}  {figures[f'{key}_ms']:.2f} ms/target", flush=True
        )
    if "profile" in arguments.methods.split(","):
        _, figures["profile_preset_ms"] = measure(val, centroid, "profile", level="preset:sirst-v1")
        figures |= calibrated(train, val)
    for name, value in figures.items():
        print(f"{name}={value:.4f}")


if __name__ == "__main__":
    main()
