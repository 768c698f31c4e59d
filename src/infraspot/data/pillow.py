"""Decoding with Pillow: PNG, BMP, JPEG, GIF, and the TIFF pages that tifffile leaves to others."""

import os
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infraspot.core.errors import InputError
from infraspot.data.raster import Raster, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

STILL_MAGIC = (b"\x89PNG", b"BM", b"\xff\xd8", b"GIF8")
_FORMATS = ("PNG", "BMP", "JPEG", "TIFF", "GIF")
_DEEP_PNG = ("RGB;16B", "RGBA;16B", "LA;16B")
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
_MARK = 0xA5
_MARKS: Mapping[str, int | tuple[int, ...]] = {
    "1": 255,
    "LA": (_MARK,) * 2,
    "RGB": (_MARK,) * 3,
    "RGBA": (_MARK,) * 4,
}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PIECE = 1 << 20
_PADDING = 1 << 16
_END_MARKS = {"GIF": b";", "PNG": b"IEND\xaeB`\x82"}
_OPENING = threading.Lock()


def pillow_page(file: BinaryIO, index: int, where: str, max_pixels: int) -> Raster:
    """One page of an open image file; ``where`` names it in errors.

    Raises
    ------
    InputError
        If the file is no image, or the page has no pixels or more than ``max_pixels``.
    Exception
        Whatever Pillow raises on damaged bytes.
    """
    with _opened(file, where) as image:
        check_size(where, image.size, max_pixels)
        if image.format == "TIFF":
            with _without_warnings():  # Pillow reads on in the directories while it decodes
                image.seek(index)
                check_size(where, image.size, max_pixels)
                return picture_raster(image)
        return _still(file, image, where)


def still_pages(path: Path, file: BinaryIO, reading: Reading, first: int = 1) -> Iterator[Raster]:
    """The one picture of a file; of an animated PNG or GIF each picture from ``first`` on."""
    with explained(str(path)), _opened(file, str(path)) as image:
        check_size(str(path), image.size, reading.max_pixels)
        if getattr(image, "is_animated", False):
            yield from _animation(path, file, image, reading, first)
        elif first == 1:
            yield _still(file, image, str(path))


def count_stills(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many pictures a file has, by its header or, in a GIF, by its blocks."""
    with explained(str(path)), _opened(file, str(path)) as image:
        pictures = int(getattr(image, "n_frames", 1))
        check_pages(str(path), pictures, reading.max_pages)
        return pictures


def _animation(path: Path, file: BinaryIO, image: Any, reading: Reading, first: int) -> Iterator[Raster]:
    """Pictures build on each other here, so that what comes after a damaged one is lost.

    Pillow fills a picture whose data end early, so the last one of a file that was cut off is left out.
    """
    pictures, (width, height) = int(image.n_frames), image.size
    check_pages(str(path), pictures, reading.max_pages, pictures * width * height, reading.max_pixels)
    whole, held = _has_end_mark(file, _END_MARKS[image.format]), None
    for number in range(1, pictures + 1):
        with explained(page_name(path, number)):
            image.seek(number - 1)
            check_size(str(path), image.size, reading.max_pixels)  # a picture may enlarge those before it
            image.load()
            raster = picture_raster(image)
        if held is not None and number > first:
            yield held
        held = raster
    if not whole:
        raise InputError(f"{path} was cut off; its last picture is left out: restore it from its source")
    if held is not None and pictures >= first:
        yield held


def _has_end_mark(file: BinaryIO, mark: bytes) -> bool:
    place = file.tell()
    file.seek(max(file.seek(0, os.SEEK_END) - _PADDING, 0))
    ending = file.read().rstrip(b"\0")
    file.seek(place)
    return ending.endswith(mark)


def _still(file: BinaryIO, image: Any, where: str) -> Raster:
    return _png(file, image, where) if image.format == "PNG" else picture_raster(image)


def _png(file: BinaryIO, image: Any, where: str) -> Raster:
    """A PNG all of whose rows are there.

    Pillow takes one whose data end early, and leaves the missing rows as its memory was. So the memory gets a
    mark beforehand, and only where the mark is still seen, or rows come in several passes, they are counted.
    """
    colour = _MARKS.get(image.mode, _MARK)
    image.im = marked = Image.new(image.mode, image.size, colour).im
    raw_mode, interlaced = image.tile[0][3] if image.tile else "", bool(image.info.get("interlace"))
    if raw_mode in _DEEP_PNG:
        raster = Raster(_deep_png(file, image, raw_mode, where), 16, 65535)
    else:
        raster = picture_raster(image)
    last = (image.width - 1, image.height - 1)
    if interlaced or image.im is not marked or image.getpixel(last) == colour:
        _check_rows(file)
    return raster


def picture_raster(image: Image.Image) -> Raster:
    """The values of a Pillow picture, and how to read them."""
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return Raster(np.asarray(image), 8, 255, palette)
    if image.mode == "1":
        return Raster(np.asarray(image), 1, 1)
    if image.mode == "F":
        return Raster(np.asarray(image), 32, None)
    if image.mode.startswith("I"):
        return _integers(image)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    return Raster(np.asarray(image), 8, 255)


def _integers(image: Image.Image) -> Raster:
    tags = getattr(image, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    values = np.asarray(image)
    if bits > 16 or values.min() < 0:
        return Raster(values, bits, None)
    full_scale = 2**bits - 1
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts 8 bits and leaves 16 as they are
        values = full_scale - values
    return Raster(values, bits, full_scale)


def _deep_png(file: BinaryIO, image: Any, raw_mode: str, where: str) -> NDArray[np.uint16]:
    """Colour PNGs of 16 bits, whose low bytes Pillow drops: decode high and low bytes apart and join them."""
    if raw_mode == "LA;16B":  # grey and transparency: four bytes a pixel, taken as they lie
        image.tile = [image.tile[0]._replace(args="RGBA")]
        pair = np.asarray(image).astype(np.uint16)
        return np.asarray(pair[..., 0] << 8 | pair[..., 1], np.uint16)
    high = np.asarray(image).astype(np.uint16)
    with _opened(file, where) as again:
        again.tile = [again.tile[0]._replace(args=raw_mode.replace("16B", "16L"))]
        low = np.asarray(again)
    return np.asarray(high << 8 | low, np.uint16)


def _check_rows(file: BinaryIO) -> None:
    """Refuse a PNG whose compressed data end before its last row, which Pillow leaves black."""
    file.seek(8)
    expected, inflated, inflate = 0, 0, zlib.decompressobj()
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        data = file.read(length)
        file.read(4)  # checksum
        if kind == b"IHDR":
            expected = _stored_bytes(data)
        elif kind == b"IDAT":
            while data and inflated < expected and not inflate.eof:
                inflated += len(inflate.decompress(data, _PNG_PIECE))
                data = inflate.unconsumed_tail
    if inflated < expected:
        raise ValueError(f"only {inflated / expected:.0%} of its rows are there")


def _stored_bytes(header: bytes) -> int:
    """Bytes of all rows, each with its filter byte, of the PNG with this header."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, colour, interlaced = header[8], header[9], header[12]
    passes = [(0, 0, 1, 1)]
    if interlaced:  # Adam7: first column and row, and the steps, of each pass
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
        passes.append((0, 1, 1, 2))
    total = 0
    for x, y, right, down in passes:
        columns, rows = max(-(-(width - x) // right), 0), max(-(-(height - y) // down), 0)
        if columns:
            total += rows * (1 + (columns * bits * _PNG_CHANNELS[colour] + 7) // 8)
    return total


@contextmanager
def _opened(file: BinaryIO, where: str) -> Iterator[Any]:
    """A Pillow image without Pillow's own size limit, which is global and so taken in turn."""
    file.seek(0)
    with _without_warnings():
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=_FORMATS)
        except Image.UnidentifiedImageError as error:
            raise InputError(f"{where} {_what_is_wrong(file)}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _what_is_wrong(file: BinaryIO) -> str:
    """Why Pillow does not know a file: its beginning tells a damaged image from something else."""
    file.seek(0)
    if file.read(4).startswith((*STILL_MAGIC, b"II", b"MM")):
        return "has a damaged header or no pixels; restore it from its source or leave it out"
    return "is not a PNG, BMP, JPEG, GIF or TIFF image, whatever its name; convert it or leave it out"


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Pillow; Python's filters are global, so this is done in turn."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
