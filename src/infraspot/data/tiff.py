"""The pages of a TIFF, each decoded by itself."""

import logging
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from infraspot.core.errors import InputError
from infraspot.data.opening import size_of
from infraspot.data.pillow import pillow_page
from infraspot.data.raster import Raster, attempted, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

_CODECS = frozenset({"NONE", "DEFLATE", "ADOBE_DEFLATE", "PACKBITS", "LZMA"})
_INFLATERS: Mapping[str, Callable[[], Any]] = {
    "DEFLATE": zlib.decompressobj,
    "ADOBE_DEFLATE": zlib.decompressobj,
    "LZMA": lzma.LZMADecompressor,
}
# Colours that only Pillow turns into red, green and blue.
_COLOURS = frozenset({"PALETTE", "YCBCR", "SEPARATED", "CIELAB", "ICCLAB", "ITULAB"})
_MOST_TAGS = 4096

# tifffile reports damage through logging, and Python prints records that nobody handles.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class _Kind(NamedTuple):
    """How counts of tags and offsets are stored, the bytes of a tag, and the place of the first offset."""

    tags: str
    offset: str
    tag_bytes: int
    first: int


_KINDS = {
    b"II*\0": _Kind("<H", "<I", 12, 4),
    b"MM\0*": _Kind(">H", ">I", 12, 4),
    b"II+\0": _Kind("<Q", "<Q", 20, 8),
    b"MM\0+": _Kind(">Q", ">Q", 20, 8),
}
TIFF_MAGIC = frozenset(_KINDS)


def count_tiff(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many pages a TIFF has; a break in their chain counts as one, and reading it says what is wrong."""
    if _count_directories(path, file, reading.max_pages) == 1:
        return 1
    pages = 0
    try:
        for _ in _whole_pages(path, file):
            pages += 1
    except InputError:
        return pages + 1
    return pages


def tiff_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """Every page from number ``first`` on, without thumbnails and the smaller copies of a pyramid.

    A page that cannot be decoded gives its error, and the next one follows.

    Raises
    ------
    InputError
        If there are too many pages, or their pixels together are too many; or where the chain of pages is
        broken or leads back to an earlier page.
    """
    if reading.max_pages is not None:
        _count_directories(path, file, reading.max_pages)
    pixels = 0
    for number, (index, page) in enumerate(_whole_pages(path, file), 1):
        where = page_name(path, number)
        if not isinstance(page, InputError):
            pixels += page.imagewidth * page.imagelength
            check_pages(where, number, None, pixels, reading.max_pixels)
        if number < first:
            continue
        if isinstance(page, InputError):
            yield page
        else:
            yield attempted(where, partial(_page, file, index, page, where, reading.max_pixels))


def _whole_pages(path: Path, file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Each page that is no reduced copy, or why its directory cannot be read, with its place in the chain."""
    from tifffile import TiffFile, TiffPage  # slow to import, and few data sets need it

    with explained(str(path)):
        file.seek(0)  # tifffile begins where the file stands
        tiff = TiffFile(file)
    offsets, number = _directories(file), 1
    for index in count():
        with explained(page_name(path, number)):
            offset = next(offsets, None)
        if offset is None:
            break
        try:
            with explained(page_name(path, number)):
                tiff.filehandle.seek(offset)
                page: Any = TiffPage(tiff, index)
                if page.is_reduced:
                    continue
                if not isinstance(page.imagewidth * page.imagelength, int):
                    raise ValueError("it has several widths or heights")
        except InputError as error:
            page = error
        yield index, page
        number += 1
    if number == 1:
        raise InputError(f"{path} holds no page; it is damaged: restore it from its source or leave it out")


def _count_directories(path: Path, file: BinaryIO, max_pages: int | None) -> int:
    """How many directories can be reached; too many are refused before any page is decoded."""
    number = 0
    try:
        for number, _ in enumerate(_directories(file), 1):
            check_pages(str(path), number, max_pages)
    except ValueError:
        return number + 1  # the page at fault says so when its turn comes
    return number


def _directories(file: BinaryIO) -> Iterator[int]:
    """Where each page's directory lies; a ValueError where the chain of them is broken or closes a circle."""
    file.seek(0)
    kind = _KINDS[file.read(4)]
    seen: dict[int, int] = {}
    place = kind.first
    while offset := _number(file, place, kind.offset):
        if offset in seen:
            raise ValueError(f"its directory is that of page {seen[offset]} again")
        seen[offset] = len(seen) + 1
        tags = _number(file, offset, kind.tags)
        if not 0 < tags <= _MOST_TAGS:
            raise ValueError(f"its directory has {tags} tags")
        yield offset
        place = offset + struct.calcsize(kind.tags) + tags * kind.tag_bytes


def _number(file: BinaryIO, place: int, form: str) -> int:
    size = size_of(file)
    file.seek(min(place, size))  # an offset may be larger than the system takes
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError("the file ends before its directory")
    return int(struct.unpack(form, data)[0])


def _check_page(page: Any, where: str, max_pixels: int) -> None:
    check_size(where, (page.imagewidth, page.imagelength), max_pixels)
    if page.is_tiled:
        check_size(f"a tile of {where}", (page.tilewidth, page.tilelength), max_pixels)
    if page.size > 4 * max_pixels or page.imagedepth != 1:
        raise InputError(f"{where} has the shape {page.shape}; expected a grey or RGB plane")


def _page(file: BinaryIO, index: int, page: Any, where: str, max_pixels: int) -> Raster:
    """One page by tifffile, or by Pillow for the compressions and palettes that tifffile leaves to others."""
    _check_page(page, where, max_pixels)
    known = page.compression.name in _CODECS and page.bitspersample in (1, 8, 16, 32, 64)
    if not known or page.photometric.name in _COLOURS:
        return pillow_page(file, index, where, max_pixels)
    _check_segments(file, page)
    values = page.asarray()
    if values.ndim == 3 and page.axes.startswith("S"):
        values = np.moveaxis(values, 0, 2)
    if values.shape[:2] != (page.imagelength, page.imagewidth) or values.ndim > 3:
        raise ValueError(f"its pixels have the shape {values.shape}")
    bits = page.bitspersample
    full_scale = 2**bits - 1 if values.dtype.kind in "bu" and bits <= 16 else None
    if page.photometric.name == "MINISWHITE":
        values = ~values if full_scale == 1 else (full_scale or values.max()) - values
    return Raster(values, bits, full_scale)


def _check_segments(file: BinaryIO, page: Any) -> None:
    """Refuse a page whose strips or tiles are not all there, which tifffile takes as black, or inflate beyond
    their size.
    """
    rows, columns = page.tilelength or page.rowsperstrip, page.tilewidth or page.imagewidth
    rows = rows if page.tilelength else min(rows, page.imagelength)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    down, across = -(-page.imagelength // rows), -(-page.imagewidth // columns)
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(places) < down * across * planes or not all(offset and size for offset, size in places):
        raise ValueError(f"{down * across * planes} strips or tiles are due, and not all of them are there")
    if (inflater := _INFLATERS.get(page.compression.name)) is None:
        return
    row_bytes = -(-columns * page.samplesperpixel // planes * page.bitspersample // 8)
    for number, (offset, size) in enumerate(places):
        last = not page.tilelength and number % down == down - 1
        least = row_bytes * (page.imagelength - (down - 1) * rows if last else rows)
        file.seek(offset)
        found = len(inflater().decompress(file.read(size), row_bytes * rows + 1))
        if not least <= found <= row_bytes * rows:
            raise ValueError(f"strip or tile {number + 1} inflates to {found} bytes, and {least} are due")
