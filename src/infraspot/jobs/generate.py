"""Synthetic scenes as a data set that every reader takes; a stopped run goes on where it was."""

import json
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.errors import DataError
from infraspot.core.files import clear_leftovers, write_json, write_text
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset, write_sample
from infraspot.data.opening import read_text
from infraspot.jobs.watching import Progress, no_progress
from infraspot.jobs.workers import follow_parent
from infraspot.synth import Frame, Scene, SceneRanges, generate

_INDEX = "scenes.json"
_PARTS = ".scenes"
_VAL_EVERY = 5
_WORTH_A_POOL = 32
_COMPARED = 400  # frames of each side: enough for quartiles, and they fit into memory


def write_scenes(
    out: str | Path,
    count: int,
    seed: int = 0,
    ranges: SceneRanges | None = None,
    *,
    workers: int = 1,
    progress: Progress = no_progress,
) -> int:
    """Write scenes 0 to ``count - 1`` and return how many of them were not there yet.

    Each scene leaves a record when its files are complete; the records become ``scenes.json``,
    ``points.json``, ``clutter.json`` and the splits at the end, also when the run is stopped.

    Parameters
    ----------
    out
        Folder of the data set, in the layout of NUAA-SIRST.
    seed, ranges
        See :func:`infraspot.synth.generate`; the same values always make the same scenes.
    workers
        Processes.
    progress
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    DataError
        If the folder holds other files, scenes of other options, or cannot be written to.
    """
    out, ranges = Path(out), ranges or SceneRanges()
    options = json.loads(json.dumps({"seed": seed, "ranges": asdict(ranges)}))
    records = _existing(out, options)
    missing = [index for index in range(count) if index not in records]
    make = partial(_write_scene, out, seed, ranges)
    try:
        with _mapper(workers if len(missing) >= _WORTH_A_POOL else 1) as run:
            for record in progress(run(make, missing), len(missing), "scenes"):
                records[record["index"]] = record
    finally:
        if records:
            _write_index(out, options, {**_parts(out), **records})
    return len(missing)


def _write_scene(out: Path, seed: int, ranges: SceneRanges, index: int) -> dict[str, Any]:
    (scene,) = generate(1, seed, ranges, first=index)
    for sample in scene.frames:
        write_sample(out, sample)
    record = _record(scene, index)
    write_json(out / _PARTS / f"{index}.json", record)
    return record


def _record(scene: Scene, index: int) -> dict[str, Any]:
    """The parameters of a scene, and for each frame the truth and the SCR that came out."""
    return {"index": index, "spec": asdict(scene.spec), "frames": [_frame(frame) for frame in scene.frames]}


def _frame(sample: Frame) -> dict[str, Any]:
    assert sample.mask is not None
    assert sample.points is not None
    ratios = signal_to_clutter(sample.image, find_components(sample.mask))
    return {
        "id": sample.id,
        "points": [[round(float(x), 3), round(float(y), 3)] for y, x in sample.points],
        "realised_scr": [round(float(ratio), 3) if ratio == ratio else None for ratio in ratios],
        "clutter": [{"name": name, "box": [round(side, 2) for side in box]} for name, box in sample.clutter],
    }


def _existing(out: Path, options: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Records of complete scenes of the same options; other contents are refused."""
    clear_leftovers(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        write_json(out / _INDEX, {"options": options, "scenes": []})
        return {}
    index = _read_json(out / _INDEX) if (out / _INDEX).is_file() else None
    if not isinstance(index, dict) or not {"options", "scenes"} <= index.keys():
        raise DataError(
            f"{out} holds files that are not scenes; choose a new folder, so that nothing is lost"
        )
    if index["options"] != options:
        raise DataError(
            f"{out} holds scenes made with other options; choose a new folder, or the same options"
        )
    try:
        records = {**{record["index"]: record for record in index["scenes"]}, **_parts(out)}
        return {number: record for number, record in records.items() if _complete(out, record)}
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{out / _INDEX} or a file in {out / _PARTS} is damaged; delete it to make its scenes again"
        ) from error


def _parts(out: Path) -> dict[int, dict[str, Any]]:
    """The records of scenes that are not in the index yet, by number."""
    return {int(path.stem): _read_json(path) for path in _part_files(out)}


def _part_files(out: Path) -> list[Path]:
    return [path for path in (out / _PARTS).glob("*.json") if path.stem.isdecimal()]


def _complete(out: Path, record: dict[str, Any]) -> bool:
    return all(
        (out / place.format(frame["id"])).is_file()
        for frame in record["frames"]
        for place in ("images/{}.png", "masks/{}_pixels0.png", "sky/{}.png", "bboxes/{}.xml")
    )


def _write_index(out: Path, options: dict[str, Any], records: dict[int, dict[str, Any]]) -> None:
    ordered = [records[index] for index in sorted(records)]
    frames = [(record["index"], frame) for record in ordered for frame in record["frames"]]
    names: dict[str, list[str]] = {"train": [], "val": []}
    for index, frame in frames:
        names["val" if index % _VAL_EVERY == _VAL_EVERY - 1 else "train"].append(frame["id"])
    for split, ids in names.items():
        write_text(out / "splits" / f"{split}.txt", "".join(f"{name}\n" for name in ids))
    write_json(out / "points.json", {frame["id"]: frame["points"] for _, frame in frames})
    write_json(out / "clutter.json", {frame["id"]: frame["clutter"] for _, frame in frames})
    write_json(out / _INDEX, {"options": options, "scenes": ordered})
    for path in _part_files(out):
        path.unlink(missing_ok=True)
    clear_leftovers(out / _PARTS)
    with suppress(OSError):  # absent, or somebody put a file there
        (out / _PARTS).rmdir()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it to make these scenes again") from error


@contextmanager
def _mapper(workers: int) -> Iterator[Any]:
    """A ``map`` that runs in order, in this process or in several; on any error the rest is dropped."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
    try:
        yield pool.map
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def compare_with_real(out: Path, real: Path, split: str | None = None) -> dict[str, Any]:
    """Compare the statistics of the scenes in ``out`` with those of a real data set.

    Writes ``comparison.json`` and ``comparison.png`` into ``out`` and returns what is in the former (see
    :func:`infraspot.report.scenes.compare_scenes`).
    """
    from infraspot.report.scenes import compare_scenes, draw_comparison

    theirs, ours = _first(open_dataset(real, split=split)), _first(open_dataset(out))
    result = compare_scenes(theirs, ours)
    write_json(out / "comparison.json", result)
    draw_comparison(out / "comparison.png", theirs, ours)
    return result


def _first(samples: Iterable[Sample]) -> list[Sample]:
    return list(islice(samples, _COMPARED))
