"""How files are read where they do not say it themselves: limits, the form of raw files, names of arrays."""

import re
from dataclasses import dataclass

import numpy as np

from infraspot.core.errors import UsageError
from infraspot.data.raster import MAX_PAGES, MAX_PIXELS

# From a name to the stored type, and the value that stands for 1; None where values are stretched.
_RAW_TYPES = {
    "uint8": ("u1", 255),
    "uint10": ("u2", 1023),
    "uint12": ("u2", 4095),
    "uint14": ("u2", 16383),
    "uint16": ("u2", 65535),
    "int16": ("i2", None),
    "uint32": ("u4", None),
    "int32": ("i4", None),
    "float32": ("f4", None),
    "float64": ("f8", None),
}
_RAW = re.compile(r"(\d{1,9})x(\d{1,9}):([a-z]+\d+)(?::(little|big))?(?::(\d{1,18}))?", re.ASCII)
RAW_FORM = "WIDTHxHEIGHT:TYPE[:little|big][:HEADER]"


@dataclass(frozen=True)
class RawForm:
    """What a raw file holds: frames one behind the other, row by row, after ``header`` bytes.

    ``type_name`` is one of uint8, uint10, uint12, uint14, uint16, int16, uint32, int32, float32, float64;
    uint10 to uint14 are kept in 16 bits.
    """

    width: int
    height: int
    type_name: str
    big: bool = False
    header: int = 0

    @property
    def dtype(self) -> np.dtype:
        """The type of the stored values, with its byte order."""
        return np.dtype((">" if self.big else "<") + _RAW_TYPES[self.type_name][0])

    @property
    def bits(self) -> int:
        """Bits of a pixel."""
        return int(re.sub(r"\D", "", self.type_name))

    @property
    def full_scale(self) -> int | None:
        """The value that stands for 1; None where values are stretched."""
        return _RAW_TYPES[self.type_name][1]


def parse_raw(text: str) -> RawForm:
    """Read the form of raw files, such as ``640x512:uint16`` or ``320x240:uint14:big:512``.

    Raises
    ------
    UsageError
        If the text is something else, or a frame has no pixels.
    """
    match = _RAW.fullmatch(text.strip())
    if match is None or match[3] not in _RAW_TYPES or not int(match[1]) * int(match[2]):
        raise UsageError(
            f"cannot understand the raw form {text!r:.60}; expected {RAW_FORM}, such as 640x512:uint16 or "
            f"640x512:uint14:big:512, with a type of {', '.join(_RAW_TYPES)}"
        )
    return RawForm(int(match[1]), int(match[2]), match[3], match[4] == "big", int(match[5] or 0))


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes
    ----------
    max_pixels
        Larger images are refused; all pages of one compressed file together may have 100 times as many.
    max_pages
        Files of more pages are refused before any is decoded; None takes any number.
    raw
        The form of raw files; without it they are refused.
    array
        Name of the array to take from a ``.npz`` of several.
    """

    max_pixels: int = MAX_PIXELS
    max_pages: int | None = MAX_PAGES
    raw: RawForm | None = None
    array: str | None = None


DEFAULT = Reading()
