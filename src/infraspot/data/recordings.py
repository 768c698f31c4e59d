"""Frames and their identity: the file, and the number of the page where a file holds several."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infraspot.core.errors import InputError
from infraspot.data.decoding import count_pages
from infraspot.data.images import Frame, read_image, read_pages
from infraspot.data.listing import PAGED_SUFFIXES
from infraspot.data.reading import DEFAULT, Reading


class FrameKey(NamedTuple):
    """What tells a frame from all others: its file, and its page (None where it is the only one)."""

    path: Path
    page: int | None = None

    def __str__(self) -> str:
        return f"{self.path}" if self.page is None else f"{self.path}#{self.page}"

    def read(self, reading: Reading = DEFAULT) -> Frame:
        """The frame itself (see :func:`infraspot.data.read_image` for errors)."""
        return read_image(self.path, self.page, reading=reading)

    @property
    def stem(self) -> str:
        """The name of the frame's results: that of the file without suffix, and the number of the page."""
        return numbered(self.path.stem, self.page)


def numbered(name: str, page: int | None) -> str:
    """The name of one page's results.

    >>> numbered("film", 7), numbered("still", None)
    ('film-0007', 'still')
    """
    return name if page is None else f"{name}-{page:04d}"


def frame_keys(path: Path | str, reading: Reading = DEFAULT) -> list[FrameKey]:
    """Every frame of a file, by its headers; nothing is decoded where the kind of file allows it.

    Raises
    ------
    InputError
        If the file cannot be read or has too many pages.
    """
    path = Path(path)
    pages = count_pages(path, reading)
    return [FrameKey(path)] if pages == 1 else [FrameKey(path, page) for page in range(1, pages + 1)]


def expected_frames(path: Path, reading: Reading = DEFAULT) -> int:
    """How many frames a file seems to have, for a progress bar; single images are not opened."""
    if path.suffix.lower() not in PAGED_SUFFIXES:
        return 1
    try:
        return count_pages(path, reading)
    except InputError:
        return 1


def open_frames(
    path: Path | str, reading: Reading = DEFAULT, content: bytes | None = None
) -> Iterator[tuple[FrameKey, Frame | InputError]]:
    """Every frame of a file with its identity, one at a time; or why it cannot be read, in its place.

    The first frame is held back until it is known whether another one follows. With ``content``, the bytes of
    the file, ``path`` is a name that nobody opens.
    """
    path = Path(path)
    pages = read_pages(path, reading, content=content)
    first, second = next(pages, None), next(pages, None)
    if first is None:
        return
    if second is None:
        yield FrameKey(path), first
        return
    yield FrameKey(path, 1), first
    yield FrameKey(path, 2), second
    for number, frame in enumerate(pages, 3):
        yield FrameKey(path, number), frame
