"""Curves for TensorBoard, written without it: its file is a list of small records with checksums.

Each record holds its length, the checksum of that, the data and their checksum. The data are an ``Event`` of
TensorFlow's protocol buffers: field 1 the time, 2 the step, 3 the version of the file, 5 the numbers by name.
"""

import struct
import time

from infraspot.core.errors import DataError
from infraspot.core.files import replacing
from infraspot.training.run import Row, Run

EVENTS = "events.tfevents"
VERSION = b"brain.Event:2"

# Castagnoli's polynomial, its bits in reverse order.
POLYNOMIAL = 0x82F63B78
MASK = 0xA282EAD8


def write_events(run: Run) -> None:
    """Add the last epoch to the curves; the first time in a sitting, write all epochs behind anew.

    What a killed run added after its last save is thereby gone, as it is from ``log.csv``.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    path = run.folder / EVENTS
    if run.curves_open and path.is_file():
        try:
            with path.open("ab") as file:
                file.write(_record(_row_event(run.at.rows[-1])))
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror or error}; free the place") from error
        return
    first = _time() + _field(3, VERSION)
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(map(_record, [first, *map(_row_event, run.at.rows)])))
    run.curves_open = True


def _row_event(row: Row) -> bytes:
    numbers = b"".join(
        _field(1, _field(1, name.encode()) + b"\x15" + struct.pack("<f", value))
        for name, value in row.items()
        if name != "epoch"
    )
    return _time() + b"\x10" + _whole(int(row["epoch"])) + _field(5, numbers)


def _time() -> bytes:
    return b"\x09" + struct.pack("<d", time.time())


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes: its number and kind, its length, itself."""
    return bytes([number << 3 | 2]) + _whole(len(content)) + content


def _whole(value: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()
