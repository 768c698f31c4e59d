"""``infraspot pseudo``: masks for a whole data set from one click per target."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import fail, progress, say, table, warn
from infraspot.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from infraspot.data import Reader
    from infraspot.labelling.clicks import ClickSource
    from infraspot.labelling.pseudo import Job, Options

_NAMED = 8


@click.command()
@click.argument("data", type=click.Path())
@click.option(
    "--points", default="centroid", show_default=True, help="centroid, coarse, or a JSON or CSV file."
)
@click.option(
    "--method", "methods", default="profile", show_default=True, help="One or several, comma-separated."
)
@click.option("--compare", is_flag=True, help="Score each method by target size where there is truth.")
@click.option("--out", default="infraspot-pseudo", show_default=True, help="Folder for the masks.")
@click.option("--json", "json_path", help="File for the figures.")
@click.option(
    "--level", default="auto", show_default=True, help="profile: auto, 0.33, preset:NAME or a file."
)
@click.option(
    "--size-prior",
    type=click.Choice(["none", "oracle"]),
    default="none",
    show_default=True,
    help="oracle: tell mclc and diffusion-mc each target's true area, as their authors did.",
)
@click.option("--weights", help="sam, sam2: folder with config.json and the weights.")
@click.option("--split", help="A split of the data set; all images without it.")
@click.option("--seed", default=0, show_default=True, help="Of coarse clicks and random methods.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes; 0 takes every core.")
def command(
    data: str,
    points: str,
    methods: str,
    compare: bool,
    out: str,
    json_path: str | None,
    level: str,
    size_prior: str,
    weights: str | None,
    split: str | None,
    seed: int,
    workers: int,
) -> int:
    """Grow masks from one click per target in a data set or a folder of images.

    Writes OUT/STEM.png (0 and 255, native size; OUT/METHOD/STEM.png for several methods), OUT/provenance.json
    and, where there is truth, a table of IoU, nIoU, target IoU and time. A run that was stopped resumes.
    """
    from infraspot.data import open_dataset
    from infraspot.labelling.clicks import open_clicks
    from infraspot.labelling.pseudo import Job, Options

    options = Options(points, _parse_methods(methods), level, size_prior, seed, weights)
    _check_level(options)
    _check_weights(options)
    source = open_clicks(points, seed)
    reader = open_dataset(data, split=split)
    _warn_left_out(reader, source)
    job = Job(reader, source, options, Path(out))
    problems = _strangers(reader, source, split)
    try:
        results = _run(job, _processes(workers, options))
    finally:
        job.close()
    problems += [result["error"] for result in results if "error" in result]
    _finish(job, results, compare, json_path)
    for problem in problems:
        fail(problem)
    return 1 if problems else 0


def _parse_methods(text: str) -> tuple[str, ...]:
    from infraspot.annotators import ANNOTATORS, find_annotator

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--method is empty; expected some of {', '.join(ANNOTATORS)}")
    for name in names:
        find_annotator(name)
    return names


def _check_level(options: "Options") -> None:
    """Fail before the work: a wrong level is wrong for every image."""
    import numpy as np

    from infraspot.annotators.profile.level import make_chooser

    if "profile" not in options.methods and options.level != "auto":
        raise UsageError("--level belongs to the method profile, which --method does not name")
    make_chooser(options.level, np.zeros((1, 1), np.float32), 0)


def _check_weights(options: "Options") -> None:
    """Load the weights before the work; they too are wrong for every image."""
    from infraspot.annotators import ADAPTERS

    named = [name for name in options.methods if name in ADAPTERS]
    if options.weights is None:
        if named:
            raise UsageError(f"{named[0]} needs --weights, the folder with its config.json and its weights")
        return
    if len(named) != 1:
        raise UsageError(
            f"--weights belongs to one of {' or '.join(ADAPTERS)}, and --method names {named or 'none'}"
        )
    from infraspot.inference.sam import load_model

    load_model(named[0], options.weights)


def _warn_left_out(reader: "Reader", source: "ClickSource") -> None:
    """Say which images a points file does not name; a file that names none of them is of other images."""
    missing = [name for name in reader.ids if not source.covers(name)]
    if len(missing) == len(reader):
        raise DataError(
            f"{source.kind} names none of the {len(reader)} images of {reader.name}, but"
            f" {_some(sorted(source.listed))}; pass the points of these images"
        )
    if missing:
        warn(f"{source.kind} has no points for {len(missing)} images, which are left out: {_some(missing)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _strangers(reader: "Reader", source: "ClickSource", split: str | None) -> list[str]:
    """A sentence about the points of images that are not there; a split leaves others out by intention."""
    unknown = sorted(set(source.listed) - set(reader.ids))
    if not unknown or split is not None:
        return []
    return [f"{source.kind} has points for {len(unknown)} images that are not in the data: {_some(unknown)}"]


def _processes(workers: int, options: "Options") -> int:
    """As asked; else every core, or one process where a large model has threads of its own."""
    from infraspot.annotators import ADAPTERS
    from infraspot.core.cores import available_cores

    if not workers and not ADAPTERS.keys().isdisjoint(options.methods):
        return 1
    return workers or available_cores()


def _run(job: "Job", workers: int) -> list[dict[str, Any]]:
    """Results of every image in order; what an earlier run finished is not done again."""
    done = job.resume()
    covers = job.source.covers
    todo = [index for index, name in enumerate(job.reader.ids) if name not in done and covers(name)]
    if done:
        say(f"{len(done)} of {len(done) + len(todo)} images were finished before")
    for result in progress(_results(job, todo, workers), len(todo), "pseudo"):
        job.keep(result)
        done[result["image"]] = result
    return [done[name] for name in job.reader.ids if name in done]


def _results(job: "Job", todo: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
    from infraspot.labelling.pseudo import label_chunk, start_worker

    task = job.task()
    if workers == 1 or len(todo) < 2 * workers:
        start_worker(task)
        for index in todo:
            yield from label_chunk([index])
        return
    size = max(1, min(16, len(todo) // (4 * workers)))
    chunks = [todo[start : start + size] for start in range(0, len(todo), size)]
    pool = ProcessPoolExecutor(workers, initializer=start_worker, initargs=(task,))
    try:
        for results in pool.map(label_chunk, chunks):
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finish(job: "Job", results: Iterable[dict[str, Any]], compare: bool, json_path: str | None) -> None:
    from infraspot.core.files import write_json
    from infraspot.labelling.pseudo import summarise

    done = [result for result in results if "error" not in result]
    figures = {method: summarise(done, method) for method in job.options.methods}
    write_json(job.folder / "provenance.json", job.provenance(done))
    if json_path:
        write_json(json_path, {"options": asdict(job.options), "n_images": len(done), "methods": figures})
    clicks = sum(len(result["methods"][job.options.methods[0]]["clicks"]) for result in done)
    say(f"{len(done)} images, {clicks} clicks -> {job.folder}")
    if any(figure["iou"] is not None for figure in figures.values()):
        _show(figures, compare)


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
