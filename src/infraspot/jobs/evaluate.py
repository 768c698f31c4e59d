"""Scoring folders of predictions, or a model, against truth."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from infraspot.core.cores import available_cores
from infraspot.core.errors import Caution, DataError, InfraspotError, InputError, UsageError, counted, named
from infraspot.data import find_frames
from infraspot.jobs.comparing import compare_evaluations
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.metrics import Evaluation, FrameMeasure
from infraspot.metrics.kernel_loader import warm_up
from infraspot.metrics.reduction import add_rows, ratios
from infraspot.report.cases import Answer, CaseBook, FrameView, view_frame
from infraspot.report.pairs import Pair, PairList, pair_boxes, pair_engine, pair_files

TOLD = 20

# A stored 1 of 255, and a little more against rounding: what a mask of 0 and 1 reads as.
FAINT = 1.5 / 255

# What is said of each folder of a tree.
OF_FOLDERS = ("iou", "niou", "pd", "fa_area")


@dataclass(frozen=True, eq=False)
class _Scored:
    """One frame, measured; with a second detector also its measure, and where wanted the report's view."""

    measure: FrameMeasure
    remarks: tuple[str, ...]
    highest: float
    other: FrameMeasure | None = None
    view: FrameView | None = None


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
    book
        What a report shows of each frame; None where it was not kept.
    other
        The same for the second detector; None without one.
    """

    result: dict[str, Any]
    evaluation: Evaluation
    pairs: PairList
    book: CaseBook | None = None
    other: "EvaluationRun | None" = None

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
    against: str | Path | None = None,
    against_threshold: float | None = None,
    keep_cases: bool = False,
    boxes: bool = False,
    trust: Collection[str] | str = (),
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> EvaluationRun:
    """Score a folder of predictions against ``truth``, or a model on ``data``.

    Parameters
    ----------
    pred
        Folder of masks or score maps with the names of the truth, or a COCO file of scored boxes; or, with
        ``data``, a packaged model, a weight file or a run folder.
    truth
        Folder of masks, or a data set.
    data
        Data set to run the model on.
    split
        Split of the data set: train, val, test or a list file.
    protocol
        A key of :data:`infraspot.metrics.PROTOCOLS`.
    threshold
        Replaces, in [0, 1], the threshold of the model's card, which :func:`infraspot.detect` takes too, or
        where there is none the protocol's.
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
    against
        A second detector to compare with, on the frames that both have: a folder like ``pred``, or with
        ``data`` also a model. ``result`` then has ``comparison``
        (see :func:`infraspot.jobs.comparing.compare_evaluations`).
    against_threshold
        Its threshold; by default ``threshold``, or else its own card's or the protocol's.
    keep_cases
        Whether to keep every target and false alarm with its picture, for a report.
    boxes
        Whether the average precisions of boxes get intervals; they do wherever every proposed target has a
        score, as in boxes and in the answers of a model that parts clusters.
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
    if against is None and against_threshold is not None:
        raise UsageError("a threshold of the second detector needs a second detector (against)")
    options: dict[str, Any] = {} if curves else {"thresholds": None}
    Evaluation(protocol, threshold=threshold, pixel_ranking=curves, **options)  # refuses before it reads
    where = _Where(truth, data, split, missing, max_value, recursive, trust)
    found = where.pairs_of(pred)
    left_out = _tell_missing(found, missing, tell)
    lists, asked = [found], [threshold]
    if against is not None:
        lists.append(where.pairs_of(against))
        asked.append(threshold if against_threshold is None else against_threshold)
        left_out += _tell_missing(lists[1], missing, tell)
    levels = [one.threshold if level is None else level for level, one in zip(asked, lists, strict=True)]
    evaluations = [Evaluation(protocol, threshold=level, pixel_ranking=curves, **options) for level in levels]
    evaluation = evaluations[0]
    workers = 1 if any(one.model for one in lists) else threads or available_cores()
    book = CaseBook() if keep_cases else None
    warm_up(evaluation.measure, tell)
    left_out += _score(evaluations, lists, book, workers, progress, tell)
    if not evaluation.records:
        raise DataError(f"none of the {len(found.pairs)} images of {pred} could be scored")
    runs = []
    for scored, members, name, level in zip(evaluations, lists, (pred, against), asked, strict=False):
        ranked = boxes or all(record.ranks_boxes for record in scored.records)
        computed = scored.compute(bootstrap=bootstrap, seed=seed, boxes=ranked) | {"boxes": ranked}
        if sets := _of_folders(scored):
            computed["sets"] = sets
        source: dict[str, Any] = {
            "prediction": str(name),
            "truth": where.shown,
            "split": split,
            "missing": missing,
            "threshold": "asked"
            if level is not None
            else "protocol"
            if members.threshold is None
            else "model",
        }
        source |= {"bootstrap": bootstrap, "seed": seed}
        computed |= {"source": source, "left_out": list(dict.fromkeys(left_out))}
        runs.append(EvaluationRun(computed, scored, members, book if scored is evaluation else None))
    if against is None:
        return runs[0]
    compared = compare_evaluations(*evaluations, bootstrap=bootstrap, seed=seed)
    return replace(
        runs[0], result=runs[0].result | {"against": runs[1].result, "comparison": compared}, other=runs[1]
    )


@dataclass(frozen=True)
class _Where:
    """The frames to score on, and how their files are read."""

    truth: str | Path | None
    data: str | Path | None
    split: str | None
    missing: Literal["leave-out", "empty"]
    max_value: float | None
    recursive: bool
    trust: Collection[str] | str

    @property
    def shown(self) -> str:
        return str(self.truth if self.truth is not None else self.data)

    def pairs_of(self, pred: str | Path) -> PairList:
        """The frames with a folder of predictions, or with what a model says."""
        if Path(pred).suffix.lower() == ".json":
            return pair_boxes(Path(pred), Path(self.shown), split=self.split, missing=self.missing)
        if self.data is not None and not _holds_predictions(Path(pred)):
            return pair_engine(str(pred), Path(self.data), split=self.split, trust=self.trust)
        return pair_files(
            Path(pred),
            Path(self.shown),
            split=self.split,
            missing=self.missing,
            full_scale=self.max_value,
            recursive=self.recursive,
        )


def _holds_predictions(place: Path) -> bool:
    """Whether it is a folder of images or arrays, and no run folder."""
    return place.is_dir() and not (place / "recipe.toml").exists() and bool(find_frames(place).files)


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
    report: str | Path | None = None,
    fps: float = 25.0,
) -> list[Path]:
    """Write the scores as JSON, one CSV line an image, a folder of pictures, a report; returns the files.

    The report is one HTML file, which lies beside the pictures as well. It needs a run with ``keep_cases``;
    ``fps`` frames a second turn false alarms a frame into false alarms an hour.
    """
    from infraspot.report.scores import write_scores, write_table

    per_image = run.evaluation.per_image()
    written = [Path(name) for name in (json_file, csv_file) if name]
    if json_file:
        write_scores(json_file, run.result, per_image)
    if csv_file:
        write_table(csv_file, per_image)
    if plots:
        written += _write_plots(run, Path(plots), fps)
    if report:
        written.append(_write_report(run, Path(report), fps))
    return written


def _write_report(run: EvaluationRun, path: Path, fps: float) -> Path:
    from infraspot.report.evaluation_report import write_report

    if run.book is None:
        raise UsageError("a report shows every target; score with keep_cases=True")
    other = None if run.other is None else (run.other.result, run.other.evaluation, run.other.pairs)
    return write_report(path, run.result, run.evaluation, run.book, run.pairs, fps=fps, other=other)


def _write_plots(run: EvaluationRun, folder: Path, fps: float) -> list[Path]:
    """The pictures, and the report beside them where the cases were kept."""
    from infraspot.report.plots import rank_frames, write_plots, write_worst

    threshold = run.evaluation.protocol.threshold
    loaders = {pair.id: pair.load for pair in run.pairs.pairs}
    pictures = write_plots(folder, run.result)
    worst = rank_frames(run.evaluation.records)
    pictures += write_worst(folder, worst, lambda name: loaders[name](), threshold=threshold)
    return pictures if run.book is None else [*pictures, _write_report(run, folder / "report.html", fps)]


def _tell_missing(found: PairList, missing: str, tell: Tell) -> list[str]:
    """Name the truths without prediction and the predictions without truth; returns what is left out."""
    if found.surplus:
        surplus = counted(
            len(found.surplus), "prediction has no truth and is", "predictions have no truth and are"
        )
        tell(Caution(f"{surplus} not scored: {named(found.surplus)}"))
    if not found.missing:
        return []
    if missing == "empty":
        empty = counted(
            len(found.missing), "image has no prediction and counts", "images have no prediction and count"
        )
        tell(f"{empty} as empty: {named(found.missing)}")
        return []
    for name in found.missing[:TOLD]:
        tell(InputError(f"{name}: there is no prediction; add it, or count it as empty with --missing empty"))
    if len(found.missing) > TOLD:
        tell(InputError(f"... and {len(found.missing) - TOLD} more without prediction; --json names all"))
    return list(found.missing)


def _score(
    evaluations: Sequence[Evaluation],
    lists: Sequence[PairList],
    book: CaseBook | None,
    workers: int,
    progress: Progress,
    tell: Tell,
) -> list[str]:
    """Measure every pair and add it; those that cannot be measured are told of and returned."""
    failed, faint, evaluation = [], 0, evaluations[0]
    known = {pair.id: pair for pair in lists[-1].pairs}
    pairs = [(pair, known[pair.id]) for pair in lists[0].pairs if pair.id in known]
    failed += [pair.id for pair in lists[0].pairs if pair.id not in known]
    measure = partial(_measure, evaluations, book is not None)
    for pair, outcome in progress(_outcomes(measure, pairs, workers), len(pairs), "scoring"):
        try:
            scored = outcome()
        except InfraspotError as error:
            text = str(error)
            tell(error if pair.id in text else InputError(f"{pair.id}: {text}"))
            failed.append(pair.id)
            continue
        for remark in scored.remarks:
            tell(Caution(remark))
        faint += 0 < scored.highest < FAINT
        evaluation.add(scored.measure)
        if scored.other is not None:
            evaluations[1].add(scored.other)
        if book is not None and scored.view is not None:
            book.add(scored.view)
    if faint and faint == len(evaluation.records):
        tell(Caution("no stored value exceeds 1; if the predictions are masks of 0 and 1, add --max-value 1"))
    return failed


def _measure(evaluations: Sequence[Evaluation], keep: bool, pairs: tuple[Pair, Pair]) -> _Scored:
    """Measure one frame of one or two detectors; where ``keep`` is set, with the report's view."""
    answers = []
    for pair, evaluation in zip(pairs, evaluations, strict=False):
        loaded = pair.load()
        measured = evaluation.measure(loaded.prediction, loaded.truth, id=loaded.id, image=loaded.image)
        answers.append(Answer(loaded, measured, evaluation))
    first = answers[0]
    return _Scored(
        first.measure,
        tuple(dict.fromkeys(remark for one in answers for remark in one.pair.remarks)),
        first.pair.highest,
        answers[1].measure if len(answers) > 1 else None,
        view_frame(*answers) if keep else None,
    )


def _outcomes(
    measure: Callable[[tuple[Pair, Pair]], _Scored], pairs: Sequence[tuple[Pair, Pair]], workers: int
) -> Iterator[tuple[Pair, Callable[[], _Scored]]]:
    """Pairs in their order with what measuring them gave; some are read ahead in other threads."""
    if workers == 1:
        for both in pairs:
            yield both[0], partial(measure, both)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Pair, Future[_Scored]]] = deque()
    try:
        for both in pairs:
            waiting.append((both[0], pool.submit(measure, both)))
            if len(waiting) > 2 * workers:
                first, future = waiting.popleft()
                yield first, future.result
        for first, future in waiting:
            yield first, future.result
    finally:
        pool.shutdown(cancel_futures=True)
