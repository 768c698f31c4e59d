"""What an image file stores before it becomes a frame, and how much of it is accepted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError

MAX_PIXELS = 100_000_000
"""Largest image that is decoded, in pixels; the pages of one file together may hold 100 times as many."""

MAX_PAGES = 10_000
"""Most pages that one file may hold."""

ALL_PAGES = 100
"""The pixels of all pages of one compressed file together, in units of the largest image."""

RAISE_PIXELS = "--max-pixels, or max_pixels in Python"
RAISE_PAGES = "--max-pages of 'infraspot detect', max_pages in Python"


@dataclass(frozen=True, eq=False)
class Raster:
    """What a file stores: values (H, W) or (H, W, C) and how to read them.

    Attributes
    ----------
    values
        Stored values, or palette indices.
    bits
        Bits per pixel and channel of the file.
    full_scale
        The value that stands for 1; None for signed, 32-bit and floating-point values, which have none.
    palette
        (K, 3) uint8 colours that the values index.
    """

    values: NDArray[Any]
    bits: int
    full_scale: int | None
    palette: NDArray[np.uint8] | None = None


def check_size(where: str, size: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image, named by ``where``, without pixels or with more than ``max_pixels``."""
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"{where} has no pixels ({width}x{height}); leave it out")
    if width * height > max_pixels:
        raise InputError(
            f"{where} is {width}x{height}, {width * height / 1e6:.0f} million pixels, and the limit is "
            f"{max_pixels / 1e6:.0f} million; cut it into pieces, or raise the limit ({RAISE_PIXELS})"
        )


def check_pages(
    where: str, pages: int, max_pages: int | None, pixels: float = 0, max_pixels: int = MAX_PIXELS
) -> None:
    """Refuse a file of more than ``max_pages`` pages, or whose pages together have too many ``pixels``."""
    if max_pages is not None and pages > max_pages:
        raise InputError(
            f"{where} holds more than {max_pages} pages; divide it, or raise the limit ({RAISE_PAGES})"
        )
    if pixels > ALL_PAGES * max_pixels:
        raise InputError(
            f"{where}: its pages have {pixels / 1e6:.0f} million pixels and more, and the limit is "
            f"{ALL_PAGES} times {max_pixels / 1e6:g} million; divide the file, or raise the limit "
            f"({RAISE_PIXELS})"
        )


def page_name(path: object, number: int) -> str:
    """How errors name a page: the first is the file itself."""
    return str(path) if number == 1 else f"{path} page {number}"


def attempted(where: str, make: Callable[[], Raster]) -> Raster | InputError:
    """What ``make`` gives, or the error that says why it does not (see :func:`explained`)."""
    try:
        with explained(where):
            return make()
    except InputError as error:
        return error


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError that names the image."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{where} does not fit into the memory; cut it into pieces") from error
    # Decoders answer damaged bytes with almost any exception: struct.error, IndexError, zlib.error, ...
    except Exception as error:
        # Some put a number and a name around their sentence.
        said = getattr(error, "strerror", None) or str(error)
        detail = said.partition("\n")[0].rstrip(".") or type(error).__name__
        raise InputError(
            f"{where} cannot be decoded ({detail}); it is damaged: restore it from its source or leave it out"
        ) from error
