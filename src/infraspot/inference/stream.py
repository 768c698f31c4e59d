"""A stream of frames from files, one decoded ahead of the one in work."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infraspot.core.errors import InfraspotError
from infraspot.data import MAX_PAGES, MAX_PIXELS, Frame, read_frames

T = TypeVar("T")


@dataclass(frozen=True)
class NamedFile:
    """An image file, the name of its results, and the name by which they mention it."""

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
        return self.file.name if self.page is None else numbered(self.file.name, self.page)


def numbered(name: str, page: int) -> str:
    """The name of one page's results.

    >>> numbered("film", 7)
    'film-0007'
    """
    return f"{name}-{page:04d}"


def stream_frames(
    files: Iterable[NamedFile], *, max_pixels: int = MAX_PIXELS, max_pages: int = MAX_PAGES
) -> Iterator[StreamedFrame | InfraspotError]:
    """Every page of every file in order, and the error of each file or page that cannot be read.

    A damaged page ends its file; the pages before it are given first. ``max_pixels`` and ``max_pages`` are
    those of :func:`infraspot.data.read_frames`.
    """
    for file in files:
        yield from _pages(file, read_frames(file.path, max_pixels=max_pixels, max_pages=max_pages))


def _pages(file: NamedFile, pages: Iterator[Frame]) -> Iterator[StreamedFrame | InfraspotError]:
    """The pages of one file; the first is held back until it is known whether it is the only one."""
    first: Frame | None = None
    number, error = 0, None
    while True:
        try:
            frame = next(pages, None)
        except InfraspotError as raised:
            frame, error = None, raised
        if frame is None:
            break
        number += 1
        if first is None:
            first = frame
            continue
        if number == 2:
            yield StreamedFrame(file, 1, first)
        yield StreamedFrame(file, number, frame)
    if number == 1 and first is not None:
        yield StreamedFrame(file, None if error is None else 1, first)
    if error is not None:
        yield error


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before it is in use."""
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = thread.submit(next, items, None)
            yield item
