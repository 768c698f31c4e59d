"""Masks for a whole data set from one click per target; a stopped run goes on where it was."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from infraspot.annotators import ADAPTERS, ANNOTATORS, annotate, find_annotator
from infraspot.annotators.profile.level import make_chooser
from infraspot.core.cores import available_cores
from infraspot.core.errors import Caution, DataError, InfraspotError, InputError, UsageError, counted, named
from infraspot.core.files import write_json, write_text
from infraspot.core.sample import Sample
from infraspot.core.version import VERSION
from infraspot.data import Reader, write_mask
from infraspot.data.opening import read_text
from infraspot.jobs.places import open_set
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.jobs.workers import follow_parent
from infraspot.labelling.clicks import ClickSource, open_clicks
from infraspot.labelling.figures import overlap, summarise
from infraspot.labelling.sample import LabelOptions, label_sample

_JOURNAL = "pseudo.jsonl"


@dataclass(frozen=True)
class PseudoRun:
    """What a run labelled.

    Attributes
    ----------
    images, clicks
        How many images have masks now, and from how many clicks.
    resumed
        How many of the images an earlier run had finished.
    figures
        For each method ``iou``, ``niou``, ``target_iou`` (fractions, None without truth), ``targets``,
        ``ms_per_target`` and ``by_size``.
    problems
        One sentence for each image that could not be labelled, and for points without an image.
    """

    images: int
    clicks: int
    resumed: int
    figures: dict[str, dict[str, Any]]
    problems: list[str]


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker needs to label any image of the data set."""

    reader: Reader
    source: ClickSource
    options: LabelOptions
    folder: Path

    def place(self, method: str, name: str) -> Path:
        """Where a mask goes."""
        folder = self.folder / method if len(self.options.methods) > 1 else self.folder
        return folder / f"{name}.png"

    def settings(self) -> dict[str, Any]:
        """Every option that the masks depend on."""
        return {"points": self.source.kind, **asdict(self.options)}


def label_dataset(
    data: str | Path,
    out: str | Path,
    *,
    points: str = "centroid",
    methods: Sequence[str] = ("profile",),
    level: str = "auto",
    size_prior: str = "none",
    weights: str | None = None,
    split: str | None = None,
    recursive: bool = False,
    seed: int = 0,
    workers: int = 0,
    json_path: str | Path | None = None,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> PseudoRun:
    """Grow masks from one click per target in a data set, a folder of frames, a stack or a video.

    Writes ``out/STEM.png`` (0 and 255, native size; ``out/METHOD/STEM.png`` for several methods) and
    ``out/provenance.json``. Images that an earlier run with the same options finished are not done again.

    Parameters
    ----------
    points
        ``centroid`` or ``coarse`` (from the masks of the data set), or a JSON or CSV file.
    methods, level, size_prior, weights
        See :class:`infraspot.labelling.sample.LabelOptions`.
    split
        A split of the data set; all images without it.
    recursive
        Label the frames of subfolders as well; masks lie as the frames do.
    seed
        Random seed of coarse clicks and of the random methods.
    workers
        Processes; 0 takes every core.
    json_path
        File for the figures.
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If an option is wrong; nothing was done.
    DataError
        If the data set cannot be read, the points are of other images, or ``out`` cannot be written to.
    """
    options = LabelOptions(_check_methods(methods), level, size_prior, seed, weights)
    _check_level(options)
    _check_weights(options)
    source = open_clicks(points, seed, folders=recursive)
    reader = open_set(data, split=split, recursive=recursive, tell=tell)
    _tell_left_out(reader, source, tell)
    task = Task(reader, source, options, Path(out))
    with Journal(task) as journal:
        resumed = len(journal.done)
        results = _label_all(task, journal, _processes(workers, options), progress)
    done = [result for result in results if "error" not in result]
    figures = {method: summarise(done, method) for method in options.methods}
    write_json(task.folder / "provenance.json", _provenance(task, done))
    if json_path:
        write_json(json_path, {"options": task.settings(), "n_images": len(done), "methods": figures})
    problems = _strangers(reader, source, split) + [one["error"] for one in results if "error" in one]
    clicks = sum(len(result["methods"][options.methods[0]]["clicks"]) for result in done)
    return PseudoRun(len(done), clicks, resumed, figures, problems)


class Journal:
    """One line of JSON for each finished image, beside the masks, under a line with the options."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._file: TextIO | None = None
        self.done: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Journal":
        path, head = self._task.folder / _JOURNAL, self._head()
        self.done = self._finished_before(_read_lines(path), head)
        # In one step, so that a kill at this moment does not forget what was finished.
        write_text(path, "".join(json.dumps(line) + "\n" for line in [head, *self.done.values()]))
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"cannot write to {path.parent}: {error.strerror}; choose another --out"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, result: dict[str, Any]) -> None:
        """Note a finished image; one that failed is tried again next time."""
        if "error" not in result:
            self._write(result)
        self.done[result["image"]] = result

    def _finished_before(
        self, lines: Sequence[dict[str, Any]], head: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Results of an earlier run with the same options whose masks are still there, by image."""
        if not lines or lines[0] != head:
            return {}
        methods, place = self._task.options.methods, self._task.place
        found = {
            result["image"]: result
            for result in lines[1:]
            if {"image", "methods"} <= result.keys()
            and all(place(method, result["image"]).is_file() for method in methods)
        }
        return {name: found[name] for name in self._task.reader.ids if name in found}

    def _head(self) -> dict[str, Any]:
        points = {name: found.tolist() for name, found in self._task.source.listed.items()}
        data = str(self._task.reader.root.resolve())
        known: dict[str, Any] = json.loads(
            json.dumps({"data": data, **self._task.settings(), "listed": points})
        )
        return known

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


_task: Task | None = None


def start_worker(task: Task) -> None:
    """Give this process its task, and compile what the annotators need."""
    global _task
    _task = task
    follow_parent()
    annotate(np.eye(8, dtype=np.float32), [(4, 4)])


def label_chunk(indices: Sequence[int]) -> list[dict[str, Any]]:
    """Label some images; one that fails becomes ``{"image", "error"}``."""
    if _task is None:
        raise RuntimeError("start_worker comes first")
    results = []
    for index in indices:
        name = _task.reader.ids[index]
        try:
            results.append({"image": name, "methods": _label(_task, _task.reader[index])})
        except InfraspotError as error:
            said = str(error)
            results.append({"image": name, "error": said if name in said else f"{name}: {said}"})
    return results


def _label(task: Task, sample: Sample) -> dict[str, Any]:
    """Label one image, write the masks, and measure them where there is truth."""
    methods: dict[str, Any] = {}
    for method, grown in label_sample(sample, task.source.of(sample), task.options).items():
        write_mask(task.place(method, sample.id), grown.labelled.mask)
        methods[method] = {
            "ms": grown.milliseconds,
            "clicks": [asdict(record) for record in grown.labelled.clicks],
        }
        if sample.mask is not None:
            methods[method]["truth"] = overlap(grown.labelled.mask, sample.mask)
    return methods


def _label_all(task: Task, journal: Journal, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Results of every image in order; what an earlier run finished is not done again."""
    ids, covers = task.reader.ids, task.source.covers
    todo = [index for index, name in enumerate(ids) if name not in journal.done and covers(name)]
    for result in progress(_results(task, todo, workers), len(todo), "pseudo"):
        journal.keep(result)
    return [journal.done[name] for name in ids if name in journal.done]


def _results(task: Task, todo: Sequence[int], workers: int) -> Iterator[dict[str, Any]]:
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


def _provenance(task: Task, done: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The stamp of the masks, and what became of each click."""
    clicks = {
        result["image"]: {name: found["clicks"] for name, found in result["methods"].items()}
        for result in done
    }
    reader = task.reader
    stamp = {"infraspot": VERSION, "data": reader.name, "split": reader.split}
    return {**stamp, **task.settings(), "images": clicks}


def _check_methods(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise UsageError(f"there is no method; expected some of {', '.join(ANNOTATORS)}")
    for name in names:
        find_annotator(name)
    return tuple(dict.fromkeys(names))


def _check_level(options: LabelOptions) -> None:
    """Fail before the work: a wrong level is wrong for every image."""
    if "profile" not in options.methods and options.level != "auto":
        raise UsageError("--level belongs to the method profile, which --method does not name")
    make_chooser(options.level, np.zeros((1, 1), np.float32), 0)


def _check_weights(options: LabelOptions) -> None:
    """Load the weights before the work; they too are wrong for every image."""
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


def _tell_left_out(reader: Reader, source: ClickSource, tell: Tell) -> None:
    """Say which images a points file does not name; a file that names none of them is of other images."""
    missing = [name for name in reader.ids if not source.covers(name)]
    if len(missing) == len(reader):
        raise DataError(
            f"{source.kind} names none of the {len(reader)} images of {reader.name}, but"
            f" {named(sorted(source.listed))}; pass the points of these images"
        )
    if missing:
        images = counted(len(missing), "image, which is", "images, which are")
        tell(Caution(f"{source.kind} has no points for {images} left out: {named(missing)}"))


def _strangers(reader: Reader, source: ClickSource, split: str | None) -> list[str]:
    """A sentence about the points of images that are not there; a split leaves others out by intention."""
    unknown = sorted(set(source.listed) - set(reader.ids))
    if not unknown or split is not None:
        return []
    images = counted(len(unknown), "image that is", "images that are")
    return [f"{source.kind} has points for {images} not in the data: {named(unknown)}"]


def _processes(workers: int, options: LabelOptions) -> int:
    """As asked; else every core, or one process where a large model has threads of its own."""
    if not workers and not ADAPTERS.keys().isdisjoint(options.methods):
        return 1
    return workers or available_cores()


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal, up to the first that is damaged: a kill may cut the last one short."""
    try:
        text = read_text(path)
    except InputError:
        return []
    lines = []
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        lines.append(value)
    return lines
