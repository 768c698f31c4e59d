"""The work of ``infraspot pseudo``: label one image, keep what is done, add up the figures."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import ADAPTERS, annotate
from infraspot.core.errors import DataError, InfraspotError, UsageError
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample

if TYPE_CHECKING:
    from infraspot.annotators import LabelledMask
    from infraspot.data import Reader
    from infraspot.labelling.clicks import ClickSource

SIZES = {"up to 9 px": (0, 9), "10 to 81 px": (10, 81), "over 81 px": (82, None)}
"""The size classes of the field's point-supervision papers, true area in pixels."""

_JOURNAL = "pseudo.jsonl"
_ORACLE_METHODS = ("mclc", "diffusion-mc")
_SEEDED_METHODS = ("mclc", "diffusion-mc")


@dataclass(frozen=True)
class Options:
    """What makes one run's masks; a run with other options does not resume this one."""

    points: str
    methods: tuple[str, ...]
    level: str
    size_prior: str
    seed: int
    weights: str | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker needs to label any image of the data set."""

    reader: "Reader"
    source: "ClickSource"
    options: "Options"
    folder: Path

    def place(self, method: str, name: str) -> Path:
        """Where a mask goes."""
        folder = self.folder / method if len(self.options.methods) > 1 else self.folder
        return folder / f"{name}.png"


class Job:
    """One run: its task, and a journal of finished images beside the masks."""

    def __init__(self, reader: "Reader", source: "ClickSource", options: "Options", folder: Path) -> None:
        self.reader, self.source, self.options, self.folder = reader, source, options, folder
        self._journal: TextIO | None = None

    def task(self) -> Task:
        """What is sent to the workers."""
        return Task(self.reader, self.source, self.options, self.folder)

    def resume(self) -> dict[str, dict[str, Any]]:
        """Results of an earlier run with the same options whose masks are still there, by image."""
        path = self.folder / _JOURNAL
        task, head = self.task(), self._head()
        lines = _read_lines(path)
        done = {}
        if lines and lines[0] == head:
            for result in lines[1:]:
                name = result["image"]
                if all(task.place(method, name).is_file() for method in self.options.methods):
                    done[name] = result
        done = {name: done[name] for name in self.reader.ids if name in done}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._journal = path.open("w", encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"cannot write to {self.folder}: {error.strerror}; choose another --out"
            ) from error
        self._write(head)
        for result in done.values():
            self._write(result)
        return done

    def keep(self, result: dict[str, Any]) -> None:
        """Note a finished image; one that failed is tried again next time."""
        if "error" not in result:
            self._write(result)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def provenance(self, done: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The stamp of the masks, and what became of each click."""
        from infraspot.core.version import VERSION

        return {
            "infraspot": VERSION,
            "data": self.reader.name,
            "split": self.reader.split,
            **asdict(self.options),
            "images": {
                result["image"]: {name: found["clicks"] for name, found in result["methods"].items()}
                for result in done
            },
        }

    def _head(self) -> dict[str, Any]:
        points = {name: found.tolist() for name, found in self.source.listed.items()}
        head = {"data": str(self.reader.root.resolve()), **asdict(self.options), "listed": points}
        known: dict[str, Any] = json.loads(json.dumps(head))
        return known

    def _write(self, line: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(line) + "\n")
            self._journal.flush()


_task: Task | None = None


def start_worker(task: Task) -> None:
    """Give this process its task; Ctrl-C is for the parent to act on."""
    import signal
    from multiprocessing import parent_process

    global _task
    _task = task
    if parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    annotate(np.eye(8, dtype=np.float32), [(4, 4)])


def label_chunk(indices: Sequence[int]) -> list[dict[str, Any]]:
    """Label some images; one that fails becomes ``{"image", "error"}``."""
    if _task is None:
        raise RuntimeError("start_worker comes first")
    results = []
    for index in indices:
        name = _task.reader.ids[index]
        try:
            results.append({"image": name, **label_sample(_task, _task.reader[index])})
        except InfraspotError as error:
            said = str(error)
            results.append({"image": name, "error": said if name in said else f"{name}: {said}"})
    return results


def label_sample(task: Task, sample: Sample) -> dict[str, Any]:
    """Label one image by every method, write the masks, and measure them where there is truth."""
    from infraspot.data import write_mask

    points = task.source.of(sample)
    methods = {}
    for method in task.options.methods:
        options = _method_options(task, sample, points, method)
        start = time.thread_time()
        labelled = annotate(sample.image, points, method, **options)
        spent = 1000 * (time.thread_time() - start)
        write_mask(task.place(method, sample.id), labelled.mask)
        methods[method] = {"ms": spent, "clicks": [asdict(record) for record in labelled.clicks]}
        if sample.mask is not None:
            methods[method]["truth"] = _measure(labelled, sample.mask)
    return {"methods": methods}


def _method_options(task: Task, sample: Sample, points: NDArray[np.float64], method: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if method == "profile":
        options["level"] = task.options.level
    if method in ADAPTERS:
        options["weights"] = task.options.weights
    if method in _SEEDED_METHODS:
        options["seed"] = task.options.seed
    if method in _ORACLE_METHODS and task.options.size_prior == "oracle":
        options |= {"size_prior": "oracle", "areas": _true_areas(sample, points)}
    return options


def _true_areas(sample: Sample, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Area of the true target nearest to each click."""
    if sample.mask is None:
        raise UsageError(f"{sample.id}: --size-prior oracle needs true masks, and the image has none")
    parts = find_components(sample.mask)
    if not len(parts):
        return np.zeros(len(points), np.int64)
    apart = np.hypot(*(points[:, None] - parts.centroids[None]).transpose(2, 0, 1))
    areas: NDArray[np.int64] = parts.areas[apart.argmin(1)] if len(points) else np.zeros(0, np.int64)
    return areas


def _measure(labelled: "LabelledMask", truth: NDArray[np.bool_]) -> dict[str, Any]:
    """Common and united pixels of the image, and of each true target with the parts that touch it."""
    parts, found = find_components(truth), find_components(labelled.mask)
    targets = []
    for index, area in enumerate(parts.areas):
        on_target = parts.labels == index + 1
        touching = np.unique(found.labels[on_target])
        mine = np.isin(found.labels, touching[touching > 0]) & ((parts.labels == 0) | on_target)
        common = int((mine & on_target).sum())
        targets.append([int(area), common, int(mine.sum()) + int(area) - common])
    mask = labelled.mask
    return {"common": int((mask & truth).sum()), "union": int((mask | truth).sum()), "targets": targets}


def summarise(results: Sequence[dict[str, Any]], method: str) -> dict[str, Any]:
    """Figures of one method: shares as fractions, None without truth; thread time as a median over images."""
    found = [result["methods"][method] for result in results]
    truths = [one["truth"] for one in found if "truth" in one]
    pace = [one["ms"] / len(one["clicks"]) for one in found if one["clicks"]]
    filled = [t for t in truths if t["union"]]
    targets = [target for truth in truths for target in truth["targets"]]
    return {
        "targets": len(targets) if truths else sum(len(one["clicks"]) for one in found),
        "iou": _share(sum(t["common"] for t in truths), sum(t["union"] for t in truths)),
        "niou": _mean([t["common"] / t["union"] for t in filled]),
        "target_iou": _mean([common / union for _, common, union in targets]),
        "ms_per_target": median(pace) if pace else None,
        "by_size": {name: _stratum(targets, low, high) for name, (low, high) in SIZES.items()}
        if truths
        else {},
    }


def _stratum(targets: Sequence[Sequence[int]], low: int, high: int | None) -> dict[str, Any]:
    inside = [target for target in targets if target[0] >= low and (high is None or target[0] <= high)]
    return {
        "targets": len(inside),
        "iou": _share(sum(t[1] for t in inside), sum(t[2] for t in inside)),
        "target_iou": _mean([common / union for _, common, union in inside]),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; a last one that was cut short is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
