"""Synthetic scenes as a data set that every reader takes; a stopped run goes on where it was."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.files import write_json, write_text
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset, write_sample
from infraspot.data.store import SAMPLE_FILES, write_split_lists
from infraspot.jobs.growing import GrowingFolder, Record, mapper
from infraspot.jobs.watching import Progress, no_progress
from infraspot.synth import Frame, Scene, SceneRanges, generate

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
    ``points.json``, ``clutter.json`` and the splits at the end, also when the run is stopped. Of a sequence,
    ``tracks/NAME/gt/gt.txt`` has the true tracks as MOT text and ``tracks/NAME/motion.csv`` the way that the
    background has gone since the first frame.

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
    folder = _folder(out)
    records = folder.open(options)
    missing = [index for index in range(count) if index not in records]
    make = partial(_write_scene, out, seed, ranges)
    try:
        with mapper(workers if len(missing) >= _WORTH_A_POOL else 1) as run:
            for record in progress(run(make, missing), len(missing), "scenes"):
                records[record["index"]] = record
    finally:
        if records:
            ordered = folder.gathered(records)
            _write_lists(out, ordered)
            folder.close(options, ordered)
    return len(missing)


def _folder(out: Path) -> GrowingFolder:
    return GrowingFolder(out, "scenes", "scenes", partial(_complete, out))


def _write_scene(out: Path, seed: int, ranges: SceneRanges, index: int) -> Record:
    (scene,) = generate(1, seed, ranges, first=index)
    for sample in scene.frames:
        write_sample(out, sample)
    record = _record(scene, index)
    _folder(out).add(record)
    return record


def _record(scene: Scene, index: int) -> Record:
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
        **_motion(sample),
        "clutter": [{"name": name, "box": [round(side, 2) for side in box]} for name, box in sample.clutter],
    }


def _motion(sample: Frame) -> dict[str, Any]:
    """Which target is which, its box, and how far the background has moved; nothing for single frames."""
    if sample.tracks is None or sample.boxes is None:
        return {}
    return {
        "tracks": sample.tracks.tolist(),
        "boxes": [[round(float(side), 2) for side in box] for box in sample.boxes],
        "way": [round(sample.way[1], 4), round(sample.way[0], 4)],
    }


def _complete(out: Path, record: Record) -> bool:
    return all(
        (out / place.format(frame["id"])).is_file() for frame in record["frames"] for place in SAMPLE_FILES
    )


def _write_lists(out: Path, records: list[Record]) -> None:
    frames = [(record["index"], frame) for record in records for frame in record["frames"]]
    names: dict[str, list[str]] = {"train": [], "val": []}
    for index, frame in frames:
        names["val" if index % _VAL_EVERY == _VAL_EVERY - 1 else "train"].append(frame["id"])
    write_split_lists(out, names)
    write_json(out / "points.json", {frame["id"]: frame["points"] for _, frame in frames})
    write_json(out / "clutter.json", {frame["id"]: frame["clutter"] for _, frame in frames})
    for record in records:
        if len(record["frames"]) > 1:
            _write_tracks(out / "tracks" / record["frames"][0]["id"].rpartition("_")[0], record["frames"])


def _write_tracks(folder: Path, frames: list[dict[str, Any]]) -> None:
    """The true tracks of a sequence as MOT text, whose pixels and frames count from 1, and its motion."""
    boxes = [
        f"{number},{track},{x0 + 1:g},{y0 + 1:g},{x1 - x0:g},{y1 - y0:g},1,1,1"
        for number, frame in enumerate(frames, 1)
        for track, (x0, y0, x1, y1) in zip(frame["tracks"], frame["boxes"], strict=True)
    ]
    write_text(folder / "gt" / "gt.txt", "".join(f"{line}\n" for line in boxes))
    ways = [f"{number},{frame['way'][0]:g},{frame['way'][1]:g}\n" for number, frame in enumerate(frames, 1)]
    write_text(folder / "motion.csv", "frame,x,y\n" + "".join(ways))


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
