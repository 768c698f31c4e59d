"""Radiometric JPEG of FLIR: the counts of the sensor beside the coloured picture.

The picture is a rendering with a palette, a scale and a logo, on which no detector should look. The counts
lie in APP1 segments that begin with ``FLIR``: together they are a file of records, and the record of type 1
holds a PNG, a TIFF or plain numbers of 16 bits (as ExifTool documents it).
"""

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data.raster import Raster, check_size, explained
from infraspot.data.reading import Reading

JPEG_MAGIC = b"\xff\xd8\xff"
_MARK = b"FLIR\0\x01"
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_MOST_SEGMENTS, _MOST_RECORDS = 4096, 1024
_RAW_DATA = 1
_HEAD = 32  # bytes of the record before the numbers


class _Record(NamedTuple):
    """The record of the counts: width and height that it gives, and its data."""

    width: int
    height: int
    data: bytes


def is_flir(file: BinaryIO) -> bool:
    """Whether a JPEG has segments of FLIR; the file's position is lost."""
    return next(_segments(file), None) is not None


def flir_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """The one frame of counts."""
    if first == 1:
        yield _counts(path, file, reading)


def count_flir(path: Path, file: BinaryIO, reading: Reading) -> int:
    return 1


def _counts(path: Path, file: BinaryIO, reading: Reading) -> Raster:
    with explained(str(path)):
        record = _raw_record(path, _joined(path, file))
        check_size(str(path), (record.width, record.height), reading.max_pixels)
        values = _values(path, record, reading)
    if values.shape != (record.height, record.width):
        raise InputError(
            f"{path} gives its counts as {record.width}x{record.height}, and they are"
            f" {values.shape[1]}x{values.shape[0]}; it is damaged"
        )
    return Raster(values, 16, 65535)


def _segments(file: BinaryIO) -> Iterator[bytes]:
    """The contents of the APP1 segments of FLIR, before the picture begins."""
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        mark = file.read(2)
        while mark[1:] == b"\xff":  # fill bytes
            mark = mark[1:] + file.read(1)
        if len(mark) < 2 or mark[0] != 0xFF or mark[1] in (_SCAN, _END):
            return
        if mark[1] in _STANDALONE:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        if length < 0:
            return
        if mark[1] == _APP1 and length >= 8:
            data = file.read(length)
            if data.startswith(_MARK) and len(data) == length:
                yield data
        else:
            file.seek(length, 1)


def _joined(path: Path, file: BinaryIO) -> bytes:
    """The records, from all segments in their order: byte 6 of each is its number."""
    pieces = {data[6]: data[8:] for data in _segments(file)}
    last = max(pieces)
    if missing := [number for number in range(last + 1) if number not in pieces]:
        raise InputError(f"{path} lacks segment {missing[0]} of its {last + 1} of FLIR; it was cut off")
    return b"".join(pieces[number] for number in range(last + 1))


def _raw_record(path: Path, whole: bytes) -> _Record:
    if whole[:4] not in (b"FFF\0", b"AFF\0") or len(whole) < 64:
        raise InputError(f"{path} has segments of FLIR without records; it is damaged")
    for order in (">", "<"):
        start, count = struct.unpack_from(f"{order}II", whole, 24)
        if 0 < count <= _MOST_RECORDS and start + 32 * count <= len(whole):
            break
    else:
        raise InputError(f"{path} has no list of records that makes sense; it is damaged")
    for k in range(count):
        kind, *_, at, length = struct.unpack_from(f"{order}HHIIII", whole, start + 32 * k)
        if kind == _RAW_DATA and length > _HEAD and at + length <= len(whole):
            record = whole[at : at + length]
            # The first number is 2 in the order of this record.
            inner = "<" if record[:2] == b"\x02\0" else ">"
            _, width, height = struct.unpack_from(f"{inner}HHH", record)
            return _Record(width, height, record[_HEAD:])
    raise InputError(f"{path} is of FLIR and holds no counts; save it as a radiometric JPEG")


def _values(path: Path, record: _Record, reading: Reading) -> NDArray[np.uint16]:
    """The counts: cameras write a PNG with its bytes exchanged, a TIFF, or little-endian numbers."""
    from infraspot.data.pillow import still_pages
    from infraspot.data.tiff import TIFF_MAGIC, tiff_pages

    if record.data.startswith(b"\x89PNG"):
        return _only(path, still_pages(path, BytesIO(record.data), reading)).byteswap()
    if record.data[:4] in TIFF_MAGIC:
        return _only(path, tiff_pages(path, BytesIO(record.data), reading))
    needed = 2 * record.width * record.height
    if len(record.data) < needed:
        raise InputError(
            f"{path} has {len(record.data)} bytes of counts, and {needed} are needed; it was cut off"
        )
    numbers = np.frombuffer(record.data, "<u2", record.width * record.height)
    return numbers.reshape(record.height, record.width).astype(np.uint16)


def _only(path: Path, pages: Iterator[Raster | InputError]) -> NDArray[np.uint16]:
    found = next(pages, None)
    if isinstance(found, InputError):
        raise found
    if found is None or found.values.ndim != 2 or found.values.dtype.itemsize != 2:
        raise InputError(f"{path} has counts that are no grey picture of 16 bits; it is damaged")
    return np.ascontiguousarray(found.values).astype(np.uint16)
