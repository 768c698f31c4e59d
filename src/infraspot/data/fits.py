"""FITS images: a text header in blocks of 2880 bytes, then big-endian numbers (FITS standard 4.0)."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from infraspot.core.errors import InputError
from infraspot.data.arrays import Layout
from infraspot.data.opening import size_of
from infraspot.data.raster import Raster, attempted, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

FITS_MAGIC = b"SIMPLE  ="
_BLOCK, _CARD = 2880, 80
_MOST_BLOCKS, _MOST_UNITS = 2000, 1000
_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

Header = dict[str, str]


def fits_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """The planes of the first image of a file, in the order in which they are stored.

    The first row is the first one stored, as astropy gives it, though viewers draw it at the bottom. Values
    are ``BZERO + BSCALE * stored``; unsigned 16 bits are known by their BZERO of 32768.
    """
    layout, zero, scale = _layout(path, file, reading)
    whole = (layout.dtype.kind, layout.dtype.itemsize, zero, scale) == ("i", 2, 32768.0, 1.0)

    def raster(data: bytes, where: str) -> Raster:
        stored = layout.raster(data, where).values
        if whole:
            return Raster((stored.astype(np.int32) + 32768).astype(np.uint16), 16, 65535)
        if (zero, scale) == (0.0, 1.0):
            return Raster(stored, layout.bits, layout.full_scale)
        return Raster(stored * scale + zero, layout.bits, None)

    for number in range(first, layout.count + 1):
        where = page_name(path, number)
        with explained(where):
            file.seek(layout.start + (number - 1) * layout.page_bytes)
            data = file.read(layout.page_bytes)
        if len(data) < layout.page_bytes:
            raise InputError(f"{path} ends in plane {number} of {layout.count}: it was cut off")
        yield attempted(where, lambda data=data, where=where: raster(data, where))  # type: ignore[misc]


def count_fits(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many planes the first image of a file has, by its header."""
    return _layout(path, file, reading)[0].count


def _layout(path: Path, file: BinaryIO, reading: Reading) -> tuple[Layout, float, float]:
    """Where the planes of the first image lie, and their BZERO and BSCALE."""
    file.seek(0)
    size = size_of(file)
    for _ in range(_MOST_UNITS):
        header = _header(path, file)
        axes = [_whole(path, header, f"NAXIS{k + 1}") for k in range(_whole(path, header, "NAXIS"))]
        start, bits = file.tell(), _whole(path, header, "BITPIX")
        if bits not in _TYPES:
            raise InputError(f"{path} has BITPIX {bits}; expected {', '.join(map(str, _TYPES))}")
        kind = header.get("XTENSION", "IMAGE").strip("' ")
        if kind == "BINTABLE" and header.get("ZIMAGE") == "T":
            raise InputError(f"{path} holds a compressed image; unpack it with funpack")
        if kind == "IMAGE" and len(axes) > 1 and all(axes):
            count = math.prod(axes[2:])
            check_size(str(path), (axes[0], axes[1]), reading.max_pixels)
            check_pages(str(path), count, reading.max_pages)
            dtype = np.dtype(_TYPES[bits])
            full = 255 if bits == 8 else None
            layout = Layout(count, (axes[1], axes[0]), dtype, start, abs(bits), full)
            if size - start < layout.page_bytes:
                raise InputError(
                    f"{path} has {size - start} bytes of pixels, and a plane needs {layout.page_bytes}"
                )
            return layout, _real(path, header, "BZERO", 0.0), _real(path, header, "BSCALE", 1.0)
        groups, heap = _whole(path, header, "GCOUNT", 1), _whole(path, header, "PCOUNT", 0)
        data = abs(bits) // 8 * groups * (heap + (math.prod(axes) if axes else 0))
        after = start + -(-data // _BLOCK) * _BLOCK
        if not start <= after < size:
            break
        file.seek(after)
    raise InputError(f"{path} holds no image of two axes or more; give its image as a file of its own")


def _header(path: Path, file: BinaryIO) -> Header:
    """The cards up to END; the file then stands at the data."""
    cards: Header = {}
    for _ in range(_MOST_BLOCKS):
        with explained(str(path)):
            block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise InputError(f"{path} ends in its header; it was cut off: restore it from its source")
        for at in range(0, _BLOCK, _CARD):
            card = block[at : at + _CARD].decode("ascii", "replace")
            name = card[:8].rstrip()
            if name == "END":
                return cards
            if card[8:10] == "= ":
                cards.setdefault(name, card[10:].partition("/")[0].strip())
    raise InputError(f"{path} has a header of more than {_MOST_BLOCKS} blocks without an end")


def _whole(path: Path, header: Header, name: str, otherwise: int | None = None) -> int:
    text = header.get(name)
    if text is None and otherwise is not None:
        return otherwise
    try:
        value = int(text or "")
    except ValueError:
        value = -(2**62)
    if not (-64 <= value < 2**40 and (value >= 0 or name == "BITPIX")) or (name == "NAXIS" and value > 999):
        raise InputError(f"{path}: expected a whole number for {name}, and {text!r:.40} came; write it anew")
    return value


def _real(path: Path, header: Header, name: str, otherwise: float) -> float:
    text = header.get(name)
    try:
        value = otherwise if text is None else float(text.replace("D", "E"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: expected a number for {name}, and {text!r:.40} came; write it anew")
    return value
