"""The network of pixels of ``preset:sirst-v1``: its fit, cross-validated, and what it costs.

    python benchmarks/annotator_pixels.py SIRST_V1 [--write FILE] [--seed 0]

SIRST_V1 has lists of train and val. Five folds over both, by image: the scorer of levels and the network of
pixels are fitted on four, and ``annotate`` makes the masks of the fifth, with the network and without.
``--write`` fits both on train alone and puts them into FILE, which is
``src/infraspot/annotators/profile/presets/sirst-v1.json``; val is then scored with it. Milliseconds are
thread time, medians over images, with and without the network in turn. Lines ``name=value`` come last.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import annotate, save_level
from infraspot.annotators.profile.fitting import Examples, examples_of, fit_scorer, folds_by_image, join
from infraspot.annotators.profile.pixel_fitting import PixelExamples, fit_pixels, join_pixels, pixels_of
from infraspot.annotators.profile.scorer import Scorer
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.data.clicks import sample_points

DRAWS = 5
FOLDS = 5


def points_of(sample: Sample, draw: int) -> Any:
    """Clicks at the centres for draw -1, coarse ones otherwise."""
    return sample_points(sample, "centroid" if draw < 0 else "coarse", max(draw, 0))


def examples(samples: Sequence[Sample]) -> tuple[Examples, PixelExamples]:
    levels, pixels = [], []
    for index, sample in enumerate(samples):
        for draw in range(-1, DRAWS):
            points = points_of(sample, draw)
            part = examples_of(sample.image, sample.mask, points, index)
            if part is not None:
                levels.append(part)
                pixels += pixels_of(sample.image, sample.mask, points, index)
    return join(levels), join_pixels(pixels)


def fit(levels: Examples, pixels: PixelExamples, known: NDArray[np.bool_], seed: int) -> Scorer:
    """A scorer and a network of pixels from the images that are known."""
    scorer = fit_scorer(levels.take(known[levels.group]), seed=seed)
    return replace(scorer, pixels=fit_pixels(pixels.take(known[pixels.group]), seed=seed))


def measure(samples: Sequence[Sample], scorer: Scorer) -> dict[str, Any]:
    """Pixels in common and in either, with and without the network, and milliseconds a target."""
    sums: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, level in (("pixels", scorer), ("levels", replace(scorer, pixels=None))):
            save_level(level, Path(folder) / f"{kind}.json")
        for sample in samples:
            for draw in (-1, 0):
                points = points_of(sample, draw)
                for kind in ("pixels", "levels"):
                    start = time.thread_time()
                    mask = annotate(sample.image, points, level=f"{folder}/{kind}.json").mask
                    pace = 1000 * (time.thread_time() - start) / len(points)
                    key = kind if draw < 0 else f"{kind}_coarse"
                    counts = [(mask & sample.mask).sum(), (mask | sample.mask).sum()]
                    sums[key] = sums.get(key, np.zeros(2)) + counts
                    sums.setdefault(f"{kind}_ms", []).append(pace)
    return sums


def figures_of(parts: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    figures = {}
    for key in parts[0]:
        if key.endswith("_ms"):
            figures[f"{name}_{key}"] = median([pace for part in parts for pace in part[key]])
        else:
            common, either = sum(part[key] for part in parts)
            figures[f"{name}_{key}_iou"] = float(common / either)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="SIRST_V1")
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    splits = {split: list(open_dataset(arguments.data, split=split)) for split in ("train", "val")}
    samples = [sample for part in splits.values() for sample in part if sample.mask.any()]
    levels, pixels = examples(samples)
    fold = folds_by_image(np.arange(len(samples)), FOLDS, arguments.seed)
    parts = []
    for k in range(FOLDS):
        scorer = fit(levels, pixels, fold != k, arguments.seed + k)
        parts.append(measure([sample for sample, of in zip(samples, fold, strict=True) if of == k], scorer))
    figures = figures_of(parts, "cv")
    if arguments.write:
        on_train = np.arange(len(samples)) < len([one for one in splits["train"] if one.mask.any()])
        shipped = fit(levels, pixels, on_train, arguments.seed)
        val = [sample for sample, known in zip(samples, on_train, strict=True) if not known]
        figures |= figures_of([measure(val, shipped)], "val")
        about = {"data": "sirst-v1", "split": "train", "images": int(on_train.sum()), **figures}
        save_level(replace(shipped, about=about), arguments.write)
    for name, value in figures.items():
        print(f"{name}={value:.4f}")


if __name__ == "__main__":
    main()
