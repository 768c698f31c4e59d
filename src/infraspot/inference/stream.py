"""A stream of frames from files, one decoded ahead of the one in work."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infraspot.core.errors import InfraspotError
from infraspot.data import Frame, Reading, numbered, open_frames

T = TypeVar("T")


@dataclass(frozen=True)
class NamedFile:
    """A file of frames, the name of its results, and the name by which they mention it."""

    path: Path
    name: str
    source: str


@dataclass(frozen=True, eq=False)
class StreamedFrame:
    """One frame: the ``file`` that it came from, its ``page`` (None if it is the only one), its ``name``."""

    file: NamedFile
    page: int | None
    frame: Frame

    @property
    def name(self) -> str:
        """Of the frame's results: that of the file, with the number of the page where there are several."""
        return numbered(self.file.name, self.page)


def stream_frames(
    files: Iterable[NamedFile], reading: Reading | None = None
) -> Iterator[StreamedFrame | InfraspotError]:
    """Every frame of every file in order, and the error of each file or page that cannot be read."""
    for file in files:
        for key, frame in open_frames(file.path, reading or Reading()):
            yield frame if isinstance(frame, InfraspotError) else StreamedFrame(file, key.page, frame)


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before it is in use."""
    thread = ThreadPoolExecutor(1)
    try:
        ahead = thread.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = thread.submit(next, items, None)
            yield item
    finally:
        # No waiting: this may be done by the thread itself, which cannot wait for its own end.
        thread.shutdown(wait=False, cancel_futures=True)
