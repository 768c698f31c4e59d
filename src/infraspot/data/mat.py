"""MATLAB files of version 5: the frames of one of their arrays. Version 7.3 is HDF5."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from infraspot.core.errors import InputError, named
from infraspot.data.arrays import planes_of
from infraspot.data.raster import Raster, attempted, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

MAT_MAGIC = b"MATLAB 5.0 MAT"
_FULL_SCALES = {"b1": 1, "u1": 255, "u2": 65535}
_NUMBERS = frozenset(
    {"uint8", "int8", "uint16", "int16", "uint32", "int32", "single", "double", "logical"}
)  # as MATLAB calls its arrays of numbers


def mat_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """Each frame of the array that ``reading.array`` names, or of the only one: (H, W) or (N, H, W)."""
    from scipy.io import loadmat

    name, count, plane = _array(path, file, reading)
    file.seek(0)
    with explained(str(path)):
        values = np.asarray(loadmat(file, variable_names=[name])[name])
    if values.dtype.kind not in "biuf" or values.size != count * int(np.prod(plane)):
        raise InputError(f"{path}: the array {name!r:.60} is not what its header says; it is damaged")
    frames = values.reshape(count, *plane)
    full = _FULL_SCALES.get(values.dtype.str[1:])
    for number in range(first, count + 1):
        where = page_name(path, number)

        def raster(number: int = number) -> Raster:
            return Raster(np.ascontiguousarray(frames[number - 1]), 8 * values.dtype.itemsize, full)

        yield attempted(where, raster)


def count_mat(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many frames the array has, by its header."""
    return _array(path, file, reading)[1]


def _array(path: Path, file: BinaryIO, reading: Reading) -> tuple[str, int, tuple[int, ...]]:
    """The name of the array, the number of its frames and their shape, checked before any is unpacked."""
    from scipy.io import whosmat

    file.seek(0)
    with explained(str(path)):
        arrays = {
            str(name): shape
            for name, shape, kind in whosmat(file)
            if len(shape) > 1 and kind in _NUMBERS and min(shape) > 1
        }
    shown = named(list(arrays), 8) or "none"
    name = reading.array or (next(iter(arrays)) if len(arrays) == 1 else "")
    if name not in arrays:
        wanted = f"no array {name!r:.60}, but {shown}" if reading.array else f"{len(arrays)} arrays ({shown})"
        raise InputError(f"{path} holds {wanted}; give the name of one with --array")
    count, plane = planes_of(tuple(arrays[name]), str(path))
    check_size(str(path), (plane[1], plane[0]), reading.max_pixels)
    check_pages(str(path), count, reading.max_pages, count * plane[0] * plane[1], reading.max_pixels)
    return name, count, plane
