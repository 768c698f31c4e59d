"""``infraspot calibrate``: fit the boundary level of ``profile`` to the labels of a data set."""

from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say, table, warn
from infraspot.core.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from infraspot.annotators.profile.fitting import Examples
    from infraspot.data import Reader
    from infraspot.labelling.clicks import ClickSource

_COARSE_DRAWS = 5
_CURVE = (5, 10, 20, 50, 100)
_FEW = 20


@click.command()
@click.argument("data", type=click.Path())
@click.option("--out", required=True, help="File for the level, to pass on as --level FILE.")
@click.option(
    "--points", default="centroid", show_default=True, help="centroid, coarse, or a JSON or CSV file."
)
@click.option("--split", help="A split of the data set; all images without it.")
@click.option(
    "--folds", type=click.IntRange(2), default=5, show_default=True, help="Of the cross-validation."
)
@click.option("--curve", is_flag=True, help="Show how the figure grows with the number of labelled targets.")
@click.option("--seed", default=0, show_default=True, help="Of the fit, the folds and coarse clicks.")
def command(data: str, out: str, points: str, split: str | None, folds: int, curve: bool, seed: int) -> int:
    """Learn from labelled targets where their annotators draw the boundary.

    DATA needs masks; 20 to 50 labelled targets help, more help more. Every figure is cross-validated: a
    target's level is chosen by a fit that never saw its image.
    """
    from infraspot.annotators.profile.fitting import MIN_TARGETS, cross_validate, fit_scorer
    from infraspot.data import open_dataset
    from infraspot.labelling.clicks import open_clicks

    if not out.endswith(".json"):
        raise UsageError(f"--out is the name of a JSON file, and {out!r} does not end in .json")
    reader = open_dataset(data, split=split)
    examples, judged = _collect(reader, open_clicks(points, seed), seed)
    count, images = int(judged.sum()), len(set(examples.group.tolist()))
    if count < MIN_TARGETS or images < 2:
        raise DataError(
            f"{data} has {count} labelled targets in {images} images; "
            f"calibrating takes {MIN_TARGETS} or more, in two or more images"
        )
    if count < _FEW:
        warn(f"{count} labelled targets are few; the figures get steady from about {_FEW}")
    levels = cross_validate(examples, folds=min(folds, images), seed=seed)
    figures = _figures(examples, judged, levels)
    _show(figures, count, images)
    if curve:
        _show_curve(examples, judged, min(folds, images), seed)
    scorer = fit_scorer(examples, seed=seed)
    about = {"data": reader.name, "split": split, "targets": count, "images": images, "seed": seed, **figures}
    scorer.about.update(about)
    scorer.save(out)
    say(f"-> {out}   use it with --level {out}")
    return 0


def _collect(reader: "Reader", source: "ClickSource", seed: int) -> tuple["Examples", "NDArray[np.bool_]"]:
    """Examples of every click, and which of them the figures count.

    Coarse clicks on the same targets are added to the fit, so that it learns from clicks as people make them.
    """
    import numpy as np

    from infraspot.annotators.profile.fitting import examples_of, join
    from infraspot.labelling.clicks import ClickSource

    extra = [ClickSource("coarse", seed + draw) for draw in range(_COARSE_DRAWS)]
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


def _figures(
    examples: "Examples", judged: "NDArray[np.bool_]", levels: "NDArray[np.int64]"
) -> dict[str, Any]:
    import numpy as np

    from infraspot.annotators.profile.fitting import oracle_levels, set_iou
    from infraspot.annotators.surroundings import LEVELS

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


def _show(figures: dict[str, Any], count: int, images: int) -> None:
    say(f"{count} labelled targets in {images} images")
    rows = [
        ("fitted level, cross-validated", f"{100 * figures['cv_iou']:.2f}"),
        ("the same, coarse clicks", f"{100 * figures['cv_iou_coarse']:.2f}"),
        (
            f"best constant level, {figures['best_constant_level']}",
            f"{100 * figures['best_constant_iou']:.2f}",
        ),
        ("best level of each target (ceiling)", f"{100 * figures['oracle_iou']:.2f}"),
    ]
    table(["level", "IoU"], rows)
    if figures["cv_iou"] < figures["best_constant_iou"]:
        warn(f"a constant does better here: --level {figures['best_constant_level']}")


def _show_curve(examples: "Examples", judged: "NDArray[np.bool_]", folds: int, seed: int) -> None:
    from infraspot.annotators.profile.learning_curve import learning_curve

    rows = []
    for size, ious in learning_curve(examples, judged, _CURVE, folds=folds, seed=seed):
        mean, spread = sum(ious) / len(ious), max(ious) - min(ious)
        rows.append((size, f"{100 * mean:.2f}", f"{100 * spread:.2f}"))
    table(["labelled targets", "IoU, cross-validated", "range of three draws"], rows, title="Learning curve")
