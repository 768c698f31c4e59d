"""What may be scored: score maps in [0, 1], binary truth of the same shape."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError


def as_score_map(score_map: Any, *, name: str = "the prediction") -> NDArray[np.floating[Any]]:
    """Check a score map: (H, W), finite, in [0, 1]; booleans become 0 and 1.

    Raises
    ------
    InputError
        If the array has another dimension, is empty, holds NaN, or leaves [0, 1] (logits need a sigmoid).
    """
    scores = np.asarray(score_map)
    if scores.ndim != 2 or not scores.size:
        raise InputError(
            f"{name}: a score map must be (H, W) with at least one pixel, and it is {scores.shape}"
        )
    if scores.dtype == np.bool_ or scores.dtype.kind in "ui":
        scores = scores.astype(np.float32)
    elif scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64 if scores.dtype.itemsize > 4 else np.float32)
    low, high = scores.min(), scores.max()
    if not (low >= 0 and high <= 1):
        if np.isnan(low) or np.isnan(high):
            raise InputError(f"{name}: the score map holds NaN; give a number for every pixel")
        raise InputError(
            f"{name}: scores must lie in [0, 1], and they span [{low:g}, {high:g}]; apply a sigmoid to "
            "logits, or divide by the largest stored value"
        )
    return np.ascontiguousarray(scores)


def as_truth(truth: Any, *, name: str = "the truth") -> NDArray[np.bool_]:
    """Binarise a truth mask: above half of full scale (8 bits: above 127) is target.

    Grey values, such as a border of 128 around targets, give a warning. Values of at most 1 are taken as 0
    and 1.

    Raises
    ------
    InputError
        If the array is not (H, W), or holds NaN.
    """
    mask = np.asarray(truth)
    if mask.ndim != 2 or not mask.size:
        raise InputError(
            f"{name}: a truth mask must be (H, W) with at least one pixel, and it is {mask.shape}"
        )
    if mask.dtype == np.bool_:
        return np.ascontiguousarray(mask)
    high = mask.max()
    if mask.dtype.kind == "f" and np.isnan(high):
        raise InputError(f"{name}: the truth mask holds NaN; give 0 or 1 for every pixel")
    full: int = 1 if high <= 1 else 255 if high <= 255 else 65535
    grey = int(np.count_nonzero((mask > 0) & (mask < full)))
    if grey:
        warnings.warn(
            f"{name}: {grey} pixels are neither 0 nor {full}; above {full / 2:g} counts as target",
            stacklevel=2,
        )
    return np.ascontiguousarray(mask > full / 2)


def require_same_shape(
    scores: NDArray[Any], truth: NDArray[Any], *, name: str, grid: tuple[int, int] | None
) -> None:
    """Refuse a prediction of another size than the truth, unless it already has the protocol's grid."""
    if scores.shape not in (truth.shape, grid):
        raise InputError(
            f"{name}: the prediction is {scores.shape[1]}x{scores.shape[0]} and the truth "
            f"{truth.shape[1]}x{truth.shape[0]}; give the prediction at the truth's own size"
        )
