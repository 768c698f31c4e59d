"""Where a person would click: points drawn from the targets of a mask."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import UsageError
from infraspot.core.geometry import Components, find_components

ClickKind = Literal["centroid", "coarse"]
CLICK_KINDS: tuple[ClickKind, ...] = ("centroid", "coarse")

_SPREAD = 0.25
"""Standard deviation of a coarse click, in halves of the target's box."""
_DRAWS = 1000
"""Draws before a coarse click on a thin target settles for one of the target's own pixels."""


def clicks_from_mask(
    mask: NDArray[Any], kind: str = "centroid", rng: np.random.Generator | None = None
) -> NDArray[np.float64]:
    """One click per 8-connected target, in raster order of the targets.

    ``centroid`` is the floor of the target's centroid (on a concave target it may lie beside it). ``coarse``
    is the floor of the centroid moved by half the box times N(0, 0.25) on each axis, drawn again until it
    lies on the target (LESPS, Ying et al., 2023).

    Parameters
    ----------
    mask
        (H, W); every pixel that is not zero belongs to a target.
    kind
        ``"centroid"`` or ``"coarse"``.
    rng
        The source of randomness of ``coarse``.

    Returns
    -------
    (N, 2) float64 whole numbers as (y, x), pixels.

    Raises
    ------
    UsageError
        If the kind is unknown, or ``coarse`` comes without ``rng``.
    """
    if kind not in CLICK_KINDS:
        raise UsageError(f"clicks are {' or '.join(CLICK_KINDS)}, and {kind!r} was asked for")
    targets = find_components(mask)
    centres = np.floor(targets.centroids)
    if kind == "centroid":
        return centres
    if rng is None:
        raise UsageError("coarse clicks are random: pass rng=numpy.random.default_rng(seed)")
    coarse = [_coarse_click(targets, index, rng) for index in range(len(targets))]
    return np.array(coarse, np.float64).reshape(-1, 2)


def _coarse_click(targets: Components, index: int, rng: np.random.Generator) -> NDArray[np.float64]:
    x0, y0, x1, y1 = targets.boxes[index]
    spread = _SPREAD * np.array([y1 - y0, x1 - x0]) / 2
    for _ in range(_DRAWS):
        click = np.floor(targets.centroids[index] + rng.normal(0, spread))
        y, x = click.astype(int)
        if y0 <= y < y1 and x0 <= x < x1 and targets.labels[y, x] == index + 1:
            return click
    pixels = np.argwhere(targets.mask(index)) + np.array([y0, x0])
    return rng.choice(pixels).astype(np.float64)
