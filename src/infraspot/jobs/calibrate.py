"""Fitting the boundary level of ``profile`` to the labels of a data set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.fitting import (
    MIN_TARGETS,
    Examples,
    Fit,
    best_levels,
    cross_validate,
    examples_of,
    fit_scorer,
    join,
    learn_convention,
    oracle_levels,
    set_iou,
)
from infraspot.annotators.profile.learning_curve import learning_curve
from infraspot.annotators.profile.level import automatic
from infraspot.annotators.profile.level_file import save_level
from infraspot.annotators.surroundings import LEVELS
from infraspot.core.errors import Caution, DataError, UsageError, counted
from infraspot.core.options import shown
from infraspot.data import Reader, open_dataset
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.labelling.clicks import ClickSource, open_clicks

COARSE_DRAWS = 5
CURVE = (5, 10, 20, 50, 100)
FEW = 20
"""A scorer of its own takes this many targets."""
FITS = ("best", "offset", "scorer")


@dataclass(frozen=True)
class Calibration:
    """How well the fitted level does.

    Attributes
    ----------
    targets, images
        How many labelled targets the fit saw, and in how many images.
    figures
        ``cv_iou`` and ``cv_iou_coarse`` of the fitted level; ``offset_iou`` and ``scorer_iou`` of the two
        kinds of fit, where they were made; ``auto_iou``; ``best_constant_level``, ``best_constant_iou`` and
        ``oracle_iou``; IoU as fractions.
    fit
        ``offset`` or ``scorer``: what was written.
    curve
        Cross-validated IoU of three draws for each number of labelled targets; empty unless asked for.
    """

    targets: int
    images: int
    figures: dict[str, Any]
    fit: str
    curve: list[tuple[int, list[float]]] = field(default_factory=list)


def calibrate(
    data: str | Path,
    out: str | Path,
    *,
    points: str = "centroid",
    split: str | None = None,
    folds: int = 5,
    fit: str = "best",
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
    fit
        ``offset`` learns one number, how high this convention draws the boundary, on top of ``auto``;
        ``scorer`` fits networks of its own and takes 20 targets; ``best`` takes the better of the two in
        cross-validation.
    curve
        Whether to measure as well how the IoU grows with the number of labelled targets.
    seed
        Random seed of the fit, the folds and coarse clicks.
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If ``out`` is no JSON file, or the fit is unknown.
    DataError
        If the data set has too few labelled targets.
    """
    if Path(out).suffix != ".json":
        raise UsageError(f"--out is the name of a JSON file, and {str(out)!r} does not end in .json")
    if fit not in FITS:
        raise UsageError(f"the fit is {', '.join(FITS)}, and {shown(fit)} came")
    reader = open_dataset(data, split=split)
    examples, judged = _collect(reader, open_clicks(points, seed), seed, progress)
    count, images = int(judged.sum()), len(set(examples.group.tolist()))
    _check_enough(data, count, images, fit, tell)
    folds = min(folds, images)
    fits = _fits(examples, judged)
    tried = [fit] if fit != "best" else ["offset"] if count < FEW else ["offset", "scorer"]
    levels = {name: cross_validate(examples, fits[name], folds=folds, seed=seed) for name in tried}
    ious = {name: set_iou(examples.take(judged), found[judged]) for name, found in levels.items()}
    chosen = max(ious, key=lambda name: ious[name])
    figures = _figures(examples, judged, levels[chosen])
    figures |= {f"{name}_iou": iou for name, iou in ious.items()}
    level = fits[chosen](np.ones(len(examples), bool), seed)
    about = {"data": reader.name, "split": split, "targets": count, "images": images, "seed": seed, **figures}
    level.about.update(about)
    save_level(level, out)
    sizes = (
        list(learning_curve(examples, judged, fits[chosen], CURVE, folds=folds, seed=seed)) if curve else []
    )
    return Calibration(count, images, figures, chosen, sizes)


def _check_enough(data: str | Path, count: int, images: int, fit: str, tell: Tell) -> None:
    """Refuse a fit to too few labelled targets, and tell where they are few."""
    targets = counted(count, "labelled target")
    if count < MIN_TARGETS or images < 2:
        raise DataError(
            f"{data} has {targets} in {counted(images, 'image')}; "
            f"calibrating takes {MIN_TARGETS} or more, in two or more images"
        )
    if count < FEW and fit == "scorer":
        raise DataError(f"{data} has {targets}; a scorer of its own takes {FEW} or more")
    if count < FEW:
        tell(Caution(f"{targets} are few; the figures get steady from about {FEW}"))


def _fits(examples: Examples, judged: NDArray[np.bool_]) -> dict[str, Fit]:
    """Both kinds of fit, the simpler first; a target counts once in the offset, whatever its clicks."""
    return {
        "offset": lambda known, seed: learn_convention(examples.take(known & judged)),
        "scorer": lambda known, seed: fit_scorer(examples.take(known), seed=seed),
    }


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
        "auto_iou": set_iou(seen, best_levels(automatic(), seen)),
        "best_constant_level": round(float(LEVELS[best]), 2),
        "best_constant_iou": constant[best],
        "oracle_iou": set_iou(seen, oracle_levels(seen)),
    }
