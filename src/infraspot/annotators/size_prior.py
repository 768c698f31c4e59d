"""The windows of MCLC and D2D, and the true size class that their authors' programs look at."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import UsageError
from infraspot.core.options import shown

SizeClass = Literal["point", "spot", "extended"]

_POINT_AREA, _SPOT_AREA = 9, 81
_HALF_EXTENTS = {"point": (3, 5), "spot": (10, 11), "extended": (15, 25)}


def size_classes(count: int, size_prior: str, areas: Any) -> list[SizeClass]:
    """The class of each click: by its target's true area with ``"oracle"``, else all ``"spot"``.

    Raises
    ------
    UsageError
        If the prior is unknown, or ``"oracle"`` comes without one area per click.
    """
    if not isinstance(size_prior, str) or size_prior not in ("none", "oracle"):
        raise UsageError(f"size_prior is 'none' or 'oracle', and {shown(size_prior)} came")
    if size_prior == "none":
        if areas is not None:
            raise UsageError("areas are the true sizes of the targets; they need size_prior='oracle'")
        return ["spot"] * count
    try:
        given = np.asarray(() if areas is None else areas)
    except (TypeError, ValueError, RuntimeError):
        given = np.asarray(None)
    if given.dtype.kind not in "iuf" or given.shape != (count,):
        raise UsageError(
            f"size_prior='oracle' takes one true area per click: expected {count}, and {shown(areas)} came"
        )
    if not ((given > 0) & np.isfinite(given)).all():
        raise UsageError(f"true areas are finite numbers of pixels > 0, and {shown(areas)} came")
    return [_class_of(float(area)) for area in given]


def window_around(
    shape: tuple[int, int], click: tuple[int, int], size: SizeClass, rng: np.random.Generator, margin: int = 0
) -> tuple[slice, slice]:
    """A window of the class's extent, drawn per side, grown by ``margin`` and cut at the frame."""
    low, high = _HALF_EXTENTS[size]
    up, down, left, right = (rng.integers(low, high + 1, 4) + margin).tolist()
    y, x = click
    return (
        slice(max(y - up, 0), min(y + down + 1, shape[0])),
        slice(max(x - left, 0), min(x + right + 1, shape[1])),
    )


def grey_255(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey values of a crop in [0, 255]."""
    return window * np.float32(255)


def _class_of(area: float) -> SizeClass:
    if area <= _POINT_AREA:
        return "point"
    return "spot" if area <= _SPOT_AREA else "extended"
