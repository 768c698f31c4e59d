"""The pages of a TIFF, each decoded by itself."""

import logging
import lzma
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from infraspot.core.errors import InputError
from infraspot.data.pillow import pillow_page
from infraspot.data.raster import RAISE_PAGES, RAISE_PIXELS, Raster, check_size, explained

_CODECS = frozenset({"NONE", "DEFLATE", "ADOBE_DEFLATE", "PACKBITS", "LZMA"})
_INFLATERS: Mapping[str, Callable[[], Any]] = {
    "DEFLATE": zlib.decompressobj,
    "ADOBE_DEFLATE": zlib.decompressobj,
    "LZMA": lzma.LZMADecompressor,
}
_MOST_TAGS = 4096
_ALL_PAGES = 100  # the pixels of all pages together, in units of the largest page

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


def check_page_count(path: Path, file: BinaryIO, max_pages: int) -> None:
    """Refuse a file of more than ``max_pages`` pages before any is decoded."""
    try:
        for number, _ in enumerate(_directories(file), 1):
            if number > max_pages:
                raise InputError(
                    f"{path} holds more than {max_pages} pages; divide it, or raise the limit ({RAISE_PAGES})"
                )
    except ValueError:
        return  # the page at fault says so when its turn comes


def tiff_pages(path: Path, file: BinaryIO, max_pixels: int) -> Iterator[Raster]:
    """Every page in turn, without thumbnails and the smaller copies of a pyramid.

    Raises
    ------
    InputError
        When a page cannot be decoded or is too large, leads back to an earlier one, or when all pages
        together have too many pixels.
    """
    from tifffile import TiffFile, TiffPage  # slow to import, and few data sets need it

    with explained(str(path)):
        file.seek(0)  # tifffile begins where the file stands
        tiff = TiffFile(file)
    offsets, number, pixels = _directories(file), 1, 0
    for index in count():
        where = str(path) if number == 1 else f"{path} page {number}"
        with explained(where):
            offset = next(offsets, None)
            if offset is None:
                break
            tiff.filehandle.seek(offset)
            page = TiffPage(tiff, index)
            if page.is_reduced:
                continue
            pixels += page.imagewidth * page.imagelength
            _check_page(page, where, max_pixels, pixels)
            raster = _page(file, index, page, where, max_pixels)
        yield raster
        number += 1
    if number == 1:
        raise InputError(f"{path} holds no page; it is damaged: restore it from its source or leave it out")


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
    size = os.fstat(file.fileno()).st_size
    file.seek(min(place, size))  # an offset may be larger than the system takes
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError("the file ends before its directory")
    return int(struct.unpack(form, data)[0])


def _check_page(page: Any, where: str, max_pixels: int, pixels: int) -> None:
    check_size(where, (page.imagewidth, page.imagelength), max_pixels)
    if page.is_tiled:
        check_size(f"a tile of {where}", (page.tilewidth, page.tilelength), max_pixels)
    if page.size > 4 * max_pixels or page.imagedepth != 1:
        raise InputError(f"{where} has the shape {page.shape}; expected a grey or RGB plane")
    if pixels > _ALL_PAGES * max_pixels:
        raise InputError(
            f"{where}: the pages up to here have {pixels / 1e6:.0f} million pixels, and the limit is "
            f"{_ALL_PAGES} times {max_pixels / 1e6:g} million; divide the file, or raise the limit "
            f"({RAISE_PIXELS})"
        )


def _page(file: BinaryIO, index: int, page: Any, where: str, max_pixels: int) -> Raster:
    """One page by tifffile, or by Pillow for the compressions and palettes that tifffile leaves to others."""
    known = page.compression.name in _CODECS and page.bitspersample in (1, 8, 16, 32, 64)
    if not known or page.photometric.name in ("PALETTE", "YCBCR", "CIELAB"):
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
