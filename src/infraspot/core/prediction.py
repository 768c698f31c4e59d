"""What a detector says about one frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.geometry import find_components


@dataclass(frozen=True)
class Target:
    """One detected target: centroid (x, y) in pixels, area in pixels, box (x0, y0, x1, y1) half-open.

    ``score`` is the highest value of the score map inside the target; ``scr`` the local signal-to-clutter
    ratio (see :func:`infraspot.core.contrast.signal_to_clutter`), None where no image was given.
    """

    x: float
    y: float
    area: int
    score: float
    box: tuple[int, int, int, int]
    scr: float | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The score map of one frame, (H, W) float32 in [0, 1], at the frame's own size."""

    id: str
    score_map: NDArray[np.float32]

    def mask(self, threshold: float = 0.5) -> NDArray[np.bool_]:
        """(H, W) bool: the score is above ``threshold``."""
        return self.score_map > threshold

    def targets(self, threshold: float = 0.5, image: NDArray[Any] | None = None) -> list[Target]:
        """Connected components above ``threshold``, highest score first; ``image`` adds the SCR."""
        parts = find_components(self.mask(threshold))
        if not len(parts):
            return []
        ratios = np.full(len(parts), np.nan) if image is None else signal_to_clutter(image, parts)
        found = [
            Target(
                x=float(parts.centroids[k, 1]),
                y=float(parts.centroids[k, 0]),
                area=int(parts.areas[k]),
                score=float(self.score_map[box[1] : box[3], box[0] : box[2]][parts.mask(k)].max()),
                box=(int(box[0]), int(box[1]), int(box[2]), int(box[3])),
                scr=None if np.isnan(ratios[k]) else float(ratios[k]),
            )
            for k, box in enumerate(parts.boxes)
        ]
        return sorted(found, key=lambda target: -target.score)
