"""What a worker of a cluster does with some files of an archive.

It reads their bytes itself, and writes its rows itself, as one small Parquet file after another: no rows pass
through the driver, and no processor has to be kept free for reading or writing.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from infraspot.core.errors import InputError
from infraspot.data import Frame, Reading, open_frames
from infraspot.data.storage import Storage, open_storage
from infraspot.inference.stream import NamedFile
from infraspot.jobs.choosing import choose_engine
from infraspot.jobs.rows import detected_row, row_id
from infraspot.report.parquet import Row, parquet_bytes

ROWS_OF_A_PART = 256
FINISHED = "finished"


@dataclass(frozen=True)
class Weights:
    """The weight file of the engine, as it travels to other machines; packaged models are there already."""

    name: str
    content: bytes

    @classmethod
    def of(cls, path: Path) -> "Weights":
        """A file, with the folder that a run is named by."""
        return cls(f"{path.resolve().parent.name or 'weights'}/{path.name}", path.read_bytes())

    def unpacked(self) -> str:
        """Its path on this machine."""
        place = Path(mkdtemp(prefix="infraspot-")) / self.name
        place.parent.mkdir()
        place.write_bytes(self.content)
        return str(place)


@dataclass(frozen=True)
class Plan:
    """What every worker is told.

    Attributes
    ----------
    source, out
        Places of :func:`infraspot.data.storage.open_storage`.
    engine
        Options of :func:`infraspot.jobs.choosing.choose_engine`, without the weights.
    threshold
        Of the driver's engine.
    reading
        How files are read.
    settings
        What every part of the results says that it came from.
    """

    source: str
    out: str
    engine: dict[str, Any]
    threshold: float
    reading: Reading
    settings: dict[str, Any]


@dataclass
class ArchiveRun:
    """What stands in the results now.

    Attributes
    ----------
    frames, targets, errors
        Rows, targets in them, and rows of frames that could not be used.
    before
        Rows that were there when the run began.
    """

    frames: int = 0
    targets: int = 0
    errors: int = 0
    before: int = 0

    def add(self, row: Row) -> None:
        """Count a row."""
        self.frames += 1
        self.targets += len(row["targets"] or ())
        self.errors += row["error"] is not None

    def plus(self, other: "ArchiveRun") -> None:
        """Count the rows that another one counted."""
        self.frames += other.frames
        self.targets += other.targets
        self.errors += other.errors


class Worker:
    """One processor of the cluster, with an engine of its own."""

    def __init__(self, plan: Plan, weights: Weights | None) -> None:
        options = plan.engine if weights is None else {**plan.engine, "model": weights.unpacked()}
        self.engine, _ = choose_engine(**options, threads=1)
        self.plan = plan
        self.source, self.out = open_storage(plan.source), open_storage(plan.out)

    def ready(self) -> bool:
        """That the engine is open."""
        return True

    def work(self, paths: Sequence[str], done: Collection[str] = ()) -> ArchiveRun:
        """Detect in some files, but for rows that are done, and write what was found."""
        counted, rows, finished = ArchiveRun(), list[Row](), list[str]()
        for path in paths:
            for row in self._rows_of(path, done):
                counted.add(row)
                rows.append(row)
                if len(rows) >= ROWS_OF_A_PART:
                    write_part(self.out, rows, finished, self.plan.settings)
                    rows, finished = [], []
            finished.append(path)
        if rows or finished:
            write_part(self.out, rows, finished, self.plan.settings)
        return counted

    def _rows_of(self, path: str, done: Collection[str]) -> Iterator[Row]:
        file = NamedFile(Path(path), path, path)
        for page, frame in self._frames_of(path):
            if row_id(path, page) not in done:
                yield detected_row(file, page, frame, self.engine, self.plan.threshold)

    def _frames_of(self, path: str) -> Iterator[tuple[int | None, Frame | InputError]]:
        try:
            content = self.source.read(path)
        except InputError as error:
            yield None, error
            return
        for key, frame in open_frames(Path(path), self.plan.reading, content):
            yield key.page, frame


def write_part(out: Storage, rows: Sequence[Row], finished: Sequence[str], settings: dict[str, Any]) -> None:
    """Write a part of the results, named by the frames that it holds, so that it is never there twice."""
    held = "\n".join([*(row_id(row["path"], row["page"]) for row in rows), *finished])
    name = f"part-{hashlib.sha256(held.encode()).hexdigest()[:16]}.parquet"
    out.write(name, parquet_bytes(name, rows, {**settings, FINISHED: list(finished)}))
