"""Frames that lie as plain numbers in a file: ``.npy``, ``.npz`` and raw files."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError, named
from infraspot.data.opening import size_of
from infraspot.data.raster import Raster, attempted, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

if TYPE_CHECKING:
    from zipfile import ZipFile

NPY_MAGIC, ZIP_MAGIC = b"\x93NUMPY", b"PK\x03\x04"
_CHANNELS = (1, 3, 4)
_FULL_SCALES = {"b1": 1, "u1": 255, "u2": 65535}
_PIECE = 1 << 20


@dataclass(frozen=True)
class Layout:
    """How frames lie in a stream of bytes: ``count`` of them, one behind the other, from ``start`` on."""

    count: int
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    bits: int
    full_scale: int | None
    by_column: bool = False

    @property
    def page_bytes(self) -> int:
        """Bytes of one frame."""
        return math.prod(self.shape) * self.dtype.itemsize

    def raster(self, data: bytes, where: str) -> Raster:
        """One frame from its bytes."""
        order = self.shape[::-1] if self.by_column else self.shape
        values: NDArray[Any] = np.frombuffer(data, self.dtype).reshape(order)
        values = np.ascontiguousarray(values.T if self.by_column else values, self.dtype.newbyteorder("="))
        if self.full_scale is not None and self.dtype.itemsize == 2 and self.bits < 16:
            _check_depth(values, self, where)
        return Raster(values, self.bits, self.full_scale)


def _check_depth(values: NDArray[Any], layout: Layout, where: str) -> None:
    if (top := int(values.max())) > (layout.full_scale or 0):
        raise InputError(
            f"{where} holds the value {top}, more than {layout.bits} bits; check type and byte order of --raw"
        )


def npy_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """The frames of a ``.npy`` file: (H, W), (N, H, W), (H, W, 3) and the like."""
    layout = npy_layout(path, file, reading)
    file.seek(layout.start + (first - 1) * layout.page_bytes)
    yield from _pages(path, file, layout, first)


def npy_layout(path: Path, file: BinaryIO, reading: Reading) -> Layout:
    """What a ``.npy`` file holds, by its header and its size; nothing is unpickled."""
    file.seek(0)
    layout = _header(file, str(path), reading)
    _check_bytes(path, size_of(file) - layout.start, layout)
    return layout


def raw_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """The frames of a raw file whose form ``reading.raw`` gives."""
    layout = raw_layout(path, file, reading)
    file.seek(layout.start + (first - 1) * layout.page_bytes)
    yield from _pages(path, file, layout, first)
    size = size_of(file)
    if rest := (size - layout.start) % layout.page_bytes:
        yield InputError(
            f"{path} ends with {rest} bytes, and a frame has {layout.page_bytes}; its {layout.count} whole "
            "frames were read: it was cut off, or --raw does not fit it"
        )


def raw_layout(path: Path, file: BinaryIO, reading: Reading) -> Layout:
    """What a raw file holds, by its form and its size."""
    form = reading.raw
    if form is None:
        raise InputError(f"{path} is a raw file; say what it holds with --raw, such as --raw 640x512:uint16")
    check_size(str(path), (form.width, form.height), reading.max_pixels)
    size = size_of(file)
    frame = form.width * form.height * form.dtype.itemsize
    count = max(size - form.header, 0) // frame
    if not count:
        raise InputError(
            f"{path} has {size} bytes, and one frame of {form.width}x{form.height}:{form.type_name} after "
            f"{form.header} bytes needs {form.header + frame}; check --raw"
        )
    check_pages(str(path), count, reading.max_pages)
    shape = (form.height, form.width)
    return Layout(count, shape, form.dtype, form.header, form.bits, form.full_scale)


def npz_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """The frames of one array of a ``.npz`` file, unpacked one at a time."""
    with _member(path, file, reading) as (stream, layout):
        skip = (first - 1) * layout.page_bytes
        while skip > 0 and (piece := stream.read(min(skip, _PIECE))):
            skip -= len(piece)
        yield from _pages(path, stream, layout, first)


def count_npz(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many frames the array of a ``.npz`` file has, by its header."""
    with _member(path, file, reading) as (_, layout):
        return layout.count


@contextmanager
def _member(path: Path, file: BinaryIO, reading: Reading) -> Iterator[tuple[IO[bytes], Layout]]:
    """The array to read as a stream that stands at its first frame, and how the frames lie in it."""
    from zipfile import ZipFile  # slow to import, and seldom needed

    with explained(str(path)), ZipFile(file) as archive:
        name = _name(path, archive, reading)
        with archive.open(name) as stream:
            layout = _header(stream, str(path), reading)
            _check_bytes(path, archive.getinfo(name).file_size - layout.start, layout)
            yield stream, layout


def _name(path: Path, archive: "ZipFile", reading: Reading) -> str:
    """The array that was asked for, or the only one."""
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    shown = named(names, 8)
    if reading.array is not None:
        if reading.array not in names:
            raise InputError(f"{path} holds no array {reading.array!r}, but {shown or 'none'}; check --array")
        return f"{reading.array}.npy"
    if len(names) != 1:
        raise InputError(
            f"{path} holds {len(names)} arrays ({shown or 'none'}); expected one, or its name with --array"
        )
    return f"{names[0]}.npy"


def _header(stream: IO[bytes], where: str, reading: Reading) -> Layout:
    """The layout that a NumPy header describes."""
    with explained(where):
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, by_column, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise InputError(f"{where} has version {version} of the NumPy format; save plain numbers")
        start = stream.tell()
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"{where} holds {str(dtype)[:60]}; expected whole numbers or floats")
    count, plane = planes_of(tuple(shape), where)
    check_size(where, (plane[1], plane[0]), reading.max_pixels)
    check_pages(where, count, reading.max_pages, count * plane[0] * plane[1], reading.max_pixels)
    if by_column and count > 1:
        raise InputError(
            f"{where} stores its {count} frames mingled (Fortran order); save numpy.ascontiguousarray(frames)"
        )
    bits = 1 if dtype.kind == "b" else 8 * dtype.itemsize
    return Layout(count, plane, dtype, start, bits, _FULL_SCALES.get(dtype.str[1:]), by_column)


def planes_of(shape: tuple[int, ...], where: str) -> tuple[int, tuple[int, ...]]:
    """How many frames an array holds, and the shape of each: (H, W), or (H, W, C) of 1, 3 or 4 channels."""
    plane = shape[-3:] if len(shape) > 2 and shape[-1] in _CHANNELS else shape[-2:]
    ahead = shape[: len(shape) - len(plane)]
    if ahead[1:] == (1,) and len(plane) == 2:  # (N, 1, H, W), as networks take them
        ahead = ahead[:1]
    if len(plane) < 2 or len(ahead) > 1 or min(shape) < 0:
        raise InputError(
            f"{where} holds an array of the shape {str(shape)[:60]}; expected (H, W) or (N, H, W), or "
            "(H, W, 3) in colour"
        )
    if ahead and not ahead[0]:
        raise InputError(f"{where} holds no frame (its shape is {shape}); leave it out")
    return (ahead[0] if ahead else 1), plane


def _check_bytes(path: Path, present: int, layout: Layout) -> None:
    """Refuse a file that has not even its first frame, before memory is taken for it."""
    if present < layout.page_bytes:
        raise InputError(
            f"{path} has {present} bytes of pixels, and its first frame needs {layout.page_bytes}; it was "
            "cut off: restore it from its source or leave it out"
        )


def _pages(path: Path, stream: IO[bytes], layout: Layout, first: int) -> Iterator[Raster | InputError]:
    for number in range(first, layout.count + 1):
        where = page_name(path, number)
        with explained(where):
            data = stream.read(layout.page_bytes)
        if len(data) < layout.page_bytes:
            raise InputError(
                f"{path} ends in page {number} of {layout.count}; the pages before it were read: it was cut "
                "off, restore it from its source"
            )
        yield attempted(where, lambda data=data, where=where: layout.raster(data, where))  # type: ignore[misc]
