"""HDF5 files, MATLAB's of version 7.3 among them: the frames of one of their arrays, one read at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from infraspot.core.errors import InputError, named
from infraspot.core.extras import require
from infraspot.data.arrays import planes_of
from infraspot.data.raster import Raster, attempted, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_NAMES = 10_000
_FULL_SCALES = {"b1": 1, "u1": 255, "u2": 65535}


def hdf5_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """Each frame of the array that ``reading.array`` names, or of the only one that can be frames."""
    with _array(path, file, reading) as (array, count):
        full = _FULL_SCALES.get(array.dtype.str[1:])
        for number in range(first, count + 1):
            where = page_name(path, number)

            def raster(number: int = number) -> Raster:
                values = array[()] if count == 1 else array[number - 1]
                values = np.ascontiguousarray(values).reshape(planes_of(array.shape, str(path))[1])
                return Raster(values.astype(array.dtype.newbyteorder("=")), 8 * array.dtype.itemsize, full)

            yield attempted(where, raster)


def count_hdf5(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many frames the array has."""
    with _array(path, file, reading) as (_, count):
        return count


@contextmanager
def _array(path: Path, file: BinaryIO, reading: Reading) -> Iterator[tuple[Any, int]]:
    """The array, and its number of frames; nothing outside this file is opened."""
    if isinstance(file, BytesIO):
        raise InputError(f"{path} is an HDF5 file, which is read from a disk only; send its frames as .npy")
    require("hdf5", f"the file {path}", InputError)
    import h5py

    file.seek(0)
    with explained(str(path)), h5py.File(file, "r") as opened:
        names = _names(opened, h5py)
        if reading.array is not None:
            name = reading.array.strip("/")
            if name not in names:
                raise InputError(f"{path} holds no array {name!r:.60}, but {_shown(names)}; check --array")
        elif len(names) == 1:
            name = names[0]
        else:
            raise InputError(
                f"{path} holds {len(names)} arrays ({_shown(names)}); expected one, or its name with --array"
            )
        array = opened[name]
        if array.external or array.is_virtual:
            raise InputError(
                f"{path}: the array {name!r:.60} lies in other files, which are not opened; copy it here"
            )
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise InputError(
                f"{path}: the array {name!r:.60} holds {str(array.dtype)[:60]}; expected numbers"
            )
        count, plane = planes_of(tuple(array.shape), str(path))
        check_size(str(path), (plane[1], plane[0]), reading.max_pixels)
        check_pages(str(path), count, reading.max_pages, count * plane[0] * plane[1], reading.max_pixels)
        yield array, count


def _names(opened: Any, h5py: Any) -> list[str]:
    """The arrays of two axes or more, found through plain links alone."""
    found, waiting, seen = [], [("", opened)], {h5py.h5o.get_info(opened.id).addr}
    while waiting and len(seen) < _MOST_NAMES:
        prefix, group = waiting.pop()
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            member, name = group[key], f"{prefix}{key}"
            if isinstance(member, h5py.Dataset):
                if len(member.shape or ()) > 1:
                    found.append(name)
            elif isinstance(member, h5py.Group) and (mark := h5py.h5o.get_info(member.id).addr) not in seen:
                seen.add(mark)
                waiting.append((f"{name}/", member))
    return sorted(found)


def _shown(names: list[str]) -> str:
    return named(names, 8) or "none"
