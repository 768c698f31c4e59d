"""Detection in an archive by several processes or machines: each takes a share of the frames.

Every process lists the same frames in the same order and takes every N-th, so that shares never meet and need
no one to hand them out. A share goes line by line into a journal, which becomes one Parquet file at its end:
what was killed goes on where it was.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.core.lock import locked
from infraspot.data import Frame, FrameKey, Reading, frame_keys, open_frames
from infraspot.data.images import read_pages
from infraspot.data.listing import RAW_SUFFIXES
from infraspot.inference import Engine
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import NamedFile, one_ahead
from infraspot.jobs.naming import name_results
from infraspot.jobs.places import list_frames
from infraspot.jobs.rows import detected_row, refuse_other_settings, row_id, settings_of, spelt
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.report.parquet import COLUMNS, Row, read_parquet, write_parquet

MOST_SHARDS = 100_000
JOURNAL = "rows.jsonl"
# Files any page of which is read without those before it.
SEEKING_SUFFIXES = frozenset({".tif", ".tiff", ".npy"}) | RAW_SUFFIXES
_PART = re.compile(r"part-\d+-of-(\d+)(\.parquet)?")


@dataclass(frozen=True)
class Shard:
    """Share ``number`` (from 1) of ``count``."""

    number: int
    count: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"part-{self.number}-of-{self.count}"


@dataclass(frozen=True)
class ShardRun:
    """What a shard holds now.

    Attributes
    ----------
    path
        Its Parquet file.
    frames, targets, errors
        Rows, targets in them, and rows of frames that could not be used.
    before
        Rows that were there when the run began.
    """

    path: Path
    frames: int
    targets: int
    errors: int
    before: int


def parse_shard(text: str) -> Shard:
    """Read the number of a shard, such as ``3/16``.

    Raises
    ------
    UsageError
        If it is something else.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MOST_SHARDS:
        raise UsageError(
            f"expected a shard as NUMBER/COUNT, such as 3/16, of at most {MOST_SHARDS}, and {text!r:.40} came"
        )
    return Shard(int(match[1]), int(match[2]))


def detect_shard(
    engine: Engine | TargetEngine,
    threshold: float,
    places: Sequence[str | Path],
    out: Path,
    shard: Shard,
    *,
    weights: Path | None = None,
    recursive: bool = False,
    reading: Reading | None = None,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> ShardRun:
    """Detect in one share of the frames, and write ``OUT/part-K-of-N.parquet``.

    A frame is a file, or a page of it. What an earlier run of this shard did is kept.

    Parameters
    ----------
    engine, threshold
        What :func:`infraspot.jobs.choosing.choose_engine` gives.
    weights
        The file of the engine's weights, by whose bytes a run that goes on knows that they are the same.
    places, recursive, reading, progress, tell
        As in :func:`infraspot.jobs.detect.run_engine`.

    Raises
    ------
    UsageError
        If this shard is in work elsewhere, or ``out`` holds parts of other frames, settings or counts.
    DataError
        If there is no frame, or ``out`` cannot be written to.
    """
    reading = reading or Reading()
    _refuse_other_counts(out, shard)
    found = list_frames(places, recursive, reading, out, tell)
    if found.errors:  # a list that lacks a place would give every shard other frames
        raise found.errors[0]
    files = sorted(name_results(found.files), key=lambda file: file.source)
    frames = [frame for file in files for frame in _frames_of(file, reading)]
    if not frames:
        raise DataError("no frame was found, so nothing was detected")
    listing = hashlib.sha256("\n".join(f"{spelt(file.source)}#{page}" for file, page in frames).encode())
    settings = {
        **settings_of(engine, threshold, weights, reading),
        "shard": f"{shard.number}/{shard.count}",
        "frames": len(frames),
        "listing": listing.hexdigest(),
    }
    part, work = out / f"{shard.name}.parquet", out / shard.name
    with locked(work):
        if part.exists():
            written, rows = read_parquet(part)
            refuse_other_settings(part, written, settings)
            (work / JOURNAL).unlink(missing_ok=True)  # it was killed between the two
            return _sum(part, rows)
        journal = _Journal(work / JOURNAL, settings)
        before = len(journal.done)
        share = frames[shard.number - 1 :: shard.count]
        stream = one_ahead(_read(share, journal.done, reading))
        with journal.path.open("a", encoding="utf-8") as file:
            rows = (detected_row(*listed, engine, threshold) for listed in stream)
            for row in progress(rows, len(share) - before, "detecting"):
                file.write(json.dumps(row, allow_nan=False) + "\n")
                file.flush()
                if row["error"] is not None:
                    tell(InputError(row["error"]))
        write_parquet(part, journal.rows(), settings)
        journal.path.unlink()
        done = _sum(part, read_parquet(part)[1], before)
    with suppress(OSError):  # another process may look into it just now
        work.rmdir()
    return done


Listed = tuple[NamedFile, int | None]
"""A file, and the page of it that is meant; None stands for all that it holds."""


def _frames_of(file: NamedFile, reading: Reading) -> list[Listed]:
    """Every frame of a file; one that cannot be counted is one entry, and gives what can be read of it."""
    try:
        return [(file, key.page) for key in frame_keys(file.path, reading)]
    except InputError:
        return [(file, None)]


def _read(
    share: Sequence[Listed], done: set[str], reading: Reading
) -> Iterator[tuple[NamedFile, int | None, Frame | InputError]]:
    """The frames of a share that are not done, each with its file and page; a file is gone through once."""
    for _, group in groupby(share, key=lambda listed: listed[0].source):
        pages = list(group)
        file = pages[0][0]
        wanted = [page for _, page in pages if page is not None and row_id(file.source, page) not in done]
        if pages[0][1] is None:
            for key, frame in open_frames(file.path, reading):
                if row_id(file.source, key.page) not in done:
                    yield file, key.page, frame
        elif file.path.suffix.lower() in SEEKING_SUFFIXES:
            for page in wanted:
                yield file, page, _read_one(FrameKey(file.path, page), reading)
        elif wanted:
            yield from _picked(file, wanted, reading)


def _picked(
    file: NamedFile, wanted: Sequence[int], reading: Reading
) -> Iterator[tuple[NamedFile, int | None, Frame | InputError]]:
    """Some pages of a file whose pages build on each other; those behind a damaged end have its error."""
    left, last = set(wanted), InputError(f"{file.source} ends before page {max(wanted)}")
    for page, frame in enumerate(read_pages(file.path, reading, min(wanted)), min(wanted)):
        if isinstance(frame, InputError):
            last = frame
        if page in left:
            left.remove(page)
            yield file, page, frame
        if not left:
            return
    for page in sorted(left):
        yield file, page, last


def _read_one(key: FrameKey, reading: Reading) -> Frame | InputError:
    try:
        return key.read(reading)
    except InputError as error:
        return error


class _Journal:
    """The rows that a shard has so far: its settings in the first line, then a row a line.

    Attributes
    ----------
    done
        ``path#page`` of every row.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        if not path.exists() or not self._cut_after_the_last_whole_line():
            path.write_text(json.dumps(settings) + "\n", encoding="utf-8")
        lines = self._lines()
        refuse_other_settings(path, next(lines), settings)
        self.done = {row_id(row["path"], row["page"]) for row in lines}

    def rows(self) -> Iterator[Row]:
        """Every row, in the order of the frames."""
        lines = self._lines()
        next(lines)
        yield from lines

    def _cut_after_the_last_whole_line(self) -> int:
        """A killed process may have left half a line; its frame is done again. The bytes that stay."""
        with self.path.open("rb+") as file:
            whole = 0
            for line in file:
                whole += len(line) if line.endswith(b"\n") else 0
            file.truncate(whole)
        return whole

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    value = json.loads(line)
                    if number > 1 and sorted(value) != sorted(COLUMNS):
                        raise ValueError("other columns than those of a frame")
                    yield value
                except (ValueError, TypeError, RecursionError) as error:
                    raise InputError(
                        f"{self.path}: line {number} is damaged; remove the folder {self.path.parent}, and"
                        " this shard begins anew"
                    ) from error


def _refuse_other_counts(out: Path, shard: Shard) -> None:
    """Parts of another count hold the same frames once more."""
    for entry in sorted(out.iterdir()) if out.is_dir() else ():
        match = _PART.fullmatch(entry.name)
        if match is not None and int(match[1]) != shard.count:
            raise UsageError(
                f"{out} holds {entry.name}, and this is one of {shard.count} shards; give every shard of an"
                " archive the same count, or choose another --out"
            )


def _sum(part: Path, rows: Iterable[Row], before: int | None = None) -> ShardRun:
    """The sums of a part; without ``before``, all of it was there."""
    frames = targets = errors = 0
    for row in rows:
        frames += 1
        targets += len(row["targets"] or ())
        errors += row["error"] is not None
    return ShardRun(part, frames, targets, errors, frames if before is None else before)
