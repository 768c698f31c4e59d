"""A stream of frames from files, one decoded ahead of the one in work."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infraspot.core.errors import InfraspotError, InputError
from infraspot.data import Frame, read_frames

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class StreamedFrame:
    """One frame: ``stem`` names its results, and ``file`` is where it came from."""

    stem: str
    file: Path
    frame: Frame


def stream_frames(files: Sequence[Path]) -> Iterator[StreamedFrame | InfraspotError]:
    """Every page of every file in order, or the error of a file that cannot be read.

    Pages of one file get the stems ``NAME-0001``, ``NAME-0002`` and so on. A second file with the same stem
    is an error, because its results would overwrite those of the first.
    """
    owners: dict[str, Path] = {}
    for file in files:
        owner = owners.setdefault(file.stem, file)
        if owner != file:
            yield InputError(
                f"{file}: its results would overwrite those of {owner}; give it a run and an --out of its own"
            )
            continue
        try:
            yield from _pages(file)
        except InfraspotError as error:
            yield error


def _pages(file: Path) -> Iterator[StreamedFrame]:
    pages = read_frames(file)
    first, second = next(pages), next(pages, None)
    if second is None:
        yield StreamedFrame(file.stem, file, first)
        return
    yield StreamedFrame(f"{file.stem}-0001", file, first)
    yield StreamedFrame(f"{file.stem}-0002", file, second)
    for number, frame in enumerate(pages, 3):
        yield StreamedFrame(f"{file.stem}-{number:04d}", file, frame)


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before it is in use."""
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(next, items, None)
        while (item := ahead.result()) is not None:
            ahead = thread.submit(next, items, None)
            yield item
