"""One bound on every coordinate that an annotation file holds."""

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError

MAX_COORDINATE = 1e9
"""Pixels. No image is so large, and sums, products and whole numbers are safe up to here."""


def checked_coordinates(values: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """The same (N, K) numbers, one row an item of the file, if an image can hold them.

    Raises
    ------
    InputError
        If a number is NaN, infinite or beyond :data:`MAX_COORDINATE`; ``source`` says where it stands.
    """
    wild = np.flatnonzero(~(np.abs(values) <= MAX_COORDINATE).all(axis=1))
    if len(wild):
        shown = ", ".join(f"{value:g}" for value in values[wild[0]])
        raise InputError(
            f"{source}: entry {wild[0] + 1} is ({shown}), and a number in it is NaN, infinite or larger than "
            "any image; correct or remove it"
        )
    return values
