"""``infraspot evaluate``: scores predictions, or a model, against truth."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from infraspot.cli.console import fail, progress, say, table, warn
from infraspot.core.cores import available_cores
from infraspot.core.errors import DataError, InfraspotError, UsageError

if TYPE_CHECKING:
    from infraspot.metrics import Evaluation, FrameMeasure
    from infraspot.report.pairs import Pair, PairList

SHOWN_NAMES = 5
SHOWN_LINES = 20

# A stored 1 of 255, and a little more against rounding: what a mask of 0 and 1 reads as.
FAINT = 1.5 / 255


@click.command()
@click.argument("pred")
@click.argument("truth", required=False)
@click.option("--data", help="Data set to run a model on, instead of TRUTH.")
@click.option("--split", help="Split of the data set: train, val, test or a list file.")
@click.option("--protocol", default="infraspot", show_default=True, help="What is computed; see --list.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Replaces the protocol's threshold.")
@click.option("--json", "json_file", help="File for every number, with the curves and each image.")
@click.option("--csv", "csv_file", help="File for one line an image.")
@click.option("--plots", help="Folder for the Pd-Fa curve, IoU by size and the worst frames.")
@click.option(
    "--bootstrap",
    default=1000,
    show_default=True,
    type=click.IntRange(0),
    help="Resampled sets; 0: no intervals.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the resampling.")
@click.option(
    "--missing",
    type=click.Choice(["leave-out", "empty"]),
    default="leave-out",
    show_default=True,
    help="A truth without prediction: left out, or scored as empty.",
)
@click.option(
    "--max-value",
    type=click.FloatRange(0, min_open=True),
    help="Stored value that means 1 (largest of the depth).",
)
@click.option("--no-curves", is_flag=True, help="Score at one threshold only.")
@click.option("--threads", default=0, type=click.IntRange(0), help="Frames read at once; 0 takes every core.")
@click.option(
    "--list",
    "list_protocols",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda *given: _list_protocols(*given),
    help="Show the protocols and stop.",
)
def command(
    pred: str,
    truth: str | None,
    data: str | None,
    split: str | None,
    protocol: str,
    threshold: float | None,
    json_file: str | None,
    csv_file: str | None,
    plots: str | None,
    bootstrap: int,
    seed: int,
    missing: Literal["leave-out", "empty"],
    max_value: float | None,
    no_curves: bool,
    threads: int,
) -> int:
    """Score the folder PRED against TRUTH, a folder of masks or a data set; or a model PRED on --data.

    PRED holds masks or score maps (PNG, BMP, TIFF, .npy) with the names of the truth, also with the endings
    .mask, _mask, .prob or _pixels0. Exit status: 0 all done, 1 some images could not be scored and the others
    are, 2 wrong usage.
    """
    from infraspot.metrics import Evaluation

    if (truth is None) == (data is None):
        raise UsageError(
            "expected TRUTH (masks to score the folder PRED against) or --data (images to run a model on)"
        )
    options: dict[str, Any] = {"thresholds": None} if no_curves else {}
    evaluation = Evaluation(protocol, threshold=threshold, pixel_ranking=not no_curves, **options)
    workers = threads or available_cores()
    if truth is not None:
        from infraspot.report.pairs import pair_files

        found = pair_files(Path(pred), Path(truth), split=split, missing=missing, full_scale=max_value)
    else:
        from infraspot.report.pairs import pair_engine

        found, workers = pair_engine(pred, Path(str(data)), split=split), 1
    failed = _report_missing(found, missing)
    failed += _score(evaluation, found.pairs, workers)
    if not evaluation.records:
        raise DataError(f"none of the {len(found.pairs)} images of {pred} could be scored")
    source = {"prediction": pred, "truth": truth or data, "split": split, "missing": missing}
    result = {**evaluation.compute(bootstrap=bootstrap, seed=seed), "source": source, "left_out": failed}
    written = _write(evaluation, result, found, json_file, csv_file, plots)
    _show(result)
    for path in written:
        say(f"-> {path}")
    if failed:
        warn(
            f"{len(failed)} images are left out; the numbers are those of the other {len(evaluation.records)}"
        )
    return 1 if failed else 0


def _list_protocols(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from infraspot.metrics import PROTOCOLS

    for protocol in PROTOCOLS.values():
        say(f"{protocol.name:12} {protocol.definition.strip()}")
    context.exit()


def _report_missing(found: "PairList", missing: str) -> list[str]:
    """Name the truths without prediction and the predictions without truth; returns what is left out."""
    if found.surplus:
        warn(f"{len(found.surplus)} predictions have no truth and are not scored: {_names(found.surplus)}")
    if not found.missing:
        return []
    if missing == "empty":
        warn(f"{len(found.missing)} images have no prediction and count as empty: {_names(found.missing)}")
        return []
    for name in found.missing[:SHOWN_LINES]:
        fail(f"{name}: there is no prediction; add it, or count it as empty with --missing empty")
    if len(found.missing) > SHOWN_LINES:
        fail(f"... and {len(found.missing) - SHOWN_LINES} more without prediction; --json names all")
    return list(found.missing)


def _names(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")


def _score(evaluation: "Evaluation", pairs: "list[Pair]", workers: int) -> list[str]:
    """Measure every pair and add it; names those that cannot be, and goes on."""
    failed, faint = [], 0
    for pair, outcome in progress(_measured(evaluation, pairs, workers), len(pairs), "scoring"):
        try:
            measure, remarks, highest = outcome()
        except InfraspotError as error:
            text = str(error)
            fail(text if pair.id in text else f"{pair.id}: {text}")
            failed.append(pair.id)
            continue
        for remark in remarks:
            warn(remark)
        faint += 0 < highest < FAINT
        evaluation.add(measure)
    if faint and faint == len(evaluation.records):
        warn("no stored value exceeds 1; if the predictions are masks of 0 and 1, add --max-value 1")
    return failed


Outcome = Callable[[], "tuple[FrameMeasure, tuple[str, ...], float]"]


def _measured(
    evaluation: "Evaluation", pairs: "list[Pair]", workers: int
) -> "Iterator[tuple[Pair, Outcome]]":
    """Pairs in their order with what measuring them gave; some are read ahead in other threads."""

    def measure(pair: "Pair") -> "tuple[FrameMeasure, tuple[str, ...], float]":
        loaded = pair.load()
        measured = evaluation.measure(loaded.score_map, loaded.truth, id=loaded.id, image=loaded.image)
        return measured, loaded.remarks, float(loaded.score_map.max())

    if workers == 1:
        for pair in pairs:
            yield pair, lambda pair=pair: measure(pair)  # type: ignore[misc]
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Pair, Future[Any]]] = deque()
    try:
        for pair in pairs:
            waiting.append((pair, pool.submit(measure, pair)))
            if len(waiting) > 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result
        for first, future in waiting:
            yield first, future.result
    finally:
        pool.shutdown(cancel_futures=True)


def _show(result: dict[str, Any]) -> None:
    """The tables on the screen."""
    from infraspot.report.scores import error_line, point_rows, score_rows, strata_rows

    say(f"protocol {result['protocol']}: {result['definition']}")
    say(f"{result['n_images']} images, {result['n_targets']} targets, threshold {result['threshold']:g}")
    say()
    table(["", "value", "95 % interval"], score_rows(result))
    if rows := point_rows(result):
        say()
        table(["best Pd", "Pd", "threshold"], rows)
    if rows := strata_rows(result):
        say()
        table(["targets by", "targets", "Pd", "IoU", "pixel recall"], rows)
    say()
    say(f"errors: {error_line(result)}")


def _write(
    evaluation: "Evaluation",
    result: dict[str, Any],
    found: "PairList",
    json_file: str | None,
    csv_file: str | None,
    plots: str | None,
) -> "list[Path]":
    """Write the files that were asked for; they come before the tables, lest a closed pipe lose them."""
    from infraspot.report.scores import write_scores, write_table

    per_image = evaluation.per_image()
    written = [Path(name) for name in (json_file, csv_file) if name]
    if json_file:
        write_scores(json_file, result, per_image)
    if csv_file:
        write_table(csv_file, per_image)
    if plots:
        from infraspot.report.page import write_page
        from infraspot.report.plots import rank_frames, write_plots, write_worst

        folder, threshold = Path(plots), evaluation.protocol.threshold
        loaders = {pair.id: pair.load for pair in found.pairs}
        pictures = write_plots(folder, result)
        worst = rank_frames(evaluation.records)
        pictures += write_worst(folder, worst, lambda name: loaders[name](), threshold=threshold)
        written += [*pictures, write_page(folder / "report.html", result, pictures)]
    return written
