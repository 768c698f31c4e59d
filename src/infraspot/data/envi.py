"""ENVI images: a text header ``NAME.hdr`` beside a file of plain numbers; each band is a page."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data.opening import is_regular, open_file, size_of
from infraspot.data.raster import Raster, attempted, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

ENVI_MAGIC = b"ENVI"
_ENDINGS = ("", ".img", ".dat", ".raw", ".bin", ".bsq", ".bil", ".bip")
_LARGEST_HEADER = 1 << 20
_TYPES = {
    "1": "u1",
    "2": "i2",
    "3": "i4",
    "4": "f4",
    "5": "f8",
    "12": "u2",
    "13": "u4",
    "14": "i8",
    "15": "u8",
}
_FULL_SCALES = {"u1": 255, "u2": 65535}


class _Form:
    """What a header says."""

    def __init__(self, path: Path, file: BinaryIO, reading: Reading) -> None:
        fields = _fields(path, file)
        self.width = _whole(path, fields, "samples")
        self.height = _whole(path, fields, "lines")
        self.bands = _whole(path, fields, "bands", 1)
        self.start = _whole(path, fields, "header offset", 0)
        self.order = fields.get("interleave", "bsq").lower()
        kind = fields.get("data type", "")
        if kind not in _TYPES or self.order not in ("bsq", "bil", "bip"):
            raise InputError(
                f"{path} has data type {kind!r:.20} and interleave {self.order!r:.20}; expected whole or"
                " real numbers in bsq, bil or bip"
            )
        self.full_scale = _FULL_SCALES.get(_TYPES[kind])
        big = _whole(path, fields, "byte order", 0)
        self.dtype = np.dtype((">" if big else "<") + _TYPES[kind])
        check_size(str(path), (self.width, self.height), reading.max_pixels)
        check_pages(str(path), self.bands, reading.max_pages)

    @property
    def shape(self) -> tuple[int, int, int]:
        """As the numbers lie."""
        shapes = {
            "bsq": (self.bands, self.height, self.width),
            "bil": (self.height, self.bands, self.width),
            "bip": (self.height, self.width, self.bands),
        }
        return shapes[self.order]

    @property
    def band_axis(self) -> int:
        return {"bsq": 0, "bil": 1, "bip": 2}[self.order]


def envi_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster | InputError]:
    """Each band of the image that a header describes."""
    if isinstance(file, BytesIO):
        raise InputError(
            f"{path} is a header of ENVI, and its numbers did not come with it; send them as .npy"
        )
    form = _Form(path, file, reading)
    data = _data_beside(path)
    with open_file(data) as numbers:
        needed = form.start + form.width * form.height * form.bands * form.dtype.itemsize
        if (size := size_of(numbers)) < needed:
            raise InputError(f"{data} has {size} bytes, and {path.name} describes {needed}: it was cut off")
        with explained(str(data)):
            values = np.memmap(numbers, form.dtype, "r", form.start, form.shape)
        for number in range(first, form.bands + 1):
            where = page_name(path, number)
            yield attempted(where, lambda number=number: _band(values, number, form))  # type: ignore[misc]


def count_envi(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many bands a header describes."""
    return _Form(path, file, reading).bands


def _band(values: NDArray[np.generic], number: int, form: _Form) -> Raster:
    band = np.take(values, number - 1, axis=form.band_axis)
    return Raster(
        np.ascontiguousarray(band, form.dtype.newbyteorder("=")), 8 * form.dtype.itemsize, form.full_scale
    )


def _data_beside(path: Path) -> Path:
    """The file of numbers: ``NAME`` or ``NAME`` with an ending, beside ``NAME.hdr``."""
    stem = path.with_suffix("")
    for ending in _ENDINGS:
        if is_regular(found := stem.with_name(stem.name + ending)):
            return found
    raise InputError(
        f"{path} is a header of ENVI, and its data are not beside it; expected {stem.name}.img or the like"
    )


def _fields(path: Path, file: BinaryIO) -> dict[str, str]:
    file.seek(0)
    with explained(str(path)):
        data = file.read(_LARGEST_HEADER + 1)
    if len(data) > _LARGEST_HEADER:
        raise InputError(f"{path} is longer than a header of ENVI is")
    text = re.sub(r"\{[^}]*\}", "{}", data.decode("utf-8", "replace"))
    pairs = (line.partition("=") for line in text.splitlines()[1:])
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def _whole(path: Path, fields: dict[str, str], name: str, otherwise: int | None = None) -> int:
    text = fields.get(name)
    if text is None and otherwise is not None:
        return otherwise
    if text is None or not re.fullmatch(r"\d{1,12}", text, re.ASCII):
        raise InputError(
            f"{path}: expected a whole number for '{name}', and {text!r:.40} came; mend the header"
        )
    return int(text)
