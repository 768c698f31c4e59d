"""``infraspot pseudo``: masks for a whole data set from one click per target."""

from typing import Any

import click

from infraspot.cli.console import fail, hear, progress, say, table
from infraspot.core.errors import counted


@click.command()
@click.argument("data", type=click.Path())
@click.option(
    "--points",
    default="centroid",
    show_default=True,
    help="Clicks: centroid or coarse (from masks), or a file.",
)
@click.option(
    "--method",
    "methods",
    default="profile",
    show_default=True,
    help="One or several methods, comma-separated.",
)
@click.option("--compare", is_flag=True, help="Score each method by target size where there is truth.")
@click.option("--out", default="infraspot-pseudo", show_default=True, help="Folder for the masks.")
@click.option("--json", "json_path", help="File for the figures.")
@click.option(
    "--level",
    default="auto",
    show_default=True,
    help="Boundary level of profile: auto, a number, preset:NAME or a file.",
)
@click.option(
    "--size-prior",
    type=click.Choice(["none", "oracle"]),
    default="none",
    show_default=True,
    help="oracle gives mclc and diffusion-mc the true area of each target, as their authors did.",
)
@click.option("--weights", help="For sam and sam2: folder with config.json and the weights.")
@click.option("--split", help="A split of the data set; all images without it.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of a folder of frames as well.")
@click.option("--seed", default=0, show_default=True, help="Random seed of coarse clicks and random methods.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Number of processes; 0 takes every core.")
def command(data: str, methods: str, compare: bool, out: str, **options: Any) -> int:
    """Grow masks from one click per target in a data set, a folder of frames, a stack or a video.

    Writes OUT/STEM.png (0 and 255, native size; OUT/METHOD/STEM.png for several methods), OUT/provenance.json
    and, where there is truth, a table of IoU, nIoU, target IoU and time. After
    an interruption, the same command goes on where it stopped.
    """
    from infraspot.jobs.pseudo import label_dataset

    names = [name.strip() for name in methods.split(",") if name.strip()]
    run = label_dataset(data, out, methods=names, progress=progress, tell=hear, **options)
    if run.resumed:
        say(f"{run.resumed} of {run.images} images were finished before")
    say(f"{counted(run.images, 'image')}, {counted(run.clicks, 'click')} -> {out}")
    if any(figure["iou"] is not None for figure in run.figures.values()):
        _show(run.figures, compare)
    for problem in run.problems:
        fail(problem)
    return 1 if run.problems else 0


def _show(figures: dict[str, dict[str, Any]], compare: bool) -> None:
    columns = ["method", "targets", "IoU", "nIoU", "target IoU", "ms/target"]
    rows = []
    for method, figure in figures.items():
        rows.append(_row(method, figure))
        if compare:
            rows += [_row(f"  {name}", part) for name, part in figure["by_size"].items()]
    table(columns, rows)


def _row(name: str, figure: dict[str, Any]) -> list[str]:
    shares = [figure.get(key) for key in ("iou", "niou", "target_iou")]
    ms = figure.get("ms_per_target")
    return [
        name, str(figure["targets"]), *("" if share is None else f"{100 * share:.2f}" for share in shares),
        "" if ms is None else f"{ms:.2f}",
    ]  # fmt: skip
