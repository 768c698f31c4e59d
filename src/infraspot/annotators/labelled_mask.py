"""What an annotator gives back: the mask, how sure it is, and where both come from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Click:
    """What became of one click.

    Attributes
    ----------
    y, x
        The click, pixels.
    level
        Where the boundary was drawn: 0 the background, 1 the peak. None where the method has no level.
    area
        Pixels given to the click.
    contrast
        Mean of the target less the median of its surroundings, in units of the image's [0, 1]; negative for a
        dark target.
    confidence
        In [0, 1]: how clearly something stands out there; near 0 for a click on nothing.
    polarity
        1 bright, -1 dark.
    """

    y: float
    x: float
    level: float | None
    area: int
    contrast: float
    confidence: float
    polarity: int


@dataclass(frozen=True, eq=False)
class LabelledMask:
    """A mask grown from clicks.

    Attributes
    ----------
    mask
        (H, W) bool.
    soft
        (H, W) float32 in [0, 1]; at least 0.5 on the mask and below 0.5 outside it.
    clicks
        One record per click, in the order of the clicks.
    method, options
        What made it.
    provenance
        The stamp to keep with the mask: method, options, version, and ``size_prior`` ("none", or "oracle"
        where true areas were passed in).
    """

    mask: NDArray[np.bool_]
    soft: NDArray[np.float32]
    clicks: tuple[Click, ...]
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
