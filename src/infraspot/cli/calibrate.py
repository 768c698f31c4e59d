"""``infraspot calibrate``: fit the boundary level of ``profile`` to the labels of a data set."""

from typing import TYPE_CHECKING

import click

from infraspot.cli.console import hear, progress, say, table, warn

if TYPE_CHECKING:
    from infraspot.jobs.calibrate import Calibration

KINDS = {"offset": "an offset on auto", "scorer": "a scorer of its own"}


@click.command()
@click.argument("data", type=click.Path())
@click.option("--out", required=True, help="JSON file for the fitted level.")
@click.option(
    "--points",
    default="centroid",
    show_default=True,
    help="Clicks: centroid or coarse (from masks), or a file.",
)
@click.option("--split", help="A split of the data set; all images without it.")
@click.option(
    "--folds", type=click.IntRange(2), default=5, show_default=True, help="Folds of the cross-validation."
)
@click.option(
    "--fit",
    type=click.Choice(["best", "offset", "scorer"]),
    default="best",
    show_default=True,
    help="One number on top of auto, networks of its own (20 targets or more), or the better.",
)
@click.option("--curve", is_flag=True, help="Also measure the IoU for fewer labelled targets.")
@click.option(
    "--seed", default=0, show_default=True, help="Random seed of the fit, the folds and coarse clicks."
)
def command(
    data: str, out: str, points: str, split: str | None, folds: int, fit: str, curve: bool, seed: int
) -> int:
    """Fit the boundary level of the annotation method `profile` to the masks of a data set.

    Pass the file on to `annotate` and `pseudo` as --level FILE. DATA needs masks of 5 targets or more. The
    figures are cross-validated by image.
    """
    from infraspot.jobs.calibrate import calibrate

    _show(
        calibrate(
            data,
            out,
            points=points,
            split=split,
            folds=folds,
            fit=fit,
            curve=curve,
            seed=seed,
            progress=progress,
            tell=hear,
        )
    )
    say(f"-> {out}   use it with --level {out}")
    return 0


def _show(found: "Calibration") -> None:
    figures = found.figures
    say(f"{found.targets} labelled targets in {found.images} images")
    rows = [
        (f"fitted level, {KINDS[found.fit]}, cross-validated", f"{100 * figures['cv_iou']:.2f}"),
        ("the same, coarse clicks", f"{100 * figures['cv_iou_coarse']:.2f}"),
        ("auto", f"{100 * figures['auto_iou']:.2f}"),
        (
            f"best constant level, {figures['best_constant_level']}",
            f"{100 * figures['best_constant_iou']:.2f}",
        ),
        ("best level of each target (ceiling)", f"{100 * figures['oracle_iou']:.2f}"),
    ]
    rows[2:2] = [
        (f"the other kind of fit, {what}", f"{100 * figures[f'{kind}_iou']:.2f}")
        for kind, what in KINDS.items()
        if kind != found.fit and f"{kind}_iou" in figures
    ]
    table(["level", "IoU"], rows)
    if figures["cv_iou"] < figures["best_constant_iou"]:
        warn(f"a constant does better here: --level {figures['best_constant_level']}")
    if found.curve:
        _show_curve(found.curve)


def _show_curve(curve: list[tuple[int, list[float]]]) -> None:
    rows = []
    for size, ious in curve:
        mean, spread = sum(ious) / len(ious), max(ious) - min(ious)
        rows.append((size, f"{100 * mean:.2f}", f"{100 * spread:.2f}"))
    table(["labelled targets", "IoU, cross-validated", "range of three draws"], rows, title="Learning curve")
