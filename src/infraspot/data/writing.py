"""Writing masks and grey images, each in one step so that none is ever half-written."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infraspot.core.errors import InputError, UsageError
from infraspot.core.files import replacing

_FORMATS = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}


def check_id(name: str) -> None:
    """Refuse an id that cannot be the name of a file, a line of a list or text in an annotation file.

    Raises
    ------
    InputError
        If it is empty, begins with a dot, or holds a slash, a control character or bytes that are no text.
    """
    odd = any(mark in "/\\\x7f" or mark < " " or "\ud800" <= mark <= "\udfff" for mark in name)
    if not name or name.startswith(".") or odd:
        raise InputError(
            f"the id {name!r} cannot be the name of a file; rename the image, with letters, digits, - and _"
        )


def write_mask(path: Path | str, mask: NDArray[Any]) -> None:
    """Write a (H, W) mask as an 8-bit PNG: 255 where it is not zero, 0 elsewhere.

    Raises
    ------
    DataError
        If the file cannot be written; what was there before is kept.
    """
    with replacing(path) as temporary:
        Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(temporary, "PNG")


def write_grey(path: Path | str, array: NDArray[Any], bits: int = 8) -> None:
    """Write a (H, W) array in [0, 1] as a grey PNG, BMP or TIFF of 8 or 16 bits, by the suffix of ``path``.

    Values are rounded to the nearest level, and values outside [0, 1] are clipped. An array of uint8 with 8
    bits or uint16 with 16 bits is written as it is.

    Raises
    ------
    UsageError
        If the suffix or the number of bits cannot be written, or the array holds NaN or infinity.
    DataError
        If the file cannot be written; what was there before is kept.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None or bits not in (8, 16) or (kind == "BMP" and bits == 16):
        raise UsageError(
            f"cannot write {path} with {bits} bits; use .png or .tif with 8 or 16, or .bmp with 8"
        )
    with replacing(path) as temporary:
        Image.fromarray(_levels(array, bits, path)).save(temporary, kind)


def _levels(array: NDArray[Any], bits: int, path: Path) -> NDArray[Any]:
    stored = np.uint8 if bits == 8 else np.uint16
    if array.dtype == stored:
        return array
    if not np.isfinite(array).all():
        raise UsageError(f"the array for {path} holds NaN or infinity; replace them before writing")
    return np.rint(np.clip(array, 0, 1).astype(np.float64) * (2**bits - 1)).astype(stored)
