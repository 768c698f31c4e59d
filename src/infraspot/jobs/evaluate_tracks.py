"""Tracks against true tracks: folders of ``infraspot track``, generated scenes, MOT text."""

import json
import math
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from infraspot.core.errors import Caution, DataError, InfraspotError, UsageError, counted, named
from infraspot.core.options import require_number
from infraspot.data.opening import read_text
from infraspot.data.sequences import open_sequences
from infraspot.jobs.track_files import SUMMARY, read_table
from infraspot.jobs.watching import Tell, tell_nobody
from infraspot.metrics.tracks import GATE, NOTHING, Points, TrackedSequence, count_points, score_tracks
from infraspot.report.track_report import TrackBook

_SCENES = "scenes.json"
_MOT_PLACES = ("gt/gt.txt", "gt.txt", "mot.txt")
_DOUBTFUL = ("doubtful",)
_STANDING = ("still", "fixed", *_DOUBTFUL)


def evaluate_tracks(
    pred: str | Path,
    truth: str | Path,
    *,
    threshold: float | None = None,
    gate: float = GATE,
    fps: float = 25.0,
    book: TrackBook | None = None,
    tell: Tell = tell_nobody,
) -> dict[str, Any]:
    """Score the tracks of a run against true tracks, and its detections before any tracking.

    Parameters
    ----------
    pred
        Folder that ``infraspot track`` wrote, of one sequence or of several.
    truth
        Folder of ``infraspot generate --frames``; a set of sequences whose boxes have tracks; or MOT text,
        or a folder with ``gt.txt`` or ``gt/gt.txt``, or a folder of such folders named like the sequences.
        Frames count from 1 on both sides.
    threshold
        Chance of the detections that are counted before tracking; None takes the threshold at which
        ``infraspot detect`` would have cut.
    gate
        Distance of a hit, pixels.
    fps
        Frames a second, for false tracks an hour.
    book
        Takes the tracks of each sequence, for a report.

    Returns
    -------
    ``before``: points of the single frames at ``threshold``; ``after``: the scores of
    :func:`infraspot.metrics.tracks.score_tracks` with every row; ``sure``: the same without rows of doubtful
    tracks; ``moving``: without any row of tracks that stand still. Also the number of sequences, those left
    out, and the options.

    Raises
    ------
    UsageError
        If an option is wrong.
    DataError
        If a file is missing or damaged, or no sequence is on both sides.
    """
    if threshold is not None:
        require_number(0, 1, threshold=threshold)
    require_number(1e-6, 1e4, gate=gate, fps=fps)
    runs, truths = _runs(Path(pred)), _truths(Path(truth))
    if len(runs) == len(truths) == 1:
        pairs = [(next(iter(runs.values())), next(iter(truths.values())))]
    else:
        pairs = [(runs[name], truths[name]) for name in runs if name in truths]
    left_out = sorted(truths.keys() - runs.keys()) if len(truths) > len(pairs) else []
    if not pairs:
        here, there = named(list(runs), 3), named(list(truths), 3)
        raise DataError(f"no sequence is both in {pred} ({here}) and in {truth} ({there}); name them alike")
    if left_out:
        absent = counted(
            len(left_out), "true sequence has no tracks and is", "true sequences have no tracks and are"
        )
        tell(Caution(f"{absent} left out: {named(left_out, 3)}"))
    sequences: dict[str, list[TrackedSequence]] = {"after": [], "sure": [], "moving": []}
    megapixels, seconds, before = 0.0, 0.0, np.zeros(3)
    for folder, true in pairs:
        about = _summary(folder)
        megapixels += about["frames"] * math.prod(about["shape"]) / 1e6
        seconds += about["frames"] / fps
        level = about["threshold"] if threshold is None else threshold
        before += _count_detections(folder, true, level, gate)
        for name, without in (("after", ()), ("sure", _DOUBTFUL), ("moving", _STANDING)):
            sequences[name].append(_tracks(folder, true, without))
        output = about["output"]
        if book is not None:
            book.add(about["sequence"], about["shape"], sequences["after"][-1])
    return {
        "sequences": len(pairs),
        "left_out": left_out,
        "threshold": level,
        "gate": gate,
        "fps": fps,
        "output": output,
        "before": {"pd": before[1] / max(before[0], 1), "false_per_mpx": before[2] / megapixels},
        **{
            name: score_tracks(members, gate=gate, megapixels=megapixels, seconds=seconds)
            for name, members in sequences.items()
        },
    }


def _runs(place: Path) -> dict[str, Path]:
    """The folders of sequences in a run, by name."""
    if not place.is_dir():
        raise DataError(f"there is no folder {place}; expected one that infraspot track wrote")
    folders = [path.parent for path in sorted(place.rglob(SUMMARY))]
    if not folders:
        raise DataError(f"{place} holds no {SUMMARY}; expected a finished run of infraspot track")
    return {str(_summary(folder)["sequence"]): folder for folder in folders}


def _summary(folder: Path) -> dict[str, Any]:
    about = _json(folder / SUMMARY)
    try:
        height, width = (int(side) for side in about["shape"])
        return {
            "sequence": str(about["sequence"]),
            "output": str(about["output"]),
            "frames": int(about["frames"]),
            "threshold": float(about["threshold"]),
            "shape": (height, width),
        }
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{folder / SUMMARY} is damaged ({error}); track once more") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); write it anew") from error


def _tracks(folder: Path, truth: dict[int, Points], without: Collection[str]) -> TrackedSequence:
    """The rows of a run but for those of the motions ``without``."""
    rows: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
    known = {}
    for row in read_table(folder / "tracks.csv"):
        if row["motion"] not in without:
            frame, number = _whole(row["frame"], folder), _whole(row["id"], folder)
            rows[frame].append((number, _place(row["y"], folder), _place(row["x"], folder)))
            known[frame, number] = _whole(row["known"], folder)
    return TrackedSequence(truth, {frame: _points(members) for frame, members in rows.items()}, known)


def _count_detections(folder: Path, truth: dict[int, Points], threshold: float, gate: float) -> Any:
    """True points, hits and false alarms of the single frames."""
    found: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
    for row in read_table(folder / "detections.csv"):
        if _place(row["chance"], folder) > threshold:
            place = (0, _place(row["y"], folder), _place(row["x"], folder))
            found[_whole(row["frame"], folder)].append(place)
    counts = [
        count_points(truth.get(frame, NOTHING)[1], _points(found.get(frame, []))[1], gate)
        for frame in truth.keys() | found.keys()
    ]
    return np.sum(counts, axis=0) if counts else np.zeros(3)


def _points(members: list[tuple[int, float, float]]) -> Points:
    table = np.array(members, np.float64).reshape(-1, 3)
    return table[:, 0].astype(np.int64), table[:, 1:]


def _whole(text: str, where: Path) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise DataError(f"{where}: expected a whole number, and {text!r:.40} came; write it anew") from error


def _place(text: str, where: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: expected a number, and {text!r:.40} came; write it anew")
    return value


def _truths(place: Path) -> dict[str, dict[int, Points]]:
    """The true points of each sequence, by name."""
    if (place / _SCENES).is_file():
        return _scenes(place / _SCENES)
    if place.is_file():
        return {place.stem: _mot(place)}
    if not place.is_dir():
        raise DataError(f"there is no file or folder {place}; expected scenes or MOT text")
    found = {}
    for folder in (place, *sorted(path for path in place.iterdir() if path.is_dir())):
        for name in _MOT_PLACES:
            if (folder / name).is_file():
                found[folder.name] = _mot(folder / name)
                break
    found = found or _of_set(place)
    if not found:
        raise DataError(
            f"{place} holds neither {_SCENES} nor MOT text ({', '.join(_MOT_PLACES)}), nor a set with tracks"
        )
    return found


def _of_set(place: Path) -> dict[str, dict[int, Points]]:
    """The points of the sequences of a data set whose boxes have tracks; empty where it is none."""
    try:
        sequences = open_sequences(place)
    except InfraspotError:
        return {}
    found = {}
    for sequence in sequences:
        first, members = sequence.numbers[0], {}
        for place_in, number in enumerate(sequence.numbers):
            boxes, tracks = sequence.reader.targets(place_in)
            if boxes is not None and tracks is not None:
                members[number - first + 1] = (tracks, (boxes[:, 1::-1] + boxes[:, :1:-1] - 1) / 2)
        if len(members) == len(sequence):
            found[sequence.name] = members
    return found


def _scenes(path: Path) -> dict[str, dict[int, Points]]:
    """The targets of generated scenes."""
    found = {}
    try:
        for scene in _json(path)["scenes"]:
            frames = scene["frames"]
            if len(frames) < 2:
                raise UsageError(f"{path} holds single frames; expected sequences (generate --frames)")
            members = {}
            for number, frame in enumerate(frames, 1):
                places = np.array(frame["points"], np.float64).reshape(-1, 2)[:, ::-1]
                ids = np.array(frame["tracks"], np.int64)
                if len(ids) != len(places):
                    raise ValueError(f"{len(ids)} tracks for {len(places)} points")
                members[number] = (ids, places)
            found[frames[0]["id"].rpartition("_")[0]] = members
    except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path} is damaged, or older than its reader ({error}); make the scenes again"
        ) from error
    return found


def _mot(path: Path) -> dict[int, Points]:
    """The points of MOT text (frame, id, left, top, width, height, ...): the centres of the boxes."""
    rows: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
    for number, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.replace(",", " ").split()
        if not parts:
            continue
        try:
            frame, track, left, top, width, height = (float(part) for part in parts[:6])
            if not all(map(math.isfinite, (frame, track, left, top, width, height))):
                raise ValueError
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: expected frame, id, left, top, width, height, and {line!r:.60} came"
            ) from error
        # Pixels count from 1 there, and a box of width 5 reaches from its left pixel over 4 more.
        rows[int(frame)].append((int(track), top + (height - 1) / 2 - 1, left + (width - 1) / 2 - 1))
    return {frame: _points(members) for frame, members in rows.items()}
