"""The files of one tracked sequence: tables that grow, a state to go on from, and what is made at the end."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError
from infraspot.core.files import replacing, write_json
from infraspot.tracking.tracker import MOTIONS, STATES

COLUMNS = {
    "tracks.csv": ("frame", "id", "x", "y", "vx", "vy", "score", "state", "motion", "known"),
    "detections.csv": ("frame", "x", "y", "score", "chance"),
    "frames.csv": ("frame", "name", "use", "dx", "dy", "error", "registered", "detections"),
}
STATE = ".track-state.npz"
SUMMARY = "tracks.json"
MOT = "mot.txt"
_MOT_SIDE = 5


class Tables:
    """The growing tables of a sequence, and its checkpoint.

    A checkpoint holds the state of the work and the length of each table; what a killed run wrote after it is
    cut off when the work goes on, so that no row is lost and none comes twice.

    Parameters
    ----------
    folder
        Of the sequence.
    options
        What the run was started with; a checkpoint of other options is refused.

    Raises
    ------
    DataError
        If the folder holds a stopped run of other options, its checkpoint is damaged, or the folder cannot be
        written to.
    """

    def __init__(self, folder: Path, options: dict[str, Any], *, restart: bool = False) -> None:
        self.folder = folder
        self._options = json.dumps(options, sort_keys=True)
        place = folder / STATE
        if restart:
            place.unlink(missing_ok=True)
        self.state = self._read(place) if place.exists() else None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SUMMARY).unlink(missing_ok=True)
        self._files: dict[str, IO[str]] = {}
        for name, columns in COLUMNS.items():
            self._files[name] = self._open(name, columns)

    def _open(self, name: str, columns: tuple[str, ...]) -> IO[str]:
        path = self.folder / name
        if self.state is None:
            file = path.open("w", encoding="utf-8", newline="")
            csv.writer(file, lineterminator="\n").writerow(columns)
            return file
        length = int(self.state[f"length:{name}"])
        if not path.is_file() or path.stat().st_size < length:
            raise DataError(f"{path} is shorter than the run that stopped left it; start over with --restart")
        os.truncate(path, length)
        return path.open("a", encoding="utf-8", newline="")

    def _read(self, place: Path) -> dict[str, NDArray[Any]]:
        try:
            with np.load(place, allow_pickle=False) as stored:
                state = {name: stored[name] for name in stored.files}
            options = str(state["options"])
            lengths = [int(state[f"length:{name}"]) for name in COLUMNS]
            damaged = int(state["frame"]) < 0 or min(lengths) < 0
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise DataError(f"{place} is damaged ({error}); start over with --restart") from error
        if damaged:
            raise DataError(f"{place} is damaged; start over with --restart")
        if options != self._options:
            raise DataError(
                f"{self.folder} holds a stopped run with other options or another source; give the same ones"
                " to go on, add --restart to start over, or choose another folder"
            )
        return state

    def add(self, name: str, rows: Iterable[Iterable[object]]) -> None:
        """Append rows to a table."""
        csv.writer(self._files[name], lineterminator="\n").writerows(rows)

    def checkpoint(self, frame: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Bring the tables to the disk, and then the state after ``frame``."""
        lengths = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            lengths[f"length:{name}"] = np.array(file.tell())
        with replacing(self.folder / STATE) as temporary, temporary.open("wb") as stream:
            about = {"frame": np.array(frame), "options": np.array(self._options)}
            cast("Any", np.savez)(stream, **about, **lengths, **arrays)

    def close(self) -> None:
        """Close the tables."""
        for file in self._files.values():
            file.close()

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Write the MOT text and the summary, and remove the checkpoint; returns the summary."""
        self.close()
        self._write_mot()
        summary = {**about, "tracks": summarise(self.folder / "tracks.csv")}
        write_json(self.folder / SUMMARY, summary)
        (self.folder / STATE).unlink(missing_ok=True)
        return summary

    def _write_mot(self) -> None:
        half = _MOT_SIDE // 2
        with replacing(self.folder / MOT) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for row in read_table(self.folder / "tracks.csv"):
                # The pixels of MOT are counted from 1.
                left, top = float(row["x"]) + 1 - half, float(row["y"]) + 1 - half
                stream.write(
                    f"{row['frame']},{row['id']},{left:.2f},{top:.2f},{_MOT_SIDE},{_MOT_SIDE},"
                    f"{row['score']},-1,-1,-1\n"
                )


def track_rows(rows: NDArray[Any]) -> Iterator[tuple[object, ...]]:
    """The lines of ``tracks.csv`` for rows of the tracker."""
    for row in rows:
        numbers = (f"{row[name]:.2f}" for name in ("x", "y", "vx", "vy"))
        words = (STATES[row["state"]], MOTIONS[row["motion"]], int(row["known"]))
        yield (int(row["frame"]), int(row["id"]), *numbers, f"{row['score']:.5f}", *words)


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """The lines of a table that :class:`Tables` wrote, one at a time.

    Raises
    ------
    DataError
        If it cannot be read, has other columns, or a line with missing values.
    """
    columns = COLUMNS[path.name]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = csv.DictReader(stream)
            if not set(columns) <= set(lines.fieldnames or ()):
                raise DataError(f"{path} has other columns than {', '.join(columns)}; write it anew")
            for row in lines:
                if None in row or None in row.values():
                    raise DataError(
                        f"{path}, line {lines.line_num}: expected {len(columns)} values; write it anew"
                    )
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def summarise(path: Path) -> list[dict[str, Any]]:
    """One entry a track of ``tracks.csv``: id, first and last frame, when it was known, and how it moved."""
    tracks: dict[int, dict[str, Any]] = {}
    for row in read_table(path):
        number, frame = int(row["id"]), int(row["frame"])
        entry = tracks.setdefault(
            number,
            {
                "id": number,
                "first": frame,
                "last": frame,
                "known": int(row["known"]),
                "rows": 0,
                "hits": 0,
                "score": 0.0,
                "motion": {},
            },
        )
        entry["last"] = frame
        entry["rows"] += 1
        if row["state"] != "coasting":
            entry["hits"] += 1
            entry["score"] += float(row["score"])
        entry["motion"][row["motion"]] = entry["motion"].get(row["motion"], 0) + 1
    for entry in tracks.values():
        entry["score"] = round(entry["score"] / max(entry["hits"], 1), 5)
        entry["motion"] = max(entry["motion"], key=entry["motion"].__getitem__)
    return [tracks[number] for number in sorted(tracks)]
