"""Turning image files into arrays of stored values, and whatever is wrong with a file into one sentence."""

from collections.abc import Iterator
from pathlib import Path

from infraspot.core.errors import InputError
from infraspot.data.opening import open_file
from infraspot.data.pillow import pillow_page
from infraspot.data.raster import MAX_PAGES, MAX_PIXELS, Raster, explained
from infraspot.data.tiff import TIFF_MAGIC, check_page_count, tiff_pages


def decode(path: Path, max_pixels: int = MAX_PIXELS) -> Raster:
    """The first page of an image file.

    Raises
    ------
    InputError
        If the file is absent, unreadable, no regular file, damaged, no image, empty or larger than
        ``max_pixels``.
    """
    return next(_pages(path, max_pixels, None))


def decode_pages(path: Path, max_pixels: int = MAX_PIXELS, max_pages: int = MAX_PAGES) -> Iterator[Raster]:
    """Each page of a TIFF in turn; the one image of any other file.

    The number of pages is checked before any is decoded. A damaged page raises when its turn comes, with its
    number in the sentence; the pages before it have been given out by then.

    Raises
    ------
    InputError
        As :func:`decode`; if there are more than ``max_pages`` pages, or their pixels together are more than
        100 times ``max_pixels``; or if a page leads back to an earlier one.
    """
    return _pages(path, max_pixels, max_pages)


def _pages(path: Path, max_pixels: int, max_pages: int | None) -> Iterator[Raster]:
    with open_file(path) as file:
        with explained(str(path)):
            magic = file.read(4)
        if not magic:
            raise InputError(f"{path} is empty (0 bytes); restore it from its source or leave it out")
        if magic in TIFF_MAGIC:
            if max_pages is not None:
                check_page_count(path, file, max_pages)
            yield from tiff_pages(path, file, max_pixels)
        else:
            with explained(str(path)):
                raster = pillow_page(file, 0, str(path), max_pixels)
            yield raster
