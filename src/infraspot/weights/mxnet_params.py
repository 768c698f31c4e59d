"""Reading MXNet's ``.params`` files, the format in which the first ACM and ALCNet were released.

A file is little-endian: a magic number, the arrays (each with its own magic number, storage type, shape,
device, type and values), then their names.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infraspot.core.errors import InputError

FILE_MAGIC = 0x112
ARRAY_MAGICS = (0xF993FAC9, 0xF993FACA)
DENSE = 0
TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}


def is_mxnet_params(path: Path | str) -> bool:
    """Whether a file begins as MXNet's parameter files do."""
    with Path(path).open("rb") as file:
        return file.read(8) == struct.pack("<Q", FILE_MAGIC)


def read_mxnet_params(path: Path | str) -> dict[str, Tensor]:
    """Arrays by name.

    Raises
    ------
    InputError
        If the file ends early or holds something else than dense arrays.
    """
    reader = _Reader(Path(path).read_bytes())
    try:
        reader.take("<QQ")
        arrays = [_array(reader) for _ in range(reader.take("<Q")[0])]
        names = [reader.text() for _ in range(reader.take("<Q")[0])]
        return dict(zip(names, arrays, strict=True))
    except (struct.error, ValueError, KeyError, MemoryError) as error:
        raise InputError(
            f"{path}: expected dense arrays in MXNet's format, and reading failed: {error}"
        ) from error


class _Reader:
    """A position in bytes."""

    def __init__(self, data: bytes):
        self.data = data
        self.position = 0

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self.data, self.position)
        self.position += struct.calcsize(form)
        return values

    def text(self) -> str:
        (length,) = self.take("<Q")
        self.position += length
        return self.data[self.position - length : self.position].decode()


def _array(reader: _Reader) -> Tensor:
    magic, storage, dimensions = reader.take("<IiI")
    if magic not in ARRAY_MAGICS or storage != DENSE:
        raise ValueError(f"array with magic number {magic:#x} and storage type {storage}")
    shape = reader.take(f"<{dimensions}q")
    *_device, kind = reader.take("<iii")
    values = np.frombuffer(reader.data, TYPES[kind], int(np.prod(shape)), reader.position)
    reader.position += values.nbytes
    return torch.from_numpy(values.reshape(shape).copy())
