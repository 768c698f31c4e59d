"""Image files of any common kind as (H, W) float32 frames and (H, W) bool masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError, counted
from infraspot.data.decoding import decode, decode_pages
from infraspot.data.pillow import picture_raster
from infraspot.data.raster import MAX_PAGES, MAX_PIXELS, Raster, check_size, explained, page_name
from infraspot.data.reading import DEFAULT, Reading

if TYPE_CHECKING:
    from PIL.Image import Image

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_FULL_SCALES = (1, 255, 65535)
_GIVEN_UP = 20  # damaged pages in a row after which the rest of a file is not tried


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame: ``image`` (H, W) float32 in [0, 1], and the bits per pixel and channel of its file."""

    image: NDArray[np.float32]
    bit_depth: int

    def __repr__(self) -> str:
        height, width = self.image.shape
        return f"<Frame {width}x{height}, {self.bit_depth}-bit>"


@dataclass(frozen=True, eq=False)
class StoredMask:
    """The (H, W) values of a mask file, and the full scale that they are read against."""

    values: NDArray[Any]
    full_scale: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool, True above half of the full scale."""
        return np.asarray(self.values > self.full_scale / 2)

    @cached_property
    def grey_share(self) -> float:
        """The share of pixels that are neither 0 nor the full scale."""
        return float(((self.values != 0) & (self.values != self.full_scale)).mean())

    @property
    def strays(self) -> list[float]:
        """The values that are neither 0 nor the full scale, ascending."""
        if not self.grey_share:  # quicker than sorting
            return []
        return [float(value) for value in np.unique(self.values) if value not in (0, self.full_scale)]


def read_image(
    path: Path | str,
    page: int | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    reading: Reading | None = None,
) -> Frame:
    """One frame of a file: an image, or a page of a stack or video (the first, unless ``page`` is given).

    Grey values are divided by the largest value of the stored depth: 1, 255, 65535, or 4095 for TIFF pages
    packed to 12 bits. Values of 12 or 14 bits kept in 16 are divided by 65535 like all others. Signed and
    32-bit integers are divided by 65535 when they lie in 0..65535; floating-point values stay as they are
    when they lie in [0, 1]; both are otherwise stretched from their smallest value (0) to their largest (1).

    A colour image whose three channels are equal becomes that channel exactly, any other its luma (BT.601).
    Transparency is dropped, palettes are looked up, and white-is-zero TIFFs are inverted.

    Parameters
    ----------
    page
        Number of the page, from 1. In a GIF, a ``.npz`` or a video the pages before it are decoded too.
    max_pixels
        Refuse larger images before decoding them; the default is 100 million.
    reading
        All limits, and how raw files and archives of arrays are read; in place of ``max_pixels``.

    Raises
    ------
    InputError
        If the file is absent, unreadable, damaged, no image, empty, too large, holds NaN or infinity, or has
        no such page.
    """
    number = 1 if page is None else page
    raster = decode(Path(path), reading or Reading(max_pixels), number)
    return _frame(raster, page_name(path, number))


def read_pages(
    path: Path | str, reading: Reading = DEFAULT, first: int = 1, content: bytes | None = None
) -> Iterator[Frame | InputError]:
    """Each page of a file from number ``first`` on, decoded when its turn comes; nothing is raised.

    In the place of a page that cannot be read stands its error, and the next page follows where the kind of
    file allows it. An error that ends the file is the last item. After 20 damaged pages in a row the rest is
    left out. With ``content``, the bytes of the file, ``path`` is a name that nobody opens.
    """
    damaged = 0
    for number, raster in enumerate(decode_pages(Path(path), reading, first, content), first):
        frame = attempted_frame(raster, page_name(path, number))
        yield frame
        damaged = damaged + 1 if isinstance(frame, InputError) else 0
        if damaged == _GIVEN_UP:
            yield InputError(f"{path} has {damaged} damaged pages in a row; its other pages are left out")
            return


def attempted_frame(raster: Raster | InputError, where: str) -> Frame | InputError:
    """The frame of a raster, or why there is none."""
    try:
        return raster if isinstance(raster, InputError) else _frame(raster, where)
    except InputError as error:
        return error


def picture_frame(picture: "Image") -> Frame:
    """The frame of a Pillow picture, by the rules of :func:`read_image`.

    Raises
    ------
    InputError
        If its file is damaged, or it has no pixels or holds NaN or infinity.
    """
    where = "the picture"
    check_size(where, picture.size, MAX_PIXELS)
    with explained(where):
        return _frame(picture_raster(picture), where)


def read_frames(
    path: Path | str, *, max_pixels: int = MAX_PIXELS, max_pages: int = MAX_PAGES
) -> Iterator[Frame]:
    """As :func:`read_pages`, for files that should be whole: the first error is raised in its turn.

    Parameters
    ----------
    max_pixels
        Largest page, in pixels; all pages of a compressed file together may have 100 times as many.
    max_pages
        Refuse a file of more pages before decoding any.

    Raises
    ------
    InputError
        As :func:`read_image`, with the number of the page in the sentence; or if the file has too many pages
        or pixels, or a page leads back to an earlier one.
    """
    for frame in read_pages(path, Reading(max_pixels, max_pages)):
        if isinstance(frame, InputError):
            raise frame
        yield frame


def read_mask(
    path: Path | str, page: int | None = None, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.bool_]:
    """The (H, W) bool mask in an image file, or in one page of a stack: True above half of the range.

    The range is the smallest of 0..1, 0..255 and 0..65535 that holds the largest value, so that masks written
    as 0 and 1 read like masks written as 0 and 255. A palette mask with indices 0 and 1 is read by index.
    See :func:`stray_mask_values` for masks that are not binary.

    Raises
    ------
    InputError
        As :func:`read_image`.
    """
    return read_stored_mask(Path(path), max_pixels, page).mask


def stray_mask_values(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> list[float]:
    """The values of a mask file that are neither 0 nor its full scale, ascending; empty for a binary mask."""
    return read_stored_mask(Path(path), max_pixels).strays


def read_stored_mask(path: Path, max_pixels: int = MAX_PIXELS, page: int | None = None) -> StoredMask:
    """A mask file as it is, for its mask and its stray values together (see :func:`read_mask` for errors)."""
    raster = decode(path, Reading(max_pixels), page or 1)
    if raster.palette is not None and raster.values.max() <= 1:
        return StoredMask(raster.values, 1)
    values = _grey(raster)
    if values.dtype.kind == "f" and raster.full_scale is not None:
        values = values.round()  # the luma of white may miss 255 by a rounding error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"the mask {path} holds NaN or infinite values; write it anew with 0 and 255")
    top = float(values.max())
    return StoredMask(values, next((scale for scale in _FULL_SCALES if top <= scale), top))


def _frame(raster: Raster, where: str) -> Frame:
    values = _grey(raster)
    if raster.full_scale is None:
        return Frame(_stretched(values, where), raster.bits)
    image = np.divide(values, raster.full_scale, dtype=np.float32)
    return Frame(np.minimum(image, 1, out=image), raster.bits)


def _grey(raster: Raster) -> NDArray[Any]:
    """One channel of stored values: colours become luma (float32) unless their channels are equal."""
    values = raster.values
    if raster.palette is not None:
        return _luma(raster.palette)[np.minimum(values, len(raster.palette) - 1)]
    if values.ndim == 2:
        return values
    return _luma(values) if values.shape[2] >= 3 else values[..., 0]


def _luma(colours: NDArray[Any]) -> NDArray[Any]:
    red, green, blue = (colours[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _stretched(values: NDArray[Any], where: str) -> NDArray[np.float32]:
    """Values without a full scale (see :func:`read_image`) brought into [0, 1]."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = int(values.size - np.isfinite(values).sum())
        pixels = counted(count, "pixel that is", "pixels that are")
        raise InputError(f"{where} holds {pixels} NaN or infinite; replace and try again")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1 and values.dtype.kind == "f":
        return values.astype(np.float32)
    if low >= 0 and high <= 65535 and values.dtype.kind in "iu":
        return np.divide(values, 65535, dtype=np.float32)
    span = high - low or 1.0
    return ((values / span) - (low / span)).clip(0, 1).astype(np.float32)
