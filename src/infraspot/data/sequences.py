"""Sequences: frames in their order, with times and, where known, the targets that go through them."""

import re
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.core.sample import Sample
from infraspot.data.opening import is_regular, read_text
from infraspot.data.reader import Reader, open_dataset

_FASTEST = 1e6  # frames a second


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence of a data set.

    Attributes
    ----------
    name
        That of its folder in the set.
    reader
        Its frames in order: samples with masks or boxes and, where known, tracks.
    numbers
        The number of each frame, ascending; a number that is missing is a frame that is missing.
    rate
        Frames a second where the set says, else None.
    """

    name: str
    reader: Reader
    numbers: tuple[int, ...]
    rate: float | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[int, Sample]]:
        """Each frame with its number, read when its turn comes."""
        for place, number in enumerate(self.numbers):
            yield number, self.reader[place]

    @property
    def times(self) -> NDArray[np.float64] | None:
        """(N,) seconds since the first frame; None where the rate is not known."""
        if self.rate is None:
            return None
        return (np.array(self.numbers, np.float64) - self.numbers[0]) / self.rate


def open_sequences(path: Path | str, *, split: str | None = None, layout: str = "auto") -> list[Sequence]:
    """The sequences of a data set, in its order: one for each folder that it was found in.

    Parameters and errors are those of :func:`infraspot.data.open_dataset`.
    """
    return sequences_of(open_dataset(path, split=split, layout=layout))


def sequences_of(reader: Reader) -> list[Sequence]:
    """The frames of a data set by their folder, each in the order of the numbers in its names.

    Frames whose names hold no number, or the number of another one, are counted in their order instead.
    """
    places: dict[str, list[int]] = {}
    for place, section in enumerate(reader.sections):
        places.setdefault(section, []).append(place)
    found = []
    for section, members in places.items():
        numbers = [_number(reader.image_path(place)) for place in members]
        if None in numbers or len(set(numbers)) < len(numbers):
            ordered, counted = members, list(range(1, len(members) + 1))
        else:
            pairs = sorted((number or 0, place) for number, place in zip(numbers, members, strict=True))
            counted, ordered = [number for number, _ in pairs], [place for _, place in pairs]
        ids = [reader.ids[place] for place in ordered]
        name = section.rpartition("/")[2] or reader.name
        folder = reader.image_path(ordered[0]).parent
        found.append(Sequence(name, reader.select(ids, reader.split), tuple(counted), _rate(folder)))
    return found


def _number(path: Path) -> int | None:
    digits = re.findall(r"\d{1,15}", path.stem, re.ASCII)
    return int(digits[-1]) if digits else None


def _rate(folder: Path) -> float | None:
    """The frame rate of ``seqinfo.ini`` beside the frames or one level above."""
    for place in (folder / "seqinfo.ini", folder.parent / "seqinfo.ini"):
        if is_regular(place):
            parser = ConfigParser(interpolation=None)
            try:
                parser.read_string(read_text(place))
                rate = parser.getfloat("Sequence", "frameRate")
            except (ConfigError, ValueError) as error:
                raise InputError(
                    f"{place} gives no frame rate; expected [Sequence] with frameRate=25"
                ) from error
            if not 0 < rate <= _FASTEST:
                raise InputError(f"{place} gives {rate:g} frames a second; mend the number")
            return rate
    return None
