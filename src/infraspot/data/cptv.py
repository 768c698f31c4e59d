"""CPTV: thermal video of wild-life cameras, a gzip file of sections with fields.

A frame is stored against the one before it: their difference in the order of a snake (every second row from
the right), each number against the one before, in as few bits as the largest needs (Cacophony Project,
version 2).
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data.raster import Raster, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

GZIP_MAGIC = b"\x1f\x8b"
_MAGIC, _VERSIONS = b"CPTV", (1, 2)
_WIDEST = 24  # bits of a packed difference

Fields = dict[bytes, bytes]


def cptv_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """Every frame as 16-bit counts; the background frame that some cameras put first is a frame too."""
    file.seek(0)
    number = 0
    with explained(str(path)), gzip.GzipFile(fileobj=file, mode="rb") as stream:
        width, height = _size(path, stream, reading)
        snake = _snake(height, width)
        counts = np.zeros(width * height, np.int64)
        while (section := _section(path, stream)) is not None:
            kind, fields = section
            if kind != b"F":
                raise InputError(f"{path} holds a section {kind!r}, which no CPTV file has; it is damaged")
            number += 1
            where = page_name(path, number)
            check_pages(str(path), number, reading.max_pages, number * counts.size, reading.max_pixels)
            counts += np.cumsum(_differences(where, stream, fields, counts.size))
            if number >= first:
                yield _raster(counts, snake, where)
    if not number:
        raise InputError(f"{path} holds no frame; restore it from its source or leave it out")


def count_cptv(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many frames a file has; the frames are unpacked, and not decoded."""
    file.seek(0)
    number = 0
    with explained(str(path)), gzip.GzipFile(fileobj=file, mode="rb") as stream:
        width, height = _size(path, stream, reading)
        while (section := _section(path, stream)) is not None:
            number += 1
            check_pages(str(path), number, reading.max_pages, number * width * height, reading.max_pixels)
            _packed(page_name(path, number), stream, section[1], width * height)
    return number


def _size(path: Path, stream: BinaryIO | gzip.GzipFile, reading: Reading) -> tuple[int, int]:
    """Width and height, from the header."""
    start = stream.read(5)
    if start[:4] != _MAGIC or len(start) < 5 or start[4] not in _VERSIONS:
        raise InputError(f"{path} is a gzip file, and no CPTV of version 1 or 2 is in it; unpack it")
    section = _section(path, stream)
    if section is None or section[0] != b"H":
        raise InputError(f"{path} has no CPTV header; it is damaged: restore it from its source")
    fields = section[1]
    size = _number(fields, b"X"), _number(fields, b"Y")
    if _number(fields, b"C") != 1:
        raise InputError(f"{path} is packed in a way that is not known; expected compression 1")
    check_size(str(path), size, reading.max_pixels)
    return size


def _section(path: Path, stream: BinaryIO | gzip.GzipFile) -> tuple[bytes, Fields] | None:
    """The next section; None at the end."""
    kind = stream.read(1)
    if not kind:
        return None
    fields: Fields = {}
    for _ in range(_read(path, stream, 1)[0]):
        length, name = _read(path, stream, 2)
        fields[bytes([name])] = _read(path, stream, length)
    return kind, fields


def _read(where: Path | str, stream: BinaryIO | gzip.GzipFile, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise InputError(f"{where} ends too early; the frames before were read: it was cut off")
    return data


def _number(fields: Fields, name: bytes) -> int:
    return int.from_bytes(fields.get(name, b""), "little")


def _packed(where: str, stream: BinaryIO | gzip.GzipFile, fields: Fields, pixels: int) -> tuple[bytes, int]:
    """The bytes of a frame, and the bits of each difference."""
    size, bits = _number(fields, b"f"), _number(fields, b"w")
    wanted = 4 + -(-(pixels - 1) * bits // 8)
    if not 1 <= bits <= _WIDEST or not wanted <= size <= wanted + 8:
        raise InputError(f"{where} gives {size} bytes to differences of {bits} bits; it is damaged")
    return _read(where, stream, size), bits


def _differences(
    where: str, stream: BinaryIO | gzip.GzipFile, fields: Fields, pixels: int
) -> NDArray[np.int64]:
    data, bits = _packed(where, stream, fields, pixels)
    found = np.empty(pixels, np.int64)
    found[0] = int.from_bytes(data[:4], "little", signed=True)
    if pixels == 1:
        return found
    # Each difference lies within four bytes, the highest bit first.
    at = np.arange(pixels - 1) * bits
    source = np.frombuffer(data[4:] + bytes(4), np.uint8).astype(np.int64)
    window = sum(source[at // 8 + k] << (24 - 8 * k) for k in range(4))
    values = (window >> (32 - bits - at % 8)) & ((1 << bits) - 1)
    found[1:] = values - ((values >> (bits - 1)) << bits)
    return found


def _raster(counts: NDArray[np.int64], snake: NDArray[np.int64], where: str) -> Raster | InputError:
    if counts.min() < 0 or counts.max() > 65535:
        return InputError(
            f"{where} has counts beyond 16 bits; it is damaged: restore the file from its source"
        )
    return Raster(counts[snake].astype(np.uint16), 16, 65535)


def _snake(height: int, width: int) -> NDArray[np.int64]:
    """(H, W): the place of each pixel in the order of storage."""
    places = np.arange(height * width).reshape(height, width)
    places[1::2] = places[1::2, ::-1]
    return places
