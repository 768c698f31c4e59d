"""Turning image files into arrays of stored values, and whatever is wrong with a file into one sentence."""

import logging
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infraspot.core.errors import InputError

MAX_PIXELS = 100_000_000

_FORMATS = ("PNG", "BMP", "JPEG", "TIFF")
_MAGIC = (b"\x89PNG", b"BM", b"\xff\xd8")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFFFILE_CODECS = frozenset({"NONE", "DEFLATE", "ADOBE_DEFLATE", "PACKBITS", "LZMA"})
_DEEP_PNG = ("RGB;16B", "RGBA;16B", "LA;16B")
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
_OPENING = threading.Lock()

# tifffile reports damage through logging, and Python prints records that nobody handles.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True, eq=False)
class Raster:
    """What a file stores: values (H, W) or (H, W, C) and how to read them.

    Attributes
    ----------
    values
        Stored values, or palette indices.
    bits
        Bits per pixel and channel of the file.
    full_scale
        The value that stands for 1; None for signed, 32-bit and floating-point values, which have none.
    palette
        (K, 3) uint8 colours that the values index.
    """

    values: NDArray[Any]
    bits: int
    full_scale: int | None
    palette: NDArray[np.uint8] | None = None


def decode(path: Path, max_pixels: int = MAX_PIXELS) -> Raster:
    """The first page of an image file.

    Raises
    ------
    InputError
        If the file is absent, unreadable, damaged, no image, empty or larger than ``max_pixels``.
    """
    return next(decode_pages(path, max_pixels))


def decode_pages(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Raster]:
    """Each page of a TIFF in turn; the one image of any other file (see :func:`decode`)."""
    with _explained(path):
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise InputError(f"{path} is empty (0 bytes); restore it from its source or leave it out")
        if magic in _TIFF_MAGIC:
            yield from _tiff_pages(path, max_pixels)
        else:
            yield _pillow_page(path, 0, max_pixels)


def check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image without pixels or with more than ``max_pixels``."""
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"{path} has no pixels ({width}x{height}); leave it out")
    if width * height > max_pixels:
        raise InputError(
            f"{path} is {width}x{height}, {width * height / 1e6:.0f} million pixels, and the limit is "
            f"{max_pixels / 1e6:.0f} million; cut it into pieces"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; check its name") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, and an image file was expected") from error
    except PermissionError as error:
        raise InputError(f"cannot read {path}: permission denied; change its permissions") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path} {_what_is_wrong(path)}") from error
    # Decoders answer damaged bytes with almost any exception: struct.error, IndexError, zlib.error, ...
    except Exception as error:
        detail = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise InputError(
            f"{path} cannot be decoded ({detail}); it is damaged: restore it from its source or leave it out"
        ) from error


def _what_is_wrong(path: Path) -> str:
    """Why Pillow does not know a file: its beginning tells a damaged image from something else."""
    with path.open("rb") as file:
        known = file.read(4).startswith(_MAGIC)
    if known:
        return "has a damaged header or no pixels; restore it from its source or leave it out"
    return "is not a PNG, BMP, JPEG or TIFF image, whatever its name; convert it or leave it out"


def _tiff_pages(path: Path, max_pixels: int) -> Iterator[Raster]:
    from tifffile import TiffFile  # slow to import, and few data sets need it

    with TiffFile(path) as file:
        count = 0
        pages: Iterable[Any] = file.pages
        for index, page in enumerate(pages):
            if page.is_reduced:  # a thumbnail or a pyramid's level
                continue
            check_size(path, (page.imagewidth, page.imagelength), max_pixels)
            if page.size > 4 * max_pixels or page.imagedepth != 1:
                raise InputError(
                    f"{path} page {index} has the shape {page.shape}; expected a grey or RGB plane"
                )
            yield _tiff_page(path, index, page, max_pixels)
            count += 1
    if not count:
        raise InputError(f"{path} holds no page; it is damaged: restore it from its source or leave it out")


def _tiff_page(path: Path, index: int, page: Any, max_pixels: int) -> Raster:
    """One page by tifffile, or by Pillow for the compressions and palettes that tifffile leaves to others."""
    known = page.compression.name in _TIFFFILE_CODECS and page.bitspersample in (1, 8, 16, 32, 64)
    if not known or page.photometric.name in ("PALETTE", "YCBCR", "CIELAB"):
        return _pillow_page(path, index, max_pixels)
    values = page.asarray()
    if values.ndim == 3 and page.axes.startswith("S"):
        values = np.moveaxis(values, 0, 2)
    if values.shape[:2] != (page.imagelength, page.imagewidth) or values.ndim > 3:
        raise ValueError(f"page {index} has the shape {values.shape}")
    bits = page.bitspersample
    full_scale = 2**bits - 1 if values.dtype.kind in "bu" and bits <= 16 else None
    if page.photometric.name == "MINISWHITE":
        values = ~values if full_scale == 1 else (full_scale or values.max()) - values
    return Raster(values, bits, full_scale)


def _pillow_page(path: Path, index: int, max_pixels: int) -> Raster:
    with _opened(path) as image:
        check_size(path, image.size, max_pixels)
        if index:
            image.seek(index)
            check_size(path, image.size, max_pixels)
        raw_mode = image.tile[0].args if image.format == "PNG" and image.tile else ""
        if raw_mode in _DEEP_PNG:
            return Raster(_deep_png(path, image, raw_mode), 16, 65535)
        return _pillow_raster(image)


def _pillow_raster(image: Image.Image) -> Raster:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return Raster(np.asarray(image), 8, 255, palette)
    if image.mode == "1":
        return Raster(np.asarray(image), 1, 1)
    if image.mode == "F":
        return Raster(np.asarray(image), 32, None)
    if image.mode.startswith("I"):
        return _pillow_integers(image)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    return Raster(np.asarray(image), 8, 255)


def _pillow_integers(image: Image.Image) -> Raster:
    tags = getattr(image, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    values = np.asarray(image)
    if bits > 16 or values.min() < 0:
        return Raster(values, bits, None)
    full_scale = 2**bits - 1
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts 8 bits and leaves 16 as they are
        values = full_scale - values
    return Raster(values, bits, full_scale)


def _deep_png(path: Path, image: Any, raw_mode: str) -> NDArray[np.uint16]:
    """Colour PNGs of 16 bits, whose low bytes Pillow drops: decode high and low bytes apart and join them."""
    if raw_mode == "LA;16B":  # grey and transparency: four bytes a pixel, taken as they lie
        image.tile = [image.tile[0]._replace(args="RGBA")]
        pair = np.asarray(image).astype(np.uint16)
        return np.asarray(pair[..., 0] << 8 | pair[..., 1], np.uint16)
    with _opened(path) as again:
        again.tile = [again.tile[0]._replace(args=raw_mode.replace("16B", "16L"))]
        low = np.asarray(again)
    return np.asarray(np.asarray(image).astype(np.uint16) << 8 | low, np.uint16)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Pillow image without Pillow's own size limit and warnings, which are global and so taken in turn."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image
