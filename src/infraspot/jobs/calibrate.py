"""Fitting the boundary level of ``profile`` to the labels of a data set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.fitting import (
    MIN_TARGETS,
    Examples,
    cross_validate,
    examples_of,
    fit_scorer,
    join,
    oracle_levels,
    set_iou,
)
from infraspot.annotators.profile.learning_curve import learning_curve
from infraspot.annotators.surroundings import LEVELS
from infraspot.core.errors import DataError, UsageError
from infraspot.data import Reader, open_dataset
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.labelling.clicks import ClickSource, open_clicks

COARSE_DRAWS = 5
CURVE = (5, 10, 20, 50, 100)
FEW = 20


@dataclass(frozen=True)
class Calibration:
    """How well the fitted level does.

    Attributes
    ----------
    targets, images
        How many labelled targets the fit saw, and in how many images.
    figures
        ``cv_iou``, ``cv_iou_coarse``, ``best_constant_level``, ``best_constant_iou`` and ``oracle_iou``; IoU
        as fractions.
    curve
        Cross-validated IoU of three draws for each number of labelled targets; empty unless asked for.
    """

    targets: int
    images: int
    figures: dict[str, Any]
    curve: list[tuple[int, list[float]]] = field(default_factory=list)


def calibrate(
    data: str | Path,
    out: str | Path,
    *,
    points: str = "centroid",
    split: str | None = None,
    folds: int = 5,
    curve: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> Calibration:
    """Learn from labelled targets where their annotators draw the boundary, and write the level to ``out``.

    Every figure is cross-validated: a target's level is chosen by a fit that never saw its image.

    Parameters
    ----------
    data
        Data set with masks.
    out
        JSON file for the level.
    points
        ``centroid``, ``coarse`` or a points file.
    folds
        Folds of the cross-validation; no more than images are used.
    curve
        Whether to measure as well how the IoU grows with the number of labelled targets.
    seed
        Random seed of the fit, the folds and coarse clicks.
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If ``out`` is no JSON file.
    DataError
        If the data set has too few labelled targets.
    """
    if Path(out).suffix != ".json":
        raise UsageError(f"--out is the name of a JSON file, and {str(out)!r} does not end in .json")
    reader = open_dataset(data, split=split)
    examples, judged = _collect(reader, open_clicks(points, seed), seed, progress)
    count, images = int(judged.sum()), len(set(examples.group.tolist()))
    if count < MIN_TARGETS or images < 2:
        raise DataError(
            f"{data} has {count} labelled targets in {images} images; "
            f"calibrating takes {MIN_TARGETS} or more, in two or more images"
        )
    if count < FEW:
        tell(f"{count} labelled targets are few; the figures get steady from about {FEW}")
    folds = min(folds, images)
    figures = _figures(examples, judged, cross_validate(examples, folds=folds, seed=seed))
    scorer = fit_scorer(examples, seed=seed)
    about = {"data": reader.name, "split": split, "targets": count, "images": images, "seed": seed, **figures}
    scorer.about.update(about)
    scorer.save(out)
    sizes = list(learning_curve(examples, judged, CURVE, folds=folds, seed=seed)) if curve else []
    return Calibration(count, images, figures, sizes)


def _collect(
    reader: Reader, source: ClickSource, seed: int, progress: Progress
) -> tuple[Examples, NDArray[np.bool_]]:
    """Examples of every click, and which of them the figures count.

    Coarse clicks on the same targets are added to the fit, so that it learns from clicks as people make them.
    """
    extra = [ClickSource("coarse", seed + draw) for draw in range(COARSE_DRAWS)]
    found, judged = [], []
    for index in progress(range(len(reader)), len(reader), "measuring"):
        if not reader.has_mask(index):
            continue
        sample = reader[index]
        if sample.mask is None or not sample.mask.any():
            continue
        for place, clicks in enumerate([source, *extra]):
            part = examples_of(sample.image, sample.mask, clicks.of(sample), index)
            if part is not None:
                found.append(part)
                judged += [place == 0] * len(part)
    if not found:
        raise DataError(f"{reader.root} has no labelled target under a click; calibrating takes masks")
    return join(found), np.array(judged)


def _figures(examples: Examples, judged: NDArray[np.bool_], levels: NDArray[np.int64]) -> dict[str, Any]:
    seen = examples.take(judged)
    constant = [set_iou(seen, seen.first_allowed(np.full(len(seen), k))) for k in range(len(LEVELS))]
    best = int(np.argmax(constant))
    return {
        "cv_iou": set_iou(seen, levels[judged]),
        "cv_iou_coarse": set_iou(examples.take(~judged), levels[~judged]),
        "best_constant_level": round(float(LEVELS[best]), 2),
        "best_constant_iou": constant[best],
        "oracle_iou": set_iou(seen, oracle_levels(seen)),
    }
