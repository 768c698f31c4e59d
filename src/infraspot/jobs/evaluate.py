"""Scoring folders of predictions, or a model, against truth."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infraspot.core.cores import available_cores
from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.metrics import Evaluation, FrameMeasure
from infraspot.metrics.kernel_loader import warm_up
from infraspot.metrics.reduction import add_rows, ratios
from infraspot.report.pairs import Pair, PairList, pair_engine, pair_files

NAMED = 5
TOLD = 20

# A stored 1 of 255, and a little more against rounding: what a mask of 0 and 1 reads as.
FAINT = 1.5 / 255

# What is said of each folder of a tree.
OF_FOLDERS = ("iou", "niou", "pd", "fa_area")

Measured = tuple[FrameMeasure, tuple[str, ...], float]


@dataclass(frozen=True, eq=False)
class EvaluationRun:
    """The scores of a set of frames.

    Attributes
    ----------
    result
        Every number, with the curves, the intervals and the ids that were left out; where a tree of several
        folders was scored, ``sets`` holds IoU, nIoU, Pd and Fa of each.
    evaluation
        The measures of each frame.
    pairs
        The frames with the files that they come from.
    """

    result: dict[str, Any]
    evaluation: Evaluation
    pairs: PairList

    def __repr__(self) -> str:
        found = self.result
        shown = ", ".join(
            f"{key} {found[key]:.3f}" for key in ("iou", "niou", "pd") if found.get(key) is not None
        )
        return f"<EvaluationRun {found['n_images']} images, {found['n_targets']} targets: {shown}>"


def evaluate(
    pred: str | Path,
    truth: str | Path | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    protocol: str = "infraspot",
    threshold: float | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    missing: Literal["leave-out", "empty"] = "leave-out",
    max_value: float | None = None,
    curves: bool = True,
    recursive: bool = False,
    threads: int = 0,
    trust: Collection[str] | str = (),
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> EvaluationRun:
    """Score a folder of predictions against ``truth``, or a model on ``data``.

    Parameters
    ----------
    pred
        Folder of masks or score maps with the names of the truth; or, with ``data``, a packaged model, a
        weight file or a run folder.
    truth
        Folder of masks, or a data set.
    data
        Data set to run the model on.
    split
        Split of the data set: train, val, test or a list file.
    protocol
        A key of :data:`infraspot.metrics.PROTOCOLS`.
    threshold
        Replaces the protocol's threshold, in [0, 1].
    bootstrap, seed
        Resampled sets for the 95 % intervals (0: no intervals), and the seed of the resampling.
    missing
        A truth without prediction is left out, or scored as an empty prediction.
    max_value
        Stored value that means 1; by default the largest value of the stored depth.
    curves
        Whether to score at every threshold as well, and not at one only.
    recursive
        Read the subfolders of both folders as well: a tree of predictions against a tree of masks.
    threads
        Frames that are read at once; 0 takes every core.
    trust
        See :func:`infraspot.inference.open_engine`.
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If an option is wrong, or neither or both of ``truth`` and ``data`` are given.
    DataError
        If nothing could be scored.
    """
    if (truth is None) == (data is None):
        raise UsageError(
            "expected TRUTH (masks to score the folder PRED against) or --data (images to run a model on)"
        )
    options: dict[str, Any] = {} if curves else {"thresholds": None}
    evaluation = Evaluation(protocol, threshold=threshold, pixel_ranking=curves, **options)
    workers = threads or available_cores()
    if truth is not None:
        found = pair_files(
            Path(pred), Path(truth), split=split, missing=missing, full_scale=max_value, recursive=recursive
        )
    else:
        found, workers = pair_engine(str(pred), Path(str(data)), split=split, trust=trust), 1
    left_out = _tell_missing(found, missing, tell)
    warm_up(evaluation.measure, tell)
    left_out += _score(evaluation, found.pairs, workers, progress, tell)
    if not evaluation.records:
        raise DataError(f"none of the {len(found.pairs)} images of {pred} could be scored")
    against = str(truth if truth is not None else data)
    source = {"prediction": str(pred), "truth": against, "split": split, "missing": missing}
    computed = evaluation.compute(bootstrap=bootstrap, seed=seed)
    if sets := _of_folders(evaluation):
        computed["sets"] = sets
    return EvaluationRun({**computed, "source": source, "left_out": left_out}, evaluation, found)


def _of_folders(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """The headline of each folder of a tree, such as several sets side by side; empty where there is one."""
    groups: dict[str, Evaluation] = {}
    for record in evaluation.records:
        group = groups.setdefault(record.id.partition("/")[0], Evaluation(evaluation.protocol))
        group.records.append(record)
    if len(groups) < 2 or not all("/" in record.id for record in evaluation.records):
        return {}
    scores = {name: ratios(add_rows(group.count_rows())) for name, group in sorted(groups.items())}
    return {
        name: {"n_images": len(groups[name].records)}
        | {number: float(found[number]) for number in OF_FOLDERS}
        for name, found in scores.items()
    }


def write_evaluation(
    run: EvaluationRun,
    *,
    json_file: str | Path | None = None,
    csv_file: str | Path | None = None,
    plots: str | Path | None = None,
) -> list[Path]:
    """Write the scores as JSON, one CSV line an image, and a folder of plots; returns the files written."""
    from infraspot.report.scores import write_scores, write_table

    per_image = run.evaluation.per_image()
    written = [Path(name) for name in (json_file, csv_file) if name]
    if json_file:
        write_scores(json_file, run.result, per_image)
    if csv_file:
        write_table(csv_file, per_image)
    if plots:
        written += _write_plots(run, Path(plots))
    return written


def _write_plots(run: EvaluationRun, folder: Path) -> list[Path]:
    from infraspot.report.page import write_page
    from infraspot.report.plots import rank_frames, write_plots, write_worst

    threshold = run.evaluation.protocol.threshold
    loaders = {pair.id: pair.load for pair in run.pairs.pairs}
    pictures = write_plots(folder, run.result)
    worst = rank_frames(run.evaluation.records)
    pictures += write_worst(folder, worst, lambda name: loaders[name](), threshold=threshold)
    return [*pictures, write_page(folder / "report.html", run.result, pictures)]


def _tell_missing(found: PairList, missing: str, tell: Tell) -> list[str]:
    """Name the truths without prediction and the predictions without truth; returns what is left out."""
    if found.surplus:
        tell(f"{len(found.surplus)} predictions have no truth and are not scored: {_names(found.surplus)}")
    if not found.missing:
        return []
    if missing == "empty":
        tell(f"{len(found.missing)} images have no prediction and count as empty: {_names(found.missing)}")
        return []
    for name in found.missing[:TOLD]:
        tell(InputError(f"{name}: there is no prediction; add it, or count it as empty with --missing empty"))
    if len(found.missing) > TOLD:
        tell(InputError(f"... and {len(found.missing) - TOLD} more without prediction; --json names all"))
    return list(found.missing)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _score(
    evaluation: Evaluation, pairs: Sequence[Pair], workers: int, progress: Progress, tell: Tell
) -> list[str]:
    """Measure every pair and add it; those that cannot be measured are told of and returned."""
    failed, faint = [], 0
    for pair, outcome in progress(_outcomes(evaluation, pairs, workers), len(pairs), "scoring"):
        try:
            measure, remarks, highest = outcome()
        except InfraspotError as error:
            text = str(error)
            tell(error if pair.id in text else InputError(f"{pair.id}: {text}"))
            failed.append(pair.id)
            continue
        for remark in remarks:
            tell(remark)
        faint += 0 < highest < FAINT
        evaluation.add(measure)
    if faint and faint == len(evaluation.records):
        tell("no stored value exceeds 1; if the predictions are masks of 0 and 1, add --max-value 1")
    return failed


def _outcomes(
    evaluation: Evaluation, pairs: Sequence[Pair], workers: int
) -> Iterator[tuple[Pair, Callable[[], Measured]]]:
    """Pairs in their order with what measuring them gave; some are read ahead in other threads."""

    def measure(pair: Pair) -> Measured:
        loaded = pair.load()
        measured = evaluation.measure(loaded.prediction, loaded.truth, id=loaded.id, image=loaded.image)
        return measured, loaded.remarks, loaded.highest

    if workers == 1:
        for pair in pairs:
            yield pair, lambda pair=pair: measure(pair)  # type: ignore[misc]
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Pair, Future[Measured]]] = deque()
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
