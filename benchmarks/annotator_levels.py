"""The level behind ``auto``: its fit to two conventions, its figures, and what corrections add.

    python benchmarks/annotator_levels.py SIRST_V1 SIRST_V2 [--write FILE]

Both folders have lists of train and val. The shipped level is the fit to both train lists: ``--write`` puts
it into FILE, which is ``src/infraspot/annotators/profile/presets/auto.json``. Cross-validation is over train
and val, SIRST-v1 by image and SIRST-V2 by sequence. The simulated person corrects some targets to the best of
their levels; the IoU is that of the targets of other images or sequences, the mean of 40 draws.
Lines ``name=value`` come last.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.features import UNIT_FREE
from infraspot.annotators.profile.fitting import (
    Examples,
    examples_of,
    fit_scorer,
    folds_by_image,
    highest,
    join,
    learn_convention,
    oracle_levels,
    scores_of,
    set_iou,
)
from infraspot.annotators.profile.level_file import save_level
from infraspot.annotators.profile.scorer import Scorer
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.data.clicks import sample_points

DRAWS = 5
FOLDS = 5
CORRECTED = (1, 2, 5, 10, 20)
REPEATS = 40
FITTED: dict[str, Any] = {"reads": UNIT_FREE, "share": 0.25, "members": 8, "width": 16, "steps": 400}


@dataclass(frozen=True)
class Table:
    """Examples of a data set: groups are what cross-validation keeps together."""

    examples: Examples
    judged: NDArray[np.bool_]
    val: NDArray[np.bool_]


def by_image(sample: Sample) -> str:
    return sample.id


def by_sequence(sample: Sample) -> str:
    """``S20210527_S7`` of ``S20210527_S7_84-1``."""
    return "_".join(sample.id.split("_")[:2])


def table_of(folder: str, key: Callable[[Sample], str]) -> Table:
    names: dict[str, int] = {}
    parts, judged, val = [], [], []
    for split in ("train", "val"):
        reader = open_dataset(folder, split=split)
        for index in range(len(reader)):
            if not reader.has_mask(index):
                continue
            sample = reader[index]
            if sample.mask is None or not sample.mask.any():
                continue
            group = names.setdefault(key(sample), len(names))
            for draw in range(-1, DRAWS):
                points = sample_points(sample, "centroid" if draw < 0 else "coarse", max(draw, 0))
                part = examples_of(sample.image, sample.mask, points, group)
                if part is not None:
                    parts.append(part)
                    judged += [draw < 0] * len(part)
                    val += [split == "val"] * len(part)
    return Table(join(parts), np.array(judged), np.array(val))


def fit(first: Examples, second: Examples, seed: int = 0) -> Scorer:
    return fit_scorer(first, beside=second, seed=seed, **FITTED)


def held_out_scores(first: Table, second: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, L) scores of each table by fits that never saw the target's group."""
    tables = (first, second)
    folds = [folds_by_image(table.examples.group, FOLDS, 0) for table in tables]
    scores = [np.zeros(table.examples.allowed.shape) for table in tables]
    for k in range(FOLDS):
        known = [table.examples.take(fold != k) for table, fold in zip(tables, folds, strict=True)]
        scorer = fit(*known, seed=k)
        for table, fold, found in zip(tables, folds, scores, strict=True):
            found[fold == k] = scores_of(scorer, table.examples.take(fold == k))
    return scores[0], scores[1]


def iou(table: Table, levels: NDArray[np.int64], chosen: NDArray[np.bool_]) -> float:
    return set_iou(table.examples.take(chosen), levels[chosen])


def corrected(table: Table, scores: NDArray[np.float64], count: int) -> tuple[float, float]:
    """Mean and deviation over draws of the IoU of targets elsewhere, after so many were corrected."""
    found = []
    places = np.nonzero(table.judged)[0]
    for repeat in range(REPEATS):
        drawn = np.random.default_rng([count, repeat]).choice(places, count, replace=False)
        convention = learn_convention(table.examples.take(drawn))
        groups = table.examples.group
        rest = places[~np.isin(groups[places], groups[drawn])]
        examples = table.examples.take(rest)
        found.append(set_iou(examples, highest(scores[rest], examples, convention)))
    return float(np.mean(found)), float(np.std(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", metavar="SIRST_V1")
    parser.add_argument("second", metavar="SIRST_V2")
    parser.add_argument("--write", metavar="FILE")
    arguments = parser.parse_args()
    tables = {"v1": table_of(arguments.first, by_image), "v2": table_of(arguments.second, by_sequence)}
    on_train = [table.examples.take(~table.val) for table in tables.values()]
    shipped = fit(*on_train)
    figures = {}
    for (name, table), scores in zip(tables.items(), held_out_scores(*tables.values()), strict=True):
        judged, examples = table.judged, table.examples
        levels = highest(scores, examples)
        figures[f"{name}_targets"] = float(judged.sum())
        figures[f"{name}_cv_iou"] = iou(table, levels, judged)
        figures[f"{name}_cv_coarse_iou"] = iou(table, levels, ~judged)
        on_val = highest(scores_of(shipped, examples), examples)
        figures[f"{name}_val_iou"] = iou(table, on_val, judged & table.val)
        figures[f"{name}_val_coarse_iou"] = iou(table, on_val, ~judged & table.val)
        figures[f"{name}_oracle_iou"] = iou(table, oracle_levels(examples), judged)
        for count in CORRECTED:
            mean, deviation = corrected(table, scores, count)
            figures[f"{name}_corrected_{count}_iou"] = mean
            figures[f"{name}_corrected_{count}_deviation"] = deviation
    if arguments.write:
        counts = [int((table.judged & ~table.val).sum()) for table in tables.values()]
        about = {"data": "sirst-v1, sirst-v2", "split": "train", "targets": counts, **figures}
        save_level(replace(shipped, about=about), arguments.write)
    for name, value in figures.items():
        print(f"{name}={value:.4f}")


if __name__ == "__main__":
    main()
