"""Turning files into arrays of stored values, and whatever is wrong with a file into one sentence."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from infraspot.core.errors import InputError
from infraspot.data.arrays import (
    NPY_MAGIC,
    ZIP_MAGIC,
    count_npz,
    npy_layout,
    npy_pages,
    npz_pages,
    raw_layout,
    raw_pages,
)
from infraspot.data.cptv import GZIP_MAGIC, count_cptv, cptv_pages
from infraspot.data.envi import ENVI_MAGIC, count_envi, envi_pages
from infraspot.data.fits import FITS_MAGIC, count_fits, fits_pages
from infraspot.data.flir import JPEG_MAGIC, count_flir, flir_pages, is_flir
from infraspot.data.hdf5 import HDF5_MAGIC, count_hdf5, hdf5_pages
from infraspot.data.listing import IMAGE_SUFFIXES, RAW_SUFFIXES, VIDEO_SUFFIXES
from infraspot.data.mat import MAT_MAGIC, count_mat, mat_pages
from infraspot.data.opening import open_file
from infraspot.data.pillow import STILL_MAGIC, count_stills, still_pages
from infraspot.data.raster import Raster, explained
from infraspot.data.reading import DEFAULT, Reading
from infraspot.data.tiff import TIFF_MAGIC, count_tiff, tiff_pages
from infraspot.data.video import MAGIC_BYTES, container_of, count_video, video_pages


class Kind(NamedTuple):
    """A kind of file: its pages from a given number on, and how many there are."""

    pages: Callable[[Path, BinaryIO, Reading, int], Iterator[Raster | InputError]]
    length: Callable[[Path, BinaryIO, Reading], int]


_STILL, _TIFF = Kind(still_pages, count_stills), Kind(tiff_pages, count_tiff)
_NPZ, _VIDEO = Kind(npz_pages, count_npz), Kind(video_pages, count_video)
_FITS, _ENVI = Kind(fits_pages, count_fits), Kind(envi_pages, count_envi)
_CPTV, _FLIR = Kind(cptv_pages, count_cptv), Kind(flir_pages, count_flir)
_HDF5, _MAT = Kind(hdf5_pages, count_hdf5), Kind(mat_pages, count_mat)
_NPY = Kind(npy_pages, lambda path, file, reading: npy_layout(path, file, reading).count)
_RAW = Kind(raw_pages, lambda path, file, reading: raw_layout(path, file, reading).count)


_MARKS = (
    (FITS_MAGIC, _FITS),
    (ENVI_MAGIC, _ENVI),
    (GZIP_MAGIC, _CPTV),
    (HDF5_MAGIC, _HDF5),
    (MAT_MAGIC, _MAT),
)


def decode(path: Path, reading: Reading = DEFAULT, page: int = 1) -> Raster:
    """One page of a file.

    Raises
    ------
    InputError
        If the file is absent, unreadable, no regular file, damaged, of no known kind, empty or too large; or
        if it has fewer pages.
    """
    reading = replace(reading, max_pages=None)
    found = next(decode_pages(path, reading, page), None) if page > 0 else None
    if found is None:
        raise InputError(f"{path} has no page {page}; its pages count from 1")
    if isinstance(found, InputError):
        raise found
    return found


def decode_pages(
    path: Path, reading: Reading = DEFAULT, first: int = 1, content: bytes | None = None
) -> Iterator[Raster | InputError]:
    """Each page of a file in turn, from number ``first`` on, decoded one at a time.

    In the place of a page that cannot be decoded stands its error. An error that ends the file is the last
    item; nothing is raised. With ``content``, the bytes of the file, ``path`` is a name that nobody opens.
    """
    try:
        with open_file(path) if content is None else BytesIO(content) as file:
            yield from _kind_of(path, file, reading).pages(path, file, reading, first)
    except InputError as error:
        yield error


def count_pages(path: Path, reading: Reading = DEFAULT) -> int:
    """How many pages a file has, by its headers: without decoding, where the kind of file allows it.

    Raises
    ------
    InputError
        As :func:`decode`.
    """
    with open_file(path) as file:
        return _kind_of(path, file, reading).length(path, file, reading)


def _kind_of(path: Path, file: BinaryIO, reading: Reading) -> Kind:
    """The kind of a file, by its first bytes; of raw files and videos without a known mark, by its name."""
    with explained(str(path)):
        magic = file.read(MAGIC_BYTES)
    suffix = path.suffix.lower()
    if not magic:
        raise InputError(f"{path} is empty (0 bytes); restore it from its source or leave it out")
    if suffix in RAW_SUFFIXES and reading.raw is not None:  # chance may give its first pixels any mark
        return _RAW
    if magic[:4] in TIFF_MAGIC:
        return _TIFF
    for mark, kind in _MARKS:
        if magic.startswith(mark):
            return kind
    if magic.startswith(JPEG_MAGIC) and is_flir(file):
        return _FLIR
    if magic.startswith(STILL_MAGIC) or suffix in IMAGE_SUFFIXES:
        return _STILL
    if magic.startswith(NPY_MAGIC):
        return _NPY
    if magic.startswith(ZIP_MAGIC) or suffix == ".npz":
        return _NPZ
    if container_of(magic) or suffix in VIDEO_SUFFIXES:
        return _VIDEO
    if suffix == ".npy":
        raise InputError(f"{path} is no .npy file, whatever its name; write it with numpy.save")
    return _RAW if suffix in RAW_SUFFIXES or reading.raw is not None else _STILL
