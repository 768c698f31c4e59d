"""A stored prediction, mask or score map, as scores in [0, 1]."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.data import read_image
from infraspot.data.decoding import decode

_MAYBE_FLOAT = frozenset({".tif", ".tiff", ".npy", ".npz"})


def read_score_map(path: Path, page: int | None = None, *, full_scale: float | None = None) -> NDArray[Any]:
    """A stored score map or mask, (H, W) in [0, 1]; of a stack one page.

    Integers are divided by the largest value of their depth, or by ``full_scale``; floating-point files are
    taken as they are, so that logits are noticed instead of being stretched.

    Raises
    ------
    InputError
        If the file cannot be read, or is not (H, W).
    """
    suffix = path.suffix.lower()
    if suffix == ".npy" and page is None:
        scores = _read_array(path)
    elif suffix in _MAYBE_FLOAT and (raster := decode(path, page=page or 1)).values.dtype.kind == "f":
        scores = raster.values
    else:
        frame = read_image(path, page)
        largest = float(2**frame.bit_depth - 1)
        scores = frame.image if full_scale is None else frame.image * np.float32(largest / full_scale)
        return np.minimum(scores, 1.0)
    if scores.ndim != 2:
        raise InputError(f"{path}: a score map must be (height, width), and its shape is {scores.shape}")
    if scores.dtype.kind in "iu" and full_scale is None:
        full_scale = float(np.iinfo(scores.dtype).max) if scores.size and scores.max() > 1 else 1.0
    return scores if full_scale is None else scores.astype(np.float32) / np.float32(full_scale)


def _read_array(path: Path) -> NDArray[Any]:
    try:
        with warnings.catch_warnings(action="ignore"):
            array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{path} is not a readable .npy file ({error}); write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise InputError(f"{path} does not hold one array of numbers; write the score map with numpy.save")
    squeezed: NDArray[Any] = (
        array.reshape(array.shape[-2:]) if array.size == np.prod(array.shape[-2:]) else array
    )
    return squeezed
